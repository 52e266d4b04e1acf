//! What many answers have in common: pages and problems.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// What was found, in order.
    pub data: Vec<T>,
    /// Hand it back as `cursor` for the next page; missing at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Every answer that is no success (RFC 9457), as `application/problem+json`. There are more members by type:
/// docs/http-api.md.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProblemBody {
    /// Which problem: a page of this server that says what to do about it.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is, the same words each time.
    pub title: String,
    /// The status once more.
    pub status: u16,
    /// What it is this time.
    #[serde(default)]
    #[schema(required)]
    pub detail: String,
    /// What a program may want to know of it, by type.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

impl ProblemBody {
    /// The word at the end of its type, by which programs go.
    pub fn word(&self) -> &str {
        self.kind.rsplit('/').next().unwrap_or_default()
    }
}
