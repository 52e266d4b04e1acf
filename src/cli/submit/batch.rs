//! Many jobs from JSONL: some at a time, one result a line, in the order of the file.

use std::path::Path;

use futures_util::{Stream, StreamExt, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::fs::File;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader};

use super::line::{self, LineResult, Outcome, Place};
use super::{Call, Exit, Failure, Kind};
use crate::cli::output::{Out, note};

/// Submits under way at a time.
const IN_FLIGHT: usize = 64;
/// Longest line, bytes: far above the longest payload that the settings can allow for.
const LINE_MAX_BYTES: u64 = 4 * 1024 * 1024;

type Input = Box<dyn AsyncBufRead + Send + Unpin>;

/// Counts, and shows, how it goes.
struct Tally {
    bar: ProgressBar,
    accepted: u64,
    replayed: u64,
    failed: u64,
}

pub(super) async fn run(call: &Call, path: &Path) -> Result<Exit, Failure> {
    let (input, bytes) = open(path).await?;
    let place = match call.server()? {
        Some(server) => Place::Server(server),
        None => {
            let house = call.house()?;
            let store = house.store().await?;
            Place::Store(house.producer(store.clone()), store)
        }
    };
    let mut tally = Tally::new(bytes);
    let mut results = std::pin::pin!(
        lines(input)
            .map(|(number, text)| {
                let read = text.as_ref().map_or(0, |text| text.len() as u64 + 1);
                let submitting = line::submit(&place, number, text);
                async move { (read, submitting.await) }
            })
            .buffered(IN_FLIGHT)
    );
    while let Some((read, result)) = results.next().await {
        let printed = tally.bar.suspend(|| print(call, &result));
        tally.count(read, &result);
        if let Err(failure) = printed {
            // Nobody reads on. What is under way goes in, the rest of the file does not.
            tally.finish(call.out);
            return match failure.kind() {
                Kind::BrokenPipe => Ok(Exit::Failed),
                _ => Err(failure),
            };
        }
    }
    tally.finish(call.out);
    Ok(if tally.failed == 0 {
        Exit::Done
    } else {
        Exit::Failed
    })
}

async fn open(path: &Path) -> Result<(Input, Option<u64>), Failure> {
    if path.as_os_str() == "-" {
        return Ok((Box::new(BufReader::new(tokio::io::stdin())), None));
    }
    let named = |error: std::io::Error| {
        Failure::new(
            Kind::Io,
            format!("failed to read {}: {error}", path.display()),
        )
    };
    let file = File::open(path).await.map_err(named)?;
    let bytes = file.metadata().await.map_err(named)?.len();
    Ok((Box::new(BufReader::new(file)), Some(bytes)))
}

/// The lines with something on them, numbered from 1. A line that cannot be read is a failure of its
/// own; only an error of the file itself ends the input.
fn lines(input: Input) -> impl Stream<Item = (u64, Result<String, Failure>)> {
    stream::unfold(Some((input, 0u64)), |state| async move {
        let (mut input, mut number) = state?;
        loop {
            number += 1;
            match next_line(&mut input).await {
                Ok(None) => return None,
                Ok(Some(Ok(text))) if text.trim().is_empty() => {}
                Ok(Some(text)) => return Some(((number, text), Some((input, number)))),
                Err(error) => return Some(((number, Err(error.into())), None)),
            }
        }
    })
}

async fn next_line(input: &mut Input) -> std::io::Result<Option<Result<String, Failure>>> {
    let mut bytes = Vec::new();
    if (&mut *input)
        .take(LINE_MAX_BYTES)
        .read_until(b'\n', &mut bytes)
        .await?
        == 0
    {
        return Ok(None);
    }
    if bytes.len() as u64 == LINE_MAX_BYTES && bytes.last() != Some(&b'\n') {
        skip_line(input).await?;
        let message = format!("longer than {LINE_MAX_BYTES} bytes");
        return Ok(Some(Err(Failure::new(Kind::BadLine, message))));
    }
    let text = String::from_utf8(bytes);
    Ok(Some(
        text.map_err(|_| Failure::new(Kind::BadLine, "not UTF-8")),
    ))
}

async fn skip_line(input: &mut Input) -> std::io::Result<()> {
    loop {
        let piece = input.fill_buf().await?;
        let end = piece.iter().position(|&byte| byte == b'\n');
        let (used, ended) = match end {
            Some(at) => (at + 1, true),
            None => (piece.len(), piece.is_empty()),
        };
        input.consume(used);
        if ended {
            return Ok(());
        }
    }
}

fn print(call: &Call, result: &LineResult) -> Result<(), Failure> {
    match &result.outcome {
        _ if call.out.is_json() => call.out.json(result),
        Outcome::Accepted(accepted) => call.out.text(&format!(
            "line {}: job {} {}",
            result.line, accepted.job, accepted.status
        )),
        Outcome::Failed { error } => {
            let message = error["message"].as_str().unwrap_or_default();
            call.out
                .text(&format!("line {}: error: {message}", result.line))
        }
    }
}

impl Tally {
    /// A bar where people watch, by bytes where they are known.
    fn new(bytes: Option<u64>) -> Self {
        let bar = match bytes {
            Some(bytes) => ProgressBar::new(bytes),
            None => ProgressBar::new_spinner(),
        };
        bar.set_draw_target(ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {eta} {msg}");
        if let (Some(_), Ok(style)) = (bytes, style) {
            bar.set_style(style);
        }
        Self {
            bar,
            accepted: 0,
            replayed: 0,
            failed: 0,
        }
    }

    fn count(&mut self, read_bytes: u64, result: &LineResult) {
        match &result.outcome {
            Outcome::Accepted(accepted) if accepted.status == "replayed" => self.replayed += 1,
            Outcome::Accepted(_) => self.accepted += 1,
            Outcome::Failed { .. } => self.failed += 1,
        }
        self.bar.inc(read_bytes);
        self.bar.set_message(format!(
            "{} in, {} failed",
            self.accepted + self.replayed,
            self.failed
        ));
    }

    /// A summary for people: programs have read every line.
    fn finish(&self, out: Out) {
        self.bar.finish_and_clear();
        if out.is_json() {
            return;
        }
        note(&format!(
            "{} accepted, {} had been accepted before, {} failed",
            self.accepted, self.replayed, self.failed
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &'static [u8]) -> Vec<(u64, Result<String, Kind>)> {
        let lines = lines(Box::new(text));
        lines
            .map(|(number, text)| (number, text.map_err(|failure| failure.kind())))
            .collect()
            .await
    }

    #[tokio::test]
    async fn lines_keep_their_numbers_over_blank_ones() {
        let found = read(b"{}\n\n  \n[]\nlast").await;
        let text = |text: &str| Ok(text.to_owned());
        assert_eq!(
            found,
            [(1, text("{}\n")), (4, text("[]\n")), (5, text("last"))]
        );
    }

    #[tokio::test]
    async fn a_line_that_cannot_be_read_is_one_failure_and_the_next_line_goes_on() {
        let mut input = vec![b'x'; usize::try_from(LINE_MAX_BYTES).unwrap() + 10];
        input.extend(b"\n\xff\n{}\n");
        let found = read(input.leak()).await;
        assert_eq!(
            found,
            [
                (1, Err(Kind::BadLine)),
                (2, Err(Kind::BadLine)),
                (3, Ok("{}\n".to_owned()))
            ]
        );
    }
}
