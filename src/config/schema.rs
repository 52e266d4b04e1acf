//! The JSON Schemas of the three kinds of files, for editors and for whoever writes them by a program.
//!
//! Names and types come from the structs that read the files. For the settings, the sentences and
//! defaults come from the built-in file and the limits from the checks, so that each stands once.

use serde_json::{Map, Value, json};

use super::DEFAULT_SETTINGS;
use super::relations::bounds;
use super::settings::Settings;
use crate::domain::problem::{Lines, join};
use crate::{domain::catalogue, provider};

/// Which file a schema is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// `meterline.toml`
    Settings,
    /// `catalogue.toml`
    Catalogue,
    /// `providers/NAME.toml`
    Provider,
}

/// The JSON Schema (draft 2020-12) of one kind of file.
pub fn schema(kind: FileKind) -> Value {
    match kind {
        FileKind::Settings => settings(),
        FileKind::Catalogue => titled("The catalogue of Meterline", catalogue::schema()),
        FileKind::Provider => provider::schema(),
    }
}

fn titled(title: &str, mut schema: Value) -> Value {
    schema["title"] = json!(title);
    schema
}

/// One's own file holds only what differs: every key may be missing, but what it has must fit.
fn settings() -> Value {
    let generator = schemars::generate::SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator();
    let mut schema = generator.into_root_schema_for::<Settings>().to_value();
    let defaults: Value = toml::from_str(DEFAULT_SETTINGS).unwrap_or_default();
    let sentences = Sentences::of(DEFAULT_SETTINGS);
    document(&mut schema, "", &defaults, &sentences);
    if let Ok(built_in) = Settings::embedded() {
        for bound in bounds(&built_in.settings) {
            let place = format!("/properties/{}", bound.key.replace('.', "/properties/"));
            if let Some(number) = schema.pointer_mut(&place) {
                number["minimum"] = json!(bound.min);
                number["maximum"] = json!(bound.max);
            }
        }
    }
    titled("The settings of Meterline", schema)
}

/// Adds to each key its sentence and its default, and requires none of them.
fn document(schema: &mut Value, path: &str, default: &Value, sentences: &Sentences<'_>) {
    if let Some(sentence) = sentences.of_key(path) {
        schema["description"] = json!(sentence);
    }
    let Some(members) = schema.as_object_mut() else {
        return;
    };
    if let Some(Value::Object(properties)) = members.get_mut("properties") {
        for (key, inner) in properties {
            document(inner, &join(path, key), &default[key], sentences);
        }
        members.remove("required");
        return;
    }
    if let (Some(entry), Value::Object(named)) = (members.remove("additionalProperties"), default) {
        // Names that are built in may be given in part, others must be whole.
        let properties: Map<String, Value> = named
            .iter()
            .map(|(name, default)| {
                let mut entry = entry.clone();
                document(&mut entry, &join(path, name), default, sentences);
                (name.clone(), entry)
            })
            .collect();
        members.insert("properties".to_owned(), Value::Object(properties));
        members.insert("additionalProperties".to_owned(), entry);
    } else if !default.is_null() {
        members.insert("default".to_owned(), default.clone());
    }
}

/// The comment above each key of a text.
struct Sentences<'a> {
    lines: Vec<&'a str>,
    places: Lines,
}

impl<'a> Sentences<'a> {
    fn of(text: &'a str) -> Self {
        let places = Lines::of_text(text).unwrap_or_default();
        let lines = text.lines().collect();
        Self { lines, places }
    }

    fn of_key(&self, key: &str) -> Option<String> {
        if !self.places.stands(key) {
            return None;
        }
        let above = self.places.of(key)?.line.checked_sub(1)?;
        let comment = |line: &&&str| line.starts_with("# ");
        let mut words: Vec<&str> = self.lines[..above]
            .iter()
            .rev()
            .take_while(comment)
            .filter_map(|line| line.strip_prefix("# "))
            .collect();
        words.reverse();
        (!words.is_empty()).then(|| words.join(" "))
    }
}
