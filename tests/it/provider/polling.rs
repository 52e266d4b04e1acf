//! Polling and cancelling: which answers say something about the work, and which do not.

use std::sync::Arc;
use std::time::Duration;

use meterline::domain::failure::FailureClass;
use meterline::provider::{Answer, CancelOutcome, Engine, Handle, PollError};
use serde_json::{Value, json};

use super::scripted::{Act, Scripted};
use super::{accepted, keyed, shipped, submit, variant};

const YOUNG: Duration = Duration::from_secs(1);
const OLD: Duration = Duration::from_secs(60);

/// A server that accepts every submit and answers everything else with `act`, and a submission.
async fn accepting(changes: &str, act: Act) -> (Scripted, Arc<Engine>, Handle) {
    let server = Scripted::start(move |base, seen| match seen.line().as_str() {
        "POST /v1/generations" => Act::json(202, &accepted(base)),
        _ => act.clone(),
    })
    .await;
    let engine = variant(changes, &server.url);
    let handle = submit(&engine).await.unwrap().handle.unwrap();
    (server, engine, handle)
}

async fn poll(changes: &str, act: Act, age: Duration) -> Result<Answer, PollError> {
    let (_server, engine, handle) = accepting(changes, act).await;
    engine.poll(&handle, age).await
}

#[tokio::test]
async fn polls_that_say_nothing_about_the_work_are_repeated() {
    let html = b"HTTP/1.1 200 OK\r\n\r\n<html>busy</html>".to_vec();
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{\"status\"".to_vec();
    let huge = format!(
        "{{\"status\": \"succeeded\", \"pad\": \"{}\"}}",
        "x".repeat(10 << 20)
    );
    let table = [
        Act::json(500, &json!({"error": {"code": "provider_fault"}})),
        Act::json(502, &json!({})),
        Act::json(429, &json!({})),
        Act::json(408, &json!({})),
        Act::json(402, &json!({})),
        Act::Raw(Vec::new()),
        Act::Reset(Vec::new()),
        Act::Raw(html),
        Act::Raw(half.clone()),
        Act::Reset(half),
        Act::Answer {
            status: 200,
            headers: vec![],
            body: huge.into_bytes(),
        },
    ];
    for act in table {
        let shown: String = format!("{act:?}").chars().take(80).collect();
        let got = poll("", act, OLD).await;
        assert!(
            matches!(got, Err(PollError::Transient { .. })),
            "{shown}: {got:?}"
        );
    }
    let slow_down = Act::json(429, &json!({})).with("retry-after", "4");
    let Err(PollError::Transient { retry_after_ms, .. }) = poll("", slow_down, OLD).await else {
        panic!("not transient")
    };
    assert_eq!(retry_after_ms, Some(4_000));
}

#[tokio::test]
async fn a_poll_without_an_answer_ends_in_time() {
    let changes = "connect_timeout_ms = 100\nrequest_timeout_ms = 200";
    let got = poll(changes, Act::Stall(Vec::new()), OLD).await;
    assert!(matches!(got, Err(PollError::Transient { .. })), "{got:?}");
}

#[tokio::test]
async fn trouble_with_our_key_is_no_verdict_on_the_work() {
    for status in [401, 403] {
        let got = poll(
            "",
            Act::json(status, &json!({"error": {"message": "no"}})),
            OLD,
        )
        .await;
        assert_eq!(got, Err(PollError::OurAuth("no".to_owned())), "{status}");
    }
    assert_eq!(
        PollError::OurAuth(String::new()).class(),
        FailureClass::OurAuth
    );
}

#[tokio::test]
async fn an_unknown_id_is_lost_at_once_or_by_age_as_the_preset_says() {
    let missing = || Act::json(404, &json!({"error": {"code": "not_found"}}));
    let lost = |got: &Result<Answer, PollError>| matches!(got, Ok(Answer::Failed(failure)) if failure.class == FailureClass::Lost);
    let got = poll("", missing(), YOUNG).await;
    assert!(
        lost(&got),
        "the simulated provider knows its ids at once: {got:?}"
    );

    let pending = Ok(Answer::Pending { progress: None });
    assert_eq!(poll("poll.http = []", missing(), YOUNG).await, pending);
    let got = poll("poll.http = []", missing(), OLD).await;
    assert!(lost(&got), "{got:?}");

    let rules = r#"poll.http = [
        { status = 404, older_than_ms = 90000, means = "lost" },
        { status = 404, means = "retry" },
        { status = 425, means = "running" },
        { status = 500, means = "by_body" },
    ]"#;
    assert!(matches!(
        poll(rules, missing(), OLD).await,
        Err(PollError::Transient { .. })
    ));
    assert!(lost(&poll(rules, missing(), OLD * 2).await));
    assert_eq!(poll(rules, Act::json(425, &json!({})), OLD).await, pending);
    let failed = Act::json(500, &json!({"status": "failed"}));
    assert!(matches!(
        poll(rules, failed, OLD).await,
        Ok(Answer::Failed(_))
    ));
}

