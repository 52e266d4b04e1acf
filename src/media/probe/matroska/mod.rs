//! WebM and Matroska: the lengths of the tracks, by their blocks.
//!
//! Every block is walked over, so that a file without a duration, as live recordings are, has a length
//! too, and one with a wrong duration is found out. Indexes, tags and everything else are skipped: what
//! they say of the length is somebody's word.

mod ebml;
mod track;

use std::io::{self, Read, Seek};

use crate::domain::media::{Measurement, MediaKind, TrackLength};

use super::window::Window;
use ebml::{Element, element, number, positive_float, unsigned};
use track::{Block, Track};

/// Most elements looked at in one file.
const ELEMENTS_MAX: u64 = 4_000_000;

/// Most tracks of one file.
const TRACKS_MAX: usize = 64;

/// Longest body of an element that holds one number.
const NUMBER_BYTES_MAX: u64 = 8;

/// Bytes that a block's own header can take: track, clock, flags, number of frames.
const BLOCK_HEADER_BYTES: usize = 12;

/// Nanoseconds of the segment's unit where the file does not say.
const UNIT_NS_DEFAULT: u64 = 1_000_000;

const VIDEO: u64 = 1;
const AUDIO: u64 = 2;

const EBML: u32 = 0x1a45_dfa3;
const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_a966;
const TIMESTAMP_SCALE: u32 = 0x2a_d7b1;
const DURATION: u32 = 0x4489;
const TRACKS: u32 = 0x1654_ae6b;
const TRACK_ENTRY: u32 = 0xae;
const TRACK_NUMBER: u32 = 0xd7;
const TRACK_TYPE: u32 = 0x83;
const FLAG_ENABLED: u32 = 0xb9;
const DEFAULT_DURATION: u32 = 0x23_e383;
const CLUSTER: u32 = 0x1f43_b675;
const TIMESTAMP: u32 = 0xe7;
const SIMPLE_BLOCK: u32 = 0xa3;
const BLOCK_GROUP: u32 = 0xa0;
const BLOCK: u32 = 0xa1;
const BLOCK_DURATION: u32 = 0x9b;

/// Measures a WebM or Matroska file.
///
/// # Errors
/// Only those of reading the file.
pub(super) fn measure(file: &mut Window<'_, impl Read + Seek>) -> io::Result<Measurement> {
    let mut walk = Walk {
        file,
        open: Vec::new(),
        found: Found::default(),
    };
    walk.run()?;
    Ok(walk.found.measure())
}

/// What a file says, as far as it was read.
#[derive(Debug, Default)]
struct Found {
    unit_ns: Option<u64>,
    /// Duration of the whole, in units.
    duration: Option<f64>,
    tracks: Vec<Track>,
    /// When the current cluster begins, in units.
    cluster_at: u64,
    /// The block of the current group.
    grouped: Option<Block>,
    is_broken: bool,
}

impl Found {
    fn measure(&self) -> Measurement {
        let has = |kind| self.tracks.iter().any(|track| track.kind == kind);
        Measurement {
            kind: if !has(VIDEO) && has(AUDIO) {
                MediaKind::Audio
            } else {
                MediaKind::Video
            },
            video: self.longest(VIDEO),
            audio: self.longest(AUDIO),
        }
    }

    fn longest(&self, kind: u64) -> Option<TrackLength> {
        let unit_ns = self.unit_ns.unwrap_or(UNIT_NS_DEFAULT);
        // Beyond what 64 bits hold, the conversion stays at the largest number.
        let segment_ns = self.duration.map(|units| units * unit_ns as f64);
        let segment_ms = segment_ns.map(|ns| (ns / 1e6) as u64);
        let is_played = |track: &&Track| !track.is_disabled && [VIDEO, AUDIO].contains(&track.kind);
        let played = || self.tracks.iter().filter(is_played);
        let longest_ms = played().filter_map(|track| track.clocked_ms(unit_ns)).max();
        played()
            .filter(|track| track.kind == kind)
            .filter_map(|track| {
                let is_longest = track.clocked_ms(unit_ns) == longest_ms;
                track.length(unit_ns, segment_ms, is_longest, self.is_broken)
            })
            .max_by_key(|length| length.ms)
    }

