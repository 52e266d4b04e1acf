//! What a submission cost us, by the provider's own words or by the rates in its file.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::engine::Engine;
use super::pointer::Path;
use crate::domain::cost::{Cost, CostRates, CostSource, amount_usd_micros};

/// No billed time is believed that is longer, ms: a month.
const BILLED_MAX_MS: f64 = 2_678_400_000.0;

/// What the provider asks for and where its answers say so. Without it no cost is booked.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CostMap {
    /// Where an answer says the amount.
    #[serde(default)]
    reported: Option<ReportedRule>,
    /// Where an answer says the time that is billed, such as `metrics.predict_time`.
    #[serde(default)]
    billed: Option<BilledRule>,
    /// For each submission that succeeds, USD micros.
    #[serde(default)]
    per_submission_usd_micros: u64,
    /// For each of its outputs, USD micros.
    #[serde(default)]
    per_output_usd_micros: u64,
    /// For each billed second, or else each second of output, USD micros.
    #[serde(default)]
    per_second_usd_micros: u64,
    /// For a submission that fails without saying what it cost, USD micros.
    #[serde(default)]
    per_failure_usd_micros: u64,
    /// What is booked where nobody knows what became of a submission, USD micros.
    #[serde(default)]
    estimate_usd_micros: Option<u64>,
    /// Other rates for a model: nothing of the ones above counts for it.
    #[serde(default)]
    models: BTreeMap<String, ModelCost>,
}

/// The rates of one model, as those of the provider.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ModelCost {
    #[serde(default)]
    per_submission_usd_micros: u64,
    #[serde(default)]
    per_output_usd_micros: u64,
    #[serde(default)]
    per_second_usd_micros: u64,
    #[serde(default)]
    per_failure_usd_micros: u64,
    #[serde(default)]
    estimate_usd_micros: Option<u64>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReportedRule {
    at: Path,
    unit: AmountUnit,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum AmountUnit {
    Usd,
    UsdCents,
    UsdMicros,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BilledRule {
    at: Path,
    unit: TimeUnit,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum TimeUnit {
    Ms,
    S,
}

/// What an answer says about its cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// The amount, USD micros.
    pub cost_usd_micros: Option<u64>,
    /// The time that is billed, ms.
    pub billed_ms: Option<u64>,
}

impl Usage {
    /// Each of the two from the first answer that says it.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            cost_usd_micros: self.cost_usd_micros.or(other.cost_usd_micros),
            billed_ms: self.billed_ms.or(other.billed_ms),
        }
    }
}

/// What came of a submission, as far as its cost depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// It came to something.
    Delivered {
        /// How many outputs.
        outputs: u32,
        /// How long they are together, ms, where that was measured.
        measured_ms: Option<u64>,
        /// The longest that each was asked to be, ms.
        asked_ms: Option<u64>,
    },
    /// No output.
    Failed,
}

impl CostMap {
    /// What an answer says.
    pub(super) fn usage(&self, json: &Value) -> Usage {
        let amount = |rule: &ReportedRule| {
            let micros = match rule.unit {
                AmountUnit::Usd => 1e6,
                AmountUnit::UsdCents => 1e4,
                AmountUnit::UsdMicros => 1.0,
            };
            amount_usd_micros(&rule.at.text(json)?, micros)
        };
        let billed = |rule: &BilledRule| {
            let ms = rule.at.text(json)?.parse::<f64>().ok()?
                * match rule.unit {
                    TimeUnit::Ms => 1.0,
                    TimeUnit::S => 1000.0,
                };
            (0.0..=BILLED_MAX_MS)
                .contains(&ms)
                .then(|| ms.ceil() as u64)
        };
        Usage {
            cost_usd_micros: self.reported.as_ref().and_then(amount),
            billed_ms: self.billed.as_ref().and_then(billed),
        }
    }

    fn rates(&self, model: &str) -> CostRates {
        let own = ModelCost {
            per_submission_usd_micros: self.per_submission_usd_micros,
            per_output_usd_micros: self.per_output_usd_micros,
            per_second_usd_micros: self.per_second_usd_micros,
            per_failure_usd_micros: self.per_failure_usd_micros,
            estimate_usd_micros: self.estimate_usd_micros,
        };
        let set = self.models.get(model).unwrap_or(&own);
        CostRates {
            per_submission: set.per_submission_usd_micros,
            per_output: set.per_output_usd_micros,
            per_second: set.per_second_usd_micros,
            per_failure: set.per_failure_usd_micros,
            estimate: set.estimate_usd_micros,
        }
    }

    /// What contradicts itself.
    pub(super) fn problems(&self) -> Vec<String> {
        let models = || self.models.keys();
        let per_second =
            self.rates("").per_second > 0 || models().any(|model| self.rates(model).per_second > 0);
        let free = self.rates("").is_free() && models().all(|model| self.rates(model).is_free());
        let checks = [
            (
                free && self.reported.is_none(),
                "cost says neither a rate nor where an answer says the amount",
            ),
            (
                self.billed.is_some() && !per_second,
                "cost.billed needs cost.per_second_usd_micros",
            ),
        ];
        let wrong = checks.iter().filter(|(wrong, _)| *wrong);
        wrong.map(|(_, text)| (*text).to_owned()).collect()
    }
}

impl Engine {
    /// Whether anything is known of what this provider costs.
    pub fn has_costs(&self) -> bool {
        self.preset.cost.is_some()
    }

    /// What a submission cost. `None` where the provider's file says nothing about costs, or nothing was
    /// asked for: a failure that no answer and no rate makes us pay.
    pub fn cost(&self, model: &str, usage: Usage, work: Work) -> Option<Cost> {
        let map = self.preset.cost.as_ref()?;
        let rates = map.rates(model);
        let cost = |usd_micros, source| Some(Cost { usd_micros, source });
        if let Some(usd_micros) = usage.cost_usd_micros {
            return cost(usd_micros, CostSource::Reported);
        }
        if let Some(ms) = usage.billed_ms.filter(|_| rates.per_second > 0) {
            let outputs = match work {
                Work::Delivered { outputs, .. } => outputs,
                Work::Failed => 0,
            };
            return cost(rates.of(outputs, ms), CostSource::Metered);
        }
        match work {
            Work::Failed => {
                let asked = (rates.per_failure > 0).then_some(rates.per_failure);
                asked.and_then(|usd_micros| cost(usd_micros, CostSource::Computed))
            }
            Work::Delivered { .. } if rates.is_free() => None,
            Work::Delivered {
                outputs,
                measured_ms,
                asked_ms,
            } => {
                // By the output's length only where that is what is billed, and it was measured; a picture
                // has none, and none is asked of it.
                let has_length = measured_ms.is_some() || asked_ms.is_none();
                if rates.per_second > 0 && (map.billed.is_some() || !has_length) {
                    return Some(rates.estimate(outputs, asked_ms));
                }
                let ms = measured_ms.unwrap_or(0);
                cost(rates.of(outputs, ms), CostSource::Computed)
            }
        }
    }

    /// What is booked for a submission of which nobody knows what became of it.
    pub fn estimate(&self, model: &str, outputs: u32, max_ms: Option<u64>) -> Option<Cost> {
        let rates = self.preset.cost.as_ref()?.rates(model);
        (!rates.is_free()).then(|| rates.estimate(outputs, max_ms))
    }
}
