//! Which command asks which route of a server, and why the others do not: a new command has to say.

use std::collections::{BTreeMap, BTreeSet};

use clap::CommandFactory;
use serde_json::Value;

use crate::cli::Cli;

/// How a command works where a server is named.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// By this route first of all.
    Route(&'static str),
    /// It needs the store, and says so.
    Store(&'static str),
    /// It asks neither.
    Neither,
}

use Way::{Neither, Route, Store};

const HOUSE: &str = "looks after the house itself";
const LATER: &str = "the server has a route, and the typed client no method yet";

const WAYS: [(&str, Way); 64] = [
    ("demo", Neither),
    ("serve", Store(HOUSE)),
    ("simulate-provider", Neither),
    ("quote", Route("POST /v1/quotes")),
    ("submit", Route("POST /v1/jobs")),
    ("job show", Route("GET /v1/jobs/{job}/explain")),
    ("job watch", Route("GET /v1/jobs/{job}/events")),
    ("job cancel", Route("POST /v1/jobs/{job}/cancel")),
    ("job explain", Route("GET /v1/jobs/{job}/explain")),
    ("job force-fail", Route("POST /v1/jobs/{job}/force-fail")),
    ("jobs", Route("GET /v1/jobs")),
    ("account create", Route("POST /v1/accounts")),
    ("account show", Route("GET /v1/accounts/{account}")),
    ("account grant", Route("POST /v1/accounts/{account}/grants")),
    (
        "account daily",
        Route("POST /v1/accounts/{account}/daily-reward"),
    ),
    ("account plan", Store(LATER)),
    (
        "account adjust",
        Route("POST /v1/accounts/{account}/adjustments"),
    ),
    (
        "account clawback",
        Route("POST /v1/accounts/{account}/clawbacks"),
    ),
    ("account refund", Route("POST /v1/jobs/{job}/refund")),
    ("account limits", Store(LATER)),
    ("account caps", Store(LATER)),
    ("account close", Store(LATER)),
    ("account reopen", Store(LATER)),
    ("account ledger", Route("GET /v1/accounts/{account}/ledger")),
    (
        "account statement",
        Route("GET /v1/accounts/{account}/statement"),
    ),
    ("account freeze", Route("POST /v1/freezes")),
    ("queue ls", Route("GET /v1/queues")),
    ("queue pause", Route("POST /v1/queues/{queue}/halt")),
    ("queue drain", Route("POST /v1/queues/{queue}/halt")),
    ("queue resume", Route("POST /v1/queues/{queue}/halt")),
    ("dead ls", Route("GET /v1/dead-letters")),
    ("dead show", Route("GET /v1/jobs/{job}/explain")),
    ("dead retry", Route("POST /v1/dead-letters/retry")),
    ("dead drop", Route("POST /v1/dead-letters/drop")),
    ("hold ls", Route("GET /v1/holds")),
    ("worker ls", Route("GET /v1/workers")),
    ("worker drain", Route("POST /v1/workers/{worker}/drain")),
    ("postgres migrate", Store(HOUSE)),
    ("postgres check", Store(HOUSE)),
    (
        "webhook create",
        Route("POST /v1/accounts/{account}/webhooks"),
    ),
    ("webhook ls", Route("GET /v1/accounts/{account}/webhooks")),
    ("webhook show", Route("GET /v1/webhooks/{endpoint}")),
    ("webhook test", Route("POST /v1/webhooks/{endpoint}/test")),
    (
        "webhook rotate",
        Route("POST /v1/webhooks/{endpoint}/rotate"),
    ),
    (
        "webhook enable",
        Route("POST /v1/webhooks/{endpoint}/state"),
    ),
    (
        "webhook disable",
        Route("POST /v1/webhooks/{endpoint}/state"),
    ),
    ("webhook rm", Route("POST /v1/webhooks/{endpoint}/state")),
    (
        "webhook dead ls",
        Route("GET /v1/webhooks/{endpoint}/dead-letters"),
    ),
    (
        "webhook dead redeliver",
        Route("POST /v1/webhooks/{endpoint}/redeliver"),
    ),
    ("provider ls", Neither),
    ("provider check", Store(HOUSE)),
    ("obligation ls", Store(LATER)),
    (
        "key",
        Store("keys are made at the store, so that a first one can be"),
    ),
    ("audit", Store(HOUSE)),
    ("costs", Route("GET /v1/costs")),
    ("rebuild", Store(HOUSE)),
    ("bench", Store("it makes a store of its own")),
    ("freeze ls", Route("GET /v1/freezes")),
    ("freeze partition", Route("POST /v1/freezes")),
    ("freeze clear", Route("POST /v1/freezes/clear")),
    ("config", Neither),
    ("health", Neither),
    ("completions", Neither),
    ("man", Neither),
];

/// Every command that has no commands below it.
fn leaves(command: &clap::Command, path: &str, found: &mut Vec<String>) {
    let below: Vec<_> = command.get_subcommands().collect();
    if below.is_empty() {
        found.push(path.to_owned());
    }
    for inner in below {
        let path = format!("{path} {}", inner.get_name());
        leaves(inner, path.trim(), found);
    }
}

/// The routes of the document, as `METHOD path`.
fn routes() -> BTreeSet<String> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    let text = std::fs::read_to_string(file).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let routes = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().keys();
        methods.map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    routes.collect()
}

#[test]
fn every_command_says_how_it_works_through_a_server() {
    let ways: BTreeMap<&str, Way> = WAYS.into();
    assert_eq!(ways.len(), WAYS.len(), "a command stands there twice");
    let mut commands = Vec::new();
    leaves(&Cli::command(), "", &mut commands);
    let mut said = BTreeSet::new();
    for command in &commands {
        // A noun can say it for all that it does.
        let noun = command.split(' ').next().unwrap();
        let name = [command.as_str(), noun]
            .into_iter()
            .find(|name| ways.contains_key(name));
        let name = name.unwrap_or_else(|| panic!("`{command}` is not in the table"));
        said.insert(name);
    }
    let all: BTreeSet<&str> = ways.keys().copied().collect();
    assert_eq!(all, said, "the table names commands that there are not");
    let routes = routes();
    for (command, way) in WAYS {
        match way {
            Route(route) => assert!(routes.contains(route), "{command}: {route}"),
            Store(why) => assert!(!why.is_empty(), "{command}"),
            Neither => {}
        }
    }
}

#[test]
fn the_page_names_every_command_that_goes_through_a_server() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/http-api.md");
    let page = std::fs::read_to_string(file).unwrap();
    let (_, said) = page.split_once("**The command line.**").unwrap();
    let (said, _) = said.split_once("go through a server").unwrap();
    let mut named = BTreeSet::new();
    for words in said.split('`').skip(1).step_by(2) {
        let (noun, acts) = words.rsplit_once(' ').unwrap_or((words, ""));
        for act in acts.split('|') {
            named.insert(format!("{noun} {act}").trim().to_owned());
        }
    }
    for (command, way) in WAYS {
        let goes = matches!(way, Route(_));
        assert_eq!(named.contains(command), goes, "{command}: {named:?}");
    }
}
