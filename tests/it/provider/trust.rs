//! What the engine does not believe: URLs in answers, redirects, parameters in URLs, error texts.

use std::time::Duration;

use meterline::domain::failure::FailureClass;
use meterline::provider::{Answer, CancelOutcome, PollError, SubmitError};
use serde_json::{Value, json};

use super::scripted::{Act, Scripted};
use super::{KEY, accepted, keyed, submit, submit_params, variant};

/// A server that must never be called.
async fn foreign() -> Scripted {
    Scripted::start(|_, _| Act::json(200, &json!({}))).await
}

#[tokio::test]
async fn the_key_goes_with_every_request_to_the_provider() {
    let server = Scripted::start(|base, _| Act::json(202, &accepted(base))).await;
    let engine = keyed("", &server.url);
    let handle = submit(&engine).await.unwrap().handle.unwrap();
    assert_eq!(handle.key_id, "TEST_KEY");
    engine.poll(&handle, Duration::ZERO).await.unwrap();
    assert_eq!(engine.cancel(&handle).await, CancelOutcome::Requested);
    let seen = server.seen();
    assert_eq!(seen.len(), 3);
    for request in seen {
        assert_eq!(
            request.headers["authorization"],
            format!("Bearer {KEY}"),
            "{}",
            request.line()
        );
    }
    let stored = serde_json::to_string(&handle).unwrap();
    assert!(!stored.contains(KEY), "{stored}");
    assert!(!format!("{engine:?}").contains(KEY));
}

#[tokio::test]
async fn without_its_key_a_provider_is_not_called() {
    let server = foreign().await;
    let changes = r#"auth = { kind = "header", name = "x-key", secret_env = "NOT_SET" }"#;
    let engine = variant(changes, &server.url);
    let Answer::Failed(failure) = submit(&engine).await.unwrap().answer else {
        panic!("no failure")
    };
    assert_eq!(failure.class, FailureClass::OurAuth);
    assert!(failure.message.contains("NOT_SET"), "{}", failure.message);
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_poll_url_on_a_foreign_host_is_refused_without_a_call() {
    let foreign = foreign().await;
    let elsewhere = foreign.url.clone();
    let urls = [
        format!("{elsewhere}/steal"),
        format!("//{}/steal", elsewhere.trim_start_matches("http://")),
        "https://evil.test/steal".to_owned(),
        "file:///etc/passwd".to_owned(),
        "http://user@127.0.0.1/".to_owned(),
    ];
    for url in urls {
        let answer = json!({"id": "g", "status": "queued", "urls": {"get": url}});
        let server = Scripted::start(move |_, _| Act::json(202, &answer)).await;
        // A template is there as well: it must not stand in for a URL that was refused.
        let engine = keyed("poll.url = '/v1/generations/{{id}}'", &server.url);
        let error = submit(&engine).await.unwrap_err();
        assert!(
            matches!(&error, SubmitError::UnknownOutcome(text) if text.starts_with("call")),
            "{error:?}"
        );
    }
    assert_eq!(foreign.connections(), 0);
}

#[tokio::test]
async fn a_cancel_url_on_a_foreign_host_is_left_out_of_the_handle() {
    let foreign = foreign().await;
    let elsewhere = foreign.url.clone();
    let server = Scripted::start(move |base, _| {
        let mut answer = accepted(base);
        answer["urls"]["cancel"] = Value::from(format!("{elsewhere}/cancel"));
        Act::json(202, &answer)
    })
    .await;
    let engine = keyed("", &server.url);
    let handle = submit(&engine).await.unwrap().handle.unwrap();
    assert_eq!(handle.cancel_url, None);
    assert_eq!(engine.cancel(&handle).await, CancelOutcome::NotOffered);
    assert_eq!(foreign.connections(), 0);
}

#[tokio::test]
async fn a_stored_handle_cannot_send_the_key_to_a_foreign_host() {
    let foreign = foreign().await;
    let server = Scripted::start(|base, _| Act::json(202, &accepted(base))).await;
    let engine = keyed("", &server.url);
    let mut handle = submit(&engine).await.unwrap().handle.unwrap();
    handle.poll_url = Some(format!("{}/steal", foreign.url).parse().unwrap());
    handle.cancel_url = handle.poll_url.clone();
    let error = engine.poll(&handle, Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, PollError::Transient { .. }), "{error:?}");
    assert!(matches!(
        engine.cancel(&handle).await,
        CancelOutcome::Failed(_)
    ));
    assert_eq!(foreign.connections(), 0);
}

