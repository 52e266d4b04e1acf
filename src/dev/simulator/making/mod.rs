//! Making media: small, real files that every player opens, the same bytes for the same wish.

use thiserror::Error as ThisError;

mod bits;
mod flac;
mod h264;
mod mp4;
mod png;
mod timing;
mod wav;

/// Longest clip that is made, in milliseconds: it keeps a file below 50 MB.
pub const LENGTH_MS_MAX: u64 = 600_000;

/// What is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// The kind of file.
    pub kind: Kind,
    /// Length in milliseconds, from 1 to [`LENGTH_MS_MAX`]; pictures have none.
    pub length_ms: u64,
    /// Files of different seeds look and sound different.
    pub seed: u64,
}

/// The kinds of file that can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// PNG.
    Image,
    /// MP4 with a video and an audio track of the same length.
    Video,
    /// WAV.
    Audio,
}

impl Kind {
    /// File name extension, without dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Image => "png",
            Self::Video => "mp4",
            Self::Audio => "wav",
        }
    }

    /// Content type of the file.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Image => "image/png",
            Self::Video => "video/mp4",
            Self::Audio => "audio/wav",
        }
    }
}

/// Why a file could not be written.
#[derive(Debug, ThisError)]
pub enum Error {
    /// The MP4 boxes do not hold what was to be put into them.
    #[error("write mp4 boxes")]
    Boxes(#[from] mp4_atom::Error),
    /// The picture could not be compressed.
    #[error("write a png")]
    Png(#[from] ::png::EncodingError),
}

/// Makes a file.
///
/// Video is 16 frames a second. A length within half a millisecond of whole frames becomes exactly that
/// many frames (5,062 and 5,063 ms are 81 frames); any other length is met to the millisecond by a
/// longer last frame. Sound is always as long as the picture.
///
/// # Errors
/// [`Error`], which no wish within the limits leads to.
pub fn make(wish: Wish) -> Result<Vec<u8>, Error> {
    let length_ms = wish.length_ms.clamp(1, LENGTH_MS_MAX);
    match wish.kind {
        Kind::Image => Ok(png::make(wish.seed)?),
        Kind::Video => Ok(mp4::make(length_ms, wish.seed)?),
        Kind::Audio => Ok(wav::make(length_ms, wish.seed)),
    }
}

/// One sample of a quiet tone whose pitch depends on the seed.
fn tone(sample: u64, samples_per_second: u32, seed: u64) -> i16 {
    const LOUDNESS: f64 = 6_000.0;
    let pitch_hz = 220 + (seed % 12) * 20;
    // A whole number of cycles fits a second, so the phase is taken within the second.
    let phase = (sample * pitch_hz) % u64::from(samples_per_second);
    let turn = phase as f64 / f64::from(samples_per_second);
    ((turn * std::f64::consts::TAU).sin() * LOUDNESS) as i16
}
