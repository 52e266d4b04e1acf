//! The store goes away: every answer comes in time and says so, and all is well when it is back.

use std::process::Command;
use std::time::{Duration, Instant};

use meterline::dev::redis::PrivateRedis;
use meterline::store::{ConnectionOptions, Options, Store};
use reqwest::Method;
use serde_json::Value;

use super::{Api, image, kind, send, settings};
use crate::support::{account, assert_sound, balance, options, plain_redis};

/// Longest time for an answer without a store: two tries of half a second each, on a busy machine.
const BOUND: Duration = Duration::from_secs(5);

async fn house() -> (PrivateRedis, Api) {
    let redis = PrivateRedis::start(plain_redis()).expect("a Redis");
    let options = Options {
        connection: ConnectionOptions {
            pool_size: 4,
            connect_timeout_ms: 500,
            response_timeout_ms: 500,
        },
        ..options()
    };
    let store = Store::open(&redis.url(), options).await.expect("a store");
    let api = Api::on(store, settings()).await;
    (redis, api)
}

/// Asks for this and that; every answer is a 503 with `Retry-After`, in time.
async fn all_say_that_it_is_away(api: &Api, key: &str) {
    for (method, path) in [
        (Method::GET, "/v1/jobs"),
        (Method::POST, "/v1/jobs"),
        (Method::GET, "/v1/accounts/acme"),
        (Method::POST, "/v1/quotes"),
    ] {
        let began = Instant::now();
        let request = api.request(key, method.clone(), path);
        let response = send(request.json(&image("acme"))).await;
        let status = response.status();
        let retry = response.headers().contains_key("retry-after");
        let body: Value = response.json().await.expect("JSON");
        assert_eq!(
            (status.as_u16(), retry),
            (503, true),
            "{method} {path} {body}"
        );
        assert_eq!(kind(&body), "store_unavailable", "{body}");
        assert!(
            began.elapsed() < BOUND,
            "{method} {path} {:?}",
            began.elapsed()
        );
    }
    let began = Instant::now();
    let (status, body) = api.get("", "/readyz").await;
    assert_eq!(
        (status.as_u16(), &body["store"]),
        (503, &"away".into()),
        "{body}"
    );
    assert!(began.elapsed() < BOUND);
    assert_eq!(api.get("", "/livez").await.0, 200);
}

#[tokio::test]
async fn without_a_store_every_answer_says_so_in_time() {
    let (mut redis, api) = house().await;
    let acme = api.customer("acme", 100).await;
    redis.kill().expect("killed");
    all_say_that_it_is_away(&api, &acme).await;
}

#[tokio::test]
async fn a_store_that_hangs_is_not_waited_for_and_is_used_again_when_it_goes_on() {
    let (redis, api) = house().await;
    let acme = api.customer("acme", 100).await;
    api.submit(&acme, "acme").await;
    let pid = redis.pid().expect("a process").to_string();
    let signal = |name: &str| {
        let sent = Command::new("kill").args([name, &pid]).status();
        assert!(sent.expect("kill").success());
    };
    signal("-STOP");
    all_say_that_it_is_away(&api, &acme).await;
    signal("-CONT");
    let again = async {
        while api.get("", "/readyz").await.0 != 200 {}
        api.submit(&acme, "acme").await
    };
    tokio::time::timeout(Duration::from_secs(20), again)
        .await
        .expect("it works again");
    assert_eq!(balance(&api.store, &account("acme")).await, (86, 14));
    assert_sound(&api.store).await;
}

#[tokio::test]
async fn another_version_of_the_store_is_noticed() {
    let url = crate::support::fresh_url();
    let store = Store::open(&url, options()).await.expect("a store");
    let api = Api::on(store, settings()).await;
    let raw = crate::support::Raw::open(&url).await;
    let _: i64 = raw
        .run(&["HSET", "ml:{meta}:store:meta", "schema", "99"])
        .await;
    let (status, body) = api.get("", "/readyz").await;
    assert_eq!(
        (status.as_u16(), &body["store"]),
        (503, &"of another version".into())
    );
}
