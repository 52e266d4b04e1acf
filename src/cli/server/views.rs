//! A server's answers as the views of the store, which everything is printed from.

use std::collections::HashMap;

use super::{FoundJob, job_id};
use crate::cli::failure::{Failure, Kind};
use crate::domain::credits::Ucr;
use crate::ledger::{Line, Statement};
use crate::store::{
    AccountView, CapView, DeadLetter, GrantView, Halt, JobView, JournalBody, PlanView, QueueView,
    TimelineEvent,
};
use crate::wire;

/// A time of the API in ms since 1970.
pub(super) fn ms(text: Option<&str>) -> Option<u64> {
    let time: jiff::Timestamp = text?.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok()
}

pub(super) fn rfc3339(ms: u64) -> Option<String> {
    i64::try_from(ms).ok().and_then(crate::cli::output::rfc3339)
}

/// A job's hash as the store has it, as far as a server says it.
pub(super) fn job(job: &wire::Job, more: Option<&wire::Explanation>) -> Result<JobView, Failure> {
    let mut fields = HashMap::new();
    let mut set = |field: &str, text: Option<String>| {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            fields.insert(field.to_owned(), text);
        }
    };
    for (field, text) in [
        ("account", &job.account),
        ("tool", &job.tool),
        ("queue", &job.queue),
        ("class", &job.priority),
        ("state", &job.state),
        ("payer", &job.payer),
        ("flags", &job.flags.join(",")),
    ] {
        set(field, Some(text.clone()));
    }
    for (field, text) in [
        ("fail_class", &job.class),
        ("message", &job.message),
        ("price_version", &job.price_version),
        ("quote", &job.quote),
        ("idem", &job.idempotency_key),
        ("redrive_of", &job.retry_of),
        ("redriven_as", &job.retried_as),
    ] {
        set(field, text.clone());
    }
    for (field, number) in [
        ("tries", Some(job.tries)),
        ("takeovers", Some(job.takeovers)),
        ("submissions", Some(job.submissions)),
        ("hold_ucr", Some(job.hold_ucr)),
        ("captured_ucr", Some(job.captured_ucr)),
        ("released_ucr", Some(job.released_ucr)),
        ("refunded_ucr", Some(job.refunded_ucr)),
        ("absorbed_ucr", Some(job.absorbed_ucr)),
        ("measured_ms", job.measured_ms),
        ("billable_ms", job.billable_ms),
        ("asked_ms", more.and_then(|more| more.asked_ms)),
        ("asked_outputs", more.and_then(|more| more.asked_outputs)),
    ] {
        set(field, number.map(|number| number.to_string()));
    }
    for (field, time) in [
        ("created_at", &job.created_at),
        ("due_at", &job.due_at),
        ("started_at", &job.started_at),
        ("deadline_at", &job.deadline_at),
        ("finished_at", &job.finished_at),
    ] {
        set(field, ms(time.as_deref()).map(|ms| ms.to_string()));
    }
    if let Some(more) = more {
        set("rule", more.rule.clone());
        let slices = more.slices.iter();
        let slices: Vec<String> = slices
            .map(|slice| format!("{}={}", slice.grant, slice.held_ucr))
            .collect();
        set("slices", Some(slices.join(";")));
    }
    Ok(JobView::of(job_id(&job.job)?, fields))
}

pub(super) fn found(explained: wire::Explanation) -> Result<FoundJob, Failure> {
    let timeline = explained.timeline.iter().map(|line| TimelineEvent {
        at_ms: ms(line.at.as_deref()).unwrap_or(0),
        event: line.event.clone(),
        detail: line.detail.clone(),
    });
    Ok(FoundJob {
        view: job(&explained.job, Some(&explained))?,
        timeline: timeline.collect(),
        outputs: explained.job.outputs,
    })
}

