//! Providers and obligations as the command line shows them.

use serde_json::json;

use super::{Cli, bare, ran, text};
use crate::support::http::http_client;

#[test]
fn providers_are_listed_with_what_is_needed_to_reach_them() {
    let cli = Cli::new();
    let list = cli.ok(&["provider", "ls"]);
    let names: Vec<&str> = list
        .as_array()
        .expect("a list")
        .iter()
        .map(|provider| text(&provider["provider"]))
        .collect();
    assert_eq!(names, ["cog", "sim", "sim-blind", "sim-bytes", "sim-sync"]);
    let cog = &list[0];
    assert_eq!(cog["base_url"], "http://127.0.0.1:5000");
    assert_eq!(cog["attach"], "resubmit_same_id");
    assert_eq!(cog["hosts"], json!(["127.0.0.1:5000"]));
    assert_eq!(cog["key_variable"], json!(null));
    assert_eq!(cog["key_present"], true);
    assert_eq!(cog["allow_cidr"], json!([]));
}

#[test]
fn a_missing_key_is_shown_by_the_name_of_its_variable() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("providers")).expect("a folder");
    let file = "extends = 'cog'\nauth = { kind = 'bearer', secret_env = 'STUDIO_KEY' }\n\
                base_url = 'http://127.0.0.1:1'\n";
    std::fs::write(folder.path().join("providers/studio.toml"), file).expect("a file");
    let run = |arguments: &[&str], key: Option<&str>| {
        let mut command = bare(arguments);
        command
            .args(["--output", "json", "--config"])
            .arg(folder.path());
        command.envs(key.map(|key| ("STUDIO_KEY", key)));
        ran(&mut command)
    };
    for (key, present) in [(None, false), (Some("hush-hush"), true)] {
        let listed = run(&["provider", "ls"], key);
        assert_eq!(listed.code, 0, "{listed:?}");
        assert!(!listed.stdout.contains("hush"), "a key is never shown");
        let list = listed.json();
        let studio = list
            .as_array()
            .expect("a list")
            .iter()
            .find(|provider| provider["provider"] == "studio")
            .expect("studio");
        assert_eq!(studio["key_variable"], "STUDIO_KEY");
        assert_eq!(studio["key_present"], present);
    }
    let checked = run(&["provider", "check", "studio"], Some("hush-hush"));
    assert_eq!(checked.code, 1, "{checked:?}");
    let one = &checked.json()[0];
    assert_eq!(one["standing"], "unreachable");
    assert!(text(&one["reason"]).contains("refused"), "{one}");
    let stranger = run(&["provider", "check", "studoi"], None);
    assert_eq!(stranger.code, 3, "{stranger:?}");
    let error = stranger.error();
    assert_eq!(error["type"], "unknown_provider");
    assert!(text(&error["message"]).contains("did you mean \"studio\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_asks_those_that_a_tool_uses_and_starts_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let stop = tokio_util::sync::CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    tokio::spawn(meterline::dev::simulator::serve(listener, stop));
    let address = url.clone();
    let checked = tokio::task::spawn_blocking(move || {
        let mut command = bare(&["provider", "check", "--output", "json"]);
        command.args(["--config", "config/dev"]);
        command.env("METERLINE__PROVIDERS__SIM__BASE_URL", address);
        ran(&mut command)
    });
    let checked = checked.await.expect("a command");
    assert_eq!(checked.code, 0, "{checked:?}");
    let list = checked.json();
    let list = list.as_array().expect("a list");
    assert_eq!(list.len(), 4, "cog has no route here: {list:?}");
    assert!(
        list.iter().all(|one| one["standing"] == "ready"),
        "{list:?}"
    );
    let page = http_client().get(format!("{url}/_sim/submissions"));
    let started = page.send().await.expect("an answer").text().await;
    assert_eq!(started.expect("counts"), "{}");
}
