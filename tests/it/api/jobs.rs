//! Jobs over HTTP: submitted once, in batches, listed, waited for, cancelled, retried.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use meterline::store::Options;
use meterline::store::Store;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Api, image, kind, read, send, settings};
use crate::support::{assert_sound, balance, fresh_url, funded, options};

#[tokio::test]
async fn a_repeated_submission_is_one_job_and_says_so() {
    let api = Api::start().await;
    let acme = api.customer("acme", 100).await;
    let submit = async |body: Value| {
        let request = api.request(&acme, Method::POST, "/v1/jobs");
        let request = request.header("Idempotency-Key", "k1").json(&body);
        let response = send(request).await;
        let replayed = response.headers().contains_key("idempotent-replayed");
        let place = response.headers().get("location").cloned();
        let status = response.status().as_u16();
        let body: Value = response.json().await.expect("JSON");
        (status, replayed, place, body)
    };
    let first = submit(image("acme")).await;
    assert_eq!((first.0, first.1), (201, false));
    let job = first.3["job"].as_str().expect("a job");
    assert_eq!(
        first.2.expect("a place"),
        format!("/v1/jobs/{job}").as_str()
    );
    let again = submit(image("acme")).await;
    assert_eq!(
        (again.0, again.1, &again.3["job"]),
        (201, true, &first.3["job"])
    );
    let mut other = image("acme");
    other["params"]["prompt"] = json!("a blue fox");
    let mismatch = submit(other).await;
    assert_eq!((mismatch.0, kind(&mismatch.3)), (409, "key_mismatch"));
    assert_eq!(mismatch.3["job"], first.3["job"]);
    assert_eq!(
        balance(&api.store, &crate::support::account("acme")).await,
        (93, 7)
    );
    assert_sound(&api.store).await;
}

#[tokio::test]
async fn a_quote_is_a_price_that_stands() {
    let api = Api::start().await;
    let acme = api.customer("acme", 100).await;
    let mut asked = image("acme");
    asked.as_object_mut().expect("members").remove("account");
    let (status, quote) = api.post(&acme, "/v1/quotes", asked).await;
    assert_eq!(
        (status.as_u16(), &quote["ceiling_ucr"]),
        (201, &json!(7_000_000))
    );
    let (status, job) = api
        .post(&acme, "/v1/jobs", json!({"quote": quote["quote"]}))
        .await;
    assert_eq!(status, 201, "{job}");
    let both = json!({"quote": quote["quote"], "tool": "text-to-image"});
    let (status, body) = api.post(&acme, "/v1/jobs", both).await;
    assert_eq!((status.as_u16(), kind(&body)), (400, "bad_request"));
    let (status, body) = api.post(&acme, "/v1/jobs", json!({"quote": "q1"})).await;
    assert_eq!((status.as_u16(), kind(&body)), (409, "quote_expired"));
}

#[tokio::test]
async fn refusals_say_what_is_missing_and_hold_nothing() {
    let api = Api::start().await;
    let acme = api.customer("acme", 5).await;
    let (status, body) = api.post(&acme, "/v1/jobs", image("acme")).await;
    assert_eq!((status.as_u16(), kind(&body)), (402, "insufficient"));
    assert_eq!(body["need_ucr"], json!(7_000_000));
    assert_eq!(body["available_ucr"], json!(5_000_000));
    let mut low = image("acme");
    low["max_ucr"] = json!(1);
    let (status, body) = api.post(&acme, "/v1/jobs", low).await;
    assert_eq!((status.as_u16(), kind(&body)), (422, "above_max"));
    let mut odd = image("acme");
    odd["params"]["count"] = json!(0);
    let (status, body) = api.post(&acme, "/v1/jobs", odd).await;
    assert_eq!((status.as_u16(), kind(&body)), (422, "bad_parameter"));
    assert_eq!(body["parameter"], "/count");
    for (text, detail) in [
        ("{\"tol\":1}", "tol: unknown field"),
        ("{\"tool\":1}", "tool: invalid type"),
        ("[]", "invalid"),
        ("{} {}", "trailing"),
        (
            "{\"account\":\"a b\"}",
            "account: account \"a b\" is not usable",
        ),
    ] {
        let request = api.request(&acme, Method::POST, "/v1/jobs");
        let request = request
            .header("Content-Type", "application/json")
            .body(text);
        let (status, body) = read(request).await;
        assert_eq!(
            (status.as_u16(), kind(&body)),
            (400, "bad_request"),
            "{text}"
        );
        let said = body["detail"].as_str().expect("words");
        assert!(said.contains(detail), "{text}: {said}");
    }
    let request = api.request(&acme, Method::POST, "/v1/jobs").body("{}");
    let (status, body) = read(request).await;
    assert_eq!((status.as_u16(), kind(&body)), (415, "unsupported_media"));
    let long = vec![b' '; settings().body_max_bytes + 1];
    let request = api.request(&acme, Method::POST, "/v1/jobs");
    let request = request
        .header("Content-Type", "application/json")
        .body(long);
    let (status, body) = read(request).await;
    assert_eq!((status.as_u16(), kind(&body)), (413, "body_too_large"));
    assert_eq!(
        balance(&api.store, &crate::support::account("acme")).await,
        (5, 0)
    );
}

