//! The same operations on the real store, and its answers in the reference's words.

use std::collections::{BTreeMap, BTreeSet};

use meterline::domain::job::State;
use meterline::domain::reference::{Handed, Note, Op, Reply, Rules, Scope};
use meterline::store::{
    self, Again, Failing, FreezeAct, NewJob, Options, Payer, Settlement, Store,
};

use super::answers::*;
use super::credit::{about_account, about_credit};
use crate::support::*;

pub(super) const QUEUE: &str = "video";

/// The real store and the tokens that its claims gave.
pub(super) struct Real {
    store: Store,
    tokens: BTreeMap<(u16, u32), String>,
}

/// The same limits for the store.
pub(super) fn options_of(rules: &Rules) -> Options {
    Options {
        queue_room: u64::try_from(rules.open_max).expect("small"),
        lane_max: u64::try_from(rules.lane_max).expect("small"),
        max_active: rules.max_active,
        grants_max: u32::try_from(rules.grants_max).expect("small"),
        queue_ttl_ms: rules.queue_ttl_ms,
        takeovers_max: rules.takeovers_max,
        cancel_grace_ms: rules.cancel_grace_ms,
        retention_ms: rules.retention_ms,
        dead_letter_ms: rules.dead_letter_ms,
        ..options()
    }
}

impl Real {
    pub(super) async fn open(url: &str, rules: &Rules) -> Self {
        let store = Store::open(url, options_of(rules)).await.expect("a store");
        Self {
            store,
            tokens: BTreeMap::new(),
        }
    }

    pub(super) fn at(&self, at_ms: u64) -> Store {
        self.store.at(at_ms)
    }

    fn token(&self, job: u16, take: u32) -> String {
        // A claim that was never made has a token that was never given.
        self.tokens
            .get(&(job, take))
            .cloned()
            .unwrap_or_else(|| format!("{take}-none"))
    }

    /// Does it, and says what came back.
    pub(super) async fn apply(&mut self, rules: &Rules, at_ms: u64, op: &Op) -> Reply {
        let store = self.store.at(at_ms);
        match *op {
            Op::Open { .. }
            | Op::Close { .. }
            | Op::Reopen { .. }
            | Op::MaxActive { .. }
            | Op::Caps { .. } => about_account(&store, op).await,
            Op::Grant { .. } | Op::Adjust { .. } | Op::Refund { .. } => {
                about_credit(&store, op).await
            }
            Op::Submit { .. } => submit(&store, rules, op).await,
            Op::Claim {
                worker,
                n,
                low_first,
            } => self.claim(&store, rules, worker, n, low_first).await,
            Op::Note { .. } | Op::Settle { .. } | Op::Fail { .. } | Op::Defer { .. } => {
                self.word(&store, op).await
            }
            Op::Cancel { .. } | Op::ForceFail { .. } | Op::Redrive { .. } | Op::Drop { .. } => {
                about_job(&store, op).await
            }
            Op::Beat { .. } | Op::Leave { .. } | Op::Reap { .. } | Op::Tick { .. } => {
                upkeep(&store, rules, op).await
            }
            Op::Freeze { .. } | Op::Clear { .. } => freeze(&store, op).await,
        }
    }

    async fn claim(
        &mut self,
        store: &Store,
        rules: &Rules,
        worker: u8,
        n: u32,
        low_first: bool,
    ) -> Reply {
        let slots = [(QUEUE.to_owned(), n)];
        let name = format!("w{worker}");
        let outcome = store
            .claim(0, &name, rules.lease_ms, &slots, low_first)
            .await;
        let claimed = match outcome.expect("claim") {
            store::ClaimOutcome::Lost => return Reply::Lost,
            store::ClaimOutcome::Claimed(claimed) => claimed,
        };
        let mut jobs = Vec::new();
        for job in claimed.jobs {
            let no = job_no(job.job.as_str());
            let take = job
                .token
                .split('-')
                .next()
                .and_then(|n| n.parse().ok())
                .expect("a counter");
            self.tokens.insert((no, take), job.token);
            jobs.push(Handed {
                job: no,
                take,
                stage: job.stage,
                tries: job.tries,
                takeovers: job.takeovers,
                submissions: job.submissions,
                left_ms: job.left_ms,
            });
        }
        Reply::Claimed {
            jobs,
            ended: claimed.ended,
        }
    }

