//! An operator ends an open job, in every state it can be in.

use meterline::domain::failure::FailureClass;
use meterline::domain::ids::JobId;
use meterline::domain::job::State;
use meterline::store::{
    DeferOutcome, FailOutcome, ForceFailOutcome, GrantKind, HeartbeatOutcome, SettleOutcome, Step,
    Store,
};

use crate::support::*;

async fn force(store: &Store, job: &JobId) -> ForceFailOutcome {
    let class = FailureClass::Lost;
    let outcome = store.force_fail(job, class, "it is stuck", "ops").await;
    outcome.expect("force fail")
}

fn done(state: State, n: u32, replayed: bool) -> ForceFailOutcome {
    ForceFailOutcome::Ended {
        state,
        released: credits(n),
        replayed,
    }
}

#[tokio::test]
async fn promise_05_every_open_job_can_be_ended_and_everything_goes_back() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let mut delayed = job_for(&store, &acme, 10);
    delayed.delay_ms = 5_000;
    let delayed = accept(&store, &delayed).await.job;
    let mut claimed = Vec::new();
    for n in [11, 12] {
        accept(&store, &job_for(&store, &acme, n)).await;
        claimed.push(claim_one(&store, "w1").await);
    }
    defer(&store, &claimed[0], 5_000, false).await;
    let queued = accept(&store, &job_for(&store, &acme, 13)).await.job;
    let open = [
        (&delayed, 10),
        (&claimed[0].job, 11),
        (&claimed[1].job, 12),
        (&queued, 13),
    ];
    for (job, n) in open {
        assert_eq!(force(&store, job).await, done(State::Failed, n, false));
        let view = view_of(&store, job).await;
        assert_eq!(view.state(), Some(State::Failed));
        assert_eq!(
            (view.text("fail_class"), view.text("ended_by")),
            ("lost", "ops")
        );
        let index = |index| key("part", index);
        for (name, there) in [("deadlines", false), ("due", false), ("deadletters", true)] {
            let score: Option<f64> = raw.run(&["ZSCORE", &index(name), job.as_str()]).await;
            assert_eq!(score.is_some(), there, "{name}");
        }
    }
    assert_eq!(balance(&store, &acme).await, (100, 0));
    let before = raw.dump().await;
    for (job, n) in open {
        assert_eq!(force(&store, job).await, done(State::Failed, n, true));
    }
    assert_eq!(raw.dump().await, before);
    tick(&store.at(T0 + 5_000)).await;
    assert!(claim(&store.at(T0 + 5_000), "w1", 9).await.is_empty());
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_08_after_it_no_word_of_the_worker_counts_and_the_worker_is_told() {
    for word in 0..4 {
        let (store, _, acme, job) = running_job().await;
        note(&store, &job, intent(1)).await;
        assert_eq!(
            force(&store, &job.job).await,
            done(State::Failed, 35, false)
        );
        match word {
            0 => assert_eq!(
                settle(&store, &job, &settlement(35)).await,
                SettleOutcome::Fenced
            ),
            1 => {
                let end = ends(FailureClass::ProviderFault);
                assert_eq!(fail(&store, &job, &end).await, FailOutcome::Fenced);
            }
            2 => assert_eq!(fail(&store, &job, &again(0)).await, FailOutcome::Fenced),
            _ => assert_eq!(defer(&store, &job, 0, true).await, DeferOutcome::Fenced),
        }
        let queues = ["video".to_owned()];
        let beat = store.heartbeat(0, "w1", LEASE_MS, &queues, "{}", &[]).await;
        let HeartbeatOutcome::Renewed { stops, pending, .. } = beat.expect("heartbeat") else {
            panic!("the worker is lost")
        };
        assert_eq!((stops, pending), (vec![job.job.to_string()], 0));
        assert_eq!(state_of(&store, &job.job).await, "failed");
        assert_eq!(balance(&store, &acme).await, (100, 0));
        assert_sound(&store).await;
    }
}

