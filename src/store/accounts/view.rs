//! An account as people see it: balances, grants, limits, caps, plan.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::ids::AccountId;
use crate::store::snapshots::Fields;
use crate::store::{Error, Store};

/// What may be spent in a period of UTC, and what of it is held or captured already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CapView {
    /// The cap, micro-credits; `None` = none.
    pub cap_ucr: Option<i64>,
    /// Held and captured in the period that runs now, micro-credits.
    pub spent_ucr: i64,
    /// When the period ends, ms since 1970; `None` where nothing was spent in it.
    pub until_ms: Option<u64>,
}

/// The plan an account is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanView {
    /// Its name in the settings.
    pub plan: String,
    /// What it cost when it was taken, as the settings said it.
    pub price: String,
    /// When the period that was paid for ends, ms since 1970.
    pub until_ms: u64,
    /// That time has passed and nobody renewed it.
    pub lapsed: bool,
}

/// One live grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GrantView {
    /// Its id within the account.
    pub grant: String,
    /// Its kind.
    pub kind: String,
    /// What can be spent, micro-credits.
    pub remaining_ucr: i64,
    /// What open holds have pinned, micro-credits.
    pub pinned_ucr: i64,
    /// When what is left expires, ms since 1970; `None` = never.
    pub expires_at_ms: Option<u64>,
}

/// An account as it stands now, with what has expired already taken out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountView {
    /// Its id.
    pub account: String,
    /// `open`, `frozen` or `closed`.
    pub state: String,
    /// What can be spent.
    pub available_ucr: i64,
    /// What open holds keep.
    pub held_ucr: i64,
    /// What has to be paid back before anything can be spent.
    pub debt_ucr: i64,
    /// Everything ever granted.
    pub granted_ucr: i64,
    /// Everything ever charged.
    pub captured_ucr: i64,
    /// Everything that expired.
    pub expired_ucr: i64,
    /// Charges given back.
    pub refunded_ucr: i64,
    /// Corrections, up or down.
    pub adjusted_ucr: i64,
    /// Active jobs per queue; 0 = the default.
    pub max_active: u32,
    /// Active jobs in queues that have a number of their own.
    pub queue_limits: BTreeMap<String, u32>,
    /// What may be spent in a day of UTC.
    pub day: CapView,
    /// What may be spent in a month of UTC.
    pub month: CapView,
    /// Below which balance an event is written; `None` = never.
    pub low_balance_ucr: Option<i64>,
    /// The plan it is on.
    pub plan: Option<PlanView>,
    /// The account's own sequence in the journal.
    pub sequence: u64,
    /// Live grants in the order in which they were made.
    pub grants: Vec<GrantView>,
}

impl Store {
    /// An account as it stands now; `None` where there is none.
    pub async fn account(&self, account: &AccountId) -> Result<Option<AccountView>, Error> {
        let partition = account.partition(self.partitions());
        let (now_ms, rows) = self
            .look_at(partition, std::slice::from_ref(account))
            .await?;
        let hashes = rows.into_iter().next();
        let hashes = hashes.filter(|(fields, _)| fields.contains_key("state"));
        Ok(hashes.map(|(fields, grants)| view(account, &fields, grants, now_ms)))
    }
}

/// Reads `queue=n;queue=n`.
fn queue_limits(text: &str) -> BTreeMap<String, u32> {
    text.split(';')
        .filter_map(|pair| {
            let (queue, limit) = pair.split_once('=')?;
            Some((queue.to_owned(), limit.parse().ok()?))
        })
        .collect()
}

