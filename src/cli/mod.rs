//! The command line: one file for each noun, one for what all of them print, one for how they fail.
//!
//! Results go to stdout, everything else to stderr. Nothing here decides anything about money.

mod account;
mod audit;
mod bench;
mod completions;
mod config;
mod costs;
mod dead;
mod demo;
mod failure;
mod files;
mod freeze;
mod health;
mod hold;
mod house;
mod job;
mod jobs;
mod key;
mod man;
mod obligation;
mod output;
mod postgres;
mod projector;
mod provider;
mod queue;
mod quote;
mod rebuild;
mod request;
mod serve;
mod server;
mod simulate;
mod submit;
mod webhook;
mod worker;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use tracing_subscriber::filter::LevelFilter;

use crate::config::{Flag, environment};
use crate::telemetry;
use failure::{EXIT_CODES, Exit, Failure, Kind};
use house::House;
use output::{Format, Out};

/// The variable with the address of the store.
const REDIS_URL: &str = "METERLINE_REDIS_URL";

const EXAMPLES: &str = "Examples:
  meterline demo
  meterline account create acme
  meterline account grant acme --credits 100 --kind purchase --op-id pay-1 --reason \"top-up\"
  meterline submit --account acme --tool text-to-image --param prompt=\"a red fox\" --max-credits 7
  meterline serve --role worker --slots image=4,video=2
  meterline job watch JOB --timeout 60s";

/// A queue that meters what it runs: jobs and their credits move together.
#[derive(Debug, Parser)]
#[command(name = "meterline", version, after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes, before or after its name.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of every command")]
struct Global {
    /// Where the store is: redis://, rediss://, redis+unix:///path or redis+cluster://host:port,host:port
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = REDIS_URL,
        hide_env_values = true
    )]
    redis: Option<String>,
    /// Ask this server over HTTP instead of the store; its key stands in METERLINE_API_KEY
    #[arg(long, global = true, value_name = "URL", env = server::URL, hide_env_values = true)]
    url: Option<String>,
    /// Folder with settings that lie over the built-in ones [default: ./config where it exists]
    #[arg(long, global = true, value_name = "DIR", env = "METERLINE_CONFIG")]
    config: Option<PathBuf>,
    /// How results are printed
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    output: Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(DemoArgs),
    Serve(serve::Args),
    SimulateProvider(simulate::Args),
    Quote(quote::Args),
    Submit(submit::Args),
    #[command(subcommand)]
    Job(job::Command),
    Jobs(jobs::Args),
    #[command(subcommand)]
    Account(account::Command),
    #[command(subcommand)]
    Queue(queue::Command),
    #[command(subcommand)]
    Dead(dead::Command),
    #[command(subcommand)]
    Hold(hold::Command),
    #[command(subcommand)]
    Worker(worker::Command),
    #[command(subcommand)]
    Postgres(postgres::Command),
    #[command(subcommand)]
    Webhook(webhook::Command),
    #[command(subcommand)]
    Provider(provider::Command),
    #[command(subcommand)]
    Obligation(obligation::Command),
    #[command(subcommand)]
    Key(key::Command),
    Audit(audit::Args),
    Costs(costs::Args),
    Rebuild(rebuild::Args),
    Bench(bench::Args),
    #[command(subcommand)]
    Freeze(freeze::Command),
    #[command(subcommand)]
    Config(config::Command),
    Health(health::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Run the main job with everything that can go wrong once, on a store and a provider of its own
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline demo --keep")]
struct DemoArgs {
    /// Leave everything running, and print how to look at it
    #[arg(long)]
    keep: bool,
}

/// What a command was called with, and where it prints.
struct Call {
    global: Global,
    /// Where the address of the store was given, for whoever wonders.
    redis_origin: &'static str,
    /// The server to ask; none where the store itself is asked.
    url: Option<String>,
    out: Out,
}

impl Call {
    /// The settings with the flags of every command on top.
    ///
    /// # Errors
    /// A command that comes here works on the store itself: a server that was named is not passed over.
    fn house(&self) -> Result<House, Failure> {
        match &self.url {
            None => self.house_with(Vec::new()),
            Some(url) => {
                let message = format!(
                    "this command works on the store itself, not through the server at {url}: \
                     name the store with --redis URL"
                );
                Err(Failure::new(Kind::Usage, message))
            }
        }
    }

    /// The settings with some more flags on top.
    fn house_with(&self, mut flags: Vec<Flag>) -> Result<House, Failure> {
        let url = self.global.redis.iter().filter(|url| !url.is_empty());
        flags.extend(url.map(|url| Flag {
            name: self.redis_origin.to_owned(),
            key: "redis.url".to_owned(),
            value: url.clone(),
        }));
        let dir = self.global.config.as_deref();
        House::open(dir.filter(|dir| !dir.as_os_str().is_empty()), &flags)
    }
}

/// Runs the command of this process's arguments.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let (cli, origins) = match parse(&arguments) {
        Ok(parsed) => parsed,
        Err(exit) => return exit.into(),
    };
    // Only a second call in one process fails, and then the first provider stands.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let out = Out::new(cli.global.output);
    let exit = match asked(cli.global, &origins, out).and_then(|call| run(&call, cli.command)) {
        Ok(exit) => exit,
        Err(failure) => {
            out.failure(&failure);
            failure.kind().exit()
        }
    };
    exit.into()
}

