//! A server instead of the store: the same commands through its HTTP API, with a key, by [`crate::client`].
//!
//! What it answers becomes the store's own views, so that everything is printed by the same code.

mod endpoints;
mod failure;
#[cfg(test)]
mod routes;
mod still;
mod views;

use std::time::Duration;

use serde_json::{Map, Value};

use super::Call;
use super::failure::{Failure, Kind};
use super::queue::QueueLine;
use crate::client::{Answer, Client, JobQuery, Options, StretchQuery};
use crate::domain::ids::{AccountId, IdempotencyKey, JobId};
use crate::ledger::Statement;
use crate::store::{AccountView, DeadLetter, JobFilter, JobView, JournalBody, TimelineEvent};
use crate::wire::{Accepted, DeadFilter, Event, HaltAnswer, HaltRequest, JobRequest, Output};

/// The variable with the address of a server.
pub(super) const URL: &str = "METERLINE_URL";
/// The variable with the key. It has no flag: what stands on a command line is seen by everybody on the
/// host.
const API_KEY: &str = "METERLINE_API_KEY";
/// A person waits no longer for a server that is away.
const PATIENCE: Duration = Duration::from_secs(10);
/// Entries of one page, as many as the API gives.
const PAGE: usize = 100;
/// Dead letters that are looked through for the newest ones.
const DEAD_MAX: usize = 10_000;

/// A server that a command asks.
pub(super) struct Server {
    pub(super) client: Client,
}

/// A job with all that a server says of it.
pub(super) struct FoundJob {
    pub(super) view: JobView,
    pub(super) timeline: Vec<TimelineEvent>,
    pub(super) outputs: Vec<Output>,
}

impl Call {
    /// The server that was named, where one was.
    pub(super) fn server(&self) -> Result<Option<Server>, Failure> {
        let Some(url) = &self.url else {
            return Ok(None);
        };
        let Some(key) = crate::config::secret(API_KEY) else {
            let message = format!("set {API_KEY}: the server at {url} asks for a key");
            return Err(Failure::new(Kind::Usage, message));
        };
        let client = Client::new(&Options {
            patience: PATIENCE,
            ..Options::new(url, key)
        });
        // Whatever is wrong with the address or the key, a person typed it.
        let client = client.map_err(|error| Failure::new(Kind::Usage, error.to_string()))?;
        Ok(Some(Server { client }))
    }
}

impl Server {
    /// Parameters as they were typed, read by the types that the server's catalogue gives them.
    pub(super) async fn params(
        &self,
        tool: &str,
        pairs: &[String],
    ) -> Result<Map<String, Value>, Failure> {
        let schema = match pairs {
            [] => Value::Null,
            _ => self.client.tool(tool).await?.parameters,
        };
        super::request::params(pairs, |name, text| {
            let takes_text = schema["properties"][name]["type"] == "string";
            let parsed = if takes_text {
                None
            } else {
                serde_json::from_str(text).ok()
            };
            parsed.unwrap_or_else(|| Value::String(text.to_owned()))
        })
    }

    /// Submits a job; where the outcome stays unknown, the failure has the key to repeat with.
    pub(super) async fn submit(
        &self,
        job: &JobRequest,
        key: Option<&IdempotencyKey>,
    ) -> Result<Answer<Accepted>, Failure> {
        let key = key.map(IdempotencyKey::as_str);
        Ok(self.client.submit(job, key).await?)
    }

    pub(super) async fn job(&self, job: &str) -> Result<FoundJob, Failure> {
        views::found(self.client.explain_job(job).await?)
    }

    /// The newest jobs of an account; without one those that end next, then those that ended last.
    pub(super) async fn jobs(&self, filter: &JobFilter) -> Result<Vec<JobView>, Failure> {
        let mut query = JobQuery {
            account: filter.account.as_ref().map(ToString::to_string),
            state: filter.state,
            ..JobQuery::default()
        };
        let mut found = Vec::new();
        while found.len() < filter.limit {
            query.limit = Some((filter.limit - found.len()).clamp(1, PAGE));
            let page = self.client.jobs(&query).await?;
            for job in &page.data {
                found.push(views::job(job, None)?);
            }
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                break;
            }
        }
        found.sort_by_key(|view| std::cmp::Reverse(view.number("created_at")));
        Ok(found)
    }

    pub(super) async fn account(&self, account: &AccountId) -> Result<AccountView, Failure> {
        views::account(self.client.account(account.as_str()).await?)
    }

    /// The account's newest entries, oldest first.
    pub(super) async fn ledger(
        &self,
        account: &AccountId,
        limit: usize,
    ) -> Result<Vec<(String, JournalBody)>, Failure> {
        let (mut found, mut cursor) = (Vec::new(), None::<String>);
        while found.len() < limit {
            let (account, most) = (account.as_str(), (limit - found.len()).min(PAGE));
            let page = self.client.ledger(account, most, cursor.as_deref()).await?;
            found.extend(page.data.into_iter().map(views::entry));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        found.reverse();
        Ok(found)
    }

    pub(super) async fn statement(
        &self,
        account: &AccountId,
        (from_ms, to_ms): (u64, u64),
        by: &str,
    ) -> Result<Statement, Failure> {
        let stretch = StretchQuery {
            from: views::rfc3339(from_ms),
            to: views::rfc3339(to_ms),
            by: Some(by.to_owned()),
        };
        let found = self.client.statement(account.as_str(), &stretch).await?;
        Ok(views::statement(found))
    }

    /// Dead letters that fit, and whether there may be more than were looked through.
    pub(super) async fn dead_letters(
        &self,
        filter: &DeadFilter,
    ) -> Result<(Vec<DeadLetter>, bool), Failure> {
        let mut filter = DeadFilter {
            limit: Some(PAGE),
            ..filter.clone()
        };
        let mut found = Vec::new();
        loop {
            let page = self.client.dead_letters(&filter).await?;
            for letter in page.data {
                found.push(views::dead_letter(letter)?);
            }
            filter.cursor = page.next_cursor;
            if filter.cursor.is_none() || found.len() >= DEAD_MAX {
                return Ok((found, filter.cursor.is_some()));
            }
        }
    }

    pub(super) async fn queues(&self) -> Result<Vec<QueueLine>, Failure> {
        let mut lines = Vec::new();
        for queue in self.client.queues().await? {
            lines.push(QueueLine {
                slots: self.client.scale(&queue.queue).await?.slots,
                starts: queue.starts,
                start_p50_ms: queue.start_wait_p50_ms,
                start_p95_ms: queue.start_wait_p95_ms,
                view: views::queue(queue),
            });
        }
        Ok(lines)
    }

    pub(super) async fn halt(
        &self,
        queue: &str,
        act: &str,
        reason: &str,
    ) -> Result<HaltAnswer, Failure> {
        let (act, reason) = (act.to_owned(), reason.to_owned());
        let halt = HaltRequest { act, reason };
        Ok(self.client.halt_queue(queue, &halt).await?)
    }
}

/// An event as a job's timeline has it.
pub(super) fn line(event: &Event) -> TimelineEvent {
    TimelineEvent {
        at_ms: views::ms(event.at.as_deref()).unwrap_or(0),
        event: event.event.clone(),
        detail: event.detail.clone(),
    }
}

/// The id, as a server gave it.
pub(super) fn job_id(text: &str) -> Result<JobId, Failure> {
    text.parse().map_err(|_| {
        let message = format!("failed to understand the answer: {text:?} is no job");
        Failure::new(Kind::ForeignServer, message)
    })
}
