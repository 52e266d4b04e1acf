//! The same commands through a server: what they print and how they end is what the store itself would say.

use std::process::Command;

use meterline::store::Store;
use serde_json::{Value, json};

use super::{Cli, Ran, bare, ran};
use crate::api::{Api, settings};
use crate::support::options;

/// A store with a server on it, asked by both ways.
pub(super) struct Both {
    pub(super) cli: Cli,
    pub(super) api: Api,
}

impl Both {
    pub(super) async fn start() -> Self {
        let cli = Cli::new();
        cli.ok(&["account", "create", "acme"]);
        let store = Store::open(&cli.url, options()).await.expect("the store");
        let api = Api::on(store, settings()).await;
        Self { cli, api }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare(arguments);
        command
            .args(["--output", "json"])
            .env("METERLINE_URL", &self.api.url)
            .env("METERLINE_API_KEY", &self.api.admin);
        command
    }

    pub(super) fn through(&self, arguments: &[&str]) -> Ran {
        ran(&mut self.command(arguments))
    }

    /// Runs a command that must succeed, through the server.
    pub(super) fn ok(&self, arguments: &[&str]) -> Value {
        let ran = self.through(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
        ran.json()
    }

    /// Both ways end in the same way and print the same, but for members that only the store tells.
    pub(super) fn same(&self, arguments: &[&str], store_only: &[&str]) -> Value {
        let (direct, through) = (self.cli.run(arguments), self.through(arguments));
        assert_eq!(
            direct.code, through.code,
            "{arguments:?}: {direct:?} {through:?}"
        );
        if direct.stdout.is_empty() {
            let (direct, through) = (direct.error(), through.error());
            assert_eq!(direct["type"], through["type"], "{arguments:?}");
            return through;
        }
        let (mut direct, through) = (direct.lines(), through.lines());
        for value in &mut direct {
            forget(value, store_only);
        }
        let mut seen = through.clone();
        for value in &mut seen {
            forget(value, store_only);
        }
        assert_eq!(direct, seen, "{arguments:?}");
        through.into_iter().next().unwrap_or_default()
    }
}

fn forget(value: &mut Value, names: &[&str]) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !names.contains(&name.as_str()));
            members.values_mut().for_each(|value| forget(value, names));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| forget(item, names)),
        _ => {}
    }
}

