//! API keys and tokens in the store: taken while they live, rotated with an overlap, ended at once, never
//! readable.

use meterline::dev::redis::PrivateRedis;
use meterline::store::{ApiSecret, KeyKind, KeyScope, NewKey, RevokeOutcome, RotateOutcome, Store};

use crate::support::front::Front;
use crate::support::{Raw, T0, key, options, plain_redis, store, store_and_raw};

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
    // Two requests at once find it unused, and it is noted once.
    let (one, other) = tokio::join!(store.authenticate(&secret), store.authenticate(&secret));
    assert!(one.unwrap().is_some() && other.unwrap().is_some());
    assert_eq!(used().await, Some(T0));
    let before = raw.digest().await;
    store.at(T0 + 59_999).authenticate(&secret).await.unwrap();
    assert_eq!(raw.digest().await, before);
    store.at(T0 + 60_000).authenticate(&secret).await.unwrap();
    assert_eq!(used().await, Some(T0 + 60_000));
    let text = secret.reveal();
    let hidden = text.rsplit('_').next().unwrap();
    let fields: Vec<String> = raw.run(&["HGETALL", &key("apikey", secret.id())]).await;
    assert!(
        !fields.iter().any(|value| value.contains(hidden)),
        "{fields:?}"
    );
}

/// A request that is looked at late meets the note of a later one, and a key that is gone.
#[tokio::test]
async fn a_use_is_noted_once_a_minute_and_of_no_key_that_is_gone_whenever_the_note_arrives() {
    let server = PrivateRedis::start(plain_redis()).expect("a Redis");
    let store = Store::open(&server.url(), options()).await.unwrap();
    let raw = Raw::open(&server.url()).await;
    let secret = ApiSecret::new(KeyKind::Key);
    let here = key("apikey", secret.id());
    let (early, late) = (store.at(T0), T0 + 5);
    early.create_key(&secret, &new_key(0)).await.unwrap();
    for is_gone in [false, true] {
        let front = Front::of(&server).await;
        let delayed = Store::open(&front.url(), options()).await.unwrap();
        front.let_through(0);
        let asking = async {
            let found = delayed.at(late).authenticate(&secret).await;
            assert!(
                found.unwrap().is_some(),
                "it was there when it was looked for"
            );
        };
        let meanwhile = async {
            front.stuck().await;
            if is_gone {
                raw.run::<i64>(&["DEL", &here]).await;
            } else {
                early.authenticate(&secret).await.unwrap();
            }
            front.release();
        };
        tokio::join!(asking, meanwhile);
        let used: Option<u64> = raw.run(&["HGET", &here, "used_at"]).await;
        assert_eq!(used, (!is_gone).then_some(T0));
        raw.run::<i64>(&["HDEL", &here, "used_at"]).await;
    }
}
