//! Checks a catalogue as a whole, so that every mistake is named at once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::source::{CatalogueText, RouteText, ToolText, json_of};
use super::{COUNT, Clocks, DURATION_MS, Defaults, Parameters, Rates, Route, SIM, Tool};
use crate::domain::nearest::did_you_mean;
use crate::domain::pricing::{Asked, RateKind};
use crate::domain::problem::{Problem, join};

/// Most outputs of one job, whatever the catalogue says.
const COUNT_LIMIT: u32 = 1000;
/// Longest output of one job, whatever the catalogue says: a day.
const LONGEST_MS_LIMIT: u64 = 86_400_000;

/// The checked tools of a catalogue, or everything that is wrong with it.
pub(super) fn checked_tools(
    source: &CatalogueText,
    defaults: &Defaults,
) -> Result<BTreeMap<String, Tool>, Vec<Problem>> {
    let mut check = Check {
        source,
        defaults,
        found: Vec::new(),
    };
    let tools = check.tools();
    if check.found.is_empty() {
        Ok(tools)
    } else {
        Err(check.found)
    }
}

/// One pass over the text, collecting what is wrong with it.
struct Check<'a> {
    source: &'a CatalogueText,
    defaults: &'a Defaults,
    found: Vec<Problem>,
}

impl Check<'_> {
    fn tools(&mut self) -> BTreeMap<String, Tool> {
        let source = self.source;
        if source.tools.is_empty() {
            self.found
                .push(Problem::new("tools", "a catalogue needs at least one tool"));
        }
        let checked = source.tools.iter().filter_map(|(name, text)| {
            let tool = self.tool(name, text)?;
            Some((name.clone(), tool))
        });
        checked.collect()
    }

    /// The checked tool; `None` when a problem was found that leaves nothing to build it from.
    fn tool(&mut self, name: &str, text: &ToolText) -> Option<Tool> {
        let path = format!("tools.{name}");
        self.check_name(&path, name);
        self.check_counts(&path, text);
        self.check_length(&path, text);
        let clocks = self.clocks(&path, text);
        let routes = self.routes(&path, name, text);
        let properties = self.properties(&path, text);
        let rates = self.rates(&path, text, &properties);
        let parameters = self.parameters(&path, text, properties);
        let (clocks, rates) = (clocks?, rates?);
        self.check_ceiling(&path, text, &rates);
        Some(Tool {
            name: name.to_owned(),
            title: text.title.clone(),
            queue: text.queue.clone(),
            kind: text.kind,
            rates,
            longest_ms: text.longest_ms,
            count_max: text.count_max.unwrap_or(1),
            parameters: parameters?,
            routes,
            submission_timeout_ms: clocks.submission_timeout_ms,
            deadline_ms: clocks.deadline_ms,
            deadline_max_ms: clocks.deadline_max_ms,
            tries_max: text.tries_max.unwrap_or(self.defaults.tries_max),
        })
    }

    fn problem(&mut self, path: &str, key: &str, message: impl Into<String>) {
        // What is wrong with a shared route or parameter is found again by every tool.
        let problem = Problem::new(join(path, key), message);
        if !self.found.contains(&problem) {
            self.found.push(problem);
        }
    }

    fn check_name(&mut self, path: &str, name: &str) {
        if !is_name(name) {
            self.problem(path, "", NAME_RULE);
        }
    }

    fn check_counts(&mut self, path: &str, text: &ToolText) {
        let count_max = text.count_max.unwrap_or(1);
        if !(1..=COUNT_LIMIT).contains(&count_max) {
            self.problem(
                path,
                "count_max",
                format!("must be from 1 to {COUNT_LIMIT}"),
            );
        }
        if text
            .count_default
            .is_some_and(|count| count == 0 || count > count_max)
        {
            self.problem(path, "count_default", "must be from 1 to count_max");
        }
        if text.tries_max == Some(0) {
            self.problem(path, "tries_max", "must be 1 or more");
        }
    }

    fn check_length(&mut self, path: &str, text: &ToolText) {
        match (text.rate.kind, text.longest_ms) {
            (RateKind::PerSecond, None) => {
                let message = "a tool priced per second needs its longest output: add longest_ms";
                self.problem(path, "longest_ms", message);
            }
            (RateKind::Flat, Some(_)) => {
                let message = "a flat tool is not priced by length: remove longest_ms";
                self.problem(path, "longest_ms", message);
            }
            (RateKind::PerSecond, Some(longest_ms)) => {
                if !(1..=LONGEST_MS_LIMIT).contains(&longest_ms) {
                    let message = format!("must be from 1 to {LONGEST_MS_LIMIT} ms");
                    self.problem(path, "longest_ms", message);
                }
                if text
                    .shortest_ms
                    .is_some_and(|ms| ms == 0 || ms > longest_ms)
                {
                    self.problem(path, "shortest_ms", "must be from 1 to longest_ms");
                }
            }
            (RateKind::Flat, None) => {
                if text.shortest_ms.is_some() {
                    let message = "a flat tool is not priced by length: remove shortest_ms";
                    self.problem(path, "shortest_ms", message);
                }
            }
        }
    }

    fn clocks(&mut self, path: &str, text: &ToolText) -> Option<Clocks> {
        let queues = &self.defaults.queues;
        let Some(queue) = queues.get(&text.queue) else {
            let known = did_you_mean(&text.queue, queues.keys().map(String::as_str));
            let message = format!("no [queues.{}] in meterline.toml{known}", text.queue);
            self.problem(path, "queue", message);
            return None;
        };
        let clocks = Clocks {
            submission_timeout_ms: text
                .submission_timeout_ms
                .unwrap_or(queue.submission_timeout_ms),
            deadline_ms: text.deadline_ms.unwrap_or(queue.deadline_ms),
            deadline_max_ms: text.deadline_max_ms.unwrap_or(queue.deadline_max_ms),
        };
        for (key, message) in clocks.faults() {
            self.problem(path, key, message);
        }
        Some(clocks)
    }

    fn routes(&mut self, path: &str, tool: &str, text: &ToolText) -> Vec<Route> {
        let (base, texts) = match &text.routes {
            Some(routes) => (format!("{path}.routes"), routes),
            None => ("routes".to_owned(), &self.source.routes),
        };
        if !texts.iter().any(|route| !route.only_when_pinned) {
            let message = "needs a route that is not only_when_pinned";
            self.problem(
                if text.routes.is_some() {
                    &base
                } else {
                    "routes"
                },
                "",
                message,
            );
        }
        let mut names = BTreeSet::new();
        for (index, route) in texts.iter().enumerate() {
            let path = format!("{base}[{index}]");
            for (key, name) in [("name", &route.name), ("provider", &route.provider)] {
                if !is_name(name) {
                    self.problem(&path, key, NAME_RULE);
                }
            }
            if !names.insert(&route.name) {
                self.problem(
                    &path,
                    "name",
                    format!("\"{}\" stands here twice", route.name),
                );
            }
        }
        texts.iter().map(|route| route_of(tool, route)).collect()
    }

    /// The properties the tool names, and those that are made for it.
    fn properties(&mut self, path: &str, text: &ToolText) -> Map<String, Value> {
        let mut properties = Map::new();
        for name in text.required.iter().chain(&text.optional) {
            let schema = text
                .parameters
                .get(name)
                .or_else(|| self.source.parameters.get(name));
            if [DURATION_MS, COUNT, SIM].contains(&name.as_str()) {
                let message =
                    format!("\"{name}\" is made by longest_ms, count_max or dev.allow_sim");
                self.problem(path, "required", message);
            } else if let Some(schema) = schema {
                if properties.insert(name.clone(), json_of(schema)).is_some() {
                    let message = format!("\"{name}\" is named twice in required and optional");
                    self.problem(path, "required", message);
                }
            } else {
                let known = self.source.parameters.keys().chain(text.parameters.keys());
                let mend = did_you_mean(name, known.map(String::as_str));
                let message = format!("\"{name}\" is described nowhere{mend}");
                self.problem(path, "required", message);
            }
        }
        for name in text
            .parameters
            .keys()
            .filter(|name| !properties.contains_key(*name))
        {
            let message = "is not used: name it in required or optional";
            self.problem(path, &format!("parameters.{name}"), message);
        }
        properties.extend(made_properties(text, self.defaults.allow_sim));
        properties
    }

    fn rates(
        &mut self,
        path: &str,
        text: &ToolText,
        properties: &Map<String, Value>,
    ) -> Option<Rates> {
        match Rates::check(&text.rate, text.kind, properties) {
            Ok(rates) => Some(rates),
            Err(faults) => {
                for (key, message) in faults {
                    self.problem(path, &join("rate", &key), message);
                }
                None
            }
        }
    }

    fn parameters(
        &mut self,
        path: &str,
        text: &ToolText,
        properties: Map<String, Value>,
    ) -> Option<Parameters> {
        let mut required = text.required.clone();
        required.extend(text.longest_ms.map(|_| DURATION_MS.to_owned()));
        match Parameters::new(properties, required) {
            Ok(parameters) => Some(parameters),
            Err(faults) => {
                for (name, message) in faults {
                    let name = name.unwrap_or_default();
                    let own = text.parameters.contains_key(&name);
                    let path = if own { path } else { "" };
                    self.problem(path, &format!("parameters.{name}"), message);
                }
                None
            }
        }
    }

    /// No request of the tool may be without a ceiling.
    fn check_ceiling(&mut self, path: &str, text: &ToolText, rates: &Rates) {
        let asked = Asked {
            max_ms: text.longest_ms,
            outputs: text.count_max.unwrap_or(1),
        };
        let endless = asked.outputs == 0 || asked.max_ms.is_some_and(|ms| ms == 0);
        if let Some(error) = rates.all().find_map(|rule| rule.ceiling(&asked).err()) {
            // A count or a length of nothing was reported where it stands.
            if !endless && text.longest_ms.is_some() == (text.rate.kind == RateKind::PerSecond) {
                self.problem(
                    path,
                    "rate.credits",
                    format!("its dearest request: {error}"),
                );
            }
        }
    }
}

