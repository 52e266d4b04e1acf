//! `account refund`: gives back what a job was charged.

use serde_json::json;

use super::{Because, operation_mismatch, overflow, repeat_with};
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::cli::output::credits;
use crate::cli::request::positive_credits;
use crate::domain::ids::{JobId, OperationId};
use crate::store::{RefundOutcome, RefundRequest};

/// Give back what a job was charged, into the grants it came from, once per operation id
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  meterline account refund JOB --reason \"picture was black\"\n  meterline account refund JOB --credits 10 --op-id ticket-18 --reason \"half of it unusable\""
)]
pub(in crate::cli) struct Args {
    /// A job that succeeded, within the time finished jobs are kept
    job: JobId,
    /// How many [default: all that was not refunded before]
    #[arg(long, value_name = "CREDITS", allow_hyphen_values = true)]
    credits: Option<String>,
    /// What makes it happen once [default: refund-JOB]
    #[arg(long, value_name = "ID")]
    op_id: Option<OperationId>,
    #[command(flatten)]
    because: Because,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    let amount = args.credits.as_deref().map(positive_credits).transpose()?;
    let operation = match args.op_id {
        Some(operation) => operation,
        // Two people who press the same button at once refund once.
        None => format!("refund-{}", args.job).parse()?,
    };
    let request = RefundRequest {
        job: args.job,
        operation,
        amount,
        reason: args.because.reason,
        actor: args.because.actor,
    };
    let store = call.house()?.store().await?;
    let outcome = store.refund(&request).await;
    let outcome = outcome.map_err(|error| repeat_with(error.into(), &request.operation))?;
    let RefundOutcome::Refunded {
        amount,
        expired,
        available,
        debt,
        left,
        replayed,
    } = outcome
    else {
        return Err(refusal(&request, &outcome));
    };
    let value = json!({
        "job": request.job,
        "op_id": request.operation,
        "status": if replayed { "replayed" } else { "refunded" },
        "refunded_ucr": amount,
        "expired_ucr": expired,
        "available_ucr": available,
        "debt_ucr": debt,
        "left_ucr": left,
    });
    call.out.show(&value, || {
        let how = if replayed {
            "had been refunded before"
        } else {
            "refunded"
        };
        let mut text = format!(
            "{} {how} under {}",
            credits(amount.get()),
            request.operation
        );
        if !expired.is_zero() {
            let gone = credits(expired.get());
            text += &format!(", {gone} of it into grants that have expired");
        }
        format!("{text}; {} available", credits(available.get()))
    })?;
    Ok(Exit::Done)
}

/// Why nothing was given back.
fn refusal(request: &RefundRequest, outcome: &RefundOutcome) -> Failure {
    match outcome {
        RefundOutcome::Mismatch { amount } => operation_mismatch(&request.operation, *amount),
        RefundOutcome::UnknownJob => Failure::new(
            Kind::UnknownJob,
            "there is no such job any more; give the credits by account adjust --up",
        ),
        RefundOutcome::NotCaptured { state } => Failure::new(
            Kind::NotCaptured,
            format!("the account was charged nothing: the job is {state}"),
        )
        .with("state", state.as_str()),
        RefundOutcome::AboveCaptured { left } => Failure::new(
            Kind::AboveCaptured,
            format!("{} of the charge are left", credits(left.get())),
        )
        .with("left_ucr", left.get()),
        RefundOutcome::Nothing => {
            Failure::new(Kind::Nothing, "all of the charge was refunded before")
        }
        RefundOutcome::Overflow | RefundOutcome::Refunded { .. } => overflow(),
    }
}
