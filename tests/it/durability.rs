//! What an operation waits for before it is called accepted: a replica that is stopped, a server that
//! cannot confirm, and one that can.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use meterline::dev::redis::{PrivateRedis, RedisOptions, server_programs};
use meterline::store::{
    Durability, DurabilityOptions, Error, GrantKind, GrantOutcome, GrantRequest, Options, Store,
};
use rustix::process::{Pid, Signal, kill_process};

use super::support::{Raw, account, credits, funded, options, tap};

const NONE: DurabilityOptions = DurabilityOptions {
    grants: Durability::None,
    refunds: Durability::None,
    submits: Durability::None,
    settlements: Durability::None,
    timeout_ms: 300,
};

fn grants(wish: Durability) -> Options {
    let durability = DurabilityOptions {
        grants: wish,
        ..NONE
    };
    Options {
        durability,
        ..options()
    }
}

fn plain(extra: &[&str]) -> RedisOptions {
    RedisOptions {
        append_only: true,
        extra: extra.iter().map(ToString::to_string).collect(),
    }
}

fn payment(operation: &str) -> GrantRequest {
    GrantRequest {
        account: account("acme"),
        operation: operation.parse().expect("an operation id"),
        amount: credits(1),
        kind: GrantKind::Purchase,
        expires_at_ms: None,
        reason: "top-up".to_owned(),
        actor: "test".to_owned(),
    }
}

/// A top-up of one credit under an operation id.
async fn pay(store: &Store, operation: &str) -> Result<GrantOutcome, Error> {
    store.grant(&payment(operation)).await
}

/// The same, repeated until somebody confirms it: each try is a wait.
async fn confirmed(store: &Store, operation: &str) -> GrantOutcome {
    let paid = async {
        loop {
            match pay(store, operation).await {
                Ok(outcome) => break outcome,
                Err(error) => assert!(matches!(error, Error::Unknown(_)), "{error}"),
            }
        }
    };
    let limit = tokio::time::timeout(Duration::from_secs(20), paid);
    limit.await.expect("confirmed")
}

/// What can be spent, in whole credits.
async fn balance(store: &Store) -> i64 {
    let view = store.account(&account("acme")).await.expect("a view");
    view.expect("the account").available_ucr / 1_000_000
}

/// A server that others can follow, and one that follows it.
struct Pair {
    master: PrivateRedis,
    replica: PrivateRedis,
}

