//! Hostile files on the whole way: served over HTTP, fetched, measured, priced, settled.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::support::files::{fixture, patched, patched_all, places};
use crate::support::rig::Rig;
use crate::support::{account, balance};

/// A provider whose answer to each prompt is a file: the prompt is the file's number.
async fn provider_of(files: Vec<Vec<u8>>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let state = Arc::new((base.clone(), files));
    type Shelf = State<Arc<(String, Vec<Vec<u8>>)>>;
    let submit = |State(shelf): Shelf, Json(body): Json<Value>| async move {
        let number = body["input"]["seed"].as_u64().unwrap();
        let base = &shelf.0;
        let urls = json!({"get": format!("{base}/work/{number}"), "cancel": base});
        Json(json!({"id": number.to_string(), "status": "queued", "urls": urls}))
    };
    let show = |State(shelf): Shelf, Path(number): Path<usize>| async move {
        let url = format!("{}/files/{number}.mp4", shelf.0);
        Json(json!({"status": "succeeded", "output": [{"url": url}], "duration_ms": 9_999_000}))
    };
    let file = |State(shelf): Shelf, Path(name): Path<String>| async move {
        let number: usize = name.trim_end_matches(".mp4").parse().unwrap();
        shelf.1[number].clone()
    };
    let router = Router::new()
        .route("/v1/generations", post(submit))
        .route("/work/{number}", get(show))
        .route("/files/{name}", get(file))
        .with_state(state);
    tokio::spawn(async move { axum::serve(listener, router).await });
    base
}

/// What a served file comes to: the job's state, captured credits, flags.
type Settled = (&'static str, i64, &'static str);

/// Runs one job a file, each for ten seconds, and compares what it came to.
async fn settles(tool: &str, params: Value, rows: Vec<(&'static str, Vec<u8>, Settled)>) {
    let mut rig = Rig::new().await;
    let (names, files): (Vec<_>, Vec<_>) = rows
        .into_iter()
        .map(|(why, file, settled)| ((why, settled), file))
        .unzip();
    rig.provider_url = provider_of(files).await;
    let acme = account("acme");
    rig.fund(&acme, 10_000).await;
    let worker = rig.worker(None);
    let mut jobs = Vec::new();
    for number in 0..names.len() {
        let mut params = params.clone();
        params["seed"] = number.into();
        jobs.push(rig.submit(&acme, tool, params).await.job);
    }
    let mut paid = 0;
    for ((why, (state, credits, flags)), job) in names.into_iter().zip(jobs) {
        let view = rig.ended(&job).await;
        let captured = view.maybe("captured_ucr").unwrap_or(0) / 1_000_000;
        let found = (view.text("state"), captured, view.text("flags"));
        assert_eq!(found, (state, credits, flags), "{why}: {view:?}");
        paid += credits;
    }
    assert_eq!(balance(&rig.store, &acme).await, (10_000 - paid, 0));
    assert_eq!(worker.drain().await, 0);
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_films_are_charged_for_what_their_bytes_prove() {
    let hour_ticks = (3_600 * 16_384u32).to_be_bytes();
    let frame_of_30_s = (30 * 16_384u32).to_be_bytes();
    let long = patched(fixture("silent.mp4"), b"mdhd", 0, 16, &hour_ticks);
    let bomb = patched(
        fixture("silent.mp4"),
        b"stts",
        0,
        8,
        &[0x7f, 0xff, 0xff, 0xff],
    );
    let one = fixture("one-fragment.mp4");
    let one_frame = patched(one, b"trun", 0, 4, &1u32.to_be_bytes());
    let still_hour = patched(one_frame, b"tfhd", 0, 16, &frame_of_30_s);
    let second_ns = 1_000_000_000u32.to_be_bytes();
    let webm = patched(fixture("live.webm"), b"\x23\xe3\x83\x84", 0, 0, &second_ns);
    let fragments = fixture("indexed.mp4");
    let cut = fragments[..*places(&fragments, b"moof").last().unwrap() - 4].to_vec();
    // At 7 credits a second, for ten seconds: 7.5 s are 52.5 and come out as 53.
    let rows = vec![
        (
            "an honest file",
            fixture("silent.mp4"),
            ("succeeded", 53, ""),
        ),
        (
            "an honest file in fragments",
            fixture("fragmented.mp4"),
            ("succeeded", 53, ""),
        ),
        (
            "an honest WebM",
            fixture("clip.webm"),
            ("succeeded", 53, ""),
        ),
        (
            "a header of an hour",
            long,
            ("succeeded", 53, "disagreement"),
        ),
        ("2^31 samples", bomb, ("succeeded", 0, "unmeasured")),
        (
            "one picture for half a minute",
            still_hour,
            ("succeeded", 7, "disagreement"),
        ),
        (
            "a WebM that says a second for each picture",
            webm,
            ("succeeded", 53, "disagreement"),
        ),
        (
            "fragments without the last one",
            cut,
            ("succeeded", 49, "disagreement"),
        ),
        (
            "sound where a film was asked for",
            fixture("sound.opus"),
            ("succeeded", 0, "unmeasured"),
        ),
        (
            "a moving picture has one reading",
            fixture("moving.gif"),
            ("succeeded", 14, "unconfirmed"),
        ),
        (
            "a page",
            b"<html>expired</html>".to_vec(),
            ("failed", 0, ""),
        ),
        ("nothing", Vec::new(), ("failed", 0, "")),
    ];
    let params = json!({"image_url": "http://127.0.0.1/x.png", "duration_ms": 10_000});
    settles("image-to-video", params, rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_cost_what_they_cost_and_what_is_none_costs_nothing() {
    let png = fixture("still.png");
    let endless = patched_all(fixture("moving.gif"), b"\x21\xf9\x04", 1, &[0xff, 0xff]);
    let rows = vec![
        ("a still", png.clone(), ("succeeded", 7, "")),
        ("an animation is one output", endless, ("succeeded", 7, "")),
        (
            "a giant",
            patched(png.clone(), b"IHDR", 0, 0, &[0x7f; 8]),
            ("succeeded", 7, ""),
        ),
        (
            "the first bytes of a picture",
            png[..40].to_vec(),
            ("failed", 0, ""),
        ),
        (
            "an error",
            b"{\"error\":\"expired\"}".to_vec(),
            ("failed", 0, ""),
        ),
    ];
    settles("text-to-image", json!({"prompt": "x"}), rows).await;
}
