//! `job show`: the job as it stands, with its outputs and its timeline.

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::Call;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{credits, duration, facts, rfc3339, rows, table};
use crate::store::{JobView, TimelineEvent};
use crate::wire::Output;
use crate::worker::{ArtifactRecord, StoredOutput};

/// Show a job with its outputs and its timeline
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline job show JOB --output json")]
pub(in crate::cli) struct Args {
    /// The job's id
    job: String,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    if let Some(server) = call.server()? {
        let found = server.job(&args.job).await?;
        let mut value = brief(&found.view);
        value["artifacts"] = found.outputs.iter().map(output_json).collect();
        value["timeline"] = found.timeline.iter().map(event_json).collect();
        call.out
            .show(&value, || text(&found.view, &value, &found.timeline))?;
        return Ok(Exit::Done);
    }
    let house = call.house()?;
    let store = house.store().await?;
    let history = house.history(&store);
    let view = super::find_ever(&store, &history, &args.job).await?;
    let timeline = history.timeline(&view.job).await?;
    let mut value = brief(&view);
    value["artifacts"] = artifacts(&view, &house.settings().media.artifacts_dir);
    value["timeline"] = timeline.iter().map(event_json).collect();
    call.out.show(&value, || text(&view, &value, &timeline))?;
    Ok(Exit::Done)
}

/// A job without its outputs and its timeline, as listings show it.
pub(in crate::cli) fn brief(view: &JobView) -> Value {
    let some = |field: &str| Some(view.text(field)).filter(|text| !text.is_empty());
    let time = |field: &str| view.maybe(field).filter(|ms| *ms > 0).and_then(rfc3339);
    json!({
        "job": view.job,
        "account": view.text("account"),
        "tool": view.text("tool"),
        "queue": view.text("queue"),
        "priority": view.text("class"),
        "state": view.text("state"),
        "class": some("fail_class"),
        "message": some("message"),
        "tries": view.number("tries"),
        "takeovers": view.number("takeovers"),
        "submissions": view.number("submissions"),
        "worker": some("worker"),
        "hold_ucr": view.number("hold_ucr"),
        "captured_ucr": view.number("captured_ucr"),
        "released_ucr": view.number("released_ucr"),
        "refunded_ucr": view.number("refunded_ucr"),
        "absorbed_ucr": view.number("absorbed_ucr"),
        "measured_ms": view.maybe("measured_ms"),
        "billable_ms": view.maybe("billable_ms"),
        "flags": view.text("flags").split(',').filter(|flag| !flag.is_empty()).collect::<Vec<_>>(),
        "price_version": some("price_version"),
        "quote": some("quote"),
        "idempotency_key": some("idem"),
        "payer": some("payer").unwrap_or("account"),
        "redrive_of": some("redrive_of"),
        "redriven_as": some("redriven_as"),
        "created_at": time("created_at"),
        "due_at": time("due_at"),
        "started_at": time("started_at"),
        "deadline_at": time("deadline_at"),
        "finished_at": time("finished_at"),
    })
}

/// The stored outputs. `path` is where the file is as far as this host can tell: below the artifact
/// folder of its settings, or else where the worker that stored it says.
fn artifacts(view: &JobView, dir: &Path) -> Value {
    let record = view.artifact.as_deref().unwrap_or_default();
    let Ok(record) = serde_json::from_str::<ArtifactRecord>(record) else {
        return json!([]);
    };
    let of_one = |output: StoredOutput| {
        let stored = output.artifact;
        let here = std::path::absolute(dir.join(&stored.place)).ok();
        let here = here.filter(|file| file.is_file());
        let path = here.unwrap_or_else(|| Path::new(&record.folder).join(&stored.place));
        json!({
            "path": path.display().to_string(),
            "place": stored.place,
            "sha256": stored.sha256,
            "bytes": stored.bytes,
            "kind": output.measured.kind,
            "video_ms": output.measured.video.map(|track| track.ms),
            "audio_ms": output.measured.audio.map(|track| track.ms),
        })
    };
    record.outputs.into_iter().map(of_one).collect()
}

/// A stored output as a server says it: where its files are is the workers' own.
fn output_json(output: &Output) -> Value {
    json!({
        "path": null,
        "place": output.place,
        "sha256": output.sha256,
        "bytes": output.bytes,
        "kind": output.kind,
        "video_ms": output.video_ms,
        "audio_ms": output.audio_ms,
    })
}

/// One line of a timeline.
pub(in crate::cli) fn event_json(event: &TimelineEvent) -> Value {
    json!({
        "at": i64::try_from(event.at_ms).ok().and_then(rfc3339),
        "at_ms": event.at_ms,
        "event": event.event,
        "detail": event.detail,
    })
}

fn text(view: &JobView, value: &Value, timeline: &[TimelineEvent]) -> String {
    let class = value["class"]
        .as_str()
        .map(|class| format!(" ({class})"))
        .unwrap_or_default();
    let message = value["message"]
        .as_str()
        .map(|text| format!("\n{text}"))
        .unwrap_or_default();
    let measured = view
        .maybe("measured_ms")
        .and_then(|ms| u64::try_from(ms).ok());
    let mut facts = facts();
    facts.add_row(["account", view.text("account")]);
    facts.add_row(["tool", view.text("tool")]);
    for (name, field) in [
        ("held", "hold_ucr"),
        ("charged", "captured_ucr"),
        ("given back", "released_ucr"),
        ("refunded", "refunded_ucr"),
    ] {
        facts.add_row([name.to_owned(), credits(view.number(field))]);
    }
    if let Some(ms) = measured {
        facts.add_row(["measured".to_owned(), duration(ms)]);
    }
    let artifacts = value["artifacts"].as_array().into_iter().flatten();
    let place = |artifact: &Value| {
        let path = artifact["path"].as_str().or(artifact["place"].as_str());
        path.map(str::to_owned)
    };
    for path in artifacts.filter_map(place) {
        facts.add_row(["output".to_owned(), path]);
    }
    let mut events = table(&["at", "event", "detail"]);
    for event in timeline {
        let at = i64::try_from(event.at_ms)
            .ok()
            .and_then(rfc3339)
            .unwrap_or_default();
        events.add_row([at, event.event.clone(), event.detail.clone()]);
    }
    format!(
        "job {}: {}{class}{message}\n{}\n\n{}",
        view.job,
        view.text("state"),
        rows(&facts, ""),
        rows(&events, "no events"),
    )
}
