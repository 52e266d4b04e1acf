//! One MP4 track: which of its readings can be believed.
//!
//! A sample table can claim anything in a few bytes: two counts of two billion fit a file of five
//! kilobytes. So the table must first account for bytes that exist, and only then does any reading of
//! the track count, those of its headers included.

use mp4_atom::{Elst, Mdhd, Sidx, Stsz, StszSamples, Stts};

use crate::domain::media::TrackLength;

use super::super::agree::{Reading, agree, proven, unless_broken};
use super::super::to_ms;
use super::fragments::Runs;
use super::layout::Layout;

/// The boxes of one track that its length is read from.
#[derive(Debug, Default)]
pub(super) struct Track {
    pub(super) id: u32,
    pub(super) enabled: bool,
    /// `vide`, `soun`, or something that is not measured.
    pub(super) handler: [u8; 4],
    pub(super) mdhd: Option<Mdhd>,
    pub(super) elst: Option<Elst>,
    pub(super) stts: Option<Stts>,
    pub(super) stsz: Option<Stsz>,
    /// Where in the file each chunk of samples begins.
    pub(super) chunks: Option<Vec<u64>>,
}

/// What a track's length depends on besides the track.
#[derive(Debug)]
pub(super) struct Around<'a> {
    /// Units per second in which edit lists count; 0 where it is missing.
    pub(super) movie_timescale: u32,
    pub(super) layout: &'a Layout,
    /// What the fragments hold of the track; `None` in a file of one piece.
    pub(super) runs: Option<Runs>,
    /// Length of the file with its fragments by `mehd`, in the movie's units.
    pub(super) with_fragments: Option<u64>,
    /// No other track that is played is longer.
    pub(super) is_longest: bool,
    /// Some part of the file is missing or makes no sense.
    pub(super) is_broken: bool,
}

/// The samples that `moov` itself lists.
#[derive(Debug, Clone, Copy, Default)]
struct Listed {
    samples: u64,
    ticks: u128,
}

impl Track {
    /// True for a track that is played and handled so.
    pub(super) fn is_enabled(&self, handler: &[u8; 4]) -> bool {
        self.enabled && self.handler == *handler
    }

    /// The length of the track, or `None` where nothing in it can be believed.
    pub(super) fn length(&self, around: &Around<'_>) -> Option<TrackLength> {
        let listed = self.trusted_list(around.layout)?;
        match &around.runs {
            None => self.in_one_piece(listed, around.movie_timescale),
            Some(runs) => self.in_fragments(listed, runs, around),
        }
    }

    /// Length of all samples by their sums alone, in milliseconds; 0 where there is none.
    pub(super) fn summed_ms(&self, runs: &Runs) -> u64 {
        let listed = self.stts.as_ref().map_or(0, summed_ticks);
        self.to_ms(listed + runs.ticks).unwrap_or(0)
    }

    fn to_ms(&self, ticks: u128) -> Option<u64> {
        to_ms(ticks, self.mdhd.as_ref()?.timescale.into())
    }

    /// The header's duration in milliseconds, where it says one.
    fn header_ms(&self) -> Option<u64> {
        known(self.mdhd.as_ref()?.duration).and_then(|ticks| self.to_ms(ticks.into()))
    }

    /// Header, sum over the samples, and edit list have to agree.
    fn in_one_piece(&self, listed: Listed, movie_timescale: u32) -> Option<TrackLength> {
        let presented = self.elst.as_ref().and_then(presented_ticks);
        let readings: Vec<Reading> = [
            self.header_ms().map(Reading::Samples),
            self.to_ms(listed.ticks).map(Reading::Samples),
            presented
                .and_then(|ticks| to_ms(ticks, movie_timescale.into()))
                .map(Reading::Presented),
        ]
        .into_iter()
        .flatten()
        .collect();
        self.agreed(&readings, listed)
    }

