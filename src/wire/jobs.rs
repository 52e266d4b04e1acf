//! Jobs: priced, submitted, as they stand, what came of stopping them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::domain::ids::{AccountId, IdempotencyKey};
use crate::domain::job::{Priority, State};

use super::ProblemBody;

/// A job. Amounts are micro-credits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Its id.
    pub job: String,
    /// Who pays.
    pub account: String,
    /// Its tool.
    pub tool: String,
    /// Where it waits.
    pub queue: String,
    /// `high`, `normal` or `low`.
    pub priority: String,
    /// `scheduled`, `queued`, `running`, `succeeded`, `failed`, `timed_out` or `cancelled`.
    pub state: String,
    /// Of one that failed: the failure class.
    pub class: Option<String>,
    /// Of one that failed: a sentence for its owner.
    pub message: Option<String>,
    /// Failures of a provider so far.
    pub tries: i64,
    /// How often another worker had to pick it up.
    pub takeovers: i64,
    /// POSTs to providers.
    pub submissions: i64,
    /// The ceiling: what is, or was, held.
    pub hold_ucr: i64,
    /// Charged.
    pub captured_ucr: i64,
    /// Of the hold, given back.
    pub released_ucr: i64,
    /// Of the charge, given back later.
    pub refunded_ucr: i64,
    /// Above the quote, paid by the platform.
    pub absorbed_ucr: i64,
    /// Length of the outputs as measured.
    pub measured_ms: Option<i64>,
    /// The part of it that is charged.
    pub billable_ms: Option<i64>,
    /// What was odd about the outputs: `unmeasured`, `disagreement`, `fewer_outputs`, ...
    pub flags: Vec<String>,
    /// The catalogue it was priced by.
    pub price_version: Option<String>,
    /// The quote it was made from.
    pub quote: Option<String>,
    /// The key it was submitted with.
    pub idempotency_key: Option<String>,
    /// `account` or `house`.
    pub payer: String,
    /// The dead letter it was made from.
    pub retry_of: Option<String>,
    /// The job that was made from it as a dead letter.
    pub retried_as: Option<String>,
    /// When it was submitted.
    pub created_at: Option<String>,
    /// When it is, or was, due.
    pub due_at: Option<String>,
    /// Its first start.
    pub started_at: Option<String>,
    /// By when it ends refunded at the latest.
    pub deadline_at: Option<String>,
    /// When it ended.
    pub finished_at: Option<String>,
    /// The stored outputs; in lists always empty, ask for the job itself.
    pub outputs: Vec<Output>,
}

impl Job {
    /// Whether it is over. A state that this version does not know is one to wait in.
    pub fn has_ended(&self) -> bool {
        State::from_word(&self.state).is_some_and(State::is_terminal)
    }
}

/// A stored output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Output {
    /// Where it is below the artifact folder.
    pub place: String,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// `image`, `video` or `audio`.
    pub kind: String,
    /// Length of the picture track.
    pub video_ms: Option<u64>,
    /// Length of the sound track.
    pub audio_ms: Option<u64>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuoteRequest {
    /// Who would pay. Keys and tokens for one account may leave it out.
    #[schema(value_type = Option<String>, pattern = "^[A-Za-z0-9._@-]{1,64}$")]
    pub account: Option<AccountId>,
    /// The tool's name.
    pub tool: String,
    /// Its parameters.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, Value>)]
    pub params: Map<String, Value>,
    /// One of the tool's routes, pinned.
    pub route: Option<String>,
}

/// A price that stands for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Quote {
    /// Its id: submit with it, and the price is this one.
    pub quote: String,
    /// No charge passes it.
    pub ceiling_ucr: i64,
    /// The catalogue it was priced by.
    pub price_version: String,
    /// Until when it stands.
    pub expires_at: Option<String>,
}

/// A job to be: a quote's id, or a tool with its parameters.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobRequest {
    /// Who pays. Keys and tokens for one account may leave it out.
    #[schema(value_type = Option<String>, pattern = "^[A-Za-z0-9._@-]{1,64}$")]
    pub account: Option<AccountId>,
    /// A quote that still stands; then tool, params and route are its own.
    pub quote: Option<String>,
    /// The tool's name.
    pub tool: Option<String>,
    /// Its parameters.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, Value>)]
    pub params: Map<String, Value>,
    /// One of the tool's routes, pinned.
    pub route: Option<String>,
    /// `high`, `normal` (the default) or `low`.
    #[serde(default)]
    #[schema(value_type = String, pattern = "^(high|normal|low)$")]
    pub priority: Priority,
    /// How long it waits before it is due.
    #[serde(default)]
    pub delay_ms: u64,
    /// Refused where more would be held.
    #[schema(minimum = 0, maximum = 9007199254740991u64)]
    pub max_ucr: Option<i64>,
    /// The job's own key, where no header says it; in a batch without one it is the batch's key with the
    /// job's number.
    #[schema(value_type = Option<String>, pattern = "^[!-~]{1,255}$")]
    pub idempotency_key: Option<IdempotencyKey>,
}

