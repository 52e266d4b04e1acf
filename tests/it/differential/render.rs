//! The reference's state and entries in the same lines as a dump of the real ones.

use std::collections::BTreeMap;

use meterline::domain::job::{Stage, State};
use meterline::domain::reference::{
    Account, AccountState, Class, Entry, Grant, Job, Kept, Partition, Reply, Trail,
};

use super::table::scope_word;

/// How many entries each account, and all together, have had: the reference keeps no journal.
#[derive(Debug, Clone, Default)]
pub(super) struct Sequences {
    pub(super) all: u64,
    /// Something was ever held for: the queue is known.
    pub(super) has_queue: bool,
    pub(super) of: BTreeMap<u8, u64>,
}

#[derive(Default)]
struct Lines {
    all: BTreeMap<String, String>,
}

impl Lines {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "numbers and texts alike, as they come"
    )]
    fn put<T: ToString>(&mut self, place: String, value: T) {
        let value = value.to_string();
        if !value.is_empty() && value != "0" {
            self.all.insert(place, value);
        }
    }

    fn times<K>(&mut self, index: &str, times: &BTreeMap<K, u64>, name: impl Fn(&K) -> String) {
        for (no, at_ms) in times {
            self.put(format!("part {index} {}", name(no)), at_ms);
        }
    }
}

fn job_name(no: &u16) -> String {
    format!("j{no}")
}

fn job_names<'a>(jobs: impl IntoIterator<Item = &'a u16>) -> String {
    jobs.into_iter().map(job_name).collect::<Vec<_>>().join(",")
}

fn worker_name(no: &u8) -> String {
    format!("w{no}")
}

fn state_word(state: AccountState) -> &'static str {
    match state {
        AccountState::Open => "open",
        AccountState::Closed => "closed",
        AccountState::Frozen => "frozen",
    }
}

/// The whole state.
pub(super) fn lines(state: &Partition, sequences: &Sequences) -> BTreeMap<String, String> {
    let mut lines = Lines::default();
    meta(&mut lines, state, sequences);
    lines.times("deadlines", &state.deadlines, job_name);
    lines.times("due", &state.due, job_name);
    lines.times("finished", &state.finished, job_name);
    lines.times("deadletters", &state.dead_letters, job_name);
    lines.times("expiries", &state.expiries, |no| format!("a{no}"));
    lines.times("lanes", &state.lanes_seen, |no| format!("a{no}:video"));
    lines.times("obligations", &state.obligations, |(job, n)| {
        format!("j{job}-{n}")
    });
    lines.times("leases", &state.leases, worker_name);
    lines.times("dead", &state.dead, worker_name);
    lines.times("gone", &state.gone, worker_name);
    for (no, account) in &state.accounts {
        put_account(&mut lines, *no, account, sequences);
    }
    for (no, job) in &state.jobs {
        put_job(&mut lines, *no, job);
    }
    places(&mut lines, state);
    lines.all
}

fn meta(lines: &mut Lines, state: &Partition, sequences: &Sequences) {
    let open = state.jobs.values().filter(|job| !job.state.is_terminal());
    let held: i64 = open.clone().map(|job| job.hold_ucr).sum();
    if sequences.has_queue {
        lines.put(
            "meta open".to_owned(),
            format!("video={}:{held}", open.count()),
        );
        lines.put("part queues".to_owned(), "video");
    }
    lines.put("meta last_ms".to_owned(), state.last_ms);
    lines.put("meta tick_ms".to_owned(), state.tick_ms);
    lines.put("meta reap_after_ms".to_owned(), state.reap_after_ms);
    lines.put("meta lane_seq".to_owned(), state.lane_seq);
    lines.put("meta seq".to_owned(), sequences.all);
    lines.put(
        "meta frozen".to_owned(),
        if state.is_frozen { "to see" } else { "" },
    );
    lines.put("meta frozen_n".to_owned(), state.frozen.len());
    if state.is_frozen {
        // A partition has no state of its own.
        lines.put("frozen *".to_owned(), "was ");
    }
    for (account, before) in &state.frozen {
        lines.put(
            format!("frozen a{account}"),
            format!("was {}", state_word(*before)),
        );
    }
    for (op, (froze, scope, parked)) in &state.freezes {
        let what = if *froze { "freeze" } else { "clear" };
        lines.put(
            format!("freezes op-{op}"),
            format!("{what}|{}|{parked}", scope_word(*scope)),
        );
    }
}

