//! FLAC: the samples that the header announces, and those of every frame.
//!
//! Frames do not say how long they are. The next one is found by its header: the right mark, a
//! checksum that fits, the same stream, the next number. The last one's own checksum tells whether it
//! is whole.

use std::io::{self, Read, Seek};

use crate::domain::media::TrackLength;

use super::RATE_HZ_MIN;
use super::agree::{Reading, agree, proven, unless_broken};
use super::tags::only_tags_follow;
use super::to_ms;
use super::window::Window;

/// Most metadata blocks before the sound.
const BLOCKS_MAX: u32 = 10_000;

/// Longest frame header.
pub(super) const HEADER_BYTES: usize = 16;

/// Longest frame that is looked at for its checksum: more than eight channels of 32 bits need.
const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a stream says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StreamInfo {
    pub(super) rate_hz: u32,
    /// 0 where the writer did not know.
    pub(super) samples: u64,
}

impl StreamInfo {
    /// Reads the body of a STREAMINFO block.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let bits = u64::from_be_bytes(body.get(10..18)?.try_into().ok()?);
        let rate_hz = (bits >> 44) as u32;
        (rate_hz >= RATE_HZ_MIN).then_some(Self {
            rate_hz,
            samples: bits & 0xf_ffff_ffff,
        })
    }
}

/// Measures a FLAC stream that begins at an offset with its mark.
///
/// # Errors
/// Only those of reading the file.
pub(super) fn measure(
    file: &mut Window<'_, impl Read + Seek>,
    at: u64,
) -> io::Result<Option<TrackLength>> {
    let Some((info, sound_at)) = metadata(file, at + 4)? else {
        return Ok(None);
    };
    let walked = walk(file, sound_at)?;
    if walked.samples == 0 {
        return Ok(None);
    }
    // A rate that two places give differently stretches nothing.
    let rate_hz = walked
        .rate_hz
        .map_or(info.rate_hz, |rate_hz| rate_hz.max(info.rate_hz));
    let disagrees = walked.rate_hz.is_some_and(|own| own != info.rate_hz);
    let ms = |samples: u64| to_ms(samples.into(), rate_hz.into()).map(Reading::Samples);
    let announced = Some(info.samples).filter(|samples| *samples > 0);
    let readings: Vec<Reading> = [ms(walked.samples), announced.and_then(ms)]
        .into_iter()
        .flatten()
        .collect();
    Ok(agree(&readings, 0).map(|length| {
        let length = proven(length, walked.frames);
        unless_broken(length, walked.is_broken || disagrees)
    }))
}

/// Walks over the metadata: what the stream says, and where its sound begins.
fn metadata(
    file: &mut Window<'_, impl Read + Seek>,
    mut at: u64,
) -> io::Result<Option<(StreamInfo, u64)>> {
    let mut info = None;
    for _ in 0..BLOCKS_MAX {
        let Some([kind, a, b, c]) = file.array::<4>(at)? else {
            return Ok(None);
        };
        let bytes = u32::from_be_bytes([0, a, b, c]);
        if kind & 0x7f == 0 && info.is_none() {
            info = StreamInfo::read(file.at(at + 4, 34)?);
        }
        at += 4 + u64::from(bytes);
        if kind & 0x80 != 0 {
            return Ok(info.map(|info| (info, at)));
        }
    }
    Ok(None)
}

/// What a walk over all frames came to.
#[derive(Debug, Default)]
struct Walked {
    frames: u64,
    /// Samples a second by the frames themselves, which all say the same.
    rate_hz: Option<u32>,
    samples: u64,
    is_broken: bool,
}

impl Walked {
    fn add(&mut self, frame: &FrameHeader) {
        self.frames += 1;
        self.samples += u64::from(frame.samples);
    }
}

fn walk(file: &mut Window<'_, impl Read + Seek>, mut at: u64) -> io::Result<Walked> {
    let mut walked = Walked::default();
    let Some(mut frame) = FrameHeader::read(file.at(at, HEADER_BYTES)?) else {
        walked.is_broken = true;
        return Ok(walked);
    };
    walked.rate_hz = frame.rate_hz;
    loop {
        match next_frame(file, at, &frame)? {
            Some((next_at, next)) => {
                walked.add(&frame);
                (at, frame) = (next_at, next);
            }
            None if is_whole(file, at)? => {
                walked.add(&frame);
                return Ok(walked);
            }
            None => {
                walked.is_broken = true;
                return Ok(walked);
            }
        }
    }
}

