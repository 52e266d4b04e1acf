//! What somebody would try who wants to lose or double money, strand a job or pay a provider twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use meterline::dev::redis::PrivateRedis;
use meterline::producer::{Asking, Error, Terms};
use meterline::store::SubmitRefusal;
use meterline::worker::{ArtifactRecord, StepPhase};
use serde_json::json;

use crate::provider::scripted::{Act, Scripted};
use crate::support::rig::{Rig, dies_at};
use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_is_no_key_to_another_accounts_credits() {
    let rig = Rig::new().await;
    let (owner, thief) = (account("owner"), account("thief"));
    rig.fund(&owner, 100).await;
    rig.fund(&thief, 100).await;
    let asking = Asking {
        account: owner.clone(),
        tool: "text-to-image".to_owned(),
        params: json!({"prompt": "x"})
            .as_object()
            .cloned()
            .expect("an object"),
        route: None,
    };
    let quote = rig.producer.quote(&asking).await.expect("a quote");
    let terms = Terms::default();
    let refused = rig
        .producer
        .submit_quote(&thief, &quote.quote, &terms)
        .await;
    assert!(
        matches!(refused, Err(Error::Refused(SubmitRefusal::QuoteExpired))),
        "{refused:?}"
    );
    assert_eq!(balance(&rig.store, &owner).await, (100, 0));
    let own = rig
        .producer
        .submit_quote(&owner, &quote.quote, &terms)
        .await;
    assert!(own.is_ok(), "{own:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_under_two_addresses_is_one_output() {
    let rig = Rig::new().await;
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let worker = rig.worker(None);
    let job = rig.image(&acme, json!({"duplicate": true})).await.job;
    let view = rig.ended(&job).await;
    assert_eq!(view.text("state"), "succeeded", "{view:?}");
    assert_eq!(view.number("captured_ucr"), 7_000_000);
    assert_eq!(view.number("absorbed_ucr"), 0, "nothing was given away");
    let record: ArtifactRecord =
        serde_json::from_str(view.artifact.as_deref().expect("a record")).expect("its fields");
    assert_eq!(record.outputs.len(), 1);
    worker.drain().await;
    rig.assert_sound().await;
}

/// A rig with a job that was sent to the provider by a worker that died before it read the answer.
async fn sent_by_the_dead(rig: &Rig) -> meterline::domain::ids::JobId {
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let (hook, reached) = dies_at("post", StepPhase::After);
    let doomed = rig.worker_with(Some(hook), 1);
    let job = rig.image(&acme, json!({"hang": true})).await.job;
    reached.notified().await;
    doomed.abort().await;
    job
}

async fn has_obligation(rig: &Rig, job: &meterline::domain::ids::JobId, submission: u32) -> bool {
    let id = job.submission_key(submission);
    let all = rig.store.obligations().await.expect("obligations");
    format!("{all:?}").contains(&id)
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_06_not_reaching_the_provider_again_is_no_verdict_on_what_was_sent_before() {
    let mut rig = Rig::new().await;
    let job = sent_by_the_dead(&rig).await;
    rig.provider_url = "http://127.0.0.1:1".to_owned();
    let heir = rig.worker(None);
    let view = rig.ended(&job).await;
    assert_ne!(view.text("state"), "succeeded");
    assert!(
        has_obligation(&rig, &job, 1).await,
        "the provider is still at it: {view:?}"
    );
    heir.drain().await;
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_06_a_cancel_before_the_repeated_request_is_no_verdict_on_the_first() {
    let rig = Rig::new().await;
    let job = sent_by_the_dead(&rig).await;
    let (store, target) = (rig.store.clone(), job.clone());
    let heir = rig.worker(Some(Arc::new(move |point| {
        let (store, target) = (store.clone(), target.clone());
        Box::pin(async move {
            if point.name == "intent" && point.phase == StepPhase::Before {
                store.cancel(&target, "tests").await.expect("cancel");
            }
        })
    })));
    let view = rig.ended(&job).await;
    assert_eq!(view.text("state"), "cancelled");
    assert!(
        has_obligation(&rig, &job, 1).await,
        "the provider is still at it: {view:?}"
    );
    heir.drain().await;
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_07_a_limit_met_while_repeating_a_request_does_not_make_it_another() {
    let posts = AtomicUsize::new(0);
    let provider = Scripted::start(move |_, seen| match seen.method.as_str() {
        "POST" => match posts.fetch_add(1, Ordering::Relaxed) {
            // It may have been taken: nobody knows.
            0 => Act::Reset(Vec::new()),
            1 => Act::json(429, &json!({"error": "slow down"})).with("retry-after", "0"),
            _ => Act::json(400, &json!({"error": {"code": "content_policy"}})),
        },
        _ => Act::json(404, &json!({})),
    })
    .await;
    let mut rig = Rig::new().await;
    rig.provider_url.clone_from(&provider.url);
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let worker = rig.worker(None);
    let job = rig.image(&acme, json!({})).await.job;
    let view = rig.ended(&job).await;
    assert_eq!(view.text("fail_class"), "content_policy", "{view:?}");
    let keys: Vec<String> = provider
        .seen()
        .iter()
        .filter_map(|seen| seen.headers.get("idempotency-key").cloned())
        .collect();
    assert_eq!(keys, vec![job.submission_key(1); 3]);
    worker.drain().await;
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_cannot_be_fetched_is_the_providers_fault_and_its_work_is_over() {
    let provider = Scripted::start(|base, seen| match seen.line().as_str() {
        "POST /v1/generations" => Act::json(
            202,
            &json!({"id": "g", "status": "queued",
                "urls": {"get": format!("{base}/v1/generations/g"), "cancel": format!("{base}/cancel")}}),
        ),
        "GET /v1/generations/g" => Act::json(
            200,
            &json!({"id": "g", "status": "succeeded", "output": [{"url": format!("{base}/file")}]}),
        ),
        "GET /file" => Act::json(503, &json!({})),
        _ => Act::json(200, &json!({})),
    })
    .await;
    let mut rig = Rig::new().await;
    rig.provider_url.clone_from(&provider.url);
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let worker = rig.worker(None);
    let job = rig.image(&acme, json!({})).await.job;
    rig.seen(&job, "retry", 1).await;
    let timeline = rig.store.timeline(&job).await.expect("a timeline");
    let retry = timeline.iter().find(|line| line.event == "retry");
    let why = retry.map(|line| line.detail.clone()).unwrap_or_default();
    assert!(why.starts_with("provider_fault"), "{why}");
    assert!(!has_obligation(&rig, &job, 1).await, "it had succeeded");
    let cancels = provider.seen();
    let cancels = cancels.iter().filter(|seen| seen.path == "/cancel").count();
    assert_eq!(cancels, 0, "there is nothing left to stop");
    rig.ended(&job).await;
    worker.drain().await;
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_waits_for_what_a_claim_under_way_still_brings() {
    let redis = PrivateRedis::start(plain_redis()).expect("a private Redis");
    let rig = Rig::on(redis.url()).await;
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let job = rig.image(&acme, json!({"delay_ms": 700})).await.job;
    let raw = Raw::open(&redis.url()).await;
    let _: String = raw.run(&["CLIENT", "PAUSE", "600", "ALL"]).await;
    let worker = rig.worker(None);
    // The claim has been sent and its answer is held back: nobody can await that from outside.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(worker.drain().await, 0);
    let state = state_of(&rig.store, &job).await;
    assert_ne!(state, "running", "left behind by the end of its worker");
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_behind_a_crowd_of_dead_entries_does_not_wait_for_the_next_round() {
    let rig = Rig::new().await;
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let raw = Raw::open(&rig.url).await;
    for _ in 0..250 {
        let _: String = raw
            .run(&["XADD", &key("ready", "image:normal"), "*", "j", "j00-gone"])
            .await;
    }
    let job = rig.image(&acme, json!({})).await.job;
    let worker = rig.worker(None);
    let view = rig.ended(&job).await;
    let waited_ms = view.number("started_at") - view.number("created_at");
    assert!(waited_ms < 2_500, "{waited_ms} ms with free slots");
    worker.drain().await;
}

#[tokio::test]
async fn a_job_that_cannot_be_read_does_not_take_others_with_it() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let strange = accept(&store, &job_for(&store, &acme, 10)).await.job;
    let good = accept(&store, &job_for(&store, &acme, 10)).await.job;
    let hash = key("job", strange.as_str());
    let _: i64 = raw
        .run(&["HSET", &hash, "rule", "from another version"])
        .await;
    let claimed = claim(&store, "w1", 2).await;
    let ids: Vec<_> = claimed.iter().map(|job| job.job.clone()).collect();
    assert_eq!(ids, [good]);
}

#[tokio::test]
async fn looking_for_jobs_in_queues_that_never_had_one_leaves_no_trace() {
    let (store, raw) = store_and_raw(options()).await;
    for worker in ["w1", "w2", "w3"] {
        assert!(claim(&store, worker, 1).await.is_empty());
    }
    let streams: Vec<String> = raw.run(&["KEYS", "ml:*:ready:*"]).await;
    assert_eq!(streams, Vec::<String>::new());
    let acme = funded(&store, "acme", 100).await;
    accept(&store, &job_for(&store, &acme, 10)).await;
    claim_one(&store, "w1").await;
}
