//! What producers do, whichever door they come in by: a request becomes a quote or a job.
//!
//! Bad parameters are refused here, before anything is held; everything about money is decided by the
//! store's scripts.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::catalogue::{Catalogue, Refusal, Request, Resolved};
use crate::domain::credits::Ucr;
use crate::domain::ids::{AccountId, IdempotencyKey, JobId};
use crate::domain::job::Priority;
use crate::domain::payload::Payload;
use crate::domain::quote::{Fingerprint, Wanted};
use crate::domain::retry::Policy;
use crate::store::{self, NewJob, Store, SubmitOutcome, SubmitRefusal, Submitted};

/// Turns requests into quotes and jobs.
#[derive(Clone)]
pub struct Producer {
    store: Store,
    catalogue: std::sync::Arc<Catalogue>,
    retry: Policy,
}

/// What a producer asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asking {
    /// Who pays.
    pub account: AccountId,
    /// The tool's name.
    pub tool: String,
    /// Its parameters, as they were sent.
    pub params: Map<String, Value>,
    /// One of the tool's routes, pinned.
    pub route: Option<String>,
}

/// How a job is submitted.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// The producer's key for this click; without one the job id is the key.
    pub idempotency_key: Option<IdempotencyKey>,
    /// The job id to use, so that a repeated call is the same job.
    pub job: Option<JobId>,
    /// How urgent it is.
    pub priority: Priority,
    /// How long it waits before it is due, ms.
    pub delay_ms: u64,
    /// The most the producer is willing to have held.
    pub max: Option<Ucr>,
}

/// A price shown before confirming.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quote {
    /// Its id.
    pub quote: String,
    /// No charge may pass it, micro-credits.
    pub ceiling_ucr: i64,
    /// Which catalogue it was made with.
    pub price_version: String,
    /// Until when it can be used, ms since 1970.
    pub expires_at_ms: u64,
}

/// What is kept of a quote: enough to make the job from it, at its price.
#[derive(Debug, Serialize, Deserialize)]
struct KeptQuote {
    asking: Asking,
    resolved: Resolved,
}

/// Why there is no quote and no job.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be had: a bad tool, parameter or route.
    #[error(transparent)]
    Request(#[from] Refusal),
    /// A rule of the store refuses it; nothing is held.
    #[error(transparent)]
    Refused(#[from] SubmitRefusal),
    /// The store gave no answer, or one that says nothing about the job.
    #[error("failed to {0}")]
    Store(#[from] store::Error),
}

impl Producer {
    /// A producer on this store, with these prices.
    pub fn new(store: Store, catalogue: Catalogue, retry: Policy) -> Self {
        Self {
            store,
            catalogue: std::sync::Arc::new(catalogue),
            retry,
        }
    }

    /// The prices in force.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Prices a request and keeps the quote.
    pub async fn quote(&self, asking: &Asking) -> Result<Quote, Error> {
        let resolved = self.resolve(asking)?;
        let (ceiling_ucr, price_version) =
            (resolved.ceiling_ucr.get(), resolved.price_version.clone());
        let quote = format!("q{}", uuid::Uuid::now_v7().simple());
        let json = to_json(&KeptQuote {
            asking: asking.clone(),
            resolved,
        });
        match self
            .store
            .keep_quote(&asking.account, &quote, &json)
            .await?
        {
            Some(expires_at_ms) => Ok(Quote {
                quote,
                ceiling_ucr,
                price_version,
                expires_at_ms,
            }),
            None => Err(SubmitRefusal::UnknownAccount(asking.account.clone()).into()),
        }
    }

    /// Submits a request at today's prices.
    pub async fn submit(&self, asking: &Asking, terms: &Terms) -> Result<Submitted, Error> {
        let resolved = self.resolve(asking)?;
        self.hold(asking, resolved, terms, None).await
    }

    /// Submits what was quoted, at the price that was quoted.
    pub async fn submit_quote(
        &self,
        account: &AccountId,
        quote: &str,
        terms: &Terms,
    ) -> Result<Submitted, Error> {
        let kept = self.store.quote(account, quote).await?;
        let kept = kept.and_then(|kept| serde_json::from_str::<KeptQuote>(&kept.quote).ok());
        // Knowing a quote is no right to spend its account's credits.
        match kept.filter(|kept| kept.asking.account == *account) {
            Some(kept) => {
                self.hold(&kept.asking, kept.resolved, terms, Some(quote))
                    .await
            }
            // The quote may be gone because the job was made from it long ago.
            None => self.made_from(account, quote, terms).await,
        }
    }

    /// The job that was made with this key from this quote, while the quote still stood.
    async fn made_from(
        &self,
        account: &AccountId,
        quote: &str,
        terms: &Terms,
    ) -> Result<Submitted, Error> {
        if self.store.account(account).await?.is_none() {
            return Err(SubmitRefusal::UnknownAccount(account.clone()).into());
        }
        let job = match &terms.idempotency_key {
            Some(key) => self.store.job_by_key(account, key).await?,
            None => terms.job.clone(),
        };
        let Some(job) = job else {
            return Err(SubmitRefusal::QuoteExpired.into());
        };
        let Some(view) = self.store.job(&job).await? else {
            return Err(SubmitRefusal::QuoteExpired.into());
        };
        if view.text("quote") != quote {
            return Err(SubmitRefusal::KeyMismatch(job.to_string()).into());
        }
        let hold = Ucr::new(view.number("hold_ucr")).unwrap_or(Ucr::ZERO);
        let state = view.state().ok_or(SubmitRefusal::QuoteExpired)?;
        Ok(Submitted {
            job,
            hold,
            state,
            replayed: true,
        })
    }

    fn resolve(&self, asking: &Asking) -> Result<Resolved, Error> {
        let route = asking.route.as_deref();
        let (tool, params) = (asking.tool.as_str(), &asking.params);
        Ok(self.catalogue.resolve(&Request {
            tool,
            params,
            route,
            deadline_ms: None,
        })?)
    }

    async fn hold(
        &self,
        asking: &Asking,
        resolved: Resolved,
        terms: &Terms,
        quote: Option<&str>,
    ) -> Result<Submitted, Error> {
        let wanted = Wanted {
            account: asking.account.as_str(),
            tool: &asking.tool,
            params: &asking.params,
            route: asking.route.as_deref(),
        };
        let due = (terms.delay_ms > 0).then_some(terms.delay_ms);
        let job = match &terms.job {
            Some(job) => job.clone(),
            None => self.store.new_job_id(&asking.account),
        };
        let new = NewJob {
            account: asking.account.clone(),
            job,
            fingerprint: Fingerprint::of_job(&wanted, terms.priority, due).to_string(),
            ceiling: resolved.ceiling_ucr,
            tool: resolved.tool.clone(),
            queue: resolved.queue.clone(),
            priority: terms.priority,
            price_version: resolved.price_version.clone(),
            rule: resolved.rule,
            asked: resolved.asked,
            deadline_ms: resolved.deadline_ms,
            delay_ms: terms.delay_ms,
            payload: to_json(&Payload {
                request: resolved,
                retry: self.retry,
            }),
            idempotency_key: terms.idempotency_key.clone(),
            quote: quote.map(str::to_owned),
            max: terms.max,
        };
        match self.store.submit(&new).await? {
            SubmitOutcome::Accepted(submitted) => Ok(submitted),
            SubmitOutcome::Refused(refusal) => Err(refusal.into()),
        }
    }
}

/// These types hold strings, numbers and maps with string keys: writing them cannot fail.
fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
