//! What a message says of what the store kept of it.

use crate::domain::ids::JobId;
use crate::domain::media::MediaKind;
use crate::domain::webhook::Topic;
use crate::store::Happened;
use crate::webhook::{Facts, JobFacts, MediaFacts, Message};

use super::{ArtifactRecord, StoredOutput};

/// What the test message is called.
const TEST: &str = "webhook.test";

/// The message about something that happened; `None` where what was kept names no job, so that nobody
/// can be told anything.
pub(super) fn message(endpoint: &str, happened: &Happened) -> Option<Message> {
    let (kind, facts) = if happened.event == "test" {
        let endpoint = endpoint.to_owned();
        (TEST.to_owned(), Facts::Test { endpoint })
    } else {
        let topic = Topic::of_event(&happened.event).map(Topic::word);
        let kind = topic.map_or_else(|| format!("job.{}", happened.event), str::to_owned);
        (kind, Facts::Job(Box::new(job(happened)?)))
    };
    Message::new(happened.message.clone(), &kind, happened.at_ms, facts).ok()
}

fn job(happened: &Happened) -> Option<JobFacts> {
    let job: JobId = happened.text("j")?.parse().ok()?;
    let some = |name: &str| happened.text(name).map(str::to_owned);
    let text = |name: &str| some(name).unwrap_or_default();
    let is_progress = Topic::of_event(&happened.event) == Some(Topic::Progress);
    Some(JobFacts {
        job,
        account: text("a"),
        sequence: happened.number("n").unwrap_or(0),
        state: text("s"),
        class: some("class"),
        message: some("message"),
        step: is_progress.then(|| happened.event.clone()),
        tool: text("tool"),
        queue: text("queue"),
        ceiling_ucr: happened.number("hold").unwrap_or(0),
        captured_ucr: happened.number("captured"),
        released_ucr: happened.number("released"),
        measured_ms: happened.number("measured_ms"),
        billable_ms: happened.number("billable_ms"),
        flags: some("flags"),
        outputs: outputs(&happened.artifact),
    })
}

fn outputs(record: &str) -> Option<Vec<MediaFacts>> {
    let record: ArtifactRecord = serde_json::from_str(record).ok()?;
    let of_one = |output: StoredOutput| MediaFacts {
        place: output.artifact.place,
        sha256: output.artifact.sha256,
        bytes: output.artifact.bytes,
        kind: match output.measured.kind {
            MediaKind::Image => "image",
            MediaKind::Video => "video",
            MediaKind::Audio => "audio",
        }
        .to_owned(),
        video_ms: output.measured.video.map(|track| track.ms),
        audio_ms: output.measured.audio.map(|track| track.ms),
    };
    Some(record.outputs.into_iter().map(of_one).collect())
}
