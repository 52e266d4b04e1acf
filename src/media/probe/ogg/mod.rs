//! Ogg: Opus, Vorbis and FLAC, also several streams one after the other.
//!
//! The position at the end of the last page is one reading, the sum over the packets is the other. A
//! page whose checksum is wrong ends the walk. Video in Ogg is not measured.

mod codec;
mod page;
mod vorbis;

use std::io::{self, Read, Seek};

use crate::domain::media::{Measurement, MediaKind, TrackLength};

use super::agree::{Reading, agree, proven, unless_broken};
use super::tags::only_tags_follow;
use super::to_ms;
use super::window::Window;
use codec::Codec;
use page::{Page, page};

/// Most streams that play at the same time.
const STREAMS_MAX: usize = 16;

/// Longest packet that is put together from several pages: setup headers with pictures in them.
const PACKET_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Measures an Ogg file.
///
/// # Errors
/// Only those of reading the file.
pub(super) fn measure(file: &mut Window<'_, impl Read + Seek>) -> io::Result<Measurement> {
    let mut chain = Chain::default();
    let mut at = 0;
    while let Some(page) = page(file, at)? {
        at += page.bytes;
        if !chain.take(&page) {
            chain.is_broken = true;
            break;
        }
    }
    chain.is_broken |= !only_tags_follow(file, at)?;
    Ok(chain.measure())
}

/// Groups of streams, one after the other.
#[derive(Debug, Default)]
struct Chain {
    /// The streams that play now.
    streams: Vec<Stream>,
    /// Lengths of the groups that have ended.
    ended: Option<TrackLength>,
    /// A page of the current group held more than beginnings.
    has_sound: bool,
    has_video: bool,
    is_broken: bool,
}

impl Chain {
    /// Takes in a page; false where it breaks a limit.
    fn take(&mut self, page: &Page) -> bool {
        if page.is_first {
            if self.has_sound {
                self.end_group();
            }
            self.has_video |= is_video(&page.body);
            self.streams.push(Stream::new(page));
            return self.streams.len() <= STREAMS_MAX;
        }
        self.has_sound = true;
        let own = |stream: &&mut Stream| stream.serial == page.serial;
        match self.streams.iter_mut().find(own) {
            Some(stream) => stream.take(page),
            None => false,
        }
    }

    /// The streams that begin now follow on those that played: their lengths add up.
    fn end_group(&mut self) {
        let lengths = self.streams.iter().filter_map(Stream::length);
        let longest = lengths.max_by_key(|length| length.ms);
        self.ended = match (self.ended, longest) {
            (Some(before), Some(own)) => Some(TrackLength {
                ms: before.ms.saturating_add(own.ms),
                support: before.support.min(own.support),
            }),
            (before, own) => before.or(own),
        };
        self.streams.clear();
        self.has_sound = false;
    }

    fn measure(mut self) -> Measurement {
        self.end_group();
        let kind = if self.has_video {
            MediaKind::Video
        } else {
            MediaKind::Audio
        };
        Measurement {
            kind,
            video: None,
            audio: self
                .ended
                .map(|length| unless_broken(length, self.is_broken)),
        }
    }
}

/// First packets of video streams.
fn is_video(first: &[u8]) -> bool {
    let magic: [&[u8]; 4] = [b"\x80theora", b"BBCD\0", b"\x01video", b"OVP80"];
    magic.iter().any(|magic| first.starts_with(magic))
}

/// One stream while it is read.
#[derive(Debug)]
struct Stream {
    serial: u32,
    codec: Option<Codec>,
    /// Packets that have ended, headers among them.
    packets: u64,
    /// Packets with sound in them.
    sounding: u64,
    samples: u64,
    /// Where the stream stood at the end of its first page with sound, less the samples of that page.
    begins: Option<i64>,
    /// Where it stood at the end of the last page that says so.
    latest: Option<i64>,
    /// The beginning of a packet that goes on.
    pending: Vec<u8>,
    is_broken: bool,
}

impl Stream {
    fn new(first: &Page) -> Self {
        Self {
            serial: first.serial,
            codec: Codec::read(&first.body),
            packets: 1,
            sounding: 0,
            samples: 0,
            begins: None,
            latest: None,
            pending: Vec::new(),
            is_broken: false,
        }
    }

    /// Takes in a page; false where a packet is too long.
    fn take(&mut self, page: &Page) -> bool {
        if self.codec.is_none() {
            return true;
        }
        if page.is_continued == self.pending.is_empty() {
            // A page in between is missing.
            self.is_broken = true;
            self.pending.clear();
        }
        let samples_before = self.samples;
        let mut body = page.body.as_slice();
        for segment in &page.segments {
            let Some((piece, rest)) = body.split_at_checked(usize::from(*segment)) else {
                return false;
            };
            body = rest;
            if self.keeps_piece() {
                self.pending.extend_from_slice(piece);
            }
            if self.pending.len() > PACKET_BYTES_MAX {
                return false;
            }
            if *segment < 255 {
                self.end_packet();
            }
        }
        if let Some(granule) = page.granule.filter(|_| self.sounding > 0) {
            let page_samples = i64::try_from(self.samples - samples_before).unwrap_or(i64::MAX);
            self.begins
                .get_or_insert(granule.saturating_sub(page_samples).max(0));
            self.latest = Some(granule);
        }
        true
    }

    /// Of packets of sound only the first piece is looked at.
    fn keeps_piece(&self) -> bool {
        let is_header = self.packets <= 2 || self.sounding == 0;
        is_header || self.pending.is_empty()
    }

    fn end_packet(&mut self) {
        let packet = std::mem::take(&mut self.pending);
        // Some writers end a stream with a packet of nothing.
        if packet.is_empty() {
            return;
        }
        let number = self.packets;
        self.packets += 1;
        let Some(codec) = &mut self.codec else { return };
        if codec.is_header(number, &packet) {
            codec.take_header(number, &packet);
            return;
        }
        match codec.samples(&packet) {
            Some(samples) => {
                self.sounding += 1;
                self.samples += u64::from(samples);
            }
            None => self.is_broken = true,
        }
    }

    /// The length that positions and packets support, without what is skipped at the beginning.
    fn length(&self) -> Option<TrackLength> {
        let codec = self.codec.as_ref()?;
        let ms = |samples: u64| {
            let heard = samples.saturating_sub(codec.skip());
            to_ms(heard.into(), codec.rate_hz().into()).map(Reading::Samples)
        };
        let positions = self.latest.zip(self.begins);
        let by_position =
            positions.and_then(|(latest, begins)| u64::try_from(latest.checked_sub(begins)?).ok());
        let by_packets = Some(self.samples).filter(|_| self.sounding > 0);
        let frame_ms = self
            .samples
            .checked_div(self.sounding)
            .and_then(|samples| to_ms(samples.into(), codec.rate_hz().into()))
            .unwrap_or(0);
        let readings: Vec<Reading> = [by_position.and_then(ms), by_packets.and_then(ms)]
            .into_iter()
            .flatten()
            .collect();
        let length = proven(agree(&readings, frame_ms)?, self.sounding);
        Some(unless_broken(length, self.is_broken))
    }
}
