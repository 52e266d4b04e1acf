//! Every method of the client, once and against a live server: what is sent is understood, what comes back
//! is read.

use std::time::Duration;

use meterline::client::{Error, JobQuery, StretchQuery};
use meterline::domain::job::State;
use meterline::wire::{
    BatchRequest, DeadFilter, ForceFailRequest, GrantBody, HaltRequest, NewAccount, QuoteRequest,
    RetryRequest,
};

use super::{at, image, of};
use crate::api::Api;
use crate::support::{assert_sound, funded};

#[tokio::test]
async fn a_producer_quotes_submits_looks_waits_and_cancels() {
    let api = Api::start().await;
    let acme = api.customer("acme", 100).await;
    let client = at(&api.url, &acme, Duration::ZERO);
    let asked = QuoteRequest {
        tool: "text-to-image".to_owned(),
        params: image("acme").params,
        ..QuoteRequest::default()
    };
    let quote = client.quote(&asked).await.expect("a quote");
    assert_eq!(quote.ceiling_ucr, 7_000_000);

    let first = client.submit(&image("acme"), Some("click-1")).await;
    let first = first.expect("a job");
    let again = client.submit(&image("acme"), Some("click-1")).await;
    let again = again.expect("the same job");
    assert_eq!((first.replayed, again.replayed), (false, true));
    assert_eq!(first.body.job, again.body.job);
    assert_eq!(
        (again.body.status.as_str(), again.body.hold_ucr),
        ("replayed", 7_000_000)
    );
    let other = client.submit(&image("acme"), None).await.expect("a job");
    assert_ne!(
        other.body.job, first.body.job,
        "each call has a key of its own"
    );

    let job = first.body.job;
    assert_eq!(client.job(&job).await.expect("a job").state, "queued");
    let waited = client.wait_job(&job, Duration::from_millis(1_100)).await;
    assert!(!waited.expect("the job as it stands").has_ended());
    let explained = client.explain_job(&job).await.expect("an explanation");
    assert_eq!(explained.slices[0].held_ucr, 7_000_000);
    let cancelled = client.cancel_job(&job).await.expect("cancelled");
    assert_eq!(
        (cancelled.body.released_ucr, cancelled.replayed),
        (7_000_000, false)
    );
    assert!(client.cancel_job(&job).await.expect("the same").replayed);
    let ended = client.wait_job(&job, Duration::from_secs(20)).await;
    assert_eq!(ended.expect("it has ended").state, "cancelled");

    let jobs = vec![image("acme"), JobRequestWithoutTool::of("acme")];
    let batch = client
        .submit_batch(&BatchRequest { jobs }, Some("b1"))
        .await;
    let batch = batch.expect("an answer for each");
    assert_eq!((batch.accepted, batch.failed), (1, 1));
    let problem = batch.results[1].problem.as_ref().expect("a problem");
    assert_eq!(problem.word(), "bad_request");

    let page = client
        .jobs(&JobQuery {
            limit: Some(2),
            ..JobQuery::default()
        })
        .await;
    let page = page.expect("a page");
    assert_eq!(page.data.len(), 2);
    let rest = JobQuery {
        account: Some("acme".to_owned()),
        state: Some(State::Cancelled),
        tool: Some("text-to-image".to_owned()),
        cursor: page.next_cursor,
        ..JobQuery::default()
    };
    let rest = client.jobs(&rest).await.expect("the rest").data;
    assert_eq!(rest.iter().map(|job| &job.job).collect::<Vec<_>>(), [&job]);
    assert_sound(&api.store).await;
}

/// A request that the server refuses.
struct JobRequestWithoutTool;

impl JobRequestWithoutTool {
    fn of(account: &str) -> meterline::wire::JobRequest {
        meterline::wire::JobRequest {
            tool: None,
            params: serde_json::Map::new(),
            ..image(account)
        }
    }
}

#[tokio::test]
async fn an_operator_opens_accounts_grants_and_reads_where_credits_went() {
    let api = Api::start().await;
    let client = of(&api);
    let new = NewAccount {
        account: "acme".parse().expect("an account"),
        max_active: 3,
    };
    assert!(!client.create_account(&new).await.expect("opened").replayed);
    assert!(client.create_account(&new).await.expect("there").replayed);
    let grant = GrantBody {
        amount_ucr: 50_000_000,
        kind: "promo".to_owned(),
        expires_at: Some("2199-01-01T00:00:00Z".to_owned()),
        reason: "welcome".to_owned(),
    };
    let granted = client
        .grant("acme", &grant, "pay-1")
        .await
        .expect("granted");
    assert_eq!(
        (granted.body.available_ucr, granted.replayed),
        (50_000_000, false)
    );
    assert!(
        client
            .grant("acme", &grant, "pay-1")
            .await
            .expect("once")
            .replayed
    );
    let account = client.account("acme").await.expect("the account");
    assert_eq!((account.available_ucr, account.max_active), (50_000_000, 3));
    assert_eq!(
        account.grants[0].expires_at.as_deref(),
        Some("2199-01-01T00:00:00.000Z")
    );
    let accounts = client.accounts(None).await.expect("all");
    assert_eq!(accounts.data, [account]);

    client.submit(&image("acme"), None).await.expect("a job");
    let entries = client.ledger("acme", 2, None).await.expect("entries");
    let kinds: Vec<&str> = entries.data.iter().map(|one| one.kind.as_str()).collect();
    assert_eq!(kinds, ["hold", "grant"]);
    let more = client
        .ledger("acme", 2, entries.next_cursor.as_deref())
        .await;
    assert_eq!(more.expect("the last").data[0].kind, "open");
    let stretch = StretchQuery {
        from: Some("2020-01-01T00:00:00Z".to_owned()),
        to: Some("2199-01-01T00:00:00Z".to_owned()),
        by: Some("grant".to_owned()),
    };
    let statement = client
        .statement("acme", &stretch)
        .await
        .expect("a statement");
    assert_eq!(
        (
            statement.lines[0].name.as_str(),
            statement.total.granted_ucr
        ),
        ("promo", 50_000_000)
    );
}

