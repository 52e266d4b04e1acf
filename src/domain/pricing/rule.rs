//! The rule a job is priced by, and its compact text.
//!
//! The whole rule is copied into every job, so that a change of the catalogue never touches a job
//! that was already quoted. There it stands as text of at most [`Rule::TEXT_MAX`] bytes: a longer
//! field would turn the job's hash in the store from a compact list into a table.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::credits::Ucr;

/// The version that stands in front of the text; another one is refused, never guessed at.
const VERSION: &str = "v1";

/// What the rate multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RateKind {
    /// The rate is for one stored output, whatever its length.
    Flat,
    /// The rate is for one second of measured output.
    PerSecond,
}

impl RateKind {
    /// The word in the catalogue, in the store and in replies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::PerSecond => "per_second",
        }
    }
}

/// Which track of an output gives the length that is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BilledTrack {
    /// The video track; a file without one is unmeasured.
    Video,
    /// The audio track; a file without one is unmeasured.
    Audio,
    /// The longer of the two.
    Max,
}

impl BilledTrack {
    /// The word in the catalogue, in the store and in replies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Max => "max",
        }
    }
}

/// How an output is charged. Built by [`Rule::flat`] or [`Rule::per_second`] and the `with_*`
/// steps, each of which refuses what would not fit the text or could not be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Rule {
    kind: RateKind,
    rate_ucr: Ucr,
    quantum_ucr: Ucr,
    snap_ms: u32,
    increment_ms: u32,
    min_ucr: Ucr,
    track: BilledTrack,
}

/// Why a rule is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// A rate of nothing would hold nothing, and an unbounded one would not fit the text.
    #[error("build the rule: the rate must be above 0 and at most {} credits", Rule::RATE_MAX.credits())]
    Rate,
    /// Prices are whole quanta, so a quantum is more than nothing.
    #[error("build the rule: the quantum must be above 0 and at most {} credits", Rule::QUANTUM_MAX.credits())]
    Quantum,
    /// A snap of a second or more would make every clip free of its last second.
    #[error("build the rule: snap_ms must be at most {}", Rule::SNAP_MS_MAX)]
    Snap,
    /// An increment of nothing cannot be counted in.
    #[error(
        "build the rule: increment_ms must be from 1 to {}",
        Rule::INCREMENT_MS_MAX
    )]
    Increment,
    /// The smallest charge has the same bound as the rate.
    #[error("build the rule: the smallest charge must be at most {} credits", Rule::RATE_MAX.credits())]
    Min,
    /// Written by a newer binary, or not a rule at all.
    #[error("read the rule {0:?}: expected {VERSION}:kind:rate:quantum:snap:increment:min:track")]
    Text(String),
}

impl Rule {
    /// Longest text of a rule, in bytes.
    pub const TEXT_MAX: usize = 64;
    /// Largest rate, and largest smallest charge: eleven digits of micro-credits.
    pub const RATE_MAX: Ucr = Ucr::from_credits(99_999);
    /// Largest step of a price: ten digits of micro-credits.
    pub const QUANTUM_MAX: Ucr = Ucr::from_credits(9_999);
    /// Largest snap, in milliseconds.
    pub const SNAP_MS_MAX: u32 = 999;
    /// Largest increment, in milliseconds: a minute.
    pub const INCREMENT_MS_MAX: u32 = 60_000;

    /// `rate_ucr` for each output, in whole credits.
    pub fn flat(rate_ucr: Ucr) -> Result<Self, RuleError> {
        Self::with_defaults(RateKind::Flat, rate_ucr, BilledTrack::Max)
    }

    /// `rate_ucr` for each second of `track`, in whole credits.
    pub fn per_second(rate_ucr: Ucr, track: BilledTrack) -> Result<Self, RuleError> {
        Self::with_defaults(RateKind::PerSecond, rate_ucr, track)
    }

