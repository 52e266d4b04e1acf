//! A statement adds up to exactly what the balances say, over any stretch and however it is sorted.

use meterline::domain::credits::Ucr;
use meterline::domain::failure::FailureClass;
use meterline::domain::ids::{AccountId, JobId};
use meterline::ledger::{By, History, Line, statement};
use meterline::store::{Correction, GrantKind, NewJob, SettleOutcome, Store, SubmitOutcome};
use proptest::prelude::*;

use crate::support::*;

const HOUR_MS: u64 = 3_600_000;
const TOOLS: [&str; 3] = ["text-to-image", "image-to-video", "upscale"];
const KINDS: [GrantKind; 4] = [
    GrantKind::Daily,
    GrantKind::Promo,
    GrantKind::Plan,
    GrantKind::Purchase,
];

/// What an account's totals are at a moment: granted, captured, refunded, adjusted, expired, net.
async fn totals(store: &Store, id: &AccountId) -> [i64; 6] {
    // Raw, so that an expiry that nobody booked yet is in neither.
    let shown = store.account_snapshots(0, std::slice::from_ref(id)).await;
    let shown = shown.expect("a snapshot").pop().expect("the account");
    let net = shown.ucr("available") + shown.ucr("held") - shown.ucr("debt");
    let names = ["granted", "captured", "refunded", "adjusted", "expired"];
    let [a, b, c, d, e] = names.map(|name| shown.ucr(name));
    [a, b, c, d, e, net]
}

fn figures(line: &Line) -> [i64; 6] {
    [
        line.granted_ucr,
        line.captured_ucr,
        line.refunded_ucr,
        line.adjusted_ucr,
        line.expired_ucr,
        line.net_ucr,
    ]
}

fn sum<'a>(lines: impl Iterator<Item = &'a Line>) -> [i64; 6] {
    lines.map(figures).fold([0; 6], |mut sum, line| {
        sum.iter_mut().zip(line).for_each(|(s, n)| *s += n);
        sum
    })
}

/// One thing that moves credits, and how many hours later the next comes.
#[derive(Debug, Clone)]
enum Move {
    Grant {
        kind: usize,
        n: u32,
        hours: u64,
    },
    Job {
        tool: usize,
        hold: u32,
        percent: i64,
    },
    Fail {
        tool: usize,
        hold: u32,
    },
    Refund {
        job: usize,
        n: Option<u32>,
    },
    Up {
        n: u32,
    },
    Down {
        n: u32,
    },
    Clawback {
        grant: usize,
    },
    Sweep,
}

fn moves() -> impl Strategy<Value = Vec<(Move, u64)>> {
    let one = prop_oneof![
        3 => (0..4usize, 1..40u32, 0..60u64).prop_map(|(kind, n, hours)| Move::Grant { kind, n, hours }),
        4 => (0..3usize, 1..30u32, 0..120i64).prop_map(|(tool, hold, percent)| Move::Job { tool, hold, percent }),
        1 => (0..3usize, 1..20u32).prop_map(|(tool, hold)| Move::Fail { tool, hold }),
        2 => (0..20usize, prop::option::of(1..20u32)).prop_map(|(job, n)| Move::Refund { job, n }),
        1 => (1..20u32).prop_map(|n| Move::Up { n }),
        1 => (1..40u32).prop_map(|n| Move::Down { n }),
        1 => (0..20usize).prop_map(|grant| Move::Clawback { grant }),
        1 => Just(Move::Sweep),
    ];
    prop::collection::vec((one, 0..30u64), 1..40)
}

struct Life {
    store: Store,
    now_ms: u64,
    jobs: Vec<JobId>,
    operations: usize,
}

impl Life {
    fn now(&self) -> Store {
        self.store.at(self.now_ms)
    }

