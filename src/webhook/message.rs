//! What a message says: a thin JSON document, the same bytes at every try.

use serde::Serialize;

use crate::domain::ids::JobId;

/// Outputs that one message names; the job has them all.
const OUTPUTS_MAX: usize = 32;
/// Characters of a text that somebody else wrote.
const TEXT_MAX: usize = 1_000;

/// A message, ready to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What the receiver tells repetitions by: the same at every try.
    pub id: String,
    /// The document.
    pub body: String,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Facts {
    /// To a job.
    Job(Box<JobFacts>),
    /// Nothing: somebody wants to see a message arrive.
    Test {
        /// The endpoint that is tested.
        endpoint: String,
    },
}

/// What is told of a job.
#[derive(Debug, Clone, Serialize)]
pub struct JobFacts {
    /// The job.
    pub job: JobId,
    /// Who pays.
    pub account: String,
    /// Rises with each message about this job, over all endpoints of the account.
    pub sequence: u64,
    /// The job's state right after it.
    pub state: String,
    /// The failure's class.
    pub class: Option<String>,
    /// The failure in words.
    pub message: Option<String>,
    /// Which step of a running job this is.
    pub step: Option<String>,
    /// What was asked for.
    pub tool: String,
    /// Where it waits or ran.
    pub queue: String,
    /// What was held at most, micro-credits.
    pub ceiling_ucr: i64,
    /// What was charged, micro-credits; none before the end.
    pub captured_ucr: Option<i64>,
    /// What was given back, micro-credits; none before the end.
    pub released_ucr: Option<i64>,
    /// Measured length, ms.
    pub measured_ms: Option<u64>,
    /// The part of it that was charged, ms.
    pub billable_ms: Option<u64>,
    /// Words for what was odd, separated by commas.
    pub flags: Option<String>,
    /// The stored files; none before the end, and where the job's record is gone already.
    pub outputs: Option<Vec<MediaFacts>>,
}

/// What is told of a stored file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MediaFacts {
    /// Path below the artifact folder.
    pub place: String,
    /// SHA-256 of the content in lower-case hex.
    pub sha256: String,
    /// Length of the content in bytes.
    pub bytes: u64,
    /// `image`, `video` or `audio`.
    pub kind: String,
    /// Length of its video track, ms.
    pub video_ms: Option<u64>,
    /// Length of its audio track, ms.
    pub audio_ms: Option<u64>,
}

#[derive(Serialize)]
struct Document<'a, T> {
    r#type: &'a str,
    timestamp: String,
    data: T,
}

#[derive(Serialize)]
struct TestData<'a> {
    endpoint: &'a str,
}

impl Message {
    /// The message of this type about something that happened at `at_ms` (ms since 1970).
    ///
    /// # Errors
    /// Where the document cannot be written, which no value of these types brings about.
    pub fn new(
        id: String,
        kind: &str,
        at_ms: i64,
        facts: Facts,
    ) -> Result<Self, serde_json::Error> {
        let at = jiff::Timestamp::from_millisecond(at_ms).unwrap_or_default();
        let timestamp = format!("{at:.3}");
        let body = match facts {
            Facts::Job(job) => serde_json::to_string(&Document {
                r#type: kind,
                timestamp,
                data: job.shortened(),
            })?,
            Facts::Test { endpoint } => serde_json::to_string(&Document {
                r#type: kind,
                timestamp,
                data: TestData {
                    endpoint: &endpoint,
                },
            })?,
        };
        Ok(Self { id, body })
    }
}

impl JobFacts {
    /// Small enough to be taken everywhere.
    fn shortened(mut self) -> Self {
        if let Some(outputs) = &mut self.outputs {
            outputs.truncate(OUTPUTS_MAX);
        }
        self.message = self
            .message
            .map(|text| text.chars().take(TEXT_MAX).collect());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(outputs: usize) -> JobFacts {
        let output = MediaFacts {
            place: format!("{}/1-0-0123456789abcdef.mp4", "j".repeat(40)),
            sha256: "0".repeat(64),
            bytes: u64::MAX,
            kind: "video".to_owned(),
            video_ms: Some(5_000),
            audio_ms: Some(5_000),
        };
        JobFacts {
            job: JobId::new(0, uuid::Uuid::nil()),
            account: "acme".to_owned(),
            sequence: 3,
            state: "succeeded".to_owned(),
            class: None,
            message: Some("ä".repeat(60_000)),
            step: None,
            tool: "image-to-video".to_owned(),
            queue: "video".to_owned(),
            ceiling_ucr: 35_000_000,
            captured_ucr: Some(28_000_000),
            released_ucr: Some(7_000_000),
            measured_ms: Some(4_000),
            billable_ms: Some(4_000),
            flags: None,
            outputs: Some(vec![output; outputs]),
        }
    }

    fn message(outputs: usize) -> Message {
        let facts = Facts::Job(Box::new(facts(outputs)));
        let id = "msg_j00-x_3".to_owned();
        Message::new(id, "job.succeeded", 1_800_000_000_000, facts).unwrap()
    }

    #[test]
    fn a_message_has_type_time_and_data() {
        let read: serde_json::Value = serde_json::from_str(&message(1).body).unwrap();
        assert_eq!(read["type"], "job.succeeded");
        assert_eq!(read["timestamp"], "2027-01-15T08:00:00.000Z");
        assert_eq!(read["data"]["captured_ucr"], 28_000_000);
        assert_eq!(read["data"]["sequence"], 3);
        assert_eq!(read["data"]["outputs"][0]["kind"], "video");
        assert_eq!(read["data"]["class"], serde_json::Value::Null);
    }

    #[test]
    fn the_largest_message_stays_below_twenty_kilobytes() {
        assert!(message(1_000).body.len() < 20_000);
    }
}
