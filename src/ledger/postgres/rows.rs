//! What a batch of entries becomes as rows: accounts folded on, jobs, operation ids. Nothing here writes.

use std::collections::BTreeMap;

use super::chain::Link;
use crate::ledger::fold::{AccountFold, Balances};
use crate::ledger::moved::{captured, post};
use crate::store::JournalBody;

/// An account as history has it, folded on by the entries of a batch.
#[derive(Debug, Clone, Default)]
pub(super) struct AccountRow {
    pub(super) fold: AccountFold,
    pub(super) state: String,
    pub(super) next_grant: i64,
}

impl AccountRow {
    /// An account that history has not met.
    pub(super) fn new() -> Self {
        Self {
            state: "open".to_owned(),
            next_grant: 1,
            ..Self::default()
        }
    }

    /// As it stands in history: sequence, whether its figures are known, the figures.
    pub(super) fn known(seq: u64, is_based: bool, balances: Balances) -> Self {
        let mut row = Self::new();
        row.fold.seq = seq;
        row.fold.is_based = is_based;
        row.fold.balances = balances;
        row
    }

    /// Books one entry of the account.
    pub(super) fn add(&mut self, body: &JournalBody) {
        self.fold.is_based |= body.account_seq == 1;
        self.fold.seq = body.account_seq;
        if let Some(serde_json::Value::String(state)) = body.set.get("state") {
            self.state.clone_from(state);
        }
        let numbers = body
            .grants
            .keys()
            .filter_map(|id| id.get(1..)?.parse().ok());
        let newest = numbers.max().unwrap_or(0i64);
        self.next_grant = self.next_grant.max(newest + 1);
        if let Some(opening) = &body.opening {
            if !self.fold.begin_or_agree(body, opening) {
                tracing::error!(
                    account = body.account,
                    seq = body.seq,
                    "an opening of {} says other figures than history",
                    body.account
                );
            }
        } else if self.fold.is_based {
            self.fold.add(body);
        }
    }
}

/// What a batch says of one job; `None` = nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct JobRow {
    pub(super) account: String,
    pub(super) tool: Option<String>,
    pub(super) state: Option<String>,
    pub(super) class: Option<String>,
    pub(super) house: Option<bool>,
    pub(super) slices: Option<String>,
    pub(super) hold_ucr: Option<i64>,
    pub(super) held_at_ms: Option<i64>,
    pub(super) ended_at_ms: Option<i64>,
    pub(super) captured_ucr: Option<i64>,
    pub(super) absorbed_ucr: Option<i64>,
    pub(super) refunded_ucr: i64,
}

/// The jobs that a batch says something of.
pub(super) fn jobs(links: &[Link]) -> BTreeMap<String, JobRow> {
    let mut jobs = BTreeMap::<String, JobRow>::new();
    for body in links.iter().map(|link| &link.body) {
        if body.job.is_empty() {
            continue;
        }
        let job = jobs.entry(body.job.clone()).or_default();
        job.account.clone_from(&body.account);
        if !body.tool.is_empty() {
            job.tool = Some(body.tool.clone());
        }
        match body.kind.as_str() {
            "hold" => {
                job.state = Some("open".to_owned());
                job.house = Some(post(body, "promo") != 0);
                job.slices = Some(body.slices.clone());
                job.hold_ucr = Some(post(body, "held"));
                job.held_at_ms = Some(signed(body.at_ms));
            }
            "settle" | "release" => {
                job.state = Some(body.state.clone());
                job.class = Some(body.op.clone());
                job.hold_ucr = Some(body.hold_ucr);
                job.ended_at_ms = Some(signed(body.at_ms));
                job.captured_ucr = Some(captured(body));
                job.absorbed_ucr = Some(-post(body, "absorbed"));
            }
            "refund" => job.refunded_ucr -= post(body, "revenue"),
            _ => {}
        }
    }
    jobs
}

/// Whether an entry answered an operation id that is kept for ever.
pub(super) fn is_operation(body: &JournalBody) -> bool {
    !body.op.is_empty() && matches!(body.kind.as_str(), "grant" | "adjust" | "refund")
}

/// What an operation moved for its account, micro-credits.
pub(super) fn amount(body: &JournalBody) -> i64 {
    match body.kind.as_str() {
        "refund" => -post(body, "revenue"),
        _ => (post(body, "available") + post(body, "debt")).abs(),
    }
}

/// A count as the database has it.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count as it is used here.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
