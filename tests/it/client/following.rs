//! Streams of events: to a job's end, on after a break, and over a gap.

use std::time::{Duration, Instant};

use meterline::client::{Error, Events, Happened};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wiremock::matchers::{header, header_exists, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{at, image, of};
use crate::api::Api;
use crate::support::{assert_sound, funded};

async fn next(events: &mut Events) -> Option<Happened> {
    let next = tokio::time::timeout(Duration::from_secs(20), events.next());
    next.await.expect("in time").expect("a stream")
}

/// The words of the events that come until the stream ends.
async fn words(events: &mut Events) -> Vec<String> {
    let mut words = Vec::new();
    while let Some(happened) = next(events).await {
        match happened {
            Happened::Event { event, .. } => words.push(event.event),
            Happened::Gap => words.push("gap".to_owned()),
        }
    }
    words
}

#[tokio::test]
async fn a_job_is_followed_to_its_end_and_an_account_from_now_on() {
    let api = Api::start().await;
    let client = of(&api);
    funded(&api.store, "acme", 100).await;
    let job = client
        .submit(&image("acme"), None)
        .await
        .expect("a job")
        .body
        .job;
    let mut events = client.follow_job(&job, None);
    let Some(Happened::Event { id, event }) = next(&mut events).await else {
        panic!("it was submitted");
    };
    assert_eq!(
        (event.event.as_str(), event.job.as_deref()),
        ("submitted", Some(job.as_str()))
    );
    assert_eq!(events.last_event_id(), Some(id.as_str()));
    let mut account = client.follow_account("acme", Some(&id));
    client.cancel_job(&job).await.expect("cancelled");
    assert_eq!(words(&mut events).await, ["cancelled"]);
    let Some(Happened::Event { event, .. }) = next(&mut account).await else {
        panic!("the account hears of it");
    };
    assert_eq!(
        (event.event.as_str(), event.account.as_str()),
        ("cancelled", "acme")
    );

    assert_eq!(
        words(&mut client.follow_job(&job, Some(&id))).await,
        ["cancelled"]
    );
    let last = events.last_event_id().expect("an id").to_owned();
    assert_eq!(
        words(&mut client.follow_job(&job, Some(&last))).await,
        Vec::<String>::new()
    );
    let error = client.follow_job("j00-none", None).next().await;
    assert_eq!(error.expect_err("none").word(), Some("unknown_job"));
    assert_sound(&api.store).await;
}

fn stream(text: String) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(text, "text/event-stream")
}

fn event(id: &str, word: &str) -> String {
    let data = json!({"event": word, "job": "j00-1", "account": "acme", "detail": "", "at": null});
    format!("id: {id}\nevent: {word}\ndata: {data}\n\n")
}

#[tokio::test]
async fn a_stream_that_breaks_goes_on_behind_the_last_event() {
    let server = MockServer::start().await;
    // The second event is cut off in the middle: it comes again, whole, after the break.
    let cut = event("1-0", "submitted") + &event("2-0", "running")[..20];
    let follow = || Mock::given(method("GET"));
    let resumed = event("2-0", "running") + "event: gap\ndata: {\"after\":\"2-0\"}\n\n";
    follow()
        .and(header("last-event-id", "1-0"))
        .respond_with(stream(resumed))
        .mount(&server)
        .await;
    let over = stream(": alive\n\n".to_owned() + &event("9-0", "succeeded"));
    follow()
        .and(header("last-event-id", "2-0"))
        .respond_with(over)
        .mount(&server)
        .await;
    follow()
        .and(header_exists("authorization"))
        .respond_with(stream(cut))
        .with_priority(9)
        .mount(&server)
        .await;
    let client = at(&server.uri(), "mlk_a", Duration::from_secs(20));
    let found = words(&mut client.follow_job("j00-1", None)).await;
    assert_eq!(found, ["submitted", "running", "gap", "succeeded"]);
}

#[tokio::test]
async fn a_stream_that_breaks_before_its_first_event_goes_on_where_it_began() {
    let server = MockServer::start().await;
    let follow = || Mock::given(method("GET"));
    follow()
        .and(header("last-event-id", "1-0"))
        .respond_with(stream(event("2-0", "submitted")))
        .mount(&server)
        .await;
    let began = stream("id: 1-0\n\n".to_owned());
    follow()
        .respond_with(began)
        .with_priority(9)
        .mount(&server)
        .await;
    let client = at(&server.uri(), "mlk_a", Duration::from_secs(20));
    let mut events = client.follow_account("acme", None);
    let Some(Happened::Event { id, .. }) = next(&mut events).await else {
        panic!("it goes on");
    };
    assert_eq!(id, "2-0");
}

#[tokio::test]
async fn each_break_of_a_quiet_stream_has_a_patience_of_its_own() {
    let patience = Duration::from_millis(300);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move {
        let mut last = String::new();
        for n in 0..4 {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut asked = [0; 2048];
            let length = stream.read(&mut asked).await.expect("a request");
            last = String::from_utf8_lossy(&asked[..length]).into_owned();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: alive\n\n";
            let word = if n < 3 {
                String::new()
            } else {
                event("8-0", "queued")
            };
            let sent = stream.write_all((head.to_owned() + &word).as_bytes()).await;
            sent.expect("sent");
            // The connection stands for longer than the patience, and breaks.
            tokio::time::sleep(patience + Duration::from_millis(50)).await;
        }
        last
    });
    let mut events = at(&url, "mlk_a", patience).follow_account("acme", Some("7-0"));
    let Some(Happened::Event { id, .. }) = next(&mut events).await else {
        panic!("it goes on");
    };
    assert_eq!(id, "8-0");
    let last = server.await.expect("served").to_lowercase();
    assert!(last.contains("last-event-id: 7-0"), "{last}");
}

#[tokio::test]
async fn a_stream_for_which_there_is_no_place_comes_again_when_the_server_asks_it_to() {
    let server = MockServer::start().await;
    let full = ResponseTemplate::new(503).insert_header("retry-after", "1");
    let problem = json!({"type": "/problems/overloaded", "title": "full", "status": 503});
    let full = full.set_body_raw(problem.to_string(), "application/problem+json");
    let times = 2;
    let follow = || Mock::given(method("GET"));
    follow()
        .respond_with(full)
        .up_to_n_times(times)
        .with_priority(1)
        .mount(&server)
        .await;
    follow()
        .respond_with(stream(event("1-0", "queued")))
        .mount(&server)
        .await;
    let began = Instant::now();
    let client = at(&server.uri(), "mlk_a", Duration::from_secs(60));
    let happened = next(&mut client.follow_account("acme", None)).await;
    assert!(matches!(happened, Some(Happened::Event { .. })));
    let waited = began.elapsed();
    // Each time as long as was asked, and up to as long again.
    let asked = Duration::from_secs(times);
    assert!(
        (asked..asked * 2 + Duration::from_secs(5)).contains(&waited),
        "{waited:?}"
    );
}

#[tokio::test]
async fn a_stream_that_only_breaks_ends_with_the_patience() {
    let server = MockServer::start().await;
    let silent = Mock::given(method("GET")).respond_with(stream(": alive\n\n".to_owned()));
    silent.mount(&server).await;
    let client = at(&server.uri(), "mlk_a", Duration::from_millis(300));
    let error = client
        .follow_job("j00-1", None)
        .next()
        .await
        .expect_err("it ends");
    assert!(
        matches!(error, Error::Unknown { key: None, .. }),
        "{error:?}"
    );
}
