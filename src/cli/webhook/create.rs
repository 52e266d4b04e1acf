//! `webhook create`: an account gets an endpoint, and whoever makes it its secret, once.

use serde_json::json;

use super::{secret, unknown, url};
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::desk::endpoints::created;
use crate::domain::ids::{AccountId, EndpointId};
use crate::domain::webhook::Topics;
use crate::store::CreateEndpoint;

const EXAMPLES: &str = "Examples:
  meterline webhook create acme --url https://acme.example/hooks
  meterline webhook create acme --url https://acme.example/hooks --events endings,job.queued --description \"shop\"";

/// Tell an account's server of its jobs; prints the secret that messages are signed with, once
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Args {
    account: AccountId,
    /// Where to post to: https, at a public address
    #[arg(long)]
    url: String,
    /// What to tell: endings, all, or job.queued, job.running, job.progress, job.succeeded, job.failed,
    /// job.timed_out, job.cancelled between commas
    #[arg(long, value_name = "TOPICS", default_value = "endings")]
    events: Topics,
    /// What it is for, for people
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,
    /// The endpoint's id, to repeat a call whose answer was lost [default: a new one]
    #[arg(long, value_name = "ENDPOINT")]
    id: Option<EndpointId>,
    /// A secret of one's own: whsec_ and the base64 of 24 to 64 bytes [default: a new one]
    #[arg(long, hide_env_values = true)]
    secret: Option<String>,
    /// Why, for the log of operators' acts
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    reason: String,
    /// Who does it
    #[arg(long, env = "USER", default_value = "cli")]
    actor: String,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    let house = call.house()?;
    let url = url(&house, &args.url)?;
    let secret = secret(args.secret.as_deref())?;
    let store = house.store().await?;
    let endpoint = match args.id {
        Some(id) if id.partition() != args.account.partition(store.partitions()) => {
            return Err(unknown(&id).and_say("an id belongs to the account it was made for"));
        }
        Some(id) => id,
        None => store.new_endpoint_id(&args.account),
    };
    let new = CreateEndpoint {
        account: args.account,
        endpoint,
        url,
        topics: args.events,
        secret: secret.expose().to_owned(),
        description: args.description,
        endpoints_max: house.settings().webhooks.endpoints_max,
        reason: args.reason,
        actor: args.actor,
    };
    let made = store.create_endpoint(&new).await.map_err(|error| {
        let failure = Failure::from(error);
        if failure.kind() != Kind::UnknownOutcome {
            return failure;
        }
        let again = format!("repeat with --id {} --secret {}", new.endpoint, new.secret);
        failure
            .and_say(&again)
            .with("endpoint", new.endpoint.as_str())
    })?;
    let replayed = created(&new, made)?;
    // The secret of the first call counts, and only whoever gave it knows it.
    let shown = (!replayed || args.secret.is_some()).then_some(&new.secret);
    let value = json!({
        "endpoint": new.endpoint,
        "account": new.account,
        "url": new.url,
        "events": new.topics.words(),
        "secret": shown,
        "status": if replayed { "replayed" } else { "created" },
    });
    call.out.show(&value, || {
        let (endpoint, account) = (&new.endpoint, &new.account);
        let secret = match shown {
            Some(secret) => format!("secret {secret}\nkeep it: it is not shown again"),
            None => "it had been made before; its secret is not shown again".to_owned(),
        };
        format!(
            "endpoint {endpoint} of {account}: {} to {}\n{secret}",
            new.topics, new.url
        )
    })?;
    Ok(Exit::Done)
}
