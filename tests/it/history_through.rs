//! What the store has forgotten is read from Postgres as if it still had it: jobs, ledgers, statements.

use meterline::domain::failure::FailureClass;
use meterline::domain::ids::AccountId;
use meterline::domain::job::State;
use meterline::ledger::{By, History, Statement, Watch, statement};
use meterline::store::{GrantKind, JobFilter, Options, Payer, Redrive, Store, TrimOutcome};
use proptest::prelude::*;
use secrecy::SecretString;

use crate::support::postgres::{connect, fresh_history, project};
use crate::support::*;

pub(crate) const HOUR_MS: u64 = 3_600_000;

/// Everything is forgotten soon.
pub(crate) fn short() -> Options {
    Options {
        opening_ms: 1_000,
        journal_retention_ms: 1_000,
        retention_ms: 1_000,
        dead_letter_ms: 1_000,
        ..options()
    }
}

/// One job an hour for two accounts, charged, failed or cancelled in turn; returns when the last was over.
pub(crate) async fn live(store: &Store, jobs: u64) -> (AccountId, u64) {
    let acme = funded(store, "acme", 500).await;
    let other = funded(store, "other", 500).await;
    for n in 0..jobs {
        let at = store.at(T0 + n * HOUR_MS);
        for account in [&acme, &other] {
            let accepted = accept(&at, &job_for(&at, account, 10)).await;
            let worker = format!("w{n}-{account}");
            let job = claim_one(&at, &worker).await;
            assert_eq!(job.job, accepted.job);
            if n % 3 == 1 {
                fail(&at, &job, &ends(FailureClass::ProviderFault)).await;
            } else {
                settle(&at, &job, &settlement(5)).await;
            }
        }
        if n % 4 == 3 {
            give(&at, &acme, 2, GrantKind::Promo, None, &format!("op-{n}")).await;
        }
    }
    (acme, T0 + jobs * HOUR_MS)
}

/// Takes the front off the journal, as far as a round of openings at `at_ms` lets it.
pub(crate) async fn trim(store: &Store, url: &SecretString, at_ms: u64) {
    store.at(at_ms).open_books(0).await.expect("a round");
    let later = store.at(at_ms + 2_000);
    later.open_books(0).await.expect("a round");
    Watch::new(later, "a1", 1_000)
        .round(0)
        .await
        .expect("an audit");
    project(store, url).await;
    let trimmed = store.at(at_ms + 4_000).trim_journal(0).await.expect("trim");
    assert!(
        matches!(trimmed, TrimOutcome::Trimmed { .. }),
        "{trimmed:?}"
    );
}

fn history(store: &Store, url: &SecretString) -> History {
    History::new(store.clone(), Some(url.clone()))
}

async fn statements(history: &History, account: &AccountId, marks: &[u64]) -> Vec<Statement> {
    let mut found = Vec::new();
    for by in [By::Day, By::Tool, By::Grant] {
        for (n, from_ms) in marks.iter().enumerate() {
            for to_ms in &marks[n..] {
                let one = statement(history, account, *from_ms, *to_ms, by).await;
                found.push(one.expect("a statement"));
            }
        }
    }
    found
}

#[tokio::test]
async fn a_job_is_shown_the_same_before_and_after_it_was_forgotten() {
    let store = store_with(short()).await;
    let url = fresh_history().await;
    let (acme, over_ms) = live(&store, 6).await;
    let history = history(&store, &url);
    let filter = JobFilter {
        account: Some(acme.clone()),
        state: None,
        limit: 100,
    };
    let (before, away) = history.jobs(&filter).await.expect("jobs");
    assert!(away.is_none());
    assert_eq!(before.len(), 6);
    let mut shown = Vec::new();
    for view in &before {
        let view = store
            .job(&view.job)
            .await
            .expect("a job")
            .expect("it is there");
        let timeline = store.timeline(&view.job).await.expect("a timeline");
        assert!(!timeline.is_empty());
        shown.push((view, timeline));
    }
    project(&store, &url).await;
    tick(&store.at(over_ms + HOUR_MS)).await;
    for (view, timeline) in shown {
        assert_eq!(store.job(&view.job).await.expect("an answer"), None);
        let ever = history.job(&view.job).await.expect("an answer");
        assert_eq!(ever, Some(view.clone()));
        let events = history.timeline(&view.job).await.expect("an answer");
        assert_eq!(events, timeline);
    }
    let ids = |views: &[meterline::store::JobView]| -> Vec<_> {
        views.iter().map(|view| view.job.clone()).collect()
    };
    let (after, _) = history.jobs(&filter).await.expect("jobs");
    assert_eq!(ids(&after), ids(&before));
    assert_sound(&store.at(over_ms + HOUR_MS)).await;
}