fn places(lines: &mut Lines, state: &Partition) {
    for (class, stream) in Class::ALL.iter().zip(&state.ready) {
        let shown = stream.iter().map(|no| match &state.jobs[no] {
            job if job.state == State::Running => {
                format!("j{no}@w{}", job.worker.expect("its worker"))
            }
            _ => format!("j{no}"),
        });
        let shown: Vec<String> = shown.collect();
        lines.put(format!("ready video:{}", class.as_str()), shown.join(","));
    }
    for (account, jobs) in &state.active {
        lines.put(format!("active a{account}:video"), job_names(jobs));
    }
    for (account, jobs) in &state.parked {
        lines.put(format!("parked a{account}"), job_names(jobs));
    }
    for (worker, jobs) in &state.stops {
        lines.put(format!("stops w{worker}"), job_names(jobs));
    }
    for (account, lane) in &state.lanes {
        for ((rank, order), job) in lane {
            lines.put(
                format!("lane a{account}:video j{job}"),
                format!("{rank}/{order}"),
            );
        }
    }
    for ((account, key), job) in &state.keys {
        lines.put(format!("idem a{account}:k-{key}"), format!("j{job}"));
    }
    let reaping: Vec<String> = state.reaping.iter().map(worker_name).collect();
    lines.put("part reaping".to_owned(), reaping.join(","));
    for (job, n) in state.obligations.keys() {
        lines.put(format!("obligation j{job}-{n}"), "yes");
    }
}

fn grant_row(grant: &Grant) -> String {
    let kind = grant.kind.as_str();
    format!(
        "{kind}|{}|{}|{}",
        grant.remaining_ucr, grant.pinned_ucr, grant.expires_ms
    )
}

fn put_account(lines: &mut Lines, no: u8, account: &Account, sequences: &Sequences) {
    let mut put = |name: &str, value: String| lines.put(format!("acct a{no} {name}"), value);
    for (name, ucr) in [
        ("available", account.available_ucr),
        ("held", account.held_ucr),
        ("debt", account.debt_ucr),
        ("granted", account.granted_ucr),
        ("captured", account.captured_ucr),
        ("expired", account.expired_ucr),
        ("refunded", account.refunded_ucr),
        ("adjusted", account.adjusted_ucr),
    ] {
        put(name, ucr.to_string());
    }
    put(
        "seq",
        sequences
            .of
            .get(&no)
            .copied()
            .unwrap_or_default()
            .to_string(),
    );
    put("next_grant", account.next_grant.to_string());
    put("max_active", account.max_active.to_string());
    put("state", state_word(account.state).to_owned());
    let caps = account.caps;
    if caps.day_ucr + caps.month_ucr > 0 {
        put("caps", format!("{}|{}", caps.day_ucr, caps.month_ucr));
    }
    if let Some(spent) = account.spent {
        let (day, month) = (spent.day_until_ms, spent.month_until_ms);
        put(
            "spent",
            format!("{day}|{}|{month}|{}", spent.day_ucr, spent.month_ucr),
        );
    }
    for (grant, row) in &account.grants {
        lines.put(format!("grants a{no} g{grant}"), grant_row(row));
    }
    for (op, kept) in &account.operations {
        lines.put(format!("ops a{no} op-{op}"), answer(kept));
    }
    for (payment, ucr) in &account.clawed {
        lines.put(format!("ops a{no} clawed op-{payment}"), ucr);
    }
}

/// What is kept of an answer: the amount, then the values of the reply.
fn answer(kept: &Kept) -> String {
    let (grant, values) = match kept.reply {
        Reply::Granted {
            grant,
            available_ucr,
            debt_ucr,
            ..
        } => (format!("g{grant}|"), vec![available_ucr, debt_ucr]),
        Reply::Adjusted {
            ucr,
            debt_made_ucr,
            available_ucr,
            debt_ucr,
            ..
        } => (
            String::new(),
            vec![ucr, debt_made_ucr, available_ucr, debt_ucr],
        ),
        Reply::Refunded {
            ucr,
            expired_ucr,
            available_ucr,
            debt_ucr,
            left_ucr,
            ..
        } => (
            String::new(),
            vec![ucr, expired_ucr, available_ucr, debt_ucr, left_ucr],
        ),
        ref other => panic!("kept an answer like {other:?}"),
    };
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    format!("{}|{grant}{}", kept.ucr, values.join("|"))
}

fn stage_word(stage: Stage) -> &'static str {
    match stage {
        Stage::Fresh => "",
        Stage::Intent => "intent",
        Stage::Handle => "handle",
        Stage::Artifact => "artifact",
    }
}

fn slices(slices: &[(u32, i64)]) -> String {
    let words: Vec<String> = slices
        .iter()
        .map(|(grant, ucr)| format!("g{grant}={ucr}"))
        .collect();
    words.join(";")
}

fn payer(is_house: bool) -> &'static str {
    if is_house { "house" } else { "account" }
}