/// The frame that follows the one at an offset.
fn next_frame(
    file: &mut Window<'_, impl Read + Seek>,
    at: u64,
    frame: &FrameHeader,
) -> io::Result<Option<(u64, FrameHeader)>> {
    /// How far is looked at once.
    const STEP: usize = 4 * 1024;
    let mut from = at + 2;
    loop {
        let bytes = file.at(from, STEP + HEADER_BYTES)?;
        let marks = bytes.iter().enumerate().take(STEP);
        for (offset, _) in marks.filter(|(_, byte)| **byte == 0xff) {
            let found = FrameHeader::read(&bytes[offset..]);
            if let Some(next) = found.filter(|next| next.follows(frame)) {
                return Ok(Some((from + offset as u64, next)));
            }
        }
        if bytes.len() < STEP + HEADER_BYTES {
            return Ok(None);
        }
        from += STEP as u64;
    }
}

/// True where the frame at an offset ends the file, or comes before a tag that does, and its last two
/// bytes are its checksum.
fn is_whole(file: &mut Window<'_, impl Read + Seek>, at: u64) -> io::Result<bool> {
    /// ID3v1, the one tag that some put behind FLAC.
    const TAG_BYTES: u64 = 128;
    let end = file.file_bytes();
    let tag_at = end.saturating_sub(TAG_BYTES);
    let has_tag = tag_at > at && file.at(tag_at, 3)? == b"TAG" && only_tags_follow(file, tag_at)?;
    let frame_end = if has_tag { tag_at } else { end };
    let bytes = usize::try_from(frame_end - at).unwrap_or(usize::MAX);
    if bytes > FRAME_BYTES_MAX {
        return Ok(false);
    }
    // A frame with its checksum behind it comes out as nothing.
    Ok(crc16(file.at(at, bytes)?) == 0)
}

/// The header of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// Mark and kind of numbering.
    mark: u8,
    /// Codes of sample rate, channels and sample size; how channels are joined may change.
    stream: (u8, u8),
    /// Number of the frame, or of its first sample.
    number: u64,
    pub(super) samples: u32,
    /// Samples a second, where the frame says so itself.
    rate_hz: Option<u32>,
}

impl FrameHeader {
    pub(super) fn read(head: &[u8]) -> Option<Self> {
        let [0xff, mark @ (0xf8 | 0xf9), sizes, layout, ..] = *head else {
            return None;
        };
        let (number, number_bytes) = coded_number(head.get(4..)?)?;
        let mut at = 4 + number_bytes;
        let samples = match sizes >> 4 {
            0 => return None,
            1 => 192,
            code @ 2..=5 => 576 << (code - 2),
            6 => u32::from(*head.get(at)?) + 1,
            7 => u32::from(u16::from_be_bytes([*head.get(at)?, *head.get(at + 1)?])) + 1,
            code => 256 << (code - 8),
        };
        at += match sizes >> 4 {
            6 => 1,
            7 => 2,
            _ => 0,
        };
        let (rate_hz, rate_bytes) = coded_rate(sizes & 0xf, head.get(at..)?)?;
        at += rate_bytes;
        let sum = *head.get(at)?;
        (crc8(head.get(..at)?) == sum).then_some(Self {
            mark,
            stream: (sizes & 0xf, layout & 0x0f),
            number,
            samples,
            rate_hz,
        })
    }

    /// True where this is the frame behind another one: with fixed blocks the next number, else the
    /// number of the next sample.
    fn follows(&self, before: &Self) -> bool {
        let counts_samples = self.mark == 0xf9;
        let next = if counts_samples {
            before.number + u64::from(before.samples)
        } else {
            before.number + 1
        };
        let is_like = self.stream == before.stream && self.rate_hz == before.rate_hz;
        self.mark == before.mark && is_like && self.number == next
    }
}

/// Samples a second by a frame's code, `None` where the stream's header has them; and how many bytes
/// behind the number of samples say so.
fn coded_rate(code: u8, bytes: &[u8]) -> Option<(Option<u32>, usize)> {
    const RATES_HZ: [u32; 11] = [
        88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000,
    ];
    let two = || Some(u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]));
    Some(match code {
        0 => (None, 0),
        12 => (Some(u32::from(*bytes.first()?) * 1_000), 1),
        13 => (Some(two()?.into()), 2),
        14 => (Some(u32::from(two()?) * 10), 2),
        code => (Some(*RATES_HZ.get(usize::from(code) - 1)?), 0),
    })
}

/// A number coded like UTF-8, but up to seven bytes; and how many bytes it takes.
fn coded_number(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let width = match first.leading_ones() {
        0 => return Some((first.into(), 1)),
        width @ 2..=7 => width as usize,
        _ => return None,
    };
    let mut number = u64::from(first) & ((1 << (7 - width)) - 1);
    for byte in bytes.get(1..width)? {
        if byte & 0xc0 != 0x80 {
            return None;
        }
        number = (number << 6) | u64::from(byte & 0x3f);
    }
    Some((number, width))
}

