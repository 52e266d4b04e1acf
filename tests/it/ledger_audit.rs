//! The audit finds what is wrong, each kind of it, and nothing where all is well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use meterline::ledger::{Report, audit};
use meterline::store::Store;

use crate::support::*;

/// One account with a settled job, an open one, and a grant that expired.
async fn lived_in() -> (Store, Raw) {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let kind = meterline::store::GrantKind::Daily;
    give(&store, &acme, 5, kind, Some(T0 + 1_000), "daily").await;
    accept(&store, &job_for(&store, &acme, 20)).await;
    let job = claim_one(&store, "w1").await;
    let later = store.at(T0 + 2_000);
    later
        .settle(&job.job, &job.token, &settlement(10))
        .await
        .expect("settle");
    accept(&later, &job_for(&later, &acme, 30)).await;
    assert_sound(&later).await;
    (later, raw)
}

async fn whats(store: &Store) -> Vec<String> {
    let report = audit(store).await.expect("audit");
    assert_eq!(report.ok, report.differences.is_empty());
    report.differences.into_iter().map(|d| d.what).collect()
}

#[tokio::test]
async fn the_report_counts_what_it_read() {
    let (store, _) = lived_in().await;
    let report: Report = audit(&store).await.expect("audit");
    assert_eq!((report.partitions, report.accounts), (1, 1));
    // open, two grants, hold, (capture with its lazily due expiry), hold
    assert_eq!((report.entries, report.open_holds), (6, 1));
    assert_eq!(report.books["revenue"], 10_000_000);
    assert_eq!(report.books["held"], 30_000_000);
    let json = serde_json::to_value(&report).expect("json");
    assert_eq!(json["ok"], true);
    assert_eq!(json["books"]["revenue"], 10_000_000);
}

#[tokio::test]
async fn an_empty_store_is_in_order() {
    assert_sound(&store().await).await;
}

#[tokio::test]
async fn promise_11_the_audit_finds_a_changed_balance() {
    for field in [
        "available",
        "held",
        "debt",
        "granted",
        "captured",
        "expired",
        "refunded",
        "adjusted",
    ] {
        let (store, raw) = lived_in().await;
        let _: i64 = raw
            .run(&["HINCRBY", &key("acct", "acme"), field, "1"])
            .await;
        assert!(whats(&store).await.contains(&field.to_owned()), "{field}");
    }
}

#[tokio::test]
async fn promise_11_the_audit_finds_a_changed_grant() {
    let (store, raw) = lived_in().await;
    let row = "purchase|60000001|30000000|0|1";
    let _: i64 = raw.run(&["HSET", &key("grants", "acme"), "g1", row]).await;
    assert_eq!(whats(&store).await, ["sum of grants remaining", "grant g1"]);
}

#[tokio::test]
async fn promise_11_the_audit_finds_a_changed_entry() {
    let (store, raw) = lived_in().await;
    let journal = key("part", "journal");
    let rows: Vec<(String, Vec<(String, String)>)> = raw.run(&["XRANGE", &journal, "-", "+"]).await;
    let _: i64 = raw.run(&["DEL", &journal]).await;
    for (id, fields) in rows {
        let body = fields[0]
            .1
            .replace("\"actor\":\"tests\"", "\"actor\":\"nobody\"");
        let _: String = raw
            .run(&["XADD", &journal, &id, "b", &body, "h", &fields[1].1])
            .await;
    }
    assert_eq!(
        whats(&store).await,
        ["hash of entry 1-2", "hash of entry 1-3"]
    );
}

#[tokio::test]
async fn promise_11_the_audit_finds_a_missing_entry() {
    let (store, raw) = lived_in().await;
    let journal = key("part", "journal");
    let _: i64 = raw.run(&["XDEL", &journal, "1-3"]).await;
    let found = whats(&store).await;
    assert!(found.contains(&"sequence".to_owned()), "{found:?}");
    assert!(found.contains(&"account sequence".to_owned()), "{found:?}");
}

#[tokio::test]
async fn promise_11_the_audit_finds_a_journal_that_lost_its_end() {
    let (store, raw) = lived_in().await;
    let _: i64 = raw.run(&["XDEL", &key("part", "journal"), "1-6"]).await;
    let found = whats(&store).await;
    assert_eq!(found[0], "end of the journal");
}

#[tokio::test]
async fn promise_11_the_audit_finds_a_missing_account() {
    let (store, raw) = lived_in().await;
    let _: i64 = raw.run(&["DEL", &key("acct", "acme")]).await;
    assert!(whats(&store).await.contains(&"account".to_owned()));
}

