//! What waits to be told, in the store: which messages a job makes, bounds, leases, retries, secrets.

use meterline::domain::failure::FailureClass;
use meterline::store::{Delivery, EndpointAct, Redelivered, ReportOutcome, Reported, Tried};

use crate::support::webhooks::*;
use crate::support::*;

const URL: &str = "https://receiver.example/hook";

fn events(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries
        .iter()
        .map(|delivery| delivery.happened.event.as_str())
        .collect()
}

/// Takes everything and says that it was taken, in the order in which it came.
async fn hear(store: &meterline::store::Store) -> Vec<Delivery> {
    let mut heard = Vec::new();
    loop {
        let taken = take(store, 100).await;
        if taken.is_empty() {
            return heard;
        }
        for delivery in taken {
            let said = report(store, &delivery, Tried::Taken).await;
            assert_eq!(said, ReportOutcome::Noted);
            heard.push(delivery);
        }
    }
}

#[tokio::test]
async fn an_ending_is_in_the_outbox_from_the_step_that_makes_it() {
    let (store, _) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 200).await;
    let (id, _) = endpoint(&store, &acme, URL, "endings").await;
    accept(&store, &job_for(&store, &acme, 35)).await;
    let job = claim_one(&store, "w1").await;
    assert!(
        take(&store, 10).await.is_empty(),
        "only endings are asked for"
    );
    settle(&store, &job, &settlement(28)).await;
    let told = hear(&store).await;
    assert_eq!(events(&told), ["succeeded"]);
    let happened = &told[0].happened;
    assert_eq!(happened.message, format!("msg_{}_1", job.job));
    assert_eq!(happened.text("captured"), Some("28000000"));
    assert_eq!(happened.text("released"), Some("7000000"));
    assert_eq!(happened.text("measured_ms"), Some("5000"));
    assert_eq!(happened.artifact, "{}");

    accept(&store, &job_for(&store, &acme, 20)).await;
    let job = claim_one(&store, "w1").await;
    fail(&store, &job, &ends(FailureClass::ContentPolicy)).await;
    let queued = accept(&store, &job_for(&store, &acme, 20)).await.job;
    cancel(&store, &queued).await;
    accept(&store, &job_for(&store, &acme, 20)).await;
    claim_one(&store, "w1").await;
    let late = store.at(T0 + 60_000);
    tick(&late).await;
    let told = hear(&late).await;
    assert_eq!(events(&told), ["failed", "cancelled", "timed_out"]);
    assert_eq!(told[0].happened.text("class"), Some("content_policy"));
    assert_eq!(told[0].happened.text("message"), Some("it went wrong"));
    let view = look(&store, &id).await;
    assert_eq!((view.waiting, view.delivered, view.dropped), (0, 4, 0));
    assert_sound(&late).await;
}

#[tokio::test]
async fn every_other_way_to_end_a_job_tells_too() {
    let (store, _) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 200).await;
    endpoint(&store, &acme, URL, "endings").await;
    let stuck = accept(&store, &job_for(&store, &acme, 20)).await.job;
    let forced = store
        .force_fail(&stuck, FailureClass::Lost, "stuck", "ops")
        .await;
    forced.expect("force fail");
    let redrive = meterline::store::Redrive {
        dead: stuck.clone(),
        job: store.successor_id(&stuck),
        payer: meterline::store::Payer::Account,
        reason: "again".to_owned(),
        actor: "ops".to_owned(),
    };
    store.redrive(&redrive).await.expect("redrive");
    let late = store.at(T0 + options().queue_ttl_ms);
    assert!(claim(&late, "w1", 5).await.is_empty(), "its time was up");
    assert_eq!(events(&hear(&late).await), ["failed", "timed_out"]);
    assert_sound(&late).await;
}

