//! Knobs: how a caller tells the simulated provider to misbehave.

use serde::{Deserialize, Deserializer};

use crate::domain::failure::FailureClass;

/// Time a generation takes where nothing else is asked for.
const DELAY_MS_DEFAULT: u64 = 50;

/// The `sim` object of a request. Everything is optional; a knob that does not exist is refused.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Knobs {
    /// How long the generation takes.
    pub(super) delay_ms: u64,
    /// The failure it ends with; some are answered at once and start nothing.
    pub(super) fail: Option<FailureClass>,
    /// Accepted, then running for ever.
    pub(super) hang: bool,
    /// Started, but the connection is closed without an answer, the first time this submission comes.
    pub(super) drop_after_accept: bool,
    /// The first submission of a job is told to come back after so many seconds; nothing is started.
    pub(super) retry_after_s: Option<u64>,
    /// Success without outputs.
    pub(super) empty: bool,
    /// Length of the media that is made, instead of the asked one.
    pub(super) actual_ms: Option<u64>,
    /// Length the answer claims: outer `None` for the asked one, inner `None` for no claim at all.
    #[serde(deserialize_with = "given_or_null")]
    pub(super) reported_ms: Option<Option<u64>>,
    /// A cancel is answered but not obeyed: it goes on and succeeds so much later.
    pub(super) late_after_cancel_ms: Option<u64>,
    /// The first output is listed twice, under two addresses.
    pub(super) duplicate: bool,
    /// Each output claims to have, and streams, so many bytes.
    pub(super) huge_bytes: Option<u64>,
    /// Outputs are text, whatever their content type says.
    pub(super) garbage: bool,
    /// What the answer says it cost once it has ended, however it did, USD micros.
    pub(super) cost_usd_micros: Option<u32>,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            delay_ms: DELAY_MS_DEFAULT,
            fail: None,
            hang: false,
            drop_after_accept: false,
            retry_after_s: None,
            empty: false,
            actual_ms: None,
            reported_ms: None,
            late_after_cancel_ms: None,
            duplicate: false,
            huge_bytes: None,
            garbage: false,
            cost_usd_micros: None,
        }
    }
}

/// Tells `null` from a field that is missing.
fn given_or_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knobs(json: &str) -> Result<Knobs, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn without_knobs_everything_goes_well() {
        assert_eq!(knobs("{}").unwrap(), Knobs::default());
    }

    #[test]
    fn a_claim_can_be_left_out_or_made_up() {
        assert_eq!(knobs("{}").unwrap().reported_ms, None);
        assert_eq!(
            knobs(r#"{"reported_ms":null}"#).unwrap().reported_ms,
            Some(None)
        );
        assert_eq!(
            knobs(r#"{"reported_ms":9}"#).unwrap().reported_ms,
            Some(Some(9))
        );
    }

    #[test]
    fn unknown_knobs_and_words_are_refused() {
        assert!(knobs(r#"{"delay":1}"#).is_err());
        assert!(knobs(r#"{"fail":"sometimes"}"#).is_err());
        assert_eq!(
            knobs(r#"{"fail":"lost"}"#).unwrap().fail,
            Some(FailureClass::Lost)
        );
    }
}
