//! `webhook enable`, `disable`, `rotate`, `rm`: what operators do to an endpoint.

use clap::builder::NonEmptyStringValueParser;
use serde_json::json;

use super::secret;
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::cli::output::duration;
use crate::cli::request::span_ms;
use crate::desk::endpoints::acted;
use crate::domain::ids::EndpointId;
use crate::store::EndpointAct;
use crate::wire::EndpointRotateRequest;

/// Tell a disabled endpoint again; what waited there goes out
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline webhook enable ENDPOINT --reason \"it is back\"")]
pub(in crate::cli) struct EnableArgs {
    #[command(flatten)]
    about: About,
}

/// Tell an endpoint nothing more; what waits there stays, and nothing new comes in
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  meterline webhook disable ENDPOINT --reason \"moves to another host\""
)]
pub(in crate::cli) struct DisableArgs {
    #[command(flatten)]
    about: About,
}

/// Remove an endpoint with all that waits for it and all that was given up
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline webhook rm ENDPOINT --reason \"the shop is closed\"")]
pub(in crate::cli) struct RmArgs {
    #[command(flatten)]
    about: About,
}

/// Give an endpoint a new secret, printed once; the one before it signs beside it for a while
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  meterline webhook rotate ENDPOINT --reason \"every quarter\"\n  meterline webhook rotate ENDPOINT --overlap 0s --reason \"it leaked\""
)]
pub(in crate::cli) struct RotateArgs {
    #[command(flatten)]
    about: About,
    /// How long both secrets sign [default: webhooks.overlap_ms of the settings]
    #[arg(long, value_name = "TIME", value_parser = span_ms)]
    overlap: Option<u64>,
    /// A secret of one's own, or the one to repeat with: whsec_ and the base64 of 24 to 64 bytes
    #[arg(long)]
    secret: Option<String>,
}

/// Which endpoint, and for the log of acts why and by whom.
#[derive(Debug, clap::Args)]
pub(super) struct About {
    /// The endpoint's id, as `webhook ls` shows it
    endpoint: EndpointId,
    /// Why, for the log of operators' acts
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    /// Who does it
    #[arg(long, env = "USER", default_value = "cli")]
    actor: String,
}

pub(super) async fn enable(call: &Call, args: EnableArgs) -> Result<Exit, Failure> {
    change(call, args.about, &EndpointAct::Enable, "enabled").await
}

pub(super) async fn disable(call: &Call, args: DisableArgs) -> Result<Exit, Failure> {
    change(call, args.about, &EndpointAct::Disable, "disabled").await
}

pub(super) async fn rm(call: &Call, args: RmArgs) -> Result<Exit, Failure> {
    change(call, args.about, &EndpointAct::Remove, "removed").await
}

async fn change(call: &Call, about: About, act: &EndpointAct, word: &str) -> Result<Exit, Failure> {
    let changed = match call.server()? {
        Some(server) => {
            let done = server.set_endpoint(&about.endpoint, word, about.reason);
            done.await.map_err(repeat)?
        }
        None => {
            let store = call.house()?.store().await?;
            let done = store.act_on_endpoint(&about.endpoint, act, &about.reason, &about.actor);
            let done = done.await.map_err(|error| repeat(error.into()))?;
            acted(&about.endpoint, done)?
        }
    };
    let value = json!({"endpoint": about.endpoint, "state": word, "changed": changed});
    call.out.show(&value, || {
        let already = if changed { "" } else { " already" };
        format!("endpoint {} is{already} {word}", about.endpoint)
    })?;
    Ok(Exit::Done)
}

pub(super) async fn rotate(call: &Call, args: RotateArgs) -> Result<Exit, Failure> {
    let secret = secret(args.secret.as_deref())?;
    let secret = secret.expose().to_owned();
    let endpoint = args.about.endpoint.clone();
    let (changed, overlap_ms) = match call.server()? {
        Some(server) => {
            let asked = EndpointRotateRequest {
                overlap_ms: args.overlap,
                secret: Some(secret.clone()),
                reason: args.about.reason,
            };
            let done = server.client.rotate_webhook(endpoint.as_str(), &asked);
            let done = done
                .await
                .map_err(|error| repeat_with(error.into(), &secret))?;
            let overlap_ms = done.body.overlap_ms.or(args.overlap).unwrap_or(0);
            (!done.replayed, overlap_ms)
        }
        None => rotate_at_the_store(call, args, &secret).await?,
    };
    let value = json!({"endpoint": endpoint, "secret": secret, "changed": changed, "overlap_ms": overlap_ms});
    call.out.show(&value, || {
        let both = match overlap_ms {
            _ if !changed => "it was the secret already".to_owned(),
            0 => "the one before it signs no more".to_owned(),
            ms => format!("the one before it signs beside it for {}", duration(ms)),
        };
        format!("endpoint {endpoint} has a new secret; {both}\nsecret {secret}\nkeep it: it is not shown again")
    })?;
    Ok(Exit::Done)
}

async fn rotate_at_the_store(
    call: &Call,
    args: RotateArgs,
    secret: &str,
) -> Result<(bool, u64), Failure> {
    let house = call.house()?;
    let overlap_ms = args.overlap.unwrap_or(house.settings().webhooks.overlap_ms);
    let store = house.store().await?;
    let act = EndpointAct::Rotate {
        secret: secret.to_owned(),
        overlap_ms,
    };
    let About {
        endpoint,
        reason,
        actor,
    } = args.about;
    let done = store
        .act_on_endpoint(&endpoint, &act, &reason, &actor)
        .await;
    let done = done.map_err(|error| repeat_with(error.into(), secret))?;
    Ok((acted(&endpoint, done)?, overlap_ms))
}

fn repeat(failure: Failure) -> Failure {
    if failure.kind() == Kind::UnknownOutcome {
        return failure.and_say("repeat the same command");
    }
    failure
}

/// A second rotation would end the overlap of the first, so that it has to be the same one.
fn repeat_with(failure: Failure, secret: &str) -> Failure {
    if failure.kind() == Kind::UnknownOutcome {
        return failure.and_say(&format!("repeat with --secret {secret}"));
    }
    failure
}
