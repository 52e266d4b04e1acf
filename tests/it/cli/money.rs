//! Rewards, plans, caps, corrections and statements from the command line.

use serde_json::json;

use super::{Cli, bare, credits, ran, text, video, with};

#[test]
fn a_welcome_and_a_daily_reward_are_taken_once() {
    let cli = Cli::new();
    let create = ["account", "create", "acme", "--signup"];
    let first = cli.ok(&create);
    assert_eq!(first["status"], "created");
    assert_eq!(first["signup"]["status"], "granted");
    assert_eq!(credits(&first["signup"]["available_ucr"]), 50);
    let again = cli.ok(&create);
    assert_eq!(again["status"], "exists");
    assert_eq!(again["signup"]["status"], "already_taken");
    let daily = cli.ok(&["account", "daily", "acme"]);
    assert!(text(&daily["op_id"]).starts_with("daily-20"), "{daily}");
    assert_eq!(credits(&daily["available_ucr"]), 60);
    let taken = cli.fails(4, &["account", "daily", "acme"]);
    assert_eq!(taken["type"], "already_taken");
    assert!(
        text(&taken["next_at"]).ends_with("T00:00:00.000Z"),
        "{taken}"
    );
    assert_eq!(
        cli.fails(3, &["account", "daily", "nobody"])["type"],
        "unknown_account"
    );
    cli.assert_sound();
}

#[test]
fn without_settings_there_is_no_reward() {
    let cli = Cli::new();
    for arguments in [
        &["account", "create", "acme", "--signup"][..],
        &["account", "daily", "acme"],
    ] {
        // The built-in settings give none.
        let empty = tempfile::tempdir().expect("a folder");
        let mut command = bare(arguments);
        command.args(["--redis", &cli.url, "--output", "json", "--config"]);
        let refused = ran(command.arg(empty.path()));
        assert_eq!(
            (refused.code, &refused.error()["type"]),
            (4, &json!("no_reward"))
        );
    }
}

#[test]
fn a_plan_shows_with_its_price_and_is_taken_once() {
    let cli = Cli::funded(1);
    let plan = ["account", "plan", "acme", "plus", "--op-id", "invoice-1"];
    let first = cli.ok(&plan);
    assert_eq!(
        (&first["status"], &first["plan"]),
        (&json!("planned"), &json!("plus"))
    );
    assert_eq!(credits(&first["available_ucr"]), 501);
    let again = cli.ok(&plan);
    assert_eq!(
        (&again["status"], &again["until"]),
        (&json!("replayed"), &first["until"])
    );
    let other = ["account", "plan", "acme", "pro", "--op-id", "invoice-1"];
    assert_eq!(cli.fails(4, &other)["type"], "operation_mismatch");
    let view = cli.account();
    assert_eq!(
        (&view["plan"]["plan"], &view["plan"]["price"]),
        (&json!("plus"), &json!("9.00 EUR"))
    );
    assert_eq!(view["max_active"], 30);
    let typo = ["account", "plan", "acme", "plsu", "--op-id", "x"];
    let unknown = cli.fails(2, &typo);
    assert_eq!(unknown["type"], "unknown_plan");
    assert!(
        text(&unknown["message"]).contains("did you mean \"plus\""),
        "{unknown}"
    );
    let until = [
        "account",
        "plan",
        "acme",
        "pro",
        "--op-id",
        "i2",
        "--until",
        "2099-01-01T00:00:00Z",
    ];
    assert_eq!(cli.ok(&until)["until"], "2099-01-01T00:00:00.000Z");
    let none = cli.ok(&["account", "plan", "acme", "none", "--op-id", "end"]);
    assert_eq!(
        (&none["plan"], &none["until"]),
        (&json!(null), &json!(null))
    );
    assert_eq!(cli.account()["plan"], json!(null));
    cli.assert_sound();
}