    /// A job of the tool, handed to a worker; `None` where it could not be paid.
    async fn start(
        &self,
        id: &AccountId,
        tool: usize,
        hold: u32,
    ) -> Option<meterline::store::ClaimedJob> {
        let job = NewJob {
            tool: TOOLS[tool].to_owned(),
            ..job_for(&self.store, id, hold)
        };
        let accepted = self.now().submit(&job).await.expect("submit");
        match accepted {
            // A worker of its own for each, since time goes by without heartbeats.
            SubmitOutcome::Accepted(_) => {
                let worker = format!("w{}-{}", self.now_ms, self.operations);
                Some(claim_one(&self.now(), &worker).await)
            }
            SubmitOutcome::Refused(_) => None,
        }
    }

    async fn make(&mut self, id: &AccountId, one: &Move) {
        self.operations += 1;
        let op = format!("op-{}", self.operations);
        let now = self.now();
        match one {
            Move::Grant { kind, n, hours } => {
                let kind = KINDS[*kind];
                let expires = (*hours > 0 && kind != GrantKind::Purchase)
                    .then_some(self.now_ms + hours * HOUR_MS);
                give(&now, id, *n, kind, expires, &op).await;
            }
            Move::Job {
                tool,
                hold,
                percent,
            } => {
                let Some(job) = self.start(id, *tool, *hold).await else {
                    return;
                };
                let captured = job.ceiling.get() * (*percent).min(100) / 100;
                let excess = if *percent > 100 { 5 } else { 0 };
                let how = meterline::store::Settlement {
                    captured: Ucr::new(captured).expect("an amount"),
                    absorbed: Ucr::new(excess).expect("an amount"),
                    ..settlement(0)
                };
                let outcome = settle(&now, &job, &how).await;
                assert!(matches!(outcome, SettleOutcome::Settled { .. }));
                self.jobs.push(job.job);
            }
            Move::Fail { tool, hold } => {
                if let Some(job) = self.start(id, *tool, *hold).await {
                    fail(&now, &job, &ends(FailureClass::ProviderFault)).await;
                }
            }
            Move::Refund { job, n } => {
                if !self.jobs.is_empty() {
                    let job = &self.jobs[job % self.jobs.len()];
                    refund(&now, job, *n, &op).await;
                }
            }
            Move::Up { n } => {
                adjust(&now, id, Correction::Up(credits(*n)), &op).await;
            }
            Move::Down { n } => {
                adjust(&now, id, Correction::Down(credits(*n)), &op).await;
            }
            Move::Clawback { grant } => {
                adjust(&now, id, clawback(&format!("op-{grant}"), None), &op).await;
            }
            Move::Sweep => {
                tick(&now).await;
            }
        }
    }
}

async fn live(moves: &[(Move, u64)]) {
    let mut options = options();
    options.retention_ms = 365 * DAY_MS;
    let store = store_with(options).await;
    let (acme, other) = (
        funded(&store, "acme", 20).await,
        funded(&store, "other", 500).await,
    );
    let mut life = Life {
        store,
        now_ms: T0 + DAY_MS,
        jobs: Vec::new(),
        operations: 0,
    };
    // The state at the end of each move, and when that was.
    let mut marks = vec![(life.now_ms, totals(&life.store, &acme).await)];
    for (one, hours) in moves {
        life.make(&acme, one).await;
        // Somebody else's entries stand in between.
        accept(&life.now(), &job_for(&life.store, &other, 1)).await;
        let theirs = format!("o{}-{}", life.now_ms, life.operations);
        let job = claim_one(&life.now(), &theirs).await;
        settle(&life.now(), &job, &settlement(1)).await;
        life.now_ms += hours * HOUR_MS + 1;
        marks.push((life.now_ms, totals(&life.store, &acme).await));
    }
    assert_sound(&life.now()).await;
    for (from, to) in stretches(marks.len()) {
        let ((from_ms, before), (to_ms, after)) = (marks[from], marks[to]);
        let change: Vec<i64> = after.iter().zip(before).map(|(a, b)| a - b).collect();
        for by in [By::Day, By::Tool, By::Grant] {
            let found = statement(
                &History::new(life.store.clone(), None),
                &acme,
                from_ms,
                to_ms,
                by,
            )
            .await;
            let found = found.expect("a statement");
            assert_eq!(figures(&found.total).to_vec(), change, "{by:?} {from} {to}");
            assert_eq!(
                sum(found.lines.values()).to_vec(),
                change,
                "{by:?} {from} {to}"
            );
        }
    }
}

