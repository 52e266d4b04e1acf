//! Dead letters are submitted again, once, and it is always said who pays.

use meterline::dev::redis::PrivateRedis;
use meterline::domain::failure::FailureClass;
use meterline::domain::ids::{AccountId, JobId};
use meterline::domain::job::State;
use meterline::store::{
    Error, FailOutcome, FreezeAct, GrantKind, Payer, QueueAct, Redrive, RedriveOutcome,
    RedriveRefusal, Redriven, Scope, Store, SubmitRefusal,
};

use crate::support::*;

/// A job of so many credits that failed at its provider: a dead letter.
async fn dead_letter(store: &Store, account: &AccountId, n: u32) -> JobId {
    let mut job = job_for(store, account, n);
    job.payload = format!("{{\"asked\":{n}}}");
    accept(store, &job).await;
    let claimed = claim_one(store, "w1").await;
    let end = ends(FailureClass::ProviderFault);
    assert_eq!(fail(store, &claimed, &end).await, ended(State::Failed));
    claimed.job
}

fn request(store: &Store, dead: &JobId, payer: Payer) -> Redrive {
    Redrive {
        dead: dead.clone(),
        job: store.successor_id(dead),
        payer,
        reason: "the provider is back".to_owned(),
        actor: "ops".to_owned(),
    }
}

async fn redrive(store: &Store, dead: &JobId, payer: Payer) -> RedriveOutcome {
    let request = request(store, dead, payer);
    store.redrive(&request).await.expect("redrive")
}

async fn redriven(store: &Store, dead: &JobId, payer: Payer) -> Redriven {
    match redrive(store, dead, payer).await {
        RedriveOutcome::Redriven(redriven) => redriven,
        RedriveOutcome::Refused(refusal) => panic!("refused: {refusal}"),
    }
}

async fn refused(store: &Store, dead: &JobId, payer: Payer) -> RedriveRefusal {
    match redrive(store, dead, payer).await {
        RedriveOutcome::Redriven(redriven) => panic!("redriven: {redriven:?}"),
        RedriveOutcome::Refused(refusal) => refusal,
    }
}

#[tokio::test]
async fn promise_02_a_dead_letter_goes_and_its_new_job_comes_with_a_hold_in_one_step() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let dead = dead_letter(&store, &acme, 35).await;
    assert_eq!(balance(&store, &acme).await, (100, 0));
    let new = redriven(&store, &dead, Payer::Account).await;
    assert_eq!(
        (new.hold, new.state, new.replayed),
        (credits(35), State::Queued, false)
    );
    assert_eq!(balance(&store, &acme).await, (65, 35));
    let score: Option<f64> = raw
        .run(&["ZSCORE", &key("part", "deadletters"), dead.as_str()])
        .await;
    assert_eq!(score, None);
    assert_eq!(store.payload(&dead).await.expect("payload"), None);
    let old = view_of(&store, &dead).await;
    assert_eq!(old.text("redriven_as"), new.job.as_str());
    assert_eq!(
        old.state(),
        Some(State::Failed),
        "a terminal state is never left"
    );

    let job = claim_one(&store, "w2").await;
    assert_eq!(job.job, new.job);
    assert_eq!(job.payload, "{\"asked\":35}");
    assert_eq!((job.tries, job.takeovers, job.submissions), (0, 0, 0));
    assert_eq!(job.left_ms, 60_000);
    assert_eq!(job.rule, job_for(&store, &acme, 35).rule);
    assert!(job.job.submission_key(1).starts_with(new.job.as_str()));
    settle(&store, &job, &settlement(28)).await;
    assert_eq!(balance(&store, &acme).await, (72, 0));
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_03_the_same_dead_letter_again_is_the_same_new_job() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let dead = dead_letter(&store, &acme, 35).await;
    let new = redriven(&store, &dead, Payer::Account).await;
    let before = raw.dump().await;
    let again = redriven(&store, &dead, Payer::Account).await;
    assert_eq!(
        again,
        Redriven {
            replayed: true,
            ..new.clone()
        }
    );
    let refusal = refused(&store, &dead, Payer::House).await;
    assert_eq!(
        refusal,
        RedriveRefusal::OtherPayer {
            job: new.job.clone(),
            payer: Payer::Account
        }
    );
    assert_eq!(raw.dump().await, before);
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_10_a_server_without_memory_still_says_what_a_redrive_had_done() {
    let server = PrivateRedis::start(plain_redis()).expect("a private Redis");
    let raw = Raw::open(&server.url()).await;
    let open = async || {
        Store::open(&server.url(), options())
            .await
            .expect("a store")
            .at(T0)
    };
    let store = open().await;
    let acme = funded(&store, "acme", 100).await;
    let dead = dead_letter(&store, &acme, 35).await;
    let other = dead_letter(&store, &acme, 34).await;
    let new = redriven(&store, &dead, Payer::Account).await;
    let job = claim_one(&store, "w1").await;
    settle(&store, &job, &settlement(28)).await;
    raw.run::<()>(&["CONFIG", "SET", "maxmemory", "100kb"])
        .await;
    // The first has looked at the memory before it was full, the second looks now.
    for store in [store, open().await] {
        let again = redriven(&store, &dead, Payer::Account).await;
        assert_eq!((&again.job, again.replayed), (&new.job, true));
        assert_eq!(again.state, State::Succeeded);
        let refusal = refused(&store, &dead, Payer::House).await;
        assert!(
            matches!(refusal, RedriveRefusal::OtherPayer { .. }),
            "{refusal}"
        );
        let request = request(&store, &other, Payer::Account);
        let full = store.redrive(&request).await;
        assert!(matches!(full, Err(Error::Full)), "{full:?}");
        store
            .drop_dead(&other, "no room", "ops")
            .await
            .expect("a drop frees memory");
        assert_sound(&store).await;
    }
}

