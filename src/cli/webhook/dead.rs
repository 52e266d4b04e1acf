//! `webhook dead`: messages that were given up, looked at and put back by hand.

use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Value, json};

use super::found;
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::cli::output::{note, rfc3339, rows, table};
use crate::desk::endpoints::redelivered;
use crate::domain::ids::EndpointId;
use crate::store::{DeadMessage, Redelivered, Store};

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
    let store = call.house()?.store().await?;
    found(&store, &args.endpoint).await?;
    let page = store
        .dead_messages(&args.endpoint, args.limit, None)
        .await?;
    let values: Vec<Value> = page.messages.iter().map(as_json).collect();
    call.out.show(&values, || text(&page.messages))?;
    let shown = page.messages.len() as u64;
    if shown < page.all && !call.out.is_json() {
        note(&format!("these are the newest {shown} of {}", page.all));
    }
    Ok(Exit::Done)
}

fn as_json(dead: &DeadMessage) -> Value {
    json!({
        "entry": dead.entry,
        "message": dead.happened.message,
        "event": dead.happened.event,
        "job": dead.happened.text("j"),
        "happened_at": rfc3339(dead.happened.at_ms),
        "tries": dead.tries,
        "why": dead.why,
        "given_up_at": rfc3339(dead.died_ms),
    })
}

fn text(messages: &[DeadMessage]) -> String {
    let mut listed = table(&["entry", "given up", "tries", "why", "event", "job"]);
    for dead in messages {
        listed.add_row([
            dead.entry.clone(),
            rfc3339(dead.died_ms).unwrap_or_default(),
            dead.tries.to_string(),
            dead.why.clone(),
            dead.happened.event.clone(),
            dead.happened.text("j").unwrap_or_default().to_owned(),
        ]);
    }
    rows(&listed, "no dead letters")
}

async fn redeliver(call: &Call, args: RedeliverArgs) -> Result<Exit, Failure> {
    let house = call.house()?;
    let store = house.store().await?;
    let outbox_max = house.settings().webhooks.outbox_max;
    let (mut messages, mut left, mut full) = (0, 0, false);
    loop {
        match step(&store, &args, outbox_max).await? {
            Redelivered::Full if messages > 0 => full = true,
            Redelivered::Nothing if messages > 0 || args.all => break,
            done => {
                let (more, rest) = redelivered(&args.endpoint, done)?;
                messages += more;
                left = rest;
            }
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

async fn step(
    store: &Store,
    args: &RedeliverArgs,
    outbox_max: u32,
) -> Result<Redelivered, Failure> {
    let entry = args.entry.as_deref();
    let (reason, actor) = (&args.reason, &args.actor);
    let done = store.redeliver(&args.endpoint, entry, outbox_max, reason, actor);
    done.await.map_err(|error| {
        let failure = Failure::from(error);
        if failure.kind() == Kind::UnknownOutcome {
            return failure
                .and_say("repeat the same command: what is back already is not put back twice");
        }
        failure
    })
}
