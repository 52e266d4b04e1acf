//! Whatever happens in whatever order: the books balance, every job has its place, what was refused
//! left no trace, all of it ends. What the reference ledger knows, `differential` compares exactly; here are
//! also halts, hand-backs, limits by queue, openings, trimming and the continuous audit.

mod acts;

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use meterline::dev::redis::PrivateRedis;
use meterline::domain::credits::Ucr;
use meterline::domain::failure::FailureClass;
use meterline::domain::ids::JobId;
use meterline::domain::job::Priority;
use meterline::ledger::{Round, Watch};
use meterline::store::{
    AdjustOutcome, Again, CancelOutcome, CheckpointOutcome, ClaimOutcome, ClaimedJob, ClearOutcome,
    Correction, DeferOutcome, DropOutcome, FailOutcome, Failing, ForceFailOutcome, FreezeAct,
    FreezeOutcome, GrantKind, HeartbeatOutcome, NewJob, Options, Payer, QueueAct, Redrive,
    RedriveOutcome, RefundOutcome, Scope, SettleOutcome, Step, Store, SubmitOutcome, Term,
    TermOutcome,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::support::*;
use acts::{Act, act};

const ACCOUNTS: [&str; 2] = ["acme", "bolt"];
const KINDS: [GrantKind; 4] = [
    GrantKind::Daily,
    GrantKind::Promo,
    GrantKind::Plan,
    GrantKind::Purchase,
];
const PRIORITIES: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];

/// The house as the acts see it.
struct House {
    store: Store,
    raw: Raw,
    now_ms: u64,
    /// The generation of each worker: a lost one comes back under a new name.
    workers: [u32; 3],
    jobs: Vec<JobId>,
    /// Everything ever claimed: most of it stale, as words of zombies are.
    claims: Vec<ClaimedJob>,
    operations: u32,
    settled: BTreeMap<JobId, i64>,
    watch: Watch,
}

/// Time in the queue and deadline, ms.
const LIMITS: (u64, u64) = (60_000, 45_000);

impl House {
    async fn new(url: &str) -> Self {
        let options = Options {
            max_active: 3,
            lane_max: 5,
            takeovers_max: 2,
            queue_ttl_ms: LIMITS.0,
            retention_ms: 40_000,
            dead_letter_ms: 80_000,
            opening_ms: 30_000,
            journal_retention_ms: LIMITS.0 + LIMITS.1 + 10_000,
            ..options()
        };
        let store = Store::open(url, options).await.expect("a store").at(T0);
        let house = Self {
            watch: Watch::new(store.clone(), "a1", 1_000),
            store,
            raw: Raw::open(url).await,
            now_ms: T0,
            workers: [0; 3],
            jobs: Vec::new(),
            claims: Vec::new(),
            operations: 0,
            settled: BTreeMap::new(),
        };
        for name in ACCOUNTS {
            funded(&house.store, name, 60).await;
        }
        house
    }

    fn now(&self) -> Store {
        self.store.at(self.now_ms)
    }

    fn worker(&self, n: usize) -> String {
        format!("w{n}-{}", self.workers[n])
    }

    fn claimed(&self, n: usize) -> Option<ClaimedJob> {
        // Mostly a recent one.
        let newest = self.claims.len().checked_sub(1)?;
        self.claims.get(newest - n % (newest + 1).min(8)).cloned()
    }

    fn job(&self, n: usize) -> Option<JobId> {
        let n = n.checked_rem(self.jobs.len())?;
        self.jobs.get(n).cloned()
    }

    async fn redrive(&mut self, n: usize, house: bool) -> bool {
        let Some(dead) = self.job(n) else {
            return true;
        };
        let payer = if house { Payer::House } else { Payer::Account };
        let request = Redrive {
            job: self.store.successor_id(&dead),
            dead,
            payer,
            reason: "random".to_owned(),
            actor: "tests".to_owned(),
        };
        match self.now().redrive(&request).await.expect("redrive") {
            RedriveOutcome::Redriven(redriven) => {
                self.jobs.push(redriven.job);
                redriven.replayed
            }
            RedriveOutcome::Refused(_) => true,
        }
    }