#[tokio::test]
async fn promise_03_thirty_operators_at_once_make_one_new_job() {
    let store = store().await;
    let acme = funded(&store, "acme", 1000).await;
    let dead = dead_letter(&store, &acme, 10).await;
    let calls = (0..30).map(|_| redriven(&store, &dead, Payer::Account));
    let all = futures_util::future::join_all(calls).await;
    assert_eq!(all.iter().filter(|one| !one.replayed).count(), 1);
    assert!(all.iter().all(|one| one.job == all[0].job));
    assert_eq!(balance(&store, &acme).await, (990, 10));
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_09_what_is_no_dead_letter_is_refused_without_a_trace() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 200).await;
    let queued = accept(&store, &job_for(&store, &acme, 5)).await.job;
    let cancelled = accept(&store, &job_for(&store, &acme, 6)).await.job;
    cancel(&store, &cancelled).await;
    let running = claim_one(&store, "w1").await.job;
    assert_eq!(running, queued);
    accept(&store, &job_for(&store, &acme, 7)).await;
    let succeeded = claim_one(&store, "w1").await;
    settle(&store, &succeeded, &settlement(7)).await;
    let dropped = dead_letter(&store, &acme, 8).await;
    store
        .drop_dead(&dropped, "spam", "ops")
        .await
        .expect("drop");
    let dead = dead_letter(&store, &acme, 9).await;
    let before = raw.dump().await;
    for payer in [Payer::Account, Payer::House] {
        for (job, state) in [
            (&running, "running"),
            (&cancelled, "cancelled"),
            (&succeeded.job, "succeeded"),
        ] {
            let expected = RedriveRefusal::NotDead {
                job: job.clone(),
                state: state.to_owned(),
            };
            assert_eq!(refused(&store, job, payer).await, expected);
        }
        let expected = RedriveRefusal::Dropped(dropped.clone());
        assert_eq!(refused(&store, &dropped, payer).await, expected);
        let nobody = store.new_job_id(&acme);
        let expected = RedriveRefusal::UnknownJob(nobody.clone());
        assert_eq!(refused(&store, &nobody, payer).await, expected);
        // A new id that is somebody's already.
        let mut taken = request(&store, &dead, payer);
        taken.job = running.clone();
        let outcome = store.redrive(&taken).await.expect("redrive");
        let expected = RedriveRefusal::JobExists(running.clone());
        assert_eq!(outcome, RedriveOutcome::Refused(expected));
    }
    assert_eq!(raw.dump().await, before);
}

