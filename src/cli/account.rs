//! `account`: who pays, what they have, and how it came about.

mod freeze;
mod ledger;

use clap::Subcommand;
use serde_json::{Value, json};

use super::Call;
use super::failure::{Exit, Failure, Kind};
use super::output::{credits, rfc3339, rows, table};
use super::request::{positive_credits, time_ms};
use crate::domain::ids::{AccountId, OperationId};
use crate::store::{AccountView, GrantKind, GrantOutcome, GrantRequest, GrantView, Opened};

/// Open accounts, look at them, give them credits
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  meterline account show acme")]
pub(super) enum Command {
    Create(CreateArgs),
    Show(ShowArgs),
    Grant(GrantArgs),
    Ledger(ledger::Args),
    Freeze(freeze::Args),
}

/// Open an account; one that is there already stays as it is
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline account create acme")]
pub(super) struct CreateArgs {
    /// 1 to 64 letters, digits, or one of . _ @ -
    account: AccountId,
    /// Jobs active at a time in one queue [default: store.max_active of the settings]
    #[arg(long, value_name = "N")]
    max_active: Option<std::num::NonZeroU32>,
}

/// Show balances and live grants
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline account show acme --output json")]
pub(super) struct ShowArgs {
    account: AccountId,
}

/// Give an account credits, once per operation id
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  meterline account grant acme --credits 100 --kind purchase --op-id pay-1 --reason \"top-up\"\n  meterline account grant acme --credits 5 --kind daily --op-id daily-0131 --expires-at 2027-02-01T00:00:00Z"
)]
pub(super) struct GrantArgs {
    account: AccountId,
    /// How many, above zero; up to six decimals
    #[arg(long, value_name = "CREDITS", allow_hyphen_values = true)]
    credits: String,
    /// Where they come from; purchased credits never expire
    #[arg(long, value_enum, default_value_t = KindArg::Purchase)]
    kind: KindArg,
    /// What makes it happen once, such as a payment's id [default: a new one]
    #[arg(long, value_name = "ID")]
    op_id: Option<OperationId>,
    /// Why, for the books
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Who gives them, for the books
    #[arg(long, env = "USER", default_value = "cli")]
    actor: String,
    /// When what is left of them is gone, RFC 3339
    #[arg(long, value_name = "TIME", value_parser = time_ms)]
    expires_at: Option<u64>,
}

/// The kinds of credit that can be given; `grace` is made by the store alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum KindArg {
    Signup,
    Daily,
    Plan,
    Promo,
    Purchase,
    Adjustment,
}

impl From<KindArg> for GrantKind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Signup => Self::Signup,
            KindArg::Daily => Self::Daily,
            KindArg::Plan => Self::Plan,
            KindArg::Promo => Self::Promo,
            KindArg::Purchase => Self::Purchase,
            KindArg::Adjustment => Self::Adjustment,
        }
    }
}

pub(super) async fn run(call: &Call, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Create(args) => create(call, args).await,
        Command::Show(args) => show(call, args).await,
        Command::Grant(args) => grant(call, args).await,
        Command::Ledger(args) => ledger::run(call, args).await,
        Command::Freeze(args) => freeze::run(call, args).await,
    }
}

async fn create(call: &Call, args: CreateArgs) -> Result<Exit, Failure> {
    let store = call.house()?.store().await?;
    let account = args.account;
    let max_active = args.max_active.map_or(0, std::num::NonZeroU32::get);
    let opened = store
        .open_account(&account, max_active)
        .await
        .map_err(|error| {
            let failure = Failure::from(error);
            match failure.kind() {
                Kind::UnknownOutcome => failure.and_say("repeat the same command to make sure"),
                _ => failure,
            }
        })?;
    let (status, text) = match opened {
        Opened::Created => ("created", format!("account {account} is open")),
        Opened::Exists => ("exists", format!("account {account} was there already")),
    };
    call.out
        .show(&json!({"account": account, "status": status}), || text)?;
    Ok(Exit::Done)
}

async fn show(call: &Call, args: ShowArgs) -> Result<Exit, Failure> {
    let store = call.house()?.store().await?;
    let view = store.account(&args.account).await?;
    let view = view.ok_or_else(|| Failure::unknown_account(&args.account))?;
    let mut value = json!(view);
    value["grants"] = view.grants.iter().map(grant_json).collect();
    call.out.show(&value, || account_text(&view))?;
    Ok(Exit::Done)
}