/// Some stretches between marks: all of it, each third, and nothing.
fn stretches(marks: usize) -> Vec<(usize, usize)> {
    let last = marks - 1;
    let (a, b) = (last / 3, last * 2 / 3);
    vec![(0, last), (0, a), (a, b), (b, last), (last, last)]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn promise_01_statements_add_up_to_the_difference_of_the_balances(moves in moves()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(live(&moves));
    }
}

#[tokio::test]
async fn a_statement_sorts_by_day_tool_and_kind_of_grant() {
    let store = store().await;
    let acme = funded(&store, "acme", 100).await;
    give(&store, &acme, 10, GrantKind::Daily, days(1), "today").await;
    let job = charged(&store, &acme, 30, 25).await;
    let tomorrow = store.at(T0 + DAY_MS);
    refund(&tomorrow, &job, Some(20), "sorry").await;
    let ask = async |by| {
        let found = statement(&History::new(store.clone(), None), &acme, 0, u64::MAX, by).await;
        let lines = found.expect("a statement").lines;
        let whole = |line: &Line| figures(line).map(|ucr| ucr / 1_000_000);
        let lines: Vec<(String, u64, [i64; 6])> = lines
            .iter()
            .map(|(name, line)| (name.clone(), line.jobs, whole(line)))
            .collect();
        lines
    };
    let row = |name: &str, jobs, figures| (name.to_owned(), jobs, figures);
    assert_eq!(
        ask(By::Day).await,
        [
            row("2027-01-15", 1, [110, 25, 0, 0, 0, 85]),
            row("2027-01-16", 0, [0, 0, 20, 0, 5, 15]),
        ]
    );
    assert_eq!(
        ask(By::Tool).await,
        [
            row("-", 0, [110, 0, 0, 0, 0, 110]),
            row("image-to-video", 1, [0, 25, 20, 0, 5, -10]),
        ]
    );
    assert_eq!(
        ask(By::Grant).await,
        [
            row("daily", 1, [10, 10, 5, 0, 5, 0]),
            row("purchase", 1, [100, 15, 15, 0, 0, 100]),
        ]
    );
}

#[tokio::test]
async fn reading_begins_where_the_stretch_begins() {
    let store = store().await;
    let acme = funded(&store, "acme", 100).await;
    for n in 0..40 {
        give(
            &store.at(T0 + n * HOUR_MS),
            &acme,
            1,
            GrantKind::Promo,
            None,
            &format!("op-{n}"),
        )
        .await;
    }
    // Two entries stand before them: the account's opening and its funds.
    for (at_ms, entry) in [
        (0, "1-1"),
        (T0, "1-1"),
        (T0 + 1, "1-4"),
        (T0 + 10 * HOUR_MS, "1-13"),
        (T0 + 39 * HOUR_MS, "1-42"),
    ] {
        assert_eq!(
            store.journal_from(0, at_ms).await.expect("a place"),
            entry,
            "{at_ms}"
        );
    }
    let nobody_yet = crate::support::store().await;
    assert_eq!(nobody_yet.journal_from(0, T0).await.expect("a place"), "-");
}

#[tokio::test]
async fn a_statement_says_from_when_on_the_journal_is_kept() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let later = store.at(T0 + DAY_MS);
    give(&later, &acme, 1, GrantKind::Promo, None, "later").await;
    let ask = async |from_ms| {
        let found = statement(
            &History::new(store.clone(), None),
            &acme,
            from_ms,
            u64::MAX,
            By::Day,
        )
        .await;
        let found = found.expect("a statement");
        (found.kept_from_ms, found.total.granted_ucr)
    };
    assert_eq!(ask(T0).await, (None, 101_000_000));
    let _: i64 = raw
        .run(&["XTRIM", &key("part", "journal"), "MINID", "1-3"])
        .await;
    let _: i64 = raw
        .run(&["HSET", &key("part", "trimmed"), "seq", "2"])
        .await;
    assert_eq!(ask(T0).await, (days(1), 1_000_000));
    assert_eq!(ask(T0 + DAY_MS).await, (None, 1_000_000));
}
