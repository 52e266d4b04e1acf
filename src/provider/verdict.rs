//! From a provider's JSON to an answer.
//!
//! "Finished" is not "succeeded": besides the status there are conditions, and there is never a
//! success without outputs.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::answer::Answer;
use super::classify::{Classified, Errors, Refusal};
use super::cost::{CostMap, Usage};
use super::outputs::{self, OutputKind, OutputRule};
use super::pointer::Path;
use super::predicate::Predicate;
use crate::domain::failure::FailureClass;

/// Where an answer says what.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AnswerMap {
    /// Must hold for every answer; otherwise it is an error, whatever its HTTP status.
    #[serde(default)]
    ok_when: Option<Predicate>,
    /// The status word. Without it, an answer is final.
    #[serde(default)]
    status: Option<Path>,
    #[serde(default)]
    status_map: StatusMap,
    #[serde(default)]
    progress: Option<ProgressRule>,
    /// Each must hold for a success, in addition to its status.
    #[serde(default)]
    require: Vec<Predicate>,
    outputs: Vec<OutputRule>,
    #[serde(default)]
    duration: Option<DurationRule>,
}

/// The provider's status words, compared exactly: `succeed` is not `succeeded`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct StatusMap {
    queued: Vec<String>,
    running: Vec<String>,
    succeeded: Vec<String>,
    failed: Vec<String>,
    canceled: Vec<String>,
    lost: Vec<String>,
}

/// What a status word means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Queued,
    Running,
    Succeeded,
    Failed,
    Canceled,
    Lost,
    /// A word the preset does not know, or none. Taken for running until the deadline.
    Unknown,
}

/// Where an answer says how far the work is.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ProgressRule {
    at: Path,
    unit: ProgressUnit,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ProgressUnit {
    /// 0 to 1.
    Fraction,
    /// 0 to 100.
    Percent,
}

/// Where an answer gives a length, and what that length is worth.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DurationRule {
    at: Path,
    unit: DurationUnit,
    meaning: DurationMeaning,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum DurationUnit {
    Ms,
    S,
}

/// What a provider's length is the length of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DurationMeaning {
    /// Of the output, as the provider measured it.
    Actual,
    /// Of the output that was asked for.
    Requested,
    /// A guess made before the work was done.
    Estimated,
    /// Of input and output together, as the provider bills it.
    BilledInPlusOut,
}

/// An answer as it came, for reading.
pub(super) struct Read<'a> {
    pub(super) http_status: u16,
    pub(super) json: &'a Value,
    pub(super) wait_ms: Option<u64>,
    pub(super) errors: &'a Errors,
    pub(super) cost: Option<&'a CostMap>,
}

/// What reading an answer comes to.
#[derive(Debug)]
pub(super) enum Reading {
    /// Something about the work.
    Answer(Answer),
    /// An error that does not say that the work has ended: it may be about the request only.
    Error(Classified),
    /// The work succeeded; its outputs are still to be read.
    Finished,
}

impl AnswerMap {
    /// What the answer says about the work, short of its outputs.
    pub(super) fn read(&self, read: &Read<'_>) -> Reading {
        let status = match &self.status {
            None => Status::Succeeded,
            Some(_) => self.status_of(read.json),
        };
        let fault = FailureClass::ProviderFault;
        let is_error = self.is_error(read.json);
        Reading::Answer(match status {
            Status::Queued | Status::Running | Status::Unknown if is_error => {
                return Reading::Error(read.classified(fault, "the answer is an error"));
            }
            Status::Succeeded if is_error => read.failed(fault, "the answer is an error"),
            Status::Queued | Status::Running | Status::Unknown => Answer::Pending {
                progress: self.progress(read.json),
            },
            Status::Succeeded if !self.require.iter().all(|test| test.holds(read.json)) => {
                read.failed(fault, "the provider reports success, but not what it needs")
            }
            Status::Succeeded => return Reading::Finished,
            Status::Failed | Status::Canceled => self.ended(read, fault),
            Status::Lost => self.ended(read, FailureClass::Lost),
        })
    }

    /// The outputs of finished work. There is no success without any.
    pub(super) fn outputs(&self, read: &Read<'_>) -> Reading {
        let fault = FailureClass::ProviderFault;
        if self.is_error(read.json) {
            return Reading::Error(read.classified(fault, "the answer is an error"));
        }
        let outputs = outputs::collect(&self.outputs, read.json);
        Reading::Answer(if outputs.is_empty() {
            read.failed(
                fault,
                "the provider reports success without a usable output",
            )
        } else {
            Answer::Succeeded {
                outputs,
                reported_ms: self.reported_ms(read.json),
                usage: read.usage(),
            }
        })
    }

