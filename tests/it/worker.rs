//! Workers against a real Redis and a real HTTP provider.

use std::time::Duration;

use serde_json::json;

use crate::support::rig::Rig;
use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_all_the_way_and_is_charged_for_its_measured_length() {
    let rig = Rig::new().await;
    let acme = account("acme");
    rig.fund(&acme, 500).await;
    let worker = rig.worker(None);
    let table = [
        (5_000, json!({"actual_ms": 5_062}), 35, 0),
        (10_000, json!({"actual_ms": 5_062}), 35, 0),
        (10_000, json!({"actual_ms": 5_250}), 35, 0),
        (10_000, json!({"actual_ms": 5_251}), 37, 0),
        (10_000, json!({"actual_ms": 200}), 2, 0),
        (
            10_000,
            json!({"actual_ms": 12_000, "reported_ms": 3}),
            70,
            14,
        ),
    ];
    for (duration_ms, sim, captured, absorbed) in table {
        let submitted = rig.video(&acme, duration_ms, sim.clone()).await;
        let view = rig.ended(&submitted.job).await;
        assert_eq!(view.text("state"), "succeeded", "{sim}: {view:?}");
        assert_eq!(view.number("captured_ucr"), captured * 1_000_000, "{sim}");
        assert_eq!(view.number("absorbed_ucr"), absorbed * 1_000_000, "{sim}");
    }
    assert_eq!(
        balance(&rig.store, &acme).await,
        (500 - 35 - 35 - 35 - 37 - 2 - 70, 0)
    );
    assert_eq!(worker.drain().await, 0);
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_delivers() {
    let rig = Rig::new().await;
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let worker = rig.worker(None);
    for route in ["sim", "sim-sync", "sim-blind", "sim-bytes"] {
        let params = json!({"prompt": "x"});
        let job = rig
            .submit_on(&acme, "text-to-image", params, Some(route))
            .await
            .job;
        let view = rig.ended(&job).await;
        assert_eq!(view.text("state"), "succeeded", "{route}: {view:?}");
        assert_eq!(rig.started_for(&job).await, 1, "{route}");
    }
    assert_eq!(worker.drain().await, 0);
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_05_every_failure_gives_everything_back() {
    let rig = Rig::new().await;
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let worker = rig.worker(None);
    let table = [
        (json!({"fail": "user_input"}), "failed", "user_input", 0),
        (
            json!({"fail": "content_policy"}),
            "failed",
            "content_policy",
            1,
        ),
        (
            json!({"fail": "provider_fault"}),
            "failed",
            "provider_fault",
            3,
        ),
        (json!({"fail": "our_auth"}), "failed", "our_auth", 0),
        (json!({"fail": "our_balance"}), "failed", "our_balance", 0),
        (json!({"fail": "lost"}), "failed", "lost", 3),
        (json!({"empty": true}), "failed", "provider_fault", 3),
        (json!({"garbage": true}), "failed", "provider_fault", 1),
        (json!({"hang": true}), "timed_out", "timeout", 2),
    ];
    for (sim, state, class, started) in table {
        let submitted = rig.image(&acme, sim.clone()).await;
        let view = rig.ended(&submitted.job).await;
        assert_eq!(view.text("state"), state, "{sim}: {view:?}");
        assert_eq!(view.text("fail_class"), class, "{sim}");
        assert_eq!(view.number("captured_ucr"), 0, "{sim}");
        assert!(rig.started_for(&submitted.job).await <= started, "{sim}");
        assert_eq!(balance(&rig.store, &acme).await, (100, 0), "{sim}");
    }
    worker.drain().await;
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_put_a_job_back_without_spending_a_try() {
    let rig = Rig::new().await;
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let worker = rig.worker(None);
    let job = rig.image(&acme, json!({"retry_after_s": 1})).await.job;
    let view = rig.ended(&job).await;
    assert_eq!(view.text("state"), "succeeded", "{view:?}");
    assert_eq!(view.number("tries"), 0);
    worker.drain().await;
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_07_a_dropped_answer_is_repeated_only_with_the_providers_idempotency() {
    let rig = Rig::new().await;
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let worker = rig.worker(None);
    let params = json!({"prompt": "x", "sim": {"drop_after_accept": true}});
    let with_key = rig
        .submit_on(&acme, "text-to-image", params.clone(), Some("sim"))
        .await
        .job;
    let blind = rig
        .submit_on(&acme, "text-to-image", params, Some("sim-blind"))
        .await
        .job;
    assert_eq!(rig.ended(&with_key).await.text("state"), "succeeded");
    let view = rig.ended(&blind).await;
    assert_eq!(
        (view.text("state"), view.text("fail_class")),
        ("failed", "unknown_outcome")
    );
    assert_eq!(rig.started_for(&with_key).await, 1);
    assert_eq!(rig.started_for(&blind).await, 1);
    let obligations = rig.store.obligations().await.expect("obligations");
    assert_eq!(
        obligations.len(),
        1,
        "the blind one may still be working: {obligations:?}"
    );
    worker.drain().await;
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_its_job_and_not_the_worker() {
    let rig = Rig::new().await;
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let armed = std::sync::atomic::AtomicBool::new(true);
    let worker = rig.worker(Some(std::sync::Arc::new(move |point| {
        let now = point.name == "poll" && armed.swap(false, std::sync::atomic::Ordering::Relaxed);
        assert!(!now, "a bug in the attempt");
        Box::pin(std::future::ready(()))
    })));
    let broken = rig.image(&acme, json!({})).await.job;
    let view = rig.ended(&broken).await;
    assert_eq!(
        (view.text("state"), view.text("fail_class")),
        ("failed", "lost")
    );
    let next = rig.image(&acme, json!({})).await.job;
    assert_eq!(rig.ended(&next).await.text("state"), "succeeded");
    assert_eq!(balance(&rig.store, &acme).await, (93, 0));
    worker.drain().await;
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_stops_at_once_and_costs_nothing() {
    let rig = Rig::new().await;
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let worker = rig.worker(None);
    let job = rig
        .video(&acme, 5_000, json!({"delay_ms": 15_000}))
        .await
        .job;
    rig.seen(&job, "handle", 1).await;
    rig.store.cancel(&job, "tests").await.expect("cancel");
    let view = rig.ended(&job).await;
    assert_eq!(view.text("state"), "cancelled");
    let took_ms = view.number("finished_at") - view.number("cancel_at");
    assert!(
        took_ms < 1_500,
        "the worker was woken, not waited for: {took_ms} ms"
    );
    assert_eq!(balance(&rig.store, &acme).await, (100, 0));
    worker.drain().await;
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_of_ten_gigabytes_is_not_taken_and_not_charged() {
    let rig = Rig::new().await;
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let worker = rig.worker(None);
    let job = rig
        .image(&acme, json!({"huge_bytes": 10_000_000_000_u64}))
        .await
        .job;
    let view = rig.ended(&job).await;
    assert_eq!(
        (view.text("state"), view.text("fail_class")),
        ("failed", "provider_fault")
    );
    assert!(view.text("message").contains("more than"), "{view:?}");
    assert_eq!(
        rig.started_for(&job).await,
        1,
        "another try would do no better"
    );
    assert_eq!(balance(&rig.store, &acme).await, (100, 0));
    worker.drain().await;
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_cannot_be_found_costs_nothing() {
    let mut rig = Rig::new().await;
    rig.provider_url = "http://nobody.invalid".to_owned();
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let worker = rig.worker(None);
    let job = rig.image(&acme, json!({})).await.job;
    let view = rig.ended(&job).await;
    assert_eq!(
        (view.text("state"), view.text("fail_class")),
        ("failed", "provider_fault")
    );
    assert_eq!(balance(&rig.store, &acme).await, (100, 0));
    assert!(
        rig.store
            .obligations()
            .await
            .expect("obligations")
            .is_empty(),
        "nothing was sent"
    );
    worker.drain().await;
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_folder_that_cannot_be_written_pays_no_provider_twice() {
    let rig = Rig::new().await;
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let worker = rig.worker(None);
    let incoming = rig.artifacts.path().join(".incoming");
    std::fs::remove_dir_all(&incoming).expect("take the folder away");
    let job = rig.image(&acme, json!({})).await.job;
    rig.seen(&job, "deferred", 1).await;
    std::fs::create_dir(&incoming).expect("bring the folder back");
    let view = rig.ended(&job).await;
    assert_eq!(view.text("state"), "succeeded", "{view:?}");
    assert_eq!(view.number("tries"), 0);
    assert_eq!(rig.started_for(&job).await, 1);
    worker.drain().await;
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_07_a_dead_workers_job_is_taken_over_within_one_lease_and_one_sweep() {
    let rig = Rig::new().await;
    let acme = account("acme");
    rig.fund(&acme, 500).await;
    let doomed = rig.worker_with(None, 1);
    let job = rig
        .video(&acme, 5_000, json!({"delay_ms": 2_500}))
        .await
        .job;
    rig.seen(&job, "handle", 1).await;
    // The heir sweeps, its only slot is taken, and new work waits for that slot already.
    let heir = rig.worker_with(None, 1);
    let busy = rig
        .video(&acme, 5_000, json!({"delay_ms": 2_000}))
        .await
        .job;
    rig.seen(&busy, "handle", 1).await;
    let new = rig.video(&acme, 5_000, json!({})).await.job;
    let dead_at = rig.store.server_ms().await.expect("the time");
    doomed.abort().await;

    assert_eq!(rig.ended(&job).await.text("state"), "succeeded");
    assert_eq!(rig.ended(&new).await.text("state"), "succeeded");
    let taken_after_ms = last_at(&rig, &job, "taken_back").await - dead_at;
    // Lease 1,000 ms, sweep 200 ms; the rest is for a machine that is busy with other tests.
    assert!(taken_after_ms <= 1_000 + 200 + 600, "{taken_after_ms} ms");
    let (again, first) = (
        last_at(&rig, &job, "running").await,
        last_at(&rig, &new, "running").await,
    );
    assert!(
        again <= first,
        "a job that was taken over goes ahead of new work"
    );
    heir.drain().await;
    rig.assert_sound().await;
}

/// When an event stands in a job's timeline for the last time, ms since 1970.
async fn last_at(rig: &Rig, job: &meterline::domain::ids::JobId, event: &str) -> u64 {
    let timeline = rig.store.timeline(job).await.expect("a timeline");
    let line = timeline.iter().rfind(|line| line.event == event);
    line.unwrap_or_else(|| panic!("no {event} in {timeline:?}"))
        .at_ms
}

#[tokio::test]
async fn a_worker_without_slots_is_ready_at_once() {
    let rig = Rig::new().await;
    let worker = rig.worker_with(None, 0);
    let ready = tokio::time::timeout(Duration::from_secs(20), worker.claiming()).await;
    assert!(ready.is_ok(), "it waits for a claim that it never makes");
    assert_eq!(worker.drain().await, 0);
}
