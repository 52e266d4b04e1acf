//! Settings laid over each other: the built-in file, a file of one's own, the environment, flags.
//!
//! Tables are merged key by key, everything else is replaced. Where a value came from is kept,
//! because a message about it must name that place.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::settings::{
    Accounts, Api, Audit, Costs, Dev, Durability, Journal, Media, Plan, Postgres, Provider, Queue,
    Redis, Rewards, Settings, Store, Webhooks, Worker,
};
use crate::domain::problem::{Lines, Place, Problem, join, read_table, take_out, unknown_keys};
use crate::domain::retry::Policy;

/// What every environment variable of the settings begins with.
pub(super) const PREFIX: &str = "METERLINE__";

/// Variables with a name of their own: flags of every command, and the level of the log.
const VARIABLES: [&str; 3] = ["METERLINE_REDIS_URL", "METERLINE_CONFIG", "METERLINE_LOG"];

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In a file that is built into the program.
    Embedded(String),
    /// In a file, and where in it.
    File(String, Option<Place>),
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
            Self::File(path, Some(place)) => write!(f, "{path}:{}", place.line),
            Self::Environment(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// All layers in one table, and where each of its keys was last written.
pub(super) struct Layers {
    table: toml::Table,
    defaults: toml::Table,
    origins: BTreeMap<String, Origin>,
}

impl Layers {
    /// The lowest layer.
    pub(super) fn over_defaults(defaults: &str) -> Result<Self, Problem> {
        let mut layers = Self {
            table: toml::Table::new(),
            defaults: parsed(defaults)?,
            origins: BTreeMap::new(),
        };
        layers.merge(layers.defaults.clone(), &|_| {
            Origin::Embedded("meterline.toml".to_owned())
        });
        Ok(layers)
    }

    /// Lays a file on top, without the keys that nobody knows, which are returned.
    pub(super) fn add_file(&mut self, path: &str, text: &str) -> Vec<Problem> {
        let read = Lines::of_text(text).and_then(|lines| Ok((lines, parsed(text)?)));
        let (lines, mut table) = match read {
            Ok(read) => read,
            Err(problem) => return vec![problem.in_origin(path)],
        };
        let unknown = unknown_in(&table);
        for problem in &unknown {
            take_out(&mut table, &problem.key);
            // A table that has no defaults would miss what was meant by the unknown key.
            let around = problem
                .key
                .rsplit_once('.')
                .map_or("", |(around, _)| around);
            if !around.is_empty() && self.default_of(around).is_none() {
                take_out(&mut table, around);
            }
        }
        self.merge(table, &|key| Origin::File(path.to_owned(), lines.of(key)));
        let placed = |problem: Problem| problem.on_line(&lines).in_origin(path);
        unknown.into_iter().map(placed).collect()
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

    /// A variable that sets nothing because of its underscores or small letters.
    pub(super) fn misspelt(&self, name: &str) -> Option<Problem> {
        if name.starts_with(PREFIX) || VARIABLES.contains(&name) {
            return None;
        }
        let bare = |name: &str| name.to_uppercase().replace('-', "_").replace("__", "_");
        let mut keys = self.origins.keys();
        let meant = keys.find(|key| {
            let spelt = format!("{PREFIX}{}", key.replace('.', "__"));
            bare(&spelt) == bare(name)
        })?;
        let right =
            format!("{PREFIX}{}", meant.replace('.', "__").replace('-', "_")).to_uppercase();
        let message =
            format!("sets nothing; write {right}, with two underscores between the parts");
        Some(Problem::new("", message).in_origin(name))
    }

    /// The settings, and every value that has the wrong type: it is replaced by its default, so that
    /// the others can be looked at. No settings where that is not possible.
    pub(super) fn read(&self) -> (Option<Settings>, Vec<Problem>) {
        let (mut table, mut wrong) = (self.table.clone(), Vec::new());
        loop {
            match read_table::<Settings>(table.clone()) {
                Ok(settings) => return (Some(settings), wrong),
                Err(problem) => {
                    let mended = self.mend(&mut table, &problem.key);
                    // A table of one's own that misses a key because a wrong one was taken out.
                    let follows = wrong.iter().any(|known: &Problem| {
                        !problem.key.is_empty()
                            && known.key.starts_with(&format!("{}.", problem.key))
                    });
                    if !follows {
                        wrong.push(self.located(problem));
                    }
                    if !mended {
                        return (None, wrong);
                    }
                }
            }
        }
    }

    fn default_of(&self, key: &str) -> Option<&toml::Value> {
        let (first, rest) = key.split_once('.').unwrap_or((key, ""));
        let parts = rest.split('.').filter(|part| !part.is_empty());
        parts.fold(self.defaults.get(first), |at, part| at?.get(part))
    }

    /// Puts the default of a key in its place, or takes out what has none.
    fn mend(&self, table: &mut toml::Table, key: &str) -> bool {
        let key = key.split('[').next().unwrap_or_default();
        let default = self.default_of(key);
        let taken = take_out(table, key);
        if let (Some(default), true) = (default, taken) {
            let (path, last) = key.rsplit_once('.').unwrap_or(("", key));
            let inner = path
                .split('.')
                .filter(|part| !part.is_empty())
                .try_fold(table, |at, part| at.get_mut(part)?.as_table_mut());
            if let Some(inner) = inner {
                inner.insert(last.to_owned(), default.clone());
            }
        }
        taken
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
            Some(Origin::File(path, place)) => Problem {
                place: *place,
                ..problem.in_origin(path)
            },
            Some(origin) => problem.in_origin(&origin.to_string()),
            None => problem,
        }
    }

    /// [`Layers::located`] of a problem between two keys: where the first has its built-in value, the
    /// place is that of the other, because that is what somebody has written.
    pub(super) fn located_at_either(&self, problem: Problem, other: Option<&str>) -> Problem {
        let written = |key: &str| !matches!(self.origin_of(key), Some(Origin::Embedded(_)) | None);
        match other {
            Some(other) if !written(&problem.key) && written(other) => {
                let place = self.located(Problem::new(other, ""));
                Problem {
                    origin: place.origin,
                    place: place.place,
                    ..problem
                }
            }
            Some(_) | None => self.located(problem),
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
            "postgres" => unknown_keys::<Postgres>(section, table),
            "store" => unknown_keys::<Store>(section, table),
            "journal" => unknown_keys::<Journal>(section, table),
            "audit" => unknown_keys::<Audit>(section, table),
            "costs" => unknown_keys::<Costs>(section, table),
            "webhooks" => unknown_keys::<Webhooks>(section, table),
            "durability" => unknown_keys::<Durability>(section, table),
            "accounts" => unknown_keys::<Accounts>(section, table),
            "rewards" => unknown_keys::<Rewards>(section, table),
            "plans" => unknown_in_each::<Plan>(section, table),
            "worker" => unknown_keys::<Worker>(section, table),
            "retry" => unknown_keys::<Policy>(section, table),
            "api" => unknown_keys::<Api>(section, table),
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
