//! After a rebuild a job that is sent again with its key is the job that it was: nobody is charged twice.

use std::collections::BTreeMap;

use meterline::domain::ids::{AccountId, JobId};
use meterline::ledger::postgres::Rebuild;
use meterline::store::{
    FreezeAct, JobFilter, JobRecord, NewJob, Options, Restoration, Scope, Store, SubmitOutcome,
    SubmitRefusal,
};

use crate::support::postgres::{assert_history, fresh_history, project};
use crate::support::*;

const HOUR_MS: u64 = 3_600_000;

fn keyed(store: &Store, id: &AccountId, key: &str) -> NewJob {
    NewJob {
        idempotency_key: Some(key.parse().expect("a key")),
        ..job_for(store, id, 10)
    }
}

fn act(operation: &str) -> FreezeAct {
    FreezeAct {
        scope: Scope::Partition(0),
        reason: "a test".to_owned(),
        actor: "tests".to_owned(),
        operation: operation.parse().expect("an operation id"),
    }
}

/// What sending a job again is answered with: the job, and that it is no new one.
async fn replayed(store: &Store, job: &NewJob) -> JobId {
    let again = accept(store, job).await;
    assert!(again.replayed, "{again:?}");
    again.job
}

#[tokio::test]
async fn a_job_that_is_sent_again_after_a_rebuild_is_not_charged_twice() {
    let kept = Options {
        retention_ms: HOUR_MS,
        ..options()
    };
    let store = store_with(kept.clone()).await;
    let url = fresh_history().await;
    let acme = funded(&store, "acme", 100).await;
    // One that ended long before, one with a key, one whose id is its key, and one that is still open.
    charged(&store, &acme, 10, 5).await;
    let store = store.at(T0 + 2 * HOUR_MS);
    let sent = keyed(&store, &acme, "k-1");
    let paid = accept(&store, &sent).await.job;
    let job = claim_one(&store, "w1").await;
    settle(&store, &job, &settlement(5)).await;
    let bare = job_for(&store, &acme, 10);
    accept(&store, &bare).await;
    let job = claim_one(&store, "w1").await;
    settle(&store, &job, &settlement(5)).await;
    refund(&store, &paid, Some(2), "refund-1").await;
    let open = keyed(&store, &acme, "k-2");
    let lost = accept(&store, &open).await.job;
    project(&store, &url).await;
    let before = store.job(&paid).await.expect("an answer");
    let timeline = store.timeline(&paid).await.expect("a timeline");
    assert!(before.is_some());

    let store = store_with(kept).await.at(T0 + 2 * HOUR_MS);
    let rebuild = Rebuild::open(store.clone(), &url).await.expect("a rebuild");
    rebuild.apply(0, "a test", "ann").await.expect("rebuilt");
    store.clear(&act("clear-1")).await.expect("cleared");
    assert_eq!(store.job(&paid).await.expect("an answer"), before);
    assert_eq!(store.timeline(&paid).await.expect("a timeline"), timeline);
    let balances = balance(&store, &acme).await;
    assert_eq!(replayed(&store, &sent).await, paid);
    assert_eq!(replayed(&store, &bare).await, bare.job);
    let other = NewJob {
        fingerprint: "other".to_owned(),
        ..sent.clone()
    };
    let refusal = refuse(&store, &other).await;
    assert!(
        matches!(refusal, SubmitRefusal::KeyMismatch { .. }),
        "{refusal:?}"
    );
    assert_eq!(balance(&store, &acme).await, balances, "nobody paid again");

    // What was charged can still be given back, and only what is left of it.
    assert_eq!(
        refund(&store, &paid, None, "refund-2").await,
        refunded(3, 0, 90, 0)
    );
    // The open one was given back, so that it is a new one now.
    let again = accept(
        &store,
        &NewJob {
            job: store.new_job_id(&acme),
            ..open.clone()
        },
    )
    .await;
    assert!(!again.replayed && again.job != lost, "{again:?}");
    let filter = JobFilter {
        account: Some(acme.clone()),
        state: None,
        limit: 10,
    };
    let listed = store.jobs(&filter).await.expect("jobs");
    assert_eq!(
        listed.len(),
        3,
        "what is older than the retention stays away"
    );
    project(&store, &url).await;
    assert_history(&store, &url).await;
    assert_sound(&store).await;

    // They are forgotten when their time has come, and their keys with them.
    let late = store.at(T0 + 4 * HOUR_MS);
    tick(&late).await;
    assert_eq!(late.job(&paid).await.expect("an answer"), None);
    let sent = NewJob {
        job: late.new_job_id(&acme),
        ..sent
    };
    assert!(!accept(&late, &sent).await.replayed);
    assert_sound(&late).await;
}