    /// The sum over all runs, the clock of the fragments, the segment index and what the headers say of
    /// the whole have to agree. Edit lists of such files are written before the length is known.
    fn in_fragments(
        &self,
        listed: Listed,
        runs: &Runs,
        around: &Around<'_>,
    ) -> Option<TrackLength> {
        let all = Listed {
            samples: listed.samples + runs.samples,
            ticks: listed.ticks + runs.ticks,
        };
        let summed_ms = self.to_ms(all.ticks)?;
        let announced_ms = around
            .with_fragments
            .and_then(known)
            .and_then(|ticks| to_ms(ticks.into(), around.movie_timescale.into()));
        let header_ms = self.header_ms().filter(|_| listed.samples == 0);
        let readings: Vec<Reading> = [
            Some(Reading::Samples(summed_ms)),
            clocked_ticks(listed, runs)
                .and_then(|ticks| self.to_ms(ticks))
                .map(Reading::Samples),
            indexed_ms(&around.layout.indexes, self.id).map(Reading::Presented),
            header_ms.map(Reading::Presented),
            announced_ms.and_then(|ms| Reading::of_whole(ms, summed_ms, around.is_longest)),
        ]
        .into_iter()
        .flatten()
        .collect();
        let length = self.agreed(&readings, all)?;
        Some(unless_broken(length, around.is_broken))
    }

    fn agreed(&self, readings: &[Reading], all: Listed) -> Option<TrackLength> {
        if all.samples == 0 {
            return None;
        }
        let frame_ms = self.to_ms(all.ticks.div_ceil(all.samples.into()))?;
        Some(proven(agree(readings, frame_ms)?, all.samples))
    }

    /// The samples that the tables list: both must agree on their number, the bytes for them must be
    /// there, and every chunk of them must begin among such bytes. A file in fragments may list none.
    fn trusted_list(&self, layout: &Layout) -> Option<Listed> {
        let (stts, stsz) = (self.stts.as_ref()?, self.stsz.as_ref()?);
        let (sized, bytes) = summed_sizes(stsz);
        let timed: u64 = stts
            .entries
            .iter()
            .map(|entry| u64::from(entry.sample_count))
            .sum();
        let counted = timed == sized && sized <= layout.media_bytes;
        let chunks = self.chunks.as_deref().unwrap_or_default();
        let placed = chunks.iter().all(|at| layout.holds_samples_at(*at));
        let there = bytes <= u128::from(layout.media_bytes) && placed;
        let trusted = counted && there && (sized == 0 || !chunks.is_empty());
        trusted.then(|| Listed {
            samples: sized,
            ticks: summed_ticks(stts),
        })
    }
}

/// Number of samples and their bytes.
fn summed_sizes(stsz: &Stsz) -> (u64, u128) {
    match &stsz.samples {
        StszSamples::Identical { count, size } => {
            (u64::from(*count), u128::from(*count) * u128::from(*size))
        }
        StszSamples::Different { sizes } => (
            sizes.len() as u64,
            sizes.iter().map(|size| u128::from(*size)).sum(),
        ),
    }
}

fn summed_ticks(stts: &Stts) -> u128 {
    let ticks = |count: u32, delta: u32| u128::from(count) * u128::from(delta);
    stts.entries
        .iter()
        .map(|entry| ticks(entry.sample_count, entry.sample_delta))
        .sum()
}

/// By the fragments' own clock: from the beginning to where the last one begins, and as much for each
/// of its samples as for those before it. That is no word of the samples themselves. `None` where a
/// fragment has no clock, or where there is nothing before the last.
fn clocked_ticks(listed: Listed, runs: &Runs) -> Option<u128> {
    let (latest, latest_samples) = runs.latest.filter(|_| !runs.is_untimed)?;
    let begins = if listed.samples > 0 { 0 } else { runs.first? };
    let until_latest = u128::from(latest.saturating_sub(begins));
    let samples_before = (listed.samples + runs.samples).checked_sub(latest_samples)?;
    let of_latest = until_latest
        .checked_mul(latest_samples.into())?
        .checked_div(samples_before.into())?;
    Some(until_latest + of_latest)
}

