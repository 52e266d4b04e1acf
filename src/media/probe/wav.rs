//! WAV: the length of uncompressed sound, from the chunk headers and from the bytes that are there.

use std::io::{self, Read, Seek, SeekFrom};

use crate::domain::media::{Support, TrackLength};

use super::agree::{Reading, agree};
use super::{RATE_HZ_MIN, read_up_to};

/// Most chunks looked at in one file.
const CHUNKS_MAX: u32 = 10_000;

/// A size the writer did not know when it began.
const OPEN_SIZE: u32 = u32::MAX;

/// Format tags whose samples all take the same number of bytes.
const PCM: u16 = 1;
const FLOAT: u16 = 3;
const A_LAW: u16 = 6;
const MU_LAW: u16 = 7;
const EXTENSIBLE: u16 = 0xfffe;

/// Measures a RIFF or RF64 file. Compressed formats and broken headers give `None`.
///
/// # Errors
/// Only those of reading the file.
pub(super) fn measure(
    file: &mut (impl Read + Seek),
    file_bytes: u64,
) -> io::Result<Option<TrackLength>> {
    let Some(found) = scan(file, file_bytes)? else {
        return Ok(None);
    };
    let available = file_bytes - found.data_at;
    let by_rate = |bytes: u64| to_ms(bytes, found.format.bytes_per_second.into());
    let by_block = |bytes: u64| {
        to_ms(
            bytes / u64::from(found.format.block_bytes),
            found.format.samples_per_second.into(),
        )
    };
    let present = found
        .claimed_bytes
        .map_or(available, |claimed| claimed.min(available));
    let mut readings = vec![by_block(present), by_rate(present)];
    if let Some(claimed) = found.claimed_bytes {
        readings.push(by_block(claimed));
    }
    let readings: Vec<Reading> = readings.into_iter().map(Reading::Samples).collect();
    let length = agree(&readings, 0);
    // Without a claim there is only the length of the file: nothing to compare with.
    let claimed = found.claimed_bytes.is_some();
    Ok(length.map(|length| TrackLength {
        support: if claimed {
            length.support
        } else {
            length.support.min(Support::Alone)
        },
        ..length
    }))
}

/// What the header of a file says about its sound.
struct Found {
    format: Format,
    data_at: u64,
    /// `None` where the writer left the size open.
    claimed_bytes: Option<u64>,
}

/// The fields of `fmt ` that a length depends on; none of them is zero, and the rate is one of sound.
struct Format {
    samples_per_second: u32,
    bytes_per_second: u32,
    block_bytes: u16,
}

/// Walks the chunks up to the sound.
fn scan(file: &mut (impl Read + Seek), file_bytes: u64) -> io::Result<Option<Found>> {
    let mut riff = [0; 12];
    file.seek(SeekFrom::Start(0))?;
    if read_up_to(file, &mut riff)? < riff.len() {
        return Ok(None);
    }
    let riff_size = u32_at(&riff, 4);
    let (mut format, mut long_size) = (None, None);
    let mut at: u64 = 12;
    for _ in 0..CHUNKS_MAX {
        let mut chunk = [0; 8 + 40];
        file.seek(SeekFrom::Start(at))?;
        let read = read_up_to(file, &mut chunk)?;
        if read < 8 {
            return Ok(None);
        }
        let size = u32_at(&chunk, 4);
        let body = &chunk[8..read];
        match &chunk[..4] {
            b"ds64" if body.len() >= 16 => long_size = Some(u64_at(body, 8)),
            b"fmt " => format = read_format(body),
            b"data" => {
                let data_at = (at + 8).min(file_bytes);
                let claimed_bytes = match (size, long_size) {
                    (OPEN_SIZE, long_size) => long_size,
                    (0, _) if riff_size == 0 || riff_size == OPEN_SIZE => None,
                    (size, _) => Some(size.into()),
                };
                return Ok(format.map(|format| Found {
                    format,
                    data_at,
                    claimed_bytes,
                }));
            }
            _ => {}
        }
        at += 8 + u64::from(size) + u64::from(size % 2);
    }
    Ok(None)
}

/// Reads `fmt `, where it describes samples of one size and every divisor is there.
fn read_format(body: &[u8]) -> Option<Format> {
    if body.len() < 16 {
        return None;
    }
    let tag = match (u16_at(body, 0), body.len()) {
        (EXTENSIBLE, 26..) => u16_at(body, 24),
        (tag, _) => tag,
    };
    let format = Format {
        samples_per_second: u32_at(body, 4),
        bytes_per_second: u32_at(body, 8),
        block_bytes: u16_at(body, 12),
    };
    let even = [PCM, FLOAT, A_LAW, MU_LAW].contains(&tag);
    let whole = format.samples_per_second >= RATE_HZ_MIN
        && format.bytes_per_second > 0
        && format.block_bytes > 0;
    (even && whole).then_some(format)
}

