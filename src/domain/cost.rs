//! What a provider's work costs us, in USD micros. A ledger of its own: never mixed with credits, joined
//! to them by the job.

use serde::{Deserialize, Serialize};

/// No single submission is believed to cost more, USD micros: a million dollars.
pub const COST_MAX_USD_MICROS: u64 = 1_000_000_000_000;

/// Where a cost is known from. The first one that is there counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostSource {
    /// The provider's answer says an amount.
    Reported,
    /// The provider's answer says how long it bills, and our rates say what that costs.
    Metered,
    /// Our rates, by the outputs that came and their measured length.
    Computed,
    /// Our rates, by what was asked for: nobody knows what became of it.
    Estimated,
}

impl CostSource {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Reported,
        Self::Metered,
        Self::Computed,
        Self::Estimated,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Metered => "metered",
            Self::Computed => "computed",
            Self::Estimated => "estimated",
        }
    }

    /// The source of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }
}

/// What one submission cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// USD micros.
    pub usd_micros: u64,
    /// How it is known.
    pub source: CostSource,
}

/// What a provider asks for, USD micros.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CostRates {
    /// For each submission that succeeds.
    pub per_submission: u64,
    /// For each of its outputs.
    pub per_output: u64,
    /// For each second.
    pub per_second: u64,
    /// For one that fails, where its answer does not say.
    pub per_failure: u64,
    /// What is booked where nobody knows what became of it. `None` = by what was asked for.
    pub estimate: Option<u64>,
}

impl CostRates {
    /// Whether nothing is asked for.
    pub fn is_free(&self) -> bool {
        *self == Self::default()
    }

    /// What work of so many outputs and so many milliseconds costs; the last part of a micro counts as a
    /// whole one.
    pub fn of(&self, outputs: u32, ms: u64) -> u64 {
        let seconds = (u128::from(self.per_second) * u128::from(ms)).div_ceil(1000);
        let outputs = u128::from(self.per_output) * u128::from(outputs);
        let sum = u128::from(self.per_submission) + outputs + seconds;
        u64::try_from(sum)
            .unwrap_or(u64::MAX)
            .min(COST_MAX_USD_MICROS)
    }

    /// What is booked where nobody knows what became of work that was asked for like this: so many outputs,
    /// each at most so long.
    pub fn estimate(&self, outputs: u32, max_ms: Option<u64>) -> Cost {
        let all_ms = max_ms.unwrap_or(0).saturating_mul(u64::from(outputs));
        let by_rates = || self.of(outputs, all_ms);
        Cost {
            usd_micros: self.estimate.unwrap_or_else(by_rates),
            source: CostSource::Estimated,
        }
    }
}

/// An amount as a provider wrote it, in USD micros; `micros` is how many of them its unit has. What is
/// negative, no number or beyond belief is nothing: providers do say such things.
pub fn amount_usd_micros(text: &str, micros: f64) -> Option<u64> {
    let amount = text.trim().parse::<f64>().ok()? * micros;
    #[expect(clippy::cast_precision_loss, reason = "the bound is exact")]
    let believed = (0.0..=COST_MAX_USD_MICROS as f64).contains(&amount);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was looked at"
    )]
    believed.then(|| amount.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_costs_by_submission_output_and_second_and_is_rounded_up_once() {
        let rates = CostRates {
            per_submission: 100,
            per_output: 40,
            per_second: 7,
            ..CostRates::default()
        };
        for (outputs, ms, want) in [
            (0, 0, 100),
            (2, 0, 180),
            (1, 1_000, 147),
            (1, 1, 141),
            (1, 1_001, 148),
        ] {
            assert_eq!(rates.of(outputs, ms), want, "{outputs} outputs, {ms} ms");
        }
        let dear = CostRates {
            per_second: u64::MAX,
            ..CostRates::default()
        };
        assert_eq!(dear.of(1, u64::MAX), COST_MAX_USD_MICROS);
    }

    #[test]
    fn an_estimate_is_what_was_set_or_else_by_what_was_asked() {
        let mut rates = CostRates {
            per_second: 50_000,
            ..CostRates::default()
        };
        assert_eq!(rates.estimate(1, Some(5_000)).usd_micros, 250_000);
        assert_eq!(rates.estimate(2, Some(5_000)).usd_micros, 500_000);
        assert_eq!(rates.estimate(1, None).usd_micros, 0);
        rates.estimate = Some(9);
        assert_eq!(rates.estimate(1, Some(5_000)).usd_micros, 9);
    }

    #[test]
    fn amounts_are_read_to_the_micro_and_nonsense_is_nothing() {
        for (text, want) in [
            ("0.0123", Some(12_300)),
            (" 1 ", Some(1_000_000)),
            ("1e-6", Some(1)),
            ("0", Some(0)),
            ("-21898701.7", None),
            ("1e30", None),
            ("NaN", None),
            ("inf", None),
            ("free", None),
            ("", None),
        ] {
            assert_eq!(amount_usd_micros(text, 1e6), want, "{text}");
        }
    }

    #[test]
    fn sources_have_one_word_each() {
        for source in CostSource::ALL {
            assert_eq!(CostSource::from_word(source.as_str()), Some(source));
        }
        assert_eq!(CostSource::from_word("guessed"), None);
    }
}
