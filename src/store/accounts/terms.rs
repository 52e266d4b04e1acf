//! What an account may do: its plan, its limits, its caps, when it is warned.

use super::fingerprint;
use crate::domain::credits::Ucr;
use crate::domain::ids::{AccountId, OperationId};
use crate::store::{Error, Store, scripts};

/// An account goes on a plan, renews it, or leaves it.
#[derive(Debug, Clone)]
pub struct PlanRequest {
    /// Which account.
    pub account: AccountId,
    /// Makes it happen once: an invoice's id, say.
    pub operation: OperationId,
    /// The plan's name; `None` = no plan any more.
    pub plan: Option<String>,
    /// The plan's credits for one period.
    pub amount: Ucr,
    /// Active jobs per queue; 0 = the default of the settings.
    pub max_active: u32,
    /// Months of one period.
    pub months: u32,
    /// When the period ends, ms since 1970; `None` = so many months from now.
    pub until_ms: Option<u64>,
    /// What it costs, for people to read.
    pub price: String,
    /// Why, for the books.
    pub reason: String,
    /// Who does it, for the books.
    pub actor: String,
}

/// What happened to a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanOutcome {
    /// The account is on it; `replayed` where this operation id had been before.
    Planned {
        /// The bucket that its credits went into; `None` where it has none.
        grant: Option<String>,
        /// When the period ends, ms since 1970; 0 without a plan.
        until_ms: u64,
        /// The balance right after it.
        available: Ucr,
        /// The debt right after it.
        debt: Ucr,
        /// Waiting jobs that its limit let in.
        admitted: u32,
        /// This is the first call's answer again.
        replayed: bool,
    },
    /// The operation id was used for something else.
    Mismatch {
        /// The amount it was used for.
        amount: Ucr,
    },
    /// There is no such account.
    UnknownAccount,
    /// The account is closed; the word is its state.
    AccountClosed(String),
    /// The period would have ended already.
    ExpiredAlready,
    /// The account has as many live grants as it may.
    TooManyGrants,
    /// The balance would pass what a double can hold exactly.
    Overflow,
}

/// One thing that can be set for an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Term {
    /// Active jobs in each queue; 0 = the default of the settings.
    MaxActive(u32),
    /// Active jobs in one queue; 0 = as in the others.
    QueueMaxActive(String, u32),
    /// What may be spent in a day and in a month of UTC: `None` = as it is, zero = no cap.
    Caps {
        /// By day.
        day: Option<Ucr>,
        /// By month.
        month: Option<Ucr>,
    },
    /// Below which balance an event is written; zero = never.
    LowBalance(Ucr),
}

/// What happened to a setting of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TermOutcome {
    /// It is so now.
    Set {
        /// Waiting jobs that it let in.
        admitted: u32,
        /// It was so before: nothing changed.
        replayed: bool,
    },
    /// There is no such account.
    UnknownAccount,
    /// The value is none that can be set: a name of a queue that is none, say.
    BadValue,
}

impl Term {
    /// The word and the value that the script takes.
    fn words(&self) -> (&'static str, String) {
        let cap = |cap: &Option<Ucr>| cap.map_or_else(|| "-".to_owned(), |ucr| ucr.to_string());
        match self {
            Self::MaxActive(limit) => ("max_active", limit.to_string()),
            Self::QueueMaxActive(queue, limit) => ("queue", format!("{queue}={limit}")),
            Self::Caps { day, month } => ("caps", format!("{}|{}", cap(day), cap(month))),
            Self::LowBalance(threshold) => ("alert", threshold.to_string()),
        }
    }
}

impl Store {
    /// Puts an account on a plan: limit, credits and note of it together, once per operation id.
    pub async fn set_plan(&self, request: &PlanRequest) -> Result<PlanOutcome, Error> {
        let plan = request.plan.clone().unwrap_or_default();
        let until = request.until_ms.map(|ms| ms.to_string());
        let until = until.unwrap_or_default();
        // What the settings say of a plan may change between a call and its repetition.
        let print = fingerprint(&format!("plan {plan} {until}"));
        let args = [
            request.account.to_string(),
            request.operation.to_string(),
            plan,
            request.amount.to_string(),
            request.max_active.to_string(),
            request.months.to_string(),
            until,
            request.price.clone(),
            request.reason.clone(),
            request.actor.clone(),
            self.options().grants_max.to_string(),
            print,
            self.options().max_active.to_string(),
        ];
        let keys = self.account_keys(&request.account)?;
        let wish = self.options().durability.grants;
        let reply = self
            .run_safely(wish, &scripts::PLAN, &keys, &[&args])
            .await?;
        let word = reply.word()?;
        match word.as_str() {
            "planned" | "replayed" => Ok(PlanOutcome::Planned {
                grant: Some(reply.text(1)?).filter(|grant| grant != "-"),
                until_ms: reply.number(2)?,
                available: reply.number(3)?,
                debt: reply.number(4)?,
                admitted: reply.number(5)?,
                replayed: word == "replayed",
            }),
            "mismatch" => Ok(PlanOutcome::Mismatch {
                amount: reply.number(1)?,
            }),
            "unknown_account" => Ok(PlanOutcome::UnknownAccount),
            "account_closed" => Ok(PlanOutcome::AccountClosed(reply.text(1)?)),
            "expired_already" => Ok(PlanOutcome::ExpiredAlready),
            "too_many_grants" => Ok(PlanOutcome::TooManyGrants),
            "overflow" => Ok(PlanOutcome::Overflow),
            _ => reply.unknown(),
        }
    }

    /// Sets one thing about an account. The same again changes nothing.
    pub async fn set_term(
        &self,
        account: &AccountId,
        term: &Term,
        reason: &str,
        actor: &str,
    ) -> Result<TermOutcome, Error> {
        let (what, value) = term.words();
        let args = [
            account.to_string(),
            what.to_owned(),
            value,
            reason.to_owned(),
            actor.to_owned(),
            self.options().max_active.to_string(),
        ];
        let keys = self.account_keys(account)?;
        let reply = self.run(&scripts::ACCOUNT_SET, &keys[..3], &args).await?;
        match reply.word()?.as_str() {
            "set" => Ok(TermOutcome::Set {
                admitted: reply.number(2)?,
                replayed: false,
            }),
            "unchanged" => Ok(TermOutcome::Set {
                admitted: 0,
                replayed: true,
            }),
            "unknown_account" => Ok(TermOutcome::UnknownAccount),
            "bad_value" => Ok(TermOutcome::BadValue),
            _ => reply.unknown(),
        }
    }
}
