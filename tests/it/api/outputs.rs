//! Downloads of outputs: whole, in parts, to whom they belong, and only where this server has them.

use std::time::Duration;

use meterline::domain::ids::JobId;
use meterline::store::{ClaimedJob, KeyScope, SettleOutcome, Settlement, Step, Store};
use reqwest::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Api, key, kind, send, settings};
use crate::support::{
    accept, account, assert_sound, cancel, claim_one, funded, intent, job_for, note, rig::Rig,
    settle, settlement, state_of,
};

/// A job whose output is the simulated provider's, stored in the rig's folder, and a server beside it.
async fn finished() -> (Rig, Api, JobId) {
    let rig = Rig::new().await;
    let worker = rig.worker(None);
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let job = rig.image(&acme, json!({})).await.job;
    let view = rig.ended(&job).await;
    assert_eq!(view.text("state"), "succeeded");
    worker.abort().await;
    let api = Api::beside(rig.store.clone(), settings(), rig.artifacts.path()).await;
    (rig, api, job)
}

fn at(job: &JobId) -> String {
    format!("/v1/jobs/{job}/outputs/0")
}

fn header(response: &Response, name: HeaderName) -> String {
    let value = response.headers().get(name).expect("the header");
    value.to_str().expect("text").to_owned()
}

async fn ask(api: &Api, path: &str, headers: &[(HeaderName, &str)]) -> Response {
    let request = api.request(&api.admin, Method::GET, path);
    let add = |request: reqwest::RequestBuilder, (name, value): &(HeaderName, &str)| {
        request.header(name, *value)
    };
    send(headers.iter().fold(request, add)).await
}

async fn bytes(response: Response) -> Vec<u8> {
    response.bytes().await.expect("a body").to_vec()
}

#[tokio::test]
async fn an_output_comes_whole_and_as_what_was_measured() {
    let (rig, api, job) = finished().await;
    let (_, shown) = api.get(&api.admin, &format!("/v1/jobs/{job}")).await;
    let shown = shown["outputs"][0].clone();
    let whole = ask(&api, &at(&job), &[]).await;
    assert_eq!(whole.status(), 200);
    assert_eq!(header(&whole, CONTENT_TYPE), "image/png");
    assert_eq!(header(&whole, CONTENT_LENGTH), shown["bytes"].to_string());
    assert_eq!(
        header(&whole, ETAG),
        format!("\"{}\"", shown["sha256"].as_str().expect("a hash"))
    );
    assert_eq!(
        header(&whole, CONTENT_DISPOSITION),
        format!("attachment; filename=\"{job}-0.png\"")
    );
    assert_eq!(header(&whole, CACHE_CONTROL), "private, no-cache");
    let sniffed = HeaderName::from_static("x-content-type-options");
    assert_eq!(header(&whole, sniffed), "nosniff");
    let whole = bytes(whole).await;
    assert_eq!(shown["sha256"], hex::encode(Sha256::digest(&whole)));
    let head = send(api.request(&api.admin, Method::HEAD, &at(&job))).await;
    assert_eq!(head.status(), 200);
    assert_eq!(header(&head, CONTENT_LENGTH), whole.len().to_string());
    rig.assert_sound().await;
}

