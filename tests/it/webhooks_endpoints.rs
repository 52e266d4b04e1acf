//! Endpoints in the store: made, disabled by whom or by what, given new secrets, removed.

use meterline::store::{
    EndpointAct, EndpointActOutcome, EndpointCreated, ReportOutcome, Reported, Tried,
};
use meterline::webhook::Secret;

use crate::support::webhooks::*;
use crate::support::*;

const URL: &str = "https://receiver.example/hook";

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
    assert_eq!(look(&store, &id).await.why, "by tests: test");
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
    let told = take(&store, 10).await;
    let said: Vec<&str> = told.iter().map(|d| d.happened.event.as_str()).collect();
    assert_eq!(said, ["test"]);
    assert_eq!(told[0].happened.message, "test_1");
    report(&store, &told[0], Tried::Taken).await;
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

#[tokio::test]
async fn a_try_that_fails_after_the_endpoint_was_disabled_starts_no_other() {
    let (store, _) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let (id, _) = endpoint(&store, &acme, URL, "endings").await;
    let job = accept(&store, &job_for(&store, &acme, 1)).await.job;
    cancel(&store, &job).await;
    let delivery = take(&store, 1).await.remove(0);
    act(&store, &id, EndpointAct::Disable).await;
    let again = Tried::Again { delay_ms: 1_000 };
    assert_eq!(report(&store, &delivery, again).await, ReportOutcome::Noted);
    assert!(take(&store.at(T0 + 1_000), 10).await.is_empty());
    act(&store, &id, EndpointAct::Enable).await;
    assert_eq!(take(&store.at(T0 + 1_000), 10).await.len(), 1);
}
