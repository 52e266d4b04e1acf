//! The files that settings are read from: the built-in ones, and those of a folder.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use super::layers::Origin;
use crate::domain::nearest::did_you_mean;
use crate::domain::problem::Problem;

/// The built-in settings, which are also their documentation.
pub const DEFAULT_SETTINGS: &str = include_str!("../../config/meterline.toml");
/// The settings for development: what takes minutes takes seconds.
pub const DEVELOPMENT_SETTINGS: &str = include_str!("../../config/dev/meterline.toml");
/// The built-in catalogue.
pub const DEFAULT_CATALOGUE: &str = include_str!("../../config/catalogue.toml");

/// The built-in providers: name of the provider, and the text of its file.
const DEFAULT_PROVIDERS: [(&str, &str); 5] = [
    ("cog", include_str!("../../config/providers/cog.toml")),
    ("sim", include_str!("../../config/providers/sim.toml")),
    (
        "sim-blind",
        include_str!("../../config/providers/sim-blind.toml"),
    ),
    (
        "sim-bytes",
        include_str!("../../config/providers/sim-bytes.toml"),
    ),
    (
        "sim-sync",
        include_str!("../../config/providers/sim-sync.toml"),
    ),
];

/// What is read of a folder.
const READ: [&str; 3] = ["meterline.toml", "catalogue.toml", "providers"];

/// A text and where it was written.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// Everything that was found, by what it is for.
#[derive(Debug)]
pub(super) struct Files {
    /// The settings of the folder; the built-in ones lie below them in any case.
    pub(super) settings: Option<File>,
    pub(super) catalogue: File,
    providers: BTreeMap<String, File>,
    /// Files of the folder that nobody reads, and whose names are slips of those that are read.
    pub(super) strays: Vec<Problem>,
}

impl Files {
    /// The built-in files, each replaced by the one of the folder that has its name.
    pub(super) fn of(dir: Option<&Path>) -> Result<Self, Problem> {
        let catalogue = File {
            text: DEFAULT_CATALOGUE.to_owned(),
            origin: Origin::Embedded("catalogue.toml".to_owned()),
        };
        let builtin = |(name, text): (&str, &str)| {
            let origin = Origin::Embedded(format!("providers/{name}.toml"));
            (
                name.to_owned(),
                File {
                    text: text.to_owned(),
                    origin,
                },
            )
        };
        let providers = DEFAULT_PROVIDERS.into_iter().map(builtin).collect();
        let mut files = Self {
            settings: None,
            catalogue,
            providers,
            strays: Vec::new(),
        };
        if let Some(dir) = dir {
            files.add_folder(dir)?;
        }
        Ok(files)
    }

    fn add_folder(&mut self, dir: &Path) -> Result<(), Problem> {
        if !dir.is_dir() {
            let message = "is not a folder; name one with --config, or leave the flag out";
            return Err(Problem::new("", message).in_origin(&dir.display().to_string()));
        }
        self.settings = read_if_there(&dir.join("meterline.toml"))?;
        if let Some(file) = read_if_there(&dir.join("catalogue.toml"))? {
            self.catalogue = file;
        }
        self.providers.extend(providers_in(&dir.join("providers"))?);
        self.strays = strays_in(dir)?;
        Ok(())
    }

    pub(super) fn provider_names(&self) -> impl Iterator<Item = &str> {
        self.providers.keys().map(String::as_str)
    }

    pub(super) fn provider_origins(&self) -> BTreeMap<String, Origin> {
        let files = self.providers.iter();
        files
            .map(|(name, file)| (name.clone(), file.origin.clone()))
            .collect()
    }

    pub(super) fn provider_texts(&self) -> Vec<(String, String)> {
        let files = self.providers.iter();
        files
            .map(|(name, file)| (name.clone(), file.text.clone()))
            .collect()
    }

    pub(super) fn into_providers(self) -> Vec<(String, String)> {
        self.providers
            .into_iter()
            .map(|(name, file)| (name, file.text))
            .collect()
    }
}

fn strays_in(dir: &Path) -> Result<Vec<Problem>, Problem> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|error| unreadable(dir, &error))? {
        let entry = entry.map_err(|error| unreadable(dir, &error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if READ.contains(&name.as_str()) {
            continue;
        }
        let mend = did_you_mean(&name.to_lowercase(), READ);
        if !mend.is_empty() {
            let message = format!("is not read under this name{mend}");
            let origin = entry.path().display().to_string();
            found.push(Problem::new("", message).in_origin(&origin));
        }
    }
    found.sort_by(|a, b| a.origin.cmp(&b.origin));
    Ok(found)
}

fn unreadable(dir: &Path, error: &std::io::Error) -> Problem {
    Problem::new("", format!("cannot be read: {error}")).in_origin(&dir.display().to_string())
}

fn providers_in(dir: &Path) -> Result<Vec<(String, File)>, Problem> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| unreadable(dir, &error))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(dir, &error))?.path();
        let name = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .map(str::to_owned);
        let is_toml = path
            .extension()
            .is_some_and(|extension| extension == "toml");
        if let (Some(name), true) = (name, is_toml)
            && let Some(file) = read_if_there(&path)?
        {
            found.push((name, file));
        }
    }
    Ok(found)
}

fn read_if_there(path: &Path) -> Result<Option<File>, Problem> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(File {
            text,
            origin: Origin::File(name, None),
        })),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Problem::new("", format!("cannot be read: {error}")).in_origin(&name)),
    }
}
