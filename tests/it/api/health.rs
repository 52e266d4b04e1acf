//! What whoever watches a process is told: that it lives, and whether it works.

use std::time::Duration;

use meterline::dev::redis::PrivateRedis;
use meterline::store::Store;

use super::{Api, settings};
use crate::support::front::Front;
use crate::support::rig::Rig;
use crate::support::{options, plain_redis};

#[tokio::test]
async fn a_worker_whose_claims_stall_is_not_ready_and_its_process_lives_on() {
    let redis = PrivateRedis::start(plain_redis()).expect("a Redis");
    let rig = Rig::on(redis.url()).await;
    // The worker reaches the store by a line of its own, which can hang while everything else answers.
    let front = Front::of(&redis).await;
    let line = Store::open(&front.url(), options()).await.expect("a store");
    let worker = rig.worker_of(line, None, 2, 20_000);
    worker.claiming().await;
    let sign = Box::new(worker.vital_sign());
    let nowhere = std::path::Path::new("/nowhere");
    let api = Api::with_worker(rig.store.clone(), settings(), nowhere, Some(sign)).await;
    let becomes = async |status: u16, worker: &str| {
        let asking = async {
            loop {
                let (answered, body) = api.get("", "/readyz").await;
                assert_eq!(body["store"], "ok", "{body}");
                if answered == status {
                    assert_eq!(body["worker"], worker, "{body}");
                    return;
                }
            }
        };
        let asked = tokio::time::timeout(Duration::from_secs(20), asking).await;
        asked.unwrap_or_else(|_| panic!("never {status}"));
    };
    becomes(200, "ok").await;
    front.let_through(0);
    becomes(503, "stalled").await;
    assert_eq!(api.get("", "/livez").await.0, 200);
    front.release();
    becomes(200, "ok").await;
    worker.drain().await;
}
