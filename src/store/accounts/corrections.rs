//! Corrections by operators: adjustments up and down, clawbacks of payments, refunds of jobs.

use super::fingerprint;
use crate::domain::credits::Ucr;
use crate::domain::ids::{AccountId, JobId, OperationId};
use crate::store::{Error, Store, scripts};

/// Which way an adjustment goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Correction {
    /// The account gets this much.
    Up(Ucr),
    /// The account loses this much: what no hold has pinned, the rest as debt.
    Down(Ucr),
    /// A payment was taken back by whoever made it.
    Clawback {
        /// The operation id that the payment was granted under.
        payment: OperationId,
        /// How much of it; `None` = all that was not clawed back before.
        amount: Option<Ucr>,
    },
}

/// An adjustment.
#[derive(Debug, Clone)]
pub struct AdjustRequest {
    /// Whose balance is corrected.
    pub account: AccountId,
    /// Makes it happen once.
    pub operation: OperationId,
    /// Which way, and how much.
    pub correction: Correction,
    /// Why, for the books.
    pub reason: String,
    /// Who does it, for the books.
    pub actor: String,
}

/// What happened to an adjustment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdjustOutcome {
    /// It was booked; `replayed` where this operation id had been before.
    Adjusted {
        /// How much was corrected, up or down.
        amount: Ucr,
        /// How much of a correction down became debt.
        debt_made: Ucr,
        /// The balance right after it.
        available: Ucr,
        /// The debt right after it.
        debt: Ucr,
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
    /// Nothing is taken from a frozen account.
    AccountFrozen,
    /// Nothing was granted under the payment's operation id.
    UnknownPayment,
    /// More than the payment gave, less what was clawed back of it before.
    AbovePayment {
        /// What can still be clawed back.
        left: Ucr,
    },
    /// An amount of nothing, or nothing left of the payment.
    Nothing,
    /// The account has as many live grants as it may.
    TooManyGrants,
    /// The amounts would pass what a double can hold exactly.
    Overflow,
}

/// Charged credit to be given back.
#[derive(Debug, Clone)]
pub struct RefundRequest {
    /// The job that was charged.
    pub job: JobId,
    /// Makes it happen once.
    pub operation: OperationId,
    /// How much; `None` = all of the capture that was not refunded before.
    pub amount: Option<Ucr>,
    /// Why, for the books.
    pub reason: String,
    /// Who does it, for the books.
    pub actor: String,
}

/// What happened to a refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundOutcome {
    /// It was booked; `replayed` where this operation id had been before.
    Refunded {
        /// How much was given back.
        amount: Ucr,
        /// How much of it went into grants that have expired, and is gone at once.
        expired: Ucr,
        /// The balance right after it.
        available: Ucr,
        /// The debt right after it.
        debt: Ucr,
        /// What of the job's capture can still be refunded.
        left: Ucr,
        /// This is the first call's answer again.
        replayed: bool,
    },
    /// The operation id was used for something else.
    Mismatch {
        /// The amount it was used for.
        amount: Ucr,
    },
    /// There is no such job, or it is so old that it was forgotten.
    UnknownJob,
    /// The job was not charged; the word is its state.
    NotCaptured {
        /// Where it stands.
        state: String,
    },
    /// More than the capture, less what was refunded before.
    AboveCaptured {
        /// What can still be refunded.
        left: Ucr,
    },
    /// An amount of nothing, or nothing left of the capture.
    Nothing,
    /// The amounts would pass what a double can hold exactly.
    Overflow,
}

impl Store {
    /// Corrects a balance, once per operation id.
    pub async fn adjust(&self, request: &AdjustRequest) -> Result<AdjustOutcome, Error> {
        let (how, amount, payment) = match &request.correction {
            Correction::Up(amount) => ("up", Some(*amount), None),
            Correction::Down(amount) => ("down", Some(*amount), None),
            Correction::Clawback { payment, amount } => ("clawback", *amount, Some(payment)),
        };
        let amount = amount.map(|ucr| ucr.to_string()).unwrap_or_default();
        let payment = payment.map(ToString::to_string).unwrap_or_default();
        let print = fingerprint(&format!("adjust {how} {amount} {payment}"));
        let args = [
            request.account.to_string(),
            request.operation.to_string(),
            amount,
            how.to_owned(),
            request.reason.clone(),
            request.actor.clone(),
            self.options().grants_max.to_string(),
            print,
            payment,
        ];
        let keys = self.account_keys(&request.account)?;
        let wish = self.options().durability.refunds;
        let reply = self
            .run_safely(wish, &scripts::ADJUST, &keys, &[&args])
            .await?;
        let word = reply.word()?;
        match word.as_str() {
            "adjusted" | "replayed" => Ok(AdjustOutcome::Adjusted {
                amount: reply.number(1)?,
                debt_made: reply.number(2)?,
                available: reply.number(3)?,
                debt: reply.number(4)?,
                replayed: word == "replayed",
            }),
            "mismatch" => Ok(AdjustOutcome::Mismatch {
                amount: reply.number(1)?,
            }),
            "unknown_account" => Ok(AdjustOutcome::UnknownAccount),
            "account_frozen" => Ok(AdjustOutcome::AccountFrozen),
            "unknown_payment" => Ok(AdjustOutcome::UnknownPayment),
            "above_payment" => Ok(AdjustOutcome::AbovePayment {
                left: reply.number(1)?,
            }),
            "nothing" => Ok(AdjustOutcome::Nothing),
            "too_many_grants" => Ok(AdjustOutcome::TooManyGrants),
            "overflow" => Ok(AdjustOutcome::Overflow),
            _ => reply.unknown(),
        }
    }

    /// Gives back what a job was charged, into the grants it came from, once per operation id.
    pub async fn refund(&self, request: &RefundRequest) -> Result<RefundOutcome, Error> {
        let keys = self.keys(request.job.partition())?;
        let keys = [keys.meta(), keys.job(&request.job), keys.work(&request.job)];
        let amount = request.amount.map(|ucr| ucr.to_string());
        let amount = amount.unwrap_or_default();
        let args = [
            request.job.to_string(),
            request.operation.to_string(),
            amount.clone(),
            request.reason.clone(),
            request.actor.clone(),
            fingerprint(&format!("refund {} {amount}", request.job)),
        ];
        let wish = self.options().durability.refunds;
        let reply = self
            .run_safely(wish, &scripts::REFUND, &keys, &[&args])
            .await?;
        let word = reply.word()?;
        match word.as_str() {
            "refunded" | "replayed" => Ok(RefundOutcome::Refunded {
                amount: reply.number(1)?,
                expired: reply.number(2)?,
                available: reply.number(3)?,
                debt: reply.number(4)?,
                left: reply.number(5)?,
                replayed: word == "replayed",
            }),
            "mismatch" => Ok(RefundOutcome::Mismatch {
                amount: reply.number(1)?,
            }),
            "unknown_job" => Ok(RefundOutcome::UnknownJob),
            "not_captured" => Ok(RefundOutcome::NotCaptured {
                state: reply.text(1)?,
            }),
            "above_captured" => Ok(RefundOutcome::AboveCaptured {
                left: reply.number(1)?,
            }),
            "nothing" => Ok(RefundOutcome::Nothing),
            "overflow" => Ok(RefundOutcome::Overflow),
            _ => reply.unknown(),
        }
    }
}
