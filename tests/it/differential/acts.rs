//! What can be done, chosen without knowing the state: an act becomes operations when its turn comes.

use meterline::domain::failure::FailureClass;
use meterline::domain::job::{Priority, State};
use meterline::domain::reference::{Caps, Correction, Job, Kind, Note, Op, Scope};
use proptest::prelude::*;

use super::pair::Pair;

const UCR: i64 = 1_000_000;
const PRIORITIES: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];
/// How many recent jobs an act may be about.
const RECENT: usize = 8;

/// What a list of acts is mostly about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mix {
    /// Credit coming in, going out and back.
    Money,
    /// Jobs, leases and the sweep.
    Workers,
    /// All of it, with freezes.
    Everything,
}

/// One thing that somebody does. Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// Credit, for a lifetime in seconds (0 = for ever), under a new operation id or an old one.
    Grant {
        account: u8,
        credits: i64,
        kind: usize,
        lives_s: u64,
        again: bool,
    },
    Correct {
        account: u8,
        credits: i64,
        again: bool,
    },
    Clawback {
        account: u8,
        payment: u16,
        credits: Option<i64>,
    },
    Refund {
        job: usize,
        credits: Option<i64>,
        again: bool,
    },
    Account {
        account: u8,
        what: u8,
        n: i64,
    },
    Submit {
        account: u8,
        credits: i64,
        priority: usize,
        delay_s: u64,
        key: u16,
    },
    Claim {
        worker: u8,
        n: u32,
        low_first: bool,
    },
    Note {
        job: usize,
        stale: bool,
        what: u8,
    },
    Settle {
        job: usize,
        stale: bool,
        percent: i64,
        absorbed: i64,
    },
    Fail {
        job: usize,
        stale: bool,
        class: usize,
        again_s: Option<u64>,
        has_verdict: bool,
    },
    Defer {
        job: usize,
        stale: bool,
        delay_s: u64,
        keep: bool,
        ahead: bool,
    },
    Operate {
        job: usize,
        what: u8,
        class: usize,
    },
    Beat {
        worker: u8,
    },
    Leave {
        worker: u8,
    },
    Reap,
    Tick {
        again: bool,
    },
    Freeze {
        who: u8,
        clears: bool,
        again: bool,
    },
    /// Time goes by, and the house sweeps every five seconds or does not.
    Live {
        s: u64,
        sweeps: bool,
    },
    /// A clock that is a little behind.
    Slow {
        op: Box<Act>,
        ms: u64,
    },
}

impl Act {
    /// The operations it comes to, and when.
    pub(super) fn ops(&self, pair: &Pair) -> Vec<(u64, Op)> {
        let now_ms = pair.clock_ms;
        match self {
            Self::Live { s, sweeps } => {
                let steps = (1..=*s).filter(|n| *sweeps && n % 5 == 0);
                let sweep = |n| (now_ms + n * 1_000, Op::Tick { again: false });
                steps.map(sweep).collect()
            }
            Self::Slow { op, ms } => {
                let ops = op.ops(pair).into_iter();
                ops.map(|(at_ms, op)| (at_ms - ms, op)).collect()
            }
            other => other.op(pair).map(|op| (now_ms, op)).into_iter().collect(),
        }
    }

    /// How much time goes by with it, ms.
    pub(super) fn lasts_ms(&self) -> u64 {
        match self {
            Self::Live { s, .. } => s * 1_000,
            _ => 0,
        }
    }