/// Where addresses were given: on the command line, in the environment, not at all.
struct Origins {
    redis: Option<ValueSource>,
    url: Option<ValueSource>,
}

/// Whom a command asks. What stands on the command line goes above the environment; of the environment the
/// server goes above the store.
fn asked(global: Global, origins: &Origins, out: Out) -> Result<Call, Failure> {
    let typed = |origin: Option<ValueSource>| origin == Some(ValueSource::CommandLine);
    let url = global.url.clone().filter(|url| !url.is_empty());
    if typed(origins.redis) && typed(origins.url) {
        let message = "--redis and --url are two ways to the same store: name one";
        return Err(Failure::new(Kind::Usage, message));
    }
    let from_environment = origins.redis == Some(ValueSource::EnvVariable);
    Ok(Call {
        redis_origin: if from_environment {
            REDIS_URL
        } else {
            "--redis"
        },
        url: url.filter(|_| !typed(origins.redis)),
        global,
        out,
    })
}

/// The command, and where its addresses were given.
fn parse(arguments: &[OsString]) -> Result<(Cli, Origins), Exit> {
    let parsed = Cli::command()
        .try_get_matches_from(arguments)
        .and_then(|matches| {
            let mut origins = Origins {
                redis: matches.value_source("redis"),
                url: matches.value_source("url"),
            };
            let mut cli = Cli::from_arg_matches(&matches)?;
            if has_own_url(&matches) {
                let mut here = environment().filter(|(name, _)| name == server::URL);
                cli.global.url = here.next().map(|(_, url)| url);
                origins.url = Some(ValueSource::EnvVariable);
            }
            Ok((cli, origins))
        });
    parsed.map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            Exit::Done
        }
        _ if wants_json(arguments) => {
            Out::new(Format::Json).failure(&Failure::new(Kind::Usage, in_short(&error)));
            Exit::Usage
        }
        _ => {
            let _ = error.print();
            Exit::Usage
        }
    })
}

/// Whether the command has a `--url` of its own: then that one is not a server's.
fn has_own_url(matches: &ArgMatches) -> bool {
    let (mut command, mut matches) = (Cli::command(), matches);
    while let Some((name, inner)) = matches.subcommand() {
        let Some(found) = command.find_subcommand(name) else {
            return false;
        };
        (command, matches) = (found.clone(), inner);
    }
    command.get_name() != "meterline" && command.get_arguments().any(|one| one.get_id() == "url")
}

/// Whether a command line (without the program's name) can be understood; what is wrong with it
/// otherwise. For whoever writes commands into files and pages.
pub fn understands(arguments: &[String]) -> Result<(), String> {
    let line = std::iter::once("meterline").chain(arguments.iter().map(String::as_str));
    match Cli::try_parse_from(line) {
        Ok(_) => Ok(()),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(()),
            _ => Err(in_short(&error)),
        },
    }
}

/// What is wrong, without the usage and the hint at `--help` that follow it.
fn in_short(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let end = text
        .find("\n\nUsage:")
        .or(text.find("\n\nFor more information"));
    let words: Vec<&str> = text[..end.unwrap_or(text.len())]
        .split_whitespace()
        .collect();
    words.join(" ")
}