#[tokio::test]
async fn who_asks_for_all_hears_every_step_in_order_with_rising_numbers() {
    let (store, _) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    endpoint(&store, &acme, URL, "all").await;
    accept(&store, &job_for(&store, &acme, 35)).await;
    let job = claim_one(&store, "w1").await;
    note(&store, &job, intent(1)).await;
    fail(&store, &job, &again(1_000)).await;
    let later = store.at(T0 + 1_000);
    tick(&later).await;
    let job = claim_one(&later, "w1").await;
    defer(&later, &job, 0, false).await;
    let job = claim_one(&later, "w1").await;
    settle(&later, &job, &settlement(7)).await;
    let told = hear(&later).await;
    let expected = [
        "submitted",
        "running",
        "intent",
        "retry",
        "running",
        "deferred",
        "running",
        "succeeded",
    ];
    let numbers: Vec<u32> = told
        .iter()
        .map(|d| d.happened.number("n").expect("n"))
        .collect();
    let mut by_number: Vec<(u32, &str)> = numbers.iter().copied().zip(events(&told)).collect();
    by_number.sort_unstable();
    let in_order: Vec<&str> = by_number.iter().map(|(_, event)| *event).collect();
    assert_eq!(in_order, expected);
    assert_eq!(by_number.first().map(|(n, _)| *n), Some(1));
    assert_eq!(by_number.last().map(|(n, _)| *n), Some(8));
    assert_sound(&later).await;
}

#[tokio::test]
async fn accounts_without_endpoints_leave_no_trace_beside_one_that_has_some() {
    let (store, raw) = store_and_raw(options()).await;
    let (acme, other) = (
        funded(&store, "acme", 50).await,
        funded(&store, "other", 50).await,
    );
    let (id, _) = endpoint(&store, &acme, URL, "all").await;
    accept(&store, &job_for(&store, &other, 35)).await;
    let job = claim_one(&store, "w1").await;
    note(&store, &job, intent(1)).await;
    settle(&store, &job, &settlement(7)).await;
    assert!(hear(&store).await.is_empty());
    assert_eq!(look(&store, &id).await.waiting, 0);
    let number: Option<String> = raw
        .run(&["HGET", &key("job", job.job.as_str()), "hook_seq"])
        .await;
    assert_eq!(number, None);
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_repeated_call_tells_nothing_twice() {
    let (store, _) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    endpoint(&store, &acme, URL, "all").await;
    let new = job_for(&store, &acme, 35);
    accept(&store, &new).await;
    accept(&store, &new).await;
    let job = claim_one(&store, "w1").await;
    settle(&store, &job, &settlement(7)).await;
    settle(&store, &job, &settlement(7)).await;
    settle(&store, &job, &settlement(8)).await;
    let mut told: Vec<&str> = Vec::new();
    let heard = hear(&store).await;
    told.extend(events(&heard));
    told.sort_unstable();
    assert_eq!(told, ["running", "submitted", "succeeded"]);
}

#[tokio::test]
async fn a_full_outbox_drops_its_oldest_and_counts_it() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let (id, _) = endpoint(&store, &acme, URL, "endings").await;
    let few = meterline::store::Sending {
        outbox_max: 3,
        ..sending(10)
    };
    store.take_messages(0, &few).await.expect("nothing yet");
    let mut jobs = Vec::new();
    for n in 1..=5 {
        let job = accept(&store, &job_for(&store, &acme, n)).await.job;
        cancel(&store, &job).await;
        jobs.push(job);
    }
    let view = look(&store, &id).await;
    assert_eq!((view.waiting, view.dropped), (3, 2));
    let due: u64 = raw.run(&["ZCARD", &key("outdue", id.as_str())]).await;
    assert_eq!(due, 3);
    let told = store.take_messages(0, &few).await.expect("messages");
    let told: Vec<&str> = told.iter().filter_map(|d| d.happened.text("j")).collect();
    let kept: Vec<&str> = jobs[2..].iter().map(|job| job.as_str()).collect();
    assert_eq!(told, kept);
    assert_sound(&store).await;
}

