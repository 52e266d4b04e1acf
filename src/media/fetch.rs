//! Fetching outputs: one client without credentials, that dials only what it may.
//!
//! Redirects are followed here, hop by hop, because each hop must be judged like the first URL. There
//! is no retry, no proxy and no decompression: what arrives is what is hashed, counted and stored.

use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;
use reqwest::header::LOCATION;
use reqwest::{Response, StatusCode};
use tokio::time::timeout;
use url::Url;

use super::Error;
use super::artifacts::{ArtifactStore, Fetched, Incoming};
use super::data_url;
use crate::guard::{Clients, classify};

/// How many redirects are followed.
const REDIRECTS_MAX: usize = 3;

/// What one fetch may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest output in bytes.
    pub max_bytes: u64,
    /// From the first connection to the last byte, over all redirects.
    pub total: Duration,
    /// Longest wait for the answer's head, and for each further piece of its body.
    pub idle: Duration,
    /// Longest wait for name resolution, connection and TLS together.
    pub connect: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 1024 * 1024 * 1024,
            total: Duration::from_secs(600),
            idle: Duration::from_secs(30),
            connect: Duration::from_secs(10),
        }
    }
}

/// Where an output is, as the provider's answer said.
#[derive(Debug, Clone)]
pub enum Source {
    /// To be fetched.
    Url(Url),
    /// Inside the answer, as `data:[type];base64,...`.
    DataUrl(String),
    /// The answer itself.
    Bytes(Bytes),
}

impl Source {
    /// Reads the text a provider gave as an output's address.
    ///
    /// # Errors
    /// [`Error::Blocked`] where it is no URL at all.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text
            .get(..5)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
        {
            return Ok(Self::DataUrl(text.to_owned()));
        }
        Url::parse(text)
            .map(Self::Url)
            .map_err(|_| Error::Blocked("an address that is no url".to_owned()))
    }
}

/// Fetches outputs into an artifact folder.
#[derive(Debug)]
pub struct Fetcher {
    limits: Limits,
    clients: Clients,
}

impl Fetcher {
    /// A fetcher with these limits for every fetch.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            clients: Clients::new(limits.connect),
        }
    }

    /// Fetches one output to the end and leaves it in the store, without a name yet.
    ///
    /// `allow_cidr` are the inner addresses this provider's outputs may lie at; plain `http` goes
    /// there and nowhere else.
    ///
    /// # Errors
    /// Those of [`Error`] but `NotMedia`, `BadName` and `Unmeasurable`.
    pub async fn fetch(
        &self,
        source: &Source,
        allow_cidr: &[IpNet],
        store: &ArtifactStore,
    ) -> Result<Fetched, Error> {
        let mut incoming = store.receive(self.limits.max_bytes)?;
        let whole = async {
            match source {
                Source::Url(url) => self.download(url, allow_cidr, &mut incoming).await?,
                Source::DataUrl(text) => data_url::decode_into(text, &mut incoming).await?,
                Source::Bytes(bytes) => incoming.write(bytes).await?,
            }
            incoming.finish().await
        };
        timeout(self.limits.total, whole)
            .await
            .map_err(|_| Error::Timeout)?
    }

    async fn download(
        &self,
        url: &Url,
        allow_cidr: &[IpNet],
        incoming: &mut Incoming,
    ) -> Result<(), Error> {
        let mut response = self.follow(url.clone(), allow_cidr).await?;
        if let Some(announced_bytes) = response.content_length() {
            incoming.expect_bytes(announced_bytes)?;
        }
        loop {
            let piece = timeout(self.limits.idle, response.chunk()).await;
            match piece.map_err(|_| Error::Timeout)?.map_err(wrong)? {
                Some(piece) => incoming.write(&piece).await?,
                None => return Ok(()),
            }
        }
    }

    /// Asks hop by hop until there is a body.
    async fn follow(&self, mut url: Url, allow_cidr: &[IpNet]) -> Result<Response, Error> {
        for _hop in 0..=REDIRECTS_MAX {
            let client = self.clients.for_url(&url, allow_cidr)?;
            let request = client.get(url.clone()).send();
            let answer = timeout(self.limits.idle, request)
                .await
                .map_err(|_| Error::Timeout)?;
            let response = answer.map_err(wrong)?;
            if response.status() == StatusCode::OK {
                return Ok(response);
            }
            url = redirect_target(&url, &response)?;
        }
        Err(Error::Blocked(format!(
            "more than {REDIRECTS_MAX} redirects"
        )))
    }
}

/// What the client's error means for an output.
fn wrong(error: reqwest::Error) -> Error {
    classify(error).into()
}

/// Where an answer that is no 200 sends us, if it sends us anywhere.
fn redirect_target(from: &Url, response: &Response) -> Result<Url, Error> {
    let status = response.status();
    let sent_on = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response
        .headers()
        .get(LOCATION)
        .and_then(|value| value.to_str().ok());
    let (true, Some(location)) = (sent_on, location) else {
        return Err(Error::Status(status.as_u16()));
    };
    let target = from
        .join(location)
        .map_err(|_| Error::Status(status.as_u16()))?;
    if from.scheme() == "https" && target.scheme() != "https" {
        return Err(Error::Blocked(
            "a redirect from https to another scheme".to_owned(),
        ));
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect(from: &str, status: u16, location: Option<&str>) -> Result<Url, Error> {
        let mut answer = axum::http::Response::builder().status(status);
        if let Some(location) = location {
            answer = answer.header(LOCATION, location);
        }
        redirect_target(&from.parse().unwrap(), &answer.body("").unwrap().into())
    }

    #[test]
    fn redirects_are_resolved_against_where_they_came_from() {
        let target = redirect("https://cdn.example/a/b", 302, Some("../c?d=1")).unwrap();
        assert_eq!(target.as_str(), "https://cdn.example/c?d=1");
        let target = redirect("http://127.0.0.1/a", 307, Some("https://cdn.example/x")).unwrap();
        assert_eq!(target.as_str(), "https://cdn.example/x");
    }

    #[test]
    fn a_redirect_never_leads_out_of_https() {
        for location in [
            "http://cdn.example/x",
            "ftp://cdn.example/x",
            "file:///etc/passwd",
        ] {
            let refused = redirect("https://cdn.example/a", 302, Some(location));
            assert!(matches!(refused, Err(Error::Blocked(_))), "{location}");
        }
    }

    #[test]
    fn an_answer_that_is_neither_the_file_nor_a_redirect_is_a_status() {
        for (status, location) in [
            (302, None),
            (404, Some("/x")),
            (206, None),
            (304, Some("/x")),
        ] {
            let refused = redirect("https://cdn.example/a", status, location);
            assert!(
                matches!(refused, Err(Error::Status(s)) if s == status),
                "{status}"
            );
        }
    }

    #[test]
    fn an_address_is_a_url_or_a_data_url() {
        assert!(matches!(
            Source::parse(" https://a.example/x "),
            Ok(Source::Url(_))
        ));
        assert!(matches!(
            Source::parse("Data:image/png;base64,AA=="),
            Ok(Source::DataUrl(_))
        ));
        assert!(matches!(
            Source::parse("/files/x.mp4"),
            Err(Error::Blocked(_))
        ));
    }
}
