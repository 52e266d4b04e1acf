//! What is kept of a submission so that any process can follow it later.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

/// A provider's side of one submission, stored right after the submit was answered.
///
/// It is self-contained: polling and cancelling use the URLs in it, not those of today's preset, so
/// that a changed file does not turn running work into lost work. Only the list of hosts that may
/// receive the key is always today's: a handle never widens it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Handle {
    /// The provider's name.
    pub provider: String,
    /// Version of the preset that wrote this handle.
    pub preset_version: String,
    /// Which key the submit was sent with: the name of its variable, or `none`.
    pub key_id: String,
    /// The idempotency key, `<job>-<submission>`.
    pub key: String,
    /// The provider's id of the work.
    pub id: Option<String>,
    /// Where to poll. `None` for a provider whose first answer is final.
    pub poll_url: Option<Url>,
    /// What to send when polling, for providers that are polled with a body.
    pub poll_body: Option<Value>,
    /// Where the result of finished work is, where that takes one more request.
    #[serde(default)]
    pub result_url: Option<Url>,
    /// Where to ask for a stop, if the provider offers it.
    pub cancel_url: Option<Url>,
}
