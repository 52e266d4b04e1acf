//! Keys and tokens over HTTP: what they may, for how long, and how often.

use meterline::store::{ApiSecret, KeyScope};
use reqwest::Method;
use serde_json::json;

use super::{Api, key, kind, send, settings};
use crate::support::{account, funded};

#[tokio::test]
async fn a_token_sees_its_account_for_a_while_and_makes_no_tokens() {
    let api = Api::start().await;
    funded(&api.store, "acme", 100).await;
    funded(&api.store, "other", 100).await;
    let shop = key(&api.store, &[KeyScope::Produce], None).await;
    let path = "/v1/accounts/acme/tokens";
    let (status, made) = api.post(&shop, path, json!({"ttl_ms": 60_000})).await;
    assert_eq!(status, 201, "{made}");
    let token = made["secret"].as_str().expect("a secret").to_owned();
    assert!(token.starts_with("mlt_"));
    api.submit(&token, "acme").await;
    assert_eq!(api.get(&token, "/v1/accounts/other").await.0, 404);
    let (status, body) = api.post(&token, path, json!({})).await;
    assert_eq!((status.as_u16(), kind(&body)), (403, "forbidden"));
    let later = api.store.at(api.store.server_ms().await.unwrap() + 60_001);
    let parsed = ApiSecret::parse(&token).expect("a token");
    assert!(later.authenticate(&parsed).await.unwrap().is_none());
    let (status, _) = api.post(&shop, path, json!({"ttl_ms": 86_400_001})).await;
    assert_eq!(status, 400);
    let (status, _) = api
        .post(&shop, "/v1/accounts/nobody/tokens", json!({}))
        .await;
    assert_eq!(status, 404);
    assert_eq!(
        api.store.api_keys().await.unwrap().len(),
        2,
        "tokens are in no list"
    );
}

#[tokio::test]
async fn keys_are_made_and_ended_over_the_api() {
    let api = Api::start().await;
    let ask = json!({"name": "shop", "scopes": ["produce"]});
    let (status, made) = api.post(&api.admin, "/v1/keys", ask).await;
    assert_eq!(status, 201, "{made}");
    let (id, secret) = (
        made["key"].as_str().unwrap(),
        made["secret"].as_str().unwrap(),
    );
    assert_eq!(api.get(secret, "/v1/tools").await.0, 200);
    let path = format!("/v1/keys/{id}/rotate");
    let (_, rotated) = api.post(&api.admin, &path, json!({"overlap_ms": 0})).await;
    assert_eq!(api.get(secret, "/v1/tools").await.0, 401);
    let secret = rotated["secret"].as_str().unwrap();
    assert_eq!(api.get(secret, "/v1/tools").await.0, 200);
    let path = format!("/v1/keys/{id}/revoke");
    assert_eq!(
        api.post(&api.admin, &path, json!({"reason": "closed"}))
            .await
            .0,
        200
    );
    let (status, body) = api.get(secret, "/v1/tools").await;
    assert_eq!((status.as_u16(), kind(&body)), (401, "unauthorized"));
    let (_, keys) = api.get(&api.admin, "/v1/keys").await;
    assert!(keys["data"][1]["revoked_at"].is_string(), "{keys}");
    for bad in [
        json!({"name": "a b", "scopes": ["produce"]}),
        json!({"name": "x", "scopes": []}),
        json!({"name": "x", "scopes": ["root"]}),
    ] {
        assert_eq!(api.post(&api.admin, "/v1/keys", bad).await.0, 400);
    }
    funded(&api.store, "acme", 1).await;
    let wide = json!({"name": "x", "scopes": ["operate"], "account": account("acme")});
    assert_eq!(api.post(&api.admin, "/v1/keys", wide).await.0, 400);
}

#[tokio::test]
async fn a_key_above_its_limit_is_told_when_to_come_again() {
    let mut settings = settings();
    settings.key_requests_per_minute = 3;
    let api = Api::with(settings).await;
    for left in (0..3).rev() {
        let response = send(api.request(&api.admin, Method::GET, "/v1/tools")).await;
        assert_eq!(response.status(), 200);
        let rest = response.headers()["ratelimit"].to_str().unwrap().to_owned();
        assert!(rest.starts_with(&format!("\"key\";r={left};t=")), "{rest}");
        assert_eq!(response.headers()["ratelimit-policy"], "\"key\";q=3;w=60");
    }
    let response = send(api.request(&api.admin, Method::GET, "/v1/tools")).await;
    assert_eq!(response.status(), 429);
    let wait: u64 = response.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
}