#[tokio::test]
async fn promise_09_the_account_pays_only_under_the_rules_of_every_job() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 40).await;
    let dead = dead_letter(&store, &acme, 35).await;
    accept(&store, &job_for(&store, &acme, 10)).await;
    let before = raw.dump().await;
    let submit = |refusal| RedriveRefusal::Submit(refusal);
    assert_eq!(
        refused(&store, &dead, Payer::Account).await,
        submit(SubmitRefusal::Insufficient {
            need: credits(35),
            available_ucr: 30_000_000
        })
    );
    assert_eq!(raw.dump().await, before);
    raw.owe(&acme, 1).await;
    let before = raw.dump().await;
    assert!(matches!(
        refused(&store, &dead, Payer::Account).await,
        RedriveRefusal::Submit(SubmitRefusal::Insufficient { .. })
    ));
    for payer in [Payer::Account, Payer::House] {
        raw.run::<()>(&["HSET", &key("acct", "acme"), "state", "closed"])
            .await;
        let closed = submit(SubmitRefusal::AccountClosed("closed".to_owned()));
        assert_eq!(refused(&store, &dead, payer).await, closed);
        raw.run::<()>(&["HSET", &key("acct", "acme"), "state", "open"])
            .await;
    }
    assert_eq!(raw.dump().await, before);
}

#[tokio::test]
async fn promise_09_the_room_and_the_lane_bind_a_redrive_too() {
    let url = fresh_url();
    let with = |queue_room, lane_max, max_active| meterline::store::Options {
        queue_room,
        lane_max,
        max_active,
        ..options()
    };
    let store = Store::open(&url, with(9, 9, 1))
        .await
        .expect("a store")
        .at(T0);
    let acme = funded(&store, "acme", 100).await;
    let dead = dead_letter(&store, &acme, 10).await;
    for n in 1..3 {
        accept(&store, &job_for(&store, &acme, n)).await;
    }
    for (store, expected) in [
        (with(2, 9, 1), SubmitRefusal::QueueFull),
        (with(9, 1, 1), SubmitRefusal::LaneFull),
    ] {
        let store = Store::open(&url, store).await.expect("a store").at(T0);
        for payer in [Payer::Account, Payer::House] {
            let refusal = refused(&store, &dead, payer).await;
            assert_eq!(refusal, RedriveRefusal::Submit(expected.clone()));
        }
    }
    let new = redriven(&store, &dead, Payer::Account).await;
    assert_eq!(
        view_of(&store, &new.job).await.text("entry"),
        "",
        "it waits in the lane"
    );
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_01_where_the_house_pays_the_account_is_charged_and_given_nothing() {
    for (captured, by_fail) in [(28, false), (35, false), (0, false), (0, true)] {
        let (store, _, acme) = broke().await;
        let dead = dead_letter(&store, &acme, 35).await;
        spend_everything(&store, &acme).await;
        assert_eq!(balance(&store, &acme).await, (0, 0));
        let before = money(&store, &acme).await;
        let new = redriven(&store, &dead, Payer::House).await;
        let held = money(&store, &acme).await;
        assert_eq!((held.available_ucr, held.held_ucr), (0, 35_000_000));
        assert_eq!(held.granted_ucr - before.granted_ucr, 35_000_000);
        assert_eq!(held.grants.len(), 1);
        assert_eq!(held.grants[0].kind, "house");
        assert_eq!(held.grants[0].remaining_ucr, 0);
        assert_sound(&store).await;

        let job = claim_one(&store, "w1").await;
        assert_eq!(job.job, new.job);
        if by_fail {
            fail(&store, &job, &ends(FailureClass::ProviderFault)).await;
        } else {
            settle(&store, &job, &settlement(captured)).await;
        }
        let after = money(&store, &acme).await;
        assert_eq!((after.available_ucr, after.held_ucr), (0, 0));
        let kept = i64::from(captured) * 1_000_000;
        assert_eq!(after.granted_ucr - before.granted_ucr, kept);
        assert_eq!(after.captured_ucr - before.captured_ucr, kept);
        assert_eq!(after.grants, []);
        let report = meterline::ledger::audit(&store).await.expect("audit");
        assert!(report.ok, "{:#?}", report.differences);
        let promo = report.books.get("promo").copied().unwrap_or(0);
        assert_eq!(
            promo,
            -i128::from(kept),
            "only what was kept is the house's"
        );
    }
}

/// An account with just enough for one job, and its store.
async fn broke() -> (Store, Raw, AccountId) {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 35).await;
    (store, raw, acme)
}

