//! Measuring a stored file.
//!
//! Only what the container proves counts: several independent readings of each track, believed only
//! after checks that a hostile file cannot pass cheaply. A container that is not read here, or that
//! fails a check, has tracks of unknown length (`None`). File names, content types, `mvhd` and the
//! provider's own figures are never asked.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use crate::domain::media::{Measurement, MediaKind};

use super::Error;
use super::sniff::{Container, HEAD_BYTES, sniff};

mod agree;
pub mod child;
mod mp4;
mod mp4_track;
mod still;
mod wav;

/// Measures a file in this process. Strangers' files go through [`child::Prober`] instead.
///
/// # Errors
/// [`Error::NotMedia`] where the first bytes are unknown; [`Error::Storage`] where it cannot be read.
pub fn measure(path: &Path) -> Result<Measurement, Error> {
    let mut file = File::open(path)?;
    let file_bytes = file.metadata()?.len();
    let mut head = Vec::with_capacity(HEAD_BYTES);
    file.by_ref()
        .take(HEAD_BYTES as u64)
        .read_to_end(&mut head)?;
    file.seek(SeekFrom::Start(0))?;
    let container = sniff(&head).ok_or(Error::NotMedia)?;
    measure_as(container, &mut BufReader::new(file), file_bytes).map_err(Error::Storage)
}

/// Measures what is known to begin like this container.
fn measure_as(
    container: Container,
    file: &mut (impl Read + Seek),
    file_bytes: u64,
) -> io::Result<Measurement> {
    let unmeasured = |kind: MediaKind| Measurement {
        kind,
        video: None,
        audio: None,
    };
    match container {
        Container::Mp4 | Container::Mov => mp4::measure(file, file_bytes),
        Container::Wav => {
            let audio = wav::measure(file, file_bytes)?;
            Ok(Measurement {
                kind: MediaKind::Audio,
                video: None,
                audio,
            })
        }
        Container::Png | Container::Gif | Container::Webp => {
            Ok(unmeasured(still::kind(container, file)?))
        }
        Container::Webm
        | Container::Mkv
        | Container::Avi
        | Container::Mp3
        | Container::Flac
        | Container::Ogg
        | Container::Aac
        | Container::Aiff
        | Container::Jpeg
        | Container::Avif
        | Container::Heic => Ok(unmeasured(container.usual_kind())),
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
