//! Everything that is wrong with provider files, at once, with its place.
//!
//! [`super::Providers::load`] stops at the first fault; whoever mends files wants to see them all.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use toml::Table;

use super::layers;
use super::preset::Preset;
use super::registry::client_faults;
use super::schema::whole;
use crate::domain::catalogue::is_name;
use crate::domain::problem::{Lines, Problem, join, read_table, take_out, unknown_key};

/// The problems of `files` (name and TOML text) by provider; `base_urls` as in
/// [`super::Providers::load`]. A file that extends a faulty one is only checked for its own keys.
pub fn problems(
    files: &[(String, String)],
    base_urls: &BTreeMap<String, String>,
) -> Vec<(String, Problem)> {
    let mut found: Vec<(String, Problem)> = Vec::new();
    let mut tables = BTreeMap::new();
    let mut places = BTreeMap::new();
    for (name, text) in files {
        if !is_name(name) {
            let message =
                "the name of a provider's file must be of small letters, digits and inner dashes";
            found.push((name.clone(), Problem::new("", message)));
            continue;
        }
        match Lines::of_text(text)
            .and_then(|lines| Ok((lines, read_table::<Table>(parsed(text)?)?)))
        {
            Ok((lines, table)) => {
                tables.insert(name.clone(), table);
                places.insert(name.clone(), lines);
            }
            Err(problem) => found.push((name.clone(), problem)),
        }
    }
    let sound = |name: &String| faults(&tables, base_urls, name).is_empty();
    if found.is_empty() && tables.keys().all(sound) {
        return found;
    }
    // Only now, because making the schema takes longer than reading a few files.
    let schema = whole();
    for (name, table) in &mut tables {
        let mut own = table.clone();
        own.remove("extends");
        own.remove("drop");
        let value = serde_json::to_value(&own).unwrap_or_default();
        for problem in unknown_in(&schema, &schema, &value, "") {
            take_out(table, &problem.key);
            found.push((name.clone(), problem));
        }
    }
    let mut faulty: BTreeSet<String> = found.iter().map(|(name, _)| name.clone()).collect();
    for name in in_order(&tables) {
        let base = base_of(&tables[&name]);
        if base.is_some_and(|base| faulty.contains(base)) {
            faulty.insert(name);
            continue;
        }
        let wrong = faults(&tables, base_urls, &name);
        if !wrong.is_empty() {
            faulty.insert(name.clone());
        }
        found.extend(wrong.into_iter().map(|problem| (name.clone(), problem)));
    }
    let placed = |(name, problem): (String, Problem)| {
        let lines = places.get(&name);
        let problem = lines.map_or(problem.clone(), |lines| problem.on_line(lines));
        (name, problem)
    };
    found.into_iter().map(placed).collect()
}

fn parsed(text: &str) -> Result<Table, Problem> {
    text.parse()
        .map_err(|error: toml::de::Error| Problem::new("", error.message().to_owned()))
}

fn base_of(table: &Table) -> Option<&str> {
    table.get("extends").and_then(toml::Value::as_str)
}

/// The names, each behind the one that it extends.
fn in_order(tables: &BTreeMap<String, Table>) -> Vec<String> {
    let depth = |name: &String| {
        let mut depth = 0;
        let mut at = name.as_str();
        while let Some(base) = tables.get(at).and_then(base_of) {
            depth += 1;
            if depth > tables.len() {
                break;
            }
            at = base;
        }
        depth
    };
    let mut names: Vec<String> = tables.keys().cloned().collect();
    names.sort_by_key(depth);
    names
}

/// What is wrong with one file and what it extends, unknown keys left out.
fn faults(
    tables: &BTreeMap<String, Table>,
    base_urls: &BTreeMap<String, String>,
    name: &str,
) -> Vec<Problem> {
    let mut table = match layers::merged(tables, base_urls, name) {
        Ok(table) => table,
        Err(error) => return vec![layer_problem(&error)],
    };
    let mut found: Vec<Problem> = Vec::new();
    loop {
        match read_table::<Preset>(table.clone()) {
            Ok(preset) if found.is_empty() => return contradictions(&preset),
            Ok(_) => return found,
            // What was taken out below is missing now: that is not the file's fault.
            Err(problem)
                if found
                    .iter()
                    .any(|known| is_around(&problem.key, &known.key)) =>
            {
                if !take_out(&mut table, &problem.key) {
                    return found;
                }
            }
            Err(problem) => {
                let taken = take_out(&mut table, &problem.key);
                found.push(problem);
                if !taken {
                    return found;
                }
            }
        }
    }
}

fn is_around(outer: &str, inner: &str) -> bool {
    outer.is_empty()
        || inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.starts_with(['.', '[']))
}

fn layer_problem(error: &layers::Error) -> Problem {
    let key = match error {
        layers::Error::UnknownBase(_) | layers::Error::Circle(_) => "extends",
        layers::Error::WrongType(key, _) => key,
        layers::Error::NothingToDrop(_) => "drop",
    };
    Problem::new(key, format!("failed to {error}"))
}

/// A contradiction begins with the key that it is about, or with its section in brackets.
fn contradictions(preset: &Preset) -> Vec<Problem> {
    let texts = preset.problems().into_iter().chain(client_faults(preset));
    let problem = |text: String| {
        let first = text.split([' ', ':']).next().unwrap_or_default();
        let key = first.trim_matches(['[', ']']).to_owned();
        match text.strip_prefix(&format!("{key} ")) {
            Some(rest) if !rest.starts_with('=') => Problem::new(key, rest),
            Some(_) | None => Problem::new("", text),
        }
    };
    texts.map(problem).collect()
}

/// Keys that the schema does not have, with the nearest ones it has.
fn unknown_in(root: &Value, schema: &Value, value: &Value, path: &str) -> Vec<Problem> {
    let schema = resolved(root, schema, value);
    match value {
        Value::Object(members) => {
            let properties = schema["properties"].as_object();
            let closed = schema["additionalProperties"] == false;
            let known = || {
                properties
                    .into_iter()
                    .flat_map(|p| p.keys().map(String::as_str))
            };
            let mut found = Vec::new();
            for (key, inner) in members {
                match properties.and_then(|properties| properties.get(key)) {
                    Some(schema) => found.extend(unknown_in(root, schema, inner, &join(path, key))),
                    None if closed => {
                        found.push(unknown_key(path, key, known().collect::<Vec<_>>()));
                    }
                    None => {}
                }
            }
            found
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .flat_map(|(n, item)| unknown_in(root, &schema["items"], item, &format!("{path}[{n}]")))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// The schema that a reference names, and of several kinds the one that the value says it is.
fn resolved<'s>(root: &'s Value, schema: &'s Value, value: &Value) -> &'s Value {
    if let Some(place) = schema["$ref"].as_str() {
        let inner = root.pointer(place.trim_start_matches('#'));
        return inner.map_or(schema, |inner| resolved(root, inner, value));
    }
    let kinds = schema["anyOf"].as_array().or(schema["oneOf"].as_array());
    let kinds: Vec<&Value> = kinds.into_iter().flatten().collect();
    let fits = |kind: &&&Value| {
        let tag = &resolved(root, kind, value)["properties"]["kind"]["const"];
        !tag.is_null() && *tag == value["kind"]
    };
    match kinds[..] {
        [] => schema,
        // An optional one.
        [one, null] if null["type"] == "null" => resolved(root, one, value),
        _ => kinds.iter().find(fits).copied().unwrap_or(&Value::Null),
    }
}
