//! Outputs as files: what a job was charged for, handed to its owner.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH,
    IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use tower_http::services::ServeFile;

use super::shapes::{ProblemBody, record};
use crate::api::House;
use crate::api::gate::Caller;
use crate::api::held::held;
use crate::api::problem::{Kind, Problem};
use crate::domain::job::State as JobState;
use crate::media::kept::Missing;
use crate::media::sniff::Container;
use crate::store::JobView;
use crate::worker::StoredOutput;

/// Keep a copy, but ask each time whether one may still have it: a job belongs to one account, and several
/// people can sit at one browser.
const CACHED: HeaderValue = HeaderValue::from_static("private, no-cache");

/// What is said of a file whose name says nothing that is known here.
const UNKNOWN_MEDIA: &str = "application/octet-stream";

/// A file's bytes.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
pub(in crate::api) struct Media(#[expect(dead_code, reason = "says what the document has")] String);

/// Download an output
///
/// The file as it was stored and measured. Outputs are counted from 0, in the order of the job's `outputs`.
/// `Range` asks for a part of it, so that a download that broke goes on where it was (with `If-Range`);
/// `ETag` is the file's SHA-256.
#[utoipa::path(get, path = "/v1/jobs/{job}/outputs/{index}", operation_id = "download_output", tag = "jobs",
    security(("key" = ["produce", "operate"])),
    params(
        ("index" = u32, Path, description = "Which output, from 0"),
        ("Range" = Option<String>, Header, description = "Which bytes; several ranges at a time are answered with the whole file"),
        ("If-Range" = Option<String>, Header, description = "An `ETag`: the whole file where it is another one"),
        ("If-None-Match" = Option<String>, Header, description = "`ETag`s that are there already"),
        ("If-Match" = Option<String>, Header, description = "`ETag`s of which it has to be one"),
    ),
    responses(
        (status = 200, description = "The file", content((Media = "image/*"), (Media = "video/*"), (Media = "audio/*"))),
        (status = 206, description = "The part of it that `Content-Range` names", content((Media = "image/*"), (Media = "video/*"), (Media = "audio/*"))),
        (status = 304, description = "It is there already"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn download(
    State(house): State<Arc<House>>,
    caller: Caller,
    Path((job, index)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let view = super::jobs::find(&house, &caller, &job).await?;
    let (place, output) = output(&view, &index)?;
    let etag = format!("\"{}\"", output.artifact.sha256);
    if names(&headers, &IF_MATCH, &etag) == Some(false) {
        let detail = format!("output {place} is {etag}");
        return Err(Problem::new(Kind::PreconditionFailed, detail));
    }
    let has_it = names(&headers, &IF_NONE_MATCH, &etag) == Some(true);
    let mut response = if has_it {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        file(&house, &output, method, range(&headers, &etag)).await?
    };
    describe(&mut response, &etag, &view, place, &output);
    Ok(response)
}

/// An output that its owner may have: charged for, or delivered too late and therefore free. What is still
/// to be settled has no price yet, and what was cancelled or failed was given back.
fn output(view: &JobView, index: &str) -> Result<(usize, StoredOutput), Problem> {
    let unknown = || {
        let (job, state) = (&view.job, view.text("state"));
        let detail = format!("job {job} ({state}) has no output {index} to download");
        Problem::new(Kind::UnknownOutput, detail)
    };
    let is_theirs = match view.state() {
        Some(JobState::Succeeded | JobState::TimedOut) => true,
        Some(
            JobState::Scheduled
            | JobState::Queued
            | JobState::Running
            | JobState::Failed
            | JobState::Cancelled,
        )
        | None => false,
    };
    // One address for each output: `00` and `+0` are none.
    let place = index.parse::<usize>().ok();
    let place = place.filter(|place| is_theirs && place.to_string() == index);
    let place = place.ok_or_else(unknown)?;
    let record = record(view).ok_or_else(unknown)?;
    let output = record.outputs.into_iter().nth(place);
    Ok((place, output.ok_or_else(unknown)?))
}

/// Whether a header's list of tags has this one; `None` where there is no such header. A weak tag is as good
/// for not sending what is there already, and not for a promise that it is this file.
fn names(headers: &HeaderMap, header: &HeaderName, etag: &str) -> Option<bool> {
    let mut lists = headers.get_all(header).iter().peekable();
    lists.peek()?;
    let has = |list: &HeaderValue| {
        let tags = list.to_str().unwrap_or_default().split(',').map(str::trim);
        let strong = |tag| match header == IF_NONE_MATCH {
            true => str::strip_prefix(tag, "W/").unwrap_or(tag),
            false => tag,
        };
        let mut tags = tags.map(strong);
        tags.any(|tag| tag == "*" || tag == etag)
    };
    Some(lists.any(has))
}

/// The range that was asked for, where it was asked for of this very file.
fn range<'a>(headers: &'a HeaderMap, etag: &str) -> Option<&'a HeaderValue> {
    let is_of_this = headers.get(IF_RANGE).is_none_or(|tag| tag == etag);
    headers.get(RANGE).filter(|_| is_of_this)
}

/// The file, or the part of it that is asked for, in a place among the downloads.
async fn file(
    house: &House,
    output: &StoredOutput,
    method: Method,
    range: Option<&HeaderValue>,
) -> Result<Response, Problem> {
    let place = Arc::clone(&house.downloads).try_acquire_owned();
    let place = place.map_err(|_| {
        let detail = "too many outputs are being downloaded";
        Problem::new(Kind::Overloaded, detail)
    })?;
    let path = house.outputs.find(&output.artifact).await;
    let path = path.map_err(|missing| not_here(&missing, output))?;
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method;
    if let Some(range) = range {
        request.headers_mut().insert(RANGE, range.clone());
    }
    let mut files = ServeFile::new(path).ignore_multi_range_requests(true);
    let response = files.try_call(request).await.map_err(|error| {
        let missing = match error.kind() {
            std::io::ErrorKind::NotFound => Missing::File("it went a moment ago"),
            _ => Missing::Disk(error),
        };
        not_here(&missing, output)
    })?;
    if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        let detail = format!("the output has {} bytes", output.artifact.bytes);
        let problem = Problem::new(Kind::BadRange, detail);
        let whole = response.headers().get(CONTENT_RANGE).cloned();
        return Err(whole.into_iter().fold(problem, |problem, whole| {
            problem.header(CONTENT_RANGE, whole)
        }));
    }
    Ok(response.map(|body| held(Body::new(body), place)))
}

/// Where the file should have been is for the log.
fn not_here(missing: &Missing, output: &StoredOutput) -> Problem {
    let place = &output.artifact.place;
    let (kind, detail) = match missing {
        Missing::Folder => (
            Kind::OutputsElsewhere,
            "the artifact folder is not on this host",
        ),
        Missing::File(why) => (Kind::OutputMissing, *why),
        Missing::Disk(_) => (Kind::Internal, Kind::Internal.title()),
    };
    tracing::warn!(problem = kind.word(), place, "failed to {missing}");
    Problem::new(kind, detail)
}

/// What is said of the file. The content type is what was measured, never what its maker claimed, and it is
/// for saving: a stranger's bytes are not opened under this server's name.
fn describe(
    response: &mut Response,
    etag: &str,
    view: &JobView,
    place: usize,
    output: &StoredOutput,
) {
    let extension = output.artifact.place.rsplit('.').next().unwrap_or_default();
    let media = Container::of_extension(extension).map_or(UNKNOWN_MEDIA, |container| {
        container.served_as(output.measured.kind)
    });
    let name = format!("{}-{place}.{extension}", view.job);
    let headers = response.headers_mut();
    headers.remove(LAST_MODIFIED);
    headers.insert(CACHE_CONTROL, CACHED);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let told = [
        (ETAG, etag.to_owned()),
        (CONTENT_TYPE, media.to_owned()),
        (
            CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    for (header, value) in told {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(header, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn a_tag_is_found_in_a_list_weak_or_not_and_a_star_is_any() {
        let named = |value| names(&headers(IF_NONE_MATCH, value), &IF_NONE_MATCH, "\"a\"");
        assert_eq!(named("\"a\""), Some(true));
        assert_eq!(named("\"b\", W/\"a\""), Some(true));
        assert_eq!(named("*"), Some(true));
        let promised = |value| names(&headers(IF_MATCH, value), &IF_MATCH, "\"a\"");
        assert_eq!(promised("\"a\""), Some(true));
        assert_eq!(promised("W/\"a\""), Some(false));
        assert_eq!(named("\"b\",\"ab\""), Some(false));
        assert_eq!(names(&HeaderMap::new(), &IF_NONE_MATCH, "\"a\""), None);
    }

    #[test]
    fn a_range_of_another_file_is_no_range() {
        let mut asked = headers(RANGE, "bytes=1-");
        assert!(range(&asked, "\"a\"").is_some());
        asked.insert(IF_RANGE, HeaderValue::from_static("\"a\""));
        assert!(range(&asked, "\"a\"").is_some());
        for other in ["\"b\"", "W/\"a\"", "Mon, 23 Nov 2026 06:00:00 GMT"] {
            asked.insert(IF_RANGE, HeaderValue::from_static(other));
            assert!(range(&asked, "\"a\"").is_none(), "{other}");
        }
    }
}
