//! `provider`: who makes the outputs, and whether they can be reached.

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::Subcommand;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::failure::{Exit, Failure, Kind};
use super::house::House;
use super::output::{rows, table};
use super::{Call, config};
use crate::domain::nearest::did_you_mean;
use crate::provider::{Attach, Engine, Providers, Standing};

/// Look at the providers
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  meterline provider ls\n  meterline provider check cog")]
pub(super) enum Command {
    Ls(LsArgs),
    Check(CheckArgs),
}

/// List the providers: where they are, how a submission is taken over, and whether their key is set
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline provider ls --output json")]
pub(super) struct LsArgs {}

/// Ask providers whether they are up
///
/// Sends one GET to the health page that a provider's file names, or to its base URL; never a request
/// that starts or costs anything. Exits with 1 where one that was asked is not up or has no key.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  meterline provider check\n  meterline provider check cog --output json"
)]
pub(super) struct CheckArgs {
    /// Only these; without a name, those that a tool has a route to
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

pub(super) async fn run(call: &Call, command: Command) -> Result<Exit, Failure> {
    let house = call.house_with(Vec::new())?;
    let providers = config::providers(&house)?;
    match command {
        Command::Ls(LsArgs {}) => {
            let names = providers.names();
            let all: Vec<_> = names.filter_map(|name| providers.get(name)).collect();
            ls(call, &all)
        }
        Command::Check(args) if args.names.is_empty() => {
            check(call, &routed(&house, &providers)).await
        }
        Command::Check(args) => check(call, &named(&providers, &args.names)?).await,
    }
}

/// Those that some tool has a route to.
fn routed(house: &House, providers: &Providers) -> Vec<Arc<Engine>> {
    let tools = house.loaded.catalogue.tools();
    let names: BTreeSet<&str> = tools
        .flat_map(|tool| tool.routes.iter().map(|route| route.provider.as_str()))
        .collect();
    names
        .into_iter()
        .filter_map(|name| providers.get(name))
        .collect()
}

fn named(providers: &Providers, names: &[String]) -> Result<Vec<Arc<Engine>>, Failure> {
    let one = |name: &String| {
        providers.get(name).ok_or_else(|| {
            let mend = did_you_mean(name, providers.names());
            let message = format!("there is no provider {name}{mend}");
            Failure::new(Kind::UnknownProvider, message)
        })
    };
    names.iter().map(one).collect()
}

fn ls(call: &Call, engines: &[Arc<Engine>]) -> Result<Exit, Failure> {
    let values: Vec<Value> = engines.iter().map(|engine| facts(engine)).collect();
    call.out.show(&values, || {
        let mut list = table(&[
            "provider", "base url", "takeover", "hosts", "outputs", "key",
        ]);
        for engine in engines {
            list.add_row([
                engine.name().to_owned(),
                engine.base_url().to_owned(),
                takeover(engine).to_owned(),
                engine.hosts().join(" "),
                networks(engine),
                key(engine),
            ]);
        }
        rows(&list, "no providers")
    })?;
    Ok(Exit::Done)
}

async fn check(call: &Call, engines: &[Arc<Engine>]) -> Result<Exit, Failure> {
    let asked = join_all(engines.iter().map(|engine| engine.standing())).await;
    let seen: Vec<(&Arc<Engine>, &Standing)> = engines.iter().zip(&asked).collect();
    let values: Vec<Value> = seen
        .iter()
        .map(|(engine, standing)| {
            let mut value = facts(engine);
            value["standing"] = json!(standing.as_str());
            value["reason"] = json!(standing.reason());
            value
        })
        .collect();
    call.out.show(&values, || {
        let mut list = table(&["provider", "base url", "key", "standing", "reason"]);
        for (engine, standing) in &seen {
            list.add_row([
                engine.name().to_owned(),
                engine.base_url().to_owned(),
                key(engine),
                standing.as_str().replace('_', " "),
                standing.reason().unwrap_or_default().to_owned(),
            ]);
        }
        rows(&list, "no providers")
    })?;
    let fine = |(engine, standing): &(&Arc<Engine>, &Standing)| {
        standing.is_up() && engine.missing_key().is_none()
    };
    Ok(if seen.iter().all(fine) {
        Exit::Done
    } else {
        Exit::Failed
    })
}

fn facts(engine: &Engine) -> Value {
    let variable = (engine.key_id() != "none").then(|| engine.key_id());
    let networks = engine.allow_cidr().iter().map(ToString::to_string);
    json!({
        "provider": engine.name(),
        "base_url": engine.base_url(),
        "attach": engine.attach(),
        "takes_key": engine.takes_idempotency_key(),
        "hosts": engine.hosts(),
        "allow_cidr": networks.collect::<Vec<_>>(),
        "key_variable": variable,
        "key_present": engine.missing_key().is_none(),
        "preset_version": engine.preset_version(),
    })
}

fn takeover(engine: &Engine) -> &'static str {
    match engine.attach() {
        Attach::Poll => "polls",
        Attach::ResubmitSameId => "sends it again",
        Attach::None => "never",
    }
}

/// Where outputs may be fetched from.
fn networks(engine: &Engine) -> String {
    let private = engine.allow_cidr().iter().map(ToString::to_string);
    let private: Vec<String> = private.collect();
    match private.is_empty() {
        true => "public".to_owned(),
        false => format!("public {}", private.join(" ")),
    }
}

fn key(engine: &Engine) -> String {
    match (engine.key_id(), engine.missing_key()) {
        ("none", _) => "none needed".to_owned(),
        (variable, None) => format!("{variable} is set"),
        (variable, Some(_)) => format!("{variable} is missing"),
    }
}
