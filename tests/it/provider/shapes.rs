//! The shapes in which providers differ: each is a file, and none needs code.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meterline::domain::failure::FailureClass::{ContentPolicy, ProviderFault, RateLimited};
use meterline::provider::{Answer, Engine, Output, PollError, Providers, Usage};
use serde_json::{Value, json};

use super::scripted::{Act, Scripted, Seen};
use super::{submit, submit_params};

const AGE: Duration = Duration::from_secs(60);

/// A provider that is this file alone.
fn engine(file: &str, url: &str) -> Arc<Engine> {
    let files = [("shape".to_owned(), format!("base_url = \"{url}\"\n{file}"))];
    Providers::load(&files, &BTreeMap::new(), &|_| None)
        .unwrap()
        .get("shape")
        .unwrap()
}

/// Submits to a server that answers by `act`, and polls once.
async fn poll_once(
    file: &str,
    act: impl Fn(&str, &Seen) -> Act + Send + Sync + 'static,
) -> (Scripted, Result<Answer, PollError>) {
    let server = Scripted::start(act).await;
    let engine = engine(file, &server.url);
    let handle = submit(&engine).await.unwrap().handle.unwrap();
    let answer = engine.poll(&handle, AGE).await;
    (server, answer)
}

fn one(url: &str) -> Vec<Output> {
    vec![Output::Url(url.parse().unwrap())]
}

/// The URLs are given in the answer, "completed" covers failures, and the result is elsewhere.
const QUEUE_WITH_RESULT: &str = r#"
    attach = "poll"
    auth = { kind = "none" }
    [submit]
    method = "POST"
    url = "/{{model|path}}/pro"
    body = "{{params}}"
    idempotency = { kind = "none" }
    id = "/request_id"
    poll_url = "/status_url"
    result_url = "/response_url"
    [answer]
    ok_when = { not = { exists = "/error" } }
    status = "/status"
    status_map = { queued = ["IN_QUEUE"], running = ["IN_PROGRESS"], succeeded = ["COMPLETED"] }
    outputs = [{ at = ["/video/url", "/images/*/url"], kind = "url" }]
    [errors]
    code = ["/detail/0/type", "/error_type"]
    message = ["/detail/0/msg", "/detail", "/error"]
    classify = [
        { code = ["content_policy_violation"], class = "content_policy" },
        { status = [422], class = "user_input" },
        { code = ["runner_server_error"], class = "provider_fault" },
    ]
    [poll]
    method = "GET"
    interval = { first_ms = 500, min_ms = 500, max_ms = 5000, factor = 1.5 }
    [result]
    method = "GET"
"#;

#[tokio::test]
async fn a_result_url_from_the_first_answer_is_asked_once_the_work_is_done() {
    let answers = |result: (u16, Value), status: Value| {
        move |base: &str, seen: &Seen| match seen.line().as_str() {
            "POST /model-1/pro" => Act::json(
                200,
                &json!({"request_id": "r", "status": "IN_QUEUE", "status_url": format!("{base}/s/r"),
                        "response_url": format!("{base}/r/r")}),
            ),
            "GET /s/r" => Act::json(200, &status),
            "GET /r/r" => Act::json(result.0, &result.1),
            other => panic!("unexpected {other}"),
        }
    };
    let done = json!({"status": "COMPLETED"});
    let video = json!({"video": {"url": "https://files.test/v.mp4"}});

    let (server, got) = poll_once(QUEUE_WITH_RESULT, answers((200, video), done.clone())).await;
    let outputs = one("https://files.test/v.mp4");
    assert_eq!(
        got,
        Ok(Answer::Succeeded {
            outputs,
            reported_ms: None,
            usage: Usage::default(),
        })
    );
    assert_eq!(
        server.seen()[0].json(),
        json!({"prompt": "a cat"}),
        "the body is the input itself"
    );

    let running = json!({"status": "IN_PROGRESS"});
    let (server, got) = poll_once(QUEUE_WITH_RESULT, answers((500, json!({})), running)).await;
    assert_eq!(got, Ok(Answer::Pending { progress: None }));
    assert_eq!(
        server.seen().len(),
        2,
        "the result of running work is not asked for"
    );

    let refused = json!({"detail": [{"type": "content_policy_violation", "msg": "no"}]});
    let (_, got) = poll_once(QUEUE_WITH_RESULT, answers((422, refused), done.clone())).await;
    assert!(
        matches!(&got, Ok(Answer::Failed(f)) if f.class == ContentPolicy),
        "{got:?}"
    );

    let broken = json!({"status": "COMPLETED", "error": "x", "error_type": "runner_server_error"});
    let (server, got) = poll_once(QUEUE_WITH_RESULT, answers((200, json!({})), broken)).await;
    assert!(
        matches!(&got, Ok(Answer::Failed(f)) if f.class == ProviderFault),
        "{got:?}"
    );
    assert_eq!(server.seen().len(), 2, "failed work has no result");

    let (_, got) = poll_once(QUEUE_WITH_RESULT, answers((200, json!({})), done.clone())).await;
    assert!(
        matches!(&got, Ok(Answer::Failed(f)) if f.class == ProviderFault),
        "empty: {got:?}"
    );
    for status in [429, 500, 503] {
        let (_, got) = poll_once(
            QUEUE_WITH_RESULT,
            answers((status, json!({})), done.clone()),
        )
        .await;
        assert!(
            matches!(got, Err(PollError::Transient { .. })),
            "{status}: {got:?}"
        );
    }
}

