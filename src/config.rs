//! The settings of the house: read once, at the start, and handed down in sections.
//!
//! The built-in files are the defaults and their documentation. A folder of one's own lies over
//! them, the environment over that, flags over all. Everything that is wrong is reported at once, with the place
//! it was written and what would be right. This is the only module that reads the environment.

mod files;
mod layers;
mod relations;
mod schema;
mod settings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

pub use files::{DEFAULT_CATALOGUE, DEFAULT_SETTINGS, DEVELOPMENT_SETTINGS};
pub use layers::{Flag, Origin};
pub use schema::{FileKind, schema};
pub use settings::{
    Accounts, Api, Audit, Dev, Durability, Journal, Media, Period, Plan, Provider, Queue, Redis,
    Rewards, Settings, Store, Webhooks, Wish, Worker,
};

use crate::domain::catalogue::Catalogue;
use crate::domain::problem::{Lines, Problem};
use layers::Layers;

/// The folder that is read without a flag, where it exists.
const USUAL_DIR: &str = "config";

/// Settings, catalogue and provider files, checked against each other.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What can be set.
    pub settings: Settings,
    /// What can be asked for.
    pub catalogue: Catalogue,
    /// Name and TOML text of each provider, by name.
    pub provider_files: Vec<(String, String)>,
    /// Where things were written, for whoever wonders why a setting is what it is.
    pub origins: Origins,
}

/// Where the parts of [`Loaded`] were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins {
    /// The settings (dotted keys) that do not come from the built-in file.
    pub settings: BTreeMap<String, Origin>,
    /// The catalogue.
    pub catalogue: Origin,
    /// Each provider's file, by the provider's name.
    pub providers: BTreeMap<String, Origin>,
}

impl Settings {
    /// Reads everything: the built-in files, then `dir` (without one, the folder `config` of the
    /// working directory where it exists), then the variables of `environment` that begin with
    /// `METERLINE__`. A file that is missing in the folder is the built-in one.
    pub fn load(
        dir: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Loaded, Vec<Problem>> {
        Self::load_with_flags(dir, environment, &[])
    }

    /// [`Settings::load`], with flags above everything else; of two for one key the last counts.
    pub fn load_with_flags(
        dir: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[Flag],
    ) -> Result<Loaded, Vec<Problem>> {
        let usual = || Some(PathBuf::from(USUAL_DIR)).filter(|dir| dir.is_dir());
        let dir = dir.map(Path::to_owned).or_else(usual);
        load(dir.as_deref(), environment, flags).map_err(|mut problems| {
            // In the order in which somebody who mends them meets them.
            problems.sort_by(|a, b| (&a.origin, a.place).cmp(&(&b.origin, b.place)));
            problems
        })
    }

    /// Only what is built in.
    pub fn embedded() -> Result<Loaded, Vec<Problem>> {
        load(None, [], &[])
    }
}

/// The variables of this process that are settings, or may be meant as some. Those that are no text are left out.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.to_uppercase().starts_with("METERLINE"))
}

/// A secret from the environment, by the name that a provider's file gives it; `None` where it is
/// not set or empty.
pub fn secret(name: &str) -> Option<SecretString> {
    let value = std::env::var_os(name)?.into_string().ok()?;
    (!value.is_empty()).then(|| SecretString::from(value))
}

fn load(
    dir: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    flags: &[Flag],
) -> Result<Loaded, Vec<Problem>> {
    let files = files::Files::of(dir).map_err(|problem| vec![problem])?;
    let (layers, mut wrong) = layered(&files, environment, flags)?;
    wrong.extend(files.strays.iter().cloned());
    let (settings, badly_typed) = layers.read();
    wrong.extend(badly_typed);
    let Some(settings) = settings else {
        return Err(wrong);
    };
    // A value that could not be read stands at its default now: what it does to others is not known.
    let related = if wrong.is_empty() {
        relations::problems(&settings)
    } else {
        relations::alone(&settings)
    };
    let located = |problem: Problem| {
        let other = relations::other_key(&problem.key);
        layers.located_at_either(problem, other)
    };
    wrong.extend(related.into_iter().map(located));
    wrong.extend(provider_problems(&files, &settings));
    let catalogue = match catalogue(&files, &settings) {
        Ok(catalogue) => catalogue,
        Err(more) => {
            wrong.extend(more);
            return Err(wrong);
        }
    };
    wrong.extend(strangers(&settings, &catalogue, &files, &layers));
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let origins = Origins {
        settings: layers.into_changed(),
        catalogue: files.catalogue.origin.clone(),
        providers: files.provider_origins(),
    };
    Ok(Loaded {
        settings,
        catalogue,
        provider_files: files.into_providers(),
        origins,
    })
}

