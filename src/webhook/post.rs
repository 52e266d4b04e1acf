//! One POST of a signed message, and what its answer means.

use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use url::Url;

use super::{Message, Secret, signatures};
use crate::guard::{Clients, Error, Lookup, classify};

/// What of an answer's body is read, so that its connection can be used again; nobody looks at it.
const BODY_MAX_BYTES: usize = 4 * 1024;
/// How long it may take to come.
const BODY_MAX: Duration = Duration::from_secs(1);

/// What one POST may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest wait for name resolution, connection and TLS together.
    pub connect: Duration,
    /// From the first connection to the answer's head.
    pub total: Duration,
}

/// What became of one POST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 2xx: the receiver has it.
    Taken {
        /// The status.
        status: u16,
    },
    /// 410: the receiver wants nothing any more.
    Gone,
    /// Later again.
    Failed {
        /// In short words, without any part of the URL: `status 500`, `timeout`.
        why: String,
        /// How long the receiver asks to be left alone, ms.
        retry_after_ms: Option<u64>,
        /// The receiver, or what stands before it, has too much to do: 429, 502, 503, 504.
        throttled: bool,
    },
}

/// Posts messages to strangers.
#[derive(Debug)]
pub struct Poster {
    clients: Clients,
    limits: Limits,
    allow_cidr: Vec<IpNet>,
}

impl Poster {
    /// A poster that reaches public addresses over https, and `allow_cidr` beyond that.
    pub fn new(limits: Limits, allow_cidr: Vec<IpNet>) -> Self {
        let clients = Clients::new(limits.connect);
        Self {
            clients,
            limits,
            allow_cidr,
        }
    }

    /// The same with names from somewhere else.
    pub fn with_lookup(limits: Limits, allow_cidr: Vec<IpNet>, lookup: Lookup) -> Self {
        let clients = Clients::with_lookup(limits.connect, lookup);
        Self {
            clients,
            limits,
            allow_cidr,
        }
    }

    /// Longest time that one POST takes.
    pub fn longest(&self) -> Duration {
        self.limits.total + BODY_MAX
    }

    /// Posts once, signed with each secret, at the time `now`, which is the attempt's own.
    pub async fn post(
        &self,
        url: &str,
        secrets: &[Secret],
        message: &Message,
        now: Timestamp,
    ) -> Answer {
        let posting = self.try_post(url, secrets, message, now);
        let mut response = match tokio::time::timeout(self.limits.total, posting).await {
            Err(_) | Ok(Err(Error::Timeout)) => return failed("timeout"),
            Ok(Err(Error::Blocked(what))) => return failed(&format!("{what} is not allowed")),
            Ok(Err(Error::Transport(error))) if error.is_connect() => {
                return failed("no connection");
            }
            Ok(Err(Error::Transport(_))) => return failed("the connection broke"),
            Ok(Ok(response)) => response,
        };
        // The status is the answer; a body that breaks or does not end changes nothing of it.
        let _ = tokio::time::timeout(BODY_MAX, drain(&mut response)).await;
        judge(response.status(), response.headers(), now)
    }

    async fn try_post(
        &self,
        url: &str,
        secrets: &[Secret],
        message: &Message,
        now: Timestamp,
    ) -> Result<Response, Error> {
        let blocked = |what: &str| Error::Blocked(what.to_owned());
        let url = Url::parse(url).map_err(|_| blocked("an address that is no url"))?;
        let at_s = now.as_second();
        let signature = signatures(secrets, &message.id, at_s, message.body.as_bytes())
            .map_err(|_| blocked("a secret of that shape"))?;
        let request = self
            .clients
            .for_url(&url, &self.allow_cidr)?
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", at_s)
            .header("webhook-signature", signature)
            .body(message.body.clone());
        request.send().await.map_err(classify)
    }
}

async fn drain(response: &mut Response) {
    let mut read = 0;
    while let Ok(Some(piece)) = response.chunk().await {
        read += piece.len();
        if read >= BODY_MAX_BYTES {
            return;
        }
    }
}

fn failed(why: &str) -> Answer {
    Answer::Failed {
        why: why.to_owned(),
        retry_after_ms: None,
        throttled: false,
    }
}

/// Only 2xx is a success. A redirect is a failure: what is told is meant for the one who was named.
fn judge(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Answer {
    match status.as_u16() {
        200..=299 => Answer::Taken {
            status: status.as_u16(),
        },
        410 => Answer::Gone,
        code => Answer::Failed {
            why: format!("status {code}"),
            retry_after_ms: retry_after_ms(headers, now),
            throttled: matches!(code, 429 | 502..=504),
        },
    }
}

/// `Retry-After` in seconds or as a date.
fn retry_after_ms(headers: &HeaderMap, now: Timestamp) -> Option<u64> {
    let wish = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = wish.parse::<u64>() {
        return Some(seconds.saturating_mul(1_000));
    }
    let at = DateTimeParser::new().parse_timestamp(wish).ok()?;
    u64::try_from(at.as_millisecond() - now.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, retry_after: Option<&str>) -> Answer {
        let mut headers = HeaderMap::new();
        if let Some(text) = retry_after {
            headers.insert(RETRY_AFTER, text.parse().unwrap());
        }
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        judge(StatusCode::from_u16(status).unwrap(), &headers, now)
    }

    #[test]
    fn only_2xx_is_a_success_and_only_410_is_for_good() {
        for status in [200, 201, 202, 204] {
            assert_eq!(judged(status, None), Answer::Taken { status });
        }
        assert_eq!(judged(410, None), Answer::Gone);
        for status in [301, 302, 307, 308, 400, 401, 404, 429, 500, 503] {
            let Answer::Failed { why, throttled, .. } = judged(status, None) else {
                panic!("{status} is a failure")
            };
            assert_eq!(why, format!("status {status}"));
            assert_eq!(throttled, status == 429 || status == 503, "{status}");
        }
    }

    #[test]
    fn a_wish_to_wait_is_read_in_seconds_and_as_a_date() {
        let wait = |text| match judged(429, Some(text)) {
            Answer::Failed { retry_after_ms, .. } => retry_after_ms,
            other => panic!("{other:?}"),
        };
        assert_eq!(wait("120"), Some(120_000));
        assert_eq!(wait("Fri, 15 Jan 2027 08:01:00 GMT"), Some(60_000));
        assert_eq!(wait("Fri, 15 Jan 2027 07:59:00 GMT"), None);
        assert_eq!(wait("soon"), None);
    }
}
