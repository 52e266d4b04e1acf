//! The header `Idempotency-Key` on whatever has no idempotency of its own in the books.

use meterline::store::{AnswerBegun, KeyScope, Repetition};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::{Api, key, kind, send};
use crate::support::{Raw, assert_sound, fresh_url, options};

async fn post(api: &Api, caller: &str, path: &str, idem: &str, body: &Value) -> Response {
    let request = api.request(caller, Method::POST, path).json(body);
    send(request.header("Idempotency-Key", idem)).await
}

async fn read(response: Response) -> (u16, bool, Value) {
    let replayed = response.headers().contains_key("idempotent-replayed");
    let status = response.status().as_u16();
    (status, replayed, response.json().await.expect("JSON"))
}

fn asking() -> Value {
    json!({"account": "acme", "tool": "text-to-image", "params": {"prompt": "a fox"}})
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_ones_answer_and_another_one_none() {
    let api = Api::start().await;
    let acme = api.customer("acme", 100).await;
    let quote = async |caller: &str, idem: &str, body: &Value| {
        read(post(&api, caller, "/v1/quotes", idem, body).await).await
    };
    let (status, replayed, first) = quote(&acme, "click-1", &asking()).await;
    assert_eq!((status, replayed), (201, false), "{first}");
    assert_eq!(
        quote(&acme, "click-1", &asking()).await,
        (201, true, first.clone())
    );
    // Another key, and another caller with the same one, are other requests.
    for (caller, idem) in [(&acme, "click-2"), (&api.admin, "click-1")] {
        let (status, replayed, other) = quote(caller, idem, &asking()).await;
        assert_eq!((status, replayed), (201, false), "{other}");
        assert_ne!(other["quote"], first["quote"]);
    }
    let mut more = asking();
    more["params"]["count"] = json!(2);
    let (status, _, body) = quote(&acme, "click-1", &more).await;
    assert_eq!((status, kind(&body)), (409, "key_mismatch"));
    let elsewhere = post(
        &api,
        &acme,
        "/v1/accounts/acme/tokens",
        "click-1",
        &json!({}),
    )
    .await;
    assert_eq!(elsewhere.status(), 409);
    for bad in ["", &"x".repeat(256)] {
        let (status, _, body) = quote(&acme, bad, &asking()).await;
        assert_eq!(status, 400, "{body}");
    }
    assert_sound(&api.store).await;
}

#[tokio::test]
async fn what_was_refused_is_tried_again() {
    let api = Api::start().await;
    let quote =
        || async { read(post(&api, &api.admin, "/v1/quotes", "one", &asking()).await).await };
    let (status, _, body) = quote().await;
    assert_eq!((status, kind(&body)), (404, "unknown_account"));
    api.customer("acme", 100).await;
    let (status, replayed, _) = quote().await;
    assert_eq!((status, replayed), (201, false));
    assert!(quote().await.1);
}

#[tokio::test]
async fn one_key_is_made_however_often_it_is_asked_for_and_its_secret_is_kept_nowhere() {
    let url = fresh_url();
    let store = meterline::store::Store::open(&url, options())
        .await
        .expect("a store");
    let api = Api::on(store, super::settings()).await;
    let ask = json!({"name": "shop", "scopes": ["produce"]});
    let (status, _, made) = read(post(&api, &api.admin, "/v1/keys", "shop-1", &ask).await).await;
    assert_eq!(status, 201);
    let secret = made["secret"].as_str().expect("a secret");
    let (status, replayed, again) =
        read(post(&api, &api.admin, "/v1/keys", "shop-1", &ask).await).await;
    assert_eq!((status, replayed), (201, true));
    assert_eq!((&again["key"], again.get("secret")), (&made["key"], None));
    let (_, keys) = api.get(&api.admin, "/v1/keys").await;
    assert_eq!(keys["data"].as_array().map(Vec::len), Some(2), "{keys}");
    let raw = Raw::open(&url).await;
    let kept = raw.run::<Vec<String>>(&["KEYS", "*:answer:*"]).await;
    assert_eq!(kept.len(), 1);
    let kept: Vec<String> = raw.run(&["HVALS", &kept[0]]).await;
    let hidden = secret.rsplit('_').next().expect("a secret");
    assert!(!kept.iter().any(|text| text.contains(hidden)), "{kept:?}");
    // And a rotation happens once.
    let path = format!("/v1/keys/{}/rotate", made["key"].as_str().expect("an id"));
    let (_, _, rotated) = read(post(&api, &api.admin, &path, "turn-1", &json!({})).await).await;
    let (_, replayed, again) =
        read(post(&api, &api.admin, &path, "turn-1", &json!({})).await).await;
    assert!(replayed && again.get("secret").is_none(), "{again}");
    let secret = rotated["secret"].as_str().expect("a secret");
    assert_eq!(
        api.get(secret, "/v1/tools").await.0,
        200,
        "the first one's is in force"
    );
}

#[tokio::test]
async fn a_request_under_way_is_waited_for_and_carried_out_once() {
    let api = Api::start().await;
    let shop = key(&api.store, &[KeyScope::Produce], None).await;
    api.customer("acme", 100).await;
    let id = shop.split('_').nth(1).expect("an id");
    let body = asking().to_string();
    let attempt = Repetition::new(id, "click-1", &[b"/v1/quotes", body.as_bytes()]);
    let begun = api
        .store
        .begin_answer(&attempt, 60_000)
        .await
        .expect("begun");
    assert_eq!(begun, AnswerBegun::First);
    let response = post(&api, &shop, "/v1/quotes", "click-1", &asking()).await;
    assert_eq!(response.headers()["retry-after"], "1");
    let (status, _, body) = read(response).await;
    assert_eq!((status, kind(&body)), (409, "request_under_way"));
    api.store.end_answer(&attempt, None).await.expect("ended");
    let (status, replayed, _) =
        read(post(&api, &shop, "/v1/quotes", "click-1", &asking()).await).await;
    assert_eq!((status, replayed), (201, false));
    // Many at once are one quote.
    let many = (0..8).map(|_| async {
        let response = post(&api, &shop, "/v1/quotes", "click-2", &asking()).await;
        read(response).await
    });
    let answers = futures_util::future::join_all(many).await;
    let firsts = answers
        .iter()
        .filter(|(status, replayed, _)| *status == 201 && !replayed);
    assert_eq!(firsts.count(), 1, "{answers:?}");
    let quotes: std::collections::BTreeSet<_> = answers
        .iter()
        .filter_map(|one| one.2["quote"].as_str())
        .collect();
    assert_eq!(quotes.len(), 1, "{answers:?}");
}

#[tokio::test]
async fn every_post_takes_an_idempotency_key() {
    let document: Value = serde_json::from_str(&meterline::api::openapi()).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    let posts: Vec<_> = paths
        .iter()
        .filter(|(_, item)| item.get("post").is_some())
        .collect();
    assert!(posts.len() > 25, "{}", posts.len());
    for (path, item) in posts {
        let parameters = item["post"]["parameters"].as_array();
        let mut parameters = parameters.into_iter().flatten();
        assert!(
            parameters.any(|one| one["name"] == "Idempotency-Key"),
            "{path}"
        );
    }
}
