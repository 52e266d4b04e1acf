//! Settings laid over each other: the built-in file, a file of one's own, the environment, flags.
//!
//! Tables are merged key by key, everything else is replaced. Where a value came from is kept,
//! because a message about it must name that place.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::settings::{
    Accounts, Dev, Media, Plan, Provider, Queue, Redis, Rewards, Settings, Store, Worker,
};
use crate::domain::problem::{Lines, Problem, join, unknown_keys};
use crate::domain::retry::Policy;

/// What every environment variable of the settings begins with.
pub(super) const PREFIX: &str = "METERLINE__";

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In a file that is built into the program.
    Embedded(String),
    /// In a file, and on which of its lines.
    File(String, Option<usize>),
    /// In an environment variable.
    Environment(String),
    /// In a flag of the command line.
    Flag(String),
}

/// A setting given on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The flag as people write it (`--provider-url`), for messages.
    pub name: String,
    /// Dotted key of the setting (`providers.sim.base_url`).
    pub key: String,
    /// Its value as text.
    pub value: String,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(name) => write!(f, "built-in {name}"),
            Self::File(path, None) => f.write_str(path),
            Self::File(path, Some(line)) => write!(f, "{path}:{line}"),
            Self::Environment(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// All layers in one table, and where each of its keys was last written.
pub(super) struct Layers {
    pub(super) table: toml::Table,
    origins: BTreeMap<String, Origin>,
}

impl Layers {
    /// The lowest layer.
    pub(super) fn over_defaults(defaults: &str) -> Result<Self, Problem> {
        let mut layers = Self {
            table: toml::Table::new(),
            origins: BTreeMap::new(),
        };
        layers.merge(parsed(defaults)?, &|_| {
            Origin::Embedded("meterline.toml".to_owned())
        });
        Ok(layers)
    }

    /// Lays a file on top.
    pub(super) fn add_file(&mut self, path: &str, text: &str) -> Result<(), Vec<Problem>> {
        let in_file = |problem: Problem| problem.in_origin(path);
        let lines = Lines::of_text(text).map_err(|problem| vec![in_file(problem)])?;
        let table = parsed(text).map_err(|problem| vec![in_file(problem)])?;
        let unknown: Vec<Problem> = unknown_in(&table)
            .into_iter()
            .map(|problem| in_file(problem.on_line(&lines)))
            .collect();
        if !unknown.is_empty() {
            return Err(unknown);
        }
        self.merge(table, &|key| Origin::File(path.to_owned(), lines.of(key)));
        Ok(())
    }

    /// Lays one environment variable on top.
    pub(super) fn add_variable(&mut self, name: &str, text: &str) -> Result<(), Problem> {
        let origin = Origin::Environment(name.to_owned());
        self.add_value(&path_of_variable(name), text, &origin)
    }

    /// Lays one flag on top.
    pub(super) fn add_flag(&mut self, flag: &Flag) -> Result<(), Problem> {
        let path: Vec<String> = flag.key.split('.').map(str::to_owned).collect();
        self.add_value(&path, &flag.value, &Origin::Flag(flag.name.clone()))
    }

    fn add_value(&mut self, path: &[String], text: &str, origin: &Origin) -> Result<(), Problem> {
        let value = typed(text, self.value_at(path));
        let table = path.iter().rev().fold(value, |inner, key| {
            toml::Value::Table(toml::Table::from_iter([(key.clone(), inner)]))
        });
        // A path has at least one key, so this is always a table.
        let toml::Value::Table(table) = table else {
            return Ok(());
        };
        match unknown_in(&table).into_iter().next() {
            Some(problem) => Err(problem.in_origin(&origin.to_string())),
            None => {
                self.merge(table, &|_| origin.clone());
                Ok(())
            }
        }
    }

    /// Where a key, or the nearest table around it, was last written.
    pub(super) fn origin_of(&self, key: &str) -> Option<&Origin> {
        let mut path = key;
        loop {
            if let Some(origin) = self.origins.get(path) {
                return Some(origin);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    /// The same problem with the place its key was written.
    pub(super) fn located(&self, problem: Problem) -> Problem {
        match self.origin_of(&problem.key) {
            Some(Origin::File(path, line)) => Problem {
                line: *line,
                ..problem.in_origin(path)
            },
            Some(origin) => problem.in_origin(&origin.to_string()),
            None => problem,
        }
    }

    /// The keys that do not have their built-in value, and where they were written.
    pub(super) fn into_changed(self) -> BTreeMap<String, Origin> {
        let changed = |origin: &Origin| !matches!(origin, Origin::Embedded(_));
        self.origins
            .into_iter()
            .filter(|(_, origin)| changed(origin))
            .collect()
    }

    fn value_at(&self, path: &[String]) -> Option<&toml::Value> {
        let (first, rest) = path.split_first()?;
        rest.iter()
            .try_fold(self.table.get(first)?, |value, key| value.get(key))
    }

    fn merge(&mut self, upper: toml::Table, origin: &dyn Fn(&str) -> Origin) {
        merge_table("", &mut self.table, upper, &mut self.origins, origin);
    }
}

fn merge_table(
    path: &str,
    lower: &mut toml::Table,
    upper: toml::Table,
    origins: &mut BTreeMap<String, Origin>,
    origin: &dyn Fn(&str) -> Origin,
) {
    for (key, value) in upper {
        let path = join(path, &key);
        let value = match (lower.get_mut(&key), value) {
            (Some(toml::Value::Table(lower)), toml::Value::Table(upper)) => {
                merge_table(&path, lower, upper, origins, origin);
                continue;
            }
            (None, toml::Value::Table(upper)) => {
                let mut fresh = toml::Table::new();
                merge_table(&path, &mut fresh, upper, origins, origin);
                toml::Value::Table(fresh)
            }
            (_, value) => value,
        };
        origins.insert(path.clone(), origin(&path));
        lower.insert(key, value);
    }
}

fn parsed(text: &str) -> Result<toml::Table, Problem> {
    toml::from_str(text).map_err(|error| Problem::new("", error.message().to_owned()))
}

/// `METERLINE__PROVIDERS__SIM_SYNC__BASE_URL` is `providers.sim-sync.base_url`: a name that an
/// operator chose has dashes, and a variable cannot have them.
fn path_of_variable(name: &str) -> Vec<String> {
    let name = name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase();
    let mut path: Vec<String> = name.split("__").map(str::to_owned).collect();
    let chosen = match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["queues" | "providers" | "plans", _, ..] => Some(1),
        ["worker", "slots", _, ..] => Some(2),
        _ => None,
    };
    if let Some(name) = chosen.and_then(|index| path.get_mut(index)) {
        *name = name.replace('_', "-");
    }
    path
}

/// The text of a variable as the type its key has now; what does not fit stays a text, and the
/// check of the types reports it.
fn typed(text: &str, now: Option<&toml::Value>) -> toml::Value {
    let as_text = || toml::Value::String(text.to_owned());
    let as_integer = || text.parse().map(toml::Value::Integer).ok();
    let as_boolean = || text.parse().map(toml::Value::Boolean).ok();
    // Where a list is wanted, it is written as in a file.
    let as_list = || {
        let table: toml::Table = toml::from_str(&format!("list = {text}")).ok()?;
        table.get("list").filter(|list| list.is_array()).cloned()
    };
    match now {
        Some(toml::Value::String(_)) => as_text(),
        Some(toml::Value::Integer(_)) => as_integer().unwrap_or_else(as_text),
        Some(toml::Value::Boolean(_)) => as_boolean().unwrap_or_else(as_text),
        Some(_) | None => as_integer()
            .or_else(as_boolean)
            .or_else(as_list)
            .unwrap_or_else(as_text),
    }
}

/// Keys that no section has. What is no table is left to the check of the types.
fn unknown_in(table: &toml::Table) -> Vec<Problem> {
    let mut found = unknown_keys::<Settings>("", table);
    for (section, value) in table {
        let Some(table) = value.as_table() else {
            continue;
        };
        found.extend(match section.as_str() {
            "redis" => unknown_keys::<Redis>(section, table),
            "store" => unknown_keys::<Store>(section, table),
            "accounts" => unknown_keys::<Accounts>(section, table),
            "rewards" => unknown_keys::<Rewards>(section, table),
            "plans" => unknown_in_each::<Plan>(section, table),
            "worker" => unknown_keys::<Worker>(section, table),
            "retry" => unknown_keys::<Policy>(section, table),
            "media" => unknown_keys::<Media>(section, table),
            "dev" => unknown_keys::<Dev>(section, table),
            "queues" => unknown_in_each::<Queue>(section, table),
            "providers" => unknown_in_each::<Provider>(section, table),
            _ => Vec::new(),
        });
    }
    found
}

fn unknown_in_each<'de, T: Deserialize<'de>>(path: &str, table: &toml::Table) -> Vec<Problem> {
    table
        .iter()
        .filter_map(|(name, value)| Some((join(path, name), value.as_table()?)))
        .flat_map(|(path, table)| unknown_keys::<T>(&path, table))
        .collect()
}
