//! Dead letters and holds on the command line: listed, looked at, retried, dropped, one or thousands.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use meterline::domain::failure::FailureClass;
use meterline::domain::ids::{AccountId, JobId};
use meterline::store::Store;
use serde_json::Value;

use super::*;
use crate::support::{accept, assert_sound, give, job_for, options};

/// The store behind a command line.
async fn store(cli: &Cli) -> Store {
    Store::open(&cli.url, options()).await.expect("a store")
}

/// So many dead letters of one credit each.
async fn dead_letters(store: &Store, account: &AccountId, n: usize) -> BTreeSet<JobId> {
    let mut jobs = BTreeSet::new();
    for _ in 0..n {
        let job = accept(store, &job_for(store, account, 1)).await.job;
        let class = FailureClass::ProviderFault;
        let ended = store.force_fail(&job, class, "a test", "tests").await;
        ended.expect("force fail");
        jobs.insert(job);
    }
    jobs
}

fn acme() -> AccountId {
    "acme".parse().expect("an account")
}

/// An image job that ended by force.
fn failed(cli: &Cli, account: &str, more: &[&str]) -> String {
    let mut line = vec!["submit", "--account", account, "--tool", "text-to-image"];
    line.extend(["--param", "prompt=a red fox"]);
    let job = text(&cli.ok(&line)["job"]).to_owned();
    let mut line = vec!["job", "force-fail", &job, "--reason", "it hangs"];
    line.extend(more);
    let ended = cli.ok(&line);
    assert_eq!(
        (text(&ended["status"]), text(&ended["state"])),
        ("ended", "failed")
    );
    assert_eq!(text(&cli.ok(&line)["status"]), "replayed");
    job
}

#[test]
fn dead_letters_are_listed_summed_up_and_looked_at() {
    let cli = Cli::funded(100);
    assert_eq!(cli.ok(&["dead", "ls"]), serde_json::json!([]));
    let first = failed(&cli, "acme", &["--class", "provider_fault"]);
    let second = failed(&cli, "acme", &["--actor", "anna"]);
    let listed = cli.ok(&["dead", "ls"]);
    assert_eq!(text(&listed[0]["job"]), second, "newest first");
    assert_eq!(text(&listed[1]["job"]), first);
    assert_eq!(listed[1]["ceiling_ucr"], 7_000_000);
    let only = cli.ok(&["dead", "ls", "--class", "lost", "--account", "acme"]);
    assert_eq!(only.as_array().map(Vec::len), Some(1));
    assert_eq!(text(&only[0]["job"]), second);
    for nothing in [
        ["--older-than", "1h"],
        ["--since", "2099-01-01T00:00:00Z"],
        ["--tool", "image-to-video"],
        ["--limit", "0"],
    ] {
        let line = ["dead", "ls", nothing[0], nothing[1]];
        assert_eq!(cli.ok(&line), serde_json::json!([]), "{nothing:?}");
    }
    let groups = cli.ok(&["dead", "ls", "--group"]);
    assert_eq!(groups[0]["class"], "lost");
    assert_eq!(groups[1]["class"], "provider_fault");
    assert_eq!(
        (&groups[1]["number"], &groups[1]["ceiling_ucr"]),
        (&1.into(), &7_000_000.into())
    );

    let shown = cli.ok(&["dead", "show", &second]);
    assert_eq!(shown["params"]["prompt"], "a red fox");
    assert_eq!(
        (text(&shown["ended_by"]), text(&shown["end_reason"])),
        ("anna", "it hangs")
    );
    assert_eq!(shown["retry"]["hold_ucr"], 7_000_000);
    assert_eq!(shown["retry"]["account_can_pay"], true);
    assert!(
        shown["routes"]
            .as_array()
            .is_some_and(|routes| !routes.is_empty())
    );
    assert_eq!(
        cli.fails(3, &["dead", "ls", "--account", "nobody"])["type"],
        "unknown_account"
    );
    assert_eq!(
        cli.fails(2, &["dead", "ls", "--class", "nonsense"])["type"],
        "usage"
    );
}

