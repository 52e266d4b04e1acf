//! What a job carries away from its producer's settings, so that a worker needs none of its own.

use serde::{Deserialize, Serialize};

use super::catalogue::Resolved;
use super::retry::Policy;

/// The payload of a job: the request as it was resolved and priced, and how it is retried. Files that
/// differ on two hosts cannot change a job that was accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Payload {
    /// Tool, parameters, price rule, routes and timeouts.
    pub request: Resolved,
    /// Tries and the time between them.
    pub retry: Policy,
}
