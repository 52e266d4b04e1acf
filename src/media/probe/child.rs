//! Measuring in a child process.
//!
//! A file from a stranger is parsed where a mistake costs one process: little memory, little time, no
//! files to write. The child is our own binary, called as `probe-media PATH`, and sets the limits on
//! itself before it opens the file.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

use crate::domain::media::{Measurement, MediaKind};

use super::super::Error;
use super::agree::FRAME_PROVES_MS;

/// Memory of the child in bytes. A `moov` of the largest size needs about half of it.
const MEMORY_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Processor time of the child in seconds.
const CPU_SECONDS_MAX: u64 = 5;

/// Longest answer that is read from a child.
const ANSWER_BYTES_MAX: u64 = 4 * 1024;

/// What a child prints: one line of JSON.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Answer {
    Measured(Measurement),
    NotMedia {},
}

/// Measures files in child processes.
#[derive(Debug, Clone)]
pub struct Prober {
    /// The binary that answers to `probe-media PATH`: normally the running one.
    pub program: PathBuf,
    /// Longest time one child may live.
    pub wall_limit: Duration,
}

impl Prober {
    /// A prober that calls this binary and gives each child ten seconds.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            wall_limit: Duration::from_secs(10),
        }
    }

    /// Measures one stored file.
    ///
    /// # Errors
    /// [`Error::NotMedia`] where the child found no media; [`Error::Unmeasurable`] where it died, took
    /// too long, or answered something else or something impossible; [`Error::Storage`] where it could
    /// not be started.
    pub async fn measure(&self, path: &Path) -> Result<Measurement, Error> {
        let path = std::path::absolute(path)?;
        let file_bytes = tokio::fs::metadata(&path).await.map(|file| file.len());
        let mut child = Command::new(&self.program)
            .arg("probe-media")
            .arg(path)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take();
        let ended = timeout(self.wall_limit, async {
            let answer = read_answer(stdout).await?;
            let status = child.wait().await?;
            Ok::<_, std::io::Error>((answer, status))
        });
        let (answer, status) = ended
            .await
            .map_err(|_| Error::Unmeasurable("the probe took too long"))??;
        if !status.success() {
            return Err(Error::Unmeasurable("the probe died"));
        }
        match serde_json::from_slice(&answer) {
            Ok(Answer::Measured(measurement)) if is_possible(&measurement, file_bytes?) => {
                Ok(measurement)
            }
            Ok(Answer::Measured(_)) => Err(Error::Unmeasurable("the probe answered nonsense")),
            Ok(Answer::NotMedia {}) => Err(Error::NotMedia),
            Err(_) => Err(Error::Unmeasurable("the probe answered nonsense")),
        }
    }
}

/// Whether a file of this size can be what the child says. The child read a stranger's file and is
/// not trusted more than it has to be: every frame takes a byte at least and proves a second at most,
/// and no kind of file has tracks that are not of its kind.
fn is_possible(measurement: &Measurement, file_bytes: u64) -> bool {
    let most_ms = file_bytes.saturating_mul(FRAME_PROVES_MS);
    let tracks = [measurement.video, measurement.audio];
    let fits = tracks.iter().flatten().all(|track| track.ms <= most_ms);
    let is_of_kind = match measurement.kind {
        MediaKind::Image => tracks == [None, None],
        MediaKind::Audio => measurement.video.is_none(),
        MediaKind::Video => true,
    };
    fits && is_of_kind
}

/// Reads what the child prints, but no more than an answer can be. Closing the pipe ends a child that
/// prints on and on.
async fn read_answer(stdout: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    if let Some(stdout) = stdout {
        stdout
            .take(ANSWER_BYTES_MAX)
            .read_to_end(&mut answer)
            .await?;
    }
    Ok(answer)
}

/// The child's side: limits itself, measures, prints the answer.
///
/// Call it before any thread is started: each thread takes a share of the memory limit.
pub fn child_main(path: &Path) -> ExitCode {
    if limit_self().is_err() {
        return ExitCode::FAILURE;
    }
    let answer = match super::measure(path) {
        Ok(measurement) => Answer::Measured(measurement),
        Err(Error::NotMedia) => Answer::NotMedia {},
        Err(_) => return ExitCode::FAILURE,
    };
    let printed = serde_json::to_vec(&answer)
        .map_err(std::io::Error::from)
        .and_then(|line| std::io::stdout().write_all(&line));
    if printed.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Limits that hold for the rest of this process's life.
fn limit_self() -> rustix::io::Result<()> {
    let limits = [
        (Resource::As, MEMORY_BYTES_MAX),
        (Resource::Cpu, CPU_SECONDS_MAX),
        (Resource::Core, 0),
        (Resource::Fsize, 0),
    ];
    for (resource, most) in limits {
        setrlimit(
            resource,
            Rlimit {
                current: Some(most),
                maximum: Some(most),
            },
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::domain::media::TrackLength;

    use super::*;

    #[test]
    fn what_a_file_of_that_size_cannot_be_is_not_believed() {
        let track = |ms| Some(TrackLength::agreed(ms));
        let possible = |kind, video, audio| {
            let measurement = Measurement { kind, video, audio };
            is_possible(&measurement, 100)
        };
        assert!(possible(MediaKind::Video, track(100_000), track(100_000)));
        assert!(!possible(MediaKind::Video, track(100_001), None));
        assert!(!possible(MediaKind::Video, None, track(u64::MAX)));
        assert!(possible(MediaKind::Audio, None, track(1)));
        assert!(!possible(MediaKind::Audio, track(1), None));
        assert!(possible(MediaKind::Image, None, None));
        assert!(!possible(MediaKind::Image, None, track(0)));
    }
}
