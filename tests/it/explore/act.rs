//! What can happen in the small house.

use meterline::domain::reference::{JobNo, WorkerNo};

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Act {
    /// A producer submits a job, or sends the same call again.
    Submit(JobNo),
    /// A free worker asks for a job.
    Claim(WorkerNo),
    /// The same, and the answer is lost.
    ClaimUnheard(WorkerNo),
    /// A worker says what comes next: intent, handle, settlement.
    Say(WorkerNo),
    /// The same, and the answer is lost: it will say so again.
    SayUnheard(WorkerNo),
    /// It dies while it says so; the word may still arrive.
    DieSaying(WorkerNo),
    /// A submission failed: the end.
    Fail(WorkerNo),
    /// A submission failed: again later.
    Retry(WorkerNo),
    /// The last word of a worker arrives once more, however late.
    Echo(WorkerNo),
    /// A worker dies.
    Die(WorkerNo),
    /// A worker is no longer heard of, but goes on.
    Stall(WorkerNo),
    /// A producer cancels.
    Cancel(JobNo),
    /// An operator gives a capture back; again under the same id, should the first answer be lost.
    Refund(JobNo),
    /// The catalogue gets dearer.
    PriceRises,
    /// A second of a living house: it sweeps, looks for silent workers, and workers renew their leases.
    Live,
    /// A second in which nobody does any of that.
    Sleep,
    /// The server fails, and the one that takes over knows nothing of this second. The fence sees that and
    /// freezes the partition.
    FailOver,
    /// A second write that should have been part of the first; only where a defect has made one.
    SecondWrite,
}
