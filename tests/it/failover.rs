//! A replica that lags is promoted while producers and workers are at work, and a rebuild dies in its middle:
//! in the end there are the figures that history has, and work goes on.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use meterline::dev::redis::PrivateRedis;
use meterline::domain::ids::{AccountId, JobId};
use meterline::ledger::postgres::Rebuild;
use meterline::producer::{self, Asking, Terms};
use meterline::store::{AccountView, GrantKind, NewJob, Store, SubmitRefusal};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::front::Front;
use crate::support::postgres::{
    assert_history, await_level, connect, fresh_history, number, project, projector,
};
use crate::support::rig::Rig;
use crate::support::twins::Twins;
use crate::support::*;

/// Longest wait for anything here.
const PATIENCE: Duration = Duration::from_secs(60);

/// Submits image jobs until the store says that it is frozen; what got no answer is sent again. Returns
/// what was accepted.
async fn produce(rig: Arc<Rig>, id: AccountId, name: &'static str) -> Vec<JobId> {
    let mut accepted = Vec::new();
    loop {
        let Value::Object(params) = json!({"prompt": "x", "sim": {"delay_ms": 30}}) else {
            unreachable!("it is an object")
        };
        let asking = Asking {
            account: id.clone(),
            tool: "text-to-image".to_owned(),
            params,
            route: None,
        };
        let key = format!("{name}-{}", accepted.len());
        let terms = Terms {
            idempotency_key: Some(key.parse().expect("a key")),
            ..Terms::default()
        };
        match rig.producer.submit(&asking, &terms).await {
            Ok(submitted) => accepted.push(submitted.job),
            Err(producer::Error::Refused(SubmitRefusal::Frozen { .. })) => return accepted,
            Err(producer::Error::Store(_)) => tokio::task::yield_now().await,
            // Producers that are quicker than the worker wait for it.
            Err(producer::Error::Refused(SubmitRefusal::LaneFull)) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// Runs the program to its end; what it printed as JSON.
pub(crate) fn meterline(redis: &str, history: &SecretString, arguments: &[&str]) -> Value {
    let output = command(redis, history, arguments)
        .output()
        .expect("meterline");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn command(redis: &str, history: &SecretString, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meterline"));
    command
        .args(arguments)
        .args(["--redis", redis, "--output", "json"])
        .env("METERLINE__POSTGRES__URL", history.expose_secret())
        .stdin(Stdio::null());
    command
}

/// Waits until history has so many entries.
async fn committed(url: &SecretString, seq: i64) {
    let client = connect(url).await;
    let there = async {
        let sql = "select coalesce(max(seq), 0)::bigint from heads";
        while number(&client, sql).await < seq {}
    };
    let there = tokio::time::timeout(PATIENCE, there).await;
    there.expect("history grows");
}

/// What history says of each account: what there was in all, what was charged and refunded.
pub(crate) async fn figures(url: &SecretString) -> BTreeMap<String, [i64; 4]> {
    let sql = "select account, available_ucr + held_ucr, granted_ucr, captured_ucr, refunded_ucr
        from accounts order by account";
    let rows = connect(url).await.query(sql, &[]).await.expect("accounts");
    let figures = |row: &tokio_postgres::Row| (row.get(0), [1, 2, 3, 4].map(|n| row.get(n)));
    rows.iter().map(figures).collect()
}

async fn figures_of(store: &Store) -> BTreeMap<String, [i64; 4]> {
    let mut all = BTreeMap::new();
    for (name, view) in views(store).await {
        let there = view.available_ucr + view.held_ucr;
        let figures = [
            there,
            view.granted_ucr,
            view.captured_ucr,
            view.refunded_ucr,
        ];
        all.insert(name, figures);
    }
    all
}

async fn views(store: &Store) -> BTreeMap<String, AccountView> {
    let mut views = BTreeMap::new();
    for id in store.accounts_in(0).await.expect("accounts") {
        views.insert(id.to_string(), money(store, &id).await);
    }
    views
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_11_a_failover_under_load_is_fenced_rebuilt_and_gone_on_from() {
    let url = fresh_history().await;
    let mut twins = Twins::start().await;
    let front = Front::of(&twins.master).await;
    let rig = Arc::new(Rig::patient(front.url()).await);
    let accounts = [account("acme"), account("bolt")];
    for id in &accounts {
        rig.fund(id, 100_000).await;
    }
    project(&rig.store, &url).await;
    let (leave, history) = (CancellationToken::new(), projector(&rig.store, &url));
    let left = leave.clone();
    let history = tokio::spawn(async move { history.run(&left, || ()).await });
    // One that both servers have heard of, and that nobody starts meanwhile.
    let later = NewJob {
        delay_ms: 600_000,
        ..job_for(&rig.store, &accounts[0], 9)
    };
    let kept = accept(&rig.store, &later).await.job;
    let worker = rig.worker(None);
    let producers = ["p0", "p1", "p2"].map(|name| {
        let id = accounts[usize::from(name == "p1")].clone();
        tokio::spawn(produce(Arc::clone(&rig), id, name))
    });
    committed(&url, 40).await;
    twins.level().await;
    twins.stall().await;
    let client = connect(&url).await;
    let heard = number(&client, "select max(seq) from heads").await;
    committed(&url, heard + 60).await;
    twins.fail_over().await;
    front.turn_to(&twins.replica);

    // Nobody tells them: the fence falls by itself, and a producer is told so.
    let mut accepted = Vec::new();
    for producer in producers {
        let ended = tokio::time::timeout(PATIENCE, producer).await;
        let Ok(ended) = ended else {
            let written = number(&client, "select max(seq) from heads").await;
            let raw = Raw::open(&front.url()).await;
            let part: Vec<String> = raw.run(&["HGETALL", &key("part", "meta")]).await;
            let gone = history.is_finished();
            panic!("no fence: history has {written} entries, gone: {gone}, the partition {part:?}");
        };
        accepted.extend(ended.expect("a producer"));
    }
    let frozen = rig.store.frozen(0).await.expect("frozen").remove(0);
    assert_eq!(frozen.actor, "history");
    let is_told = ["history is ahead: ", "history knows another entry "]
        .iter()
        .any(|words| frozen.reason.starts_with(words));
    assert!(is_told, "{frozen:?}");
    let named = |line: &String| line.starts_with("only history has ");
    assert!(frozen.differed.iter().any(named), "{frozen:?}");
    worker.drain().await;

    let before = figures(&url).await;
    let done = meterline(&front.url(), &url, &["rebuild", "--reason", "a failover"]);
    let plan = &done["partitions"][0];
    assert!(plan["holds_lost"].as_u64() > Some(0), "{plan}");
    assert_eq!(state_of(&rig.store, &kept).await, "scheduled", "{plan}");
    assert_eq!(figures_of(&rig.store).await, before);
    assert_tallies(&rig.store).await;
    rig.assert_sound().await;
    let clear = ["freeze", "clear", "--partition", "0", "--reason", "looked"];
    meterline(&front.url(), &url, &clear);

    // What both know goes on, what is new is taken, and all of it ends.
    let worker = rig.worker(None);
    cancel(&rig.store, &kept).await;
    accepted.push(rig.image(&accounts[0], json!({})).await.job);
    let mut lost = 0;
    for job in &accepted {
        match rig.store.job(job).await.expect("a look") {
            Some(_) => drop(rig.ended(job).await),
            None => lost += 1,
        }
    }
    assert!(lost > 0, "{} were accepted", accepted.len());
    worker.drain().await;
    for view in views(&rig.store).await.into_values() {
        assert_eq!(view.held_ucr, 0, "{view:?}");
    }
    await_level(&rig.store, &url).await;
    leave.cancel();
    history.await.expect("the task").expect("no error");
    let sql = "select count(*) from entries where reason = 'store_lost'";
    let given_back = number(&client, sql).await;
    assert_eq!(u64::try_from(given_back).ok(), plan["holds_lost"].as_u64());
    assert_history(&rig.store, &url).await;
    rig.assert_sound().await;
}

/// A server that lost acknowledged writes and went its own way, to be rebuilt as often as it takes.
struct Lagging {
    /// Its data, as it writes them to a file.
    data: Vec<u8>,
    server: PrivateRedis,
    history: SecretString,
}

impl Lagging {
    /// On both sides: ended, refunded, open jobs. Only in history: a payment, an open job, an end. Only in
    /// the store: a payment, an account, an end, an open job.
    async fn new() -> Self {
        let history = fresh_history().await;
        let mut twins = Twins::start().await;
        let store = twins.store().await;
        let (acme, bolt) = (
            funded(&store, "acme", 100).await,
            funded(&store, "bolt", 50).await,
        );
        let job = charged(&store, &acme, 10, 5).await;
        refund(&store, &job, Some(3), "refund-1").await;
        for n in [20, 6, 4] {
            accept(&store, &job_for(&store, &acme, n)).await;
        }
        accept(&store, &job_for(&store, &bolt, 8)).await;
        twins.level().await;
        twins.stall().await;
        give(&store, &acme, 30, GrantKind::Purchase, None, "pay-2").await;
        accept(&store, &job_for(&store, &bolt, 11)).await;
        let job = claim_one(&store, "w1").await;
        settle(&store, &job, &settlement(2)).await;
        project(&store, &history).await;

        let store = twins.fail_over().await;
        give(&store, &acme, 40, GrantKind::Purchase, None, "pay-3").await;
        funded(&store, "cora", 5).await;
        claim_one(&store, "w1").await;
        let job = claim_one(&store, "w1").await;
        settle(&store, &job, &settlement(6)).await;
        accept(&store, &job_for(&store, &acme, 12)).await;
        project(&store, &history).await;
        assert!(store.leave(0, "w1", "{}").await.expect("leave"));
        let raw = Raw::open(&twins.replica.url()).await;
        raw.run::<String>(&["SAVE"]).await;
        let data = std::fs::read(twins.replica.dir().join("dump.rdb")).expect("its file");
        Self {
            data,
            server: PrivateRedis::start(plain_redis()).expect("a Redis"),
            history,
        }
    }

    /// The server as it was, with nobody connected.
    async fn again(&mut self) -> Front {
        self.server.kill().expect("killed");
        let file = self.server.dir().join("dump.rdb");
        std::fs::write(file, &self.data).expect("its file");
        self.server.restart().expect("started");
        Front::of(&self.server).await
    }

    async fn rebuild(&self, front: &Front) {
        let store = Store::open(&front.url(), options()).await.expect("a store");
        let rebuild = Rebuild::open(store, &self.history).await;
        let done = rebuild.expect("a rebuild").apply(0, "a test", "ann").await;
        done.expect("rebuilt");
    }

    /// What came of it: each account, and each job of the store with its state.
    async fn outcome(&self) -> (BTreeMap<String, AccountView>, Vec<String>) {
        let store = Store::open(&self.server.url(), options()).await;
        let store = store.expect("a store");
        assert_sound(&store).await;
        assert_tallies(&store).await;
        let raw = Raw::open(&self.server.url()).await;
        let mut jobs: Vec<String> = raw.run(&["KEYS", "ml:{p00}:job:*"]).await;
        jobs.sort();
        for job in &mut jobs {
            let state: String = raw.run(&["HGET", job, "state"]).await;
            job.push_str(&format!(" is {state}"));
        }
        let end = store.journal_end(0).await.expect("the end");
        jobs.push(format!("{:?}-{}", end.epoch, end.seq));
        (views(&store).await, jobs)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_dies_after_any_of_its_calls_comes_to_the_same_figures_when_it_is_run_again()
{
    let mut lagging = Lagging::new().await;
    let front = lagging.again().await;
    lagging.rebuild(&front).await;
    let expected = lagging.outcome().await;
    let mut deaths = 0;
    loop {
        let front = lagging.again().await;
        front.let_through(deaths + 1);
        let is_through = tokio::select! {
            () = lagging.rebuild(&front) => true,
            () = front.stuck() => false,
        };
        if is_through {
            break;
        }
        deaths += 1;
        front.turn_to(&lagging.server);
        front.let_through(i64::MAX);
        lagging.rebuild(&front).await;
        assert_eq!(
            lagging.outcome().await,
            expected,
            "dead after call {deaths}"
        );
    }
    assert!(deaths > 10, "{deaths} deaths");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_is_killed_three_times_and_then_comes_to_its_end() {
    let mut lagging = Lagging::new().await;
    let front = lagging.again().await;
    lagging.rebuild(&front).await;
    let expected = lagging.outcome().await;
    let front = lagging.again().await;
    let arguments = ["rebuild", "--reason", "a test"];
    for calls in [4, 7, 9] {
        front.let_through(calls);
        let mut process = command(&front.url(), &lagging.history, &arguments)
            .stdout(Stdio::null())
            .spawn()
            .expect("meterline");
        let stuck = tokio::time::timeout(PATIENCE, front.stuck()).await;
        stuck.expect("it is in its middle");
        process.kill().expect("SIGKILL");
        process.wait().expect("its end");
        front.turn_to(&lagging.server);
    }
    front.let_through(i64::MAX);
    let done = meterline(&front.url(), &lagging.history, &arguments);
    assert_eq!(done["partitions"][0]["store_seq"], Value::Null, "{done}");
    assert_eq!(lagging.outcome().await, expected);
}