/// Errors come with HTTP 200, the id is now text and now a number, and the file has an id of its own.
const THREE_STEPS: &str = r#"
    attach = "poll"
    auth = { kind = "none" }
    [submit]
    method = "POST"
    url = "/v1/video_generation"
    idempotency = { kind = "none" }
    id = "/task_id"
    [submit.body]
    model = "{{model}}"
    duration = "{{params.duration_ms|ceil_seconds}}"
    content = [
        { type = "text", text = "{{params.prompt}}" },
        { type = "image_url", image_url = { url = "{{params.image_url}}" }, role = "first_frame" },
    ]
    [answer]
    ok_when = { equals = { at = "/base_resp/status_code", value = 0 } }
    status = "/status"
    status_map = { queued = ["Queueing"], running = ["Preparing"], succeeded = ["Success"], failed = ["Fail"] }
    outputs = [{ at = "/file/download_url", kind = "url" }]
    [errors]
    code = "/base_resp/status_code"
    message = "/base_resp/status_msg"
    classify = [
        { code = ["1002"], class = "rate_limited" },
        { code = ["1026", "1027"], class = "content_policy" },
    ]
    [poll]
    method = "GET"
    url = "/v1/query?task_id={{id}}"
    interval = { first_ms = 500, min_ms = 500, max_ms = 5000, factor = 1.5 }
    [result]
    method = "GET"
    id = "/file_id"
    url = "/v1/files/retrieve?file_id={{id}}"
"#;

fn coded(code: i32, mut fields: Value) -> Value {
    fields["base_resp"] = json!({"status_code": code, "status_msg": "words"});
    fields
}

#[tokio::test]
async fn errors_with_status_200_and_a_file_with_its_own_id_need_no_code() {
    let answers = |status: Value| {
        move |_: &str, seen: &Seen| match seen.line().as_str() {
            "POST /v1/video_generation" => Act::json(200, &coded(0, json!({"task_id": 71}))),
            "GET /v1/query?task_id=71" => Act::json(200, &status),
            "GET /v1/files/retrieve?file_id=9%2F9" => Act::json(
                200,
                &coded(0, json!({"file": {"download_url": "https://f.test/v"}})),
            ),
            other => panic!("unexpected {other}"),
        }
    };
    let done = coded(0, json!({"status": "Success", "file_id": "9/9"}));
    let (server, got) = poll_once(THREE_STEPS, answers(done)).await;
    assert_eq!(
        got,
        Ok(Answer::Succeeded {
            outputs: one("https://f.test/v"),
            reported_ms: None,
            usage: Usage::default(),
        })
    );
    let sent = json!({"model": "model-1", "content": [{"type": "text", "text": "a cat"}]});
    assert_eq!(server.seen()[0].json(), sent);

    let busy = coded(1002, json!({}));
    let (_, got) = poll_once(THREE_STEPS, answers(busy)).await;
    assert!(
        matches!(got, Err(PollError::Transient { .. })),
        "busy is not failed: {got:?}"
    );
    let refused = coded(1027, json!({}));
    let (_, got) = poll_once(THREE_STEPS, answers(refused)).await;
    assert!(
        matches!(&got, Ok(Answer::Failed(f)) if f.class == ContentPolicy),
        "{got:?}"
    );
    let without_file = coded(0, json!({"status": "Success"}));
    let (_, got) = poll_once(THREE_STEPS, answers(without_file)).await;
    assert!(
        matches!(&got, Ok(Answer::Failed(f)) if f.class == ProviderFault),
        "{got:?}"
    );

    let server = Scripted::start(|_, _| Act::json(200, &coded(1002, json!({})))).await;
    let got = submit(&engine(THREE_STEPS, &server.url))
        .await
        .unwrap()
        .answer;
    assert!(
        matches!(&got, Answer::Failed(f) if f.class == RateLimited),
        "{got:?}"
    );
}

