//! What a house books for the work of its providers, and how it works off what they may still be doing.

use std::time::Duration;

use meterline::domain::ids::JobId;
use meterline::provider::Providers;
use meterline::store::CostEntry;
use meterline::worker::{ObligationWatch, StepPhase, WatchOptions};
use serde_json::json;

use crate::support::rig::{Rig, dies_at};
use crate::support::*;

/// What was booked for one job, by submission: how it ended, USD micros, how that is known.
async fn costs_of(rig: &Rig, job: &JobId) -> Vec<(u32, String, u64, &'static str)> {
    let of_job = |entry: &CostEntry| entry.job == job.as_str();
    let found = rig.store.costs(job.partition(), "-", 1_000).await;
    let found = found.expect("costs").into_iter().filter(of_job);
    let mut found: Vec<_> = found
        .map(|entry| {
            let cost = entry.spent.cost;
            let source = cost.source.as_str();
            (entry.submission, entry.outcome, cost.usd_micros, source)
        })
        .collect();
    found.sort();
    found
}

fn watching(rig: &Rig, providers: Providers, watch_ms: u64) -> ObligationWatch {
    let options = WatchOptions {
        poll_ms: 50,
        watch_ms,
        at_a_time: 4,
        keep_ms: 86_400_000,
    };
    ObligationWatch::start(rig.store.clone(), providers, options)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_cost_is_what_the_provider_says_or_else_what_its_rates_say() {
    let rig = Rig::new().await;
    let acme = account("acme");
    rig.fund(&acme, 200).await;
    let worker = rig.worker(None);
    let booked = |n, outcome: &str, micros, source| (n, outcome.to_owned(), micros, source);
    let image = rig.image(&acme, json!({})).await.job;
    let video = rig
        .video(&acme, 5_000, json!({"actual_ms": 4_000}))
        .await
        .job;
    let said = rig
        .image(&acme, json!({"cost_usd_micros": 1_234}))
        .await
        .job;
    let wasted = json!({"fail": "content_policy", "cost_usd_micros": 777});
    let wasted = rig.image(&acme, wasted).await.job;
    let free = rig
        .image(&acme, json!({"fail": "content_policy"}))
        .await
        .job;
    // A success that cannot be used is paid for nothing, on every try.
    let garbage = rig.image(&acme, json!({"garbage": true})).await.job;
    for job in [&image, &video, &said, &wasted, &free, &garbage] {
        rig.ended(job).await;
    }
    assert_eq!(
        costs_of(&rig, &image).await,
        [booked(1, "succeeded", 4_000, "computed")]
    );
    assert_eq!(
        costs_of(&rig, &video).await,
        [booked(1, "succeeded", 44_000, "computed")]
    );
    assert_eq!(
        costs_of(&rig, &said).await,
        [booked(1, "succeeded", 1_234, "reported")]
    );
    assert_eq!(
        costs_of(&rig, &wasted).await,
        [booked(1, "content_policy", 777, "reported")]
    );
    assert_eq!(costs_of(&rig, &free).await, []);
    let view = view_of(&rig.store, &garbage).await;
    let paid = costs_of(&rig, &garbage).await;
    assert_eq!(paid.len().to_string(), view.text("submissions"), "{paid:?}");
    assert!(
        paid.iter()
            .all(|(_, outcome, micros, _)| outcome == "provider_fault" && *micros == 4_000)
    );
    let artifact = view_of(&rig.store, &image)
        .await
        .artifact
        .expect("a record");
    assert!(
        !artifact.contains("usd_micros"),
        "what it cost us is ours: {artifact}"
    );
    worker.drain().await;
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_around_the_booking_books_once_through_its_heir() {
    for (name, phase) in [
        ("artifact", StepPhase::After),
        ("settle", StepPhase::Before),
        ("settle", StepPhase::After),
    ] {
        let rig = Rig::new().await;
        let acme = account("acme");
        rig.fund(&acme, 100).await;
        let (hook, reached) = dies_at(name, phase);
        let doomed = rig.worker_with(Some(hook), 1);
        let job = rig.image(&acme, json!({"cost_usd_micros": 55})).await.job;
        reached.notified().await;
        doomed.abort().await;
        let heir = rig.worker(None);
        rig.ended(&job).await;
        let want = [(1, "succeeded".to_owned(), 55, "reported")];
        assert_eq!(costs_of(&rig, &job).await, want, "{phase:?} {name}");
        heir.drain().await;
        rig.assert_sound().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_06_obligations_are_worked_off_and_what_they_cost_is_booked_as_ours() {
    let rig = Rig::new().await;
    let acme = account("acme");
    rig.fund(&acme, 200).await;
    let worker = rig.worker(None);
    // One obeys the cancel and says what it cost, one finishes all the same, one cannot be asked.
    let obeys = json!({"hang": true, "cost_usd_micros": 900});
    let obeys = rig.video(&acme, 5_000, obeys).await.job;
    let late = json!({"hang": true, "late_after_cancel_ms": 300});
    let late = rig.video(&acme, 5_000, late).await.job;
    let params = json!({"prompt": "x", "sim": {"drop_after_accept": true}});
    let blind = rig.submit_on(&acme, "text-to-image", params, Some("sim-blind"));
    let blind = blind.await.job;
    for job in [&obeys, &late] {
        rig.seen(job, "handle", 1).await;
        rig.store.cancel(job, "tests").await.expect("cancel");
    }
    for job in [&obeys, &late, &blind] {
        rig.ended(job).await;
    }
    assert_eq!(rig.store.obligations().await.expect("a list").len(), 3);
    // Two processes share them.
    let watches = [0, 1].map(|_| watching(&rig, rig.providers(), 2_000));
    for job in [&obeys, &late, &blind] {
        rig.seen(job, "obligation_closed", 1).await;
    }
    for watch in watches {
        watch.stop().await;
    }
    let want = |outcome: &str, micros, source| [(1, outcome.to_owned(), micros, source)];
    assert_eq!(
        costs_of(&rig, &obeys).await,
        want("cancelled", 900, "reported")
    );
    // Nobody fetched and measured it: 5 s were asked for.
    assert_eq!(
        costs_of(&rig, &late).await,
        want("cancelled", 54_000, "estimated")
    );
    assert_eq!(
        costs_of(&rig, &blind).await,
        want("unknown_outcome", 4_000, "estimated")
    );
    assert!(rig.store.obligations().await.expect("a list").is_empty());
    assert_eq!(balance(&rig.store, &acme).await, (200, 0));
    worker.drain().await;
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_obligation_of_a_provider_that_is_not_here_waits_for_another_process() {
    let rig = Rig::new().await;
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let worker = rig.worker(None);
    let sim = json!({"hang": true, "cost_usd_micros": 7});
    let job = rig.video(&acme, 5_000, sim).await.job;
    rig.seen(&job, "handle", 1).await;
    rig.store.cancel(&job, "tests").await.expect("cancel");
    rig.ended(&job).await;
    let stranger = watching(&rig, Providers::default(), 3_600_000);
    let looked = async {
        loop {
            let owed = rig.store.obligations().await.expect("a list");
            if owed.iter().any(|one| one.looks > 0) {
                return;
            }
            // Nothing is announced of a look that found nothing.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, looked).await.expect("a look");
    stranger.stop().await;
    assert_eq!(costs_of(&rig, &job).await, []);
    assert_eq!(rig.store.obligations().await.expect("a list").len(), 1);
    worker.drain().await;
    rig.assert_sound().await;
}
