//! Events as they happen (server-sent events), of one job or one account, from where a client left off.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event as Sent, Sse};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tokio::time::Instant;

use super::shapes::ProblemBody;
use crate::api::House;
use crate::api::extract::last_event_id;
use crate::api::gate::{Caller, Turn};
use crate::api::hub::News;
use crate::api::problem::{Kind, Problem};
use crate::api::text::rfc3339;
use crate::domain::ids::{AccountId, JobId};
use crate::domain::job::State as JobState;
use crate::store::{EventId, FeedEvent};
use crate::wire::Event;

/// Events that are read again at a time.
const READ: usize = 500;

/// Follow a job
///
/// Every event of the job from its submission on, then what happens to it; the stream ends with the job.
/// `Last-Event-ID` goes on behind that event; an event `gap` says that some between are not kept any more.
/// Answered with 204 where nothing more will come.
#[utoipa::path(get, path = "/v1/jobs/{job}/events", operation_id = "follow_job", tag = "jobs",
    security(("key" = ["produce", "operate"])),
    params(("Last-Event-ID" = Option<String>, Header, description = "`id` of the last event that was seen")),
    responses((status = 200, body = String, content_type = "text/event-stream"), (status = 204, description = "The job has ended and all was seen"), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn of_job(
    State(house): State<Arc<House>>,
    caller: Caller,
    turn: Turn,
    Path(job): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let view = super::jobs::find(&house, &caller, &job).await?;
    let seen = seen(&headers)?;
    let created_ms = u64::try_from(view.number("created_at")).unwrap_or(0);
    let account = view.text("account").to_owned();
    let partition = view.job.partition();
    let mut follower = Follower::new(&house, &turn, partition, account, Some(view.job.clone()))?;
    follower.last = seen.unwrap_or(EventId::before_ms(created_ms));
    follower.reads = true;
    if seen.is_some() && view.state().is_some_and(JobState::is_terminal) {
        // A client that comes back after the end is told not to come again.
        let page = house
            .store
            .events_after(partition, follower.last, READ)
            .await;
        let page = page.map_err(Problem::harmless)?;
        let is_mine = |event: &FeedEvent| event.event.job == view.job.as_str();
        if !page.more && !page.events.iter().any(is_mine) {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
    }
    Ok(stream(follower))
}

/// Follow an account: its jobs, its balance, what is set
///
/// From now on, or behind `Last-Event-ID`. The stream begins with an `id` alone, and while nothing happens
/// says one from time to time: the place to go on behind should it break.
#[utoipa::path(get, path = "/v1/accounts/{account}/events", operation_id = "follow_account", tag = "accounts",
    security(("key" = ["produce", "operate"])),
    params(("Last-Event-ID" = Option<String>, Header, description = "`id` of the last event that was seen")),
    responses((status = 200, body = String, content_type = "text/event-stream"), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn of_account(
    State(house): State<Arc<House>>,
    caller: Caller,
    turn: Turn,
    Path(account): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let account: AccountId = caller.account_of(&account)?;
    super::accounts::view(&house, &account).await?;
    let seen = seen(&headers)?;
    let partition = account.partition(house.store.partitions());
    let mut follower = Follower::new(&house, &turn, partition, account.to_string(), None)?;
    if let Some(seen) = seen {
        (follower.last, follower.reads) = (seen, true);
    } else {
        let now_ms = house.store.server_ms().await.map_err(Problem::harmless)?;
        follower.last = EventId::before_ms(now_ms);
        // An id without data moves a client's `Last-Event-ID` and shows it nothing: a break before the first
        // event loses none either.
        let here = Sent::default().id(follower.last.to_string());
        follower.ready.push_back(here);
    }
    Ok(stream(follower))
}

fn seen(headers: &HeaderMap) -> Result<Option<EventId>, Problem> {
    let id = last_event_id(headers).map(str::parse).transpose();
    id.map_err(|()| {
        let detail = "Last-Event-ID is none that this server gave";
        Problem::new(Kind::BadRequest, detail)
    })
}

fn stream(follower: Follower) -> Response {
    let events = futures_util::stream::unfold(follower, |mut follower| async {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    let mut response = Sse::new(events).into_response();
    // A proxy that gathers the answer would hold events back.
    let headers = response.headers_mut();
    headers.insert(
        "x-accel-buffering",
        axum::http::HeaderValue::from_static("no"),
    );
    response
}

fn keep_alive(house: &House) -> Duration {
    Duration::from_millis(house.settings.keep_alive_ms)
}

/// One client and how far it has come.
struct Follower {
    house: Arc<House>,
    partition: u16,
    account: String,
    job: Option<JobId>,
    news: broadcast::Receiver<News>,
    last: EventId,
    /// To be read again from the store: what came before, or was missed.
    reads: bool,
    ready: VecDeque<Sent>,
    has_ended: bool,
    /// When it is told that the stream lives, should nothing happen before.
    alive_at: Instant,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    fn new(
        house: &Arc<House>,
        turn: &Turn,
        partition: u16,
        account: String,
        job: Option<JobId>,
    ) -> Result<Self, Problem> {
        Ok(Self {
            _place: turn.waits(house, Duration::ZERO)?,
            news: house.hub.follow(&account),
            house: Arc::clone(house),
            partition,
            account,
            job,
            last: EventId::default(),
            reads: false,
            ready: VecDeque::new(),
            has_ended: false,
            alive_at: Instant::now() + keep_alive(house),
        })
    }

    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.alive_at = Instant::now() + keep_alive(&self.house);
                return Some(event);
            }
            if self.has_ended || self.house.stop.is_cancelled() {
                return None;
            }
            if self.reads {
                self.read().await?;
                continue;
            }
            let stop = self.house.stop.clone();
            let news = tokio::select! {
                news = self.news.recv() => news,
                () = tokio::time::sleep_until(self.alive_at) => {
                    let alive = self.alive();
                    self.ready.push_back(alive);
                    continue;
                }
                () = stop.cancelled() => return None,
            };
            match news {
                Ok(News::Event(event)) => self.take(&event),
                Ok(News::ReadAgain) | Err(broadcast::error::RecvError::Lagged(_)) => {
                    self.reads = true;
                }
                Err(broadcast::error::RecvError::Closed) => {
                    self.news = self.house.hub.follow(&self.account);
                    self.reads = true;
                }
            }
        }
    }

    /// A sign of life. It says where the stream stands, so that a client of a quiet account that comes again
    /// asks neither for what others did meanwhile nor for what is not kept any more.
    fn alive(&mut self) -> Sent {
        let alive = Sent::default().comment("alive");
        let tip = self.house.hub.tip(self.partition);
        // What is still to be heard may lie in front of the tip.
        let heard_all = self.news.is_empty() && !self.reads;
        match tip.filter(|tip| heard_all && *tip > self.last) {
            Some(tip) => {
                self.last = tip;
                alive.id(tip.to_string())
            }
            None => alive,
        }
    }

    /// Reads what follows the last event. Where the store is away the stream ends: the client comes again
    /// with the id of the last event it has seen.
    async fn read(&mut self) -> Option<()> {
        let house = Arc::clone(&self.house);
        let _turn = house.replays.acquire().await.ok()?;
        let page = house
            .store
            .events_after(self.partition, self.last, READ)
            .await;
        let page = page.ok()?;
        if page.gap {
            let sent = Sent::default().event("gap");
            self.ready
                .push_back(sent.data(json!({"after": self.last.to_string()}).to_string()));
        }
        for event in &page.events {
            self.take(event);
        }
        // Others' events count too: they are read.
        if let Some(last) = page.events.last() {
            self.last = self.last.max(last.id);
        }
        self.reads = page.more && !self.has_ended;
        Some(())
    }

    fn take(&mut self, event: &FeedEvent) {
        let is_mine = match &self.job {
            Some(job) => event.event.job == job.as_str(),
            None => event.event.account == self.account,
        };
        if !is_mine || event.id <= self.last || self.has_ended {
            return;
        }
        self.last = event.id;
        let it = &event.event;
        let data = json!(Event {
            event: it.event.clone(),
            job: Some(it.job.clone()).filter(|job| !job.is_empty()),
            account: it.account.clone(),
            detail: it.detail.clone(),
            at: rfc3339(it.at_ms),
        });
        let sent = Sent::default().id(event.id.to_string()).event(&it.event);
        self.ready.push_back(sent.data(data.to_string()));
        let ends = JobState::from_word(&it.event).is_some_and(JobState::is_terminal);
        self.has_ended = self.job.is_some() && ends;
    }
}
