//! What producers do: quote and cancel; what a submission is and how it is answered (see `submit`).

use super::{Error, Store, keys, scripts};
use crate::domain::credits::Ucr;
use crate::domain::ids::{AccountId, IdempotencyKey, JobId};
use crate::domain::job::{Priority, State};
use crate::domain::pricing::{Asked, Rule};

/// A job to be held for and queued.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Who pays.
    pub account: AccountId,
    /// Made by the producer before the call.
    pub job: JobId,
    /// What makes two requests the same request.
    pub fingerprint: String,
    /// The ceiling: what is held.
    pub ceiling: Ucr,
    /// The tool's name.
    pub tool: String,
    /// Where it waits.
    pub queue: String,
    /// How urgent it is.
    pub priority: Priority,
    /// Which catalogue priced it.
    pub price_version: String,
    /// The rule it is priced by, whatever the catalogue says later.
    pub rule: Rule,
    /// What was asked for.
    pub asked: Asked,
    /// Longest time from its first claim to its end, ms.
    pub deadline_ms: u64,
    /// How long it waits before it is due, ms.
    pub delay_ms: u64,
    /// All that the attempt needs, JSON.
    pub payload: String,
    /// The producer's key for this click; without one the job id is the key.
    pub idempotency_key: Option<IdempotencyKey>,
    /// The quote it was confirmed with.
    pub quote: Option<String>,
    /// The most the producer is willing to have held.
    pub max: Option<Ucr>,
}

/// A job that is held for and queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// The job: another one than was sent where the call is a replay.
    pub job: JobId,
    /// What is held for it, or was.
    pub hold: Ucr,
    /// Where it stands.
    pub state: State,
    /// The idempotency key, or the job id, had been before.
    pub replayed: bool,
}

/// Why nothing was held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitRefusal {
    /// There is no such account.
    #[error("there is no account {0}")]
    UnknownAccount(AccountId),
    /// The account may not spend.
    #[error("the account is {0}")]
    AccountClosed(String),
    /// The account, or its whole partition, is frozen until an operator clears it.
    #[error("{} is frozen: {reason}", account.as_deref().unwrap_or("the account's whole partition"))]
    Frozen {
        /// Which account; `None` = its whole partition.
        account: Option<String>,
        /// Why.
        reason: String,
    },
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request, job {0}")]
    KeyMismatch(String),
    /// The quote is gone.
    #[error("the quote has expired, ask for a new one")]
    QuoteExpired,
    /// The ceiling is above what the producer would pay.
    #[error("the ceiling is {} credits, above the maximum given", ceiling.credits())]
    AboveMax {
        /// What would be held.
        ceiling: Ucr,
    },
    /// Not enough credits.
    #[error("{} credits are needed, {} are available", need.credits(), spendable(*available_ucr))]
    Insufficient {
        /// What would be held.
        need: Ucr,
        /// What can be spent, micro-credits; negative while there is debt.
        available_ucr: i64,
    },
    /// The account would spend more than it may in this day or month.
    #[error("the account's cap of the {period} would be passed: {} credits are needed, {} are left", need.credits(), left.credits())]
    CapExceeded {
        /// `day` or `month`.
        period: String,
        /// When the period ends, ms since 1970.
        until_ms: u64,
        /// What would be held.
        need: Ucr,
        /// What may still be spent in it.
        left: Ucr,
    },
    /// The store has as many open jobs as it takes.
    #[error("the queue is full, try again later")]
    QueueFull,
    /// Operators let the queue run empty.
    #[error("the queue {0} takes no more jobs until its operators let it go on")]
    QueueDraining(String),
    /// The account has as many waiting jobs as it may.
    #[error("the account's lane is full, wait for some of its jobs to end")]
    LaneFull,
    /// The job id was made for another account: its partition is not this account's.
    #[error("job id {0} was not made for this account")]
    ForeignJob(JobId),
    /// The payload is too long.
    #[error("the payload has {bytes} bytes, at most {max} are taken")]
    PayloadTooLarge {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
    /// The time it is due lies too far ahead.
    #[error("a job can be scheduled at most {max_ms} ms ahead")]
    TooFarAhead {
        /// How far it may lie ahead.
        max_ms: u64,
    },
}

/// A balance in credits; while there is debt, how much is owed.
fn spendable(ucr: i64) -> String {
    match Ucr::new(ucr) {
        Ok(amount) => amount.credits(),
        Err(_) => format!(
            "none: {} are owed",
            Ucr::new(-ucr).unwrap_or(Ucr::ZERO).credits()
        ),
    }
}

/// Accepted or refused; the third answer, unknown, is [`Error::Unknown`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubmitOutcome {
    /// Held and queued.
    Accepted(Submitted),
    /// Nothing happened.
    Refused(SubmitRefusal),
}

