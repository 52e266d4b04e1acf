//! WAV: a tone, 16-bit mono at 8 kHz, eight samples to the millisecond.

use super::tone;

const SAMPLE_RATE: u32 = 8_000;
const SAMPLE_BYTES: u16 = 2;

/// A file of exactly this many milliseconds, at most ten minutes.
pub(super) fn make(length_ms: u64, seed: u64) -> Vec<u8> {
    let samples = length_ms * u64::from(SAMPLE_RATE) / 1_000;
    let data_bytes = u32::try_from(samples * u64::from(SAMPLE_BYTES)).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(44 + data_bytes as usize);
    bytes.extend(b"RIFF");
    bytes.extend(data_bytes.saturating_add(36).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16u32.to_le_bytes());
    bytes.extend(1u16.to_le_bytes()); // uncompressed
    bytes.extend(1u16.to_le_bytes()); // one channel
    bytes.extend(SAMPLE_RATE.to_le_bytes());
    bytes.extend((SAMPLE_RATE * u32::from(SAMPLE_BYTES)).to_le_bytes());
    bytes.extend(SAMPLE_BYTES.to_le_bytes());
    bytes.extend((SAMPLE_BYTES * 8).to_le_bytes());
    bytes.extend(b"data");
    bytes.extend(data_bytes.to_le_bytes());
    for sample in 0..samples {
        bytes.extend(tone(sample, SAMPLE_RATE, seed).to_le_bytes());
    }
    bytes
}