    /// What a worker says of its job.
    async fn word(&self, store: &Store, op: &Op) -> Reply {
        match *op {
            Op::Note { job, take, note } => {
                let step = match note {
                    Note::Intent(submission) => store::Step::Intent { submission },
                    Note::Handle => store::Step::Handle,
                    Note::Artifact => store::Step::Artifact,
                };
                let outcome = store
                    .checkpoint(&job_id(job), &self.token(job, take), step, "{}")
                    .await;
                match outcome.expect("checkpoint") {
                    store::CheckpointOutcome::Noted => Reply::Noted,
                    store::CheckpointOutcome::Fenced => Reply::Fenced,
                    store::CheckpointOutcome::Cancelled => Reply::Ended(State::Cancelled),
                    store::CheckpointOutcome::TimedOut => Reply::Ended(State::TimedOut),
                    store::CheckpointOutcome::OutOfOrder => Reply::OutOfOrder,
                }
            }
            Op::Settle {
                job,
                take,
                ucr: captured,
                absorbed_ucr,
            } => {
                let settlement = Settlement {
                    captured: ucr(captured),
                    absorbed: ucr(absorbed_ucr),
                    ..settlement(0)
                };
                let outcome = store
                    .settle(&job_id(job), &self.token(job, take), &settlement)
                    .await;
                match outcome.expect("settle") {
                    store::SettleOutcome::Settled {
                        captured,
                        released,
                        replayed,
                    } => Reply::Settled {
                        captured_ucr: captured.get(),
                        released_ucr: released.get(),
                        replayed,
                    },
                    store::SettleOutcome::Mismatch { captured } => Reply::SettledOtherwise {
                        captured_ucr: captured.get(),
                    },
                    store::SettleOutcome::Fenced => Reply::Fenced,
                    store::SettleOutcome::TimedOut => Reply::Ended(State::TimedOut),
                    store::SettleOutcome::Cancelled => Reply::Ended(State::Cancelled),
                    store::SettleOutcome::AboveCeiling => Reply::AboveCeiling,
                }
            }
            Op::Fail {
                job,
                take,
                class,
                again,
                has_verdict,
            } => {
                let again = again.map(|(delay_ms, tries)| Again {
                    delay_ms,
                    tries,
                    route: 0,
                });
                let failing = Failing {
                    class,
                    message: "no luck".to_owned(),
                    has_verdict,
                    again,
                };
                let outcome = store
                    .fail(&job_id(job), &self.token(job, take), &failing)
                    .await;
                match outcome.expect("fail") {
                    store::FailOutcome::Rescheduled => Reply::Rescheduled,
                    store::FailOutcome::Ended(state) => Reply::Ended(state),
                    store::FailOutcome::Fenced => Reply::Fenced,
                }
            }
            Op::Defer {
                job,
                take,
                delay_ms,
                keep,
                ahead,
            } => {
                let (id, token) = (job_id(job), self.token(job, take));
                let outcome = if ahead {
                    store.hand_over(&id, &token, keep).await
                } else {
                    store.defer(&id, &token, delay_ms, "later", keep).await
                };
                match outcome.expect("defer") {
                    store::DeferOutcome::Deferred => Reply::Deferred,
                    store::DeferOutcome::Fenced => Reply::Fenced,
                    // The store does not say how; its record does.
                    store::DeferOutcome::Ended => {
                        Reply::Ended(state_of_word(&state_of(store, &id).await))
                    }
                }
            }
            ref other => panic!("no worker says {other:?}"),
        }
    }
}

async fn submit(store: &Store, rules: &Rules, op: &Op) -> Reply {
    let Op::Submit {
        account,
        job,
        ucr: amount,
        priority,
        delay_ms,
        key,
    } = *op
    else {
        panic!("no submission: {op:?}");
    };
    let new = NewJob {
        job: job_id(job),
        // Two requests are the same where they hold the same.
        fingerprint: format!("{amount:x}"),
        ceiling: ucr(amount),
        priority,
        delay_ms,
        deadline_ms: rules.deadline_ms,
        idempotency_key: key.map(|key| format!("k-{key}").parse().expect("a key")),
        ..job_for(store, &account_id(account), 1)
    };
    match store.submit(&new).await.expect("submit") {
        store::SubmitOutcome::Accepted(submitted) => Reply::Held {
            job: job_no(submitted.job.as_str()),
            hold_ucr: submitted.hold.get(),
            state: submitted.state,
            replayed: submitted.replayed,
        },
        store::SubmitOutcome::Refused(refusal) => refused(refusal),
    }
}