#[tokio::test]
async fn promise_02_the_audit_finds_a_hold_without_its_job() {
    let (store, raw) = lived_in().await;
    let open = store.open_jobs(0).await.expect("open jobs").remove(0);
    let what = vec![format!("job {open} of an open hold")];

    let _: i64 = raw
        .run(&["HSET", &key("job", open.as_str()), "state", "failed"])
        .await;
    assert_eq!(whats(&store).await, what);
    let _: i64 = raw.run(&["DEL", &key("job", open.as_str())]).await;
    assert_eq!(whats(&store).await, what);
    let _: i64 = raw
        .run(&["ZREM", &key("part", "deadlines"), open.as_str()])
        .await;
    assert_eq!(whats(&store).await, what);
}

#[tokio::test]
async fn promise_02_the_audit_finds_a_job_without_its_hold() {
    let (store, raw) = lived_in().await;
    let acme = account("acme");
    let id = store.new_job_id(&acme);
    let job = key("job", id.as_str());
    let _: i64 = raw
        .run(&[
            "HSET", &job, "account", "acme", "state", "queued", "hold_ucr", "7",
        ])
        .await;
    let _: i64 = raw
        .run(&["ZADD", &key("part", "deadlines"), "1", id.as_str()])
        .await;
    assert_eq!(whats(&store).await, [format!("hold of open job {id}")]);
}

#[tokio::test]
async fn promise_02_the_audit_finds_a_job_with_another_hold_or_out_of_the_sweeps_sight() {
    let (store, raw) = lived_in().await;
    let open = store.open_jobs(0).await.expect("open jobs").remove(0);
    let job = key("job", open.as_str());
    let _: i64 = raw.run(&["HSET", &job, "hold_ucr", "29999999"]).await;
    let _: i64 = raw
        .run(&["ZREM", &key("part", "deadlines"), open.as_str()])
        .await;
    assert_eq!(
        whats(&store).await,
        [
            format!("hold of job {open}"),
            format!("job {open} in the deadlines")
        ]
    );
}

#[tokio::test]
async fn every_partition_is_read_and_named() {
    let url = fresh_url();
    let eight = meterline::store::Options {
        partitions: 8,
        ..options()
    };
    let store = Store::open(&url, eight).await.expect("a store").at(T0);
    let mut reached = std::collections::BTreeSet::new();
    for n in 0..40 {
        let id = funded(&store, &format!("account-{n}"), 10).await;
        accept(&store, &job_for(&store, &id, 4)).await;
        reached.insert(id.partition(8));
    }
    assert_eq!(reached.len(), 8);
    let report = audit(&store).await.expect("audit");
    assert_eq!(
        (report.partitions, report.accounts, report.open_holds),
        (8, 40, 40)
    );
    assert_eq!(report.entries, 120);
    assert_sound(&store).await;

    let wrong = account("account-7");
    let tag = format!("ml:{{p{:02x}", wrong.partition(8));
    let raw = Raw::open(&url).await;
    let names = raw.dump().await.into_keys();
    let ours = |name: &String| name.starts_with(&tag) && name.ends_with(":acct:account-7");
    let keys: Vec<String> = names.filter(ours).collect();
    let _: i64 = raw.run(&["HINCRBY", &keys[0], "captured", "1"]).await;
    let report = audit(&store).await.expect("audit");
    assert!(!report.ok);
    let all_there = |d: &meterline::ledger::Difference| {
        (d.partition, d.account.as_deref()) == (wrong.partition(8), Some("account-7"))
    };
    assert!(
        report.differences.iter().all(all_there),
        "{:#?}",
        report.differences
    );
    let captured = &report.differences[0];
    assert_eq!(
        (
            captured.what.as_str(),
            captured.expected.as_str(),
            captured.found.as_str()
        ),
        ("captured", "0", "1")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_is_right_while_the_store_is_in_use() {
    let store = store().await;
    let accounts = [
        funded(&store, "acme", 1_000).await,
        funded(&store, "bolt", 1_000).await,
    ];
    let stop = Arc::new(AtomicBool::new(false));
    let mut busy = Vec::new();
    for id in accounts {
        let (store, stop) = (store.clone(), Arc::clone(&stop));
        busy.push(tokio::spawn(async move {
            let mut done = 0u32;
            while !stop.load(Ordering::Relaxed) {
                accept(&store, &job_for(&store, &id, 10)).await;
                for job in claim(&store, id.as_str(), 1).await {
                    let settled = store.settle(&job.job, &job.token, &settlement(0)).await;
                    settled.expect("settle");
                    done += 1;
                }
            }
            done
        }));
    }
    let mut entries = 0;
    while entries < 1_500 {
        let report = audit(&store).await.expect("audit");
        assert!(report.ok, "{:#?}", report.differences);
        entries = report.entries;
    }
    stop.store(true, Ordering::Relaxed);
    for task in busy {
        assert!(task.await.expect("a busy account") > 0);
    }
    assert_sound(&store).await;
}
