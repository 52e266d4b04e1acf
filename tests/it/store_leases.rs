//! Leases: who is alive, who is not, and what becomes of the jobs of the dead.

use meterline::domain::ids::JobId;
use meterline::domain::job::Stage;
use meterline::store::{
    CheckpointOutcome, ClaimOutcome, ClaimedJob, DeferOutcome, FailOutcome, HeartbeatOutcome,
    Options, ReapOutcome, SettleOutcome, Step, Store, TooLate,
};

use crate::support::*;

/// Right after a lease that was taken at T0 has lapsed.
const LAPSED: u64 = T0 + LEASE_MS + 1;

async fn beat(store: &Store, worker: &str) -> HeartbeatOutcome {
    let queues = ["video".to_owned()];
    let outcome = store
        .heartbeat(0, worker, LEASE_MS, &queues, "{}", &[])
        .await;
    outcome.expect("heartbeat")
}

/// How many entries are pending under a worker that is alive.
async fn pending(store: &Store, worker: &str) -> u32 {
    match beat(store, worker).await {
        HeartbeatOutcome::Renewed { pending, .. } => pending,
        HeartbeatOutcome::Lost => panic!("{worker} is lost"),
    }
}

/// The house has swept all the while, and `w1` has been silent since T0.
async fn w1_lapses(store: &Store) -> Store {
    tick_through(store, T0, LAPSED).await;
    store.at(LAPSED)
}

fn one(worker: &str, job: &JobId) -> Option<(Vec<String>, Vec<String>)> {
    Some((vec![worker.to_owned()], vec![job.to_string()]))
}

#[tokio::test]
async fn promise_05_the_jobs_of_a_dead_worker_go_to_another_without_a_try() {
    let (store, _, acme, old) = running_job().await;
    let at = w1_lapses(&store).await;
    assert_eq!(reap(&at).await, one("w1", &old.job));
    assert_eq!(state_of(&at, &old.job).await, "queued");
    assert_eq!(balance(&at, &acme).await, (65, 35));
    let new = claim_one(&at, "w2").await;
    assert_eq!((&new.job, new.stage), (&old.job, Stage::Fresh));
    assert_eq!((new.tries, new.takeovers), (0, 1));
    assert_eq!(new.left_ms, 60_000 - LEASE_MS - 1, "the deadline goes on");
    at.settle(&new.job, &new.token, &settlement(28))
        .await
        .expect("settle");
    assert_eq!(balance(&at, &acme).await, (72, 0));
    assert_sound(&at).await;
}

#[tokio::test]
async fn a_lost_lease_and_the_words_that_came_too_late_are_counted() {
    let (store, _, _, old) = running_job().await;
    let at = w1_lapses(&store).await;
    assert_eq!(at.too_late(0).await.expect("counts"), TooLate::default());
    reap(&at).await;
    let new = claim_one(&at, "w2").await;
    let deferred = at.defer(&old.job, &old.token, 0, "capacity", false).await;
    assert_eq!(deferred.expect("an answer"), DeferOutcome::Fenced);
    let noted = at
        .checkpoint(&old.job, &old.token, Step::Handle, "{}")
        .await;
    assert_eq!(noted.expect("an answer"), CheckpointOutcome::Fenced);
    let found = at.too_late(0).await.expect("counts");
    let (leases_lost, fenced) = (found.leases_lost, found.fenced);
    assert_eq!((leases_lost, fenced), (1, 0), "told with a heartbeat");
    for _ in 0..2 {
        beat(&at, "w2").await;
        let found = at.too_late(0).await.expect("counts");
        assert_eq!((found.leases_lost, found.fenced), (1, 2), "and only once");
    }
    settle(&at, &new, &settlement(28)).await;
    assert_sound(&at).await;
}

