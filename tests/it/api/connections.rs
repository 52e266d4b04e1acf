//! Connections that are silent, slow, too many, or open when the server stops.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Api, image, read, send, settings};
use crate::support::{assert_sound, balance};

/// Well above what a closed connection takes to show on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

async fn connect(api: &Api) -> TcpStream {
    let address = api.url.trim_start_matches("http://");
    TcpStream::connect(address).await.expect("a connection")
}

/// Everything the server says until it closes the connection.
async fn until_closed(mut stream: TcpStream) -> String {
    let mut said = Vec::new();
    let reading = async {
        let mut buffer = [0; 4096];
        // A reset is an end as well.
        while let Ok(n @ 1..) = stream.read(&mut buffer).await {
            said.extend_from_slice(&buffer[..n]);
        }
    };
    let closed = tokio::time::timeout(PATIENCE, reading).await;
    assert!(closed.is_ok(), "the connection stays open");
    String::from_utf8_lossy(&said).into_owned()
}

async fn short_times() -> Api {
    let mut settings = settings();
    settings.header_timeout_ms = 300;
    settings.idle_timeout_ms = 600;
    settings.request_timeout_ms = 1_000;
    Api::with(settings).await
}

#[tokio::test]
async fn silent_and_half_open_connections_are_closed_in_time() {
    let api = short_times().await;
    for words in [
        "",
        "G",
        "GET /livez HTTP/1.1\r\nHost: x\r\n",
        "PRI * HT",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let mut stream = connect(&api).await;
        stream.write_all(words.as_bytes()).await.expect("written");
        let said = until_closed(stream).await;
        let answered = said.contains("200 OK");
        assert_eq!(
            answered,
            words.ends_with("x\r\n\r\n"),
            "{words:?}: {said:?}"
        );
    }
    assert_eq!(api.get("", "/livez").await.0, 200);
}

/// Byte by byte, a little faster than any wait for the next one could be.
async fn drip(stream: &mut TcpStream, byte: &[u8]) {
    let (reader, mut writer) = stream.split();
    let dripping = async {
        while writer.write_all(byte).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    };
    let answered = async {
        // The answer, or the end.
        reader.readable().await.expect("readable");
    };
    tokio::select! {
        () = dripping => {}
        () = answered => {}
    }
}

#[tokio::test]
async fn who_sends_byte_by_byte_has_no_more_time_than_others() {
    let api = short_times().await;
    let acme = api.customer("acme", 100).await;
    let began = Instant::now();
    let mut head = connect(&api).await;
    head.write_all(b"GET /livez HTTP/1.1\r\nX: ")
        .await
        .expect("written");
    drip(&mut head, b"x").await;
    assert!(!until_closed(head).await.contains("200 OK"));

    let mut body = connect(&api).await;
    let start = format!(
        "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {acme}\r\nContent-Type: application/json\r\n\
         Content-Length: 100000\r\n\r\n{{"
    );
    body.write_all(start.as_bytes()).await.expect("written");
    drip(&mut body, b" ").await;
    let said = until_closed(body).await;
    assert!(said.starts_with("HTTP/1.1 503"), "{said}");
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    assert_eq!(
        balance(&api.store, &crate::support::account("acme")).await,
        (100, 0)
    );
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let api = short_times().await;
    let acme = api.customer("acme", 100).await;
    let mut stream = connect(&api).await;
    let head = format!(
        "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {acme}\r\nContent-Type: application/json\r\n\
         Content-Length: 50\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.expect("written");
    let said = until_closed(stream).await;
    assert!(said.starts_with("HTTP/1.1 503"), "{said}");
    assert!(said.contains("/problems/unknown_outcome"), "{said}");
    assert_eq!(
        balance(&api.store, &crate::support::account("acme")).await,
        (100, 0)
    );
}

#[tokio::test]
async fn one_request_too_many_is_told_at_once_and_holds_nothing() {
    let mut settings = settings();
    settings.requests_max = 1;
    let api = Api::with(settings).await;
    let acme = api.customer("acme", 100).await;
    let mut slow = connect(&api).await;
    let head = format!(
        "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {acme}\r\nContent-Type: application/json\r\n\
         Content-Length: 2\r\nConnection: close\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).await.expect("written");
    // Until the slow one has its place, others are answered.
    let began = loop {
        let began = Instant::now();
        let response = send(
            api.request(&acme, Method::POST, "/v1/jobs")
                .json(&image("acme")),
        )
        .await;
        if response.status() == 503 {
            assert_eq!(response.headers()["retry-after"], "1");
            let body: serde_json::Value = response.json().await.expect("JSON");
            assert_eq!(super::kind(&body), "overloaded");
            break began;
        }
        assert!(response.status() == 201 || response.status() == 402);
    };
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(
        api.get("", "/readyz").await.0,
        200,
        "whoever asks for health is answered"
    );
    slow.write_all(b"{}").await.expect("written");
    assert!(until_closed(slow).await.starts_with("HTTP/1.1 400"));
    assert_sound(&api.store).await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_closed() {
    let mut settings = settings();
    settings.connections_max = 1;
    let api = Api::with(settings).await;
    let mut first = connect(&api).await;
    first
        .write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("written");
    let mut buffer = [0; 512];
    assert!(first.read(&mut buffer).await.expect("an answer") > 0);
    let said = until_closed(connect(&api).await).await;
    assert!(
        said.starts_with("HTTP/1.1 503") && said.contains("Retry-After: 1"),
        "{said}"
    );
}

#[tokio::test]
async fn a_stop_answers_what_is_under_way_and_ends() {
    let api = Api::start().await;
    let acme = api.customer("acme", 100).await;
    let job = api.submit(&acme, "acme").await;
    let poll = api.request(&acme, Method::GET, &format!("/v1/jobs/{job}?wait=50"));
    let follow = api.request(&acme, Method::GET, "/v1/accounts/acme/events");
    let stream = send(follow).await;
    let poll = tokio::spawn(read(poll));
    loop {
        let text = send(api.request(&api.admin, Method::GET, "/metrics")).await;
        if text
            .text()
            .await
            .expect("text")
            .contains("streams_open 2\n")
        {
            break;
        }
    }
    let (idle, url) = (connect(&api).await, api.url.clone());
    let began = Instant::now();
    api.server.stop().await;
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    let (status, body) = poll.await.expect("the poll");
    assert_eq!((status.as_u16(), &body["state"]), (200, &json!("queued")));
    assert!(stream.text().await.is_ok(), "the stream ended in order");
    drop(idle);
    assert!(
        TcpStream::connect(url.trim_start_matches("http://"))
            .await
            .is_err()
    );
    let kept = api
        .store
        .job(&job.parse().expect("a job"))
        .await
        .expect("a view");
    assert!(kept.is_some(), "what was accepted is there");
}