    /// What the answer's status word means, leaving everything else aside.
    pub(super) fn status_of(&self, json: &Value) -> Status {
        self.status_word(json)
            .map_or(Status::Unknown, |word| self.status_map.meaning(&word))
    }

    /// The status word itself.
    pub(super) fn status_word(&self, json: &Value) -> Option<String> {
        self.status.as_ref()?.text(json)
    }

    /// Whether the answer's body is the output itself.
    pub(super) fn is_bytes(&self) -> bool {
        self.outputs
            .iter()
            .any(|rule| rule.kind == OutputKind::BytesBody)
    }

    /// What the reported length is worth, where the preset reads one.
    pub(super) fn duration_meaning(&self) -> Option<DurationMeaning> {
        self.duration.as_ref().map(|rule| rule.meaning)
    }

    /// What contradicts itself.
    pub(super) fn problems(&self, has_poll: bool, has_result: bool) -> Vec<String> {
        let has_status = self.status.is_some() && !has_result;
        let checks = [
            (self.outputs.is_empty(), "answer.outputs is empty"),
            (
                self.is_bytes() && (self.outputs.len() > 1 || has_status),
                "a bytes_body output stands alone: no other output, and a status only with [result]",
            ),
            (
                self.outputs.iter().any(|rule| !rule.is_complete()),
                "an output needs `at`, except bytes_body, which has none",
            ),
            (
                has_poll && self.status.is_none(),
                "[poll] needs answer.status",
            ),
            (
                self.status.is_some() && self.status_map.succeeded.is_empty(),
                "answer.status_map.succeeded is empty",
            ),
            (
                self.status_map.has_double(),
                "a status word stands twice in answer.status_map",
            ),
        ];
        checks
            .iter()
            .filter(|(wrong, _)| *wrong)
            .map(|(_, text)| (*text).to_owned())
            .collect()
    }

    fn is_error(&self, json: &Value) -> bool {
        self.ok_when
            .as_ref()
            .is_some_and(|condition| !condition.holds(json))
    }

    fn ended(&self, read: &Read<'_>, class: FailureClass) -> Answer {
        let word = self.status_word(read.json).unwrap_or_default();
        read.failed(class, &format!("the provider's status is {word}"))
    }

    fn progress(&self, json: &Value) -> Option<f64> {
        let rule = self.progress.as_ref()?;
        let number = rule.at.first(json)?.as_f64()?;
        let fraction = match rule.unit {
            ProgressUnit::Fraction => number,
            ProgressUnit::Percent => number / 100.0,
        };
        Some(fraction.clamp(0.0, 1.0))
    }

    fn reported_ms(&self, json: &Value) -> Option<u64> {
        let rule = self.duration.as_ref()?;
        let number: f64 = rule.at.text(json)?.parse().ok()?;
        let ms = match rule.unit {
            DurationUnit::Ms => number,
            DurationUnit::S => number * 1000.0,
        };
        // The upper bound keeps the number exact; it also leaves out infinity and NaN.
        (0.0..9e15).contains(&ms).then(|| ms.round() as u64)
    }
}

impl StatusMap {
    fn lists(&self) -> [(&[String], Status); 6] {
        [
            (&self.queued, Status::Queued),
            (&self.running, Status::Running),
            (&self.succeeded, Status::Succeeded),
            (&self.failed, Status::Failed),
            (&self.canceled, Status::Canceled),
            (&self.lost, Status::Lost),
        ]
    }

    fn meaning(&self, word: &str) -> Status {
        self.lists()
            .into_iter()
            .find(|(words, _)| words.iter().any(|known| known == word))
            .map_or(Status::Unknown, |(_, status)| status)
    }

    fn has_double(&self) -> bool {
        let mut words: Vec<&String> = self
            .lists()
            .into_iter()
            .flat_map(|(words, _)| words)
            .collect();
        let count = words.len();
        words.sort();
        words.dedup();
        words.len() < count
    }
}

impl Read<'_> {
    fn failed(&self, class: FailureClass, message: &str) -> Answer {
        Answer::Failed(self.classified(class, message).failure)
    }

    fn classified(&self, class: FailureClass, message: &str) -> Classified {
        let seen = Refusal {
            status: self.http_status,
            json: Some(self.json),
            wait_ms: self.wait_ms,
        };
        let mut classified = self.errors.failure(seen, (class, message));
        classified.failure.usage = self.usage();
        classified
    }

    /// What the answer says about its cost.
    pub(super) fn usage(&self) -> Usage {
        let usage = self.cost.map(|cost| cost.usage(self.json));
        usage.unwrap_or_default()
    }
}
