//! A decided submission as it is written down, and as it is worked on.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::provider::{Engine, Handle};

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
    /// What is booked where nobody learns what became of it, USD micros.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) estimate_usd_micros: Option<u64>,
    /// The longest that each output was asked to be, ms, where costs are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) asked_ms: Option<u64>,
}

/// The submission an attempt works on.
pub(super) struct Submission {
    pub(super) engine: Arc<Engine>,
    pub(super) number: u32,
    pub(super) intent: Intent,
}

/// Intent and handle in the record of an obligation: a JSON list of two, each a text or nothing.
pub(super) fn left_behind(work: &str) -> Option<(Intent, Option<Handle>)> {
    let (intent, handle): (Value, Value) = serde_json::from_str(work).ok()?;
    let intent = serde_json::from_str(intent.as_str()?).ok()?;
    let handle = handle
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok());
    Some((intent, handle))
}

/// What was written down of a submission that nobody waits for any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOpen {
    /// The provider that may still be working.
    pub provider: String,
    /// The route, by its name or, in older records, by its place.
    pub route: String,
    /// What the provider was told to run.
    pub model: String,
    /// Whether there is a handle to follow and cancel the work with.
    pub has_handle: bool,
}

impl LeftOpen {
    /// Reads the record of an obligation: a JSON list of intent and handle, each a text or nothing.
    /// `None` where nothing was written down that this version can read.
    pub fn read(work: &str) -> Option<Self> {
        let (intent, handle): (Value, Value) = serde_json::from_str(work).ok()?;
        let intent: Intent = serde_json::from_str(intent.as_str()?).ok()?;
        let route = if intent.route_name.is_empty() {
            format!("#{}", intent.route)
        } else {
            intent.route_name
        };
        Some(Self {
            provider: intent.provider,
            route,
            model: intent.model,
            has_handle: handle.is_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_left_open_is_read_also_from_older_records() {
        let old = r#"{"provider":"sim","route":1,"model":"m","key":"k-1","left_ms":5}"#;
        let new = r#"{"provider":"sim","route":1,"route_name":"fast","model":"m","key":"k-1","left_ms":5}"#;
        let read = |intent: &str, handle: Value| {
            LeftOpen::read(&json!([intent, handle]).to_string()).unwrap()
        };
        assert_eq!(read(old, json!(false)).route, "#1");
        let left = read(new, json!("{}"));
        assert_eq!((left.route.as_str(), left.has_handle), ("fast", true));
        assert!(!read(new, json!(false)).has_handle);
        for nothing in ["", "[]", "[false,false]", r#"["{}",false]"#] {
            assert_eq!(LeftOpen::read(nothing), None, "{nothing}");
        }
    }
}
