//! The answers, as the store gives them.

use std::collections::BTreeSet;

use super::{AccountNo, GrantNo, JobNo, WorkerNo};
use crate::domain::job::{Stage, State};

/// A period of a cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    /// A day of UTC.
    Day,
    /// A month of UTC.
    Month,
}

/// A job as a claim hands it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handed {
    /// The job.
    pub job: JobNo,
    /// The number of this claim of it.
    pub take: u32,
    /// How far the submission before had come.
    pub stage: Stage,
    /// Tries spent.
    pub tries: u32,
    /// How often it was taken from a dead worker.
    pub takeovers: u32,
    /// Submissions made.
    pub submissions: u32,
    /// Time until its deadline, ms.
    pub left_ms: u64,
}

/// The answer to an operation. Amounts in micro-credits. `replayed` = this is the first call's answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reply {
    /// The account is new.
    Created,
    /// The account was there before.
    Exists,
    /// It is so now, and let so many waiting jobs in.
    Set { admitted: u32 },
    /// It was so before.
    Unchanged,
    /// The account has open jobs, which hold this much.
    HasOpenJobs { held_ucr: i64 },
    /// Credit was given.
    Granted {
        grant: GrantNo,
        available_ucr: i64,
        debt_ucr: i64,
        replayed: bool,
    },
    /// The operation id was used for another thing of this amount.
    Mismatch { ucr: i64 },
    /// There is no such account.
    UnknownAccount,
    /// The account is not open.
    AccountClosed,
    /// The account is frozen.
    AccountFrozen,
    /// Nothing was to be done, or nothing is left.
    Nothing,
    /// The store alone makes credit of this kind.
    NotGrantable,
    /// Bought credit does not expire.
    PurchaseExpires,
    /// The account has as many live grants as it may.
    TooManyGrants,
    /// The expiry has passed.
    ExpiredAlready,
    /// The totals would leave the range of amounts.
    Overflow,
    /// A balance was corrected.
    Adjusted {
        ucr: i64,
        debt_made_ucr: i64,
        available_ucr: i64,
        debt_ucr: i64,
        replayed: bool,
    },
    /// Nothing was granted under the payment's id.
    UnknownPayment,
    /// More than is left of the payment.
    AbovePayment { left_ucr: i64 },
    /// A capture was given back.
    Refunded {
        ucr: i64,
        expired_ucr: i64,
        available_ucr: i64,
        debt_ucr: i64,
        left_ucr: i64,
        replayed: bool,
    },
    /// There is no such job.
    UnknownJob,
    /// The account was charged nothing for the job.
    NotCaptured,
    /// More than is left of the capture.
    AboveCaptured { left_ucr: i64 },
    /// The job is held for and queued.
    Held {
        job: JobNo,
        hold_ucr: i64,
        state: State,
        replayed: bool,
    },
    /// The key made another request's job.
    KeyMismatch { job: JobNo },
    /// The account, or (`None`) the whole partition, stands still.
    Frozen { account: Option<AccountNo> },
    /// There are as many open jobs as there may be.
    QueueFull,
    /// As many jobs of the account wait as may.
    LaneFull,
    /// The hold would pass a cap.
    CapExceeded {
        period: Period,
        until_ms: u64,
        need_ucr: i64,
        left_ucr: i64,
    },
    /// The credit is not there.
    Insufficient { need_ucr: i64, available_ucr: i64 },
    /// These jobs are the worker's; so many others were ended or put off on the way.
    Claimed { jobs: Vec<Handed>, ended: u32 },
    /// The worker is taken for dead.
    Lost,
    /// The step stands in the store.
    Noted,
    /// Somebody else has the job, or nobody.
    Fenced,
    /// The intent's number is not the next one.
    OutOfOrder,
    /// The output is charged.
    Settled {
        captured_ucr: i64,
        released_ucr: i64,
        replayed: bool,
    },
    /// It was charged with another price.
    SettledOtherwise { captured_ucr: i64 },
    /// The price is above the hold.
    AboveCeiling,
    /// The job runs again later.
    Rescheduled,
    /// The job ended so: now, by this very call, or before it.
    Ended(State),
    /// The job was put back.
    Deferred,
    /// The job waited and has ended, and this was given back.
    Cancelled { released_ucr: i64 },
    /// The job's worker is told.
    Cancelling,
    /// The job had ended before.
    Over(State),
    /// An operator ended the job.
    ForceEnded {
        state: State,
        released_ucr: i64,
        replayed: bool,
    },
    /// The dead letter is a new job.
    Redriven {
        job: JobNo,
        hold_ucr: i64,
        state: State,
        replayed: bool,
    },
    /// It became this job before, and another one pays.
    OtherPayer { job: JobNo },
    /// The job is no dead letter.
    NotDead { state: State },
    /// The dead letter was let go before.
    WasDropped,
    /// The id made for the new job is taken.
    JobExists,
    /// The dead letter is let go.
    Dropped { replayed: bool },
    /// It became this job before.
    RedrivenAs { job: JobNo },
    /// The worker lives, is to stop these jobs, and has so many entries.
    Renewed {
        stops: BTreeSet<JobNo>,
        pending: u32,
    },
    /// The lease is given back.
    Left,
    /// There was no lease.
    Gone,
    /// Nobody swept for a while, so nobody is taken for dead.
    Away,
    /// These workers were found silent, these jobs go to others.
    Reaped {
        workers: BTreeSet<WorkerNo>,
        jobs: Vec<JobNo>,
    },
    /// Another sweep was just now.
    Recent,
    /// So many of each.
    Ticked {
        due: u32,
        ended: u32,
        expired: u32,
        forgotten: u32,
        admitted: u32,
    },
    /// It stands still.
    FreezeDone { replayed: bool },
    /// It stood still before.
    AlreadyFrozen,
    /// It goes on, and so do so many jobs.
    Cleared { parked: u32, replayed: bool },
    /// It did not stand still.
    NotFrozen,
    /// The operation id was used for another freeze or clear.
    FreezeMismatch,
}

impl Reply {
    /// The same answer to the same call again.
    pub(super) fn again(mut self) -> Self {
        if let Self::Granted { replayed, .. }
        | Self::Adjusted { replayed, .. }
        | Self::Refunded { replayed, .. }
        | Self::Settled { replayed, .. } = &mut self
        {
            *replayed = true;
        }
        self
    }
}
