//! The journal over months: rounds of openings, and books that begin there when the front is trimmed.

use std::collections::BTreeMap;

use meterline::domain::ids::AccountId;
use meterline::ledger::{Round, Watch, audit};
use meterline::store::{
    ClearOutcome, FreezeAct, FreezeOutcome, GrantKind, NewJob, Options, RoundOutcome, Scope, Store,
    TrimOutcome,
};

use crate::support::*;

/// The store so many days after [`T0`].
fn day(store: &Store, n: u64) -> Store {
    store.at(T0 + n * DAY_MS)
}

/// Runs a round to its end, if one is due; how many openings were written.
async fn round(store: &Store) -> u32 {
    let mut written = 0;
    loop {
        match store.open_books(0).await.expect("a round") {
            RoundOutcome::Written { openings, more } => {
                written += openings;
                if !more {
                    return written;
                }
            }
            RoundOutcome::Idle | RoundOutcome::Frozen => return written,
        }
    }
}

/// Trims as far as it goes; how many entries went.
async fn trim(store: &Store) -> u64 {
    let mut gone = 0;
    while let TrimOutcome::Trimmed { entries } = store.trim_journal(0).await.expect("trim") {
        gone += entries;
    }
    gone
}

async fn look(watch: &mut Watch) -> meterline::ledger::Report {
    match watch.round(0).await.expect("a round") {
        Round::Looked { report, .. } => report,
        Round::Follows => panic!("nobody else audits"),
    }
}

/// An audit that finds nothing, and says so to the store.
async fn found_right(store: &Store) {
    let report = look(&mut Watch::new(store.clone(), "a1", 1_000)).await;
    assert!(report.ok, "{:#?}", report.differences);
}

/// The openings of each round by account.
async fn openings(store: &Store) -> BTreeMap<(u64, String), usize> {
    let mut found = BTreeMap::new();
    let page = store.journal(0, "-", 10_000).await.expect("journal");
    for entry in page.entries {
        let body = entry.body().expect("a body");
        if let Some(opening) = body.opening {
            *found.entry((opening.round, body.account)).or_default() += 1;
        }
    }
    found
}

/// One job of so many credits, from its submission to its charge.
async fn job_of(store: &Store, id: &AccountId, n: u32) {
    accept(store, &job_for(store, id, n)).await;
    let worker = format!("w{}", rand::random::<u32>());
    let job = claim_one(store, &worker).await;
    settle(store, &job, &settlement(n)).await;
}

#[tokio::test]
async fn a_round_opens_every_account_once_a_week_in_batches() {
    let store = store().await;
    for n in 0..120 {
        funded(&store, &format!("account-{n}"), n % 3).await;
    }
    assert_eq!(round(&store).await, 0, "a new store's clock starts");
    assert_eq!(round(&day(&store, 6)).await, 0);
    let due = day(&store, 7);
    let mut steps = Vec::new();
    loop {
        let outcome = due.open_books(0).await.expect("a round");
        let RoundOutcome::Written { openings, more } = outcome else {
            panic!("{outcome:?}");
        };
        steps.push(openings);
        if !more {
            break;
        }
    }
    assert_eq!(steps, [50, 50, 20]);
    assert_eq!(round(&due).await, 0, "the next one is a week away");
    assert_sound(&due).await;
    assert_eq!(round(&day(&store, 14)).await, 120);
    let all = openings(&store).await;
    assert_eq!((all.len(), all.values().max()), (240, Some(&1)));
    assert_sound(&day(&store, 14)).await;
}

