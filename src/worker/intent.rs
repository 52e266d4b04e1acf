//! A decided submission as it is written down, and as it is worked on.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::provider::Engine;

/// What is written down before the POST. Times are what was left of the job's deadline, so that two
/// hosts need not agree on a clock.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Intent {
    pub(super) provider: String,
    pub(super) route: usize,
    /// For people who look at what was left open.
    #[serde(default)]
    pub(super) route_name: String,
    pub(super) model: String,
    pub(super) key: String,
    pub(super) left_ms: u64,
}

/// The submission an attempt works on.
pub(super) struct Submission {
    pub(super) engine: Arc<Engine>,
    pub(super) number: u32,
    pub(super) intent: Intent,
}