#[test]
fn a_cap_refuses_by_name_with_what_is_left_and_until_when() {
    let cli = Cli::funded(500);
    let caps = |more: &[&'static str]| {
        [&["account", "caps", "acme", "--reason", "asked"][..], more].concat()
    };
    assert_eq!(
        cli.ok(&caps(&["--day", "60", "--month", "1000"]))["status"],
        "set"
    );
    assert_eq!(cli.ok(&caps(&["--day", "60"]))["status"], "replayed");
    let flags = video(5_000);
    cli.ok(&with("submit", &flags, &[]));
    let refused = cli.fails(4, &with("submit", &flags, &[]));
    let said = (
        &refused["type"],
        &refused["cap"],
        &refused["need_ucr"],
        &refused["left_ucr"],
    );
    assert_eq!(
        said,
        (
            &json!("cap_exceeded"),
            &json!("day"),
            &json!(35_000_000),
            &json!(25_000_000)
        )
    );
    assert!(
        text(&refused["until"]).ends_with("T00:00:00.000Z"),
        "{refused}"
    );
    let view = cli.account();
    assert_eq!(view["day"]["cap_ucr"], 60_000_000);
    assert_eq!(
        (&view["day"]["spent_ucr"], &view["month"]["spent_ucr"]),
        (&json!(35_000_000), &json!(35_000_000))
    );
    cli.ok(&caps(&["--day", "none"]));
    cli.ok(&with("submit", &flags, &[]));
    cli.ok(&caps(&["--low-balance", "100"]));
    assert_eq!(cli.account()["low_balance_ucr"], 100_000_000);
    for wrong in [
        &[][..],
        &["--day", "0"],
        &["--day", "-1"],
        &["--month", "much"],
        &["--low-balance", "5", "--day", "5"],
    ] {
        let refused = cli.fails(2, &caps(wrong));
        assert!(
            ["usage", "bad_amount"].contains(&text(&refused["type"])),
            "{refused}"
        );
    }
    cli.assert_sound();
}

#[test]
fn limits_are_set_by_account_and_by_queue() {
    let cli = Cli::funded(10);
    let limits = |more: &[&'static str]| {
        [&["account", "limits", "acme", "--reason", "fair"][..], more].concat()
    };
    cli.ok(&limits(&["--max-active", "7"]));
    cli.ok(&limits(&["--max-active", "2", "--queue", "video"]));
    let view = cli.account();
    assert_eq!(
        (&view["max_active"], &view["queue_limits"]),
        (&json!(7), &json!({"video": 2}))
    );
    cli.ok(&limits(&["--max-active", "default", "--queue", "video"]));
    assert_eq!(cli.account()["queue_limits"], json!({}));
    for wrong in [
        &["--max-active", "0"][..],
        &["--max-active", "5", "--queue", "vidoe"],
    ] {
        assert_eq!(cli.fails(2, &limits(wrong))["type"], "usage");
    }
    let nobody = [
        "account",
        "limits",
        "nobody",
        "--max-active",
        "1",
        "--reason",
        "x",
    ];
    assert_eq!(cli.fails(3, &nobody)["type"], "unknown_account");
}

