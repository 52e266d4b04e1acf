//! Every route with every scope. A route that is missing here turns this red.

use std::collections::BTreeSet;

use meterline::store::KeyScope;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Api, key, read};

/// Whom a route is for: nobody's key needed, or one of these scopes; an admin may everything.
const TABLE: &[(&str, &str, &[KeyScope])] = {
    use KeyScope::{Operate, Produce};
    &[
        ("POST", "/v1/quotes", &[Produce]),
        ("POST", "/v1/jobs", &[Produce]),
        ("GET", "/v1/jobs", &[Produce, Operate]),
        ("POST", "/v1/jobs/batch", &[Produce]),
        ("GET", "/v1/jobs/{job}", &[Produce, Operate]),
        ("POST", "/v1/jobs/{job}/cancel", &[Produce, Operate]),
        ("POST", "/v1/jobs/{job}/retry", &[Produce, Operate]),
        ("GET", "/v1/jobs/{job}/explain", &[Produce, Operate]),
        ("GET", "/v1/jobs/{job}/events", &[Produce, Operate]),
        ("GET", "/v1/jobs/{job}/outputs/{index}", &[Produce, Operate]),
        ("POST", "/v1/jobs/{job}/force-fail", &[Operate]),
        ("POST", "/v1/jobs/{job}/refund", &[]),
        ("GET", "/v1/tools", &[Produce, Operate]),
        ("GET", "/v1/tools/{tool}", &[Produce, Operate]),
        ("POST", "/v1/accounts", &[]),
        ("GET", "/v1/accounts", &[Operate]),
        ("GET", "/v1/accounts/{account}", &[Produce, Operate]),
        ("GET", "/v1/accounts/{account}/events", &[Produce, Operate]),
        ("POST", "/v1/accounts/{account}/terms", &[]),
        ("POST", "/v1/accounts/{account}/tokens", &[Produce]),
        ("POST", "/v1/accounts/{account}/grants", &[]),
        ("POST", "/v1/accounts/{account}/adjustments", &[]),
        ("POST", "/v1/accounts/{account}/clawbacks", &[]),
        ("POST", "/v1/accounts/{account}/plan", &[]),
        ("POST", "/v1/accounts/{account}/daily-reward", &[Produce]),
        (
            "GET",
            "/v1/accounts/{account}/statement",
            &[Produce, Operate],
        ),
        ("GET", "/v1/accounts/{account}/ledger", &[Produce, Operate]),
        (
            "POST",
            "/v1/accounts/{account}/webhooks",
            &[Produce, Operate],
        ),
        (
            "GET",
            "/v1/accounts/{account}/webhooks",
            &[Produce, Operate],
        ),
        ("GET", "/v1/webhooks/{endpoint}", &[Produce, Operate]),
        ("POST", "/v1/webhooks/{endpoint}/state", &[Produce, Operate]),
        (
            "POST",
            "/v1/webhooks/{endpoint}/rotate",
            &[Produce, Operate],
        ),
        ("POST", "/v1/webhooks/{endpoint}/test", &[Produce, Operate]),
        (
            "GET",
            "/v1/webhooks/{endpoint}/dead-letters",
            &[Produce, Operate],
        ),
        (
            "POST",
            "/v1/webhooks/{endpoint}/redeliver",
            &[Produce, Operate],
        ),
        ("GET", "/v1/queues", &[Operate]),
        ("POST", "/v1/queues/{queue}/halt", &[Operate]),
        ("GET", "/v1/workers", &[Operate]),
        ("POST", "/v1/workers/{worker}/drain", &[Operate]),
        ("GET", "/v1/providers", &[Operate]),
        ("GET", "/v1/obligations", &[Operate]),
        ("GET", "/v1/costs", &[Operate]),
        ("GET", "/v1/acts", &[]),
        ("GET", "/v1/scale", &[Operate]),
        ("GET", "/v1/dead-letters", &[Operate]),
        ("POST", "/v1/dead-letters/retry", &[Operate]),
        ("POST", "/v1/dead-letters/drop", &[Operate]),
        ("GET", "/v1/runs/{run}", &[Operate]),
        ("GET", "/v1/holds", &[Operate]),
        ("GET", "/v1/freezes", &[Operate]),
        ("POST", "/v1/freezes", &[Operate]),
        ("POST", "/v1/freezes/clear", &[Operate]),
        ("POST", "/v1/keys", &[]),
        ("GET", "/v1/keys", &[]),
        ("POST", "/v1/keys/{key}/rotate", &[]),
        ("POST", "/v1/keys/{key}/revoke", &[]),
        ("GET", "/metrics", &[Operate]),
    ]
};

