//! A job as the reference keeps it.

use super::{AccountNo, Class, GrantNo, JobNo, KeyNo, Kind, WorkerNo};
use crate::domain::failure::FailureClass;
use crate::domain::job::{Priority, Stage, State};

/// A grant that was captured from, with all that is needed to find it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TakenFrom {
    /// Which.
    pub grant: GrantNo,
    /// Of which kind it was.
    pub kind: Kind,
    /// When it expires, ms; 0 = never.
    pub expires_ms: u64,
    /// How much, micro-credits.
    pub ucr: i64,
}

/// A job. Amounts in micro-credits, times in ms, 0 = not yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Job {
    /// Who pays.
    pub account: AccountNo,
    /// How urgent it is.
    pub priority: Priority,
    /// Where it stands.
    pub state: State,
    /// What is held for it, or was.
    pub hold_ucr: i64,
    /// Of which grants.
    pub slices: Vec<(GrantNo, i64)>,
    /// The ends of the day and the month that its hold counts in; `None` where it counts in none.
    pub counted_in: Option<(u64, u64)>,
    /// The key that made it.
    pub key: Option<KeyNo>,
    /// Which ready stream it stands in.
    pub stream: Option<Class>,
    /// It goes to its lane's front when it is due: a retry.
    pub is_front: bool,
    /// When it was submitted.
    pub created_ms: u64,
    /// When it is due.
    pub due_ms: u64,
    /// Until when it may wait for its first claim.
    pub ttl_ms: u64,
    /// When it was claimed last.
    pub started_ms: u64,
    /// When it is over, from its first claim on.
    pub deadline_ms: u64,
    /// When it was cancelled while it ran.
    pub cancel_ms: u64,
    /// When it ended.
    pub finished_ms: u64,
    /// The claim whose words count.
    pub take: Option<u32>,
    /// Claims so far.
    pub takes: u32,
    /// Who has it, or had it when it ended.
    pub worker: Option<WorkerNo>,
    /// Tries spent.
    pub tries: u32,
    /// How often it was taken from a dead worker.
    pub takeovers: u32,
    /// How far its submission has come.
    pub stage: Stage,
    /// Submissions made.
    pub submissions: u32,
    /// The last one has no verdict yet.
    pub has_open_submission: bool,
    /// What was about to be sent is written down.
    pub has_intent: bool,
    /// What the provider gave for it is written down.
    pub has_handle: bool,
    /// An artifact is written down.
    pub has_artifact: bool,
    /// What was asked for is kept.
    pub has_payload: bool,
    /// Why it failed.
    pub class: Option<FailureClass>,
    /// What was charged.
    pub captured_ucr: i64,
    /// What was given back when it ended.
    pub released_ucr: i64,
    /// What the platform paid on top.
    pub absorbed_ucr: i64,
    /// What was given back of the charge later.
    pub refunded_ucr: i64,
    /// What it was charged from.
    pub taken_from: Vec<TakenFrom>,
    /// The dead letter it was made of.
    pub redrive_of: Option<JobNo>,
    /// Whether the house pays, where somebody chose.
    pub payer_is_house: Option<bool>,
    /// The job that was made of it, and whether the house pays for that.
    pub redriven_as: Option<(JobNo, bool)>,
    /// It was let go as a dead letter.
    pub is_dropped: bool,
    /// An operator ended it.
    pub is_forced: bool,
}

impl Job {
    /// When it is over: its deadline, and before its first claim its time in the queue.
    pub fn over_ms(&self) -> u64 {
        if self.deadline_ms > 0 {
            self.deadline_ms
        } else {
            self.ttl_ms
        }
    }

    /// Whether `take` is the claim whose words count.
    pub(super) fn is_taken_by(&self, take: u32) -> bool {
        self.take == Some(take)
    }
}
