//! Following a job or an account: server-sent events, gone on with behind the last one after each break.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderName};
use reqwest::{Response, StatusCode};
use tokio::time::Instant;
use url::Url;

use super::call::{Call, said, spacing};
use super::sse::{Frame, Parser};
use super::{Client, Error};
use crate::domain::job::State;
use crate::wire::Event;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// A stream that has said nothing for so long, not even that it is alive, is begun again.
const SILENCE: Duration = Duration::from_secs(60);

/// What came of a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Happened {
    /// An event, and the id behind which a stream goes on.
    Event {
        /// Its id.
        id: String,
        /// What happened.
        event: Event,
    },
    /// Some events in between are not kept any more: look at the job or the account itself.
    Gap,
}

/// A stream of events. It begins again behind the last event where the connection breaks.
#[derive(Debug)]
pub struct Events {
    client: Client,
    url: Url,
    last: Option<String>,
    response: Option<Response>,
    parser: Parser,
    ready: VecDeque<Frame>,
    /// The stream ends with its job.
    of_job: bool,
    has_ended: bool,
    /// Breaks since the last event.
    breaks: u32,
    patient_until: Option<Instant>,
    /// Since when the connection stands.
    stands_since: Option<Instant>,
    /// For how long the server asked to be left alone.
    asked: Option<Duration>,
}

impl Client {
    /// Follows a job to its end: every event since its submission, or since the one named.
    pub fn follow_job(&self, job: &str, last_event_id: Option<&str>) -> Events {
        self.follow(self.at(&["jobs", job, "events"]), last_event_id, true)
    }

    /// Follows an account from now on, or from the event named.
    pub fn follow_account(&self, account: &str, last_event_id: Option<&str>) -> Events {
        let url = self.at(&["accounts", account, "events"]);
        self.follow(url, last_event_id, false)
    }

    fn follow(&self, url: Url, last: Option<&str>, of_job: bool) -> Events {
        Events {
            client: self.clone(),
            url,
            last: last.map(str::to_owned),
            response: None,
            parser: Parser::default(),
            ready: VecDeque::new(),
            of_job,
            has_ended: false,
            breaks: 0,
            patient_until: None,
            stands_since: None,
            asked: None,
        }
    }
}

impl Events {
    /// The id behind which another stream would go on.
    pub fn last_event_id(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// Connects, where there is no connection: of what happens from then on nothing is missed.
    /// [`Self::next`] does so by itself.
    ///
    /// # Errors
    /// What the server refuses, and a server that is away for longer than the client's patience.
    pub async fn connect(&mut self) -> Result<(), Error> {
        while self.response.is_none() && !self.has_ended {
            match self.begin().await {
                Ok(response) => self.response = Some(response),
                Err(error) => self.rest(error).await?,
            }
        }
        Ok(())
    }

    /// The next event; `None` where nothing more will come.
    ///
    /// # Errors
    /// What the server refuses, and a server that is away for longer than the client's patience.
    pub async fn next(&mut self) -> Result<Option<Happened>, Error> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                if let Some(happened) = self.read(frame)? {
                    return Ok(Some(happened));
                }
                continue;
            }
            if self.has_ended {
                return Ok(None);
            }
            if let Err(error) = self.more().await {
                self.rest(error).await?;
            }
        }
    }

    /// Reads more of the stream, which is begun where there is none.
    async fn more(&mut self) -> Result<(), Error> {
        let mut response = match self.response.take() {
            Some(response) => response,
            None => self.begin().await?,
        };
        if self.has_ended {
            return Ok(());
        }
        let lost = |message: String| Error::Unknown { message, key: None };
        let chunk = tokio::time::timeout(SILENCE, response.chunk()).await;
        let chunk = chunk.map_err(|_| lost("the stream is silent".to_owned()))?;
        let Some(bytes) = chunk.map_err(|error| lost(said(&error)))? else {
            return Err(lost("the stream ended".to_owned()));
        };
        let frames = self.parser.take(&bytes);
        let foreign = || Error::Foreign("a line without an end".to_owned());
        self.ready.extend(frames.ok_or_else(foreign)?);
        self.response = Some(response);
        Ok(())
    }

    async fn begin(&mut self) -> Result<Response, Error> {
        self.parser = Parser::default();
        let mut request = self.client.http.get(self.url.clone());
        request = request.header(ACCEPT, "text/event-stream");
        if let Some(last) = &self.last {
            request = request.header(LAST_EVENT_ID, last);
        }
        let sent = tokio::time::timeout(self.client.request_timeout, request.send()).await;
        let sent = sent.map_err(|_| Error::Unreachable("no answer in time".to_owned()))?;
        let response = sent.map_err(|error| Error::Unreachable(said(&error)))?;
        match response.status() {
            StatusCode::NO_CONTENT => self.has_ended = true,
            status if status.is_success() => self.stands_since = Some(Instant::now()),
            // A call with the same words, read as a problem and repeated where that helps.
            _ => {
                let call = Call::get(self.url.clone());
                self.asked = self.client.refusal(response, &call).await?;
                let full = "the server has no place now".to_owned();
                return Err(Error::Unreachable(full));
            }
        }
        Ok(response)
    }

    /// Waits before the stream is begun again, as long as the patience lasts.
    async fn rest(&mut self, error: Error) -> Result<(), Error> {
        if !matches!(error, Error::Unreachable(_) | Error::Unknown { .. }) {
            return Err(error);
        }
        let patience = self.client.patience;
        let stood = self.stands_since.take().map(|since| since.elapsed());
        if stood.is_some_and(|stood| stood >= patience) {
            // What broke before that was another trouble.
            (self.breaks, self.patient_until) = (0, None);
        }
        let until = *self
            .patient_until
            .get_or_insert_with(|| Instant::now() + patience);
        self.breaks += 1;
        let delay = spacing(self.breaks, self.asked.take());
        if Instant::now() + delay >= until {
            return Err(error);
        }
        tokio::time::sleep(delay).await;
        Ok(())
    }

    fn read(&mut self, frame: Frame) -> Result<Option<Happened>, Error> {
        (self.breaks, self.patient_until) = (0, None);
        if frame.data.is_empty() {
            self.last = frame.id.or_else(|| self.last.take());
            return Ok(None);
        }
        if frame.event == "gap" {
            return Ok(Some(Happened::Gap));
        }
        let event: Event = serde_json::from_str(&frame.data)
            .map_err(|error| Error::Foreign(format!("{error}, in an event")))?;
        let Some(id) = frame.id else { return Ok(None) };
        self.last = Some(id.clone());
        let ends = State::from_word(&event.event).is_some_and(State::is_terminal);
        self.has_ended |= self.of_job && ends;
        Ok(Some(Happened::Event { id, event }))
    }
}
