//! Many items in one call: each is checked and written as if it had come alone.

use meterline::domain::failure::FailureClass;
use meterline::domain::ids::IdempotencyKey;
use meterline::domain::job::State;
use meterline::store::{
    CheckpointOutcome, ClaimedJob, Error, EventId, FailOutcome, NewJob, Noted, SettleOutcome,
    Store, SubmitOutcome, SubmitRefusal, Word,
};

use crate::support::*;

fn word<T>(job: &ClaimedJob, what: T) -> Word<T> {
    Word {
        job: job.job.clone(),
        token: job.token.clone(),
        what,
    }
}

/// A store with so many running jobs of one account, 10 credits each.
async fn running(n: u32) -> (Store, Raw, Vec<ClaimedJob>) {
    let (store, raw) = store_and_raw(options()).await;
    let store = store.at(T0);
    let acme = funded(&store, "acme", 1_000).await;
    for _ in 0..n {
        accept(&store, &job_for(&store, &acme, 10)).await;
    }
    let jobs = claim(&store, "w1", n).await;
    assert_eq!(jobs.len(), n as usize);
    (store, raw, jobs)
}

fn settled(captured: u32, replayed: bool) -> SettleOutcome {
    SettleOutcome::Settled {
        captured: credits(captured),
        released: credits(10 - captured),
        replayed,
    }
}

async fn settle_all(store: &Store, jobs: &[ClaimedJob], captured: u32) -> Vec<SettleOutcome> {
    let words: Vec<_> = jobs
        .iter()
        .map(|job| word(job, settlement(captured)))
        .collect();
    let answers = store.settle_many(&words).await;
    answers.into_iter().map(|a| a.expect("an answer")).collect()
}

fn held(answer: &Result<SubmitOutcome, Error>) -> Option<bool> {
    match answer.as_ref().expect("an answer") {
        SubmitOutcome::Accepted(submitted) => Some(submitted.replayed),
        SubmitOutcome::Refused(_) => None,
    }
}

#[tokio::test]
async fn promise_03_settlements_of_one_call_end_each_job_once() {
    let (store, raw, jobs) = running(5).await;
    assert_eq!(
        settle_all(&store, &jobs, 7).await,
        vec![settled(7, false); 5]
    );
    let before = raw.dump().await;
    assert_eq!(
        settle_all(&store, &jobs, 7).await,
        vec![settled(7, true); 5]
    );
    assert_eq!(raw.dump().await, before);
    assert_eq!(balance(&store, &account("acme")).await, (965, 0));
    assert_sound(&store).await;
    assert_tallies(&store).await;
}