fn put_job(lines: &mut Lines, no: u16, job: &Job) {
    let yes = |on: bool| if on { "yes" } else { "" }.to_owned();
    let fields = [
        ("state", job.state.as_str().to_owned()),
        ("account", format!("a{}", job.account)),
        ("queue", "video".to_owned()),
        ("class", job.priority.as_str().to_owned()),
        ("hold_ucr", job.hold_ucr.to_string()),
        ("slices", slices(&job.slices)),
        (
            "counted_in",
            job.counted_in
                .map(|(day, month)| format!("{day}|{month}"))
                .unwrap_or_default(),
        ),
        (
            "idem",
            job.key.map(|key| format!("k-{key}")).unwrap_or_default(),
        ),
        (
            "stream",
            job.stream
                .map(|class| format!("video:{}", class.as_str()))
                .unwrap_or_default(),
        ),
        ("lane", if job.is_front { "front" } else { "" }.to_owned()),
        ("created_at", job.created_ms.to_string()),
        ("due_at", job.due_ms.to_string()),
        ("ttl_at", job.ttl_ms.to_string()),
        ("started_at", job.started_ms.to_string()),
        ("deadline_at", job.deadline_ms.to_string()),
        ("cancel_at", job.cancel_ms.to_string()),
        ("finished_at", job.finished_ms.to_string()),
        (
            "token",
            job.take.map(|take| take.to_string()).unwrap_or_default(),
        ),
        ("takes", job.takes.to_string()),
        (
            "worker",
            job.worker.map(|no| format!("w{no}")).unwrap_or_default(),
        ),
        ("tries", job.tries.to_string()),
        ("takeovers", job.takeovers.to_string()),
        ("stage", stage_word(job.stage).to_owned()),
        ("submissions", job.submissions.to_string()),
        (
            "open_submission",
            if job.has_open_submission { "1" } else { "" }.to_owned(),
        ),
        (
            "fail_class",
            job.class.map(|class| class.to_string()).unwrap_or_default(),
        ),
        ("captured_ucr", job.captured_ucr.to_string()),
        ("released_ucr", job.released_ucr.to_string()),
        ("absorbed_ucr", job.absorbed_ucr.to_string()),
        ("refunded_ucr", job.refunded_ucr.to_string()),
        (
            "redrive_of",
            job.redrive_of
                .map(|no| format!("j{no}"))
                .unwrap_or_default(),
        ),
        (
            "redriven_as",
            job.redriven_as
                .map(|(no, _)| format!("j{no}"))
                .unwrap_or_default(),
        ),
        (
            "payer",
            job.payer_is_house.map(payer).unwrap_or_default().to_owned(),
        ),
        (
            "payer_again",
            job.redriven_as
                .map(|(_, house)| payer(house))
                .unwrap_or_default()
                .to_owned(),
        ),
        ("dropped_at", yes(job.is_dropped)),
        ("ended_by", yes(job.is_forced)),
    ];
    for (name, value) in fields {
        lines.put(format!("job j{no} {name}"), value);
    }
    lines.put(format!("payload j{no}"), yes(job.has_payload));
    lines.put(format!("work j{no} intent"), yes(job.has_intent));
    lines.put(format!("work j{no} handle"), yes(job.has_handle));
    lines.put(format!("work j{no} artifact"), yes(job.has_artifact));
    let taken = job.taken_from.iter().map(|taken| {
        let kind = taken.kind.as_str();
        format!("g{}|{kind}|{}|{}", taken.grant, taken.expires_ms, taken.ucr)
    });
    lines.put(
        format!("work j{no} taken"),
        taken.collect::<Vec<_>>().join(";"),
    );
    lines.put(format!("jobs a{} j{no}", job.account), job.created_ms);
}

/// An entry of the journal in one line.
pub(super) fn entry(entry: &Entry) -> String {
    let postings: Vec<String> = entry
        .postings
        .iter()
        .map(|(book, ucr)| format!("{}={ucr}", book.as_str()))
        .collect();
    let grants: Vec<String> = entry
        .grants
        .iter()
        .map(|(no, grant)| format!("g{no}={}", grant_row(grant)))
        .collect();
    let Trail {
        slices: pinned,
        given,
        taken,
        lost,
    } = &entry.trail;
    let sorted = |list: &[(u32, i64)]| {
        let mut words: Vec<String> = list
            .iter()
            .map(|(no, ucr)| format!("g{no}={ucr}"))
            .collect();
        words.sort();
        words.join(";")
    };
    format_entry(&[
        entry.kind.as_str().to_owned(),
        format!("a{}", entry.account),
        entry.job.map(|no| format!("j{no}")).unwrap_or_default(),
        sort(postings),
        sort(grants),
        format!("slices {}", sorted(pinned)),
        format!("given {}", sorted(given)),
        format!("taken {}", sorted(taken)),
        format!("lost {}", sorted(lost)),
    ])
}

pub(super) fn sort(mut words: Vec<String>) -> String {
    words.sort();
    words.join(" ")
}

pub(super) fn format_entry(cells: &[String; 9]) -> String {
    cells.join(" | ")
}