impl Clocks {
    /// Which of the three does not stand in its place, and what to do about it.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if self.submission_timeout_ms == 0 {
            faults.push(("submission_timeout_ms", "must be 1 or more".to_owned()));
        }
        if self.submission_timeout_ms > self.deadline_ms {
            let message = format!(
                "submission_timeout_ms ({}) must not be above deadline_ms ({}): \
                 lower the first or raise the second",
                self.submission_timeout_ms, self.deadline_ms
            );
            faults.push(("submission_timeout_ms", message));
        }
        if self.deadline_ms > self.deadline_max_ms {
            let message = format!(
                "deadline_ms ({}) must not be above deadline_max_ms ({}): \
                 lower the first or raise the second",
                self.deadline_ms, self.deadline_max_ms
            );
            faults.push(("deadline_ms", message));
        }
        faults
    }
}

const NAME_RULE: &str = "must be of small letters, digits and inner dashes, at most 40";

/// Whether a text can be the name of a tool, queue, route or provider. Names stand in keys of the store, in environment variables and in idempotency keys.
pub fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=40).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn route_of(tool: &str, text: &RouteText) -> Route {
    Route {
        name: text.name.clone(),
        provider: text.provider.clone(),
        model: text.model.clone().unwrap_or_else(|| tool.to_owned()),
        only_when_pinned: text.only_when_pinned,
    }
}

/// The parameters that follow from other keys of a tool.
fn made_properties(text: &ToolText, allow_sim: bool) -> Vec<(String, Value)> {
    let mut made = Vec::new();
    if let Some(longest_ms) = text.longest_ms {
        let schema = json!({
            "description": "Longest output in milliseconds: it sets the ceiling of the price",
            "type": "integer",
            "minimum": text.shortest_ms.unwrap_or(1),
            "maximum": longest_ms,
        });
        made.push((DURATION_MS.to_owned(), schema));
    }
    if let Some(count_max) = text.count_max {
        let schema = json!({
            "description": "How many outputs",
            "type": "integer",
            "minimum": 1,
            "maximum": count_max,
            "default": text.count_default.unwrap_or(1),
        });
        made.push((COUNT.to_owned(), schema));
    }
    if allow_sim {
        let schema = json!({"description": "Steers the simulated provider", "type": "object"});
        made.push((SIM.to_owned(), schema));
    }
    made
}