#[tokio::test]
async fn what_is_under_way_falls_out_last() {
    let (store, _) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let (id, _) = endpoint(&store, &acme, URL, "endings").await;
    let few = meterline::store::Sending {
        outbox_max: 2,
        ..sending(1)
    };
    let end_one = async || {
        let job = accept(&store, &job_for(&store, &acme, 1)).await.job;
        cancel(&store, &job).await;
    };
    end_one().await;
    let sent = store
        .take_messages(0, &few)
        .await
        .expect("messages")
        .remove(0);
    for _ in 0..3 {
        end_one().await;
    }
    assert_eq!(look(&store, &id).await.dropped, 2);
    assert_eq!(
        report(&store, &sent, Tried::Taken).await,
        ReportOutcome::Noted
    );
    let view = look(&store, &id).await;
    assert_eq!((view.delivered, view.waiting), (1, 1));
}

/// Ten thousand endings for an endpoint that nobody answers at: the store does not grow above the bound.
#[tokio::test]
async fn a_dead_endpoint_with_ten_thousand_endings_does_not_fill_the_store() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 10).await;
    let (id, _) = endpoint(&store, &acme, URL, "endings").await;
    let used = async || {
        let mut bytes = 0;
        for noun in ["hook", "outbox", "outdue", "outfly", "outtry", "outdead"] {
            let of_one: Option<u64> = raw
                .run(&["MEMORY", "USAGE", &key(noun, id.as_str()), "SAMPLES", "0"])
                .await;
            bytes += of_one.unwrap_or(0);
        }
        bytes
    };
    let mut at_the_bound = 0;
    for n in 1..=10_000u64 {
        let job = accept(&store, &job_for(&store, &acme, 1)).await.job;
        cancel(&store, &job).await;
        if n % 50 == 0 {
            // Some are tried, and fail.
            for delivery in take(&store.at(T0 + n * 100), 4).await {
                report(
                    &store.at(T0 + n * 100),
                    &delivery,
                    Tried::Again { delay_ms: 60_000 },
                )
                .await;
            }
        }
        if n == 2_000 {
            at_the_bound = used().await;
        }
    }
    let view = look(&store, &id).await;
    assert_eq!(view.waiting, 1_000);
    assert_eq!(view.dropped, 9_000);
    let now = used().await;
    assert!(
        now < at_the_bound + at_the_bound / 4,
        "{at_the_bound} became {now} bytes"
    );
    assert!(now < 2_000_000, "{now} bytes for 1,000 messages");
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_message_is_in_one_hand_at_a_time_and_in_another_when_its_lease_is_over() {
    let (store, _) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let (id, _) = endpoint(&store, &acme, URL, "endings").await;
    let job = accept(&store, &job_for(&store, &acme, 1)).await.job;
    cancel(&store, &job).await;
    let first = take(&store, 10).await.remove(0);
    assert!(take(&store.at(T0 + 19_999), 10).await.is_empty());
    let later = store.at(T0 + 20_000);
    let second = take(&later, 10).await.remove(0);
    assert_eq!(second.happened.message, first.happened.message);
    for tried in [
        Tried::Taken,
        Tried::Again { delay_ms: 1 },
        Tried::Dead,
        Tried::Gone,
    ] {
        assert_eq!(report(&later, &first, tried).await, ReportOutcome::Stale);
    }
    assert_eq!(
        report(&later, &second, Tried::Taken).await,
        ReportOutcome::Noted
    );
    assert_eq!(
        report(&later, &second, Tried::Taken).await,
        ReportOutcome::Stale
    );
    let view = look(&store, &id).await;
    assert_eq!((view.waiting, view.delivered, view.failed), (0, 1, 0));
}

#[tokio::test]
async fn few_messages_are_under_way_at_one_endpoint_and_others_are_not_held_up() {
    let (store, _) = store_and_raw(options()).await;
    let (acme, other) = (
        funded(&store, "acme", 100).await,
        funded(&store, "other", 100).await,
    );
    let (slow, _) = endpoint(&store, &acme, URL, "endings").await;
    let (quick, _) = endpoint(&store, &other, URL, "endings").await;
    for account in [&acme, &acme, &acme, &acme, &acme, &acme, &other] {
        let job = accept(&store, &job_for(&store, account, 1)).await.job;
        cancel(&store, &job).await;
    }
    let taken = take(&store, 100).await;
    let of = |id| taken.iter().filter(|d| d.endpoint == id).count();
    assert_eq!((of(slow.clone()), of(quick)), (4, 1));
    assert!(take(&store, 100).await.is_empty());
    let one = taken.iter().find(|d| d.endpoint == slow).expect("one");
    report(&store, one, Tried::Taken).await;
    assert_eq!(take(&store, 100).await.len(), 1);
}

