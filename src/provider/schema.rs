//! The JSON Schema of a provider file, for editors and for whoever writes one by a program.
//!
//! A file that extends another one states only what differs, so nothing is required of it but in
//! the tables of lists, which are never merged.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::pointer::Path;
use super::preset::Preset;
use super::template::{Body, UrlTemplate};

/// The schema of one file in `providers/`.
pub fn schema() -> Value {
    let mut whole = whole();
    let mut variant = whole.clone();
    let definitions = whole["$defs"].take();
    loosen(&mut variant);
    let mut variants = variant["$defs"].take();
    let mut defs = serde_json::Map::new();
    for (prefix, found) in [("", definitions), ("part-", variants.take())] {
        let Value::Object(found) = found else {
            continue;
        };
        defs.extend(found.into_iter().map(|(n, v)| (format!("{prefix}{n}"), v)));
    }
    for schema in [&mut whole, &mut variant] {
        for key in ["$schema", "$defs", "title"] {
            schema.as_object_mut().and_then(|schema| schema.remove(key));
        }
    }
    variant["properties"]["extends"] = json!({
        "type": "string",
        "description": "The provider whose file this one is laid over",
    });
    variant["properties"]["drop"] = json!({
        "type": "array",
        "items": {"type": "string"},
        "description": "Dotted keys of that file that are not wanted",
    });
    variant["required"] = json!(["extends"]);
    defs.insert("whole".to_owned(), whole);
    defs.insert("variant".to_owned(), variant);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A provider of Meterline",
        "type": "object",
        "if": {"required": ["extends"]},
        "then": {"$ref": "#/$defs/variant"},
        "else": {"$ref": "#/$defs/whole"},
        "$defs": defs,
    })
}

/// The schema of a file that extends no other.
pub(super) fn whole() -> Value {
    schemars::schema_for!(Preset).to_value()
}

/// Takes away what a merged table need not say: required keys, defaults, and that only one of the
/// kinds may fit. What stands in a list is left as it is, because lists replace lists.
fn loosen(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.remove("required");
            members.remove("default");
            if let Some(kinds) = members.remove("oneOf") {
                members.insert("anyOf".to_owned(), kinds);
            }
            for (key, inner) in members {
                match (key.as_str(), inner) {
                    ("items", _) => {}
                    ("$ref", Value::String(place)) => {
                        *place = place.replace("#/$defs/", "#/$defs/part-");
                    }
                    // Names that are keys of the file, not of the schema.
                    ("properties" | "$defs", Value::Object(named)) => {
                        named.values_mut().for_each(loosen);
                    }
                    (_, inner) => loosen(inner),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(loosen),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

impl JsonSchema for Path {
    fn schema_name() -> Cow<'static, str> {
        "Pointer".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let pointer = json!({"type": "string", "pattern": "^(/([^~]|~[01])*)?$"});
        json_schema!({
            "description": "A JSON pointer, `*` for every element, or a list of alternatives",
            "anyOf": [pointer, {"type": "array", "items": pointer, "minItems": 1}],
        })
    }
}

impl JsonSchema for UrlTemplate {
    fn schema_name() -> Cow<'static, str> {
        "UrlTemplate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An absolute URL, or one that starts with `/` and follows the base URL; \
                            `{{name}}` stands for a value",
            "type": "string",
        })
    }
}

impl JsonSchema for Body {
    fn schema_name() -> Cow<'static, str> {
        "Body".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Any tree; a string that is exactly `{{name}}` becomes that value",
        })
    }
}
