//! What a request may look like: everything that does not fit is refused as that, and never fails inside.

use reqwest::Method;
use serde_json::json;

use super::{Api, image, kind, read};

#[tokio::test]
async fn what_does_not_fit_is_refused_before_anything_is_asked_of_the_store() {
    let api = Api::start().await;
    let admin = api.admin.clone();
    api.customer("acme", 100).await;
    let forever =
        json!({"name": "a", "scopes": ["produce"], "ttl_ms": 9_223_372_036_854_775_808u64});
    let listed = json!(["a", ["produce"]]);
    let filter = json!({"filter": [null, null], "payer": "house", "reason": "x"});
    let limit = json!({"filter": {"limit": 0}, "payer": "house", "reason": "x"});
    for (path, body) in [
        ("/v1/keys", forever),
        ("/v1/keys", listed),
        ("/v1/dead-letters/retry", filter),
        ("/v1/dead-letters/retry", limit),
        ("/v1/jobs?wait=86401", image("acme")),
    ] {
        let (status, answer) = api.post(&admin, path, body).await;
        assert_eq!(
            (status.as_u16(), kind(&answer)),
            (400, "bad_request"),
            "{path}"
        );
    }
    // A text that can be no account is not there.
    let (status, answer) = api.get(&admin, "/v1/accounts/a%20b").await;
    assert_eq!((status.as_u16(), kind(&answer)), (404, "unknown_account"));
    // Before 1970 there was nothing: everything is asked for.
    let (status, _) = api.get(&admin, "/v1/acts?since=1960-01-01T00:00:00Z").await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_key_can_stand_in_the_header_or_in_the_body_and_says_one_thing() {
    let api = Api::start().await;
    let acme = api.customer("acme", 100).await;
    let mut body = image("acme");
    body["idempotency_key"] = json!("k1");
    let (status, first) = api.post(&acme, "/v1/jobs", body.clone()).await;
    assert_eq!(status, 201, "{first}");
    let with = |key: &str, path: &str| {
        api.request(&acme, Method::POST, path)
            .header("Idempotency-Key", key)
    };
    let (_, again) = read(with("k1", "/v1/jobs").json(&body)).await;
    assert_eq!(
        (&again["job"], &again["status"]),
        (&first["job"], &json!("replayed"))
    );
    let (status, answer) = read(with("k2", "/v1/jobs").json(&body)).await;
    assert_eq!((status.as_u16(), kind(&answer)), (400, "bad_request"));
    // A batch's key is judged before any of its jobs.
    for key in ["", "a b", &"k".repeat(252)] {
        let batch = json!({"jobs": [image("acme")]});
        let (status, answer) = read(with(key, "/v1/jobs/batch").json(&batch)).await;
        assert_eq!(
            (status.as_u16(), kind(&answer)),
            (400, "bad_request"),
            "{key:?}"
        );
    }
}
