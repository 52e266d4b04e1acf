//! MP4 and QuickTime: finding the tracks.
//!
//! The boxes are walked here, so that size, number and depth have limits and an unknown box is no
//! error; each box that matters is decoded by `mp4_atom`. A file with fragments, with a compressed or
//! oversized `moov`, or whose last box is cut off is not measured at all.

use std::io::{self, Read, Seek, SeekFrom};

use mp4_atom::{Atom, Elst, FourCC, Header, Mdhd, Mvhd, Stsz, Stts, Tkhd};

use crate::domain::media::{Measurement, MediaKind, TrackLength};

use super::mp4_track::Track;
use super::read_up_to;

/// Largest `moov` that is read into memory.
const MOOV_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Most boxes looked at in one file.
const BOXES_MAX: u32 = 10_000;

/// Deepest nesting of boxes.
const DEPTH_MAX: u32 = 10;

/// Longest box header: size, kind, 64-bit size.
const HEADER_BYTES: usize = 16;

/// The file breaks a rule or a limit: none of its tracks is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Untrusted;

/// Measures an MP4 or QuickTime file.
///
/// # Errors
/// Only those of reading the file.
pub(super) fn measure(file: &mut (impl Read + Seek), file_bytes: u64) -> io::Result<Measurement> {
    let tracks = match scan_file(file, file_bytes)? {
        Ok(layout) => read_movie(&layout.moov, layout.boxes)
            .map(|movie| movie.measure(layout.media_bytes.min(file_bytes))),
        Err(untrusted) => Err(untrusted),
    };
    Ok(tracks.unwrap_or(Measurement {
        kind: MediaKind::Video,
        video: None,
        audio: None,
    }))
}

/// What the walk over a file's outermost boxes found.
struct Layout {
    moov: Vec<u8>,
    /// Sum of the bodies of all `mdat` boxes.
    media_bytes: u64,
    boxes: u32,
}

fn scan_file(
    file: &mut (impl Read + Seek),
    file_bytes: u64,
) -> io::Result<Result<Layout, Untrusted>> {
    let mut layout = Layout {
        moov: Vec::new(),
        media_bytes: 0,
        boxes: 0,
    };
    let mut at: u64 = 0;
    // Fewer bytes than a header at the end are padding.
    while file_bytes - at >= 8 {
        let Some((kind, body_at, end)) = outer_box(file, at, file_bytes)? else {
            return Ok(Err(Untrusted));
        };
        layout.boxes += 1;
        let body_bytes = end - body_at;
        match kind.as_ref() {
            b"moov" if layout.moov.is_empty() && body_bytes <= MOOV_BYTES_MAX => {
                file.seek(SeekFrom::Start(body_at))?;
                file.by_ref()
                    .take(body_bytes)
                    .read_to_end(&mut layout.moov)?;
            }
            b"moov" | b"moof" => return Ok(Err(Untrusted)),
            b"mdat" => layout.media_bytes += body_bytes,
            _ => {}
        }
        if layout.boxes >= BOXES_MAX {
            return Ok(Err(Untrusted));
        }
        at = end;
    }
    Ok(if layout.moov.is_empty() {
        Err(Untrusted)
    } else {
        Ok(layout)
    })
}

/// Kind, start of body and end of the box at an offset; `None` where it does not fit the file.
fn outer_box(
    file: &mut (impl Read + Seek),
    at: u64,
    file_bytes: u64,
) -> io::Result<Option<(FourCC, u64, u64)>> {
    let mut bytes = [0; HEADER_BYTES];
    file.seek(SeekFrom::Start(at))?;
    let read = read_up_to(file, &mut bytes)?;
    let mut rest = &bytes[..read];
    let Ok(Some(header)) = decode_header(&mut rest) else {
        return Ok(None);
    };
    let body_at = at + (read - rest.len()) as u64;
    let end = match header.size {
        Some(size) => body_at.checked_add(size as u64),
        None => Some(file_bytes),
    };
    Ok(end
        .filter(|end| *end <= file_bytes)
        .map(|end| (header.kind, body_at, end)))
}

