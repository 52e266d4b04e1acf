//! What the engine makes of answers: statuses, codes, and bodies that are not what they should be.

use std::time::Duration;

use meterline::domain::failure::FailureClass::{self, *};
use meterline::provider::{Answer, Failure, Output, SubmitError, Usage};
use serde_json::{Value, json};

use super::scripted::{Act, Scripted};
use super::{accepted, shipped, submit, variant};

/// What the simulated provider's preset makes of `answer` to a poll.
async fn polled(answer: Value) -> Answer {
    let server = Scripted::start(move |base, seen| match seen.method.as_str() {
        "POST" => Act::json(202, &accepted(base)),
        _ => Act::json(200, &answer),
    })
    .await;
    let engine = shipped("sim", &server.url);
    let handle = submit(&engine).await.unwrap().handle.unwrap();
    engine.poll(&handle, Duration::ZERO).await.unwrap()
}

async fn refused(act: Act, changes: &str) -> Failure {
    let server = Scripted::start(move |_, _| act.clone()).await;
    match submit(&variant(changes, &server.url)).await.unwrap().answer {
        Answer::Failed(failure) => failure,
        other => panic!("no failure: {other:?}"),
    }
}

#[tokio::test]
async fn a_finished_answer_needs_outputs_to_be_a_success() {
    let url = |n: u32| Output::Url(format!("http://127.0.0.1:9/{n}").parse().unwrap());
    let got = polled(json!({
        "status": "succeeded", "duration_ms": 5000, "error": null,
        "output": [{"url": "http://127.0.0.1:9/1"}, {"url": "http://127.0.0.1:9/2"}]
    }))
    .await;
    let want = Answer::Succeeded {
        outputs: vec![url(1), url(2)],
        reported_ms: Some(5000),
        usage: Usage::default(),
    };
    assert_eq!(got, want);

    let without = [
        json!({"status": "succeeded"}),
        json!({"status": "succeeded", "output": null}),
        json!({"status": "succeeded", "output": []}),
        json!({"status": "succeeded", "output": [{"url": null}, {}]}),
        json!({"status": "succeeded", "output": [{"url": 5}, 6, "x"]}),
        json!({"status": "succeeded", "output": [{"url": "not a url"}]}),
        json!({"status": "succeeded", "output": [{"url": "s3://bucket/x"}]}),
        json!({"status": "succeeded", "output": "http://127.0.0.1:9/1"}),
        json!({"status": "succeeded", "output": {"url": "http://127.0.0.1:9/1"}}),
    ];
    for answer in without {
        match polled(answer.clone()).await {
            Answer::Failed(failure) => assert_eq!(failure.class, ProviderFault, "{answer}"),
            other => panic!("{answer}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn an_unknown_status_is_work_in_progress() {
    let table = [
        (json!({"status": "queued"}), None),
        (json!({"status": "running", "progress": 0.5}), Some(0.5)),
        (json!({"status": "running", "progress": 7}), Some(1.0)),
        (json!({"status": "running", "progress": "half"}), None),
        (
            json!({"status": "Succeeded", "output": [{"url": "http://127.0.0.1:9/1"}]}),
            None,
        ),
        (json!({"status": "succeed"}), None),
        (json!({"status": "aborted"}), None),
        (json!({"status": 5}), None),
        (json!({"status": null}), None),
        (json!({"status": {"succeeded": true}}), None),
        (json!({}), None),
        (json!([]), None),
        (json!("succeeded"), None),
        (json!(null), None),
    ];
    for (answer, progress) in table {
        assert_eq!(
            polled(answer.clone()).await,
            Answer::Pending { progress },
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_failure_carries_class_code_and_words() {
    let error = |code: &str| json!({"status": "failed", "error": {"code": code, "message": "m"}});
    let table = [
        (
            error("content_policy"),
            ContentPolicy,
            Some("content_policy"),
            "m",
        ),
        (
            error("provider_fault"),
            ProviderFault,
            Some("provider_fault"),
            "m",
        ),
        (error("lost"), Lost, Some("lost"), "m"),
        (
            error("never heard of"),
            ProviderFault,
            Some("never heard of"),
            "m",
        ),
        (
            json!({"status": "failed", "error": "words"}),
            ProviderFault,
            None,
            "words",
        ),
        (
            json!({"status": "failed"}),
            ProviderFault,
            None,
            "the provider's status is failed",
        ),
        (
            json!({"status": "canceled"}),
            ProviderFault,
            None,
            "the provider's status is canceled",
        ),
        // A 200 that is an error, whatever its status says.
        (
            json!({"status": "succeeded", "output": [{"url": "http://127.0.0.1:9/1"}],
                "error": {"code": "our_balance"}}),
            OurBalance,
            Some("our_balance"),
            "the answer is an error",
        ),
        (
            json!({"status": "succeeded", "error": {"code": 7}}),
            ProviderFault,
            Some("7"),
            "the answer is an error",
        ),
    ];
    for (answer, class, code, message) in table {
        let Answer::Failed(failure) = polled(answer.clone()).await else {
            panic!("{answer}: no failure")
        };
        let got = (
            failure.class,
            failure.code.as_deref(),
            failure.message.as_str(),
        );
        assert_eq!(got, (class, code, message), "{answer}");
    }
}

#[tokio::test]
async fn a_refused_submit_has_the_class_of_its_code_or_status() {
    let coded = |code: &str| json!({"error": {"code": code, "message": "m"}});
    let table: [(u16, Value, FailureClass); 12] = [
        (400, coded("user_input"), UserInput),
        (401, coded("our_auth"), OurAuth),
        (402, coded("our_balance"), OurBalance),
        (422, coded("content_policy"), ContentPolicy),
        (429, coded("rate_limited"), RateLimited),
        (503, coded("capacity"), Capacity),
        (500, coded("provider_fault"), ProviderFault),
        (400, coded("capacity"), Capacity),
        (503, json!("<html>"), Capacity),
        (418, json!({}), UserInput),
        (404, json!({}), ProviderFault),
        (500, json!(null), ProviderFault),
    ];
    for (status, body, class) in table {
        let failure = refused(Act::json(status, &body), "").await;
        assert_eq!(failure.class, class, "{status} {body}");
    }
}

#[tokio::test]
async fn the_status_of_an_error_counts_even_when_its_body_is_cut() {
    let half = b"HTTP/1.1 429 Slow\r\nretry-after: 3\r\ncontent-length: 99\r\n\r\n{\"err";
    for act in [Act::Raw(half.to_vec()), Act::Reset(half.to_vec())] {
        let failure = refused(act, "").await;
        assert_eq!(
            (failure.class, failure.retry_after_ms),
            (RateLimited, Some(3_000))
        );
    }
}

#[tokio::test]
async fn retry_after_is_read_in_all_its_forms() {
    let table = [
        ("7", Some(7_000)),
        ("Wed, 21 Oct 2065 07:28:10 GMT", Some(10_000)),
        ("Wed, 21 Oct 2065 07:00:00 GMT", Some(0)),
        ("999999", Some(600_000)),
        ("later", None),
    ];
    for (value, want) in table {
        let act = Act::json(429, &json!({}))
            .with("date", "Wed, 21 Oct 2065 07:28:00 GMT")
            .with("retry-after", value);
        assert_eq!(refused(act, "").await.retry_after_ms, want, "{value}");
    }
}

#[tokio::test]
async fn json_where_a_file_was_expected_is_an_error() {
    let coded = json!({"error": {"code": "content_policy", "message": "no"}});
    let server = Scripted::start(move |_, _| Act::json(200, &coded)).await;
    let got = submit(&shipped("sim-bytes", &server.url))
        .await
        .unwrap()
        .answer;
    assert!(
        matches!(&got, Answer::Failed(failure) if failure.class == ContentPolicy),
        "{got:?}"
    );

    let empty = Act::Answer {
        status: 200,
        headers: vec![],
        body: vec![],
    };
    let server = Scripted::start(move |_, _| empty.clone()).await;
    let got = submit(&shipped("sim-bytes", &server.url))
        .await
        .unwrap()
        .answer;
    assert!(
        matches!(&got, Answer::Failed(failure) if failure.class == ProviderFault),
        "{got:?}"
    );
}

#[tokio::test]
async fn the_length_in_an_answer_is_read_but_nonsense_is_not() {
    let table = [
        (json!(5000), Some(5000)),
        (json!("5000"), Some(5000)),
        (json!(4999.6), Some(5000)),
        (json!(-1), None),
        (json!(1e300), None),
        (json!("NaN"), None),
        (json!("long"), None),
        (json!(null), None),
    ];
    for (length, want) in table {
        let got = polled(json!({
            "status": "succeeded", "duration_ms": length, "output": [{"url": "http://127.0.0.1:9/1"}]
        }))
        .await;
        assert!(
            matches!(&got, Answer::Succeeded { reported_ms, .. } if *reported_ms == want),
            "{length}: {got:?}"
        );
    }
}

#[tokio::test]
async fn a_conflict_under_our_key_does_not_say_that_nothing_was_started() {
    let server = Scripted::start(|_, _| Act::json(409, &json!({}))).await;
    let error = submit(&shipped("sim", &server.url)).await.unwrap_err();
    assert_eq!(
        error,
        SubmitError::UnknownOutcome("HTTP status 409".to_owned())
    );
    let blind = submit(&shipped("sim-blind", &server.url))
        .await
        .unwrap()
        .answer;
    assert!(matches!(&blind, Answer::Failed(failure) if failure.class == ProviderFault));
}

#[tokio::test]
async fn an_error_in_a_first_answer_of_200_is_a_refusal() {
    let slow = json!({"error": {"code": "rate_limited", "message": "slow"}});
    let failure = refused(Act::json(200, &slow).with("retry-after", "2"), "").await;
    assert_eq!(
        (failure.class, failure.retry_after_ms),
        (RateLimited, Some(2_000))
    );
    // The preset may also say that a code leaves the outcome open.
    let changes = "errors.classify = [{ code = ['busy'], class = 'unknown_outcome' }]";
    for status in [200, 500] {
        let body = json!({"error": {"code": "busy"}});
        let server = Scripted::start(move |_, _| Act::json(status, &body)).await;
        let error = submit(&variant(changes, &server.url)).await.unwrap_err();
        assert!(
            matches!(error, SubmitError::UnknownOutcome(_)),
            "{status}: {error:?}"
        );
    }
}