#[tokio::test]
async fn promise_08_a_zombies_words_are_refused_from_the_reaping_on() {
    let (store, raw, acme, old) = running_job().await;
    note(&store, &old, intent(1)).await;
    let at = w1_lapses(&store).await;
    reap(&at).await.expect("nobody was away");
    for taken in [false, true] {
        if taken {
            claim_one(&at, "w2").await;
        }
        let before = raw.dump().await;
        assert_eq!(note(&at, &old, intent(2)).await, CheckpointOutcome::Fenced);
        assert_eq!(
            note(&at, &old, Step::Handle).await,
            CheckpointOutcome::Fenced
        );
        assert_eq!(
            settle(&at, &old, &settlement(35)).await,
            SettleOutcome::Fenced
        );
        assert_eq!(fail(&at, &old, &again(0)).await, FailOutcome::Fenced);
        assert_eq!(defer(&at, &old, 0, true).await, DeferOutcome::Fenced);
        assert_eq!(beat(&at, "w1").await, HeartbeatOutcome::Lost);
        assert_eq!(raw.dump().await, before, "taken: {taken}");
    }
    assert_eq!(balance(&at, &acme).await, (65, 35));
    assert_sound(&at).await;
}

#[tokio::test]
async fn promise_07_a_job_that_was_under_way_is_resumed_before_all_others() {
    let (store, _, acme, old) = running_job().await;
    note(&store, &old, intent(1)).await;
    note(&store, &old, Step::Handle).await;
    let at = w1_lapses(&store).await;
    let mut urgent = job_for(&at, &acme, 1);
    urgent.priority = meterline::domain::job::Priority::High;
    accept(&at, &urgent).await;
    reap(&at).await.expect("nobody was away");
    let new = claim_one(&at, "w2").await;
    assert_eq!(
        (&new.job, new.stage, new.submissions),
        (&old.job, Stage::Handle, 1)
    );
    assert!(new.handle.contains("Handle"));
    // Attached, not submitted again: the number is spent.
    assert_eq!(
        note(&at, &new, intent(1)).await,
        CheckpointOutcome::OutOfOrder
    );
}

#[tokio::test]
async fn a_worker_that_beats_keeps_its_jobs() {
    let (store, _, _, job) = running_job().await;
    for n in 1..=10 {
        let at = store.at(T0 + n * 5_000);
        assert!(matches!(
            beat(&at, "w1").await,
            HeartbeatOutcome::Renewed { .. }
        ));
        tick_through(&store, T0 + (n - 1) * 5_000, T0 + n * 5_000).await;
        assert_eq!(reap(&at).await.unwrap_or_default(), Default::default());
    }
    let at = store.at(T0 + 50_000);
    assert_eq!(pending(&at, "w1").await, 1);
    assert!(matches!(
        settle(&at, &job, &settlement(28)).await,
        SettleOutcome::Settled { .. }
    ));
    assert_eq!(pending(&at, "w1").await, 0);
    assert_sound(&at).await;
}

#[tokio::test]
async fn promise_08_a_lease_is_alive_to_its_last_millisecond_and_not_longer() {
    let (store, raw, _, _) = running_job().await;
    tick_through(&store, T0, LAPSED).await;
    let last = store.at(LAPSED - 1);
    assert_eq!(
        last.reap(0, LEASE_MS).await.expect("reap"),
        ReapOutcome::Reaped {
            workers: vec![],
            jobs: vec![],
            orphans: 0,
            more: false
        }
    );
    let at = store.at(LAPSED);
    let before = raw.dump().await;
    assert_eq!(beat(&at, "w1").await, HeartbeatOutcome::Lost);
    assert_eq!(raw.dump().await, before);
}

#[tokio::test]
async fn promise_08_a_heartbeat_makes_no_worker() {
    let (store, raw, _, _) = running_job().await;
    let before = raw.dump().await;
    assert_eq!(beat(&store, "never-claimed").await, HeartbeatOutcome::Lost);
    assert_eq!(raw.dump().await, before);
    let at = w1_lapses(&store).await;
    reap(&at).await.expect("nobody was away");
    let before = raw.dump().await;
    assert_eq!(beat(&at, "w1").await, HeartbeatOutcome::Lost);
    assert_eq!(raw.dump().await, before);
}

