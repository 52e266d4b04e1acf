//! `job watch` through a server: its stream of events, gone on with after each break.

use std::time::Duration;

use tokio::time::Instant;

use super::watch;
use crate::cli::Call;
use crate::cli::failure::{Failure, Kind};
use crate::cli::server::{Server, job_id, line};
use crate::client::{Events, Happened};
use crate::domain::job::State;
use crate::store::TimelineEvent;

/// Follows a job until it ends or the time is up; how it ended.
pub(super) async fn until_ended(
    call: &Call,
    server: &Server,
    job: &str,
    longest: Option<Duration>,
) -> Result<State, Failure> {
    let Some(longest) = longest else {
        return follow(call, server, job, None).await;
    };
    let until = Instant::now() + longest;
    match tokio::time::timeout_at(until, follow(call, server, job, Some(until))).await {
        Ok(ended) => ended,
        Err(_) => Err(watch::time_is_up(&job_id(job)?)),
    }
}

async fn follow(
    call: &Call,
    server: &Server,
    job: &str,
    until: Option<Instant>,
) -> Result<State, Failure> {
    let id = job_id(job).map_err(|_| super::unknown(job))?;
    let mut events = server.client.follow_job(job, None);
    let mut printed: Vec<TimelineEvent> = Vec::new();
    loop {
        match next(&mut events, until).await? {
            Some(Happened::Event { event, .. }) => {
                let line = line(&event);
                watch::print(call, &id, &line)?;
                let ended = State::from_word(&line.event).filter(|state| state.is_terminal());
                printed.push(line);
                if let Some(state) = ended {
                    return Ok(state);
                }
            }
            // What the stream does not keep any more, or a job that ended long ago: its timeline has it.
            Some(Happened::Gap) | None => {
                let found = server.job(job).await?;
                for line in found.timeline.iter().filter(|line| !printed.contains(line)) {
                    watch::print(call, &id, line)?;
                }
                printed.extend(found.timeline);
                if let Some(state) = found.view.state().filter(|state| state.is_terminal()) {
                    return Ok(state);
                }
            }
        }
    }
}

/// The next event. A server that is away is waited for while there is a time limit; without one its loss
/// is the end, so that nobody waits for ever.
async fn next(events: &mut Events, until: Option<Instant>) -> Result<Option<Happened>, Failure> {
    loop {
        match events.next().await.map_err(Failure::from) {
            Err(failure) if failure.kind() == Kind::Unreachable && until.is_some() => {}
            next => return next,
        }
    }
}