    /// Takes one number out of the headers. A number that comes twice would let two readers see two
    /// lengths.
    fn take_number(&mut self, parent: u32, id: u32, body: &[u8]) {
        let track = self.tracks.last_mut();
        let is_second = match (parent, id, track) {
            (INFO, TIMESTAMP_SCALE, _) => set(&mut self.unit_ns, unsigned(body)),
            (INFO, DURATION, _) => {
                let is_second = self.duration.is_some();
                self.duration = self.duration.or(positive_float(body));
                is_second
            }
            (TRACK_ENTRY, TRACK_NUMBER, Some(track)) => {
                track.number = unsigned(body).unwrap_or(0);
                false
            }
            (TRACK_ENTRY, TRACK_TYPE, Some(track)) => {
                track.kind = unsigned(body).unwrap_or(0);
                false
            }
            (TRACK_ENTRY, FLAG_ENABLED, Some(track)) => {
                track.is_disabled = unsigned(body) == Some(0);
                false
            }
            (TRACK_ENTRY, DEFAULT_DURATION, Some(track)) => {
                set(&mut track.frame_ns, unsigned(body).filter(|ns| *ns > 0))
            }
            (CLUSTER, TIMESTAMP, _) => {
                self.cluster_at = unsigned(body).unwrap_or(0);
                false
            }
            (BLOCK_GROUP, BLOCK_DURATION, _) => self
                .grouped
                .as_mut()
                .is_some_and(|block| set(&mut block.lasts, unsigned(body))),
            _ => false,
        };
        self.is_broken |= is_second;
    }

    /// Counts a block to its track.
    fn add(&mut self, block: Block) {
        let own = |track: &&mut Track| track.number == block.track;
        if let Some(track) = self.tracks.iter_mut().find(own) {
            track.add(block);
        }
    }
}

/// Sets what was not set, and says whether it had been.
fn set(place: &mut Option<u64>, value: Option<u64>) -> bool {
    let is_second = place.is_some();
    *place = place.or(value);
    is_second
}

/// The walk through a file, element by element, with those it stands in.
struct Walk<'w, 'f, F> {
    file: &'w mut Window<'f, F>,
    open: Vec<(u32, Option<u64>)>,
    found: Found,
}

impl<F: Read + Seek> Walk<'_, '_, F> {
    /// Goes on until the end of the file, or until something makes no sense.
    fn run(&mut self) -> io::Result<()> {
        let mut at = 0;
        for _ in 0..ELEMENTS_MAX {
            while self.open.last().is_some_and(|(_, end)| *end == Some(at)) {
                self.close();
            }
            if at >= self.file.file_bytes() {
                self.close_all();
                return Ok(());
            }
            let next = match element(self.file, at)? {
                Some(element) => self.enter(element)?,
                None => None,
            };
            let Some(next) = next else { break };
            at = next;
        }
        self.found.is_broken = true;
        self.close_all();
        Ok(())
    }

    /// Takes one element in and says where the next begins; `None` where the walk ends.
    fn enter(&mut self, element: Element) -> io::Result<Option<u64>> {
        let is_top = matches!(element.id, INFO | TRACKS | CLUSTER);
        // Clusters of open size end where the next element of the segment begins.
        if is_top || !is_inside_cluster(element.id) {
            while matches!(self.open.last(), Some((CLUSTER, None))) {
                self.close();
            }
        }
        let parent = self.open.last().map_or(0, |(id, _)| *id);
        let end = match element.end {
            Some(end) => end,
            None if matches!(element.id, SEGMENT | CLUSTER) => return Ok(self.descend(element)),
            None => return Ok(None),
        };
        let limit = self.open.iter().rev().find_map(|(_, end)| *end);
        if limit.is_some_and(|limit| end > limit) {
            return Ok(None);
        }
        match (parent, element.id) {
            (0, EBML) if self.found.tracks.is_empty() => {}
            // A second segment is another film in the same file.
            (0, SEGMENT) if !self.found.tracks.is_empty() => return Ok(None),
            (0, SEGMENT)
            | (SEGMENT, INFO | TRACKS | CLUSTER)
            | (TRACKS, TRACK_ENTRY)
            | (CLUSTER, BLOCK_GROUP) => {
                return Ok(self.descend(element));
            }
            (0, _) => return Ok(None),
            _ if end > self.file.file_bytes() => return Ok(None),
            (CLUSTER, SIMPLE_BLOCK) => {
                if let Some(block) = self.block(element.body_at, end)? {
                    self.found.add(block);
                }
            }
            (BLOCK_GROUP, BLOCK) => {
                self.found.grouped = self.block(element.body_at, end)?;
            }
            (INFO | TRACK_ENTRY | CLUSTER | BLOCK_GROUP, id)
                if end - element.body_at <= NUMBER_BYTES_MAX =>
            {
                let bytes = (end - element.body_at) as usize;
                let body = self.file.at(element.body_at, bytes)?;
                self.found.take_number(parent, id, body);
            }
            _ => {}
        }
        Ok(Some(end))
    }

