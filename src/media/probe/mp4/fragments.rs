//! The fragments of an MP4: what their runs of samples last, track by track.
//!
//! A run of two billion samples fits twenty bytes. So a fragment counts only where the bytes that
//! follow it can hold all samples it lists, each of them one byte at least.

use std::collections::BTreeMap;

use mp4_atom::{FourCC, Tfdt, Tfhd, Trex, Trun, TrunSamples};

use super::boxes::{Untrusted, decode, each_child};

/// What all fragments hold of one track.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Runs {
    pub(super) samples: u64,
    /// Sum over the samples, in the track's units.
    pub(super) ticks: u128,
    /// Fragments that this track has samples in.
    pub(super) fragments: u64,
    /// Where the first of them begins by its own clock.
    pub(super) first: Option<u64>,
    /// Where the one begins that begins last, and how many samples it has.
    pub(super) latest: Option<(u64, u64)>,
    /// One of them does not say where it begins.
    pub(super) is_untimed: bool,
}

impl Runs {
    /// Adds what one fragment holds.
    fn add(&mut self, part: &Part) {
        if part.samples == 0 {
            return;
        }
        self.samples += part.samples;
        self.ticks += part.ticks;
        self.fragments += 1;
        let Some(start) = part.start else {
            self.is_untimed = true;
            return;
        };
        self.first.get_or_insert(start);
        if self.latest.is_none_or(|(latest, _)| latest <= start) {
            self.latest = Some((start, part.samples));
        }
    }
}

/// What one fragment holds of one track.
#[derive(Debug, Default, Clone, Copy)]
struct Part {
    start: Option<u64>,
    samples: u64,
    ticks: u128,
    bytes: u128,
}

/// Sums up the fragments of a file.
#[derive(Debug, Default)]
pub(super) struct Summing<'m> {
    /// What `moov` says that a track's samples are like where nothing else is said.
    pub(super) defaults: &'m [Trex],
    pub(super) tracks: BTreeMap<u32, Runs>,
    /// A fragment could not be read or lists samples that are not there.
    pub(super) is_broken: bool,
}

impl Summing<'_> {
    /// Adds the body of one `moof`, followed by so many bytes of samples.
    pub(super) fn add(&mut self, moof: &[u8], media_bytes: u64) {
        let Ok(parts) = read_moof(moof, self.defaults) else {
            self.is_broken = true;
            return;
        };
        let samples: u64 = parts.values().map(|part| part.samples).sum();
        let bytes: u128 = parts.values().map(|part| part.bytes).sum();
        if samples > media_bytes || bytes > u128::from(media_bytes) {
            self.is_broken = true;
            return;
        }
        for (track, part) in &parts {
            self.tracks.entry(*track).or_default().add(part);
        }
    }
}

fn read_moof(moof: &[u8], defaults: &[Trex]) -> Result<BTreeMap<u32, Part>, Untrusted> {
    let mut parts = BTreeMap::new();
    each_child(moof, &mut 0, |kind, body, boxes| {
        if kind != FourCC::new(b"traf") {
            return Ok(());
        }
        let mut traf = Traf::default();
        each_child(body, boxes, |kind, body, _| traf.take(kind, body, defaults))?;
        let part: &mut Part = parts.entry(traf.track).or_default();
        part.start = part.start.or(traf.part.start);
        part.samples += traf.part.samples;
        part.ticks += traf.part.ticks;
        part.bytes += traf.part.bytes;
        Ok(())
    })?;
    Ok(parts)
}

/// One track's share of a fragment while it is read.
#[derive(Debug, Default)]
struct Traf {
    track: u32,
    duration: u32,
    size: u32,
    part: Part,
}

impl Traf {
    fn take(&mut self, kind: FourCC, body: &[u8], defaults: &[Trex]) -> Result<(), Untrusted> {
        match kind.as_ref() {
            b"tfhd" => {
                let header: Tfhd = decode(body)?;
                let usual = defaults
                    .iter()
                    .find(|trex| trex.track_id == header.track_id);
                let of = |own: Option<u32>, usual: Option<u32>| own.or(usual).unwrap_or(0);
                self.track = header.track_id;
                self.duration = of(
                    header.default_sample_duration,
                    usual.map(|trex| trex.default_sample_duration),
                );
                self.size = of(
                    header.default_sample_size,
                    usual.map(|trex| trex.default_sample_size),
                );
            }
            b"tfdt" => self.part.start = Some(decode::<Tfdt>(body)?.base_media_decode_time),
            b"trun" => self.run(&decode::<Trun>(body)?.samples),
            _ => {}
        }
        Ok(())
    }

    fn run(&mut self, samples: &TrunSamples) {
        match samples {
            TrunSamples::Inherited { count, .. } => {
                self.part.samples += u64::from(*count);
                self.part.ticks += u128::from(*count) * u128::from(self.duration);
                self.part.bytes += u128::from(*count) * u128::from(self.size);
            }
            TrunSamples::Explicit(entries) => {
                for entry in entries {
                    self.part.samples += 1;
                    self.part.ticks += u128::from(entry.duration.unwrap_or(self.duration));
                    self.part.bytes += u128::from(entry.size.unwrap_or(self.size));
                }
            }
        }
    }
}
