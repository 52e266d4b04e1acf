//! FLAC frames without prediction: 16-bit mono samples as they are, which every decoder must take.

use super::timing::TICKS_PER_SECOND;
use super::tone;

/// Samples per second.
pub(super) const SAMPLE_RATE: u32 = TICKS_PER_SECOND;

/// Samples in every frame but the last, which may have fewer.
pub(super) const BLOCK_SAMPLES: u16 = 1_000;

/// Sync code and "all blocks have the same size".
const SYNC: [u8; 2] = [0xff, 0xf8];

/// Block size follows as 16 bits; 16 kHz.
const SIZE_AND_RATE: u8 = 0b0111_0101;

/// One channel, 16 bits a sample.
const CHANNEL_AND_DEPTH: u8 = 0b0000_1000;

/// A subframe of unencoded samples.
const VERBATIM: u8 = 0b0000_0010;

/// Frame number `index` of the tone with this seed; `samples` is [`BLOCK_SAMPLES`], or 1 to that in the
/// last frame.
pub(super) fn frame(index: u32, samples: u16, seed: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 + 2 * usize::from(samples));
    bytes.extend(SYNC);
    bytes.extend([SIZE_AND_RATE, CHANNEL_AND_DEPTH]);
    push_frame_number(&mut bytes, index);
    bytes.extend((samples - 1).to_be_bytes());
    bytes.push(crc8(&bytes));
    bytes.push(VERBATIM);
    let first = u64::from(index) * u64::from(BLOCK_SAMPLES);
    for sample in first..first + u64::from(samples) {
        bytes.extend(tone(sample, SAMPLE_RATE, seed).to_be_bytes());
    }
    bytes.extend(crc16(&bytes).to_be_bytes());
    bytes
}

/// Frame numbers are written like UTF-8 writes characters; three bytes reach past any clip made here.
fn push_frame_number(bytes: &mut Vec<u8>, index: u32) {
    let tail = |shift: u32| 0x80 | (index >> shift & 0x3f) as u8;
    match index {
        0..0x80 => bytes.push(index as u8),
        0x80..0x800 => bytes.extend([0xc0 | (index >> 6) as u8, tail(0)]),
        0x800.. => bytes.extend([0xe0 | (index >> 12 & 0xf) as u8, tail(6), tail(0)]),
    }
}

/// The header's check: polynomial x^8 + x^2 + x + 1.
fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc: u8, _| {
            (crc << 1) ^ if crc & 0x80 == 0 { 0 } else { 0x07 }
        })
    })
}

/// The frame's check: polynomial x^16 + x^15 + x^2 + 1.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (crc << 8) ^ CRC16[usize::from((crc >> 8) as u8 ^ byte)]
    })
}

/// The check of each single byte, worked out once: a minute of sound is two million bytes.
static CRC16: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x8005 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_match_their_published_values() {
        assert_eq!(crc8(b"123456789"), 0xf4);
        assert_eq!(crc16(b"123456789"), 0xfee8);
    }

    #[test]
    fn frame_numbers_are_written_like_characters() {
        for index in [0, 0x7f, 0x80, 0x7ff, 0x800, 9_600] {
            let mut bytes = Vec::new();
            push_frame_number(&mut bytes, index);
            let text = char::from_u32(index).unwrap().to_string();
            assert_eq!(bytes, text.as_bytes(), "{index}");
        }
    }
}
