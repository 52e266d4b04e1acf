//! The JSON Schemas of the files: what is built in fits them, what is wrong fits neither them nor the reader.

use std::path::Path;

use jsonschema::Validator;
use meterline::config::{DEFAULT_CATALOGUE, DEFAULT_SETTINGS, FileKind, Settings, schema};
use serde_json::Value;

fn validator(kind: FileKind) -> Validator {
    let schema = schema(kind);
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    jsonschema::draft202012::meta::validate(&schema).expect("a schema by the book");
    jsonschema::validator_for(&schema).expect("a schema")
}

fn json(text: &str) -> Value {
    toml::from_str(text).expect("TOML")
}

fn errors(validator: &Validator, text: &str) -> Vec<String> {
    let value = json(text);
    let errors = validator.iter_errors(&value);
    errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// Every TOML file below a folder of the project.
fn files(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(folder).expect("a folder of the project");
    let mut found: Vec<(String, String)> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a text");
            (path.display().to_string(), text)
        })
        .collect();
    found.sort();
    found
}

#[test]
fn the_files_that_are_built_in_fit_their_schemas() {
    let none: Vec<String> = Vec::new();
    let settings = validator(FileKind::Settings);
    assert_eq!(errors(&settings, DEFAULT_SETTINGS), none);
    for (name, text) in files("config/dev") {
        assert_eq!(errors(&settings, &text), none, "{name}");
    }
    let catalogue = validator(FileKind::Catalogue);
    assert_eq!(errors(&catalogue, DEFAULT_CATALOGUE), none);
    let provider = validator(FileKind::Provider);
    let providers = files("config/providers");
    assert!(providers.len() >= 4);
    for (name, text) in providers {
        assert_eq!(errors(&provider, &text), none, "{name}");
    }
}

#[test]
fn what_the_schema_of_the_settings_refuses_the_reader_refuses_too() {
    let validator = validator(FileKind::Settings);
    for text in [
        "[worker]\nlease = 1\n",
        "[worker]\nlease_ms = \"15 s\"\n",
        "[worker]\nlease_ms = 0\n",
        "[stor]\n",
        "[store]\npartitions = 257\n",
        "[retry]\nfactor = 1.5\n",
        "[retry]\ntries = -1\n",
        "[queues.music]\ndeadline_ms = 1\n",
        "[queues.image]\ndeadlin_ms = 1\n",
        "[worker.slots]\nimage = \"many\"\n",
        "[providers.sim]\nurl = \"http://x.test\"\n",
        "[dev]\nallow_sim = 1\n",
    ] {
        assert!(!errors(&validator, text).is_empty(), "the schema: {text}");
        refused_by_the_reader("meterline.toml", text);
    }
}

#[test]
fn what_the_other_schemas_refuse_the_reader_refuses_too() {
    let routed = "[[routes]]\nname = \"sim\"\nprovider = \"sim\"\n";
    let tool = "[tools.x]\ntitle = \"x\"\nqueue = \"image\"\nkind = \"image\"\nrequired = []\n";
    let catalogue = validator(FileKind::Catalogue);
    let rate = "rate = { kind = \"flat\", credits = 3 }\n";
    assert!(errors(&catalogue, &format!("{routed}{tool}{rate}")).is_empty());
    for text in [
        format!("{routed}{tool}"),
        format!("{routed}{tool}rate = {{ kind = \"flat\", credits = 0.5 }}\n"),
        format!("{routed}{tool}rate = {{ kind = \"flat\", credit = 3 }}\n"),
        format!("{routed}{tool}{rate}counts = 2\n"),
        format!("{}{tool}{rate}", routed.replace("provider", "host")),
        format!(
            "{routed}{}{rate}",
            tool.replace("\"image\"\nreq", "\"picture\"\nreq")
        ),
    ] {
        assert!(!errors(&catalogue, &text).is_empty(), "the schema: {text}");
        refused_by_the_reader("catalogue.toml", &text);
    }
    let provider = validator(FileKind::Provider);
    for text in [
        "base_url = \"http://x.test\"\n",
        "extends = \"sim\"\nbase_ulr = \"http://x.test\"\n",
        "extends = \"sim\"\nsubmit.method = \"get\"\n",
        "extends = \"sim\"\nsubmit.id = \"id\"\n",
        "extends = \"sim\"\nauth = { kind = \"bearr\" }\n",
        "extends = \"sim\"\nanswer.outputs = [{ at = \"/x\" }]\n",
        "extends = \"sim\"\nerrors.classify = [{ code = [\"x\"], class = \"bad\" }]\n",
        "extends = \"sim\"\npoll.interval.factor = \"fast\"\n",
    ] {
        assert!(!errors(&provider, text).is_empty(), "the schema: {text}");
        refused_by_the_reader("providers/mine.toml", text);
    }
}

fn refused_by_the_reader(name: &str, text: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("the folder");
    std::fs::write(path, text).expect("the file");
    assert!(Settings::load(Some(folder.path()), []).is_err(), "{text}");
}

