//! The simulated provider over HTTP: its answers follow its wire format, knob by knob.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use meterline::dev::simulator::serve;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

struct Simulator {
    base: String,
    client: Client,
    shutdown: CancellationToken,
    serving: JoinHandle<std::io::Result<()>>,
}

async fn simulator() -> Simulator {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(serve(listener, shutdown.clone()));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder()
        .retry(reqwest::retry::never())
        .build()
        .unwrap();
    Simulator {
        base,
        client,
        shutdown,
        serving,
    }
}

fn video(submission: &str, sim: &Value) -> Value {
    json!({
        "model": "m", "kind": "video", "duration_ms": 500, "submission": submission,
        "input": {"prompt": "x"}, "sim": sim,
    })
}

impl Simulator {
    fn post(
        &self,
        path: &str,
        key: &str,
        body: &Value,
    ) -> impl Future<Output = reqwest::Result<Response>> + use<> {
        let request = self.client.post(format!("{}{path}", self.base));
        request.header("Idempotency-Key", key).json(body).send()
    }

    /// Starts a generation and gives the answer.
    async fn start(&self, key: &str, sim: &Value) -> Value {
        let answer = self.post("/v1/generations", key, &video(key, sim)).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        answer.json().await.unwrap()
    }

    fn put(
        &self,
        key: &str,
        sim: &Value,
    ) -> impl Future<Output = reqwest::Result<Response>> + use<> {
        let request = self.client.put(format!("{}/v1/sync/{key}", self.base));
        request.json(&video(key, sim)).send()
    }

    async fn get(&self, url: &str) -> Response {
        self.client.get(url).send().await.unwrap()
    }

    async fn count(&self, page: &str, key: &str) -> u64 {
        let counts = self.get(&format!("{}/_sim/{page}", self.base)).await;
        let counts: Value = counts.json().await.unwrap();
        counts[key].as_u64().unwrap_or(0)
    }

    /// Polls until the status is another than the given ones.
    async fn poll_past(&self, started: &Value, passing: &[&str]) -> Value {
        loop {
            let view: Value = self.get(url(started, "get")).await.json().await.unwrap();
            if !passing.contains(&view["status"].as_str().unwrap()) {
                return view;
            }
        }
    }

    async fn end_of(&self, started: &Value) -> Value {
        self.poll_past(started, &["queued", "running"]).await
    }

    async fn cancel(&self, started: &Value) -> Value {
        let answer = self.client.post(url(started, "cancel")).send().await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json().await.unwrap()
    }
}

fn url<'a>(started: &'a Value, which: &str) -> &'a str {
    started["urls"][which].as_str().unwrap()
}