/// A job that failed and was retried; `forgotten` says whether the store has it no more when the retry ends.
async fn a_retried_job_says_what_became_of_it(forgotten: bool) {
    let store = store_with(short()).await;
    let url = fresh_history().await;
    let acme = funded(&store, "acme", 100).await;
    accept(&store, &job_for(&store, &acme, 10)).await;
    let failed = claim_one(&store, "w1").await;
    fail(&store, &failed, &ends(FailureClass::ProviderFault)).await;
    project(&store, &url).await;
    let request = Redrive {
        dead: failed.job.clone(),
        job: store.successor_id(&failed.job),
        payer: Payer::House,
        reason: "the provider is back".to_owned(),
        actor: "ann".to_owned(),
    };
    store.redrive(&request).await.expect("redriven");
    let shown = store.job(&failed.job).await.expect("a job");
    let store = store.at(T0 + 5_000);
    if forgotten {
        project(&store, &url).await;
        tick(&store).await;
        assert_eq!(store.job(&failed.job).await.expect("an answer"), None);
    }
    let again = claim_one(&store, "w1").await;
    assert_eq!(again.job, request.job);
    settle(&store, &again, &settlement(5)).await;
    project(&store, &url).await;

    tick(&store.at(T0 + 2 * HOUR_MS)).await;
    assert_eq!(store.job(&failed.job).await.expect("an answer"), None);
    let ever = history(&store, &url).job(&failed.job).await;
    let ever = ever.expect("an answer").expect("a job");
    assert_eq!(ever.text("redriven_as"), again.job.as_str());
    assert_eq!(ever.text("payer_again"), "house");
    if !forgotten {
        assert_eq!(Some(ever), shown);
    }
}

#[tokio::test]
async fn a_retried_job_that_is_forgotten_later_says_what_became_of_it() {
    a_retried_job_says_what_became_of_it(false).await;
}

#[tokio::test]
async fn a_retried_job_that_was_forgotten_before_says_what_became_of_it() {
    a_retried_job_says_what_became_of_it(true).await;
}

#[tokio::test]
async fn jobs_on_both_sides_of_the_seam_are_listed_once_and_the_newest_first() {
    let store = store_with(short()).await;
    let url = fresh_history().await;
    let (acme, over_ms) = live(&store, 5).await;
    project(&store, &url).await;
    // The last of them stay in the store, and stand in history too.
    tick(&store.at(over_ms - HOUR_MS + 500)).await;
    let history = history(&store, &url);
    for limit in [1, 3, 5, 9] {
        let filter = JobFilter {
            account: Some(acme.clone()),
            state: None,
            limit,
        };
        let (found, _) = history.jobs(&filter).await.expect("jobs");
        let times: Vec<i64> = found.iter().map(|view| view.number("created_at")).collect();
        let newest = (0..5u64).rev().map(|n| T0 + n * HOUR_MS);
        let newest: Vec<i64> = newest.take(limit).map(u64::cast_signed).collect();
        assert_eq!(times, newest);
    }
    assert_sound(&store).await;
}

