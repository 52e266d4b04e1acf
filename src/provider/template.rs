//! Request templates: a body as a value tree, and URLs as text.
//!
//! In a body a string that is exactly `{{name}}` becomes the named value with its JSON type; a name
//! without a value leaves its key out, and inside a list it leaves out the whole element. In a URL
//! names may stand inside the text and are percent-encoded. Filters follow a `|`.

use serde::de::{self, Deserialize, Deserializer};
use serde_json::{Map, Value};

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
enum Name {
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
struct Slot {
    text: String,
    name: Name,
    filters: Vec<Filter>,
}

/// A request body to be filled in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Body(Node);

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Literal(Value),
    Slot(Slot),
    List(Vec<Node>),
    Table(Vec<(String, Node)>),
}

/// A URL to be filled in: absolute, or starting with `/` and appended to the base URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UrlTemplate {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Slot(Slot),
}

impl Body {
    /// The template a value tree stands for.
    pub(super) fn parse(tree: Value) -> Result<Self, Error> {
        node(tree).map(Self)
    }

    /// The body with every name filled in.
    pub(super) fn fill(&self, scope: &Scope<'_>) -> Result<Value, Error> {
        Ok(self.0.fill(scope)?.0.unwrap_or(Value::Null))
    }

    /// Whether the idempotency key stands anywhere in the body.
    pub(super) fn names_key(&self) -> bool {
        self.0.names_key()
    }
}

impl Node {
    /// The value, and whether any name in it had none.
    fn fill(&self, scope: &Scope<'_>) -> Result<(Option<Value>, bool), Error> {
        match self {
            Self::Literal(value) => Ok((Some(value.clone()), false)),
            Self::Slot(slot) => {
                let value = slot.value(scope)?;
                let absent = value.is_none();
                Ok((value, absent))
            }
            Self::List(nodes) => {
                let mut items = Vec::with_capacity(nodes.len());
                for node in nodes {
                    if let (Some(value), false) = node.fill(scope)? {
                        items.push(value);
                    }
                }
                Ok((Some(Value::Array(items)), false))
            }
            Self::Table(nodes) => {
                let mut fields = Map::new();
                let mut any_absent = false;
                for (key, node) in nodes {
                    let (value, absent) = node.fill(scope)?;
                    any_absent |= absent;
                    if let Some(value) = value {
                        fields.insert(key.clone(), value);
                    }
                }
                Ok((Some(Value::Object(fields)), any_absent))
            }
        }
    }

    fn names_key(&self) -> bool {
        match self {
            Self::Literal(_) => false,
            Self::Slot(slot) => slot.name == Name::Key,
            Self::List(nodes) => nodes.iter().any(Self::names_key),
            Self::Table(nodes) => nodes.iter().any(|(_, node)| node.names_key()),
        }
    }
}

impl UrlTemplate {
    /// The template a text stands for.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (inside, behind) = after
                .split_once("}}")
                .ok_or_else(|| Error::NotClosed(text.to_owned()))?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Slot(slot(inside)?));
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self { parts })
    }

    /// The URL's text with every name filled in and percent-encoded.
    pub(super) fn fill(&self, scope: &Scope<'_>) -> Result<String, Error> {
        let mut url = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => url.push_str(text),
                Part::Slot(slot) => slot.encode_into(scope, &mut url)?,
            }
        }
        Ok(url)
    }

    /// Whether the idempotency key stands in the URL.
    pub(super) fn names_key(&self) -> bool {
        self.names(&Name::Key)
    }

    /// Whether the provider's id stands in the URL.
    pub(super) fn names_id(&self) -> bool {
        self.names(&Name::Id)
    }

    fn names(&self, name: &Name) -> bool {
        self.parts
            .iter()
            .any(|part| matches!(part, Part::Slot(slot) if slot.name == *name))
    }
}

impl Slot {
    fn value(&self, scope: &Scope<'_>) -> Result<Option<Value>, Error> {
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

    fn encode_into(&self, scope: &Scope<'_>, url: &mut String) -> Result<(), Error> {
        let value = self
            .value(scope)?
            .ok_or_else(|| Error::Missing(self.text.clone()))?;
        let text = super::pointer::scalar_text(&value)
            .ok_or_else(|| Error::WrongType(self.text.clone()))?;
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
            Self::Text => super::pointer::scalar_text(&value).map(Value::String),
            Self::Path => Some(value),
        }
    }
}

fn node(tree: Value) -> Result<Node, Error> {
    Ok(match tree {
        Value::String(text) if text.contains("{{") => {
            let inside = text
                .strip_prefix("{{")
                .and_then(|rest| rest.strip_suffix("}}"))
                .filter(|inside| !inside.contains("{{") && !inside.contains("}}"))
                .ok_or_else(|| Error::TextAround(text.clone()))?;
            Node::Slot(slot(inside)?)
        }
        Value::Array(items) => Node::List(items.into_iter().map(node).collect::<Result<_, _>>()?),
        Value::Object(fields) => Node::Table(
            fields
                .into_iter()
                .map(|(key, value)| Ok((key, node(value)?)))
                .collect::<Result<_, Error>>()?,
        ),
        literal @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            Node::Literal(literal)
        }
    })
}