/// Whether the arguments ask for JSON, as far as that can be told where they are wrong.
fn wants_json(arguments: &[OsString]) -> bool {
    let pairs = arguments.windows(2);
    let apart = |pair: &[OsString]| pair[0] == "--output" && pair[1] == "json";
    arguments.iter().any(|argument| argument == "--output=json") || pairs.into_iter().any(apart)
}

fn run(call: &Call, command: Command) -> Result<Exit, Failure> {
    telemetry::start(match command {
        Command::Serve(_) | Command::SimulateProvider(_) => LevelFilter::INFO,
        Command::Demo(_)
        | Command::Quote(_)
        | Command::Submit(_)
        | Command::Job(_)
        | Command::Jobs(_)
        | Command::Account(_)
        | Command::Queue(_)
        | Command::Dead(_)
        | Command::Hold(_)
        | Command::Worker(_)
        | Command::Postgres(_)
        | Command::Webhook(_)
        | Command::Provider(_)
        | Command::Obligation(_)
        | Command::Key(_)
        | Command::Audit(_)
        | Command::Costs(_)
        | Command::Rebuild(_)
        | Command::Bench(_)
        | Command::Freeze(_)
        | Command::Config(_)
        | Command::Health(_)
        | Command::Completions(_)
        | Command::Man(_) => LevelFilter::WARN,
    });
    let has_csv = matches!(command, Command::Account(account::Command::Statement(_)));
    if call.out.format() == Format::Csv && !has_csv {
        let message = "only account statement writes csv: leave --output out, or use json";
        return Err(Failure::new(Kind::Usage, message));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match command {
            Command::Demo(args) => run_demo(args).await,
            Command::SimulateProvider(args) => simulate::run(call, args).await,
            Command::Serve(args) => serve::run(call, args).await,
            Command::Quote(args) => quote::run(call, args).await,
            Command::Submit(args) => submit::run(call, args).await,
            Command::Job(command) => job::run(call, command).await,
            Command::Jobs(args) => jobs::run(call, args).await,
            Command::Account(command) => account::run(call, command).await,
            Command::Queue(command) => queue::run(call, command).await,
            Command::Dead(command) => dead::run(call, command).await,
            Command::Hold(command) => hold::run(call, command).await,
            Command::Worker(command) => worker::run(call, command).await,
            Command::Postgres(command) => postgres::run(call, command).await,
            Command::Webhook(command) => webhook::run(call, command).await,
            Command::Provider(command) => provider::run(call, command).await,
            Command::Obligation(command) => obligation::run(call, command).await,
            Command::Key(command) => key::run(call, command).await,
            Command::Audit(args) => audit::run(call, args).await,
            Command::Costs(args) => costs::run(call, args).await,
            Command::Rebuild(args) => rebuild::run(call, args).await,
            Command::Bench(args) => bench::run(call, args).await,
            Command::Freeze(command) => freeze::run(call, command).await,
            Command::Config(command) => config::run(call, &command),
            Command::Health(args) => health::run(call, &args).await,
            Command::Completions(args) => completions::run(call, &args),
            Command::Man(args) => man::run(call, &args),
        }
    })
}

async fn run_demo(args: DemoArgs) -> Result<Exit, Failure> {
    match demo::run(args.keep).await {
        Ok(true) => Ok(Exit::Done),
        Ok(false) => Ok(Exit::Failed),
        Err(error) => Err(Failure::new(
            Kind::Io,
            format!("the demo failed: {error:#}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_explains_itself_with_an_example() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "{path} has no sentence");
            let more = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(more.contains("meterline "), "{path} has no example");
            command
                .get_subcommands()
                .for_each(|inner| check(inner, &path));
        }
        check(&Cli::command(), "");
    }

    #[test]
    fn the_address_of_an_endpoint_is_no_servers() {
        let own = |line: &str| {
            let matches = Cli::command().try_get_matches_from(line.split(' '));
            has_own_url(&matches.unwrap())
        };
        assert!(own("meterline webhook create acme --url https://x"));
        assert!(!own("meterline account show acme --url https://x"));
        assert!(!own("meterline --url https://x jobs"));
    }

    #[test]
    fn global_flags_stand_before_and_after_the_command() {
        for line in [
            "meterline --output json --redis redis://x audit",
            "meterline audit --output json --redis redis://x",
            "meterline account --output json show acme --redis redis://x",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(cli.global.output, Format::Json, "{line}");
            assert_eq!(cli.global.redis.as_deref(), Some("redis://x"), "{line}");
        }
    }
}
