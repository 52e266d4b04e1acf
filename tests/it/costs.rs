//! What providers' work costs us: booked once for each submission, with the step that ends it.

use std::collections::BTreeMap;

use meterline::domain::cost::{Cost, CostSource};
use meterline::domain::failure::FailureClass;
use meterline::store::{
    ClaimedJob, Closing, CostEntry, DeferOutcome, FailOutcome, Failing, Owed, OwedOutcome,
    SettleOutcome, Step, Store, SubmissionCost,
};

use crate::support::*;

fn cost(usd_micros: u64) -> SubmissionCost {
    SubmissionCost {
        cost: Cost {
            usd_micros,
            source: CostSource::Reported,
        },
        provider: "sim".to_owned(),
        route: "fast".to_owned(),
        model: "m|1".to_owned(),
    }
}

async fn booked(store: &Store) -> Vec<CostEntry> {
    store.costs(0, "-", 100).await.expect("costs")
}

/// What was booked, in short: submission, how it ended, USD micros.
async fn short(store: &Store) -> Vec<(u32, String, u64)> {
    let entries = booked(store).await.into_iter();
    entries
        .map(|entry| (entry.submission, entry.outcome, entry.spent.cost.usd_micros))
        .collect()
}

async fn settle_for(store: &Store, job: &ClaimedJob, usd_micros: u64) -> SettleOutcome {
    let (how, cost) = (settlement(5), cost(usd_micros));
    let settled = store.settle_at_cost(&job.job, &job.token, &how, Some(&cost));
    settled.await.expect("settle")
}

async fn fail_for(store: &Store, job: &ClaimedJob, how: &Failing, usd_micros: u64) -> FailOutcome {
    let cost = cost(usd_micros);
    let failed = store.fail_at_cost(&job.job, &job.token, how, Some(&cost));
    failed.await.expect("fail")
}

async fn defer_for(store: &Store, job: &ClaimedJob, usd_micros: u64) -> DeferOutcome {
    let cost = cost(usd_micros);
    let put_off = store.defer_at_cost(&job.job, &job.token, 0, "capacity", &cost);
    put_off.await.expect("defer")
}

async fn take_owed(store: &Store) -> Vec<Owed> {
    let taken = store.claim_obligations(0, 1_000, 10);
    taken.await.expect("obligations")
}

async fn close(store: &Store, owed: &Owed, usd_micros: u64) -> OwedOutcome {
    let closing = Closing::Closed {
        cost: Some(cost(usd_micros)),
        ended: "succeeded",
    };
    let closed = store.settle_obligation(owed, &closing);
    closed.await.expect("an answer")
}

fn without_verdict() -> Failing {
    Failing {
        has_verdict: false,
        ..ends(FailureClass::Timeout)
    }
}

#[tokio::test]
async fn what_a_success_cost_is_booked_with_its_settlement_and_never_again() {
    let (store, _, _, job) = running_job().await;
    note(&store, &job, intent(1)).await;
    for _ in 0..3 {
        settle_for(&store, &job, 12_300).await;
    }
    let entries = booked(&store).await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    let entry = &entries[0];
    let words = [&entry.job, &entry.account, &entry.tool, &entry.outcome];
    let tool = view_of(&store, &job.job).await.text("tool").to_owned();
    assert_eq!(words, [job.job.as_str(), "acme", &tool, "succeeded"]);
    assert_eq!((entry.submission, entry.captured_ucr), (1, 5_000_000));
    assert_eq!((entry.at_ms, &entry.spent), (T0, &cost(12_300)));
    let spend = store.provider_spend().await.expect("sums");
    assert_eq!(spend.len(), 1);
    let spend = &spend[0];
    assert_eq!((spend.provider.as_str(), spend.submissions), ("sim", 1));
    assert_eq!((spend.cost_usd_micros, spend.waste_usd_micros), (12_300, 0));
    assert_sound(&store).await;
}

