//! `webhook`: what operators and scripts see of endpoints.

use super::{Cli, bare, ran};

const URL: &str = "http://127.0.0.1:9/hooks";

fn created(cli: &Cli) -> (String, String) {
    let made = cli.ok(&["webhook", "create", "acme", "--url", URL]);
    let text = |name: &str| made[name].as_str().expect(name).to_owned();
    assert_eq!(made["status"], "created");
    (text("endpoint"), text("secret"))
}

#[test]
fn a_secret_is_shown_when_it_is_made_and_never_again() {
    let cli = Cli::funded(10);
    let (endpoint, secret) = created(&cli);
    assert!(secret.starts_with("whsec_"));
    let again = ["webhook", "create", "acme", "--url", URL, "--id", &endpoint];
    let replayed = cli.ok(&again);
    assert_eq!(replayed["status"], "replayed");
    assert!(replayed["secret"].is_null());
    let rotated = cli.ok(&[
        "webhook",
        "rotate",
        &endpoint,
        "--reason",
        "x",
        "--overlap",
        "1h",
    ]);
    let new = rotated["secret"].as_str().expect("a secret").to_owned();
    assert_ne!(new, secret);
    let same = cli.ok(&[
        "webhook", "rotate", &endpoint, "--reason", "x", "--secret", &new,
    ]);
    assert_eq!(same["changed"], false);
    let shown = cli.ok(&["webhook", "show", &endpoint]);
    assert!(shown["old_secret_until"].is_string());
    let listed = cli.ok(&["webhook", "ls", "acme"]);
    let acts = cli.run(&["audit", "acts"]).stdout;
    for text in [shown.to_string(), listed.to_string(), acts] {
        assert!(!text.contains(&secret) && !text.contains(&new), "{text}");
    }
}

#[test]
fn an_endpoint_is_looked_at_disabled_enabled_and_removed() {
    let cli = Cli::funded(10);
    let (endpoint, _) = created(&cli);
    let shown = cli.ok(&["webhook", "show", &endpoint]);
    assert_eq!(
        (&shown["state"], &shown["url"]),
        (&"enabled".into(), &URL.into())
    );
    assert_eq!(shown["events"].as_array().map(Vec::len), Some(4));
    let act = |word: &str| cli.ok(&["webhook", word, &endpoint, "--reason", "test"]);
    assert_eq!(act("disable")["changed"], true);
    assert_eq!(act("disable")["changed"], false);
    assert_eq!(cli.ok(&["webhook", "ls", "acme"])[0]["state"], "disabled");
    let error = cli.fails(4, &["webhook", "test", &endpoint]);
    assert_eq!(error["type"], "endpoint_disabled");
    assert_eq!(act("enable")["changed"], true);
    assert_eq!(act("rm")["changed"], true);
    for arguments in [
        vec!["webhook", "show", &endpoint],
        vec!["webhook", "test", &endpoint],
        vec!["webhook", "dead", "ls", &endpoint],
        vec!["webhook", "rm", &endpoint, "--reason", "x"],
        vec!["webhook", "rotate", &endpoint, "--reason", "x"],
        vec![
            "webhook",
            "dead",
            "redeliver",
            &endpoint,
            "--all",
            "--reason",
            "x",
        ],
    ] {
        assert_eq!(
            cli.fails(3, &arguments)["type"],
            "unknown_endpoint",
            "{arguments:?}"
        );
    }
    assert_eq!(cli.ok(&["webhook", "ls", "acme"]), serde_json::json!([]));
    cli.assert_sound();
}

#[test]
fn what_cannot_be_made_is_refused_by_name() {
    let cli = Cli::funded(10);
    for (code, kind, arguments) in [
        (3, "unknown_account", vec!["nobody", "--url", URL]),
        (2, "bad_url", vec!["acme", "--url", "http://10.0.0.1/"]),
        (
            2,
            "bad_url",
            vec!["acme", "--url", "https://169.254.169.254/"],
        ),
        (
            2,
            "bad_url",
            vec!["acme", "--url", "https://[::ffff:10.0.0.1]/"],
        ),
        (2, "bad_url", vec!["acme", "--url", "ftp://acme.example/"]),
        (2, "bad_url", vec!["acme", "--url", "not a url"]),
        (
            2,
            "usage",
            vec!["acme", "--url", URL, "--events", "job.ended"],
        ),
        (
            2,
            "usage",
            vec!["acme", "--url", URL, "--secret", "whsec_AAAA"],
        ),
    ] {
        let all: Vec<&str> = ["webhook", "create"].into_iter().chain(arguments).collect();
        assert_eq!(cli.fails(code, &all)["type"], kind, "{all:?}");
    }
    for _ in 0..10 {
        created(&cli);
    }
    let error = cli.fails(4, &["webhook", "create", "acme", "--url", URL]);
    assert_eq!(error["type"], "too_many_endpoints");
    assert_eq!(
        cli.fails(3, &["webhook", "ls", "nobody"])["type"],
        "unknown_account"
    );
}

#[test]
fn without_the_development_settings_only_https_to_the_outside_is_taken() {
    let cli = Cli::funded(10);
    for url in [
        "http://acme.example/",
        "http://127.0.0.1/",
        "https://acme.example:8443@10.0.0.1/",
    ] {
        let mut command = bare(&[
            "webhook", "create", "acme", "--url", url, "--output", "json",
        ]);
        command.args(["--redis", &cli.url, "--config", "config"]);
        let ran = ran(&mut command);
        assert_eq!(ran.code, 2, "{url}: {ran:?}");
        assert_eq!(ran.error()["type"], "bad_url");
    }
}

#[test]
fn a_test_that_nobody_posts_says_so_in_time() {
    let cli = Cli::funded(10);
    let (endpoint, _) = created(&cli);
    let ran = cli.run(&["webhook", "test", &endpoint, "--timeout", "300ms"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let said = ran.json();
    assert_eq!(
        (&said["arrived"], said["answer"].is_null()),
        (&false.into(), true)
    );
    assert_eq!(cli.ok(&["webhook", "show", &endpoint])["waiting"], 1);
}

#[test]
fn nothing_is_put_back_where_nothing_was_given_up() {
    let cli = Cli::funded(10);
    let (endpoint, _) = created(&cli);
    assert_eq!(
        cli.ok(&["webhook", "dead", "ls", &endpoint]),
        serde_json::json!([])
    );
    let all = cli.ok(&[
        "webhook",
        "dead",
        "redeliver",
        &endpoint,
        "--all",
        "--reason",
        "x",
    ]);
    assert_eq!((&all["redelivered"], &all["left"]), (&0.into(), &0.into()));
    let one = [
        "webhook",
        "dead",
        "redeliver",
        &endpoint,
        "1-1",
        "--reason",
        "x",
    ];
    assert_eq!(cli.fails(3, &one)["type"], "unknown_message");
}