    /// Does it. Returns whether it was refused, or was said before: nothing may have changed.
    async fn act(&mut self, act: &Act) -> bool {
        match act {
            Act::Grant {
                account,
                credits,
                kind,
                lives_s,
            } => {
                self.grant(*account, *credits, *kind, *lives_s).await;
                false
            }
            Act::Owe {
                account: n,
                credits,
            } => {
                self.raw
                    .owe(&account(ACCOUNTS[*n]), i64::from(*credits) * 1_000_000)
                    .await;
                false
            }
            Act::Adjust { account, credits } => self.adjust(*account, *credits).await,
            Act::Refund { job, credits } => self.refund(*job, *credits).await,
            Act::Cap {
                account: n,
                credits,
            } => {
                let caps = Term::Caps {
                    day: Some(Ucr::from_credits(*credits)),
                    month: None,
                };
                self.set(*n, caps).await
            }
            Act::Limit {
                account: n,
                n: limit,
                of_queue,
            } => {
                let term = if *of_queue {
                    Term::QueueMaxActive("video".to_owned(), *limit)
                } else {
                    Term::MaxActive(*limit)
                };
                self.set(*n, term).await
            }
            Act::Submit {
                account,
                credits,
                priority,
                delay_s,
                key,
            } => {
                let new = self.new_job(*account, *credits, *priority, *delay_s, *key);
                let outcome = self.now().submit(&new).await.expect("submit");
                let SubmitOutcome::Accepted(submitted) = outcome else {
                    return true;
                };
                self.jobs.push(submitted.job);
                submitted.replayed
            }
            Act::Claim { worker, n } => self.claim(*worker, *n).await,
            Act::Note { claim, step } => {
                let Some(job) = self.claimed(*claim) else {
                    return true;
                };
                let step = match step {
                    0 => Step::Intent {
                        submission: job.submissions + 1,
                    },
                    1 => Step::Handle,
                    _ => Step::Artifact,
                };
                note(&self.now(), &job, step).await != CheckpointOutcome::Noted
            }
            Act::Settle { claim, percent } => self.settle(*claim, *percent).await,
            Act::Fail {
                claim,
                class,
                again_s,
                has_verdict,
            } => {
                let Some(job) = self.claimed(*claim) else {
                    return true;
                };
                let failing = Failing {
                    class: FailureClass::ALL[*class],
                    message: "no luck".to_owned(),
                    has_verdict: *has_verdict,
                    again: again_s.map(|s| Again {
                        delay_ms: s * 1_000,
                        tries: job.tries + 1,
                        route: 0,
                    }),
                };
                fail(&self.now(), &job, &failing).await == FailOutcome::Fenced
            }
            Act::Defer {
                claim,
                delay_s,
                keep,
            } => {
                let Some(job) = self.claimed(*claim) else {
                    return true;
                };
                defer(&self.now(), &job, delay_s * 1_000, *keep).await == DeferOutcome::Fenced
            }
            Act::HandOver { claim, keep } => {
                let Some(job) = self.claimed(*claim) else {
                    return true;
                };
                let said = self.now().hand_over(&job.job, &job.token, *keep).await;
                said.expect("hand over") == DeferOutcome::Fenced
            }
            Act::Leave { worker } => {
                let name = self.worker(*worker);
                !self.now().leave(0, &name, "{}").await.expect("leave")
            }
            Act::Halt { act } => {
                let act = [QueueAct::Pause, QueueAct::Drain, QueueAct::Resume][*act];
                let done = self.now().act_on_queue("video", act, "why", "tests").await;
                done.expect("an act") == 0
            }
            Act::Cancel { job } => {
                if self.jobs.is_empty() {
                    return true;
                }
                let job = self.jobs[job % self.jobs.len()].clone();
                let view = self.store.job(&job).await.expect("a look");
                let was_over = view.is_none_or(|view| !view.text("finished_at").is_empty());
                match cancel(&self.now(), &job).await {
                    // One whose time was up and that no sweep has met ends by this.
                    CancelOutcome::Ended(_) => was_over,
                    CancelOutcome::UnknownJob => true,
                    CancelOutcome::Cancelled { .. } | CancelOutcome::Cancelling => false,
                }
            }
            Act::Redrive { job, house } => self.redrive(*job, *house).await,
            Act::Drop { job } => {
                let Some(job) = self.job(*job) else {
                    return true;
                };
                let outcome = self.now().drop_dead(&job, "random", "tests").await;
                let outcome = outcome.expect("drop");
                !matches!(
                    outcome,
                    DropOutcome::Dropped {
                        replayed: false,
                        ..
                    }
                )
            }
            Act::ForceFail { job, class } => {
                let Some(job) = self.job(*job) else {
                    return true;
                };
                let class = FailureClass::ALL[*class];
                let outcome = self.now().force_fail(&job, class, "random", "tests").await;
                let outcome = outcome.expect("force fail");
                !matches!(
                    outcome,
                    ForceFailOutcome::Ended {
                        replayed: false,
                        ..
                    }
                )
            }
            Act::Beat { worker } => self.beat(*worker).await,
            Act::HandBack { worker, keep } => {
                let running: Vec<String> = self
                    .claims
                    .iter()
                    .rev()
                    .take(*keep)
                    .map(|job| job.job.to_string())
                    .collect();
                let worker = self.worker(*worker);
                let outcome = self.now().hand_back(0, LEASE_MS, &worker, &running).await;
                outcome.expect("hand back");
                false
            }
            Act::Freeze { who } => {
                let outcome = self.now().freeze(&self.freeze_act(*who), &[]).await;
                self.operations += 1;
                !matches!(outcome.expect("freeze"), FreezeOutcome::Frozen { .. })
            }
            Act::Clear { who } => {
                let outcome = self.now().clear(&self.freeze_act(*who)).await;
                self.operations += 1;
                !matches!(outcome.expect("clear"), ClearOutcome::Cleared { .. })
            }
            Act::KeepBooks => {
                self.keep_books().await;
                false
            }
            Act::Tick => {
                tick(&self.now()).await;
                false
            }
            Act::Reap => reap(&self.now()).await.is_none(),
            Act::Live { s } => {
                for step_s in (0..*s).step_by(5).map(|from| (s - from).min(5)) {
                    self.now_ms += step_s * 1_000;
                    tick(&self.now()).await;
                }
                reap(&self.now()).await;
                false
            }
            Act::Wait { ms } => {
                self.now_ms += ms;
                true
            }
        }
    }

