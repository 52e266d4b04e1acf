//! MP3 and AAC in ADTS frames: every frame is walked over, from header to header.
//!
//! What the first frame of an MP3 says of their number (Xing, Info, VBRI) is only the second reading.
//! Without it, a file of one bitrate has the number of its bytes. The walk does not look for frames
//! behind anything it does not know: what stands there is not counted, and the length not agreed on.

use std::io::{self, Read, Seek};

use crate::domain::media::TrackLength;

use super::agree::{Reading, agree, proven, unless_broken};
use super::tags::{behind_tags, only_tags_follow};
use super::to_ms;
use super::window::Window;

/// Bytes of a frame header.
const HEADER_BYTES: usize = 7;

/// Bytes of the first frame in which a count of frames may stand.
const COUNT_BYTES: usize = 64;

const BITRATES_V1: [u32; 15] = [
    0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
];
const BITRATES_V2: [u32; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
const RATES_V1: [u32; 3] = [44_100, 48_000, 32_000];
const RATES_ADTS: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// Measures a stream of MPEG frames that begins at an offset.
///
/// # Errors
/// Only those of reading the file.
pub(super) fn measure(
    file: &mut Window<'_, impl Read + Seek>,
    at: u64,
) -> io::Result<Option<TrackLength>> {
    let Some(first) = Frame::read(file.at(at, HEADER_BYTES)?) else {
        return Ok(None);
    };
    let counted = match first.kind {
        Kind::Mp3 { .. } => read_count(file.at(at, COUNT_BYTES)?),
        Kind::Adts => None,
    };
    // The frame that carries the count is silent.
    let sound_at = if counted.is_some() {
        at + first.bytes
    } else {
        at
    };
    let walked = walk(file, sound_at, first)?;
    let ms = |samples: u128| to_ms(samples, first.rate_hz.into());
    let of_count = counted.filter(|frames| *frames > 0).map(u128::from);
    let by_bitrate = walked
        .bits_per_second
        .filter(|_| counted.is_none())
        .and_then(|rate| to_ms(u128::from(walked.bytes) * 8, rate));
    let readings: Vec<Reading> = [
        ms(walked.samples.into()),
        of_count.and_then(|frames| ms(frames * u128::from(first.samples))),
        by_bitrate,
    ]
    .into_iter()
    .flatten()
    .map(Reading::Samples)
    .collect();
    if walked.frames == 0 {
        return Ok(None);
    }
    let frame_ms = ms(first.samples.into()).unwrap_or(0);
    Ok(agree(&readings, frame_ms).map(|length| {
        let length = proven(length, walked.frames);
        unless_broken(length, walked.is_broken)
    }))
}

/// What a walk over all frames came to.
#[derive(Debug)]
struct Walked {
    frames: u64,
    samples: u64,
    bytes: u64,
    /// The bitrate of all frames, where they have one.
    bits_per_second: Option<u64>,
    /// Something else than frames and tags stands in the file, or the last frame is cut off.
    is_broken: bool,
}

fn walk(file: &mut Window<'_, impl Read + Seek>, mut at: u64, first: Frame) -> io::Result<Walked> {
    let mut walked = Walked {
        frames: 0,
        samples: 0,
        bytes: 0,
        bits_per_second: first.bits_per_second(),
        is_broken: false,
    };
    loop {
        let frame = Frame::read(file.at(at, HEADER_BYTES)?);
        let Some(frame) = frame.filter(|frame| frame.is_like(first)) else {
            let behind = behind_tags(file, at)?;
            if behind > at && behind < file.file_bytes() {
                // Files that were put together have tags in the middle.
                at = behind;
                continue;
            }
            let ends = behind == file.file_bytes() || only_tags_follow(file, at)?;
            walked.is_broken = !ends;
            return Ok(walked);
        };
        let end = at + frame.bytes;
        if end > file.file_bytes() {
            walked.is_broken = true;
            return Ok(walked);
        }
        walked.frames += 1;
        walked.samples += u64::from(frame.samples);
        walked.bytes += frame.bytes;
        walked.bits_per_second = walked
            .bits_per_second
            .filter(|rate| Some(*rate) == frame.bits_per_second());
        at = end;
    }
}

/// Which stream a frame belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `kilobits` per second.
    Mp3 {
        kilobits: u32,
    },
    Adts,
}