/// Whole milliseconds, rounded down. The divisor is not zero: [`read_format`] saw to it.
fn to_ms(amount: u64, per_second: u64) -> u64 {
    let ms = u128::from(amount) * 1_000 / u128::from(per_second.max(1));
    u64::try_from(ms).unwrap_or(u64::MAX)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | (u64::from(u32_at(bytes, at + 4)) << 32)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A file of 8 kHz 16-bit mono with `present` bytes of sound and a size field of its own.
    fn wav(tag: u16, bytes_per_second: u32, size_field: u32, present: usize) -> Vec<u8> {
        let mut bytes = b"RIFF\0\0\0\0WAVE".to_vec();
        bytes[4..8].copy_from_slice(&size_field.saturating_add(36).to_le_bytes());
        bytes.extend(b"LIST\x03\0\0\0odd\0");
        bytes.extend(b"fmt \x10\0\0\0");
        bytes.extend(tag.to_le_bytes());
        bytes.extend(1u16.to_le_bytes());
        bytes.extend(8_000u32.to_le_bytes());
        bytes.extend(bytes_per_second.to_le_bytes());
        bytes.extend(2u16.to_le_bytes());
        bytes.extend(16u16.to_le_bytes());
        bytes.extend(b"data");
        bytes.extend(size_field.to_le_bytes());
        bytes.resize(bytes.len() + present, 0);
        bytes
    }

    fn length(bytes: &[u8]) -> Option<(u64, bool)> {
        let measured = measure(&mut Cursor::new(bytes), bytes.len() as u64).unwrap();
        measured.map(|length| (length.ms, length.is_agreed()))
    }

    #[test]
    fn pcm_is_measured_to_the_millisecond() {
        assert_eq!(
            length(&wav(PCM, 16_000, 48_016, 48_016)),
            Some((3_001, true))
        );
        assert_eq!(length(&wav(FLOAT, 16_000, 16, 16)), Some((1, true)));
    }

    #[test]
    fn what_follows_the_sound_does_not_lengthen_it() {
        let mut bytes = wav(PCM, 16_000, 16_000, 16_000);
        bytes.extend(b"LIST\xa0\x0f\0\0");
        bytes.resize(bytes.len() + 4_000, 0);
        assert_eq!(length(&bytes), Some((1_000, true)));
    }

    #[test]
    fn sound_that_is_not_there_does_not_count() {
        assert_eq!(
            length(&wav(PCM, 16_000, 160_000, 16_000)),
            Some((1_000, false))
        );
        assert_eq!(
            length(&wav(PCM, 16_000, 0xffff_fffe, 16_000)),
            Some((1_000, false))
        );
    }

    #[test]
    fn a_streamed_file_is_measured_by_its_bytes_and_not_agreed_on() {
        assert_eq!(
            length(&wav(PCM, 16_000, OPEN_SIZE, 16_000)),
            Some((1_000, false))
        );
        let mut zero = wav(PCM, 16_000, 0, 16_000);
        zero[4..8].copy_from_slice(&0u32.to_le_bytes());
        assert_eq!(length(&zero), Some((1_000, false)));
    }

    #[test]
    fn an_empty_file_is_empty() {
        assert_eq!(length(&wav(PCM, 16_000, 0, 0)), Some((0, true)));
    }

    #[test]
    fn rates_that_contradict_each_other_let_the_shorter_count() {
        assert_eq!(
            length(&wav(PCM, 32_000, 16_000, 16_000)),
            Some((500, false))
        );
        assert_eq!(length(&wav(PCM, 1, 16_000, 16_000)), Some((1_000, false)));
    }

    #[test]
    fn compressed_sound_and_broken_headers_are_not_measured() {
        assert_eq!(length(&wav(0x55, 16_000, 16_000, 16_000)), None);
        assert_eq!(length(&wav(PCM, 0, 16_000, 16_000)), None);
        assert_eq!(length(b"RIFF\0\0\0\0WAVE"), None);
        assert_eq!(length(b"RIFF\0\0\0\0WAVEdata\x04\0\0\0abcd"), None);
    }

    #[test]
    fn a_sample_a_second_is_no_sound() {
        let mut slow = wav(PCM, 2, 16_000, 16_000);
        let rate_at = slow.windows(4).position(|w| w == b"fmt ").unwrap() + 12;
        slow[rate_at..rate_at + 4].copy_from_slice(&1u32.to_le_bytes());
        assert_eq!(length(&slow), None);
    }

    #[test]
    fn long_files_carry_their_size_apart() {
        let short = wav(PCM, 16_000, OPEN_SIZE, 16_000);
        let mut bytes = b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0".to_vec();
        bytes.extend([0; 8]);
        bytes.extend(16_000u64.to_le_bytes());
        bytes.extend([0; 12]);
        bytes.extend(&short[12..]);
        assert_eq!(length(&bytes), Some((1_000, true)));
    }
}
