//! One call: sent, read, and repeated where that helps. Every call of this client can be repeated.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use url::Url;

use super::{Answer, Client, Error, Refused, SPACING};
use crate::wire::ProblemBody;

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// No answer is read beyond this many bytes: a page of a hundred of the largest jobs is far shorter.
const ANSWER_MAX_BYTES: usize = 16 * 1024 * 1024;

/// A request that can be sent again and again.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: Url,
    /// JSON.
    pub(super) body: Option<Vec<u8>>,
    /// For what changes something.
    pub(super) key: Option<String>,
    /// How long the server was asked to wait.
    pub(super) wait: Duration,
}

impl Call {
    /// A look.
    pub(super) fn get(url: Url) -> Self {
        Self {
            method: Method::GET,
            url,
            body: None,
            key: None,
            wait: Duration::ZERO,
        }
    }

    /// A deed, under the caller's key or one made for it.
    pub(super) fn post(url: Url, key: Option<&str>) -> Self {
        let made = || uuid::Uuid::now_v7().simple().to_string();
        Self {
            method: Method::POST,
            key: Some(key.map_or_else(made, str::to_owned)),
            ..Self::get(url)
        }
    }

    pub(super) fn body(mut self, body: &impl Serialize) -> Result<Self, Error> {
        let text = serde_json::to_vec(body);
        let text = text.map_err(|error| Error::Setup(format!("write the request: {error}")))?;
        self.body = Some(text);
        Ok(self)
    }

    pub(super) fn query<T: AsRef<str>>(mut self, pairs: &[(&str, Option<T>)]) -> Self {
        for (name, value) in pairs {
            if let Some(value) = value {
                self.url.query_pairs_mut().append_pair(name, value.as_ref());
            }
        }
        self
    }

    /// Asks the server to wait, in whole seconds.
    pub(super) fn wait(mut self, wait: Duration) -> Self {
        if !wait.is_zero() {
            let seconds = wait.as_secs().max(1).to_string();
            self = self.query(&[("wait", Some(seconds))]);
            self.wait = wait;
        }
        self
    }
}

/// Whether a call can bring another answer soon.
struct Trial {
    error: Error,
    /// As long as the server asks for; `None` where no repetition helps.
    again: Option<Option<Duration>>,
}

impl Trial {
    fn over(error: Error) -> Self {
        Self { error, again: None }
    }

    fn again(error: Error) -> Self {
        let again = Some(None);
        Self { error, again }
    }
}

impl Client {
    /// Sends a call until it is answered or the patience is over.
    pub(super) async fn call<T: DeserializeOwned>(&self, call: &Call) -> Result<Answer<T>, Error> {
        let until = Instant::now() + self.patience;
        let (mut tries, mut maybe_done) = (0, false);
        loop {
            tries += 1;
            let trial = match self.try_once(call).await {
                Ok(answer) => return Ok(answer),
                Err(trial) => trial,
            };
            maybe_done |= matches!(trial.error, Error::Unknown { .. });
            let delay = trial.again.map(|asked| spacing(tries, asked));
            match delay.filter(|delay| Instant::now() + *delay < until) {
                Some(delay) => tokio::time::sleep(delay).await,
                None if maybe_done && trial.again.is_some() => {
                    return Err(unknown(trial.error, call));
                }
                None => return Err(trial.error),
            }
        }
    }