/// Routes that need no key.
const OPEN: [(&str, &str); 3] = [
    ("GET", "/v1/openapi.json"),
    ("GET", "/reference"),
    ("GET", "/problems/{problem}"),
];

fn documented() -> BTreeSet<(String, String)> {
    let document: Value = serde_json::from_str(&meterline::api::openapi()).expect("JSON");
    let paths = document["paths"].as_object().expect("paths").clone();
    let of_path = |(path, item): (String, Value)| {
        let methods: Vec<String> = item.as_object().expect("methods").keys().cloned().collect();
        methods
            .into_iter()
            .map(move |method| (method.to_uppercase(), path.clone()))
    };
    paths.into_iter().flat_map(of_path).collect()
}

#[test]
fn the_table_has_every_route_and_no_other() {
    let ours = TABLE.iter().map(|(method, path, _)| (*method, *path));
    let ours = ours.chain(OPEN);
    let ours: BTreeSet<_> = ours
        .map(|(method, path)| (method.to_owned(), path.to_owned()))
        .collect();
    assert_eq!(ours, documented());
}

#[tokio::test]
async fn every_route_takes_exactly_the_keys_of_the_table() {
    let api = Api::start().await;
    let mut keys = vec![(None, String::new())];
    for scope in KeyScope::ALL {
        keys.push((Some(scope), key(&api.store, &[scope], None).await));
    }
    for (method, path, scopes) in TABLE {
        let path = path.replace(['{', '}'], "");
        for (scope, key) in &keys {
            let method: Method = method.parse().expect("a method");
            let mut request = api.request(key, method.clone(), &path);
            if method == Method::POST {
                request = request.json(&json!({}));
            }
            let (status, body) = read(request).await;
            let expected = match scope {
                None => Some(401),
                Some(KeyScope::Admin) => None,
                Some(scope) if scopes.contains(scope) => None,
                Some(_) => Some(403),
            };
            match expected {
                Some(code) => assert_eq!(status, code, "{method} {path} {scope:?} {body}"),
                None => assert!(
                    status != 401 && status != 403 && status != 500,
                    "{method} {path} {scope:?} {status} {body}"
                ),
            }
        }
    }
    for (_, path) in OPEN {
        let path = path.replace("{problem}", "insufficient");
        assert_eq!(api.get("", &path).await.0, 200, "{path}");
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!(api.get("", path).await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn what_belongs_to_another_account_is_not_there() {
    let api = Api::start().await;
    let (acme, other) = (
        api.customer("acme", 100).await,
        api.customer("other", 100).await,
    );
    let job = api.submit(&acme, "acme").await;
    let missing = job.replace(&job[24..], "000000000000");
    for (method, path) in [
        (Method::GET, "/v1/jobs/JOB"),
        (Method::GET, "/v1/jobs/JOB/explain"),
        (Method::GET, "/v1/jobs/JOB/events"),
        (Method::GET, "/v1/jobs/JOB/outputs/0"),
        (Method::POST, "/v1/jobs/JOB/cancel"),
        (Method::POST, "/v1/jobs/JOB/retry"),
    ] {
        let ask = async |id: &str| {
            let request = api.request(&other, method.clone(), &path.replace("JOB", id));
            let (status, body) = read(request).await;
            (status, body.to_string().replace(id, "JOB"))
        };
        let theirs = ask(&job).await;
        assert_eq!(theirs, ask(&missing).await, "{path}");
        assert_eq!(theirs.0, 404, "{path}");
    }
    for path in ["", "/statement", "/ledger", "/events"] {
        let ask = async |name: &str| {
            let (status, body) = api.get(&other, &format!("/v1/accounts/{name}{path}")).await;
            (status, body.to_string().replace(name, "NAME"))
        };
        assert_eq!(ask("acme").await, ask("nobody").await, "{path}");
        assert_eq!(ask("acme").await.0, 404, "{path}");
    }
    let (status, body) = api.post(&other, "/v1/jobs", super::image("acme")).await;
    assert_eq!(
        (status.as_u16(), super::kind(&body)),
        (404, "unknown_account")
    );
    let (_, page) = api.get(&other, "/v1/jobs").await;
    assert_eq!(page["data"], json!([]));
    let (status, _) = api.get(&other, "/v1/jobs?account=acme").await;
    assert_eq!(status, 404);
    let (_, body) = api.get(&acme, &format!("/v1/jobs/{job}")).await;
    assert_eq!(body["state"], "queued", "nothing came of it");
}
