//! What waits to be told, in the store: which messages a job makes, bounds, leases, retries, secrets.

use meterline::domain::failure::FailureClass;
use meterline::store::{
    Delivery, EndpointAct, EndpointActOutcome, EndpointCreated, Redelivered, ReportOutcome,
    Reported, Tried,
};
use meterline::webhook::Secret;

use crate::support::webhooks::*;
use crate::support::*;

const URL: &str = "https://receiver.example/hook";

fn events(deliveries: &[Delivery]) -> Vec<&str> {
    let event = |delivery: &'_ Delivery| delivery.happened.event.clone();
    let names = deliveries.iter().map(event);
    names
        .map(|name| match name.as_str() {
            "submitted" => "submitted",
            "running" => "running",
            "intent" => "intent",
            "handle" => "handle",
            "deferred" => "deferred",
            "retry" => "retry",
            "succeeded" => "succeeded",
            "failed" => "failed",
            "timed_out" => "timed_out",
            "cancelled" => "cancelled",
            "test" => "test",
            other => panic!("{other}"),
        })
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
    let dead = store.dead_messages(&id, 10).await.expect("dead letters");
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
async fn gone_disables_the_endpoint_and_so_does_failing_for_days() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    for (tried, days, why) in [
        (Tried::Gone, 0, "gone (410)"),
        (
            Tried::Again { delay_ms: 1 },
            5,
            "failed for too long: status 500",
        ),
    ] {
        let (id, _) = endpoint(&store, &acme, URL, "endings").await;
        let end_one = async |now: &meterline::store::Store| {
            let job = accept(now, &job_for(now, &acme, 1)).await.job;
            cancel(now, &job).await;
        };
        end_one(&store).await;
        if days > 0 {
            let early = take(&store, 1).await.remove(0);
            let first = report(&store, &early, tried.clone()).await;
            assert_eq!(first, ReportOutcome::Noted);
        }
        let later = store.at(T0 + days * 86_400_000);
        end_one(&later).await;
        let last = take(&later, 1).await.remove(0);
        assert_eq!(report(&later, &last, tried).await, ReportOutcome::Disabled);
        let view = look(&store, &id).await;
        assert_eq!((view.enabled, view.why.as_str()), (false, why));
        let waits = view.waiting;
        let job = accept(&later, &job_for(&later, &acme, 1)).await.job;
        cancel(&later, &job).await;
        assert_eq!(
            look(&store, &id).await.waiting,
            waits,
            "nothing new comes in"
        );
        assert!(take(&store.at(T0 + 9 * 86_400_000), 10).await.is_empty());
        let seen: Vec<Vec<(String, Vec<String>)>> = vec![
            raw.run(&["XREVRANGE", &key("part", "events"), "+", "-", "COUNT", "9"])
                .await,
        ];
        let said = seen[0]
            .iter()
            .any(|(_, fields)| fields.iter().any(|f| f == "webhook_disabled"));
        assert!(said, "{seen:?}");
        assert_eq!(
            act(&store, &id, EndpointAct::Remove).await,
            EndpointActOutcome::Done
        );
    }
    assert_sound(&store.at(T0 + 9 * 86_400_000)).await;
}

#[tokio::test]
async fn an_endpoint_that_has_too_much_to_do_is_left_alone() {
    let (store, _) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    endpoint(&store, &acme, URL, "endings").await;
    for _ in 0..2 {
        let job = accept(&store, &job_for(&store, &acme, 1)).await.job;
        cancel(&store, &job).await;
    }
    let first = take(&store, 1).await.remove(0);
    let busy = Reported {
        throttle_ms: 30_000,
        ..reported(Tried::Again { delay_ms: 1 })
    };
    store.report_message(&first, &busy).await.expect("a report");
    assert!(take(&store.at(T0 + 29_999), 10).await.is_empty());
    assert_eq!(take(&store.at(T0 + 30_000), 10).await.len(), 2);
}

#[tokio::test]
async fn disabled_endpoints_keep_what_waits_and_enabling_lets_it_go() {
    let (store, _) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let (id, _) = endpoint(&store, &acme, URL, "endings").await;
    let job = accept(&store, &job_for(&store, &acme, 1)).await.job;
    cancel(&store, &job).await;
    let acts = [
        (EndpointAct::Enable, EndpointActOutcome::Already),
        (EndpointAct::Disable, EndpointActOutcome::Done),
        (EndpointAct::Disable, EndpointActOutcome::Already),
        (
            EndpointAct::Test {
                message: "test_1".to_owned(),
            },
            EndpointActOutcome::Disabled,
        ),
    ];
    for (what, expected) in acts {
        assert_eq!(act(&store, &id, what).await, expected);
    }
    assert!(take(&store, 10).await.is_empty());
    assert_eq!(look(&store, &id).await.why, "by tests");
    assert_eq!(
        act(&store, &id, EndpointAct::Enable).await,
        EndpointActOutcome::Done
    );
    assert_eq!(take(&store, 10).await.len(), 1);
}