#[tokio::test]
async fn a_batch_answers_for_each_job_and_is_repeatable() {
    let api = Api::start().await;
    let acme = api.customer("acme", 700).await;
    let mut jobs: Vec<Value> = (0..100)
        .map(|n| {
            let mut job = image("acme");
            job["params"]["seed"] = json!(n);
            job
        })
        .collect();
    jobs[7]["tool"] = json!("nope");
    let submit = async || {
        let request = api.request(&acme, Method::POST, "/v1/jobs/batch");
        let request = request.header("Idempotency-Key", "b1");
        let (status, body) = read(request.json(&json!({"jobs": jobs}))).await;
        assert_eq!(status, 200, "{body}");
        body
    };
    let first = submit().await;
    assert_eq!(
        (&first["accepted"], &first["failed"]),
        (&json!(99), &json!(1))
    );
    assert_eq!(kind(&first["results"][7]["problem"]), "unknown_tool");
    let again = submit().await;
    assert_eq!(
        (&again["replayed"], &again["failed"]),
        (&json!(99), &json!(1))
    );
    for n in 0..100 {
        assert_eq!(first["results"][n]["job"], again["results"][n]["job"]);
        assert_eq!(first["results"][n]["index"], json!(n));
    }
    let jobs = vec![image("acme"); 1_001];
    let (status, _) = api
        .post(&acme, "/v1/jobs/batch", json!({"jobs": jobs}))
        .await;
    assert_eq!(status, 400);
    assert_eq!(
        balance(&api.store, &crate::support::account("acme")).await,
        (7, 693)
    );
    assert_sound(&api.store).await;
}

/// All jobs of a listing, page by page.
async fn all(api: &Api, query: &str, limit: usize) -> Vec<Value> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/jobs?limit={limit}&cursor={cursor}&{query}");
        let (status, page) = api.get(&api.admin, &path).await;
        assert_eq!(status, 200, "{page}");
        found.extend(page["data"].as_array().expect("jobs").clone());
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return found,
        }
    }
}

#[tokio::test]
async fn pages_of_jobs_show_each_once_over_all_partitions() {
    let options = Options {
        partitions: 4,
        ..options()
    };
    let store = Store::open(&fresh_url(), options).await.expect("a store");
    let api = Api::on(store, settings()).await;
    let mut jobs = BTreeSet::new();
    for n in 0..12 {
        let name = format!("account-{n}");
        funded(&api.store, &name, 100).await;
        for _ in 0..3 {
            jobs.insert(api.submit(&api.admin, &name).await);
        }
    }
    let ended: Vec<String> = jobs.iter().take(10).cloned().collect();
    for job in &ended {
        let path = format!("/v1/jobs/{job}/cancel");
        assert_eq!(api.post(&api.admin, &path, json!({})).await.0, 200);
    }
    for limit in [1, 5, 100] {
        let ids = |found: &[Value]| -> Vec<String> {
            let ids = found.iter().map(|job| job["job"].as_str().expect("an id"));
            ids.map(str::to_owned).collect()
        };
        let found = all(&api, "", limit).await;
        assert_eq!(found.len(), 36, "{limit}");
        assert_eq!(ids(&found).into_iter().collect::<BTreeSet<_>>(), jobs);
        let found = all(&api, "state=cancelled", limit).await;
        assert_eq!(found.len(), 10, "{limit}");
        let times: Vec<&str> = found
            .iter()
            .filter_map(|j| j["finished_at"].as_str())
            .collect();
        assert!(
            times.is_sorted_by(|a, b| a >= b),
            "the latest first: {times:?}"
        );
        assert_eq!(
            all(&api, "state=queued&tool=text-to-image", limit)
                .await
                .len(),
            26
        );
        assert_eq!(all(&api, "tool=upscale", limit).await.len(), 0);
        assert_eq!(all(&api, "account=account-3", limit).await.len(), 3);
    }
    let (status, body) = api.get(&api.admin, "/v1/jobs?cursor=nonsense").await;
    assert_eq!((status.as_u16(), kind(&body)), (400, "bad_request"));
}

#[tokio::test]
async fn a_cursor_stays_where_it_is_while_jobs_come() {
    let api = Api::start().await;
    let acme = api.customer("acme", 1_000).await;
    let mut before = Vec::new();
    for _ in 0..6 {
        before.push(api.submit(&acme, "acme").await);
    }
    let (_, page) = api.get(&acme, "/v1/jobs?limit=3").await;
    for _ in 0..5 {
        api.submit(&acme, "acme").await;
    }
    let next = page["next_cursor"].as_str().expect("more");
    let (_, rest) = api
        .get(&acme, &format!("/v1/jobs?limit=10&cursor={next}"))
        .await;
    let pages = [&page, &rest].map(|page| page["data"].as_array().expect("jobs").clone());
    let seen: Vec<String> = pages
        .concat()
        .iter()
        .map(|job| job["job"].as_str().expect("an id").to_owned())
        .collect();
    before.reverse();
    assert_eq!(seen, before);
}

