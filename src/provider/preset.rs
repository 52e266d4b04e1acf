//! What a provider file may say. Unknown keys are refused, and so are files that contradict
//! themselves.

use std::collections::BTreeMap;

use ipnet::IpNet;
use reqwest::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::auth::Auth;
use super::classify::Errors;
use super::cost::CostMap;
use super::pointer::Path;
use super::predicate::Predicate;
use super::template::{Body, UrlTemplate};
use super::verdict::AnswerMap;

/// A provider file after inheritance and overrides.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Preset {
    /// Where the provider is; URLs below that start with `/` follow it.
    pub(super) base_url: Url,
    /// Hosts besides the base URL's that may receive our key: `host`, `host:port`, `*.domain.tld`.
    #[serde(default)]
    pub(super) allow_hosts: Vec<String>,
    /// Private networks that outputs may be fetched from, such as `127.0.0.0/8`.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) allow_cidr: Vec<IpNet>,
    /// How another worker goes on with a submission.
    pub(super) attach: Attach,
    /// Until a connection stands, TLS included, ms.
    #[serde(default = "default_connect_timeout_ms")]
    pub(super) connect_timeout_ms: u64,
    /// One request from dialling to the answer's last byte, ms.
    #[serde(default = "default_request_timeout_ms")]
    pub(super) request_timeout_ms: u64,
    /// No answer is read beyond this, bytes.
    #[serde(default = "default_response_max_bytes")]
    pub(super) response_max_bytes: u64,
    /// Sent with every request.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// How our key is shown.
    pub(super) auth: Auth,
    /// The request that starts the work.
    pub(super) submit: Submit,
    /// How any answer is read.
    pub(super) answer: AnswerMap,
    /// What errors mean.
    #[serde(default)]
    pub(super) errors: Errors,
    /// How the state is asked for.
    #[serde(default)]
    pub(super) poll: Option<Poll>,
    /// How the result of finished work is got.
    #[serde(default)]
    pub(super) result: Option<ResultStep>,
    /// How a stop is asked for.
    #[serde(default)]
    pub(super) cancel: Option<Cancel>,
    /// How it is asked whether the provider is up.
    #[serde(default)]
    pub(super) health: Option<Health>,
    /// What its work costs us.
    #[serde(default)]
    pub(super) cost: Option<CostMap>,
}

/// How a worker goes on with a submission that another worker began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Attach {
    /// Poll with the stored handle.
    Poll,
    /// Submit once more under the same idempotency key: the provider joins it to the first.
    ResubmitSameId,
    /// Not at all: without an answer the outcome stays unknown.
    None,
}

/// An HTTP method a provider may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl From<Verb> for Method {
    fn from(verb: Verb) -> Self {
        match verb {
            Verb::Get => Self::GET,
            Verb::Post => Self::POST,
            Verb::Put => Self::PUT,
            Verb::Patch => Self::PATCH,
            Verb::Delete => Self::DELETE,
        }
    }
}

/// The request that starts the work, and where its answer says how to follow it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Submit {
    pub(super) method: Verb,
    pub(super) url: UrlTemplate,
    #[serde(default)]
    pub(super) body: Option<Body>,
    /// This request, where it differs from `request_timeout_ms`, ms.
    #[serde(default)]
    pub(super) timeout_ms: Option<u64>,
    /// Where the idempotency key goes.
    pub(super) idempotency: Idempotency,
    /// Where the first answer says the work's id.
    #[serde(default)]
    pub(super) id: Option<Path>,
    /// Where it says the poll URL.
    #[serde(default)]
    pub(super) poll_url: Option<Path>,
    /// Where it says the result's URL.
    #[serde(default)]
    pub(super) result_url: Option<Path>,
    /// Where it says the cancel URL.
    #[serde(default)]
    pub(super) cancel_url: Option<Path>,
}

/// Where the idempotency key goes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Idempotency {
    /// The provider takes none: a submit without an answer is never repeated.
    None {},
    /// Into this header.
    Header { name: String },
    /// Into the URL, by `{{key}}` in its template.
    Url {},
    /// Into the body, by `{{key}}` in its template, where the provider promises uniqueness.
    Body {},
}

