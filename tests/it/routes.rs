//! Which route a job takes when the provider of its first one has no room.

use meterline::worker::StepPhase;
use serde_json::json;
use tempfile::TempDir;

use crate::provider::scripted::{Act, Scripted};
use crate::support::rig::{Rig, dies_at};
use crate::support::*;

/// A tool with the provider `full` before, or instead of, the simulated one.
fn catalogue(routes: &[&str]) -> String {
    let routes: String = routes
        .iter()
        .map(|name| format!("[[routes]]\nname = \"{name}\"\nprovider = \"{name}\"\n"))
        .collect();
    format!(
        "{routes}\n[parameters.prompt]\ntype = \"string\"\n\n[tools.picture]\ntitle = \"A picture\"\n\
         queue = \"image\"\nkind = \"image\"\nrequired = [\"prompt\"]\noptional = []\n\
         rate = {{ kind = \"flat\", credits = 7 }}\n"
    )
}

/// A house with these routes; `full` asks everybody to come back in so many seconds.
async fn house(routes: &[&str], retry_after_s: u64) -> (Rig, Scripted, TempDir) {
    let full = Scripted::start(move |_, _| {
        let body = json!({"error": {"code": "rate_limited", "message": "come back later"}});
        Act::json(429, &body).with("retry-after", retry_after_s.to_string())
    })
    .await;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("providers")).expect("a folder");
    let provider = format!("extends = \"sim\"\nbase_url = \"{}\"\n", full.url);
    std::fs::write(folder.path().join("providers/full.toml"), provider).expect("a file");
    std::fs::write(folder.path().join("catalogue.toml"), catalogue(routes)).expect("a file");
    let rig = Rig::with_settings(fresh_url(), folder.path()).await;
    rig.fund(&account("acme"), 100).await;
    (rig, full, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_beyond_the_deadline_takes_the_next_route_at_once() {
    // The job's deadline is five minutes from now.
    let (rig, full, _folder) = house(&["full", "sim"], 600).await;
    let worker = rig.worker(None);
    let params = json!({"prompt": "x"});
    let job = rig.submit(&account("acme"), "picture", params).await.job;
    let view = rig.ended(&job).await;
    assert_eq!(view.text("state"), "succeeded", "{view:?}");
    assert_eq!((view.number("tries"), view.number("route")), (0, 1));
    assert_eq!(full.seen().len(), 1, "the full one is asked once");
    assert!(
        rig.store
            .obligations()
            .await
            .expect("obligations")
            .is_empty()
    );
    assert_eq!(balance(&rig.store, &account("acme")).await, (93, 0));
    worker.drain().await;
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_fits_the_deadline_stays_on_its_route() {
    let (rig, full, _folder) = house(&["full", "sim"], 120).await;
    let worker = rig.worker(None);
    let params = json!({"prompt": "x"});
    let job = rig.submit(&account("acme"), "picture", params).await.job;
    rig.seen(&job, "deferred", 1).await;
    let view = rig.store.job(&job).await.expect("a view").expect("the job");
    assert_eq!((view.text("state"), view.number("route")), ("scheduled", 0));
    assert_eq!(full.seen().len(), 1);
    assert_eq!(balance(&rig.store, &account("acme")).await, (93, 7));
    worker.drain().await;
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_another_route_a_job_waits_for_its_provider_until_its_deadline() {
    let (rig, _full, _folder) = house(&["full"], 600).await;
    let worker = rig.worker(None);
    let params = json!({"prompt": "x"});
    let job = rig.submit(&account("acme"), "picture", params).await.job;
    rig.seen(&job, "deferred", 1).await;
    rig.store.cancel(&job, "tests").await.expect("cancel");
    assert_eq!(rig.ended(&job).await.text("state"), "cancelled");
    assert_eq!(balance(&rig.store, &account("acme")).await, (100, 0));
    worker.drain().await;
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_07_what_was_perhaps_sent_waits_and_takes_no_other_route() {
    let (rig, _full, _folder) = house(&["full", "sim"], 600).await;
    let (hook, reached) = dies_at("post", StepPhase::Before);
    let doomed = rig.worker_with(Some(hook), 1);
    let params = json!({"prompt": "x"});
    let job = rig.submit(&account("acme"), "picture", params).await.job;
    reached.notified().await;
    doomed.abort().await;
    let heir = rig.worker(None);
    rig.seen(&job, "deferred", 1).await;
    let view = rig.store.job(&job).await.expect("a view").expect("the job");
    assert_eq!((view.number("route"), view.number("submissions")), (0, 1));
    assert_eq!(rig.started_for(&job).await, 0, "nobody else was asked");
    heir.drain().await;
    rig.assert_sound().await;
}