#[tokio::test]
async fn no_job_is_forgotten_before_history_has_its_end_but_a_day_later_it_is() {
    let store = store_with(short()).await;
    let url = fresh_history().await;
    let acme = funded(&store, "acme", 100).await;
    project(&store, &url).await;
    let job = charged(&store, &acme, 10, 5).await;
    let there = async |job| store.job(job).await.expect("an answer").is_some();
    tick(&store.at(T0 + HOUR_MS)).await;
    assert!(there(&job).await, "its end is not committed");
    project(&store, &url).await;
    tick(&store.at(T0 + 2 * HOUR_MS)).await;
    assert!(!there(&job).await, "its end is committed");
    let late = store.at(T0 + 3 * HOUR_MS);
    let job = charged(&late, &acme, 10, 5).await;
    tick(&store.at(T0 + 20 * HOUR_MS)).await;
    assert!(there(&job).await, "history may still come");
    tick(&store.at(T0 + 3 * HOUR_MS + DAY_MS + 2_000)).await;
    assert!(!there(&job).await, "it has waited for a day");
    project(&store, &url).await;
    let bare = history(&store, &url).job(&job).await.expect("an answer");
    let bare = bare.expect("what the journal said of it");
    assert_eq!(
        (bare.text("state"), bare.number("captured_ucr")),
        ("succeeded", 5_000_000)
    );
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_job_waits_for_history_only_while_there_is_something_to_commit() {
    let (store, raw) = store_and_raw(short()).await;
    let acme = funded(&store, "acme", 100).await;
    let job = charged(&store, &acme, 10, 5).await;
    // A new epoch has no entries yet: history cannot come any nearer.
    let meta = key("part", "meta");
    let _: i64 = raw
        .run(&["HSET", &meta, "history_seq", "0", "epoch", "2"])
        .await;
    tick(&store.at(T0 + HOUR_MS)).await;
    assert_eq!(store.job(&job).await.expect("an answer"), None);
}

#[tokio::test]
async fn a_ledger_goes_on_over_the_seam_by_sequence() {
    let store = store_with(short()).await;
    let url = fresh_history().await;
    let (acme, over_ms) = live(&store, 6).await;
    project(&store, &url).await;
    let history = history(&store, &url);
    let (before, _) = history.entries(&acme, 1_000).await.expect("entries");
    trim(&store, &url, over_ms).await;
    let (after, away) = history.entries(&acme, 1_000).await.expect("entries");
    assert!(away.is_none());
    // Rounds of openings have come in front.
    let after: Vec<_> = after
        .into_iter()
        .filter(|(_, body)| body.kind != "opening")
        .collect();
    assert_eq!(after, before);
    for limit in 1..before.len() {
        let (some, _) = history.entries(&acme, limit).await.expect("entries");
        let seqs: Vec<u64> = some.iter().map(|(_, body)| body.account_seq).collect();
        let first = seqs[0];
        let whole: Vec<u64> = (0..limit as u64).map(|n| first - n).collect();
        assert_eq!(seqs, whole);
    }
    assert_sound(&store.at(over_ms + 4_000)).await;
}

#[tokio::test]
async fn where_history_is_away_what_is_missing_is_said() {
    let store = store_with(short()).await;
    let url = fresh_history().await;
    let (acme, over_ms) = live(&store, 3).await;
    project(&store, &url).await;
    trim(&store, &url, over_ms).await;
    let nobody = SecretString::from("postgresql://meterline@%2Fnonexistent/none");
    let history = history(&store, &nobody);
    let found = statement(&history, &acme, T0, u64::MAX, By::Day).await;
    let found = found.expect("the store's part");
    assert!(found.history_away.is_some() && found.kept_from_ms.is_some());
    let (_, away) = history
        .entries(&acme, 1_000)
        .await
        .expect("the store's part");
    assert!(away.is_some());
    // A listing has the store's part, and says where it may not be all.
    let mut filter = JobFilter {
        account: Some(acme.clone()),
        state: None,
        limit: 10,
    };
    let kept = store.jobs(&filter).await.expect("jobs");
    assert!(!kept.is_empty());
    let (found, away) = history.jobs(&filter).await.expect("the store's part");
    assert!(away.is_some() && found == kept, "{found:?}");
    filter.state = Some(State::Running);
    let (_, away) = history.jobs(&filter).await.expect("open jobs");
    assert!(away.is_none(), "open jobs stand in the store alone");
    let gone = store.new_job_id(&acme);
    assert!(history.job(&gone).await.is_err(), "nobody can know");
    assert_sound(&store.at(over_ms + 4_000)).await;
}

#[tokio::test]
async fn listings_of_history_go_by_an_index() {
    let url = fresh_history().await;
    let store = store().await;
    project(&store, &url).await;
    let client = connect(&url).await;
    let fill = "set search_path to meterline;
        insert into jobs (job, partition, account, tool, state, held_at_ms, ended_at_ms)
        select 'j' || n, 0, 'a' || n % 500, 't' || n % 7, (array['succeeded', 'failed', 'open'])[1 + n % 3], n, n
        from generate_series(1, 20000) n; analyze jobs";
    client.batch_execute(fill).await.expect("rows");
    for (wanted, by) in [
        ("account = 'a7'", "held_at_ms"),
        ("account = 'a7' and state = 'failed'", "held_at_ms"),
        ("state = 'failed'", "held_at_ms"),
        ("true", "held_at_ms"),
        ("true", "ended_at_ms"),
    ] {
        let sql = format!(
            "explain select * from jobs where state <> 'open' and ({by}, job collate \"C\") < (15000, '')
            and {wanted} order by {by} desc, job collate \"C\" desc limit 100"
        );
        let rows = client.query(&sql, &[]).await.expect("a plan");
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        assert!(
            plan.contains("Index") && !plan.contains("Seq Scan"),
            "{wanted}\n{plan}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn statements_over_the_seam_are_those_from_before_the_trim(jobs in 2..8u64, cut in 0..8u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let store = store_with(short()).await;
            let url = fresh_history().await;
            let (acme, over_ms) = live(&store, jobs).await;
            project(&store, &url).await;
            let cut_ms = T0 + cut.min(jobs) * HOUR_MS + 1;
            let marks = [0, T0, cut_ms, over_ms, over_ms + DAY_MS];
            let history = history(&store, &url);
            let before = statements(&history, &acme, &marks).await;
            trim(&store, &url, over_ms).await;
            // Entries behind the last that is committed are read from the store.
            give(&store.at(over_ms + DAY_MS), &acme, 1, GrantKind::Promo, None, "after").await;
            assert_eq!(statements(&history, &acme, &marks).await, before);
            assert_sound(&store.at(over_ms + DAY_MS)).await;
        });
    }
}