/// A quote as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredQuote {
    /// The quote, JSON, as it was given.
    pub quote: String,
    /// Until when it can be used, ms since 1970.
    pub expires_at_ms: u64,
}

/// What happened to a cancel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelOutcome {
    /// It waited; now it has ended and everything is given back.
    Cancelled {
        /// What was given back.
        released: Ucr,
    },
    /// It runs; its worker is told, and at the latest after the grace it ends, uncharged.
    Cancelling,
    /// It had ended before, or its time was up and it has ended by that now.
    Ended(State),
    /// There is no such job.
    UnknownJob,
}

impl Store {
    /// Keeps a quote for as long as quotes stand. `None` where there is no such account.
    pub async fn keep_quote(
        &self,
        account: &AccountId,
        quote: &str,
        json: &str,
    ) -> Result<Option<u64>, Error> {
        let keys = self.keys(account.partition(self.partitions()))?;
        let keys = [keys.meta(), keys.account(account), keys.quote(quote)];
        let args = [json.to_owned(), self.options().quote_ttl_ms.to_string()];
        let reply = self.run(&scripts::QUOTE, &keys, &args).await?;
        match reply.word()?.as_str() {
            "stored" => Ok(Some(reply.number(1)?)),
            "unknown_account" => Ok(None),
            _ => reply.unknown(),
        }
    }

    /// A quote that still stands.
    pub async fn quote(
        &self,
        account: &AccountId,
        quote: &str,
    ) -> Result<Option<StoredQuote>, Error> {
        let mut ask = redis::pipe();
        let key = self
            .keys(account.partition(self.partitions()))?
            .quote(quote);
        ask.cmd("HMGET").arg(key).arg("quote").arg("expires_at");
        let ((quote, expires),): ((Option<String>, Option<u64>),) =
            self.read("quote", &ask).await?;
        let found = quote
            .zip(expires)
            .map(|(quote, expires_at_ms)| StoredQuote {
                quote,
                expires_at_ms,
            });
        let now_ms = self.server_ms().await?;
        Ok(found.filter(|quote| quote.expires_at_ms > now_ms))
    }

    /// The job an idempotency key made before, with what is or was held for it.
    pub async fn job_by_key(
        &self,
        account: &AccountId,
        key: &IdempotencyKey,
    ) -> Result<Option<JobId>, Error> {
        let mut ask = redis::pipe();
        ask.cmd("GET").arg(
            self.keys(account.partition(self.partitions()))?
                .idempotency(account, key),
        );
        let (job,): (Option<String>,) = self.read("idem", &ask).await?;
        Ok(job.and_then(|id| JobId::try_from(id).ok()))
    }

    /// Ends a waiting job now, or flags a running one.
    pub async fn cancel(&self, job: &JobId, actor: &str) -> Result<CancelOutcome, Error> {
        let keys = self.keys(job.partition())?;
        let keys = [keys.meta(), keys.job(job)];
        let grace = self.options().cancel_grace_ms.to_string();
        let args = [job.to_string(), grace, actor.to_owned()];
        let reply = self.run(&scripts::CANCEL, &keys, &args).await?;
        match reply.word()?.as_str() {
            "cancelled" => Ok(CancelOutcome::Cancelled {
                released: reply.number(1)?,
            }),
            "cancelling" => Ok(CancelOutcome::Cancelling),
            "ended" => match State::from_word(&reply.text(1)?) {
                Some(state) => Ok(CancelOutcome::Ended(state)),
                None => reply.unknown(),
            },
            "unknown_job" => Ok(CancelOutcome::UnknownJob),
            _ => reply.unknown(),
        }
    }

    /// A new job id in the account's partition.
    pub fn new_job_id(&self, account: &AccountId) -> JobId {
        JobId::new(account.partition(self.partitions()), uuid::Uuid::now_v7())
    }

    /// The queues that have ever had a job, over all partitions.
    pub async fn queues(&self) -> Result<Vec<String>, Error> {
        let mut names = std::collections::BTreeSet::new();
        for partition in &self.inner.partitions {
            let mut ask = redis::pipe();
            ask.cmd("SMEMBERS").arg(partition.part("queues"));
            let (found,): (Vec<String>,) = self.read("queues", &ask).await?;
            names.extend(found);
        }
        Ok(names.into_iter().collect())
    }
}

/// The streams of a queue in `keys`, as declared by `claim` and `heartbeat`.
pub(super) fn streams_of(keys: &keys::Keys, queues: &[String]) -> Vec<String> {
    queues
        .iter()
        .flat_map(|queue| keys.streams(queue))
        .collect()
}
