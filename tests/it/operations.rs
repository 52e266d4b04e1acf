//! What docs/operations.md tells operators to type works as it stands there, in the order of the page.

use std::path::Path;
use std::process::Command;

use meterline::cli::understands;

use crate::support::ports::free_port;

const RUN: &str = "<!-- tests/it/operations.rs runs this block -->";
const NEEDS: [&str; 2] = ["<!-- needs a service manager", "<!-- needs a proxy"];

fn page() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    std::fs::read_to_string(page).expect("docs/operations.md")
}

/// The line above each fenced block, the word behind its fence, and its text.
fn blocks(page: &str) -> Vec<(String, String, String)> {
    let lines: Vec<&str> = page.lines().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let Some(word) = lines[at].strip_prefix("```") else {
            at += 1;
            continue;
        };
        let length = lines[at + 1..].iter().position(|line| *line == "```");
        let end = at + 1 + length.expect("a closing fence");
        let above = at.checked_sub(1).map(|above| lines[above].to_owned());
        let text = lines[at + 1..end].join("\n");
        found.push((above.unwrap_or_default(), word.to_owned(), text));
        at = end + 1;
    }
    found
}

/// Free ports, all different.
fn ports<const N: usize>() -> [String; N] {
    [(); N].map(|()| free_port().to_string())
}

#[test]
fn every_block_of_the_page_is_run_or_says_what_it_needs() {
    for (above, word, text) in blocks(&page()) {
        assert!(
            above == RUN || NEEDS.iter().any(|needs| above.starts_with(needs)),
            "a block without a mark: {above:?} {word} {text}"
        );
        if above == RUN {
            assert_eq!(word, "sh", "{text}");
            continue;
        }
        // What cannot be run is at least understood.
        for line in text.lines() {
            let line = line
                .strip_prefix("ExecStart=/usr/local/bin/")
                .unwrap_or(line);
            if let Some(command) = line.strip_prefix("meterline ") {
                let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
                assert_eq!(understands(&words), Ok(()), "{line}");
            }
        }
    }
}

#[test]
fn the_commands_of_the_page_work() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bin = Path::new(env!("CARGO_BIN_EXE_meterline"))
        .parent()
        .expect("a folder");
    // Only what differs on this machine is replaced: where the program, free ports and the settings are.
    let [store, copy, provider, api] = ports();
    let commands: Vec<String> = blocks(&page())
        .into_iter()
        .filter(|(above, ..)| above == RUN)
        .map(|(_, _, text)| text)
        .collect();
    assert!(commands.len() >= 6, "{}", commands.len());
    let commands = commands
        .join("\n")
        .replace("6379", &store)
        .replace("6380", &copy)
        .replace("9100", &provider)
        .replace("8080", &api)
        .replace("config/dev", &root.join("config/dev").display().to_string());
    let script = format!(
        "set -eu -o pipefail\n\
         trap 'kill $(jobs -p); redis-cli -p {store} shutdown nosave; redis-cli -p {copy} shutdown nosave' EXIT\n\
         export PATH=\"{}:$PATH\"\n{commands}",
        bin.display()
    );
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new("timeout")
        .args(["120", "bash", "-c", &script])
        .current_dir(folder.path())
        .output()
        .expect("bash");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    for part in [
        "everything fits",
        "succeeded",
        "well\n",
        "rdb_last_bgsave_status:ok",
    ] {
        assert!(
            said.contains(part),
            "{part:?} is missing in:\n{said}\n{errors}"
        );
    }
    let audits = said.matches("audit: ok").count();
    assert_eq!(
        audits, 3,
        "the store's and twice the copy's:\n{said}\n{errors}"
    );
    for file in [
        "meterline.schema.json",
        "catalogue.schema.json",
        "provider.schema.json",
    ] {
        let text = std::fs::read_to_string(folder.path().join(file)).expect(file);
        serde_json::from_str::<serde_json::Value>(&text).expect(file);
    }
}