#[tokio::test]
async fn the_same_job_twice_in_one_call_is_settled_once() {
    let (store, _, jobs) = running(1).await;
    let twice = [jobs[0].clone(), jobs[0].clone()];
    let answers = settle_all(&store, &twice, 7).await;
    assert_eq!(answers, [settled(7, false), settled(7, true)]);
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_09_each_settlement_of_a_call_has_an_answer_of_its_own() {
    let (store, _, jobs) = running(4).await;
    let zombie = ClaimedJob {
        token: "1-0".to_owned(),
        ..jobs[1].clone()
    };
    cancel(&store, &jobs[2].job).await;
    let words = [
        word(&jobs[0], settlement(7)),
        word(&zombie, settlement(7)),
        word(&jobs[2], settlement(7)),
        word(&jobs[3], settlement(11)),
    ];
    let answers = store.settle_many(&words).await;
    let answers: Vec<_> = answers.into_iter().map(|a| a.expect("an answer")).collect();
    let expected = [
        settled(7, false),
        SettleOutcome::Fenced,
        SettleOutcome::Cancelled,
        SettleOutcome::AboveCeiling,
    ];
    assert_eq!(answers, expected);
    assert_eq!(state_of(&store, &jobs[1].job).await, "running");
    assert_eq!(state_of(&store, &jobs[3].job).await, "running");
    assert_eq!(balance(&store, &account("acme")).await, (973, 20));
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_job_that_does_not_add_up_keeps_no_other_from_its_settlement() {
    let (store, raw, jobs) = running(3).await;
    // A slice of a grant that is not there: the plan of its end raises an error.
    let broken = key("job", jobs[1].job.as_str());
    let slices: String = raw.run(&["HGET", &broken, "slices"]).await;
    let _: i64 = raw.run(&["HSET", &broken, "slices", "g77=10000000"]).await;
    let words: Vec<_> = jobs.iter().map(|job| word(job, settlement(7))).collect();
    let answers = store.settle_many(&words).await;
    assert!(matches!(answers[0], Ok(SettleOutcome::Settled { .. })));
    assert!(
        matches!(answers[1], Err(Error::Script { .. })),
        "{answers:?}"
    );
    assert!(matches!(answers[2], Ok(SettleOutcome::Settled { .. })));
    assert_eq!(state_of(&store, &jobs[1].job).await, "running");
    let _: i64 = raw.run(&["HSET", &broken, "slices", &slices]).await;
    assert_eq!(
        settle_all(&store, &jobs[1..2], 7).await,
        [settled(7, false)]
    );
    assert_sound(&store).await;
    assert_tallies(&store).await;
}

#[tokio::test]
async fn an_entry_that_cannot_be_written_counts_no_job() {
    let (store, raw) = store_and_raw(options()).await;
    let store = store.at(T0);
    let acme = funded(&store, "acme", 100).await;
    let journal = key("part", "journal");
    let _: String = raw.run(&["RENAME", &journal, "{p00}kept"]).await;
    let _: String = raw.run(&["SET", &journal, "no stream"]).await;
    let before = raw.dump().await;
    let jobs = [job_for(&store, &acme, 5), job_for(&store, &acme, 5)];
    for answer in store.submit_many(&jobs).await {
        assert!(matches!(answer, Err(Error::Script { .. })), "{answer:?}");
    }
    assert_eq!(raw.dump().await, before);
    let _: String = raw.run(&["RENAME", "{p00}kept", &journal]).await;
    assert_eq!(accept(&store, &jobs[0]).await.state, State::Queued);
    assert_sound(&store).await;
    assert_tallies(&store).await;
}

#[tokio::test]
async fn promise_01_jobs_of_one_call_are_paid_one_after_the_other() {
    let store = store().await.at(T0);
    let (acme, other) = (
        funded(&store, "acme", 25).await,
        funded(&store, "other", 10).await,
    );
    let stranger = account("stranger");
    let jobs: Vec<NewJob> = [
        (&acme, 10),
        (&stranger, 10),
        (&acme, 10),
        (&acme, 10),
        (&other, 10),
    ]
    .map(|(who, n)| job_for(&store, who, n))
    .into();
    let answers = store.submit_many(&jobs).await;
    let accepted: Vec<_> = answers.iter().map(held).collect();
    assert_eq!(
        accepted,
        [Some(false), None, Some(false), None, Some(false)]
    );
    let refused = |answer: &Result<SubmitOutcome, Error>, refusal: SubmitRefusal| {
        assert_eq!(
            answer.as_ref().expect("an answer"),
            &SubmitOutcome::Refused(refusal)
        );
    };
    refused(&answers[1], SubmitRefusal::UnknownAccount(stranger));
    let poor = SubmitRefusal::Insufficient {
        need: credits(10),
        available_ucr: 5_000_000,
    };
    refused(&answers[3], poor);
    assert_eq!(balance(&store, &acme).await, (5, 20));
    assert_sound(&store).await;
    assert_tallies(&store).await;
}

#[tokio::test]
async fn promise_10_a_call_sent_again_finds_all_its_jobs() {
    let (store, raw) = store_and_raw(options()).await;
    let store = store.at(T0);
    let acme = funded(&store, "acme", 100).await;
    let mut jobs = vec![job_for(&store, &acme, 10), job_for(&store, &acme, 10)];
    jobs[1].idempotency_key = Some(IdempotencyKey::try_from("k1".to_owned()).expect("a key"));
    // Another id under the same key: in the same call the first one counts.
    jobs.push(NewJob {
        job: store.new_job_id(&acme),
        ..jobs[1].clone()
    });
    let held_by = |answers: Vec<_>| answers.iter().map(held).collect::<Vec<_>>();
    let first = held_by(store.submit_many(&jobs).await);
    assert_eq!(first, [Some(false), Some(false), Some(true)]);
    let before = raw.dump().await;
    assert_eq!(held_by(store.submit_many(&jobs).await), [Some(true); 3]);
    assert_eq!(raw.dump().await, before);
    assert_eq!(balance(&store, &acme).await, (80, 20));
    assert_sound(&store).await;
}

#[tokio::test]
async fn more_items_than_a_call_takes_all_get_their_answer() {
    let store = store().await.at(T0);
    let acme = funded(&store, "acme", 1_000).await;
    let jobs: Vec<_> = (0..230).map(|_| job_for(&store, &acme, 1)).collect();
    let answers = store.submit_many(&jobs).await;
    assert_eq!(answers.iter().filter_map(held).count(), 230);
    assert_eq!(balance(&store, &acme).await, (770, 230));
    assert_sound(&store).await;
    assert_tallies(&store).await;
}

#[tokio::test]
async fn failures_and_steps_of_one_call_have_answers_of_their_own() {
    let (store, _, jobs) = running(3).await;
    let note = |job: &ClaimedJob, step| {
        let record = "{}".to_owned();
        word(job, Noted { step, record })
    };
    let words = [
        note(&jobs[0], intent(1)),
        note(&jobs[1], meterline::store::Step::Handle),
        note(&jobs[2], intent(2)),
    ];
    let answers = store.checkpoint_many(&words).await;
    let answers: Vec<_> = answers.into_iter().map(|a| a.expect("an answer")).collect();
    let noted = CheckpointOutcome::Noted;
    assert_eq!(answers, [noted, noted, CheckpointOutcome::OutOfOrder]);
    assert_eq!(view_of(&store, &jobs[0].job).await.number("submissions"), 1);
    let words = [
        word(&jobs[0], again(1_000)),
        word(&jobs[1], ends(FailureClass::UserInput)),
        word(&jobs[1], ends(FailureClass::UserInput)),
    ];
    let answers = store.fail_many(&words).await;
    let answers: Vec<_> = answers.into_iter().map(|a| a.expect("an answer")).collect();
    let failed = ended(State::Failed);
    assert_eq!(answers, [FailOutcome::Rescheduled, failed, failed]);
    assert_eq!(balance(&store, &account("acme")).await, (980, 20));
    assert_sound(&store).await;
    assert_tallies(&store).await;
}

#[tokio::test]
async fn the_room_of_a_partition_counts_the_jobs_of_the_same_call() {
    let room = meterline::store::Options {
        queue_room: 3,
        ..options()
    };
    let store = store_with(room).await.at(T0);
    let acme = funded(&store, "acme", 100).await;
    accept(&store, &job_for(&store, &acme, 1)).await;
    let jobs: Vec<_> = (0..4).map(|_| job_for(&store, &acme, 1)).collect();
    let answers = store.submit_many(&jobs).await;
    let accepted: Vec<_> = answers.iter().map(held).collect();
    assert_eq!(accepted, [Some(false), Some(false), None, None]);
    let full = SubmitOutcome::Refused(SubmitRefusal::QueueFull);
    assert_eq!(answers[2].as_ref().expect("an answer"), &full);
    assert_sound(&store).await;
}

/// The events of one call stand together in few entries; whoever reads on from the middle of one misses none
/// and hears none twice.
#[tokio::test]
async fn events_of_one_call_are_told_one_by_one_from_any_place_on() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 1_000).await;
    let mut follower = store.follow_partition(0).await.expect("a reader");
    let before: u64 = raw.run(&["XLEN", &key("part", "events")]).await;
    let jobs: Vec<NewJob> = (0..20).map(|_| job_for(&store, &acme, 10)).collect();
    store.submit_many(&jobs).await;
    let after: u64 = raw.run(&["XLEN", &key("part", "events")]).await;
    assert_eq!(after - before, 3, "eight to an entry");
    let submitted: Vec<String> = jobs.iter().map(|job| job.job.to_string()).collect();

    let heard = follower.next(1_000).await.expect("events");
    let heard: Vec<_> = heard.iter().map(|event| event.job.clone()).collect();
    assert_eq!(heard, submitted);

    let mut last = EventId::default();
    let mut told = Vec::new();
    loop {
        let page = store.events_after(0, last, 3).await.expect("a page");
        assert!(page.events.len() <= 3);
        assert!(page.events.windows(2).all(|two| two[0].id < two[1].id));
        let known = page.events.iter().filter(|e| e.event.event == "submitted");
        told.extend(known.map(|event| event.event.job.clone()));
        last = page.events.last().map_or(last, |event| event.id);
        assert_eq!(last.to_string().parse(), Ok(last), "as a client sends it");
        if !page.more {
            break;
        }
    }
    assert_eq!(told, submitted);
}

