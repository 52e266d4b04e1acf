//! Keys and tokens: taken while they live, rotated with an overlap, ended at once, never readable.

use meterline::store::{ApiSecret, KeyKind, KeyScope, NewKey, RevokeOutcome, RotateOutcome};
use reqwest::Method;
use serde_json::json;

use super::{Api, key, kind, send, settings};
use crate::support::{T0, account, funded, options, store, store_and_raw};

fn new_key(ttl_ms: u64) -> NewKey {
    NewKey {
        kind: KeyKind::Key,
        name: "shop".to_owned(),
        scopes: vec![KeyScope::Produce],
        account: None,
        ttl_ms,
        reason: "new shop".to_owned(),
        actor: "ops".to_owned(),
    }
}

#[tokio::test]
async fn a_key_is_taken_until_it_expires_or_is_revoked() {
    let store = store().await;
    let (lasting, brief) = (ApiSecret::new(KeyKind::Key), ApiSecret::new(KeyKind::Key));
    assert_eq!(store.create_key(&lasting, &new_key(0)).await.unwrap(), None);
    let until = store.create_key(&brief, &new_key(1_000)).await.unwrap();
    assert_eq!(until, Some(T0 + 1_000));
    // The same call again, its answer lost: the same key.
    assert_eq!(
        store.create_key(&brief, &new_key(1_000)).await.unwrap(),
        until
    );
    let other = ApiSecret::of_id(KeyKind::Key, brief.id().to_owned());
    assert!(
        store.create_key(&other, &new_key(0)).await.is_err(),
        "the id is taken"
    );
    assert!(store.authenticate(&other).await.unwrap().is_none());
    assert!(store.authenticate(&brief).await.unwrap().is_some());
    let later = store.at(T0 + 1_000);
    assert!(later.authenticate(&brief).await.unwrap().is_none());
    assert!(later.authenticate(&lasting).await.unwrap().is_some());
    let revoke = async |id: &str| store.revoke_key(id, "closed", "ops").await.unwrap();
    let at = |replayed| RevokeOutcome::Revoked {
        at_ms: T0,
        replayed,
    };
    assert_eq!(revoke("nobody").await, RevokeOutcome::UnknownKey);
    assert_eq!(revoke(lasting.id()).await, at(false));
    assert_eq!(revoke(lasting.id()).await, at(true));
    assert!(store.authenticate(&lasting).await.unwrap().is_none());
    let acts = store.acts(0, "-", 100).await.unwrap();
    let acts: Vec<&str> = acts.iter().map(|act| act.act.as_str()).collect();
    assert_eq!(acts, ["key create", "key create", "key revoke"]);
}

#[tokio::test]
async fn a_rotated_key_is_taken_by_both_secrets_for_a_while() {
    let store = store().await;
    let old = ApiSecret::new(KeyKind::Key);
    store.create_key(&old, &new_key(0)).await.unwrap();
    let new = ApiSecret::of_id(KeyKind::Key, old.id().to_owned());
    let rotate = async |secret: &ApiSecret| store.rotate_key(secret, 500, "", "ops").await.unwrap();
    assert_eq!(rotate(&new).await, RotateOutcome::Rotated(T0 + 500));
    let later = store.at(T0 + 100);
    let again = later.rotate_key(&new, 500, "", "ops").await.unwrap();
    assert_eq!(
        again,
        RotateOutcome::Rotated(T0 + 500),
        "a repeated call prolongs nothing"
    );
    for secret in [&old, &new] {
        assert!(later.authenticate(secret).await.unwrap().is_some());
    }
    let late = store.at(T0 + 500);
    assert!(late.authenticate(&old).await.unwrap().is_none());
    assert!(late.authenticate(&new).await.unwrap().is_some());
    let nobody = ApiSecret::new(KeyKind::Key);
    assert_eq!(rotate(&nobody).await, RotateOutcome::UnknownKey);
    store.revoke_key(old.id(), "", "ops").await.unwrap();
    assert_eq!(rotate(&old).await, RotateOutcome::Revoked);
    assert!(store.authenticate(&old).await.unwrap().is_none());
    assert!(store.authenticate(&new).await.unwrap().is_none());
}

#[tokio::test]
async fn no_secret_stands_in_the_store_and_uses_are_noted_seldom() {
    let (store, raw) = store_and_raw(options()).await;
    let secret = ApiSecret::new(KeyKind::Key);
    store.create_key(&secret, &new_key(0)).await.unwrap();
    let used = async || {
        store
            .api_key(secret.id())
            .await
            .unwrap()
            .unwrap()
            .used_at_ms
    };
    assert_eq!(used().await, None);
    store.authenticate(&secret).await.unwrap();
    assert_eq!(used().await, Some(T0));
    let before = raw.digest().await;
    store.at(T0 + 59_999).authenticate(&secret).await.unwrap();
    assert_eq!(raw.digest().await, before);
    store.at(T0 + 60_000).authenticate(&secret).await.unwrap();
    assert_eq!(used().await, Some(T0 + 60_000));
    let text = secret.reveal();
    let hidden = text.rsplit('_').next().unwrap();
    let fields: Vec<String> = raw
        .run(&["HGETALL", &crate::support::key("apikey", secret.id())])
        .await;
    assert!(
        !fields.iter().any(|value| value.contains(hidden)),
        "{fields:?}"
    );
}

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
