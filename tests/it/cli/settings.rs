//! Settings as the command line reads and shows them.

use std::path::Path;

use serde_json::Value;

use super::{Ran, bare, ran, text};

fn with_file(name: &str, content: &str, arguments: &[&str]) -> (Ran, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(name);
    std::fs::create_dir_all(file.parent().expect("a parent")).expect("the folder");
    std::fs::write(file, content).expect("the file");
    let mut command = bare(arguments);
    command
        .args(["--output", "json", "--config"])
        .arg(folder.path());
    (ran(&mut command), folder)
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_its_line() {
    for (name, content, place, part) in [
        (
            "meterline.toml",
            "[worker]\nlease_ms = = 1\n",
            "meterline.toml:2",
            "",
        ),
        (
            "meterline.toml",
            "[worker]\nlease = 1\n",
            "meterline.toml:2",
            "did you mean \"lease_ms\"",
        ),
        (
            "meterline.toml",
            "[worker]\nheartbeat_ms = \"soon\"\n",
            "meterline.toml:2",
            "worker.heartbeat_ms",
        ),
        ("catalogue.toml", "[tools\n", "catalogue.toml:1", ""),
    ] {
        for command in [
            &["config", "check"][..],
            &["account", "show", "acme"],
            &["serve"],
        ] {
            let (ran, _folder) = with_file(name, content, command);
            let error = ran.error();
            assert_eq!(
                (ran.code, text(&error["type"])),
                (2, "bad_config"),
                "{ran:?}"
            );
            let message = text(&error["message"]);
            assert!(
                message.contains(place) && message.contains(part),
                "{message}"
            );
            let file = Path::new(text(&error["problems"][0]["origin"])).file_name();
            assert_eq!(file.and_then(|file| file.to_str()), Some(name));
        }
    }
}

#[test]
fn a_provider_s_file_is_checked_too() {
    let broken = "base_url = \"ftp://x\"\nextends = \"sim\"\n";
    let (ran, _folder) = with_file("providers/mine.toml", broken, &["config", "check"]);
    assert_eq!(
        (ran.code, text(&ran.error()["type"])),
        (2, "bad_config"),
        "{ran:?}"
    );
    let message = text(&ran.error()["message"]).to_owned();
    assert!(
        message.contains("providers/mine.toml:1:1: base_url: must be http or https"),
        "{message}"
    );
    let (ran, _folder) = with_file("meterline.toml", "", &["config", "check"]);
    assert_eq!((ran.code, &ran.json()["ok"]), (0, &Value::Bool(true)));
}

#[test]
fn every_setting_is_shown_with_where_it_came_from_and_no_password() {
    let arguments = [
        "config",
        "show",
        "--redis",
        "redis://user:geheim@127.0.0.1/3",
        "--output",
        "json",
    ];
    let mut command = bare(&arguments);
    command
        .env("METERLINE_CONFIG", "config/dev")
        .env("METERLINE__WORKER__SWEEP_MS", "250");
    let ran = ran(&mut command);
    assert!(!ran.stdout.contains("geheim"), "{}", ran.stdout);
    let shown = ran.json();
    let setting = |key: &str| {
        let setting = &shown["settings"][key];
        (
            setting["value"].to_string(),
            text(&setting["origin"]).to_owned(),
        )
    };
    for (key, value, origin) in [
        ("redis.url", "\"redis://user:***@127.0.0.1/3\"", "--redis"),
        ("worker.sweep_ms", "250", "METERLINE__WORKER__SWEEP_MS"),
        ("store.lane_max", "10000", "built-in meterline.toml"),
        ("retry.tries", "3", "built-in meterline.toml"),
    ] {
        assert_eq!(setting(key), (value.to_owned(), origin.to_owned()), "{key}");
    }
    let (lease, origin) = setting("worker.lease_ms");
    assert_eq!(lease, "3000");
    assert!(origin.starts_with("config/dev/meterline.toml:"), "{origin}");
}

#[test]
fn flags_of_a_server_that_name_nothing_are_refused() {
    for (flags, part) in [
        (["--slots", "vidoe=2"], "vidoe"),
        (["--slots", "video"], "QUEUE=N"),
        (["--slots", "video=-1"], "QUEUE=N"),
        (["--provider-url", "nobody=http://127.0.0.1:1"], "nobody"),
        (["--provider-url", "sim"], "NAME=URL"),
        (["--role", "nobody"], "nobody"),
        (["--role", "projector"], "postgres.url"),
    ] {
        let mut command = bare(&["serve", "--config", "config/dev", "--output", "json"]);
        let ran = ran(command.args(flags).args(["--redis", "redis://127.0.0.1:1"]));
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(text(&ran.error()["message"]).contains(part), "{ran:?}");
    }
}
