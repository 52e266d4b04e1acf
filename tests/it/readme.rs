//! What the README tells a new user to type works as it stands there.

use std::path::Path;
use std::process::Command;

use crate::support::fresh_url;
use crate::support::ports::free_port;

const MARK: &str = "<!-- tests/it/readme.rs runs this block -->\n```sh\n";

#[test]
fn the_commands_of_the_readme_work() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).expect("the README");
    let block = readme
        .split(MARK)
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let block = block.expect("the block of commands");

    // Only what differs on this machine is replaced: where the program, the store and a free port are.
    let bin = Path::new(env!("CARGO_BIN_EXE_meterline"))
        .parent()
        .expect("a folder");
    let port = free_port().to_string();
    let build = "cargo build --release && export PATH=\"$PWD/target/release:$PATH\"";
    assert!(block.contains(build));
    let commands = block
        .replace(build, &format!("export PATH=\"{}:$PATH\"", bin.display()))
        .replace("redis://127.0.0.1:6379", &format!("'{}'", fresh_url()))
        .replace("config/dev", &root.join("config/dev").display().to_string())
        .replace("9100", &port);

    let folder = tempfile::tempdir().expect("a folder");
    let script = format!("set -eu -o pipefail\ntrap 'kill $(jobs -p)' EXIT\n{commands}");
    let output = Command::new("timeout")
        .args(["60", "bash", "-c", &script])
        .current_dir(folder.path())
        .output()
        .expect("bash");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    for part in [
        "\"status\":\"accepted\"",
        "succeeded",
        "35 credits",
        "audit: ok",
    ] {
        assert!(
            said.contains(part),
            "{part:?} is missing in:\n{said}\n{errors}"
        );
    }
}
