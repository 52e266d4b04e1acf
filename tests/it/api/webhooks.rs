//! Webhook endpoints over HTTP: made by their account, tried, given a new secret, looked through, removed.

use meterline::store::{KeyScope, Tried};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Api, key, kind, read, send};
use crate::support::webhooks::{Receiver, courier, courier_options, report, take};
use crate::support::{account, assert_sound};

/// The secret of an account's own choice.
const OWN: &str = "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

async fn keyed(
    api: &Api,
    key: &str,
    path: &str,
    once: &str,
    body: &Value,
) -> (StatusCode, bool, Value) {
    let request = api.request(key, Method::POST, path).json(body);
    let response = send(request.header("idempotency-key", once)).await;
    let (status, again) = (
        response.status(),
        response.headers().contains_key("idempotent-replayed"),
    );
    (status, again, response.json().await.expect("JSON"))
}

/// An endpoint of acme's with everything default; its id and secret.
async fn endpoint(api: &Api, key: &str, url: &str) -> (String, String) {
    let path = "/v1/accounts/acme/webhooks";
    let (status, body) = api.post(key, path, json!({"url": url})).await;
    assert_eq!(status, 201, "{body}");
    let text = |name: &str| body[name].as_str().expect(name).to_owned();
    (text("endpoint"), text("secret"))
}

