//! More than a server takes, and a server that is told to stop in the midst of it: nobody waits long, and no
//! credit hangs.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use meterline::store::{ApiSecret, Store};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::{Api, image, kind, send, settings};
use crate::support::http::http_client;
use crate::support::{account, assert_sound, balance, fresh_url, funded, options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_is_answered_at_once_and_holds_only_what_was_accepted() {
    let mut settings = settings();
    settings.requests_max = 4;
    let api = Api::with(settings).await;
    let acme = api.customer("acme", 10_000).await;
    let one = async || {
        let began = Instant::now();
        let request = api.request(&acme, Method::POST, "/v1/jobs");
        let response = send(request.json(&image("acme"))).await;
        let (status, after) = (
            response.status(),
            response.headers().contains_key("retry-after"),
        );
        let body: Value = response.json().await.expect("JSON");
        (status, after, kind(&body).to_owned(), began.elapsed())
    };
    let answers = join_all((0..200).map(|_| one())).await;
    let count = |status: StatusCode| answers.iter().filter(|answer| answer.0 == status).count();
    let (accepted, refused) = (
        count(StatusCode::CREATED),
        count(StatusCode::SERVICE_UNAVAILABLE),
    );
    assert_eq!(accepted + refused, 200, "{answers:?}");
    assert!(accepted > 0 && refused > 0, "{accepted} {refused}");
    for (status, after, word, _) in &answers {
        let is_told = *after && word == "overloaded";
        assert_eq!(
            *status == StatusCode::SERVICE_UNAVAILABLE,
            is_told,
            "{word}"
        );
    }
    let longest = answers.iter().map(|answer| answer.3).max();
    assert!(longest < Some(Duration::from_secs(5)), "{longest:?}");
    let held = i64::try_from(accepted * 7).expect("few");
    assert_eq!(
        balance(&api.store, &account("acme")).await,
        (10_000 - held, held)
    );
    assert_sound(&api.store).await;
}

#[tokio::test]
async fn a_key_past_its_limit_is_told_when_to_come_again_and_holds_nothing() {
    let mut settings = settings();
    settings.key_requests_per_minute = 3;
    let api = Api::with(settings).await;
    let acme = api.customer("acme", 100).await;
    let mut accepted = 0;
    loop {
        let began = Instant::now();
        let request = api.request(&acme, Method::POST, "/v1/jobs");
        let response = send(request.json(&image("acme"))).await;
        if response.status() == 201 {
            accepted += 1;
            continue;
        }
        assert_eq!(response.status(), 429);
        let seconds = response.headers()["retry-after"].to_str().expect("text");
        assert!((1..=60).contains(&seconds.parse::<u32>().expect("seconds")));
        assert!(began.elapsed() < Duration::from_secs(2));
        break;
    }
    assert_eq!(accepted, 3);
    assert_eq!(balance(&api.store, &account("acme")).await, (79, 21));
}

/// A server process on this store.
async fn process(url: &str) -> (tokio::process::Child, String) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_meterline"));
    command
        .args([
            "serve",
            "--role",
            "api",
            "--listen",
            "127.0.0.1:0",
            "--config",
            "config/dev",
        ])
        .args(["--redis", url])
        .env("METERLINE__API__KEY_REQUESTS_PER_MINUTE", "0")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .kill_on_drop(true)
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("a server");
    let mut lines = BufReader::new(child.stderr.take().expect("its words")).lines();
    let address = loop {
        let line = lines
            .next_line()
            .await
            .expect("a line")
            .expect("it listens");
        if let Some(address) = line.strip_prefix("listening ") {
            break address.to_owned();
        }
    };
    // What else it says must not fill the pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_told_to_stop_in_the_midst_of_submits_loses_none_it_accepted() {
    let url = fresh_url();
    let store = Store::open(&url, options()).await.expect("a store");
    funded(&store, "acme", 100_000).await;
    let key = super::key(&store, &[meterline::store::KeyScope::Produce], None).await;
    assert!(ApiSecret::parse(&key).is_some());
    let (mut child, address) = process(&url).await;
    let (accepted, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let producers = (0..16).map(|producer| {
        let (address, key, accepted) = (address.clone(), key.clone(), accepted.clone());
        tokio::spawn(async move {
            let client = http_client();
            let mut outcomes = Vec::new();
            for n in 0.. {
                let idem = format!("p{producer}-{n}");
                let request = client.post(format!("{address}/v1/jobs")).bearer_auth(&key);
                let sent = request
                    .header("Idempotency-Key", &idem)
                    .json(&image("acme"))
                    .send();
                let Ok(response) = sent.await else {
                    outcomes.push((idem, None));
                    break;
                };
                let (status, body) = (response.status(), response.json::<Value>().await);
                let job = body
                    .ok()
                    .and_then(|body| Some(body["job"].as_str()?.to_owned()));
                let is_over = status != 201 || job.is_none();
                outcomes.push((idem, job.filter(|_| status == 201)));
                if is_over {
                    break;
                }
                let _ = accepted.send(());
            }
            outcomes
        })
    });
    let producers: Vec<_> = producers.collect();
    drop(accepted);
    for _ in 0..100 {
        heard.recv().await.expect("they submit");
    }
    let pid = child.id().expect("a process");
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
    let ended = tokio::time::timeout(Duration::from_secs(30), child.wait()).await;
    assert_eq!(ended.expect("in time").expect("it ended").code(), Some(0));

    let mut outcomes = BTreeMap::new();
    for producer in producers {
        outcomes.extend(producer.await.expect("a producer"));
    }
    // Another server: what was accepted is the same job, and what had no answer is a job now, once.
    let (_second, address) = process(&url).await;
    let client = http_client();
    for (idem, before) in &outcomes {
        let request = client.post(format!("{address}/v1/jobs")).bearer_auth(&key);
        let request = request.header("Idempotency-Key", idem).json(&image("acme"));
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 201);
        let body: Value = response.json().await.expect("JSON");
        if let Some(before) = before {
            assert_eq!(
                (&body["job"], &body["status"]),
                (&json!(before), &json!("replayed"))
            );
        }
    }
    let held = i64::try_from(outcomes.len() * 7).expect("few");
    assert_eq!(
        balance(&store, &account("acme")).await,
        (100_000 - held, held)
    );
    assert_sound(&store).await;
}
