//! What a submission asks for, and how request templates see it.

use std::time::Duration;

use serde_json::{Map, Value};

use super::placeholder::Scope;

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

impl<'a> SubmitRequest<'a> {
    /// The request as templates see it.
    pub(super) fn scope(&self, id: Option<&'a str>) -> Scope<'a> {
        let Self {
            job,
            submission,
            key,
            model,
            kind,
            params,
            timeout: _,
        } = *self;
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
}