    async fn try_once<T: DeserializeOwned>(&self, call: &Call) -> Result<Answer<T>, Trial> {
        let deadline = Instant::now() + self.request_timeout + call.wait;
        let lost = |message: String| {
            Trial::again(Error::Unknown {
                message,
                key: call.key.clone(),
            })
        };
        let answered = tokio::time::timeout_at(deadline, async {
            let response = self.request(call).send().await.map_err(|error| {
                if error.is_connect() || error.is_builder() {
                    Trial::again(Error::Unreachable(said(&error)))
                } else {
                    lost(said(&error))
                }
            })?;
            let (status, headers) = (response.status(), response.headers().clone());
            let bytes = body(response).await.map_err(|error| lost(said(&error)))?;
            Ok((status, headers, bytes))
        });
        let answered = answered.await.map_err(|_| {
            let seconds = (self.request_timeout + call.wait).as_secs();
            lost(format!("nothing came within {seconds} s"))
        })?;
        let (status, headers, bytes) = answered?;
        if !status.is_success() {
            return Err(refused(status, &headers, &bytes, call));
        }
        let body = serde_json::from_slice(&bytes)
            .map_err(|error| Trial::over(Error::Foreign(format!("{error}, from {}", call.url))))?;
        let replayed = headers.contains_key(REPLAYED);
        Ok(Answer { body, replayed })
    }

    /// After which delay an answer that is no success is worth a repetition, where the server says so.
    ///
    /// # Errors
    /// What it says, where no repetition helps.
    pub(super) async fn refusal(
        &self,
        response: Response,
        call: &Call,
    ) -> Result<Option<Duration>, Error> {
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = body(response).await.unwrap_or_default();
        let trial = refused(status, &headers, &bytes, call);
        trial.again.ok_or(trial.error)
    }

    fn request(&self, call: &Call) -> reqwest::RequestBuilder {
        let mut request = self.http.request(call.method.clone(), call.url.clone());
        if let Some(key) = &call.key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        if let Some(body) = &call.body {
            let media = "application/json";
            request = request.header(reqwest::header::CONTENT_TYPE, media);
            request = request.body(body.clone());
        }
        request
    }
}

/// How long to wait before the next try: our own growing delay, or as long as the server asks for and up to
/// as long again, so that many who were sent away at once do not come back at once.
pub(super) fn spacing(tries: u32, asked: Option<Duration>) -> Duration {
    let own = Duration::from_millis(SPACING.delay_ms(tries, rand::random()));
    asked.map_or(own, |asked| {
        asked + asked.mul_f64(rand::random_range(0.0..1.0))
    })
}

/// After one lost answer the deed may have been done, unless a later one was a verdict.
fn unknown(error: Error, call: &Call) -> Error {
    match error {
        Error::Unknown { .. } => error,
        error => Error::Unknown {
            message: error.to_string(),
            key: call.key.clone(),
        },
    }
}

/// What is said of an error: the causes tell more than reqwest's own words.
pub(super) fn said(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    text
}

pub(super) async fn body(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ANSWER_MAX_BYTES {
            break;
        }
    }
    Ok(bytes)
}

/// The problem that an answer is, and whether a repetition helps.
fn refused(status: StatusCode, headers: &HeaderMap, bytes: &[u8], call: &Call) -> Trial {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let asked_s = text(RETRY_AFTER).and_then(|seconds: &str| seconds.trim().parse().ok());
    let Ok(problem) = serde_json::from_slice::<ProblemBody>(bytes) else {
        let error = Error::Foreign(format!("{status} from {}", call.url));
        return match status {
            // Some proxy's, on the way to the server.
            StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Trial::again(Error::Unknown {
                message: format!("{status} from {}", call.url),
                key: call.key.clone(),
            }),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Trial::again(error),
            _ => Trial::over(error),
        };
    };
    let is_unknown = problem.word() == "unknown_outcome";
    let is_under_way = problem.word() == "request_under_way";
    let error = if is_unknown {
        Error::Unknown {
            message: problem.title,
            key: call.key.clone(),
        }
    } else {
        Error::Refused(Box::new(Refused {
            problem,
            retry_after_s: asked_s,
            request_id: text(REQUEST_ID).map(str::to_owned),
            key: call.key.clone(),
        }))
    };
    let again = match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Some(asked_s.map(Duration::from_secs))
        }
        _ if is_under_way => Some(asked_s.map(Duration::from_secs)),
        _ => None,
    };
    Trial { error, again }
}
