//! How jobs end and what each ending does with the money.

use meterline::domain::credits::Ucr;
use meterline::domain::failure::FailureClass;
use meterline::domain::job::State;
use meterline::store::{DeferOutcome, FailOutcome, Failing, SettleOutcome, Settlement, Step};

use crate::support::*;

#[tokio::test]
async fn promise_03_a_settlement_sent_again_gives_its_first_answer() {
    let (store, raw, acme, job) = running_job().await;
    let settled = |replayed| SettleOutcome::Settled {
        captured: credits(28),
        released: credits(7),
        replayed,
    };
    assert_eq!(settle(&store, &job, &settlement(28)).await, settled(false));
    let before = raw.dump().await;
    assert_eq!(settle(&store, &job, &settlement(28)).await, settled(true));
    // However much later: the answer belongs to the job.
    let late = store.at(T0 + 86_400_000);
    assert_eq!(settle(&late, &job, &settlement(28)).await, settled(true));
    assert_eq!(raw.dump().await, before);
    assert_eq!(balance(&store, &acme).await, (72, 0));
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_03_a_settlement_with_other_figures_is_refused_by_type() {
    let (store, raw, _, job) = running_job().await;
    settle(&store, &job, &settlement(28)).await;
    let before = raw.dump().await;
    let mismatch = SettleOutcome::Mismatch {
        captured: credits(28),
    };
    assert_eq!(settle(&store, &job, &settlement(29)).await, mismatch);
    let more_absorbed = Settlement {
        absorbed: Ucr::new(1).expect("an amount"),
        ..settlement(28)
    };
    assert_eq!(settle(&store, &job, &more_absorbed).await, mismatch);
    assert_eq!(settle(&store, &job, &settlement(36)).await, mismatch);
    assert_eq!(raw.dump().await, before);
    assert_sound(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_03_of_many_endings_at_once_exactly_one_moves_the_money() {
    let (store, _, acme, job) = running_job().await;
    let mut words = Vec::new();
    for n in 0..30u32 {
        let (store, job) = (store.clone(), job.clone());
        words.push(tokio::spawn(async move {
            match n % 3 {
                0 => u32::from(matches!(
                    settle(&store, &job, &settlement(20)).await,
                    SettleOutcome::Settled {
                        replayed: false,
                        ..
                    }
                )),
                1 => u32::from(fail(&store, &job, &again(1_000)).await == FailOutcome::Rescheduled),
                _ => u32::from(defer(&store, &job, 0, false).await == DeferOutcome::Deferred),
            }
        }));
    }
    let mut first = 0;
    for word in words {
        first += word.await.expect("a word");
    }
    assert_eq!(first, 1);
    let view = money(&store, &acme).await;
    assert_eq!(
        view.captured_ucr + view.available_ucr + view.held_ucr,
        100_000_000
    );
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_04_a_charge_above_the_ceiling_is_refused_without_a_trace() {
    let (store, raw, acme, job) = running_job().await;
    let before = raw.dump().await;
    let over = Settlement {
        captured: Ucr::new(35_000_001).expect("an amount"),
        ..settlement(0)
    };
    assert_eq!(
        settle(&store, &job, &over).await,
        SettleOutcome::AboveCeiling
    );
    assert_eq!(raw.dump().await, before);
    assert!(matches!(
        settle(&store, &job, &settlement(35)).await,
        SettleOutcome::Settled { .. }
    ));
    assert_eq!(balance(&store, &acme).await, (65, 0));
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_04_what_the_quote_does_not_cover_is_booked_to_the_platform() {
    let (store, _, acme, job) = running_job().await;
    let long = Settlement {
        absorbed: credits(14),
        ..settlement(35)
    };
    settle(&store, &job, &long).await;
    assert_eq!(balance(&store, &acme).await, (65, 0));
    assert_eq!(
        view_of(&store, &job.job).await.number("absorbed_ucr"),
        14_000_000
    );
    let report = meterline::ledger::audit(&store).await.expect("audit");
    assert_eq!(report.books["absorbed"], -14_000_000);
    assert_eq!(report.books["revenue"], 49_000_000);
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_04_many_tries_are_charged_once_and_within_the_first_ceiling() {
    let (store, _, acme, mut job) = running_job().await;
    for n in 1..=3 {
        note(&store, &job, intent(n)).await;
        assert_eq!(
            fail(&store, &job, &again(0)).await,
            FailOutcome::Rescheduled
        );
        assert_eq!(balance(&store, &acme).await, (65, 35));
        tick(&store.at(T0 + u64::from(n) * 1_000)).await;
        job = claim_one(&store, "w1").await;
        assert_eq!((job.ceiling, job.submissions), (credits(35), n));
    }
    let over = Settlement {
        captured: Ucr::new(35_000_001).expect("an amount"),
        ..settlement(0)
    };
    assert_eq!(
        settle(&store, &job, &over).await,
        SettleOutcome::AboveCeiling
    );
    settle(&store, &job, &settlement(35)).await;
    assert_eq!(balance(&store, &acme).await, (65, 0));
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_05_every_failure_gives_the_whole_hold_back() {
    for class in FailureClass::ALL {
        let (store, _, acme, job) = running_job().await;
        note(&store, &job, intent(1)).await;
        assert_eq!(
            fail(&store, &job, &ends(class)).await,
            ended(State::Failed),
            "{class}"
        );
        assert_eq!(balance(&store, &acme).await, (100, 0), "{class}");
        let view = view_of(&store, &job.job).await;
        assert_eq!(view.text("fail_class"), class.as_str());
        assert_eq!(view.text("message"), "it went wrong");
        assert_eq!(
            (view.number("released_ucr"), view.number("captured_ucr")),
            (35_000_000, 0)
        );
        // The same word again changes nothing and says the same.
        assert_eq!(fail(&store, &job, &ends(class)).await, ended(State::Failed));
        assert_eq!(
            settle(&store, &job, &settlement(1)).await,
            SettleOutcome::Fenced
        );
        assert_sound(&store).await;
    }
}

#[tokio::test]
async fn promise_06_after_the_deadline_a_success_is_not_charged() {
    let (store, _, acme, job) = running_job().await;
    note(&store, &job, intent(1)).await;
    note(&store, &job, Step::Handle).await;
    let late = store.at(T0 + 60_000);
    assert_eq!(
        settle(&late, &job, &settlement(35)).await,
        SettleOutcome::TimedOut
    );
    assert_eq!(balance(&late, &acme).await, (100, 0));
    assert_eq!(state_of(&late, &job.job).await, "timed_out");
    // Sent again, the answer is the same.
    assert_eq!(
        settle(&late, &job, &settlement(35)).await,
        SettleOutcome::TimedOut
    );
    assert_eq!(late.obligations().await.expect("obligations").len(), 1);
    assert_sound(&late).await;
}

#[tokio::test]
async fn promise_06_a_success_right_before_the_deadline_is_charged() {
    let (store, _, acme, job) = running_job().await;
    let in_time = store.at(T0 + 59_999);
    assert!(matches!(
        settle(&in_time, &job, &settlement(35)).await,
        SettleOutcome::Settled { .. }
    ));
    assert_eq!(balance(&in_time, &acme).await, (65, 0));
}

#[tokio::test]
async fn promise_06_failing_after_the_deadline_is_a_timeout() {
    let (store, _, acme, job) = running_job().await;
    let late = store.at(T0 + 60_000);
    assert_eq!(fail(&late, &job, &again(0)).await, ended(State::TimedOut));
    assert_eq!(balance(&late, &acme).await, (100, 0));
    let (store, _, acme, job) = running_job().await;
    let late = store.at(T0 + 60_000);
    assert_eq!(defer(&late, &job, 0, true).await, DeferOutcome::Ended);
    assert_eq!(state_of(&late, &job.job).await, "timed_out");
    assert_eq!(balance(&late, &acme).await, (100, 0));
    assert_sound(&late).await;
}

#[tokio::test]
async fn promise_06_a_submission_without_a_verdict_outlives_its_job() {
    let without_verdict = |again| Failing {
        has_verdict: false,
        again,
        ..ends(FailureClass::Timeout)
    };
    for once_more in [None, again(1_000).again] {
        let (store, _, _, job) = running_job().await;
        note(&store, &job, intent(1)).await;
        note(&store, &job, Step::Handle).await;
        fail(&store, &job, &without_verdict(once_more)).await;
        let open = store.obligations().await.expect("obligations");
        assert_eq!(open.len(), 1, "{once_more:?}");
        assert_eq!(open[0].job, job.job);
        assert_eq!(open[0].submission, 1);
        assert!(open[0].work.contains("Handle"), "{:?}", open[0]);
        assert_sound(&store).await;
    }
}

#[tokio::test]
async fn promise_06_a_verdict_or_nothing_sent_leaves_no_obligation() {
    let (store, _, _, job) = running_job().await;
    note(&store, &job, intent(1)).await;
    fail(&store, &job, &again(0)).await;
    tick(&store.at(T0 + 1_000)).await;
    let job = claim_one(&store, "w1").await;
    let nothing_sent = Failing {
        has_verdict: false,
        ..ends(FailureClass::Timeout)
    };
    fail(&store, &job, &nothing_sent).await;
    assert!(store.obligations().await.expect("obligations").is_empty());
    let (store, _, _, job) = running_job().await;
    note(&store, &job, intent(1)).await;
    settle(&store, &job, &settlement(1)).await;
    assert!(store.obligations().await.expect("obligations").is_empty());
}

#[tokio::test]
async fn the_timeline_tells_a_jobs_life() {
    let (store, _, _, job) = running_job().await;
    note(&store, &job, intent(1)).await;
    note(&store, &job, Step::Handle).await;
    note(&store, &job, Step::Artifact).await;
    settle(&store, &job, &settlement(28)).await;
    let timeline = store.timeline(&job.job).await.expect("timeline");
    let events: Vec<&str> = timeline.iter().map(|line| line.event.as_str()).collect();
    assert_eq!(
        events,
        [
            "submitted",
            "running",
            "intent",
            "handle",
            "artifact",
            "succeeded"
        ]
    );
    assert!(timeline.iter().all(|line| line.at_ms == T0));
}

#[tokio::test]
async fn a_timeline_is_bounded_and_always_has_the_end() {
    let (store, _) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 35).await;
    let mut new = job_for(&store, &acme, 35);
    new.deadline_ms = 86_400_000;
    accept(&store, &new).await;
    let mut job = claim_one(&store, "w1").await;
    for _ in 0..200 {
        defer(&store, &job, 0, false).await;
        job = claim_one(&store, "w1").await;
    }
    settle(&store, &job, &settlement(28)).await;
    let timeline = store.timeline(&job.job).await.expect("timeline");
    assert!(timeline.len() < 400, "{}", timeline.len());
    let last = timeline.last().map(|line| line.event.as_str());
    assert_eq!(last, Some("succeeded"));
}