fn layered(
    files: &files::Files,
    environment: impl IntoIterator<Item = (String, String)>,
    flags: &[Flag],
) -> Result<(Layers, Vec<Problem>), Vec<Problem>> {
    let mut layers = Layers::over_defaults(DEFAULT_SETTINGS).map_err(|problem| vec![problem])?;
    let mut wrong = Vec::new();
    if let Some(file) = &files.settings {
        wrong.extend(layers.add_file(&file.origin.to_string(), &file.text));
    }
    let mut variables: Vec<(String, String)> = environment.into_iter().collect();
    variables.sort();
    wrong.extend(
        variables
            .iter()
            .filter_map(|(name, _)| layers.misspelt(name)),
    );
    variables.retain(|(name, _)| name.starts_with(layers::PREFIX));
    for (name, value) in &variables {
        wrong.extend(layers.add_variable(name, value).err());
    }
    for flag in flags {
        wrong.extend(layers.add_flag(flag).err());
    }
    Ok((layers, wrong))
}

fn provider_problems(files: &files::Files, settings: &Settings) -> Vec<Problem> {
    let origins = files.provider_origins();
    let known = |name: &String| origins.contains_key(name);
    let urls = settings
        .base_urls()
        .into_iter()
        .filter(|(name, _)| known(name));
    let found = crate::provider::problems(&files.provider_texts(), &urls.collect());
    let placed = |(name, problem): (String, Problem)| match origins.get(&name) {
        Some(origin) => problem.in_origin(&origin.to_string()),
        None => problem,
    };
    found.into_iter().map(placed).collect()
}

fn catalogue(files: &files::Files, settings: &Settings) -> Result<Catalogue, Vec<Problem>> {
    let file = &files.catalogue;
    let mut defaults = settings.catalogue_defaults();
    // A queue's wrong clocks have been reported: not once more by each of its tools.
    for clocks in defaults.queues.values_mut() {
        if !clocks.faults().is_empty() {
            *clocks = relations::WIDEST;
        }
    }
    Catalogue::from_toml(&file.text, &defaults).map_err(|problems| {
        let origin = file.origin.to_string();
        problems
            .into_iter()
            .map(|problem| problem.in_origin(&origin))
            .collect()
    })
}

/// Names of providers that no file describes.
fn strangers(
    settings: &Settings,
    catalogue: &Catalogue,
    files: &files::Files,
    layers: &Layers,
) -> Vec<Problem> {
    let message = |name: &str| {
        let mend = crate::domain::nearest::did_you_mean(name, files.provider_names());
        format!("no file providers/{name}.toml describes this provider{mend}")
    };
    let unknown = |name: &str| !files.provider_names().any(|known| known == name);
    let mut found: Vec<Problem> = settings
        .providers
        .keys()
        .filter(|name| unknown(name))
        .map(|name| layers.located(Problem::new(format!("providers.{name}"), message(name))))
        .collect();
    let lines = Lines::of_text(&files.catalogue.text).unwrap_or_default();
    let origin = files.catalogue.origin.to_string();
    for tool in catalogue.tools() {
        for (index, route) in tool.routes.iter().enumerate() {
            let own = format!("tools.{}.routes", tool.name);
            let base = if lines.stands(&own) {
                own.as_str()
            } else {
                "routes"
            };
            let key = format!("{base}[{index}].provider");
            let problem = Problem::new(key, message(&route.provider));
            let problem = problem.on_line(&lines).in_origin(&origin);
            if unknown(&route.provider) && !found.contains(&problem) {
                found.push(problem);
            }
        }
    }
    found
}
