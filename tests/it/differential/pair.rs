//! The reference and the real store side by side.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};

use meterline::dev::redis::PrivateRedis;
use meterline::domain::reference::laws;
use meterline::domain::reference::{EntryKind, Op, Partition, Reply, Rules};
use serde_json::Value;

use super::real::Real;
use super::render::{self, Sequences};
use super::table;
use crate::support::dump::{Dump, short};
use crate::support::*;

/// Short clocks and narrow limits, so that all of them are met.
pub(super) const RULES: Rules = Rules {
    lease_ms: 15_000,
    sweep_ms: 1_000,
    queue_ttl_ms: 60_000,
    deadline_ms: 45_000,
    cancel_grace_ms: 10_000,
    retention_ms: 40_000,
    dead_letter_ms: 80_000,
    takeovers_max: 2,
    max_active: 3,
    lane_max: 4,
    open_max: 12,
    grants_max: 6,
};

/// Of its own: a case is a database.
static SERVER: LazyLock<PrivateRedis> =
    LazyLock::new(|| PrivateRedis::start(plain_redis()).expect("a private Redis"));
/// Its databases that nobody uses. Shrinking lives many cases, so that each gives its own back.
static FREE: Mutex<Vec<u32>> = Mutex::new(Vec::new());
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A database that is given back, whatever became of its case.
struct Database(u32);

