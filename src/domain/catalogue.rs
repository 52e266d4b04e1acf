//! The catalogue: which tools there are, what they take, what they cost, and who makes them.
//!
//! It is read once, from one TOML text. A job carries away everything it needs in a [`Resolved`],
//! so that another catalogue tomorrow changes no job of today.

mod check;
mod parameters;
mod rates;
mod read;
mod resolve;
mod source;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use check::is_name;
pub use parameters::{COUNT, DURATION_MS, Parameters, SIM};
pub use rates::Rates;
pub use read::schema;

use crate::domain::credits::Ucr;
use crate::domain::media::MediaKind;
use crate::domain::pricing::{Asked, PriceError, Rule};

/// Every tool by name, and the version of their prices.
#[derive(Debug, Clone)]
pub struct Catalogue {
    tools: BTreeMap<String, Tool>,
    price_version: String,
}

/// What the settings say about all tools; the catalogue is checked against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// The queues there are, with their clocks.
    pub queues: BTreeMap<String, Clocks>,
    /// Tries of a job on one route.
    pub tries_max: u32,
    /// Whether requests may steer the simulated provider.
    pub allow_sim: bool,
}

/// How long things may take, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// One submission, from its POST to its stored output.
    pub submission_timeout_ms: u64,
    /// The whole job from its first claim, over all tries.
    pub deadline_ms: u64,
    /// The longest deadline a producer may ask for.
    pub deadline_max_ms: u64,
}

/// One tool, checked.
#[derive(Debug, Clone)]
pub struct Tool {
    /// The name producers use.
    pub name: String,
    /// A few words for people.
    pub title: String,
    /// The queue its jobs stand in.
    pub queue: String,
    /// What comes out.
    pub kind: MediaKind,
    /// What it costs.
    pub rates: Rates,
    /// Longest output in milliseconds; `None` for flat tools.
    pub longest_ms: Option<u64>,
    /// Most outputs of one job.
    pub count_max: u32,
    /// What it takes.
    pub parameters: Parameters,
    /// In the order they are tried; at least one is open to jobs that pin none.
    pub routes: Vec<Route>,
    /// One submission, in milliseconds.
    pub submission_timeout_ms: u64,
    /// The whole job unless the producer asks for longer, in milliseconds.
    pub deadline_ms: u64,
    /// The longest deadline a producer may ask for, in milliseconds.
    pub deadline_max_ms: u64,
    /// Tries on one route.
    pub tries_max: u32,
}

/// One way to make a tool's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The name producers pin.
    pub name: String,
    /// The provider, by the name of its file.
    pub provider: String,
    /// What the provider is told to run.
    pub model: String,
    /// Used only by jobs that pin it.
    pub only_when_pinned: bool,
}

/// What a producer asks for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Name of the tool.
    pub tool: &'a str,
    /// Parameters as they were sent.
    pub params: &'a Map<String, Value>,
    /// A pinned route.
    pub route: Option<&'a str>,
    /// A longer deadline, in milliseconds from the first claim.
    pub deadline_ms: Option<u64>,
}

/// Everything a job carries away from the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resolved {
    /// Name of the tool.
    pub tool: String,
    /// The queue the job stands in.
    pub queue: String,
    /// What comes out.
    pub kind: MediaKind,
    /// The rule it is priced by.
    pub rule: Rule,
    /// What the price depends on.
    pub asked: Asked,
    /// The most it can cost; never zero.
    pub ceiling_ucr: Ucr,
    /// Version of the catalogue it was priced from.
    pub price_version: String,
    /// Routes in the order they are tried; one when pinned.
    pub routes: Vec<Route>,
    /// Parameters with defaults filled in.
    pub params: Map<String, Value>,
    /// One submission, in milliseconds.
    pub submission_timeout_ms: u64,
    /// The whole job from its first claim, in milliseconds.
    pub deadline_ms: u64,
    /// Tries on one route.
    pub tries_max: u32,
}

/// Why a request is refused before anything is held. The texts are whole sentences without their
/// full stop, because they are shown to producers as they are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No tool has this name.
    #[error("there is no tool \"{tool}\"{}", suggestion(nearest))]
    UnknownTool {
        /// The name that was asked for.
        tool: String,
        /// The nearest names there are.
        nearest: Vec<String>,
    },
    /// A parameter is missing, unknown, or outside of its schema.
    #[error("parameter {pointer}: {message}")]
    BadParameter {
        /// JSON pointer into the parameters; empty for all of them.
        pointer: String,
        /// What is wrong with it.
        message: String,
    },
    /// The output asked for is longer than the tool makes.
    #[error("parameter /{DURATION_MS}: {tool} makes at most {longest_ms} ms")]
    DurationAboveMaximum {
        /// Name of the tool.
        tool: String,
        /// Its longest output, in milliseconds.
        longest_ms: u64,
    },
    /// The tool has no route of this name.
    #[error("{tool} has no route \"{route}\"; it has {}", known.join(", "))]
    UnknownRoute {
        /// Name of the tool.
        tool: String,
        /// The name that was asked for.
        route: String,
        /// The routes it has.
        known: Vec<String>,
    },
    /// A deadline can be lengthened up to the tool's limit, and never shortened.
    #[error(
        "a deadline of {asked_ms} ms is out of bounds: {tool} takes {shortest_ms} to {longest_ms} ms"
    )]
    DeadlineOutOfBounds {
        /// Name of the tool.
        tool: String,
        /// What was asked for, in milliseconds.
        asked_ms: u64,
        /// The tool's own deadline, in milliseconds.
        shortest_ms: u64,
        /// The tool's limit, in milliseconds.
        longest_ms: u64,
    },
    /// The request has no ceiling.
    #[error("cannot {0}")]
    NoPrice(#[from] PriceError),
}

impl Refusal {
    /// The word that stands as `type` in replies.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::UnknownTool { .. } => "unknown_tool",
            Self::BadParameter { .. } => "bad_parameter",
            Self::DurationAboveMaximum { .. } => "duration_above_maximum",
            Self::UnknownRoute { .. } => "unknown_route",
            Self::DeadlineOutOfBounds { .. } => "deadline_out_of_bounds",
            Self::NoPrice(_) => "no_price",
        }
    }
}

impl Catalogue {
    /// The tool of this name.
    pub fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.get(name)
    }

    /// Every tool, by name.
    pub fn tools(&self) -> impl Iterator<Item = &Tool> {
        self.tools.values()
    }

    /// Twelve hex digits that change with any word of the catalogue except its comments.
    pub fn price_version(&self) -> &str {
        &self.price_version
    }
}

fn suggestion(nearest: &[String]) -> String {
    if nearest.is_empty() {
        return "; list the tools to see which there are".to_owned();
    }
    format!("; did you mean {}?", nearest.join(" or "))
}
