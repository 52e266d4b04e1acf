//! What the store has forgotten and Postgres has: answered over HTTP as if it had never been forgotten.

use std::collections::BTreeMap;

use meterline::store::Store;
use secrecy::SecretString;
use serde_json::Value;

use super::{Api, kind};
use crate::history_through::{HOUR_MS, live, short, trim};
use crate::support::postgres::{fresh_history, project};
use crate::support::*;

/// Every page of a listing, end to end.
async fn all(api: &Api, path: &str) -> Vec<Value> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let (status, page) = api.get(&api.admin, &format!("{path}limit=3{cursor}")).await;
        assert_eq!(status, 200, "{page}");
        found.extend(page["data"].as_array().expect("a list").clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

/// What is asked of the house, answer by answer.
async fn answers(api: &Api, jobs: &[String]) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for path in [
        "/v1/jobs?",
        "/v1/jobs?account=acme&",
        "/v1/jobs?account=acme&state=failed&",
        "/v1/jobs?tool=image-to-video&",
    ] {
        found.insert(path.to_owned(), Value::Array(all(api, path).await));
    }
    let ledger = all(api, "/v1/accounts/acme/ledger?").await;
    // Openings are the store's own: they come with the forgetting.
    let ledger = ledger
        .into_iter()
        .filter(|entry| entry["kind"] != "opening");
    found.insert("ledger".to_owned(), ledger.collect());
    let statement = "/v1/accounts/acme/statement?from=2027-01-15T00:00:00Z&to=2027-01-17T00:00:00Z";
    let single = jobs.iter().flat_map(|job| {
        let job = format!("/v1/jobs/{job}");
        [format!("{job}/explain"), job]
    });
    for path in single.chain([statement.to_owned()]) {
        let (status, body) = api.get(&api.admin, &path).await;
        assert_eq!(status, 200, "{path}: {body}");
        found.insert(path, body);
    }
    found
}

async fn at(store: &Store, ms: u64, postgres: &SecretString) -> Api {
    Api::with_history(store.at(ms), postgres.clone()).await
}

#[tokio::test]
async fn what_was_forgotten_is_answered_as_before_and_where_nobody_knows_it_is_said() {
    let store = store_with(short()).await;
    let url = fresh_history().await;
    let (_, over_ms) = live(&store, 5).await;
    let late = over_ms + HOUR_MS;
    let api = at(&store, late, &url).await;
    project(&store, &url).await;
    let jobs = all(&api, "/v1/jobs?").await;
    assert_eq!(jobs.len(), 10);
    let id = |job: &Value| job["job"].as_str().expect("an id").to_owned();
    let jobs: Vec<String> = jobs.iter().map(id).collect();
    let before = answers(&api, &jobs).await;

    // The first half goes, then all of it.
    tick(&store.at(T0 + 2 * HOUR_MS)).await;
    let half = answers(&api, &jobs).await;
    trim(&store, &url, late).await;
    tick(&store.at(late + 5_000)).await;
    let first = jobs[0].parse().expect("an id");
    assert_eq!(store.job(&first).await.expect("an answer"), None);
    let after = answers(&at(&store, late + 5_000, &url).await, &jobs).await;
    for (path, body) in &before {
        assert_eq!(&half[path], body, "{path}");
        assert_eq!(&after[path], body, "{path}");
    }

    let nobody = SecretString::from("postgresql://meterline@%2Fnonexistent/none");
    let api = at(&store, late + 5_000, &nobody).await;
    let forgotten = format!("/v1/jobs/{}", jobs[0]);
    for path in [forgotten.as_str(), "/v1/jobs", "/v1/jobs?state=failed"] {
        let (status, body) = api.get(&api.admin, path).await;
        assert_eq!(
            (status.as_u16(), kind(&body)),
            (503, "store_unavailable"),
            "{path}: {body}"
        );
        assert!(
            body["detail"]
                .as_str()
                .is_some_and(|text| text.contains("history")),
            "{body}"
        );
    }
    let (status, open) = api.get(&api.admin, "/v1/jobs?state=queued").await;
    assert_eq!(status, 200, "open jobs stand in the store alone: {open}");
    let statement = "/v1/accounts/acme/statement";
    let (_, body) = api.get(&api.admin, statement).await;
    assert!(
        body["kept_from"].is_string(),
        "it says from when on it is whole: {body}"
    );
    assert_sound(&store.at(late + 5_000)).await;
}
