//! The `cog` preset through whole workers, against a server that answers as the real one was seen to.

mod server;

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use meterline::config::Settings;
use meterline::dev::simulator::making::{Kind, Wish, make};
use meterline::domain::ids::{AccountId, JobId};
use meterline::provider::{Providers, Standing};
use meterline::store::JobView;
use meterline::worker::StepPhase;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::provider::scripted::{Act, Scripted};
use crate::support::rig::{Rig, dies_at};
use crate::support::*;
use server::Cog;

/// Tools whose only route is a model behind Cog; the model takes what the server in `server.rs` takes.
const CATALOGUE: &str = r#"
[[routes]]
name = "studio"
provider = "studio"

[parameters]
prompt = { type = "string" }
work_ms = { description = "how long the model works" }
fail = { type = "string" }
stubborn = { type = "boolean" }
output = { description = "what the model makes" }

[tools.picture]
title = "A picture"
queue = "image"
kind = "image"
count_max = 4
required = ["prompt", "output"]
optional = ["work_ms", "fail", "stubborn"]
rate = { kind = "flat", credits = 7 }
submission_timeout_ms = 20000
deadline_ms = 30000
"#;

/// A house whose only provider is `cog`.
struct Studio {
    cog: Cog,
    rig: Rig,
    acme: AccountId,
    _folder: TempDir,
}

impl Studio {
    async fn open() -> Self {
        let cog = Cog::start().await;
        let folder = folder(&[
            ("catalogue.toml", CATALOGUE),
            (
                "providers/studio.toml",
                &format!("extends = \"cog\"\nbase_url = \"{}\"\n", cog.url),
            ),
        ]);
        let rig = Rig::with_settings(fresh_url(), folder.path()).await;
        let acme = account("acme");
        rig.fund(&acme, 100).await;
        Self {
            cog,
            rig,
            acme,
            _folder: folder,
        }
    }

    async fn submit(&self, more: Value) -> JobId {
        let mut params = json!({"prompt": "x", "output": [picture(1)]});
        for (name, value) in more.as_object().expect("an object") {
            params[name] = value.clone();
        }
        self.rig.submit(&self.acme, "picture", params).await.job
    }

    async fn ended(&self, more: Value) -> JobView {
        let job = self.submit(more).await;
        self.rig.ended(&job).await
    }

    /// The balance fits, nothing is held or left open, and the books are right.
    async fn assert_ends_with(&self, available: i64) {
        assert_eq!(balance(&self.rig.store, &self.acme).await, (available, 0));
        let open = self.rig.store.obligations().await.expect("obligations");
        assert!(open.is_empty(), "{open:?}");
        self.rig.assert_sound().await;
    }
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("inside of it")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }
    dir
}