#[tokio::test]
async fn what_is_trimmed_was_found_right_and_the_books_go_on_from_the_openings() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 1_000).await;
    let bolt = funded(&store, "bolt", 500).await;
    round(&store).await;
    job_of(&store, &acme, 20).await;
    let first = day(&store, 7);
    assert_eq!(round(&first).await, 2);
    job_of(&first, &bolt, 30).await;
    let second = day(&store, 14);
    assert_eq!(round(&second).await, 2);
    job_of(&second, &acme, 5).await;
    let books = audit(&second).await.expect("audit").books;

    let late = day(&store, 38);
    assert_eq!(trim(&late).await, 0, "no audit has found it right");
    found_right(&late).await;
    assert_eq!(
        trim(&day(&store, 36)).await,
        0,
        "the first round is 29 days old"
    );
    assert_eq!(trim(&late).await, 6, "everything before the first round");
    let report = audit(&late).await.expect("audit");
    assert!(report.ok, "{:#?}", report.differences);
    assert_eq!(report.books, books, "what went is still counted");
    assert_eq!(report.accounts, 2);
    assert_eq!(trim(&late).await, 0);

    // Life goes on, and so does the next trim.
    job_of(&late, &acme, 7).await;
    found_right(&day(&store, 44)).await;
    assert_eq!(trim(&day(&store, 44)).await, 4);
    assert_sound(&day(&store, 44)).await;
    let first_kept = store
        .journal(0, "-", 1)
        .await
        .expect("journal")
        .entries
        .remove(0);
    assert_eq!(first_kept.id, "1-11");
    // The chain is still checked from its first kept entry on.
    let changed = first_kept
        .body
        .replace("\"kind\":\"opening\"", "\"kind\":\"openinG\"");
    rewrite(&raw, &first_kept.id, &changed).await;
    let found = audit(&late).await.expect("audit").differences;
    assert_eq!(found[0].what, "hash of entry 1-11");
}

/// Replaces one entry's body, whoever stands behind it.
async fn rewrite(raw: &Raw, id: &str, body: &str) {
    let journal = key("part", "journal");
    let rows: Vec<(String, Vec<(String, String)>)> = raw.run(&["XRANGE", &journal, "-", "+"]).await;
    let _: i64 = raw.run(&["DEL", &journal]).await;
    for (row, fields) in rows {
        let text = if row == id { body } else { &fields[0].1 };
        let _: String = raw
            .run(&["XADD", &journal, &row, "b", text, "h", &fields[1].1])
            .await;
    }
}

#[tokio::test]
async fn a_hold_from_before_the_kept_journal_is_known_as_a_sum_and_ends_once() {
    let months = Options {
        queue_ttl_ms: 100 * DAY_MS,
        ..options()
    };
    let store = store_with(months).await;
    let acme = funded(&store, "acme", 100).await;
    round(&store).await;
    accept(&store, &job_for(&store, &acme, 20)).await;
    accept(&store, &job_for(&store, &acme, 30)).await;
    round(&day(&store, 7)).await;
    let late = day(&store, 40);
    found_right(&late).await;
    assert_eq!(trim(&late).await, 4);
    assert_sound(&late).await;
    let mut watch = Watch::new(late.clone(), "a1", 1_000);
    assert!(look(&mut watch).await.ok);
    accept(&late, &job_for(&late, &acme, 10)).await;
    assert!(look(&mut watch).await.ok);
    let jobs = claim(&late, "w1", 3).await;
    settle(&late, &jobs[0], &settlement(15)).await;
    assert!(look(&mut watch).await.ok);
    for job in &jobs[1..] {
        settle(&late, job, &settlement(1)).await;
    }
    assert!(look(&mut watch).await.ok);
    assert_eq!(money(&late, &acme).await.held_ucr, 0);
    assert_sound(&late).await;
}

