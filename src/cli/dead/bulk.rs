//! One act on many dead letters: asked about first, one by one, stopped between two of them, summed up.

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::cli::output::{Out, credits, note};
use crate::cli::serve::Signals;
use crate::desk::dead::{Selection, Step, Walk};
use crate::domain::ids::JobId;
use crate::store::{Error, Store};

/// Calls for one job until its outcome counts as unknown.
const CALLS_MAX: u32 = 3;

/// What came of one dead letter.
pub(super) struct Done {
    /// As a program reads it.
    pub(super) value: Value,
    /// As people read it.
    pub(super) text: String,
    /// It had been done before.
    pub(super) replayed: bool,
    /// Credits that are held by it, micro-credits.
    pub(super) hold_ucr: i64,
}

/// How an act is spoken of.
pub(super) struct Words {
    /// "retry"
    pub(super) verb: &'static str,
    /// "retried"
    pub(super) done: &'static str,
}

/// Whether a failure says that the store, and not one job, is the trouble: then it is the end of the run.
fn ends_the_run(failure: &Failure) -> bool {
    matches!(
        failure.kind(),
        Kind::Unreachable
            | Kind::UnknownOutcome
            | Kind::StoreFull
            | Kind::UnfitStore
            | Kind::IncompatibleStore
            | Kind::StoreError
    )
}

/// Calls the store until it says what happened. Only for calls that answer the same when repeated.
pub(super) async fn settled<T>(call: impl AsyncFn() -> Result<T, Error>) -> Result<T, Failure> {
    for _ in 1..CALLS_MAX {
        match call().await {
            Err(Error::Unknown(_)) => {}
            answered => return Ok(answered?),
        }
    }
    let failure = Failure::from(match call().await {
        Err(error) => error,
        Ok(outcome) => return Ok(outcome),
    });
    Err(match failure.kind() {
        Kind::UnknownOutcome => failure.and_say("repeat the same command to make sure"),
        _ => failure,
    })
}

/// Asks the person at the terminal; without one, `--yes` has to be said.
pub(super) fn confirm(question: &str, yes: bool) -> Result<bool, Failure> {
    if yes {
        return Ok(true);
    }
    let (stdin, mut stderr) = (std::io::stdin(), std::io::stderr());
    if !stdin.is_terminal() || !stderr.is_terminal() {
        let message = "nobody can be asked here: look with --dry-run, then repeat with --yes";
        return Err(Failure::new(Kind::Usage, message));
    }
    write!(stderr, "{question}\nGo on? [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Counts, and shows, how it goes.
struct Tally {
    bar: ProgressBar,
    done: u64,
    replayed: u64,
    hold_ucr: i64,
    refused: BTreeMap<&'static str, u64>,
    interrupted: bool,
}

/// Does the act to everything that was selected. `total` is for the bar. A person who interrupts gets
/// what was done until then; the same command again goes on with the rest.
pub(super) async fn run(
    call: &Call,
    store: &Store,
    selection: &Selection,
    words: &Words,
    total: u64,
    act: impl AsyncFn(&JobId) -> Result<Done, Failure>,
) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    let mut walk = Walk::over(store, selection);
    let mut tally = Tally::new(total);
    loop {
        let step = tokio::select! {
            biased;
            () = signals.next() => {
                tally.interrupted = true;
                break;
            }
            step = walk.next() => step,
        };
        let outcome = match step {
            Ok(None) => break,
            Ok(Some(Step { job, .. })) => act(&job).await.map_err(|failure| (job, failure)),
            Err(error) => {
                tally.finish(call.out, words)?;
                return Err(Failure::from(error).harmless());
            }
        };
        match outcome {
            Err((_, failure)) if ends_the_run(&failure) => {
                tally.finish(call.out, words)?;
                return Err(failure);
            }
            outcome => {
                let printed = tally.bar.suspend(|| print(call.out, &outcome));
                tally.count(&outcome);
                if let Err(failure) = printed {
                    // Nobody reads on, and nothing more is done unseen.
                    return match failure.kind() {
                        Kind::BrokenPipe => Ok(Exit::Failed),
                        _ => Err(failure),
                    };
                }
            }
        }
    }
    tally.finish(call.out, words)?;
    Ok(if tally.interrupted || !tally.refused.is_empty() {
        Exit::Failed
    } else {
        Exit::Done
    })
}

type Outcome = Result<Done, (JobId, Failure)>;

fn print(out: Out, outcome: &Outcome) -> Result<(), Failure> {
    match outcome {
        Ok(done) => out.show(&done.value, || done.text.clone()),
        Err((job, failure)) => out.show(&json!({"job": job, "error": failure.json()}), || {
            format!("{job}: {}", failure.message())
        }),
    }
}

impl Tally {
    fn new(total: u64) -> Self {
        let bar = ProgressBar::new(total);
        bar.set_draw_target(ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {eta} {msg}") {
            bar.set_style(style);
        }
        Self {
            bar,
            done: 0,
            replayed: 0,
            hold_ucr: 0,
            refused: BTreeMap::new(),
            interrupted: false,
        }
    }

    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Ok(done) if done.replayed => self.replayed += 1,
            Ok(done) => {
                self.done += 1;
                self.hold_ucr = self.hold_ucr.saturating_add(done.hold_ucr);
            }
            Err((_, failure)) => *self.refused.entry(failure.kind().word()).or_default() += 1,
        }
        self.bar.inc(1);
        let refused: u64 = self.refused.values().sum();
        if refused > 0 {
            self.bar.set_message(format!("{refused} refused"));
        }
    }

    /// The last line: for programs on stdout with the others, for people on stderr.
    fn finish(&self, out: Out, words: &Words) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        if out.is_json() {
            return out.json(&json!({"summary": {
                words.done: self.done,
                "replayed": self.replayed,
                "hold_ucr": self.hold_ucr,
                "refused": self.refused,
                "interrupted": self.interrupted,
            }}));
        }
        let mut text = format!("{} {}", self.done, words.done);
        if self.hold_ucr > 0 {
            text += &format!(", {} held", credits(self.hold_ucr));
        }
        if self.replayed > 0 {
            text += &format!(", {} had been {} before", self.replayed, words.done);
        }
        if !self.refused.is_empty() {
            let each = self.refused.iter().map(|(kind, n)| format!("{kind} {n}"));
            let refused: u64 = self.refused.values().sum();
            text += &format!(
                ", {refused} refused: {}",
                each.collect::<Vec<_>>().join(", ")
            );
        }
        if self.interrupted {
            text += &format!(
                "; interrupted, {} the rest with the same command",
                words.verb
            );
        }
        note(&text);
        Ok(())
    }
}
