//! `webhook dead`: messages that were given up, looked at and put back by hand.

use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use serde_json::json;

use super::found;
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::cli::output::{note, rfc3339, rows, table};
use crate::cli::server::Server;
use crate::desk::endpoints::redelivered;
use crate::domain::ids::EndpointId;
use crate::store::{DeadMessage, Store};
use crate::wire::{GivenUp, RedeliverRequest};

/// Look at messages that were given up, and send them again
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  meterline webhook dead ls ENDPOINT\n  meterline webhook dead redeliver ENDPOINT --all --reason \"it is back\""
)]
pub(in crate::cli) enum Command {
    Ls(LsArgs),
    Redeliver(RedeliverArgs),
}

/// List an endpoint's dead letters, newest first
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline webhook dead ls ENDPOINT --limit 20")]
pub(in crate::cli) struct LsArgs {
    /// The endpoint's id, as `webhook ls` shows it
    endpoint: EndpointId,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

/// Put dead letters back into the outbox, under the ids they had
///
/// The outbox takes as many as it has room for; nothing that waits there is dropped for them.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  meterline webhook dead redeliver ENDPOINT ENTRY --reason \"it is back\"\n  meterline webhook dead redeliver ENDPOINT --all --reason \"it is back\""
)]
pub(in crate::cli) struct RedeliverArgs {
    /// The endpoint's id, as `webhook ls` shows it
    endpoint: EndpointId,
    /// The dead letter's entry, as `webhook dead ls` shows it
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    entry: Option<String>,
    /// All of them, the oldest first
    #[arg(long)]
    all: bool,
    /// Why, for the log of operators' acts
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    /// Who does it
    #[arg(long, env = "USER", default_value = "cli")]
    actor: String,
}

pub(in crate::cli) async fn run(call: &Call, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Ls(args) => ls(call, args).await,
        Command::Redeliver(args) => redeliver(call, args).await,
    }
}

async fn ls(call: &Call, args: LsArgs) -> Result<Exit, Failure> {
    let (messages, all) = match call.server()? {
        Some(server) => {
            let all = server.endpoint(&args.endpoint).await?.dead;
            (server.given_up(&args.endpoint, args.limit).await?, all)
        }
        None => {
            let store = call.house()?.store().await?;
            found(&store, &args.endpoint).await?;
            let page = store.dead_messages(&args.endpoint, args.limit, None);
            let page = page.await?;
            (page.messages.into_iter().map(given_up).collect(), page.all)
        }
    };
    call.out.show(&messages, || text(&messages))?;
    let shown = messages.len() as u64;
    if shown < all && !call.out.is_json() {
        note(&format!("these are the newest {shown} of {all}"));
    }
    Ok(Exit::Done)
}

fn given_up(dead: DeadMessage) -> GivenUp {
    GivenUp {
        job: dead.happened.text("j").map(str::to_owned),
        happened_at: rfc3339(dead.happened.at_ms),
        given_up_at: rfc3339(dead.died_ms),
        entry: dead.entry,
        message: dead.happened.message,
        event: dead.happened.event,
        tries: dead.tries,
        why: dead.why,
    }
}

fn text(messages: &[GivenUp]) -> String {
    let mut listed = table(&["entry", "given up", "tries", "why", "event", "job"]);
    for dead in messages {
        listed.add_row([
            dead.entry.clone(),
            dead.given_up_at.clone().unwrap_or_default(),
            dead.tries.to_string(),
            dead.why.clone(),
            dead.event.clone(),
            dead.job.clone().unwrap_or_default(),
        ]);
    }
    rows(&listed, "no dead letters")
}

async fn redeliver(call: &Call, args: RedeliverArgs) -> Result<Exit, Failure> {
    let door = match call.server()? {
        Some(server) => Door::Server(server),
        None => {
            let house = call.house()?;
            Door::Store(house.store().await?, house.settings().webhooks.outbox_max)
        }
    };
    let (mut messages, mut left, mut full) = (0, 0, false);
    loop {
        match door.step(&args).await {
            Ok((more, rest)) => {
                messages += more;
                left = rest;
            }
            Err(failure) if failure.kind() == Kind::OutboxFull && messages > 0 => full = true,
            Err(failure)
                if failure.kind() == Kind::UnknownMessage && (messages > 0 || args.all) =>
            {
                break;
            }
            Err(failure) => return Err(failure),
        }
        if !args.all || left == 0 || full {
            break;
        }
    }
    let value = json!({"endpoint": args.endpoint, "redelivered": messages, "left": left, "outbox_full": full});
    call.out.show(&value, || {
        let more = if full {
            "; the outbox is full, repeat for the others later"
        } else {
            ""
        };
        format!("{messages} put back, {left} left{more}")
    })?;
    Ok(Exit::Done)
}

/// Whom the command asks; of the store itself, how much an outbox holds.
enum Door {
    Server(Server),
    Store(Store, u32),
}

impl Door {
    /// How many messages are back, and how many dead letters are left.
    async fn step(&self, args: &RedeliverArgs) -> Result<(u32, u32), Failure> {
        let done = match self {
            Self::Server(server) => {
                let asked = RedeliverRequest {
                    entry: args.entry.clone(),
                    reason: args.reason.clone(),
                };
                let done = server
                    .client
                    .redeliver_webhook(args.endpoint.as_str(), &asked);
                done.await
                    .map(|done| (done.redelivered, done.left))
                    .map_err(Failure::from)
            }
            Self::Store(store, outbox_max) => {
                let entry = args.entry.as_deref();
                let (reason, actor) = (&args.reason, &args.actor);
                let done = store.redeliver(&args.endpoint, entry, *outbox_max, reason, actor);
                match done.await {
                    Ok(done) => redelivered(&args.endpoint, done).map_err(Failure::from),
                    Err(error) => Err(error.into()),
                }
            }
        };
        done.map_err(|failure| {
            if failure.kind() == Kind::UnknownOutcome {
                return failure.and_say(
                    "repeat the same command: what is back already is not put back twice",
                );
            }
            failure
        })
    }
}
