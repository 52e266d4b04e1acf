//! Bad input: each kind by its type and exit code, and nothing changed.

use super::{Cli, bare, ran, text, video, with};

#[tokio::test]
async fn promise_09_bad_input_is_refused_by_type_and_changes_nothing() {
    let cli = Cli::funded(20);
    let raw = cli.raw().await;
    let before = raw.dump().await;
    let image = |more: &[&str]| -> Vec<String> {
        let base = ["--account", "acme", "--tool", "text-to-image"];
        base.iter()
            .chain(more)
            .map(|&word| word.to_owned())
            .collect()
    };
    let prompt = |more: &[&str]| image(&[&["--param", "prompt=x"], more].concat());
    let tool = |name: &str| {
        vec![
            "--account".into(),
            "acme".into(),
            "--tool".into(),
            name.into(),
        ]
    };
    for (flags, code, word) in [
        (tool("text-to-imagf"), 2, "unknown_tool"),
        (image(&[]), 2, "bad_parameter"),
        (image(&["--param", "prompt="]), 2, "bad_parameter"),
        (prompt(&["--param", "count=9"]), 2, "bad_parameter"),
        (prompt(&["--param", "count=two"]), 2, "bad_parameter"),
        (prompt(&["--param", "colour=red"]), 2, "bad_parameter"),
        (prompt(&["--param", "prompt=y"]), 2, "usage"),
        (prompt(&["--param", "nothing"]), 2, "usage"),
        (video(0), 2, "bad_parameter"),
        (video(30_001), 2, "duration_above_maximum"),
        (prompt(&["--route", "nowhere"]), 2, "unknown_route"),
    ] {
        for command in ["quote", "submit"] {
            let arguments = with(command, &flags, &[]);
            assert_eq!(cli.fails(code, &arguments)["type"], word, "{arguments:?}");
            assert!(
                raw.dump().await == before,
                "{arguments:?} changed something"
            );
        }
    }
    for (more, code, word) in [
        (["--max-credits", "0"], 2, "bad_amount"),
        (["--max-credits", "-7"], 2, "bad_amount"),
        (["--max-credits", "9007199254.740992"], 2, "bad_amount"),
        (["--max-credits", "6.999999"], 4, "above_max"),
        (["--delay", "8d"], 2, "usage"),
        (["--delay", "192h"], 4, "too_far_ahead"),
        (["--delay", "soon"], 2, "usage"),
        (["--priority", "urgent"], 2, "usage"),
        (["--job", "nonsense"], 2, "usage"),
        (
            ["--job", "jee-00000000-0000-7000-8000-000000000000"],
            2,
            "usage",
        ),
        (["--param", "count=3"], 4, "insufficient"),
    ] {
        let flags = prompt(&more);
        let arguments = with("submit", &flags, &[]);
        assert_eq!(cli.fails(code, &arguments)["type"], word, "{arguments:?}");
        assert!(
            raw.dump().await == before,
            "{arguments:?} changed something"
        );
    }
}

#[tokio::test]
async fn strangers_quotes_and_oversized_requests_change_nothing() {
    let cli = Cli::funded(1_000);
    let raw = cli.raw().await;
    let before = raw.dump().await;
    let urls: Vec<String> = (0..40)
        .map(|n| format!("\"http://127.0.0.1/{n}{}\"", "x".repeat(1_900)))
        .collect();
    let urls = format!("image_urls=[{}]", urls.join(","));
    let large = [
        "submit",
        "--account",
        "acme",
        "--tool",
        "face-library",
        "--param",
        "name=x",
        "--param",
        &urls,
    ];
    let refused = cli.fails(4, &large);
    assert_eq!(refused["type"], "payload_too_large");
    assert!(refused["bytes"].as_u64() > Some(65_536), "{refused}");
    for (arguments, code, word) in [
        (
            vec!["submit", "--account", "acme", "--quote", "q-none"],
            4,
            "quote_expired",
        ),
        (
            vec!["submit", "--account", "nobody", "--quote", "q-none"],
            3,
            "unknown_account",
        ),
        (
            vec![
                "submit",
                "--account",
                "nobody",
                "--tool",
                "text-to-image",
                "--param",
                "prompt=x",
            ],
            3,
            "unknown_account",
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
            "unknown_account",
        ),
        (vec!["submit", "--account", "acme"], 2, "usage"),
        (vec!["submit", "--tool", "text-to-image"], 2, "usage"),
        (
            vec!["submit", "--account", "acme", "--quote", "q", "--tool", "x"],
            2,
            "usage",
        ),
        (
            vec!["submit", "--file", "-", "--account", "acme"],
            2,
            "usage",
        ),
    ] {
        assert_eq!(cli.fails(code, &arguments)["type"], word, "{arguments:?}");
    }
    assert!(raw.dump().await == before, "something changed");
}

#[test]
fn a_key_that_was_used_for_another_request_names_its_job() {
    let cli = Cli::funded(100);
    let (one, other) = (video(1_000), video(2_000));
    let first = cli.ok(&with("submit", &one, &["--idempotency-key", "k"]));
    let refused = cli.fails(4, &with("submit", &other, &["--idempotency-key", "k"]));
    assert_eq!(
        (text(&refused["type"]), &refused["job"]),
        ("key_mismatch", &first["job"])
    );
    assert_eq!(cli.balance(), (93, 7));
    cli.assert_sound();
}

#[test]
fn a_job_that_is_not_there_is_not_found_whatever_its_id_looks_like() {
    let cli = Cli::new();
    for id in [
        "nonsense",
        "j00-00000000-0000-7000-8000-000000000000",
        "jff-00000000-0000-7000-8000-000000000000",
    ] {
        for command in ["show", "watch", "cancel", "explain"] {
            let refused = cli.fails(3, &["job", command, id]);
            assert_eq!(refused["type"], "unknown_job", "{command} {id}");
        }
    }
}

#[test]
fn a_store_that_is_not_there_is_unreachable_before_anything_is_sent() {
    let flags = video(1_000);
    for url in ["redis://127.0.0.1:1", "redis+unix:///nowhere/redis.sock"] {
        let mut command = bare(&with(
            "submit",
            &flags,
            &["--redis", url, "--output", "json"],
        ));
        let ran = ran(&mut command);
        assert_eq!(
            (ran.code, text(&ran.error()["type"])),
            (1, "unreachable"),
            "{ran:?}"
        );
    }
}
