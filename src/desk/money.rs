//! What came of moving credits: as it was booked, or why it was not.

use crate::domain::credits::Ucr;
use crate::domain::ids::{AccountId, OperationId};
use crate::domain::time::rfc3339;
use crate::store::{
    AdjustOutcome, AdjustRequest, Correction, GrantOutcome, GrantRequest, PlanOutcome, PlanRequest,
    RefundOutcome, RefundRequest, RewardOutcome, StateOutcome,
};

use super::refusal::{Kind, Refused};

/// Credits that were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The bucket they went into.
    pub grant: String,
    /// The balance right after it.
    pub available: Ucr,
    /// The debt right after it.
    pub debt: Ucr,
    /// It had been done before under this operation id.
    pub replayed: bool,
}

/// What came of a grant.
///
/// # Errors
/// [`Refused`]: nothing was given.
pub fn granted(request: &GrantRequest, outcome: GrantOutcome) -> Result<Granted, Refused> {
    match outcome {
        GrantOutcome::Granted {
            grant,
            available,
            debt,
            replayed,
        } => Ok(Granted {
            grant,
            available,
            debt,
            replayed,
        }),
        GrantOutcome::Mismatch { amount } => Err(mismatch(&request.operation, amount)),
        GrantOutcome::UnknownAccount => Err(unknown(&request.account)),
        GrantOutcome::AccountClosed(state) => Err(closed(&request.account, &state)),
        GrantOutcome::Nothing => Err(refused(Kind::BadAmount, "the amount must be above zero")),
        GrantOutcome::NotGrantable => Err(refused(
            Kind::NotGrantable,
            "credits of this kind are made by the store alone",
        )),
        GrantOutcome::PurchaseExpires => Err(refused(
            Kind::PurchaseExpires,
            "purchased credits never expire",
        )),
        GrantOutcome::ExpiredAlready => Err(refused(
            Kind::ExpiredAlready,
            "the expiry is not in the future",
        )),
        GrantOutcome::TooManyGrants => Err(too_many_grants()),
        GrantOutcome::Overflow => Err(overflow()),
    }
}

/// A balance that was corrected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjusted {
    /// By how much, micro-credits, below zero where it was taken.
    pub adjusted_ucr: i64,
    /// How much of a correction down became debt.
    pub debt_made: Ucr,
    /// The balance right after it.
    pub available: Ucr,
    /// The debt right after it.
    pub debt: Ucr,
    /// It had been done before under this operation id.
    pub replayed: bool,
}

/// What came of a correction.
///
/// # Errors
/// [`Refused`]: nothing was corrected.
pub fn adjusted(request: &AdjustRequest, outcome: &AdjustOutcome) -> Result<Adjusted, Refused> {
    match *outcome {
        AdjustOutcome::Adjusted {
            amount,
            debt_made,
            available,
            debt,
            replayed,
        } => {
            let adjusted_ucr = match request.correction {
                Correction::Up(_) => amount.get(),
                Correction::Down(_) | Correction::Clawback { .. } => -amount.get(),
            };
            Ok(Adjusted {
                adjusted_ucr,
                debt_made,
                available,
                debt,
                replayed,
            })
        }
        AdjustOutcome::Mismatch { amount } => Err(mismatch(&request.operation, amount)),
        AdjustOutcome::UnknownAccount => Err(unknown(&request.account)),
        AdjustOutcome::AccountFrozen => Err(frozen(&request.account)),
        AdjustOutcome::UnknownPayment => Err(refused(
            Kind::UnknownPayment,
            "nothing was granted to this account under the payment's operation id",
        )),
        AdjustOutcome::AbovePayment { left } => {
            let sentence = format!("{} credits of the payment are left", left.credits());
            Err(Refused::new(Kind::AbovePayment, sentence).with("left_ucr", left.get()))
        }
        AdjustOutcome::Nothing => Err(refused(
            Kind::Nothing,
            "the amount is zero, or all of the payment was clawed back before",
        )),
        AdjustOutcome::TooManyGrants => Err(too_many_grants()),
        AdjustOutcome::Overflow => Err(overflow()),
    }
}

/// A charge that was given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refunded {
    /// How much.
    pub amount: Ucr,
    /// Of it, into grants that have expired: gone at once.
    pub expired: Ucr,
    /// The balance right after it.
    pub available: Ucr,
    /// The debt right after it.
    pub debt: Ucr,
    /// What of the charge can still be refunded.
    pub left: Ucr,
    /// It had been done before under this operation id.
    pub replayed: bool,
}

/// What came of a refund.
///
/// # Errors
/// [`Refused`]: nothing was given back.
pub fn refunded(request: &RefundRequest, outcome: RefundOutcome) -> Result<Refunded, Refused> {
    match outcome {
        RefundOutcome::Refunded {
            amount,
            expired,
            available,
            debt,
            left,
            replayed,
        } => Ok(Refunded {
            amount,
            expired,
            available,
            debt,
            left,
            replayed,
        }),
        RefundOutcome::Mismatch { amount } => Err(mismatch(&request.operation, amount)),
        RefundOutcome::UnknownJob => {
            let sentence = format!("there is no job {}", request.job);
            Err(Refused::new(Kind::UnknownJob, sentence))
        }
        RefundOutcome::NotCaptured { state } => {
            let sentence = format!("job {} is {state}: nothing was charged", request.job);
            Err(Refused::new(Kind::NotCaptured, sentence).with("state", state))
        }
        RefundOutcome::AboveCaptured { left } => {
            let sentence = format!("{} credits of the charge are left", left.credits());
            Err(Refused::new(Kind::AboveCaptured, sentence).with("left_ucr", left.get()))
        }
        RefundOutcome::Nothing => Err(refused(
            Kind::Nothing,
            "all of the charge was refunded before",
        )),
        RefundOutcome::Overflow => Err(overflow()),
    }
}

