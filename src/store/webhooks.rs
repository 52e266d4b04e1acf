//! Endpoints, where accounts are told of their jobs: made, looked at, changed.
//!
//! What waits for an endpoint is in `outbox`, what was given up in `dead`.

mod dead;
mod outbox;

use std::collections::HashMap;

pub use dead::{DeadMessage, DeadMessages, Redelivered};
pub use outbox::{Delivery, Happened, ReportOutcome, Reported, Sending, Tried};

use super::{Error, Store, scripts};
use crate::domain::ids::{AccountId, EndpointId};
use crate::domain::webhook::Topics;

/// A new endpoint.
#[derive(Debug, Clone)]
pub struct CreateEndpoint {
    /// Whose jobs it hears of.
    pub account: AccountId,
    /// Its id, from [`Store::new_endpoint_id`]: repeating the call with it makes no second one.
    pub endpoint: EndpointId,
    /// Where messages are posted to; checked by the caller.
    pub url: String,
    /// What it wants to hear of.
    pub topics: Topics,
    /// What messages are signed with, `whsec_...`.
    pub secret: String,
    /// For people, or empty.
    pub description: String,
    /// Endpoints of one account at most.
    pub endpoints_max: u32,
    /// Why.
    pub reason: String,
    /// Who.
    pub actor: String,
}

/// What came of making an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointCreated {
    /// It is there; `replayed` where the same call had been before.
    Created {
        /// This is the first call's answer again: the secret of that call counts.
        replayed: bool,
    },
    /// The id belongs to another endpoint.
    Mismatch,
    /// There is no such account.
    UnknownAccount,
    /// The account has as many as it may.
    TooMany {
        /// How many it has.
        endpoints: u32,
    },
}

/// What an operator does to an endpoint.
#[derive(Debug, Clone)]
pub enum EndpointAct {
    /// It is told again; what waited is due by its own time.
    Enable,
    /// It hears nothing more; what waits stays.
    Disable,
    /// It goes, with all that waits and all that was given up.
    Remove,
    /// It gets a new secret; the one before it goes on signing beside it.
    Rotate {
        /// The new one, `whsec_...`. The same again changes nothing.
        secret: String,
        /// How long both sign, ms.
        overlap_ms: u64,
    },
    /// It gets a message that says nothing.
    Test {
        /// The message's id. The same again sends no second one.
        message: String,
    },
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointActOutcome {
    /// It is so now.
    Done,
    /// It was so before: nothing changed.
    Already,
    /// A disabled endpoint is not tested.
    Disabled,
    /// There is no such endpoint.
    Unknown,
}

/// An endpoint as it stands. Its secret is shown nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointView {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Whose jobs it hears of.
    pub account: String,
    /// Where messages are posted to.
    pub url: String,
    /// What it hears of.
    pub topics: Topics,
    /// For people.
    pub description: String,
    /// Whether it is told anything now.
    pub enabled: bool,
    /// Why not, in words, or empty.
    pub why: String,
    /// When it was made, ms since 1970.
    pub created_ms: u64,
    /// When it was last enabled or disabled, ms since 1970.
    pub changed_ms: u64,
    /// Until when the secret before signs too, ms since 1970; 0 = there is none.
    pub old_until_ms: u64,
    /// Messages that wait or are under way.
    pub waiting: u64,
    /// Messages of its dead letters.
    pub dead: u64,
    /// Messages that it took.
    pub delivered: u64,
    /// Tries that failed.
    pub failed: u64,
    /// Messages that fell out of its full outbox.
    pub dropped: u64,
    /// Since when every try fails, ms since 1970; 0 = the last one did not.
    pub failing_since_ms: u64,
    /// Until when it is left alone, ms since 1970; 0 = it is not.
    pub throttled_until_ms: u64,
    /// When it was last tried, ms since 1970; 0 = never.
    pub last_ms: u64,
    /// What came of that, in short words.
    pub last: String,
    /// The last test's message id, or empty.
    pub test: String,
    /// What came of that test's last try, or empty while there is none.
    pub test_result: String,
}

impl EndpointView {
    /// `enabled`, `failing` where every try has failed since some time, or `disabled`.
    pub fn state(&self) -> &'static str {
        match (self.enabled, self.failing_since_ms) {
            (false, _) => "disabled",
            (true, 0) => "enabled",
            (true, _) => "failing",
        }
    }

    fn read(endpoint: EndpointId, hash: &HashMap<String, String>, waiting: u64, dead: u64) -> Self {
        let text = |name: &str| hash.get(name).cloned().unwrap_or_default();
        let number = |name: &str| hash.get(name).and_then(|n| n.parse().ok()).unwrap_or(0);
        Self {
            endpoint,
            account: text("account"),
            url: text("url"),
            topics: Topics::of_letters(&text("topics")),
            description: text("description"),
            enabled: text("state") == "enabled",
            why: text("why"),
            created_ms: number("created_at"),
            changed_ms: number("changed_at"),
            old_until_ms: number("old_until"),
            waiting,
            dead,
            delivered: number("delivered"),
            failed: number("failed"),
            dropped: number("dropped"),
            failing_since_ms: number("failing_since"),
            throttled_until_ms: number("throttled_until"),
            last_ms: number("last_at"),
            last: text("last"),
            test: text("test_id"),
            test_result: text("test_result"),
        }
    }
}

