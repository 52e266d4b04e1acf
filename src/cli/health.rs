//! `health`: whether a server process is well, by the file that it touches; made for containers.
//!
//! It needs neither settings nor a store, so that it answers at once also where those are the trouble.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::json;
use tokio::task::JoinHandle;

use super::Call;
use super::failure::{Exit, Failure, Kind};
use super::output;
use super::request::span_ms;

const EXAMPLES: &str = "Examples:
  meterline serve --health-file /tmp/health &
  meterline health --file /tmp/health
  meterline health --file /tmp/health --max-age 30s";

/// How often a server that is well touches its file.
const TOUCHED_EVERY: Duration = Duration::from_secs(1);

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
/// has lost the store, or was killed; it is taken away when the process ends by order.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The file that the server was given with --health-file
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Longest time since the file was touched
    #[arg(long = "max-age", value_name = "TIME", default_value = "10s", value_parser = span_ms)]
    max_age_ms: u64,
}

pub(super) fn run(call: &Call, args: &Args) -> Result<Exit, Failure> {
    let file = args.file.display();
    let sick = |why: String| Failure::new(Kind::Unwell, why);
    let touched = std::fs::metadata(&args.file)
        .and_then(|metadata| metadata.modified())
        .map_err(|error| {
            sick(format!(
                "the server is not well: failed to look at {file}: {error}"
            ))
        })?;
    // A time in the future is a clock that was set back: the file has been touched.
    let age = SystemTime::now()
        .duration_since(touched)
        .unwrap_or_default();
    let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    if age_ms > args.max_age_ms {
        let ago = output::duration(age_ms);
        return Err(sick(format!(
            "the server is not well: it touched {file} {ago} ago"
        )));
    }
    let value = json!({"ok": true, "age_ms": age_ms});
    call.out.show(&value, || "well".to_owned())?;
    Ok(Exit::Done)
}
