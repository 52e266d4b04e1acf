//! `health`: whether a server process is well, by the file that it touches or by its own word; made for
//! containers.
//!
//! It needs neither settings nor a store nor a key, so that it answers at once also where those are the trouble.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::json;
use tokio::task::JoinHandle;

use super::Call;
use super::failure::{Exit, Failure, Kind};
use super::output;
use super::request::span_ms;
use crate::client;

const EXAMPLES: &str = "Examples:
  meterline serve --health-file /tmp/health &
  meterline health --file /tmp/health
  meterline health --file /tmp/health --max-age 30s
  meterline health --url http://127.0.0.1:8080";

/// How often a server that is well touches its file.
const TOUCHED_EVERY: Duration = Duration::from_secs(1);
/// A server that takes longer to say how it is, is not well: whoever restarts it has a limit of its own.
const ANSWER_MAX: Duration = Duration::from_secs(4);

/// The file by which a server process says that it is well; taken away when this is dropped.
pub(super) struct HealthFile {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl HealthFile {
    /// Touches the file from now on, as long as the worker shows `vital_sign`.
    pub(super) fn keep(
        path: PathBuf,
        worker: String,
        vital_sign: impl Fn() -> bool + Send + 'static,
    ) -> Result<Self, Failure> {
        let write = |path: &Path, worker: &str| std::fs::write(path, format!("{worker}\n"));
        write(&path, &worker).map_err(|error| {
            let path = path.display();
            Failure::new(
                Kind::Io,
                format!("failed to write the health file {path}: {error}"),
            )
        })?;
        let file = path.clone();
        let task = tokio::spawn(async move {
            let mut every = tokio::time::interval(TOUCHED_EVERY);
            loop {
                every.tick().await;
                if !vital_sign() {
                    continue;
                }
                if let Err(error) = write(&file, &worker) {
                    tracing::warn!(%error, "failed to touch the health file");
                }
            }
        });
        Ok(Self { path, task })
    }
}

impl Drop for HealthFile {
    fn drop(&mut self) {
        self.task.abort();
        // Whoever looks for it afterwards is told the same by a file that grows old.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Say by its exit code whether a server process is well
///
/// `serve --health-file FILE` touches the file every second, as long as the store has renewed the
/// worker's lease within one lease and its claims go on. The file stays behind when the process hangs,
/// has lost the store, or was killed; it is taken away when the process ends by order. With `--url` a
/// server for the API is asked for its /readyz instead, within 4 seconds and without a key.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The file that the server was given with --health-file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Longest time since the file was touched
    #[arg(long = "max-age", value_name = "TIME", default_value = "10s", value_parser = span_ms)]
    max_age_ms: u64,
}

pub(super) async fn run(call: &Call, args: &Args) -> Result<Exit, Failure> {
    match (&args.file, &call.url) {
        // A file is always typed; an address may stand in the environment for other commands.
        (Some(file), _) => by_file(call, file, args.max_age_ms),
        (None, Some(url)) => by_word(call, url).await,
        (None, None) => Err(Failure::new(
            Kind::Usage,
            "name the worker's --file, or the --url of a server",
        )),
    }
}

fn sick(why: &str) -> Failure {
    Failure::new(Kind::Unwell, format!("the server is not well: {why}"))
}

fn by_file(call: &Call, path: &Path, max_age_ms: u64) -> Result<Exit, Failure> {
    let file = path.display();
    let touched = std::fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .map_err(|error| sick(&format!("failed to look at {file}: {error}")))?;
    // A time in the future is a clock that was set back: the file has been touched.
    let age = SystemTime::now()
        .duration_since(touched)
        .unwrap_or_default();
    let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    if age_ms > max_age_ms {
        let ago = output::duration(age_ms);
        return Err(sick(&format!("it touched {file} {ago} ago")));
    }
    let value = json!({"ok": true, "age_ms": age_ms});
    call.out.show(&value, || "well".to_owned())?;
    Ok(Exit::Done)
}

async fn by_word(call: &Call, url: &str) -> Result<Exit, Failure> {
    let said = match client::readiness(url, ANSWER_MAX).await {
        Ok(said) => said,
        Err(error @ client::Error::Setup(_)) => return Err(error.into()),
        Err(error) => return Err(sick(&format!("failed to {error}"))),
    };
    if !said.ok {
        let parts = [
            ("store", &said.store),
            ("worker", &said.worker),
            ("server", &said.server),
        ];
        let parts = parts.map(|(part, word)| format!("{part} {word}"));
        return Err(sick(&parts.join(", ")));
    }
    call.out.show(&said, || "well".to_owned())?;
    Ok(Exit::Done)
}