    fn with_defaults(kind: RateKind, rate_ucr: Ucr, track: BilledTrack) -> Result<Self, RuleError> {
        if rate_ucr.is_zero() || rate_ucr > Self::RATE_MAX {
            return Err(RuleError::Rate);
        }
        Ok(Self {
            kind,
            rate_ucr,
            quantum_ucr: Ucr::from_credits(1),
            snap_ms: 250,
            increment_ms: 1,
            min_ucr: Ucr::ZERO,
            track,
        })
    }

    /// Prices are rounded up to whole `quantum_ucr`; one credit unless said otherwise.
    pub fn with_quantum(self, quantum_ucr: Ucr) -> Result<Self, RuleError> {
        if quantum_ucr.is_zero() || quantum_ucr > Self::QUANTUM_MAX {
            return Err(RuleError::Quantum);
        }
        Ok(Self {
            quantum_ucr,
            ..self
        })
    }

    /// A clip at most this far over a whole second counts as that second; 0 switches it off.
    pub fn with_snap_ms(self, snap_ms: u32) -> Result<Self, RuleError> {
        if snap_ms > Self::SNAP_MS_MAX {
            return Err(RuleError::Snap);
        }
        Ok(Self { snap_ms, ..self })
    }

    /// Lengths are counted in whole steps of this many milliseconds, rounded up.
    pub fn with_increment_ms(self, increment_ms: u32) -> Result<Self, RuleError> {
        if increment_ms == 0 || increment_ms > Self::INCREMENT_MS_MAX {
            return Err(RuleError::Increment);
        }
        Ok(Self {
            increment_ms,
            ..self
        })
    }

    /// The smallest charge for any output that is charged at all.
    pub fn with_min(self, min_ucr: Ucr) -> Result<Self, RuleError> {
        if min_ucr > Self::RATE_MAX {
            return Err(RuleError::Min);
        }
        Ok(Self { min_ucr, ..self })
    }

    /// What the rate multiplies.
    pub fn kind(&self) -> RateKind {
        self.kind
    }

    /// Micro-credits for one output or one second.
    pub fn rate_ucr(&self) -> Ucr {
        self.rate_ucr
    }

    /// The step of a price, in micro-credits.
    pub fn quantum_ucr(&self) -> Ucr {
        self.quantum_ucr
    }

    /// Milliseconds over a whole second that are not counted.
    pub fn snap_ms(&self) -> u32 {
        self.snap_ms
    }

    /// The step of a counted length, in milliseconds.
    pub fn increment_ms(&self) -> u32 {
        self.increment_ms
    }

    /// The smallest charge, in micro-credits.
    pub fn min_ucr(&self) -> Ucr {
        self.min_ucr
    }

    /// The track whose length is charged.
    pub fn track(&self) -> BilledTrack {
        self.track
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{VERSION}:{}:{}:{}:{}:{}:{}:{}",
            self.kind.as_str(),
            self.rate_ucr,
            self.quantum_ucr,
            self.snap_ms,
            self.increment_ms,
            self.min_ucr,
            self.track.as_str()
        )
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let unreadable = || RuleError::Text(text.chars().take(Self::TEXT_MAX).collect());
        let parts: Vec<&str> = text.split(':').collect();
        let [VERSION, kind, rate, quantum, snap, increment, min, track] = parts[..] else {
            return Err(unreadable());
        };
        let kind = [RateKind::Flat, RateKind::PerSecond]
            .into_iter()
            .find(|k| k.as_str() == kind);
        let track = [BilledTrack::Video, BilledTrack::Audio, BilledTrack::Max]
            .into_iter()
            .find(|t| t.as_str() == track);
        let amount = |part: &str| part.parse::<Ucr>().map_err(|_| unreadable());
        let millis = |part: &str| part.parse::<u32>().map_err(|_| unreadable());
        Self::with_defaults(
            kind.ok_or_else(unreadable)?,
            amount(rate)?,
            track.ok_or_else(unreadable)?,
        )?
        .with_quantum(amount(quantum)?)?
        .with_snap_ms(millis(snap)?)?
        .with_increment_ms(millis(increment)?)?
        .with_min(amount(min)?)
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> Self {
        rule.to_string()
    }
}