/// How to ask for the state of the work.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Poll {
    pub(super) method: Verb,
    /// Used where the submit's answer has no poll URL.
    #[serde(default)]
    pub(super) url: Option<UrlTemplate>,
    #[serde(default)]
    pub(super) body: Option<Body>,
    pub(super) interval: Interval,
    #[serde(default)]
    pub(super) http: Vec<HttpRule>,
}

/// Time between polls, in milliseconds.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Interval {
    pub(super) first_ms: u64,
    pub(super) min_ms: u64,
    pub(super) max_ms: u64,
    pub(super) factor: f64,
}

/// What an HTTP status means when polling; the first rule that fits counts.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpRule {
    pub(super) status: u16,
    /// The rule fits only when the submission is at least this old.
    #[serde(default)]
    pub(super) older_than_ms: u64,
    pub(super) means: HttpMeaning,
}

/// See [`HttpRule`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum HttpMeaning {
    /// Not finished, whatever the body says.
    Running,
    /// The body decides, as with 200.
    ByBody,
    /// The provider forgot the work.
    Lost,
    /// Nothing is known: ask again.
    Retry,
    /// An error whose code decides: a verdict where a rule in `errors.classify` fits.
    Error,
}

/// How to get the result of finished work, where the answer to a poll does not hold it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResultStep {
    pub(super) method: Verb,
    /// Used where the submit's answer has no result URL.
    #[serde(default)]
    pub(super) url: Option<UrlTemplate>,
    /// Where the last poll's answer holds the id of the result, if that is not the work's own id.
    /// It is then the only name that `url` can use.
    #[serde(default)]
    pub(super) id: Option<Path>,
    #[serde(default)]
    pub(super) timeout_ms: Option<u64>,
    #[serde(default)]
    pub(super) http: Vec<HttpRule>,
}

/// How to ask for a stop.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cancel {
    pub(super) method: Verb,
    /// Used where the submit's answer has no cancel URL.
    #[serde(default)]
    pub(super) url: Option<UrlTemplate>,
    /// The provider's own status words in which a cancel is possible; empty: in all.
    #[serde(default)]
    pub(super) only_when: Vec<String>,
    /// The same request deletes the result of finished work, so the state is looked up first.
    #[serde(default)]
    pub(super) destructive_after_end: bool,
}

/// How to ask whether the provider is up, by a GET that starts nothing.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Health {
    /// A path below the base URL.
    pub(super) url: String,
    /// Must hold for the answer where the provider says more than its HTTP status does.
    #[serde(default)]
    pub(super) ready: Option<Predicate>,
}

fn default_connect_timeout_ms() -> u64 {
    5_000
}

fn default_request_timeout_ms() -> u64 {
    30_000
}

fn default_response_max_bytes() -> u64 {
    1 << 20
}

impl Preset {
    /// Everything in the file that contradicts something else in it.
    pub(super) fn problems(&self) -> Vec<String> {
        let checks = [
            (
                !self.base_url_is_plain(),
                "base_url must be http or https, without user or query",
            ),
            (
                self.connect_timeout_ms == 0,
                "connect_timeout_ms must be above 0",
            ),
            (
                self.connect_timeout_ms >= self.request_timeout_ms,
                "request_timeout_ms must be above connect_timeout_ms",
            ),
            (
                self.submit
                    .timeout_ms
                    .is_some_and(|ms| ms <= self.connect_timeout_ms),
                "submit.timeout_ms must be above connect_timeout_ms",
            ),
            (
                self.attach == Attach::Poll && self.poll.is_none(),
                "attach = \"poll\" needs [poll]",
            ),
            (
                self.attach == Attach::ResubmitSameId && !self.takes_key(),
                "attach = \"resubmit_same_id\" needs an idempotency key",
            ),
            (
                self.submit.url.names_id(),
                "submit.url cannot hold the id, which comes later",
            ),
            (
                !self.key_has_its_place(),
                "submit.idempotency needs {{key}} where it says",
            ),
            (
                self.health.is_some() && self.health_url().is_none(),
                "health.url must be a path that starts with /, without placeholders",
            ),
        ];
        let mut problems: Vec<String> = checks
            .iter()
            .filter(|(wrong, _)| *wrong)
            .map(|(_, text)| (*text).to_owned())
            .collect();
        problems.extend(
            self.answer
                .problems(self.poll.is_some(), self.result.is_some()),
        );
        problems.extend(
            self.poll
                .iter()
                .flat_map(|poll| poll.problems(&self.submit)),
        );
        problems.extend(self.result.iter().flat_map(|result| result.problems(self)));
        problems.extend(self.cost.iter().flat_map(CostMap::problems));
        problems.extend(self.cancel.iter().flat_map(|cancel| cancel.problems(self)));
        problems
    }