/// What the segment indexes list of a track; `None` where they list none, or list lists.
fn indexed_ms(indexes: &[Sidx], track: u32) -> Option<u64> {
    let mut own = indexes
        .iter()
        .filter(|index| index.reference_id == track)
        .peekable();
    own.peek()?;
    own.try_fold(0u64, |sum_ms, index| {
        let is_plain = index.references.iter().all(|part| !part.reference_type);
        let parts = index.references.iter();
        let ticks: u128 = parts.map(|part| u128::from(part.subsegment_duration)).sum();
        sum_ms.checked_add(to_ms(ticks, index.timescale.into()).filter(|_| is_plain)?)
    })
}

/// What the edit list presents, empty edits included; `None` where an entry means "the rest".
fn presented_ticks(elst: &Elst) -> Option<u128> {
    let open_ended = elst.entries.iter().any(|edit| edit.segment_duration == 0);
    let listed = !elst.entries.is_empty() && !open_ended;
    listed.then(|| {
        elst.entries
            .iter()
            .map(|edit| u128::from(edit.segment_duration))
            .sum()
    })
}

/// A header's duration; zero and all ones (in either width) mean that the writer did not know it.
fn known(duration: u64) -> Option<u64> {
    let unknown = [0, u64::from(u32::MAX), u64::MAX];
    (!unknown.contains(&duration)).then_some(duration)
}

#[cfg(test)]
mod tests {
    use mp4_atom::{ElstEntry, SttsEntry};

    use super::super::layout::Stretch;
    use super::*;

    /// 81 frames of 1,000 bytes at 16 fps: 5,062.5 ms.
    fn honest() -> Track {
        let edit = ElstEntry {
            segment_duration: 5_063,
            media_time: Some(0),
            ..Default::default()
        };
        Track {
            enabled: true,
            handler: *b"vide",
            id: 1,
            chunks: Some(vec![100]),
            mdhd: Some(Mdhd {
                timescale: 16_000,
                duration: 81_000,
                ..Default::default()
            }),
            elst: Some(Elst {
                entries: vec![edit],
            }),
            stts: Some(Stts {
                entries: vec![SttsEntry {
                    sample_count: 81,
                    sample_delta: 1_000,
                }],
            }),
            stsz: Some(Stsz {
                samples: StszSamples::Identical {
                    count: 81,
                    size: 1_000,
                },
            }),
        }
    }

    fn length(change: impl FnOnce(&mut Track)) -> Option<(u64, bool)> {
        let mut track = honest();
        change(&mut track);
        around(1_000, |around| track.length(around)).map(|length| (length.ms, length.is_agreed()))
    }

