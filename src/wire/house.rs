//! The house: its tools, its queues, its dead letters.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::domain::ids::AccountId;

/// Whether a server can work: what `/readyz` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Readiness {
    /// All of it works.
    pub ok: bool,
    /// `ok`, `away`, or `of another version`.
    pub store: String,
    /// `ok`, `stalled`, or `none here`.
    pub worker: String,
    /// `ok`, or `stopping`.
    pub server: String,
}

/// A queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Queue {
    /// Its name.
    pub queue: String,
    /// Who paused it: workers are given nothing new.
    pub paused: Option<Halted>,
    /// Who drains it: no new jobs are taken.
    pub draining: Option<Halted>,
    /// Ready for a worker.
    pub ready: u64,
    /// Waiting in their accounts' lanes.
    pub lane: u64,
    /// Due later.
    pub scheduled: u64,
    /// In workers' hands.
    pub running: u64,
    /// All that have not ended.
    #[serde(default)]
    #[schema(required)]
    pub open: u64,
    /// Held for all of them.
    pub held_ucr: i64,
    /// How long the one that waits longest has been due.
    pub oldest_ms: Option<u64>,
    /// Recent starts, which the next two are of.
    #[serde(default)]
    #[schema(required)]
    pub starts: usize,
    /// From due to first start, of recent jobs: half of them waited no longer.
    pub start_wait_p50_ms: Option<u64>,
    /// The same of 95 in a hundred.
    pub start_wait_p95_ms: Option<u64>,
}

/// A halt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Halted {
    /// Why.
    pub reason: String,
    /// Who.
    pub actor: String,
    /// When.
    pub at: Option<String>,
    /// It does not stand in all partitions: repeat the call.
    pub partly: bool,
}

/// What a queue is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HaltRequest {
    /// `pause` (nothing new starts), `drain` (nothing new is taken) or `resume`.
    #[schema(pattern = "^(pause|drain|resume)$")]
    pub act: String,
    /// Why, for whoever wonders later.
    pub reason: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HaltAnswer {
    /// The queue.
    pub queue: String,
    /// What was done.
    pub act: String,
    /// Partitions in which it changed anything.
    pub changed: u16,
}

/// Which dead letters; all that is said has to fit.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeadFilter {
    /// Only this tool's.
    pub tool: Option<String>,
    /// Only those of this failure class.
    #[schema(
        pattern = "^(user_input|content_policy|rate_limited|capacity|provider_fault|our_auth|our_balance|lost|unknown_outcome|timeout)$"
    )]
    #[param(
        pattern = "^(user_input|content_policy|rate_limited|capacity|provider_fault|our_auth|our_balance|lost|unknown_outcome|timeout)$"
    )]
    pub class: Option<String>,
    /// Only this account's.
    #[schema(value_type = Option<String>, pattern = "^[A-Za-z0-9._@-]{1,64}$")]
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9._@-]{1,64}$")]
    pub account: Option<AccountId>,
    /// Only those that ended then or later, RFC 3339.
    #[schema(format = DateTime)]
    #[param(format = DateTime)]
    pub since: Option<String>,
    /// Only those that ended then or earlier, RFC 3339.
    #[schema(format = DateTime)]
    #[param(format = DateTime)]
    pub until: Option<String>,
    /// In the listing: how many, 1 to 100, 20 where nothing is said.
    #[schema(minimum = 1, maximum = 100)]
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<usize>,
    /// In the listing: `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Letter {
    /// The job.
    pub job: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// `failed` or `timed_out`.
    pub state: String,
    /// Whose it is.
    pub account: String,
    /// Its tool.
    pub tool: String,
    /// Its failure class.
    pub class: String,
    /// What its owner was told.
    pub message: String,
    /// What was held for it, and would be again.
    pub ceiling_ucr: i64,
    /// Submissions made for it.
    #[serde(default)]
    #[schema(required)]
    pub submissions: u32,
}