#[tokio::test]
async fn an_error_is_a_verdict_only_where_the_preset_knows_it_for_one() {
    use FailureClass::{ContentPolicy, Lost, ProviderFault, UserInput};
    let coded = |code: &str| json!({"error": {"code": code, "message": "m"}});
    let verdicts = [
        (422, coded("content_policy"), ContentPolicy),
        (400, coded("user_input"), UserInput),
        (400, coded("provider_fault"), ProviderFault),
        (200, coded("content_policy"), ContentPolicy),
        (200, coded("lost"), Lost),
    ];
    for (status, body, class) in verdicts {
        let got = poll("", Act::json(status, &body), OLD).await;
        assert!(
            matches!(&got, Ok(Answer::Failed(failure)) if failure.class == class),
            "{status} {body}: {got:?}"
        );
    }
    let no_verdicts = [
        (422, json!({})),
        (400, coded("something new")),
        (400, coded("rate_limited")),
        (200, coded("rate_limited")),
        (200, coded("capacity")),
        (200, coded("our_balance")),
        (200, coded("something new")),
    ];
    for (status, body) in no_verdicts {
        let got = poll("", Act::json(status, &body), OLD).await;
        assert!(
            matches!(got, Err(PollError::Transient { .. })),
            "{status} {body}: {got:?}"
        );
    }
    let got = poll("", Act::json(200, &coded("our_auth")), OLD).await;
    assert_eq!(got, Err(PollError::OurAuth("m".to_owned())));
}

#[tokio::test]
async fn a_stored_handle_is_polled_where_it_says_whatever_the_preset_says_now() {
    let (server, engine, handle) =
        accepting("", Act::json(200, &json!({"status": "running"}))).await;
    let stored = serde_json::to_string(&handle).unwrap();
    let loaded: Handle = serde_json::from_str(&stored).unwrap();
    assert_eq!(loaded, handle);

    let changed = variant("submit.url = '/v2/x'\npoll.url = '/v2/{{id}}'", &server.url);
    assert_ne!(changed.preset_version(), engine.preset_version());
    changed.poll(&loaded, YOUNG).await.unwrap();
    assert_eq!(server.seen()[1].line(), "GET /v1/generations/gen-1");
}

