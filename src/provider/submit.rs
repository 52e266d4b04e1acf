//! Starting work at a provider and reading its first answer.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Map, Value};
use url::Url;

use super::answer::{Answer, Failure, Output, SubmitError, Submitted};
use super::classify::class_of_status;
use super::client::{self, BodyFault, Call, Reply};
use super::engine::{Engine, failed};
use super::handle::Handle;
use super::pointer::Path;
use super::template::{self, Scope, UrlTemplate};
use crate::domain::failure::FailureClass;

/// No id of a provider is kept that is longer than this, in bytes.
const ID_BYTES_MAX: usize = 512;
/// No returned URL is kept that is longer than this, in bytes.
const URL_BYTES_MAX: usize = 8 * 1024;

/// What is to be generated, and under which key.
#[derive(Debug, Clone, Copy)]
pub struct SubmitRequest<'a> {
    /// Job id.
    pub job: &'a str,
    /// Number of the submission within its job.
    pub submission: u32,
    /// The idempotency key, `<job>-<submission>`.
    pub key: &'a str,
    /// The provider's name of the model.
    pub model: &'a str,
    /// `image`, `video` or `audio`.
    pub kind: &'a str,
    /// The job's parameters.
    pub params: &'a Map<String, Value>,
    /// The longest this request may take, answer included; the preset may say less.
    pub timeout: Duration,
}

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
    Template(#[from] template::Error),
    #[error("write the URL: {0}")]
    Url(#[from] url::ParseError),
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
        let scope = scope(request, None);
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
            return verdict(self.failure(reply, class_of_status(reply.status)));
        }
        if self.preset.answer.is_bytes() {
            return self.file_in_body(reply);
        }
        // The provider took the request. Without its words nobody knows what became of it.
        let json = reply.json().map_err(SubmitError::UnknownOutcome)?;
        let handle = self.handle(request, &json);
        match self.read(reply, &json) {
            Answer::Failed(failure) if failure.class == FailureClass::UnknownOutcome => {
                Err(SubmitError::UnknownOutcome(failure.message))
            }
            answer @ Answer::Pending { .. } => {
                let handle = handle.and_then(|handle| match handle.poll_url {
                    Some(_) => Ok(handle),
                    None => Err("the answer is not final, and nothing to poll".to_owned()),
                });
                let handle = handle.map_err(SubmitError::UnknownOutcome)?;
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

    /// The answer of a provider that sends the file itself. JSON in its place is an error.
    fn file_in_body(&self, reply: &Reply) -> Result<Submitted, SubmitError> {
        if reply.says_json() {
            return verdict(self.failure(reply, FailureClass::ProviderFault));
        }
        let answer = match &reply.body {
            Ok(bytes) if bytes.is_empty() => failed(
                FailureClass::ProviderFault,
                "the provider reports success without a file",
            ),
            Ok(bytes) => {
                let outputs = vec![Output::Bytes(Bytes::clone(bytes))];
                Answer::Succeeded {
                    outputs,
                    reported_ms: None,
                }
            }
            Err(fault @ BodyFault::TooLarge(_)) => {
                failed(FailureClass::ProviderFault, &fault.to_string())
            }
            Err(fault @ BodyFault::Broken(_)) => {
                return Err(SubmitError::UnknownOutcome(fault.to_string()));
            }
        };
        Ok(Submitted {
            handle: None,
            answer,
        })
    }

    /// What the first answer says about following the work. The error is a text.
    fn handle(&self, request: &SubmitRequest<'_>, json: &Value) -> Result<Handle, String> {
        let preset = &self.preset;
        let id = preset
            .submit
            .id
            .as_ref()
            .and_then(|path| path.text(json))
            .filter(|id| {
                !id.is_empty() && id.len() <= ID_BYTES_MAX && !id.chars().any(char::is_control)
            });
        let scope = scope(request, id.as_deref());
        let mut poll_url = None;
        let mut poll_body = None;
        if let Some(poll) = &preset.poll {
            let url = self.followed(
                preset.submit.poll_url.as_ref(),
                poll.url.as_ref(),
                json,
                &scope,
            )?;
            poll_url = Some(url);
            let body = poll.body.as_ref().map(|body| body.fill(&scope)).transpose();
            poll_body = body.map_err(|error| error.to_string())?;
        }
        // Without a usable cancel URL the work can still be followed: it just cannot be stopped.
        let cancel_url = preset.cancel.as_ref().and_then(|cancel| {
            self.followed(
                preset.submit.cancel_url.as_ref(),
                cancel.url.as_ref(),
                json,
                &scope,
            )
            .ok()
        });
        Ok(Handle {
            provider: self.name.clone(),
            preset_version: self.preset_version.clone(),
            key_id: preset.auth.key_id().to_owned(),
            key: request.key.to_owned(),
            id,
            poll_url,
            poll_body,
            cancel_url,
        })
    }

    /// The URL an answer gives, or else the one the preset makes. A URL in the answer that may not
    /// be called is not replaced by ours: an answer that points elsewhere is not to be trusted.
    fn followed(
        &self,
        pointer: Option<&Path>,
        template: Option<&UrlTemplate>,
        json: &Value,
        scope: &Scope<'_>,
    ) -> Result<Url, String> {
        let given = pointer.and_then(|path| path.text(json));
        let url = match (given, template) {
            (Some(text), _) if text.len() > URL_BYTES_MAX => {
                return Err("the answer gives a URL that is too long".to_owned());
            }
            (Some(text), _) => self
                .preset
                .base_url
                .join(&text)
                .map_err(|error| error.to_string())?,
            (None, Some(template)) => self
                .url(template, scope)
                .map_err(|error| error.to_string())?,
            (None, None) => return Err("the answer gives no URL to go on with".to_owned()),
        };
        self.client
            .hosts
            .check(&url)
            .map_err(|error| error.to_string())?;
        Ok(url)
    }

    /// A filled-in template as a URL; one that starts with `/` stands below the base URL.
    fn url(&self, template: &UrlTemplate, scope: &Scope<'_>) -> Result<Url, WriteError> {
        let text = template.fill(scope)?;
        if text.starts_with('/') {
            let base = self.preset.base_url.as_str().trim_end_matches('/');
            return Ok(Url::parse(&format!("{base}{text}"))?);
        }
        Ok(Url::parse(&text)?)
    }
}

fn scope<'a>(request: &SubmitRequest<'a>, id: Option<&'a str>) -> Scope<'a> {
    let SubmitRequest {
        job,
        submission,
        key,
        model,
        kind,
        params,
        timeout: _,
    } = *request;
    Scope {
        job,
        submission,
        key,
        model,
        kind,
        params,
        id,
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