#[test]
fn what_a_force_fail_cannot_do_has_its_exit_code() {
    let cli = Cli::funded(10);
    let nobody = "j00-00000000-0000-7000-8000-000000000000";
    let line = |job| ["job", "force-fail", job, "--reason", "x"];
    assert_eq!(cli.fails(3, &line(nobody))["type"], "unknown_job");
    let submit = [
        "submit",
        "--account",
        "acme",
        "--tool",
        "text-to-image",
        "--param",
        "prompt=x",
    ];
    let job = text(&cli.ok(&submit)["job"]).to_owned();
    assert_eq!(cli.fails(2, &["job", "force-fail", &job])["type"], "usage");
    cli.ok(&["job", "cancel", &job]);
    let error = cli.fails(4, &line(&job));
    assert_eq!(
        (text(&error["type"]), text(&error["state"])),
        ("already_ended", "cancelled")
    );
}

#[test]
fn one_dead_letter_is_retried_once_and_the_payer_is_always_said() {
    let cli = Cli::funded(10);
    let job = failed(&cli, "acme", &[]);
    assert_eq!(cli.fails(2, &["dead", "retry", &job])["type"], "usage");
    let retry = [
        "dead", "retry", &job, "--payer", "account", "--reason", "again",
    ];
    let retried = cli.ok(&retry);
    assert_eq!(
        (text(&retried["status"]), text(&retried["payer"])),
        ("retried", "account")
    );
    assert_eq!(cli.balance(), (3, 7));
    let again = cli.ok(&retry);
    assert_eq!(text(&again["status"]), "replayed");
    assert_eq!(again["new_job"], retried["new_job"]);
    let other = cli.fails(4, &["dead", "retry", &job, "--payer", "house"]);
    assert_eq!(
        (text(&other["type"]), &other["new_job"]),
        ("payer_mismatch", &retried["new_job"])
    );
    let gone = cli.fails(4, &["dead", "drop", &job, "--reason", "x"]);
    assert_eq!(
        (text(&gone["type"]), &gone["new_job"]),
        ("not_a_dead_letter", &retried["new_job"])
    );
    assert_eq!(
        cli.ok(&["dead", "show", &job])["redriven_as"],
        retried["new_job"]
    );

    let new = text(&retried["new_job"]);
    assert_eq!(cli.ok(&["job", "show", new])["redrive_of"], job.as_str());
    for line in [
        vec!["dead", "retry", new, "--payer", "house"],
        vec!["dead", "drop", new, "--reason", "x"],
        vec!["dead", "show", new],
    ] {
        assert_eq!(cli.fails(4, &line)["type"], "not_a_dead_letter", "{line:?}");
    }
    let nobody = "j00-00000000-0000-7000-8000-000000000000";
    for line in [
        vec!["dead", "retry", nobody, "--payer", "house"],
        vec!["dead", "drop", nobody, "--reason", "x"],
        vec!["dead", "show", nobody],
    ] {
        assert_eq!(cli.fails(3, &line)["type"], "unknown_job", "{line:?}");
    }
    cli.assert_sound();
}

