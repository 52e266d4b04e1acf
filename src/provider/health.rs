//! Asking whether a provider is up. Nothing here starts work or costs money: it is one GET.

use std::time::Duration;

use reqwest::Method;

use super::client::{self, Call, Reply};
use super::engine::Engine;
use crate::domain::failure::FailureClass;

/// Longest wait for the answer, whatever the preset says.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// What a provider says to being asked how it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is ready for work, as far as its own health page says.
    Ready,
    /// It answers; its file names no page that would say more.
    Answers,
    /// It answers, but is not ready: its words, or its HTTP status.
    NotReady(String),
    /// It does not accept our key: its words, or its HTTP status.
    KeyRefused(String),
    /// No answer, for this reason.
    Unreachable(String),
}

impl Standing {
    /// The word for programs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Answers => "answers",
            Self::NotReady(_) => "not_ready",
            Self::KeyRefused(_) => "key_refused",
            Self::Unreachable(_) => "unreachable",
        }
    }

    /// Whether work could be sent there.
    pub fn is_up(&self) -> bool {
        matches!(self, Self::Ready | Self::Answers)
    }

    /// Why it is not up.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Ready | Self::Answers => None,
            Self::NotReady(text) | Self::KeyRefused(text) | Self::Unreachable(text) => Some(text),
        }
    }
}

impl Engine {
    /// Asks the health page that the preset names, with our key where there is one; without a page,
    /// whether anything answers at the base URL, without the key.
    pub async fn standing(&self) -> Standing {
        let page = self.preset.health_url();
        let has_page = page.is_some();
        let call = Call {
            method: Method::GET,
            url: &page.unwrap_or_else(|| self.preset.base_url.clone()),
            headers: reqwest::header::HeaderMap::new(),
            body: None,
            timeout: Duration::from_millis(self.preset.request_timeout_ms).min(WAIT_MAX),
            is_submit: false,
            with_key: has_page && self.missing_key().is_none(),
        };
        match self.client.send(call).await {
            Ok(_) if !has_page => Standing::Answers,
            Ok(reply) => self.standing_by(&reply),
            Err(client::Error::KeyMissing(text)) => Standing::KeyRefused(text),
            Err(client::Error::NotSent(text) | client::Error::Unknown(text)) => {
                Standing::Unreachable(text)
            }
        }
    }

    fn standing_by(&self, reply: &Reply) -> Standing {
        let failure = self.failure(reply, FailureClass::ProviderFault).failure;
        if matches!(reply.status, 401 | 403) {
            return Standing::KeyRefused(failure.message);
        }
        let ready = self.preset.health.as_ref().and_then(|h| h.ready.as_ref());
        let holds = ready.is_none_or(|test| reply.json().is_ok_and(|json| test.holds(&json)));
        if reply.is_success() && holds {
            return Standing::Ready;
        }
        let status = reply
            .json()
            .ok()
            .and_then(|json| self.preset.answer.status_word(&json));
        Standing::NotReady(
            status
                .filter(|_| reply.is_success())
                .map_or(failure.message, |word| {
                    super::classify::clean(&format!("its status is {word}"))
                }),
        )
    }
}