#[tokio::test]
async fn a_round_that_was_left_in_the_middle_goes_on_and_an_account_opened_meanwhile_is_right() {
    let store = store().await;
    for n in 0..60 {
        funded(&store, &format!("account-{n}"), 10).await;
    }
    round(&store).await;
    let first = day(&store, 7);
    let half = first.open_books(0).await.expect("a round");
    assert!(matches!(
        half,
        RoundOutcome::Written {
            openings: 50,
            more: true
        }
    ));
    // Whoever did this died. Meanwhile accounts live on, and others come.
    let later = day(&store, 9);
    let old = account("account-55");
    job_of(&later, &old, 3).await;
    let new = funded(&later, "newcomer", 40).await;
    job_of(&later, &new, 4).await;
    assert_eq!(round(&later).await, 11, "the rest, and the newcomer");
    job_of(&later, &account("account-3"), 2).await;
    let late = day(&store, 45);
    found_right(&late).await;
    assert_eq!(trim(&late).await, 120);
    found_right(&late).await;
    assert_sound(&late).await;
    assert_eq!(round(&late).await, 61);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_sweepers_write_one_round_and_trim_each_entry_once() {
    let store = store().await;
    for n in 0..230 {
        funded(&store, &format!("account-{n}"), 1).await;
    }
    let acme = funded(&store, "acme", 1).await;
    for n in 0..2_500 {
        give(&store, &acme, 1, GrantKind::Promo, None, &format!("g-{n}")).await;
    }
    round(&store).await;
    let due = day(&store, 7);
    let sweepers = (0..4).map(|_| due.clone());
    let sweepers = sweepers.map(|store| tokio::spawn(async move { round(&store).await }));
    let mut written = 0;
    for sweeper in sweepers.collect::<Vec<_>>() {
        written += sweeper.await.expect("a sweeper");
    }
    assert_eq!(written, 231);
    let all = openings(&store).await;
    assert_eq!((all.len(), all.values().max()), (231, Some(&1)));
    let late = day(&store, 40);
    found_right(&late).await;
    let sweepers = (0..4).map(|_| late.clone());
    let sweepers = sweepers.map(|store| tokio::spawn(async move { trim(&store).await }));
    let mut gone = 0;
    for sweeper in sweepers.collect::<Vec<_>>() {
        gone += sweeper.await.expect("a sweeper");
    }
    gone += trim(&late).await;
    assert_eq!(gone, 2_962);
    assert_eq!(late.trimmed_head(0).await.expect("head").seq, 2_962);
    assert_sound(&late).await;
}

#[tokio::test]
async fn nothing_is_trimmed_where_what_stays_is_not_chained_to_what_goes() {
    let (store, raw) = store_and_raw(options()).await;
    funded(&store, "acme", 100).await;
    round(&store).await;
    round(&day(&store, 7)).await;
    let late = day(&store, 40);
    found_right(&late).await;
    let kept = store.journal(0, "1-3", 1).await.expect("journal");
    let changed = kept.entries[0].body.replace("\"round\":1", "\"round\":2");
    rewrite(&raw, "1-3", &changed).await;
    let before = raw.dump().await;
    assert_eq!(
        late.trim_journal(0).await.expect("trim"),
        TrimOutcome::Moved
    );
    assert_eq!(raw.dump().await, before);
    rewrite(&raw, "1-3", &kept.entries[0].body).await;
    assert_eq!(trim(&late).await, 2);
}

fn act(scope: Scope, operation: &str) -> FreezeAct {
    FreezeAct {
        scope,
        reason: "looking into it".to_owned(),
        actor: "ann".to_owned(),
        operation: operation.parse().expect("an operation id"),
    }
}

#[tokio::test]
async fn promise_11_nothing_is_opened_or_trimmed_while_anything_is_frozen() {
    let scopes = [Scope::Partition(0), Scope::Account(account("acme"))];
    for scope in scopes {
        let store = store().await;
        funded(&store, "acme", 100).await;
        funded(&store, "bolt", 100).await;
        round(&store).await;
        round(&day(&store, 7)).await;
        let late = day(&store, 40);
        found_right(&late).await;
        let froze = late
            .freeze(&act(scope.clone(), "f"), &[])
            .await
            .expect("freeze");
        assert!(matches!(froze, FreezeOutcome::Frozen { .. }));
        assert_eq!(
            late.trim_journal(0).await.expect("trim"),
            TrimOutcome::Frozen
        );
        assert_eq!(
            late.open_books(0).await.expect("round"),
            RoundOutcome::Frozen
        );
        let cleared = late.clear(&act(scope, "c")).await.expect("clear");
        assert!(matches!(cleared, ClearOutcome::Cleared { .. }));
        assert_eq!(trim(&late).await, 4);
        assert_eq!(round(&late).await, 2);
        assert_sound(&late).await;
    }
}

#[tokio::test]
async fn promise_11_books_never_begin_with_an_opening_that_was_wrong() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    round(&store).await;
    // Somebody adds credits by hand, and nobody audits for weeks.
    let balance = key("acct", "acme");
    let _: i64 = raw
        .run(&["HINCRBY", &balance, "available", "5000000"])
        .await;
    let first = day(&store, 7);
    round(&first).await;
    assert!(!audit(&first).await.expect("audit").ok);
    let _: i64 = raw
        .run(&["HINCRBY", &balance, "available", "-5000000"])
        .await;
    // The figures are right again, but the opening stands.
    let report = audit(&first).await.expect("audit");
    assert_eq!((report.ok, report.wrong_openings), (true, 1));
    let second = day(&store, 14);
    round(&second).await;
    assert_sound(&second).await;
    let late = day(&store, 40);
    found_right(&late).await;
    assert_eq!(trim(&late).await, 0, "not from the wrong one on");
    let late = day(&store, 45);
    found_right(&late).await;
    assert_eq!(trim(&late).await, 3, "from the right one on");
    job_of(&late, &acme, 10).await;
    assert_sound(&late).await;
}