fn decode_header(bytes: &mut &[u8]) -> Result<Option<Header>, Untrusted> {
    mp4_atom::DecodeMaybe::decode_maybe(bytes).map_err(|_| Untrusted)
}

/// The part of `moov` that lengths are read from.
#[derive(Default)]
struct Movie {
    /// Units per second of the edit lists; 0 where it is missing.
    timescale: u32,
    tracks: Vec<Track>,
}

impl Movie {
    fn measure(&self, media_bytes: u64) -> Measurement {
        let longest = |handler: &[u8; 4]| -> Option<TrackLength> {
            let tracks = self.tracks.iter().filter(|track| track.is_enabled(handler));
            tracks
                .filter_map(|track| track.length(self.timescale, media_bytes))
                .max_by_key(|length| length.ms)
        };
        let has = |handler: &[u8; 4]| self.tracks.iter().any(|track| track.handler == *handler);
        let kind = if !has(b"vide") && has(b"soun") {
            MediaKind::Audio
        } else {
            MediaKind::Video
        };
        Measurement {
            kind,
            video: longest(b"vide"),
            audio: longest(b"soun"),
        }
    }
}

fn read_movie(moov: &[u8], boxes: u32) -> Result<Movie, Untrusted> {
    let mut walk = Walk {
        movie: Movie::default(),
        boxes,
    };
    walk.children(moov, 1)?;
    Ok(walk.movie)
}

/// The walk through `moov`, outermost box first.
struct Walk {
    movie: Movie,
    boxes: u32,
}

impl Walk {
    fn children(&mut self, mut rest: &[u8], depth: u32) -> Result<(), Untrusted> {
        if depth > DEPTH_MAX {
            return Err(Untrusted);
        }
        // QuickTime ends some lists with four zero bytes.
        while rest.len() >= 8 {
            self.boxes += 1;
            if self.boxes > BOXES_MAX {
                return Err(Untrusted);
            }
            let header = decode_header(&mut rest)?.ok_or(Untrusted)?;
            let size = header.size.unwrap_or(rest.len());
            let (body, after) = rest.split_at_checked(size).ok_or(Untrusted)?;
            self.enter(header.kind, body, depth)?;
            rest = after;
        }
        Ok(())
    }

    fn enter(&mut self, kind: FourCC, body: &[u8], depth: u32) -> Result<(), Untrusted> {
        match kind.as_ref() {
            b"trak" => {
                self.movie.tracks.push(Track::default());
                self.children(body, depth + 1)
            }
            b"edts" | b"mdia" | b"minf" | b"stbl" => self.children(body, depth + 1),
            b"mvhd" => {
                self.movie.timescale = decode::<Mvhd>(body)?.timescale;
                Ok(())
            }
            // Fragments may follow, or the real boxes are packed: either way this is not the length.
            b"mvex" | b"cmov" => Err(Untrusted),
            _ => match self.movie.tracks.last_mut() {
                Some(track) => leaf(track, kind, body),
                None => Ok(()),
            },
        }
    }
}

/// Takes one box of a track. A box that comes twice would let two readers see two lengths.
fn leaf(track: &mut Track, kind: FourCC, body: &[u8]) -> Result<(), Untrusted> {
    match kind.as_ref() {
        b"tkhd" => track.enabled = decode::<Tkhd>(body)?.enabled,
        b"hdlr" if track.handler == [0; 4] => {
            track.handler = body
                .get(8..12)
                .and_then(|h| h.try_into().ok())
                .ok_or(Untrusted)?;
        }
        b"mdhd" if track.mdhd.is_none() => track.mdhd = Some(decode::<Mdhd>(body)?),
        b"elst" if track.elst.is_none() => track.elst = Some(decode::<Elst>(body)?),
        b"stts" if track.stts.is_none() => track.stts = Some(decode::<Stts>(body)?),
        b"stsz" if track.stsz.is_none() => track.stsz = Some(decode::<Stsz>(body)?),
        b"mdhd" | b"elst" | b"stts" | b"stsz" => return Err(Untrusted),
        _ => {}
    }
    Ok(())
}

fn decode<T: Atom>(mut body: &[u8]) -> Result<T, Untrusted> {
    T::decode_body(&mut body).map_err(|_| Untrusted)
}
