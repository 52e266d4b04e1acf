//! The shapes of answers that several routes give: a job, its outputs, pages, problems.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::text::rfc3339;
use crate::store::JobView;
use crate::worker::ArtifactRecord;

/// A job. Amounts are micro-credits.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Job {
    /// Its id.
    pub(in crate::api) job: String,
    /// Who pays.
    account: String,
    /// Its tool.
    tool: String,
    /// Where it waits.
    queue: String,
    /// `high`, `normal` or `low`.
    priority: String,
    /// `scheduled`, `queued`, `running`, `succeeded`, `failed`, `timed_out` or `cancelled`.
    state: String,
    /// Of one that failed: the failure class.
    class: Option<String>,
    /// Of one that failed: a sentence for its owner.
    message: Option<String>,
    /// Failures of a provider so far.
    tries: i64,
    /// How often another worker had to pick it up.
    takeovers: i64,
    /// POSTs to providers.
    submissions: i64,
    /// The ceiling: what is, or was, held.
    hold_ucr: i64,
    /// Charged.
    captured_ucr: i64,
    /// Of the hold, given back.
    released_ucr: i64,
    /// Of the charge, given back later.
    refunded_ucr: i64,
    /// Above the quote, paid by the platform.
    absorbed_ucr: i64,
    /// Length of the outputs as measured.
    measured_ms: Option<i64>,
    /// The part of it that is charged.
    billable_ms: Option<i64>,
    /// What was odd about the outputs: `unmeasured`, `disagreement`, `fewer_outputs`, ...
    flags: Vec<String>,
    /// The catalogue it was priced by.
    price_version: Option<String>,
    /// The quote it was made from.
    quote: Option<String>,
    /// The key it was submitted with.
    idempotency_key: Option<String>,
    /// `account` or `house`.
    payer: String,
    /// The dead letter it was made from.
    retry_of: Option<String>,
    /// The job that was made from it as a dead letter.
    retried_as: Option<String>,
    /// When it was submitted.
    created_at: Option<String>,
    /// When it is, or was, due.
    due_at: Option<String>,
    /// Its first start.
    started_at: Option<String>,
    /// By when it ends refunded at the latest.
    deadline_at: Option<String>,
    /// When it ended.
    finished_at: Option<String>,
    /// The stored outputs.
    outputs: Vec<Output>,
}

/// A stored output.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Output {
    /// Where it is below the artifact folder.
    place: String,
    /// SHA-256 of the file, lower-case hex.
    sha256: String,
    /// Its size.
    bytes: u64,
    /// `image`, `video` or `audio`.
    kind: String,
    /// Length of the picture track.
    video_ms: Option<u64>,
    /// Length of the sound track.
    audio_ms: Option<u64>,
}

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

fn outputs(view: &JobView) -> Vec<Output> {
    let record = view.artifact.as_deref().unwrap_or_default();
    let Ok(record) = serde_json::from_str::<ArtifactRecord>(record) else {
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

/// A page of a listing.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Page<T> {
    /// What was found, in order.
    pub(in crate::api) data: Vec<T>,
    /// Hand it back as `cursor` for the next page; missing at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) next_cursor: Option<String>,
}

/// Every answer that is no success (RFC 9457), as `application/problem+json`. There are more members by type:
/// docs/http-api.md.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct ProblemBody {
    /// Which problem: a page of this server that says what to do about it.
    #[serde(rename = "type")]
    kind: String,
    /// What it is, the same words each time.
    title: String,
    /// The status once more.
    status: u16,
    /// What it is this time.
    detail: String,
}
