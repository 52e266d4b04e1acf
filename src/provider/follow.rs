//! Where to go on with a submission: the URLs out of a provider's answer, and those we make.

use serde_json::Value;
use url::Url;

use super::engine::Engine;
use super::handle::Handle;
use super::hosts;
use super::placeholder::{self, Scope};
use super::pointer::Path;
use super::request::SubmitRequest;
use super::template::UrlTemplate;

/// No id of a provider is kept that is longer than this, in bytes.
const ID_BYTES_MAX: usize = 512;
/// No returned URL is kept that is longer than this, in bytes.
const URL_BYTES_MAX: usize = 8 * 1024;

/// Why there is no way to go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Template(#[from] placeholder::Error),
    #[error("write the URL: {0}")]
    Url(#[from] url::ParseError),
    #[error(transparent)]
    Host(#[from] hosts::Error),
    #[error("find a URL to go on with: the answer gives none")]
    NoUrl,
    #[error("find a URL to go on with: the answer gives something else in its place")]
    NotAUrl,
}

impl Engine {
    /// What a submission can be stopped by while its first answer, which is also its last, is waited
    /// for. `None` where the answer is needed for that.
    pub fn handle_before(&self, request: &SubmitRequest<'_>) -> Option<Handle> {
        if self.preset.poll.is_some() {
            return None;
        }
        let handle = self.handle(request, &Value::Null).ok()?;
        handle.cancel_url.is_some().then_some(handle)
    }

    /// What the first answer says about following the work.
    pub(super) fn handle(
        &self,
        request: &SubmitRequest<'_>,
        json: &Value,
    ) -> Result<Handle, Error> {
        let preset = &self.preset;
        let id = preset
            .submit
            .id
            .as_ref()
            .and_then(|path| path.text(json))
            .filter(|id| {
                !id.is_empty() && id.len() <= ID_BYTES_MAX && !id.chars().any(char::is_control)
            });
        let scope = request.scope(id.as_deref());
        let follow = |pointer: &Option<Path>, template: &Option<UrlTemplate>| {
            self.followed(pointer.as_ref(), template.as_ref(), json, &scope)
        };
        let submit = &preset.submit;
        let poll = preset.poll.as_ref();
        let poll_url = poll
            .map(|poll| follow(&submit.poll_url, &poll.url))
            .transpose()?;
        let poll_body = poll
            .and_then(|poll| poll.body.as_ref())
            .map(|body| body.fill(&scope))
            .transpose()?;
        let result = preset.result.as_ref().filter(|result| result.id.is_none());
        let result_url = result
            .map(|result| follow(&submit.result_url, &result.url))
            .transpose()?;
        // Without a usable cancel URL the work can still be followed: it just cannot be stopped.
        let cancel = preset.cancel.as_ref();
        let cancel_url = cancel.and_then(|cancel| follow(&submit.cancel_url, &cancel.url).ok());
        Ok(Handle {
            provider: self.name.clone(),
            preset_version: self.preset_version.clone(),
            key_id: preset.auth.key_id().to_owned(),
            key: request.key.to_owned(),
            id,
            poll_url,
            poll_body,
            result_url,
            cancel_url,
        })
    }

    /// The URL an answer gives, or else the one the preset makes. A URL in the answer that may not
    /// be called is not replaced by ours: an answer that points elsewhere is not to be trusted.
    fn followed(
        &self,
        pointer: Option<&Path>,
        template: Option<&UrlTemplate>,
        json: &Value,
        scope: &Scope<'_>,
    ) -> Result<Url, Error> {
        let url = match (pointer.and_then(|path| path.first(json)), template) {
            (Some(value), _) => self.given_url(value)?,
            (None, Some(template)) => self.url(template, scope)?,
            (None, None) => return Err(Error::NoUrl),
        };
        self.client.hosts.check(&url)?;
        Ok(url)
    }

    /// A URL out of an answer: absolute, or a path at the provider.
    fn given_url(&self, value: &Value) -> Result<Url, Error> {
        let text = value.as_str().filter(|text| text.len() <= URL_BYTES_MAX);
        let url = text.and_then(|text| match text.starts_with('/') {
            true => self.preset.base_url.join(text).ok(),
            false => Url::parse(text).ok(),
        });
        url.ok_or(Error::NotAUrl)
    }

    /// A filled-in template as a URL; one that starts with `/` stands below the base URL.
    pub(super) fn url(&self, template: &UrlTemplate, scope: &Scope<'_>) -> Result<Url, Error> {
        let text = template.fill(scope)?;
        if text.starts_with('/') {
            let base = self.preset.base_url.as_str().trim_end_matches('/');
            return Ok(Url::parse(&format!("{base}{text}"))?);
        }
        Ok(Url::parse(&text)?)
    }
}
