//! The command line as scripts see it: the real program, its exit codes, its JSON.

mod accounts;
mod batch;
mod bench;
mod costs;
mod dead;
mod freezing;
mod health;
mod history;
mod lost_answers;
mod manual;
mod money;
mod obligations;
mod producer_scripts;
mod providers;
mod refusals;
mod settings;
mod submitting;
mod through_operators;
mod through_server;
mod webhooks;
mod whole_house;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use serde_json::Value;

use crate::support::{Raw, fresh_url};

/// The program, on a store of its own, with the development settings.
struct Cli {
    url: String,
}

/// What a command did.
#[derive(Debug)]
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Cli {
    fn new() -> Self {
        Self { url: fresh_url() }
    }

    /// With an account `acme` that has so many purchased credits.
    fn funded(credits: u32) -> Self {
        let cli = Self::new();
        cli.ok(&["account", "create", "acme"]);
        let credits = credits.to_string();
        cli.ok(&[
            "account",
            "grant",
            "acme",
            "--credits",
            &credits,
            "--op-id",
            "fund",
        ]);
        cli
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare(arguments);
        command.args([
            "--redis",
            &self.url,
            "--config",
            "config/dev",
            "--output",
            "json",
        ]);
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        ran(&mut self.command(arguments))
    }

    /// Runs a command that must succeed, and reads its one JSON document.
    fn ok(&self, arguments: &[&str]) -> Value {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
        ran.json()
    }

    /// Runs a command that must fail with this code; returns the error.
    fn fails(&self, code: i32, arguments: &[&str]) -> Value {
        let ran = self.run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        ran.error()
    }

    fn account(&self) -> Value {
        self.ok(&["account", "show", "acme"])
    }

    /// Available and held, in whole credits.
    fn balance(&self) -> (i64, i64) {
        let view = self.account();
        (credits(&view["available_ucr"]), credits(&view["held_ucr"]))
    }

    fn assert_sound(&self) {
        let report = self.ok(&["audit"]);
        assert_eq!(report["ok"], true, "{report}");
    }

    async fn raw(&self) -> Raw {
        Raw::open(&self.url).await
    }
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// One document for each line of stdout.
    fn lines(&self) -> Vec<Value> {
        let lines = self.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("a document on each line"))
            .collect()
    }

    fn error(&self) -> Value {
        assert_eq!(self.stdout, "", "a refusal prints nothing on stdout");
        let value: Value =
            serde_json::from_str(&self.stderr).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        let error = value["error"].clone();
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{self:?}"
        );
        error
    }
}

/// The program without any flag or setting from around the tests.
fn bare(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meterline"));
    command
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("METERLINE") {
            command.env_remove(name);
        }
    }
    command
}

fn ran(command: &mut Command) -> Ran {
    let output = command.output().expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Ran {
        code: output.status.code().expect("an exit code"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

fn credits(ucr: &Value) -> i64 {
    ucr.as_i64().unwrap_or_else(|| panic!("{ucr} is no amount")) / 1_000_000
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
}

/// A video of so many milliseconds, as flags.
fn video(duration_ms: u32) -> Vec<String> {
    let duration = format!("duration_ms={duration_ms}");
    let flags = [
        "--account",
        "acme",
        "--tool",
        "image-to-video",
        "--param",
        &duration,
        "--param",
    ];
    flags
        .into_iter()
        .chain(["image_url=http://127.0.0.1/x.png"])
        .map(str::to_owned)
        .collect()
}

fn with<'a>(command: &'a str, flags: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    let flags = flags.iter().map(String::as_str);
    std::iter::once(command)
        .chain(flags)
        .chain(more.iter().copied())
        .collect()
}

/// A process that runs until it is told to stop; killed when dropped.
struct Process {
    child: Child,
    /// Its lines, as they come.
    lines: mpsc::Receiver<String>,
}

impl Process {
    /// Starts it. `stdout` says which of its two outputs is listened to.
    fn start(mut command: Command, stdout: bool) -> Self {
        let (out, err) = if stdout {
            (Stdio::piped(), Stdio::null())
        } else {
            (Stdio::null(), Stdio::piped())
        };
        let mut child = command
            .stdout(out)
            .stderr(err)
            .spawn()
            .expect("the program starts");
        let pipe: Box<dyn Read + Send> = match (child.stdout.take(), child.stderr.take()) {
            (Some(pipe), _) => Box::new(pipe),
            (None, Some(pipe)) => Box::new(pipe),
            (None, None) => panic!("nothing to listen to"),
        };
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            // Read on after the test has what it waited for, so that the process never blocks.
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines }
    }

    /// The rest of the first line that begins with `word`.
    fn says(&self, word: &str) -> String {
        self.hears(|line| line.strip_prefix(word).map(str::to_owned))
    }

    /// What is made of the first line that something can be made of.
    fn hears<T>(&self, find: impl Fn(&str) -> Option<T>) -> T {
        let mut heard = Vec::new();
        loop {
            match self.lines.recv_timeout(std::time::Duration::from_secs(20)) {
                Ok(line) => match find(&line) {
                    Some(found) => return found,
                    None => heard.push(line),
                },
                Err(error) => panic!("{error} after {heard:#?}"),
            }
        }
    }

    fn signal(&self) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        let pid = rustix::process::Pid::from_raw(pid).expect("a process id");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signal");
    }

    /// SIGTERM, and the exit code it ends with.
    fn stop(mut self) -> Option<i32> {
        self.signal();
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn help_is_for_people_and_a_bad_flag_is_a_usage_error_in_both_forms() {
    let help = ran(&mut bare(&["--help"]));
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    for part in [
        "Exit codes",
        "5  unknown outcome",
        "simulate-provider",
        "Examples",
    ] {
        assert!(help.stdout.contains(part), "{part}: {}", help.stdout);
    }
    let version = ran(&mut bare(&["--version"]));
    assert_eq!(
        version.stdout.trim(),
        format!("meterline {}", env!("CARGO_PKG_VERSION"))
    );

    let plain = ran(&mut bare(&["submit", "--nonsense"]));
    assert_eq!(plain.code, 2);
    assert!(plain.stderr.contains("--nonsense"), "{plain:?}");
    for json in [
        ["--output", "json", "submit", "--nonsense"],
        ["submit", "--nonsense", "--output", "json"],
    ] {
        let json = ran(&mut bare(&json));
        assert_eq!((json.code, text(&json.error()["type"])), (2, "usage"));
    }
}

#[test]
fn a_reader_that_goes_away_ends_a_listing_quietly() {
    let cli = Cli::funded(1);
    let mut child = cli
        .command(&["account", "ledger", "acme"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // Closed before the store has even been asked.
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_stranger_s_file_is_measured_without_settings_or_a_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("x.bin");
    std::fs::write(&file, b"no media").expect("a file");
    let mut command = bare(&["probe-media", file.to_str().expect("a path")]);
    command
        .env("METERLINE_CONFIG", Path::new("/nowhere"))
        .env("METERLINE_REDIS_URL", "nonsense");
    let ran = ran(&mut command);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (0, r#"{"not_media":{}}"#),
        "{ran:?}"
    );
}
