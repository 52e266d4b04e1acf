//! Repetitions: the same key each time, after what the server asks, until the patience is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use meterline::client::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{at, image};

const ACCEPTED: &str = r#"{"job":"j00-1","status":"accepted","hold_ucr":7000000,"state":"queued"}"#;

fn busy(status: u16, word: &str, after: &str) -> ResponseTemplate {
    let problem =
        format!(r#"{{"type":"/problems/{word}","title":"t","status":{status},"detail":"d"}}"#);
    ResponseTemplate::new(status)
        .set_body_raw(problem, "application/problem+json")
        .insert_header("retry-after", after)
}

/// Answers once each, in this order, and says which idempotency keys came.
async fn answering(answers: Vec<ResponseTemplate>) -> MockServer {
    let server = MockServer::start().await;
    for answer in answers {
        let post = Mock::given(method("POST")).and(path("/v1/jobs"));
        let once = post.respond_with(answer).up_to_n_times(1);
        once.mount(&server).await;
    }
    server
}

async fn keys(server: &MockServer) -> Vec<String> {
    let requests = server.received_requests().await.expect("recorded");
    let key = |request: &wiremock::Request| {
        request.headers["idempotency-key"]
            .to_str()
            .map(str::to_owned)
    };
    requests
        .iter()
        .map(|request| key(request).expect("a key"))
        .collect()
}

#[tokio::test]
async fn a_busy_server_is_asked_again_with_the_same_key() {
    let server = answering(vec![
        busy(503, "overloaded", "0"),
        busy(429, "rate_limited", "1"),
        busy(503, "unknown_outcome", "0"),
        ResponseTemplate::new(201).set_body_raw(ACCEPTED, "application/json"),
    ])
    .await;
    let client = at(&server.uri(), "mlk_a", Duration::from_secs(20));
    let begun = Instant::now();
    let answer = client.submit(&image("acme"), None).await.expect("a job");
    assert_eq!(answer.body.job, "j00-1");
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "Retry-After is waited for"
    );
    let keys = keys(&server).await;
    assert_eq!(keys.len(), 4);
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[tokio::test]
async fn a_refusal_is_not_repeated_and_a_wait_beyond_the_patience_is_not_begun() {
    let server = answering(vec![busy(402, "insufficient", "0")]).await;
    let client = at(&server.uri(), "mlk_a", Duration::from_secs(20));
    let refused = client
        .submit(&image("acme"), None)
        .await
        .expect_err("refused");
    assert_eq!(refused.word(), Some("insufficient"));
    assert_eq!(keys(&server).await.len(), 1);

    let server = answering(vec![busy(503, "queue_draining", "60")]).await;
    let client = at(&server.uri(), "mlk_a", Duration::from_secs(20));
    let begun = Instant::now();
    let Err(Error::Refused(refused)) = client.submit(&image("acme"), None).await else {
        panic!("it is refused");
    };
    assert_eq!(
        (refused.problem.word(), refused.retry_after_s),
        ("queue_draining", Some(60))
    );
    assert!(begun.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_is_unknown_at_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    // Takes the request and closes the connection; from the third one on it answers.
    let answering = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            if counted.fetch_add(1, Ordering::SeqCst) >= 2 {
                let head = format!(
                    "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                    ACCEPTED.len()
                );
                let _ = stream.write_all((head + ACCEPTED).as_bytes()).await;
            }
        }
    });
    let client = at(&url, "mlk_a", Duration::from_secs(20));
    let answer = client.submit(&image("acme"), Some("k1")).await;
    assert_eq!(answer.expect("the third answer").body.job, "j00-1");
    assert_eq!(seen.load(Ordering::SeqCst), 3);

    seen.store(0, Ordering::SeqCst);
    let client = at(&url, "mlk_a", Duration::ZERO);
    let lost = client
        .submit(&image("acme"), Some("k2"))
        .await
        .expect_err("lost");
    assert!(
        matches!(&lost, Error::Unknown { key: Some(key), .. } if key == "k2"),
        "{lost:?}"
    );
    let lost = client.job("j00-1").await.expect_err("lost");
    assert!(
        matches!(&lost, Error::Unknown { key: None, .. }),
        "a look has no key: {lost:?}"
    );
    answering.abort();
}

#[tokio::test]
async fn what_was_lost_once_stays_unknown_when_the_server_is_too_busy_to_say_more() {
    let lost_then = |answer| answering(vec![busy(503, "unknown_outcome", "0"), answer]);
    let server = lost_then(busy(503, "overloaded", "60")).await;
    let client = at(&server.uri(), "mlk_a", Duration::from_secs(20));
    let error = client.submit(&image("acme"), Some("k1")).await;
    assert!(
        matches!(&error, Err(Error::Unknown { key: Some(key), .. }) if key == "k1"),
        "{error:?}"
    );
    // A verdict under the same key says that the first call had come to nothing.
    let server = lost_then(busy(402, "insufficient", "0")).await;
    let client = at(&server.uri(), "mlk_a", Duration::from_secs(20));
    let refused = client.submit(&image("acme"), Some("k1")).await;
    assert_eq!(refused.expect_err("refused").word(), Some("insufficient"));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable_and_a_foreign_one_is_named_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let client = at(&url, "mlk_a", Duration::from_millis(300));
    let error = client
        .submit(&image("acme"), None)
        .await
        .expect_err("nobody is there");
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");

    let server = MockServer::start().await;
    let page = ResponseTemplate::new(200).set_body_raw("<html>", "text/html");
    Mock::given(method("GET"))
        .respond_with(page)
        .mount(&server)
        .await;
    let client = at(&server.uri(), "mlk_a", Duration::from_secs(20));
    let error = client.tools().await.expect_err("not ours");
    assert!(matches!(error, Error::Foreign(_)), "{error:?}");
    let error = client.cancel_job("j00-1").await.expect_err("not ours");
    assert!(matches!(error, Error::Foreign(_)), "{error:?}");
}
