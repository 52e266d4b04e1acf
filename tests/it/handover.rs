//! A worker that leaves: which jobs it hands over at once, which it waits for, and what it says.

use std::sync::Arc;
use std::time::Duration;

use meterline::worker::{Drained, StepHook, StepPhase, Worker};
use serde_json::json;
use tokio::sync::Notify;

use crate::support::rig::Rig;
use crate::support::*;

/// A hook that holds a worker at a named point until it is let go.
struct Gate {
    reached: Arc<Notify>,
    open: Arc<Notify>,
}

impl Gate {
    fn at(name: &'static str, phase: StepPhase) -> (StepHook, Self) {
        let gate = Self {
            reached: Arc::default(),
            open: Arc::default(),
        };
        let (reached, open) = (Arc::clone(&gate.reached), Arc::clone(&gate.open));
        let hook: StepHook = Arc::new(move |point| {
            let here = point.name == name && point.phase == phase;
            let (reached, open) = (Arc::clone(&reached), Arc::clone(&open));
            Box::pin(async move {
                if here {
                    reached.notify_one();
                    open.notified().await;
                }
            })
        });
        (hook, gate)
    }

    async fn reached(&self) {
        let patience = Duration::from_secs(20);
        let reached = tokio::time::timeout(patience, self.reached.notified()).await;
        reached.expect("the point is never reached");
    }
}

/// What a worker does with a job that it holds at one point when it is told to leave.
async fn leaves_at(
    rig: &Rig,
    route: &str,
    name: &'static str,
    phase: StepPhase,
) -> (Drained, bool) {
    let acme = account("acme");
    let (hook, gate) = Gate::at(name, phase);
    let worker = rig.worker_with(Some(hook), 1);
    let params = json!({"prompt": "x", "sim": {"delay_ms": 200}});
    let submitted = rig.submit_on(&acme, "text-to-image", params, Some(route));
    let job = submitted.await.job;
    gate.reached().await;
    let leaving = tokio::spawn(worker.leave());
    // Handed over where it stands, or else it goes on when the gate opens.
    let handed_over =
        tokio::time::timeout(Duration::from_millis(700), rig.seen(&job, "deferred", 1));
    let at_once = handed_over.await.is_ok();
    gate.open.notify_one();
    let drained = leaving.await.expect("it leaves");
    assert_eq!(drained.left, 0);
    assert_eq!(drained.finished + drained.handed_over, 1, "{drained:?}");
    let heir = rig.worker_with(None, 1);
    let view = rig.ended(&job).await;
    assert_eq!(
        view.text("state"),
        "succeeded",
        "{route} {phase:?} {name}: {view:?}"
    );
    let spent = (view.number("tries"), view.number("takeovers"));
    assert_eq!(spent, (0, 0), "{route} {phase:?} {name}");
    assert_eq!(rig.started_for(&job).await, 1, "{route} {phase:?} {name}");
    heir.leave().await;
    (drained, at_once)
}

