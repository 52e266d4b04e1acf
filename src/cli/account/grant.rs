//! `account grant`: credits come in, once per operation id.

use serde_json::json;

use super::repeat_with;
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::cli::output::{credits, rfc3339};
use crate::cli::request::{positive_credits, time_ms};
use crate::cli::server::Server;
use crate::desk::money::{Granted, granted};
use crate::domain::credits::Ucr;
use crate::domain::ids::{AccountId, OperationId};
use crate::store::{GrantKind, GrantOutcome, GrantRequest};
use crate::wire::GrantBody;

/// Give an account credits, once per operation id
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  meterline account grant acme --credits 100 --kind purchase --op-id pay-1 --reason \"top-up\"\n  meterline account grant acme --credits 5 --kind daily --op-id daily-0131 --expires-at 2027-02-01T00:00:00Z"
)]
pub(in crate::cli) struct Args {
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
pub(in crate::cli) enum KindArg {
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

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    let request = grant_request(args)?;
    let lost = |failure| repeat_with(failure, &request.operation);
    let outcome = match call.server()? {
        Some(server) => through(&server, &request).await.map_err(lost)?,
        None => {
            let store = call.house()?.store().await?;
            let outcome = store.grant(&request).await;
            outcome.map_err(|error| lost(error.into()))?
        }
    };
    let Granted {
        grant,
        available,
        debt,
        replayed,
    } = granted(&request, outcome)?;
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
        let (amount, available) = (credits(request.amount.get()), credits(available.get()));
        format!(
            "{amount} {how} {}; {available} available",
            request.operation
        )
    })?;
    Ok(Exit::Done)
}

async fn through(server: &Server, request: &GrantRequest) -> Result<GrantOutcome, Failure> {
    let expires_at = request.expires_at_ms.and_then(|ms| i64::try_from(ms).ok());
    let body = GrantBody {
        amount_ucr: request.amount.get(),
        kind: request.kind.as_str().to_owned(),
        expires_at: expires_at.and_then(rfc3339),
        reason: request.reason.clone(),
    };
    let (account, key) = (request.account.as_str(), request.operation.as_str());
    let answer = server.client.grant(account, &body, key).await?;
    Ok(GrantOutcome::Granted {
        grant: answer.body.grant,
        available: Ucr::new(answer.body.available_ucr)?,
        debt: Ucr::new(answer.body.debt_ucr)?,
        replayed: answer.replayed,
    })
}

fn grant_request(args: Args) -> Result<GrantRequest, Failure> {
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
