//! What operators do to an account's credits, in a few words.

use meterline::domain::credits::Ucr;
use meterline::domain::ids::{AccountId, JobId};
use meterline::store::{
    AdjustOutcome, AdjustRequest, Correction, PlanOutcome, PlanRequest, RefundOutcome,
    RefundRequest, Store, Term, TermOutcome,
};

use super::{T0, accept, claim_one, credits, job_for, money, settlement};

pub(crate) const DAY_MS: u64 = 86_400_000;

/// When a grant expires that is good for so many days from the start.
pub(crate) fn days(n: u64) -> Option<u64> {
    Some(T0 + n * DAY_MS)
}

/// What is left of each live grant, in the order in which they were made: kind, remaining, pinned.
pub(crate) async fn grants(store: &Store, id: &AccountId) -> Vec<(String, i64, i64)> {
    let view = money(store, id).await;
    let whole = |ucr: i64| ucr / 1_000_000;
    view.grants
        .into_iter()
        .map(|g| (g.kind, whole(g.remaining_ucr), whole(g.pinned_ucr)))
        .collect()
}

pub(crate) async fn adjust(
    store: &Store,
    id: &AccountId,
    correction: Correction,
    operation: &str,
) -> AdjustOutcome {
    let request = AdjustRequest {
        account: id.clone(),
        operation: operation.parse().expect("an operation id"),
        correction,
        reason: "a test".to_owned(),
        actor: "tests".to_owned(),
    };
    store.adjust(&request).await.expect("adjust")
}

/// A clawback of so many credits, or of all.
pub(crate) fn clawback(payment: &str, n: Option<u32>) -> Correction {
    Correction::Clawback {
        payment: payment.parse().expect("an operation id"),
        amount: n.map(credits),
    }
}

/// The first answer to an adjustment, in whole credits: amount, debt made, available, debt.
pub(crate) fn adjusted(amount: u32, debt_made: u32, available: u32, debt: u32) -> AdjustOutcome {
    AdjustOutcome::Adjusted {
        amount: credits(amount),
        debt_made: credits(debt_made),
        available: credits(available),
        debt: credits(debt),
        replayed: false,
    }
}

pub(crate) async fn refund(
    store: &Store,
    job: &JobId,
    n: Option<u32>,
    operation: &str,
) -> RefundOutcome {
    let request = RefundRequest {
        job: job.clone(),
        operation: operation.parse().expect("an operation id"),
        amount: n.map(credits),
        reason: "a test".to_owned(),
        actor: "tests".to_owned(),
    };
    store.refund(&request).await.expect("refund")
}

/// The first answer to a refund, in whole credits: amount, expired at once, available, left.
pub(crate) fn refunded(amount: u32, expired: u32, available: u32, left: u32) -> RefundOutcome {
    RefundOutcome::Refunded {
        amount: credits(amount),
        expired: credits(expired),
        available: credits(available),
        debt: Ucr::ZERO,
        left: credits(left),
        replayed: false,
    }
}

/// A job that held `hold` credits and was charged `captured` of them.
pub(crate) async fn charged(store: &Store, id: &AccountId, hold: u32, captured: u32) -> JobId {
    let job = accept(store, &job_for(store, id, hold)).await.job;
    let claimed = claim_one(store, "w1").await;
    assert_eq!(claimed.job, job);
    let outcome = store
        .settle(&claimed.job, &claimed.token, &settlement(captured))
        .await;
    outcome.expect("settle");
    job
}

pub(crate) async fn set(store: &Store, id: &AccountId, term: Term) -> TermOutcome {
    let outcome = store.set_term(id, &term, "a test", "tests").await;
    outcome.expect("set")
}

/// It is so now, and let so many waiting jobs in.
pub(crate) fn let_in(admitted: u32) -> TermOutcome {
    TermOutcome::Set {
        admitted,
        replayed: false,
    }
}

/// A plan of so many credits a month.
pub(crate) fn plan(id: &AccountId, name: &str, n: u32, max_active: u32, op: &str) -> PlanRequest {
    PlanRequest {
        account: id.clone(),
        operation: op.parse().expect("an operation id"),
        plan: Some(name.to_owned()),
        amount: credits(n),
        max_active,
        months: 1,
        until_ms: None,
        price: "9.00 EUR".to_owned(),
        reason: "a test".to_owned(),
        actor: "tests".to_owned(),
    }
}

/// Puts an account on a plan that it can go on: until when, available, admitted, whether replayed.
pub(crate) async fn planned(store: &Store, request: &PlanRequest) -> (u64, i64, u32, bool) {
    match store.set_plan(request).await.expect("plan") {
        PlanOutcome::Planned {
            until_ms,
            available,
            admitted,
            replayed,
            ..
        } => (until_ms, available.get() / 1_000_000, admitted, replayed),
        other => panic!("{other:?}"),
    }
}
