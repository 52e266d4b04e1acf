//! Reads the text of a catalogue: its keys, its version, and the lines its problems stand on.

use std::collections::BTreeSet;

use serde_json::Value;

use super::check::checked_tools;
use super::source::{CatalogueText, RateText, RouteText, ToolText, json_of};
use super::{Catalogue, Defaults};
use crate::domain::canonical::{canonical_json, sha256_hex};
use crate::domain::problem::{Lines, Problem, join, read_table, take_out, unknown_keys};

/// Hex digits of a price version.
const PRICE_VERSION_CHARS: usize = 12;

impl Catalogue {
    /// Reads a catalogue. Each problem names its line and its key; the caller adds the file.
    pub fn from_toml(text: &str, defaults: &Defaults) -> Result<Self, Vec<Problem>> {
        let lines = Lines::of_text(text).map_err(|problem| vec![problem])?;
        let on_lines = |problems: Vec<Problem>| -> Vec<Problem> {
            problems
                .into_iter()
                .map(|problem| problem.on_line(&lines))
                .collect()
        };
        let table: toml::Table = toml::from_str(text)
            .map_err(|error| vec![Problem::new("", error.message().to_owned())])?;
        let price_version = sha256_hex(&canonical_json(&json_of(&table)), PRICE_VERSION_CHARS);
        let (source, mut wrong) = typed(table);
        // What was taken out with its problem is not looked for a second time.
        let Some(source) = source else {
            return Err(on_lines(wrong));
        };
        match checked_tools(&source, defaults) {
            Ok(tools) if wrong.is_empty() => Ok(Self {
                tools,
                price_version,
            }),
            Ok(_) => Err(on_lines(wrong)),
            Err(more) => {
                wrong.extend(more);
                Err(on_lines(wrong))
            }
        }
    }
}

/// The tools that can be read, and what is wrong with the others; no text where what all tools share
/// cannot be read, or where no tool is left.
fn typed(mut table: toml::Table) -> (Option<CatalogueText>, Vec<Problem>) {
    let mut wrong = unknown_in(&table);
    let tools: BTreeSet<String> = wrong.iter().filter_map(tool_of).collect();
    // Keys that are in no tool are nothing that a tool could miss, unless they stand in a route.
    let shared_is_whole = !wrong
        .iter()
        .any(|problem| problem.key.starts_with("routes"));
    for key in tools.iter().chain(wrong.iter().map(|problem| &problem.key)) {
        take_out(&mut table, key);
    }
    loop {
        match read_table::<CatalogueText>(table.clone()) {
            Ok(source) => {
                let some_left = shared_is_whole && !source.tools.is_empty();
                let worth_checking = wrong.is_empty() || some_left;
                return (worth_checking.then_some(source), wrong);
            }
            Err(problem) => {
                let tool = tool_of(&problem);
                let taken = tool.is_some_and(|tool| take_out(&mut table, &tool));
                wrong.push(problem);
                if !taken {
                    return (None, wrong);
                }
            }
        }
    }
}

/// The tool that a problem is in, as a dotted key.
fn tool_of(problem: &Problem) -> Option<String> {
    let mut parts = problem.key.split('.');
    (parts.next()? == "tools").then_some(())?;
    Some(join("tools", parts.next()?))
}

/// The JSON Schema of a catalogue file, for editors and for whoever writes one by a program.
pub fn schema() -> Value {
    schemars::schema_for!(CatalogueText).to_value()
}

