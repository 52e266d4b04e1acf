//! Promise 11 in a running house: what differs is frozen within a round or two, what runs ends, and
//! after a repair it goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use meterline::domain::failure::FailureClass;
use meterline::ledger::{Report, Round, Watch, audit};
use meterline::store::{
    ClaimedJob, ClearOutcome, FreezeAct, Scope, SettleOutcome, Store, SubmitRefusal,
};

use crate::support::*;

/// A house that is audited, with a running job of `acme`, a waiting one, and `bolt` next door.
struct Lived {
    store: Store,
    raw: Raw,
    watch: Watch,
    running: ClaimedJob,
}

async fn lived_in() -> Lived {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let bolt = funded(&store, "bolt", 100).await;
    let mut watch = Watch::new(store.clone(), "a1", 1_000);
    for id in [&acme, &bolt] {
        accept(&store, &job_for(&store, id, 10)).await;
        let job = claim_one(&store, "w1").await;
        settle(&store, &job, &settlement(5)).await;
    }
    accept(&store, &job_for(&store, &acme, 20)).await;
    let running = claim_one(&store, "w1").await;
    accept(&store, &job_for(&store, &acme, 30)).await;
    sound(&mut watch).await;
    Lived {
        store,
        raw,
        watch,
        running,
    }
}

async fn round(watch: &mut Watch) -> (Report, Vec<Option<String>>) {
    match watch.round(0).await.expect("a round") {
        Round::Looked { report, froze } => (report, froze),
        Round::Follows => panic!("nobody else audits"),
    }
}

async fn sound(watch: &mut Watch) {
    let (report, froze) = round(watch).await;
    assert!(report.ok, "{:#?}", report.differences);
    assert_eq!(froze, Vec::<Option<String>>::new());
}

impl Lived {
    /// The next round freezes this, submits are refused with the reason, what runs is charged.
    async fn freezes(&mut self, account: Option<&str>) {
        let (report, froze) = round(&mut self.watch).await;
        assert!(!report.ok);
        assert_eq!(froze, [account.map(str::to_owned)], "{report:#?}");
        let frozen = self.store.frozen(0).await.expect("frozen").remove(0);
        assert_eq!(frozen.actor, "audit");
        assert!(!frozen.differed.is_empty());
        let refusal = refuse(&self.store, &job_for(&self.store, &self.acme(), 1)).await;
        let SubmitRefusal::Frozen { reason, .. } = refusal else {
            panic!("{refusal:?}");
        };
        assert_eq!(reason, frozen.reason);
        let settled = settle(&self.store, &self.running, &settlement(7)).await;
        assert!(matches!(settled, SettleOutcome::Settled { .. }));
        assert_eq!(claim(&self.store, "w2", 5).await.len(), 0);
        // It is frozen once, and the others of the partition are not touched.
        let (_, froze) = round(&mut self.watch).await;
        assert_eq!(froze, Vec::<Option<String>>::new());
        if account.is_some() {
            accept(&self.store, &job_for(&self.store, &self.bolt(), 1)).await;
        }
        let last = self.store.last_audit(0).await.expect("audit").expect("one");
        assert!(last.report.contains("\"ok\":false"), "{}", last.report);
    }

    /// After the repair a clear lets everything go on, and nothing is frozen again.
    async fn goes_on(&mut self, account: Option<&str>) {
        let scope = match account {
            Some(name) => Scope::Account(name.parse().expect("an account")),
            None => Scope::Partition(0),
        };
        let act = FreezeAct {
            scope,
            reason: "repaired".to_owned(),
            actor: "ann".to_owned(),
            operation: "clear-1".parse().expect("an operation id"),
        };
        let cleared = self.store.clear(&act).await.expect("clear");
        assert!(matches!(cleared, ClearOutcome::Cleared { .. }));
        let later = self.store.at(T0 + 2_000);
        tick(&later).await;
        assert!(!claim(&later, "w3", 5).await.is_empty(), "it goes on");
        accept(&later, &job_for(&later, &self.acme(), 1)).await;
        sound(&mut self.watch).await;
        sound(&mut self.watch).await;
        assert_sound(&later).await;
        let last = self.store.last_audit(0).await.expect("audit").expect("one");
        assert!(last.report.contains("\"ok\":true"), "{}", last.report);
        assert_eq!(last.auditor, "a1");
    }

    fn acme(&self) -> meterline::domain::ids::AccountId {
        account("acme")
    }