    /// Whether a repeated submit under the same key is joined to the first.
    pub(super) fn takes_key(&self) -> bool {
        self.submit.idempotency != Idempotency::None {}
    }

    /// Where the provider says whether it is up.
    pub(super) fn health_url(&self) -> Option<Url> {
        let path = &self.health.as_ref()?.url;
        let plain = path.starts_with('/') && !path.contains("{{");
        let base = self.base_url.as_str().trim_end_matches('/');
        plain
            .then(|| Url::parse(&format!("{base}{path}")).ok())
            .flatten()
    }

    fn base_url_is_plain(&self) -> bool {
        let url = &self.base_url;
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    }

    fn key_has_its_place(&self) -> bool {
        match self.submit.idempotency {
            Idempotency::None {} | Idempotency::Header { .. } => true,
            Idempotency::Url {} => self.submit.url.names_key(),
            Idempotency::Body {} => self.submit.body.as_ref().is_some_and(Body::names_key),
        }
    }
}

impl Poll {
    fn problems(&self, submit: &Submit) -> Vec<String> {
        let Interval {
            first_ms,
            min_ms,
            max_ms,
            factor,
        } = self.interval;
        let mut problems =
            url_problems("poll", self.url.as_ref(), submit.poll_url.as_ref(), submit);
        if first_ms == 0 || min_ms == 0 || max_ms < min_ms || !(1.0..=10.0).contains(&factor) {
            problems.push(
                "poll.interval needs first_ms > 0, 0 < min_ms <= max_ms and factor from 1 to 10"
                    .to_owned(),
            );
        }
        problems
    }
}

impl ResultStep {
    fn problems(&self, preset: &Preset) -> Vec<String> {
        let submit = &preset.submit;
        let own_id = self.id.is_some();
        let mut problems = match &self.url {
            Some(url) if own_id && !url.names_only_id() => {
                vec!["result.url can use no name but id where result.id is set".to_owned()]
            }
            Some(_) if own_id => Vec::new(),
            None if own_id => vec!["result.id needs result.url".to_owned()],
            url => url_problems("result", url.as_ref(), submit.result_url.as_ref(), submit),
        };
        if preset.poll.is_none() {
            problems.push("[result] needs [poll]".to_owned());
        }
        problems
    }
}

impl Cancel {
    fn problems(&self, preset: &Preset) -> Vec<String> {
        let submit = &preset.submit;
        let mut problems = url_problems(
            "cancel",
            self.url.as_ref(),
            submit.cancel_url.as_ref(),
            submit,
        );
        if (self.destructive_after_end || !self.only_when.is_empty()) && preset.poll.is_none() {
            problems.push("cancel can look at the state only where there is [poll]".to_owned());
        }
        problems
    }
}

fn url_problems(
    section: &str,
    template: Option<&UrlTemplate>,
    pointer: Option<&Path>,
    submit: &Submit,
) -> Vec<String> {
    let mut problems = Vec::new();
    if template.is_none() && pointer.is_none() {
        problems.push(format!(
            "[{section}] needs {section}.url or submit.{section}_url"
        ));
    }
    if template.is_some_and(UrlTemplate::names_id) && submit.id.is_none() {
        problems.push(format!(
            "{section}.url holds the id, so submit.id must say where it is"
        ));
    }
    problems
}
