//! The `moov` of an MP4: its tracks, and which of them the file's length goes by.

use std::collections::BTreeMap;

use mp4_atom::{Co64, Elst, FourCC, Mdhd, Mehd, Mvhd, Stco, Stsz, Stts, Tkhd, Trex};

use crate::domain::media::{Measurement, MediaKind, TrackLength};

use super::boxes::{DEPTH_MAX, Untrusted, decode, each_child};
use super::fragments::Runs;
use super::layout::Layout;
use super::track::{Around, Track};

/// The part of `moov` that lengths are read from.
#[derive(Debug, Default)]
pub(super) struct Movie {
    /// Units per second of the edit lists and of `mehd`; 0 where it is missing.
    timescale: u32,
    tracks: Vec<Track>,
    /// True where the file says that fragments follow.
    pub(super) expects_fragments: bool,
    /// What samples of fragments are like where nothing else is said.
    pub(super) defaults: Vec<Trex>,
    /// Length of all fragments with the `moov`, in the movie's units, by the writer's word.
    with_fragments: Option<u64>,
}

impl Movie {
    /// The lengths of the longest enabled tracks.
    pub(super) fn measure(
        &self,
        layout: &Layout,
        runs: &BTreeMap<u32, Runs>,
        is_broken: bool,
    ) -> Measurement {
        let longest = |handler: &[u8; 4]| -> Option<TrackLength> {
            let tracks = self.tracks.iter().filter(|track| track.is_enabled(handler));
            tracks
                .filter_map(|track| {
                    let around = self.around(track, layout, runs, is_broken);
                    track.length(&around)
                })
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

    /// What stands around one track in this file.
    fn around<'a>(
        &self,
        track: &Track,
        layout: &'a Layout,
        runs: &BTreeMap<u32, Runs>,
        is_broken: bool,
    ) -> Around<'a> {
        let summed = |track: &Track| {
            let runs = runs.get(&track.id).copied().unwrap_or_default();
            track.summed_ms(&runs)
        };
        let own_ms = summed(track);
        let is_played = |track: &&Track| track.is_enabled(b"vide") || track.is_enabled(b"soun");
        let others = self.tracks.iter().filter(is_played);
        Around {
            movie_timescale: self.timescale,
            layout,
            runs: (!layout.fragments.is_empty())
                .then(|| runs.get(&track.id).copied().unwrap_or_default()),
            with_fragments: self.with_fragments,
            is_longest: others.map(summed).max() <= Some(own_ms),
            is_broken,
        }
    }
}

/// Reads the body of a `moov`.
///
/// # Errors
/// [`Untrusted`] where it breaks a rule or a limit.
pub(super) fn read(moov: &[u8]) -> Result<Movie, Untrusted> {
    let mut movie = Movie::default();
    movie.children(moov, &mut 0, 1)?;
    Ok(movie)
}

impl Movie {
    fn children(&mut self, list: &[u8], boxes: &mut u32, depth: u32) -> Result<(), Untrusted> {
        if depth > DEPTH_MAX {
            return Err(Untrusted);
        }
        each_child(list, boxes, |kind, body, boxes| {
            self.enter(kind, body, boxes, depth)
        })
    }

    fn enter(
        &mut self,
        kind: FourCC,
        body: &[u8],
        boxes: &mut u32,
        depth: u32,
    ) -> Result<(), Untrusted> {
        match kind.as_ref() {
            b"trak" => {
                self.tracks.push(Track::default());
                self.children(body, boxes, depth + 1)
            }
            b"edts" | b"mdia" | b"minf" | b"stbl" => self.children(body, boxes, depth + 1),
            b"mvhd" => {
                self.timescale = decode::<Mvhd>(body)?.timescale;
                Ok(())
            }
            b"mvex" => {
                self.expects_fragments = true;
                self.children(body, boxes, depth + 1)
            }
            b"trex" => {
                self.defaults.push(decode(body)?);
                Ok(())
            }
            b"mehd" => {
                self.with_fragments = Some(decode::<Mehd>(body)?.fragment_duration);
                Ok(())
            }
            // The real boxes are packed: these are not the lengths.
            b"cmov" => Err(Untrusted),
            _ => match self.tracks.last_mut() {
                Some(track) => leaf(track, kind, body),
                None => Ok(()),
            },
        }
    }
}

/// Takes one box of a track. A box that comes twice would let two readers see two lengths.
fn leaf(track: &mut Track, kind: FourCC, body: &[u8]) -> Result<(), Untrusted> {
    match kind.as_ref() {
        b"tkhd" => {
            let header: Tkhd = decode(body)?;
            (track.id, track.enabled) = (header.track_id, header.enabled);
        }
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
        b"stco" if track.chunks.is_none() => {
            let chunks = decode::<Stco>(body)?.entries;
            track.chunks = Some(chunks.into_iter().map(u64::from).collect());
        }
        b"co64" if track.chunks.is_none() => track.chunks = Some(decode::<Co64>(body)?.entries),
        b"mdhd" | b"elst" | b"stts" | b"stsz" | b"stco" | b"co64" => return Err(Untrusted),
        _ => {}
    }
    Ok(())
}
