//! An error inside a script, at any of its calls.
//!
//! Lua does not roll back. So nothing may be written before everything is checked, and behind the first
//! write no call may be able to fail. This program is started again with the tap (`support::tap`) between
//! its stores and its Redis: whatever the tests of the store do is a scenario. There is no list of them
//! here; a reply that a script's header names and no test brings about is found missing.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use crate::support::tap::{READS, Way, noun, scripts};

/// Whole numbers are exact in Lua up to here.
const EXACT_MAX: u64 = 1 << 53;

/// Modules that are about something else than the store, live by real time, or would start this one again.
const NO_SCENARIOS: [&str; 47] = [
    "api",
    "catalogue",
    "chaos",
    "cli",
    "client",
    "cluster",
    "cog",
    "config",
    "config_schema",
    "costs_history",
    "costs_house",
    "crash_points",
    "differential",
    "explore",
    "failover",
    "handover",
    "handover_restart",
    "history",
    "history_crash",
    "history_through",
    "hostile",
    "late",
    "ledger_watch",
    "making",
    "media",
    "operations",
    "operations_measured",
    "outage",
    "packaging",
    "probe",
    "probe_lengths",
    "provider",
    "providers_doc",
    "readme",
    "rebuild",
    "review",
    "routes",
    "script_faults",
    "simulator",
    "store_random",
    "tidy",
    "torn_file",
    "waiting",
    "webhooks_delivery",
    "webhooks_guard",
    "webhooks_house",
    "worker",
];

/// Tests that go the same few ways thousands of times, take the time, or are about the server's own words.
const NOT_THESE: [&str; 15] = [
    "costs::promise_06_the_ledger_holds_every_submission_exactly_once_whatever_is_said_again",
    "durability::promise_10_what_a_replica_has_confirmed_survives_the_loss_of_the_master",
    "durability::what_is_paid_is_on_the_disk_where_the_server_can_say_so",
    "journal::promise_01_the_books_are_right_over_months_of_rounds_and_trims",
    "journal::several_sweepers_write_one_round_and_trim_each_entry_once",
    "ledger_audit::every_partition_is_read_and_named",
    "ledger_audit::the_audit_is_right_while_the_store_is_in_use",
    "money_statement::promise_01_statements_add_up_to_the_difference_of_the_balances",
    "queues::a_long_backlog_does_not_make_the_listing_slow",
    "queues::a_queue_that_goes_on_wakes_waiting_workers_at_once",
    "rebuild_jobs::a_job_that_is_sent_again_after_a_rebuild_is_not_charged_twice",
    "store_many::more_items_than_a_call_takes_all_get_their_answer",
    "store_submit::promise_01_a_thousand_jobs_race_for_credit_for_a_hundred",
    "webhooks_store::a_dead_endpoint_with_ten_thousand_endings_does_not_fill_the_store",
    "worker_wakes::an_idle_worker_hears_of_a_job_in_any_partition_and_queue_again_and_again",
];

/// What no scenario of these modules can bring about: a reply, or a whole script ("").
const ELSEWHERE: [(&str, &str); 2] = [
    // Between an expired key's last reading and the note of its use.
    ("key_used", "unknown_key"),
    // It runs beside a real Postgres, in `history`.
    ("history", ""),
];

/// What the commands that write do to a key: its type.
const WRITES: [(&str, &str); 26] = [
    ("UNLINK", ""),
    ("APPEND", "string"),
    ("DEL", ""),
    ("HDEL", "hash"),
    ("HINCRBY", "hash"),
    ("HSET", "hash"),
    ("HSETNX", "hash"),
    ("MSET", "string"),
    ("PEXPIRE", ""),
    ("SADD", "set"),
    ("SET", "string"),
    ("SREM", "set"),
    ("XACK", "stream"),
    ("XADD", "stream"),
    ("XDEL", "stream"),
    ("XGROUP", "stream"),
    ("XREADGROUP", "stream"),
    ("XTRIM", "stream"),
    ("ZADD", "zset"),
    ("ZREM", "zset"),
    ("ZREMRANGEBYRANK", "zset"),
    ("ZREMRANGEBYSCORE", "zset"),
    ("SPOP", "set"),
    ("XAUTOCLAIM", "stream"),
    ("XCLAIM", "stream"),
    ("ZINCRBY", "zset"),
];

