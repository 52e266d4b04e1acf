//! An append-only file that ends anywhere, as a lost machine leaves one: what loads is a row of whole
//! scripts, the books are right, and the house works on.

mod written;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use meterline::domain::failure::FailureClass;
use meterline::ledger::audit;
use meterline::store::{
    ApiSecret, ClearOutcome, FileRenewal, FreezeAct, KeyKind, KeyScope, NewKey, Scope, Store, Tried,
};

use crate::store_random::live_on;
use crate::support::rig::Rig;
use crate::support::webhooks::{endpoint, report, take};
use crate::support::*;
use tokio::sync::OnceCell;
use written::{Command, Reader, Written, appending};

/// How much of the end of the file is cut, bytes.
const TAIL: usize = 64 * 1024;

/// A server's file after a life of chance, and what such a life does not come to. All tests cut the same one.
static LIFE: OnceCell<Written> = OnceCell::const_new();

async fn a_life() -> &'static Written {
    LIFE.get_or_init(lived).await
}

async fn lived() -> Written {
    let server = meterline::dev::redis::PrivateRedis::start(appending()).expect("a Redis");
    let store = live_on(&server.url(), 260).await;
    let _ = clear(&store).await;
    other_things(&store).await;
    let at_ms = store.server_ms().await.expect("a clock");
    Written::by(&server, at_ms)
}

async fn clear(store: &Store) -> ClearOutcome {
    let act = FreezeAct {
        scope: Scope::Partition(0),
        reason: "go on".to_owned(),
        actor: "tests".to_owned(),
        operation: "clear-last".parse().expect("an operation id"),
    };
    store.clear(&act).await.expect("clear")
}

/// A plan, a quote, an API key, an endpoint whose messages are taken and reported.
async fn other_things(store: &Store) {
    let cora = funded(store, "cora", 90).await;
    planned(store, &plan(&cora, "pro", 30, 4, "plan-1")).await;
    let kept = store.keep_quote(&cora, "q1", "{}").await;
    kept.expect("a quote").expect("the account");
    let new = NewKey {
        kind: KeyKind::Key,
        name: "shop".to_owned(),
        scopes: vec![KeyScope::Produce],
        account: None,
        ttl_ms: 0,
        reason: "a test".to_owned(),
        actor: "tests".to_owned(),
    };
    let secret = ApiSecret::new(KeyKind::Key);
    store.create_key(&secret, &new).await.expect("a key");
    endpoint(store, &cora, "https://receiver.example/hook", "all").await;
    for captured in [None, Some(7), None, Some(0)] {
        let submitted = accept(store, &job_for(store, &cora, 9)).await;
        while let Some(job) = claim(store, "w9-0", 1).await.pop() {
            if job.job != submitted.job {
                fail(store, &job, &again(1_000)).await;
                continue;
            }
            if let Some(n) = captured {
                settle(store, &job, &settlement(n)).await;
            } else {
                fail(store, &job, &ends(FailureClass::ProviderFault)).await;
            }
        }
        for delivery in take(store, 2).await {
            report(store, &delivery, Tried::Taken).await;
        }
    }
    tick(store).await;
}

/// What is wrong with the store that a server has loaded: its books, and where its jobs stand.
async fn wrong_with(store: &Store, reader: &Reader) -> Vec<String> {
    let found = audit(store).await.expect("an audit").differences;
    let mut wrong: Vec<String> = found.iter().map(|one| one.with_account()).collect();
    wrong.extend(misplaced(store, &reader.raw().await).await);
    wrong
}

/// Jobs are taken, run and charged again, whatever was under way.
async fn works_on(store: &Store) {
    if !store.frozen(0).await.expect("frozen").is_empty() {
        clear(store).await;
    }
    let dora = funded(store, "dora", 20).await;
    let job = accept(store, &job_for(store, &dora, 9)).await.job;
    tick(store).await;
    let mut claimed = claim(store, "w8-0", 20).await;
    claimed.retain(|one| one.job == job);
    if let Some(job) = claimed.pop() {
        settle(store, &job, &settlement(4)).await;
        assert_eq!(balance(store, &dora).await, (16, 0));
    }
    assert_sound(store).await;
}