#[tokio::test]
async fn a_replaced_secret_signs_beside_the_new_one_until_its_time_is_over() {
    let (store, _) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let (id, old) = endpoint(&store, &acme, URL, "endings").await;
    let new = Secret::of_bytes([9; 32]).expose().to_owned();
    let rotate = || EndpointAct::Rotate {
        secret: new.clone(),
        overlap_ms: 1_000,
    };
    assert_eq!(act(&store, &id, rotate()).await, EndpointActOutcome::Done);
    assert_eq!(
        act(&store, &id, rotate()).await,
        EndpointActOutcome::Already
    );
    for (at_ms, expected) in [
        (T0 + 999, vec![new.clone(), old]),
        (T0 + 1_000, vec![new.clone()]),
    ] {
        let now = store.at(at_ms);
        let job = accept(&now, &job_for(&now, &acme, 1)).await.job;
        cancel(&now, &job).await;
        assert_eq!(take(&now, 1).await.remove(0).secrets, expected);
    }
}

#[tokio::test]
async fn endpoints_are_made_once_for_accounts_there_are_and_not_too_many() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 0).await;
    let (id, _) = endpoint(&store, &acme, URL, "endings").await;
    let made = async |new| store.create_endpoint(&new).await.expect("an answer");
    let before = raw.dump().await;
    assert_eq!(
        made(create(&acme, &id, URL, "endings")).await,
        EndpointCreated::Created { replayed: true }
    );
    assert_eq!(
        made(create(&acme, &id, "https://x.example", "endings")).await,
        EndpointCreated::Mismatch
    );
    let nobody = account("nobody");
    let other = store.new_endpoint_id(&nobody);
    assert_eq!(
        made(create(&nobody, &other, URL, "all")).await,
        EndpointCreated::UnknownAccount
    );
    let mut one_more = create(&acme, &store.new_endpoint_id(&acme), URL, "all");
    one_more.endpoints_max = 1;
    assert_eq!(
        made(one_more).await,
        EndpointCreated::TooMany { endpoints: 1 }
    );
    let unknown = act(&store, &store.new_endpoint_id(&acme), EndpointAct::Enable).await;
    assert_eq!(unknown, EndpointActOutcome::Unknown);
    assert_eq!(raw.dump().await, before);
}

#[tokio::test]
async fn a_removed_endpoint_leaves_nothing_behind() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 10).await;
    let (id, _) = endpoint(&store, &acme, URL, "all").await;
    for _ in 0..3 {
        let job = accept(&store, &job_for(&store, &acme, 1)).await.job;
        cancel(&store, &job).await;
    }
    let taken = take(&store, 3).await;
    report(&store, &taken[0], Tried::Dead).await;
    report(&store, &taken[1], Tried::Again { delay_ms: 9 }).await;
    assert_eq!(
        act(&store, &id, EndpointAct::Remove).await,
        EndpointActOutcome::Done
    );
    assert_eq!(
        act(&store, &id, EndpointAct::Remove).await,
        EndpointActOutcome::Unknown
    );
    assert_eq!(
        report(&store, &taken[2], Tried::Gone).await,
        ReportOutcome::Stale
    );
    let job = accept(&store, &job_for(&store, &acme, 1)).await.job;
    cancel(&store, &job).await;
    let left = raw.dump().await;
    let own: Vec<&String> = left
        .keys()
        .filter(|name| name.contains(id.as_str()) || name.contains("hooks:acme"))
        .collect();
    assert!(own.is_empty(), "{own:?}");
    let listed: Option<String> = raw.run(&["HGET", &key("acct", "acme"), "hooks"]).await;
    assert_eq!(listed, None);
    assert_eq!(store.endpoints(&acme).await.expect("a list"), []);
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_test_message_comes_once_and_its_answer_is_kept() {
    let (store, _) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 0).await;
    let (id, _) = endpoint(&store, &acme, URL, "endings").await;
    let test = || EndpointAct::Test {
        message: "test_1".to_owned(),
    };
    assert_eq!(act(&store, &id, test()).await, EndpointActOutcome::Done);
    assert_eq!(act(&store, &id, test()).await, EndpointActOutcome::Already);
    let told = hear(&store).await;
    assert_eq!(events(&told), ["test"]);
    assert_eq!(told[0].happened.message, "test_1");
    assert_eq!(look(&store, &id).await.test_result, "status 500");
}

#[tokio::test]
async fn every_act_on_an_endpoint_stands_in_the_log() {
    let (store, _) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 0).await;
    let (id, _) = endpoint(&store, &acme, URL, "endings").await;
    let secret = Secret::of_bytes([9; 32]).expose().to_owned();
    for what in [
        EndpointAct::Disable,
        EndpointAct::Enable,
        EndpointAct::Rotate {
            secret: secret.clone(),
            overlap_ms: 1,
        },
        EndpointAct::Test {
            message: "test_1".to_owned(),
        },
        EndpointAct::Remove,
    ] {
        act(&store, &id, what).await;
    }
    let acts = store.acts(0, "-", 99).await.expect("acts");
    let words: Vec<&str> = acts.iter().map(|act| act.act.as_str()).collect();
    assert_eq!(
        words,
        [
            "webhook_create",
            "webhook_disable",
            "webhook_enable",
            "webhook_rotate",
            "webhook_test",
            "webhook_remove"
        ]
    );
    let same = |act: &meterline::store::Act| act.subject == id.as_str() && act.actor == "tests";
    assert!(acts.iter().all(same));
    let told = format!("{acts:?}");
    assert!(!told.contains(&secret), "a secret in the log");
}
