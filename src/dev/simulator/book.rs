//! The simulated provider's books: what was started, for whom, and what was only answered again.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use crate::domain::failure::FailureClass;

use super::generations::{Generation, Request, Showing, showing};

/// Wait that a rate limit asks for where no knob says otherwise.
const RETRY_AFTER_S_DEFAULT: u64 = 1;

/// Everything the simulated provider remembers.
#[derive(Debug, Default)]
pub(super) struct Book {
    generations: HashMap<String, Generation>,
    /// Which generation an idempotency key belongs to.
    by_key: HashMap<String, String>,
    /// Generations started per submission: what a provider would bill.
    started: BTreeMap<String, u64>,
    /// Answers per submission that started nothing.
    replays: BTreeMap<String, u64>,
    /// Jobs that were told to come back later.
    sent_away: HashSet<String>,
}

/// What a submission led to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Submitted {
    /// A new generation; `hang_up` where the caller is not to learn of it.
    Started {
        /// Its id.
        id: String,
        /// Close the connection instead of answering.
        hang_up: bool,
    },
    /// The generation that this key started before.
    Replayed {
        /// Its id.
        id: String,
    },
    /// Nothing was started.
    Refused(Refusal),
}

/// Why nothing was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The kind of failure, which also gives the HTTP status.
    pub(super) class: FailureClass,
    /// A sentence for the caller.
    pub(super) message: String,
    /// Seconds to wait, where waiting helps.
    pub(super) retry_after_s: Option<u64>,
}

impl Refusal {
    fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            retry_after_s: None,
        }
    }

    /// A request that cannot be understood.
    pub(super) fn user_input(message: impl Into<String>) -> Self {
        Self::new(FailureClass::UserInput, message)
    }
}

impl Book {
    /// Takes a submission. `idempotency_key` is `None` on paths that know no such keys.
    pub(super) fn submit(
        &mut self,
        request: &Request,
        idempotency_key: Option<&str>,
        now_ms: u64,
    ) -> Submitted {
        if let Some(id) = idempotency_key.and_then(|key| self.by_key.get(key)) {
            let id = id.clone();
            *self
                .replays
                .entry(idempotency_key.unwrap_or(&id).to_owned())
                .or_default() += 1;
            return Submitted::Replayed { id };
        }
        let id = format!("gen-{}", Uuid::now_v7());
        let key = idempotency_key
            .or(request.submission.as_deref())
            .unwrap_or(&id)
            .to_owned();
        if let Err(refusal) = self.refuse(request, &key) {
            return Submitted::Refused(refusal);
        }
        let seed = self.generations.len() as u64;
        let generation = Generation::start(id.clone(), request, seed, now_ms);
        self.generations.insert(id.clone(), generation);
        if let Some(idempotency_key) = idempotency_key {
            self.by_key.insert(idempotency_key.to_owned(), id.clone());
        }
        let started = self.started.entry(key).or_default();
        *started += 1;
        let hang_up = request.knobs().drop_after_accept && *started == 1;
        Submitted::Started { id, hang_up }
    }

    /// The answers that start nothing.
    fn refuse(&mut self, request: &Request, key: &str) -> Result<(), Refusal> {
        request.check().map_err(Refusal::user_input)?;
        let knobs = request.knobs();
        let job = key.rsplit_once('-').map_or(key, |(job, _submission)| job);
        if knobs.retry_after_s.is_some() && self.sent_away.insert(job.to_owned()) {
            let refusal = Refusal::new(FailureClass::RateLimited, "come back later");
            return Err(Refusal {
                retry_after_s: knobs.retry_after_s,
                ..refusal
            });
        }
        let Some(class) = knobs
            .fail
            .filter(|class| showing(*class) == Showing::AtOnce)
        else {
            return Ok(());
        };
        let limited = class == FailureClass::RateLimited;
        let retry_after_s = limited.then(|| knobs.retry_after_s.unwrap_or(RETRY_AFTER_S_DEFAULT));
        Err(Refusal {
            retry_after_s,
            ..Refusal::new(class, "this failure was asked for")
        })
    }

    /// A generation by its id.
    pub(super) fn get(&self, id: &str) -> Option<&Generation> {
        self.generations.get(id)
    }

    /// A generation by its id, to be cancelled.
    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Generation> {
        self.generations.get_mut(id)
    }

    /// Generations started, by submission.
    pub(super) fn started(&self) -> &BTreeMap<String, u64> {
        &self.started
    }

    /// Answers that started nothing, by submission.
    pub(super) fn replays(&self) -> &BTreeMap<String, u64> {
        &self.replays
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(submission: &str, sim: &str) -> Request {
        let json = format!(r#"{{"kind":"image","submission":"{submission}","sim":{sim}}}"#);
        serde_json::from_str(&json).unwrap()
    }

    fn started_id(submitted: Submitted) -> String {
        match submitted {
            Submitted::Started { id, .. } => id,
            Submitted::Replayed { .. } | Submitted::Refused(_) => panic!("{submitted:?}"),
        }
    }

    #[test]
    fn a_key_starts_one_generation_however_often_it_comes() {
        let mut book = Book::default();
        let request = request("j-1", "{}");
        let id = started_id(book.submit(&request, Some("j-1"), 0));
        for _ in 0..2 {
            let again = book.submit(&request, Some("j-1"), 0);
            assert_eq!(again, Submitted::Replayed { id: id.clone() });
        }
        assert_eq!(book.started()["j-1"], 1);
        assert_eq!(book.replays()["j-1"], 2);
    }

    #[test]
    fn without_a_key_every_submission_starts_one() {
        let mut book = Book::default();
        let request = request("j-1", "{}");
        let first = started_id(book.submit(&request, None, 0));
        assert_ne!(started_id(book.submit(&request, None, 0)), first);
        assert_eq!(book.started()["j-1"], 2);
        assert!(book.replays().is_empty());
    }

    #[test]
    fn only_the_first_answer_of_a_submission_is_dropped() {
        let mut book = Book::default();
        let request = request("j-1", r#"{"drop_after_accept":true}"#);
        let hung_up = |submitted| matches!(submitted, Submitted::Started { hang_up: true, .. });
        assert!(hung_up(book.submit(&request, None, 0)));
        assert!(!hung_up(book.submit(&request, None, 0)));
        assert_eq!(book.started()["j-1"], 2);
    }

    #[test]
    fn a_job_is_sent_away_once() {
        let mut book = Book::default();
        let refused = book.submit(&request("j-1", r#"{"retry_after_s":7}"#), Some("j-1"), 0);
        let Submitted::Refused(refusal) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(
            (refusal.class, refusal.retry_after_s),
            (FailureClass::RateLimited, Some(7))
        );
        assert!(book.started().is_empty());
        started_id(book.submit(&request("j-2", r#"{"retry_after_s":7}"#), Some("j-2"), 0));
    }

    #[test]
    fn refusals_start_nothing_and_leave_the_key_free() {
        let mut book = Book::default();
        for word in [
            "user_input",
            "our_auth",
            "our_balance",
            "rate_limited",
            "capacity",
        ] {
            let request = request("j-1", &format!(r#"{{"fail":"{word}"}}"#));
            let refused = book.submit(&request, Some("j-1"), 0);
            let Submitted::Refused(refusal) = refused else {
                panic!("{refused:?}")
            };
            assert_eq!(refusal.class.as_str(), word);
        }
        assert!(book.started().is_empty());
        started_id(book.submit(&request("j-1", "{}"), Some("j-1"), 0));
    }
}
