//! The fingerprint of a request: equal requests have equal ones, however their JSON was written.
//!
//! It is what makes repeating safe. A repeated idempotency key with the same fingerprint is the
//! same job; with another one it is a mistake of the producer and is refused. A quote carries the
//! fingerprint of what it was given for, so that it cannot pay for something else.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::domain::canonical::{canonical_json, sha256_hex};
use crate::domain::job::Priority;

/// Half of a SHA-256, as 32 small hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Fingerprint(String);

/// What a producer asks for, in its own words.
///
/// The parameters are those that were sent, before defaults are filled in: a default that changes
/// between a request and its repetition must not make them two requests.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Who pays.
    pub account: &'a str,
    /// Name of the tool.
    pub tool: &'a str,
    /// Parameters as they were sent.
    pub params: &'a Map<String, Value>,
    /// The pinned route.
    pub route: Option<&'a str>,
}

/// A text that is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "read the fingerprint: expected {} small hex digits",
    Fingerprint::CHARS
)]
pub struct FingerprintError;

impl Fingerprint {
    /// Length of every fingerprint, in bytes.
    pub const CHARS: usize = 32;

    /// Of what a quote is given for.
    pub fn of_request(wanted: &Wanted<'_>) -> Self {
        Self::of(&request_json(wanted))
    }

    /// Of one job. `due_ms` is the time (Unix, in milliseconds) or the delay the producer wrote,
    /// never one that was computed from a clock: a repetition would compute another.
    pub fn of_job(wanted: &Wanted<'_>, priority: Priority, due_ms: Option<u64>) -> Self {
        let request = request_json(wanted);
        Self::of(&json!({"request": request, "priority": priority.as_str(), "due_ms": due_ms}))
    }

    /// The hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(value: &Value) -> Self {
        Self(sha256_hex(&canonical_json(value), Self::CHARS))
    }
}

fn request_json(wanted: &Wanted<'_>) -> Value {
    json!({
        "account": wanted.account,
        "tool": wanted.tool,
        "params": wanted.params,
        "route": wanted.route,
    })
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let small_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == Self::CHARS && text.bytes().all(small_hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(FingerprintError)
        }
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.0
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = FingerprintError;

    fn try_from(text: String) -> Result<Self, FingerprintError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    fn wanted(params: &Map<String, Value>) -> Wanted<'_> {
        Wanted {
            account: "acme",
            tool: "image-to-video",
            params,
            route: None,
        }
    }

    #[test]
    fn the_spelling_of_a_request_does_not_matter() {
        let one = params(r#"{"prompt":"x","duration_ms":5000,"nested":{"a":1,"b":[2]}}"#);
        let two =
            params(r#"{ "nested": {"b":[2.0],"a":1e0}, "duration_ms":5000.0,"prompt":"\u0078"}"#);
        let job = |params| Fingerprint::of_job(&wanted(params), Priority::Normal, None);
        assert_eq!(job(&one), job(&two));
        assert_eq!(
            Fingerprint::of_request(&wanted(&one)),
            Fingerprint::of_request(&wanted(&two))
        );
    }

    #[test]
    fn every_part_of_a_job_changes_its_fingerprint() {
        let params = params(r#"{"duration_ms":5000}"#);
        let other = self::params(r#"{"duration_ms":5001}"#);
        let base = wanted(&params);
        let mut all = vec![
            Fingerprint::of_request(&base),
            Fingerprint::of_job(&base, Priority::Normal, None),
            Fingerprint::of_job(&base, Priority::High, None),
            Fingerprint::of_job(&base, Priority::Normal, Some(0)),
        ];
        for changed in [
            Wanted {
                account: "acme2",
                ..base
            },
            Wanted {
                tool: "upscale",
                ..base
            },
            Wanted {
                params: &other,
                ..base
            },
            Wanted {
                route: Some("sim"),
                ..base
            },
        ] {
            all.push(Fingerprint::of_job(&changed, Priority::Normal, None));
        }
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn parts_cannot_be_shifted_into_each_other() {
        let params = Map::new();
        let one = Wanted {
            account: "a",
            tool: "bc",
            params: &params,
            route: None,
        };
        let two = Wanted {
            account: "ab",
            tool: "c",
            params: &params,
            route: None,
        };
        assert_ne!(Fingerprint::of_request(&one), Fingerprint::of_request(&two));
    }

    #[test]
    fn a_fingerprint_survives_its_text() {
        let params = Map::new();
        let fingerprint = Fingerprint::of_request(&wanted(&params));
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        for text in [
            "",
            "ABCDEF0123456789abcdef0123456789",
            "0123",
            &"g".repeat(32),
        ] {
            assert_eq!(text.parse::<Fingerprint>(), Err(FingerprintError), "{text}");
        }
    }
}