#[tokio::test]
async fn a_list_in_the_body_holds_only_what_the_job_has() {
    let server = Scripted::start(|_, _| Act::json(200, &coded(0, json!({"task_id": "t"})))).await;
    let tree = json!({"prompt": "p", "image_url": "https://i.test/1", "duration_ms": 5001});
    submit_params(&engine(THREE_STEPS, &server.url), &tree)
        .await
        .unwrap();
    let want = json!({
        "model": "model-1", "duration": 6,
        "content": [{"type": "text", "text": "p"},
                    {"type": "image_url", "image_url": {"url": "https://i.test/1"}, "role": "first_frame"}]
    });
    assert_eq!(server.seen()[0].json(), want);
}

/// No status words but a flag, polling by POST, and a success that holds nothing but a reason.
const LONG_RUNNING: &str = r#"
    attach = "poll"
    auth = { kind = "none" }
    [submit]
    method = "POST"
    url = "/models/{{model}}:predict"
    body = { instances = [{ prompt = "{{params.prompt}}" }] }
    idempotency = { kind = "none" }
    id = "/name"
    [answer]
    ok_when = { not = { exists = "/error" } }
    status = "/done"
    status_map = { running = ["false"], succeeded = ["true"] }
    outputs = [
        { at = "/response/videos/*/uri", kind = "url" },
        { at = "/response/videos/*/bytesBase64Encoded", kind = "base64" },
    ]
    [errors]
    code = "/error/code"
    message = ["/error/message", "/response/reasons/0"]
    classify = [
        { when = { at_least = { at = "/response/filtered", value = 1 } }, class = "content_policy" },
    ]
    [poll]
    method = "POST"
    url = "/models/{{model}}:fetch"
    body = { operationName = "{{id}}" }
    interval = { first_ms = 5000, min_ms = 5000, max_ms = 10000, factor = 1.5 }
"#;

#[tokio::test]
async fn a_done_flag_with_nothing_in_it_is_a_refusal_with_a_reason() {
    let answers = |status: Value| {
        move |_: &str, seen: &Seen| match seen.line().as_str() {
            "POST /models/model-1:predict" => Act::json(200, &json!({"name": "op/1"})),
            "POST /models/model-1:fetch" => {
                assert_eq!(seen.json(), json!({"operationName": "op/1"}));
                Act::json(200, &status)
            }
            other => panic!("unexpected {other}"),
        }
    };
    for (status, want) in [
        (
            json!({"name": "op/1"}),
            Ok(Answer::Pending { progress: None }),
        ),
        (
            json!({"done": false}),
            Ok(Answer::Pending { progress: None }),
        ),
        (
            json!({"done": true, "response": {"videos": [{"bytesBase64Encoded": "aGk"}]}}),
            Ok(Answer::Succeeded {
                outputs: vec![Output::Bytes(b"hi".as_slice().into())],
                reported_ms: None,
                usage: Usage::default(),
            }),
        ),
    ] {
        assert_eq!(poll_once(LONG_RUNNING, answers(status)).await.1, want);
    }
    let filtered = json!({"done": true, "response": {"filtered": 1, "reasons": ["a face"]}});
    let Ok(Answer::Failed(failure)) = poll_once(LONG_RUNNING, answers(filtered)).await.1 else {
        panic!("no failure")
    };
    assert_eq!(
        (failure.class, failure.message.as_str()),
        (ContentPolicy, "a face")
    );
    let error = json!({"done": true, "error": {"code": 13, "message": "internal"}});
    let got = poll_once(LONG_RUNNING, answers(error)).await.1;
    assert!(
        matches!(&got, Ok(Answer::Failed(f)) if f.class == ProviderFault),
        "{got:?}"
    );
}

