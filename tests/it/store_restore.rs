//! A restoration step by step: only of what is frozen, by one at a time, and each step once.

use meterline::domain::credits::Ucr;
use meterline::domain::ids::AccountId;
use meterline::ledger::audit;
use meterline::store::{
    Begun, FreezeAct, KnownAccount, KnownJob, LostHold, Restoration, Restored, Scope, Store,
    Submitted,
};

use crate::support::*;

/// A store with an account of 100 credits, an open job for 20 that is kept and one for 11 that is lost.
struct House {
    store: Store,
    raw: Raw,
    acme: AccountId,
    known: KnownAccount,
    kept: Submitted,
    lost: Submitted,
}

fn act(operation: &str) -> FreezeAct {
    FreezeAct {
        scope: Scope::Partition(0),
        reason: "a test".to_owned(),
        actor: "tests".to_owned(),
        operation: operation.parse().expect("an operation id"),
    }
}

impl House {
    async fn new() -> Self {
        let (store, raw) = store_and_raw(options()).await;
        let acme = funded(&store, "acme", 100).await;
        let kept = accept(&store, &job_for(&store, &acme, 20)).await;
        let lost = accept(&store, &job_for(&store, &acme, 11)).await;
        let known = KnownAccount {
            account: acme.clone(),
            fields: raw.run(&["HGETALL", &key("acct", "acme")]).await,
            grants: raw.run(&["HGETALL", &key("grants", "acme")]).await,
        };
        Self {
            store,
            raw,
            acme,
            known,
            kept,
            lost,
        }
    }

    async fn freeze(&self) {
        let frozen = self.store.freeze(&act("freeze-1"), &[]).await;
        frozen.expect("frozen");
    }

    fn restoration(&self, name: &str) -> Restoration {
        self.store.restoration(0, name)
    }

    /// Begins where the journal ends now, in the second epoch.
    async fn begin(&self, restoration: &Restoration, from: (u64, &str)) -> Begun {
        let books = audit(&self.store).await.expect("an audit").books;
        let begun = restoration.begin(2, from, ("a test", "tests"), &books);
        begun.await.expect("an answer")
    }

    fn job(&self, of: &Submitted, keep: bool) -> KnownJob {
        KnownJob {
            job: of.job.clone(),
            keep,
            state: if keep { "" } else { "failed" }.to_owned(),
            class: if keep { "" } else { "lost" }.to_owned(),
            captured_ucr: 0,
            released_ucr: if keep { 0 } else { 11_000_000 },
            refunded_ucr: 0,
        }
    }

    async fn lost_hold(&self) -> LostHold {
        let job = key("job", self.lost.job.as_str());
        let slices = self.raw.run(&["HGET", &job, "slices"]).await;
        LostHold {
            job: self.lost.job.to_string(),
            account: self.acme.clone(),
            slices,
            hold_ucr: 11_000_000,
            tool: "image-to-video".to_owned(),
            held_at_ms: i64::try_from(T0).expect("a time"),
            house: false,
        }
    }

    async fn head(&self) -> (u64, String) {
        let end = self.store.journal_end(0).await.expect("the end");
        (end.seq, end.hash)
    }

    async fn changes_nothing(&self, step: impl Future<Output = ()>) {
        let before = self.raw.digest().await;
        step.await;
        assert_eq!(self.raw.digest().await, before);
    }
}

#[tokio::test]
async fn what_is_not_frozen_is_not_restored() {
    let house = House::new().await;
    let (seq, hash) = house.head().await;
    let restoration = house.restoration("r1");
    house
        .changes_nothing(async {
            let begun = house.begin(&restoration, (seq, &hash)).await;
            assert_eq!(begun, Begun::NotFrozen);
        })
        .await;
    assert_sound(&house.store).await;
}

#[tokio::test]
async fn what_has_workers_is_not_restored() {
    let house = House::new().await;
    claim_one(&house.store, "w1").await;
    house.freeze().await;
    let (seq, hash) = house.head().await;
    let restoration = house.restoration("r1");
    house
        .changes_nothing(async {
            let begun = house.begin(&restoration, (seq, &hash)).await;
            assert_eq!(begun, Begun::Busy(1));
        })
        .await;
    assert_sound(&house.store).await;
}

#[tokio::test]
async fn steps_of_a_restoration_that_is_not_under_way_change_nothing() {
    let house = House::new().await;
    house.freeze().await;
    let (seq, hash) = house.head().await;
    let strange = house.restoration("r2");
    let refused = async |house: &House| {
        let steps = [
            strange.account(&house.known).await,
            strange.lost(&house.lost_hold().await).await,
            strange.finish("a test", "tests").await,
        ];
        for step in steps {
            assert_eq!(step.expect("an answer"), Restored::NotRestoring);
        }
    };
    house.changes_nothing(refused(&house)).await;
    let begun = house.begin(&house.restoration("r1"), (seq, &hash)).await;
    assert_eq!(begun, Begun::UnderWay);
    house.changes_nothing(refused(&house)).await;
}

#[tokio::test]
async fn each_step_is_done_once_however_often_it_is_made() {
    let house = House::new().await;
    house.freeze().await;
    let (seq, hash) = house.head().await;
    let restoration = house.restoration("r1");
    let begin = async || house.begin(&restoration, (seq, &hash)).await;
    let account = async || restoration.account(&house.known).await.expect("a step");
    let hold = house.lost_hold().await;
    let lost = async || restoration.lost(&hold).await.expect("a step");
    let jobs = async || {
        let jobs = [house.job(&house.kept, true), house.job(&house.lost, false)];
        restoration.jobs(&jobs).await.expect("a step");
    };

    assert_eq!(begin().await, Begun::UnderWay);
    assert_eq!(account().await, Restored::Done);
    jobs().await;
    assert_eq!(lost().await, Restored::Done);
    // It died, and is made again from its beginning.
    house
        .changes_nothing(async {
            assert_eq!(begin().await, Begun::UnderWay);
            assert_eq!(account().await, Restored::Again);
            assert_eq!(lost().await, Restored::Again);
        })
        .await;
    jobs().await;
    let finished = restoration.finish("a test", "tests").await;
    assert_eq!(finished.expect("a step"), Restored::FinishedBefore);
    house
        .changes_nothing(async {
            assert_eq!(begin().await, Begun::FinishedBefore);
            assert_eq!(account().await, Restored::FinishedBefore);
            assert_eq!(lost().await, Restored::FinishedBefore);
        })
        .await;

    house.store.clear(&act("clear-1")).await.expect("clear");
    assert_eq!(balance(&house.store, &house.acme).await, (80, 20));
    assert_eq!(state_of(&house.store, &house.lost.job).await, "failed");
    assert_eq!(misplaced(&house.store, &house.raw).await, [""; 0]);
    assert_tallies(&house.store).await;
    assert_sound(&house.store).await;
    let job = claim_one(&house.store, "w1").await;
    assert_eq!(
        (&job.job, job.ceiling),
        (&house.kept.job, Ucr::from_credits(20))
    );
    settle(&house.store, &job, &settlement(9)).await;
    assert_sound(&house.store).await;
}