    fn freeze_act(&self, who: usize) -> FreezeAct {
        let scope = ACCOUNTS.get(who).map(|name| Scope::Account(account(name)));
        FreezeAct {
            scope: scope.unwrap_or(Scope::Partition(0)),
            reason: "to see".to_owned(),
            actor: "tests".to_owned(),
            operation: format!("freeze-{}", self.operations)
                .parse()
                .expect("an operation id"),
        }
    }

    async fn keep_books(&mut self) {
        self.now().open_books(0).await.expect("a round");
        self.now().trim_journal(0).await.expect("trim");
        match self.watch.round(0).await.expect("an audit") {
            Round::Looked { report, .. } => assert!(report.ok, "{:#?}", report.differences),
            Round::Follows => panic!("nobody else audits"),
        }
    }

    async fn grant(&mut self, account_n: usize, credits: u32, kind: usize, lives_s: u64) {
        self.operations += 1;
        let id = account(ACCOUNTS[account_n]);
        let expires = (lives_s > 0 && KINDS[kind] != GrantKind::Purchase)
            .then_some(self.now_ms + lives_s * 1_000);
        let operation = format!("op-{}", self.operations);
        give(&self.now(), &id, credits, KINDS[kind], expires, &operation).await;
    }

    async fn adjust(&mut self, n: usize, credits: i64) -> bool {
        self.operations += 1;
        let amount = Ucr::from_credits(u32::try_from(credits.abs()).expect("small"));
        let correction = if credits > 0 {
            Correction::Up(amount)
        } else {
            Correction::Down(amount)
        };
        let operation = format!("op-{}", self.operations);
        let id = account(ACCOUNTS[n]);
        let outcome = adjust(&self.now(), &id, correction, &operation).await;
        !matches!(outcome, AdjustOutcome::Adjusted { .. })
    }

    async fn refund(&mut self, job: usize, credits: Option<u32>) -> bool {
        if self.jobs.is_empty() {
            return true;
        }
        self.operations += 1;
        let job = &self.jobs[job % self.jobs.len()];
        let operation = format!("op-{}", self.operations);
        let outcome = refund(&self.now(), job, credits, &operation).await;
        !matches!(outcome, RefundOutcome::Refunded { .. })
    }

    async fn set(&mut self, n: usize, term: Term) -> bool {
        let outcome = set(&self.now(), &account(ACCOUNTS[n]), term).await;
        !matches!(
            outcome,
            TermOutcome::Set {
                replayed: false,
                ..
            }
        )
    }

    fn new_job(&self, n: usize, credits: u32, priority: usize, delay_s: u64, key: u32) -> NewJob {
        let key = (key < 15).then(|| format!("click-{key}").parse().expect("a key"));
        NewJob {
            priority: PRIORITIES[priority],
            delay_ms: delay_s * 1_000,
            deadline_ms: LIMITS.1,
            idempotency_key: key,
            ..job_for(&self.store, &account(ACCOUNTS[n]), credits)
        }
    }

    async fn claim(&mut self, worker: usize, n: u32) -> bool {
        let slots = [("video".to_owned(), n)];
        let name = self.worker(worker);
        let outcome = self.now().claim(0, &name, LEASE_MS, &slots, n == 3).await;
        match outcome.expect("claim") {
            ClaimOutcome::Claimed(claimed) => {
                self.claims.extend(claimed.jobs);
                false
            }
            ClaimOutcome::Lost => {
                self.workers[worker] += 1;
                true
            }
        }
    }