#[tokio::test]
async fn an_output_comes_in_parts_and_only_where_it_is_not_there_already() {
    let (_rig, api, job) = finished().await;
    let path = at(&job);
    let whole = ask(&api, &path, &[]).await;
    let etag = header(&whole, ETAG);
    let whole = bytes(whole).await;
    let end = whole.len();
    let range = |from: usize, to: usize| (format!("bytes {from}-{to}/{end}"), from..to + 1);
    for (asked, (said, part)) in [
        ("bytes=2-5", range(2, 5)),
        ("bytes=7-", range(7, end - 1)),
        ("bytes=-3", range(end - 3, end - 1)),
        ("bytes=0-999999999", range(0, end - 1)),
    ] {
        let response = ask(&api, &path, &[(RANGE, asked), (IF_RANGE, &etag)]).await;
        assert_eq!(response.status(), 206, "{asked}");
        assert_eq!(header(&response, CONTENT_RANGE), said);
        assert_eq!(header(&response, CONTENT_TYPE), "image/png");
        assert_eq!(bytes(response).await, whole[part], "{asked}");
    }
    // Of another file than the one that was begun there is no part, and several parts are the whole.
    for headers in [
        [(RANGE, "bytes=2-5"), (IF_RANGE, "\"other\"")],
        [(RANGE, "bytes=0-1,4-5"), (IF_RANGE, etag.as_str())],
    ] {
        let response = ask(&api, &path, &headers).await;
        assert_eq!(response.status(), 200, "{headers:?}");
        assert_eq!(bytes(response).await, whole);
    }
    let beyond = ask(&api, &path, &[(RANGE, "bytes=999999999-")]).await;
    assert_eq!(beyond.status(), 416);
    assert_eq!(header(&beyond, CONTENT_RANGE), format!("bytes */{end}"));
    let problem: Value = beyond.json().await.expect("a problem");
    assert_eq!(kind(&problem), "bad_range");
    let known = ask(&api, &path, &[(IF_NONE_MATCH, &etag)]).await;
    assert_eq!((known.status().as_u16(), header(&known, ETAG)), (304, etag));
    assert!(bytes(known).await.is_empty());
    let other = ask(&api, &path, &[(IF_NONE_MATCH, "\"other\"")]).await;
    assert_eq!(other.status(), 200);
    let promised = ask(&api, &path, &[(IF_MATCH, "\"other\"")]).await;
    assert_eq!(promised.status(), 412);
    let problem: Value = promised.json().await.expect("a problem");
    assert_eq!(kind(&problem), "precondition_failed");
}

#[tokio::test]
async fn an_output_is_its_owners_and_stands_at_one_address() {
    let (_rig, api, job) = finished().await;
    let acme = key(&api.store, &[KeyScope::Produce], Some("acme")).await;
    let owner = send(api.request(&acme, Method::GET, &at(&job))).await;
    assert_eq!(owner.status(), 200);
    let other = api.customer("other", 1).await;
    let missing = job.as_str().replace(&job.as_str()[24..], "000000000000");
    let foreign = api.get(&other, &at(&job)).await;
    let absent = api
        .get(&other, &format!("/v1/jobs/{missing}/outputs/0"))
        .await;
    assert_eq!(foreign.0, 404);
    let same = |body: &Value, id: &str| body.to_string().replace(id, "JOB");
    assert_eq!(same(&foreign.1, job.as_str()), same(&absent.1, &missing));
    for index in [
        "1",
        "00",
        "+0",
        "-1",
        "0.png",
        "..%2f0",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    ] {
        let path = format!("/v1/jobs/{job}/outputs/{index}");
        let (status, body) = api.get(&acme, &path).await;
        assert_eq!(
            (status.as_u16(), kind(&body)),
            (404, "unknown_output"),
            "{index}"
        );
    }
}

#[tokio::test]
async fn a_file_that_is_gone_or_cut_off_or_elsewhere_is_said_to_be_so() {
    let (rig, api, job) = finished().await;
    let said = async |expected: (u16, &str)| {
        let (status, body) = api.get(&api.admin, &at(&job)).await;
        assert_eq!((status.as_u16(), kind(&body)), expected, "{body}");
        let folder = rig.artifacts.path().display().to_string();
        assert!(!body.to_string().contains(&folder), "{body}");
    };
    let (_, shown) = api.get(&api.admin, &format!("/v1/jobs/{job}")).await;
    let place = shown["outputs"][0]["place"].as_str().expect("a place");
    let file = rig.artifacts.path().join(place);
    let content = std::fs::read(&file).expect("the file");
    std::fs::write(&file, &content[1..]).expect("written");
    said((404, "output_missing")).await;
    std::fs::remove_file(&file).expect("removed");
    said((404, "output_missing")).await;
    std::fs::remove_dir_all(rig.artifacts.path()).expect("removed");
    said((404, "outputs_elsewhere")).await;
    // A process that only hands out makes no folder.
    assert!(!rig.artifacts.path().exists());
}

/// An output's place below the folder.
fn place(job: &JobId) -> String {
    format!("{job}/1-0-0123456789abcdef.mp4")
}