/// Where the file is cut in an ordinary run, spread over its end: in front of a command and behind one, a byte
/// less and a byte more, in the middle of a script and of a word.
fn spread(written: &Written, n: usize) -> Vec<usize> {
    let from = written.bytes.len().saturating_sub(TAIL);
    let last: Vec<&Command> = written.commands.iter().filter(|c| c.from >= from).collect();
    assert!(last.len() > n, "only {} commands", last.len());
    let chosen = (0..n).map(|i| last[i * last.len() / n]);
    let cut = |(i, command): (usize, &Command)| match i % 5 {
        0 => command.to,
        1 => command.to - 1,
        2 => command.from + 1,
        3 => usize::midpoint(command.from, command.to),
        _ => command.from,
    };
    chosen.enumerate().map(cut).collect()
}

/// Every place that METERLINE_AOF_CUTS asks for: `bytes`, `commands`, or some.
fn cuts(written: &Written) -> Vec<usize> {
    #[expect(clippy::disallowed_methods, reason = "a switch of this test alone")]
    let wish = std::env::var("METERLINE_AOF_CUTS").unwrap_or_default();
    let from = written.bytes.len().saturating_sub(TAIL);
    let behind = written.commands.iter().filter(|c| c.from >= from);
    match wish.as_str() {
        "bytes" => (from..=written.bytes.len()).collect(),
        "commands" => behind
            .flat_map(|c| [c.to - 1, c.to, (c.to + 1).min(written.bytes.len())])
            .collect(),
        _ => spread(written, 60),
    }
}

#[tokio::test]
#[expect(
    clippy::print_stderr,
    reason = "scripts/truncate-aof shows how far it came"
)]
async fn promises_01_02_and_10_a_file_cut_anywhere_loads_as_whole_scripts_and_the_house_works_on() {
    let written = a_life().await;
    let mut reader = Reader::start();
    let mut known = BTreeMap::<usize, String>::new();
    let cuts = cuts(written);
    for (n, cut) in cuts.iter().enumerate() {
        let whole = written.whole_before(*cut);
        if let Entry::Vacant(place) = known.entry(whole) {
            reader.load(&written.bytes[..whole]);
            assert_eq!(reader.length(), whole, "nothing is cut off");
            place.insert(reader.content().await);
            let store = reader.store(written.at_ms).await;
            let wrong = wrong_with(&store, &reader).await;
            assert!(wrong.is_empty(), "up to byte {whole}: {wrong:#?}");
            works_on(&store).await;
        }
        if *cut != whole {
            reader.load(&written.bytes[..*cut]);
            let content = reader.content().await;
            assert_eq!(content, known[&whole], "cut at {cut}, whole until {whole}");
        }
        if n % 1_000 == 999 {
            eprintln!("{} of {} cuts, {} states", n + 1, cuts.len(), known.len());
        }
    }
    eprintln!(
        "{} cuts of {} bytes, {} commands: {} states",
        cuts.len(),
        written.bytes.len(),
        written.commands.len(),
        known.len()
    );
}

/// The transactions at the end of the file that book something, one of each kind: what was booked, and the
/// commands from the first behind `MULTI` to the last before `EXEC`.
fn bookings(written: &Written) -> BTreeMap<String, Vec<Command>> {
    let mut found = BTreeMap::new();
    for script in written.commands.split_inclusive(|c| c.words[0] == "EXEC") {
        let begin = script.iter().rposition(|c| c.words[0] == "MULTI");
        let Some(begin) = begin.filter(|_| script.len() > 2) else {
            continue;
        };
        let inside = &script[begin + 1..script.len() - 1];
        let books = |c: &&Command| c.words[0] == "XADD" && c.words[1].ends_with(":part:journal");
        let mut entries = inside.iter().filter(books);
        if let (Some(entry), None) = (entries.next(), entries.next()) {
            let body = entry.words.iter().find(|word| word.starts_with('{'));
            let kind = body.and_then(|body| body.split("\"kind\":\"").nth(1)?.split('"').next());
            found.insert(kind.expect("a kind").to_owned(), inside.to_vec());
        }
    }
    found
}