#[tokio::test]
async fn each_try_of_a_job_is_booked_once_whatever_is_said_again() {
    let (store, _, _, mut job) = running_job().await;
    for n in 1..=2 {
        note(&store, &job, intent(n)).await;
        for _ in 0..2 {
            fail_for(&store, &job, &again(0), 100 * u64::from(n)).await;
        }
        tick(&store.at(T0 + u64::from(n) * 1_000)).await;
        job = claim_one(&store.at(T0 + u64::from(n) * 1_000), "w1").await;
    }
    let store = store.at(T0 + 3_000);
    note(&store, &job, intent(3)).await;
    let put_off = defer_for(&store, &job, 300).await;
    assert_eq!(put_off, DeferOutcome::Deferred);
    let put_off = defer_for(&store, &job, 300).await;
    assert_eq!(put_off, DeferOutcome::Fenced);
    let job = claim_one(&store, "w1").await;
    note(&store, &job, intent(4)).await;
    for _ in 0..2 {
        fail_for(&store, &job, &ends(FailureClass::ContentPolicy), 400).await;
    }
    let want = [
        (1, "provider_fault", 100),
        (2, "provider_fault", 200),
        (3, "capacity", 300),
        (4, "content_policy", 400),
    ];
    let want = want.map(|(n, outcome, micros)| (n, outcome.to_owned(), micros));
    assert_eq!(short(&store).await, want);
    let spend = store.provider_spend().await.expect("sums");
    assert_eq!(
        (spend[0].cost_usd_micros, spend[0].waste_usd_micros),
        (1_000, 1_000)
    );
    assert_sound(&store).await;
}

#[tokio::test]
async fn where_nothing_was_sent_or_nothing_is_known_nothing_is_booked() {
    // Nothing was sent: there is no submission that could have cost anything.
    let (store, raw, _, job) = running_job().await;
    fail_for(&store, &job, &again(0), 7).await;
    tick(&store.at(T0 + 1_000)).await;
    let at = store.at(T0 + 1_000);
    let job = claim_one(&at, "w1").await;
    let put_off = defer_for(&at, &job, 7).await;
    assert_eq!(put_off, DeferOutcome::Deferred);
    let job = claim_one(&at, "w1").await;
    settle_for(&at, &job, 7).await;
    // Nothing is known: a provider without costs makes no keys at all.
    let (plain, plain_raw, _, job) = running_job().await;
    note(&plain, &job, intent(1)).await;
    attempt_settle(&plain, &job).await;
    for (store, raw) in [(&store, &raw), (&plain, &plain_raw)] {
        assert_eq!(short(store).await, []);
        for name in ["costs", "costsums"] {
            let there: i64 = raw.run(&["EXISTS", &key("part", name)]).await;
            assert_eq!(there, 0, "{name}");
        }
    }
    assert_sound(&at).await;
}

async fn attempt_settle(store: &Store, job: &ClaimedJob) {
    settle(store, job, &settlement(5)).await;
}

#[tokio::test]
async fn promise_06_what_a_deadline_left_open_is_booked_once_when_it_is_closed() {
    let (store, _, acme, job) = running_job().await;
    note(&store, &job, intent(1)).await;
    note(&store, &job, Step::Handle).await;
    let at = store.at(T0 + 60_000);
    assert_eq!(tick(&at).await, 1, "the deadline");
    assert_eq!(short(&at).await, [], "nobody knows yet");
    let first = take_owed(&at).await;
    assert_eq!(first.len(), 1);
    let owed = &first[0];
    let said = (owed.submission, owed.why.as_str(), owed.looks, owed.age_ms);
    assert_eq!(said, (1, "timed_out", 0, 0));
    assert!(owed.work.contains("Handle"), "{owed:?}");
    assert_eq!(take_owed(&at).await, [], "under a lease");
    // Whoever had it died: another gets it when the lease has lapsed, and the first is not heard any more.
    let at = store.at(T0 + 61_000);
    let second = take_owed(&at).await;
    assert_eq!((second[0].looks, second[0].age_ms), (1, 1_000));
    assert_eq!(close(&at, owed, 1).await, OwedOutcome::Stale);
    let later = Closing::Again { delay_ms: 5_000 };
    let put_off = at.settle_obligation(&second[0], &later).await;
    assert_eq!(put_off.expect("an answer"), OwedOutcome::Noted);
    assert_eq!(take_owed(&store.at(T0 + 65_999)).await, []);
    let at = store.at(T0 + 66_000);
    let third = take_owed(&at).await;
    assert_eq!(close(&at, &third[0], 250_000).await, OwedOutcome::Closed);
    assert_eq!(close(&at, &third[0], 250_000).await, OwedOutcome::Stale);
    assert_eq!(short(&at).await, [(1, "timed_out".to_owned(), 250_000)]);
    assert!(at.obligations().await.expect("a list").is_empty());
    assert_eq!(take_owed(&store.at(T0 + 90_000_000)).await, []);
    assert_eq!(balance(&at, &acme).await, (100, 0), "the user owes nothing");
    let timeline = at.timeline(&job.job).await.expect("a timeline");
    assert!(
        timeline
            .iter()
            .any(|line| line.event == "obligation_closed")
    );
    assert_sound(&at).await;
}