async fn about_job(store: &Store, op: &Op) -> Reply {
    match *op {
        Op::Cancel { job } => match cancel(store, &job_id(job)).await {
            store::CancelOutcome::Cancelled { released } => Reply::Cancelled {
                released_ucr: released.get(),
            },
            store::CancelOutcome::Cancelling => Reply::Cancelling,
            store::CancelOutcome::Ended(state) => Reply::Over(state),
            store::CancelOutcome::UnknownJob => Reply::UnknownJob,
        },
        Op::ForceFail { job, class } => {
            match store
                .force_fail(&job_id(job), class, "to see", "tests")
                .await
                .expect("force fail")
            {
                store::ForceFailOutcome::Ended {
                    state,
                    released,
                    replayed,
                } => Reply::ForceEnded {
                    state,
                    released_ucr: released.get(),
                    replayed,
                },
                store::ForceFailOutcome::Over(state) => Reply::Over(state),
                store::ForceFailOutcome::UnknownJob => Reply::UnknownJob,
            }
        }
        Op::Redrive { dead, job, house } => {
            let request = store::Redrive {
                dead: job_id(dead),
                job: job_id(job),
                payer: if house { Payer::House } else { Payer::Account },
                reason: "to see".to_owned(),
                actor: "tests".to_owned(),
            };
            redriven(store.redrive(&request).await.expect("redrive"))
        }
        Op::Drop { job } => match store
            .drop_dead(&job_id(job), "to see", "tests")
            .await
            .expect("drop")
        {
            store::DropOutcome::Dropped { replayed, .. } => Reply::Dropped { replayed },
            store::DropOutcome::Redriven(job) => Reply::RedrivenAs {
                job: job_no(job.as_str()),
            },
            store::DropOutcome::NotDead(state) => Reply::NotDead {
                state: state_of_word(&state),
            },
            store::DropOutcome::UnknownJob => Reply::UnknownJob,
        },
        ref other => panic!("{other:?} is not about a job"),
    }
}

async fn upkeep(store: &Store, rules: &Rules, op: &Op) -> Reply {
    match *op {
        Op::Beat { worker } => {
            let (name, queues) = (format!("w{worker}"), [QUEUE.to_owned()]);
            let outcome = store
                .heartbeat(0, &name, rules.lease_ms, &queues, "{}", &[])
                .await;
            match outcome.expect("heartbeat") {
                store::HeartbeatOutcome::Renewed { stops, pending, .. } => {
                    let stops: BTreeSet<u16> = stops.iter().map(|id| job_no(id)).collect();
                    Reply::Renewed { stops, pending }
                }
                store::HeartbeatOutcome::Lost => Reply::Lost,
            }
        }
        Op::Leave { worker } => {
            match store
                .leave(0, &format!("w{worker}"), "{}")
                .await
                .expect("leave")
            {
                true => Reply::Left,
                false => Reply::Gone,
            }
        }
        Op::Reap { .. } => match store.reap(0, rules.lease_ms).await.expect("reap") {
            store::ReapOutcome::Away => Reply::Away,
            store::ReapOutcome::Reaped {
                workers,
                jobs,
                orphans,
                more,
            } => {
                assert!(orphans == 0 && !more, "nothing stands for no job");
                Reply::Reaped {
                    workers: workers.iter().map(|name| worker_no(name)).collect(),
                    jobs: jobs.iter().map(|id| job_no(id)).collect(),
                }
            }
        },
        Op::Tick { again } => {
            match store
                .tick(0, rules.sweep_ms, rules.lease_ms, again)
                .await
                .expect("tick")
            {
                store::TickOutcome::Recent => Reply::Recent,
                store::TickOutcome::Ticked {
                    due,
                    ended,
                    expired,
                    forgotten,
                    admitted,
                    more,
                    set_back_ms,
                } => {
                    assert!(
                        !more && set_back_ms == 0,
                        "a small house with a sound clock"
                    );
                    Reply::Ticked {
                        due,
                        ended,
                        expired,
                        forgotten,
                        admitted,
                    }
                }
            }
        }
        ref other => panic!("{other:?} is no upkeep"),
    }
}

async fn freeze(store: &Store, op: &Op) -> Reply {
    let (Op::Freeze { scope, op: id } | Op::Clear { scope, op: id }) = *op else {
        panic!("{op:?} freezes nothing");
    };
    let act = FreezeAct {
        scope: match scope {
            Scope::Account(account) => store::Scope::Account(account_id(account)),
            Scope::Partition => store::Scope::Partition(0),
        },
        reason: "to see".to_owned(),
        actor: "tests".to_owned(),
        operation: operation(id),
    };
    if matches!(op, Op::Freeze { .. }) {
        return match store.freeze(&act, &[]).await.expect("freeze") {
            store::FreezeOutcome::Frozen { replayed, .. } => Reply::FreezeDone { replayed },
            store::FreezeOutcome::Already(_) => Reply::AlreadyFrozen,
            store::FreezeOutcome::UnknownAccount => Reply::UnknownAccount,
            store::FreezeOutcome::Mismatch => Reply::FreezeMismatch,
        };
    }
    match store.clear(&act).await.expect("clear") {
        store::ClearOutcome::Cleared {
            parked, replayed, ..
        } => Reply::Cleared { parked, replayed },
        store::ClearOutcome::NotFrozen => Reply::NotFrozen,
        store::ClearOutcome::Mismatch => Reply::FreezeMismatch,
    }
}
