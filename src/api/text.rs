//! Small texts: times, and cursors that callers only hand back.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::problem::{Kind, Problem};

pub(super) use crate::domain::time::rfc3339;

/// A time that a caller sent, in ms since 1970.
pub(super) fn time_ms(name: &str, text: &str) -> Result<u64, Problem> {
    let time: Option<jiff::Timestamp> = text.parse().ok();
    // Nothing here is older than 1970: what was asked from before then is asked from the beginning.
    let ms = time.map(|time| u64::try_from(time.as_millisecond()).unwrap_or(0));
    ms.ok_or_else(|| {
        let detail = format!("{name} is no time such as 2027-01-31T12:00:00Z");
        Problem::new(Kind::BadRequest, detail)
    })
}

/// A cursor: where a page ended, opaque to whoever hands it back.
pub(super) fn cursor(place: &impl Serialize) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(place).unwrap_or_default())
}

/// What a cursor that was handed back stands for.
pub(super) fn read_cursor<T: DeserializeOwned>(text: Option<&str>) -> Result<Option<T>, Problem> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
    let place = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    place.map(Some).ok_or_else(|| {
        let detail = "cursor is none that this server gave: begin again without it";
        Problem::new(Kind::BadRequest, detail)
    })
}
