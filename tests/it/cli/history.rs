//! History from the command line: an empty store is refused, a rebuild is shown first, then made.

use meterline::store::Store;
use secrecy::ExposeSecret;
use serde_json::Value;

use super::{Cli, ran, text};
use crate::history_through::{live, short, trim};
use crate::support::postgres::{fresh_history, project};

const PROJECTOR: [&str; 3] = ["serve", "--role", "projector"];

/// Runs a command with history; its exit code and what it printed on stdout or stderr.
pub(super) fn run(cli: &Cli, history: &str, arguments: &[&str]) -> (Option<i32>, Value) {
    let mut command = cli.command(arguments);
    command.env("METERLINE__POSTGRES__URL", history);
    let output = command.output().expect("meterline");
    let said = if output.stdout.is_empty() {
        output.stderr
    } else {
        output.stdout
    };
    let said = String::from_utf8_lossy(&said);
    let value =
        serde_json::from_str(said.trim()).unwrap_or_else(|_| panic!("{arguments:?}: {said}"));
    (output.status.code(), value)
}

/// Half an answer is printed, and is no success.
#[tokio::test]
async fn without_postgres_listings_say_on_stderr_and_by_their_exit_that_they_are_not_whole() {
    let cli = Cli::new();
    let store = Store::open(&cli.url, short()).await.expect("the store");
    let url = fresh_history().await;
    let (_, over_ms) = live(&store, 3).await;
    project(&store, &url).await;
    trim(&store, &url, over_ms).await;
    let statement = [
        "account",
        "statement",
        "acme",
        "--from",
        "2027-01-15",
        "--to",
        "2027-01-16",
    ];
    for arguments in [&["jobs"][..], &["account", "ledger", "acme"], &statement] {
        let mut command = cli.command(arguments);
        command.env("METERLINE__STORE__PARTITIONS", "1");
        let whole = ran(command.env("METERLINE__POSTGRES__URL", url.expose_secret()));
        assert_eq!(whole.code, 0, "{arguments:?}: {whole:?}");
        let mut command = cli.command(arguments);
        command.env("METERLINE__STORE__PARTITIONS", "1");
        let nobody = "postgresql://meterline@%2Fnonexistent/none";
        let part = ran(command.env("METERLINE__POSTGRES__URL", nobody));
        assert_eq!(part.code, 1, "{arguments:?}: {part:?}");
        assert!(part.stderr.contains("failed to reach Postgres"), "{part:?}");
        assert!(part.json().is_array() || part.json().is_object());
    }
}

#[tokio::test]
async fn a_lost_store_is_refused_shown_and_brought_back() {
    let cli = Cli::funded(100);
    let url = fresh_history().await;
    let history = url.expose_secret();
    let options = meterline::store::Options {
        partitions: 8,
        ..crate::support::options()
    };
    let store = meterline::store::Store::open(&cli.url, options)
        .await
        .expect("the store");
    project(&store, &url).await;
    let before = cli.account();
    let (code, lags) = run(&cli, history, &["postgres", "check"]);
    assert_eq!(
        (code, lags.as_array().map(Vec::len)),
        (Some(0), Some(usize::from(store.partitions())))
    );
    let (code, done) = run(&cli, history, &["postgres", "migrate"]);
    assert_eq!((code, &done["applied"]), (Some(0), &serde_json::json!([])));

    let cli = Cli::new();
    for arguments in [&["account", "show", "acme"][..], &PROJECTOR] {
        let (code, refused) = run(&cli, history, arguments);
        assert_eq!(
            (code, text(&refused["error"]["type"])),
            (Some(4), "store_lost")
        );
        assert!(
            text(&refused["error"]["message"]).contains("meterline rebuild"),
            "{refused}"
        );
    }
    let (code, plan) = run(&cli, history, &["rebuild", "--dry-run"]);
    assert_eq!(code, Some(0), "{plan}");
    let (code, _) = run(&cli, history, &["account", "show", "acme"]);
    assert_eq!(code, Some(4), "a dry run makes no store");
    let (code, done) = run(
        &cli,
        history,
        &["rebuild", "--reason", "lost", "--actor", "ann"],
    );
    assert_eq!(code, Some(0), "{done}");
    let (code, mut after) = run(&cli, history, &["account", "show", "acme"]);
    after["sequence"] = before["sequence"].clone();
    assert_eq!((code, &after), (Some(0), &before));
    let (_, frozen) = run(&cli, history, &["freeze", "ls"]);
    assert_eq!(text(&frozen[0]["reason"]), "rebuilt from history: lost");
    let (code, again) = run(&cli, history, &["rebuild", "--dry-run"]);
    assert_eq!(code, Some(0), "{again}");
    cli.assert_sound();
}

#[test]
fn a_projector_without_a_postgres_is_refused() {
    let cli = Cli::new();
    for arguments in [
        &PROJECTOR[..],
        &["postgres", "check"],
        &["rebuild", "--dry-run"],
    ] {
        let refused = cli.fails(2, arguments);
        assert!(
            text(&refused["message"]).contains("postgres.url"),
            "{refused}"
        );
    }
}