#[tokio::test]
async fn an_operator_reads_the_house_and_retries_what_failed() {
    let api = Api::start().await;
    let client = of(&api);
    funded(&api.store, "acme", 100).await;
    let tools = client.tools().await.expect("tools");
    let tool = client.tool(&tools[0].tool).await.expect("a tool");
    assert_eq!(tool, tools[0]);

    let halt = |act: &str| HaltRequest {
        act: act.to_owned(),
        reason: "the provider is down".to_owned(),
    };
    assert!(
        client
            .halt_queue("image", &halt("pause"))
            .await
            .expect("paused")
            .changed
            > 0
    );
    let queues = client.queues().await.expect("queues");
    let image_queue = queues
        .iter()
        .find(|queue| queue.queue == "image")
        .expect("one");
    assert_eq!(
        image_queue.paused.as_ref().expect("a halt").reason,
        "the provider is down"
    );
    client
        .halt_queue("image", &halt("resume"))
        .await
        .expect("goes on");

    let mut failed = Vec::new();
    for _ in 0..2 {
        let job = client
            .submit(&image("acme"), None)
            .await
            .expect("a job")
            .body
            .job;
        assert_eq!(client.scale("image").await.expect("a scale").waiting, 1);
        let why = ForceFailRequest {
            reason: "hangs".to_owned(),
            class: Some("provider_fault".to_owned()),
        };
        let ended = client.force_fail_job(&job, &why).await.expect("ended");
        assert_eq!(
            (ended.body.state.as_str(), ended.body.released_ucr),
            ("failed", 7_000_000)
        );
        failed.push(job);
    }
    let filter = DeadFilter {
        account: Some("acme".parse().expect("an account")),
        class: Some("provider_fault".to_owned()),
        limit: Some(1),
        ..DeadFilter::default()
    };
    let page = client.dead_letters(&filter).await.expect("dead letters");
    assert_eq!((page.data.len(), page.next_cursor.is_some()), (1, true));

    let retried = client.retry_job(&failed[0]).await.expect("retried");
    let again = client.retry_job(&failed[0]).await.expect("the same");
    assert_eq!(
        (retried.body.new_job, false),
        (again.body.new_job, retried.replayed)
    );
    assert!(again.replayed);
    let asked = RetryRequest {
        filter: DeadFilter {
            limit: None,
            ..filter
        },
        payer: "house".to_owned(),
        reason: "outage".to_owned(),
        dry_run: false,
    };
    let look = client.look_at_retry(&asked).await.expect("a look");
    assert_eq!(
        (look.jobs, look.payable_jobs, look.hold_ucr),
        (1, 1, 7_000_000)
    );
    let mut run = client.begin_retry(&asked).await.expect("a run");
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while run.state == "running" && std::time::Instant::now() < deadline {
        run = client.run(&run.run).await.expect("the run");
    }
    assert_eq!((run.state.as_str(), run.retried), ("done", 1));
    assert_sound(&api.store).await;
}

#[tokio::test]
async fn a_refusal_is_typed_and_says_what_the_server_said() {
    let api = Api::start().await;
    let acme = api.customer("acme", 5).await;
    let client = at(&api.url, &acme, Duration::from_secs(10));
    let Err(Error::Refused(refused)) = client.submit(&image("acme"), Some("k1")).await else {
        panic!("five credits are not enough");
    };
    assert_eq!(refused.problem.word(), "insufficient");
    assert_eq!(refused.problem.status, 402);
    assert_eq!(refused.problem.more["need_ucr"], 7_000_000);
    assert_eq!(refused.key.as_deref(), Some("k1"));
    assert!(refused.request_id.is_some());
    for (error, word) in [
        (client.job("j00-none").await.map(|_| ()), "unknown_job"),
        (client.account("other").await.map(|_| ()), "unknown_account"),
        (client.account("a b/c").await.map(|_| ()), "unknown_account"),
        (client.queues().await.map(|_| ()), "forbidden"),
        (client.tool("../keys").await.map(|_| ()), "unknown_tool"),
    ] {
        assert_eq!(error.expect_err("refused").word(), Some(word));
    }
    let stranger = at(&api.url, "mlk_none", Duration::ZERO);
    let refused = stranger.tools().await.expect_err("no key");
    assert_eq!(refused.word(), Some("unauthorized"));
}