    fn op(&self, pair: &Pair) -> Option<Op> {
        let next_op = u16::try_from(pair.done.len()).unwrap_or(u16::MAX);
        let id = |again: bool| {
            if again {
                last_op(pair).unwrap_or(next_op)
            } else {
                next_op
            }
        };
        Some(match *self {
            Self::Grant {
                account,
                credits,
                kind,
                lives_s,
                again,
            } => Op::Grant {
                account,
                op: id(again),
                ucr: credits * UCR,
                kind: Kind::ALL[kind],
                expires_ms: if lives_s == 0 {
                    0
                } else {
                    pair.clock_ms + lives_s * 1_000
                },
            },
            Self::Correct {
                account,
                credits,
                again,
            } => {
                let ucr = credits.abs() * UCR;
                let correction = if credits > 0 {
                    Correction::Up(ucr)
                } else {
                    Correction::Down(ucr)
                };
                Op::Adjust {
                    account,
                    op: id(again),
                    correction,
                }
            }
            Self::Clawback {
                account,
                payment,
                credits,
            } => Op::Adjust {
                account,
                op: id(false),
                correction: Correction::Clawback {
                    payment: payment_of(pair, account, payment)?,
                    ucr: credits.map(|n| n * UCR),
                },
            },
            Self::Refund {
                job,
                credits,
                again,
            } => Op::Refund {
                job: job_that(pair, job, |job| job.captured_ucr > 0)?,
                op: id(again),
                ucr: credits.map(|n| n * UCR),
            },
            Self::Account { account, what, n } => match what {
                0 => Op::Close { account },
                1 => Op::Reopen { account },
                2 => Op::MaxActive {
                    account,
                    n: u32::try_from(n % 5).ok()?,
                },
                9 => Op::Open { account },
                _ => Op::Caps {
                    account,
                    caps: Caps {
                        day_ucr: n * 2 * UCR,
                        month_ucr: n % 4 * 20 * UCR,
                    },
                },
            },
            Self::Submit {
                account,
                credits,
                priority,
                delay_s,
                key,
            } => Op::Submit {
                account,
                job: next_job(pair),
                ucr: credits * UCR,
                priority: PRIORITIES[priority],
                delay_ms: delay_s * 1_000,
                key: (key < 12).then_some(key),
            },
            Self::Claim {
                worker,
                n,
                low_first,
            } => Op::Claim {
                worker,
                n,
                low_first,
            },
            Self::Note { .. } | Self::Settle { .. } | Self::Fail { .. } | Self::Defer { .. } => {
                return self.word(pair);
            }
            Self::Operate { job, what, class } => {
                let no = job_that(pair, job, |job| match what {
                    0..=2 => !job.state.is_terminal(),
                    _ => matches!(job.state, State::Failed | State::TimedOut),
                })?;
                let class = FailureClass::ALL[class];
                match what {
                    0 | 1 => Op::Cancel { job: no },
                    2 => Op::ForceFail { job: no, class },
                    3 => Op::Drop { job: no },
                    n => Op::Redrive {
                        dead: no,
                        job: next_job(pair),
                        house: n == 4,
                    },
                }
            }
            Self::Beat { worker } => Op::Beat { worker },
            Self::Leave { worker } => Op::Leave { worker },
            Self::Reap => Op::Reap { first: [None; 3] },
            Self::Tick { again } => Op::Tick { again },
            Self::Freeze { who, clears, again } => {
                let scope = if who < 2 {
                    Scope::Account(who)
                } else {
                    Scope::Partition
                };
                if clears {
                    Op::Clear {
                        scope,
                        op: id(again),
                    }
                } else {
                    Op::Freeze {
                        scope,
                        op: id(again),
                    }
                }
            }
            Self::Live { .. } | Self::Slow { .. } => return None,
        })
    }

    /// What a worker says: with the claim that counts, or an older one as zombies do.
    fn word(&self, pair: &Pair) -> Option<Op> {
        let (Self::Note { job, stale, .. }
        | Self::Settle { job, stale, .. }
        | Self::Fail { job, stale, .. }
        | Self::Defer { job, stale, .. }) = *self
        else {
            return None;
        };
        let (no, take) = claimed(pair, job, stale)?;
        let known = pair.state.jobs.get(&no);
        Some(match *self {
            Self::Settle {
                percent, absorbed, ..
            } => {
                let hold_ucr = known.map_or(UCR, |job| job.hold_ucr);
                Op::Settle {
                    job: no,
                    take,
                    ucr: hold_ucr / UCR * percent / 100 * UCR,
                    absorbed_ucr: absorbed * UCR,
                }
            }
            Self::Fail {
                class,
                again_s,
                has_verdict,
                ..
            } => Op::Fail {
                job: no,
                take,
                class: FailureClass::ALL[class],
                again: again_s.map(|s| (s * 1_000, known.map_or(0, |job| job.tries) + 1)),
                has_verdict,
            },
            Self::Defer {
                delay_s,
                keep,
                ahead,
                ..
            } => {
                // A hand-over is at once.
                let delay_ms = if ahead { 0 } else { delay_s * 1_000 };
                Op::Defer {
                    job: no,
                    take,
                    delay_ms,
                    keep,
                    ahead,
                }
            }
            Self::Note { what, .. } => {
                let submissions = known.map_or(0, |job| job.submissions);
                let note = match what {
                    0 => Note::Intent(submissions),
                    1..=3 => Note::Intent(submissions + 1),
                    4 | 5 => Note::Handle,
                    _ => Note::Artifact,
                };
                Op::Note {
                    job: no,
                    take,
                    note,
                }
            }
            _ => return None,
        })
    }
}

