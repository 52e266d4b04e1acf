//! The built test program: which tests it has, which guards each of them sets off, whether some pass.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// Tests of one process that run at the same time: they mostly wait.
const THREADS: &str = "4";
/// After so long without a word from the tests, a mutant counts as hung.
const SILENCE_MAX: Duration = Duration::from_secs(90);

/// What is known of a test.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) passes: bool,
    pub(crate) took_ms: u64,
    /// `guard:settle_once`, `script:settle`.
    pub(crate) reached: BTreeSet<String>,
}

/// Test -> what is known of it. Kept below `target`.
pub(crate) type Coverage = BTreeMap<String, Known>;

/// How a run of some tests ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed(String),
    Hung,
}

/// The test program with the scripts-from-disk seam in it.
#[derive(Debug, Clone)]
pub(crate) struct Tests {
    program: PathBuf,
    root: PathBuf,
}

impl Tests {
    /// Builds it.
    pub(crate) fn build(root: &Path) -> anyhow::Result<Self> {
        let output = Command::new("cargo")
            .args([
                "test",
                "--no-run",
                "--test",
                "it",
                "--features",
                "lua-from-disk",
            ])
            .args(["--message-format", "json-render-diagnostics"])
            .current_dir(root)
            .stderr(Stdio::inherit())
            .output()
            .context("run cargo")?;
        if !output.status.success() {
            bail!("the tests do not build");
        }
        let messages = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut programs = messages.lines().filter_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            let is_it = message["target"]["name"] == "it";
            let program = message["executable"].as_str().filter(|_| is_it)?;
            Some(PathBuf::from(program))
        });
        let program = programs
            .next_back()
            .context("cargo named no test program")?;
        Ok(Self {
            program,
            root: root.to_owned(),
        })
    }

    /// The names of all tests.
    pub(crate) fn names(&self) -> anyhow::Result<Vec<String>> {
        let output = Command::new(&self.program)
            .args(["--list", "--format", "terse"])
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let names = text.lines().filter_map(|line| line.strip_suffix(": test"));
        // It runs other tests again: one of these is the judge.
        let names = names.filter(|name| !name.starts_with("script_faults::"));
        Ok(names.map(str::to_owned).collect())
    }

    /// Runs one test on watched scripts. The server's words are read from a log of its own, since each
    /// server on the path is replaced by one that writes there.
    pub(crate) fn watch(&self, name: &str, lua: &Path, scratch: &Path) -> anyhow::Result<Known> {
        std::fs::create_dir_all(scratch)?;
        let log = scratch.join("server.log");
        let _ = std::fs::remove_file(&log);
        let path = self.path_with_logging_server(scratch, &log)?;
        let began = Instant::now();
        let verdict = self.run(&[name], lua, &[("PATH", path)])?;
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        let words = said
            .lines()
            .filter_map(|line| line.split_whitespace().last());
        let reached =
            words.filter(|word| word.starts_with("guard:") || word.starts_with("script:"));
        Ok(Known {
            passes: verdict == Verdict::Passed,
            took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            reached: reached.map(str::to_owned).collect(),
        })
    }

    fn path_with_logging_server(&self, scratch: &Path, log: &Path) -> anyhow::Result<OsString> {
        use std::os::unix::fs::PermissionsExt;
        let real = meterline::dev::redis::server_program()?;
        let bin = scratch.join("bin");
        std::fs::create_dir_all(&bin)?;
        let wrapper = bin.join("redis-server");
        let (real, log) = (real.display(), log.display());
        std::fs::write(
            &wrapper,
            format!("#!/bin/sh\nexec '{real}' \"$@\" --logfile '{log}'\n"),
        )?;
        std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755))?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let dirs = std::iter::once(bin).chain(std::env::split_paths(&path));
        Ok(std::env::join_paths(dirs)?)
    }

    /// Runs tests with the scripts in `lua` until the first one fails.
    pub(crate) fn run<S: AsRef<str>>(
        &self,
        names: &[S],
        lua: &Path,
        environment: &[(&str, OsString)],
    ) -> anyhow::Result<Verdict> {
        let mut child = Command::new(&self.program)
            .args(["--exact", "--test-threads", THREADS])
            .args(names.iter().map(AsRef::as_ref))
            .env("METERLINE_LUA_DIR", lua)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let stdout = child.stdout.take().context("the tests have no output")?;
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let verdict = loop {
            match lines.recv_timeout(SILENCE_MAX) {
                Ok(line) => {
                    let failed = line.strip_suffix(" ... FAILED");
                    if let Some(name) = failed.and_then(|line| line.strip_prefix("test ")) {
                        break Verdict::Failed(name.to_owned());
                    }
                }
                Err(RecvTimeoutError::Timeout) => break Verdict::Hung,
                Err(RecvTimeoutError::Disconnected) => break Verdict::Passed,
            }
        };
        if verdict != Verdict::Passed {
            let _ = child.kill();
        }
        let status = child.wait()?;
        if verdict == Verdict::Passed && !status.success() {
            return Ok(Verdict::Failed("the test program itself".to_owned()));
        }
        Ok(verdict)
    }
}