async fn error_of(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    assert!(body["error"]["message"].is_string(), "{body}");
    (status, body["error"]["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_generation_is_accepted_polled_and_fetched() {
    let sim = simulator().await;
    let started = sim.start("j-1", &json!({})).await;
    assert_eq!(started["status"], "queued");
    let view = sim.end_of(&started).await;
    assert_eq!(view["id"], started["id"]);
    assert_eq!(view["status"], "succeeded");
    assert_eq!(view["progress"], 1.0);
    assert_eq!(view["duration_ms"], 500);
    assert_eq!(view["error"], Value::Null);
    let outputs = view["output"].as_array().unwrap();
    assert_eq!(outputs.len(), 1);
    assert_eq!(outputs[0]["content_type"], "video/mp4");
    let file = sim.get(outputs[0]["url"].as_str().unwrap()).await;
    assert_eq!(file.headers()["content-type"], "video/mp4");
    let announced = file.content_length();
    let bytes = file.bytes().await.unwrap();
    assert_eq!(announced, Some(bytes.len() as u64));
    assert_eq!(&bytes[4..8], b"ftyp");
}

#[tokio::test]
async fn the_same_key_starts_one_generation_and_a_blind_path_starts_two() {
    let sim = simulator().await;
    let first = sim.start("j-1", &json!({})).await;
    let again = sim.start("j-1", &json!({})).await;
    assert_eq!(first["id"], again["id"]);
    assert_eq!(sim.count("submissions", "j-1").await, 1);
    assert_eq!(sim.count("replays", "j-1").await, 1);

    let mut ids = Vec::new();
    for _ in 0..2 {
        let body = video("j-2", &json!({}));
        let answer = sim.post("/v1/blind/generations", "j-2", &body).await;
        let started: Value = answer.unwrap().json().await.unwrap();
        ids.push(started["id"].clone());
        assert_eq!(sim.end_of(&started).await["status"], "succeeded");
    }
    assert_ne!(ids[0], ids[1]);
    assert_eq!(sim.count("submissions", "j-2").await, 2);
    assert_eq!(sim.count("replays", "j-2").await, 0);
}

#[tokio::test]
async fn failures_that_are_answered_at_once_start_nothing() {
    let sim = simulator().await;
    let table = [
        ("user_input", 400),
        ("our_auth", 401),
        ("our_balance", 402),
        ("rate_limited", 429),
        ("capacity", 503),
    ];
    for (word, status) in table {
        let body = video("j-1", &json!({"fail": word}));
        for path in ["/v1/generations", "/v1/blind/generations", "/v1/bytes"] {
            let answer = sim.post(path, "j-1", &body).await.unwrap();
            let retry_after = answer.headers().contains_key("retry-after");
            assert_eq!(retry_after, status == 429, "{word}");
            assert_eq!(error_of(answer).await, (status, word.to_owned()), "{path}");
        }
        let answer = sim.put("j-1", &json!({"fail": word})).await.unwrap();
        assert_eq!(error_of(answer).await, (status, word.to_owned()));
    }
    assert_eq!(sim.count("submissions", "j-1").await, 0);
}

#[tokio::test]
async fn requests_that_make_no_sense_are_user_input() {
    let sim = simulator().await;
    for body in [
        json!({}),
        json!({"kind": "smell"}),
        json!({"kind": "video", "duration_ms": 0}),
        json!({"kind": "video", "sim": {"no_such_knob": 1}}),
        json!({"kind": "video", "sim": {"fail": "timeout"}}),
    ] {
        let answer = sim.post("/v1/generations", "j-1", &body).await.unwrap();
        assert_eq!(error_of(answer).await, (400, "user_input".to_owned()));
    }
    let page = sim.get(&format!("{}/v1/nothing", sim.base)).await;
    assert_eq!(error_of(page).await, (404, "not_found".to_owned()));
}

#[tokio::test]
async fn failures_of_the_work_itself_show_at_its_end() {
    let sim = simulator().await;
    for word in ["content_policy", "provider_fault"] {
        let started = sim.start(word, &json!({"fail": word})).await;
        let view = sim.end_of(&started).await;
        assert_eq!(view["status"], "failed");
        assert_eq!(view["error"]["code"], word);
        assert_eq!(view["output"], json!([]));
        assert_eq!(view.get("duration_ms"), None);
        assert_eq!(sim.count("submissions", word).await, 1);
    }
    let started = sim.start("j-1", &json!({"fail": "lost"})).await;
    let answer = loop {
        let answer = sim.get(url(&started, "get")).await;
        if answer.status() != StatusCode::OK {
            break answer;
        }
    };
    assert_eq!(error_of(answer).await, (404, "not_found".to_owned()));
}

#[tokio::test]
async fn a_dropped_answer_leaves_the_generation_behind() {
    let sim = simulator().await;
    let knobs = json!({"drop_after_accept": true});
    let dropped = sim.post("/v1/generations", "j-1", &video("j-1", &knobs));
    assert!(dropped.await.is_err());
    assert_eq!(sim.count("submissions", "j-1").await, 1);
    let started = sim.start("j-1", &knobs).await;
    assert_eq!(sim.end_of(&started).await["status"], "succeeded");
    assert_eq!(sim.count("submissions", "j-1").await, 1);

    assert!(sim.put("j-2", &knobs).await.is_err());
    let view: Value = sim.put("j-2", &knobs).await.unwrap().json().await.unwrap();
    assert_eq!(view["status"], "succeeded");
    assert_eq!(sim.count("submissions", "j-2").await, 1);

    let bytes = sim.post("/v1/bytes", "j-3", &video("j-3", &knobs));
    assert!(bytes.await.is_err());
    assert_eq!(sim.count("submissions", "j-3").await, 1);
}

#[tokio::test]
async fn a_job_is_told_once_to_come_back() {
    let sim = simulator().await;
    let knobs = json!({"retry_after_s": 3});
    let answer = sim.post("/v1/generations", "j-1", &video("j-1", &knobs));
    let answer = answer.await.unwrap();
    assert_eq!(answer.headers()["retry-after"], "3");
    assert_eq!(error_of(answer).await, (429, "rate_limited".to_owned()));
    assert_eq!(sim.count("submissions", "j-1").await, 0);
    sim.start("j-2", &knobs).await;
}

#[tokio::test]
async fn a_cancel_ends_what_runs_and_leaves_what_has_ended() {
    let sim = simulator().await;
    let hanging = sim.start("j-1", &json!({"hang": true})).await;
    let view: Value = sim.get(url(&hanging, "get")).await.json().await.unwrap();
    assert!(["queued", "running"].contains(&view["status"].as_str().unwrap()));
    assert_eq!(sim.cancel(&hanging).await["status"], "canceled");
    assert_eq!(sim.end_of(&hanging).await["status"], "canceled");

    let done = sim.start("j-2", &json!({"delay_ms": 0})).await;
    assert_eq!(sim.cancel(&done).await["status"], "succeeded");

    let deaf = json!({"hang": true, "late_after_cancel_ms": 60});
    let late = sim.start("j-3", &deaf).await;
    assert_eq!(sim.cancel(&late).await["status"], "running");
    let view = sim.end_of(&late).await;
    assert_eq!(view["status"], "succeeded");
    assert_eq!(view["output"].as_array().unwrap().len(), 1);

    let unknown = format!("{}/v1/generations/gen-0/cancel", sim.base);
    let answer = sim.client.post(unknown).send().await.unwrap();
    assert_eq!(error_of(answer).await, (404, "not_found".to_owned()));
}

#[tokio::test]
async fn lengths_can_be_claimed_that_are_not_true() {
    let sim = simulator().await;
    let table = [
        (json!({"actual_ms": 250}), json!(500)),
        (
            json!({"actual_ms": 250, "reported_ms": 900_000}),
            json!(900_000),
        ),
        (json!({"reported_ms": null}), Value::Null),
    ];
    for (number, (knobs, reported)) in table.into_iter().enumerate() {
        let started = sim.start(&format!("j-{number}"), &knobs).await;
        let view = sim.end_of(&started).await;
        assert_eq!(view["duration_ms"], reported, "{knobs}");
        assert_eq!(view.get("duration_ms").is_none(), reported.is_null());
    }
}

#[tokio::test]
async fn outputs_can_be_missing_doubled_or_garbage() {
    let sim = simulator().await;
    let empty = sim.start("j-1", &json!({"empty": true})).await;
    let view = sim.end_of(&empty).await;
    assert_eq!(
        (&view["status"], &view["output"]),
        (&json!("succeeded"), &json!([]))
    );

    let doubled = sim.start("j-2", &json!({"duplicate": true})).await;
    let view = sim.end_of(&doubled).await;
    let urls: Vec<&str> = view["output"]
        .as_array()
        .unwrap()
        .iter()
        .map(|output| output["url"].as_str().unwrap())
        .collect();
    assert_eq!(urls.len(), 2);
    assert_ne!(urls[0], urls[1]);
    let first = sim.get(urls[0]).await.bytes().await.unwrap();
    assert_eq!(first, sim.get(urls[1]).await.bytes().await.unwrap());

    let garbage = sim.start("j-3", &json!({"garbage": true})).await;
    let view = sim.end_of(&garbage).await;
    let file = sim.get(view["output"][0]["url"].as_str().unwrap()).await;
    assert_eq!(file.headers()["content-type"], "video/mp4");
    assert!(file.bytes().await.unwrap().starts_with(b"output 0"));
}

#[tokio::test]
async fn several_pictures_all_differ() {
    let sim = simulator().await;
    let body = json!({"model": "m", "kind": "image", "count": 3});
    let answer = sim.post("/v1/generations", "j-1", &body).await.unwrap();
    let view = sim.end_of(&answer.json().await.unwrap()).await;
    assert_eq!(view.get("duration_ms"), None);
    let mut files = std::collections::HashSet::new();
    for output in view["output"].as_array().unwrap() {
        assert_eq!(output["content_type"], "image/png");
        let file = sim.get(output["url"].as_str().unwrap()).await;
        files.insert(file.bytes().await.unwrap());
    }
    assert_eq!(files.len(), 3);
}

#[tokio::test]
async fn a_huge_file_has_the_size_it_claims() {
    let sim = simulator().await;
    for huge_bytes in [10, 3_000_000] {
        let started = sim
            .start(
                &format!("j-{huge_bytes}"),
                &json!({"huge_bytes": huge_bytes}),
            )
            .await;
        let view = sim.end_of(&started).await;
        let file = sim.get(view["output"][0]["url"].as_str().unwrap()).await;
        assert_eq!(file.content_length(), Some(huge_bytes));
        assert_eq!(file.bytes().await.unwrap().len() as u64, huge_bytes);
    }
}

#[tokio::test]
async fn outputs_can_only_be_fetched_once_they_are_there() {
    let sim = simulator().await;
    let started = sim.start("j-1", &json!({"hang": true})).await;
    let id = started["id"].as_str().unwrap();
    for name in [&format!("{id}.0.mp4"), "gen-0.0.mp4", "x"] {
        let answer = sim.get(&format!("{}/files/{name}", sim.base)).await;
        assert_eq!(error_of(answer).await, (404, "not_found".to_owned()));
    }
}

#[tokio::test]
async fn a_synchronous_answer_carries_the_media_and_is_the_same_again() {
    let sim = simulator().await;
    let (first, joined) = tokio::join!(
        sim.put("j-1", &json!({"delay_ms": 100})),
        sim.put("j-1", &json!({"delay_ms": 100}))
    );
    let first: Value = first.unwrap().json().await.unwrap();
    let joined: Value = joined.unwrap().json().await.unwrap();
    assert_eq!(first, joined);
    assert_eq!(first["status"], "succeeded");
    let url = first["output"][0]["url"].as_str().unwrap();
    assert!(url.starts_with("data:video/mp4;base64,"));
    let later: Value = sim
        .put("j-1", &json!({}))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(later, first);
    assert_eq!(sim.count("submissions", "j-1").await, 1);
    assert_eq!(sim.count("replays", "j-1").await, 2);

    let refused = sim.put("j-2", &json!({"fail": "content_policy"})).await;
    let view: Value = refused.unwrap().json().await.unwrap();
    assert_eq!(view["status"], "failed");
    assert_eq!(view["error"]["code"], "content_policy");
    let lost = sim.put("j-3", &json!({"fail": "lost"})).await.unwrap();
    assert_eq!(error_of(lost).await, (404, "not_found".to_owned()));
}

#[tokio::test]
async fn an_answer_can_be_the_media_itself() {
    let sim = simulator().await;
    let answer = sim.post("/v1/bytes", "", &video("j-1", &json!({}))).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "video/mp4");
    assert_eq!(&answer.bytes().await.unwrap()[4..8], b"ftyp");
    let again = sim.post("/v1/bytes", "", &video("j-1", &json!({}))).await;
    assert_eq!(again.unwrap().status(), StatusCode::OK);
    assert_eq!(sim.count("submissions", "j-1").await, 2);
    for (word, status) in [("content_policy", 422), ("provider_fault", 500)] {
        let body = video("j-2", &json!({"fail": word}));
        let answer = sim.post("/v1/bytes", "", &body).await.unwrap();
        assert_eq!(error_of(answer).await, (status, word.to_owned()));
    }
}

#[tokio::test]
async fn it_stops_when_told_to_even_with_callers_waiting() {
    let sim = simulator().await;
    let hanging = tokio::spawn({
        let request = sim.client.put(format!("{}/v1/sync/j-1", sim.base));
        request.json(&video("j-1", &json!({"hang": true}))).send()
    });
    while sim.count("submissions", "j-1").await == 0 {}
    sim.shutdown.cancel();
    let stopped = tokio::time::timeout(Duration::from_secs(10), sim.serving).await;
    assert!(stopped.unwrap().unwrap().is_ok());
    assert!(hanging.await.unwrap().is_err());
}