pub(super) fn account(account: wire::Account) -> Result<AccountView, Failure> {
    let cap = |cap: wire::Cap| CapView {
        cap_ucr: cap.cap_ucr,
        spent_ucr: cap.spent_ucr,
        until_ms: ms(cap.until.as_deref()),
    };
    let grants = account.grants.into_iter().map(|grant| GrantView {
        grant: grant.grant,
        kind: grant.kind,
        remaining_ucr: grant.remaining_ucr,
        pinned_ucr: grant.pinned_ucr,
        expires_at_ms: ms(grant.expires_at.as_deref()),
    });
    Ok(AccountView {
        account: account.account,
        state: account.state,
        available_ucr: account.available_ucr,
        held_ucr: account.held_ucr,
        debt_ucr: account.debt_ucr,
        granted_ucr: account.granted_ucr,
        captured_ucr: account.captured_ucr,
        expired_ucr: account.expired_ucr,
        refunded_ucr: account.refunded_ucr,
        adjusted_ucr: account.adjusted_ucr,
        max_active: account.max_active,
        queue_limits: account.queue_limits,
        day: cap(account.day),
        month: cap(account.month),
        low_balance_ucr: account.low_balance_ucr,
        plan: account.plan.map(|plan| PlanView {
            plan: plan.plan,
            price: plan.price,
            until_ms: ms(plan.until.as_deref()).unwrap_or(0),
            lapsed: plan.lapsed,
        }),
        sequence: account.sequence,
        grants: grants.collect(),
    })
}

pub(super) fn entry(entry: wire::Entry) -> (String, JournalBody) {
    let postings = entry.postings.into_iter();
    let body = JournalBody {
        at_ms: ms(entry.at.as_deref()).unwrap_or(0),
        kind: entry.kind,
        op: entry.operation.unwrap_or_default(),
        account_seq: entry.account_seq,
        job: entry.job.unwrap_or_default(),
        post: postings.map(|post| (post.book, post.amount_ucr)).collect(),
        reason: entry.reason.unwrap_or_default(),
        ..JournalBody::default()
    };
    (entry.entry, body)
}

pub(super) fn statement(statement: wire::Statement) -> Statement {
    let line = |line: wire::StatementLine| {
        let figures = Line {
            jobs: line.jobs,
            granted_ucr: line.granted_ucr,
            captured_ucr: line.captured_ucr,
            refunded_ucr: line.refunded_ucr,
            adjusted_ucr: line.adjusted_ucr,
            expired_ucr: line.expired_ucr,
            net_ucr: line.net_ucr,
        };
        (line.name, figures)
    };
    Statement {
        history_away: None,
        lines: statement.lines.into_iter().map(line).collect(),
        total: line(statement.total).1,
        kept_from_ms: ms(statement.kept_from.as_deref()),
    }
}

pub(super) fn dead_letter(letter: wire::Letter) -> Result<DeadLetter, Failure> {
    let foreign = |what: String| {
        let message = format!("failed to understand the answer: {what}");
        Failure::new(Kind::ForeignServer, message)
    };
    let account = letter.account.parse();
    let ceiling = Ucr::new(letter.ceiling_ucr);
    Ok(DeadLetter {
        job: job_id(&letter.job)?,
        ended_ms: ms(letter.ended_at.as_deref()).unwrap_or(0),
        state: letter.state,
        account: account.map_err(|error| foreign(format!("{error}")))?,
        tool: letter.tool,
        class: letter.class,
        message: letter.message,
        submissions: letter.submissions,
        ceiling: ceiling.map_err(|error| foreign(error.to_string()))?,
    })
}

pub(super) fn queue(queue: wire::Queue) -> QueueView {
    let halt = |halt: wire::Halted| Halt {
        reason: halt.reason,
        actor: halt.actor,
        at_ms: ms(halt.at.as_deref()).unwrap_or(0),
        partitions: 0,
        partly: halt.partly,
    };
    QueueView {
        queue: queue.queue,
        paused: queue.paused.map(halt),
        draining: queue.draining.map(halt),
        ready: queue.ready,
        lane: queue.lane,
        due: 0,
        running: queue.running,
        open: queue.open,
        held_ucr: queue.held_ucr,
        oldest_ms: queue.oldest_ms,
        start_waits_ms: Vec::new(),
    }
}
