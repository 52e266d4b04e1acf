//! Steps on the way and who may take them: checkpoints, handing over, fencing.

use meterline::domain::failure::FailureClass;
use meterline::domain::job::{Stage, State};
use meterline::store::{
    CancelOutcome, CheckpointOutcome, ClaimedJob, DeferOutcome, FailOutcome, SettleOutcome, Step,
};

use crate::support::*;

#[tokio::test]
async fn promise_07_an_intent_has_the_next_number_and_only_that() {
    let (store, raw, _, job) = running_job().await;
    for wrong in [0, 2, 7] {
        assert_eq!(
            note(&store, &job, intent(wrong)).await,
            CheckpointOutcome::OutOfOrder
        );
    }
    assert_eq!(
        note(&store, &job, intent(1)).await,
        CheckpointOutcome::Noted
    );
    // Sent again, or repeated by a worker that took over: the same submission.
    assert_eq!(
        note(&store, &job, intent(1)).await,
        CheckpointOutcome::Noted
    );
    assert_eq!(view_of(&store, &job.job).await.number("submissions"), 1);
    note(&store, &job, Step::Handle).await;
    // The provider has answered: this number is spent.
    let before = raw.dump().await;
    assert_eq!(
        note(&store, &job, intent(1)).await,
        CheckpointOutcome::OutOfOrder
    );
    assert_eq!(raw.dump().await, before);
    assert_eq!(view_of(&store, &job.job).await.number("submissions"), 1);
}

#[tokio::test]
async fn promise_07_who_takes_over_finds_intent_handle_and_artifact() {
    let (store, _, _, job) = running_job().await;
    note(&store, &job, intent(1)).await;
    let job = taken_over(&store, &job).await;
    assert_eq!((job.stage, job.submissions), (Stage::Intent, 1));
    assert!(job.intent.contains("Intent") && job.handle.is_empty());
    note(&store, &job, Step::Handle).await;
    let job = taken_over(&store, &job).await;
    assert_eq!(job.stage, Stage::Handle);
    assert!(job.intent.contains("Intent") && job.handle.contains("Handle"));
    note(&store, &job, Step::Artifact).await;
    let job = taken_over(&store, &job).await;
    assert_eq!(job.stage, Stage::Artifact);
    assert!(job.artifact.contains("Artifact"));
    assert_eq!((job.tries, job.submissions), (0, 1));
}

#[tokio::test]
async fn promise_07_a_retry_starts_without_what_the_submission_before_left() {
    let (store, _, _, job) = running_job().await;
    note(&store, &job, intent(1)).await;
    note(&store, &job, Step::Handle).await;
    note(&store, &job, Step::Artifact).await;
    fail(&store, &job, &again(0)).await;
    tick(&store).await;
    let job = claim_one(&store, "w2").await;
    assert_eq!(
        (job.stage, job.submissions, job.tries),
        (Stage::Fresh, 1, 1)
    );
    assert_eq!((job.intent, job.handle, job.artifact), Default::default());
}

#[tokio::test]
async fn promise_07_nothing_is_submitted_for_a_job_that_is_cancelled_or_out_of_time() {
    let (store, raw, _, job) = running_job().await;
    let late = store.at(T0 + 60_000);
    let before = raw.dump().await;
    assert_eq!(
        note(&late, &job, intent(1)).await,
        CheckpointOutcome::TimedOut
    );
    assert_eq!(raw.dump().await, before);
    assert_eq!(
        note(&store, &job, intent(1)).await,
        CheckpointOutcome::Noted
    );
    cancel(&store, &job.job).await;
    let before = raw.dump().await;
    assert_eq!(
        note(&store, &job, intent(1)).await,
        CheckpointOutcome::Cancelled
    );
    assert_eq!(raw.dump().await, before);
    // What the provider has given is written down all the same: it is needed to stop it.
    assert_eq!(
        note(&late, &job, Step::Handle).await,
        CheckpointOutcome::Noted
    );
}