fn unknown_in(table: &toml::Table) -> Vec<Problem> {
    let mut found = unknown_keys::<CatalogueText>("", table);
    let as_tables = |value: Option<&toml::Value>| -> Vec<toml::Table> {
        let items = value.and_then(toml::Value::as_array).into_iter().flatten();
        items.filter_map(toml::Value::as_table).cloned().collect()
    };
    let routes = |path: &str, value: Option<&toml::Value>| -> Vec<Problem> {
        let routes = as_tables(value).into_iter().enumerate();
        routes
            .flat_map(|(index, route)| {
                unknown_keys::<RouteText>(&format!("{path}[{index}]"), &route)
            })
            .collect()
    };
    found.extend(routes("routes", table.get("routes")));
    let tools = table
        .get("tools")
        .and_then(toml::Value::as_table)
        .into_iter()
        .flatten();
    for (name, tool) in tools {
        let Some(tool) = tool.as_table() else {
            continue;
        };
        let path = format!("tools.{name}");
        found.extend(unknown_keys::<ToolText>(&path, tool));
        found.extend(routes(&format!("{path}.routes"), tool.get("routes")));
        if let Some(rate) = tool.get("rate").and_then(toml::Value::as_table) {
            found.extend(unknown_keys::<RateText>(&format!("{path}.rate"), rate));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::catalogue::Clocks;

    const GOOD: &str = r#"
[[routes]]
name = "sim"
provider = "sim"

[parameters.resolution]
enum = ["480p", "720p"]
default = "720p"

[tools.clip]
title = "Clip"
queue = "video"
kind = "video"
longest_ms = 10000
required = []
optional = ["resolution"]

[tools.clip.rate]
kind = "per_second"
credits = 7
by = ["resolution"]
credits_by = { 480p = 3 }
"#;

    fn read(text: &str) -> Result<Catalogue, Vec<Problem>> {
        let clocks = Clocks {
            submission_timeout_ms: 1,
            deadline_ms: 2,
            deadline_max_ms: 3,
        };
        let queues = BTreeMap::from([("video".to_owned(), clocks)]);
        Catalogue::from_toml(
            text,
            &Defaults {
                queues,
                tries_max: 3,
                allow_sim: false,
            },
        )
    }

    fn problems_with(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from} stands in the text");
        let problems = read(&GOOD.replacen(from, to, 1)).expect_err(to);
        problems
            .iter()
            .map(Problem::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn every_mistake_names_its_line_its_key_and_the_mend() {
        for (from, to, expected) in [
            (
                "queue = ",
                "qeue = ",
                "line 12:1: tools.clip.qeue: unknown key; did you mean \"queue\"?",
            ),
            (
                "credits = 7",
                "credit = 7",
                "line 20:1: tools.clip.rate.credit: unknown key",
            ),
            (
                "provider = ",
                "host = ",
                "line 4:1: routes[0].host: unknown key; known here",
            ),
            (
                "name = \"sim\"",
                "name = \"Sim\"",
                "line 3:1: routes[0].name: must be of small letters",
            ),
            (
                "\"video\"\nkind",
                "\"vido\"\nkind",
                "line 12:1: tools.clip.queue: no [queues.vido]",
            ),
            (
                "longest_ms = 10000",
                "",
                "line 10:8: tools.clip.longest_ms: a tool priced per second",
            ),
            (
                "longest_ms = 10000",
                "longest_ms = 0",
                "line 14:1: tools.clip.longest_ms: must be",
            ),
            (
                "10000",
                "\"10 s\"",
                "line 14:1: tools.clip.longest_ms: invalid type: string",
            ),
            (
                "credits = 7",
                "credits = 0.5",
                "line 20:1: tools.clip.rate.credits: invalid type",
            ),
            (
                "credits = 7",
                "credits = 0",
                "line 20:1: tools.clip.rate.credits: build the rule",
            ),
            (
                "credits = 7",
                "credits = -1",
                "line 20:1: tools.clip.rate.credits: read the amount",
            ),
            (
                "480p = 3",
                "360p = 3",
                "tools.clip.rate.credits_by.360p: no request can have",
            ),
            (
                "[\"resolution\"]\ncre",
                "[\"resolutoin\"]\ncre",
                "did you mean \"resolution\"?",
            ),
            (
                "[\"resolution\"]\n\n",
                "[\"size\"]\n\n",
                "line 15:1: tools.clip.required: \"size\" is",
            ),
            (
                "[\"resolution\"]\n\n",
                "[\"count\"]\n\n",
                "\"count\" is made by",
            ),
            (
                "kind = \"video\"",
                "kind = \"image\"",
                "tools.clip.rate.kind: an image has no length",
            ),
            (
                "default = \"720p\"",
                "default = \"8k\"",
                "line 6:13: parameters.resolution: its default",
            ),
            (
                "enum = [",
                "type = [",
                "line 6:13: parameters.resolution: is not a JSON Schema",
            ),
            (
                "[[routes]]",
                "[[routes]]\nonly_when_pinned = true",
                "needs a route that is not",
            ),
            (
                "title = \"Clip\"",
                "deadline_ms = 9\ntitle = \"Clip\"",
                "deadline_ms (9) must not be",
            ),
            ("title = \"Clip\"", "title = = 1", "line 11:9: "),
            (
                "credits = 7",
                "credits = 7\nsnap_ms = 1000",
                "tools.clip.rate.snap_ms: build the rule",
            ),
        ] {
            let shown = problems_with(from, to);
            assert!(
                shown.contains(expected),
                "expected {expected:?} in:\n{shown}"
            );
        }
    }

    #[test]
    fn all_mistakes_are_named_at_once() {
        let text = GOOD
            .replace("10000", "0")
            .replace("credits = 7", "credits = 0");
        assert_eq!(read(&text).expect_err("two mistakes").len(), 2);
    }

    #[test]
    fn what_two_tools_share_is_reported_once() {
        let second = "[tools.still]\ntitle = \"Still\"\nqueue = \"video\"\nkind = \"image\"\n\
                      required = []\nrate = { kind = \"flat\", credits = 3 }\n";
        let text = format!("{GOOD}{second}");
        assert_eq!(read(&text).expect("two tools").tools().count(), 2);
        let problems = read(&text.replace("name = \"sim\"", "name = \"Sim\"")).expect_err("Sim");
        assert_eq!(problems.len(), 1, "{problems:?}");
    }

    #[test]
    fn a_price_version_follows_the_content_and_not_the_comments() {
        let version = |text: &str| read(text).expect(text).price_version().to_owned();
        let first = version(GOOD);
        assert_eq!(first.len(), PRICE_VERSION_CHARS);
        assert_eq!(version(&format!("# a comment\n{GOOD}")), first);
        assert_ne!(version(&GOOD.replace("credits = 7", "credits = 8")), first);
    }
}