    fn bolt(&self) -> meterline::domain::ids::AccountId {
        account("bolt")
    }
}

#[tokio::test]
async fn promise_11_a_balance_changed_by_hand_freezes_its_account() {
    let mut house = lived_in().await;
    let hash = key("acct", "acme");
    let _: i64 = house.raw.run(&["HINCRBY", &hash, "available", "5"]).await;
    house.freezes(Some("acme")).await;
    let _: i64 = house.raw.run(&["HINCRBY", &hash, "available", "-5"]).await;
    house.goes_on(Some("acme")).await;
}

#[tokio::test]
async fn promise_11_a_grant_changed_by_hand_freezes_its_account() {
    let mut house = lived_in().await;
    let grants = key("grants", "acme");
    let row: String = house.raw.run(&["HGET", &grants, "g1"]).await;
    let wrong = row.replace("purchase|", "purchase|1");
    let _: i64 = house.raw.run(&["HSET", &grants, "g1", &wrong]).await;
    house.freezes(Some("acme")).await;
    let row: String = house.raw.run(&["HGET", &grants, "g1"]).await;
    let right = row.replacen("purchase|1", "purchase|", 1);
    let _: i64 = house.raw.run(&["HSET", &grants, "g1", &right]).await;
    house.goes_on(Some("acme")).await;
}

#[tokio::test]
async fn promise_11_an_entry_changed_by_hand_freezes_the_partition() {
    let mut house = lived_in().await;
    let right = rewrite(&house.raw, "1-2", |body| {
        body.replace("-100000000", "-100000001")
    })
    .await;
    house.freezes(None).await;
    rewrite(&house.raw, "1-2", |_| right.clone()).await;
    house.goes_on(None).await;
}

#[tokio::test]
async fn promise_11_an_entry_that_is_gone_freezes_the_partition() {
    let mut house = lived_in().await;
    let journal = key("part", "journal");
    let all = rows(&house.raw).await;
    let _: i64 = house.raw.run(&["XDEL", &journal, "1-4"]).await;
    house.freezes(None).await;
    let mut whole = rows(&house.raw).await;
    whole.insert(3, all[3].clone());
    write_rows(&house.raw, &whole).await;
    house.goes_on(None).await;
}

#[tokio::test]
async fn promise_11_an_end_of_the_journal_that_is_gone_freezes_the_partition() {
    let mut house = lived_in().await;
    let journal = key("part", "journal");
    accept(&house.store, &job_for(&house.store, &house.bolt(), 1)).await;
    let all = rows(&house.raw).await;
    let last = all.len() - 1;
    let _: i64 = house.raw.run(&["XDEL", &journal, &all[last].0]).await;
    house.freezes(None).await;
    let mut whole = rows(&house.raw).await;
    whole.insert(last, all[last].clone());
    write_rows(&house.raw, &whole).await;
    house.goes_on(None).await;
}

type Entry = (String, Vec<(String, String)>);

async fn rows(raw: &Raw) -> Vec<Entry> {
    raw.run(&["XRANGE", &key("part", "journal"), "-", "+"])
        .await
}

async fn write_rows(raw: &Raw, rows: &[Entry]) {
    let journal = key("part", "journal");
    let _: i64 = raw.run(&["DEL", &journal]).await;
    for (id, fields) in rows {
        let (body, hash) = (&fields[0].1, &fields[1].1);
        let _: String = raw.run(&["XADD", &journal, id, "b", body, "h", hash]).await;
    }
}

/// Changes one entry's body and nothing else; returns what it was.
async fn rewrite(raw: &Raw, id: &str, change: impl Fn(&str) -> String) -> String {
    let mut all = rows(raw).await;
    let entry = all.iter_mut().find(|(row, _)| row == id);
    let body = &mut entry.expect("the entry").1[0].1;
    let was = body.clone();
    *body = change(&was);
    assert_ne!(*body, was);
    write_rows(raw, &all).await;
    was
}

#[tokio::test]
async fn promise_02_a_hold_that_lost_its_job_freezes_its_account() {
    let mut house = lived_in().await;
    let open = house.store.open_jobs(0).await.expect("open jobs");
    let waiting = open.iter().find(|id| **id != house.running.job);
    let job = key("job", waiting.expect("the waiting job").as_str());
    let _: i64 = house.raw.run(&["HSET", &job, "state", "failed"]).await;
    house.freezes(Some("acme")).await;
    let _: i64 = house.raw.run(&["HSET", &job, "state", "scheduled"]).await;
    let due = key("part", "due");
    let id = job.rsplit(':').next().expect("the id");
    let _: i64 = house.raw.run(&["ZADD", &due, "1", id]).await;
    house.goes_on(Some("acme")).await;
}

