//! A worker dies at a point of a job's run, at every point of every kind of run, and another takes over.
//!
//! Which points there are is not written down here: each run is watched once without a death, and then
//! repeated with a death at each point that was seen. All jobs of one kind die in one process, which here is
//! a runtime of its own that is dropped with everything in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use meterline::dev::redis::PrivateRedis;
use meterline::domain::ids::JobId;
use meterline::store::{JobView, Store};
use meterline::worker::{StepHook, StepPhase, StepPoint};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use crate::support::rig::Rig;
use crate::support::*;

/// Kinds of runs that are looked at at the same time.
const AT_ONCE: usize = 10;
/// Longest wait for all doomed jobs to come to their points.
const PATIENCE: Duration = Duration::from_secs(50);
/// Steps that are repeated for as long as it takes: a death in the first stands for all.
const LOOPS: [&str; 4] = ["pause", "poll", "fetch", "wait_for_store"];

/// A step's name, before or after it, for which time in this job's run.
type Point = (&'static str, StepPhase, usize);

/// What happens to a running job from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Nothing,
    /// It is cancelled once this stands in its timeline.
    Cancel(&'static str),
    /// Its worker is told to leave once this does.
    Leave(&'static str),
    /// The store is killed just before the job is settled, and is back once the worker waits for it.
    StoreAway,
}

/// One kind of run.
#[derive(Debug, Clone)]
struct Kind {
    route: &'static str,
    sim: Value,
    event: Event,
    submission_ms: u64,
    /// State and failure class where nobody dies.
    ends: (&'static str, &'static str),
}

fn kinds() -> Vec<Kind> {
    // The longest first.
    let mut kinds = vec![Kind {
        route: "sim",
        sim: json!({"delay_ms": 60}),
        event: Event::StoreAway,
        submission_ms: 60_000,
        ends: ("succeeded", ""),
    }];
    for route in ["sim", "sim-sync", "sim-blind", "sim-bytes"] {
        let polled = matches!(route, "sim" | "sim-blind");
        let begun = if polled { "handle" } else { "intent" };
        let kind = |sim: Value, event, submission_ms, ends| Kind {
            route,
            sim,
            event,
            submission_ms,
            ends,
        };
        let fails = |class: &str| json!({"delay_ms": 60, "fail": class});
        let (quiet, long) = (Event::Nothing, json!({"delay_ms": 20_000}));
        kinds.push(kind(
            json!({"delay_ms": 60}),
            quiet,
            60_000,
            ("succeeded", ""),
        ));
        let fault = ("failed", "provider_fault");
        kinds.push(kind(fails("provider_fault"), quiet, 60_000, fault));
        let refused = ("failed", "content_policy");
        kinds.push(kind(fails("content_policy"), quiet, 60_000, refused));
        let busy = json!({"retry_after_s": 1});
        kinds.push(kind(busy, quiet, 60_000, ("succeeded", "")));
        // Without the provider's idempotency a POST that never ends is not repeated.
        let hangs = if route == "sim-bytes" {
            "unknown_outcome"
        } else {
            "timeout"
        };
        kinds.push(kind(json!({"hang": true}), quiet, 1_500, ("failed", hangs)));
        kinds.push(kind(long, Event::Cancel(begun), 60_000, ("cancelled", "")));
        if polled {
            let soon = json!({"delay_ms": 2_000});
            kinds.push(kind(soon, Event::Leave(begun), 60_000, ("succeeded", "")));
        }
    }
    kinds
}

/// Counts the points that each job comes to, and lets some of them end there.
#[derive(Default)]
struct Deaths {
    /// Where each job dies; a job that is not in it goes on.
    planned: Mutex<BTreeMap<JobId, Point>>,
    seen: Mutex<BTreeMap<JobId, Vec<Point>>>,
    dead: watch::Sender<BTreeSet<JobId>>,
    /// The server that is killed before the first settlement.
    server: Option<Mutex<PrivateRedis>>,
    /// It is back.
    back: Notify,
}

impl Deaths {
    fn hook(self: &Arc<Self>) -> StepHook {
        let deaths = Arc::clone(self);
        Arc::new(move |point| {
            let deaths = Arc::clone(&deaths);
            Box::pin(async move { deaths.come_to(&point).await })
        })
    }

    async fn come_to(&self, at: &StepPoint) {
        let here = {
            let mut seen = self.seen.lock().expect("the points");
            let points = seen.entry(at.job.clone()).or_default();
            let before = points
                .iter()
                .filter(|(name, phase, _)| (*name, *phase) == (at.name, at.phase));
            let here = (at.name, at.phase, before.count() + 1);
            points.push(here);
            here
        };
        let planned = self.planned.lock().expect("the plan").get(&at.job).copied();
        if planned == Some(here) {
            self.dead.send_modify(|dead| {
                dead.insert(at.job.clone());
            });
            std::future::pending::<()>().await;
        }
        match here {
            ("settle", StepPhase::Before, 1) => self.on_server(|server| server.kill()),
            ("wait_for_store", StepPhase::Before, 1) => self.mend(),
            _ => {}
        }
    }

    fn on_server(
        &self,
        act: impl Fn(&mut PrivateRedis) -> Result<(), meterline::dev::redis::Error>,
    ) {
        if let Some(server) = &self.server {
            act(&mut server.lock().expect("the server")).expect("it obeys");
        }
    }

    fn mend(&self) {
        self.on_server(PrivateRedis::restart);
        self.back.notify_one();
    }

    /// All that were to die have.
    async fn all(&self) {
        let planned = self.planned.lock().expect("the plan").len();
        self.until(|dead| dead.len() == planned).await;
    }

    async fn until(&self, enough: impl Fn(&BTreeSet<JobId>) -> bool) {
        let mut news = self.dead.subscribe();
        let seen = news.wait_for(|dead| enough(dead)).await;
        seen.expect("whoever lets them die is there");
    }

    fn missing(&self) -> Vec<Point> {
        let dead = self.dead.borrow();
        let planned = self.planned.lock().expect("the plan");
        let missing = planned.iter().filter(|(job, _)| !dead.contains(job));
        missing.map(|(_, point)| *point).collect()
    }
}

/// A worker in a process of its own, as far as its death goes.
struct Doomed {
    runtime: Option<tokio::runtime::Runtime>,
    leave: Arc<Notify>,
}

impl Doomed {
    async fn start(rig: &Rig, hook: StepHook, slots: u32) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (url, options) = (rig.url.clone(), rig.store.options().clone());
        let opening = runtime.spawn(async move { Store::open(&url, options).await });
        let store = opening.await.expect("it opens").expect("a store");
        let leave = Arc::new(Notify::new());
        let told = Arc::clone(&leave);
        {
            let _inside = runtime.enter();
            let worker = rig.worker_of(store, Some(hook), slots, 20_000);
            runtime.spawn(async move {
                told.notified().await;
                worker.leave().await
            });
        }
        Self {
            runtime: Some(runtime),
            leave,
        }
    }
}

/// Its death.
impl Drop for Doomed {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A house for one kind of run.
struct Scene {
    kind: Kind,
    rig: Rig,
    deaths: Arc<Deaths>,
}

impl Scene {
    async fn new(kind: &Kind) -> Self {
        let own = kind.event == Event::StoreAway;
        let server = own.then(|| PrivateRedis::start(durable_redis()).expect("a private Redis"));
        let url = server.as_ref().map_or_else(fresh_url, PrivateRedis::url);
        Self {
            rig: Rig::timed(url, kind.submission_ms).await,
            kind: kind.clone(),
            deaths: Arc::new(Deaths {
                server: server.map(Mutex::new),
                ..Deaths::default()
            }),
        }
    }

    /// Jobs of this kind, each of an account of its own, each with the point at which it dies.
    async fn submit(&self, points: &[Option<Point>]) -> Vec<JobId> {
        let mut jobs = Vec::new();
        for (n, point) in points.iter().enumerate() {
            let owner = account(&format!("owner-{n}"));
            self.rig.fund(&owner, 10).await;
            let params = json!({"prompt": "x", "sim": self.kind.sim});
            let submitted =
                self.rig
                    .submit_on(&owner, "text-to-image", params, Some(self.kind.route));
            let job = submitted.await.job;
            if let Some(point) = point {
                self.deaths
                    .planned
                    .lock()
                    .expect("the plan")
                    .insert(job.clone(), *point);
            }
            jobs.push(job);
        }
        jobs
    }

    /// Does what happens from outside: to each job when it has come so far, or is dead already.
    async fn interfere(&self, jobs: &[JobId], doomed: &Doomed) {
        let (Event::Cancel(word) | Event::Leave(word)) = self.kind.event else {
            return;
        };
        for job in jobs {
            tokio::select! {
                () = self.rig.seen(job, word, 1) => {}
                () = self.deaths.until(|dead| dead.contains(job)) => {}
            }
            if let Event::Cancel(_) = self.kind.event {
                self.rig.store.cancel(job, "tests").await.expect("cancel");
            }
        }
        if let Event::Leave(_) = self.kind.event {
            doomed.leave.notify_one();
        }
    }

    /// The points of a run in which nobody dies.
    async fn watch(kind: &Kind) -> Vec<Point> {
        let scene = Self::new(kind).await;
        let jobs = scene.submit(&[None]).await;
        let worker = Doomed::start(&scene.rig, scene.deaths.hook(), 1).await;
        scene.interfere(&jobs, &worker).await;
        let heir = match kind.event {
            Event::Leave(_) => {
                scene.rig.seen(&jobs[0], "deferred", 1).await;
                Some(scene.rig.worker(None))
            }
            Event::StoreAway => {
                scene.deaths.back.notified().await;
                None
            }
            Event::Nothing | Event::Cancel(_) => None,
        };
        let view = scene.rig.ended(&jobs[0]).await;
        assert_eq!(
            (view.text("state"), view.text("fail_class")),
            kind.ends,
            "{kind:?}"
        );
        if let Some(heir) = heir {
            heir.drain().await;
        }
        drop(worker);
        let seen = scene
            .deaths
            .seen
            .lock()
            .expect("the points")
            .remove(&jobs[0]);
        let mut points = seen.expect("a job's run");
        points.retain(|(name, _, n)| *n == 1 || !LOOPS.contains(name));
        points
    }

    /// Lets jobs die at these points, one each, and another worker take over.
    async fn deaths(kind: &Kind, points: &[Point]) {
        let scene = Self::new(kind).await;
        let planned: Vec<_> = points.iter().copied().map(Some).collect();
        let jobs = scene.submit(&planned).await;
        let slots = u32::try_from(jobs.len()).expect("a few");
        let doomed = Doomed::start(&scene.rig, scene.deaths.hook(), slots).await;
        scene.interfere(&jobs, &doomed).await;
        if tokio::time::timeout(PATIENCE, scene.deaths.all())
            .await
            .is_err()
        {
            panic!("{kind:?}: never reached: {:?}", scene.deaths.missing());
        }
        drop(doomed);
        // Where the worker died before it came to wait, nobody has brought the store back.
        scene.deaths.mend();
        let heir = scene.rig.worker_with(None, slots);
        for (n, (job, point)) in jobs.iter().zip(points).enumerate() {
            let view = scene.rig.ended(job).await;
            scene.look_at(n, job, point, points, &view).await;
        }
        heir.drain().await;
        scene.rig.assert_sound().await;
        let started = scene.rig.started().await;
        assert!(started.values().all(|n| *n <= 1), "{kind:?}: {started:?}");
    }

    async fn look_at(&self, n: usize, job: &JobId, point: &Point, all: &[Point], view: &JobView) {
        let what = format!("{:?} died at {point:?}: {view:?}", self.kind);
        let (state, class) = (view.text("state"), view.text("fail_class"));
        let is_idempotent = matches!(self.kind.route, "sim" | "sim-sync");
        let is_success = self.kind.ends.0 == "succeeded";
        if is_idempotent || !is_success {
            let ended = (state, class) == self.kind.ends;
            let unknown = !is_idempotent && (state, class) == ("failed", "unknown_outcome");
            // After a cancel that the dead worker had not confirmed, the sweep ends it; a try's end may
            // have been said already when the worker died before it heard the answer.
            assert!(ended || unknown, "{what}");
        } else if self.kind.event == Event::Nothing && self.kind.sim.get("delay_ms").is_some() {
            // Between intent and record nobody knows whether the provider was asked.
            let unknown = is_between(point, all);
            let expected = if unknown {
                ("failed", "unknown_outcome")
            } else {
                ("succeeded", "")
            };
            assert_eq!((state, class), expected, "{what}");
        } else {
            let unknown = (state, class) == ("failed", "unknown_outcome");
            assert!(unknown || (state, class) == self.kind.ends, "{what}");
        }
        let captured = if state == "succeeded" { 7 } else { 0 };
        assert_eq!(view.number("captured_ucr"), captured * 1_000_000, "{what}");
        let owner = account(&format!("owner-{n}"));
        assert_eq!(
            balance(&self.rig.store, &owner).await,
            (10 - captured, 0),
            "{what}"
        );
        assert!(view.number("takeovers") <= 1, "{what}");
        let timeline = self.rig.store.timeline(job).await.expect("a timeline");
        let endings = ["succeeded", "failed", "timed_out", "cancelled"];
        let ended = timeline
            .iter()
            .filter(|line| endings.contains(&line.event.as_str()));
        assert_eq!(ended.count(), 1, "{what}");
        let costs = self.rig.store.costs(job.partition(), "-", 10_000).await;
        let mut costs = costs.expect("costs");
        costs.retain(|entry| entry.job == job.as_str());
        let succeeded = costs.iter().filter(|entry| entry.outcome == "succeeded");
        let paid_for = usize::from(state == "succeeded");
        assert_eq!(succeeded.count(), paid_for, "{what}: {costs:?}");
        let mut booked: Vec<u32> = costs.iter().map(|entry| entry.submission).collect();
        booked.sort_unstable();
        booked.dedup();
        assert_eq!(booked.len(), costs.len(), "{what}: booked once: {costs:?}");
        let obligations = self.rig.store.obligations().await.expect("obligations");
        let mut mine = obligations.iter().filter(|o| o.job == *job);
        match (state, class) {
            ("succeeded", _) => assert!(mine.next().is_none(), "{what}"),
            (_, "unknown_outcome") => {
                let last = mine.any(|o| o.submission.to_string() == view.text("submissions"));
                assert!(last, "{what}: it may still be working");
            }
            _ => {}
        }
    }
}

/// Whether the intent is written down there and nothing yet that another worker could go on from.
fn is_between(point: &Point, all: &[Point]) -> bool {
    let place = |wanted: &Point| all.iter().position(|point| point == wanted);
    let noted = place(&("intent", StepPhase::After, 1));
    let record =
        place(&("handle", StepPhase::Before, 1)).or(place(&("artifact", StepPhase::Before, 1)));
    let here = place(point);
    here >= noted && here <= record
}

/// The names of all steps in the worker's code.
fn steps() -> BTreeSet<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/worker");
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("the worker").flatten() {
        let text = std::fs::read_to_string(entry.path()).expect("a file");
        for way in [".take(", ".insist(", ".note("] {
            for piece in text.split(way).skip(1) {
                let name = piece
                    .trim_start()
                    .strip_prefix('"')
                    .and_then(|rest| rest.split('"').next());
                names.extend(name.map(str::to_owned));
            }
        }
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_07_a_worker_that_dies_at_any_point_of_any_run_is_taken_over_from() {
    let walks = futures_util::stream::iter(kinds()).map(|kind| {
        tokio::spawn(async move {
            let points = Scene::watch(&kind).await;
            if kind.event == Event::StoreAway {
                // A house each: the store that is killed for one is away for all.
                let alone: Vec<_> = points
                    .iter()
                    .map(|point| {
                        let (kind, point) = (kind.clone(), *point);
                        tokio::spawn(async move { Scene::deaths(&kind, &[point]).await })
                    })
                    .collect();
                for death in alone {
                    death.await.expect("a death");
                }
            } else {
                Scene::deaths(&kind, &points).await;
            }
            points
        })
    });
    let mut walks = walks.buffer_unordered(AT_ONCE);
    let (mut visited, mut deaths) = (BTreeSet::new(), 0);
    while let Some(points) = walks.next().await {
        let points = points.expect("a walk");
        deaths += points.len();
        visited.extend(points.iter().map(|(name, _, _)| (*name).to_owned()));
    }
    let steps = steps();
    assert_eq!(
        visited, steps,
        "a step that no walk visits, or the other way round"
    );
    assert!(deaths >= 300, "{deaths} deaths");
}
