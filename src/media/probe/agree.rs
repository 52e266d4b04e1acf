//! Whether independent readings of one track's length agree, and which one counts.

use crate::domain::media::{Support, TrackLength};

/// Readings may differ by one frame, or by this where a frame is shorter.
const TOLERANCE_MS: u64 = 50;

/// The longest that one frame of picture or one packet of sound counts, in milliseconds.
pub(super) const FRAME_PROVES_MS: u64 = 1_000;

/// One reading that passed its checks, in whole milliseconds, rounded down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// What the track's samples last: header field or sum over the samples.
    Samples(u64),
    /// What is presented of them. Confirms or contradicts, but is no source of an agreed length,
    /// because encoders round it and leave priming out of it.
    Presented(u64),
}

impl Reading {
    fn ms(self) -> u64 {
        match self {
            Self::Samples(ms) | Self::Presented(ms) => ms,
        }
    }
}

/// The length that the readings of one track support.
///
/// Readings that agree within one frame or 50 ms give the smaller of those taken from the samples. If
/// they differ the smallest counts, and one alone counts as it is: [`Support`] says which it was.
/// Without any reading there is no length.
pub(super) fn agree(readings: &[Reading], frame_ms: u64) -> Option<TrackLength> {
    let smallest = readings.iter().map(|reading| reading.ms()).min()?;
    let largest = readings.iter().map(|reading| reading.ms()).max()?;
    let of_samples = readings.iter().filter_map(|reading| match reading {
        Reading::Samples(ms) => Some(*ms),
        Reading::Presented(_) => None,
    });
    let support = if largest - smallest > frame_ms.max(TOLERANCE_MS) {
        Support::Differing
    } else if readings.len() > 1 {
        Support::Agreed
    } else {
        Support::Alone
    };
    let ms = match support {
        Support::Agreed => of_samples.min().unwrap_or(smallest),
        Support::Alone | Support::Differing => smallest,
    };
    Some(TrackLength { ms, support })
}

impl Reading {
    /// A reading of the whole file's length, as one track sees it: it contradicts a longer track, and
    /// confirms or contradicts the longest one. That a shorter track is shorter says nothing.
    pub(super) fn of_whole(whole_ms: u64, track_ms: u64, is_longest: bool) -> Option<Self> {
        (is_longest || whole_ms < track_ms).then_some(Self::Presented(whole_ms))
    }
}

/// A length that is no longer than the frames that are there can last.
///
/// Headers may agree on an hour over a single picture. Each frame proves at most
/// [`FRAME_PROVES_MS`]; what is beyond counts nothing, and contradicts the length.
pub(super) fn proven(length: TrackLength, frames: u64) -> TrackLength {
    let most_ms = frames.saturating_mul(FRAME_PROVES_MS);
    TrackLength {
        ms: length.ms.min(most_ms),
        support: doubted_if(length.ms > most_ms, length.support),
    }
}

/// A length out of a file of which a part is broken, missing or unexplained is in doubt.
pub(super) fn unless_broken(length: TrackLength, is_broken: bool) -> TrackLength {
    TrackLength {
        support: doubted_if(is_broken, length.support),
        ..length
    }
}

fn doubted_if(is_doubted: bool, support: Support) -> Support {
    if is_doubted {
        Support::Differing
    } else {
        support
    }
}

#[cfg(test)]
mod tests {
    use super::Reading::{Presented, Samples};
    use super::Support::{Agreed, Alone, Differing};
    use super::*;

    #[test]
    fn readings_agree_within_a_frame_or_fifty_milliseconds() {
        type Case = (&'static [Reading], u64, Option<(u64, Support)>);
        let table: [Case; 14] = [
            // Nothing trusted, nothing measured.
            (&[], 62, None),
            // One reading alone proves nothing.
            (&[Samples(5_000)], 62, Some((5_000, Alone))),
            (&[Presented(5_000)], 62, Some((5_000, Alone))),
            // Full agreement.
            (&[Samples(5_062), Samples(5_062)], 62, Some((5_062, Agreed))),
            (
                &[Samples(5_062), Samples(5_062), Presented(5_063)],
                62,
                Some((5_062, Agreed)),
            ),
            // Priming: the presentation is a little shorter; the samples count.
            (
                &[Samples(3_021), Samples(3_021), Presented(3_000)],
                21,
                Some((3_021, Agreed)),
            ),
            // At the edge of the tolerance, and one past it.
            (&[Samples(1_000), Samples(1_050)], 10, Some((1_000, Agreed))),
            (
                &[Samples(1_000), Samples(1_051)],
                10,
                Some((1_000, Differing)),
            ),
            (&[Samples(1_000), Samples(1_062)], 62, Some((1_000, Agreed))),
            (
                &[Samples(1_000), Samples(1_063)],
                62,
                Some((1_000, Differing)),
            ),
            // A lie in any of them lets the smallest count.
            (
                &[Samples(3_600_000), Samples(3_000), Presented(3_000)],
                40,
                Some((3_000, Differing)),
            ),
            (
                &[Samples(3_000), Samples(71_582_788_000)],
                40,
                Some((3_000, Differing)),
            ),
            (
                &[Samples(3_000), Samples(3_000), Presented(1_000)],
                40,
                Some((1_000, Differing)),
            ),
            // Nothing to hear is agreed upon as well.
            (&[Samples(0), Samples(0)], 0, Some((0, Agreed))),
        ];
        for (readings, frame_ms, expected) in table {
            let expected = expected.map(|(ms, support)| TrackLength { ms, support });
            assert_eq!(agree(readings, frame_ms), expected, "{readings:?}");
        }
    }

    #[test]
    fn frames_prove_a_second_each_and_no_more() {
        let hour = TrackLength::agreed(3_600_000);
        let cut = TrackLength {
            ms: 1_000,
            support: Differing,
        };
        assert_eq!(proven(hour, 1), cut);
        assert_eq!(proven(hour, 3_600), hour);
        assert_eq!(proven(hour, u64::MAX), hour);
        assert!(!unless_broken(hour, true).is_agreed());
        assert!(unless_broken(hour, false).is_agreed());
    }

    #[test]
    fn the_files_own_length_confirms_the_longest_track_and_bounds_the_others() {
        assert_eq!(
            Reading::of_whole(9_000, 8_000, true),
            Some(Presented(9_000))
        );
        assert_eq!(Reading::of_whole(9_000, 8_000, false), None);
        assert_eq!(
            Reading::of_whole(3_000, 8_000, false),
            Some(Presented(3_000))
        );
    }
}
