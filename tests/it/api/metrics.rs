//! `/metrics` after things have happened.

use std::collections::BTreeMap;
use std::path::Path;

use meterline::ledger::Watch;
use meterline::store::SettleOutcome;
use reqwest::Method;

use super::{Api, send, settings};
use crate::support::postgres::{fresh_history, project};
use crate::support::*;

/// Every sample, by its name with its labels.
async fn scrape(api: &Api) -> BTreeMap<String, f64> {
    let response = send(api.request(&api.admin, Method::GET, "/metrics")).await;
    assert_eq!(response.status(), 200);
    let text = response.text().await.expect("a text");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').expect("a sample");
        (name.to_owned(), value.parse().expect("a number"))
    };
    lines.map(sample).collect()
}

#[tokio::test]
async fn who_lost_a_lease_and_whose_words_were_refused_is_counted() {
    let (store, _, _, old) = running_job().await;
    let lapsed = T0 + LEASE_MS + 1;
    let at = store.at(lapsed);
    let api = Api::on(at.clone(), settings()).await;
    let before = scrape(&api).await;
    assert_eq!(before["meterline_leases_lost_total"], 0.0);
    tick_through(&store, T0, lapsed).await;
    reap(&at).await.expect("the sweep goes on");
    let new = claim_one(&at, "w2").await;
    assert_eq!(new.job, old.job);
    let late = at.settle(&old.job, &old.token, &settlement(28)).await;
    assert_eq!(late.expect("an answer"), SettleOutcome::Fenced);
    settle(&at, &new, &settlement(28)).await;
    let queues = ["video".to_owned()];
    let beat = at.heartbeat(0, "w2", LEASE_MS, &queues, "{}", &[]);
    beat.await.expect("a heartbeat");

    let seen = scrape(&api).await;
    assert_eq!(seen["meterline_leases_lost_total"], 1.0);
    assert_eq!(seen["meterline_fenced_words_total"], 1.0);
    assert_sound(&at).await;
}

#[tokio::test]
async fn what_was_posted_is_told_by_posting_and_adds_up_to_nothing() {
    let (store, raw, _, job) = running_job().await;
    let api = Api::on(store.clone(), settings()).await;
    let before = scrape(&api).await;
    assert!(!before.contains_key("meterline_books_audited_seconds"));
    settle(&store, &job, &settlement(28)).await;
    let mut watch = Watch::new(store.clone(), "a1", 60_000);
    watch.round(0).await.expect("an audit");
    let seen = scrape(&api).await;
    let posted = |posting: &str| seen[&format!("meterline_posted_ucr{{posting=\"{posting}\"}}")];
    assert_eq!(posted("revenue"), 28e6);
    assert_eq!(posted("available"), 72e6);
    assert_eq!(posted("world"), -100e6);
    assert_eq!(seen["meterline_books_imbalance_ucr"], 0.0);
    assert_eq!(seen["meterline_books_differences"], 0.0);
    assert_eq!(seen["meterline_books_sound{partition=\"0\"}"], 1.0);
    assert!(seen.contains_key("meterline_books_audited_seconds"));

    // A balance that was changed by hand is found, and told.
    let acct = key("acct", "acme");
    let _: i64 = raw.run(&["HINCRBY", &acct, "available", "5000000"]).await;
    for _ in 0..2 {
        watch.round(0).await.expect("an audit");
    }
    let seen = scrape(&api).await;
    assert_eq!(seen["meterline_books_sound{partition=\"0\"}"], 0.0);
    assert!(seen["meterline_books_differences"] >= 1.0);
    assert_eq!(seen["meterline_frozen"], 1.0);
}

#[tokio::test]
async fn the_page_for_operators_names_every_metric_in_its_own_words() {
    let api = Api::start().await;
    let response = send(api.request(&api.admin, Method::GET, "/metrics")).await;
    let text = response.text().await.expect("a text");
    let mut told = text.lines().filter_map(|line| line.strip_prefix("# "));
    let mut rows = Vec::new();
    while let (Some(help), Some(kind)) = (told.next(), told.next()) {
        let help = help.strip_prefix("HELP ").expect("a help");
        let (name, help) = help.split_once(' ').expect("words");
        let kind = kind.rsplit(' ').next().expect("a type");
        rows.push(format!("| `{name}` | {kind} | {help} |"));
    }
    assert!(rows.len() > 20);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let there: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| `meterline_"))
        .collect();
    assert_eq!(there, rows);
}

#[tokio::test]
async fn how_far_history_is_behind_is_told_and_that_it_is_away() {
    let (store, _, acme, job) = running_job().await;
    let url = fresh_history().await;
    project(&store, &url).await;
    let api = Api::with_history(store.at(T0 + 1_000), url.clone()).await;
    let seen = scrape(&api).await;
    for name in ["entries", "partitions", "seconds"] {
        assert_eq!(
            seen[&format!("meterline_history_{name}_behind")],
            0.0,
            "{name}"
        );
    }
    assert_eq!(
        (
            seen["meterline_history_up"],
            seen["meterline_history_broken"]
        ),
        (1.0, 0.0)
    );
    settle(&store, &job, &settlement(28)).await;
    accept(&store, &job_for(&store, &acme, 10)).await;
    let seen = scrape(&api).await;
    assert_eq!(seen["meterline_history_entries_behind"], 2.0);
    assert_eq!(seen["meterline_history_partitions_behind"], 1.0);
    assert_eq!(seen["meterline_history_seconds_behind"], 1.0);
    project(&store, &url).await;
    assert_eq!(scrape(&api).await["meterline_history_entries_behind"], 0.0);

    let nowhere = "postgres://127.0.0.1:1/none".to_owned().into();
    let api = Api::with_history(store.clone(), nowhere).await;
    let seen = scrape(&api).await;
    assert_eq!(seen["meterline_history_up"], 0.0);
    assert!(
        !seen.contains_key("meterline_history_entries_behind"),
        "nobody knows"
    );
    assert_eq!(
        api.get("", "/readyz").await.0,
        200,
        "jobs do not wait for history"
    );
}
