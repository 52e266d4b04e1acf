//! `webhook test`: a message that says nothing, to see one arrive.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::found;
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure};
use crate::cli::request::span_ms;
use crate::cli::server::Server;
use crate::desk::endpoints::acted;
use crate::domain::ids::EndpointId;
use crate::store::{EndpointAct, EndpointView, Store};
use crate::wire::EndpointTestRequest;

/// Time between two looks at what became of it: an answer announces itself nowhere.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Post a message of type webhook.test, and wait for its first answer
///
/// Some process has to serve: it posts the message. Exit code 1 where the answer was not 2xx, or did not
/// come in time; the message is then tried again as any other.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline webhook test ENDPOINT")]
pub(in crate::cli) struct Args {
    /// The endpoint's id, as `webhook ls` shows it
    endpoint: EndpointId,
    /// Wait at most this long; 0s does not wait
    #[arg(long = "timeout", value_name = "TIME", value_parser = span_ms, default_value = "20s")]
    timeout_ms: u64,
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
    let door = match call.server()? {
        Some(server) => Door::Server(server),
        None => Door::Store(call.house()?.store().await?),
    };
    let message = door.post(&args).await?;
    let until = Instant::now() + Duration::from_millis(args.timeout_ms);
    let answer = loop {
        let view = door.look(&args.endpoint).await?;
        if view.test == message && !view.test_result.is_empty() {
            break Some(view.test_result);
        }
        if Instant::now() >= until {
            break None;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let arrived = answer
        .as_deref()
        .is_some_and(|words| words.starts_with("status 2"));
    let value = json!({
        "endpoint": args.endpoint,
        "message": message,
        "arrived": arrived,
        "answer": answer,
    });
    call.out.show(&value, || match &answer {
        Some(words) if arrived => format!("{message} was taken: {words}"),
        Some(words) => format!("{message} was not taken: {words}; it is tried again"),
        None => format!("{message} waits; does any process serve?"),
    })?;
    let well = arrived || args.timeout_ms == 0;
    Ok(if well { Exit::Done } else { Exit::Failed })
}

/// Whom the command asks.
enum Door {
    Server(Server),
    Store(Store),
}

impl Door {
    /// The id of the message that is on its way.
    async fn post(&self, args: &Args) -> Result<String, Failure> {
        match self {
            Self::Server(server) => {
                let reason = args.reason.clone();
                let asked = EndpointTestRequest { reason };
                let sent = server.client.test_webhook(args.endpoint.as_str(), &asked);
                Ok(sent.await?.message)
            }
            Self::Store(store) => {
                let message = format!("test_{}", uuid::Uuid::now_v7());
                let act = EndpointAct::Test {
                    message: message.clone(),
                };
                let done = store.act_on_endpoint(&args.endpoint, &act, &args.reason, &args.actor);
                acted(&args.endpoint, done.await?)?;
                Ok(message)
            }
        }
    }

    async fn look(&self, endpoint: &EndpointId) -> Result<EndpointView, Failure> {
        match self {
            Self::Server(server) => server.endpoint(endpoint).await,
            Self::Store(store) => found(store, endpoint).await,
        }
    }
}
