//! The catalogue as it is written: the shape of the TOML text, before anything is checked.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_json::{Value, json};

use crate::domain::credits::{UCR_PER_CREDIT, Ucr};
use crate::domain::media::MediaKind;
use crate::domain::pricing::{BilledTrack, RateKind};

/// The whole text.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CatalogueText {
    /// Routes of every tool that has none of its own.
    #[serde(default)]
    pub(super) routes: Vec<RouteText>,
    /// Parameters that tools may name without describing them again, as JSON Schema.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, BTreeMap<String, serde_json::Value>>")]
    pub(super) parameters: BTreeMap<String, toml::Table>,
    /// The tools by name.
    pub(super) tools: BTreeMap<String, ToolText>,
}

/// `[tools.NAME]`
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolText {
    /// A few words for people.
    pub(super) title: String,
    /// The queue its jobs stand in, one of `[queues.*]` in `meterline.toml`.
    pub(super) queue: String,
    /// What comes out.
    pub(super) kind: MediaKind,
    /// What it costs.
    pub(super) rate: RateText,
    /// Longest output, ms; required for `per_second`, absent for `flat`.
    pub(super) longest_ms: Option<u64>,
    /// Shortest output, ms. Default 1.
    pub(super) shortest_ms: Option<u64>,
    /// Most outputs of one job. Default: one, and no parameter `count`.
    pub(super) count_max: Option<u32>,
    /// Outputs when `count` is left out. Default 1.
    pub(super) count_default: Option<u32>,
    /// Parameters that must be sent.
    pub(super) required: Vec<String>,
    /// Parameters that may be sent.
    #[serde(default)]
    pub(super) optional: Vec<String>,
    /// Parameters of this tool alone, as JSON Schema.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, BTreeMap<String, serde_json::Value>>")]
    pub(super) parameters: BTreeMap<String, toml::Table>,
    /// In place of the routes of all tools.
    pub(super) routes: Option<Vec<RouteText>>,
    /// In place of the queue's: one submission, ms.
    pub(super) submission_timeout_ms: Option<u64>,
    /// In place of the queue's: the whole job from its first claim, ms.
    pub(super) deadline_ms: Option<u64>,
    /// In place of the queue's: the longest deadline a producer may ask for, ms.
    pub(super) deadline_max_ms: Option<u64>,
    /// In place of `[retry]`'s tries.
    pub(super) tries_max: Option<u32>,
}

/// `[tools.NAME.rate]`
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RateText {
    /// For each output, or for each second of it.
    pub(super) kind: RateKind,
    /// Credits for one output or one second.
    pub(super) credits: Credits,
    /// Names of the parameters that change the rate.
    #[serde(default)]
    pub(super) by: Vec<String>,
    /// Credits for a value of that parameter; for two parameters `720p/high`.
    #[serde(default)]
    pub(super) credits_by: BTreeMap<String, Credits>,
    /// The price only shows what one could look like.
    #[serde(default)]
    pub(super) price_is_example: bool,
    /// The smallest charge. Default 0.
    pub(super) min_credits: Option<Credits>,
    /// Prices are rounded up to whole steps of this. Default 1.
    pub(super) quantum_credits: Option<Credits>,
    /// A clip this little over a whole second counts as that second, ms. Default 250.
    pub(super) snap_ms: Option<u32>,
    /// Lengths are counted in whole steps of this, ms. Default 1.
    pub(super) increment_ms: Option<u32>,
    /// The track whose length is charged. Default: the one of the tool's kind.
    pub(super) billed_track: Option<BilledTrack>,
}

/// `[[routes]]` or `[[tools.NAME.routes]]`
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteText {
    /// How jobs ask for it.
    pub(super) name: String,
    /// The provider, by the name of its file.
    pub(super) provider: String,
    /// What the provider is told. Default: the tool's name.
    pub(super) model: Option<String>,
    /// Only for jobs that ask for it by name.
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

impl schemars::JsonSchema for Credits {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Credits".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "Whole credits, or decimals as a text such as \"0.5\"",
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": "^[0-9]+(\\.[0-9]{1,6})?$"},
            ],
        })
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