#[tokio::test]
async fn a_failed_message_comes_again_when_it_is_due_and_at_last_is_a_dead_letter() {
    let (store, _) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let (id, _) = endpoint(&store, &acme, URL, "endings").await;
    let job = accept(&store, &job_for(&store, &acme, 1)).await.job;
    cancel(&store, &job).await;
    let first = take(&store, 10).await.remove(0);
    report(&store, &first, Tried::Again { delay_ms: 5_000 }).await;
    assert!(take(&store.at(T0 + 4_999), 10).await.is_empty());
    let later = store.at(T0 + 5_000);
    let second = take(&later, 10).await.remove(0);
    assert_eq!((second.tries, &second.happened), (1, &first.happened));
    assert_eq!(look(&store, &id).await.failing_since_ms, T0);
    report(&later, &second, Tried::Dead).await;
    assert!(take(&store.at(T0 + 500_000), 10).await.is_empty());
    let dead = store
        .dead_messages(&id, 10, None)
        .await
        .expect("dead letters");
    assert_eq!(dead.all, 1);
    assert_eq!(
        (dead.messages[0].tries, dead.messages[0].why.as_str()),
        (2, "status 500")
    );
    let view = look(&store, &id).await;
    assert_eq!((view.waiting, view.dead, view.failed), (0, 1, 2));

    let entry = dead.messages[0].entry.clone();
    let back = async |entry| {
        let done = later
            .redeliver(&id, entry, 1_000, "it is back", "ops")
            .await;
        done.expect("redeliver")
    };
    assert_eq!(back(Some("1-1")).await, Redelivered::Nothing);
    assert_eq!(back(Some("x")).await, Redelivered::Nothing);
    assert_eq!(
        back(Some(&entry)).await,
        Redelivered::Redelivered {
            messages: 1,
            left: 0
        }
    );
    assert_eq!(back(Some(&entry)).await, Redelivered::Nothing);
    assert_eq!(back(None).await, Redelivered::Nothing);
    let third = take(&later, 10).await.remove(0);
    assert_eq!(
        (third.tries, &third.happened.message),
        (0, &first.happened.message)
    );
    report(&later, &third, Tried::Taken).await;
    assert_eq!(look(&store, &id).await.failing_since_ms, 0);
    let acts = store.acts(0, "-", 99).await.expect("acts");
    assert_eq!(
        acts.last()
            .map(|act| (act.act.as_str(), act.reason.as_str())),
        Some(("webhook_redeliver", "it is back"))
    );
}

#[tokio::test]
async fn dead_letters_are_bounded_and_go_back_only_where_there_is_room() {
    let (store, _) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let (id, _) = endpoint(&store, &acme, URL, "endings").await;
    for _ in 0..5 {
        let job = accept(&store, &job_for(&store, &acme, 1)).await.job;
        cancel(&store, &job).await;
        let delivery = take(&store, 1).await.remove(0);
        let few = Reported {
            dead_letters_max: 3,
            ..reported(Tried::Dead)
        };
        store
            .report_message(&delivery, &few)
            .await
            .expect("a report");
    }
    assert_eq!(look(&store, &id).await.dead, 3);
    let back = async |outbox_max| {
        let done = store.redeliver(&id, None, outbox_max, "again", "ops").await;
        done.expect("redeliver")
    };
    assert_eq!(
        back(2).await,
        Redelivered::Redelivered {
            messages: 2,
            left: 1
        }
    );
    assert_eq!(back(2).await, Redelivered::Full);
    act(&store, &id, EndpointAct::Disable).await;
    assert_eq!(back(9).await, Redelivered::Disabled);
    let nobody = store.new_endpoint_id(&acme);
    let none = store.redeliver(&nobody, None, 9, "again", "ops").await;
    assert_eq!(none.expect("redeliver"), Redelivered::Unknown);
}