#[tokio::test]
async fn promise_06_what_a_provider_may_still_do_is_owed() {
    for (step, owed) in [(None, 0), (Some(intent(1)), 1), (Some(Step::Handle), 1)] {
        let (store, _, _, job) = running_job().await;
        if step.is_some() {
            note(&store, &job, intent(1)).await;
        }
        if let Some(Step::Handle) = step {
            note(&store, &job, Step::Handle).await;
        }
        force(&store, &job.job).await;
        let open = store
            .obligations_of(&job.job, 1)
            .await
            .expect("obligations");
        assert_eq!(open.len(), owed, "{step:?}");
    }
}

#[tokio::test]
async fn what_was_decided_before_stands_above_the_operator() {
    let (store, _, acme, job) = running_job().await;
    cancel(&store, &job.job).await;
    assert_eq!(
        force(&store, &job.job).await,
        done(State::Cancelled, 35, false)
    );
    assert_eq!(store.dead_letter(&job.job).await.expect("a look"), None);
    assert_eq!(balance(&store, &acme).await, (100, 0));
    assert_sound(&store).await;

    let (store, _, _, job) = running_job().await;
    let late = store.at(T0 + 60_000);
    assert_eq!(
        force(&late, &job.job).await,
        done(State::TimedOut, 35, false)
    );
    let view = view_of(&store, &job.job).await;
    assert_eq!(view.text("fail_class"), "timeout");

    let store = crate::support::store().await;
    let acme = funded(&store, "acme", 5).await;
    let waiting = accept(&store, &job_for(&store, &acme, 5)).await.job;
    let late = store.at(T0 + options().queue_ttl_ms);
    assert_eq!(
        force(&late, &waiting).await,
        done(State::TimedOut, 5, false)
    );
    assert_sound(&store).await;
}

#[tokio::test]
async fn what_has_ended_stays_as_it_is() {
    let (store, raw, acme, job) = running_job().await;
    settle(&store, &job, &settlement(28)).await;
    let before = raw.dump().await;
    assert_eq!(
        force(&store, &job.job).await,
        ForceFailOutcome::Over(State::Succeeded)
    );
    let nobody = store.new_job_id(&acme);
    assert_eq!(force(&store, &nobody).await, ForceFailOutcome::UnknownJob);
    assert_eq!(raw.dump().await, before);
}

#[tokio::test]
async fn the_class_says_whose_fault_it_was_when_a_grant_expired_meanwhile() {
    for (class, back) in [(FailureClass::Lost, 35), (FailureClass::ContentPolicy, 0)] {
        let store = crate::support::store().await;
        let acme = funded(&store, "acme", 0).await;
        give(
            &store,
            &acme,
            35,
            GrantKind::Promo,
            Some(T0 + 1_000),
            "promo",
        )
        .await;
        let job = accept(&store, &job_for(&store, &acme, 35)).await.job;
        let late = store.at(T0 + 2_000);
        let outcome = late.force_fail(&job, class, "stuck", "ops").await;
        assert_eq!(outcome.expect("force fail"), done(State::Failed, 35, false));
        assert_eq!(balance(&late, &acme).await, (back, 0), "{class}");
        assert_sound(&late).await;
    }
}

#[tokio::test]
async fn the_log_of_acts_says_who_ended_it_and_why() {
    let (store, _, _, job) = running_job().await;
    force(&store, &job.job).await;
    force(&store, &job.job).await;
    let acts = store.acts(0, "-", 9).await.expect("acts");
    assert_eq!(acts.len(), 1);
    assert_eq!(
        (acts[0].act.as_str(), acts[0].reason.as_str()),
        ("force_fail", "it is stuck")
    );
    assert_eq!(
        (acts[0].subject.as_str(), acts[0].actor.as_str()),
        (job.job.as_str(), "ops")
    );
}
