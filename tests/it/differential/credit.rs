//! Operations about accounts and credit, on the real store.

use meterline::domain::reference::{Correction, Kind, Op, Reply};
use meterline::store::{self, GrantKind, Store, Term};

use super::answers::{account_id, adjusted, granted, job_id, operation, refunded, ucr};
use crate::support::{adjust, request, set};

pub(super) async fn about_account(store: &Store, op: &Op) -> Reply {
    let changed = match *op {
        Op::Open { account } => {
            return match store
                .open_account(&account_id(account), 0)
                .await
                .expect("open")
            {
                store::Opened::Created => Reply::Created,
                store::Opened::Exists => Reply::Exists,
            };
        }
        Op::MaxActive { account, n } => return set_term(store, account, Term::MaxActive(n)).await,
        Op::Caps { account, caps } => {
            let term = Term::Caps {
                day: Some(ucr(caps.day_ucr)),
                month: Some(ucr(caps.month_ucr)),
            };
            return set_term(store, account, term).await;
        }
        Op::Close { account } => {
            store
                .close_account(&account_id(account), "to see", "tests")
                .await
        }
        Op::Reopen { account } => {
            store
                .reopen_account(&account_id(account), "to see", "tests")
                .await
        }
        ref other => panic!("{other:?} is not about an account"),
    };
    match changed.expect("close or reopen") {
        store::StateOutcome::Done { replayed: true } => Reply::Unchanged,
        store::StateOutcome::Done { replayed: false } => Reply::Set { admitted: 0 },
        store::StateOutcome::UnknownAccount => Reply::UnknownAccount,
        store::StateOutcome::AccountFrozen => Reply::AccountFrozen,
        store::StateOutcome::HasOpenJobs { held } => Reply::HasOpenJobs {
            held_ucr: held.get(),
        },
    }
}

async fn set_term(store: &Store, account: u8, term: Term) -> Reply {
    match set(store, &account_id(account), term).await {
        store::TermOutcome::Set { replayed: true, .. } => Reply::Unchanged,
        store::TermOutcome::Set { admitted, .. } => Reply::Set { admitted },
        store::TermOutcome::UnknownAccount => Reply::UnknownAccount,
        store::TermOutcome::BadValue => panic!("a value of ours"),
    }
}

pub(super) async fn about_credit(store: &Store, op: &Op) -> Reply {
    match *op {
        Op::Grant {
            account,
            op,
            ucr: amount,
            kind,
            expires_ms,
        } => {
            let request = store::GrantRequest {
                kind: kind_of(kind),
                expires_at_ms: (expires_ms > 0).then_some(expires_ms),
                ..request(&account_id(account), amount, operation(op).as_str())
            };
            granted(store.grant(&request).await.expect("grant"))
        }
        Op::Adjust {
            account,
            op,
            correction,
        } => {
            let correction = match correction {
                Correction::Up(amount) => store::Correction::Up(ucr(amount)),
                Correction::Down(amount) => store::Correction::Down(ucr(amount)),
                Correction::Clawback {
                    payment,
                    ucr: amount,
                } => store::Correction::Clawback {
                    payment: operation(payment),
                    amount: amount.map(ucr),
                },
            };
            adjusted(
                &adjust(
                    store,
                    &account_id(account),
                    correction,
                    operation(op).as_str(),
                )
                .await,
            )
        }
        Op::Refund {
            job,
            op,
            ucr: amount,
        } => {
            let request = store::RefundRequest {
                job: job_id(job),
                operation: operation(op),
                amount: amount.map(ucr),
                reason: "to see".to_owned(),
                actor: "tests".to_owned(),
            };
            refunded(&store.refund(&request).await.expect("refund"))
        }
        ref other => panic!("{other:?} is not about credit"),
    }
}

fn kind_of(kind: Kind) -> GrantKind {
    // The house's own kind has no word here: its place is taken by the other one nobody can grant.
    GrantKind::from_word(kind.as_str()).unwrap_or(GrantKind::Grace)
}
