//! What an output costs: the one place in the house where a price is rounded.
//!
//! A length is counted (limited to what was quoted, snapped to a whole second it barely passes,
//! put into whole increments), multiplied in `i128`, divided once, and rounded up to the rule's
//! quantum. The ceiling of a quote is the same sum over the longest output that was asked for, so
//! that no charge can pass it. Everything after this module is addition.

mod rule;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use rule::{BilledTrack, RateKind, Rule, RuleError};

use crate::domain::credits::Ucr;
use crate::domain::media::{Measurement, Support, TrackLength};

/// Milliseconds in the second that a rate is for.
const SECOND_MS: u64 = 1000;

/// What a request asked for, as far as the price depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The longest output the quote covers, in milliseconds; `None` for flat tools.
    pub max_ms: Option<u64>,
    /// How many outputs, one or more.
    pub outputs: u32,
}

/// Why no ceiling can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// A price per second needs a longest output.
    #[error("price the request: a tool priced per second needs a duration above 0")]
    NoMaximum,
    /// No output means no price.
    #[error("price the request: at least one output must be asked for")]
    NoOutputs,
    /// The ceiling is above the largest amount.
    #[error("price the request: its ceiling is above {} credits", Ucr::MAX.credits())]
    TooLarge,
}

/// What is charged for the outputs of one job, and how that came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// Measured length of all outputs together, in milliseconds; `None` for flat tools and where
    /// no length is trusted.
    pub measured_ms: Option<u64>,
    /// The part of it that the quote covers; see [`Rule::counted_ms`] for what it counts as.
    pub billable_ms: Option<u64>,
    /// What the whole output would cost if there were no quote.
    pub price_ucr: Ucr,
    /// What the account pays: never more than the ceiling.
    pub captured_ucr: Ucr,
    /// The rest of the price, which the platform pays.
    pub absorbed_ucr: Ucr,
    /// What an operator should look at.
    pub flags: ChargeFlags,
}

/// What was odd about the outputs of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ChargeFlags {
    /// An output has no length that can be trusted; nothing is charged for it.
    pub unmeasured: bool,
    /// Independent readings differ; the smallest one was charged.
    pub disagreement: bool,
    /// A length was charged that one reading gives and nothing confirms or contradicts.
    #[serde(default)]
    pub unconfirmed: bool,
    /// Fewer outputs came back than were asked for.
    pub fewer_outputs: bool,
}

impl Rule {
    /// The most that a request can cost.
    pub fn ceiling(&self, asked: &Asked) -> Result<Ucr, PriceError> {
        if asked.outputs == 0 {
            return Err(PriceError::NoOutputs);
        }
        let counted_ms = match (self.kind(), asked.max_ms) {
            (RateKind::Flat, _) => u128::from(SECOND_MS),
            (RateKind::PerSecond, None | Some(0)) => return Err(PriceError::NoMaximum),
            (RateKind::PerSecond, Some(max_ms)) => self.counted_ms(max_ms),
        };
        // Neither factor passes 2^65 and 2^32, so the product is far from the end of u128.
        self.price(counted_ms * u128::from(asked.outputs))
            .ok_or(PriceError::TooLarge)
    }

    /// What the stored outputs of a job cost: one measurement for each, in the provider's order.
    ///
    /// Outputs above the number asked for and length above the quote are absorbed. A request
    /// without a ceiling is charged nothing.
    pub fn charge(&self, asked: &Asked, outputs: &[Measurement]) -> Charge {
        let tally = match self.kind() {
            RateKind::Flat => Tally::of_flat(asked, outputs.len()),
            RateKind::PerSecond => Tally::of_lengths(self, asked, outputs),
        };
        // A length no clip can have (a hostile header) is absorbed up to the largest amount.
        let price_ucr = self.price(tally.whole_ms).unwrap_or(Ucr::MAX);
        let covered_ucr = self.price(tally.covered_ms).unwrap_or(Ucr::MAX);
        let captured_ucr = covered_ucr.min(self.ceiling(asked).unwrap_or(Ucr::ZERO));
        Charge {
            measured_ms: tally.measured_ms,
            billable_ms: tally.billable_ms,
            price_ucr,
            captured_ucr,
            // The covered part of an output never costs more than all of it.
            absorbed_ucr: price_ucr.checked_sub(captured_ucr).unwrap_or(Ucr::ZERO),
            flags: ChargeFlags {
                unmeasured: tally.unmeasured,
                disagreement: tally.disagreement,
                unconfirmed: tally.unconfirmed,
                fewer_outputs: outputs.len() < asked.outputs as usize,
            },
        }
    }

