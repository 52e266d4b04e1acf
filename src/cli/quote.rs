//! `quote`: what a request would cost at most.

use serde_json::json;

use super::Call;
use super::failure::{Exit, Failure};
use super::output::{credits, rfc3339};
use super::request::RequestArgs;
use super::server::Server;
use crate::domain::ids::AccountId;
use crate::wire::{Quote, QuoteRequest};

const EXAMPLES: &str = "Example:
  meterline quote --account acme --tool image-to-video --param duration_ms=5000 \\
    --param image_url=https://example.com/x.png --output json";

/// Price a request before confirming it: no charge will pass the ceiling shown
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Who would pay
    #[arg(long, value_name = "ACCOUNT")]
    account: AccountId,
    #[command(flatten)]
    request: RequestArgs,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    if let Some(server) = call.server()? {
        return through(call, &server, args).await;
    }
    let house = call.house()?;
    let asking = args.request.asking(args.account, &house.loaded.catalogue)?;
    let producer = house.producer(house.store().await?);
    // A quote holds nothing: where its answer is lost, one simply asks again.
    let quote = producer
        .quote(&asking)
        .await
        .map_err(|error| Failure::from(error).harmless())?;
    let expires_at = i64::try_from(quote.expires_at_ms).ok().and_then(rfc3339);
    let quote = Quote {
        quote: quote.quote,
        ceiling_ucr: quote.ceiling_ucr,
        price_version: quote.price_version,
        expires_at,
    };
    show(call, &asking.account, &asking.tool, &quote)
}

async fn through(call: &Call, server: &Server, args: Args) -> Result<Exit, Failure> {
    let tool = args.request.tool()?;
    let asked = QuoteRequest {
        params: server.params(&tool, &args.request.params).await?,
        account: Some(args.account.clone()),
        route: args.request.route,
        tool,
    };
    let quote = server.client.quote(&asked).await;
    let quote = quote.map_err(|error| Failure::from(error).harmless())?;
    show(call, &args.account, &asked.tool, &quote)
}

fn show(call: &Call, account: &AccountId, tool: &str, quote: &Quote) -> Result<Exit, Failure> {
    let value = json!({
        "quote": quote.quote,
        "account": account,
        "tool": tool,
        "ceiling_ucr": quote.ceiling_ucr,
        "price_version": quote.price_version,
        "expires_at": quote.expires_at,
    });
    call.out.show(&value, || {
        format!(
            "quote {}: {} at most, until {}\nconfirm it with: meterline submit --account {} --quote {}",
            quote.quote,
            credits(quote.ceiling_ucr),
            quote.expires_at.as_deref().unwrap_or_default(),
            account,
            quote.quote,
        )
    })?;
    Ok(Exit::Done)
}