impl TryFrom<String> for Rule {
    type Error = RuleError;

    fn try_from(text: String) -> Result<Self, RuleError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_rule_is_one_short_line() {
        let rule = Rule::per_second(Ucr::from_credits(7), BilledTrack::Video).unwrap();
        assert_eq!(
            rule.to_string(),
            "v1:per_second:7000000:1000000:250:1:0:video"
        );
    }

    #[test]
    fn the_largest_rule_still_fits() {
        let rule = Rule::per_second(Rule::RATE_MAX, BilledTrack::Video)
            .and_then(|rule| rule.with_quantum(Rule::QUANTUM_MAX))
            .and_then(|rule| rule.with_snap_ms(Rule::SNAP_MS_MAX))
            .and_then(|rule| rule.with_increment_ms(Rule::INCREMENT_MS_MAX))
            .and_then(|rule| rule.with_min(Rule::RATE_MAX))
            .unwrap();
        assert_eq!(rule.to_string().len(), Rule::TEXT_MAX);
    }

    #[test]
    fn an_unknown_version_is_refused() {
        let text = "v2:per_second:7000000:1000000:250:1:0:video";
        assert_eq!(text.parse::<Rule>(), Err(RuleError::Text(text.to_owned())));
    }

    #[test]
    fn text_that_is_no_rule_is_refused() {
        for (text, error) in [
            ("v1:flat:0:1000000:250:1:0:max", RuleError::Rate),
            ("v1:flat:99999000001:1000000:250:1:0:max", RuleError::Rate),
            ("v1:flat:1:0:250:1:0:max", RuleError::Quantum),
            ("v1:flat:1:1:1000:1:0:max", RuleError::Snap),
            ("v1:flat:1:1:250:0:0:max", RuleError::Increment),
            ("v1:flat:1:1:250:1:99999000001:max", RuleError::Min),
        ] {
            assert_eq!(text.parse::<Rule>(), Err(error), "{text}");
        }
        for text in [
            "",
            "v1",
            "v1:flat:1:1:250:1:0",
            "v1:flat:1:1:250:1:0:max:0",
            "v1:hourly:1:1:250:1:0:max",
            "v1:flat:-1:1:250:1:0:max",
            "v1:flat:1:1:250:1:0:both",
            "v1:flat:1:1:2.5:1:0:max",
        ] {
            assert!(
                matches!(text.parse::<Rule>(), Err(RuleError::Text(_))),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn every_rule_survives_its_text(
            per_second: bool,
            rate in 1..=Rule::RATE_MAX.get(),
            quantum in 1..=Rule::QUANTUM_MAX.get(),
            snap in 0..=Rule::SNAP_MS_MAX,
            increment in 1..=Rule::INCREMENT_MS_MAX,
            min in 0..=Rule::RATE_MAX.get(),
            track in prop::sample::select(vec![BilledTrack::Video, BilledTrack::Audio, BilledTrack::Max]),
        ) {
            let kind = if per_second { RateKind::PerSecond } else { RateKind::Flat };
            let rule = Rule::with_defaults(kind, Ucr::new(rate).unwrap(), track)
                .and_then(|rule| rule.with_quantum(Ucr::new(quantum).unwrap()))
                .and_then(|rule| rule.with_snap_ms(snap))
                .and_then(|rule| rule.with_increment_ms(increment))
                .and_then(|rule| rule.with_min(Ucr::new(min).unwrap()))
                .unwrap();
            let text = rule.to_string();
            prop_assert!(text.len() <= Rule::TEXT_MAX);
            prop_assert_eq!(text.parse(), Ok(rule));
            let json = serde_json::to_string(&rule).unwrap();
            prop_assert_eq!(serde_json::from_str::<Rule>(&json).unwrap(), rule);
        }
    }
}