#[tokio::test]
async fn a_try_without_a_verdict_and_the_next_ones_success_are_two_costs() {
    let (store, _, _, job) = running_job().await;
    note(&store, &job, intent(1)).await;
    let open = Failing {
        again: again(0).again,
        ..without_verdict()
    };
    fail(&store, &job, &open).await;
    let at = store.at(T0 + 1_000);
    tick(&at).await;
    let job = claim_one(&at, "w1").await;
    note(&at, &job, intent(2)).await;
    settle_for(&at, &job, 20).await;
    let owed = take_owed(&at).await;
    assert_eq!(close(&at, &owed[0], 10).await, OwedOutcome::Closed);
    let want = [(2, "succeeded", 20), (1, "timeout", 10)];
    let want = want.map(|(n, outcome, micros)| (n, outcome.to_owned(), micros));
    assert_eq!(short(&at).await, want);
    assert_sound(&at).await;
}

#[tokio::test]
async fn a_success_that_comes_too_late_is_booked_at_what_it_is_known_to_cost() {
    let (store, _, _, job) = running_job().await;
    note(&store, &job, intent(1)).await;
    let late = store.at(T0 + 60_000);
    assert_eq!(settle_for(&late, &job, 77).await, SettleOutcome::TimedOut);
    assert_eq!(short(&late).await, []);
    let owed = take_owed(&late).await;
    assert_eq!(close(&late, &owed[0], 5).await, OwedOutcome::Closed);
    assert_eq!(short(&late).await, [(1, "timed_out".to_owned(), 77)]);
    assert_sound(&late).await;
}

#[tokio::test]
async fn an_end_that_comes_after_the_deadline_or_a_cancel_is_booked_as_that() {
    let (store, _, _, job) = running_job().await;
    note(&store, &job, intent(1)).await;
    let late = store.at(T0 + 60_000);
    fail_for(&late, &job, &again(0), 3).await;
    assert_eq!(short(&late).await, [(1, "timed_out".to_owned(), 3)]);
    let (store, _, _, job) = running_job().await;
    note(&store, &job, intent(1)).await;
    cancel(&store, &job.job).await;
    let put_off = defer_for(&store, &job, 4).await;
    assert_eq!(put_off, DeferOutcome::Ended);
    assert_eq!(short(&store).await, [(1, "cancelled".to_owned(), 4)]);
    assert!(store.obligations().await.expect("a list").is_empty());
    assert_sound(&store).await;
}

#[tokio::test]
async fn obligations_that_an_older_version_left_and_ones_without_words_are_seen_to() {
    let (store, raw, _, job) = running_job().await;
    note(&store, &job, intent(1)).await;
    fail(&store, &job, &without_verdict()).await;
    let _: i64 = raw.run(&["DEL", &key("part", "owed")]).await;
    assert_eq!(
        take_owed(&store).await.len(),
        1,
        "it was not listed for a look"
    );
    // One that no list knows, one that is listed: the first one's lease holds whatever is found beside it.
    for (index, id) in [
        ("obligations", "gone-0"),
        ("owed", "gone-1"),
        ("obligations", "gone-1"),
    ] {
        let _: i64 = raw.run(&["ZADD", &key("part", index), "1", id]).await;
    }
    assert_eq!(take_owed(&store).await, [], "under a lease");
    let left: i64 = raw.run(&["ZCARD", &key("part", "obligations")]).await;
    assert_eq!(left, 1, "what has no words is forgotten");
}

#[tokio::test]
async fn a_cost_that_cannot_be_exact_is_refused_before_anything_is_written() {
    let (store, raw, _, job) = running_job().await;
    note(&store, &job, intent(1)).await;
    let before = raw.digest().await;
    let absurd = cost(u64::MAX);
    let how = settlement(5);
    let settled = store.settle_at_cost(&job.job, &job.token, &how, Some(&absurd));
    assert!(settled.await.is_err());
    assert_eq!(raw.digest().await, before);
    assert_sound(&store).await;
}

