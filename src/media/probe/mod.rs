//! Measuring a stored file.
//!
//! Only what the container proves counts: several independent readings of each track, believed only
//! after checks that a hostile file cannot pass cheaply. A container that is not read here, or that
//! fails a check, has tracks of unknown length (`None`). File names, content types, `mvhd` and the
//! provider's own figures are never asked.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use crate::domain::media::{Measurement, MediaKind, TrackLength};

use super::Error;
use super::sniff::{Container, HEAD_BYTES, sniff};
use window::Window;

mod agree;
mod aiff;
pub mod child;
mod flac;
mod matroska;
mod mp4;
mod mpeg;
mod ogg;
mod pictures;
mod tags;
mod wav;
mod window;

/// Sound has at least so many samples a second: a header that claims fewer stretches what is there.
const RATE_HZ_MIN: u32 = 4_000;

/// Measures a file in this process. Strangers' files go through [`child::Prober`] instead.
///
/// # Errors
/// [`Error::NotMedia`] where the first bytes are unknown, or are those of a picture and no picture
/// follows; [`Error::Storage`] where it cannot be read.
pub fn measure(path: &Path) -> Result<Measurement, Error> {
    let mut file = File::open(path)?;
    let file_bytes = file.metadata()?.len();
    let mut head = Vec::with_capacity(HEAD_BYTES);
    file.by_ref()
        .take(HEAD_BYTES as u64)
        .read_to_end(&mut head)?;
    file.seek(SeekFrom::Start(0))?;
    let container = sniff(&head).ok_or(Error::NotMedia)?;
    measure_as(container, &mut BufReader::new(file), file_bytes)?.ok_or(Error::NotMedia)
}

/// Measures what is known to begin like this container; `None` where nothing of it follows.
fn measure_as(
    container: Container,
    file: &mut (impl Read + Seek),
    file_bytes: u64,
) -> io::Result<Option<Measurement>> {
    let window = &mut Window::new(file, file_bytes);
    match container {
        Container::Mp4 | Container::Mov => mp4::measure(window).map(Some),
        Container::Webm | Container::Mkv => matroska::measure(window).map(Some),
        Container::Ogg => ogg::measure(window).map(Some),
        Container::Wav => Ok(Some(sound(wav::measure(file, file_bytes)?))),
        Container::Aiff => Ok(Some(sound(aiff::measure(window)?))),
        Container::Mp3 | Container::Aac | Container::Flac => tagged_sound(window).map(Some),
        Container::Png => pictures::png(window),
        Container::Gif => pictures::gif(window),
        Container::Webp => pictures::webp(window),
        Container::Jpeg => pictures::jpeg(window),
        Container::Avif | Container::Heic => pictures::iso(window),
        Container::Avi => Ok(Some(Measurement {
            kind: container.usual_kind(),
            video: None,
            audio: None,
        })),
    }
}

/// Tags may stand in front of any of these, and what follows a tag says what it is.
fn tagged_sound(file: &mut Window<'_, impl Read + Seek>) -> io::Result<Measurement> {
    let at = tags::behind_tags(file, 0)?;
    let is_flac = file.at(at, 4)? == b"fLaC";
    Ok(sound(if is_flac {
        flac::measure(file, at)?
    } else {
        mpeg::measure(file, at)?
    }))
}

/// A file of nothing but sound.
fn sound(audio: Option<TrackLength>) -> Measurement {
    Measurement {
        kind: MediaKind::Audio,
        video: None,
        audio,
    }
}

/// Fills the buffer as far as the file goes and says how far that was.
fn read_up_to(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Whole milliseconds, rounded down; `None` without a rate, or beyond what 64 bits hold.
fn to_ms(units: u128, units_per_second: u64) -> Option<u64> {
    let ms = units
        .checked_mul(1_000)?
        .checked_div(units_per_second.into())?;
    u64::try_from(ms).ok()
}
