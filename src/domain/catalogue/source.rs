//! The catalogue as it is written: the shape of the TOML text, before anything is checked.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_json::{Value, json};

use crate::domain::credits::{UCR_PER_CREDIT, Ucr};
use crate::domain::media::MediaKind;
use crate::domain::pricing::{BilledTrack, RateKind};

/// The whole text.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CatalogueText {
    /// Routes of every tool that has none of its own.
    #[serde(default)]
    pub(super) routes: Vec<RouteText>,
    /// Parameters that tools may name without describing them again.
    #[serde(default)]
    pub(super) parameters: BTreeMap<String, toml::Table>,
    pub(super) tools: BTreeMap<String, ToolText>,
}

/// `[tools.NAME]`
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolText {
    pub(super) title: String,
    pub(super) queue: String,
    pub(super) kind: MediaKind,
    pub(super) rate: RateText,
    pub(super) longest_ms: Option<u64>,
    pub(super) shortest_ms: Option<u64>,
    pub(super) count_max: Option<u32>,
    pub(super) count_default: Option<u32>,
    pub(super) required: Vec<String>,
    #[serde(default)]
    pub(super) optional: Vec<String>,
    #[serde(default)]
    pub(super) parameters: BTreeMap<String, toml::Table>,
    pub(super) routes: Option<Vec<RouteText>>,
    pub(super) submission_timeout_ms: Option<u64>,
    pub(super) deadline_ms: Option<u64>,
    pub(super) deadline_max_ms: Option<u64>,
    pub(super) tries_max: Option<u32>,
}

/// `[tools.NAME.rate]`
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateText {
    pub(super) kind: RateKind,
    pub(super) credits: Credits,
    #[serde(default)]
    pub(super) by: Vec<String>,
    #[serde(default)]
    pub(super) credits_by: BTreeMap<String, Credits>,
    #[serde(default)]
    pub(super) price_is_example: bool,
    pub(super) min_credits: Option<Credits>,
    pub(super) quantum_credits: Option<Credits>,
    pub(super) snap_ms: Option<u32>,
    pub(super) increment_ms: Option<u32>,
    pub(super) billed_track: Option<BilledTrack>,
}

/// `[[routes]]` or `[[tools.NAME.routes]]`
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteText {
    pub(super) name: String,
    pub(super) provider: String,
    pub(super) model: Option<String>,
    #[serde(default)]
    pub(super) only_when_pinned: bool,
}

/// Credits: whole ones as a number, decimals as a text. A decimal number would have been rounded
/// to binary before anybody could look at it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Credits(pub(super) Ucr);

impl<'de> Deserialize<'de> for Credits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CreditsVisitor)
    }
}

struct CreditsVisitor;

impl Visitor<'_> for CreditsVisitor {
    type Value = Credits;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("whole credits, or decimals as a text such as \"0.5\"")
    }

    fn visit_i64<E: Error>(self, credits: i64) -> Result<Credits, E> {
        let ucr = credits.checked_mul(UCR_PER_CREDIT).unwrap_or(i64::MAX);
        Ucr::new(ucr).map(Credits).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Credits, E> {
        Ucr::parse_credits(text).map(Credits).map_err(E::custom)
    }
}

/// The same table as JSON; a date becomes its text.
pub(super) fn json_of(table: &toml::Table) -> Value {
    let member = |(key, value): (&String, &toml::Value)| (key.clone(), json_of_value(value));
    Value::Object(table.iter().map(member).collect())
}

fn json_of_value(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => json!(text),
        toml::Value::Integer(number) => json!(number),
        toml::Value::Float(number) => json!(number),
        toml::Value::Boolean(truth) => json!(truth),
        toml::Value::Datetime(moment) => json!(moment.to_string()),
        toml::Value::Array(items) => items.iter().map(json_of_value).collect(),
        toml::Value::Table(table) => json_of(table),
    }
}
