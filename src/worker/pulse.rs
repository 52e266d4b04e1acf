//! Whether a worker lives: when its lease was renewed last, and when its claims went round last.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The latest signs of life.
#[derive(Debug)]
pub(super) struct Pulse(Mutex<Signs>);

#[derive(Debug)]
struct Signs {
    renewed: Instant,
    /// `None` where no more claims are to be made.
    claimed: Option<Instant>,
}

impl Pulse {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self(Mutex::new(Signs {
            renewed: now,
            claimed: Some(now),
        }))
    }

    /// The store has answered a heartbeat.
    pub(super) fn renewed(&self) {
        self.signs().renewed = Instant::now();
    }

    /// The store has answered the claims, or every slot is taken.
    pub(super) fn claimed(&self) {
        self.signs().claimed = Some(Instant::now());
    }

    /// No claim is made any more, by order.
    pub(super) fn claims_no_more(&self) {
        self.signs().claimed = None;
    }

    /// Whether both signs are younger than these times.
    pub(super) fn beats(&self, renewed_within: Duration, claimed_within: Duration) -> bool {
        let signs = self.signs();
        let claims = signs.claimed.is_none_or(|at| at.elapsed() < claimed_within);
        claims && signs.renewed.elapsed() < renewed_within
    }

    fn signs(&self) -> std::sync::MutexGuard<'_, Signs> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_lives_while_both_signs_are_young_and_claims_count_until_they_are_over() {
        let (never, long) = (Duration::ZERO, Duration::from_secs(60));
        let pulse = Pulse::new();
        assert!(pulse.beats(long, long));
        assert!(!pulse.beats(long, never), "its claims have stalled");
        assert!(!pulse.beats(never, long), "its lease has lapsed");
        pulse.claims_no_more();
        assert!(
            pulse.beats(long, never),
            "it drains, and none are to be made"
        );
        pulse.claimed();
        pulse.renewed();
        assert!(pulse.beats(long, long));
    }
}
