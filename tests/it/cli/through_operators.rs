//! What operators do through a server is what they would do on the store: freezes, holds, dead letters, endpoints.

use serde_json::json;

use super::through_server::{Both, IMAGE};
use crate::support::{accept, claim, claim_one, job_for, settle, settlement};

fn fund(both: &Both) {
    both.cli.ok(&[
        "account",
        "grant",
        "acme",
        "--credits",
        "100",
        "--op-id",
        "fund",
    ]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn freezes_are_made_seen_and_cleared_by_both_ways() {
    let both = Both::start().await;
    let freeze = |id| {
        [
            "account",
            "freeze",
            "acme",
            "--reason",
            "chargeback",
            "--op-id",
            id,
        ]
    };
    assert_eq!(both.ok(&freeze("f1"))["status"], "frozen");
    assert_eq!(both.ok(&freeze("f1"))["status"], "replayed");
    let bare = &freeze("f1")[..5];
    assert_eq!(both.same(bare, &["op_id"])["status"], "already");
    both.same(&["freeze", "ls"], &[]);
    let clear = |id| {
        [
            "freeze", "clear", "acme", "--reason", "settled", "--op-id", id,
        ]
    };
    let cleared = both.ok(&clear("c1"));
    assert_eq!(
        (&cleared["status"], &cleared["reason"]),
        (&json!("cleared"), &json!("chargeback"))
    );
    assert_eq!(both.ok(&clear("c1"))["status"], "replayed");
    assert_eq!(both.same(&clear("c2"), &[])["type"], "not_frozen");
    let partition = |n| ["freeze", "partition", n, "--reason", "restored"];
    assert_eq!(both.ok(&partition("3"))["partition"], 3);
    both.same(&["freeze", "ls"], &[]);
    both.same(&partition("99"), &[]);
    both.same(
        &["freeze", "clear", "--partition", "3", "--reason", " "],
        &[],
    );
    both.ok(&[
        "freeze",
        "clear",
        "--partition",
        "3",
        "--reason",
        "compared",
    ]);
    both.same(&["account", "freeze", "nobody", "--reason", "x"], &[]);
    assert_eq!(both.same(&["freeze", "ls"], &[]), json!([]));
    both.cli.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credits_are_corrected_taken_back_and_refunded_by_both_ways() {
    let both = Both::start().await;
    fund(&both);
    let reason = ["--reason", "a ticket"];
    let account = |act, more: &[&'static str], id| {
        let said = [&["account", act][..], more, &["--op-id", id], &reason];
        said.concat()
    };
    let up = account("adjust", &["acme", "--up", "5"], "t-1");
    assert_eq!(both.ok(&up)["adjusted_ucr"], 5_000_000);
    assert_eq!(both.same(&up, &[])["status"], "replayed");
    let down = account("adjust", &["acme", "--down", "120"], "t-2");
    let down = both.ok(&down);
    assert_eq!(
        (&down["adjusted_ucr"], &down["debt_ucr"]),
        (&json!(-120_000_000), &json!(15_000_000))
    );
    let other = account("adjust", &["acme", "--up", "6"], "t-1");
    assert_eq!(both.same(&other, &[])["type"], "operation_mismatch");
    both.same(&account("adjust", &["nobody", "--up", "6"], "t-3"), &[]);
    let back = account("adjust", &["acme", "--up", "115"], "t-4");
    assert_eq!(both.ok(&back)["available_ucr"], 100_000_000);

    let part = ["acme", "--payment", "fund", "--credits", "30"];
    let clawback = account("clawback", &part, "d-1");
    assert_eq!(both.ok(&clawback)["adjusted_ucr"], -30_000_000);
    assert_eq!(both.same(&clawback, &[])["status"], "replayed");
    let much = ["acme", "--payment", "fund", "--credits", "90"];
    assert_eq!(
        both.same(&account("clawback", &much, "d-2"), &[])["type"],
        "above_payment"
    );

    assert_eq!(both.ok(&["account", "daily", "acme"])["status"], "granted");
    let taken = both.same(&["account", "daily", "acme"], &[]);
    assert_eq!(taken["type"], "already_taken");

    let store = &both.api.store;
    let acme = crate::support::account("acme");
    accept(store, &job_for(store, &acme, 10)).await;
    let job = claim_one(store, "w1").await;
    settle(store, &job, &settlement(8)).await;
    let job = job.job.as_str();
    let refund = |more: &[&'static str]| [&["account", "refund", job][..], more, &reason].concat();
    let some = refund(&["--credits", "3", "--op-id", "r-1"]);
    assert_eq!(both.ok(&some)["left_ucr"], 5_000_000);
    assert_eq!(both.same(&some, &[])["status"], "replayed");
    let more = refund(&["--credits", "6", "--op-id", "r-2"]);
    assert_eq!(both.same(&more, &[])["type"], "above_captured");
    assert_eq!(both.ok(&refund(&[]))["refunded_ucr"], 5_000_000);
    let open = both.ok(&[&["submit"][..], &IMAGE].concat());
    let open = open["job"].as_str().expect("a job");
    let nothing = [&["account", "refund", open][..], &reason].concat();
    assert_eq!(both.same(&nothing, &[])["type"], "not_captured");
    both.cli.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_are_listed_and_ordered_to_leave_by_both_ways() {
    let both = Both::start().await;
    assert_eq!(both.same(&["worker", "ls"], &[]), json!([]));
    let store = &both.api.store;
    assert!(claim(store, "w1", 1).await.is_empty());
    let about =
        json!({"process": "w1", "pid": 7, "slots": {"image": 4}, "running": 2, "version": "9"});
    let (queues, about) = (["image".to_owned()], about.to_string());
    let beat = store.heartbeat(0, "w1", 60_000, &queues, &about, &[]);
    beat.await.expect("a beat");
    let listed = both.same(&["worker", "ls"], &["lease_left_ms", "pid"]);
    assert_eq!(
        (
            &listed[0]["worker"],
            &listed[0]["slots"],
            &listed[0]["running"]
        ),
        (&json!("w1"), &json!({"image": 4}), &json!(2))
    );
    let drain = |worker| ["worker", "drain", worker, "--timeout", "0s"];
    assert_eq!(both.ok(&drain("w1"))[0]["gone"], false);
    assert_eq!(both.same(&drain("w1"), &[])[0]["worker"], "w1");
    assert_eq!(both.same(&drain("w2"), &[])["type"], "unknown_worker");
    assert_eq!(both.same(&drain("--all"), &[])[0]["worker"], "w1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_are_listed_and_dead_letters_dropped_by_both_ways() {
    let both = Both::start().await;
    fund(&both);
    let submit = [&["submit"][..], &IMAGE].concat();
    let dead = both.ok(&submit)["job"].as_str().expect("a job").to_owned();
    both.ok(&submit);
    for arguments in [
        &["hold", "ls"][..],
        &["hold", "ls", "--account", "acme", "--limit", "1"],
        &["hold", "ls", "--older-than", "1h"],
        &["hold", "ls", "--account", "nobody"],
    ] {
        both.same(arguments, &["age_ms"]);
    }
    assert_eq!(both.through(&["hold", "ls", "--limit", "101"]).code, 2);

    both.ok(&["job", "force-fail", &dead, "--reason", "hangs"]);
    let drop = |more| {
        [
            "dead",
            "drop",
            "--class",
            "lost",
            "--reason",
            "nothing to retry",
            more,
        ]
    };
    assert_eq!(both.same(&drop("--dry-run"), &[])["jobs"], 1);
    let named = ["dead", "drop", &dead, "--reason", "x"];
    assert_eq!(both.through(&named).code, 2, "only by a filter");
    assert_eq!(both.through(&drop("--all")).code, 2, "a filter or all");
    assert_eq!(both.ok(&drop("--yes"))["summary"]["dropped"], 1);
    assert_eq!(both.same(&drop("--yes"), &[])["summary"]["dropped"], 0);
    assert_eq!(both.same(&drop("--dry-run"), &[])["jobs"], 0);
    both.cli.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_are_made_changed_and_removed_by_both_ways() {
    let both = Both::start().await;
    let secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    let url = "http://127.0.0.1:9/hooks";
    let create = [
        "webhook", "create", "acme", "--url", url, "--op-id", "shop-1",
    ];
    let made = both.ok(&create);
    assert_eq!(
        (&made["status"], &made["url"]),
        (&json!("created"), &json!(url))
    );
    assert!(
        made["secret"]
            .as_str()
            .is_some_and(|text| text.starts_with("whsec_"))
    );
    let again = both.ok(&create);
    assert_eq!(
        (&again["status"], &again["secret"]),
        (&json!("replayed"), &json!(null))
    );
    assert_eq!(again["endpoint"], made["endpoint"]);
    let id = made["endpoint"].as_str().expect("an endpoint");
    assert_eq!(
        both.through(&["webhook", "create", "acme", "--url", url, "--id", id])
            .code,
        2
    );
    let public = ["webhook", "create", "acme", "--url", "http://10.0.0.1/"];
    assert_eq!(both.same(&public, &[])["type"], "bad_url");

    both.same(&["webhook", "ls", "acme"], &[]);
    both.same(&["webhook", "ls", "nobody"], &[]);
    both.same(&["webhook", "show", id], &[]);
    let disable = ["webhook", "disable", id, "--reason", "moves"];
    assert_eq!(both.ok(&disable)["changed"], true);
    assert_eq!(both.same(&disable, &[])["changed"], false);
    let test = ["webhook", "test", id, "--timeout", "0s"];
    assert_eq!(both.same(&test, &[])["type"], "endpoint_disabled");
    assert_eq!(
        both.ok(&["webhook", "enable", id, "--reason", "is back"])["state"],
        "enabled"
    );
    let sent = both.ok(&test);
    assert!(
        sent["message"]
            .as_str()
            .is_some_and(|id| id.starts_with("test_"))
    );
    let rotate = [
        "webhook",
        "rotate",
        id,
        "--secret",
        secret,
        "--overlap",
        "1h",
        "--reason",
        "due",
    ];
    let rotated = both.ok(&rotate);
    assert_eq!(
        (&rotated["changed"], &rotated["overlap_ms"]),
        (&json!(true), &json!(3_600_000))
    );
    both.same(&rotate, &[]);
    both.same(&["webhook", "show", id], &[]);
    both.same(&["webhook", "dead", "ls", id], &[]);
    let redeliver = [
        "webhook",
        "dead",
        "redeliver",
        id,
        "--all",
        "--reason",
        "is back",
    ];
    assert_eq!(both.same(&redeliver, &[])["redelivered"], 0);
    let one = [
        "webhook",
        "dead",
        "redeliver",
        id,
        "1-1",
        "--reason",
        "is back",
    ];
    assert_eq!(both.same(&one, &[])["type"], "unknown_message");
    assert_eq!(
        both.ok(&["webhook", "rm", id, "--reason", "closed"])["changed"],
        true
    );
    assert_eq!(
        both.same(&["webhook", "show", id], &[])["type"],
        "unknown_endpoint"
    );
    both.cli.assert_sound();
}