#[tokio::test]
async fn a_url_is_made_from_the_id_where_the_answer_gives_none() {
    let server = Scripted::start(|_, seen| match seen.method.as_str() {
        "POST" => Act::json(200, &json!({"data": {"id": 71}})),
        _ => Act::json(200, &json!({"status": "running"})),
    })
    .await;
    let changes = r#"
        drop = ["submit.poll_url", "submit.cancel_url"]
        submit.id = ["/id", "/data/id"]
        poll.method = "POST"
        poll.url = "/{{model|path}}/fetch"
        poll.body = { operation = "{{id}}", kind = "{{kind}}" }
        cancel.method = "DELETE"
        cancel.url = "/work/{{id}}"
    "#;
    let engine = keyed(changes, &server.url);
    let handle = submit(&engine).await.unwrap().handle.unwrap();
    engine.poll(&handle, YOUNG).await.unwrap();
    engine.cancel(&handle).await;
    let seen = server.seen();
    assert_eq!(seen[1].line(), "POST /model-1/fetch");
    assert_eq!(seen[1].json(), json!({"operation": "71", "kind": "video"}));
    assert_eq!(seen[2].line(), "DELETE /work/71");
}

#[tokio::test]
async fn a_cancel_tells_confirmed_from_requested_and_too_late() {
    let object = |status: &str| json!({"status": status});
    let table: [(u16, Value, CancelOutcome); 8] = [
        (200, object("canceled"), CancelOutcome::Confirmed),
        (200, object("running"), CancelOutcome::Requested),
        (202, json!({}), CancelOutcome::Requested),
        (200, object("succeeded"), CancelOutcome::TooLate),
        (200, object("failed"), CancelOutcome::TooLate),
        (409, object("succeeded"), CancelOutcome::TooLate),
        (
            409,
            json!({"error": {"message": "busy"}}),
            CancelOutcome::Failed("busy".to_owned()),
        ),
        (
            500,
            json!({}),
            CancelOutcome::Failed("HTTP status 500".to_owned()),
        ),
    ];
    for (status, body, want) in table {
        let (_server, engine, handle) = accepting("", Act::json(status, &body)).await;
        assert_eq!(engine.cancel(&handle).await, want, "{status} {body}");
    }
    let server = Scripted::start(|base, _| Act::json(202, &accepted(base))).await;
    let engine = variant("drop = ['cancel']", &server.url);
    let handle = submit(&engine).await.unwrap().handle.unwrap();
    assert_eq!(engine.cancel(&handle).await, CancelOutcome::NotOffered);
}

#[tokio::test]
async fn a_cancel_that_deletes_results_is_sent_only_to_unfinished_work() {
    let careful = "cancel.destructive_after_end = true";
    let only_queued = "cancel.only_when = ['queued']";
    let table = [
        (careful, "running", CancelOutcome::Requested, 3),
        (careful, "succeeded", CancelOutcome::TooLate, 2),
        (careful, "canceled", CancelOutcome::Confirmed, 2),
        (only_queued, "queued", CancelOutcome::Requested, 3),
        (only_queued, "running", CancelOutcome::NotOffered, 2),
        (only_queued, "failed", CancelOutcome::TooLate, 2),
    ];
    for (changes, status, want, requests) in table {
        let act = Act::json(200, &json!({"status": status}));
        let (server, engine, handle) = accepting(changes, act).await;
        assert_eq!(engine.cancel(&handle).await, want, "{changes} {status}");
        assert_eq!(server.seen().len(), requests, "{changes} {status}");
    }
    let (server, engine, handle) = accepting(careful, Act::json(500, &json!({}))).await;
    assert!(matches!(
        engine.cancel(&handle).await,
        CancelOutcome::Failed(_)
    ));
    assert_eq!(
        server.seen().len(),
        2,
        "what cannot be looked at is not deleted"
    );
}

#[tokio::test]
async fn a_submission_of_a_synchronous_provider_has_nothing_to_poll() {
    let done = json!({"status": "succeeded", "output": [{"url": "data:,x"}]});
    let server = Scripted::start(move |_, _| Act::json(200, &done)).await;
    let engine = shipped("sim-sync", &server.url);
    let handle = submit(&engine).await.unwrap().handle.unwrap();
    let got = engine.poll(&handle, YOUNG).await.unwrap();
    assert!(
        matches!(&got, Answer::Failed(f) if f.class == FailureClass::Lost),
        "{got:?}"
    );
    assert_eq!(server.seen().len(), 1);
}
