//! The lived examples of docs/ledger.md, on a real store, line by line.

use std::collections::BTreeMap;
use std::path::Path;

use meterline::domain::failure::FailureClass;
use meterline::domain::ids::{AccountId, JobId};
use meterline::store::{
    AdjustOutcome, ClaimedJob, Correction, GrantKind, RefundOutcome, Store, SubmitRefusal, Term,
};

use crate::support::*;

const MARK: &str = "<!-- tests/it/ledger_examples.rs lives this table -->";

/// One table's life.
struct Life {
    store: Store,
    acme: AccountId,
    jobs: BTreeMap<String, JobId>,
    steps: usize,
}

/// Milliseconds since 1970 of `15 08:00`, in January 2027.
fn at(when: &str) -> u64 {
    let (day, time) = when.split_once(' ').expect("a day and a time");
    let time: jiff::Timestamp = format!("2027-01-{day}T{time}:00Z").parse().expect("a time");
    u64::try_from(time.as_millisecond()).expect("after 1970")
}

fn number(word: &str) -> u32 {
    word.trim_end_matches(':').parse().expect("a number")
}

impl Life {
    async fn new() -> Self {
        let mut options = options();
        options.retention_ms = 30 * 86_400_000;
        let store = store_with(options).await;
        let acme = funded(&store, "acme", 0).await;
        Self {
            store,
            acme,
            jobs: BTreeMap::new(),
            steps: 0,
        }
    }

    /// The job in a worker's hands, whoever is ahead of it; each worker is new.
    async fn claimed(&self, now: &Store, name: &str) -> ClaimedJob {
        let worker = format!("w{}", self.steps);
        let claimed = claim(now, &worker, 9).await;
        let job = claimed.into_iter().find(|job| job.job == self.jobs[name]);
        job.unwrap_or_else(|| panic!("{name} is not to be claimed"))
    }

    async fn live(&mut self, when: &str, what: &str) {
        self.steps += 1;
        let now = self.store.at(at(when));
        let acme = self.acme.clone();
        let operation = format!("op-{}", self.steps);
        let words: Vec<&str> = what.split(' ').collect();
        match words[..] {
            ["buys", n, "as", payment] => {
                give(&now, &acme, number(n), GrantKind::Purchase, None, payment).await;
            }
            ["gets", n, kind, "until", day, time] => {
                let kind = GrantKind::from_word(kind).expect("a kind");
                let until = Some(at(&format!("{day} {time}")));
                give(&now, &acme, number(n), kind, until, &operation).await;
            }
            ["may", "spend", n, "a", "day"] => {
                let caps = Term::Caps {
                    day: Some(credits(number(n))),
                    month: None,
                };
                set(&now, &acme, caps).await;
            }
            [name, "holds", n] => {
                let mut job = job_for(&self.store, &acme, number(n));
                job.deadline_ms = 86_400_000;
                self.jobs
                    .insert(name.to_owned(), accept(&now, &job).await.job);
            }
            [_, "for", n, "is", "refused", ..] | [_, "for", n, "is", "refused:", ..] => {
                let refusal = refuse(&now, &job_for(&self.store, &acme, number(n))).await;
                match (&refusal, &words[5..]) {
                    (SubmitRefusal::Insufficient { .. }, []) => {}
                    (
                        SubmitRefusal::CapExceeded { period, left, .. },
                        [n, "are", "left", "of", "the", of],
                    ) => assert_eq!((*left, period.as_str()), (credits(number(n)), *of)),
                    _ => panic!("{what}: {refusal:?}"),
                }
            }
            [name, "is", "charged", n] => {
                let job = self.claimed(&now, name).await;
                settle(&now, &job, &settlement(number(n))).await;
            }
            [name, "fails"] => {
                let job = self.claimed(&now, name).await;
                fail(&now, &job, &ends(FailureClass::ProviderFault)).await;
            }
            [name, "is", "cancelled"] => {
                cancel(&now, &self.jobs[name]).await;
            }
            [name, "is", "refunded", n] => {
                let outcome = refund(&now, &self.jobs[name], Some(number(n)), &operation).await;
                assert!(
                    matches!(outcome, RefundOutcome::Refunded { .. }),
                    "{what}: {outcome:?}"
                );
            }
            [name, "is", "refunded", n, "refused,", left, "are", "left"] => {
                let outcome = refund(&now, &self.jobs[name], Some(number(n)), &operation).await;
                let left = credits(number(left));
                assert_eq!(outcome, RefundOutcome::AboveCaptured { left }, "{what}");
            }
            [payment, "is", "clawed", "back"] => {
                let outcome = adjust(&now, &acme, clawback(payment, None), &operation).await;
                assert!(
                    matches!(outcome, AdjustOutcome::Adjusted { .. }),
                    "{what}: {outcome:?}"
                );
            }
            [
                payment,
                "is",
                "clawed",
                "back:",
                "refused,",
                "0",
                "are",
                "left",
            ] => {
                let outcome = adjust(&now, &acme, clawback(payment, None), &operation).await;
                assert_eq!(outcome, AdjustOutcome::Nothing, "{what}");
            }
            ["is", "adjusted", "by", by] => {
                let (sign, n) = by.split_at(1);
                let n = credits(number(n));
                let correction = if sign == "+" {
                    Correction::Up(n)
                } else {
                    Correction::Down(n)
                };
                adjust(&now, &acme, correction, &operation).await;
            }
            _ => panic!("nobody can live {what:?}"),
        }
        assert_sound(&now).await;
    }

    /// Available, held, debt, and what can be spent of which kind, as the page writes it.
    async fn shown(&self, when: &str) -> [String; 4] {
        let view = money(&self.store.at(at(when)), &self.acme).await;
        let mut kinds: BTreeMap<String, i64> = BTreeMap::new();
        for grant in view.grants.iter().filter(|grant| grant.remaining_ucr > 0) {
            *kinds.entry(grant.kind.clone()).or_default() += grant.remaining_ucr / 1_000_000;
        }
        let kinds: Vec<String> = kinds
            .iter()
            .map(|(kind, n)| format!("{kind} {n}"))
            .collect();
        let of = if kinds.is_empty() {
            "nothing".to_owned()
        } else {
            kinds.join(", ")
        };
        let whole = |ucr: i64| (ucr / 1_000_000).to_string();
        [
            whole(view.available_ucr),
            whole(view.held_ucr),
            whole(view.debt_ucr),
            of,
        ]
    }
}

#[tokio::test]
async fn every_lived_example_of_the_money_rules_is_lived() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ledger.md");
    let page = std::fs::read_to_string(page).expect("docs/ledger.md");
    let mut lines_lived = 0;
    for table in page.split(MARK).skip(1) {
        let rows = table
            .lines()
            .skip_while(|line| !line.starts_with("|---"))
            .skip(1)
            .take_while(|line| line.starts_with('|'));
        let mut life = Life::new().await;
        for row in rows {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [when, what, available, held, debt, of] = cells[..] else {
                panic!("six cells in {row}");
            };
            life.live(when, what).await;
            assert_eq!(life.shown(when).await, [available, held, debt, of], "{row}");
            lines_lived += 1;
        }
    }
    assert!(
        lines_lived >= 33,
        "the tables have their lines: {lines_lived}"
    );
}
