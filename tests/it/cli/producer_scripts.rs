//! What producers can copy: `scripts/enqueue` and the example that verifies webhooks. The other examples are
//! run with the page they stand on, docs/http-api.md.

use std::process::Command;

use serde_json::json;

use super::through_server::{Both, IMAGE};
use super::{Ran, ran};

fn enqueue(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    let mut command = Command::new("scripts/enqueue");
    command
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("METERLINE", program)
        .envs(environment.iter().copied())
        .stdin(std::process::Stdio::null());
    for name in ["METERLINE_REDIS_URL", "METERLINE_CONFIG"] {
        command.env_remove(name);
    }
    ran(&mut command)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn enqueue_submits_once_for_each_key() {
    let both = Both::start().await;
    both.cli.ok(&[
        "account",
        "grant",
        "acme",
        "--credits",
        "20",
        "--op-id",
        "fund",
    ]);
    let program = env!("CARGO_BIN_EXE_meterline");
    let server = [
        ("METERLINE_URL", both.api.url.as_str()),
        ("METERLINE_API_KEY", &both.api.admin),
    ];
    let submit = [&["--key", "click-1"][..], &IMAGE].concat();
    let first = enqueue(program, &submit, &server);
    assert_eq!(
        (first.code, &first.json()["status"]),
        (0, &json!("accepted")),
        "{first:?}"
    );
    let again = enqueue(program, &submit, &server);
    assert_eq!(again.json()["job"], first.json()["job"]);
    assert_eq!(again.json()["status"], "replayed");
    // Without a key of one's own each call is a click.
    assert_eq!(
        enqueue(program, &IMAGE, &server).json()["status"],
        "accepted"
    );
    let refused = enqueue(program, &IMAGE, &server);
    assert_eq!(
        (refused.code, &refused.error()["type"]),
        (4, &json!("insufficient"))
    );
    let help = enqueue(program, &["--help"], &[]);
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    assert!(help.stdout.contains("--key"), "{help:?}");
    let nowhere = enqueue(
        program,
        &IMAGE,
        &[("METERLINE_URL", ""), ("METERLINE_API_KEY", "x")],
    );
    assert!(
        nowhere.code != 0 && nowhere.stderr.contains("METERLINE_URL"),
        "{nowhere:?}"
    );
    both.cli.assert_sound();
}

#[test]
fn enqueue_repeats_an_unknown_outcome_with_the_same_key_and_nothing_else() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let (program, calls) = (folder.path().join("meterline"), folder.path().join("calls"));
    // Knows nothing the first time, and an answer the second time.
    let script = format!(
        "#!/bin/sh\necho \"$@\" >>{0}\n[ \"$(wc -l <{0})\" -gt 1 ] || exit 5\necho '{{\"job\":\"j00-1\"}}'\n",
        calls.display()
    );
    std::fs::write(&program, script).expect("written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("runs");
    let server = [
        ("METERLINE_URL", "http://127.0.0.1:1"),
        ("METERLINE_API_KEY", "x"),
    ];
    let ran = enqueue(
        program.to_str().expect("a path"),
        &["--account", "a b"],
        &server,
    );
    assert_eq!(
        (ran.code, &ran.json()["job"]),
        (0, &json!("j00-1")),
        "{ran:?}"
    );
    let calls = std::fs::read_to_string(&calls).expect("two calls");
    let calls: Vec<&str> = calls.lines().collect();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0], calls[1]);
    assert!(calls[0].contains("--idempotency-key enqueue-"), "{calls:?}");
    assert!(calls[0].ends_with("--account a b"), "{calls:?}");
}

#[test]
fn the_webhook_example_takes_our_messages_and_no_others() {
    let key = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let now = jiff::Timestamp::now().as_second();
    let body = br#"{"type":"job.succeeded"}"#;
    let signed = standardwebhooks::Webhook::new(key)
        .expect("a secret")
        .sign("msg_1", now, body);
    let signature = signed.expect("a signature");
    let folder = tempfile::tempdir().expect("a folder");
    let (good, bad) = (folder.path().join("good"), folder.path().join("bad"));
    std::fs::write(&good, body).expect("written");
    std::fs::write(&bad, b"{}").expect("written");
    let judge = |path: &std::path::Path, at: i64, signature: &str| {
        let path = path.to_str().expect("a path");
        let at = at.to_string();
        let mut command = Command::new("scripts/examples/webhook.py");
        command
            .args([key, path, "msg_1", &at, signature])
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        ran(&mut command).code
    };
    assert_eq!(judge(&good, now, &signature), 0);
    assert_eq!(
        judge(&good, now, &format!("v1,AAAA {signature}")),
        0,
        "while a secret is rotated"
    );
    assert_eq!(judge(&bad, now, &signature), 1, "another body");
    assert_eq!(judge(&good, now + 1, &signature), 1, "another time");
    assert_eq!(judge(&good, now, "v1,AAAA"), 1);
}
