//! What a provider says when nobody waits for it any more, or says twice.

use std::time::Duration;

use meterline::domain::ids::JobId;
use meterline::worker::StepPhase;
use serde_json::{Value, json};

use crate::support::http::http_client;
use crate::support::rig::{Rig, dies_at};
use crate::support::*;

/// Waits until the provider has finished what it was told to stop, by the handle that the obligation
/// of this submission keeps.
async fn finished_late(rig: &Rig, job: &JobId, submission: u32) -> Value {
    let open = rig.store.obligations().await.expect("obligations");
    let owed = open
        .iter()
        .find(|view| view.job == *job && view.submission == submission)
        .unwrap_or_else(|| panic!("no obligation of {job}: {open:?}"));
    let (_intent, handle): (String, String) = serde_json::from_str(&owed.work).expect("a record");
    let handle: Value = serde_json::from_str(&handle).expect("a handle");
    let url = handle["poll_url"].as_str().expect("a poll URL").to_owned();
    let client = http_client();
    let waiting = async {
        loop {
            let answer = client.get(&url).send().await.expect("an answer");
            let view: Value = answer.json().await.expect("a view");
            if view["status"] != "running" {
                return view;
            }
            // The simulated provider announces nothing: its clock is asked again.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, waiting)
        .await
        .expect("the late success")
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_06_a_cancelled_job_is_never_charged_whatever_arrives() {
    let rig = Rig::new().await;
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let worker = rig.worker(None);
    let sim = json!({"hang": true, "late_after_cancel_ms": 300});
    let job = rig.video(&acme, 5_000, sim).await.job;
    rig.seen(&job, "handle", 1).await;
    rig.store.cancel(&job, "tests").await.expect("cancel");
    assert_eq!(rig.ended(&job).await.text("state"), "cancelled");
    let late = finished_late(&rig, &job, 1).await;
    assert_eq!(late["status"], "succeeded", "the provider did not obey");
    assert!(
        late["output"]
            .as_array()
            .is_some_and(|list| !list.is_empty())
    );
    worker.drain().await;
    let view = rig.store.job(&job).await.expect("a view").expect("the job");
    assert_eq!(
        (view.text("state"), view.artifact.as_deref()),
        ("cancelled", None)
    );
    assert_eq!(view.number("captured_ucr"), 0);
    assert_eq!(balance(&rig.store, &acme).await, (100, 0));
    let files = std::fs::read_dir(rig.artifacts.path()).expect("the folder");
    let kept = files
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with('j'));
    assert_eq!(kept.count(), 0, "nothing is handed over after a cancel");
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_06_a_cancel_before_the_settlement_wins_although_the_output_is_there() {
    let rig = Rig::new().await;
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    // The output is stored and priced, and the worker gets no further.
    let (hook, reached) = dies_at("settle", StepPhase::Before);
    let doomed = rig.worker_with(Some(hook), 1);
    let job = rig.image(&acme, json!({})).await.job;
    reached.notified().await;
    rig.store.cancel(&job, "tests").await.expect("cancel");
    doomed.abort().await;
    let heir = rig.worker(None);
    let view = rig.ended(&job).await;
    assert_eq!(view.text("state"), "cancelled", "{view:?}");
    assert_eq!(view.number("captured_ucr"), 0);
    assert_eq!(balance(&rig.store, &acme).await, (100, 0));
    heir.drain().await;
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_06_a_success_after_the_deadline_is_not_charged() {
    let rig = Rig::new().await;
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let worker = rig.worker(None);
    // Stopped after the submission's 5 s; its output comes when the job's 6 s are over.
    let sim = json!({"hang": true, "late_after_cancel_ms": 2_500});
    let job = rig.image(&acme, sim).await.job;
    let view = rig.ended(&job).await;
    assert_eq!(
        (view.text("state"), view.text("fail_class")),
        ("timed_out", "timeout")
    );
    let late = finished_late(&rig, &job, 1).await;
    assert_eq!(late["status"], "succeeded");
    worker.drain().await;
    let view = rig.store.job(&job).await.expect("a view").expect("the job");
    assert_eq!(
        (view.text("state"), view.number("captured_ucr")),
        ("timed_out", 0)
    );
    assert_eq!(balance(&rig.store, &acme).await, (100, 0));
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_03_a_duplicate_answer_settles_once_also_over_a_take_over() {
    for (name, phase) in [
        ("poll", StepPhase::After),
        ("artifact", StepPhase::After),
        ("settle", StepPhase::Before),
        ("settle", StepPhase::After),
    ] {
        let rig = Rig::new().await;
        let acme = account("acme");
        rig.fund(&acme, 100).await;
        let (hook, reached) = dies_at(name, phase);
        let doomed = rig.worker_with(Some(hook), 1);
        let job = rig.image(&acme, json!({"duplicate": true})).await.job;
        reached.notified().await;
        doomed.abort().await;
        let heir = rig.worker(None);
        let view = rig.ended(&job).await;
        let point = format!("{phase:?} {name}");
        assert_eq!(view.text("state"), "succeeded", "{point}: {view:?}");
        assert_eq!(view.number("captured_ucr"), 7_000_000, "{point}");
        assert_eq!(view.number("absorbed_ucr"), 0, "{point}");
        let timeline = rig.store.timeline(&job).await.expect("a timeline");
        let ends = timeline.iter().filter(|line| line.event == "succeeded");
        assert_eq!(ends.count(), 1, "{point}: {timeline:?}");
        assert_eq!(rig.started_for(&job).await, 1, "{point}");
        assert_eq!(balance(&rig.store, &acme).await, (93, 0), "{point}");
        heir.drain().await;
        rig.assert_sound().await;
    }
}