impl Pair {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener
            .local_addr()
            .expect("its number")
            .port()
            .to_string();
        drop(listener);
        let lead = ["--port", &port, "--repl-diskless-sync-delay", "0"];
        let master = PrivateRedis::start(plain(&lead)).expect("a master");
        let follow = ["--replicaof", "127.0.0.1", &port];
        let replica = PrivateRedis::start(plain(&follow)).expect("a replica");
        let pair = Self { master, replica };
        let raw = Raw::open(&pair.master.url()).await;
        raw.run::<String>(&["SET", "first", "1"]).await;
        let follows = async { while raw.run::<u32>(&["WAIT", "1", "200"]).await == 0 {} };
        let limit = tokio::time::timeout(Duration::from_secs(20), follows);
        limit.await.expect("the replica follows");
        pair
    }

    fn signal(&self, signal: Signal) {
        let pid = self.replica.pid().and_then(Pid::from_raw);
        kill_process(pid.expect("it runs"), signal).expect("a signal");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_10_a_grant_that_no_replica_confirms_is_unknown_until_one_does() {
    let pair = Pair::start().await;
    let store = Store::open(&tap::around(&pair.master, 0), grants(Durability::Strongest))
        .await
        .expect("a store");
    funded(&store, "acme", 0).await;
    confirmed(&store, "pay-1").await;

    pair.signal(Signal::STOP);
    // The second time nothing is written any more, and still it is not confirmed.
    for _ in 0..2 {
        let error = pay(&store, "pay-2").await.expect_err("nobody confirms");
        assert!(
            matches!(&error, Error::Unknown(why) if why.contains("a replica")),
            "{error}"
        );
        assert_eq!(balance(&store).await, 2, "it is written all the same");
    }
    // What is refused is refused, whoever confirms nothing.
    let other = GrantRequest {
        amount: credits(9),
        ..payment("pay-1")
    };
    let refused = store.grant(&other).await.expect("an answer");
    assert!(
        matches!(refused, GrantOutcome::Mismatch { .. }),
        "{refused:?}"
    );
    pair.signal(Signal::CONT);
    let paid = confirmed(&store, "pay-2").await;
    assert!(matches!(paid, GrantOutcome::Granted { replayed: true, .. }));
    assert_eq!(balance(&store).await, 2, "once");
}

/// Pays until the master dies: while its replica follows, and then while it does not. Returns how many
/// payments were accepted, and how many of them the replica knows nothing of once it is the master.
async fn accepted_and_lost(wish: Durability) -> (usize, usize) {
    let mut pair = Pair::start().await;
    let store = Store::open(&pair.master.url(), grants(wish))
        .await
        .expect("a store");
    funded(&store, "acme", 0).await;
    let mut accepted = Vec::new();
    for n in 0..20 {
        let operation = format!("pay-{n}");
        confirmed(&store, &operation).await;
        accepted.push(operation);
    }
    pair.signal(Signal::STOP);
    for n in 20..40 {
        let operation = format!("pay-{n}");
        match pay(&store, &operation).await {
            Ok(_) => accepted.push(operation),
            Err(Error::Unknown(_)) => break,
            Err(error) => panic!("{error}"),
        }
    }
    pair.master.kill().expect("killed");
    pair.signal(Signal::CONT);
    let raw = Raw::open(&pair.replica.url()).await;
    raw.run::<String>(&["REPLICAOF", "NO", "ONE"]).await;
    let heir = Store::open(&pair.replica.url(), grants(Durability::None)).await;
    let heir = heir.expect("a store");
    let mut lost = 0;
    for operation in &accepted {
        match pay(&heir, operation).await.expect("an answer") {
            GrantOutcome::Granted { replayed, .. } => lost += usize::from(!replayed),
            GrantOutcome::UnknownAccount => lost += 1,
            other => panic!("{other:?}"),
        }
    }
    (accepted.len(), lost)
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_10_what_a_replica_has_confirmed_survives_the_loss_of_the_master() {
    let (accepted, lost) = accepted_and_lost(Durability::Replica).await;
    assert_eq!((accepted, lost), (20, 0));
    // Without waiting the same failover may lose what was accepted meanwhile; a replica that goes on still
    // finds what lies in its socket, so that it need not.
    let (accepted, lost) = accepted_and_lost(Durability::None).await;
    assert!(accepted == 40 && lost <= accepted, "{accepted}, {lost}");
}

#[tokio::test]
async fn a_wish_that_cannot_be_fulfilled_is_refused_before_anything_is_sent() {
    let server = PrivateRedis::start(plain(&["--appendfsync", "no"])).expect("a server");
    let url = server.url();
    let store = |wish| Store::open(&url, grants(wish));
    let patient = store(Durability::Strongest).await.expect("a store");
    funded(&patient, "acme", 0).await;

    let lonely = store(Durability::Replica).await.expect("a store");
    let error = pay(&lonely, "pay-1")
        .await
        .expect_err("there is no replica");
    assert!(matches!(error, Error::Unreachable(_)), "{error}");
    let lazy = store(Durability::Fsync).await.expect("a store");
    let error = pay(&lazy, "pay-1").await.expect_err("it never confirms");
    assert!(matches!(error, Error::Unfit(_)), "{error}");
    assert_eq!(balance(&patient).await, 0);

    // The strongest of nothing is nothing: it is accepted, and no mark is written to wait for.
    pay(&patient, "pay-1").await.expect("accepted");
    let raw = Raw::open(&server.url()).await;
    let marks: Vec<String> = raw.run(&["KEYS", "*part:mark"]).await;
    assert!(marks.is_empty(), "{marks:?}");
}

#[tokio::test]
async fn what_is_paid_is_on_the_disk_where_the_server_can_say_so() {
    let program = server_since_7_2();
    let mut server = PrivateRedis::start_program(program, plain(&[])).expect("a server");
    let store = Store::open(&server.url(), grants(Durability::Strongest))
        .await
        .expect("a store");
    funded(&store, "acme", 0).await;
    for n in 0..3 {
        confirmed(&store, &format!("pay-{n}")).await;
    }
    let raw = Raw::open(&server.url()).await;
    let asked: String = raw.run(&["INFO", "commandstats"]).await;
    assert!(asked.contains("cmdstat_waitaof:calls=3,"), "{asked}");

    server.kill().expect("killed");
    server.restart().expect("restarted");
    let again = Store::open(&server.url(), options())
        .await
        .expect("a store");
    assert_eq!(balance(&again).await, 3);
}

/// A server that knows `WAITAOF`. `scripts/test` puts one on the PATH where the system's is older.
fn server_since_7_2() -> PathBuf {
    let is_new = |program: &PathBuf| {
        let said = Command::new(program).arg("--version").output();
        let said = String::from_utf8(said.expect("it runs").stdout).expect("text");
        let version = said.split_once("v=").expect("a version").1;
        let mut parts = version
            .split('.')
            .map(|part| part.parse::<u32>().unwrap_or(0));
        (parts.next(), parts.next()) >= (Some(7), Some(2))
    };
    server_programs()
        .find(is_new)
        .expect("Redis 7.2 or Valkey on the PATH: run scripts/test, which fetches one")
}
