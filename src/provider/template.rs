//! Request templates: a body as a value tree, and URLs as text.
//!
//! In a body a string that is exactly `{{name}}` becomes the named value with its JSON type; a name
//! without a value leaves its key out, and inside a list it leaves out the whole element. In a URL
//! names may stand inside the text and are percent-encoded. Filters follow a `|`.

use serde::de::{self, Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::placeholder::{Error, Name, Scope, Slot, slot};

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

    /// Whether nothing but the provider's id stands in the URL.
    pub(super) fn names_only_id(&self) -> bool {
        self.parts.iter().all(|part| match part {
            Part::Text(_) => true,
            Part::Slot(slot) => slot.name == Name::Id,
        })
    }

    fn names(&self, name: &Name) -> bool {
        self.parts
            .iter()
            .any(|part| matches!(part, Part::Slot(slot) if slot.name == *name))
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
