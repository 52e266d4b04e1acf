//! Quotes, jobs, and looking at jobs that nobody runs.

use serde_json::json;

use super::{Cli, credits, text, video, with};

#[test]
fn a_quote_is_confirmed_once_however_often_it_is_sent() {
    let cli = Cli::funded(100);
    let flags = video(5_000);
    let quote = cli.ok(&with("quote", &flags, &[]));
    assert_eq!(credits(&quote["ceiling_ucr"]), 35);
    assert_eq!(text(&quote["price_version"]).len(), 12);
    assert!(text(&quote["expires_at"]).ends_with('Z'), "{quote}");
    assert_eq!(cli.balance(), (100, 0), "a quote holds nothing");

    let confirm = [
        "submit",
        "--account",
        "acme",
        "--quote",
        text(&quote["quote"]),
        "--idempotency-key",
        "k1",
    ];
    let first = cli.ok(&confirm);
    assert_eq!(
        (text(&first["status"]), credits(&first["hold_ucr"])),
        ("accepted", 35)
    );
    let again = cli.ok(&confirm);
    assert_eq!(
        (text(&again["status"]), &again["job"]),
        ("replayed", &first["job"])
    );
    assert_eq!(cli.balance(), (65, 35));
    cli.assert_sound();
}

#[test]
fn a_job_by_flags_holds_its_ceiling_and_is_shown_as_it_waits() {
    let cli = Cli::funded(100);
    let flags = video(5_000);
    let more = [
        "--max-credits",
        "35",
        "--priority",
        "high",
        "--route",
        "sim",
        "--idempotency-key",
        "k1",
    ];
    let submitted = cli.ok(&with("submit", &flags, &more));
    let job = text(&submitted["job"]);
    let view = cli.ok(&["job", "show", job]);
    for (field, value) in [
        ("job", json!(job)),
        ("account", json!("acme")),
        ("tool", json!("image-to-video")),
        ("state", json!("queued")),
        ("priority", json!("high")),
        ("class", json!(null)),
        ("tries", json!(0)),
        ("takeovers", json!(0)),
        ("submissions", json!(0)),
        ("hold_ucr", json!(35_000_000)),
        ("captured_ucr", json!(0)),
        ("measured_ms", json!(null)),
        ("finished_at", json!(null)),
        ("artifacts", json!([])),
    ] {
        assert_eq!(view[field], value, "{field}");
    }
    assert_eq!(view["timeline"][0]["event"], "submitted");
    let explained = cli.ok(&["job", "explain", job]);
    assert_eq!(explained["ceiling_ucr"], 35_000_000);
    assert_eq!(explained["rule"]["rate_ucr"], 7_000_000);
    assert_eq!(
        explained["slices"],
        json!([{"grant": "g1", "held_ucr": 35_000_000, "captured_ucr": 0, "released_ucr": 0}])
    );
    assert!(
        text(&explained["why"]).contains("no worker serves queue video"),
        "{explained}"
    );

    let queues = cli.ok(&["queue", "ls"]);
    let ready = queues
        .as_array()
        .expect("a list")
        .iter()
        .find(|queue| queue["queue"] == "video");
    assert_eq!(ready.expect("the queue")["ready"], 1);
    assert_eq!(cli.ok(&["worker", "ls"]), json!([]));
}

#[test]
fn a_delayed_job_waits_for_its_time_and_one_above_the_limit_for_its_lane() {
    let cli = Cli::new();
    cli.ok(&["account", "create", "acme", "--max-active", "1"]);
    cli.ok(&["account", "grant", "acme", "--credits", "100"]);
    let flags = video(1_000);
    let delayed = cli.ok(&with("submit", &flags, &["--delay", "1h"]));
    let explained = cli.ok(&["job", "explain", text(&delayed["job"])]);
    assert_eq!(explained["state"], "scheduled");
    assert!(
        text(&explained["why"]).contains("scheduled until"),
        "{explained}"
    );
    cli.ok(&with("submit", &flags, &[]));
    let second = cli.ok(&with("submit", &flags, &[]));
    let explained = cli.ok(&["job", "explain", text(&second["job"])]);
    assert!(text(&explained["why"]).contains("lane"), "{explained}");
}

#[test]
fn jobs_are_listed_newest_first_by_account_and_state() {
    let cli = Cli::funded(100);
    cli.ok(&["account", "create", "birch"]);
    let flags = video(1_000);
    let jobs: Vec<_> = (0..3)
        .map(|_| cli.ok(&with("submit", &flags, &[])))
        .collect();
    let id = |n: usize| text(&jobs[n]["job"]);
    cli.ok(&["job", "cancel", id(1)]);
    let listed = |arguments: &[&str]| -> Vec<String> {
        let list = cli.ok(arguments);
        list.as_array()
            .expect("a list")
            .iter()
            .map(|job| text(&job["job"]).to_owned())
            .collect()
    };
    assert_eq!(listed(&["jobs"]), [id(2), id(1), id(0)]);
    assert_eq!(
        listed(&["jobs", "--account", "acme", "--state", "queued"]),
        [id(2), id(0)]
    );
    assert_eq!(listed(&["jobs", "--state", "cancelled"]), [id(1)]);
    assert_eq!(listed(&["jobs", "--limit", "1"]), [id(2)]);
    assert_eq!(
        listed(&["jobs", "--account", "birch"]),
        Vec::<String>::new()
    );
    assert_eq!(cli.fails(2, &["jobs", "--state", "done"])["type"], "usage");
}

#[test]
fn a_waiting_job_is_cancelled_once_and_its_watcher_sees_the_end() {
    let cli = Cli::funded(100);
    let flags = video(5_000);
    let submitted = cli.ok(&with("submit", &flags, &[]));
    let job = text(&submitted["job"]);
    let waited = cli.run(&["job", "watch", job, "--timeout", "100ms"]);
    assert_eq!(waited.code, 1);
    assert_eq!(waited.lines()[0]["event"], "submitted");
    assert!(waited.stderr.contains("time_is_up"), "{waited:?}");

    let cancelled = cli.ok(&["job", "cancel", job]);
    assert_eq!(
        (
            text(&cancelled["outcome"]),
            credits(&cancelled["released_ucr"])
        ),
        ("cancelled", 35)
    );
    assert_eq!(cli.ok(&["job", "cancel", job])["outcome"], "cancelled");
    assert_eq!(cli.balance(), (100, 0));
    let watched = cli.run(&["job", "watch", job]);
    assert_eq!(watched.code, 1, "it did not succeed");
    let events = watched.lines();
    let names: Vec<&str> = events.iter().map(|event| text(&event["event"])).collect();
    assert_eq!(names, ["submitted", "cancelled"]);
    cli.assert_sound();
}
