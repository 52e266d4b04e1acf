//! Accounts and credits over HTTP: once per key, and in the operator's name.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Api, kind, read, send};
use crate::support::assert_sound;

async fn post(api: &Api, key: &str, path: &str, body: Value) -> (u16, bool, Value) {
    let request = api.request(&api.admin, Method::POST, path);
    let response = send(request.header("Idempotency-Key", key).json(&body)).await;
    let replayed = response.headers().contains_key("idempotent-replayed");
    let status = response.status().as_u16();
    (status, replayed, response.json().await.expect("JSON"))
}

#[tokio::test]
async fn what_moves_credits_happens_once_per_key() {
    let api = Api::start().await;
    let (status, account) = api
        .post(&api.admin, "/v1/accounts", json!({"account": "acme"}))
        .await;
    assert_eq!((status.as_u16(), &account["state"]), (201, &json!("open")));
    let grant = json!({"amount_ucr": 100_000_000, "kind": "purchase", "reason": "top-up"});
    let path = "/v1/accounts/acme/grants";
    assert!(!post(&api, "pay-1", path, grant.clone()).await.1);
    let again = post(&api, "pay-1", path, grant.clone()).await;
    assert_eq!((again.0, again.1), (201, true));
    let mut other = grant.clone();
    other["amount_ucr"] = json!(1);
    let mismatch = post(&api, "pay-1", path, other).await;
    assert_eq!((mismatch.0, kind(&mismatch.2)), (409, "operation_mismatch"));
    let (status, body) = api.post(&api.admin, path, grant).await;
    assert_eq!(
        (status.as_u16(), kind(&body)),
        (400, "idempotency_key_required")
    );
    let down = json!({"amount_ucr": -40_000_000, "reason": "fix"});
    let adjusted = post(&api, "fix-1", "/v1/accounts/acme/adjustments", down).await;
    assert_eq!(adjusted.2["available_ucr"], json!(60_000_000));
    let back = json!({"payment": "pay-1", "amount_ucr": 10_000_000, "reason": "dispute"});
    let clawed = post(&api, "dis-1", "/v1/accounts/acme/clawbacks", back).await;
    assert_eq!(clawed.2["adjusted_ucr"], json!(-10_000_000));
    let plan = json!({"plan": "plus", "reason": "invoice"});
    let planned = post(&api, "inv-1", "/v1/accounts/acme/plan", plan).await;
    assert_eq!(
        (planned.0, &planned.2["available_ucr"]),
        (201, &json!(550_000_000))
    );
    let daily = "/v1/accounts/acme/daily-reward";
    assert_eq!(api.post(&api.admin, daily, json!({})).await.0, 201);
    let (status, body) = api.post(&api.admin, daily, json!({})).await;
    assert_eq!((status.as_u16(), kind(&body)), (409, "already_taken"));
    let (_, statement) = api
        .get(&api.admin, "/v1/accounts/acme/statement?by=grant")
        .await;
    assert_eq!(statement["total"]["net_ucr"], json!(560_000_000));
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/accounts/acme/ledger?limit=2&cursor={cursor}");
        let (_, page) = api.get(&api.admin, &path).await;
        let entries = page["data"].as_array().expect("entries");
        seen.extend(
            entries
                .iter()
                .map(|entry| entry["account_seq"].as_u64().expect("a number")),
        );
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert!(
        seen.len() > 5 && seen.is_sorted_by(|a, b| *a == b + 1),
        "{seen:?}"
    );
    assert_sound(&api.store).await;
}

#[tokio::test]
async fn operators_act_in_the_name_of_their_key() {
    let api = Api::start().await;
    api.customer("acme", 10).await;
    let terms = json!({"day_cap_ucr": 5_000_000, "max_active": 3, "reason": "asked for"});
    let (status, account) = api.post(&api.admin, "/v1/accounts/acme/terms", terms).await;
    assert_eq!((status.as_u16(), &account["max_active"]), (200, &json!(3)));
    assert_eq!(account["day"]["cap_ucr"], json!(5_000_000));
    let (status, body) = api.post(&api.admin, "/v1/jobs", super::image("acme")).await;
    assert_eq!((status.as_u16(), kind(&body)), (402, "cap_exceeded"));
    let halt = json!({"act": "pause", "reason": "outage"});
    let (status, _) = api
        .post(&api.admin, "/v1/queues/image/halt", halt.clone())
        .await;
    assert_eq!(status, 200);
    let request = api.request(&api.admin, Method::POST, "/v1/queues/nope/halt");
    assert_eq!(read(request.json(&halt)).await.0, 404);
    let (_, queues) = api.get(&api.admin, "/v1/queues").await;
    let queues = queues["data"].as_array().expect("queues");
    let image = queues
        .iter()
        .find(|queue| queue["queue"] == "image")
        .expect("image");
    assert_eq!(image["paused"]["actor"], "api:tests");
    let (_, acts) = api.get(&api.admin, "/v1/acts").await;
    let acts = acts["data"].as_array().expect("acts");
    assert!(
        acts.iter()
            .any(|act| act["act"] == "pause" && act["actor"] == "api:tests")
    );
    assert!(
        acts.iter()
            .any(|act| act["act"] == "set" && act["reason"] == "asked for")
    );
}