#[tokio::test]
async fn promise_10_the_same_job_twice_in_one_call_is_held_once() {
    let store = store().await.at(T0);
    let acme = funded(&store, "acme", 100).await;
    let job = job_for(&store, &acme, 10);
    assert_eq!(job.idempotency_key, None);
    let answers = store.submit_many(&[job.clone(), job]).await;
    let answers: Vec<_> = answers.iter().map(held).collect();
    assert_eq!(answers, [Some(false), Some(true)]);
    assert_eq!(balance(&store, &acme).await, (90, 10));
    assert_sound(&store).await;
}

#[tokio::test]
async fn the_room_of_a_lane_counts_the_jobs_of_the_same_call() {
    let limits = meterline::store::Options {
        max_active: 1,
        lane_max: 1,
        ..options()
    };
    let store = store_with(limits).await.at(T0);
    let acme = funded(&store, "acme", 100).await;
    let jobs: Vec<NewJob> = (0..3).map(|_| job_for(&store, &acme, 10)).collect();
    let answers = store.submit_many(&jobs).await;
    let told: Vec<_> = answers.iter().map(held).collect();
    assert_eq!(told, [Some(false), Some(false), None]);
    assert_eq!(
        answers[2].as_ref().expect("an answer"),
        &SubmitOutcome::Refused(SubmitRefusal::LaneFull)
    );
    assert_sound(&store).await;
}
