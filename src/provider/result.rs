//! Getting the result of finished work, where that takes one more request.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};
use url::Url;

use super::answer::{Answer, Output, PollError};
use super::classify::class_of_status;
use super::client::{BodyFault, Reply};
use super::cost::Usage;
use super::engine::{Engine, failed, wait_ms};
use super::follow;
use super::handle::Handle;
use super::placeholder::Scope;
use super::poll::{Meaning, sorted, transient};
use super::preset::ResultStep;
use super::verdict::Reading;
use crate::domain::failure::FailureClass;

impl Engine {
    /// The answer of finished work. `last` is the answer to the poll that said so.
    pub(super) async fn result(
        &self,
        handle: &Handle,
        last: &Value,
        age: Duration,
    ) -> Result<Answer, PollError> {
        let fault = FailureClass::ProviderFault;
        let Some(step) = &self.preset.result else {
            return Ok(failed(fault, "there is no way to the result"));
        };
        let url = match self.result_url(step, handle, last) {
            Ok(url) => url,
            Err(error) => return Ok(failed(fault, &error.to_string())),
        };
        let mut call = self.follow_up(step.method.into(), &url, None);
        if let Some(ms) = step.timeout_ms {
            call.timeout = Duration::from_millis(ms);
        }
        let reply = self.ask(call).await?;
        let meaning = Meaning::of(&step.http, reply.status, age);
        if meaning != Meaning::ByBody {
            return self.without_body(meaning, &reply);
        }
        if self.preset.answer.is_bytes() {
            return self.file(&reply);
        }
        let json = reply
            .json()
            .map_err(|text| transient(text, wait_ms(&reply)))?;
        match self.preset.answer.outputs(&self.reader(&reply, &json)) {
            Reading::Answer(answer) => Ok(answer),
            Reading::Error(error) => sorted(error),
            Reading::Finished => Ok(failed(fault, "the result says nothing")),
        }
    }

    fn result_url(
        &self,
        step: &ResultStep,
        handle: &Handle,
        last: &Value,
    ) -> Result<Url, follow::Error> {
        let (Some(path), Some(template)) = (&step.id, &step.url) else {
            return handle.result_url.clone().ok_or(follow::Error::NoUrl);
        };
        let id = path.text(last).ok_or(follow::Error::NoUrl)?;
        // Such a template names nothing but the id: that is checked when the preset is read.
        let params = Map::new();
        let scope = Scope {
            job: "",
            submission: 0,
            key: &handle.key,
            model: "",
            kind: "",
            params: &params,
            id: Some(&id),
        };
        self.url(template, &scope)
    }

    /// The result as a file. JSON in its place is an error.
    fn file(&self, reply: &Reply) -> Result<Answer, PollError> {
        if reply.says_json() {
            return sorted(self.failure(reply, class_of_status(reply.status)));
        }
        match self.file_in_body(reply) {
            Ok(answer) => Ok(answer),
            Err(text) => Err(transient(text, wait_ms(reply))),
        }
    }

    /// The body as the output. The error is a body that was cut, which says nothing.
    pub(super) fn file_in_body(&self, reply: &Reply) -> Result<Answer, String> {
        let fault = FailureClass::ProviderFault;
        match &reply.body {
            Ok(bytes) if bytes.is_empty() => {
                Ok(failed(fault, "the provider reports success without a file"))
            }
            Ok(bytes) => {
                let outputs = vec![Output::Bytes(Bytes::clone(bytes))];
                Ok(Answer::Succeeded {
                    outputs,
                    reported_ms: None,
                    usage: Usage::default(),
                })
            }
            Err(cause @ BodyFault::TooLarge(_)) => Ok(failed(fault, &cause.to_string())),
            Err(cause @ BodyFault::Broken(_)) => Err(cause.to_string()),
        }
    }
}
