//! Placeholders: the names a request template may use, and filters on their values.

use serde_json::{Map, Value};

use super::pointer::scalar_text;

/// Why a template is not accepted or cannot be filled in.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Error {
    #[error("read template `{0}`: in a body a placeholder stands alone in its string")]
    TextAround(String),
    #[error("read template `{0}`: a placeholder is not closed")]
    NotClosed(String),
    #[error("read placeholder `{0}`: no such name")]
    UnknownName(String),
    #[error("read placeholder `{0}`: no such filter")]
    UnknownFilter(String),
    #[error("write the request: `{0}` has no value, and its place cannot be left out")]
    Missing(String),
    #[error("write the request: `{0}` is not of the kind its place needs")]
    WrongType(String),
    #[error("write the request: `{0}` would change the path of the URL")]
    PathEscape(String),
}

/// What the names in a template stand for in one submission.
pub(super) struct Scope<'a> {
    /// Job id.
    pub(super) job: &'a str,
    /// Number of the submission within its job.
    pub(super) submission: u32,
    /// Idempotency key, `<job>-<submission>`.
    pub(super) key: &'a str,
    /// The provider's name of the model.
    pub(super) model: &'a str,
    /// `image`, `video` or `audio`.
    pub(super) kind: &'a str,
    /// The job's parameters.
    pub(super) params: &'a Map<String, Value>,
    /// The provider's id of the work, known only after the submit was answered.
    pub(super) id: Option<&'a str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    Job,
    Submission,
    Key,
    Model,
    Kind,
    Id,
    Params(Vec<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filter {
    /// Milliseconds to seconds.
    Seconds,
    /// Milliseconds to whole seconds, rounded up.
    CeilSeconds,
    /// A number or boolean to a string.
    Text,
    /// In a URL: a slash inside the value stays a slash.
    Path,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    text: String,
    pub(super) name: Name,
    filters: Vec<Filter>,
}

impl Slot {
    /// The value in a body, `None` where the name has none.
    pub(super) fn value(&self, scope: &Scope<'_>) -> Result<Option<Value>, Error> {
        let Some(mut value) = self.name.value(scope) else {
            return Ok(None);
        };
        for filter in &self.filters {
            value = filter
                .apply(value)
                .ok_or_else(|| Error::WrongType(self.text.clone()))?;
        }
        Ok(Some(value))
    }

    /// Appends the value to a URL, percent-encoded. It can neither be left out nor change the path.
    pub(super) fn encode_into(&self, scope: &Scope<'_>, url: &mut String) -> Result<(), Error> {
        let value = self
            .value(scope)?
            .ok_or_else(|| Error::Missing(self.text.clone()))?;
        let text = scalar_text(&value).ok_or_else(|| Error::WrongType(self.text.clone()))?;
        let keep_slash = self.filters.contains(&Filter::Path);
        // The URL parser takes dot segments as steps up, also percent-encoded ones, and an empty
        // value would join its neighbours.
        let harmless = |segment: &str| !matches!(segment, "" | "." | "..");
        let fits = if keep_slash {
            text.split('/').all(harmless)
        } else {
            harmless(text.as_str())
        };
        if !fits {
            return Err(Error::PathEscape(self.text.clone()));
        }
        percent_encode(&text, keep_slash, url);
        Ok(())
    }
}

impl Name {
    fn value(&self, scope: &Scope<'_>) -> Option<Value> {
        match self {
            Self::Job => Some(scope.job.into()),
            Self::Submission => Some(scope.submission.into()),
            Self::Key => Some(scope.key.into()),
            Self::Model => Some(scope.model.into()),
            Self::Kind => Some(scope.kind.into()),
            Self::Id => scope.id.map(Value::from),
            Self::Params(path) => match path.split_first() {
                None => Some(Value::Object(scope.params.clone())),
                Some((first, rest)) => rest
                    .iter()
                    .try_fold(scope.params.get(first)?, |value, key| value.get(key))
                    .cloned(),
            },
        }
    }
}

impl Filter {
    fn apply(self, value: Value) -> Option<Value> {
        match self {
            Self::Seconds => {
                let ms = value.as_u64()?;
                Some(if ms % 1000 == 0 {
                    Value::from(ms / 1000)
                } else {
                    // A parameter in milliseconds is far below 2^53, so this is exact enough.
                    Value::from(ms as f64 / 1000.0)
                })
            }
            Self::CeilSeconds => Some(Value::from(value.as_u64()?.div_ceil(1000))),
            Self::Text => scalar_text(&value).map(Value::String),
            Self::Path => Some(value),
        }
    }
}

/// The placeholder that stands between `{{` and `}}`.
pub(super) fn slot(inside: &str) -> Result<Slot, Error> {
    let mut pieces = inside.split('|').map(str::trim);
    let name = name(pieces.next().unwrap_or_default(), inside)?;
    let filters = pieces
        .map(|word| match word {
            "seconds" => Ok(Filter::Seconds),
            "ceil_seconds" => Ok(Filter::CeilSeconds),
            "text" => Ok(Filter::Text),
            "path" => Ok(Filter::Path),
            _ => Err(Error::UnknownFilter(inside.to_owned())),
        })
        .collect::<Result<_, _>>()?;
    Ok(Slot {
        text: inside.trim().to_owned(),
        name,
        filters,
    })
}

fn name(word: &str, inside: &str) -> Result<Name, Error> {
    let mut keys = word.split('.');
    let root = keys.next().unwrap_or_default();
    let rest: Vec<String> = keys.map(str::to_owned).collect();
    let name = match root {
        "job" => Name::Job,
        "submission" => Name::Submission,
        "key" => Name::Key,
        "model" => Name::Model,
        "kind" => Name::Kind,
        "id" => Name::Id,
        "params" if rest.iter().all(|key| !key.is_empty()) => return Ok(Name::Params(rest)),
        _ => return Err(Error::UnknownName(inside.to_owned())),
    };
    if rest.is_empty() {
        Ok(name)
    } else {
        Err(Error::UnknownName(inside.to_owned()))
    }
}

/// Everything but RFC 3986's unreserved characters becomes `%XX`.
fn percent_encode(text: &str, keep_slash: bool, url: &mut String) {
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~')
            || (keep_slash && byte == b'/');
        if plain {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
}