#[test]
fn every_setting_stands_in_the_schema_with_its_sentence_its_default_and_its_limits() {
    let schema = schema(FileKind::Settings);
    fn check(schema: &Value, default: &Value, path: &str) {
        let Value::Object(members) = default else {
            assert_eq!(&schema["default"], default, "{path}");
            let said = schema["description"].as_str().unwrap_or_default();
            assert!(said.contains("Default "), "{path}: {said}");
            return;
        };
        for (key, default) in members {
            check(
                &schema["properties"][key],
                default,
                &format!("{path}.{key}"),
            );
        }
    }
    let mut defaults = json(DEFAULT_SETTINGS);
    assert_eq!(schema["properties"]["providers"]["type"], "object");
    defaults
        .as_object_mut()
        .expect("a table")
        .remove("providers");
    check(&schema, &defaults, "");
    let partitions = &schema["properties"]["store"]["properties"]["partitions"];
    assert_eq!(
        (&partitions["minimum"], &partitions["maximum"]),
        (&1.into(), &256.into())
    );
}

/// `5 seconds`, `64 KiB`, `./artifacts`: what a comment says as the number or text it stands for.
fn said_value(said: &str, key: &str) -> Option<Value> {
    let (number, unit) = said.split_once(' ').unwrap_or((said, ""));
    let number: u64 = match number.parse() {
        Ok(number) => number,
        Err(_) if said == "true" || said == "false" => return Some(Value::Bool(said == "true")),
        Err(_) if said == "empty" => return Some(Value::String(String::new())),
        Err(_) if said.starts_with('[') => return serde_json::from_str(said).ok(),
        Err(_) => return Some(Value::String(said.trim_start_matches("./").to_owned())),
    };
    let ms = if key.ends_with("_ms") {
        1
    } else {
        return factor(unit).map(|f| (number * f).into());
    };
    let times = match unit.trim_end_matches('s') {
        "" => ms,
        "second" => 1_000,
        "minute" => 60_000,
        "hour" => 3_600_000,
        "day" => 86_400_000,
        _ => return None,
    };
    Some((number * times).into())
}

fn factor(unit: &str) -> Option<u64> {
    match unit {
        "" => Some(1),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    }
}

#[test]
fn what_a_comment_calls_the_default_is_the_value_below_it() {
    let lines: Vec<&str> = DEFAULT_SETTINGS.lines().collect();
    let mut compared = 0;
    for (at, line) in lines.iter().enumerate() {
        let Some((key, value)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let value = json(&format!("x = {value}"))["x"].clone();
        let said = lines[at - 1].rsplit_once("Default ").expect("a default").1;
        let said = said.trim_end_matches('.');
        let expected = said_value(said, key);
        assert_eq!(expected, Some(value), "{key}: the comment says {said:?}");
        compared += 1;
    }
    assert!(compared >= 50, "{compared}");
}

#[test]
fn every_setting_can_be_set_by_a_variable() {
    fn leaves(value: &Value, path: &str, found: &mut Vec<(String, Value)>) {
        match value {
            Value::Object(table) => {
                for (key, inner) in table {
                    leaves(inner, &format!("{path}__{}", key.to_uppercase()), found);
                }
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => {
                found.push((format!("METERLINE{path}"), value.clone()));
            }
        }
    }
    let mut found = Vec::new();
    leaves(&json(DEFAULT_SETTINGS), "", &mut found);
    let folder = tempfile::tempdir().expect("a folder");
    for (name, value) in found {
        let text = value.as_str().map_or(value.to_string(), str::to_owned);
        let loaded = Settings::load(Some(folder.path()), [(name.clone(), text)]).expect(&name);
        let set: Vec<String> = loaded
            .origins
            .settings
            .values()
            .map(ToString::to_string)
            .collect();
        assert_eq!(set, [name.as_str()]);
        // The right key, and the wrong type: the reader has looked at it.
        let wrong = Settings::load(Some(folder.path()), [(name.clone(), "[]".to_owned())]);
        if !value.is_string() && value != serde_json::json!([]) {
            let wrong = wrong.expect_err(&name);
            assert_eq!(wrong[0].origin, name);
        }
    }
}

#[test]
fn a_slip_in_any_section_is_answered_with_the_keys_of_that_section() {
    let sections = json(DEFAULT_SETTINGS);
    for section in sections.as_object().expect("tables").keys() {
        let named = ["queues", "providers", "plans"].contains(&section.as_str());
        let table = if named {
            format!("{section}.x")
        } else {
            section.clone()
        };
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!("[{table}]\nzebra = 1\n");
        std::fs::write(folder.path().join("meterline.toml"), text).expect("a file");
        let said = Settings::load(Some(folder.path()), []).expect_err(section);
        let said: Vec<String> = said.iter().map(ToString::to_string).collect();
        let wanted = format!("{table}.zebra: unknown key; known here: ");
        assert!(said[0].contains(&wanted), "{said:?}");
    }
}