#[tokio::test]
async fn corrections_are_made_once_and_bad_ones_refused_by_type() {
    let cli = Cli::funded(100);
    let because = ["--reason", "a test", "--actor", "ann"];
    let adjust =
        |more: &[&'static str]| [&["account", "adjust", "acme"][..], more, &because].concat();
    let down = adjust(&["--down", "30", "--op-id", "fix-1"]);
    let first = cli.ok(&down);
    let figures = (
        &first["status"],
        &first["adjusted_ucr"],
        &first["available_ucr"],
    );
    assert_eq!(
        figures,
        (&json!("adjusted"), &json!(-30_000_000), &json!(70_000_000))
    );
    assert_eq!(cli.ok(&down)["status"], "replayed");
    cli.ok(&adjust(&["--up", "0.5", "--op-id", "fix-2"]));
    let clawback = |more: &[&'static str]| {
        [
            &["account", "clawback", "acme", "--payment"][..],
            more,
            &because,
        ]
        .concat()
    };
    let taken = cli.ok(&clawback(&["fund", "--op-id", "dispute-1"]));
    let figures = (
        &taken["adjusted_ucr"],
        &taken["debt_made_ucr"],
        &taken["debt_ucr"],
    );
    assert_eq!(
        figures,
        (&json!(-100_000_000), &json!(29_500_000), &json!(29_500_000))
    );
    let raw = cli.raw().await;
    let before = raw.dump().await;
    for (arguments, code, word) in [
        (adjust(&["--op-id", "x"]), 2, "usage"),
        (
            adjust(&["--up", "1", "--down", "1", "--op-id", "x"]),
            2,
            "usage",
        ),
        (adjust(&["--up", "1"]), 2, "usage"),
        (adjust(&["--down", "0", "--op-id", "x"]), 2, "bad_amount"),
        (adjust(&["--down", "-5", "--op-id", "x"]), 2, "bad_amount"),
        (
            adjust(&["--down", "31", "--op-id", "fix-1"]),
            4,
            "operation_mismatch",
        ),
        (clawback(&["fund", "--op-id", "x"]), 4, "nothing"),
        (
            clawback(&["fund", "--credits", "1", "--op-id", "x"]),
            4,
            "above_payment",
        ),
        (clawback(&["never", "--op-id", "x"]), 3, "unknown_payment"),
        (
            vec![
                "account", "adjust", "nobody", "--up", "1", "--op-id", "x", "--reason", "x",
            ],
            3,
            "unknown_account",
        ),
        (
            vec!["account", "adjust", "acme", "--up", "1", "--op-id", "x"],
            2,
            "usage",
        ),
        (
            vec!["account", "close", "nobody", "--reason", "x"],
            3,
            "unknown_account",
        ),
    ] {
        assert_eq!(cli.fails(code, &arguments)["type"], word, "{arguments:?}");
        assert!(
            raw.dump().await == before,
            "{arguments:?} changed something"
        );
    }
    cli.assert_sound();
}

#[test]
fn an_account_is_closed_and_opened_again() {
    let cli = Cli::funded(100);
    let flags = video(5_000);
    let job = cli.ok(&with("submit", &flags, &[]));
    let close = ["account", "close", "acme", "--reason", "left"];
    let refused = cli.fails(4, &close);
    assert_eq!(
        (&refused["type"], &refused["held_ucr"]),
        (&json!("has_open_jobs"), &json!(35_000_000))
    );
    cli.ok(&["job", "cancel", text(&job["job"])]);
    assert_eq!(cli.ok(&close)["status"], "done");
    assert_eq!(cli.ok(&close)["status"], "replayed");
    assert_eq!(
        cli.fails(4, &with("submit", &flags, &[]))["type"],
        "account_closed"
    );
    let grant = ["account", "grant", "acme", "--credits", "1"];
    assert_eq!(cli.fails(4, &grant)["type"], "account_closed");
    cli.ok(&["account", "reopen", "acme", "--reason", "back"]);
    cli.ok(&with("submit", &flags, &[]));
    cli.assert_sound();
}

#[test]
fn a_statement_comes_as_table_csv_and_json() {
    let cli = Cli::funded(100);
    cli.ok(&["account", "daily", "acme"]);
    let down = [
        "account", "adjust", "acme", "--down", "4", "--op-id", "a", "--reason", "x",
    ];
    cli.ok(&down);
    let statement = ["account", "statement", "acme", "--by", "grant"];
    let found = cli.ok(&statement);
    let lines: Vec<(&str, i64)> = found["lines"]
        .as_array()
        .expect("lines")
        .iter()
        .map(|line| (text(&line["grant"]), credits(&line["net_ucr"])))
        .collect();
    assert_eq!(lines, [("daily", 6), ("purchase", 100)]);
    assert_eq!(credits(&found["total"]["net_ucr"]), 106);
    let as_format = |format: &str| {
        let mut command = bare(&statement);
        ran(command.args([
            "--redis",
            &cli.url,
            "--config",
            "config/dev",
            "--output",
            format,
        ]))
        .stdout
    };
    assert_eq!(
        as_format("csv"),
        "grant,jobs,granted_ucr,captured_ucr,refunded_ucr,adjusted_ucr,expired_ucr,net_ucr\n\
         daily,0,10000000,0,0,-4000000,0,6000000\n\
         purchase,0,100000000,0,0,0,0,100000000\n"
    );
    assert!(
        as_format("table").contains("total"),
        "{}",
        as_format("table")
    );
    let past = [
        "account",
        "statement",
        "acme",
        "--from",
        "2020-01-01",
        "--to",
        "2020-12-31",
    ];
    assert_eq!(cli.ok(&past)["lines"], json!([]));
    for (more, code) in [
        (&["--from", "2026-02-30"][..], 2),
        (&["--from", "2026-03-02", "--to", "2026-03-01"], 2),
        (&["--from", "1960-01-01", "--to", "2026-03-01"], 2),
        (&["--by", "moon"], 2),
    ] {
        let arguments = [&["account", "statement", "acme"][..], more].concat();
        assert_eq!(cli.fails(code, &arguments)["type"], "usage", "{more:?}");
    }
    assert_eq!(
        cli.fails(3, &["account", "statement", "nobody"])["type"],
        "unknown_account"
    );
    let mut other = bare(&["jobs", "--output", "csv", "--redis", &cli.url]);
    assert_eq!(ran(&mut other).code, 2, "no other command writes it");
}
