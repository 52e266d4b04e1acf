//! `webhook ls` and `webhook show`: the endpoints of an account, and how one fares.

use serde_json::{Value, json};

use super::{at, found};
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{facts, rows, table};
use crate::domain::ids::{AccountId, EndpointId};
use crate::store::EndpointView;

/// List an account's endpoints
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline webhook ls acme --output json")]
pub(in crate::cli) struct Args {
    account: AccountId,
}

/// Show one endpoint: what waits, what was dropped, how the last try went; never its secret
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline webhook show ENDPOINT")]
pub(in crate::cli) struct ShowArgs {
    /// The endpoint's id, as `webhook ls` shows it
    endpoint: EndpointId,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    let views = match call.server()? {
        Some(server) => server.endpoints(&args.account).await?,
        None => of_the_store(call, &args.account).await?,
    };
    let values: Vec<Value> = views.iter().map(as_json).collect();
    call.out.show(&values, || listed(&views))?;
    Ok(Exit::Done)
}

async fn of_the_store(call: &Call, account: &AccountId) -> Result<Vec<EndpointView>, Failure> {
    let store = call.house()?.store().await?;
    let views = store.endpoints(account).await?;
    if views.is_empty() && store.account(account).await?.is_none() {
        return Err(Failure::unknown_account(account));
    }
    Ok(views)
}

pub(super) async fn show(call: &Call, args: ShowArgs) -> Result<Exit, Failure> {
    let view = match call.server()? {
        Some(server) => server.endpoint(&args.endpoint).await?,
        None => found(&call.house()?.store().await?, &args.endpoint).await?,
    };
    call.out.show(&as_json(&view), || text(&view))?;
    Ok(Exit::Done)
}

pub(super) fn as_json(view: &EndpointView) -> Value {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    json!({
        "endpoint": view.endpoint,
        "account": view.account,
        "url": view.url,
        "events": view.topics.words(),
        "description": some(&view.description),
        "state": view.state(),
        "why": some(&view.why),
        "waiting": view.waiting,
        "dead": view.dead,
        "delivered": view.delivered,
        "failed": view.failed,
        "dropped": view.dropped,
        "failing_since": at(view.failing_since_ms),
        "throttled_until": at(view.throttled_until_ms),
        "last_at": at(view.last_ms),
        "last": some(&view.last),
        "old_secret_until": at(view.old_until_ms),
        "created_at": at(view.created_ms),
        "changed_at": at(view.changed_ms),
    })
}

fn listed(views: &[EndpointView]) -> String {
    let mut endpoints = table(&[
        "endpoint",
        "state",
        "events",
        "waiting",
        "dead",
        "dropped",
        "delivered",
        "last",
        "url",
    ]);
    for view in views {
        endpoints.add_row([
            view.endpoint.to_string(),
            view.state().to_owned(),
            view.topics.to_string(),
            view.waiting.to_string(),
            view.dead.to_string(),
            view.dropped.to_string(),
            view.delivered.to_string(),
            view.last.clone(),
            view.url.clone(),
        ]);
    }
    rows(&endpoints, "no endpoints")
}

fn text(view: &EndpointView) -> String {
    let mut about = facts();
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            about.add_row([name.to_owned(), value]);
        }
    };
    let time = |ms| at(ms).unwrap_or_default();
    row("account", view.account.clone());
    row("url", view.url.clone());
    row("events", view.topics.to_string());
    row("description", view.description.clone());
    row("waiting", view.waiting.to_string());
    row("delivered", view.delivered.to_string());
    row("tries that failed", view.failed.to_string());
    row("given up", view.dead.to_string());
    row("dropped", view.dropped.to_string());
    row("last try", time(view.last_ms));
    row("came to", view.last.clone());
    row("failing since", time(view.failing_since_ms));
    row("left alone until", time(view.throttled_until_ms));
    row("old secret until", time(view.old_until_ms));
    row("made", time(view.created_ms));
    let why = match view.why.as_str() {
        "" => String::new(),
        why => format!(" ({why}, {})", time(view.changed_ms)),
    };
    format!(
        "endpoint {}: {}{why}\n{}",
        view.endpoint,
        view.state(),
        rows(&about, "")
    )
}
