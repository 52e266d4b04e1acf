//! `account daily`: the reward of a day, once per account and day of UTC.

use serde_json::json;

use super::{closed, overflow, repeat, too_many_grants};
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::cli::output::{credits, rfc3339};
use crate::domain::credits::Ucr;
use crate::domain::ids::AccountId;
use crate::store::{Reward, RewardOutcome};

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
    let (operation, available) = given(&args.account, outcome)?;
    let value = json!({
        "account": args.account,
        "op_id": operation,
        "status": "granted",
        "granted_ucr": amount,
        "available_ucr": available,
    });
    call.out.show(&value, || {
        let (amount, available) = (credits(amount.get()), credits(available.get()));
        format!("{amount} granted under {operation}; {available} available")
    })?;
    Ok(Exit::Done)
}

/// The operation id of a reward that was given, and what is available after it.
pub(super) fn given(account: &AccountId, outcome: RewardOutcome) -> Result<(String, Ucr), Failure> {
    match outcome {
        RewardOutcome::Granted {
            operation,
            available,
            ..
        } => Ok((operation, available)),
        RewardOutcome::AlreadyTaken {
            operation,
            next_at_ms,
        } => {
            let next = next_at_ms.and_then(|ms| i64::try_from(ms).ok());
            let next = next.and_then(rfc3339);
            let when = next.as_ref().map(|at| format!("; the next is due {at}"));
            let message = format!("taken already, as {operation}{}", when.unwrap_or_default());
            Err(Failure::new(Kind::AlreadyTaken, message)
                .with("op_id", operation)
                .with("next_at", next))
        }
        RewardOutcome::UnknownAccount => Err(Failure::unknown_account(account)),
        RewardOutcome::AccountClosed(state) => Err(closed(account, &state)),
        RewardOutcome::TooManyGrants => Err(too_many_grants()),
        RewardOutcome::Overflow => Err(overflow()),
    }
}