async fn aged(store: &Store, raw: &Raw) -> Vec<String> {
    let acme = funded(store, "acme", 100).await;
    for n in 0..3 {
        let at = store.at(T0 + n * 1_000);
        accept(&at, &job_for(&at, &acme, 10)).await;
        let job = claim_one(&at, "w1").await;
        note(&at, &job, intent(1)).await;
        settle_for(&at, &job, 1).await;
        // The next entry is of a later millisecond of the server's clock.
        let _: i64 = raw.run(&["WAIT", "1", "2"]).await;
    }
    booked(store).await.into_iter().map(|one| one.id).collect()
}

#[tokio::test]
async fn costs_are_kept_for_their_time_and_until_history_has_them() {
    let (store, raw) = store_and_raw(options()).await;
    let ids = aged(&store, &raw).await;
    let at = store.at(T0 + 2_000);
    let left = async || {
        let entries = booked(&at).await.into_iter();
        entries.map(|one| one.id).collect::<Vec<_>>()
    };
    assert!(!at.trim_costs(0, 2_001).await.expect("a trim"));
    assert_eq!(left().await, ids, "too young");
    at.trim_costs(0, 2_000).await.expect("a trim");
    assert_eq!(left().await, ids[1..]);
    // Since there is a history nothing goes that it has not committed, and its mark never goes back.
    at.note_costs(0, "0-0").await.expect("a note");
    at.trim_costs(0, 0).await.expect("a trim");
    assert_eq!(left().await, ids[1..]);
    at.note_costs(0, &ids[2]).await.expect("a note");
    at.note_costs(0, "1-0").await.expect("a note");
    at.trim_costs(0, 0).await.expect("a trim");
    assert_eq!(left().await, ids[2..]);
    let spend = at.provider_spend().await.expect("sums");
    assert_eq!(spend[0].submissions, 3, "sums stay");
}

/// Random tries of many jobs, each word said up to three times: every submission that had a verdict or was
/// closed is in the ledger once, at what it cost.
#[tokio::test]
async fn promise_06_the_ledger_holds_every_submission_exactly_once_whatever_is_said_again() {
    let (store, _) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 1_000).await;
    let (mut want, mut seed) = (BTreeMap::new(), 88_172_645_463_325_252_u64);
    let mut random = |n: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % n
    };
    let mut now = T0;
    for _ in 0..40 {
        accept(&store.at(now), &job_for(&store, &acme, 10)).await;
        for submission in 1.. {
            now += 1_000;
            let at = store.at(now);
            tick(&at).await;
            let job = claim_one(&at, "w1").await;
            note(&at, &job, intent(submission)).await;
            let micros = 1 + random(1_000);
            let (way, times) = (random(5), 1 + random(3));
            want.insert((job.job.to_string(), submission), micros);
            for _ in 0..times {
                match way {
                    0 => {
                        settle_for(&at, &job, micros).await;
                    }
                    1 => drop(fail_for(&at, &job, &ends(FailureClass::UserInput), micros).await),
                    2 => drop(fail_for(&at, &job, &again(0), micros).await),
                    3 => {
                        let open = Failing {
                            again: again(0).again,
                            ..without_verdict()
                        };
                        fail(&at, &job, &open).await;
                    }
                    _ => {
                        let cost = cost(micros);
                        let put_off =
                            at.defer_at_cost(&job.job, &job.token, 0, "rate_limited", &cost);
                        put_off.await.expect("defer");
                    }
                }
            }
            for owed in take_owed(&at).await {
                for _ in 0..times {
                    close(&at, &owed, micros).await;
                }
            }
            if way < 2 {
                break;
            }
        }
    }
    let mut found = BTreeMap::new();
    for entry in store.costs(0, "-", 10_000).await.expect("costs") {
        let id = (entry.job, entry.submission);
        let twice = found.insert(id, entry.spent.cost.usd_micros);
        assert_eq!(twice, None, "booked twice");
    }
    assert!(want.len() > 60, "{}", want.len());
    assert_eq!(found, want);
    let sum: u64 = want.values().sum();
    let spend = store.provider_spend().await.expect("sums");
    assert_eq!(spend[0].cost_usd_micros, sum);
    assert_sound(&store.at(now)).await;
}
