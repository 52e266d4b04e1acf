//! One MP4 track: which of its readings can be believed.
//!
//! A sample table can claim anything in a few bytes: two counts of two billion fit a file of five
//! kilobytes. So the table must first account for bytes that exist, and only then does any reading of
//! the track count, those of its headers included.

use mp4_atom::{Elst, Mdhd, Stsz, StszSamples, Stts};

use crate::domain::media::TrackLength;

use super::agree::{Reading, agree};

/// The boxes of one track that its length is read from.
#[derive(Debug, Default)]
pub(super) struct Track {
    pub(super) enabled: bool,
    /// `vide`, `soun`, or something that is not measured.
    pub(super) handler: [u8; 4],
    pub(super) mdhd: Option<Mdhd>,
    pub(super) elst: Option<Elst>,
    pub(super) stts: Option<Stts>,
    pub(super) stsz: Option<Stsz>,
}

impl Track {
    /// True for a track that is played and handled so.
    pub(super) fn is_enabled(&self, handler: &[u8; 4]) -> bool {
        self.enabled && self.handler == *handler
    }

    /// The length of the track, or `None` where nothing in it can be believed.
    ///
    /// `movie_timescale` is that of `mvhd`, in which edit lists count; `media_bytes` is how many bytes
    /// of samples the file can hold at most.
    pub(super) fn length(&self, movie_timescale: u32, media_bytes: u64) -> Option<TrackLength> {
        let (mdhd, stts, stsz) = (
            self.mdhd.as_ref()?,
            self.stts.as_ref()?,
            self.stsz.as_ref()?,
        );
        let timescale = mdhd.timescale;
        let samples = trusted_sample_count(stts, stsz, media_bytes)?;
        let ticks = summed_ticks(stts);
        let readings: Vec<Reading> = [
            known(mdhd.duration)
                .and_then(|ticks| to_ms(ticks.into(), timescale))
                .map(Reading::Samples),
            to_ms(ticks, timescale).map(Reading::Samples),
            self.elst
                .as_ref()
                .and_then(presented_ticks)
                .and_then(|ticks| to_ms(ticks, movie_timescale))
                .map(Reading::Presented),
        ]
        .into_iter()
        .flatten()
        .collect();
        let frame_ms = to_ms(ticks.div_ceil(samples.into()), timescale)?;
        agree(&readings, frame_ms)
    }
}

/// The number of samples, where both tables agree on it and the bytes for them are there.
fn trusted_sample_count(stts: &Stts, stsz: &Stsz, media_bytes: u64) -> Option<u64> {
    let timed: u64 = stts
        .entries
        .iter()
        .map(|entry| u64::from(entry.sample_count))
        .sum();
    let (sized, sample_bytes): (u64, u128) = match &stsz.samples {
        StszSamples::Identical { count, size } => {
            (u64::from(*count), u128::from(*count) * u128::from(*size))
        }
        StszSamples::Different { sizes } => (
            sizes.len() as u64,
            sizes.iter().map(|size| u128::from(*size)).sum(),
        ),
    };
    let counted = timed == sized && sized > 0 && sized <= media_bytes;
    (counted && sample_bytes <= u128::from(media_bytes)).then_some(sized)
}

fn summed_ticks(stts: &Stts) -> u128 {
    let ticks = |count: u32, delta: u32| u128::from(count) * u128::from(delta);
    stts.entries
        .iter()
        .map(|entry| ticks(entry.sample_count, entry.sample_delta))
        .sum()
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

/// Whole milliseconds, rounded down; `None` without a timescale or beyond what 64 bits hold.
fn to_ms(ticks: u128, timescale: u32) -> Option<u64> {
    let ms = ticks
        .checked_mul(1_000)?
        .checked_div(u128::from(timescale))?;
    u64::try_from(ms).ok()
}

#[cfg(test)]
mod tests {
    use mp4_atom::{ElstEntry, SttsEntry};

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
        track
            .length(1_000, 81_000)
            .map(|length| (length.ms, length.agreed))
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
            track.length(0, 81_000),
            Some(TrackLength {
                ms: 5_062,
                agreed: true
            })
        );
    }
}
