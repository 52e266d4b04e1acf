//! `config`: what is set, where it was written, and whether it can be used.

use std::collections::BTreeMap;

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::Call;
use super::failure::{Exit, Failure, Kind};
use super::house::House;
use super::output::{rows, table};
use crate::config::{self, FileKind, Loaded, Origin, secret};
use crate::provider::Providers;

const SCHEMA_EXAMPLES: &str = "Examples:
  meterline config schema > meterline.schema.json
  meterline config schema --of provider > provider.schema.json

An editor with a TOML language server uses it when the file begins with
  #:schema ./meterline.schema.json";

/// Check and show the settings
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  meterline config check --config config/dev")]
pub(super) enum Command {
    Check(CheckArgs),
    Show(ShowArgs),
    Schema(SchemaArgs),
}

/// Check settings, catalogue and provider files, and say what is wrong with file and line
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline config check --config config/dev")]
pub(super) struct CheckArgs {}

/// Show every setting with the place it was written; secrets stay hidden
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline config show --output json")]
pub(super) struct ShowArgs {}

/// Print the JSON Schema of a file, for an editor or a program that writes one
#[derive(Debug, clap::Args)]
#[command(after_help = SCHEMA_EXAMPLES)]
pub(super) struct SchemaArgs {
    /// Which file: meterline.toml, catalogue.toml, or one in providers/
    #[arg(long, value_enum, value_name = "FILE", default_value_t = Of::Settings)]
    of: Of,
}

/// The files that have a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Of {
    /// meterline.toml
    Settings,
    /// catalogue.toml
    Catalogue,
    /// A file in providers/
    Provider,
}

impl From<Of> for FileKind {
    fn from(of: Of) -> Self {
        match of {
            Of::Settings => Self::Settings,
            Of::Catalogue => Self::Catalogue,
            Of::Provider => Self::Provider,
        }
    }
}

pub(super) fn run(call: &Call, command: &Command) -> Result<Exit, Failure> {
    match command {
        Command::Check(CheckArgs {}) => check(call),
        Command::Show(ShowArgs {}) => show(call),
        Command::Schema(args) => schema(call, args),
    }
}

/// The providers of these settings, ready to be used.
pub(super) fn providers(house: &House) -> Result<Providers, Failure> {
    let (files, urls) = (&house.loaded.provider_files, house.settings().base_urls());
    let providers = Providers::load(files, &urls, &secret).map_err(|error| {
        let cause = std::error::Error::source(&error);
        let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
        Failure::new(Kind::BadConfig, format!("failed to {error}{cause}"))
    })?;
    Ok(providers.allowing(&house.settings().networks()))
}

fn check(call: &Call) -> Result<Exit, Failure> {
    let house = call.house_with(Vec::new())?;
    let providers = providers(&house)?;
    let engines = providers
        .names()
        .filter_map(|name| Some((name, providers.get(name)?)));
    let missing: Map<String, Value> = engines
        .filter_map(|(name, engine)| Some((name.to_owned(), json!(engine.missing_key()?))))
        .collect();
    let catalogue = &house.loaded.catalogue;
    let value = json!({
        "ok": true,
        "tools": catalogue.tools().count(),
        "price_version": catalogue.price_version(),
        "providers": providers.names().collect::<Vec<_>>(),
        "missing_keys": missing,
    });
    call.out.show(&value, || {
        let tools = catalogue.tools().count();
        let mut text = format!(
            "everything fits: {tools} tools, prices {}",
            catalogue.price_version()
        );
        for (provider, variable) in &missing {
            let variable = variable.as_str().unwrap_or_default();
            text += &format!("\nprovider {provider} cannot be used until {variable} is set");
        }
        text
    })?;
    Ok(Exit::Done)
}

fn show(call: &Call) -> Result<Exit, Failure> {
    let house = call.house_with(Vec::new())?;
    let settings = serde_json::to_value(house.settings())
        .map_err(|error| Failure::new(Kind::Io, format!("failed to write JSON: {error}")))?;
    let mut values = BTreeMap::new();
    flatten("", &settings, &mut values);
    let shown: BTreeMap<String, Value> = values
        .into_iter()
        .map(|(key, value)| {
            let origin = origin(&house.loaded, &key);
            (key, json!({"value": value, "origin": origin}))
        })
        .collect();
    let origins = &house.loaded.origins;
    let files: Map<String, Value> = origins
        .providers
        .iter()
        .map(|(name, origin)| (format!("providers/{name}.toml"), json!(origin.to_string())))
        .chain([(
            "catalogue.toml".to_owned(),
            json!(origins.catalogue.to_string()),
        )])
        .collect();
    let value = json!({"settings": shown, "files": files});
    call.out.show(&value, || text(&shown, &files))?;
    Ok(Exit::Done)
}

/// One document over many lines for people, who redirect it into a file; one line with `json`.
fn schema(call: &Call, args: &SchemaArgs) -> Result<Exit, Failure> {
    let schema = config::schema(args.of.into());
    let text = serde_json::to_string_pretty(&schema)
        .map_err(|error| Failure::new(Kind::Io, format!("failed to write JSON: {error}")))?;
    call.out.show(&schema, || text)?;
    Ok(Exit::Done)
}

fn origin(loaded: &Loaded, key: &str) -> String {
    let origin = loaded.origins.settings.get(key);
    origin.map_or_else(|| "built-in meterline.toml".to_owned(), Origin::to_string)
}

/// Every value by its dotted key.
fn flatten(path: &str, value: &Value, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                flatten(&crate::domain::problem::join(path, key), value, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            found.insert(path.to_owned(), value.clone());
        }
    }
}

fn text(settings: &BTreeMap<String, Value>, files: &Map<String, Value>) -> String {
    let mut list = table(&["key", "value", "from"]);
    for (key, shown) in settings {
        let value = match &shown["value"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        list.add_row([
            key.clone(),
            value,
            shown["origin"].as_str().unwrap_or_default().to_owned(),
        ]);
    }
    for (file, origin) in files {
        list.add_row([file.as_str(), "", origin.as_str().unwrap_or_default()]);
    }
    rows(&list, "no settings")
}
