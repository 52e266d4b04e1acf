//! Many jobs from JSONL.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{Cli, Ran, text};

fn job(n: usize) -> Value {
    json!({"account": "acme", "tool": "text-to-image", "params": {"prompt": n.to_string()},
        "idempotency_key": format!("k{n}"), "max_credits": 7, "priority": "low"})
}

fn file(lines: impl IntoIterator<Item = String>) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    for line in lines {
        writeln!(file, "{line}").expect("written");
    }
    file
}

fn submit(cli: &Cli, file: &tempfile::NamedTempFile) -> Ran {
    cli.run(&["submit", "--file", file.path().to_str().expect("a path")])
}

#[test]
fn a_bad_line_among_ten_thousand_is_named_and_the_others_go_in() {
    const LINES: usize = 10_000;
    const BAD: usize = 5_000;
    let cli = Cli::funded(70_000);
    let line = |n| {
        if n == BAD {
            "{\"account\":".to_owned()
        } else {
            job(n).to_string()
        }
    };
    let file = file((1..=LINES).map(line));
    let ran = submit(&cli, &file);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let results = ran.lines();
    assert_eq!(results.len(), LINES);
    for (n, result) in (1..=LINES).zip(&results) {
        assert_eq!(result["line"], n, "in the order of the file");
        if n == BAD {
            assert_eq!(result["error"]["type"], "bad_line", "{result}");
            assert_eq!(result.get("job"), None);
        } else {
            assert_eq!(result["status"], "accepted", "{result}");
            assert_eq!(result["hold_ucr"], 7_000_000);
        }
    }
    assert_eq!(cli.balance(), (7, 9_999 * 7));
    cli.assert_sound();
}

#[test]
fn a_file_that_is_submitted_twice_makes_the_same_jobs() {
    let cli = Cli::funded(1_000);
    let file = file((1..=100).map(|n| job(n).to_string()));
    let (first, again) = (submit(&cli, &file), submit(&cli, &file));
    assert_eq!((first.code, again.code), (0, 0));
    for (first, again) in first.lines().iter().zip(again.lines()) {
        assert_eq!(
            (&first["job"], text(&again["status"])),
            (&again["job"], "replayed")
        );
    }
    assert_eq!(cli.balance(), (300, 700));
}

#[test]
fn each_line_fails_for_its_own_reason() {
    let cli = Cli::funded(20);
    let change = |field: &str, value: Value| {
        let mut line = job(1);
        line[field] = value;
        line["idempotency_key"] = json!(format!("change-{field}"));
        line.to_string()
    };
    let lines = [
        (change("account", json!("nobody")), "unknown_account"),
        (change("tool", json!("nothing")), "unknown_tool"),
        (change("params", json!({})), "bad_parameter"),
        (
            change("params", json!({"prompt": "x", "count": 3})),
            "above_max",
        ),
        (change("max_credits", json!(0)), "bad_amount"),
        (change("max_credits", json!(-1)), "bad_amount"),
        (
            change("max_credits", json!(9_007_199_255_u64)),
            "bad_amount",
        ),
        (change("priority", json!("urgent")), "bad_line"),
        (change("prioritty", json!("low")), "bad_line"),
        ("null".to_owned(), "bad_line"),
    ];
    let file = file(
        lines
            .iter()
            .map(|(line, _)| line.clone())
            .chain([String::new(), job(2).to_string()]),
    );
    let ran = submit(&cli, &file);
    assert_eq!(ran.code, 1);
    let results = ran.lines();
    for ((line, word), result) in lines.iter().zip(&results) {
        assert_eq!(text(&result["error"]["type"]), *word, "{line}: {result}");
    }
    let last = results.last().expect("a last line");
    assert_eq!(
        (&last["line"], text(&last["status"])),
        (&json!(12), "accepted")
    );
    assert_eq!(cli.balance(), (13, 7));
}

#[test]
fn lines_come_from_standard_input_too() {
    let cli = Cli::funded(100);
    let mut command = cli.command(&["submit", "--file", "-"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("its input");
    writeln!(stdin, "{}\n{}", job(1), job(2)).expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 2);
    assert_eq!(cli.balance(), (86, 14));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let cli = Cli::new();
    let refused = cli.fails(1, &["submit", "--file", "/nowhere/jobs.jsonl"]);
    assert_eq!(refused["type"], "io");
    assert!(text(&refused["message"]).contains("/nowhere/jobs.jsonl"));
}
