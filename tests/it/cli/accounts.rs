//! Accounts and grants from the command line.

use serde_json::json;

use super::{Cli, credits, text};

#[test]
fn an_account_is_opened_once_and_shows_what_it_was_given() {
    let cli = Cli::new();
    assert_eq!(cli.ok(&["account", "create", "acme"])["status"], "created");
    assert_eq!(cli.ok(&["account", "create", "acme"])["status"], "exists");
    let grant = [
        "account",
        "grant",
        "acme",
        "--credits",
        "100",
        "--kind",
        "purchase",
        "--op-id",
        "pay-1",
    ];
    let given = cli.ok(&grant);
    assert_eq!(
        (given["status"].as_str(), credits(&given["available_ucr"])),
        (Some("granted"), 100)
    );
    let again = cli.ok(&grant);
    assert_eq!(
        (again["status"].as_str(), credits(&again["available_ucr"])),
        (Some("replayed"), 100)
    );
    let promo = [
        "account",
        "grant",
        "acme",
        "--credits",
        "0.5",
        "--kind",
        "promo",
        "--expires-at",
        "2099-01-01T00:00:00Z",
    ];
    let promo = cli.ok(&promo);
    assert!(text(&promo["op_id"]).starts_with("cli-"), "{promo}");

    let view = cli.account();
    assert_eq!(view["available_ucr"], 100_500_000);
    assert_eq!(
        (&view["held_ucr"], &view["debt_ucr"]),
        (&json!(0), &json!(0))
    );
    let grants = view["grants"].as_array().expect("grants");
    let shown: Vec<_> = grants
        .iter()
        .map(|g| {
            (
                text(&g["kind"]),
                &g["remaining_ucr"],
                g["expires_at"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("purchase", &json!(100_000_000), None),
            ("promo", &json!(500_000), Some("2099-01-01T00:00:00.000Z")),
        ]
    );
    cli.assert_sound();
}

#[test]
fn the_ledger_tells_every_movement_with_postings_that_sum_to_zero() {
    let cli = Cli::funded(100);
    let flags = super::video(5_000);
    let submitted = cli.ok(&super::with("submit", &flags, &[]));
    let job = text(&submitted["job"]);
    assert_eq!(cli.ok(&["job", "cancel", job])["outcome"], "cancelled");

    let entries = cli.ok(&["account", "ledger", "acme"]);
    let entries = entries.as_array().expect("a list");
    let kinds: Vec<&str> = entries.iter().map(|entry| text(&entry["kind"])).collect();
    assert_eq!(kinds, ["open", "grant", "hold", "release"]);
    assert_eq!(
        (text(&entries[2]["job"]), text(&entries[3]["job"])),
        (job, job)
    );
    assert_eq!(
        entries[2]["postings"],
        json!([{"book": "available", "amount_ucr": -35_000_000}, {"book": "held", "amount_ucr": 35_000_000}])
    );
    for entry in entries {
        let postings = entry["postings"].as_array().expect("postings");
        let sum: i64 = postings
            .iter()
            .filter_map(|posting| posting["amount_ucr"].as_i64())
            .sum();
        assert_eq!(sum, 0, "{entry}");
    }
    let newest = cli.ok(&["account", "ledger", "acme", "--limit", "1"]);
    assert_eq!(newest, json!([entries[3]]));
}

#[tokio::test]
async fn grants_that_cannot_be_are_refused_by_type_and_change_nothing() {
    let cli = Cli::funded(100);
    let raw = cli.raw().await;
    let before = raw.dump().await;
    let grant = |more: &[&'static str]| [&["account", "grant"], more].concat();
    for (arguments, code, word) in [
        (grant(&["acme", "--credits", "0"]), 2, "bad_amount"),
        (grant(&["acme", "--credits", "-5"]), 2, "bad_amount"),
        (grant(&["acme", "--credits=-0.1"]), 2, "bad_amount"),
        (
            grant(&["acme", "--credits", "9007199254.740992"]),
            2,
            "bad_amount",
        ),
        (
            grant(&["acme", "--credits", "9007199254740993"]),
            2,
            "bad_amount",
        ),
        (grant(&["acme", "--credits", "1e3"]), 2, "bad_amount"),
        (grant(&["acme", "--credits", "0.0000001"]), 2, "bad_amount"),
        (
            grant(&["acme", "--credits", "9007199254.740991"]),
            4,
            "overflow",
        ),
        (
            grant(&["acme", "--credits", "1", "--op-id", "fund"]),
            4,
            "operation_mismatch",
        ),
        (
            grant(&["acme", "--credits", "1", "--kind", "grace"]),
            2,
            "usage",
        ),
        (
            grant(&[
                "acme",
                "--credits",
                "1",
                "--expires-at",
                "2099-01-01T00:00:00Z",
            ]),
            2,
            "usage",
        ),
        (
            grant(&[
                "acme",
                "--credits",
                "1",
                "--kind",
                "promo",
                "--expires-at",
                "tomorrow",
            ]),
            2,
            "usage",
        ),
        (
            grant(&[
                "acme",
                "--credits",
                "1",
                "--kind",
                "promo",
                "--expires-at",
                "2001-01-01T00:00:00Z",
            ]),
            4,
            "expired_already",
        ),
        (grant(&["nobody", "--credits", "1"]), 3, "unknown_account"),
        (vec!["account", "show", "nobody"], 3, "unknown_account"),
        (vec!["account", "ledger", "nobody"], 3, "unknown_account"),
        (vec!["jobs", "--account", "nobody"], 3, "unknown_account"),
        (vec!["account", "create", "not a name"], 2, "usage"),
        (vec!["account", "create", ""], 2, "usage"),
    ] {
        assert_eq!(cli.fails(code, &arguments)["type"], word, "{arguments:?}");
        assert!(
            raw.dump().await == before,
            "{arguments:?} changed something"
        );
    }
}

#[tokio::test]
async fn an_audit_that_finds_a_difference_fails_and_says_which() {
    let cli = Cli::funded(100);
    let raw = cli.raw().await;
    let names: Vec<String> = raw.run(&["KEYS", "ml:*:acct:acme"]).await;
    let _: i64 = raw.run(&["HINCRBY", &names[0], "available", "1"]).await;
    let ran = cli.run(&["audit"]);
    let report = ran.json();
    assert_eq!((ran.code, &report["ok"]), (1, &json!(false)), "{ran:?}");
    assert_eq!(report["differences"][0]["account"], "acme", "{report}");
}
