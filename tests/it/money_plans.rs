//! Plans and limits: what an account may run at a time, and the credits of a period.

use meterline::domain::credits::Ucr;
use meterline::domain::ids::AccountId;
use meterline::store::{
    GrantKind, NewJob, Options, PlanOutcome, PlanRequest, Store, Term, TermOutcome,
};

use crate::support::*;

/// Milliseconds since 1970 of a time such as 2027-01-31T10:00:00Z.
fn at(time: &str) -> u64 {
    let time: jiff::Timestamp = time.parse().expect("a time");
    u64::try_from(time.as_millisecond()).expect("after 1970")
}

/// A store where accounts have one active job in a queue unless something else is said.
fn narrow() -> Options {
    Options {
        max_active: 1,
        ..options()
    }
}

/// Active and waiting jobs of the account in a queue.
async fn places(raw: &Raw, id: &AccountId, queue: &str) -> (i64, i64) {
    let member = format!("{id}:{queue}");
    let active = raw.run(&["SCARD", &key("active", &member)]).await;
    let waiting = raw.run(&["ZCARD", &key("lane", &member)]).await;
    (active, waiting)
}

/// A job in another queue than `video`.
fn image(store: &Store, id: &AccountId) -> NewJob {
    NewJob {
        queue: "image".to_owned(),
        ..job_for(store, id, 1)
    }
}

#[tokio::test]
async fn a_plan_gives_its_credits_until_the_period_ends_and_its_limit_lets_waiting_jobs_in() {
    let (store, raw) = store_and_raw(narrow()).await;
    let acme = funded(&store, "acme", 100).await;
    for _ in 0..4 {
        accept(&store, &job_for(&store, &acme, 1)).await;
        accept(&store, &image(&store, &acme)).await;
    }
    assert_eq!(places(&raw, &acme, "video").await, (1, 3));
    let plus = plan(&acme, "plus", 500, 3, "invoice-1");
    let until = at("2027-02-15T08:00:00Z");
    assert_eq!(planned(&store, &plus).await, (until, 592, 4, false));
    assert_eq!(places(&raw, &acme, "video").await, (3, 1));
    assert_eq!(places(&raw, &acme, "image").await, (3, 1));
    assert_eq!(
        claim(&store, "w1", 9).await.len(),
        3,
        "and workers get them"
    );
    let view = money(&store, &acme).await;
    let on = view.plan.expect("a plan");
    let told = (on.plan.as_str(), on.price.as_str(), on.until_ms, on.lapsed);
    assert_eq!(told, ("plus", "9.00 EUR", until, false));
    assert_eq!(view.max_active, 3);
    let grant = view.grants.iter().find(|g| g.kind == "plan").expect("it");
    assert_eq!(grant.expires_at_ms, Some(until));
    let later = store.at(until);
    assert_eq!(
        money(&later, &acme).await.plan.map(|p| p.lapsed),
        Some(true)
    );
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_03_a_plan_is_taken_once_per_operation_id_whatever_the_settings_say_by_then() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 0).await;
    let plus = plan(&acme, "plus", 500, 3, "invoice-1");
    let (until, ..) = planned(&store, &plus).await;
    let before = raw.dump().await;
    let dearer = PlanRequest {
        amount: credits(900),
        ..plus.clone()
    };
    let soon = store.at(T0 + 60_000);
    assert_eq!(planned(&soon, &dearer).await, (until, 500, 0, true));
    let pro = plan(&acme, "pro", 2_000, 9, "invoice-1");
    let mismatch = PlanOutcome::Mismatch {
        amount: credits(500),
    };
    assert_eq!(store.set_plan(&pro).await.expect("plan"), mismatch);
    assert_eq!(raw.dump().await, before);
    assert_sound(&store).await;
}