/// Reads part `index` (0 = day, 1 = month) of `day|month` and of
/// `day_until|day_spent|month_until|month_spent`. What was spent before now's period counts nothing.
fn cap_view(caps: &str, spent: &str, index: usize, now_ms: u64) -> CapView {
    let cap: Option<i64> = caps.split('|').nth(index).and_then(|ucr| ucr.parse().ok());
    let mut spent = spent.split('|').skip(2 * index);
    let until: Option<u64> = spent.next().and_then(|ms| ms.parse().ok());
    // One that is further away than it is long was begun by a clock that has been set right since.
    let longest_ms = [1, 31][index.min(1)] * 86_400_000;
    let until_ms = until.filter(|until| (now_ms + 1..=now_ms + longest_ms).contains(until));
    let amount = spent.next().and_then(|ucr| ucr.parse().ok()).unwrap_or(0);
    CapView {
        cap_ucr: cap.filter(|ucr| *ucr > 0),
        spent_ucr: if until_ms.is_some() { amount } else { 0 },
        until_ms,
    }
}

fn plan_view(plan: &str, price: &str, until: i64, now_ms: u64) -> Option<PlanView> {
    let until_ms = u64::try_from(until).unwrap_or(0);
    (!plan.is_empty()).then(|| PlanView {
        plan: plan.to_owned(),
        price: price.to_owned(),
        until_ms,
        lapsed: until_ms <= now_ms,
    })
}

fn view(account: &AccountId, fields: &Fields, rows: Fields, now_ms: u64) -> AccountView {
    let number = |name: &str| {
        fields
            .get(name)
            .and_then(|v| v.parse::<i64>().ok())
            .unwrap_or(0)
    };
    let text = |name: &str| fields.get(name).map_or("", String::as_str);
    let mut grants: Vec<GrantView> = rows
        .into_iter()
        .filter_map(|(id, row)| grant_view(id, &row))
        .collect();
    grants.sort_by_key(|g| g.grant.get(1..).and_then(|n| n.parse::<u64>().ok()));
    let mut expired_ucr = 0;
    for grant in &mut grants {
        // The next script that touches the account books this; until then it is already unspendable.
        if grant.expires_at_ms.is_some_and(|at| at <= now_ms) {
            expired_ucr += grant.remaining_ucr;
            grant.remaining_ucr = 0;
        }
    }
    grants.retain(|grant| grant.remaining_ucr > 0 || grant.pinned_ucr > 0);
    AccountView {
        account: account.to_string(),
        state: fields.get("state").cloned().unwrap_or_default(),
        available_ucr: number("available") - expired_ucr,
        held_ucr: number("held"),
        debt_ucr: number("debt"),
        granted_ucr: number("granted"),
        captured_ucr: number("captured"),
        expired_ucr: number("expired") + expired_ucr,
        refunded_ucr: number("refunded"),
        adjusted_ucr: number("adjusted"),
        max_active: u32::try_from(number("max_active")).unwrap_or(0),
        queue_limits: queue_limits(text("limits")),
        day: cap_view(text("caps"), text("spent"), 0, now_ms),
        month: cap_view(text("caps"), text("spent"), 1, now_ms),
        low_balance_ucr: text("alert")
            .split('|')
            .next()
            .and_then(|ucr| ucr.parse().ok()),
        plan: plan_view(
            text("plan"),
            text("plan_price"),
            number("plan_until"),
            now_ms,
        ),
        sequence: u64::try_from(number("seq")).unwrap_or(0),
        grants,
    }
}

/// Reads `kind|remaining|pinned|expires_ms|age`.
fn grant_view(grant: String, row: &str) -> Option<GrantView> {
    let mut parts = row.split('|');
    let kind = parts.next()?.to_owned();
    let mut number = || parts.next()?.parse::<i64>().ok();
    let (remaining_ucr, pinned_ucr, expires) = (number()?, number()?, number()?);
    // What the house pinned for a hold has an expiry in the past, for the scripts alone: it never can be spent.
    let has_expiry = expires > 0 && kind != "house";
    let expires_at_ms = u64::try_from(expires).ok().filter(|_| has_expiry);
    Some(GrantView {
        grant,
        kind,
        remaining_ucr,
        pinned_ucr,
        expires_at_ms,
    })
}