#[test]
fn a_dry_run_says_what_it_costs_and_who_cannot_pay_and_the_run_says_the_same() {
    let cli = Cli::funded(14);
    cli.ok(&["account", "create", "poor"]);
    cli.ok(&["account", "grant", "poor", "--credits", "7", "--op-id", "p"]);
    for account in ["acme", "acme", "poor"] {
        failed(&cli, account, &[]);
    }
    let spent = cli.ok(&[
        "submit",
        "--account",
        "poor",
        "--tool",
        "text-to-image",
        "--param",
        "prompt=x",
    ]);
    assert_eq!(spent["hold_ucr"], 7_000_000);
    let raw = |payer| cli.ok(&["dead", "retry", "--all", "--payer", payer, "--dry-run"]);
    let dry = raw("account");
    assert_eq!(
        (&dry["jobs"], &dry["hold_ucr"]),
        (&3.into(), &21_000_000.into())
    );
    assert_eq!(
        (&dry["payable_jobs"], &dry["accounts_short"]),
        (&2.into(), &1.into())
    );
    assert_eq!(dry["short"][0]["account"], "poor");
    assert_eq!(raw("house")["payable_jobs"], 3);
    assert_eq!(cli.balance(), (14, 0), "nothing was done");

    // Without a terminal nobody can be asked.
    let unasked = cli.fails(2, &["dead", "retry", "--all", "--payer", "account"]);
    assert!(text(&unasked["message"]).contains("--yes"), "{unasked}");
    assert!(
        text(&cli.fails(2, &["dead", "retry", "--payer", "house"])["message"]).contains("--all")
    );
    assert_eq!(cli.balance(), (14, 0), "nothing was done");

    let ran = cli.run(&["dead", "retry", "--all", "--payer", "account", "--yes"]);
    assert_eq!(ran.code, 1, "one was refused: {ran:?}");
    let lines = ran.lines();
    assert_eq!(lines.len(), 4);
    let refused = lines
        .iter()
        .find(|line| line["error"].is_object())
        .expect("a refusal");
    assert_eq!(refused["error"]["type"], "insufficient");
    let summary = &lines[3]["summary"];
    assert_eq!(
        (&summary["retried"], &summary["hold_ucr"]),
        (&2.into(), &14_000_000.into())
    );
    assert_eq!(summary["refused"], serde_json::json!({"insufficient": 1}));
    assert_eq!(cli.balance(), (0, 14));
    let ran = cli.run(&[
        "dead",
        "retry",
        "--account",
        "poor",
        "--payer",
        "house",
        "--yes",
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.lines()[1]["summary"]["retried"], 1);
    let holds = cli.ok(&["hold", "ls", "--account", "poor"]);
    let payers: Vec<&str> = holds
        .as_array()
        .expect("holds")
        .iter()
        .map(|hold| text(&hold["payer"]))
        .collect();
    assert_eq!(payers, ["account", "house"]);
    assert_eq!(
        cli.ok(&["dead", "retry", "--all", "--payer", "house", "--yes"])["summary"]["retried"],
        0
    );
    cli.assert_sound();
}

#[test]
fn dead_letters_are_dropped_with_a_reason() {
    let cli = Cli::funded(50);
    let jobs = [(); 3].map(|()| failed(&cli, "acme", &[]));
    assert_eq!(cli.fails(2, &["dead", "drop", &jobs[0]])["type"], "usage");
    let dropped = cli.ok(&["dead", "drop", &jobs[0], "--reason", "x"]);
    assert_eq!(text(&dropped["status"]), "dropped");
    let error = cli.fails(4, &["dead", "retry", &jobs[0], "--payer", "account"]);
    assert_eq!(text(&error["state"]), "dropped");
    assert!(!cli.ok(&["dead", "show", &jobs[0]])["dropped_at"].is_null());
    let drop = [
        "dead", "drop", &jobs[0], &jobs[1], &jobs[2], "--reason", "x",
    ];
    let lines = cli.run(&drop).lines();
    assert_eq!(lines[3]["summary"]["dropped"], 2);
    assert_eq!(lines[3]["summary"]["replayed"], 1);
    assert_eq!(cli.ok(&["dead", "ls"]), serde_json::json!([]));
    assert_eq!(cli.balance(), (50, 0));
    cli.assert_sound();
}

#[test]
fn holds_are_listed_with_their_jobs_and_grants() {
    let cli = Cli::funded(50);
    assert_eq!(cli.ok(&["hold", "ls"]), serde_json::json!([]));
    let submit = [
        "submit",
        "--account",
        "acme",
        "--tool",
        "text-to-image",
        "--param",
        "prompt=x",
    ];
    let first = cli.ok(&submit);
    let second = cli.ok(&submit);
    let holds = cli.ok(&["hold", "ls"]);
    assert_eq!(holds[0]["job"], first["job"], "oldest first");
    assert_eq!(holds[1]["job"], second["job"]);
    assert_eq!(
        holds[0]["grants"],
        serde_json::json!([{"grant": "g1", "pinned_ucr": 7_000_000}])
    );
    assert_eq!(holds[0]["state"], "queued");
    assert_eq!(
        cli.ok(&["hold", "ls", "--older-than", "1h"]),
        serde_json::json!([])
    );
    let one = cli.ok(&["hold", "ls", "--account", "acme", "--limit", "1"]);
    assert_eq!(one.as_array().map(Vec::len), Some(1));
    assert_eq!(
        cli.fails(3, &["hold", "ls", "--account", "nobody"])["type"],
        "unknown_account"
    );
}

/// A retry of everything, stuck as soon as nobody reads what it says.
fn retry_all(cli: &Cli) -> (Child, impl BufRead + use<>) {
    let line = ["dead", "retry", "--all", "--payer", "account", "--yes"];
    let mut command: Command = cli.command(&line);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let out = BufReader::with_capacity(512, child.stdout.take().expect("its output"));
    (child, out)
}

/// More than a pipe holds of lines.
const MANY: usize = 800;

#[tokio::test]
async fn promise_03_a_bulk_retry_that_is_killed_and_run_again_retries_no_job_twice() {
    let cli = Cli::funded(u32::try_from(MANY).expect("a number"));
    let store = store(&cli).await;
    let jobs = dead_letters(&store, &acme(), MANY).await;
    let (mut child, mut out) = retry_all(&cli);
    let mut line = String::new();
    out.read_line(&mut line).expect("a line");
    child.kill().expect("SIGKILL");
    child.wait().expect("it ends");
    let left = cli.ok(&["dead", "ls", "--group"])[0]["number"]
        .as_u64()
        .expect("a number");
    let all = MANY as u64;
    assert!(0 < left && left < all, "it was in the middle: {left}");
    assert_eq!(
        cli.balance().1,
        i64::try_from(all - left).expect("a number")
    );

    let ran = cli.run(&["dead", "retry", "--all", "--payer", "account", "--yes"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let summary = ran.lines().pop().expect("a summary")["summary"].clone();
    assert_eq!(
        (&summary["retried"], &summary["replayed"]),
        (&left.into(), &0.into())
    );
    let mut made = BTreeSet::new();
    for job in &jobs {
        let view = store.job(job).await.expect("a look").expect("the job");
        assert!(made.insert(view.text("redriven_as").to_owned()), "{job}");
    }
    // As many holds as jobs: nothing was made that no dead letter knows of.
    assert_eq!(made.len(), MANY);
    assert_eq!(cli.balance(), (0, i64::try_from(MANY).expect("a number")));
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_bulk_retry_that_is_interrupted_ends_between_two_jobs_and_says_what_is_done() {
    let cli = Cli::funded(u32::try_from(MANY).expect("a number"));
    let store = store(&cli).await;
    dead_letters(&store, &acme(), MANY).await;
    let (mut child, mut out) = retry_all(&cli);
    let mut first = String::new();
    out.read_line(&mut first).expect("a line");
    let pid = i32::try_from(child.id()).expect("a process id");
    let pid = rustix::process::Pid::from_raw(pid).expect("a process id");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("signal");
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("the rest");
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
    let lines = first.lines().chain(rest.lines());
    let lines: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let (summary, jobs) = lines.split_last().expect("lines");
    let summary = &summary["summary"];
    assert_eq!(summary["interrupted"], true);
    assert_eq!(summary["retried"], jobs.len());
    let left = cli.ok(&["dead", "ls", "--group"])[0]["number"]
        .as_u64()
        .expect("a number");
    assert!(left > 0);
    assert_eq!(usize::try_from(left).expect("a number"), MANY - jobs.len());
    assert_sound(&store).await;
}

#[tokio::test]
async fn the_script_looks_first_asks_and_retries() {
    let cli = Cli::funded(1);
    let store = store(&cli).await;
    let beta: AccountId = "beta".parse().expect("an account");
    store.open_account(&beta, 0).await.expect("open");
    give(
        &store,
        &beta,
        3,
        meterline::store::GrantKind::Promo,
        None,
        "b",
    )
    .await;
    dead_letters(&store, &beta, 3).await;
    let script = |arguments: &[&str]| {
        let mut command = Command::new("scripts/retry-dead");
        command
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("METERLINE", env!("CARGO_BIN_EXE_meterline"))
            .env("METERLINE_REDIS_URL", &cli.url)
            .env("METERLINE_CONFIG", "config/dev")
            .stdin(Stdio::null());
        ran(&mut command)
    };
    let help = script(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    assert!(help.stdout.contains("--payer"), "{help:?}");
    let unasked = script(&["--payer", "account", "--all"]);
    assert_eq!((unasked.code, unasked.stdout.as_str()), (2, ""));
    assert!(
        unasked.stderr.contains("3 dead letters, 3 credits"),
        "{unasked:?}"
    );
    assert_eq!(script(&["--all"]).code, 2, "who pays is always said");
    let done = script(&[
        "--payer",
        "account",
        "--all",
        "--yes",
        "--reason",
        "two words",
    ]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(done.stdout.lines().count(), 3, "{done:?}");
    assert_eq!(
        script(&["--payer", "account", "--all"]).code,
        0,
        "nothing is left to ask about"
    );
    let view = store.account(&beta).await.expect("account").expect("beta");
    assert_eq!((view.available_ucr, view.held_ucr), (0, 3_000_000));
    let acts = store
        .acts(beta.partition(store.partitions()), "-", 9)
        .await
        .expect("acts");
    let redrives = acts
        .iter()
        .filter(|act| act.act == "redrive" && act.reason == "two words");
    assert_eq!(redrives.count(), 3);
    assert_sound(&store).await;
}
