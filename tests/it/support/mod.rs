//! What the tests share: a private Redis for the whole process, a database of it for each test.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use meterline::dev::redis::{PrivateRedis, RedisOptions};
use meterline::domain::credits::Ucr;
use meterline::domain::ids::{AccountId, JobId};
use meterline::domain::job::Priority;
use meterline::domain::pricing::{Asked, BilledTrack, Rule};
use meterline::store::{
    ClaimOutcome, ClaimedJob, ConnectionOptions, GrantKind, GrantOutcome, GrantRequest, NewJob,
    Options, Settlement, Store, SubmitOutcome, SubmitRefusal, Submitted,
};

static REDIS: LazyLock<PrivateRedis> =
    LazyLock::new(|| PrivateRedis::start(plain_redis()).expect("a private Redis"));
static DATABASE: AtomicU32 = AtomicU32::new(0);

/// A server without a file: its data end with the test process.
pub(crate) fn plain_redis() -> RedisOptions {
    RedisOptions {
        append_only: false,
        extra: Vec::new(),
    }
}

/// An empty database of the process's own server.
pub(crate) fn fresh_url() -> String {
    REDIS.url_of_database(DATABASE.fetch_add(1, Ordering::Relaxed))
}

/// The settings that tests use: short clocks, one partition.
pub(crate) fn options() -> Options {
    Options {
        partitions: 1,
        connection: ConnectionOptions {
            pool_size: 4,
            connect_timeout_ms: 2_000,
            response_timeout_ms: 10_000,
        },
        queue_room: 1_000_000,
        lane_max: 10_000,
        max_active: 20,
        payload_max_bytes: 65_536,
        grants_max: 64,
        schedule_ahead_ms: 7 * 86_400_000,
        queue_ttl_ms: 86_400_000,
        quote_ttl_ms: 900_000,
        takeovers_max: 5,
        cancel_grace_ms: 10_000,
        retention_ms: 7 * 86_400_000,
        dead_letter_ms: 30 * 86_400_000,
        memory_refuse_percent: 85,
    }
}

/// The lease that store tests give workers, ms.
pub(crate) const LEASE_MS: u64 = 15_000;
/// The sweep that store tests use, ms.
pub(crate) const SWEEP_MS: u64 = 1_000;
/// When tests that own the clock begin, ms since 1970.
pub(crate) const T0: u64 = 1_800_000_000_000;

/// A store of its own, with its clock stopped at [`T0`].
pub(crate) async fn store() -> Store {
    store_with(options()).await
}

pub(crate) async fn store_with(options: Options) -> Store {
    Store::open(&fresh_url(), options)
        .await
        .expect("a store")
        .at(T0)
}

pub(crate) fn account(name: &str) -> AccountId {
    name.parse().expect("an account id")
}

pub(crate) fn credits(n: u32) -> Ucr {
    Ucr::from_credits(n)
}

/// Opens an account with purchased credits.
pub(crate) async fn funded(store: &Store, name: &str, n: u32) -> AccountId {
    let id = account(name);
    store.open_account(&id, 0).await.expect("open");
    if n > 0 {
        give(
            store,
            &id,
            n,
            GrantKind::Purchase,
            None,
            &format!("fund-{name}"),
        )
        .await;
    }
    id
}

pub(crate) async fn give(
    store: &Store,
    id: &AccountId,
    n: u32,
    kind: GrantKind,
    expires_at_ms: Option<u64>,
    operation: &str,
) -> GrantOutcome {
    let request = GrantRequest {
        account: id.clone(),
        operation: operation.parse().expect("an operation id"),
        amount: credits(n),
        kind,
        expires_at_ms,
        reason: "test".to_owned(),
        actor: "tests".to_owned(),
    };
    store.grant(&request).await.expect("grant")
}

/// A job at 7 credits per second, for `n` credits at most.
pub(crate) fn job_for(store: &Store, id: &AccountId, n: u32) -> NewJob {
    NewJob {
        account: id.clone(),
        job: store.new_job_id(id),
        fingerprint: format!("print-{n}"),
        ceiling: credits(n),
        tool: "image-to-video".to_owned(),
        queue: "video".to_owned(),
        priority: Priority::Normal,
        price_version: "test".to_owned(),
        rule: Rule::per_second(credits(7), BilledTrack::Video).expect("a rule"),
        asked: Asked {
            max_ms: Some(5_000),
            outputs: 1,
        },
        deadline_ms: 60_000,
        delay_ms: 0,
        payload: "{}".to_owned(),
        idempotency_key: None,
        quote: None,
        max: None,
    }
}

pub(crate) async fn accept(store: &Store, job: &NewJob) -> Submitted {
    match store.submit(job).await.expect("submit") {
        SubmitOutcome::Accepted(submitted) => submitted,
        SubmitOutcome::Refused(refusal) => panic!("refused: {refusal}"),
    }
}

pub(crate) async fn refuse(store: &Store, job: &NewJob) -> SubmitRefusal {
    match store.submit(job).await.expect("submit") {
        SubmitOutcome::Accepted(submitted) => panic!("accepted: {submitted:?}"),
        SubmitOutcome::Refused(refusal) => refusal,
    }
}

/// Claims up to `n` video jobs for a worker.
pub(crate) async fn claim(store: &Store, worker: &str, n: u32) -> Vec<ClaimedJob> {
    let slots = [("video".to_owned(), n)];
    match store
        .claim(0, worker, LEASE_MS, &slots, false)
        .await
        .expect("claim")
    {
        ClaimOutcome::Claimed(claimed) => claimed.jobs,
        ClaimOutcome::Lost => panic!("worker {worker} is lost"),
    }
}

pub(crate) async fn claim_one(store: &Store, worker: &str) -> ClaimedJob {
    claim(store, worker, 1).await.pop().expect("a job to claim")
}

pub(crate) fn settlement(captured: u32) -> Settlement {
    Settlement {
        captured: credits(captured),
        absorbed: Ucr::ZERO,
        measured_ms: Some(5_000),
        billable_ms: Some(5_000),
        flags: String::new(),
        result: "{}".to_owned(),
    }
}

/// Balance and held credits, in whole credits.
pub(crate) async fn balance(store: &Store, id: &AccountId) -> (i64, i64) {
    let view = store
        .account(id)
        .await
        .expect("account")
        .expect("the account");
    (view.available_ucr / 1_000_000, view.held_ucr / 1_000_000)
}

pub(crate) async fn state_of(store: &Store, job: &JobId) -> String {
    store
        .job(job)
        .await
        .expect("job")
        .map(|view| view.text("state").to_owned())
        .unwrap_or_default()
}
