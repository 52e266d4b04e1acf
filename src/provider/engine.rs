//! One provider at work: what it is and what its requests share. Submitting, polling and cancelling
//! have their own files.
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

use super::answer::{Answer, Failure};
use super::classify::{Classified, Refusal, clean};
use super::client::{Call, Client, Reply};
use super::cost::Usage;
use super::preset::{Attach, Poll, Preset};
use super::retry_after;
use super::verdict::{DurationMeaning, Read, Reading};
use crate::domain::failure::FailureClass;

/// One provider, ready to be used from any number of tasks.
#[derive(Debug, Clone)]
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

    /// Where the provider is, without a closing slash.
    pub fn base_url(&self) -> &str {
        self.preset.base_url.as_str().trim_end_matches('/')
    }

    /// The hosts that may receive our key: `host`, `host:port` or `*.domain.tld`.
    pub fn hosts(&self) -> Vec<String> {
        self.client.hosts.names()
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
            with_key: true,
        }
    }

    /// What a JSON body says about the work. `Finished` only where the outputs are elsewhere.
    pub(super) fn read(&self, reply: &Reply, json: &Value) -> Reading {
        let read = self.reader(reply, json);
        match self.preset.answer.read(&read) {
            Reading::Finished if self.preset.result.is_none() => self.preset.answer.outputs(&read),
            reading @ (Reading::Finished | Reading::Answer(_) | Reading::Error(_)) => reading,
        }
    }

    /// An answer as the preset's rules need it.
    pub(super) fn reader<'a>(&'a self, reply: &Reply, json: &'a Value) -> Read<'a> {
        Read {
            http_status: reply.status,
            json,
            wait_ms: wait_ms(reply),
            errors: &self.preset.errors,
            cost: self.preset.cost.as_ref(),
        }
    }

    /// The failure that an answer other than 2xx stands for.
    pub(super) fn failure(&self, reply: &Reply, fallback: FailureClass) -> Classified {
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

/// A failure that we found ourselves.
pub(super) fn failed(class: FailureClass, message: &str) -> Answer {
    Answer::Failed(Failure {
        class,
        message: clean(message),
        code: None,
        retry_after_ms: None,
        usage: Usage::default(),
    })
}

pub(super) fn wait_ms(reply: &Reply) -> Option<u64> {
    retry_after::from_headers(&reply.headers, Timestamp::now())
}
