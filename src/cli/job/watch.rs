//! `job watch`: the job's timeline so far, then what happens to it, until it ends.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::show::event_json;
use super::watch_server;
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::cli::output::rfc3339;
use crate::cli::request::span_ms;
use crate::domain::ids::JobId;
use crate::domain::job::State;
use crate::store::{EventReader, Store, TimelineEvent};

/// Longest wait for an event before the job itself is looked at again.
const LOOK_EVERY_MS: u64 = 5_000;
/// Wait after the connection broke.
const RECONNECT: Duration = Duration::from_millis(250);

/// Follow a job until it ends: one line for each event
///
/// Exit code 0 where it succeeded, 1 where it ended otherwise or the time is up.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline job watch JOB --timeout 60s --output json")]
pub(in crate::cli) struct Args {
    /// The job's id
    job: String,
    /// Stop waiting after this long, such as 60s [default: wait until it ends]
    #[arg(long = "timeout", value_name = "TIME", value_parser = span_ms)]
    timeout_ms: Option<u64>,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    let until = args.timeout_ms.map(Duration::from_millis);
    if let Some(server) = call.server()? {
        let ended = watch_server::until_ended(call, &server, &args.job, until).await?;
        return Ok(exit(ended));
    }
    let store = call.house()?.store().await?;
    let job = super::id(&store, &args.job)?;
    let mut watch = Watch {
        call,
        store,
        job,
        printed: HashMap::new(),
    };
    let ended = match until {
        None => watch.until_ended(None).await?,
        Some(most) => {
            let until = Instant::now() + most;
            match tokio::time::timeout_at(until, watch.until_ended(Some(until))).await {
                Ok(ended) => ended?,
                Err(_) => return Err(time_is_up(&watch.job)),
            }
        }
    };
    Ok(exit(ended))
}

fn exit(ended: State) -> Exit {
    if ended == State::Succeeded {
        Exit::Done
    } else {
        Exit::Failed
    }
}

pub(super) fn time_is_up(job: &JobId) -> Failure {
    Failure::new(
        Kind::TimeIsUp,
        format!("the time is up, job {job} has not ended"),
    )
}

struct Watch<'a> {
    call: &'a Call,
    store: Store,
    job: JobId,
    /// How often each event has been printed: a timeline can hold equal lines.
    printed: HashMap<(u64, String, String), usize>,
}

impl Watch<'_> {
    /// Prints events until the job has ended. A connection that breaks is made again while there is a
    /// time limit; without one its loss is the end, so that nobody waits for ever.
    async fn until_ended(&mut self, until: Option<Instant>) -> Result<State, Failure> {
        loop {
            match self.follow().await {
                Err(failure) if failure.kind() == Kind::Unreachable && until.is_some() => {
                    tokio::time::sleep(RECONNECT).await;
                }
                ended => return ended,
            }
        }
    }

    /// The subscription stands before the timeline is read, so that nothing falls between the two.
    async fn follow(&mut self) -> Result<State, Failure> {
        let mut events = self.store.follow(&self.job).await?;
        loop {
            self.print_timeline().await?;
            let view = self.store.job(&self.job).await?;
            let view = view.ok_or_else(|| super::unknown(self.job.as_str()))?;
            if let Some(state) = view.state().filter(|state| state.is_terminal()) {
                // It may have ended after the timeline was read.
                self.print_timeline().await?;
                return Ok(state);
            }
            self.await_event(&mut events).await?;
        }
    }

    /// Waits for an event of this job. One that its timeline has no room for is printed from here.
    async fn await_event(&mut self, events: &mut EventReader) -> Result<(), Failure> {
        let look_at = Instant::now() + Duration::from_millis(LOOK_EVERY_MS);
        while Instant::now() < look_at {
            let news = events
                .next(usize::try_from(LOOK_EVERY_MS).unwrap_or(usize::MAX))
                .await?;
            let mine: Vec<_> = news
                .into_iter()
                .filter(|event| event.job == self.job.as_str())
                .collect();
            if mine.is_empty() {
                continue;
            }
            self.print_timeline().await?;
            for event in mine {
                let line = TimelineEvent {
                    at_ms: event.at_ms,
                    event: event.event,
                    detail: event.detail,
                };
                if !self.printed.contains_key(&key(&line)) {
                    self.print(&line)?;
                }
            }
            return Ok(());
        }
        Ok(())
    }

    /// Prints what the timeline has more than was printed.
    async fn print_timeline(&mut self) -> Result<(), Failure> {
        let mut seen: HashMap<_, usize> = HashMap::new();
        for event in self.store.timeline(&self.job).await? {
            let times = seen.entry(key(&event)).or_default();
            *times += 1;
            if *times > self.printed.get(&key(&event)).copied().unwrap_or(0) {
                self.print(&event)?;
            }
        }
        Ok(())
    }

    fn print(&mut self, event: &TimelineEvent) -> Result<(), Failure> {
        *self.printed.entry(key(event)).or_default() += 1;
        print(self.call, &self.job, event)
    }
}

/// One event, a line.
pub(super) fn print(call: &Call, job: &JobId, event: &TimelineEvent) -> Result<(), Failure> {
    let mut value = event_json(event);
    value["job"] = json!(job);
    call.out.show(&value, || {
        let at = i64::try_from(event.at_ms)
            .ok()
            .and_then(rfc3339)
            .unwrap_or_default();
        format!("{at}  {:<12} {}", event.event, event.detail)
            .trim_end()
            .to_owned()
    })
}

fn key(event: &TimelineEvent) -> (u64, String, String) {
    (event.at_ms, event.event.clone(), event.detail.clone())
}
