//! What an output costs: the one place in the house where a price is rounded.
//!
//! A length is counted (limited to what was quoted, snapped to a whole second it barely passes,
//! put into whole increments), multiplied in `i128`, divided once, and rounded up to the rule's
//! quantum. The ceiling of a quote is the same sum over the longest output that was asked for, so
//! that no charge can pass it. Everything after this module is addition.

mod rule;

use serde::{Deserialize, Serialize};

pub use rule::{BilledTrack, RateKind, Rule, RuleError};

use crate::domain::credits::Ucr;
use crate::domain::media::Measurement;

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

    /// The length of one output that this rule charges for, and whether all readings agreed.
    /// A length of nothing is no length.
    fn billed_length(&self, output: &Measurement) -> Option<(u64, bool)> {
        let tracks = match self.track() {
            BilledTrack::Video => [output.video, None],
            BilledTrack::Audio => [output.audio, None],
            BilledTrack::Max => [output.video, output.audio],
        };
        let measured = || tracks.iter().flatten();
        let length_ms = measured()
            .map(|track| track.ms)
            .max()
            .filter(|&ms| ms > 0)?;
        Some((length_ms, measured().all(|track| track.agreed)))
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
            let Some((length_ms, agreed)) = rule.billed_length(output) else {
                tally.unmeasured = true;
                continue;
            };
            let covered_ms = if index < asked.outputs as usize {
                length_ms.min(max_ms)
            } else {
                0
            };
            tally.disagreement |= !agreed;
            tally.whole_ms += rule.counted_ms(length_ms);
            tally.covered_ms += rule.counted_ms(covered_ms);
            // These two are shown, not charged: at the end of u64 they stop instead of failing.
            tally.measured_ms = Some(tally.measured_ms.unwrap_or(0).saturating_add(length_ms));
            tally.billable_ms = Some(tally.billable_ms.unwrap_or(0).saturating_add(covered_ms));
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::media::{MediaKind, TrackLength};

    fn per_second(credits: u32) -> Rule {
        Rule::per_second(Ucr::from_credits(credits), BilledTrack::Video).unwrap()
    }

    fn flat(credits: u32) -> Rule {
        Rule::flat(Ucr::from_credits(credits)).unwrap()
    }

    fn clip(ms: u64) -> Measurement {
        let video = Some(TrackLength { ms, agreed: true });
        Measurement {
            kind: MediaKind::Video,
            video,
            audio: None,
        }
    }

    fn image() -> Measurement {
        Measurement {
            kind: MediaKind::Image,
            video: None,
            audio: None,
        }
    }

    fn seconds(quoted_s: u64) -> Asked {
        Asked {
            max_ms: Some(quoted_s * SECOND_MS),
            outputs: 1,
        }
    }

    /// Captured and absorbed whole credits of one clip.
    fn credits_of(rule: &Rule, quoted_s: u64, measured_ms: u64) -> (i64, i64) {
        let charge = rule.charge(&seconds(quoted_s), &[clip(measured_ms)]);
        let whole = |amount: Ucr| {
            assert_eq!(amount.get() % Ucr::from_credits(1).get(), 0);
            amount.get() / Ucr::from_credits(1).get()
        };
        (whole(charge.captured_ucr), whole(charge.absorbed_ucr))
    }

    #[test]
    fn clips_cost_what_the_examples_say() {
        for (rate, quoted_s, measured_ms, captured, absorbed, why) in [
            (7, 5, 5_062, 35, 0, "81 frames at 16 fps, quoted for 5 s"),
            (7, 10, 5_062, 35, 0, "81 frames at 16 fps, quoted for 10 s"),
            (7, 10, 5_250, 35, 0, "the last millisecond that snaps"),
            (7, 10, 5_251, 37, 0, "the first that does not"),
            (7, 10, 200, 2, 0, "below one second nothing snaps"),
            (7, 10, 1_000, 7, 0, "one second"),
            (7, 10, 1_250, 7, 0, "snapping starts at one second"),
            (7, 10, 999, 7, 0, "6.993 credits round up"),
            (7, 10, 12_000, 70, 14, "longer than quoted"),
            (7, 5, 5_300, 35, 3, "0.3 s more than quoted"),
            (2, 10, 10_040, 20, 0, "avatar"),
            (
                23,
                5,
                5_041,
                115,
                0,
                "121 frames at 24 fps at the dearest rate",
            ),
            (23, 4, 3_880, 90, 0, "97 frames at 25 fps"),
        ] {
            assert_eq!(
                credits_of(&per_second(rate), quoted_s, measured_ms),
                (captured, absorbed),
                "{why}"
            );
        }
    }

    #[test]
    fn the_ceiling_is_the_price_of_the_longest_output() {
        assert_eq!(
            per_second(7).ceiling(&seconds(5)),
            Ok(Ucr::from_credits(35))
        );
        assert_eq!(
            per_second(23).ceiling(&seconds(10)),
            Ok(Ucr::from_credits(230))
        );
        let four = Asked {
            max_ms: None,
            outputs: 4,
        };
        assert_eq!(flat(7).ceiling(&four), Ok(Ucr::from_credits(28)));
    }

    #[test]
    fn a_request_without_bounds_has_no_ceiling_and_costs_nothing() {
        let endless = Asked {
            max_ms: None,
            outputs: 1,
        };
        assert_eq!(per_second(7).ceiling(&endless), Err(PriceError::NoMaximum));
        assert_eq!(
            per_second(7).ceiling(&seconds(0)),
            Err(PriceError::NoMaximum)
        );
        let none = Asked {
            max_ms: Some(1_000),
            outputs: 0,
        };
        assert_eq!(flat(7).ceiling(&none), Err(PriceError::NoOutputs));
        let huge = Asked {
            max_ms: Some(u64::MAX),
            outputs: u32::MAX,
        };
        assert_eq!(per_second(7).ceiling(&huge), Err(PriceError::TooLarge));
        for asked in [endless, none, huge] {
            let charge = per_second(7).charge(&asked, &[clip(5_000)]);
            assert_eq!(charge.captured_ucr, Ucr::ZERO);
            assert_eq!(charge.absorbed_ucr, Ucr::from_credits(35));
        }
    }

    #[test]
    fn flat_tools_charge_what_came_back_and_no_more_than_asked() {
        let asked = Asked {
            max_ms: None,
            outputs: 4,
        };
        for (stored, captured, absorbed, fewer) in [
            (4, 28, 0, false),
            (3, 21, 0, true),
            (0, 0, 0, true),
            (6, 28, 14, false),
        ] {
            let charge = flat(7).charge(&asked, &vec![image(); stored]);
            assert_eq!(
                charge.captured_ucr,
                Ucr::from_credits(captured),
                "{stored} stored"
            );
            assert_eq!(
                charge.absorbed_ucr,
                Ucr::from_credits(absorbed),
                "{stored} stored"
            );
            assert_eq!(charge.flags.fewer_outputs, fewer, "{stored} stored");
            assert_eq!(charge.measured_ms, None);
            assert!(!charge.flags.unmeasured);
        }
    }

    #[test]
    fn what_cannot_be_measured_is_free_and_flagged() {
        let silent = Measurement {
            kind: MediaKind::Video,
            video: None,
            audio: None,
        };
        let minimum = per_second(7).with_min(Ucr::from_credits(5)).unwrap();
        for outputs in [&[silent][..], &[clip(0)], &[]] {
            let charge = minimum.charge(&seconds(5), outputs);
            assert_eq!(
                (charge.price_ucr, charge.captured_ucr),
                (Ucr::ZERO, Ucr::ZERO)
            );
            assert_eq!((charge.measured_ms, charge.billable_ms), (None, None));
            assert!(charge.flags.unmeasured);
        }
    }

    #[test]
    fn a_disagreement_is_charged_as_measured_and_flagged() {
        let video = Some(TrackLength {
            ms: 4_000,
            agreed: false,
        });
        let output = Measurement {
            kind: MediaKind::Video,
            video,
            audio: None,
        };
        let charge = per_second(7).charge(&seconds(5), &[output]);
        assert_eq!(charge.captured_ucr, Ucr::from_credits(28));
        assert!(charge.flags.disagreement);
        assert!(!charge.flags.unmeasured);
    }

    #[test]
    fn the_rule_says_which_track_is_charged() {
        let output = Measurement {
            kind: MediaKind::Video,
            video: Some(TrackLength {
                ms: 4_000,
                agreed: true,
            }),
            audio: Some(TrackLength {
                ms: 5_000,
                agreed: false,
            }),
        };
        for (track, credits, disagreement) in [
            (BilledTrack::Video, 28, false),
            (BilledTrack::Audio, 35, true),
            (BilledTrack::Max, 35, true),
        ] {
            let rule = Rule::per_second(Ucr::from_credits(7), track).unwrap();
            let charge = rule.charge(&seconds(10), &[output]);
            assert_eq!(charge.captured_ucr, Ucr::from_credits(credits), "{track:?}");
            assert_eq!(charge.flags.disagreement, disagreement, "{track:?}");
        }
    }

    #[test]
    fn options_of_a_rule_change_the_count_not_the_bound() {
        let whole_seconds = per_second(7).with_increment_ms(1_000).unwrap();
        assert_eq!(credits_of(&whole_seconds, 10, 5_062), (35, 0));
        assert_eq!(credits_of(&whole_seconds, 10, 5_300), (42, 0));
        let exact = per_second(7).with_snap_ms(0).unwrap();
        assert_eq!(credits_of(&exact, 10, 5_062), (36, 0));
        let at_least_ten = per_second(7).with_min(Ucr::from_credits(10)).unwrap();
        assert_eq!(credits_of(&at_least_ten, 10, 200), (10, 0));
        let tenths = per_second(7)
            .with_quantum(Ucr::new(100_000).unwrap())
            .unwrap();
        let charge = tenths.charge(&seconds(10), &[clip(5_251)]);
        assert_eq!(
            charge.captured_ucr,
            Ucr::new(36_800_000).unwrap(),
            "36.757 credits"
        );
    }

    #[test]
    fn several_clips_are_added_before_they_are_rounded() {
        let asked = Asked {
            max_ms: Some(5_000),
            outputs: 2,
        };
        let charge = per_second(7).charge(&asked, &[clip(500), clip(500)]);
        assert_eq!(charge.captured_ucr, Ucr::from_credits(7));
        let extra = per_second(7).charge(&asked, &[clip(5_000), clip(9_000), clip(1_000)]);
        assert_eq!(extra.captured_ucr, Ucr::from_credits(70));
        assert_eq!(extra.absorbed_ucr, Ucr::from_credits(35));
        assert_eq!(
            (extra.measured_ms, extra.billable_ms),
            (Some(15_000), Some(10_000))
        );
    }

    #[test]
    fn a_length_no_clip_can_have_is_absorbed_up_to_the_largest_amount() {
        let charge = per_second(7).charge(&seconds(5), &[clip(u64::MAX), clip(u64::MAX)]);
        assert_eq!(charge.captured_ucr, Ucr::from_credits(35));
        assert_eq!(charge.price_ucr, Ucr::MAX);
    }

    prop_compose! {
        fn any_rule()(
            is_flat: bool,
            rate in 1..=50_000_000_i64,
            quantum in 1..=3_000_000_i64,
            snap in 0..=Rule::SNAP_MS_MAX,
            increment in 1..=2_000_u32,
            min in 0..=20_000_000_i64,
        ) -> Rule {
            let rate = Ucr::new(rate).unwrap();
            let rule = if is_flat {
                Rule::flat(rate)
            } else {
                Rule::per_second(rate, BilledTrack::Video)
            };
            rule.and_then(|rule| rule.with_quantum(Ucr::new(quantum).unwrap()))
                .and_then(|rule| rule.with_snap_ms(snap))
                .and_then(|rule| rule.with_increment_ms(increment))
                .and_then(|rule| rule.with_min(Ucr::new(min).unwrap()))
                .unwrap()
        }
    }

    proptest! {
        #[test]
        fn no_charge_passes_its_ceiling(
            rule in any_rule(),
            max_ms in 1..600_000_u64,
            outputs in 1..6_u32,
            lengths in prop::collection::vec(0..1_000_000_u64, 0..8),
        ) {
            let asked = Asked { max_ms: Some(max_ms), outputs };
            let clips: Vec<Measurement> = lengths.into_iter().map(clip).collect();
            let charge = rule.charge(&asked, &clips);
            prop_assert!(charge.captured_ucr <= rule.ceiling(&asked).unwrap());
            prop_assert!(charge.captured_ucr <= charge.price_ucr);
            prop_assert_eq!(charge.captured_ucr.checked_add(charge.absorbed_ucr), Some(charge.price_ucr));
            for amount in [charge.price_ucr, charge.captured_ucr, charge.absorbed_ucr] {
                prop_assert_eq!(amount.get() % rule.quantum_ucr().get(), 0, "whole quanta");
            }
        }

        #[test]
        fn a_longer_clip_never_costs_less(
            rule in any_rule(),
            max_ms in 1..20_000_u64,
            ms in 0..30_000_u64,
            more_ms in 0..3_000_u64,
        ) {
            let asked = Asked { max_ms: Some(max_ms), outputs: 1 };
            let short = rule.charge(&asked, &[clip(ms)]);
            let long = rule.charge(&asked, &[clip(ms + more_ms)]);
            prop_assert!(short.captured_ucr <= long.captured_ucr);
            prop_assert!(short.price_ucr <= long.price_ucr);
        }

        #[test]
        fn a_price_is_less_than_one_quantum_above_the_exact_one(
            rate in 1..50_000_000_i64,
            ms in 1..30_000_u64,
        ) {
            let rule = Rule::per_second(Ucr::new(rate).unwrap(), BilledTrack::Video)
                .and_then(|rule| rule.with_snap_ms(0))
                .unwrap();
            let charge = rule.charge(&Asked { max_ms: Some(ms), outputs: 1 }, &[clip(ms)]);
            let over = i128::from(charge.captured_ucr.get()) * 1000 - i128::from(rate) * i128::from(ms);
            prop_assert!((0..i128::from(rule.quantum_ucr().get()) * 1000).contains(&over));
        }
    }
}