/// A frozen partition whose restoration has begun.
struct Under {
    store: Store,
    acme: AccountId,
    restoration: Restoration,
}

impl Under {
    async fn begin(store: Store, acme: AccountId) -> Self {
        store.freeze(&act("freeze-1"), &[]).await.expect("frozen");
        let restoration = store.restoration(0, "r1");
        let end = store.journal_end(0).await.expect("the end");
        let from = (end.seq, end.hash.as_str());
        let books = BTreeMap::new();
        let begun = restoration.begin(2, from, ("a test", "tests"), &books);
        begun.await.expect("begun");
        Self {
            store,
            acme,
            restoration,
        }
    }

    /// A job of history under a key.
    fn job(&self, key: &str, created_ms: u64) -> (JobId, JobRecord) {
        let job = self.store.new_job_id(&self.acme);
        let created = created_ms.to_string();
        let fields = [
            ("account", self.acme.as_str()),
            ("state", "succeeded"),
            ("fingerprint", "print-10"),
            ("idem", key),
            ("created_at", &created),
            ("finished_at", &created),
            ("hold_ucr", "10000000"),
        ];
        let fields = fields.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let record = JobRecord {
            fields: fields.into(),
            ..JobRecord::default()
        };
        (job, record)
    }

    async fn bring(&self, jobs: &[(JobId, JobRecord)]) -> u64 {
        self.restoration.ended(jobs).await.expect("a step")
    }

    /// Which job has a key.
    async fn holder(&self, key: &str) -> JobId {
        let job = keyed(&self.store, &self.acme, key);
        match self.store.submit(&job).await.expect("an answer") {
            SubmitOutcome::Accepted(again) if again.replayed => again.job,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_ended_job_comes_back_once_and_only_while_its_partition_is_restored() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let under = Under::begin(store, acme).await;
    let one = [under.job("k-1", T0)];
    let strange = under.store.restoration(0, "r2");
    assert!(strange.ended(&one).await.is_ok_and(|back| back == 0));
    assert_eq!(state_of(&under.store, &one[0].0).await, "");
    assert_eq!(under.bring(&one).await, 1);
    let there = raw.digest().await;
    let mut other = one.clone();
    other[0]
        .1
        .fields
        .insert("state".to_owned(), "failed".to_owned());
    assert_eq!(under.bring(&other).await, 0);
    assert_eq!(raw.digest().await, there, "what is there stays as it is");
    assert_eq!(under.holder("k-1").await, one[0].0);
}

#[tokio::test]
async fn a_key_is_that_of_the_latest_job_that_was_not_lost() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let later = accept(&store, &keyed(&store, &acme, "k-1")).await.job;
    let lost = accept(&store, &keyed(&store, &acme, "k-2")).await.job;
    let _: i64 = raw
        .run(&[
            "HSET",
            &key("job", lost.as_str()),
            "state",
            "failed",
            "fail_class",
            "lost",
        ])
        .await;
    let under = Under::begin(store, acme).await;
    let jobs = [
        under.job("k-1", T0 - 1),
        under.job("k-2", T0 - 1),
        under.job("k-3", T0 - 1),
        under.job("k-3", T0),
    ];
    assert_eq!(under.bring(&jobs).await, 4);
    assert_eq!(under.holder("k-1").await, later);
    assert_eq!(under.holder("k-2").await, jobs[1].0);
    assert_eq!(under.holder("k-3").await, jobs[3].0);
    let earlier = [under.job("k-3", T0 - 2)];
    assert_eq!(under.bring(&earlier).await, 1);
    assert_eq!(under.holder("k-3").await, jobs[3].0);
}