#[tokio::test]
async fn after_an_outage_workers_have_one_lease_to_speak_up() {
    let (store, _, acme, job) = running_job().await;
    tick_through(&store, T0, T0 + 5_000).await;
    // The store was away for forty seconds: everybody's lease has lapsed meanwhile.
    let back = store.at(T0 + 45_000);
    assert_eq!(reap(&back).await, None, "before any sweep");
    tick(&back).await;
    assert_eq!(reap(&back).await, None, "after the first sweep");
    assert!(matches!(
        beat(&back, "w1").await,
        HeartbeatOutcome::Renewed { .. }
    ));
    assert!(matches!(
        settle(&back, &job, &settlement(28)).await,
        SettleOutcome::Settled { .. }
    ));
    accept(&back, &job_for(&back, &acme, 10)).await;
    assert!(
        !claim(&back, "w1", 1).await.is_empty(),
        "it may go on claiming"
    );
    tick_through(&store, T0 + 45_000, T0 + 60_000).await;
    assert_eq!(reap(&store.at(T0 + 60_000)).await, Some((vec![], vec![])));
    tick(&store.at(T0 + 60_001)).await;
    let (dead, _) = reap(&store.at(T0 + 60_001)).await.expect("nobody was away");
    assert_eq!(dead, ["w1"], "silent for a whole lease after the outage");
    assert_sound(&store.at(T0 + 60_001)).await;
}

#[tokio::test]
async fn after_an_outage_who_stays_silent_for_a_lease_is_reaped() {
    let (store, _, _, job) = running_job().await;
    tick_through(&store, T0, T0 + 5_000).await;
    tick_through(&store, T0 + 40_000, T0 + 54_999).await;
    assert_eq!(reap(&store.at(T0 + 54_999)).await, None);
    tick(&store.at(T0 + 55_000)).await;
    assert_eq!(reap(&store.at(T0 + 55_000)).await, one("w1", &job.job));
    assert_sound(&store.at(T0 + 55_000)).await;
}

#[tokio::test]
async fn promise_05_a_job_that_kills_its_workers_ends_lost_and_refunded() {
    let store = store_with(Options {
        takeovers_max: 2,
        ..options()
    })
    .await;
    let acme = funded(&store, "acme", 35).await;
    let mut new = job_for(&store, &acme, 35);
    new.deadline_ms = 3_600_000;
    let id = accept(&store, &new).await.job;
    let mut now = T0;
    for n in 0..3u32 {
        let job = claim_one(&store.at(now), &format!("w{n}")).await;
        assert_eq!((job.takeovers, job.tries), (n, 0));
        note(&store.at(now), &job, intent(1)).await;
        tick_through(&store, now, now + LEASE_MS + 1).await;
        now += LEASE_MS + 1;
        assert_eq!(reap(&store.at(now)).await, one(&format!("w{n}"), &id));
    }
    let at = store.at(now);
    let view = view_of(&at, &id).await;
    assert_eq!(
        (view.text("state"), view.text("fail_class")),
        ("failed", "lost")
    );
    assert_eq!(balance(&at, &acme).await, (35, 0));
    assert_eq!(at.obligations().await.expect("obligations").len(), 1);
    assert!(claim(&at, "w9", 1).await.is_empty());
    assert_sound(&at).await;
}

/// Claims until nothing is left; how many there were.
async fn claim_all(store: &Store, worker: &str) -> usize {
    let mut all = 0;
    loop {
        match claim(store, worker, 250).await.len() {
            0 => return all,
            n => all += n,
        }
    }
}

#[tokio::test]
async fn a_dead_workers_many_jobs_come_back_in_batches() {
    let store = store_with(Options {
        max_active: 1_000,
        ..options()
    })
    .await;
    let acme = funded(&store, "acme", 250).await;
    for _ in 0..250 {
        accept(&store, &job_for(&store, &acme, 1)).await;
    }
    assert_eq!(claim_all(&store, "w1").await, 250);
    let at = w1_lapses(&store).await;
    let first = at.reap(0, LEASE_MS).await.expect("reap");
    let ReapOutcome::Reaped { jobs, more, .. } = first else {
        panic!("away");
    };
    assert_eq!((jobs.len(), more), (100, true));
    let (_, rest) = reap(&at).await.expect("nobody was away");
    assert_eq!(rest.len(), 150);
    assert_eq!(claim_all(&at, "w2").await, 250);
    assert_sound(&at).await;
}

/// A claim whose reply never came: the store has handed out what the worker never saw.
async fn lose_a_claim(store: &Store, worker: &str, n: u32) -> Vec<JobId> {
    let lost = claim(store, worker, n).await;
    lost.into_iter().map(|job| job.job).collect()
}