/// Points of the line of a polled job, and whether a job is handed over there.
const POLLED: [(&str, StepPhase, bool); 10] = [
    ("intent", StepPhase::Before, true),
    ("intent", StepPhase::After, true),
    ("post", StepPhase::Before, false),
    ("post", StepPhase::After, false),
    ("handle", StepPhase::Before, false),
    ("poll", StepPhase::Before, true),
    ("poll", StepPhase::After, true),
    ("fetch", StepPhase::Before, true),
    ("artifact", StepPhase::After, false),
    ("settle", StepPhase::After, false),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_polled_job_is_handed_over_wherever_another_worker_can_go_on() {
    for route in ["sim", "sim-blind"] {
        let rig = Rig::new().await;
        rig.fund(&account("acme"), 500).await;
        for (name, phase, at_once) in POLLED {
            let (drained, was_at_once) = leaves_at(&rig, route, name, phase).await;
            assert_eq!(
                was_at_once, at_once,
                "{route} {phase:?} {name}: {drained:?}"
            );
        }
        rig.assert_sound().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_post_is_the_run_it_is_waited_for_and_the_job_is_finished() {
    for route in ["sim-sync", "sim-bytes"] {
        let rig = Rig::new().await;
        rig.fund(&account("acme"), 500).await;
        for (name, phase) in [
            ("post", StepPhase::Before),
            ("post", StepPhase::After),
            ("fetch", StepPhase::Before),
            ("settle", StepPhase::Before),
        ] {
            let (drained, at_once) = leaves_at(&rig, route, name, phase).await;
            assert!(!at_once, "{route} {phase:?} {name}");
            assert_eq!(drained.finished, 1, "{route} {phase:?} {name}");
        }
        rig.assert_sound().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_worker_goes_on_at_once_without_waiting_for_a_lease() {
    let rig = Rig::new().await;
    let acme = account("acme");
    rig.fund(&acme, 500).await;
    let first = rig.worker(None);
    let mut jobs = Vec::new();
    for _ in 0..4 {
        jobs.push(
            rig.video(&acme, 2_000, json!({"delay_ms": 1_500}))
                .await
                .job,
        );
    }
    for job in &jobs {
        rig.seen(job, "handle", 1).await;
    }
    let heir = rig.worker(None);
    heir.claiming().await;
    let drained = first.leave().await;
    assert_eq!((drained.handed_over, drained.left), (4, 0));
    for job in &jobs {
        let view = rig.ended(job).await;
        assert_eq!(view.text("state"), "succeeded", "{view:?}");
        assert_eq!((view.number("tries"), view.number("takeovers")), (0, 0));
        assert_eq!(rig.started_for(job).await, 1);
        let timeline = rig.store.timeline(job).await.expect("a timeline");
        let at = |event: &str| {
            timeline
                .iter()
                .rfind(|line| line.event == event)
                .expect(event)
                .at_ms
        };
        let between_ms = at("running") - at("deferred");
        // A lease is 1,000 ms here, and a look without being woken comes after 5,000.
        assert!(between_ms < 700, "{between_ms} ms: {timeline:?}");
    }
    heir.leave().await;
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_that_is_up_leaves_the_job_to_others_at_once() {
    let rig = Rig::new().await;
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let (hook, gate) = Gate::at("post", StepPhase::After);
    let worker = rig.worker_for(Some(hook), 1, 300);
    let job = rig.image(&acme, json!({"delay_ms": 100})).await.job;
    gate.reached().await;
    let drained = worker.leave().await;
    assert_eq!(
        drained,
        Drained {
            finished: 0,
            handed_over: 0,
            left: 1
        }
    );
    let heir = rig.worker(None);
    let view = rig.ended(&job).await;
    assert_eq!(view.text("state"), "succeeded", "{view:?}");
    assert_eq!(view.number("takeovers"), 1);
    assert_eq!(rig.started_for(&job).await, 1);
    heir.leave().await;
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_hears_an_operators_order_and_is_gone_from_the_list() {
    let rig = Rig::new().await;
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let worker = rig.worker(None);
    let bystander = rig.worker(None);
    for worker in [&worker, &bystander] {
        worker.claiming().await;
    }
    let id = worker.id().to_owned();
    let told = rig.store.drain_worker(&id, "new version", "ops").await;
    told.expect("an order");
    let heard = tokio::time::timeout(Duration::from_secs(10), worker.ordered_to_leave()).await;
    assert_eq!(heard.expect("it hears").reason, "new version");
    worker.leave().await;
    let left: Vec<String> = names(&rig).await;
    assert_eq!(left, [bystander.id()]);
    // Whoever was not meant goes on.
    let job = rig.image(&acme, json!({})).await.job;
    assert_eq!(rig.ended(&job).await.text("state"), "succeeded");
    bystander.leave().await;
    assert_eq!(names(&rig).await, Vec::<String>::new());
    rig.assert_sound().await;
}

async fn names(rig: &Rig) -> Vec<String> {
    let workers = rig.store.workers().await.expect("workers");
    workers.into_iter().map(|worker| worker.worker).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_in_its_retry_pause_is_nobodys_and_stays_where_it_is() {
    let rig = Rig::new().await;
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let worker: Worker = rig.worker(None);
    let job = rig.image(&acme, json!({"retry_after_s": 2})).await.job;
    rig.seen(&job, "deferred", 1).await;
    let drained = worker.leave().await;
    assert_eq!(drained.handed_over, 0);
    assert_eq!(state_of(&rig.store, &job).await, "scheduled");
    let heir = rig.worker(None);
    let view = rig.ended(&job).await;
    assert_eq!(
        (view.text("state"), view.number("takeovers")),
        ("succeeded", 0)
    );
    heir.leave().await;
    rig.assert_sound().await;
}