/// A job that is held for and queued.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Accepted {
    /// Its id.
    pub job: String,
    /// `accepted`, or `replayed` where the idempotency key had been before.
    pub status: String,
    /// What is held, or was.
    pub hold_ucr: i64,
    /// Where it stands.
    pub state: String,
    /// With `wait`: the job as it stood when it ended or the time was up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Job>,
}

/// Jobs to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchRequest {
    /// At most 1,000.
    #[schema(min_items = 1, max_items = 1000)]
    #[serde(deserialize_with = "super::object::many")]
    pub jobs: Vec<JobRequest>,
}

/// What came of each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchAnswer {
    /// Held and queued now.
    pub accepted: usize,
    /// Had been before.
    pub replayed: usize,
    /// Refused, or with an unknown outcome.
    pub failed: usize,
    /// In the order of the request.
    pub results: Vec<BatchResult>,
}

/// What came of one.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct BatchResult {
    /// Its place in the request, from 0.
    pub index: usize,
    /// Where it was accepted: its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// `accepted`, or `replayed` where the idempotency key had been before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// What is held, or was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_ucr: Option<i64>,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The problem, where it was not accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemBody>,
}

/// What came of a cancel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Cancelled {
    /// The job.
    pub job: String,
    /// `cancelled`, or `cancelling` while its worker is being told.
    pub outcome: String,
    /// What was given back at once.
    pub released_ucr: i64,
}

/// A job made again from a dead letter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Retried {
    /// The dead letter.
    pub job: String,
    /// The job it became.
    pub new_job: String,
    /// What is held for it.
    pub hold_ucr: i64,
    /// `account` or `house`.
    pub payer: String,
    /// Where the new job stands.
    pub state: String,
}

/// How a job's price came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The job as it stands.
    pub job: Job,
    /// The rule it is priced by, as it was when it was submitted.
    pub rule: Option<String>,
    /// The longest output that was asked for.
    pub asked_ms: Option<i64>,
    /// Outputs that were asked for.
    pub asked_outputs: Option<i64>,
    /// From which grants was held, and what of it was charged.
    pub slices: Vec<Slice>,
    /// What happened to it.
    pub timeline: Vec<Line>,
}

/// A part of a hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Slice {
    /// The grant.
    pub grant: String,
    /// Held of it.
    pub held_ucr: i64,
    /// Charged of it.
    pub captured_ucr: i64,
}

/// A line of a job's timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Line {
    /// When.
    pub at: Option<String>,
    /// What happened.
    pub event: String,
    /// More about it.
    pub detail: String,
}

/// Why an operator ends a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForceFailRequest {
    /// Why, for the log of operators' acts.
    pub reason: String,
    /// The failure class; `lost` where nothing is said.
    #[schema(
        pattern = "^(user_input|content_policy|rate_limited|capacity|provider_fault|our_auth|our_balance|lost|unknown_outcome|timeout)$"
    )]
    pub class: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ForceFailed {
    /// The job.
    pub job: String,
    /// How it ended.
    pub state: String,
    /// What was given back.
    pub released_ucr: i64,
}

/// What happened to a job or an account, as a stream of server-sent events says it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// What: the state that a job came into, or another word such as `low_balance`.
    pub event: String,
    /// The job, where it is about one.
    pub job: Option<String>,
    /// The account.
    pub account: String,
    /// More about it.
    pub detail: String,
    /// When.
    pub at: Option<String>,
}

/// A refund.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundBody {
    /// How much; all of the charge that was not refunded before where nothing is said.
    #[schema(minimum = 1, maximum = 9007199254740991u64)]
    pub amount_ucr: Option<i64>,
    /// Why, for the books.
    pub reason: String,
}

/// What was given back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Refunded {
    /// The job.
    pub job: String,
    /// Given back.
    pub refunded_ucr: i64,
    /// Of it, into grants that have expired: gone at once.
    pub expired_ucr: i64,
    /// Available after it.
    pub available_ucr: i64,
    /// Owed after it.
    #[serde(default)]
    #[schema(required)]
    pub debt_ucr: i64,
    /// What of the charge can still be refunded.
    pub left_ucr: i64,
}