    /// What a length counts as, in milliseconds: the whole second it passes by at most `snap_ms`
    /// (only from one second on), then rounded up to whole increments.
    pub fn counted_ms(&self, length_ms: u64) -> u128 {
        let over_ms = length_ms % SECOND_MS;
        let snaps = length_ms >= SECOND_MS && over_ms <= u64::from(self.snap_ms());
        let snapped_ms = if snaps {
            length_ms - over_ms
        } else {
            length_ms
        };
        u128::from(snapped_ms).next_multiple_of(u128::from(self.increment_ms()))
    }

    /// The price of counted milliseconds: rate x length or the smallest charge, divided once,
    /// rounded up to whole quanta. Nothing costs nothing; `None` is above the largest amount.
    fn price(&self, counted_ms: u128) -> Option<Ucr> {
        if counted_ms == 0 {
            return Some(Ucr::ZERO);
        }
        let second_ms = i128::from(SECOND_MS);
        let product = i128::from(self.rate_ucr().get()).checked_mul(counted_ms.try_into().ok()?)?;
        let thousandths = product.max(i128::from(self.min_ucr().get()) * second_ms);
        let quantum = i128::from(self.quantum_ucr().get());
        let quanta = thousandths.checked_add(quantum * second_ms - 1)? / (quantum * second_ms);
        Ucr::new(quanta.checked_mul(quantum)?.try_into().ok()?).ok()
    }

    /// The length of one output that this rule charges for, supported as well as the weakest of the
    /// tracks it was chosen from. A length of nothing is no length.
    fn billed_length(&self, output: &Measurement) -> Option<TrackLength> {
        let tracks = match self.track() {
            BilledTrack::Video => [output.video, None],
            BilledTrack::Audio => [output.audio, None],
            BilledTrack::Max => [output.video, output.audio],
        };
        let measured = || tracks.iter().flatten();
        let support = measured().map(|track| track.support).min()?;
        let ms = measured().map(|track| track.ms).max()?;
        (ms > 0).then_some(TrackLength { ms, support })
    }
}

/// The outputs of one job added up, before any price.
#[derive(Default)]
struct Tally {
    measured_ms: Option<u64>,
    billable_ms: Option<u64>,
    /// Counted milliseconds of everything that came back.
    whole_ms: u128,
    /// Counted milliseconds of what the quote covers.
    covered_ms: u128,
    unmeasured: bool,
    disagreement: bool,
    unconfirmed: bool,
}

impl Tally {
    /// A flat rate is a rate for one second of an output that always lasts one second.
    fn of_flat(asked: &Asked, stored: usize) -> Self {
        let covered = stored.min(asked.outputs as usize);
        let as_ms = |outputs: usize| outputs as u128 * u128::from(SECOND_MS);
        Self {
            whole_ms: as_ms(stored),
            covered_ms: as_ms(covered),
            ..Self::default()
        }
    }

    fn of_lengths(rule: &Rule, asked: &Asked, outputs: &[Measurement]) -> Self {
        let mut tally = Self {
            unmeasured: outputs.is_empty(),
            ..Self::default()
        };
        let max_ms = asked.max_ms.unwrap_or(0);
        for (index, output) in outputs.iter().enumerate() {
            let Some(billed) = rule.billed_length(output) else {
                tally.unmeasured = true;
                continue;
            };
            let covered_ms = if index < asked.outputs as usize {
                billed.ms.min(max_ms)
            } else {
                0
            };
            tally.disagreement |= billed.support == Support::Differing;
            tally.unconfirmed |= billed.support == Support::Alone;
            tally.whole_ms += rule.counted_ms(billed.ms);
            tally.covered_ms += rule.counted_ms(covered_ms);
            // These two are shown, not charged: at the end of u64 they stop instead of failing.
            tally.measured_ms = Some(tally.measured_ms.unwrap_or(0).saturating_add(billed.ms));
            tally.billable_ms = Some(tally.billable_ms.unwrap_or(0).saturating_add(covered_ms));
        }
        tally
    }
}
