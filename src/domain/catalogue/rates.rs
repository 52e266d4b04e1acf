//! The rates of one tool, by the values of the parameters that change its price.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::source::{Credits, RateText};
use crate::domain::credits::Ucr;
use crate::domain::media::MediaKind;
use crate::domain::nearest::did_you_mean;
use crate::domain::pricing::{BilledTrack, RateKind, Rule, RuleError};

/// Parameters that one rate can depend on; more would make a table nobody can read.
const DIMENSIONS_MAX: usize = 3;

/// The rules a tool is priced by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates {
    /// The rule for every combination of values that has none of its own.
    pub base: Rule,
    /// Names of the parameters that choose the rule; empty where one rule serves all.
    pub by: Vec<String>,
    /// Rules by the values of these parameters, joined with `/`: `720p`, `animate/480p`.
    pub rules: BTreeMap<String, Rule>,
    /// The price stands there as an example.
    pub price_is_example: bool,
}

impl Rates {
    /// The rule for these parameters, whose defaults are filled in.
    pub fn rule_for(&self, params: &Map<String, Value>) -> Rule {
        let values: Vec<String> = self
            .by
            .iter()
            .map(|name| params.get(name).map(word_of).unwrap_or_default())
            .collect();
        self.rules
            .get(&values.join("/"))
            .copied()
            .unwrap_or(self.base)
    }

    /// Every rule that a request can meet.
    pub fn all(&self) -> impl Iterator<Item = &Rule> {
        std::iter::once(&self.base).chain(self.rules.values())
    }

    /// Checks the rates of a tool against its parameters. Each error is a key below `rate` and
    /// what is wrong with it.
    pub(super) fn check(
        text: &RateText,
        kind: MediaKind,
        properties: &Map<String, Value>,
    ) -> Result<Self, Vec<(String, String)>> {
        let mut faults = dimension_faults(text, properties);
        let track = match (text.kind, text.billed_track, kind) {
            (RateKind::PerSecond, _, MediaKind::Image) => {
                let message = "an image has no length; use \"flat\"";
                faults.push(("kind".to_owned(), message.to_owned()));
                BilledTrack::Max
            }
            (_, Some(track), _) => track,
            (_, None, MediaKind::Video) => BilledTrack::Video,
            (_, None, MediaKind::Audio) => BilledTrack::Audio,
            (RateKind::Flat, None, MediaKind::Image) => BilledTrack::Max,
        };
        let mut rule_of = |credits: &Credits, key: &str| match rule(text, credits.0, track) {
            Ok(rule) => Some(rule),
            Err(error) => {
                faults.push((key_of(&error, key).to_owned(), error.to_string()));
                None
            }
        };
        let base = rule_of(&text.credits, "credits");
        let rules = text
            .credits_by
            .iter()
            .filter_map(|(value, credits)| {
                Some((
                    value.clone(),
                    rule_of(credits, &format!("credits_by.{value}"))?,
                ))
            })
            .collect();
        match base {
            Some(base) if faults.is_empty() => Ok(Self {
                base,
                by: text.by.clone(),
                rules,
                price_is_example: text.price_is_example,
            }),
            Some(_) | None => Err(faults),
        }
    }
}

fn rule(text: &RateText, rate_ucr: Ucr, track: BilledTrack) -> Result<Rule, RuleError> {
    let mut rule = match text.kind {
        RateKind::Flat => Rule::flat(rate_ucr)?,
        RateKind::PerSecond => Rule::per_second(rate_ucr, track)?,
    };
    if let Some(Credits(quantum_ucr)) = text.quantum_credits {
        rule = rule.with_quantum(quantum_ucr)?;
    }
    if let Some(snap_ms) = text.snap_ms {
        rule = rule.with_snap_ms(snap_ms)?;
    }
    if let Some(increment_ms) = text.increment_ms {
        rule = rule.with_increment_ms(increment_ms)?;
    }
    if let Some(Credits(min_ucr)) = text.min_credits {
        rule = rule.with_min(min_ucr)?;
    }
    Ok(rule)
}

/// The key to mend when a rule is refused.
fn key_of<'a>(error: &RuleError, rate_key: &'a str) -> &'a str {
    match error {
        RuleError::Rate | RuleError::Text(_) => rate_key,
        RuleError::Quantum => "quantum_credits",
        RuleError::Snap => "snap_ms",
        RuleError::Increment => "increment_ms",
        RuleError::Min => "min_credits",
    }
}

/// A rate that depends on a value nobody can send would never be used, and nobody would notice.
fn dimension_faults(text: &RateText, properties: &Map<String, Value>) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    let mut fault = |key: &str, message: String| faults.push((key.to_owned(), message));
    if text.by.is_empty() != text.credits_by.is_empty() {
        fault(
            "by",
            "by and credits_by need each other: write both or neither".to_owned(),
        );
    }
    if text.by.len() > DIMENSIONS_MAX {
        fault(
            "by",
            format!("at most {DIMENSIONS_MAX} parameters can change a rate"),
        );
    }
    let mut values_by_name = Vec::new();
    for name in &text.by {
        match properties.get(name).map(values_of) {
            None => {
                let known = properties.keys().map(String::as_str);
                fault(
                    "by",
                    format!("no parameter \"{name}\"{}", did_you_mean(name, known)),
                );
            }
            Some(values) if values.is_empty() => {
                fault(
                    "by",
                    format!("parameter \"{name}\" needs an enum, or to be a boolean"),
                );
            }
            Some(values) => values_by_name.push(values),
        }
    }
    if values_by_name.len() != text.by.len() {
        return faults;
    }
    for key in text.credits_by.keys() {
        let parts: Vec<&str> = key.split('/').collect();
        let fits = parts.len() == values_by_name.len()
            && parts
                .iter()
                .zip(&values_by_name)
                .all(|(part, values)| values.iter().any(|value| value == part));
        if !fits {
            let choices: Vec<String> = values_by_name
                .iter()
                .map(|values| values.join("|"))
                .collect();
            faults.push((
                format!("credits_by.{key}"),
                format!(
                    "no request can have this value; expected {}",
                    choices.join("/")
                ),
            ));
        }
    }
    faults
}

/// The values a parameter can take, as words; empty when there are too many to list.
fn values_of(schema: &Value) -> Vec<String> {
    match schema.get("enum") {
        Some(Value::Array(values)) => values.iter().map(word_of).collect(),
        Some(_) | None if schema["type"] == "boolean" => {
            vec!["false".to_owned(), "true".to_owned()]
        }
        Some(_) | None => Vec::new(),
    }
}

fn word_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}
