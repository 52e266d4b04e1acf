//! Completions and manual pages, as a shell and `man` get them.

use std::process::{Command, Stdio};

use super::{bare, ran};

#[test]
fn a_shell_completes_commands_flags_and_values() {
    let script = r#"
        source <("$METERLINE" completions bash)
        complete -p meterline
        tried() {
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
            _meterline meterline "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
            echo "$*: ${COMPREPLY[*]}"
        }
        tried meterline acc
        tried meterline account gra
        tried meterline submit --idem
        tried meterline config schema --of ''
    "#;
    let output = Command::new("bash")
        .args(["-euc", script])
        .env("METERLINE", env!("CARGO_BIN_EXE_meterline"))
        .output()
        .expect("bash");
    let said = String::from_utf8_lossy(&output.stdout);
    for part in [
        "-F _meterline",
        "meterline acc: account\n",
        "meterline account gra: grant\n",
        "meterline submit --idem: --idempotency-key\n",
        "meterline config schema --of : settings catalogue provider\n",
    ] {
        assert!(said.contains(part), "{part:?} in {said} {output:?}");
    }
}

#[test]
fn every_shell_has_its_completions() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = ran(&mut bare(&["completions", shell]));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{shell}");
        assert!(ran.stdout.contains("simulate-provider"), "{shell}");
    }
    assert_eq!(ran(&mut bare(&["completions", "tcsh"])).code, 2);
}

#[test]
fn every_command_has_a_page_with_its_examples_and_exit_codes() {
    let folder = tempfile::tempdir().expect("a folder");
    let pages = folder.path().join("man1");
    let dir = pages.to_str().expect("a path");
    let wrote = ran(&mut bare(&["man", "--dir", dir, "--output", "json"]));
    assert_eq!(wrote.code, 0, "{wrote:?}");
    let mut names: Vec<String> = std::fs::read_dir(&pages)
        .expect("the pages")
        .map(|entry| {
            entry
                .expect("a page")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .collect();
    names.sort();
    assert_eq!(wrote.json()["pages"], names.len());
    for name in [
        "meterline.1",
        "meterline-submit.1",
        "meterline-account-grant.1",
    ] {
        assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
    }
    for name in &names {
        let page = std::fs::read_to_string(pages.join(name)).expect("a page");
        for part in [
            ".SH NAME",
            ".SH SYNOPSIS",
            ".SH EXAMPLES",
            ".SH \"EXIT STATUS\"",
        ] {
            assert!(page.contains(part), "{name} has no {part}");
        }
        assert!(page.contains("5  unknown outcome"), "{name}");
        let examples = page.split(".SH EXAMPLES").nth(1).expect("examples");
        assert!(examples.contains("meterline "), "{name}");
    }
    let one = ran(&mut bare(&["man"]));
    let page = std::fs::read_to_string(pages.join("meterline.1")).expect("a page");
    assert_eq!(one.stdout.trim_end(), page.trim_end());
}

#[test]
fn a_reader_that_goes_away_ends_what_is_long_quietly() {
    for command in [
        &["completions", "bash"][..],
        &["man"],
        &["config", "schema"],
        &["config", "show"],
        &["submit", "--help"],
    ] {
        let mut child = bare(command)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{command:?}");
    }
}
