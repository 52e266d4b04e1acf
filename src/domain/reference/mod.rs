//! The reference ledger: one partition of the store as plain values, with every transition that moves
//! credit or a job.
//!
//! It is the oracle: it says what a script has to answer and to leave behind, from the rules and not from
//! the scripts. Tests drive it beside the real store and compare, and walk all of its small states. Time
//! is an argument, and everything that has a name in the store is a small number here, so that states are
//! cheap to keep. An operation works on copies and puts them back at its end: what refuses changes nothing.
//!
//! Left out: a second queue, halts of queues, quotes, plans and rewards (a grant each), events, and the
//! setting back of a clock that was far ahead.

mod account;
mod admission;
mod book;
mod caps;
mod claim;
mod credit;
mod dead;
mod ending;
mod freeze;
mod hold;
mod job;
pub mod laws;
mod lease;
mod op;
mod places;
mod refund;
mod reply;
mod sweep;
mod terms;
mod words;

use std::collections::{BTreeMap, BTreeSet};

pub use account::{Account, AccountState, Grant, Kept, Kind, Print};
pub use book::{Book, Entry, EntryKind, Trail};
pub use caps::{Caps, Spent};
pub use job::{Job, TakenFrom};
pub use op::{Correction, Note, Op, Scope};
pub use places::Class;
pub use reply::{Handed, Period, Reply};

/// An account.
pub type AccountNo = u8;
/// A grant of an account, as it is counted there.
pub type GrantNo = u32;
/// A job.
pub type JobNo = u16;
/// A worker process.
pub type WorkerNo = u8;
/// An operation id.
pub type OpNo = u16;
/// A producer's idempotency key.
pub type KeyNo = u16;

/// The largest amount, and the largest total: what a double can still tell from its neighbours.
const AMOUNT_MAX_UCR: i64 = (1 << 53) - 1;
/// How long a dead worker's name is refused, and how long grace credit outlives the credit it stands for, ms.
const DAY_MS: u64 = 86_400_000;

/// The limits and clocks that the transitions go by. Times in ms.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rules {
    /// How long a worker may be silent.
    pub lease_ms: u64,
    /// How often somebody sweeps.
    pub sweep_ms: u64,
    /// How long a job may wait for its first claim, from when it is due.
    pub queue_ttl_ms: u64,
    /// From a job's first claim to its end.
    pub deadline_ms: u64,
    /// How long a running job may take to stop after a cancel.
    pub cancel_grace_ms: u64,
    /// How long finished jobs are kept.
    pub retention_ms: u64,
    /// How long dead letters are kept.
    pub dead_letter_ms: u64,
    /// How often another worker may pick a job up.
    pub takeovers_max: u32,
    /// Active jobs of an account that has no number of its own.
    pub max_active: u32,
    /// Jobs that may wait in an account's lane.
    pub lane_max: usize,
    /// Open jobs.
    pub open_max: usize,
    /// Live grants of an account.
    pub grants_max: usize,
}

