//! `account adjust` and `account clawback`: corrections of a balance, with a reason.

use serde_json::json;

use super::{Because, repeat_with};
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::cli::output::credits;
use crate::cli::request::positive_credits;
use crate::cli::server::Server;
use crate::desk::money::{Adjusted, adjusted};
use crate::domain::credits::Ucr;
use crate::domain::ids::{AccountId, OperationId};
use crate::store::{AdjustOutcome, AdjustRequest, Correction};
use crate::wire::{AdjustBody, ClawbackBody};

/// Correct a balance up or down, once per operation id; what is not there becomes debt
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  meterline account adjust acme --up 5 --op-id ticket-17 --reason \"goodwill\"\n  meterline account adjust acme --down 20 --op-id fix-3 --reason \"granted twice\""
)]
#[command(group = clap::ArgGroup::new("direction").required(true).args(["up", "down"]))]
pub(in crate::cli) struct Args {
    account: AccountId,
    /// Credits to give; up to six decimals
    #[arg(long, value_name = "CREDITS", allow_hyphen_values = true)]
    up: Option<String>,
    /// Credits to take: first what no job holds, the rest becomes debt
    #[arg(long, value_name = "CREDITS", allow_hyphen_values = true)]
    down: Option<String>,
    /// What makes it happen once, such as a ticket's id
    #[arg(long, value_name = "ID")]
    op_id: OperationId,
    #[command(flatten)]
    because: Because,
}

/// Take back the credits of a payment that was disputed or returned, at most what it gave
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  meterline account clawback acme --payment pay-1 --op-id dispute-1 --reason \"chargeback\"\n  meterline account clawback acme --payment pay-1 --credits 30 --op-id dispute-2 --reason \"part returned\""
)]
pub(in crate::cli) struct ClawbackArgs {
    account: AccountId,
    /// The operation id that the payment was granted under
    #[arg(long, value_name = "ID")]
    payment: OperationId,
    /// How many [default: all that was not clawed back before]
    #[arg(long, value_name = "CREDITS", allow_hyphen_values = true)]
    credits: Option<String>,
    /// What makes it happen once, such as the dispute's id
    #[arg(long, value_name = "ID")]
    op_id: OperationId,
    #[command(flatten)]
    because: Because,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    let up = args.up.as_deref().map(positive_credits).transpose()?;
    let down = args.down.as_deref().map(positive_credits).transpose()?;
    let correction = match (up, down) {
        (Some(amount), _) => Correction::Up(amount),
        (None, Some(amount)) => Correction::Down(amount),
        (None, None) => return Err(Failure::new(Kind::Usage, "--up or --down is missing")),
    };
    let request = AdjustRequest {
        account: args.account,
        operation: args.op_id,
        correction,
        reason: args.because.reason,
        actor: args.because.actor,
    };
    correct(call, &request).await
}

pub(super) async fn clawback(call: &Call, args: ClawbackArgs) -> Result<Exit, Failure> {
    let amount = args.credits.as_deref().map(positive_credits).transpose()?;
    let request = AdjustRequest {
        account: args.account,
        operation: args.op_id,
        correction: Correction::Clawback {
            payment: args.payment,
            amount,
        },
        reason: args.because.reason,
        actor: args.because.actor,
    };
    correct(call, &request).await
}

async fn correct(call: &Call, request: &AdjustRequest) -> Result<Exit, Failure> {
    let lost = |failure| repeat_with(failure, &request.operation);
    let outcome = match call.server()? {
        Some(server) => through(&server, request).await.map_err(lost)?,
        None => {
            let store = call.house()?.store().await?;
            let outcome = store.adjust(request).await;
            outcome.map_err(|error| lost(error.into()))?
        }
    };
    let Adjusted {
        adjusted_ucr: signed,
        debt_made,
        available,
        debt,
        replayed,
    } = adjusted(request, &outcome)?;
    let value = json!({
        "account": request.account,
        "op_id": request.operation,
        "status": if replayed { "replayed" } else { "adjusted" },
        "adjusted_ucr": signed,
        "debt_made_ucr": debt_made,
        "available_ucr": available,
        "debt_ucr": debt,
    });
    call.out.show(&value, || {
        let how = if replayed {
            "had been adjusted before"
        } else {
            "adjusted"
        };
        let mut text = format!("{} {how} under {}", credits(signed), request.operation);
        if !debt_made.is_zero() {
            text += &format!(", {} of it as debt", credits(debt_made.get()));
        }
        let (available, debt) = (credits(available.get()), credits(debt.get()));
        format!("{text}; {available} available, {debt} owed")
    })?;
    Ok(Exit::Done)
}

async fn through(server: &Server, request: &AdjustRequest) -> Result<AdjustOutcome, Failure> {
    let (account, key) = (request.account.as_str(), request.operation.as_str());
    let reason = request.reason.clone();
    let signed = |amount_ucr| AdjustBody {
        amount_ucr,
        reason: reason.clone(),
    };
    let client = &server.client;
    let answer = match &request.correction {
        Correction::Up(amount) => client.adjust(account, &signed(amount.get()), key).await?,
        Correction::Down(amount) => client.adjust(account, &signed(-amount.get()), key).await?,
        Correction::Clawback { payment, amount } => {
            let body = ClawbackBody {
                payment: payment.clone(),
                amount_ucr: amount.map(Ucr::get),
                reason,
            };
            client.claw_back(account, &body, key).await?
        }
    };
    let adjusted = answer.body;
    Ok(AdjustOutcome::Adjusted {
        amount: Ucr::new(adjusted.adjusted_ucr.abs())?,
        debt_made: Ucr::new(adjusted.debt_made_ucr)?,
        available: Ucr::new(adjusted.available_ucr)?,
        debt: Ucr::new(adjusted.debt_ucr)?,
        replayed: answer.replayed,
    })
}