fn grant_json(grant: &GrantView) -> Value {
    json!({
        "grant": grant.grant,
        "kind": grant.kind,
        "remaining_ucr": grant.remaining_ucr,
        "pinned_ucr": grant.pinned_ucr,
        "expires_at": expiry(grant),
    })
}

fn expiry(grant: &GrantView) -> Option<String> {
    grant
        .expires_at_ms
        .and_then(|ms| i64::try_from(ms).ok())
        .and_then(rfc3339)
}

fn account_text(view: &AccountView) -> String {
    let mut grants = table(&["grant", "kind", "remaining", "held", "expires"]);
    for grant in &view.grants {
        grants.add_row([
            grant.grant.clone(),
            grant.kind.clone(),
            credits(grant.remaining_ucr),
            credits(grant.pinned_ucr),
            expiry(grant).unwrap_or_else(|| "never".to_owned()),
        ]);
    }
    format!(
        "account {} ({})\navailable {}, held {}, debt {}\ngranted {}, charged {}, expired {}\n\n{}",
        view.account,
        view.state,
        credits(view.available_ucr),
        credits(view.held_ucr),
        credits(view.debt_ucr),
        credits(view.granted_ucr),
        credits(view.captured_ucr),
        credits(view.expired_ucr),
        rows(&grants, "no live grants"),
    )
}

async fn grant(call: &Call, args: GrantArgs) -> Result<Exit, Failure> {
    let request = grant_request(args)?;
    let store = call.house()?.store().await?;
    let outcome = store.grant(&request).await.map_err(|error| {
        let failure = Failure::from(error);
        match failure.kind() {
            Kind::UnknownOutcome => failure
                .and_say(&format!("repeat with --op-id {}", request.operation))
                .with("op_id", request.operation.as_str()),
            _ => failure,
        }
    })?;
    let (grant, available, debt, replayed) = granted(&request, outcome)?;
    let value = json!({
        "account": request.account,
        "op_id": request.operation,
        "status": if replayed { "replayed" } else { "granted" },
        "grant": grant,
        "granted_ucr": request.amount,
        "available_ucr": available,
        "debt_ucr": debt,
    });
    call.out.show(&value, || {
        let how = if replayed {
            "had been granted before under"
        } else {
            "granted under"
        };
        let (amount, available) = (credits(request.amount.get()), credits(available));
        format!(
            "{amount} {how} {}; {available} available",
            request.operation
        )
    })?;
    Ok(Exit::Done)
}

fn grant_request(args: GrantArgs) -> Result<GrantRequest, Failure> {
    if args.kind == KindArg::Purchase && args.expires_at.is_some() {
        let message =
            "purchased credits never expire: leave out --expires-at, or name another --kind";
        return Err(Failure::new(Kind::Usage, message));
    }
    let operation = match args.op_id {
        Some(operation) => operation,
        None => format!("cli-{}", uuid::Uuid::now_v7()).parse()?,
    };
    Ok(GrantRequest {
        account: args.account,
        operation,
        amount: positive_credits(&args.credits)?,
        kind: args.kind.into(),
        expires_at_ms: args.expires_at,
        reason: args.reason,
        actor: args.actor,
    })
}

/// The grant, what is available and owed after it, and whether it had been before.
fn granted(
    request: &GrantRequest,
    outcome: GrantOutcome,
) -> Result<(String, i64, i64, bool), Failure> {
    match outcome {
        GrantOutcome::Granted {
            grant,
            available,
            debt,
            replayed,
        } => Ok((grant, available.get(), debt.get(), replayed)),
        GrantOutcome::Mismatch { amount } => {
            let message = format!(
                "operation id {} was used for another grant, of {}",
                request.operation,
                credits(amount.get())
            );
            Err(Failure::new(Kind::OperationMismatch, message).with("amount_ucr", amount.get()))
        }
        GrantOutcome::UnknownAccount => Err(Failure::unknown_account(&request.account)),
        GrantOutcome::TooManyGrants => Err(Failure::new(
            Kind::TooManyGrants,
            "the account has as many live grants as it may; equal kinds with equal expiry are one",
        )),
        GrantOutcome::ExpiredAlready => Err(Failure::new(
            Kind::ExpiredAlready,
            "--expires-at is not in the future",
        )),
        GrantOutcome::Overflow => Err(Failure::new(
            Kind::Overflow,
            "the account would have more credits than can be counted",
        )),
    }
}