/// A frame as its header describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    kind: Kind,
    rate_hz: u32,
    samples: u32,
    bytes: u64,
}

impl Frame {
    fn read(head: &[u8]) -> Option<Self> {
        let [0xff, second, third, ..] = *head else {
            return None;
        };
        match (second & 0xe0, (second >> 1) & 3) {
            (0xe0, 0) => Self::adts(head, second),
            (0xe0, 1) => Self::mp3(second, third),
            _ => None,
        }
    }

    fn mp3(second: u8, third: u8) -> Option<Self> {
        let (slower, bitrates, samples) = match (second >> 3) & 3 {
            3 => (1, BITRATES_V1, 1_152),
            2 => (2, BITRATES_V2, 576),
            0 => (4, BITRATES_V2, 576),
            _ => return None,
        };
        // Index 0 is a free format: its frames do not say how long they are.
        let kilobits = *bitrates.get(usize::from(third >> 4)).filter(|k| **k > 0)?;
        let rate_hz = RATES_V1.get(usize::from((third >> 2) & 3))? / slower;
        let padding = u32::from((third >> 1) & 1);
        Some(Self {
            kind: Kind::Mp3 { kilobits },
            rate_hz,
            samples,
            bytes: u64::from(samples / 8 * kilobits * 1_000 / rate_hz + padding),
        })
    }

    fn adts(head: &[u8], second: u8) -> Option<Self> {
        let [_, _, third, fourth, fifth, sixth, seventh] = *head else {
            return None;
        };
        let bytes = (u64::from(fourth & 3) << 11) | (u64::from(fifth) << 3) | u64::from(sixth >> 5);
        let is_whole = second & 0xf0 == 0xf0 && bytes > HEADER_BYTES as u64;
        let rate_hz = *RATES_ADTS.get(usize::from((third >> 2) & 0xf))?;
        is_whole.then_some(Self {
            kind: Kind::Adts,
            rate_hz,
            samples: 1_024 * (u32::from(seventh & 3) + 1),
            bytes,
        })
    }

    fn bits_per_second(self) -> Option<u64> {
        match self.kind {
            Kind::Mp3 { kilobits } => Some(u64::from(kilobits) * 1_000),
            Kind::Adts => None,
        }
    }

    /// True where both belong to one stream.
    fn is_like(self, other: Self) -> bool {
        let is_adts = |frame: Self| frame.kind == Kind::Adts;
        self.rate_hz == other.rate_hz && is_adts(self) == is_adts(other)
    }
}