    /// Goes into an element that holds others. One that runs over the end of the file is read as far
    /// as the file goes.
    fn descend(&mut self, element: Element) -> Option<u64> {
        let parent = self.open.last().map_or(0, |(id, _)| *id);
        let fits = match element.id {
            SEGMENT => parent == 0 && self.found.tracks.is_empty(),
            _ => parent != 0,
        };
        if !fits || (element.id == TRACK_ENTRY && self.found.tracks.len() >= TRACKS_MAX) {
            return None;
        }
        let file_bytes = self.file.file_bytes();
        self.found.is_broken |= element.end.is_some_and(|end| end > file_bytes);
        if element.id == TRACK_ENTRY {
            self.found.tracks.push(Track::default());
        }
        if element.id == CLUSTER {
            self.found.cluster_at = 0;
        }
        let end = element.end.map(|end| end.min(file_bytes));
        self.open.push((element.id, end));
        Some(element.body_at)
    }

    fn close(&mut self) {
        if let Some((BLOCK_GROUP, _)) = self.open.pop()
            && let Some(block) = self.found.grouped.take()
        {
            self.found.add(block);
        }
    }

    fn close_all(&mut self) {
        while !self.open.is_empty() {
            self.close();
        }
    }

    /// Reads the header of a block; `None` where there is none or nothing behind it.
    fn block(&mut self, body_at: u64, end: u64) -> io::Result<Option<Block>> {
        let body_bytes = end - body_at;
        let wanted = BLOCK_HEADER_BYTES.min(usize::try_from(body_bytes).unwrap_or(usize::MAX));
        let cluster_at = self.found.cluster_at;
        let block = read_block(self.file.at(body_at, wanted)?, body_bytes, cluster_at);
        self.found.is_broken |= block.is_none();
        Ok(block)
    }
}

/// Reads the header of a block of so many bytes. Each frame of it takes one byte at least.
fn read_block(head: &[u8], body_bytes: u64, cluster_at: u64) -> Option<Block> {
    let (track, width) = number(head)?;
    let clock = head.get(width..width + 2)?;
    let flags = *head.get(width + 2)?;
    let is_laced = flags & 0x06 != 0;
    let frames = if is_laced {
        u64::from(*head.get(width + 3)?) + 1
    } else {
        1
    };
    let header_bytes = width as u64 + 3 + u64::from(is_laced);
    let is_there = body_bytes.checked_sub(header_bytes)? >= frames;
    is_there.then_some(Block {
        track,
        start: i128::from(cluster_at) + i128::from(i16::from_be_bytes([clock[0], clock[1]])),
        frames,
        lasts: None,
    })
}

/// Elements that stand in a cluster: anything else ends one of open size.
fn is_inside_cluster(id: u32) -> bool {
    const POSITION: u32 = 0xa7;
    const PREVIOUS_SIZE: u32 = 0xab;
    const SILENT_TRACKS: u32 = 0x5854;
    const ENCRYPTED_BLOCK: u32 = 0xaf;
    const VOID: u32 = 0xec;
    const CHECKSUM: u32 = 0xbf;
    matches!(
        id,
        TIMESTAMP
            | SIMPLE_BLOCK
            | BLOCK_GROUP
            | BLOCK
            | BLOCK_DURATION
            | POSITION
            | PREVIOUS_SIZE
            | SILENT_TRACKS
            | ENCRYPTED_BLOCK
            | VOID
            | CHECKSUM
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laced_blocks_hold_frames_only_where_there_are_bytes_for_them() {
        let frames = |bytes: &[u8]| {
            read_block(bytes, bytes.len() as u64, 100).map(|block| (block.start, block.frames))
        };
        assert_eq!(frames(b"\x81\x00\x05\x80x"), Some((105, 1)));
        assert_eq!(frames(b"\x81\xff\xfb\x80x"), Some((95, 1)));
        assert_eq!(frames(b"\x81\x00\x00\x84\x02abc"), Some((100, 3)));
        assert_eq!(frames(b"\x81\x00\x00\x86\xffabc"), None);
        assert_eq!(frames(b"\x81\x00\x00\x80"), None);
        assert_eq!(frames(b"\x81\x00"), None);
        assert_eq!(frames(b""), None);
    }
}