impl Database {
    fn take() -> Self {
        let free = FREE.lock().ok().and_then(|mut free| free.pop());
        Self(free.unwrap_or_else(|| DATABASES.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Ok(mut free) = FREE.lock() {
            free.push(self.0);
        }
    }
}

/// Both, and what was done to them.
pub(super) struct Pair {
    pub(super) state: Partition,
    pub(super) done: Vec<(u64, Op)>,
    /// What time it is for whoever acts next, ms.
    pub(super) clock_ms: u64,
    real: Real,
    raw: Raw,
    before: Dump,
    sequences: Sequences,
    _database: Database,
}

impl Pair {
    pub(super) async fn new() -> Self {
        let database = Database::take();
        let url = SERVER.url_of_database(database.0);
        let raw = Raw::open(&url).await;
        raw.forget_all().await;
        let real = Real::open(&url, &RULES).await;
        Self {
            state: Partition::default(),
            done: Vec::new(),
            clock_ms: T0,
            before: Dump::read(&raw, "0").await,
            real,
            raw,
            _database: database,
            sequences: Sequences::default(),
        }
    }

    /// Does it to both and compares everything.
    pub(super) async fn step(&mut self, at_ms: u64, op: Op) {
        self.clock_ms = self.clock_ms.max(at_ms);
        self.done.push((at_ms, op));
        let real = self.real.apply(&RULES, at_ms, &op).await;
        let op = self.as_it_went(op, &real);
        let done = self.state.apply(&RULES, at_ms, &op);
        assert_eq!(
            real,
            done.reply,
            "the real answer, and the reference's{}",
            self.story()
        );

        let seen = format!("1-{}", self.sequences.all);
        let dump = Dump::read(&self.raw, &seen).await;
        let written: Vec<String> = dump.journal().iter().map(|body| entry_line(body)).collect();
        let expected: Vec<String> = done.entries.iter().map(render::entry).collect();
        assert_eq!(
            written,
            expected,
            "the real entries, and the reference's{}",
            self.story()
        );
        for entry in &done.entries {
            assert!(laws::is_balanced(entry), "{entry:?}{}", self.story());
            self.sequences.all += 1;
            *self.sequences.of.entry(entry.account).or_default() += 1;
            self.sequences.has_queue |= entry.kind == EntryKind::Hold;
        }
        self.assert_same(&dump);
        if changes_nothing(&done.reply) {
            assert!(
                self.is_as_before(&dump),
                "refused, and something changed{}",
                self.story()
            );
        }
        let broken = laws::broken(&self.state);
        assert!(broken.is_empty(), "{broken:?}{}", self.story());
        self.before = dump;
    }

    fn assert_same(&self, dump: &Dump) {
        let (real, reference) = (dump.lines(), render::lines(&self.state, &self.sequences));
        if real == reference {
            return;
        }
        let mut text = String::new();
        let places: std::collections::BTreeSet<&String> =
            real.keys().chain(reference.keys()).collect();
        for place in places {
            let (one, other) = (real.get(place), reference.get(place));
            if one != other {
                text.push_str(&format!(
                    "\n  {place}: really {one:?}, by the reference {other:?}"
                ));
            }
        }
        panic!("what stands in the store differs:{text}{}", self.story());
    }

    /// Byte for byte; of the journal only that nothing came.
    fn is_as_before(&self, dump: &Dump) -> bool {
        dump.same_bytes(&self.before)
    }

    /// What can be pasted as a test.
    fn story(&self) -> String {
        format!("\nafter:\n{}", table::write(&self.done))
    }

    /// The operation with what only the real store could choose: whose jobs it took back first.
    fn as_it_went(&self, op: Op, real: &Reply) -> Op {
        let (Op::Reap { .. }, Reply::Reaped { jobs, .. }) = (op, real) else {
            return op;
        };
        let mut first = [None; 3];
        let workers = jobs.iter().filter_map(|no| self.state.jobs.get(no)?.worker);
        let mut places = 0;
        for worker in workers {
            if !first.contains(&Some(worker)) && places < first.len() {
                first[places] = Some(worker);
                places += 1;
            }
        }
        Op::Reap { first }
    }

    /// Nobody does anything any more but the sweep: all of it ends, and what was held is given back.
    pub(super) async fn rest(&mut self) {
        let at_ms = self.clock_ms + RULES.queue_ttl_ms + RULES.deadline_ms;
        self.step(at_ms, Op::Tick { again: true }).await;
        assert_eq!(
            self.state.deadlines,
            BTreeMap::new(),
            "something is open{}",
            self.story()
        );
        for account in self.state.accounts.values() {
            assert_eq!(account.held_ucr, 0, "something is held{}", self.story());
        }
        assert_sound(&self.real.at(at_ms)).await;
        let later_ms = at_ms + RULES.dead_letter_ms + RULES.retention_ms;
        self.step(later_ms, Op::Tick { again: true }).await;
        assert_eq!(
            self.state.jobs,
            BTreeMap::new(),
            "something is kept{}",
            self.story()
        );
        assert_sound(&self.real.at(later_ms)).await;
    }
}

/// Whether an answer says that nothing was done.
fn changes_nothing(reply: &Reply) -> bool {
    match reply {
        Reply::Created
        | Reply::Set { .. }
        | Reply::Claimed { .. }
        | Reply::Noted
        | Reply::Rescheduled
        // The end of a job, or that it had ended: the next ones too.
        | Reply::Ended(_)
        | Reply::Over(_)
        | Reply::Deferred
        | Reply::Cancelled { .. }
        // Flagged now, or before.
        | Reply::Cancelling
        | Reply::Renewed { .. }
        | Reply::Left
        | Reply::Reaped { .. }
        | Reply::Ticked { .. } => false,
        Reply::Granted { replayed, .. }
        | Reply::Adjusted { replayed, .. }
        | Reply::Refunded { replayed, .. }
        | Reply::Held { replayed, .. }
        | Reply::Settled { replayed, .. }
        | Reply::ForceEnded { replayed, .. }
        | Reply::Redriven { replayed, .. }
        | Reply::Dropped { replayed }
        | Reply::FreezeDone { replayed }
        | Reply::Cleared { replayed, .. } => *replayed,
        Reply::Exists
        | Reply::Unchanged
        | Reply::HasOpenJobs { .. }
        | Reply::Mismatch { .. }
        | Reply::UnknownAccount
        | Reply::AccountClosed
        | Reply::AccountFrozen
        | Reply::Nothing
        | Reply::NotGrantable
        | Reply::PurchaseExpires
        | Reply::TooManyGrants
        | Reply::ExpiredAlready
        | Reply::Overflow
        | Reply::UnknownPayment
        | Reply::AbovePayment { .. }
        | Reply::UnknownJob
        | Reply::NotCaptured
        | Reply::AboveCaptured { .. }
        | Reply::KeyMismatch { .. }
        | Reply::Frozen { .. }
        | Reply::QueueFull
        | Reply::LaneFull
        | Reply::CapExceeded { .. }
        | Reply::Insufficient { .. }
        | Reply::Lost
        | Reply::Fenced
        | Reply::OutOfOrder
        | Reply::SettledOtherwise { .. }
        | Reply::AboveCeiling
        | Reply::OtherPayer { .. }
        | Reply::NotDead { .. }
        | Reply::WasDropped
        | Reply::JobExists
        | Reply::RedrivenAs { .. }
        | Reply::Gone
        | Reply::Away
        | Reply::Recent
        | Reply::AlreadyFrozen
        | Reply::NotFrozen
        | Reply::FreezeMismatch => true,
    }
}

/// An entry of the real journal in the words of [`render::entry`].
fn entry_line(body: &str) -> String {
    let entry: Value = serde_json::from_str(body).expect("an entry");
    let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let mut postings = BTreeMap::<String, i64>::new();
    for posting in entry["post"].as_array().expect("postings") {
        let book = posting[0].as_str().expect("a book").to_owned();
        *postings.entry(book).or_default() += posting[1].as_i64().expect("an amount");
    }
    let grants = entry["grants"]
        .as_object()
        .expect("grants")
        .iter()
        .map(|(no, row)| {
            let (row, _age) = row
                .as_str()
                .and_then(|row| row.rsplit_once('|'))
                .expect("a row");
            format!("{no}={row}")
        });
    let list = |name: &str| {
        let mut words: Vec<String> = text(name).split(';').map(str::to_owned).collect();
        words.sort();
        format!("{name} {}", words.join(";"))
    };
    render::format_entry(&[
        text("kind"),
        text("account"),
        short(&text("job")),
        render::sort(
            postings
                .iter()
                .map(|(book, ucr)| format!("{book}={ucr}"))
                .collect(),
        ),
        render::sort(grants.collect()),
        list("slices"),
        list("given"),
        list("taken"),
        list("lost"),
    ])
}
