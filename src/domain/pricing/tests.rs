//! Prices computed by hand, and what holds for every price.

use proptest::prelude::*;

use super::*;
use crate::domain::media::{MediaKind, Support, TrackLength};

fn per_second(credits: u32) -> Rule {
    Rule::per_second(Ucr::from_credits(credits), BilledTrack::Video).unwrap()
}

fn flat(credits: u32) -> Rule {
    Rule::flat(Ucr::from_credits(credits)).unwrap()
}

fn clip(ms: u64) -> Measurement {
    let video = Some(TrackLength::agreed(ms));
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
        support: Support::Differing,
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
        video: Some(TrackLength::agreed(4_000)),
        audio: Some(TrackLength {
            ms: 5_000,
            support: Support::Differing,
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
