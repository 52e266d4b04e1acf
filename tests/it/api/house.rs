//! What operators do over HTTP: let things stand still and go on, look at holds, drop dead letters.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Api, kind, read};
use crate::support::{account, assert_sound, balance};

async fn repeatable(api: &Api, path: &str, key: &str, body: Value) -> (StatusCode, Value) {
    let request = api.request(&api.admin, Method::POST, path);
    read(request.header("idempotency-key", key).json(&body)).await
}

#[tokio::test]
async fn an_account_stands_still_for_a_reason_and_goes_on() {
    let api = Api::start().await;
    let acme = api.customer("acme", 20).await;
    let frozen = json!({"account": "acme", "reason": "chargeback, ticket 7"});
    let (status, body) = repeatable(&api, "/v1/freezes", "f1", frozen.clone()).await;
    assert_eq!((status.as_u16(), &body["account"]), (200, &json!("acme")));
    assert!(
        body["at"].is_string() && body["actor"].is_string(),
        "{body}"
    );
    let (status, body) = api.post(&acme, "/v1/jobs", super::image("acme")).await;
    assert_eq!((status.as_u16(), kind(&body)), (409, "frozen"));
    let (_, page) = api.get(&api.admin, "/v1/freezes").await;
    assert_eq!(page["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(page["data"][0]["reason"], json!("chargeback, ticket 7"));

    // Under the same key it is the first answer; the key is not good for anything else.
    let (status, _) = repeatable(&api, "/v1/freezes", "f1", frozen.clone()).await;
    assert_eq!(status, 200);
    let clear = json!({"account": "acme", "reason": "paid again"});
    let (status, body) = repeatable(&api, "/v1/freezes/clear", "f1", clear.clone()).await;
    assert_eq!((status.as_u16(), kind(&body)), (409, "operation_mismatch"));

    let (status, body) = repeatable(&api, "/v1/freezes/clear", "f2", clear.clone()).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["was"]["reason"], json!("chargeback, ticket 7"));
    assert_eq!(
        (&body["jobs_due"], &body["still_differs"]),
        (&json!(0), &json!([]))
    );
    let (status, body) = repeatable(&api, "/v1/freezes/clear", "f3", clear).await;
    assert_eq!((status.as_u16(), kind(&body)), (409, "not_frozen"));
    let (_, page) = api.get(&api.admin, "/v1/freezes").await;
    assert_eq!(page["data"], json!([]));
    api.submit(&acme, "acme").await;
    assert_sound(&api.store).await;
}

#[tokio::test]
async fn a_freeze_that_names_nothing_that_is_there_changes_nothing() {
    let api = Api::start().await;
    for (body, status, word) in [
        (json!({"reason": "r"}), 400, "bad_request"),
        (
            json!({"account": "a", "partition": 0, "reason": "r"}),
            400,
            "bad_request",
        ),
        (
            json!({"partition": 9_999, "reason": "r"}),
            400,
            "bad_request",
        ),
        (json!({"partition": 0, "reason": " "}), 400, "bad_request"),
        (json!({"partition": 0}), 400, "bad_request"),
        (
            json!({"account": "nobody", "reason": "r"}),
            404,
            "unknown_account",
        ),
    ] {
        let (got, problem) = repeatable(&api, "/v1/freezes", "f1", body.clone()).await;
        assert_eq!((got.as_u16(), kind(&problem)), (status, word), "{body}");
    }
    let body = json!({"partition": 0, "reason": "r"});
    let (status, problem) = api.post(&api.admin, "/v1/freezes", body).await;
    assert_eq!(
        (status.as_u16(), kind(&problem)),
        (400, "idempotency_key_required")
    );
    let (_, page) = api.get(&api.admin, "/v1/freezes").await;
    assert_eq!(page["data"], json!([]));
}

#[tokio::test]
async fn open_holds_are_listed_and_summed_up() {
    let api = Api::start().await;
    let (acme, bolt) = (
        api.customer("acme", 20).await,
        api.customer("bolt", 20).await,
    );
    let first = api.submit(&acme, "acme").await;
    api.submit(&acme, "acme").await;
    api.submit(&bolt, "bolt").await;
    let (_, all) = api.get(&api.admin, "/v1/holds?limit=1").await;
    assert_eq!(
        (&all["holds"], &all["held_ucr"]),
        (&json!(3), &json!(21_000_000))
    );
    assert_eq!(all["data"].as_array().map(Vec::len), Some(1));
    let hold = &all["data"][0];
    assert_eq!(
        (&hold["job"], &hold["hold_ucr"]),
        (&json!(first), &json!(7_000_000))
    );
    assert_eq!(
        hold["grants"],
        json!([{"grant": "g1", "pinned_ucr": 7_000_000}])
    );
    let (_, own) = api.get(&api.admin, "/v1/holds?account=bolt").await;
    assert_eq!(
        (&own["holds"], &own["held_ucr"]),
        (&json!(1), &json!(7_000_000))
    );
    let (_, old) = api.get(&api.admin, "/v1/holds?older_than_ms=3600000").await;
    assert_eq!((&old["holds"], &old["data"]), (&json!(0), &json!([])));
}

#[tokio::test]
async fn dead_letters_are_dropped_in_the_background_and_can_then_not_be_retried() {
    let api = Api::start().await;
    let acme = api.customer("acme", 20).await;
    let job = api.submit(&acme, "acme").await;
    let body = json!({"reason": "hangs", "class": "provider_fault"});
    let path = format!("/v1/jobs/{job}/force-fail");
    assert_eq!(api.post(&api.admin, &path, body).await.0, 200);
    let drop = async |dry_run: bool, reason: &str| {
        let filter = json!({"account": "acme"});
        let body = json!({"filter": filter, "reason": reason, "dry_run": dry_run});
        api.post(&api.admin, "/v1/dead-letters/drop", body).await
    };
    assert_eq!(drop(false, "").await.0, 400);
    let (status, look) = drop(true, "given up").await;
    assert_eq!((status.as_u16(), &look["jobs"]), (200, &json!(1)));
    let (status, mut run) = drop(false, "given up").await;
    assert_eq!(status, 202);
    let path = format!("/v1/runs/{}", run["run"].as_str().expect("a run"));
    while run["state"] == "running" {
        run = api.get(&api.admin, &path).await.1;
    }
    let counts = (&run["state"], &run["dropped"], &run["retried"]);
    assert_eq!(counts, (&json!("done"), &json!(1), &json!(0)));
    let (_, page) = api.get(&api.admin, "/v1/dead-letters").await;
    assert_eq!(page["data"], json!([]));
    let path = format!("/v1/jobs/{job}/retry");
    let (status, body) = api.post(&acme, &path, json!({})).await;
    assert_eq!((status.as_u16(), kind(&body)), (409, "not_a_dead_letter"));
    assert_eq!(balance(&api.store, &account("acme")).await, (20, 0));
    assert_sound(&api.store).await;
}