    async fn settle(&mut self, claim: usize, percent: i64) -> bool {
        let Some(job) = self.claimed(claim) else {
            return true;
        };
        let captured = job.ceiling.get() * percent / 100;
        let settlement = meterline::store::Settlement {
            captured: Ucr::new(captured).expect("an amount"),
            absorbed: Ucr::new(if percent > 90 { 7 } else { 0 }).expect("an amount"),
            ..settlement(0)
        };
        let outcome = settle(&self.now(), &job, &settlement).await;
        match outcome {
            SettleOutcome::Settled {
                captured,
                released,
                replayed,
            } => {
                assert!(captured <= job.ceiling, "promise 4");
                assert_eq!(captured.get() + released.get(), job.ceiling.get());
                let before = self.settled.insert(job.job, captured.get());
                assert_eq!(before, replayed.then_some(captured.get()), "promise 3");
                replayed
            }
            SettleOutcome::TimedOut | SettleOutcome::Cancelled => false,
            SettleOutcome::Mismatch { .. }
            | SettleOutcome::Fenced
            | SettleOutcome::AboveCeiling => true,
        }
    }

    async fn beat(&mut self, worker: usize) -> bool {
        let queues = ["video".to_owned()];
        let name = self.worker(worker);
        let outcome = self
            .now()
            .heartbeat(0, &name, LEASE_MS, &queues, "{}", &[])
            .await;
        let lost = outcome.expect("heartbeat") == HeartbeatOutcome::Lost;
        self.workers[worker] += u32::from(lost);
        lost
    }

    /// Every open job stands in exactly the one place where somebody will find it.
    async fn assert_placed(&self) {
        assert_eq!(
            misplaced(&self.store, &self.raw).await,
            Vec::<String>::new()
        );
        assert_tallies(&self.now()).await;
        for name in ACCOUNTS {
            let active = key("active", &format!("{name}:video"));
            let members: i64 = self.raw.run(&["SCARD", &active]).await;
            assert!(members <= 4, "{name} has {members}");
        }
    }

    /// Nobody does anything any more but the sweep: everything ends, and all is given back.
    async fn assert_all_ends(&mut self) {
        self.now_ms += LIMITS.0 + LIMITS.1 + 20_000;
        tick(&self.now()).await;
        assert_eq!(self.store.open_jobs(0).await.expect("open jobs"), []);
        for name in ACCOUNTS {
            assert_eq!(money(&self.now(), &account(name)).await.held_ucr, 0);
        }
        assert_sound(&self.now()).await;
        let late = self.now();
        tick(&late.at(self.now_ms + 200_000)).await;
        for pattern in [
            "*:job:*",
            "*:payload:*",
            "*:work:*",
            "*:idem:*",
            "*:lane:*",
            "*:active:*",
        ] {
            let left: Vec<String> = self.raw.run(&["KEYS", pattern]).await;
            assert_eq!(left, Vec::<String>::new());
        }
        assert_sound(&late).await;
    }
}

static SERVER: LazyLock<PrivateRedis> =
    LazyLock::new(|| PrivateRedis::start(plain_redis()).expect("a private Redis"));
static DATABASE: AtomicU32 = AtomicU32::new(0);

/// Lives so many acts of chance on a server, the same ones each time. Returns the store as of the end.
pub(crate) async fn live_on(url: &str, acts: usize) -> Store {
    let mut house = House::new(url).await;
    let mut chance = TestRunner::deterministic();
    for act in chosen(&mut chance, acts) {
        house.act(&act).await;
    }
    house.now()
}

fn chosen(chance: &mut TestRunner, acts: usize) -> Vec<Act> {
    let acts = prop::collection::vec(act(), acts).new_tree(chance);
    acts.expect("acts").current()
}

async fn live(acts: &[Act]) {
    let database = DATABASE.fetch_add(1, Ordering::Relaxed);
    let mut house = House::new(&SERVER.url_of_database(database)).await;
    for (n, act) in acts.iter().enumerate() {
        // In some lives, since looking at every byte takes its time.
        let before = match database % 8 {
            0 => Some(house.raw.digest().await),
            _ => None,
        };
        let refused = house.act(act).await;
        if let Some(before) = before.filter(|_| refused) {
            assert_eq!(house.raw.digest().await, before, "promise 9: {act:?}");
        }
        if n % 16 == 15 {
            assert_sound(&house.now()).await;
            house.assert_placed().await;
        }
    }
    assert_sound(&house.now()).await;
    house.assert_placed().await;
    house.assert_all_ends().await;
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        max_shrink_iters: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn promise_01_02_and_09_hold_whatever_happens(acts in prop::collection::vec(act(), 1..150)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(live(&acts));
    }
}