/// The file is handed out by one more request, as bytes and only with our key.
const CONTENT_BY_ID: &str = r#"
    attach = "poll"
    auth = { kind = "none" }
    response_max_bytes = 1000
    [submit]
    method = "POST"
    url = "/v1/videos"
    body = { prompt = "{{params.prompt}}", seconds = "{{params.duration_ms|ceil_seconds|text}}" }
    idempotency = { kind = "none" }
    id = "/id"
    [answer]
    status = "/status"
    status_map = { queued = ["queued"], running = ["in_progress"], succeeded = ["completed"], failed = ["failed"] }
    progress = { at = "/progress", unit = "percent" }
    outputs = [{ kind = "bytes_body" }]
    [errors]
    code = "/error/code"
    message = "/error/message"
    classify = [{ code = ["moderation_blocked"], class = "content_policy" }]
    [poll]
    method = "GET"
    url = "/v1/videos/{{id}}"
    interval = { first_ms = 1000, min_ms = 1000, max_ms = 5000, factor = 1.5 }
    [result]
    method = "GET"
    url = "/v1/videos/{{id}}/content"
    timeout_ms = 60000
    http = [{ status = 404, means = "retry" }]
"#;

#[tokio::test]
async fn a_file_is_fetched_with_our_key_where_the_provider_wants_it() {
    let answers = |content: Act| {
        move |_: &str, seen: &Seen| match seen.line().as_str() {
            "POST /v1/videos" => Act::json(200, &json!({"id": "v1", "status": "queued"})),
            "GET /v1/videos/v1" => Act::json(200, &json!({"status": "completed", "progress": 100})),
            "GET /v1/videos/v1/content" => content.clone(),
            other => panic!("unexpected {other}"),
        }
    };
    let file = |size: usize| Act::Answer {
        status: 200,
        headers: vec![("content-type", "video/mp4".to_owned())],
        body: vec![7; size],
    };
    let outputs = vec![Output::Bytes(vec![7; 1000].into())];
    let (_, got) = poll_once(CONTENT_BY_ID, answers(file(1000))).await;
    assert_eq!(
        got,
        Ok(Answer::Succeeded {
            outputs,
            reported_ms: None,
            usage: Usage::default(),
        })
    );

    for act in [file(0), file(1001)] {
        let (_, got) = poll_once(CONTENT_BY_ID, answers(act)).await;
        assert!(
            matches!(&got, Ok(Answer::Failed(f)) if f.class == ProviderFault),
            "{got:?}"
        );
    }
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nxxx".to_vec();
    let early = Act::json(404, &json!({}));
    let error = Act::json(200, &json!({"error": {"code": "unknown", "message": "m"}}));
    for act in [Act::Raw(half.clone()), Act::Reset(half), early, error] {
        let (_, got) = poll_once(CONTENT_BY_ID, answers(act)).await;
        assert!(matches!(got, Err(PollError::Transient { .. })), "{got:?}");
    }
    let blocked = Act::json(200, &json!({"error": {"code": "moderation_blocked"}}));
    let (_, got) = poll_once(CONTENT_BY_ID, answers(blocked)).await;
    assert!(
        matches!(&got, Ok(Answer::Failed(f)) if f.class == ContentPolicy),
        "{got:?}"
    );
}

#[tokio::test]
async fn work_that_is_finished_at_once_still_has_its_result_fetched_by_a_poll() {
    let server = Scripted::start(|_, seen| match seen.method.as_str() {
        "POST" => Act::json(200, &json!({"id": "v1", "status": "completed"})),
        _ => Act::json(200, &json!({"status": "in_progress", "progress": 30})),
    })
    .await;
    let engine = engine(CONTENT_BY_ID, &server.url);
    let submitted = submit(&engine).await.unwrap();
    assert_eq!(submitted.answer, Answer::Pending { progress: None });
    let got = engine.poll(&submitted.handle.unwrap(), AGE).await;
    assert_eq!(
        got,
        Ok(Answer::Pending {
            progress: Some(0.3)
        })
    );
}