async fn spend_everything(store: &Store, account: &AccountId) {
    accept(store, &job_for(store, account, 35)).await;
    let job = claim_one(store, "w1").await;
    settle(store, &job, &settlement(35)).await;
}

#[tokio::test]
async fn promise_01_the_houses_credit_pays_no_debt_and_leaves_no_grace() {
    let (store, raw, acme) = broke().await;
    let dead = dead_letter(&store, &acme, 35).await;
    spend_everything(&store, &acme).await;
    raw.owe(&acme, 5_000_000).await;
    let new = redriven(&store, &dead, Payer::House).await;
    // It runs out of time, which is our fault, and the house's credit still goes home.
    let job = claim_one(&store, "w1").await;
    assert_eq!(job.job, new.job);
    tick(&store.at(T0 + 60_000)).await;
    assert_eq!(state_of(&store, &new.job).await, "timed_out");
    let after = money(&store.at(T0 + 60_000), &acme).await;
    assert_eq!((after.available_ucr, after.held_ucr), (0, 0));
    assert_eq!(after.debt_ucr, 5_000_000);
    assert_eq!(after.grants, []);
    assert_sound(&store).await;
    // And what timed out is a dead letter again.
    let third = redriven(&store.at(T0 + 60_000), &new.job, Payer::House).await;
    assert_ne!(third.job, new.job);
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_01_jobs_of_the_house_and_of_the_account_end_side_by_side() {
    let store = store().await;
    let acme = funded(&store, "acme", 50).await;
    give(
        &store,
        &acme,
        10,
        GrantKind::Promo,
        Some(T0 + 1_000),
        "promo",
    )
    .await;
    let mut dead = Vec::new();
    for n in [20, 21, 0] {
        dead.push(dead_letter(&store, &acme, n).await);
    }
    for letter in &dead {
        redriven(&store, letter, Payer::House).await;
    }
    accept(&store, &job_for(&store, &acme, 15)).await;
    assert_sound(&store).await;
    let late = store.at(T0 + 2_000);
    for job in claim(&late, "w1", 4).await {
        let part = u32::try_from(job.ceiling.get() / 2_000_000).expect("credits");
        settle(&late, &job, &settlement(part)).await;
        assert_sound(&late).await;
    }
    // 60 credits, 10 of them expired after 7 of these were captured.
    assert_eq!(balance(&late, &acme).await, (50, 0));
    assert_sound(&late).await;
}

#[tokio::test]
async fn promise_09_totals_that_could_not_be_counted_are_refused() {
    let (store, raw, acme) = broke().await;
    let dead = dead_letter(&store, &acme, 35).await;
    let most = "9007199254740991";
    raw.run::<()>(&["HSET", &key("acct", "acme"), "granted", most])
        .await;
    assert_eq!(
        refused(&store, &dead, Payer::House).await,
        RedriveRefusal::Overflow
    );
}

#[tokio::test]
async fn a_redriven_record_stays_its_time_and_then_goes() {
    let mut short = options();
    short.retention_ms = 10_000;
    let (store, raw) = store_and_raw(short).await;
    let acme = funded(&store, "acme", 100).await;
    let dead = dead_letter(&store, &acme, 35).await;
    // Longer dead than finished jobs are kept: it stands in no other index any more.
    tick_through(&store, T0 + 1_000, T0 + 30_000).await;
    let late = store.at(T0 + 30_000);
    let new = redriven(&late, &dead, Payer::Account).await;
    tick_through(&store, T0 + 31_000, T0 + 39_000).await;
    let again = redriven(&store.at(T0 + 39_000), &dead, Payer::Account).await;
    assert_eq!((again.job, again.replayed), (new.job, true));
    tick_through(&store, T0 + 39_000, T0 + 42_000).await;
    assert_eq!(
        refused(&store.at(T0 + 42_000), &dead, Payer::Account).await,
        RedriveRefusal::UnknownJob(dead.clone())
    );
    for noun in ["job", "payload", "timeline", "work"] {
        let left: u32 = raw.run(&["EXISTS", &key(noun, dead.as_str())]).await;
        assert_eq!(left, 0, "{noun}");
    }
    assert_sound(&store).await;
}

#[tokio::test]
async fn an_act_says_who_redrove_what_and_why() {
    let store = store().await;
    let acme = funded(&store, "acme", 100).await;
    let dead = dead_letter(&store, &acme, 35).await;
    let new = redriven(&store, &dead, Payer::House).await;
    redriven(&store, &dead, Payer::House).await;
    let acts = store.acts(0, "-", 10).await.expect("acts");
    assert_eq!(acts.len(), 1, "a replay is no act");
    assert_eq!(
        (acts[0].act.as_str(), acts[0].actor.as_str()),
        ("redrive", "ops")
    );
    assert_eq!(acts[0].subject, dead.as_str());
    assert_eq!(acts[0].reason, "the provider is back");
    assert!(
        acts[0].detail.starts_with(new.job.as_str()),
        "{:?}",
        acts[0]
    );
    let told = store.timeline(&dead).await.expect("timeline");
    assert_eq!(
        told.last().map(|line| line.event.as_str()),
        Some("redriven")
    );
}

#[tokio::test]
async fn a_failed_redrive_is_a_dead_letter_of_its_own() {
    let store = store().await;
    let acme = funded(&store, "acme", 100).await;
    let first = dead_letter(&store, &acme, 35).await;
    let second = redriven(&store, &first, Payer::Account).await.job;
    let job = claim_one(&store, "w1").await;
    let outcome: FailOutcome = fail(&store, &job, &ends(FailureClass::Lost)).await;
    assert_eq!(outcome, ended(State::Failed));
    let third = redriven(&store, &second, Payer::Account).await;
    assert_eq!(
        view_of(&store, &third.job).await.text("redrive_of"),
        second.as_str()
    );
    assert_eq!(balance(&store, &acme).await, (65, 35));
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_11_what_is_frozen_gets_no_job_again_whoever_pays() {
    for scope in [Scope::Account(account("acme")), Scope::Partition(0)] {
        let (store, raw) = store_and_raw(options()).await;
        let acme = funded(&store, "acme", 100).await;
        let dead = dead_letter(&store, &acme, 35).await;
        let act = |operation: &str| FreezeAct {
            scope: scope.clone(),
            reason: "chargeback".to_owned(),
            actor: "ann".to_owned(),
            operation: operation.parse().expect("an operation id"),
        };
        store.freeze(&act("f"), &[]).await.expect("freeze");
        let before = raw.dump().await;
        for payer in [Payer::Account, Payer::House] {
            let refusal = refused(&store, &dead, payer).await;
            let RedriveRefusal::Submit(SubmitRefusal::Frozen { reason, .. }) = refusal else {
                panic!("{refusal:?}")
            };
            assert_eq!(reason, "chargeback");
        }
        assert_eq!(raw.dump().await, before);
        store.clear(&act("c")).await.expect("clear");
        redriven(&store, &dead, Payer::House).await;
        assert_sound(&store).await;
    }
}

#[tokio::test]
async fn a_queue_that_drains_and_an_account_that_is_gone_take_no_dead_letter_back() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let dead = dead_letter(&store, &acme, 35).await;
    let drain = store.act_on_queue("video", QueueAct::Drain, "why", "ops");
    drain.await.expect("drain");
    for payer in [Payer::Account, Payer::House] {
        let before = raw.digest().await;
        let refusal = refused(&store, &dead, payer).await;
        let draining = SubmitRefusal::QueueDraining("video".to_owned());
        assert_eq!(refusal, RedriveRefusal::Submit(draining));
        assert_eq!(raw.digest().await, before);
    }
    assert_sound(&store).await;

    let _: i64 = raw.run(&["DEL", &key("acct", "acme")]).await;
    let before = raw.digest().await;
    let refusal = refused(&store, &dead, Payer::Account).await;
    let gone = SubmitRefusal::UnknownAccount(acme.clone());
    assert_eq!(refusal, RedriveRefusal::Submit(gone));
    assert_eq!(raw.digest().await, before);
}
