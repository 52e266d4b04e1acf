//! How many frames a clip has and how long the last one stands.

/// Ticks per second of every track: sixteen to the millisecond, and one audio sample each.
pub(super) const TICKS_PER_SECOND: u32 = 16_000;

/// Ticks of a frame at 16 frames a second.
pub(super) const FRAME_TICKS: u32 = 1_000;

const TICKS_PER_MS: u64 = 16;

/// The frames of a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timing {
    /// Number of frames, at least one.
    pub(super) frames: u32,
    /// Length of the clip in ticks.
    pub(super) total_ticks: u32,
}

impl Timing {
    /// The timing of a clip of this length, which is at most ten minutes.
    pub(super) fn of(length_ms: u64) -> Self {
        let frame = u64::from(FRAME_TICKS);
        let wished = length_ms * TICKS_PER_MS;
        let nearest = ((wished + frame / 2) / frame).max(1) * frame;
        let total = if nearest.abs_diff(wished) < TICKS_PER_MS {
            nearest
        } else {
            wished
        };
        let frames = (total / frame).max(1);
        let narrow = |ticks: u64| u32::try_from(ticks).unwrap_or(u32::MAX);
        Self {
            frames: narrow(frames),
            total_ticks: narrow(total),
        }
    }

    /// How long the last frame stands, in ticks: less than two frames.
    pub(super) fn last_frame_ticks(self) -> u32 {
        self.total_ticks - (self.frames - 1) * FRAME_TICKS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_become_frames() {
        let table = [
            // length_ms, frames, total ticks, last frame's ticks
            (5_062, 81, 81_000, 1_000),
            (5_063, 81, 81_000, 1_000),
            (5_061, 80, 80_976, 1_976),
            (5_064, 81, 81_024, 1_024),
            (5_250, 84, 84_000, 1_000),
            (5_251, 84, 84_016, 1_016),
            (12_000, 192, 192_000, 1_000),
            (200, 3, 3_200, 1_200),
            (62, 1, 1_000, 1_000),
            (1, 1, 16, 16),
            (600_000, 9_600, 9_600_000, 1_000),
        ];
        for (length_ms, frames, total_ticks, last) in table {
            let timing = Timing::of(length_ms);
            assert_eq!(
                timing,
                Timing {
                    frames,
                    total_ticks
                },
                "{length_ms}"
            );
            assert_eq!(timing.last_frame_ticks(), last, "{length_ms}");
        }
    }
}
