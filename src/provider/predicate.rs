//! Conditions on a provider's answer, such as "there is an output" or "the code is 0".
//!
//! `null` counts as absent everywhere, because providers write `"error": null` for "no error".

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::pointer::Path;

/// A condition on a JSON document. Comparing looks at the first value its path finds; a path that
/// finds nothing makes every comparison false.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Predicate {
    /// There is a value other than `null`.
    Exists(Path),
    /// There is a value that is not `null`, `""`, `[]`, `{}`.
    NonEmpty(Path),
    /// The value equals this one, type included.
    Equals(Comparison),
    /// The value is one of these.
    In(Choice),
    /// The value is a string that starts with this text.
    Prefix(TextMatch),
    /// The value is a number of at least this size.
    AtLeast(Bound),
    /// The inner condition does not hold.
    Not(Box<Predicate>),
    /// Each inner condition holds.
    All(Vec<Predicate>),
    /// At least one inner condition holds.
    Any(Vec<Predicate>),
}

/// A place and the value expected there.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Comparison {
    at: Path,
    value: Value,
}

/// A place and the values allowed there.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Choice {
    at: Path,
    values: Vec<Value>,
}

/// A place and the text expected there.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TextMatch {
    at: Path,
    value: String,
}

/// A place and the least number expected there.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Bound {
    at: Path,
    value: f64,
}

impl Predicate {
    /// Whether the condition holds for this document.
    pub(super) fn holds(&self, document: &Value) -> bool {
        match self {
            Self::Exists(at) => at.first(document).is_some(),
            Self::NonEmpty(at) => at.all(document).into_iter().any(|value| !is_empty(value)),
            Self::Equals(test) => test
                .at
                .first(document)
                .is_some_and(|v| same(v, &test.value)),
            Self::In(test) => test
                .at
                .first(document)
                .is_some_and(|value| test.values.iter().any(|allowed| same(value, allowed))),
            Self::Prefix(test) => test
                .at
                .first(document)
                .and_then(Value::as_str)
                .is_some_and(|text| text.starts_with(&test.value)),
            Self::AtLeast(test) => test
                .at
                .first(document)
                .and_then(Value::as_f64)
                .is_some_and(|number| number >= test.value),
            Self::Not(inner) => !inner.holds(document),
            Self::All(inner) => inner.iter().all(|predicate| predicate.holds(document)),
            Self::Any(inner) => inner.iter().any(|predicate| predicate.holds(document)),
        }
    }
}

/// Equal JSON values; numbers by size, so that `0` equals `0.0`.
fn same(left: &Value, right: &Value) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left == right,
        (None, None) => left == right,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(toml_text: &str, document: &str) -> bool {
        #[derive(Deserialize)]
        struct File {
            p: Predicate,
        }
        let file: File = toml::from_str(toml_text).unwrap();
        file.p.holds(&serde_json::from_str(document).unwrap())
    }

    #[test]
    fn conditions_hold_exactly_where_they_should() {
        let table = [
            (r#"p.exists = "/error""#, r#"{"error": null}"#, false),
            (r#"p.exists = "/error""#, r#"{"error": ""}"#, true),
            (r#"p.exists = ["/a", "/b"]"#, r#"{"b": 1}"#, true),
            (r#"p.not.exists = "/error""#, r#"{"error": null}"#, true),
            (r#"p.non_empty = "/out""#, r#"{"out": []}"#, false),
            (r#"p.non_empty = "/out""#, r#"{"out": {}}"#, false),
            (r#"p.non_empty = "/out/*""#, r#"{"out": ["", "x"]}"#, true),
            (r#"p.non_empty = "/out""#, r#"{"out": false}"#, true),
            (
                r#"p.equals = { at = "/code", value = 0 }"#,
                r#"{"code": 0}"#,
                true,
            ),
            (
                r#"p.equals = { at = "/code", value = 0 }"#,
                r#"{"code": 0.0}"#,
                true,
            ),
            (
                r#"p.equals = { at = "/code", value = 0 }"#,
                r#"{"code": "0"}"#,
                false,
            ),
            (r#"p.equals = { at = "/code", value = 0 }"#, "{}", false),
            (
                r#"p.equals = { at = "/s", value = "OK" }"#,
                r#"{"s": "ok"}"#,
                false,
            ),
            (
                r#"p.in = { at = "/c", values = [1301, "x"] }"#,
                r#"{"c": 1301}"#,
                true,
            ),
            (
                r#"p.in = { at = "/c", values = [1301, "x"] }"#,
                r#"{"c": 1302}"#,
                false,
            ),
            (
                r#"p.not.in = { at = "/c", values = ["FILTERED"] }"#,
                r#"{"c": "FILTERED"}"#,
                false,
            ),
            (
                r#"p.prefix = { at = "/f", value = "SAFETY." }"#,
                r#"{"f": "SAFETY.INPUT"}"#,
                true,
            ),
            (
                r#"p.prefix = { at = "/f", value = "SAFETY." }"#,
                r#"{"f": 5}"#,
                false,
            ),
            (
                r#"p.at_least = { at = "/n", value = 1.0 }"#,
                r#"{"n": 1}"#,
                true,
            ),
            (
                r#"p.at_least = { at = "/n", value = 1.0 }"#,
                r#"{"n": "1"}"#,
                false,
            ),
            (
                r#"p.any = [{ exists = "/a" }, { exists = "/b" }]"#,
                r#"{"b": 1}"#,
                true,
            ),
            (
                r#"p.all = [{ exists = "/a" }, { exists = "/b" }]"#,
                r#"{"b": 1}"#,
                false,
            ),
        ];
        for (condition, document, want) in table {
            assert_eq!(
                holds(condition, document),
                want,
                "{condition} on {document}"
            );
        }
    }

    #[test]
    fn unknown_words_in_a_condition_are_refused() {
        for text in [r#"exist = "/a""#, r#"equals = { at = "/a", is = 1 }"#] {
            assert!(toml::from_str::<Predicate>(text).is_err(), "{text}");
        }
    }
}
