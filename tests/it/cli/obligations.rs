//! What providers may still be doing, as the command line lists it.

use serde_json::json;

use super::{bare, ran, text};
use crate::support::account;
use crate::support::rig::Rig;

#[tokio::test(flavor = "multi_thread")]
async fn obligations_are_listed_with_whose_they_are_and_why() {
    let rig = Rig::new().await;
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let worker = rig.worker(None);
    let first = rig.video(&acme, 5_000, json!({"hang": true})).await.job;
    rig.seen(&first, "handle", 1).await;
    rig.store.cancel(&first, "tests").await.expect("cancel");
    rig.ended(&first).await;
    let params = json!({"prompt": "x", "sim": {"drop_after_accept": true}});
    let submitted = rig.submit_on(&acme, "text-to-image", params, Some("sim-blind"));
    let second = submitted.await.job;
    rig.ended(&second).await;
    worker.drain().await;

    let url = rig.url.clone();
    let list = move |more: &[&str]| {
        let mut command = bare(&["obligation", "ls", "--config", "config/dev"]);
        command.args(["--redis", &url]).args(more);
        let listed = ran(&mut command);
        assert_eq!(listed.code, 0, "{listed:?}");
        listed
    };
    let blocking = tokio::task::spawn_blocking(move || {
        (
            list(&["--output", "json"]).json(),
            list(&["--limit", "1"]).stdout,
            list(&["--limit", "0"]).stdout,
        )
    });
    let (all, table, none) = blocking.await.expect("the lists");
    let all = all.as_array().expect("a list");
    let shown: Vec<_> = all
        .iter()
        .map(|one| {
            let words = ["job", "account", "provider", "route", "why"].map(|key| text(&one[key]));
            (words, one["has_handle"] == true)
        })
        .collect();
    let want = [
        ([first.as_str(), "acme", "sim", "sim", "cancelled"], true),
        (
            [
                second.as_str(),
                "acme",
                "sim-blind",
                "sim-blind",
                "unknown_outcome",
            ],
            false,
        ),
    ];
    assert_eq!(shown, want);
    assert!(all.iter().all(|one| one["submission"] == 1));
    assert!(all.iter().all(|one| one["age_ms"].as_u64() < Some(60_000)));
    assert!(
        table.contains(first.as_str()) && table.contains("1 more: see --limit"),
        "{table}"
    );
    assert!(none.contains("2 more"), "{none}");
}
