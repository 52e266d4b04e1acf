//! Cancelling a job, in every state it can be in.

use meterline::domain::failure::FailureClass;
use meterline::domain::job::State;
use meterline::store::{CancelOutcome, DeferOutcome, GrantKind, SettleOutcome, Step, Store};

use crate::support::*;

#[tokio::test]
async fn promise_05_cancelling_a_job_that_waits_gives_everything_back_at_once() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let mut delayed = job_for(&store, &acme, 35);
    delayed.delay_ms = 10_000;
    let delayed = accept(&store, &delayed).await.job;
    let queued = accept(&store, &job_for(&store, &acme, 35)).await.job;
    for id in [&delayed, &queued] {
        let outcome = cancel(&store, id).await;
        assert_eq!(
            outcome,
            CancelOutcome::Cancelled {
                released: credits(35)
            }
        );
        assert_eq!(state_of(&store, id).await, "cancelled");
        for index in ["due", "deadlines"] {
            let score: Option<f64> = raw.run(&["ZSCORE", &key("part", index), id.as_str()]).await;
            assert_eq!(score, None, "{index}");
        }
        assert_eq!(
            cancel(&store, id).await,
            CancelOutcome::Ended(State::Cancelled)
        );
    }
    tick(&store.at(T0 + 10_000)).await;
    assert!(claim(&store.at(T0 + 10_000), "w1", 10).await.is_empty());
    assert_eq!(balance(&store, &acme).await, (100, 0));
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_06_cancelling_a_deferred_job_leaves_what_the_provider_still_does() {
    let (store, _, acme, job) = running_job().await;
    note(&store, &job, intent(1)).await;
    note(&store, &job, Step::Handle).await;
    defer(&store, &job, 5_000, true).await;
    let outcome = cancel(&store, &job.job).await;
    assert_eq!(
        outcome,
        CancelOutcome::Cancelled {
            released: credits(35)
        }
    );
    assert_eq!(balance(&store, &acme).await, (100, 0));
    let open = store.obligations().await.expect("obligations");
    assert_eq!(open.len(), 1);
    assert!(open[0].work.contains("Handle"));
    tick(&store.at(T0 + 5_000)).await;
    assert!(claim(&store, "w1", 10).await.is_empty());
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_05_a_cancel_beats_every_later_word_of_the_worker() {
    for word in 0..4 {
        let (store, _, acme, job) = running_job().await;
        assert_eq!(cancel(&store, &job.job).await, CancelOutcome::Cancelling);
        assert_eq!(
            balance(&store, &acme).await,
            (65, 35),
            "the worker is asked first"
        );
        match word {
            0 => {
                let outcome = settle(&store, &job, &settlement(35)).await;
                assert_eq!(outcome, SettleOutcome::Cancelled);
                assert_eq!(settle(&store, &job, &settlement(35)).await, outcome);
            }
            1 => {
                let end = ends(FailureClass::ProviderFault);
                assert_eq!(fail(&store, &job, &end).await, ended(State::Cancelled));
            }
            2 => assert_eq!(fail(&store, &job, &again(0)).await, ended(State::Cancelled)),
            _ => assert_eq!(defer(&store, &job, 0, true).await, DeferOutcome::Ended),
        }
        assert_eq!(state_of(&store, &job.job).await, "cancelled", "word {word}");
        assert_eq!(balance(&store, &acme).await, (100, 0), "word {word}");
        assert_sound(&store).await;
    }
}

#[tokio::test]
async fn cancelling_twice_or_after_the_end_says_so_and_changes_nothing() {
    let (store, raw, _, job) = running_job().await;
    cancel(&store, &job.job).await;
    let before = raw.dump().await;
    assert_eq!(
        cancel(&store.at(T0 + 5_000), &job.job).await,
        CancelOutcome::Cancelling
    );
    assert_eq!(raw.dump().await, before);
    let (store, raw, _, job) = running_job().await;
    settle(&store, &job, &settlement(28)).await;
    let before = raw.dump().await;
    assert_eq!(
        cancel(&store, &job.job).await,
        CancelOutcome::Ended(State::Succeeded)
    );
    assert_eq!(raw.dump().await, before);
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_cancelled_job_that_could_have_moved_up_stays_cancelled() {
    let url = fresh_url();
    let with = |max_active| meterline::store::Options {
        max_active,
        ..options()
    };
    let narrow = Store::open(&url, with(1)).await.expect("a store").at(T0);
    let acme = funded(&narrow, "acme", 9).await;
    let mut jobs = Vec::new();
    for _ in 0..2 {
        jobs.push(accept(&narrow, &job_for(&narrow, &acme, 1)).await.job);
    }
    // The limit was raised: the last one sees room for all in the lane, itself among them.
    let wide = Store::open(&url, with(5)).await.expect("a store").at(T0);
    jobs.push(accept(&wide, &job_for(&wide, &acme, 1)).await.job);
    cancel(&wide, &jobs[2]).await;
    assert_eq!(state_of(&wide, &jobs[2]).await, "cancelled");
    let claimed = claim(&wide, "w1", 9).await.into_iter();
    assert_eq!(claimed.map(|job| job.job).collect::<Vec<_>>(), jobs[..2]);
    assert_eq!(balance(&wide, &acme).await, (7, 2));
    assert_sound(&wide).await;
}

#[tokio::test]
async fn promise_06_deferring_a_cancelled_job_owes_only_what_has_no_verdict() {
    for (keep, owed) in [(false, 0), (true, 1)] {
        let (store, _, acme, job) = running_job().await;
        note(&store, &job, intent(1)).await;
        cancel(&store, &job.job).await;
        assert_eq!(defer(&store, &job, 0, keep).await, DeferOutcome::Ended);
        let open = store.obligations().await.expect("obligations");
        assert_eq!(open.len(), owed, "keep: {keep}");
        assert_eq!(balance(&store, &acme).await, (100, 0));
    }
}

#[tokio::test]
async fn a_cancel_behind_the_clock_finds_a_job_that_has_timed_out_swept_or_not() {
    let store = store().await;
    let acme = funded(&store, "acme", 0).await;
    let expires = Some(T0 + 50_000);
    give(&store, &acme, 10, GrantKind::Daily, expires, "day").await;
    let job = accept(&store, &job_for(&store, &acme, 10)).await.job;
    let claimed = claim_one(&store, "w1").await;
    defer(&store, &claimed, 600_000, false).await;
    // The deadline passes, the daily credit expires, and nobody sweeps.
    let late = store.at(T0 + 60_000);
    assert_eq!(
        cancel(&late, &job).await,
        CancelOutcome::Ended(State::TimedOut)
    );
    assert_eq!(state_of(&store, &job).await, "timed_out");
    // It was our fault: the credit comes back as grace.
    assert_eq!(balance(&late, &acme).await, (10, 0));
    assert_eq!(
        cancel(&late, &job).await,
        CancelOutcome::Ended(State::TimedOut)
    );
    assert_sound(&late).await;
}
