//! One track of a Matroska file: its blocks, and which length they support.

use crate::domain::media::TrackLength;

use super::super::agree::{Reading, agree, proven, unless_broken};
use super::super::to_ms;

/// Nanoseconds in the second that block clocks come down to.
const NS_PER_SECOND: u64 = 1_000_000_000;

/// A block of one or more frames, as it stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) track: u64,
    /// When it begins, in the segment's units.
    pub(super) start: i128,
    pub(super) frames: u64,
    /// How long it lasts by its own word, in the segment's units.
    pub(super) lasts: Option<u64>,
}

/// What the header and the blocks say of one track.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Track {
    pub(super) number: u64,
    /// 1 is video, 2 is audio; others are not measured.
    pub(super) kind: u64,
    pub(super) is_disabled: bool,
    /// Nanoseconds that each frame lasts, where all last the same.
    pub(super) frame_ns: Option<u64>,
    frames: u64,
    first: Option<i128>,
    /// The block that begins last.
    latest: Option<Block>,
}

impl Track {
    /// Counts one block in.
    pub(super) fn add(&mut self, block: Block) {
        self.frames += block.frames;
        self.first = Some(
            self.first
                .map_or(block.start, |first| first.min(block.start)),
        );
        if self.latest.is_none_or(|latest| latest.start <= block.start) {
            self.latest = Some(block);
        }
    }

    /// By the blocks' clock, in milliseconds: from the first one's begin to the last one's end.
    pub(super) fn clocked_ms(&self, unit_ns: u64) -> Option<u64> {
        let (first, latest) = (self.first?, self.latest?);
        let unit_ns = i128::from(unit_ns);
        let until_latest_ns = (latest.start - first).checked_mul(unit_ns)?;
        let frames_before = self.frames - latest.frames;
        let declared_ns = match (latest.lasts, self.frame_ns) {
            (Some(lasts), _) => Some(i128::from(lasts).checked_mul(unit_ns)?),
            (None, Some(frame_ns)) => Some(i128::from(frame_ns).checked_mul(latest.frames.into())?),
            (None, None) => None,
        };
        // As long as the frames before it, on average.
        let usual_ns = until_latest_ns
            .checked_mul(latest.frames.into())?
            .checked_div(frames_before.into());
        // A declared length that is far from usual is somebody's word.
        let is_usual = |ns: i128| usual_ns.is_none_or(|usual_ns| ns <= usual_ns * 2);
        let latest_ns = declared_ns
            .filter(|ns| is_usual(*ns))
            .or(usual_ns)
            .unwrap_or(0);
        let whole_ns = u128::try_from(until_latest_ns.checked_add(latest_ns)?).ok()?;
        to_ms(whole_ns, NS_PER_SECOND)
    }

    /// The number of frames times what each lasts, in milliseconds.
    fn counted_ms(&self) -> Option<u64> {
        to_ms(
            u128::from(self.frames).checked_mul(self.frame_ns?.into())?,
            NS_PER_SECOND,
        )
    }

    /// The length that clock, count and the segment's own duration support.
    pub(super) fn length(
        &self,
        unit_ns: u64,
        segment_ms: Option<u64>,
        is_longest: bool,
        is_broken: bool,
    ) -> Option<TrackLength> {
        let clocked_ms = self.clocked_ms(unit_ns)?;
        let whole = segment_ms.and_then(|ms| Reading::of_whole(ms, clocked_ms, is_longest));
        let readings: Vec<Reading> = [
            Some(Reading::Samples(clocked_ms)),
            self.counted_ms().map(Reading::Samples),
            whole,
        ]
        .into_iter()
        .flatten()
        .collect();
        let frame_ms = clocked_ms.checked_div(self.frames)?;
        let length = agree(&readings, frame_ms)?;
        Some(unless_broken(proven(length, self.frames), is_broken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn track(starts: &[i128], frame_ns: Option<u64>) -> Track {
        let mut track = Track {
            kind: 1,
            frame_ns,
            ..Track::default()
        };
        for start in starts {
            track.add(Block {
                track: 1,
                start: *start,
                frames: 1,
                lasts: None,
            });
        }
        track
    }

    fn length(track: &Track, segment_ms: Option<u64>) -> Option<(u64, bool)> {
        let length = track.length(MS, segment_ms, true, false);
        length.map(|length| (length.ms, length.is_agreed()))
    }

    #[test]
    fn the_last_frame_lasts_as_long_as_it_says_or_as_the_others() {
        let far = track(&[0, 40, 80], Some(3_600_000 * MS));
        assert_eq!(length(&far, None), Some((120, false)));

        let plain = track(&[0, 40, 80], None);
        assert_eq!(length(&plain, None), Some((120, false)));
        let declared = track(&[0, 40, 80], Some(40 * MS));
        assert_eq!(length(&declared, None), Some((120, true)));
        let mut timed = plain;
        timed.add(Block {
            track: 1,
            start: 120,
            frames: 1,
            lasts: Some(20),
        });
        assert_eq!(length(&timed, Some(140)), Some((140, true)));
    }

    #[test]
    fn blocks_out_of_order_and_before_zero_are_one_stretch() {
        assert_eq!(
            length(&track(&[-7, 73, 33], Some(40 * MS)), None),
            Some((120, true))
        );
    }

    #[test]
    fn clocks_that_jump_are_bounded_by_the_count_and_by_the_frames() {
        let jump = track(&[0, 3_600_000], Some(40 * MS));
        assert_eq!(length(&jump, Some(3_600_000)), Some((80, false)));
        let undeclared = track(&[0, 3_600_000], None);
        assert_eq!(length(&undeclared, Some(7_200_000)), Some((2_000, false)));
        let ages = track(&[i128::from(i64::MIN), i128::from(u64::MAX)], None);
        assert_eq!(length(&ages, None), None);
    }

    #[test]
    fn one_frame_without_a_length_lasts_nothing_and_none_has_none() {
        assert_eq!(length(&track(&[0], None), None), Some((0, false)));
        assert_eq!(length(&track(&[], Some(40 * MS)), Some(9_000)), None);
    }
}