async fn hand_back(store: &Store, worker: &str, runs: &[ClaimedJob]) -> Vec<String> {
    let running: Vec<String> = runs.iter().map(|job| job.job.to_string()).collect();
    let mut back = Vec::new();
    loop {
        let outcome = store.hand_back(0, LEASE_MS, worker, &running).await;
        match outcome.expect("hand back") {
            ReapOutcome::Away => panic!("a worker's own word does not wait"),
            ReapOutcome::Reaped { jobs, more, .. } => {
                assert!(!(more && jobs.is_empty()), "more, but nothing came back");
                back.extend(jobs);
                if !more {
                    return back;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_worker_hands_back_what_a_lost_reply_gave_it() {
    let (store, _, acme, runs) = running_job().await;
    accept(&store, &job_for(&store, &acme, 5)).await;
    accept(&store, &job_for(&store, &acme, 5)).await;
    let lost = lose_a_claim(&store, "w1", 2).await;
    assert_eq!(pending(&store, "w1").await, 3);
    let back = hand_back(&store, "w1", std::slice::from_ref(&runs)).await;
    assert_eq!(back, [lost[0].to_string(), lost[1].to_string()]);
    assert_eq!(pending(&store, "w1").await, 1);
    assert!(matches!(
        settle(&store, &runs, &settlement(1)).await,
        SettleOutcome::Settled { .. }
    ));
    let again: Vec<JobId> = claim(&store, "w2", 9)
        .await
        .into_iter()
        .map(|job| job.job)
        .collect();
    assert_eq!(again, lost);
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_worker_with_many_jobs_still_finds_the_one_it_never_got() {
    let store = store_with(Options {
        max_active: 1_000,
        ..options()
    })
    .await;
    let acme = funded(&store, "acme", 250).await;
    for _ in 0..151 {
        accept(&store, &job_for(&store, &acme, 1)).await;
    }
    let mut runs = claim(&store, "w1", 100).await;
    runs.extend(claim(&store, "w1", 50).await);
    assert_eq!(runs.len(), 150);
    let lost = lose_a_claim(&store, "w1", 1).await;
    assert_eq!(hand_back(&store, "w1", &runs).await, [lost[0].to_string()]);
    assert_eq!(pending(&store, "w1").await, 150);
    assert_sound(&store).await;
}

#[tokio::test]
async fn an_entry_that_was_read_but_never_started_comes_back() {
    let (store, raw, acme, _) = running_job().await;
    let id = accept(&store, &job_for(&store, &acme, 5)).await.job;
    let stream = key("ready", "video:normal");
    let read = [
        "XREADGROUP",
        "GROUP",
        "workers",
        "w1",
        "COUNT",
        "1",
        "STREAMS",
        &stream,
        ">",
    ];
    let _: redis::Value = raw.run(&read).await;
    assert!(claim(&store, "w2", 1).await.is_empty());
    let at = w1_lapses(&store).await;
    let (_, taken) = reap(&at).await.expect("nobody was away");
    assert!(taken.contains(&id.to_string()));
    let again = claim(&at, "w3", 9).await;
    let job = again.iter().find(|job| job.job == id).expect("the job");
    assert_eq!(job.takeovers, 0, "nobody had it");
    assert_sound(&at).await;
}

#[tokio::test]
async fn entries_of_the_dead_that_stand_for_nothing_are_acknowledged_and_counted() {
    let (store, raw, acme, job) = running_job().await;
    let stream = key("ready", "video:high");
    for id in [job.job.clone(), store.new_job_id(&acme)] {
        let _: String = raw.run(&["XADD", &stream, "*", "j", id.as_str()]).await;
    }
    let _: String = raw
        .run(&["XGROUP", "CREATE", &stream, "workers", "0"])
        .await;
    let read = [
        "XREADGROUP",
        "GROUP",
        "workers",
        "w1",
        "COUNT",
        "9",
        "STREAMS",
        &stream,
        ">",
    ];
    let _: redis::Value = raw.run(&read).await;
    let at = w1_lapses(&store).await;
    let outcome = at.reap(0, LEASE_MS).await.expect("reap");
    let ReapOutcome::Reaped { jobs, orphans, .. } = outcome else {
        panic!("away");
    };
    assert_eq!((jobs, orphans), (vec![job.job.to_string()], 2));
    assert_eq!(raw.run::<i64>(&["XLEN", &stream]).await, 0);
    assert_eq!(claim(&at, "w2", 9).await.len(), 1);
    assert_sound(&at).await;
}

#[tokio::test]
async fn promise_08_a_job_is_never_taken_from_a_living_worker() {
    let (store, raw, acme, _) = running_job().await;
    accept(&store, &job_for(&store, &acme, 5)).await;
    let living = claim_one(&store.at(T0 + 5_000), "w2").await;
    // Whatever made it so: the entry stands under the dead one.
    let entry = view_of(&store, &living.job).await.text("entry").to_owned();
    let stream = key("ready", "video:normal");
    let _: redis::Value = raw
        .run(&["XCLAIM", &stream, "workers", "w1", "0", &entry])
        .await;
    let at = w1_lapses(&store).await;
    let (_, taken) = reap(&at).await.expect("nobody was away");
    assert!(!taken.contains(&living.job.to_string()));
    assert!(matches!(
        settle(&at, &living, &settlement(5)).await,
        SettleOutcome::Settled { .. }
    ));
    assert_sound(&at).await;
}

async fn consumers(raw: &Raw) -> Vec<String> {
    let stream = key("ready", "video:normal");
    let rows: Vec<std::collections::HashMap<String, redis::Value>> =
        raw.run(&["XINFO", "CONSUMERS", &stream, "workers"]).await;
    let name = |row: &std::collections::HashMap<String, redis::Value>| {
        redis::from_redis_value(row["name"].clone()).expect("a name")
    };
    rows.iter().map(name).collect()
}

#[tokio::test]
async fn a_dead_workers_consumer_goes_a_lease_later() {
    let (store, raw, _, _) = running_job().await;
    let at = w1_lapses(&store).await;
    reap(&at).await.expect("nobody was away");
    tick_through(&store, LAPSED + 1_000, LAPSED + LEASE_MS - 1_000).await;
    assert_eq!(consumers(&raw).await, ["w1"]);
    tick_through(&store, LAPSED + LEASE_MS, LAPSED + LEASE_MS + 1_000).await;
    assert_eq!(consumers(&raw).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_consumer_with_something_pending_is_never_removed() {
    let (store, raw, acme, first) = running_job().await;
    let at = w1_lapses(&store).await;
    reap(&at).await.expect("nobody was away");
    let new = claim_one(&at, "w2").await;
    assert_eq!(new.job, first.job);
    settle(&at, &new, &settlement(1)).await;
    // A read of the dead worker that was on its way for long.
    let id = accept(&at, &job_for(&at, &acme, 5)).await.job;
    let stream = key("ready", "video:normal");
    let read = [
        "XREADGROUP",
        "GROUP",
        "workers",
        "w1",
        "COUNT",
        "1",
        "STREAMS",
        &stream,
        ">",
    ];
    let _: redis::Value = raw.run(&read).await;
    let later = LAPSED + LEASE_MS + 1_000;
    tick_through(&store, LAPSED, later).await;
    assert!(consumers(&raw).await.contains(&"w1".to_owned()));
    let (_, taken) = reap(&store.at(later)).await.expect("nobody was away");
    assert_eq!(taken, [id.to_string()]);
    assert_eq!(claim_one(&store.at(later), "w3").await.job, id);
    assert_sound(&store.at(later)).await;
}

#[tokio::test]
async fn promise_08_a_reaped_worker_never_comes_back_under_its_old_name() {
    let (store, _, _, job) = running_job().await;
    let at = w1_lapses(&store).await;
    assert_eq!(reap(&at).await, one("w1", &job.job));
    tick_through(&store, LAPSED, LAPSED + 2 * LEASE_MS).await;
    let at = store.at(LAPSED + 2 * LEASE_MS);
    let slots = [("video".to_owned(), 1)];
    let outcome = at
        .claim(0, "w1", LEASE_MS, &slots, false)
        .await
        .expect("claim");
    assert!(matches!(outcome, ClaimOutcome::Lost));
    assert_eq!(beat(&at, "w1").await, HeartbeatOutcome::Lost);
}
