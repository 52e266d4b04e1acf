//! `account show`: what an account has, and what it may do.

use serde_json::{Value, json};

use crate::cli::Call;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{credits, rfc3339, rows, table};
use crate::domain::ids::AccountId;
use crate::store::{AccountView, CapView, GrantView};

/// Show balances and live grants
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline account show acme --output json")]
pub(in crate::cli) struct Args {
    account: AccountId,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    let view = match call.server()? {
        Some(server) => server.account(&args.account).await?,
        None => {
            let store = call.house()?.store().await?;
            let view = store.account(&args.account).await?;
            view.ok_or_else(|| Failure::unknown_account(&args.account))?
        }
    };
    let mut value = json!(view);
    value["grants"] = view.grants.iter().map(grant_json).collect();
    value["day"] = cap_json(&view.day);
    value["month"] = cap_json(&view.month);
    if let Some(plan) = &view.plan {
        value["plan"] = json!({
            "plan": plan.plan,
            "price": plan.price,
            "until": time(Some(plan.until_ms)),
            "lapsed": plan.lapsed,
        });
    }
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
    time(grant.expires_at_ms)
}

/// A cap as programs read it.
fn cap_json(cap: &CapView) -> Value {
    json!({"cap_ucr": cap.cap_ucr, "spent_ucr": cap.spent_ucr, "until": time(cap.until_ms)})
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
    let mut text = format!(
        "account {} ({})\navailable {}, held {}, debt {}\ngranted {}, charged {}, refunded {}, adjusted {}, expired {}\n",
        view.account,
        view.state,
        credits(view.available_ucr),
        credits(view.held_ucr),
        credits(view.debt_ucr),
        credits(view.granted_ucr),
        credits(view.captured_ucr),
        credits(view.refunded_ucr),
        credits(view.adjusted_ucr),
        credits(view.expired_ucr),
    );
    for line in terms(view) {
        text += &line;
        text.push('\n');
    }
    format!("{text}\n{}", rows(&grants, "no live grants"))
}

/// What the account may do, a line each, where anything was set.
fn terms(view: &AccountView) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(plan) = &view.plan {
        let until = time(Some(plan.until_ms)).unwrap_or_default();
        let now = if plan.lapsed { "lapsed" } else { "until" };
        lines.push(format!(
            "plan {} ({}), {now} {until}",
            plan.plan, plan.price
        ));
    }
    if view.max_active > 0 {
        lines.push(format!(
            "at most {} jobs active in a queue",
            view.max_active
        ));
    }
    for (queue, limit) in &view.queue_limits {
        lines.push(format!("at most {limit} jobs active in queue {queue}"));
    }
    for (name, cap) in [("day", &view.day), ("month", &view.month)] {
        lines.extend(cap_text(name, cap));
    }
    if let Some(ucr) = view.low_balance_ucr {
        lines.push(format!(
            "an event when less than {} are available",
            credits(ucr)
        ));
    }
    lines
}

fn cap_text(name: &str, cap: &CapView) -> Option<String> {
    let most = cap.cap_ucr?;
    let until = time(cap.until_ms).map(|at| format!(", until {at}"));
    let (spent, until) = (credits(cap.spent_ucr), until.unwrap_or_default());
    Some(format!(
        "spent {spent} of {} in this {name}{until}",
        credits(most)
    ))
}

fn time(ms: Option<u64>) -> Option<String> {
    ms.and_then(|ms| i64::try_from(ms).ok()).and_then(rfc3339)
}