/// A reward that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewarded {
    /// The operation id it was booked under.
    pub operation: String,
    /// The bucket it went into.
    pub grant: String,
    /// The balance right after it.
    pub available: Ucr,
    /// The debt right after it.
    pub debt: Ucr,
}

/// What came of a reward.
///
/// # Errors
/// [`Refused`]: nothing was given.
pub fn rewarded(account: &AccountId, outcome: RewardOutcome) -> Result<Rewarded, Refused> {
    match outcome {
        RewardOutcome::Granted {
            grant,
            available,
            debt,
            operation,
        } => Ok(Rewarded {
            operation,
            grant,
            available,
            debt,
        }),
        RewardOutcome::AlreadyTaken {
            operation,
            next_at_ms,
        } => {
            let next = next_at_ms.and_then(rfc3339);
            let due = next.as_ref().map(|at| format!("; the next is due {at}"));
            let sentence = format!("taken already, as {operation}{}", due.unwrap_or_default());
            Err(Refused::new(Kind::AlreadyTaken, sentence)
                .with("operation", operation)
                .with("next_at", next))
        }
        RewardOutcome::UnknownAccount => Err(unknown(account)),
        RewardOutcome::AccountClosed(state) => Err(closed(account, &state)),
        RewardOutcome::TooManyGrants => Err(too_many_grants()),
        RewardOutcome::Overflow => Err(overflow()),
    }
}

/// A plan that an account is on now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The bucket that its credits went into; `None` where it has none.
    pub grant: Option<String>,
    /// When the period ends, RFC 3339; `None` without a plan.
    pub until: Option<String>,
    /// The balance right after it.
    pub available: Ucr,
    /// The debt right after it.
    pub debt: Ucr,
    /// Waiting jobs that its limit let in.
    pub admitted: u32,
    /// It had been done before under this operation id.
    pub replayed: bool,
}

/// What came of setting a plan.
///
/// # Errors
/// [`Refused`]: nothing changed.
pub fn planned(request: &PlanRequest, outcome: PlanOutcome) -> Result<Planned, Refused> {
    match outcome {
        PlanOutcome::Planned {
            grant,
            until_ms,
            available,
            debt,
            admitted,
            replayed,
        } => Ok(Planned {
            grant,
            until: rfc3339(until_ms),
            available,
            debt,
            admitted,
            replayed,
        }),
        PlanOutcome::Mismatch { amount } => Err(mismatch(&request.operation, amount)),
        PlanOutcome::UnknownAccount => Err(unknown(&request.account)),
        PlanOutcome::AccountClosed(state) => Err(closed(&request.account, &state)),
        PlanOutcome::ExpiredAlready => Err(refused(
            Kind::ExpiredAlready,
            "the end of the period is not in the future",
        )),
        PlanOutcome::TooManyGrants => Err(too_many_grants()),
        PlanOutcome::Overflow => Err(overflow()),
    }
}

/// Whether an account had been closed, or opened again, before.
///
/// # Errors
/// [`Refused`]: it is as it was.
pub fn stands(account: &AccountId, outcome: StateOutcome) -> Result<bool, Refused> {
    match outcome {
        StateOutcome::Done { replayed } => Ok(replayed),
        StateOutcome::UnknownAccount => Err(unknown(account)),
        StateOutcome::AccountFrozen => Err(frozen(account)),
        StateOutcome::HasOpenJobs { held } => {
            let held_credits = held.credits();
            let sentence = format!(
                "{held_credits} credits are held for open jobs: cancel them or wait for their end"
            );
            Err(Refused::new(Kind::HasOpenJobs, sentence).with("held_ucr", held.get()))
        }
    }
}

fn refused(kind: Kind, sentence: &str) -> Refused {
    Refused::new(kind, sentence)
}

fn unknown(account: &AccountId) -> Refused {
    Refused::new(
        Kind::UnknownAccount,
        format!("there is no account {account}"),
    )
}

fn closed(account: &AccountId, state: &str) -> Refused {
    let sentence = format!("the account {account} is {state}");
    Refused::new(Kind::AccountClosed, sentence).with("state", state)
}

fn frozen(account: &AccountId) -> Refused {
    let sentence = format!("the account {account} is frozen: nothing is taken from it");
    Refused::new(Kind::AccountFrozen, sentence)
}

fn mismatch(operation: &OperationId, amount: Ucr) -> Refused {
    let sentence = format!(
        "{operation} was used for another operation, of {} credits",
        amount.credits()
    );
    Refused::new(Kind::OperationMismatch, sentence).with("amount_ucr", amount.get())
}

fn too_many_grants() -> Refused {
    refused(
        Kind::TooManyGrants,
        "the account has as many live grants as it may; equal kinds with equal expiry are one",
    )
}

fn overflow() -> Refused {
    refused(
        Kind::Overflow,
        "the account would have more credits than can be counted",
    )
}