/// Every way through a script that the tests take, found once for all tests of this file.
static WAYS: LazyLock<Vec<Way>> = LazyLock::new(|| {
    let program = std::env::current_exe().expect("this program");
    let listed = Command::new(&program)
        .args(["--list", "--format", "terse"])
        .output()
        .expect("the list of tests");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let names = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"));
    let scenarios = names.filter(|name| {
        let module = name.split("::").next().unwrap_or_default();
        !NO_SCENARIOS.contains(&module) && !NOT_THESE.contains(name)
    });
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ways");
    let output = Command::new(&program)
        .arg("--exact")
        .args(scenarios)
        .args(["--test-threads", "4"])
        .env("METERLINE_TEST_TAP", &file)
        .stdin(Stdio::null())
        .output()
        .expect("the scenarios");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "a test fails behind the tap: {said}"
    );
    let text = std::fs::read_to_string(&file).expect("the ways");
    let ways = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a way"));
    ways.collect()
});

/// A script's replies as its header names them: `-- replies: held job | replayed job | ...`.
fn replies(body: &str) -> BTreeSet<String> {
    let mut lines = body
        .lines()
        .skip_while(|line| !line.starts_with("-- replies: "));
    let first = lines
        .next()
        .unwrap_or_default()
        .trim_start_matches("-- replies: ")
        .trim_start_matches("an answer of each job: ");
    let more = lines.take_while(|line| line.starts_with("--          |"));
    let mut text = first.to_owned();
    more.for_each(|line| text.push_str(line.trim_start_matches("--")));
    // What stands in braces are values: `{schema, ...}` has no word of its own.
    while let Some((from, to)) = text
        .find('}')
        .and_then(|to| Some((text[..to].rfind('{')?, to)))
    {
        text.replace_range(from..=to, "");
    }
    let alternatives = text.split('|').map(str::trim);
    // `{schema, ...}` has no word of its own.
    let words = alternatives.filter(|text| !text.is_empty() && !text.starts_with('{'));
    words
        .filter_map(|text| text.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_reply_of_every_script_is_brought_about_by_a_test() {
    let seen: BTreeSet<(&str, &str)> = WAYS
        .iter()
        .map(|way| (way.script.as_str(), way.reply.as_str()))
        .collect();
    let mut missing = Vec::new();
    for (script, body) in scripts::bodies() {
        if ELSEWHERE.contains(&(&script, "")) {
            continue;
        }
        if !WAYS.iter().any(|way| way.script == script) {
            missing.push(format!("{script}: it is never run"));
        }
        for reply in replies(&body) {
            if !seen.contains(&(&script, &reply)) && !ELSEWHERE.contains(&(&script, &reply)) {
                missing.push(format!("{script}: {reply}"));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "no test brings these about: {missing:#?}"
    );
}

#[test]
fn an_error_at_any_call_up_to_the_first_write_changes_nothing() {
    for way in WAYS.iter() {
        assert_eq!(way.problem, None, "{} {}", way.script, way.reply);
        let first_write = way.calls.iter().position(|call| is_write(call));
        let expected = first_write.map_or(way.calls.len(), |n| n + 1);
        assert_eq!(
            way.injected, expected,
            "{} {}: one error at each call",
            way.script, way.reply
        );
    }
    let errors: usize = WAYS.iter().map(|way| way.injected).sum();
    assert!(errors > 3_000, "{errors} errors in all");
}

/// The keys that a call names.
fn keys_of(call: &[String]) -> Vec<&str> {
    let words = call.iter().skip(2);
    words
        .filter(|word| word.starts_with("ml:{"))
        .map(String::as_str)
        .collect()
}

fn is_write(call: &[String]) -> bool {
    !READS.contains(&call[1].as_str())
}

/// A booking that cannot be written has changed nothing: `error at the first write` above is an error at the
/// journal.
#[test]
fn a_script_that_books_writes_its_journal_first() {
    // These work through items, and write of their own before the first; a restoration puts an account in
    // its place before it opens its books there, and nobody else can book meanwhile.
    let by_items = |script: &str| ["claim", "reap", "tick", "restore"].contains(&script);
    let mut booked = BTreeSet::new();
    for way in WAYS
        .iter()
        .filter(|way| !by_items(&way.script) && way.items == 1)
    {
        let mut writes = way.calls.iter().filter(|call| is_write(call));
        let first = writes.clone().next();
        if writes.any(|call| noun(&call[2]) == "part:journal" && call[1] == "XADD") {
            let first = first.map(|call| (call[1].as_str(), noun(&call[2])));
            assert_eq!(
                first,
                Some(("XADD", "part:journal")),
                "{} {}",
                way.script,
                way.reply
            );
            booked.insert(&way.script);
        }
    }
    assert!(booked.len() > 10, "{booked:?}");
}

#[test]
fn behind_the_first_write_no_call_can_meet_another_type() {
    let mut types = BTreeMap::<&str, BTreeSet<&str>>::new();
    for call in WAYS
        .iter()
        .flat_map(|way| &way.calls)
        .filter(|call| is_write(call))
    {
        let (_, kind) = WRITES
            .iter()
            .find(|(name, _)| *name == call[1])
            .expect(&call[1]);
        for key in keys_of(call) {
            // A command of no type, such as DEL, takes every key.
            if !kind.is_empty() {
                let kinds = types.entry(noun(key)).or_default();
                kinds.insert(kind);
            }
        }
    }
    // All scripts together write one type under each noun, and nobody else writes.
    for (noun, kinds) in types {
        assert!(kinds.len() <= 1, "{noun} is written as {kinds:?}");
    }
}

/// `HINCRBY` fails on what is no whole number, `ZADD` on a score that is none, `XADD` on an id that is neither
/// the next one nor given: all scripts together write nothing else there.
#[test]
fn behind_the_first_write_no_call_can_meet_what_is_no_number() {
    let writes = |name: &'static str| {
        let calls = WAYS.iter().flat_map(|way| &way.calls);
        calls.filter(move |call| call[1] == name)
    };
    let counted: BTreeSet<(&str, &str)> = writes("HINCRBY")
        .map(|call| (noun(&call[2]), call[3].as_str()))
        .collect();
    for call in writes("HSET") {
        for pair in call[3..].chunks(2) {
            let is_counted = counted.contains(&(noun(&call[2]), pair[0].as_str()));
            assert!(!is_counted || pair[1].parse::<i64>().is_ok(), "{call:?}");
        }
    }
    for call in writes("HINCRBY") {
        assert!(call[4].parse::<i64>().is_ok(), "{call:?}");
    }
    for call in writes("ZADD") {
        let options = ["NX", "XX", "GT", "LT", "CH"];
        let scores = call[3..]
            .iter()
            .filter(|word| !options.contains(&word.as_str()));
        let are_numbers = scores.step_by(2).all(|score| score.parse::<f64>().is_ok());
        assert!(are_numbers, "{call:?}");
    }
    for call in writes("XADD") {
        let id = call[3..].iter().find(|word| !is_trim(word));
        let id = id.map_or("", String::as_str);
        let is_given = id.split_once('-').is_some_and(|(ms, seq)| {
            let is_number = |text: &str| text.parse::<u64>().is_ok();
            is_number(ms) && (seq == "*" || is_number(seq))
        });
        assert!(id == "*" || is_given, "{call:?}");
    }
    assert!(counted.len() > 3, "{counted:?}");
}

/// The words of `XADD` in front of an entry's id: `MAXLEN ~ 10000`.
fn is_trim(word: &str) -> bool {
    ["MAXLEN", "NOMKSTREAM", "~", "="].contains(&word) || word.parse::<u64>().is_ok()
}

#[test]
fn no_script_writes_a_number_that_is_not_exact() {
    for way in WAYS.iter() {
        for word in way
            .calls
            .iter()
            .filter(|call| is_write(call))
            .flat_map(|call| call.iter().skip(2))
        {
            let digits = word.strip_prefix('-').unwrap_or(word);
            let is_odd = ["inf", "nan"].contains(&digits) || digits.contains("e+");
            let is_number =
                (1..20).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
            let is_large = is_number && digits.parse::<u64>().is_ok_and(|n| n > EXACT_MAX);
            assert!(!is_odd && !is_large, "{} {}: {word}", way.script, way.reply);
        }
    }
}

#[test]
fn memory_is_asked_for_at_the_first_line_or_never() {
    for (script, body) in scripts::bodies() {
        let first = body.lines().next().unwrap_or_default();
        let known = [
            "#!lua",
            "#!lua flags=allow-oom",
            "#!lua flags=no-writes,allow-oom",
        ];
        assert!(known.contains(&first), "{script}: {first}");
    }
}

/// While a slot moves, Redis refuses a look at two keys of which one is there and one is not. Each script
/// makes it before its first write, so that it fails closed whatever keys it comes to afterwards. `init`
/// has one declared key and no other.
#[test]
fn a_slot_that_moves_is_noticed_before_the_first_write() {
    for way in WAYS.iter().filter(|way| way.script != "init") {
        let first_write = way.calls.iter().position(|call| is_write(call));
        let before = &way.calls[..first_write.unwrap_or(0)];
        let asks = |call: &Vec<String>| {
            call[1] == "EXISTS" && keys_of(call).len() == 2 && call[2] == way.keys[0]
        };
        assert!(
            first_write.is_none() || before.iter().any(asks),
            "{} {}",
            way.script,
            way.reply
        );
    }
}
