//! Whole processes: a killed sender loses nothing, and a receiver hears a job's story with its outputs.

use std::collections::BTreeMap;

use serde_json::json;

use crate::support::account;
use crate::support::processes::start_with;
use crate::support::rig::Rig;
use crate::support::webhooks::*;
use crate::support::*;

/// Lets a process post to this machine, and try again soon.
const SETTINGS: [(&str, &str); 2] = [
    ("METERLINE__WEBHOOKS__TIMEOUT_MS", "1000"),
    ("METERLINE__WEBHOOKS__POLL_MS", "100"),
];

#[tokio::test]
async fn a_served_house_tells_a_jobs_story_with_its_outputs_and_its_price() {
    let rig = Rig::patient(fresh_url()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let receiver = Receiver::new().await;
    let (_, secret) = endpoint(&rig.store, &acme, &receiver.url(), "all").await;
    let _worker = start_with(&rig, folder.path(), "one", "image=2", &SETTINGS);
    let job = rig.image(&acme, json!({})).await.job;
    let view = rig.ended(&job).await;
    let mut by_number = BTreeMap::new();
    let mut n = 1;
    while !by_number
        .values()
        .any(|told: &serde_json::Value| told["type"] == "job.succeeded")
    {
        for got in receiver.wait_for(n).await {
            assert!(got.verifies(&secret));
            let told = got.json();
            by_number.insert(told["data"]["sequence"].as_u64().expect("a number"), told);
        }
        n += 1;
    }
    let stories: Vec<&str> = by_number
        .values()
        .filter_map(|told| told["type"].as_str())
        .collect();
    assert_eq!(stories.first().copied(), Some("job.queued"));
    let last = &by_number.values().last().expect("a message")["data"];
    assert_eq!(last["state"], "succeeded");
    assert_eq!(last["captured_ucr"], view.number("captured_ucr"));
    let output = &last["outputs"][0];
    assert_eq!(output["kind"], "image");
    let place = output["place"].as_str().expect("a place");
    let stored = std::fs::read(folder.path().join("artifacts").join(place)).expect("the file");
    assert_eq!(output["bytes"], stored.len());
    rig.assert_sound().await;
}

#[tokio::test]
async fn a_killed_sender_loses_no_message_and_nothing_comes_more_than_twice() {
    let rig = Rig::patient(fresh_url()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let receiver = Receiver::new().await;
    let (id, _) = endpoint(&rig.store, &acme, &receiver.url(), "endings").await;
    let mut first = start_with(&rig, folder.path(), "one", "image=1", &SETTINGS);
    // The first posts are on their way and have no answer when their sender dies.
    receiver.usually(Does::Hangs);
    for _ in 0..12 {
        let job = accept(&rig.store, &job_for(&rig.store, &acme, 1)).await.job;
        cancel(&rig.store, &job).await;
    }
    receiver.wait_for(4).await;
    first.child.kill().expect("a kill");
    receiver.usually(Does::Answers(204, vec![]));
    let _second = start_with(&rig, folder.path(), "two", "image=1", &SETTINGS);
    receiver.wait_for(16).await;
    let mut times = BTreeMap::<String, u32>::new();
    for got in receiver.got() {
        *times.entry(got.id().to_owned()).or_default() += 1;
    }
    assert_eq!(times.len(), 12, "every message came");
    assert!(times.values().all(|n| *n <= 2), "{times:?}");
    let delivered = async || look(&rig.store, &id).await.delivered;
    while delivered().await < 12 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(look(&rig.store, &id).await.waiting, 0);
    rig.assert_sound().await;
}