#[tokio::test]
async fn two_at_once_take_a_plan_once() {
    let store = store().await;
    let acme = funded(&store, "acme", 0).await;
    let plus = plan(&acme, "plus", 500, 3, "invoice-1");
    let both = futures_util::future::join_all((0..6).map(|_| planned(&store, &plus)));
    let firsts = both.await.iter().filter(|(.., replayed)| !replayed).count();
    assert_eq!((firsts, balance(&store, &acme).await), (1, (500, 0)));
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_change_of_plan_keeps_what_was_paid_for_and_lowers_without_stopping_anybody() {
    let (store, raw) = store_and_raw(narrow()).await;
    let acme = funded(&store, "acme", 0).await;
    planned(&store, &plan(&acme, "pro", 100, 3, "a")).await;
    for _ in 0..4 {
        accept(&store, &job_for(&store, &acme, 1)).await;
    }
    let running = claim(&store, "w1", 3).await;
    let next = store.at(T0 + 1_000);
    let (_, available, ..) = planned(&next, &plan(&acme, "plus", 10, 2, "b")).await;
    assert_eq!(
        available, 106,
        "what is left of the old plan stays until it expires"
    );
    assert_eq!(places(&raw, &acme, "video").await, (3, 1));
    for job in &running[..2] {
        settle(&next, job, &settlement(1)).await;
    }
    assert_eq!(
        places(&raw, &acme, "video").await,
        (2, 0),
        "one left, one let in"
    );
    let none = PlanRequest {
        plan: None,
        amount: Ucr::ZERO,
        max_active: 0,
        ..plan(&acme, "", 0, 0, "c")
    };
    assert_eq!(planned(&next, &none).await.0, 0);
    let view = money(&next, &acme).await;
    assert_eq!((view.plan, view.max_active), (None, 0));
    assert_sound(&next).await;
}

#[tokio::test]
async fn a_period_is_a_month_or_twelve_and_ends_on_the_last_day_where_there_is_no_such_day() {
    let store = store().await;
    let acme = funded(&store, "acme", 0).await;
    for (n, (from, months, until)) in [
        ("2027-01-15T08:00:00.001Z", 1, "2027-02-15T08:00:00.001Z"),
        ("2027-01-31T10:00:00Z", 1, "2027-02-28T10:00:00Z"),
        ("2027-12-31T23:59:59.999Z", 1, "2028-01-31T23:59:59.999Z"),
        ("2028-01-30T00:00:00Z", 1, "2028-02-29T00:00:00Z"),
        ("2028-02-29T12:00:00Z", 12, "2029-02-28T12:00:00Z"),
        ("2099-12-01T00:00:00Z", 1, "2100-01-01T00:00:00Z"),
        ("2100-02-28T00:00:00Z", 1, "2100-03-28T00:00:00Z"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut request = plan(&acme, "plus", 1, 1, &format!("op-{n}"));
        request.months = months;
        let (ends, ..) = planned(&store.at(at(from)), &request).await;
        assert_eq!(ends, at(until), "{from}");
    }
    assert_sound(&store.at(at("2100-03-01T00:00:00Z"))).await;
}

#[tokio::test]
async fn promise_09_plans_that_cannot_be_change_nothing() {
    let mut options = options();
    options.grants_max = 1;
    let (store, raw) = store_and_raw(options).await;
    let acme = funded(&store, "acme", 1).await;
    let shut = funded(&store, "shut", 0).await;
    store
        .close_account(&shut, "left", "ann")
        .await
        .expect("close");
    let past = PlanRequest {
        until_ms: Some(T0),
        ..plan(&acme, "plus", 1, 1, "op")
    };
    let much = PlanRequest {
        amount: Ucr::MAX,
        ..plan(&acme, "plus", 1, 1, "op")
    };
    let before = raw.dump().await;
    for (request, expected) in [
        (past, PlanOutcome::ExpiredAlready),
        (much, PlanOutcome::Overflow),
        (plan(&acme, "plus", 1, 1, "op"), PlanOutcome::TooManyGrants),
        (
            plan(&account("nobody"), "plus", 1, 1, "op"),
            PlanOutcome::UnknownAccount,
        ),
        (
            plan(&shut, "plus", 1, 1, "op"),
            PlanOutcome::AccountClosed("closed".to_owned()),
        ),
    ] {
        assert_eq!(store.set_plan(&request).await.expect("plan"), expected);
    }
    assert_eq!(raw.dump().await, before);
}

#[tokio::test]
async fn a_limit_that_rises_lets_jobs_in_at_once_and_counts_when_they_are_let_in() {
    let (store, raw) = store_and_raw(narrow()).await;
    let acme = funded(&store, "acme", 100).await;
    for _ in 0..6 {
        accept(&store, &job_for(&store, &acme, 1)).await;
    }
    assert_eq!(set(&store, &acme, Term::MaxActive(3)).await, let_in(2));
    assert_eq!(places(&raw, &acme, "video").await, (3, 3));
    // Jobs that were submitted under the old limit move by the new one.
    let job = claim_one(&store, "w1").await;
    settle(&store, &job, &settlement(1)).await;
    assert_eq!(places(&raw, &acme, "video").await, (3, 2));
    // A queue's own number stands above the account's.
    let video = |n| Term::QueueMaxActive("video".to_owned(), n);
    assert_eq!(set(&store, &acme, video(1)).await, let_in(0));
    assert_eq!(
        places(&raw, &acme, "video").await,
        (3, 2),
        "nobody is stopped"
    );
    let retry = claim_one(&store, "w1").await;
    fail(&store, &retry, &again(1_000)).await;
    assert_eq!(places(&raw, &acme, "video").await, (2, 2));
    let later = store.at(T0 + 1_000);
    tick(&later).await;
    assert_eq!(
        places(&raw, &acme, "video").await,
        (2, 3),
        "the retry waits too"
    );
    assert_eq!(set(&later, &acme, video(0)).await, let_in(1));
    assert_eq!(set(&later, &acme, Term::MaxActive(0)).await, let_in(0));
    assert_eq!(money(&later, &acme).await.max_active, 0);
    let replayed = TermOutcome::Set {
        admitted: 0,
        replayed: true,
    };
    assert_eq!(set(&later, &acme, Term::MaxActive(0)).await, replayed);
    assert_sound(&later).await;
}

#[tokio::test]
async fn queues_with_similar_names_keep_their_own_numbers() {
    let (store, raw) = store_and_raw(narrow()).await;
    let acme = funded(&store, "acme", 100).await;
    let limit = |queue: &str, n| Term::QueueMaxActive(queue.to_owned(), n);
    set(&store, &acme, limit("my-image", 4)).await;
    set(&store, &acme, limit("image", 2)).await;
    set(&store, &acme, limit("image", 3)).await;
    for _ in 0..5 {
        accept(&store, &image(&store, &acme)).await;
    }
    assert_eq!(places(&raw, &acme, "image").await, (3, 2));
    let limits = money(&store, &acme).await.queue_limits;
    let limits: Vec<(&str, u32)> = limits.iter().map(|(q, n)| (q.as_str(), *n)).collect();
    assert_eq!(limits, [("image", 3), ("my-image", 4)]);
    assert_sound(&store).await;
}

#[tokio::test]
async fn more_jobs_than_one_step_takes_are_let_in_by_the_sweep() {
    let (store, raw) = store_and_raw(narrow()).await;
    let acme = funded(&store, "acme", 1_000).await;
    for _ in 0..131 {
        accept(&store, &job_for(&store, &acme, 1)).await;
    }
    assert_eq!(
        set(&store, &acme, Term::MaxActive(1_000)).await,
        let_in(100)
    );
    tick(&store.at(T0 + 1_000)).await;
    assert_eq!(places(&raw, &acme, "video").await, (131, 0));
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_plan_that_was_paid_for_can_be_clawed_back() {
    let store = store().await;
    let acme = funded(&store, "acme", 10).await;
    planned(&store, &plan(&acme, "plus", 500, 3, "invoice-1")).await;
    give(
        &store,
        &acme,
        5,
        GrantKind::Daily,
        Some(T0 + 1_000),
        "today",
    )
    .await;
    let outcome = adjust(&store, &acme, clawback("invoice-1", None), "dispute").await;
    assert_eq!(outcome, adjusted(500, 0, 15, 0));
    assert_sound(&store).await;
}
