//! `webhook`: endpoints, where accounts are told of their jobs.

mod change;
mod create;
mod dead;
mod ls;
mod test;

use clap::Subcommand;

use super::Call;
use super::failure::{Exit, Failure, Kind};
use super::house::House;
use super::output::rfc3339;
use crate::desk::endpoints;
use crate::domain::ids::EndpointId;
use crate::store::{EndpointView, Store};
use crate::webhook::Secret;

/// Tell accounts' own servers of their jobs
///
/// Messages follow Standard Webhooks; docs/webhooks.md says what they hold and how to verify them.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  meterline webhook create acme --url https://acme.example/hooks\n  meterline webhook ls acme\n  meterline webhook test ENDPOINT"
)]
pub(super) enum Command {
    Create(create::Args),
    Ls(ls::Args),
    Show(ls::ShowArgs),
    Test(test::Args),
    Rotate(change::RotateArgs),
    Enable(change::EnableArgs),
    Disable(change::DisableArgs),
    Rm(change::RmArgs),
    #[command(subcommand)]
    Dead(dead::Command),
}

pub(super) async fn run(call: &Call, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Create(args) => create::run(call, args).await,
        Command::Ls(args) => ls::run(call, args).await,
        Command::Show(args) => ls::show(call, args).await,
        Command::Test(args) => test::run(call, args).await,
        Command::Rotate(args) => change::rotate(call, args).await,
        Command::Enable(args) => change::enable(call, args).await,
        Command::Disable(args) => change::disable(call, args).await,
        Command::Rm(args) => change::rm(call, args).await,
        Command::Dead(command) => dead::run(call, command).await,
    }
}

/// Reads a URL that messages can be posted to.
fn url(house: &House, text: &str) -> Result<String, Failure> {
    let allowed = &house.settings().webhooks.allow_cidr;
    Ok(endpoints::address(text, allowed)?)
}

/// A secret as given, or a new one.
fn secret(given: Option<&str>) -> Result<Secret, Failure> {
    endpoints::secret(given).map_err(|error| Failure::new(Kind::Usage, error.to_string()))
}

fn unknown(endpoint: &EndpointId) -> Failure {
    endpoints::unknown(endpoint).into()
}

async fn found(store: &Store, endpoint: &EndpointId) -> Result<EndpointView, Failure> {
    let view = store.endpoint(endpoint).await?;
    view.ok_or_else(|| unknown(endpoint))
}

/// A time in ms since 1970; nothing for zero.
fn at(ms: u64) -> Option<String> {
    let ms = i64::try_from(ms).ok().filter(|ms| *ms > 0)?;
    rfc3339(ms)
}
