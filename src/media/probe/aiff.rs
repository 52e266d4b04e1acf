//! AIFF and uncompressed AIFF-C: the frames that the header counts, and the bytes that are there.

use std::io::{self, Read, Seek};

use crate::domain::media::TrackLength;

use super::RATE_HZ_MIN;
use super::agree::{Reading, agree};
use super::to_ms;
use super::window::Window;

/// Most chunks looked at in one file.
const CHUNKS_MAX: u32 = 10_000;

/// Bytes between the head of the sound's chunk and the sound.
const SOUND_OFFSET: u64 = 8;

/// Kinds of AIFF-C whose samples all take the same number of bytes.
const EVEN: [&[u8]; 8] = [
    b"NONE", b"sowt", b"twos", b"raw ", b"fl32", b"FL32", b"fl64", b"FL64",
];

/// Measures an AIFF file. Compressed sound and broken headers give `None`.
///
/// # Errors
/// Only those of reading the file.
pub(super) fn measure(file: &mut Window<'_, impl Read + Seek>) -> io::Result<Option<TrackLength>> {
    let (mut common, mut sound) = (None, None);
    let mut at = 12;
    for _ in 0..CHUNKS_MAX {
        let Some([a, b, c, d, size @ ..]) = file.array::<8>(at)? else {
            break;
        };
        let size = u64::from(u32::from_be_bytes(size));
        let body_at = at + 8;
        match &[a, b, c, d] {
            b"COMM" if common.is_none() => {
                common = Common::read(file.at(body_at, size.min(22) as usize)?)
            }
            b"SSND" if sound.is_none() => {
                let present = file.file_bytes().saturating_sub(body_at).min(size);
                sound = Some(present.saturating_sub(SOUND_OFFSET));
            }
            _ => {}
        }
        at = body_at + size + size % 2;
    }
    Ok(common
        .zip(sound)
        .and_then(|(common, sound_bytes)| common.length(sound_bytes)))
}

/// The chunk that describes the sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Common {
    frames: u32,
    frame_bytes: u64,
    rate_hz: u32,
}

impl Common {
    /// Reads 18 bytes, and the four behind them that AIFF-C has.
    fn read(body: &[u8]) -> Option<Self> {
        let channels = u64::from(u16::from_be_bytes([*body.first()?, *body.get(1)?]));
        let frames = u32::from_be_bytes(body.get(2..6)?.try_into().ok()?);
        let bits = u64::from(u16::from_be_bytes([*body.get(6)?, *body.get(7)?]));
        let rate_hz = whole_rate(body.get(8..18)?)?;
        let is_plain = body
            .get(18..22)
            .is_none_or(|kind| EVEN.contains(&kind) || !kind.iter().all(u8::is_ascii_graphic));
        let frame_bytes = channels * bits.div_ceil(8);
        (is_plain && frame_bytes > 0 && rate_hz >= RATE_HZ_MIN).then_some(Self {
            frames,
            frame_bytes,
            rate_hz,
        })
    }

    fn length(&self, sound_bytes: u64) -> Option<TrackLength> {
        let ms = |frames: u64| to_ms(frames.into(), self.rate_hz.into()).map(Reading::Samples);
        let readings: Vec<Reading> = [ms(self.frames.into()), ms(sound_bytes / self.frame_bytes)]
            .into_iter()
            .flatten()
            .collect();
        agree(&readings, 0)
    }
}

/// A floating number of 80 bits as a whole one.
fn whole_rate(bytes: &[u8]) -> Option<u32> {
    let exponent = u32::from(u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]));
    let mantissa = u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?);
    let shift = (16_383u32 + 63).checked_sub(exponent)?;
    u32::try_from(mantissa.checked_shr(shift)?).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A file of 8 kHz, 16 bits, mono, with `present` bytes of sound.
    fn aiff(frames: u32, claimed: u32, present: usize) -> Vec<u8> {
        let mut bytes = b"FORM\0\0\0\0AIFFCOMM\0\0\0\x12\0\x01".to_vec();
        bytes.extend(frames.to_be_bytes());
        bytes.extend(b"\0\x10\x40\x0b\xfa\0\0\0\0\0\0\0SSND");
        bytes.extend(claimed.to_be_bytes());
        bytes.resize(bytes.len() + 8 + present, 0);
        bytes
    }

    fn length(bytes: &[u8]) -> Option<(u64, bool)> {
        let mut file = Cursor::new(bytes);
        let length = measure(&mut Window::new(&mut file, bytes.len() as u64)).unwrap();
        length.map(|length| (length.ms, length.is_agreed()))
    }

    #[test]
    fn header_and_bytes_have_to_agree() {
        assert_eq!(length(&aiff(8_000, 16_008, 16_000)), Some((1_000, true)));
        assert_eq!(
            length(&aiff(u32::MAX, 16_008, 16_000)),
            Some((1_000, false))
        );
        assert_eq!(length(&aiff(4_000, 16_008, 16_000)), Some((500, false)));
        assert_eq!(length(&aiff(8_000, u32::MAX, 8_000)), Some((500, false)));
        assert_eq!(length(&aiff(8_000, 0, 0)), Some((0, false)));
    }

    #[test]
    fn headers_that_make_no_sense_measure_nothing() {
        let mut slow = aiff(8_000, 16_008, 16_000);
        slow[28..30].copy_from_slice(b"\x3f\xff");
        assert_eq!(length(&slow), None);
        let mut silent = aiff(8_000, 16_008, 16_000);
        silent[20..22].fill(0);
        assert_eq!(length(&silent), None);
        assert_eq!(length(b"FORM\0\0\0\0AIFF"), None);
        assert_eq!(whole_rate(b"\x40\x0e\xac\x44\0\0\0\0\0\0"), Some(44_100));
        assert_eq!(whole_rate(b"\xff\xff\xac\x44\0\0\0\0\0\0"), None);
    }
}
