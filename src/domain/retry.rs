//! When a job is tried again: a pure function of the tries spent, the policy and a random number.

use serde::{Deserialize, Serialize};

/// How retries are spaced, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Tries on one route before the next route is taken.
    pub tries: u32,
    /// Mean-doubling delay before the second try, ms.
    pub base_ms: u64,
    /// By how much the delay grows with each try.
    pub factor: u32,
    /// No delay is longer than this, ms, jitter included.
    pub cap_ms: u64,
}

impl Policy {
    /// The delay before the next try, ms, after `tries_spent` tries: full jitter, from nothing up to
    /// base x factor^(tries - 1), and never above the cap. `random` lies in 0.0..1.0.
    pub fn delay_ms(&self, tries_spent: u32, random: f64) -> u64 {
        let exponent = tries_spent.saturating_sub(1).min(32);
        let grown = u128::from(self.base_ms) * u128::from(self.factor.max(1)).pow(exponent);
        let longest = grown.min(u128::from(self.cap_ms));
        let longest = u64::try_from(longest).unwrap_or(self.cap_ms);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "delays are far below 2^52 ms and the factor lies in 0..1"
        )]
        let jittered = (longest as f64 * random.clamp(0.0, 1.0)) as u64;
        jittered.min(self.cap_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        tries: 3,
        base_ms: 1_000,
        factor: 2,
        cap_ms: 60_000,
    };

    #[test]
    fn delays_double_and_stop_at_the_cap() {
        let at = |tries| POLICY.delay_ms(tries, 1.0);
        assert_eq!(
            [at(1), at(2), at(3), at(7), at(60)],
            [1_000, 2_000, 4_000, 60_000, 60_000]
        );
    }

    #[test]
    fn jitter_is_full_and_stays_inside_the_cap() {
        assert_eq!(POLICY.delay_ms(3, 0.0), 0);
        assert_eq!(POLICY.delay_ms(3, 0.5), 2_000);
        assert_eq!(POLICY.delay_ms(30, 0.999_999), 59_999);
        assert_eq!(POLICY.delay_ms(u32::MAX, 2.0), 60_000);
    }
}