/// The number of frames that the first one announces; 0 where it announces an unknown number, `None`
/// where it is a frame of sound.
fn read_count(frame: &[u8]) -> Option<u32> {
    let number = |at: usize| {
        let bytes = frame.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_be_bytes(bytes))
    };
    // Behind the header and the side information, whose length depends on version and channels; a
    // checksum may come before it.
    for at in [13, 15, 21, 23, 36, 38] {
        let word = frame.get(at..at + 4)?;
        if word == b"Xing" || word == b"Info" {
            let has_frames = number(at + 4)? & 1 != 0;
            return Some(if has_frames { number(at + 8)? } else { 0 });
        }
        if word == b"VBRI" {
            return Some(number(at + 14).unwrap_or(0));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A frame of MPEG-1, 32 kbit/s at 32 kHz: 1,152 samples, 36 ms, 144 bytes.
    fn frame() -> Vec<u8> {
        let mut frame = b"\xff\xfb\x18\xc0".to_vec();
        frame.resize(144, 0);
        frame
    }

    fn announcing(word: &[u8; 4], frames: u32) -> Vec<u8> {
        let mut first = frame();
        first[36..40].copy_from_slice(word);
        first[43] = 1;
        let at = if word == b"VBRI" { 50 } else { 44 };
        first[at..at + 4].copy_from_slice(&frames.to_be_bytes());
        first
    }

    fn length(pieces: &[&[u8]]) -> Option<(u64, bool)> {
        let bytes = pieces.concat();
        let mut file = Cursor::new(&bytes);
        let mut window = Window::new(&mut file, bytes.len() as u64);
        let at = behind_tags(&mut window, 0).unwrap();
        let length = measure(&mut window, at).unwrap();
        length.map(|length| (length.ms, length.is_agreed()))
    }

    #[test]
    fn frames_are_counted_and_the_first_one_may_announce_them() {
        let sound = frame().repeat(100);
        assert_eq!(length(&[&sound]), Some((3_600, true)));
        for word in [b"Xing", b"Info", b"VBRI"] {
            let honest = announcing(word, 100);
            assert_eq!(length(&[&honest, &sound]), Some((3_600, true)));
            let up = announcing(word, 4_000_000_000);
            assert_eq!(length(&[&up, &sound]), Some((3_600, false)));
            let down = announcing(word, 50);
            assert_eq!(length(&[&down, &sound]), Some((1_800, false)));
            let unknown = announcing(word, 0);
            assert_eq!(length(&[&unknown, &sound]), Some((3_600, false)));
        }
    }

    #[test]
    fn tags_are_no_sound_wherever_they_stand() {
        let sound = frame().repeat(50);
        let id3 = [&b"ID3\x04\0\0\0\0\x02\0"[..], &[0x55; 256]].concat();
        let id3v1 = [&b"TAG"[..], &[b' '; 125]].concat();
        assert_eq!(length(&[&id3, &sound]), Some((1_800, true)));
        assert_eq!(
            length(&[&id3, &id3, &[0; 90], &sound, &id3v1]),
            Some((1_800, true))
        );
        assert_eq!(length(&[&sound, &id3, &sound]), Some((3_600, true)));
        assert_eq!(
            length(&[&sound, b"APETAGEX", &[1; 900]]),
            Some((1_800, true))
        );
        assert_eq!(
            length(&[&sound, b"LYRICSBEGIN", &[1; 900]]),
            Some((1_800, true))
        );
        assert_eq!(length(&[&sound, &[0; 999]]), Some((1_800, true)));
    }

    #[test]
    fn what_is_not_explained_is_not_counted() {
        let sound = frame().repeat(50);
        assert_eq!(length(&[&sound, b"<html>", &sound]), Some((1_800, false)));
        assert_eq!(length(&[&sound, &frame()[..100]]), Some((1_800, false)));
        // Another sample rate is another stream.
        assert_eq!(
            length(&[&sound, b"\xff\xfb\x10\xc0", &[0; 200]]),
            Some((1_800, false))
        );
        assert_eq!(length(&[&frame()[..143]]), None);
        assert_eq!(length(&[b"\xff\xfb\x08\xc0", &[0; 999]]), None);
        assert_eq!(length(&[b"ID3\x04\0\0\x7f\x7f\x7f\x7f"]), None);
    }

    #[test]
    fn frames_of_many_bitrates_have_one_reading() {
        let mut small = b"\xff\xfb\x28\xc0".to_vec();
        small.resize(180, 0);
        assert_eq!(length(&[&frame(), &small, &frame()]), Some((108, false)));
    }

    #[test]
    fn adts_frames_say_their_length() {
        // 16 kHz, 32 bytes, one block: 64 ms.
        let mut frame = b"\xff\xf1\x60\x40\x04\x1f\xfc".to_vec();
        frame.resize(32, 0);
        assert_eq!(length(&[&frame.repeat(10)]), Some((640, false)));
        frame[6] = 0xff;
        assert_eq!(length(&[&frame]), Some((256, false)));
        // A frame that is not longer than its header.
        assert_eq!(length(&[b"\xff\xf1\x60\x40\0\xff\xfc"]), None);
    }
}