#[tokio::test]
async fn who_waits_for_a_job_hears_at_once_when_it_ends() {
    let api = Api::start().await;
    let acme = api.customer("acme", 100).await;
    let job = api.submit(&acme, "acme").await;
    let path = format!("/v1/jobs/{job}?wait=30");
    let began = Instant::now();
    let waiting = api.get(&acme, &path);
    let ending = async {
        // A long poll stands when it has left its place among the working requests.
        loop {
            let text = send(api.request(&api.admin, Method::GET, "/metrics")).await;
            if text
                .text()
                .await
                .expect("text")
                .contains("streams_open 1\n")
            {
                break;
            }
        }
        let path = format!("/v1/jobs/{job}/cancel");
        api.post(&acme, &path, json!({})).await
    };
    let ((status, body), _) = tokio::join!(waiting, ending);
    assert_eq!(
        (status.as_u16(), &body["state"]),
        (200, &json!("cancelled"))
    );
    assert!(began.elapsed() < Duration::from_secs(20));
    let open = api.submit(&acme, "acme").await;
    let (status, body) = api.get(&acme, &format!("/v1/jobs/{open}?wait=1")).await;
    assert_eq!((status.as_u16(), &body["state"]), (200, &json!("queued")));
}

#[tokio::test]
async fn a_cancel_gives_everything_back_and_is_repeatable() {
    let api = Api::start().await;
    let acme = api.customer("acme", 100).await;
    let job = api.submit(&acme, "acme").await;
    let cancel = async || {
        let path = format!("/v1/jobs/{job}/cancel");
        let response = send(api.request(&acme, Method::POST, &path)).await;
        let replayed = response.headers().contains_key("idempotent-replayed");
        let body: Value = response.json().await.expect("JSON");
        (
            replayed,
            body["outcome"].clone(),
            body["released_ucr"].clone(),
        )
    };
    assert_eq!(
        cancel().await,
        (false, json!("cancelled"), json!(7_000_000))
    );
    assert_eq!(cancel().await, (true, json!("cancelled"), json!(0)));
    let (status, body) = api
        .post(&acme, &format!("/v1/jobs/{job}/retry"), json!({}))
        .await;
    assert_eq!((status.as_u16(), kind(&body)), (409, "not_a_dead_letter"));
    assert_eq!(
        balance(&api.store, &crate::support::account("acme")).await,
        (100, 0)
    );
    assert_sound(&api.store).await;
}

#[tokio::test]
async fn dead_letters_are_looked_at_then_retried_in_the_background() {
    let api = Api::start().await;
    let acme = api.customer("acme", 10).await;
    let job = api.submit(&acme, "acme").await;
    let body = json!({"reason": "hangs", "class": "provider_fault"});
    let path = format!("/v1/jobs/{job}/force-fail");
    assert_eq!(api.post(&api.admin, &path, body).await.0, 200);
    let (_, page) = api
        .get(&api.admin, "/v1/dead-letters?class=provider_fault")
        .await;
    assert_eq!(page["data"][0]["job"], json!(job));
    let retry = async |dry_run: bool| {
        let filter = json!({"class": "provider_fault"});
        let body = json!({"filter": filter, "payer": "account", "reason": "r", "dry_run": dry_run});
        api.post(&api.admin, "/v1/dead-letters/retry", body).await
    };
    let (status, look) = retry(true).await;
    assert_eq!((status.as_u16(), &look["payable_jobs"]), (200, &json!(1)));
    assert_eq!(look["hold_ucr"], json!(7_000_000));
    // Where everybody stands still nobody can pay.
    let freeze = async |path: &str, key: &str| {
        let body = json!({"partition": 0, "reason": "r"});
        let request = api.request(&api.admin, Method::POST, path);
        let (status, _) = read(request.header("Idempotency-Key", key).json(&body)).await;
        assert_eq!(status, 200);
    };
    freeze("/v1/freezes", "f1").await;
    let (_, look) = retry(true).await;
    let short = (&look["payable_jobs"], &look["short"][0]["state"]);
    let still = json!("frozen with its whole partition");
    assert_eq!(short, (&json!(0), &still));
    freeze("/v1/freezes/clear", "f2").await;
    let (status, run) = retry(false).await;
    assert_eq!(status, 202);
    let path = format!("/v1/runs/{}", run["run"].as_str().expect("a run"));
    let mut run = run;
    while run["state"] == "running" {
        run = api.get(&api.admin, &path).await.1;
    }
    assert_eq!(
        (&run["state"], &run["retried"]),
        (&json!("done"), &json!(1))
    );
    // The owner's own retry finds the job that it became.
    let (status, body) = api
        .post(&acme, &format!("/v1/jobs/{job}/retry"), json!({}))
        .await;
    assert_eq!(status, 201, "{body}");
    let (_, new) = api
        .get(
            &acme,
            &format!("/v1/jobs/{}", body["new_job"].as_str().expect("one")),
        )
        .await;
    assert_eq!(new["retry_of"], json!(job));
    assert_eq!(
        balance(&api.store, &crate::support::account("acme")).await,
        (3, 7)
    );
    assert_sound(&api.store).await;
}
