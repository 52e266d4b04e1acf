//! What can be done to a partition.

use super::{AccountNo, Caps, JobNo, KeyNo, Kind, OpNo, WorkerNo};
use crate::domain::failure::FailureClass;
use crate::domain::job::Priority;

/// A correction of a balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Correction {
    /// Credit is given, micro-credits.
    Up(i64),
    /// Credit is taken, micro-credits; what is not there becomes debt.
    Down(i64),
    /// A payment was taken back.
    Clawback {
        /// The operation it was granted under.
        payment: OpNo,
        /// How much of it, micro-credits; `None` = all that is left.
        ucr: Option<i64>,
    },
}

/// What a worker writes down between two steps of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Note {
    /// Before the POST, with the submission's number.
    Intent(u32),
    /// After it.
    Handle,
    /// The output is stored and priced.
    Artifact,
}

/// What is frozen or cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One account.
    Account(AccountNo),
    /// All of it.
    Partition,
}

/// One operation. Amounts in micro-credits; a job is spoken about with the number of its claim (`take`),
/// which stands for the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// Opens an account.
    Open {
        /// Which.
        account: AccountNo,
    },
    /// Closes an account.
    Close {
        /// Which.
        account: AccountNo,
    },
    /// Opens a closed account again.
    Reopen {
        /// Which.
        account: AccountNo,
    },
    /// Sets how many jobs of an account may be active; 0 = the default.
    MaxActive {
        /// Which.
        account: AccountNo,
        /// How many.
        n: u32,
    },
    /// Sets what an account may spend in a day and in a month.
    Caps {
        /// Which.
        account: AccountNo,
        /// How much.
        caps: Caps,
    },
    /// Gives credit.
    Grant {
        /// To whom.
        account: AccountNo,
        /// Happens once under this id.
        op: OpNo,
        /// How much.
        ucr: i64,
        /// Of which kind.
        kind: Kind,
        /// Until when, ms; 0 = for ever.
        expires_ms: u64,
    },
    /// Corrects a balance.
    Adjust {
        /// Whose.
        account: AccountNo,
        /// Happens once under this id.
        op: OpNo,
        /// How.
        correction: Correction,
    },
    /// Gives a capture back.
    Refund {
        /// Which job's.
        job: JobNo,
        /// Happens once under this id.
        op: OpNo,
        /// How much; `None` = all that is left.
        ucr: Option<i64>,
    },
    /// Holds for a job and queues it. Two requests are the same request where they hold the same.
    Submit {
        /// Who pays.
        account: AccountNo,
        /// The id made for the job.
        job: JobNo,
        /// What is held.
        ucr: i64,
        /// How urgent it is.
        priority: Priority,
        /// How long it waits before it is due, ms.
        delay_ms: u64,
        /// The producer's key, if there is one.
        key: Option<KeyNo>,
    },
    /// Takes ready jobs.
    Claim {
        /// Who takes.
        worker: WorkerNo,
        /// How many at most.
        n: u32,
        /// Low before high this time.
        low_first: bool,
    },
    /// Writes a step of a submission down.
    Note {
        /// Of which job.
        job: JobNo,
        /// By which claim.
        take: u32,
        /// What.
        note: Note,
    },
    /// Ends a successful job.
    Settle {
        /// Which.
        job: JobNo,
        /// By which claim.
        take: u32,
        /// What is captured.
        ucr: i64,
        /// What the platform pays on top.
        absorbed_ucr: i64,
    },
    /// A submission did not succeed.
    Fail {
        /// Of which job.
        job: JobNo,
        /// By which claim.
        take: u32,
        /// Why.
        class: FailureClass,
        /// Again after so many ms with so many tries spent; `None` = the end.
        again: Option<(u64, u32)>,
        /// The provider is done with it.
        has_verdict: bool,
    },
    /// Puts a job back without spending a try.
    Defer {
        /// Which.
        job: JobNo,
        /// By which claim.
        take: u32,
        /// For how long, ms.
        delay_ms: u64,
        /// Intent and handle stay.
        keep: bool,
        /// Ahead of new work: a hand-over.
        ahead: bool,
    },
    /// Ends a waiting job or flags a running one.
    Cancel {
        /// Which.
        job: JobNo,
    },
    /// An operator ends a job.
    ForceFail {
        /// Which.
        job: JobNo,
        /// Whose fault it is.
        class: FailureClass,
    },
    /// Submits a dead letter again.
    Redrive {
        /// Which.
        dead: JobNo,
        /// The id made for the new job.
        job: JobNo,
        /// The house pays, not the account.
        house: bool,
    },
    /// Lets a dead letter go.
    Drop {
        /// Which.
        job: JobNo,
    },
    /// A worker is alive.
    Beat {
        /// Which.
        worker: WorkerNo,
    },
    /// A worker gives its lease back.
    Leave {
        /// Which.
        worker: WorkerNo,
    },
    /// Declares silent workers dead and gives their jobs to others.
    Reap {
        /// Dead workers are walked in any order: these first, then the others by number.
        first: [Option<WorkerNo>; 3],
    },
    /// Does what falls due by itself.
    Tick {
        /// Also where another sweep was just now.
        again: bool,
    },
    /// Stops an account or everything.
    Freeze {
        /// What.
        scope: Scope,
        /// Happens once under this id.
        op: OpNo,
    },
    /// Lets it go on.
    Clear {
        /// What.
        scope: Scope,
        /// Happens once under this id.
        op: OpNo,
    },
}
