//! Asking a provider to stop.

use super::answer::CancelOutcome;
use super::engine::Engine;
use super::handle::Handle;
use super::preset::Cancel;
use super::verdict::Status;
use crate::domain::failure::FailureClass;

impl Engine {
    /// Asks the provider to stop. Whatever comes of it, only polling tells how the work ends, and
    /// nothing here proves that it will not be billed.
    pub async fn cancel(&self, handle: &Handle) -> CancelOutcome {
        let (Some(url), Some(cancel)) = (&handle.cancel_url, &self.preset.cancel) else {
            return CancelOutcome::NotOffered;
        };
        if let Some(outcome) = self.obstacle(handle, cancel).await {
            return outcome;
        }
        let reply = match self
            .client
            .send(self.follow_up(cancel.method.into(), url, None))
            .await
        {
            Ok(reply) => reply,
            Err(error) => return CancelOutcome::Failed(error.to_string()),
        };
        let json = reply.json().ok();
        let status = json.map_or(Status::Unknown, |json| self.preset.answer.status_of(&json));
        match status {
            Status::Canceled => CancelOutcome::Confirmed,
            Status::Succeeded | Status::Failed | Status::Lost => CancelOutcome::TooLate,
            Status::Queued | Status::Running | Status::Unknown if reply.is_success() => {
                CancelOutcome::Requested
            }
            Status::Queued | Status::Running | Status::Unknown => {
                let error = self.failure(&reply, FailureClass::ProviderFault);
                CancelOutcome::Failed(error.failure.message)
            }
        }
    }

    /// Why the request is not sent, found out by a look at the state of the work where the preset
    /// makes the cancel depend on it.
    async fn obstacle(&self, handle: &Handle, cancel: &Cancel) -> Option<CancelOutcome> {
        if cancel.only_when.is_empty() && !cancel.destructive_after_end {
            return None;
        }
        let (url, poll) = (handle.poll_url.as_ref()?, self.preset.poll.as_ref()?);
        let look = self.follow_up(poll.method.into(), url, handle.poll_body.as_ref());
        let json = match self.client.send(look).await {
            Ok(reply) if reply.is_success() => reply.json(),
            Ok(reply) => Err(format!("HTTP status {}", reply.status)),
            Err(error) => Err(error.to_string()),
        };
        let json = match json {
            Ok(json) => json,
            Err(text) => {
                return Some(CancelOutcome::Failed(format!(
                    "look at the state first: {text}"
                )));
            }
        };
        let answer = &self.preset.answer;
        match answer.status_of(&json) {
            Status::Succeeded | Status::Failed | Status::Lost => Some(CancelOutcome::TooLate),
            Status::Canceled => Some(CancelOutcome::Confirmed),
            Status::Queued | Status::Running | Status::Unknown => {
                let word = answer.status_word(&json).unwrap_or_default();
                let possible = cancel.only_when.is_empty() || cancel.only_when.contains(&word);
                (!possible).then_some(CancelOutcome::NotOffered)
            }
        }
    }
}