/// Checksum of a header: polynomial x^8 + x^2 + x + 1.
fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc: u8, _| {
            let carry = if crc & 0x80 != 0 { 0x07 } else { 0 };
            (crc << 1) ^ carry
        })
    })
}

/// Checksum of a frame: polynomial x^16 + x^15 + x^2 + 1.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc: u16, _| {
            let carry = if crc & 0x8000 != 0 { 0x8005 } else { 0 };
            (crc << 1) ^ carry
        })
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A frame of 192 samples that all are nothing.
    fn frame(number: u8) -> Vec<u8> {
        let mut bytes = vec![0xff, 0xf8, 0x10, 0x08, number];
        bytes.push(crc8(&bytes));
        bytes.extend([0, 0, 0]);
        bytes.extend(crc16(&bytes).to_be_bytes());
        bytes
    }

    /// A stream of 8 kHz that announces so many samples.
    fn stream(announced: u64, frames: impl IntoIterator<Item = u8>) -> Vec<u8> {
        let mut bytes = b"fLaC\x80\0\0\x22".to_vec();
        bytes.extend([0; 10]);
        bytes.extend(((8_000u64 << 44) | (15 << 36) | announced).to_be_bytes());
        bytes.extend([0; 16]);
        bytes.extend(frames.into_iter().flat_map(frame));
        bytes
    }

    fn length(bytes: &[u8]) -> Option<(u64, bool)> {
        let mut file = Cursor::new(bytes);
        let length = measure(&mut Window::new(&mut file, bytes.len() as u64), 0).unwrap();
        length.map(|length| (length.ms, length.is_agreed()))
    }

    #[test]
    fn frames_and_header_have_to_agree() {
        assert_eq!(length(&stream(19_200, 0..100)), Some((2_400, true)));
        assert_eq!(length(&stream(0, 0..100)), Some((2_400, false)));
        assert_eq!(length(&stream(0xf_ffff_ffff, 0..100)), Some((2_400, false)));
        assert_eq!(length(&stream(9_600, 0..100)), Some((1_200, false)));
        assert_eq!(length(&stream(19_200, [])), None);
    }

    #[test]
    fn a_frame_counts_once_and_only_where_it_is_whole() {
        let mut cut = stream(19_200, 0..100);
        cut.pop();
        assert_eq!(length(&cut), Some((2_376, false)));
        // The same frame again, and one too far on.
        assert_eq!(length(&stream(1_920, [0, 1, 1, 1])), Some((48, false)));
        assert_eq!(length(&stream(1_920, [0, 1, 2, 9])), Some((72, false)));
        let mut tagged = stream(19_200, 0..100);
        tagged.extend(b"TAG");
        tagged.extend([b' '; 125]);
        assert_eq!(length(&tagged), Some((2_400, true)));
    }

    #[test]
    fn streams_without_a_sane_header_are_not_measured() {
        assert_eq!(length(b"fLaC"), None);
        assert_eq!(length(b"fLaC\x80\xff\xff\xff"), None);
        let mut slow = stream(19_200, 0..100);
        slow[18..20].fill(0);
        slow[20] &= 0x0f;
        assert_eq!(length(&slow), None);
    }

    #[test]
    fn a_rate_that_frames_deny_stretches_nothing() {
        let mut slow = stream(19_200, 0..100);
        // Four kilohertz in the header; the frames are told to say eight.
        slow[18..21].copy_from_slice(&[0x00, 0xfa, 0x00]);
        assert_eq!(length(&slow), Some((4_800, true)));
        let at = 42;
        let mut said = slow[..at].to_vec();
        for number in 0..100 {
            let mut bytes = vec![0xff, 0xf8, 0x14, 0x08, number];
            bytes.push(crc8(&bytes));
            bytes.extend([0, 0, 0]);
            bytes.extend(crc16(&bytes).to_be_bytes());
            said.extend(bytes);
        }
        assert_eq!(length(&said), Some((2_400, false)));
    }

    #[test]
    fn numbers_of_frames_have_one_to_seven_bytes() {
        assert_eq!(coded_number(b"\x7f"), Some((127, 1)));
        assert_eq!(coded_number(b"\xc2\x80"), Some((128, 2)));
        let longest = b"\xfe\xbf\xbf\xbf\xbf\xbf\xbf";
        assert_eq!(coded_number(longest), Some(((1 << 36) - 1, 7)));
        assert_eq!(coded_number(b"\x80"), None);
        assert_eq!(coded_number(b"\xff"), None);
        assert_eq!(coded_number(b"\xc2\x00"), None);
        assert_eq!(coded_number(b"\xe2\x80"), None);
    }
}