#[tokio::test]
async fn of_two_endpoints_each_hears_what_it_asked_for() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let (begin, _) = endpoint(&store, &acme, URL, "job.queued,job.running").await;
    let (end, _) = endpoint(&store, &acme, URL, "job.succeeded").await;
    accept(&store, &job_for(&store, &acme, 35)).await;
    let job = claim_one(&store, "w1").await;
    note(&store, &job, intent(1)).await;
    settle(&store, &job, &settlement(7)).await;
    let told = take(&store, 100).await;
    let heard = |id| {
        let of = told.iter().filter(|delivery| delivery.endpoint == id);
        let numbered = of.map(|d| (d.happened.event.clone(), d.happened.number("n")));
        numbered.collect::<Vec<(String, Option<u32>)>>()
    };
    let told = |event: &str, n| (event.to_owned(), Some(n));
    assert_eq!(
        heard(begin.clone()),
        [told("submitted", 1), told("running", 2)]
    );
    assert_eq!(heard(end.clone()), [told("succeeded", 3)]);
    act(&store, &begin, EndpointAct::Remove).await;
    let wanted: Option<String> = raw.run(&["HGET", &key("part", "meta"), "hooks"]).await;
    assert_eq!(
        wanted.as_deref(),
        Some("0"),
        "nobody asks for steps any more"
    );
}

#[tokio::test]
async fn an_endpoint_that_may_have_no_more_is_looked_at_again_when_it_may() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let (id, _) = endpoint(&store, &acme, URL, "endings").await;
    for _ in 0..6 {
        let job = accept(&store, &job_for(&store, &acme, 1)).await.job;
        cancel(&store, &job).await;
    }
    let score = async || -> Option<u64> {
        let hooks = key("part", "hooks");
        raw.run(&["ZSCORE", &hooks, id.as_str()]).await
    };
    let taken = take(&store, 100).await;
    assert_eq!((taken.len(), score().await), (4, Some(T0 + 20_000)));
    for delivery in &taken {
        report(&store, delivery, Tried::Taken).await;
    }
    assert_eq!(score().await, Some(T0));
    for delivery in &take(&store, 100).await {
        report(&store, delivery, Tried::Taken).await;
    }
    assert_eq!(score().await, None, "nothing is left to look for");
}

#[tokio::test]
async fn a_clock_that_had_been_ahead_puts_no_message_off_by_as_much() {
    let (store, _) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    endpoint(&store, &acme, URL, "endings").await;
    let ahead = store.at(T0 + 86_400_000);
    for n in [1, 2] {
        let job = accept(&ahead, &job_for(&ahead, &acme, n)).await.job;
        cancel(&ahead, &job).await;
    }
    let taken = take(&ahead, 2).await;
    report(&ahead, &taken[0], again_in(5_000)).await;
    tick(&store).await;
    assert!(take(&store, 10).await.is_empty());
    assert_eq!(take(&store.at(T0 + 4_999), 10).await.len(), 0);
    let first = take(&store.at(T0 + 5_000), 10).await;
    assert_eq!(first.len(), 1, "the one that was put off");
    assert_eq!(first[0].happened, taken[0].happened);
    let second = take(&store.at(T0 + 20_000), 10).await;
    assert_eq!(second.len(), 1, "the one that was under way");
    let last = store.at(T0 + 20_000);
    assert_eq!(
        report(&last, &second[0], again_in(60_000)).await,
        ReportOutcome::Noted
    );
    assert!(
        take(&store.at(T0 + 24_999), 10).await.is_empty(),
        "set right once"
    );
    assert_sound(&last).await;
}

fn again_in(delay_ms: u64) -> Tried {
    Tried::Again { delay_ms }
}
