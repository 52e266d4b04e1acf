//! What a submit sends, and what each way of losing the answer comes to.

use std::time::Duration;

use meterline::domain::failure::FailureClass;
use meterline::provider::{Answer, CancelOutcome, Output, SubmitError, SubmitRequest, Usage};
use serde_json::json;

use super::scripted::{Act, Scripted};
use super::{accepted, load, params, shipped, submit, submit_params, variant};
use crate::support::ports::free_port;

#[tokio::test]
async fn an_accepted_submit_gives_a_handle_with_the_urls_of_the_answer() {
    let server = Scripted::start(|base, _| Act::json(202, &accepted(base))).await;
    let engine = shipped("sim", &server.url);
    let tree = json!({"prompt": "a cat", "duration_ms": 5000, "sim": {"delay_ms": 9}});

    let submitted = submit_params(&engine, &tree).await.unwrap();

    assert_eq!(submitted.answer, Answer::Pending { progress: None });
    let handle = submitted.handle.unwrap();
    assert_eq!(
        (handle.provider.as_str(), handle.id.as_deref()),
        ("sim", Some("gen-1"))
    );
    assert_eq!(handle.key, "j00-a-2");
    assert_eq!(handle.preset_version, engine.preset_version());
    let poll_url = format!("{}/v1/generations/gen-1", server.url);
    assert_eq!(handle.poll_url.unwrap().as_str(), poll_url);
    assert_eq!(
        handle.cancel_url.unwrap().as_str(),
        format!("{poll_url}/cancel")
    );

    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].line(), "POST /v1/generations");
    assert_eq!(seen[0].headers["idempotency-key"], "j00-a-2");
    assert_eq!(seen[0].headers["content-type"], "application/json");
    let want = json!({
        "model": "model-1", "kind": "video", "duration_ms": 5000, "input": tree,
        "submission": "j00-a-2", "sim": {"delay_ms": 9}
    });
    assert_eq!(seen[0].json(), want);
}

#[tokio::test]
async fn a_provider_without_idempotency_is_sent_no_key() {
    let server = Scripted::start(|base, _| Act::json(202, &accepted(base))).await;
    submit(&shipped("sim-blind", &server.url)).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].line(), "POST /v1/blind/generations");
    assert!(!seen[0].headers.contains_key("idempotency-key"));
}

#[tokio::test]
async fn a_synchronous_answer_is_final() {
    let done = json!({
        "id": "gen-1", "status": "succeeded", "progress": 1, "duration_ms": 4980,
        "output": [{"url": "data:video/mp4;base64,AAAA"}], "error": null
    });
    let server = Scripted::start(move |_, _| Act::json(200, &done)).await;
    let submitted = submit(&shipped("sim-sync", &server.url)).await.unwrap();
    let outputs = vec![Output::DataUrl("data:video/mp4;base64,AAAA".to_owned())];
    assert_eq!(
        submitted.answer,
        Answer::Succeeded {
            outputs,
            reported_ms: Some(4980),
            usage: Usage::default(),
        }
    );
    assert_eq!(server.seen()[0].line(), "PUT /v1/sync/j00-a-2");
}

#[tokio::test]
async fn a_file_in_the_body_is_the_output() {
    let answer = |body: &'static [u8]| Act::Answer {
        status: 200,
        headers: vec![("content-type", "image/png".to_owned())],
        body: body.to_vec(),
    };
    let server = Scripted::start(move |_, _| answer(b"\x89PNG")).await;
    let submitted = submit(&shipped("sim-bytes", &server.url)).await.unwrap();
    let outputs = vec![Output::Bytes(b"\x89PNG".as_slice().into())];
    assert_eq!(
        submitted.answer,
        Answer::Succeeded {
            outputs,
            reported_ms: None,
            usage: Usage::default(),
        }
    );
    assert_eq!(submitted.handle, None);
}

