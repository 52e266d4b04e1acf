//! Streams of events: complete, resumed where a client left off, honest about what is lost.

use std::time::Duration;

use futures_util::StreamExt;
use meterline::domain::ids::JobId;
use meterline::store::Store;
use reqwest::{Method, Response};
use serde_json::json;

use super::{Api, send, settings};
use crate::support::{Raw, fresh_url, key, options};

/// Reads a stream of events: `id` and `event` of each, until `enough` or the stream's end.
async fn events(response: Response, enough: usize) -> Vec<(String, String)> {
    assert_eq!(response.status(), 200);
    let (mut text, mut bytes) = (String::new(), response.bytes_stream());
    let parse = |text: &str| -> Vec<(String, String)> {
        let blocks = text.split("\n\n").filter(|block| block.contains("event: "));
        let line = |block: &str, name: &str| {
            let found = block.lines().find_map(|line| line.strip_prefix(name));
            found.unwrap_or_default().to_owned()
        };
        blocks
            .map(|b| (line(b, "id: "), line(b, "event: ")))
            .collect()
    };
    let reading = async {
        while let Some(chunk) = bytes.next().await {
            text += std::str::from_utf8(&chunk.expect("a chunk")).expect("text");
            let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
            if parse(whole).len() >= enough {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reading)
        .await
        .expect("enough events in time");
    parse(&text)
}

fn words(events: &[(String, String)]) -> Vec<&str> {
    events.iter().map(|(_, event)| event.as_str()).collect()
}

async fn follow(api: &Api, key: &str, path: &str, last: Option<&str>) -> Response {
    let mut request = api.request(key, Method::GET, path);
    if let Some(last) = last {
        request = request.header("Last-Event-ID", last);
    }
    send(request).await
}

async fn cancel(store: &Store, job: &str) {
    let id: JobId = job.parse().expect("a job");
    store.cancel(&id, "tests").await.expect("cancel");
}

#[tokio::test]
async fn a_job_is_followed_from_its_submission_to_its_end() {
    let api = Api::start().await;
    let acme = api.customer("acme", 100).await;
    let (job, other) = (
        api.submit(&acme, "acme").await,
        api.submit(&acme, "acme").await,
    );
    let path = format!("/v1/jobs/{job}/events");
    let stream = follow(&api, &acme, &path, None).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    cancel(&api.store, &other).await;
    cancel(&api.store, &job).await;
    // The stream ends by itself.
    let seen = events(stream, usize::MAX).await;
    assert_eq!(words(&seen), ["submitted", "cancelled"]);
    let rest = events(
        follow(&api, &acme, &path, Some(&seen[0].0)).await,
        usize::MAX,
    )
    .await;
    assert_eq!(words(&rest), ["cancelled"]);
    let done = follow(&api, &acme, &path, Some(&seen[1].0)).await;
    assert_eq!(done.status(), 204, "nothing more will come");
    let odd = follow(&api, &acme, &path, Some("odd")).await;
    assert_eq!(odd.status(), 400);
}

#[tokio::test]
async fn an_account_is_followed_across_a_break_without_loss_or_repetition() {
    let api = Api::start().await;
    let acme = api.customer("acme", 1_000).await;
    api.customer("other", 100).await;
    let path = "/v1/accounts/acme/events";
    let stream = follow(&api, &acme, path, None).await;
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(api.submit(&acme, "acme").await);
        api.submit(&api.admin, "other").await;
    }
    let first = events(stream, 3).await;
    assert_eq!(words(&first[..3]), ["submitted"; 3]);
    for job in &jobs {
        cancel(&api.store, job).await;
    }
    let stream = follow(&api, &acme, path, Some(&first[2].0)).await;
    api.submit(&acme, "acme").await;
    let rest = events(stream, 4).await;
    assert_eq!(
        words(&rest),
        ["cancelled", "cancelled", "cancelled", "submitted"]
    );
}

#[tokio::test]
async fn what_the_store_has_dropped_is_said_to_be_missing() {
    let url = fresh_url();
    let store = Store::open(&url, options()).await.expect("a store");
    let api = Api::on(store, settings()).await;
    let acme = api.customer("acme", 100).await;
    api.submit(&acme, "acme").await;
    let raw = Raw::open(&url).await;
    let fill =
        "for i = 1, 12000 do redis.call('XADD', KEYS[1], 'MAXLEN', '~', 10000, '*', 'a', 'x') end";
    let _: redis::Value = raw.run(&["EVAL", fill, "1", &key("part", "events")]).await;
    let stream = follow(&api, &acme, "/v1/accounts/acme/events", Some("1-0")).await;
    api.submit(&acme, "acme").await;
    let seen = events(stream, 2).await;
    assert_eq!(words(&seen), ["gap", "submitted"]);
}

#[tokio::test]
async fn a_silent_stream_shows_that_it_lives() {
    let mut settings = settings();
    settings.keep_alive_ms = 50;
    let api = Api::with(settings).await;
    let acme = api.customer("acme", 100).await;
    let stream = follow(&api, &acme, "/v1/accounts/acme/events", None).await;
    let mut bytes = stream.bytes_stream();
    let mut text = String::new();
    while !text.contains(": alive\n") {
        let chunk = bytes.next().await.expect("a chunk").expect("bytes");
        text += std::str::from_utf8(&chunk).expect("text");
    }
}

#[tokio::test]
async fn a_quiet_stream_keeps_up_with_what_others_do() {
    let mut settings = settings();
    settings.keep_alive_ms = 50;
    let url = fresh_url();
    let store = Store::open(&url, options()).await.expect("a store");
    let api = Api::on(store, settings).await;
    let (acme, _) = (
        api.customer("acme", 100).await,
        api.customer("busy", 100).await,
    );
    let path = "/v1/accounts/acme/events";
    let mut bytes = follow(&api, &acme, path, None).await.bytes_stream();
    api.submit(&api.admin, "busy").await;
    let raw = Raw::open(&url).await;
    let newest: Vec<(String, Vec<String>)> = raw
        .run(&["XREVRANGE", &key("part", "events"), "+", "-", "COUNT", "1"])
        .await;
    let newest = format!("id: {}\n", newest[0].0);
    let mut text = String::new();
    while !text.contains(&newest) {
        let chunk = bytes.next().await.expect("a chunk").expect("bytes");
        text += std::str::from_utf8(&chunk).expect("text");
    }
    assert!(
        !text.contains("event: "),
        "nothing of its own happened: {text}"
    );
    // What is its own is still told, and nothing of it twice.
    let job = api.submit(&acme, "acme").await;
    while text.matches("event: submitted").count() < 1 {
        let chunk = bytes.next().await.expect("a chunk").expect("bytes");
        text += std::str::from_utf8(&chunk).expect("text");
    }
    assert!(text.contains(&job), "{text}");
}

#[tokio::test]
async fn a_stream_that_broke_before_its_first_event_is_gone_on_with_too() {
    let api = Api::start().await;
    let acme = api.customer("acme", 100).await;
    let path = "/v1/accounts/acme/events";
    let mut bytes = follow(&api, &acme, path, None).await.bytes_stream();
    let chunk = bytes.next().await.expect("a chunk").expect("bytes");
    let text = std::str::from_utf8(&chunk).expect("text");
    let id = text.strip_prefix("id: ").expect("an id");
    let id = id.strip_suffix("\n\n").expect("nothing else").to_owned();
    drop(bytes);
    for _ in 0..2 {
        api.submit(&acme, "acme").await;
    }
    let rest = events(follow(&api, &acme, path, Some(&id)).await, 2).await;
    assert_eq!(words(&rest), ["submitted", "submitted"]);
}

#[tokio::test]
async fn who_does_not_read_holds_nobody_up_and_misses_nothing() {
    let mut settings = settings();
    settings.keep_alive_ms = 60_000;
    let api = Api::with(settings).await;
    let acme = api.customer("acme", 10_000).await;
    let path = "/v1/accounts/acme/events";
    let slow = follow(&api, &acme, path, None).await;
    // Many times what the server keeps for one that is behind, and more than the sockets between take.
    let big = "x".repeat(2_000);
    let mut told = 0;
    for _ in 0..20 {
        let jobs: Vec<_> = (0..100).map(|_| super::image("acme")).collect();
        let (status, body) = api
            .post(&acme, "/v1/jobs/batch", json!({"jobs": jobs}))
            .await;
        assert_eq!(status, 200, "{body}");
        for job in body["results"].as_array().expect("results") {
            let id: JobId = job["job"].as_str().expect("a job").parse().expect("an id");
            api.store.cancel(&id, &big).await.expect("cancel");
            told += 2;
        }
    }
    let quick = events(follow(&api, &acme, path, Some("1-0")).await, 1).await;
    assert!(!quick.is_empty(), "others are served");
    let (mut bytes, mut open, mut ids) = (slow.bytes_stream(), String::new(), Vec::new());
    let reading = async {
        while ids.len() < told {
            let chunk = bytes.next().await.expect("a chunk").expect("bytes");
            open += std::str::from_utf8(&chunk).expect("text");
            while let Some((block, rest)) = open.split_once("\n\n") {
                assert!(!block.contains("event: gap"), "{block}");
                if block.contains("event: ") {
                    ids.push(block.lines().next().expect("an id").to_owned());
                }
                open = rest.to_owned();
            }
        }
    };
    let patience = Duration::from_secs(20);
    let in_time = tokio::time::timeout(patience, reading).await;
    in_time.expect("everything in time");
    let different: std::collections::BTreeSet<&String> = ids.iter().collect();
    assert_eq!(different.len(), told);
}

#[tokio::test]
async fn streams_have_places_of_their_own_and_no_more_than_these() {
    let mut settings = settings();
    (settings.streams_max, settings.requests_max) = (1, 1);
    let api = Api::with(settings).await;
    let acme = api.customer("acme", 100).await;
    let path = "/v1/accounts/acme/events";
    let stream = follow(&api, &acme, path, None).await;
    assert_eq!(stream.status(), 200);
    let second = follow(&api, &acme, path, None).await;
    assert_eq!(second.status(), 503);
    assert_eq!(second.headers()["retry-after"], "1");
    let (status, _) = api.post(&acme, "/v1/jobs", super::image("acme")).await;
    assert_eq!(status, 201, "an open stream is in no request's way");
    let _ = json!(events(stream, 1).await.len());
}
