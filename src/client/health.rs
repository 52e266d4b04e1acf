//! Whether a server can work, as it says itself: asked without a key, and once.

use std::time::Duration;

use reqwest::header::HeaderMap;

use super::call::{body, said};
use super::{Error, address, http};
use crate::wire::Readiness;

/// What the server at `url` says of itself, within `longest`.
///
/// # Errors
/// [`Error::Setup`] where the address is no http URL, [`Error::Unreachable`] where nobody answers in time,
/// [`Error::Foreign`] where the answer is no server's of this API, or one that has no room for a question.
pub async fn readiness(url: &str, longest: Duration) -> Result<Readiness, Error> {
    let mut asked = address(url)?;
    let http = http(&asked, longest, &HeaderMap::new())?;
    // An http URL always has a path to add to.
    if let Ok(mut path) = asked.path_segments_mut() {
        path.pop_if_empty().push("readyz");
    }
    let answered = tokio::time::timeout(longest, async {
        let response = http.get(asked.clone()).send().await?;
        Ok::<_, reqwest::Error>((response.status(), body(response).await?))
    });
    let answered = answered.await.map_err(|_| {
        let ms = longest.as_millis();
        Error::Unreachable(format!("nothing came within {ms} ms"))
    })?;
    let (status, bytes) = answered.map_err(|error| Error::Unreachable(said(&error)))?;
    serde_json::from_slice(&bytes)
        .map_err(|_| Error::Foreign(format!("status {status} from {asked}")))
}
