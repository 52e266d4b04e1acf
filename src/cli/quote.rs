//! `quote`: what a request would cost at most.

use serde_json::json;

use super::Call;
use super::failure::{Exit, Failure};
use super::output::{credits, rfc3339};
use super::request::RequestArgs;
use crate::domain::ids::AccountId;

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
    let house = call.house()?;
    let asking = args.request.asking(args.account, &house.loaded.catalogue)?;
    let producer = house.producer(house.store().await?);
    // A quote holds nothing: where its answer is lost, one simply asks again.
    let quote = producer
        .quote(&asking)
        .await
        .map_err(|error| Failure::from(error).harmless())?;
    let expires_at = i64::try_from(quote.expires_at_ms).ok().and_then(rfc3339);
    let value = json!({
        "quote": quote.quote,
        "account": asking.account,
        "tool": asking.tool,
        "ceiling_ucr": quote.ceiling_ucr,
        "price_version": quote.price_version,
        "expires_at": expires_at,
    });
    call.out.show(&value, || {
        format!(
            "quote {}: {} at most, until {}\nconfirm it with: meterline submit --account {} --quote {}",
            quote.quote,
            credits(quote.ceiling_ucr),
            expires_at.unwrap_or_default(),
            asking.account,
            quote.quote,
        )
    })?;
    Ok(Exit::Done)
}
