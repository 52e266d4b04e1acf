//! Freezing, clearing, and the log of who did it, from the command line.

use super::{Cli, text};

const SUBMIT: [&str; 7] = [
    "submit",
    "--account",
    "acme",
    "--tool",
    "text-to-image",
    "--param",
    "prompt=x",
];

fn names(value: &serde_json::Value, field: &str) -> Vec<String> {
    let list = value.as_array().expect("a list");
    list.iter()
        .map(|one| text(&one[field]).to_owned())
        .collect()
}

#[test]
fn promise_11_an_account_is_frozen_with_a_reason_and_cleared_with_another() {
    let cli = Cli::funded(100);
    let no_reason = cli.fails(2, &["account", "freeze", "acme"]);
    assert_eq!(text(&no_reason["type"]), "usage");
    let empty = cli.fails(2, &["account", "freeze", "acme", "--reason", " "]);
    assert_eq!(text(&empty["type"]), "usage");
    let nobody = cli.fails(3, &["account", "freeze", "nobody", "--reason", "x"]);
    assert_eq!(text(&nobody["type"]), "unknown_account");
    let not = cli.fails(4, &["freeze", "clear", "acme", "--reason", "x"]);
    assert_eq!(text(&not["type"]), "not_frozen");

    let freeze = [
        "account",
        "freeze",
        "acme",
        "--reason",
        "chargeback",
        "--actor",
        "ann",
        "--op-id",
        "f-1",
    ];
    let frozen = cli.ok(&freeze);
    assert_eq!(text(&frozen["status"]), "frozen");
    assert_eq!(text(&cli.ok(&freeze)["status"]), "replayed");
    let other = cli.ok(&["account", "freeze", "acme", "--reason", "again"]);
    assert_eq!(text(&other["status"]), "already");
    assert_eq!(text(&other["reason"]), "chargeback");

    let refused = cli.fails(4, &SUBMIT);
    assert_eq!(text(&refused["type"]), "frozen");
    assert_eq!(text(&refused["reason"]), "chargeback");
    assert_eq!(text(&refused["account"]), "acme");
    let listed = cli.ok(&["freeze", "ls"]);
    assert_eq!(names(&listed, "account"), ["acme"]);
    assert_eq!(names(&listed, "actor"), ["ann"]);

    let clear = cli.ok(&[
        "freeze", "clear", "acme", "--reason", "paid", "--actor", "bob",
    ]);
    assert_eq!(text(&clear["status"]), "cleared");
    assert_eq!(text(&clear["reason"]), "chargeback");
    assert_eq!(clear["still_differs"], serde_json::json!([]));
    cli.ok(&SUBMIT);
    assert_eq!(cli.ok(&["freeze", "ls"]), serde_json::json!([]));

    let acts = cli.ok(&["audit", "acts"]);
    assert_eq!(names(&acts, "act"), ["freeze", "clear"]);
    assert_eq!(names(&acts, "reason"), ["chargeback", "paid"]);
    let of_bob = cli.ok(&["audit", "acts", "--actor", "bob", "--subject", "acme"]);
    assert_eq!(names(&of_bob, "act"), ["clear"]);
    let newest = cli.ok(&["audit", "acts", "--limit", "1"]);
    assert_eq!(names(&newest, "act"), ["clear"]);
    let none = cli.ok(&["audit", "acts", "--since", "2099-01-01T00:00:00Z"]);
    assert_eq!(none, serde_json::json!([]));
    cli.assert_sound();
}

#[test]
fn promise_11_a_whole_partition_is_frozen_and_cleared() {
    let cli = Cli::funded(100);
    let partition = crate::support::account("acme").partition(8).to_string();
    let beyond = cli.fails(2, &["freeze", "partition", "8", "--reason", "x"]);
    assert_eq!(text(&beyond["type"]), "usage");
    cli.ok(&["freeze", "partition", &partition, "--reason", "restored"]);
    let refused = cli.fails(4, &SUBMIT);
    assert_eq!(
        (text(&refused["type"]), &refused["account"]),
        ("frozen", &serde_json::Value::Null)
    );
    let usage = cli.fails(2, &["freeze", "clear", "--reason", "x"]);
    assert_eq!(text(&usage["type"]), "usage");
    let clear = [
        "freeze",
        "clear",
        "--partition",
        &partition,
        "--reason",
        "looked at",
    ];
    assert_eq!(text(&cli.ok(&clear)["status"]), "cleared");
    cli.ok(&SUBMIT);
    cli.assert_sound();
}

#[tokio::test]
async fn a_clear_says_what_differed_and_what_still_does() {
    let cli = Cli::funded(100);
    let raw = cli.raw().await;
    let partition = crate::support::account("acme").partition(8);
    let found: Vec<String> = raw.run(&["KEYS", "*:acct:acme"]).await;
    let _: i64 = raw.run(&["HINCRBY", &found[0], "available", "7"]).await;
    let number = partition.to_string();
    let audit = cli.run(&["audit", "--partition", &number]);
    assert_eq!(audit.code, 1);
    let report = audit.json();
    assert_eq!(
        (&report["ok"], &report["partitions"]),
        (&false.into(), &1.into())
    );
    let elsewhere = ((partition + 1) % 8).to_string();
    assert_eq!(cli.ok(&["audit", "--partition", &elsewhere])["ok"], true);
    let last = cli.ok(&["audit", "--last"]);
    assert_eq!(last[0]["ok"], serde_json::Value::Null, "nobody audits here");

    cli.ok(&["account", "freeze", "acme", "--reason", "differs"]);
    let clear = cli.ok(&["freeze", "clear", "acme", "--reason", "no idea"]);
    let still = clear["still_differs"].as_array().expect("a list");
    assert!(
        text(&still[0]).starts_with("acme: available: the journal says 100000000"),
        "{clear}"
    );
}
