//! Endpoints, where accounts are told of their jobs, and messages that were given up.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// An endpoint to be.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointRequest {
    /// Where messages are posted to: https, at a public address.
    #[schema(required)]
    pub url: String,
    /// What it is told: `endings` (where nothing is said), `all`, or some of `job.queued`, `job.running`,
    /// `job.progress`, `job.succeeded`, `job.failed`, `job.timed_out`, `job.cancelled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1)]
    pub events: Option<Vec<String>>,
    /// What it is for, for people.
    #[schema(max_length = 200)]
    pub description: String,
    /// A secret of one's own: `whsec_` and the base64 of 24 to 64 bytes. A new one where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Why, for the log of operators' acts.
    pub reason: String,
}

/// An endpoint that was made, or has a new secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EndpointSecret {
    /// The endpoint's id.
    pub endpoint: String,
    /// What messages are signed with: shown this once. Missing where the call repeats one that was answered
    /// before, and that brought no secret of its own: then only the first answer had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// After a rotation: how long the secret before signs beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap_ms: Option<u64>,
}

/// An endpoint as it stands. Its secret is shown nowhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Endpoint {
    /// Its id.
    pub endpoint: String,
    /// Whose jobs it hears of.
    pub account: String,
    /// Where messages are posted to.
    pub url: String,
    /// What it is told.
    pub events: Vec<String>,
    /// For people.
    pub description: Option<String>,
    /// `enabled`, `failing` where every try has failed since `failing_since`, or `disabled`.
    pub state: String,
    /// Why it is disabled, in words.
    pub why: Option<String>,
    /// Messages that wait or are under way.
    pub waiting: u64,
    /// Messages that were given up.
    pub dead: u64,
    /// Messages that it took.
    pub delivered: u64,
    /// Tries that failed.
    pub failed: u64,
    /// Messages that fell out of its full outbox.
    pub dropped: u64,
    /// Since when every try fails.
    pub failing_since: Option<String>,
    /// Until when it is left alone.
    pub throttled_until: Option<String>,
    /// When it was last tried.
    pub last_at: Option<String>,
    /// What came of that, in short words.
    pub last: Option<String>,
    /// The last test's message.
    pub test: Option<String>,
    /// What came of that test's last try; missing until there was one.
    pub test_result: Option<String>,
    /// Until when the secret before the last rotation signs too.
    pub old_secret_until: Option<String>,
    /// When it was made.
    pub created_at: Option<String>,
    /// When it was last enabled or disabled.
    pub changed_at: Option<String>,
}

/// What an endpoint is to be from now on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointStateRequest {
    /// `enabled`: what waited goes out. `disabled`: it hears nothing more, what waits stays. `removed`: it
    /// goes, with all that waits and all that was given up.
    #[schema(required, pattern = "^(enabled|disabled|removed)$")]
    pub state: String,
    /// Why, for the log of operators' acts.
    #[schema(required, min_length = 1)]
    pub reason: String,
}

/// What an endpoint is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EndpointState {
    /// The endpoint.
    pub endpoint: String,
    /// What was asked for.
    pub state: String,
    /// False where it was so before.
    pub changed: bool,
}

/// How an endpoint gets a new secret.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointRotateRequest {
    /// How long the secret before signs too: webhooks.overlap_ms where nothing is said, 30 days at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap_ms: Option<u64>,
    /// A secret of one's own, or the one to repeat with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Why, for the log of operators' acts.
    #[schema(required, min_length = 1)]
    pub reason: String,
}

/// Why an endpoint is tested.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointTestRequest {
    /// Why, for the log of operators' acts.
    pub reason: String,
}

/// A test that is on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EndpointTest {
    /// The endpoint.
    pub endpoint: String,
    /// The message's id: the endpoint's `test_result` says what came of it when its `test` is this.
    pub message: String,
}

/// Which page of an endpoint's dead letters.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct GivenUpQuery {
    /// How many are listed, 1 to 100, 20 where nothing is said.
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A message that was given up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GivenUp {
    /// Its place: by this it is sent again.
    pub entry: String,
    /// The id that the receiver tells repetitions by.
    pub message: String,
    /// What happened: `succeeded`, `running`, ..., or `test`.
    pub event: String,
    /// The job; missing in a test.
    pub job: Option<String>,
    /// When it happened.
    pub happened_at: Option<String>,
    /// Tries that failed.
    pub tries: u32,
    /// What came of the last one.
    pub why: String,
    /// When it was given up.
    pub given_up_at: Option<String>,
}

/// Messages to be sent again.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RedeliverRequest {
    /// One of them; the oldest hundred where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// Why, for the log of operators' acts.
    #[schema(required, min_length = 1)]
    pub reason: String,
}

/// Messages that are due now, under the ids they had.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Redelivery {
    /// The endpoint.
    pub endpoint: String,
    /// How many.
    pub redelivered: u32,
    /// Dead letters that are left: repeat the call for them.
    pub left: u32,
}
