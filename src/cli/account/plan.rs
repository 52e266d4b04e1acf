//! `account plan`: puts an account on one of the settings' plans for a period.

use serde_json::json;

use super::repeat_with;
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::cli::house::House;
use crate::cli::output::credits;
use crate::cli::request::time_ms;
use crate::desk::money::{Planned, planned};
use crate::domain::credits::Ucr;
use crate::domain::ids::{AccountId, OperationId};
use crate::domain::nearest::did_you_mean;
use crate::store::PlanRequest;

/// Put an account on a plan, or renew it: its limit, and its credits until the period ends
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  meterline account plan acme pro --op-id invoice-2026-12\n  meterline account plan acme pro --op-id invoice-7 --until 2027-01-01T00:00:00Z\n  meterline account plan acme none --op-id cancel-1"
)]
pub(in crate::cli) struct Args {
    account: AccountId,
    /// A plan of the settings, or `none`
    plan: String,
    /// What makes it happen once, such as the invoice's id
    #[arg(long, value_name = "ID")]
    op_id: OperationId,
    /// When the period that was paid for ends [default: one period from now]
    #[arg(long, value_name = "TIME", value_parser = time_ms)]
    until: Option<u64>,
    /// Why, for the books
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Who does it, for the books
    #[arg(long, env = "USER", default_value = "cli")]
    actor: String,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    let house = call.house()?;
    let request = request(&house, args)?;
    let store = house.store().await?;
    let outcome = store.set_plan(&request).await;
    let outcome = outcome.map_err(|error| repeat_with(error.into(), &request.operation))?;
    let Planned {
        grant,
        until,
        available,
        debt,
        admitted,
        replayed,
    } = planned(&request, outcome)?;
    let value = json!({
        "account": request.account,
        "op_id": request.operation,
        "status": if replayed { "replayed" } else { "planned" },
        "plan": request.plan,
        "until": until,
        "grant": grant,
        "granted_ucr": request.amount,
        "available_ucr": available,
        "debt_ucr": debt,
        "admitted": admitted,
    });
    call.out.show(&value, || {
        let how = if replayed { "had been put on" } else { "is on" };
        let plan = request.plan.as_deref().unwrap_or("no plan");
        let until = until.map(|at| format!(" until {at}")).unwrap_or_default();
        let available = credits(available.get());
        format!(
            "account {} {how} {plan}{until}; {available} available",
            request.account
        )
    })?;
    Ok(Exit::Done)
}

fn request(house: &House, args: Args) -> Result<PlanRequest, Failure> {
    let plans = &house.settings().plans;
    let plan = plans.get(&args.plan);
    if plan.is_none() && args.plan != "none" {
        let mend = did_you_mean(&args.plan, plans.keys().map(String::as_str));
        let message = format!("the settings have no plan {:?}{mend}", args.plan);
        return Err(Failure::new(Kind::UnknownPlan, message));
    }
    Ok(PlanRequest {
        account: args.account,
        operation: args.op_id,
        amount: plan.map_or(Ucr::ZERO, |plan| Ucr::from_credits(plan.credits)),
        max_active: plan.map_or(0, |plan| plan.max_active),
        months: plan.map_or(1, |plan| plan.period.months()),
        price: plan.map(|plan| plan.price.clone()).unwrap_or_default(),
        until_ms: args.until.filter(|_| plan.is_some()),
        plan: plan.is_some().then_some(args.plan),
        reason: args.reason,
        actor: args.actor,
    })
}