/// A picture as the server hands it over.
fn picture(seed: u64) -> String {
    let file = make(Wish {
        kind: Kind::Image,
        length_ms: 1,
        seed,
    });
    let text = base64::engine::general_purpose::STANDARD.encode(file.expect("a picture"));
    format!("data:image/png;base64,{text}")
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_are_taken_as_a_list_as_one_value_and_as_an_object() {
    let studio = Studio::open().await;
    let worker = studio.rig.worker(None);
    let table = [
        (json!([picture(1)]), 1, 7),
        (json!([picture(1), picture(2)]), 2, 14),
        (json!(picture(3)), 1, 7),
        (json!({"front": picture(4), "back": picture(5)}), 2, 14),
    ];
    let mut paid = 0;
    for (output, count, credits) in table {
        let view = studio
            .ended(json!({"output": output, "count": count}))
            .await;
        assert_eq!(view.text("state"), "succeeded", "{view:?}");
        assert_eq!(view.number("captured_ucr"), credits * 1_000_000);
        paid += credits;
    }
    worker.drain().await;
    studio.assert_ends_with(100 - paid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_fails_a_bad_input_and_an_empty_output_cost_nothing() {
    let studio = Studio::open().await;
    let worker = studio.rig.worker(None);
    let table = [
        (
            json!({"fail": "no memory"}),
            "provider_fault",
            "ValueError: no memory",
            3,
        ),
        (json!({"work_ms": "abc"}), "user_input", "is not of type", 0),
        (
            json!({"output": []}),
            "provider_fault",
            "without a usable output",
            3,
        ),
    ];
    for (more, class, words, runs) in table {
        let before = studio.cog.log().len();
        let view = studio.ended(more).await;
        assert_eq!(
            (view.text("state"), view.text("fail_class")),
            ("failed", class)
        );
        assert!(view.text("message").contains(words), "{view:?}");
        let log = studio.cog.log().split_off(before);
        let started = log.iter().filter(|line| line.starts_with("start")).count();
        assert_eq!(started, runs, "{class}: {log:?}");
    }
    worker.drain().await;
    studio.assert_ends_with(100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_07_a_take_over_sends_the_same_put_and_is_charged_once() {
    let studio = Studio::open().await;
    let doomed = studio.rig.worker_with(None, 1);
    let job = studio.submit(json!({"work_ms": 1_500})).await;
    let key = job.submission_key(1);
    studio.cog.says(&format!("start {key}"), 1).await;
    doomed.abort().await;
    let heir = studio.rig.worker(None);
    let view = studio.rig.ended(&job).await;
    assert_eq!(view.text("state"), "succeeded", "{view:?}");
    assert_eq!(view.number("captured_ucr"), 7_000_000);
    assert_eq!((view.number("tries"), view.number("submissions")), (0, 1));
    // The server gave the work up when its caller was gone, and began anew under the same id.
    let want = ["start", "stop", "start", "end"].map(|word| format!("{word} {key}"));
    assert_eq!(studio.cog.log(), want);
    heir.drain().await;
    studio.assert_ends_with(93).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_07_work_that_does_not_stop_is_joined_and_never_runs_twice_at_once() {
    let studio = Studio::open().await;
    let doomed = studio.rig.worker_with(None, 1);
    let job = studio
        .submit(json!({"work_ms": 3_000, "stubborn": true}))
        .await;
    let key = job.submission_key(1);
    studio.cog.says(&format!("start {key}"), 1).await;
    doomed.abort().await;
    let heir = studio.rig.worker(None);
    studio.cog.says(&format!("joined {key}"), 1).await;
    let view = studio.rig.ended(&job).await;
    assert_eq!(view.text("state"), "succeeded", "{view:?}");
    assert_eq!((view.number("tries"), view.number("submissions")), (0, 1));
    let mut log = studio.cog.log();
    log.retain(|line| !line.starts_with("joined"));
    let want = ["start", "end", "start", "end"].map(|word| format!("{word} {key}"));
    assert_eq!(log, want);
    heir.drain().await;
    studio.assert_ends_with(93).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_fails_after_a_take_over_leaves_nothing_open() {
    let studio = Studio::open().await;
    let doomed = studio.rig.worker_with(None, 1);
    let job = studio.submit(json!({"work_ms": 500, "fail": "bad"})).await;
    let key = job.submission_key(1);
    studio.cog.says(&format!("start {key}"), 1).await;
    doomed.abort().await;
    let heir = studio.rig.worker(None);
    let view = studio.rig.ended(&job).await;
    assert_eq!(
        (view.text("state"), view.text("fail_class")),
        ("failed", "provider_fault")
    );
    heir.drain().await;
    // The answer spoke of the work under this very key: nobody still does it.
    studio.assert_ends_with(100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_work_that_was_joined() {
    let studio = Studio::open().await;
    let doomed = studio.rig.worker_with(None, 1);
    let job = studio
        .submit(json!({"work_ms": 15_000, "stubborn": true}))
        .await;
    let key = job.submission_key(1);
    studio.cog.says(&format!("start {key}"), 1).await;
    doomed.abort().await;
    let heir = studio.rig.worker(None);
    studio.cog.says(&format!("joined {key}"), 1).await;
    studio
        .rig
        .store
        .cancel(&job, "tests")
        .await
        .expect("cancel");
    studio.cog.says(&format!("cancel {key}"), 1).await;
    let view = studio.rig.ended(&job).await;
    assert_eq!(view.text("state"), "cancelled");
    assert_eq!(balance(&studio.rig.store, &studio.acme).await, (100, 0));
    heir.drain().await;
    studio.rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_hangs_up_and_asks_for_a_stop() {
    let studio = Studio::open().await;
    let worker = studio.rig.worker(None);
    let job = studio.submit(json!({"work_ms": 15_000})).await;
    let key = job.submission_key(1);
    studio.cog.says(&format!("start {key}"), 1).await;
    studio
        .rig
        .store
        .cancel(&job, "tests")
        .await
        .expect("cancel");
    let view = studio.rig.ended(&job).await;
    assert_eq!(view.text("state"), "cancelled");
    studio.cog.says(&format!("stop {key}"), 1).await;
    studio.cog.says(&format!("cancel {key}"), 1).await;
    assert_eq!(balance(&studio.rig.store, &studio.acme).await, (100, 0));
    worker.drain().await;
    studio.rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_is_asked_later_and_no_try_is_spent() {
    let studio = Studio::open().await;
    let worker = studio.rig.worker(None);
    let first = studio.submit(json!({"work_ms": 1_000})).await;
    studio.cog.says("start", 1).await;
    let second = studio.ended(json!({})).await;
    assert_eq!(second.text("state"), "succeeded", "{second:?}");
    assert_eq!(second.number("tries"), 0);
    assert_eq!(studio.rig.ended(&first).await.text("state"), "succeeded");
    assert!(studio.cog.log().iter().any(|line| line.starts_with("busy")));
    worker.drain().await;
    studio.assert_ends_with(86).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_07_the_same_put_is_sent_again_at_every_point_of_the_line() {
    for name in ["intent", "post", "handle", "fetch", "artifact", "settle"] {
        for phase in [StepPhase::Before, StepPhase::After] {
            let studio = Studio::open().await;
            let (hook, reached) = dies_at(name, phase);
            let doomed = studio.rig.worker_with(Some(hook), 1);
            let job = studio.submit(json!({"work_ms": 20})).await;
            let died = tokio::time::timeout(Duration::from_secs(20), reached.notified()).await;
            assert!(died.is_ok(), "{phase:?} {name} is never reached");
            doomed.abort().await;
            let heir = studio.rig.worker(None);
            let view = studio.rig.ended(&job).await;
            let point = format!("{phase:?} {name}");
            assert_eq!(view.text("state"), "succeeded", "{point}: {view:?}");
            assert_eq!(view.number("submissions"), 1, "{point}");
            heir.drain().await;
            studio.assert_ends_with(93).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_page_tells_a_ready_server_from_one_that_is_not() {
    let table = [
        (200, json!({"status": "READY"}), Standing::Ready),
        (200, json!({"status": "BUSY"}), Standing::Ready),
        (
            200,
            json!({"status": "SETUP_FAILED"}),
            Standing::NotReady("its status is SETUP_FAILED".to_owned()),
        ),
        (
            500,
            json!({"error": "broken"}),
            Standing::NotReady("broken".to_owned()),
        ),
        (
            401,
            json!({}),
            Standing::KeyRefused("HTTP status 401".to_owned()),
        ),
    ];
    for (status, body, want) in table {
        let server = Scripted::start(move |_, _| Act::json(status, &body)).await;
        let engine = studio_at(&server.url);
        assert_eq!(engine.standing().await, want);
        let lines: Vec<String> = server.seen().iter().map(|seen| seen.line()).collect();
        assert_eq!(lines, ["GET /health-check"]);
    }
    let cog = Cog::start().await;
    assert_eq!(studio_at(&cog.url).standing().await, Standing::Ready);
    drop(cog);
    let gone = studio_at("http://127.0.0.1:1").standing().await;
    assert!(matches!(gone, Standing::Unreachable(_)), "{gone:?}");
}

fn studio_at(url: &str) -> std::sync::Arc<meterline::provider::Engine> {
    let files = Settings::embedded().expect("the settings").provider_files;
    let urls = BTreeMap::from([("cog".to_owned(), url.to_owned())]);
    let providers = Providers::load(&files, &urls, &|_| None).expect("the presets");
    providers.get("cog").expect("cog")
}
