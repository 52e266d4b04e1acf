//! What the tests share: a private Redis for the whole process, a database of it for each test.

mod attempt;
pub(crate) mod cluster;
pub(crate) mod dump;
pub(crate) mod files;
pub(crate) mod front;
pub(crate) mod http;
pub(crate) mod lossy;
mod money;
mod placed;
pub(crate) mod ports;
pub(crate) mod postgres;
pub(crate) mod processes;
mod raw;
pub(crate) mod rig;
pub(crate) mod tap;
pub(crate) mod twins;
pub(crate) mod webhooks;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use meterline::dev::redis::{PrivateRedis, RedisOptions};
use meterline::domain::credits::Ucr;
use meterline::domain::failure::FailureClass;
use meterline::domain::ids::{AccountId, JobId};
use meterline::domain::job::{Priority, State};
use meterline::domain::pricing::{Asked, BilledTrack, Rule};
use meterline::store::{
    AccountView, Again, CancelOutcome, ClaimOutcome, ClaimedJob, ConnectionOptions, Durability,
    DurabilityOptions, FailOutcome, Failing, GrantKind, GrantOutcome, GrantRequest, JobView,
    NewJob, Options, ReapOutcome, Settlement, Store, SubmitOutcome, SubmitRefusal, Submitted,
    TickOutcome,
};

pub(crate) use attempt::*;
pub(crate) use money::*;
pub(crate) use placed::misplaced;
pub(crate) use raw::{Raw, key};

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

/// A server that has on its disk what it has acknowledged. With `everysec` one whose disk is slow keeps
/// acknowledged writes back for a moment, and a SIGKILL in that moment would lose them.
pub(crate) fn durable_redis() -> RedisOptions {
    RedisOptions {
        append_only: true,
        extra: vec!["--appendfsync".to_owned(), "always".to_owned()],
    }
}