#[tokio::test]
async fn promise_08_a_workers_words_are_refused_after_another_took_the_job() {
    let (store, raw, acme, old) = running_job().await;
    note(&store, &old, intent(1)).await;
    let new = taken_over(&store, &old).await;
    let before = raw.dump().await;
    for step in [intent(1), intent(2), Step::Handle, Step::Artifact] {
        assert_eq!(note(&store, &old, step).await, CheckpointOutcome::Fenced);
    }
    assert_eq!(
        settle(&store, &old, &settlement(35)).await,
        SettleOutcome::Fenced
    );
    assert_eq!(fail(&store, &old, &again(0)).await, FailOutcome::Fenced);
    let end = ends(FailureClass::UserInput);
    assert_eq!(fail(&store, &old, &end).await, FailOutcome::Fenced);
    for keep in [true, false] {
        assert_eq!(defer(&store, &old, 0, keep).await, DeferOutcome::Fenced);
    }
    assert_eq!(raw.dump().await, before);
    settle(&store, &new, &settlement(20)).await;
    let before = raw.dump().await;
    assert_eq!(
        settle(&store, &old, &settlement(20)).await,
        SettleOutcome::Fenced
    );
    assert_eq!(fail(&store, &old, &end).await, FailOutcome::Fenced);
    assert_eq!(raw.dump().await, before);
    assert_eq!(balance(&store, &acme).await, (80, 0));
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_08_no_token_is_no_key_to_a_job_in_nobodys_hands() {
    let (store, raw, _, job) = running_job().await;
    defer(&store, &job, 5_000, false).await;
    for state in ["scheduled", "queued", "timed_out"] {
        let at = match state {
            "scheduled" => store.at(T0),
            "queued" => store.at(T0 + 5_000),
            _ => store.at(T0 + 90_000_000),
        };
        tick(&at).await;
        assert_eq!(state_of(&at, &job.job).await, state);
        let nobody = ClaimedJob {
            token: String::new(),
            ..job.clone()
        };
        let before = raw.dump().await;
        for step in [intent(1), Step::Handle, Step::Artifact] {
            assert_eq!(note(&at, &nobody, step).await, CheckpointOutcome::Fenced);
        }
        assert_eq!(defer(&at, &nobody, 0, true).await, DeferOutcome::Fenced);
        let outcome = settle(&at, &nobody, &settlement(35)).await;
        assert!(
            !matches!(outcome, SettleOutcome::Settled { .. }),
            "{outcome:?}"
        );
        let outcome = fail(&at, &nobody, &ends(FailureClass::UserInput)).await;
        assert_ne!(outcome, ended(State::Failed));
        assert_eq!(raw.dump().await, before, "{state}");
    }
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_08_an_unknown_job_is_in_nobodys_hands() {
    let (store, raw, acme, job) = running_job().await;
    let unknown = ClaimedJob {
        job: store.new_job_id(&acme),
        ..job
    };
    let before = raw.dump().await;
    assert_eq!(
        note(&store, &unknown, intent(1)).await,
        CheckpointOutcome::Fenced
    );
    assert_eq!(
        settle(&store, &unknown, &settlement(1)).await,
        SettleOutcome::Fenced
    );
    assert_eq!(fail(&store, &unknown, &again(0)).await, FailOutcome::Fenced);
    assert_eq!(defer(&store, &unknown, 0, true).await, DeferOutcome::Fenced);
    assert_eq!(
        cancel(&store, &unknown.job).await,
        CancelOutcome::UnknownJob
    );
    assert_eq!(raw.dump().await, before);
}

#[tokio::test]
async fn what_goes_back_leaves_nothing_pending() {
    let (store, raw, _, job) = running_job().await;
    let stream = key("ready", "video:normal");
    defer(&store, &job, 1_000, false).await;
    assert_eq!(raw.run::<i64>(&["XLEN", &stream]).await, 0);
    tick(&store.at(T0 + 1_000)).await;
    let job = claim_one(&store.at(T0 + 1_000), "w1").await;
    fail(&store, &job, &again(1_000)).await;
    assert_eq!(raw.run::<i64>(&["XLEN", &stream]).await, 0);
    let left: (i64, redis::Value, redis::Value, redis::Value) =
        raw.run(&["XPENDING", &stream, "workers"]).await;
    assert_eq!(left.0, 0);
}

#[tokio::test]
async fn deferring_spends_no_try_and_forgets_what_has_its_verdict() {
    let (store, _, acme, job) = running_job().await;
    note(&store, &job, intent(1)).await;
    assert_eq!(
        defer(&store, &job, 3_000, false).await,
        DeferOutcome::Deferred
    );
    assert_eq!(balance(&store, &acme).await, (65, 35));
    tick(&store.at(T0 + 2_999)).await;
    assert!(claim(&store, "w2", 1).await.is_empty());
    tick(&store.at(T0 + 3_999)).await;
    let job = claim_one(&store, "w2").await;
    assert_eq!((job.stage, job.submissions), (Stage::Fresh, 1));
    assert_eq!((job.tries, job.takeovers), (0, 0));
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_job_handed_over_later_is_resumed_with_its_handle() {
    let (store, _, _, job) = running_job().await;
    note(&store, &job, intent(1)).await;
    note(&store, &job, Step::Handle).await;
    assert_eq!(
        defer(&store, &job, 3_000, true).await,
        DeferOutcome::Deferred
    );
    tick(&store.at(T0 + 3_000)).await;
    let job = claim_one(&store, "w2").await;
    assert_eq!((job.stage, job.submissions), (Stage::Handle, 1));
    assert!(job.handle.contains("Handle"));
    let stream = view_of(&store, &job.job).await;
    assert_eq!(stream.text("stream"), "video:resume");
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error_that_changes_nothing() {
    let (store, raw, _, job) = running_job().await;
    let (grants, aside) = (key("grants", "acme"), key("aside", "acme"));
    let work = key("work", job.job.as_str());
    let _: String = raw.run(&["RENAME", &grants, &aside]).await;
    for name in [&grants, &work] {
        let _: String = raw.run(&["SET", name, "not what it was"]).await;
    }
    let before = raw.digest().await;
    let noted = store
        .checkpoint(&job.job, &job.token, intent(1), "{}")
        .await;
    assert!(noted.is_err(), "{noted:?}");
    let settled = store.settle(&job.job, &job.token, &settlement(7)).await;
    assert!(settled.is_err(), "{settled:?}");
    let end = ends(FailureClass::ProviderFault);
    let failed = store.fail(&job.job, &job.token, &end).await;
    assert!(failed.is_err(), "{failed:?}");
    assert_eq!(raw.digest().await, before);

    let _: String = raw.run(&["RENAME", &aside, &grants]).await;
    let _: i64 = raw.run(&["DEL", &work]).await;
    settle(&store, &job, &settlement(7)).await;
    assert_sound(&store).await;
}