/// One partition: accounts, jobs, and every index over them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Partition {
    /// The latest time that a booking or a sweep has seen, ms.
    pub last_ms: u64,
    /// When the last sweep was, ms; 0 = never.
    pub tick_ms: u64,
    /// Until when nobody is taken for dead, ms.
    pub reap_after_ms: u64,
    /// Accounts.
    pub accounts: BTreeMap<AccountNo, Account>,
    /// Jobs that are kept.
    pub jobs: BTreeMap<JobNo, Job>,
    /// Which job a producer's key made.
    pub keys: BTreeMap<(AccountNo, KeyNo), JobNo>,
    /// Open jobs, and when each ends at the latest.
    pub deadlines: BTreeMap<JobNo, u64>,
    /// Scheduled jobs, and when each is due.
    pub due: BTreeMap<JobNo, u64>,
    /// Ended jobs, and since when.
    pub finished: BTreeMap<JobNo, u64>,
    /// Dead letters, and since when.
    pub dead_letters: BTreeMap<JobNo, u64>,
    /// Accounts to look at for credit that expires, and when.
    pub expiries: BTreeMap<AccountNo, u64>,
    /// What providers may still be doing, by job and submission, and since when.
    pub obligations: BTreeMap<(JobNo, u32), u64>,
    /// The ready streams in the order of [`Class`]; the entries of running jobs stay in place.
    pub ready: [Vec<JobNo>; 4],
    /// Jobs that are ready, running or deferred, by account.
    pub active: BTreeMap<AccountNo, BTreeSet<JobNo>>,
    /// Jobs that wait for one of these to end, by rank and order.
    pub lanes: BTreeMap<AccountNo, BTreeMap<(u8, u64), JobNo>>,
    /// Lanes as the sweep knows them, and when each was looked at last.
    pub lanes_seen: BTreeMap<AccountNo, u64>,
    /// Jobs that have ever entered a lane.
    pub lane_seq: u64,
    /// Living workers, and until when each is believed.
    pub leases: BTreeMap<WorkerNo, u64>,
    /// Dead workers, and since when.
    pub dead: BTreeMap<WorkerNo, u64>,
    /// Dead workers whose jobs have not all been taken back.
    pub reaping: BTreeSet<WorkerNo>,
    /// Dead workers that have nothing left, and since when.
    pub gone: BTreeMap<WorkerNo, u64>,
    /// What each worker is to stop.
    pub stops: BTreeMap<WorkerNo, BTreeSet<JobNo>>,
    /// The whole partition stands still.
    pub is_frozen: bool,
    /// Frozen accounts, and the state each had before.
    pub frozen: BTreeMap<AccountNo, AccountState>,
    /// Freezes and clears by operation id: whether it froze, what, and how many jobs it let go on.
    pub freezes: BTreeMap<OpNo, (bool, Scope, u32)>,
    /// Jobs that were put off because their account is frozen.
    pub parked: BTreeMap<AccountNo, BTreeSet<JobNo>>,
}

/// What an operation came to: its answer, and what it wrote into the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The answer.
    pub reply: Reply,
    /// The entries, in order.
    pub entries: Vec<Entry>,
}

impl Partition {
    /// Does `op` at `at_ms` by the server's clock.
    pub fn apply(&mut self, rules: &Rules, at_ms: u64, op: &Op) -> Done {
        let mut step = Step {
            now_ms: at_ms.max(self.last_ms),
            rules,
            entries: Vec::new(),
        };
        let reply = self.step(&mut step, op);
        Done {
            reply,
            entries: step.entries,
        }
    }

    fn step(&mut self, step: &mut Step<'_>, op: &Op) -> Reply {
        match *op {
            Op::Open { account } => self.open(step, account),
            Op::Close { account } => self.set_open(step, account, false),
            Op::Reopen { account } => self.set_open(step, account, true),
            Op::MaxActive { account, n } => self.set_max_active(step, account, n),
            Op::Caps { account, caps } => self.set_caps(step, account, caps),
            Op::Grant {
                account,
                op,
                ucr,
                kind,
                expires_ms,
            } => self.grant(step, account, op, ucr, (kind, expires_ms)),
            Op::Adjust {
                account,
                op,
                correction,
            } => self.adjust(step, account, op, correction),
            Op::Refund { job, op, ucr } => self.refund(step, job, op, ucr),
            Op::Submit { .. } => self.submit(step, op),
            Op::Claim {
                worker,
                n,
                low_first,
            } => self.claim(step, worker, n, low_first),
            Op::Note { job, take, note } => self.note(step, job, take, note),
            Op::Settle {
                job,
                take,
                ucr,
                absorbed_ucr,
            } => self.settle(step, job, take, (ucr, absorbed_ucr)),
            Op::Fail { .. } => self.fail(step, op),
            Op::Defer {
                job,
                take,
                delay_ms,
                keep,
                ahead,
            } => self.defer(step, (job, take), delay_ms, keep, ahead),
            Op::Cancel { job } => self.cancel(step, job),
            Op::ForceFail { job, class } => self.force_fail(step, job, class),
            Op::Redrive { dead, job, house } => self.redrive(step, dead, job, house),
            Op::Drop { job } => self.drop_dead(step, job),
            Op::Beat { worker } => self.beat(step, worker),
            Op::Leave { worker } => self.leave(step, worker),
            Op::Reap { first } => self.reap(step, first),
            Op::Tick { again } => self.tick(step, again),
            Op::Freeze { scope, op } => self.freeze(step, scope, op),
            Op::Clear { scope, op } => self.clear(step, scope, op),
        }
    }

    fn is_account_frozen(&self, account: AccountNo) -> bool {
        self.frozen.contains_key(&account)
    }
}

/// One operation on its way.
struct Step<'a> {
    now_ms: u64,
    rules: &'a Rules,
    entries: Vec<Entry>,
}