#[tokio::test]
async fn more_differing_accounts_than_anybody_would_look_at_freeze_the_partition() {
    let (store, raw) = store_and_raw(options()).await;
    let mut watch = Watch::new(store.clone(), "a1", 1_000);
    for n in 0..101 {
        let name = format!("account-{n}");
        funded(&store, &name, 1).await;
    }
    sound(&mut watch).await;
    for n in 0..101 {
        let hash = key("acct", &format!("account-{n}"));
        let _: i64 = raw.run(&["HINCRBY", &hash, "held", "1"]).await;
    }
    let (_, froze) = round(&mut watch).await;
    assert_eq!(froze, [None]);
}

#[tokio::test]
async fn one_process_audits_a_partition_and_another_takes_over_when_it_falls_silent() {
    let store = store().await;
    funded(&store, "acme", 10).await;
    let mut first = Watch::new(store.clone(), "a1", 1_000);
    let mut second = Watch::new(store.clone(), "a2", 1_000);
    sound(&mut first).await;
    // It reads the whole journal first, and nobody else should begin to meanwhile.
    let mut early = Watch::new(store.at(T0 + 899_999), "a2", 1_000);
    assert_eq!(early.round(0).await.expect("a round"), Round::Follows);
    sound(&mut first).await;
    assert_eq!(second.round(0).await.expect("a round"), Round::Follows);
    let mut second = Watch::new(store.at(T0 + 59_999), "a2", 1_000);
    assert_eq!(second.round(0).await.expect("a round"), Round::Follows);
    let mut second = Watch::new(store.at(T0 + 60_000), "a2", 1_000);
    sound(&mut second).await;
    assert_eq!(first.round(0).await.expect("a round"), Round::Follows);
    let last = store.last_audit(0).await.expect("audit").expect("one");
    assert_eq!((last.auditor.as_str(), last.at_ms), ("a2", T0 + 60_000));
    // Only the leader's word is kept, also when nobody leads any more.
    for later_ms in [60_001, 500_000] {
        let later = store.at(T0 + later_ms);
        let kept = later.keep_audit(0, "a3", "{}", true, 9, 0).await;
        assert!(!kept.expect("an answer"));
    }
    assert_eq!(store.last_audit(0).await.expect("audit"), Some(last));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_audit_raises_a_false_alarm_while_the_store_is_in_use() {
    let store = store().await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut busy = Vec::new();
    for name in ["acme", "bolt", "cody"] {
        let id = funded(&store, name, 1_000).await;
        let (store, stop) = (store.clone(), Arc::clone(&stop));
        busy.push(tokio::spawn(async move {
            let mut done = 0u32;
            while !stop.load(Ordering::Relaxed) {
                let job = job_for(&store, &id, 1 + rand::random_range(0..9));
                let job = accept(&store, &job).await.job;
                if rand::random_bool(0.3) {
                    cancel(&store, &job).await;
                }
                for job in claim(&store, id.as_str(), 2).await {
                    match rand::random_range(0..3) {
                        0 => {
                            fail(&store, &job, &ends(FailureClass::ProviderFault)).await;
                        }
                        1 => {
                            defer(&store, &job, 0, false).await;
                        }
                        _ => {
                            settle(&store, &job, &settlement(0)).await;
                            done += 1;
                        }
                    }
                }
                if done.is_multiple_of(16) {
                    give(
                        &store,
                        &id,
                        1,
                        meterline::store::GrantKind::Promo,
                        None,
                        &format!("{id}-{done}"),
                    )
                    .await;
                }
            }
            done
        }));
    }
    let mut watch = Watch::new(store.clone(), "a1", 1_000);
    let mut entries = 0;
    while entries < 3_000 {
        assert!(busy.iter().all(|task| !task.is_finished()));
        let (report, froze) = round(&mut watch).await;
        assert!(report.ok, "{:#?}", report.differences);
        assert!(froze.is_empty());
        entries = report.entries;
        let report = audit(&store).await.expect("audit");
        assert!(report.ok, "{:#?}", report.differences);
    }
    stop.store(true, Ordering::Relaxed);
    for task in busy {
        assert!(task.await.expect("a busy account") > 0);
    }
    sound(&mut watch).await;
    assert_sound(&store).await;
}