/// What a worker notes of one stored output of so many bytes, and settles with.
fn record(job: &JobId, bytes: u64) -> String {
    let artifact = json!({"place": place(job), "sha256": "0".repeat(64), "bytes": bytes});
    let measured = json!({"kind": "audio", "video": null, "audio": null});
    let flags = json!({"unmeasured": false, "disagreement": false, "fewer_outputs": false});
    let charge = json!({"measured_ms": 5_000, "billable_ms": 5_000, "price_ucr": 7_000_000,
        "captured_ucr": 7_000_000, "absorbed_ucr": 0, "flags": flags});
    let outputs = [json!({"artifact": artifact, "measured": measured})];
    json!({"submission": 1, "provider": "sim", "outputs": outputs, "charge": charge,
        "reported_ms": null})
    .to_string()
}

/// A job that has its output, and is still to be settled.
async fn stored(store: &Store, bytes: u64) -> (ClaimedJob, Settlement) {
    accept(store, &job_for(store, &account("acme"), 7)).await;
    let job = claim_one(store, "w1").await;
    note(store, &job, intent(1)).await;
    let mut settlement = settlement(7);
    settlement.result = record(&job.job, bytes);
    let noted = store
        .checkpoint(&job.job, &job.token, Step::Artifact, &settlement.result)
        .await;
    noted.expect("noted");
    (job, settlement)
}

#[tokio::test]
async fn nothing_is_handed_out_before_it_is_settled_or_after_a_cancel() {
    let store = crate::support::store().await;
    funded(&store, "acme", 100).await;
    // There is no folder here: what would be handed out is elsewhere.
    let api = Api::on(store.clone(), settings()).await;
    let answered = async |job: &JobId| {
        let (_, body) = api.get(&api.admin, &at(job)).await;
        kind(&body).to_owned()
    };
    let (job, paid) = stored(&store, 8).await;
    assert_eq!(answered(&job.job).await, "unknown_output", "still running");
    settle(&store, &job, &paid).await;
    assert_eq!(state_of(&store, &job.job).await, "succeeded");
    assert_eq!(answered(&job.job).await, "outputs_elsewhere");

    let (job, unpaid) = stored(&store, 8).await;
    cancel(&store, &job.job).await;
    let settled = settle(&store, &job, &unpaid).await;
    assert_eq!(settled, SettleOutcome::Cancelled);
    assert_eq!(answered(&job.job).await, "unknown_output", "given back");

    // What came after the deadline is free.
    let (job, unpaid) = stored(&store, 8).await;
    let late = store.at(store.server_ms().await.expect("a time") + 120_000);
    let settled = settle(&late, &job, &unpaid).await;
    assert_eq!(settled, SettleOutcome::TimedOut);
    assert_eq!(answered(&job.job).await, "outputs_elsewhere");
    assert_sound(&store).await;
}

/// More than sockets take in when nobody reads.
const MANY_BYTES: u64 = 32 * 1024 * 1024;

#[tokio::test]
async fn downloads_have_places_that_are_free_again_when_they_end() {
    let store = crate::support::store().await;
    funded(&store, "acme", 100).await;
    let (job, paid) = stored(&store, MANY_BYTES).await;
    settle(&store, &job, &paid).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(place(&job.job));
    std::fs::create_dir(file.parent().expect("a folder")).expect("made");
    let file = std::fs::File::create(file).expect("made");
    file.set_len(MANY_BYTES).expect("long");
    let few = meterline::config::Api {
        downloads_max: 1,
        requests_max: 1,
        ..settings()
    };
    let api = Api::beside(store, few, folder.path()).await;
    let begun = ask(&api, &at(&job.job), &[(ACCEPT_ENCODING, "gzip")]).await;
    assert_eq!(begun.status(), 200);
    // Media is compressed already, and its length is known before its last byte.
    assert!(!begun.headers().contains_key(CONTENT_ENCODING));
    assert_eq!(header(&begun, CONTENT_LENGTH), MANY_BYTES.to_string());
    assert_eq!(header(&begun, CONTENT_TYPE), "audio/mp4");
    // It keeps no place among the requests that are worked on.
    let (status, body) = api.get(&api.admin, &at(&job.job)).await;
    assert_eq!(
        (status.as_u16(), kind(&body)),
        (503, "overloaded"),
        "{body}"
    );
    assert_eq!(body["detail"], "too many outputs are being downloaded");
    drop(begun);
    let freed = async {
        while ask(&api, &at(&job.job), &[(RANGE, "bytes=0-0")])
            .await
            .status()
            != 206
        {
            tokio::task::yield_now().await;
        }
    };
    let freed = tokio::time::timeout(Duration::from_secs(20), freed).await;
    freed.expect("the place is free again");
}