/// Dead letters to be retried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryRequest {
    /// Which ones. An empty filter is all of them.
    #[serde(deserialize_with = "super::object::one")]
    pub filter: DeadFilter,
    /// Who pays: `account` (at most the old ceiling, like any job) or `house`.
    #[schema(pattern = "^(account|house)$")]
    pub payer: String,
    /// Why, for the log of operators' acts.
    pub reason: String,
    /// Only look: how many, how many credits, who could not pay.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a retry would do, looked at without doing it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Look {
    /// Always true here.
    pub dry_run: bool,
    /// Dead letters that fit.
    pub jobs: u64,
    /// What would be held for all of them.
    pub hold_ucr: i64,
    /// Those that whoever pays could pay now.
    pub payable_jobs: u64,
    /// What would be held for these.
    pub payable_ucr: i64,
    /// Accounts that could not have all of theirs retried: the first hundred.
    pub short: Vec<Short>,
}

/// An account that could not have all of its dead letters retried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Short {
    /// The account.
    pub account: String,
    /// `open`, or why it may not spend.
    pub state: String,
    /// Its dead letters that fit.
    pub jobs: u64,
    /// What would be held for them.
    pub need_ucr: i64,
    /// What it can spend.
    pub available_ucr: i64,
    /// How many of its jobs that would pay.
    #[serde(default)]
    #[schema(required)]
    pub payable_jobs: u64,
}

/// Dead letters to be let go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DropRequest {
    /// Which ones. An empty filter is all of them.
    #[serde(deserialize_with = "super::object::one")]
    pub filter: DeadFilter,
    /// Why, for the log of operators' acts.
    #[schema(min_length = 1)]
    pub reason: String,
    /// Only look: how many.
    #[serde(default)]
    pub dry_run: bool,
}

/// Something done to dead letters that goes on in the background.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// Its id: `GET /v1/runs/{run}`. It lives in the process that began it.
    pub run: String,
    /// `running`, `done`, or `broken` where the store was away: start it again, what was done is found.
    pub state: String,
    /// Dead letters that were looked at.
    pub seen: u64,
    /// Retried now.
    pub retried: u64,
    /// Dropped now.
    #[serde(default)]
    #[schema(required)]
    pub dropped: u64,
    /// Retried, or dropped, before.
    pub replayed: u64,
    /// Held for those retried now.
    pub hold_ucr: i64,
    /// Refused, by problem.
    pub refused: BTreeMap<String, u64>,
}

/// A tool with its prices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Tool {
    /// The name to ask for.
    pub tool: String,
    /// A few words for people.
    pub title: String,
    /// Where its jobs wait.
    pub queue: String,
    /// `per_second` of measured output, or `flat` for each output.
    pub rate: String,
    /// The price of one second or one output, where nothing below changes it.
    pub rate_ucr: i64,
    /// Parameters that change the price.
    pub priced_by: Vec<String>,
    /// Prices by the values of these parameters.
    pub prices: Vec<Price>,
    /// The longest output.
    pub longest_ms: Option<u64>,
    /// Most outputs of one job.
    pub count_max: u32,
    /// Routes that can be pinned.
    pub routes: Vec<String>,
    /// JSON Schema of the parameters.
    #[schema(value_type = BTreeMap<String, Value>)]
    pub parameters: Value,
}

/// A price of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Price {
    /// Values of the parameters in `priced_by`, joined with `/`.
    pub values: String,
    /// The price of one second or one output.
    pub rate_ucr: i64,
}

/// How much work there is for how many hands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Scale {
    /// The queue.
    pub queue: String,
    /// Slots that would be in use if there were enough: what waits and what runs; 0 while it is paused and
    /// nothing runs. An autoscaler divides it by the slots of one worker.
    pub value: u64,
    /// Could start now.
    pub waiting: u64,
    /// In workers' hands.
    pub running: u64,
    /// Slots of all workers that are not leaving.
    pub slots: u64,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Worker {
    /// Its id: host and boot nonce.
    pub worker: String,
    /// What is left of its lease; below zero where it has lapsed.
    pub lease_left_ms: i64,
    /// Jobs it runs at a time, by queue.
    pub slots: BTreeMap<String, u32>,
    /// Jobs it runs now.
    pub running: u64,
    /// It hands its jobs over and ends.
    pub draining: bool,
    /// Its version.
    pub version: String,
}

/// Why a worker is to leave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DrainRequest {
    /// Why, for whoever wonders later.
    #[serde(default)]
    pub reason: String,
}
