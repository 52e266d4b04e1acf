//! Answers of HTTP requests that are sent again.

use meterline::store::{AnswerBegun, KeptAnswer, Repetition};

use crate::support::*;

fn attempt(body: &[u8]) -> Repetition {
    Repetition::new("k1", "click-1", &[b"/v1/quotes", body])
}

fn made() -> KeptAnswer {
    KeptAnswer {
        status: 201,
        body: r#"{"quote":"q1"}"#.to_owned(),
        location: Some("/v1/quotes/q1".to_owned()),
    }
}

#[tokio::test]
async fn a_request_is_carried_out_once_and_answered_the_same_from_then_on() {
    let (store, raw) = store_and_raw(options()).await;
    let first = attempt(b"{}");
    let begun = store.begin_answer(&first, 60_000).await.unwrap();
    assert_eq!(begun, AnswerBegun::First);
    // Its own answer was lost: it is the same attempt.
    let begun = store.begin_answer(&first, 60_000).await.unwrap();
    assert_eq!(begun, AnswerBegun::First);
    let before = raw.digest().await;
    let second = attempt(b"{}");
    for (other, expected) in [
        (&second, AnswerBegun::UnderWay),
        (&attempt(b"{\"a\":1}"), AnswerBegun::Another),
    ] {
        let begun = store.begin_answer(other, 60_000).await.unwrap();
        assert_eq!(begun, expected);
        store.end_answer(other, Some(&made())).await.unwrap();
        store.end_answer(other, None).await.unwrap();
        assert_eq!(raw.digest().await, before, "{expected:?}");
    }
    store.end_answer(&first, Some(&made())).await.unwrap();
    let before = raw.digest().await;
    for again in [&first, &second] {
        let begun = store.begin_answer(again, 60_000).await.unwrap();
        assert_eq!(begun, AnswerBegun::Done(made()));
    }
    let another = store.begin_answer(&attempt(b"x"), 60_000).await.unwrap();
    assert_eq!(another, AnswerBegun::Another);
    assert_eq!(raw.digest().await, before);
}

#[tokio::test]
async fn an_attempt_that_failed_or_never_ended_leaves_room_for_the_next() {
    let (store, raw) = store_and_raw(options()).await;
    let (first, second) = (attempt(b"{}"), attempt(b"{}"));
    store.begin_answer(&first, 60_000).await.unwrap();
    store.end_answer(&first, None).await.unwrap();
    assert_eq!(
        raw.run::<Vec<String>>(&["KEYS", "*:answer:*"]).await,
        Vec::<String>::new()
    );
    let begun = store.begin_answer(&second, 60_000).await.unwrap();
    assert_eq!(begun, AnswerBegun::First);
    let here = raw
        .run::<Vec<String>>(&["KEYS", "*:answer:*"])
        .await
        .remove(0);
    let life: i64 = raw.run(&["PTTL", &here]).await;
    assert!(
        (1..=60_000).contains(&life),
        "an attempt ends by itself: {life}"
    );
    store.end_answer(&second, Some(&made())).await.unwrap();
    let life: i64 = raw.run(&["PTTL", &here]).await;
    assert!((86_000_000..=86_400_000).contains(&life), "a day: {life}");
}
