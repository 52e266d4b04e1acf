//! Starting work at a provider and reading its first answer.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::Value;
use url::Url;

use super::answer::{Answer, Failure, SubmitError, Submitted};
use super::classify::class_of_status;
use super::client::{self, BodyFault, Call, Reply};
use super::engine::{Engine, failed};
use super::follow;
use super::placeholder;
use super::preset::Attach;
use super::request::SubmitRequest;
use super::verdict::Reading;
use crate::domain::failure::FailureClass;

/// A submit ready to be sent.
struct Written {
    url: Url,
    headers: HeaderMap,
    body: Option<Value>,
}

/// Why a submit cannot be written down.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Url(#[from] follow::Error),
    #[error(transparent)]
    Body(#[from] placeholder::Error),
    #[error("write the idempotency key into a header")]
    Key,
}

impl Engine {
    /// Sends the request that starts the work.
    ///
    /// A refusal by the provider is an answer. `NotSent` means that nothing was started;
    /// `UnknownOutcome` that something may have been: it is also the result where the provider
    /// accepted, but said nothing that the work could be followed by.
    pub async fn submit(&self, request: &SubmitRequest<'_>) -> Result<Submitted, SubmitError> {
        let written = match self.write(request) {
            Ok(written) => written,
            Err(error) => return Ok(refused(FailureClass::UserInput, &error.to_string())),
        };
        let submit = &self.preset.submit;
        let limit_ms = submit.timeout_ms.unwrap_or(self.preset.request_timeout_ms);
        let call = Call {
            method: submit.method.into(),
            url: &written.url,
            headers: written.headers,
            body: written.body.as_ref(),
            timeout: Duration::from_millis(limit_ms).min(request.timeout),
            is_submit: true,
            with_key: true,
        };
        match self.client.send(call).await {
            Ok(reply) => self.first_answer(request, &reply),
            Err(error @ client::Error::KeyMissing(_)) => {
                Ok(refused(FailureClass::OurAuth, &error.to_string()))
            }
            Err(client::Error::NotSent(text)) => Err(SubmitError::NotSent(text)),
            Err(client::Error::Unknown(text)) => Err(SubmitError::UnknownOutcome(text)),
        }
    }

    fn write(&self, request: &SubmitRequest<'_>) -> Result<Written, WriteError> {
        let scope = request.scope(None);
        let url = self.url(&self.preset.submit.url, &scope)?;
        let body = self
            .preset
            .submit
            .body
            .as_ref()
            .map(|body| body.fill(&scope))
            .transpose()?;
        let mut headers = HeaderMap::new();
        if let Some(name) = &self.idempotency_header {
            let key = HeaderValue::from_str(request.key).map_err(|_| WriteError::Key)?;
            headers.insert(name, key);
        }
        Ok(Written { url, headers, body })
    }

    fn first_answer(
        &self,
        request: &SubmitRequest<'_>,
        reply: &Reply,
    ) -> Result<Submitted, SubmitError> {
        if !reply.is_success() {
            return verdict(self.refusal(reply));
        }
        if self.preset.answer.is_bytes() && self.preset.result.is_none() {
            return self.file_at_once(reply);
        }
        if let (Err(cause @ BodyFault::TooLarge(_)), None) = (&reply.body, &self.preset.poll) {
            // The work is done, and its answer would be too large again.
            return Ok(refused(FailureClass::ProviderFault, &cause.to_string()));
        }
        // The provider took the request. Without its words nobody knows what became of it.
        let json = reply.json().map_err(SubmitError::UnknownOutcome)?;
        let handle = self.handle(request, &json);
        let answer = match self.read(reply, &json) {
            Reading::Answer(answer) => answer,
            Reading::Error(error) => return verdict(error.failure),
            // The first poll will find it finished, and fetch the result.
            Reading::Finished => Answer::Pending { progress: None },
        };
        match answer {
            Answer::Failed(failure) if failure.class == FailureClass::UnknownOutcome => {
                Err(SubmitError::UnknownOutcome(failure.message))
            }
            answer @ Answer::Pending { .. } => {
                let handle = handle.map_err(|error| error.to_string());
                let handle = handle.map_err(SubmitError::UnknownOutcome)?;
                // Where the same submit joins the work, it is asked for by that.
                let joins = self.preset.attach == Attach::ResubmitSameId;
                if handle.poll_url.is_none() && !joins {
                    let text = "the answer is not final, and there is nothing to poll";
                    return Err(SubmitError::UnknownOutcome(text.to_owned()));
                }
                Ok(Submitted {
                    handle: Some(handle),
                    answer,
                })
            }
            answer @ (Answer::Succeeded { .. } | Answer::Failed(_)) => Ok(Submitted {
                handle: handle.ok(),
                answer,
            }),
        }
    }

    /// The failure that an answer other than 2xx stands for. 409 to a submit with a key mostly says
    /// that the work is already there, which is no reason to start it under another key.
    fn refusal(&self, reply: &Reply) -> Failure {
        let fallback = match reply.status {
            409 if self.takes_idempotency_key() => FailureClass::UnknownOutcome,
            status => class_of_status(status),
        };
        self.failure(reply, fallback).failure
    }

    /// The answer of a provider that sends the file itself. JSON in its place is an error.
    fn file_at_once(&self, reply: &Reply) -> Result<Submitted, SubmitError> {
        if reply.says_json() {
            return verdict(self.failure(reply, FailureClass::ProviderFault).failure);
        }
        let answer = self
            .file_in_body(reply)
            .map_err(SubmitError::UnknownOutcome)?;
        Ok(Submitted {
            handle: None,
            answer,
        })
    }
}

/// A failure that is final, unless it says itself that nobody knows.
fn verdict(failure: Failure) -> Result<Submitted, SubmitError> {
    if failure.class == FailureClass::UnknownOutcome {
        return Err(SubmitError::UnknownOutcome(failure.message));
    }
    Ok(Submitted {
        handle: None,
        answer: Answer::Failed(failure),
    })
}

fn refused(class: FailureClass, message: &str) -> Submitted {
    Submitted {
        handle: None,
        answer: failed(class, message),
    }
}
