//! `account daily`: the reward of a day, once per account and day of UTC.

use serde_json::json;

use super::repeat;
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::cli::output::credits;
use crate::desk::money::{Rewarded, rewarded};
use crate::domain::credits::Ucr;
use crate::domain::ids::AccountId;
use crate::store::Reward;

/// Give an account the reward of today, once per day of UTC by the store's clock
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline account daily acme")]
pub(in crate::cli) struct Args {
    account: AccountId,
    /// Who does it, for the books
    #[arg(long, env = "USER", default_value = "cli")]
    actor: String,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    let (operation, amount_ucr, available_ucr) = match call.server()? {
        Some(server) => {
            let answer = server.client.daily_reward(args.account.as_str()).await;
            let given = answer.map_err(|error| repeat(error.into()))?.body;
            (given.operation, given.granted_ucr, given.available_ucr)
        }
        None => on_the_store(call, &args).await?,
    };
    let value = json!({
        "account": args.account,
        "op_id": operation,
        "status": "granted",
        "granted_ucr": amount_ucr,
        "available_ucr": available_ucr,
    });
    call.out.show(&value, || {
        let (amount, available) = (credits(amount_ucr), credits(available_ucr));
        format!("{amount} granted under {operation}; {available} available")
    })?;
    Ok(Exit::Done)
}

/// What it was booked under, how much it was, and what is available now, micro-credits.
async fn on_the_store(call: &Call, args: &Args) -> Result<(String, i64, i64), Failure> {
    let house = call.house()?;
    let rewards = &house.settings().rewards;
    let (amount, days) = (
        Ucr::from_credits(rewards.daily_credits),
        rewards.daily_expires_days,
    );
    if amount.is_zero() {
        let message = "the settings give no daily reward: rewards.daily_credits is 0";
        return Err(Failure::new(Kind::NoReward, message));
    }
    let store = house.store().await?;
    let outcome = store.reward(&args.account, Reward::Daily, amount, days, &args.actor);
    let outcome = outcome.await.map_err(|error| repeat(error.into()))?;
    let Rewarded {
        operation,
        available,
        ..
    } = rewarded(&args.account, outcome)?;
    Ok((operation, amount.get(), available.get()))
}
