//! `account create`: opens an account, with its welcome where one is asked for.

use serde_json::{Value, json};

use super::repeat;
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::cli::output::credits;
use crate::cli::server::Server;
use crate::desk::money::rewarded;
use crate::domain::credits::Ucr;
use crate::domain::ids::AccountId;
use crate::store::{Opened, Reward, RewardOutcome, Store};
use crate::wire::NewAccount;

/// Open an account; one that is there already stays as it is
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  meterline account create acme\n  meterline account create acme --signup"
)]
pub(in crate::cli) struct Args {
    /// 1 to 64 letters, digits, or one of . _ @ -
    account: AccountId,
    /// Jobs active at a time in one queue [default: store.max_active of the settings]
    #[arg(long, value_name = "N")]
    max_active: Option<std::num::NonZeroU32>,
    /// Give it its welcome too, once: rewards.signup_credits of the settings
    #[arg(long)]
    signup: bool,
    /// Who does it, for the books
    #[arg(long, env = "USER", default_value = "cli")]
    actor: String,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    if let Some(server) = call.server()? {
        return through(call, &server, args).await;
    }
    let house = call.house()?;
    let welcome = house.settings().rewards.signup_credits;
    if args.signup && welcome == 0 {
        let message = "the settings give no welcome: rewards.signup_credits is 0";
        return Err(Failure::new(Kind::NoReward, message));
    }
    let store = house.store().await?;
    let account = args.account;
    let max_active = args.max_active.map_or(0, std::num::NonZeroU32::get);
    let opened = store.open_account(&account, max_active).await;
    let (status, mut text) = match opened.map_err(|error| repeat(error.into()))? {
        Opened::Created => ("created", format!("account {account} is open")),
        Opened::Exists => ("exists", format!("account {account} was there already")),
    };
    let mut value = json!({"account": account, "status": status});
    if args.signup {
        let days = house.settings().rewards.signup_expires_days;
        let welcome = Welcome {
            amount: Ucr::from_credits(welcome),
            days,
        };
        let (reward, said) = signup(&store, &account, welcome, &args.actor).await?;
        value["signup"] = reward;
        text += &said;
    }
    call.out.show(&value, || text)?;
    Ok(Exit::Done)
}

async fn through(call: &Call, server: &Server, args: Args) -> Result<Exit, Failure> {
    if args.signup {
        let message = "a welcome is given by the store itself: name it with --redis URL";
        return Err(Failure::new(Kind::Usage, message));
    }
    let new = NewAccount {
        account: args.account,
        max_active: args.max_active.map_or(0, std::num::NonZeroU32::get),
    };
    let answer = server.client.create_account(&new).await;
    let answer = answer.map_err(|error| repeat(error.into()))?;
    let account = new.account;
    let (status, text) = if answer.replayed {
        ("exists", format!("account {account} was there already"))
    } else {
        ("created", format!("account {account} is open"))
    };
    let value = json!({"account": account, "status": status});
    call.out.show(&value, || text)?;
    Ok(Exit::Done)
}

/// The welcome as the settings have it.
struct Welcome {
    amount: Ucr,
    days: u32,
}

/// Gives the welcome. One that was given before is no failure here: the account is as it was asked for.
async fn signup(
    store: &Store,
    account: &AccountId,
    welcome: Welcome,
    actor: &str,
) -> Result<(Value, String), Failure> {
    let Welcome { amount, days } = welcome;
    let outcome = store.reward(account, Reward::Signup, amount, days, actor);
    match outcome.await.map_err(|error| repeat(error.into()))? {
        RewardOutcome::AlreadyTaken { .. } => Ok((
            json!({"status": "already_taken"}),
            "; it had its welcome before".to_owned(),
        )),
        outcome => {
            let available = rewarded(account, outcome)?.available;
            let value = json!({
                "status": "granted",
                "granted_ucr": amount,
                "available_ucr": available,
            });
            Ok((value, format!(" with {}", credits(amount.get()))))
        }
    }
}