pub(super) const IMAGE: [&str; 6] = [
    "--account",
    "acme",
    "--tool",
    "text-to-image",
    "--param",
    "prompt=a red fox",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_say_the_same_through_a_server_as_on_the_store() {
    let both = Both::start().await;
    let fund = [
        "account",
        "grant",
        "acme",
        "--credits",
        "100",
        "--op-id",
        "pay-1",
        "--reason",
        "x",
    ];
    assert_eq!(both.ok(&fund)["status"], "granted");
    assert_eq!(both.same(&fund, &[])["status"], "replayed");
    assert_eq!(
        both.same(&["account", "create", "acme"], &[])["status"],
        "exists"
    );

    let submit = [&["submit", "--idempotency-key", "k1"][..], &IMAGE].concat();
    let job = both.ok(&submit);
    assert_eq!(
        (&job["status"], &job["hold_ucr"]),
        (&json!("accepted"), &json!(7_000_000))
    );
    assert_eq!(both.same(&submit, &[])["status"], "replayed");
    let job = job["job"].as_str().expect("a job").to_owned();
    let failing = both.ok(&[&["submit"][..], &IMAGE].concat())["job"].clone();
    let failing = failing.as_str().expect("a job");
    let ends = [
        "job",
        "force-fail",
        failing,
        "--reason",
        "hangs",
        "--class",
        "provider_fault",
    ];
    assert_eq!(both.ok(&ends)["state"], "failed");
    assert_eq!(both.same(&ends, &[])["status"], "replayed");

    // Where a job waits is an operator's to see, and needs the store.
    for arguments in [
        &["job", "show", &job][..],
        &["job", "show", failing],
        &["job", "explain", failing],
        &["job", "watch", failing, "--timeout", "20s"],
        &["jobs", "--account", "acme"],
        &["jobs", "--account", "acme", "--state", "failed"],
        &["account", "show", "acme"],
        &["account", "ledger", "acme"],
        &["account", "ledger", "acme", "--limit", "2"],
        &["account", "statement", "acme", "--by", "tool"],
        &["dead", "ls", "--class", "provider_fault"],
        &["dead", "ls", "--group"],
        &["dead", "retry", "--all", "--payer", "account", "--dry-run"],
        &["queue", "ls"],
    ] {
        both.same(arguments, &["oldest_ms"]);
    }
    both.same(
        &["dead", "show", failing],
        &[
            "params",
            "routes",
            "obligations",
            "ended_by",
            "end_reason",
            "route",
        ],
    );

    let retried = both.ok(&["dead", "retry", failing, "--payer", "account"]);
    assert_eq!(retried["status"], "retried");
    both.same(&["dead", "retry", failing, "--payer", "account"], &[]);
    assert_eq!(both.ok(&["job", "cancel", &job])["outcome"], "cancelled");
    both.same(&["job", "cancel", &job], &[]);
    both.same(&["job", "watch", &job, "--timeout", "20s"], &[]);
    assert_eq!(
        both.ok(&["queue", "pause", "video", "--reason", "x"])["state"],
        "paused"
    );
    both.same(&["queue", "pause", "video", "--reason", "x"], &[]);
    both.same(&["queue", "ls"], &["oldest_ms"]);
    both.cli.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_have_the_same_types_and_exit_codes() {
    let both = Both::start().await;
    let video = [
        "--account",
        "acme",
        "--tool",
        "image-to-video",
        "--param",
        "prompt=x",
    ];
    for (arguments, code) in [
        ([&["submit"][..], &IMAGE].concat(), 4),
        ([&["quote"][..], &video].concat(), 2),
        (
            vec![
                "quote",
                "--account",
                "acme",
                "--tool",
                "nope",
                "--param",
                "a=b",
            ],
            2,
        ),
        (
            vec![
                "quote",
                "--account",
                "nobody",
                "--tool",
                "text-to-image",
                "--param",
                "prompt=x",
            ],
            3,
        ),
        (vec!["submit", "--account", "acme", "--quote", "q1"], 4),
        (vec!["job", "show", "j00-none"], 3),
        (vec!["job", "cancel", "j00-none"], 3),
        (vec!["job", "watch", "j00-none", "--timeout", "5s"], 3),
        (vec!["account", "show", "nobody"], 3),
        (vec!["account", "ledger", "nobody"], 3),
        (vec!["account", "statement", "nobody"], 3),
        (vec!["jobs", "--account", "nobody"], 3),
        (vec!["dead", "retry", "--payer", "house"], 2),
        (vec!["queue", "pause", "nope", "--reason", "x"], 3),
    ] {
        both.same(&arguments, &[]);
        assert_eq!(both.through(&arguments).code, code, "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_goes_in_line_by_line_and_twice_is_once() {
    let both = Both::start().await;
    both.cli.ok(&[
        "account",
        "grant",
        "acme",
        "--credits",
        "100",
        "--op-id",
        "fund",
    ]);
    let file = tempfile::NamedTempFile::new().expect("a file");
    let line = |n: u32, tool: &str| json!({"account": "acme", "tool": tool, "params": {"prompt": "x", "seed": n}, "idempotency_key": format!("k{n}")});
    let lines = [
        line(1, "text-to-image"),
        line(2, "nope"),
        line(3, "text-to-image"),
    ];
    let text: Vec<String> = lines.iter().map(Value::to_string).collect();
    std::fs::write(file.path(), text.join("\n")).expect("written");
    let path = file.path().to_str().expect("a path");
    let submit = ["submit", "--file", path];
    let first = both.through(&submit);
    assert_eq!(first.code, 1, "a bad line: {first:?}");
    let lines = first.lines();
    let words: Vec<&Value> = lines.iter().map(|line| &line["status"]).collect();
    assert_eq!(
        words,
        [&json!("accepted"), &Value::Null, &json!("accepted")]
    );
    assert_eq!(lines[1]["error"]["type"], "unknown_tool");
    let again = both.through(&submit).lines();
    assert_eq!(again[0]["status"], "replayed");
    assert_eq!(again[2]["job"], lines[2]["job"]);
    assert_eq!(both.cli.balance(), (86, 14));
    both.cli.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_the_store_or_a_key_says_so() {
    let both = Both::start().await;
    for arguments in [&["audit"][..], &["obligation", "ls"], &["key", "ls"]] {
        let ran = both.through(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
        let message = ran.error()["message"].to_string();
        assert!(message.contains("--redis"), "{message}");
    }
    let show = ["account", "show", "acme"];
    let keyless = ran(both.command(&show).env_remove("METERLINE_API_KEY"));
    assert_eq!(keyless.code, 2, "{keyless:?}");
    assert!(keyless.stderr.contains("METERLINE_API_KEY"));
    let wrong = ran(both.command(&show).env("METERLINE_API_KEY", "mlk_none"));
    assert_eq!(
        (wrong.code, &wrong.error()["type"]),
        (4, &json!("unauthorized"))
    );
    // What is typed goes above the environment, and both at once is a mistake.
    let redis = ["--redis", &both.cli.url, "--config", "config/dev"];
    let direct = [&["audit"][..], &redis].concat();
    assert_eq!(both.through(&direct).code, 0);
    let two = [
        &["account", "show", "acme", "--url", &both.api.url][..],
        &redis,
    ]
    .concat();
    assert_eq!(both.through(&two).code, 2);
}