/// A job that was never submitted.
fn next_job(pair: &Pair) -> u16 {
    let submitted = pair
        .done
        .iter()
        .filter(|(_, op)| matches!(op, Op::Submit { .. } | Op::Redrive { .. }));
    u16::try_from(submitted.count() + 1).unwrap_or(u16::MAX)
}

/// One of the latest, kept or forgotten.
fn recent_job(pair: &Pair, n: usize) -> Option<u16> {
    let newest = next_job(pair) - 1;
    let back = u16::try_from(n % RECENT).unwrap_or_default();
    (newest > back).then(|| newest - back)
}

/// Mostly one that an act can do something about, else any of the latest.
fn job_that(pair: &Pair, n: usize, fits: impl Fn(&Job) -> bool) -> Option<u16> {
    let fitting: Vec<u16> = pair
        .state
        .jobs
        .iter()
        .filter(|(_, job)| fits(job))
        .map(|(no, _)| *no)
        .collect();
    match n.checked_rem(fitting.len()) {
        Some(n_th) if n > 0 => Some(fitting[n_th]),
        _ => recent_job(pair, n),
    }
}

/// An operation id of the account's, mostly a grant's; one that was never used where it has none.
fn payment_of(pair: &Pair, account: u8, n: u16) -> Option<u16> {
    let Some(known) = pair.state.accounts.get(&account) else {
        return Some(n);
    };
    let ids: Vec<u16> = known.operations.keys().copied().collect();
    Some(usize::from(n).checked_rem(ids.len()).map_or(n, |n| ids[n]))
}

/// A claim: mostly of a running job.
fn claimed(pair: &Pair, n: usize, stale: bool) -> Option<(u16, u32)> {
    let wanted = |job: &Job| job.takes > 0 && (stale || job.state == State::Running);
    let known: Vec<_> = pair
        .state
        .jobs
        .iter()
        .filter(|(_, job)| wanted(job))
        .collect();
    let (no, job) = known.get(n.checked_rem(known.len())?)?;
    let take = if stale {
        1 + u32::try_from(n).unwrap_or_default() % job.takes
    } else {
        job.takes
    };
    Some((**no, take))
}

/// The last operation id that something was done under.
fn last_op(pair: &Pair) -> Option<u16> {
    pair.done.iter().rev().find_map(|(_, op)| match op {
        Op::Grant { op, .. } | Op::Adjust { op, .. } | Op::Refund { op, .. } => Some(*op),
        Op::Freeze { op, .. } | Op::Clear { op, .. } => Some(*op),
        _ => None,
    })
}

/// A list of acts that begins with two accounts that have something.
pub(super) fn acts(mix: Mix, most: usize) -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec(act(mix), 4..most).prop_map(|mut acts| {
        let beginning = [0u8, 1].into_iter().flat_map(|account| {
            let opened = Act::Account {
                account,
                what: 9,
                n: 0,
            };
            let credit = Act::Grant {
                account,
                credits: 60,
                kind: 6,
                lives_s: 0,
                again: false,
            };
            [opened, credit]
        });
        acts.splice(0..0, beginning.chain([Act::Tick { again: false }]));
        acts
    })
}