    /// A file with 81,000 bytes of samples from offset 100 on.
    fn around<T>(movie_timescale: u32, look: impl FnOnce(&Around<'_>) -> T) -> T {
        let layout = Layout {
            media: vec![Stretch {
                from: 100,
                to: 81_100,
            }],
            media_bytes: 81_000,
            ..Layout::default()
        };
        look(&Around {
            movie_timescale,
            layout: &layout,
            runs: None,
            with_fragments: None,
            is_longest: true,
            is_broken: false,
        })
    }

    fn stts(sample_count: u32, sample_delta: u32) -> Option<Stts> {
        Some(Stts {
            entries: vec![SttsEntry {
                sample_count,
                sample_delta,
            }],
        })
    }

    fn stsz(count: u32, size: u32) -> Option<Stsz> {
        Some(Stsz {
            samples: StszSamples::Identical { count, size },
        })
    }

    fn elst(segments: &[(u64, Option<u64>)]) -> Option<Elst> {
        let entry = |&(segment_duration, media_time): &(u64, Option<u64>)| ElstEntry {
            segment_duration,
            media_time,
            ..Default::default()
        };
        Some(Elst {
            entries: segments.iter().map(entry).collect(),
        })
    }

    fn set_mdhd(track: &mut Track, timescale: u32, duration: u64) {
        track.mdhd = Some(Mdhd {
            timescale,
            duration,
            ..Default::default()
        });
    }

    #[test]
    fn eighty_one_frames_at_sixteen_a_second_last_5_062_ms() {
        assert_eq!(length(|_| {}), Some((5_062, true)));
        assert_eq!(length(|t| t.elst = None), Some((5_062, true)));
    }

    #[test]
    fn a_header_that_does_not_know_leaves_the_other_readings() {
        assert_eq!(
            length(|t| set_mdhd(t, 16_000, u64::from(u32::MAX))),
            Some((5_062, true))
        );
        assert_eq!(
            length(|t| set_mdhd(t, 16_000, u64::MAX)),
            Some((5_062, true))
        );
        let alone = length(|t| {
            set_mdhd(t, 16_000, 0);
            t.elst = None;
        });
        assert_eq!(alone, Some((5_062, false)));
    }

    #[test]
    fn a_lying_header_never_lengthens_a_track() {
        assert_eq!(
            length(|t| set_mdhd(t, 16_000, 57_600_000)),
            Some((5_062, false))
        );
        assert_eq!(
            length(|t| t.elst = elst(&[(3_600_000, Some(0))])),
            Some((5_062, false))
        );
        assert_eq!(
            length(|t| t.stts = stts(81, u32::MAX)),
            Some((5_062, false))
        );
    }

    #[test]
    fn a_shorter_reading_wins() {
        assert_eq!(
            length(|t| set_mdhd(t, 16_000, 16_000)),
            Some((1_000, false))
        );
        assert_eq!(
            length(|t| t.elst = elst(&[(2_000, Some(0))])),
            Some((2_000, false))
        );
    }

    #[test]
    fn empty_edits_are_presented_and_open_ones_say_nothing() {
        assert_eq!(
            length(|t| t.elst = elst(&[(21, None), (5_062, Some(0))])),
            Some((5_062, true))
        );
        let padded = length(|t| t.elst = elst(&[(2_000, None), (5_062, Some(0))]));
        assert_eq!(padded, Some((5_062, false)));
        assert_eq!(
            length(|t| t.elst = elst(&[(0, Some(0))])),
            Some((5_062, true))
        );
    }

    #[test]
    fn sample_tables_that_do_not_account_for_bytes_are_believed_in_nothing() {
        // Counts differ.
        assert_eq!(length(|t| t.stts = stts(82, 1_000)), None);
        // Counts agree, but the samples would fill two gigabytes.
        let bomb = length(|t| {
            t.stts = stts(u32::MAX >> 1, 1_000);
            t.stsz = stsz(u32::MAX >> 1, 1);
        });
        assert_eq!(bomb, None);
        // One byte more than there is.
        assert_eq!(length(|t| t.stsz = stsz(81, 1_001)), None);
        // More samples than bytes.
        let sizes = vec![0; 81_001];
        let weightless = length(|t| {
            t.stts = stts(81_001, 1);
            t.stsz = Some(Stsz {
                samples: StszSamples::Different { sizes },
            });
        });
        assert_eq!(weightless, None);
        // No samples at all.
        assert_eq!(
            length(|t| (t.stts, t.stsz) = (stts(0, 0), stsz(0, 0))),
            None
        );
    }

    #[test]
    fn a_track_without_timescale_or_tables_has_no_length() {
        assert_eq!(length(|t| set_mdhd(t, 0, 81_000)), None);
        assert_eq!(length(|t| t.mdhd = None), None);
        assert_eq!(length(|t| t.stts = None), None);
        assert_eq!(length(|t| t.stsz = None), None);
    }

    #[test]
    fn an_edit_list_without_movie_timescale_is_left_out() {
        let track = honest();
        assert_eq!(
            around(0, |around| track.length(around)),
            Some(TrackLength::agreed(5_062))
        );
    }

    #[test]
    fn a_picture_an_hour_long_counts_a_second() {
        let hour = |t: &mut Track| {
            set_mdhd(t, 1, 3_600);
            t.stts = stts(1, 3_600);
            t.stsz = stsz(1, 1_000);
            t.elst = None;
        };
        assert_eq!(length(hour), Some((1_000, false)));
    }

    #[test]
    fn chunks_begin_among_the_samples() {
        assert_eq!(length(|t| t.chunks = None), None);
        assert_eq!(length(|t| t.chunks = Some(Vec::new())), None);
        assert_eq!(length(|t| t.chunks = Some(vec![100, 99])), None);
        assert_eq!(length(|t| t.chunks = Some(vec![81_100])), None);
        assert!(length(|t| t.chunks = Some(vec![81_099])).is_some());
    }
}
