//! `account refund`: gives back what a job was charged.

use serde_json::json;

use super::{Because, repeat_with};
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::cli::output::credits;
use crate::cli::request::positive_credits;
use crate::cli::server::Server;
use crate::desk::money::{Refunded, refunded};
use crate::domain::credits::Ucr;
use crate::domain::ids::{JobId, OperationId};
use crate::store::{RefundOutcome, RefundRequest};
use crate::wire::RefundBody;

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
    let lost = |failure| repeat_with(failure, &request.operation);
    let outcome = match call.server()? {
        Some(server) => {
            let outcome = through(&server, &request).await;
            outcome.map_err(|failure| forgotten(lost(failure)))?
        }
        None => {
            let store = call.house()?.store().await?;
            let outcome = store.refund(&request).await;
            outcome.map_err(|error| lost(error.into()))?
        }
    };
    let Refunded {
        amount,
        expired,
        available,
        debt,
        left,
        replayed,
    } = refunded(&request, outcome).map_err(|refused| forgotten(refused.into()))?;
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

/// What was charged long ago can be given back all the same.
fn forgotten(failure: Failure) -> Failure {
    match failure.kind() {
        Kind::UnknownJob => failure.and_say("give the credits by account adjust --up"),
        _ => failure,
    }
}

async fn through(server: &Server, request: &RefundRequest) -> Result<RefundOutcome, Failure> {
    let body = RefundBody {
        amount_ucr: request.amount.map(Ucr::get),
        reason: request.reason.clone(),
    };
    let (job, key) = (request.job.as_str(), request.operation.as_str());
    let answer = server.client.refund_job(job, &body, key).await?;
    let refunded = answer.body;
    Ok(RefundOutcome::Refunded {
        amount: Ucr::new(refunded.refunded_ucr)?,
        expired: Ucr::new(refunded.expired_ucr)?,
        available: Ucr::new(refunded.available_ucr)?,
        debt: Ucr::new(refunded.debt_ucr)?,
        left: Ucr::new(refunded.left_ucr)?,
        replayed: answer.replayed,
    })
}
