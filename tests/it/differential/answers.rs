//! Names in numbers, and the store's answers in the reference's words.

use meterline::domain::credits::Ucr;
use meterline::domain::ids::{AccountId, JobId, OperationId};
use meterline::domain::job::State;
use meterline::domain::reference::{Period, Reply};
use meterline::store;

use crate::support::dump;

pub(super) fn job_id(no: u16) -> JobId {
    JobId::new(0, uuid::Uuid::from_u128(u128::from(no)))
}

pub(super) fn job_no(id: &str) -> u16 {
    let name = dump::short(id);
    name.trim_start_matches('j')
        .parse()
        .expect("a job's number")
}

pub(super) fn account_id(no: u8) -> AccountId {
    format!("a{no}").parse().expect("an account id")
}

pub(super) fn account_no(id: &str) -> u8 {
    id.trim_start_matches('a')
        .parse()
        .expect("an account's number")
}

pub(super) fn operation(op: u16) -> OperationId {
    format!("op-{op}").parse().expect("an operation id")
}

pub(super) fn worker_no(name: &str) -> u8 {
    name.trim_start_matches('w')
        .parse()
        .expect("a worker's number")
}

pub(super) fn grant_no(id: &str) -> u32 {
    id.trim_start_matches('g')
        .parse()
        .expect("a grant's number")
}

pub(super) fn ucr(amount: i64) -> Ucr {
    Ucr::new(amount).expect("an amount")
}

pub(super) fn state_of_word(word: &str) -> State {
    State::from_word(word).expect("a state")
}

pub(super) fn granted(outcome: store::GrantOutcome) -> Reply {
    match outcome {
        store::GrantOutcome::Granted {
            grant,
            available,
            debt,
            replayed,
        } => Reply::Granted {
            grant: grant_no(&grant),
            available_ucr: available.get(),
            debt_ucr: debt.get(),
            replayed,
        },
        store::GrantOutcome::Mismatch { amount } => Reply::Mismatch { ucr: amount.get() },
        store::GrantOutcome::UnknownAccount => Reply::UnknownAccount,
        store::GrantOutcome::AccountClosed(_) => Reply::AccountClosed,
        store::GrantOutcome::Nothing => Reply::Nothing,
        store::GrantOutcome::NotGrantable => Reply::NotGrantable,
        store::GrantOutcome::PurchaseExpires => Reply::PurchaseExpires,
        store::GrantOutcome::TooManyGrants => Reply::TooManyGrants,
        store::GrantOutcome::ExpiredAlready => Reply::ExpiredAlready,
        store::GrantOutcome::Overflow => Reply::Overflow,
    }
}

pub(super) fn adjusted(outcome: &store::AdjustOutcome) -> Reply {
    match *outcome {
        store::AdjustOutcome::Adjusted {
            amount,
            debt_made,
            available,
            debt,
            replayed,
        } => Reply::Adjusted {
            ucr: amount.get(),
            debt_made_ucr: debt_made.get(),
            available_ucr: available.get(),
            debt_ucr: debt.get(),
            replayed,
        },
        store::AdjustOutcome::Mismatch { amount } => Reply::Mismatch { ucr: amount.get() },
        store::AdjustOutcome::UnknownAccount => Reply::UnknownAccount,
        store::AdjustOutcome::AccountFrozen => Reply::AccountFrozen,
        store::AdjustOutcome::UnknownPayment => Reply::UnknownPayment,
        store::AdjustOutcome::AbovePayment { left } => Reply::AbovePayment {
            left_ucr: left.get(),
        },
        store::AdjustOutcome::Nothing => Reply::Nothing,
        store::AdjustOutcome::TooManyGrants => Reply::TooManyGrants,
        store::AdjustOutcome::Overflow => Reply::Overflow,
    }
}

pub(super) fn refunded(outcome: &store::RefundOutcome) -> Reply {
    match *outcome {
        store::RefundOutcome::Refunded {
            amount,
            expired,
            available,
            debt,
            left,
            replayed,
        } => Reply::Refunded {
            ucr: amount.get(),
            expired_ucr: expired.get(),
            available_ucr: available.get(),
            debt_ucr: debt.get(),
            left_ucr: left.get(),
            replayed,
        },
        store::RefundOutcome::Mismatch { amount } => Reply::Mismatch { ucr: amount.get() },
        store::RefundOutcome::UnknownJob => Reply::UnknownJob,
        store::RefundOutcome::NotCaptured { .. } => Reply::NotCaptured,
        store::RefundOutcome::AboveCaptured { left } => Reply::AboveCaptured {
            left_ucr: left.get(),
        },
        store::RefundOutcome::Nothing => Reply::Nothing,
        store::RefundOutcome::Overflow => Reply::Overflow,
    }
}

pub(super) fn refused(refusal: store::SubmitRefusal) -> Reply {
    match refusal {
        store::SubmitRefusal::UnknownAccount(_) => Reply::UnknownAccount,
        store::SubmitRefusal::AccountClosed(_) => Reply::AccountClosed,
        store::SubmitRefusal::Frozen { account, .. } => Reply::Frozen {
            account: account.map(|id| account_no(&id)),
        },
        store::SubmitRefusal::KeyMismatch(job) => Reply::KeyMismatch { job: job_no(&job) },
        store::SubmitRefusal::Insufficient {
            need,
            available_ucr,
        } => Reply::Insufficient {
            need_ucr: need.get(),
            available_ucr,
        },
        store::SubmitRefusal::CapExceeded {
            period,
            until_ms,
            need,
            left,
        } => Reply::CapExceeded {
            period: if period == "day" {
                Period::Day
            } else {
                Period::Month
            },
            until_ms,
            need_ucr: need.get(),
            left_ucr: left.get(),
        },
        store::SubmitRefusal::QueueFull => Reply::QueueFull,
        store::SubmitRefusal::LaneFull => Reply::LaneFull,
        other => panic!("nothing here is refused like that: {other}"),
    }
}

pub(super) fn redriven(outcome: store::RedriveOutcome) -> Reply {
    let refusal = match outcome {
        store::RedriveOutcome::Redriven(redriven) => {
            return Reply::Redriven {
                job: job_no(redriven.job.as_str()),
                hold_ucr: redriven.hold.get(),
                state: redriven.state,
                replayed: redriven.replayed,
            };
        }
        store::RedriveOutcome::Refused(refusal) => refusal,
    };
    match refusal {
        store::RedriveRefusal::UnknownJob(_) => Reply::UnknownJob,
        store::RedriveRefusal::NotDead { state, .. } => Reply::NotDead {
            state: state_of_word(&state),
        },
        store::RedriveRefusal::Dropped(_) => Reply::WasDropped,
        store::RedriveRefusal::OtherPayer { job, .. } => Reply::OtherPayer {
            job: job_no(job.as_str()),
        },
        store::RedriveRefusal::JobExists(_) => Reply::JobExists,
        store::RedriveRefusal::Overflow => Reply::Overflow,
        store::RedriveRefusal::Submit(refusal) => refused(refusal),
    }
}
