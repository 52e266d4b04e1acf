//! `webhook create`: an account gets an endpoint, and whoever makes it its secret, once.

use serde_json::json;

use super::{secret, unknown, url};
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::cli::server::Server;
use crate::desk::endpoints::created;
use crate::domain::ids::{AccountId, EndpointId, IdempotencyKey};
use crate::domain::webhook::Topics;
use crate::store::CreateEndpoint;
use crate::wire::EndpointRequest;

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
    /// What makes it happen once, through a server [default: a new one]
    #[arg(long, value_name = "ID", conflicts_with = "id")]
    op_id: Option<IdempotencyKey>,
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

/// An endpoint that is there now.
struct Made {
    endpoint: String,
    url: String,
    secret: String,
    replayed: bool,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    let has_secret = args.secret.is_some();
    let (account, topics) = (args.account.clone(), args.events.clone());
    let made = match call.server()? {
        Some(server) => through(&server, args).await?,
        None => at_the_store(call, args).await?,
    };
    // The secret of the first call counts, and only whoever gave it knows it.
    let shown = (!made.replayed || has_secret).then_some(&made.secret);
    let value = json!({
        "endpoint": made.endpoint,
        "account": account,
        "url": made.url,
        "events": topics.words(),
        "secret": shown,
        "status": if made.replayed { "replayed" } else { "created" },
    });
    call.out.show(&value, || {
        let secret = match shown {
            Some(secret) => format!("secret {secret}\nkeep it: it is not shown again"),
            None => "it had been made before; its secret is not shown again".to_owned(),
        };
        let (endpoint, url) = (&made.endpoint, &made.url);
        format!("endpoint {endpoint} of {account}: {topics} to {url}\n{secret}")
    })?;
    Ok(Exit::Done)
}

/// The secret is made here, so that a call whose answer was lost can be repeated with it.
async fn through(server: &Server, args: Args) -> Result<Made, Failure> {
    if args.id.is_some() {
        let message = "a server makes the id itself: name the operation with --op-id";
        return Err(Failure::new(Kind::Usage, message));
    }
    let secret = secret(args.secret.as_deref())?.expose().to_owned();
    let asked = EndpointRequest {
        url: args.url,
        events: Some(args.events.words().into_iter().map(str::to_owned).collect()),
        description: args.description,
        secret: Some(secret.clone()),
        reason: args.reason,
    };
    let key = args.op_id.map_or_else(
        || format!("cli-{}", uuid::Uuid::now_v7()),
        |id| id.as_str().to_owned(),
    );
    let account = args.account.as_str();
    let done = server.client.create_webhook(account, &asked, Some(&key));
    let done = done.await.map_err(|error| {
        let failure = Failure::from(error);
        if failure.kind() != Kind::UnknownOutcome {
            return failure;
        }
        failure.and_say(&format!("repeat with --op-id {key} --secret {secret}"))
    })?;
    // How the server writes the address is not worth the loss of the secret.
    let stands = server.client.webhook(&done.body.endpoint).await;
    Ok(Made {
        endpoint: done.body.endpoint,
        url: stands.map_or(asked.url, |stands| stands.url),
        secret,
        replayed: done.replayed,
    })
}

async fn at_the_store(call: &Call, args: Args) -> Result<Made, Failure> {
    if args.op_id.is_some() {
        let message = "--op-id is for a server: at the store itself name the endpoint with --id";
        return Err(Failure::new(Kind::Usage, message));
    }
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
    Ok(Made {
        endpoint: new.endpoint.to_string(),
        url: new.url,
        secret: new.secret,
        replayed,
    })
}