#[tokio::test]
async fn redirects_are_never_followed() {
    let foreign = foreign().await;
    for status in [301, 302, 303, 307, 308] {
        let target = format!("{}/steal", foreign.url);
        let server = Scripted::start(move |base, seen| match seen.method.as_str() {
            "POST" if seen.path.ends_with("first") => Act::json(202, &accepted(base)),
            _ => Act::json(status, &json!({})).with("location", target.clone()),
        })
        .await;
        let engine = keyed("", &server.url);
        let Answer::Failed(failure) = submit(&engine).await.unwrap().answer else {
            panic!("{status}: no failure")
        };
        assert_eq!(failure.class, FailureClass::ProviderFault, "{status}");

        let engine = keyed("submit.url = '/first'", &server.url);
        let handle = submit(&engine).await.unwrap().handle.unwrap();
        let error = engine.poll(&handle, Duration::ZERO).await.unwrap_err();
        assert!(
            matches!(error, PollError::Transient { .. }),
            "{status}: {error:?}"
        );
    }
    assert_eq!(foreign.connections(), 0);
}

#[tokio::test]
async fn a_parameter_cannot_change_the_path_it_is_put_into() {
    let server = Scripted::start(|base, _| Act::json(202, &accepted(base))).await;
    let engine = keyed("submit.url = '/v1/{{params.voice}}/speak'", &server.url);
    let tree = json!({"voice": "../admin?x=#"});
    submit_params(&engine, &tree).await.unwrap();
    assert_eq!(server.seen()[0].path, "/v1/..%2Fadmin%3Fx%3D%23/speak");
    for tree in [json!({"voice": ".."}), json!({"voice": ""}), json!({})] {
        let Answer::Failed(failure) = submit_params(&engine, &tree).await.unwrap().answer else {
            panic!("{tree}: no failure")
        };
        assert_eq!(failure.class, FailureClass::UserInput, "{tree}");
    }
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn what_a_provider_writes_is_cut_and_cleaned() {
    let long = format!("a\u{1b}[2J\r\n\u{202e}{}", "b".repeat(9_000));
    let answer = json!({"error": {"code": format!("x\n{long}"), "message": long}});
    let server = Scripted::start(move |_, _| Act::json(400, &answer)).await;
    let Answer::Failed(failure) = submit(&keyed("", &server.url)).await.unwrap().answer else {
        panic!("no failure")
    };
    for text in [failure.message, failure.code.unwrap()] {
        assert!(text.chars().count() <= 500);
        assert!(
            !text.contains(|c: char| c.is_control() || c == '\u{202e}'),
            "{text}"
        );
    }
}

#[tokio::test]
async fn an_id_or_url_that_no_provider_would_give_is_not_kept() {
    let long = "x".repeat(9_000);
    let answers = [
        json!({"id": ""}),
        json!({"id": long}),
        json!({"id": "a\u{0}b"}),
        json!({"id": "g", "urls": {"get": format!("/{long}")}}),
    ];
    for answer in answers {
        let shown: String = answer.to_string().chars().take(60).collect();
        let server = Scripted::start(move |_, _| Act::json(202, &answer)).await;
        let engine = keyed("poll.url = '/v1/generations/{{id}}'", &server.url);
        let error = submit(&engine).await.unwrap_err();
        assert!(
            matches!(error, SubmitError::UnknownOutcome(_)),
            "{shown}: {error:?}"
        );
    }
}
