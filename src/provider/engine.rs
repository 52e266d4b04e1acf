//! One provider at work: what it is, and polling. Submitting and cancelling have their own files.
//!
//! A synchronous provider is the case where the first answer is final. Nothing here repeats a
//! request: what a failure or a missing answer leads to is decided by whoever called.

use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName};
use serde_json::Value;
use url::Url;

use super::answer::{Answer, Failure, PollError};
use super::classify::{Refusal, clean};
use super::client::{self, Call, Client, Reply};
use super::handle::Handle;
use super::preset::{Attach, HttpMeaning, HttpRule, Poll, Preset};
use super::retry_after;
use super::verdict::{DurationMeaning, Read};
use crate::domain::failure::FailureClass;

/// An unknown id is "not visible yet" before this age, and "lost" after, unless the preset says
/// otherwise.
const NOT_VISIBLE_YET: Duration = Duration::from_secs(30);

/// One provider, ready to be used from any number of tasks.
#[derive(Debug)]
pub struct Engine {
    pub(super) name: String,
    pub(super) preset_version: String,
    pub(super) preset: Preset,
    pub(super) client: Client,
    /// The header that carries the idempotency key, where the preset names one.
    pub(super) idempotency_header: Option<HeaderName>,
}

impl Engine {
    /// The provider's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A short name for the exact content of the preset, as handles carry it.
    pub fn preset_version(&self) -> &str {
        &self.preset_version
    }

    /// Which key is used, without saying it: the name of its variable, or `none`.
    pub fn key_id(&self) -> &str {
        self.preset.auth.key_id()
    }

    /// The variable that has to be set before this provider can be used, if any is missing.
    pub fn missing_key(&self) -> Option<&str> {
        self.client.missing_key()
    }

    /// How a takeover goes on with a submission.
    pub fn attach(&self) -> Attach {
        self.preset.attach
    }

    /// Whether a submit may be repeated under its key without starting the work twice.
    pub fn takes_idempotency_key(&self) -> bool {
        self.preset.takes_key()
    }

    /// Private networks that outputs of this provider may come from.
    pub fn allow_cidr(&self) -> &[IpNet] {
        &self.preset.allow_cidr
    }

    /// What the reported length of an output is worth, where the preset reads one.
    pub fn duration_meaning(&self) -> Option<DurationMeaning> {
        self.preset.answer.duration_meaning()
    }

    /// How long to wait before poll number `n`, counted from 0. Without jitter.
    pub fn poll_delay(&self, n: u32) -> Duration {
        let Some(Poll { interval, .. }) = &self.preset.poll else {
            return Duration::ZERO;
        };
        if n == 0 {
            return Duration::from_millis(interval.first_ms);
        }
        let steps = i32::try_from(n - 1).unwrap_or(i32::MAX);
        let grown = interval.min_ms as f64 * interval.factor.powi(steps);
        // The cast saturates; `min` makes the limit exact.
        Duration::from_millis((grown as u64).clamp(interval.min_ms, interval.max_ms))
    }

    /// Asks for the state of the work. `age` is the time since the submit: a young submission may
    /// not be visible yet where an old one is lost.
    pub async fn poll(&self, handle: &Handle, age: Duration) -> Result<Answer, PollError> {
        let (Some(url), Some(poll)) = (&handle.poll_url, &self.preset.poll) else {
            let class = FailureClass::Lost;
            return Ok(failed(
                class,
                "there is nothing to poll for this submission",
            ));
        };
        let reply = self
            .client
            .send(self.follow_up(poll.method.into(), url, handle.poll_body.as_ref()))
            .await
            .map_err(|error| match error {
                client::Error::KeyMissing(_) => PollError::OurAuth(error.to_string()),
                client::Error::NotSent(text) | client::Error::Unknown(text) => {
                    transient(text, None)
                }
            })?;
        match meaning(poll, reply.status, age) {
            Meaning::Running => Ok(Answer::Pending { progress: None }),
            Meaning::Lost => Ok(failed(
                FailureClass::Lost,
                "the provider does not know the work",
            )),
            Meaning::Retry => Err(transient(
                format!("HTTP status {}", reply.status),
                wait_ms(&reply),
            )),
            Meaning::OurAuth => Err(PollError::OurAuth(
                self.failure(&reply, FailureClass::OurAuth).message,
            )),
            Meaning::Verdict => Ok(Answer::Failed(
                self.failure(&reply, FailureClass::ProviderFault),
            )),
            Meaning::ByBody => match reply.json() {
                Ok(json) => Ok(self.read(&reply, &json)),
                Err(text) => Err(transient(text, wait_ms(&reply))),
            },
        }
    }

    /// A request to a URL that a handle holds.
    pub(super) fn follow_up<'a>(
        &self,
        method: Method,
        url: &'a Url,
        body: Option<&'a Value>,
    ) -> Call<'a> {
        let timeout = Duration::from_millis(self.preset.request_timeout_ms);
        Call {
            method,
            url,
            headers: HeaderMap::new(),
            body,
            timeout,
            is_submit: false,
        }
    }

    /// The answer in a JSON body.
    pub(super) fn read(&self, reply: &Reply, json: &Value) -> Answer {
        self.preset.answer.read(&Read {
            http_status: reply.status,
            json,
            wait_ms: wait_ms(reply),
            errors: &self.preset.errors,
        })
    }

    /// The failure that an answer other than 2xx stands for.
    pub(super) fn failure(&self, reply: &Reply, fallback: FailureClass) -> Failure {
        let json = reply.json().ok();
        let seen = Refusal {
            status: reply.status,
            json: json.as_ref(),
            wait_ms: wait_ms(reply),
        };
        self.preset
            .errors
            .failure(seen, (fallback, &format!("HTTP status {}", reply.status)))
    }
}

/// What the HTTP status of a poll means.
enum Meaning {
    Running,
    ByBody,
    Lost,
    Retry,
    OurAuth,
    /// The provider refuses to go on with this work, for a reason in the body.
    Verdict,
}

fn meaning(poll: &Poll, status: u16, age: Duration) -> Meaning {
    let fits = |rule: &&HttpRule| {
        rule.status == status && age >= Duration::from_millis(rule.older_than_ms)
    };
    if let Some(rule) = poll.http.iter().find(fits) {
        return match rule.means {
            HttpMeaning::Running => Meaning::Running,
            HttpMeaning::ByBody => Meaning::ByBody,
            HttpMeaning::Lost => Meaning::Lost,
            HttpMeaning::Retry => Meaning::Retry,
        };
    }
    match status {
        200..=299 => Meaning::ByBody,
        401 | 403 => Meaning::OurAuth,
        404 | 410 if age < NOT_VISIBLE_YET => Meaning::Running,
        404 | 410 => Meaning::Lost,
        // 402 says that we may not start more, not that this work has stopped.
        402 | 408 | 425 | 429 => Meaning::Retry,
        400..=499 => Meaning::Verdict,
        _ => Meaning::Retry,
    }
}

/// A failure that we found ourselves.
pub(super) fn failed(class: FailureClass, message: &str) -> Answer {
    Answer::Failed(Failure {
        class,
        message: clean(message),
        code: None,
        retry_after_ms: None,
    })
}

pub(super) fn wait_ms(reply: &Reply) -> Option<u64> {
    retry_after::from_headers(&reply.headers, Timestamp::now())
}

fn transient(message: String, retry_after_ms: Option<u64>) -> PollError {
    PollError::Transient {
        message,
        retry_after_ms,
    }
}