#[tokio::test]
async fn operation_ids_outlive_the_entries_they_made() {
    let store = store().await;
    let acme = funded(&store, "acme", 100).await;
    round(&store).await;
    round(&day(&store, 7)).await;
    let late = day(&store, 40);
    found_right(&late).await;
    assert_eq!(trim(&late).await, 2);
    funded(&late, "acme", 100).await;
    assert_eq!(balance(&late, &acme).await, (100, 0));
}

#[tokio::test]
async fn operators_acts_are_kept_for_their_time_and_then_forgotten_in_batches() {
    let store = store().await;
    funded(&store, "acme", 1).await;
    let scope = || Scope::Account(account("acme"));
    for n in 0..60 {
        let _ = store
            .freeze(&act(scope(), &format!("f{n}")), &[])
            .await
            .expect("freeze");
        let _ = store
            .clear(&act(scope(), &format!("c{n}")))
            .await
            .expect("clear");
    }
    let late = day(&store, 100);
    let _ = late
        .freeze(&act(scope(), "last"), &[])
        .await
        .expect("freeze");
    let count = async || store.acts(0, "-", 1_000).await.expect("acts").len();
    assert!(!day(&store, 399).forget_acts(0).await.expect("forget"));
    assert_eq!(count().await, 121);
    let much_later = day(&store, 400);
    assert!(much_later.forget_acts(0).await.expect("forget"));
    assert!(!much_later.forget_acts(0).await.expect("forget"));
    assert_eq!(count().await, 1);
}

/// A life of months, in which everything that can happen to the books does, in any order.
#[tokio::test]
async fn promise_01_the_books_are_right_over_months_of_rounds_and_trims() {
    for seed in 0..6u64 {
        months(seed).await;
    }
}

async fn months(seed: u64) {
    use rand::{Rng, SeedableRng};
    let mut dice = rand::rngs::StdRng::seed_from_u64(seed);
    let life = Options {
        queue_ttl_ms: 9 * DAY_MS,
        journal_retention_ms: 12 * DAY_MS,
        ..options()
    };
    let store = store_with(life).await;
    let (mut now_ms, mut accounts) = (T0, vec![funded(&store, "a-0", 100).await]);
    let mut watch = Watch::new(store.at(now_ms), "a1", 1_000);
    let mut trimmed = 0;
    for n in 0..220 {
        let now = store.at(now_ms);
        let id = accounts[dice.random_range(0..accounts.len())].clone();
        match dice.random_range(0..14) {
            0 => accounts.push(funded(&now, &format!("a-{n}"), 50).await),
            1 | 2 => {
                let expires = dice.random_bool(0.5).then_some(now_ms + 3 * DAY_MS);
                give(&now, &id, 9, GrantKind::Daily, expires, &format!("g-{n}")).await;
            }
            3..=5 => {
                let job = NewJob {
                    delay_ms: dice.random_range(0..2) * DAY_MS,
                    ..job_for(&now, &id, 3)
                };
                let _ = now.submit(&job).await.expect("submit");
            }
            6 | 7 => {
                for job in claim(&now, &format!("w{n}"), 3).await {
                    settle(&now, &job, &settlement(dice.random_range(0..3))).await;
                }
            }
            8..=10 => {
                now_ms += dice.random_range(1..3 * DAY_MS);
                tick(&store.at(now_ms)).await;
            }
            11 => {
                let step = now.open_books(0).await.expect("a round");
                assert_ne!(step, RoundOutcome::Frozen);
            }
            12 => {
                trimmed += trim(&now).await;
            }
            _ => {
                let report = look(&mut watch).await;
                assert!(
                    report.ok,
                    "seed {seed}, step {n}: {:#?}",
                    report.differences
                );
            }
        }
        if n % 20 == 19 {
            assert_sound(&store.at(now_ms)).await;
        }
    }
    assert_sound(&store.at(now_ms)).await;
    let report = look(&mut watch).await;
    assert!(report.ok, "seed {seed}: {:#?}", report.differences);
    assert!(trimmed > 0, "seed {seed}: something was trimmed");
}