/// What the tests of this file rest on: if a script stood in the file as single commands, the books would
/// show the half of it.
#[tokio::test]
async fn half_a_script_without_its_transaction_would_be_found() {
    let written = a_life().await;
    let mut reader = Reader::start();
    let bookings = bookings(written);
    for (kind, inside) in &bookings {
        let entry = inside.iter().find(|c| c.words[0] == "XADD").expect("one");
        let before = written.whole_before(inside[0].from);
        let mut bytes = written.bytes[..before].to_vec();
        bytes.extend(&written.bytes[inside[0].from..entry.to]);
        reader.load(&bytes);
        let wrong = wrong_with(&reader.store(written.at_ms).await, &reader).await;
        assert!(!wrong.is_empty(), "half a {kind} is not found");
    }
    assert!(bookings.len() > 6, "{:?}", bookings.keys());
}

/// Places in the last scripts of several commands, in the middle of a word each: there the server cuts the
/// file off behind the commands that are whole, and keeps an open transaction at the end of its file.
fn inside_scripts(written: &Written, n: usize) -> Vec<usize> {
    let inside = |pair: &&[Command]| !pair[0].is_whole && !pair[1].is_whole;
    let pairs = written.commands.windows(2).filter(inside);
    let places: Vec<usize> = pairs
        .map(|pair| usize::midpoint(pair[1].from, pair[1].to))
        .collect();
    let last = &places[places.len() / 2..];
    (0..n).map(|i| last[i * last.len() / n]).collect()
}

/// Waits until the server has written its file anew. Nothing announces that.
async fn await_renewed(reader: &Reader) {
    let raw = reader.raw().await;
    let began = std::time::Instant::now();
    loop {
        let info: String = raw.run(&["INFO", "persistence"]).await;
        let is_done = info.contains("aof_rewrite_in_progress:0")
            && !info.contains("aof_last_rewrite_time_sec:-1");
        if is_done {
            assert!(info.contains("aof_last_bgrewrite_status:ok"), "{info}");
            return;
        }
        assert!(began.elapsed().as_secs() < 30, "{info}");
    }
}

#[tokio::test]
async fn promise_10_half_a_script_at_the_end_of_a_file_does_not_come_back_at_the_start_after_next()
{
    let written = a_life().await;
    for cut in inside_scripts(written, 6) {
        let mut reader = Reader::start();
        reader.load(&written.bytes[..cut]);
        let store = reader.store(written.at_ms).await;
        let renewal = store.renew_file().await.expect("a look");
        assert_eq!(renewal, FileRenewal::Begun);
        works_on(&store).await;
        await_renewed(&reader).await;
        let again = store.renew_file().await.expect("a look");
        assert_eq!(again, FileRenewal::NotNeeded);
        let content = reader.content().await;
        reader.server.restart().expect("restarted");
        assert_eq!(reader.content().await, content, "cut at {cut}");
        assert_sound(&store).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_has_the_file_written_anew_after_each_start_of_its_server() {
    let mut reader = Reader::start();
    let rig = Rig::on(reader.server.url()).await;
    for _ in 0..2 {
        let worker = rig.worker(None);
        await_renewed(&reader).await;
        worker.drain().await;
        reader.server.restart().expect("restarted");
    }
    rig.assert_sound().await;
}

/// Where nobody had the file rewritten, and the half of a script that booked something comes back. (From a
/// server that cuts its file off in front of the transaction nothing does.)
#[tokio::test]
async fn promise_11_half_a_booking_that_came_back_is_found() {
    let written = a_life().await;
    let mut reader = Reader::start();
    for (kind, inside) in bookings(written) {
        let entry = inside.iter().find(|c| c.words[0] == "XADD").expect("one");
        // The entry itself is whole, and what comes after it is not.
        reader.load(&written.bytes[..entry.to + 3]);
        let store = reader.store(written.at_ms).await;
        works_on(&store).await;
        let content = reader.content().await;
        reader.server.restart().expect("restarted");
        if reader.content().await != content {
            let found = audit(&store).await.expect("an audit");
            assert!(!found.ok, "half a {kind} came back");
        }
    }
}
