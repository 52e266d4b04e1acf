//! Waiting in process: for Redis to come back, for a provider's socket to open. Durable retries of
//! jobs are another thing and live in `domain::retry`.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;

/// Growing waits with jitter, without an end.
pub(super) struct Patience {
    policy: ExponentialBackoff,
    longest: Duration,
}

impl Patience {
    /// Begins at about `first` and doubles up to `longest`.
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        let policy = ExponentialBackoff {
            current_interval: first,
            initial_interval: first,
            randomization_factor: 0.5,
            multiplier: 2.0,
            max_interval: longest,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        Self { policy, longest }
    }

    /// For a store that is away: from 50 ms to 2 s.
    pub(super) fn for_store() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_secs(2))
    }

    /// The next wait. The policy adds its jitter after its cap, so it is capped again here.
    pub(super) fn next(&mut self) -> Duration {
        self.policy
            .next_backoff()
            .unwrap_or(self.longest)
            .min(self.longest)
    }

    /// Begins anew after a success.
    pub(super) fn reset(&mut self) {
        self.policy.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_never_pass_the_longest() {
        let mut patience = Patience::new(Duration::from_millis(10), Duration::from_millis(200));
        let waits: Vec<Duration> = (0..40).map(|_| patience.next()).collect();
        assert!(waits[0] <= Duration::from_millis(15));
        assert!(waits.iter().all(|wait| *wait <= Duration::from_millis(200)));
        assert!(
            waits[30..]
                .iter()
                .all(|wait| *wait >= Duration::from_millis(100))
        );
    }
}