fn slot(inside: &str) -> Result<Slot, Error> {
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

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(Value::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for UrlTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn params() -> Map<String, Value> {
        let tree = json!({
            "prompt": "a {{model}} & b", "duration_ms": 5500, "count": 2, "flag": true,
            "none": null, "size": {"w": 640}, "list": [1, "x"], "up": "..", "slashed": "a/b c",
            "climb": "a/../b", "empty": ""
        });
        tree.as_object().unwrap().clone()
    }

    fn scope(params: &Map<String, Value>) -> Scope<'_> {
        Scope {
            job: "j00-1",
            submission: 3,
            key: "j00-1-3",
            model: "fal-ai/flux",
            kind: "image",
            params,
            id: Some("g 1"),
        }
    }

    fn body(tree: Value) -> Result<Value, Error> {
        Body::parse(tree)?.fill(&scope(&params()))
    }

    fn url(text: &str) -> Result<String, Error> {
        UrlTemplate::parse(text)?.fill(&scope(&params()))
    }

    #[test]
    fn a_placeholder_keeps_the_type_of_its_value() {
        let table = [
            (json!("{{params.duration_ms}}"), json!(5500)),
            (json!("{{params.flag}}"), json!(true)),
            (json!("{{params.size}}"), json!({"w": 640})),
            (json!("{{ params.size.w }}"), json!(640)),
            (json!("{{params.list}}"), json!([1, "x"])),
            (json!("{{submission}}"), json!(3)),
            (json!("{{key}}"), json!("j00-1-3")),
            (json!("{{id}}"), json!("g 1")),
            (json!("plain"), json!("plain")),
            (json!({"n": 1.5, "z": null}), json!({"n": 1.5, "z": null})),
            (json!({"n": "{{params.none}}"}), json!({"n": null})),
        ];
        for (tree, want) in table {
            assert_eq!(body(tree.clone()), Ok(want), "{tree}");
        }
    }

    #[test]
    fn values_are_never_read_as_templates() {
        assert_eq!(
            body(json!("{{params.prompt}}")),
            Ok(json!("a {{model}} & b"))
        );
    }

    #[test]
    fn a_name_without_value_leaves_out_its_key_or_its_list_element() {
        let tree = json!({
            "a": "{{params.missing}}", "b": {"c": "{{params.size.h}}", "d": 1},
            "content": [
                {"type": "text", "text": "{{params.prompt}}"},
                {"type": "image", "image": {"url": "{{params.image_url}}"}},
                "{{params.missing}}"
            ]
        });
        let want = json!({
            "b": {"d": 1}, "content": [{"type": "text", "text": "a {{model}} & b"}]
        });
        assert_eq!(body(tree), Ok(want));
    }

    #[test]
    fn filters_turn_milliseconds_into_what_a_provider_wants() {
        let table = [
            (json!("{{params.duration_ms|seconds}}"), json!(5.5)),
            (json!("{{params.duration_ms|ceil_seconds}}"), json!(6)),
            (
                json!("{{params.duration_ms | ceil_seconds | text}}"),
                json!("6"),
            ),
            (json!("{{params.count|text}}"), json!("2")),
        ];
        for (tree, want) in table {
            assert_eq!(body(tree.clone()), Ok(want), "{tree}");
        }
        let wrong = body(json!("{{params.prompt|seconds}}"));
        assert_eq!(
            wrong,
            Err(Error::WrongType("params.prompt|seconds".to_owned()))
        );
    }

    #[test]
    fn urls_are_percent_encoded_and_keep_slashes_only_when_told() {
        let table = [
            ("/v1/{{key}}", "/v1/j00-1-3"),
            ("/v1/{{model}}/x", "/v1/fal-ai%2Fflux/x"),
            (
                "/{{model|path}}?p={{params.prompt}}",
                "/fal-ai/flux?p=a%20%7B%7Bmodel%7D%7D%20%26%20b",
            ),
            ("/t/{{id}}", "/t/g%201"),
            ("/{{params.slashed|path}}", "/a/b%20c"),
        ];
        for (text, want) in table {
            assert_eq!(url(text).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn a_value_cannot_climb_out_of_its_place_in_the_url() {
        for text in [
            "/{{params.up}}",
            "/{{params.climb|path}}",
            "/{{params.empty}}/x",
        ] {
            assert!(matches!(url(text), Err(Error::PathEscape(_))), "{text}");
        }
        assert_eq!(url("/{{params.climb}}").as_deref(), Ok("/a%2F..%2Fb"));
        assert_eq!(
            url("/{{params.none}}"),
            Err(Error::WrongType("params.none".to_owned()))
        );
        assert_eq!(
            url("/{{params.gone}}"),
            Err(Error::Missing("params.gone".to_owned()))
        );
    }

    #[test]
    fn faulty_templates_are_refused_when_read() {
        let text = |t: &str| t.to_owned();
        let table = [
            (json!("x {{key}}"), Error::TextAround(text("x {{key}}"))),
            (
                json!("{{key}}{{job}}"),
                Error::TextAround(text("{{key}}{{job}}")),
            ),
            (json!("{{secret}}"), Error::UnknownName(text("secret"))),
            (json!("{{key.x}}"), Error::UnknownName(text("key.x"))),
            (json!("{{params.}}"), Error::UnknownName(text("params."))),
            (
                json!("{{key|upper}}"),
                Error::UnknownFilter(text("key|upper")),
            ),
        ];
        for (tree, want) in table {
            assert_eq!(Body::parse(tree), Err(want));
        }
        assert_eq!(
            UrlTemplate::parse("/{{key"),
            Err(Error::NotClosed(text("/{{key")))
        );
    }
}
