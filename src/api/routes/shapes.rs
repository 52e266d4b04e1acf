//! The shapes of answers that several routes give: a job, its outputs, pages, problems.

use crate::api::text::rfc3339;
use crate::store::JobView;
use crate::wire::Output;
pub(in crate::api) use crate::wire::{Job, Page, ProblemBody};
use crate::worker::ArtifactRecord;

impl Job {
    pub(in crate::api) fn of(view: &JobView) -> Self {
        let some = |field: &str| Some(view.text(field).to_owned()).filter(|text| !text.is_empty());
        let time = |field: &str| u64::try_from(view.number(field)).ok().and_then(rfc3339);
        Self {
            job: view.job.to_string(),
            account: view.text("account").to_owned(),
            tool: view.text("tool").to_owned(),
            queue: view.text("queue").to_owned(),
            priority: view.text("class").to_owned(),
            state: view.text("state").to_owned(),
            class: some("fail_class"),
            message: some("message"),
            tries: view.number("tries"),
            takeovers: view.number("takeovers"),
            submissions: view.number("submissions"),
            hold_ucr: view.number("hold_ucr"),
            captured_ucr: view.number("captured_ucr"),
            released_ucr: view.number("released_ucr"),
            refunded_ucr: view.number("refunded_ucr"),
            absorbed_ucr: view.number("absorbed_ucr"),
            measured_ms: view.maybe("measured_ms"),
            billable_ms: view.maybe("billable_ms"),
            flags: view
                .text("flags")
                .split(',')
                .filter(|flag| !flag.is_empty())
                .map(str::to_owned)
                .collect(),
            price_version: some("price_version"),
            quote: some("quote"),
            idempotency_key: some("idem"),
            payer: some("payer").unwrap_or_else(|| "account".to_owned()),
            retry_of: some("redrive_of"),
            retried_as: some("redriven_as"),
            created_at: time("created_at"),
            due_at: time("due_at"),
            started_at: time("started_at"),
            deadline_at: time("deadline_at"),
            finished_at: time("finished_at"),
            outputs: outputs(view),
        }
    }
}

/// What its worker wrote down of a job's outputs; `None` where there is nothing yet.
pub(in crate::api) fn record(view: &JobView) -> Option<ArtifactRecord> {
    serde_json::from_str(view.artifact.as_deref()?).ok()
}

fn outputs(view: &JobView) -> Vec<Output> {
    let Some(record) = record(view) else {
        return Vec::new();
    };
    let of_one = |output: crate::worker::StoredOutput| Output {
        place: output.artifact.place,
        sha256: output.artifact.sha256,
        bytes: output.artifact.bytes,
        kind: match output.measured.kind {
            crate::domain::media::MediaKind::Image => "image",
            crate::domain::media::MediaKind::Video => "video",
            crate::domain::media::MediaKind::Audio => "audio",
        }
        .to_owned(),
        video_ms: output.measured.video.map(|track| track.ms),
        audio_ms: output.measured.audio.map(|track| track.ms),
    };
    record.outputs.into_iter().map(of_one).collect()
}