#[tokio::test]
async fn a_request_that_never_left_is_told_from_one_that_may_have_arrived() {
    let closed = format!("http://127.0.0.1:{}", free_port());
    // Answers a TLS greeting with something that is none.
    let not_tls = Scripted::start(|_, _| Act::Raw(b"no".to_vec())).await;
    let https = not_tls.url.replace("http:", "https:");
    for url in [closed.as_str(), "http://nobody.invalid", https.as_str()] {
        let error = submit(&shipped("sim", url)).await.unwrap_err();
        assert!(matches!(error, SubmitError::NotSent(_)), "{url}: {error:?}");
    }
}

#[tokio::test]
async fn every_way_of_losing_an_answer_after_sending_is_an_unknown_outcome() {
    let half =
        b"HTTP/1.1 202 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"id\"";
    let table = [
        ("closed without an answer", Act::Raw(Vec::new())),
        ("reset without an answer", Act::Reset(Vec::new())),
        (
            "half a head",
            Act::Raw(b"HTTP/1.1 202 OK\r\ncontent-".to_vec()),
        ),
        ("no HTTP at all", Act::Raw(b"SSH-2.0-x\r\n".to_vec())),
        ("half a body", Act::Raw(half.to_vec())),
        ("half a body, then a reset", Act::Reset(half.to_vec())),
        (
            "an empty body",
            Act::Raw(b"HTTP/1.1 204 OK\r\n\r\n".to_vec()),
        ),
        (
            "no JSON",
            Act::Raw(b"HTTP/1.1 200 OK\r\n\r\n<html>".to_vec()),
        ),
        (
            "accepted without anything to follow",
            Act::json(202, &json!({"status": "queued"})),
        ),
        (
            "accepted with an answer of another shape",
            Act::json(200, &json!(["x"])),
        ),
        (
            "accepted with URLs that are none",
            Act::json(200, &json!({"urls": {"get": 7}})),
        ),
        (
            "a gateway that gave up",
            Act::json(504, &json!({"message": "timed out"})),
        ),
        (
            "a gateway that lost its backend",
            Act::json(502, &json!({})),
        ),
    ];
    for (name, act) in table {
        let server = Scripted::start(move |_, _| act.clone()).await;
        let error = submit(&shipped("sim", &server.url)).await.unwrap_err();
        assert!(
            matches!(error, SubmitError::UnknownOutcome(_)),
            "{name}: {error:?}"
        );
        assert_eq!(
            server.seen().len(),
            1,
            "{name}: nothing repeats a submit by itself"
        );
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_an_unknown_outcome() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_vec();
    let table = [
        (200, Act::Stall(Vec::new())),
        (200, Act::Stall(head)),
        (0, Act::Stall(Vec::new())),
    ];
    for (timeout_ms, act) in table {
        let server = Scripted::start(move |_, _| act.clone()).await;
        let engine = shipped("sim", &server.url);
        let params = params(&json!({}));
        let request = SubmitRequest {
            job: "j00-a",
            submission: 2,
            key: "j00-a-2",
            model: "m",
            kind: "image",
            params: &params,
            timeout: Duration::from_millis(timeout_ms),
        };
        match engine.submit(&request).await.unwrap_err() {
            SubmitError::UnknownOutcome(_) => assert_eq!(server.connections(), 1),
            SubmitError::NotSent(_) => assert_eq!((timeout_ms, server.connections()), (0, 0)),
        }
    }
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_not_read_to_its_end() {
    let huge = format!(
        "{{\"id\": \"gen-1\", \"pad\": \"{}\"}}",
        "x".repeat(10 << 20)
    );
    let server = Scripted::start(move |_, _| Act::Answer {
        status: 202,
        headers: vec![],
        body: huge.clone().into_bytes(),
    })
    .await;
    let error = submit(&shipped("sim", &server.url)).await.unwrap_err();
    let want = "read an answer of more than 1048576 bytes";
    assert_eq!(error, SubmitError::UnknownOutcome(want.to_owned()));
    let small = variant("response_max_bytes = 20971520", &server.url);
    let error = submit(&small).await.unwrap_err();
    assert!(!error.to_string().contains("more than"), "{error}");
}

#[tokio::test]
async fn every_submit_has_a_connection_of_its_own_and_polls_share_one() {
    let server = Scripted::start(|base, _| Act::json(202, &accepted(base))).await;
    let engine = shipped("sim", &server.url);
    let first = submit(&engine).await.unwrap().handle.unwrap();
    submit(&engine).await.unwrap();
    assert_eq!(server.connections(), 2);
    for _ in 0..3 {
        engine.poll(&first, Duration::ZERO).await.unwrap();
    }
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn work_that_goes_on_under_our_key_is_asked_for_by_the_same_submit() {
    let server = Scripted::start(|_, _| Act::json(200, &json!({"status": "running"}))).await;
    let submitted = submit(&shipped("sim-sync", &server.url)).await.unwrap();
    assert_eq!(submitted.answer, Answer::Pending { progress: None });
    assert_eq!(submitted.handle.unwrap().poll_url, None);
    // Where a take-over does not submit again, nothing could ever ask for it.
    let files = [("variant", "extends = \"sim-sync\"\nattach = \"none\"")];
    let engine = load(&files, &server.url).get("variant").unwrap();
    let error = submit(&engine).await.unwrap_err();
    assert!(matches!(error, SubmitError::UnknownOutcome(_)), "{error:?}");
}

#[tokio::test]
async fn a_synchronous_answer_that_is_too_large_is_not_asked_for_again() {
    let body = "x".repeat(5_000).into_bytes();
    let server = Scripted::start(move |_, _| Act::Answer {
        status: 200,
        headers: vec![],
        body: body.clone(),
    })
    .await;
    let files = [(
        "variant",
        "extends = \"sim-sync\"\nresponse_max_bytes = 4096",
    )];
    let engine = load(&files, &server.url).get("variant").unwrap();
    let Answer::Failed(failure) = submit(&engine).await.unwrap().answer else {
        panic!("a failure")
    };
    assert_eq!(failure.class, FailureClass::ProviderFault);
    assert_eq!(failure.message, "read an answer of more than 4096 bytes");
}

#[tokio::test]
async fn a_synchronous_submission_can_be_stopped_by_its_key_while_it_is_waited_for() {
    let server = Scripted::start(|_, _| Act::json(200, &json!({}))).await;
    let cancel = "\n[cancel]\nmethod = \"POST\"\nurl = \"/stop/{{key}}\"";
    let file = format!("extends = \"sim-sync\"{cancel}");
    let engine = load(&[("variant", file.as_str())], &server.url)
        .get("variant")
        .unwrap();
    let params = params(&json!({}));
    let request = SubmitRequest {
        job: "j00-a",
        submission: 2,
        key: "j00-a-2",
        model: "model-1",
        kind: "video",
        params: &params,
        timeout: Duration::from_secs(5),
    };
    let handle = engine.handle_before(&request).unwrap();
    assert_eq!(engine.cancel(&handle).await, CancelOutcome::Requested);
    assert_eq!(server.seen()[0].line(), "POST /stop/j00-a-2");
    // One that is polled gives its own address for that, in its first answer.
    for name in ["sim", "sim-sync", "sim-bytes"] {
        let engine = shipped(name, &server.url);
        assert_eq!(engine.handle_before(&request), None, "{name}");
    }
}

#[tokio::test]
async fn no_proxy_of_the_environment_sees_a_request() {
    let proxy = Scripted::start(|_, _| Act::json(200, &json!({}))).await;
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child.args([
        "--exact",
        "provider::submitting::a_synchronous_answer_is_final",
    ]);
    for variable in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        child.env(variable, &proxy.url);
    }
    let output = child
        .env_remove("no_proxy")
        .env_remove("NO_PROXY")
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
    assert_eq!(proxy.connections(), 0);
}