/// An empty database of the process's own server.
/// Where the tests are about a cluster, that: it has one database, and nobody else may be using it.
pub(crate) fn fresh_url() -> String {
    if let Some(url) = cluster::ours_emptied() {
        return url;
    }
    let database = DATABASE.fetch_add(1, Ordering::Relaxed);
    tap::around(&REDIS, database)
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
        low_balance: Ucr::ZERO,
        payload_max_bytes: 65_536,
        grants_max: 64,
        schedule_ahead_ms: 7 * 86_400_000,
        queue_ttl_ms: 86_400_000,
        quote_ttl_ms: 900_000,
        takeovers_max: 5,
        cancel_grace_ms: 10_000,
        retention_ms: 7 * 86_400_000,
        dead_letter_ms: 30 * 86_400_000,
        opening_ms: 7 * 86_400_000,
        journal_retention_ms: 30 * 86_400_000,
        acts_ms: 400 * 86_400_000,
        memory_refuse_percent: 85,
        durability: DurabilityOptions {
            grants: Durability::None,
            refunds: Durability::None,
            submits: Durability::None,
            settlements: Durability::None,
            timeout_ms: 2_000,
        },
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

/// A store of its own with a plain connection to its database, the clock stopped at [`T0`].
pub(crate) async fn store_and_raw(options: Options) -> (Store, Raw) {
    let url = fresh_url();
    let store = Store::open(&url, options).await.expect("a store").at(T0);
    (store, Raw::open(&url).await)
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

/// A purchase of so many micro-credits.
pub(crate) fn request(id: &AccountId, ucr: i64, operation: &str) -> GrantRequest {
    GrantRequest {
        account: id.clone(),
        operation: operation.parse().expect("an operation id"),
        amount: Ucr::new(ucr).expect("an amount"),
        kind: GrantKind::Purchase,
        expires_at_ms: None,
        reason: "test".to_owned(),
        actor: "tests".to_owned(),
    }
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

pub(crate) async fn view_of(store: &Store, job: &JobId) -> JobView {
    store.job(job).await.expect("job").expect("the job")
}

/// The account as it stands, as of the store's clock.
pub(crate) async fn money(store: &Store, id: &AccountId) -> AccountView {
    store
        .account(id)
        .await
        .expect("account")
        .expect("the account")
}

/// The audit finds nothing.
pub(crate) async fn assert_sound(store: &Store) {
    let report = meterline::ledger::audit(store).await.expect("audit");
    assert!(report.ok, "{:#?}", report.differences);
    assert_eq!(report.books.values().sum::<i128>(), 0);
}

/// A failure of a submission that has its verdict: the end of the job.
pub(crate) fn ends(class: FailureClass) -> Failing {
    Failing {
        class,
        message: "it went wrong".to_owned(),
        has_verdict: true,
        again: None,
    }
}

/// A failure of a submission that has its verdict: once more after `delay_ms`.
pub(crate) fn again(delay_ms: u64) -> Failing {
    Failing {
        again: Some(Again {
            delay_ms,
            tries: 1,
            route: 0,
        }),
        ..ends(FailureClass::ProviderFault)
    }
}

pub(crate) async fn fail(store: &Store, job: &ClaimedJob, failing: &Failing) -> FailOutcome {
    store
        .fail(&job.job, &job.token, failing)
        .await
        .expect("fail")
}

pub(crate) async fn cancel(store: &Store, job: &JobId) -> CancelOutcome {
    store.cancel(job, "tests").await.expect("cancel")
}

/// Sweeps until nothing more is due; the number of jobs ended by a clock.
pub(crate) async fn tick(store: &Store) -> u32 {
    let mut again = false;
    let mut ended_in_all = 0;
    loop {
        let outcome = store
            .tick(0, SWEEP_MS, LEASE_MS, again)
            .await
            .expect("tick");
        let TickOutcome::Ticked { ended, more, .. } = outcome else {
            return ended_in_all;
        };
        ended_in_all += ended;
        again = more;
        if !more {
            return ended_in_all;
        }
    }
}

/// Sweeps every second from `from_ms` to `to_ms`, both included, as a living house does.
pub(crate) async fn tick_through(store: &Store, from_ms: u64, to_ms: u64) {
    for at_ms in (from_ms..to_ms).step_by(1_000).chain([to_ms]) {
        tick(&store.at(at_ms)).await;
    }
}

/// Reaps until nothing more is to take back: dead workers, jobs put back.
pub(crate) async fn reap(store: &Store) -> Option<(Vec<String>, Vec<String>)> {
    let (mut dead, mut taken) = (Vec::new(), Vec::new());
    loop {
        match store.reap(0, LEASE_MS).await.expect("reap") {
            ReapOutcome::Away => return None,
            ReapOutcome::Reaped {
                workers,
                jobs,
                more,
                ..
            } => {
                dead.extend(workers);
                taken.extend(jobs);
                if !more {
                    return Some((dead, taken));
                }
            }
        }
    }
}

/// The outcome of a job that ended in this state by a failure.
pub(crate) fn ended(state: State) -> FailOutcome {
    FailOutcome::Ended(state)
}

/// What each queue says of its open jobs and their holds is what there is.
pub(crate) async fn assert_tallies(store: &Store) {
    let mut found = std::collections::BTreeMap::<String, (u64, i64)>::new();
    for partition in 0..store.partitions() {
        for id in store.open_jobs(partition).await.expect("open jobs") {
            let view = view_of(store, &id).await;
            let tally = found.entry(view.text("queue").to_owned()).or_default();
            tally.0 += 1;
            tally.1 += view.number("hold_ucr");
        }
    }
    for view in store.queue_views().await.expect("queues") {
        let expected = found.remove(&view.queue).unwrap_or_default();
        assert_eq!((view.open, view.held_ucr), expected, "{view:?}");
    }
    assert!(found.is_empty(), "{found:?}");
}
