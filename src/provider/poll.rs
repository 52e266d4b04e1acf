//! Asking for the state of the work, and telling what an answer says about the work from what it says
//! about the request.

use std::time::Duration;

use super::answer::{Answer, PollError};
use super::classify::{Classified, class_of_status};
use super::client::{self, Call, Reply};
use super::engine::{Engine, failed, wait_ms};
use super::handle::Handle;
use super::preset::{HttpMeaning, HttpRule};
use super::verdict::Reading;
use crate::domain::failure::FailureClass;

/// An unknown id is "not visible yet" before this age, and "lost" after, unless the preset says
/// otherwise.
const NOT_VISIBLE_YET: Duration = Duration::from_secs(30);

/// What the HTTP status of an answer means for the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Running,
    ByBody,
    Lost,
    Retry,
    /// An error, of the request or of the work: its code tells.
    Error,
}

impl Engine {
    /// Asks for the state of the work. `age` is the time since the submit: a young submission may
    /// not be visible yet where an old one is lost.
    ///
    /// An answer is a verdict only where it is about the work: a provider that is overloaded,
    /// broken or does not accept our key is asked again.
    pub async fn poll(&self, handle: &Handle, age: Duration) -> Result<Answer, PollError> {
        let (Some(url), Some(poll)) = (&handle.poll_url, &self.preset.poll) else {
            return Ok(failed(
                FailureClass::Lost,
                "there is nothing to poll for this submission",
            ));
        };
        let call = self.follow_up(poll.method.into(), url, handle.poll_body.as_ref());
        let reply = self.ask(call).await?;
        let meaning = Meaning::of(&poll.http, reply.status, age);
        if meaning != Meaning::ByBody {
            return self.without_body(meaning, &reply);
        }
        let json = reply
            .json()
            .map_err(|text| transient(text, wait_ms(&reply)))?;
        match self.read(&reply, &json) {
            Reading::Answer(answer) => Ok(answer),
            Reading::Error(error) => sorted(error),
            Reading::Finished => {
                // The cost may stand in the one answer or in the other.
                let said = self.reader(&reply, &json).usage();
                Ok(self.result(handle, &json, age).await?.or_usage(said))
            }
        }
    }

    /// One request that follows the work.
    pub(super) async fn ask(&self, call: Call<'_>) -> Result<Reply, PollError> {
        self.client.send(call).await.map_err(|error| match error {
            client::Error::KeyMissing(_) => PollError::OurAuth(error.to_string()),
            client::Error::NotSent(text) | client::Error::Unknown(text) => transient(text, None),
        })
    }

    /// What an answer means whose status says enough.
    pub(super) fn without_body(
        &self,
        meaning: Meaning,
        reply: &Reply,
    ) -> Result<Answer, PollError> {
        match meaning {
            Meaning::Running | Meaning::ByBody => Ok(Answer::Pending { progress: None }),
            Meaning::Lost => Ok(failed(
                FailureClass::Lost,
                "the provider does not know the work",
            )),
            Meaning::Retry => Err(transient(
                format!("HTTP status {}", reply.status),
                wait_ms(reply),
            )),
            Meaning::Error => sorted(self.failure(reply, class_of_status(reply.status))),
        }
    }
}

impl Meaning {
    /// By the preset's rules, or else by what is usual.
    pub(super) fn of(rules: &[HttpRule], status: u16, age: Duration) -> Self {
        let fits = |rule: &&HttpRule| {
            rule.status == status && age >= Duration::from_millis(rule.older_than_ms)
        };
        match (rules.iter().find(fits).map(|rule| rule.means), status) {
            (Some(HttpMeaning::Running), _) => Self::Running,
            (Some(HttpMeaning::ByBody), _) | (None, 200..=299) => Self::ByBody,
            (Some(HttpMeaning::Lost), _) => Self::Lost,
            (Some(HttpMeaning::Retry), _) => Self::Retry,
            (Some(HttpMeaning::Error), _) => Self::Error,
            (None, 404 | 410) if age < NOT_VISIBLE_YET => Self::Running,
            (None, 404 | 410) => Self::Lost,
            // 402 says that we may not start more, not that this work has stopped.
            (None, 402 | 408 | 425 | 429) => Self::Retry,
            (None, 400..=499) => Self::Error,
            (None, _) => Self::Retry,
        }
    }
}

/// An error is a verdict on the work only where the preset knows it for one. Everything else is
/// asked again: giving up work that is going on would pay for it twice.
pub(super) fn sorted(error: Classified) -> Result<Answer, PollError> {
    let Classified { failure, by_rule } = error;
    match failure.class {
        FailureClass::OurAuth => Err(PollError::OurAuth(failure.message)),
        FailureClass::UserInput
        | FailureClass::ContentPolicy
        | FailureClass::ProviderFault
        | FailureClass::Lost
            if by_rule =>
        {
            Ok(Answer::Failed(failure))
        }
        FailureClass::UserInput
        | FailureClass::ContentPolicy
        | FailureClass::ProviderFault
        | FailureClass::Lost
        | FailureClass::RateLimited
        | FailureClass::Capacity
        | FailureClass::OurBalance
        | FailureClass::UnknownOutcome
        | FailureClass::Timeout => Err(transient(failure.message, failure.retry_after_ms)),
    }
}

pub(super) fn transient(message: String, retry_after_ms: Option<u64>) -> PollError {
    PollError::Transient {
        message,
        retry_after_ms,
    }
}