impl Store {
    /// An id for a new endpoint of an account.
    pub fn new_endpoint_id(&self, account: &AccountId) -> EndpointId {
        EndpointId::new(account.partition(self.partitions()), rand::random())
    }

    /// Makes an endpoint, once per id.
    pub async fn create_endpoint(&self, new: &CreateEndpoint) -> Result<EndpointCreated, Error> {
        let keys = self.keys(new.endpoint.partition())?;
        let keys = [
            keys.meta(),
            keys.account(&new.account),
            keys.hooks_of(&new.account),
            keys.endpoint("hook", &new.endpoint),
            keys.part("acts"),
        ];
        let args = [
            new.account.to_string(),
            new.endpoint.to_string(),
            new.url.clone(),
            new.topics.letters(),
            new.secret.clone(),
            new.description.clone(),
            new.reason.clone(),
            new.actor.clone(),
            new.endpoints_max.to_string(),
        ];
        let reply = self.run(&scripts::HOOK_CREATE, &keys, &args).await?;
        let word = reply.word()?;
        match word.as_str() {
            "created" | "replayed" => Ok(EndpointCreated::Created {
                replayed: word == "replayed",
            }),
            "mismatch" => Ok(EndpointCreated::Mismatch),
            "unknown_account" => Ok(EndpointCreated::UnknownAccount),
            "too_many" => Ok(EndpointCreated::TooMany {
                endpoints: reply.number(1)?,
            }),
            _ => reply.unknown(),
        }
    }

    /// Does something to an endpoint.
    pub async fn act_on_endpoint(
        &self,
        endpoint: &EndpointId,
        act: &EndpointAct,
        reason: &str,
        actor: &str,
    ) -> Result<EndpointActOutcome, Error> {
        if endpoint.partition() >= self.partitions() {
            return Ok(EndpointActOutcome::Unknown);
        }
        let (word, first, second) = match act {
            EndpointAct::Enable => ("enable", String::new(), String::new()),
            EndpointAct::Disable => ("disable", String::new(), String::new()),
            EndpointAct::Remove => ("remove", String::new(), String::new()),
            EndpointAct::Rotate { secret, overlap_ms } => {
                ("rotate", secret.clone(), overlap_ms.to_string())
            }
            EndpointAct::Test { message } => ("test", message.clone(), String::new()),
        };
        let keys = self.keys(endpoint.partition())?;
        let own = ["hook", "outbox", "outdue", "outfly", "outtry", "outdead"];
        let mut all = vec![keys.meta()];
        all.extend(own.map(|noun| keys.endpoint(noun, endpoint)));
        all.extend([keys.part("hooks"), keys.part("acts")]);
        let args = [
            endpoint.to_string(),
            word.to_owned(),
            reason.to_owned(),
            actor.to_owned(),
            first,
            second,
        ];
        let reply = self.run(&scripts::HOOK_SET, &all, &args).await?;
        match reply.word()?.as_str() {
            "done" => Ok(EndpointActOutcome::Done),
            "already" => Ok(EndpointActOutcome::Already),
            "disabled" => Ok(EndpointActOutcome::Disabled),
            "unknown" => Ok(EndpointActOutcome::Unknown),
            _ => reply.unknown(),
        }
    }

    /// An endpoint as it stands, or `None` where there is none of this id.
    pub async fn endpoint(&self, endpoint: &EndpointId) -> Result<Option<EndpointView>, Error> {
        // An id of a store with more partitions than this one names nothing here.
        if endpoint.partition() >= self.partitions() {
            return Ok(None);
        }
        let keys = self.keys(endpoint.partition())?;
        let mut ask = redis::pipe();
        ask.cmd("HGETALL").arg(keys.endpoint("hook", endpoint));
        ask.cmd("XLEN").arg(keys.endpoint("outbox", endpoint));
        ask.cmd("XLEN").arg(keys.endpoint("outdead", endpoint));
        let (hash, waiting, dead): (HashMap<String, String>, u64, u64) =
            self.read("endpoint", &ask).await?;
        let there = !hash.is_empty();
        Ok(there.then(|| EndpointView::read(endpoint.clone(), &hash, waiting, dead)))
    }

    /// All endpoints of an account, the oldest first.
    pub async fn endpoints(&self, account: &AccountId) -> Result<Vec<EndpointView>, Error> {
        let keys = self.keys(account.partition(self.partitions()))?;
        let mut ask = redis::pipe();
        ask.cmd("SMEMBERS").arg(keys.hooks_of(account));
        let (ids,): (Vec<String>,) = self.read("endpoints", &ask).await?;
        let mut views = Vec::with_capacity(ids.len());
        for id in ids.into_iter().filter_map(|id| id.parse().ok()) {
            views.extend(self.endpoint(&id).await?);
        }
        views.sort_by(|a: &EndpointView, b| {
            (a.created_ms, &a.endpoint).cmp(&(b.created_ms, &b.endpoint))
        });
        Ok(views)
    }
}