fn act(mix: Mix) -> impl Strategy<Value = Act> {
    let (money, workers, freezes) = match mix {
        Mix::Money => (4, 2, 0),
        Mix::Workers => (1, 4, 0),
        Mix::Everything => (2, 2, 2),
    };
    let plain = prop_oneof![
        money => about_money(),
        2 => submission(),
        2 * workers => about_workers(),
        2 * workers => words(),
        1 + workers => passing(),
        freezes => (0..3u8, any::<bool>(), prop::bool::weighted(0.2))
            .prop_map(|(who, clears, again)| Act::Freeze { who, clears, again }),
    ];
    prop_oneof![
        12 => plain.clone(),
        1 => (plain, 1..3_000u64).prop_map(|(op, ms)| Act::Slow { op: Box::new(op), ms }),
    ]
}

fn again() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.15)
}

fn about_money() -> impl Strategy<Value = Act> + Clone {
    let account = 0..3u8;
    prop_oneof![
        5 => (0..2u8, 0..40i64, 0..8usize, prop_oneof![1 => Just(0u64), 3 => 0..50u64], again().boxed())
            .prop_map(|(account, credits, kind, lives_s, again)| Act::Grant { account, credits, kind, lives_s, again }),
        3 => (account.clone(), -15..10i64, again().boxed())
            .prop_map(|(account, credits, again)| Act::Correct { account, credits, again }),
        3 => (0..2u8, 0..30u16, prop::option::of(1..12i64))
            .prop_map(|(account, payment, credits)| Act::Clawback { account, payment, credits }),
        6 => (0..RECENT, prop::option::of(0..9i64), again().boxed())
            .prop_map(|(job, credits, again)| Act::Refund { job, credits, again }),
        3 => (account, 0..6u8, 0..20i64).prop_map(|(account, what, n)| Act::Account { account, what, n }),
    ]
}

fn submission() -> impl Strategy<Value = Act> + Clone {
    (
        0..2u8,
        0..20i64,
        0..3usize,
        prop_oneof![3 => Just(0u64), 1 => 1..8u64],
        0..24u16,
    )
        .prop_map(|(account, credits, priority, delay_s, key)| Act::Submit {
            account,
            credits,
            priority,
            delay_s,
            key,
        })
}

fn about_workers() -> impl Strategy<Value = Act> + Clone {
    let worker = 0..4u8;
    prop_oneof![
        9 => (worker.clone(), 1..4u32, any::<bool>())
            .prop_map(|(worker, n, low_first)| Act::Claim { worker, n, low_first }),
        4 => worker.clone().prop_map(|worker| Act::Beat { worker }),
        1 => worker.prop_map(|worker| Act::Leave { worker }),
        2 => Just(Act::Reap),
        5 => (0..RECENT, 0..6u8, 0..10usize).prop_map(|(job, what, class)| Act::Operate { job, what, class }),
    ]
}

fn words() -> impl Strategy<Value = Act> + Clone {
    let (job, stale) = (0..6usize, again().boxed());
    prop_oneof![
        3 => (job.clone(), stale.clone(), 0..8u8).prop_map(|(job, stale, what)| Act::Note { job, stale, what }),
        4 => (job.clone(), stale.clone(), 0..115i64, prop_oneof![4 => Just(0i64), 1 => 0..3i64])
            .prop_map(|(job, stale, percent, absorbed)| Act::Settle { job, stale, percent, absorbed }),
        3 => (job.clone(), stale.clone(), 0..10usize, prop::option::of(0..6u64), any::<bool>())
            .prop_map(|(job, stale, class, again_s, has_verdict)| {
                Act::Fail { job, stale, class, again_s, has_verdict }
            }),
        2 => (job, stale, 0..4u64, any::<bool>(), any::<bool>())
            .prop_map(|(job, stale, delay_s, keep, ahead)| Act::Defer { job, stale, delay_s, keep, ahead }),
    ]
}

fn passing() -> impl Strategy<Value = Act> + Clone {
    prop_oneof![
        2 => any::<bool>().prop_map(|again| Act::Tick { again }),
        3 => (1..18u64, prop::bool::weighted(0.8)).prop_map(|(s, sweeps)| Act::Live { s, sweeps }),
        1 => (20..70u64).prop_map(|s| Act::Live { s, sweeps: false }),
    ]
}