/// A job that waits ends by being cancelled.
async fn end(api: &Api, key: &str, job: &str) {
    let cancel = format!("/v1/jobs/{job}/cancel");
    let (status, body) = api.post(key, &cancel, json!({})).await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn an_account_makes_an_endpoint_and_is_told_what_verifies() {
    let api = Api::start().await;
    let acme = api.customer("acme", 20).await;
    let receiver = Receiver::new().await;
    let (id, secret) = endpoint(&api, &acme, &receiver.url()).await;
    let _courier = courier(&api.store, courier_options());
    let (status, sent) = api
        .post(&acme, &format!("/v1/webhooks/{id}/test"), json!({}))
        .await;
    assert_eq!((status.as_u16(), &sent["endpoint"]), (202, &json!(id)));
    let got = receiver.wait_for(1).await.remove(0);
    assert_eq!(json!(got.id()), sent["message"]);
    assert!(got.verifies(&secret));

    let path = format!("/v1/webhooks/{id}");
    let seen = async {
        loop {
            let (_, view) = api.get(&acme, &path).await;
            if view["test_result"].is_string() {
                return view;
            }
            tokio::task::yield_now().await;
        }
    };
    let view = tokio::time::timeout(std::time::Duration::from_secs(20), seen).await;
    let view = view.expect("the test's answer");
    assert_eq!(
        (&view["state"], &view["url"], &view["test"]),
        (&json!("enabled"), &json!(receiver.url()), &sent["message"])
    );
    assert!(view.get("secret").is_none(), "{view}");
    let (_, page) = api.get(&acme, "/v1/accounts/acme/webhooks").await;
    assert_eq!(page["data"][0]["endpoint"], json!(id));

    let job = api.submit(&acme, "acme").await;
    end(&api, &acme, &job).await;
    let got = receiver.wait_for(2).await.remove(1);
    assert!(got.verifies(&secret));
    assert_eq!(got.json()["data"]["job"], json!(job));
    assert_sound(&api.store).await;
}

#[tokio::test]
async fn promise_03_a_creation_that_is_sent_again_makes_no_second_endpoint() {
    let api = Api::start().await;
    let acme = api.customer("acme", 20).await;
    let path = "/v1/accounts/acme/webhooks";
    let body = json!({"url": "https://acme.example/hooks", "description": "shop"});
    let (status, again, first) = keyed(&api, &acme, path, "k1", &body).await;
    assert_eq!((status.as_u16(), again), (201, false), "{first}");
    let (status, again, second) = keyed(&api, &acme, path, "k1", &body).await;
    assert_eq!((status.as_u16(), again), (201, true));
    assert_eq!(second["endpoint"], first["endpoint"]);
    assert!(second.get("secret").is_none(), "it is shown once: {second}");
    for other in [
        json!({"url": "https://acme.example/other", "description": "shop"}),
        json!({"url": "https://acme.example/hooks", "description": "shop", "events": ["all"]}),
        json!({"url": "https://acme.example/hooks"}),
    ] {
        let (status, _, problem) = keyed(&api, &acme, path, "k1", &other).await;
        assert_eq!(
            (status.as_u16(), kind(&problem)),
            (409, "operation_mismatch"),
            "{other}"
        );
    }
    // A secret of one's own can be repeated: it is in the answer each time.
    let own = json!({"url": "https://acme.example/hooks", "secret": OWN});
    for again in [false, true] {
        let (status, replayed, made) = keyed(&api, &acme, path, "k2", &own).await;
        assert_eq!((status.as_u16(), replayed), (201, again));
        assert_eq!(made["secret"], json!(OWN));
    }
    let (_, page) = api.get(&acme, path).await;
    assert_eq!(page["data"].as_array().map(Vec::len), Some(2));
    // One key is one endpoint of each account, not of all.
    let other = api.customer("other", 20).await;
    let path = "/v1/accounts/other/webhooks";
    let (status, again, made) = keyed(&api, &other, path, "k1", &body).await;
    assert_eq!((status.as_u16(), again), (201, false));
    assert_ne!(made["endpoint"], first["endpoint"]);
}

#[tokio::test]
async fn what_cannot_be_an_endpoint_is_refused_and_makes_none() {
    let api = Api::start().await;
    let acme = api.customer("acme", 20).await;
    let path = "/v1/accounts/acme/webhooks";
    let public = "https://acme.example/hooks";
    for (body, status, word) in [
        (json!({}), 422, "bad_url"),
        (json!({"url": "ftp://acme.example/"}), 422, "bad_url"),
        (json!({"url": "https://10.0.0.7/"}), 422, "bad_url"),
        (json!({"url": "https://[::ffff:10.0.0.7]/"}), 422, "bad_url"),
        (
            json!({"url": "https://user:word@acme.example/"}),
            422,
            "bad_url",
        ),
        (
            json!({"url": public, "events": ["job.dreamt"]}),
            400,
            "bad_request",
        ),
        (json!({"url": public, "events": []}), 400, "bad_request"),
        (
            json!({"url": public, "secret": "whsec_short"}),
            400,
            "bad_request",
        ),
        (
            json!({"url": public, "description": "x".repeat(201)}),
            400,
            "bad_request",
        ),
        (json!({"url": public, "secrets": OWN}), 400, "bad_request"),
    ] {
        let (got, problem) = api.post(&acme, path, body.clone()).await;
        assert_eq!((got.as_u16(), kind(&problem)), (status, word), "{body}");
    }
    let (_, page) = api.get(&acme, path).await;
    assert_eq!(page["data"], json!([]));
    for n in 0..10 {
        let body = json!({"url": format!("https://acme.example/{n}")});
        assert_eq!(api.post(&acme, path, body).await.0, 201, "{n}");
    }
    let (status, problem) = api.post(&acme, path, json!({"url": public})).await;
    assert_eq!(
        (status.as_u16(), kind(&problem)),
        (409, "too_many_endpoints")
    );
    let unknown = "/v1/accounts/nobody/webhooks";
    let (status, problem) = api.post(&api.admin, unknown, json!({"url": public})).await;
    assert_eq!((status.as_u16(), kind(&problem)), (404, "unknown_account"));
    let (status, _) = api.get(&api.admin, unknown).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn an_endpoint_is_disabled_enabled_given_a_new_secret_and_removed() {
    let api = Api::start().await;
    let acme = api.customer("acme", 20).await;
    let (id, first) = endpoint(&api, &acme, "https://acme.example/hooks").await;
    let state = format!("/v1/webhooks/{id}/state");
    for (to, changed) in [
        ("disabled", true),
        ("disabled", false),
        ("enabled", true),
        ("disabled", true),
    ] {
        let body = json!({"state": to, "reason": "moving house"});
        let (status, said) = api.post(&acme, &state, body).await;
        assert_eq!(
            (status.as_u16(), &said["state"], &said["changed"]),
            (200, &json!(to), &json!(changed))
        );
    }
    let test = format!("/v1/webhooks/{id}/test");
    let (status, problem) = api.post(&acme, &test, json!({})).await;
    assert_eq!(
        (status.as_u16(), kind(&problem)),
        (409, "endpoint_disabled")
    );
    let (_, view) = api.get(&acme, &format!("/v1/webhooks/{id}")).await;
    assert_eq!(
        (&view["state"], &view["why"]),
        (&json!("disabled"), &json!("by api:tests: moving house"))
    );

    let rotate = format!("/v1/webhooks/{id}/rotate");
    let body = json!({"reason": "it leaked", "overlap_ms": 60_000});
    let (status, rotated) = api.post(&acme, &rotate, body).await;
    assert_eq!(
        (status.as_u16(), &rotated["overlap_ms"]),
        (201, &json!(60_000))
    );
    assert_ne!(rotated["secret"], json!(first));
    let (_, view) = api.get(&acme, &format!("/v1/webhooks/{id}")).await;
    assert!(view["old_secret_until"].is_string(), "{view}");
    for bad in [
        json!({"reason": " "}),
        json!({"reason": "r", "overlap_ms": u64::MAX}),
        json!({"reason": "r", "secret": "no"}),
    ] {
        let (status, problem) = api.post(&acme, &rotate, bad.clone()).await;
        assert_eq!(
            (status.as_u16(), kind(&problem)),
            (400, "bad_request"),
            "{bad}"
        );
    }

    let removed = json!({"state": "removed", "reason": "the shop is closed"});
    assert_eq!(api.post(&acme, &state, removed).await.0, 200);
    let (status, problem) = api.get(&acme, &format!("/v1/webhooks/{id}")).await;
    assert_eq!((status.as_u16(), kind(&problem)), (404, "unknown_endpoint"));
    let (_, acts) = api.get(&api.admin, "/v1/acts").await;
    let acts = acts["data"].as_array().expect("acts").clone();
    let told = |reason: &str| {
        acts.iter()
            .any(|act| act["reason"] == json!(reason) && act["actor"] == json!("api:tests"))
    };
    assert!(told("the shop is closed") && told("it leaked"), "{acts:?}");
}

#[tokio::test]
async fn what_was_given_up_is_listed_by_pages_and_sent_again() {
    let api = Api::start().await;
    let acme = api.customer("acme", 50).await;
    let receiver = Receiver::new().await;
    let (id, _) = endpoint(&api, &acme, &receiver.url()).await;
    for _ in 0..5 {
        let job = api.submit(&acme, "acme").await;
        end(&api, &acme, &job).await;
        for message in take(&api.store, 10).await {
            report(&api.store, &message, Tried::Dead).await;
        }
    }
    let listed = format!("/v1/webhooks/{id}/dead-letters");
    let (mut entries, mut cursor) = (Vec::new(), String::new());
    loop {
        let (status, page) = api.get(&acme, &format!("{listed}?limit=2{cursor}")).await;
        assert_eq!(status, 200, "{page}");
        let rows = page["data"].as_array().expect("rows").clone();
        entries.extend(rows.iter().map(|row| row["entry"].clone()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(entries.len(), 5);
    let again = format!("/v1/webhooks/{id}/redeliver");
    let one = json!({"entry": entries[1], "reason": "mended"});
    let (status, done) = api.post(&acme, &again, one.clone()).await;
    assert_eq!(
        (status.as_u16(), &done["redelivered"], &done["left"]),
        (200, &json!(1), &json!(4))
    );
    let (status, problem) = api.post(&acme, &again, one).await;
    assert_eq!((status.as_u16(), kind(&problem)), (404, "unknown_message"));
    let all = json!({"reason": "mended"});
    let (_, done) = api.post(&acme, &again, all.clone()).await;
    assert_eq!(
        (&done["redelivered"], &done["left"]),
        (&json!(4), &json!(0))
    );
    let (_, done) = api.post(&acme, &again, all).await;
    assert_eq!(done["redelivered"], json!(0));
    let _courier = courier(&api.store, courier_options());
    assert_eq!(receiver.wait_for(5).await.len(), 5);
    assert_sound(&api.store).await;
}

#[tokio::test]
async fn anothers_endpoint_is_not_there_and_a_token_only_looks() {
    let api = Api::start().await;
    let (acme, other) = (
        api.customer("acme", 20).await,
        api.customer("other", 20).await,
    );
    let (id, _) = endpoint(&api, &acme, "https://acme.example/hooks").await;
    // One that could be, in the same partition.
    let missing = api.store.new_endpoint_id(&account("acme")).to_string();
    let paths = [
        (Method::GET, "/v1/webhooks/ID", json!({})),
        (Method::GET, "/v1/webhooks/ID/dead-letters", json!({})),
        (Method::POST, "/v1/webhooks/ID/test", json!({})),
        (
            Method::POST,
            "/v1/webhooks/ID/state",
            json!({"state": "removed", "reason": "r"}),
        ),
        (
            Method::POST,
            "/v1/webhooks/ID/rotate",
            json!({"reason": "r"}),
        ),
        (
            Method::POST,
            "/v1/webhooks/ID/redeliver",
            json!({"reason": "r"}),
        ),
    ];
    for (method, path, body) in &paths {
        let ask = async |id: &str| {
            let request = api.request(&other, method.clone(), &path.replace("ID", id));
            let (status, said) = read(request.json(body)).await;
            (status, said.to_string().replace(id, "ID"))
        };
        assert_eq!(ask(&id).await, ask(&missing).await, "{path}");
        assert_eq!(ask(&id).await.0, 404, "{path}");
    }
    let hooks = "/v1/accounts/acme/webhooks";
    assert_eq!(api.get(&other, hooks).await.0, 404);

    let (_, made) = api.post(&acme, "/v1/accounts/acme/tokens", json!({})).await;
    let token = made["secret"].as_str().expect("a token");
    for (method, path, body) in &paths {
        let request = api.request(token, method.clone(), &path.replace("ID", &id));
        let (status, said) = read(request.json(body)).await;
        let expected = if *method == Method::GET { 200 } else { 403 };
        assert_eq!(status, expected, "{path} {said}");
    }
    let body = json!({"url": "https://acme.example/more"});
    assert_eq!(api.post(token, hooks, body).await.0, 403);
    let (_, view) = api.get(&acme, &format!("/v1/webhooks/{id}")).await;
    assert_eq!(view["state"], "enabled", "nothing came of it");
    // A key that may look at everything and make nothing of an account's.
    let produce = key(&api.store, &[KeyScope::Produce], None).await;
    assert_eq!(api.get(&produce, hooks).await.0, 200);
}
