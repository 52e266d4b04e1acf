//! What a retry would do, looked at without doing it: how many jobs, how many credits, who cannot pay.

use std::collections::HashMap;

use serde::Serialize;

use super::count;
use super::filter::Selection;
use super::walk::Walk;
use crate::cli::failure::Failure;
use crate::cli::output::credits;
use crate::domain::ids::AccountId;
use crate::store::{DeadLetter, Payer, Store};
use crate::wire::{self, Look};

/// Accounts that are named one by one; the others are only counted.
const NAMED_MAX: usize = 100;

/// What would happen. It is a look, not a promise: balances, lanes and room can change before it is done.
#[derive(Debug, Default, Serialize)]
pub(super) struct Preview {
    /// Dead letters.
    pub(super) jobs: u64,
    /// What was named and is none.
    pub(super) not_dead: u64,
    /// What would be held for all of them.
    pub(super) hold_ucr: i64,
    /// Those that whoever pays could pay now.
    pub(super) payable_jobs: u64,
    /// What would be held for these.
    pub(super) payable_ucr: i64,
    /// Accounts that could not have all of theirs retried.
    pub(super) accounts_short: u64,
    /// The first hundred of these.
    pub(super) short: Vec<Short>,
}

/// An account that could not have all of its dead letters retried.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Short {
    account: String,
    /// `open`, or why it may not spend.
    state: String,
    jobs: u64,
    need_ucr: i64,
    /// What it can spend; below zero while it is owing.
    available_ucr: i64,
    /// How many of its jobs that would pay, in the order in which they are tried.
    payable_jobs: u64,
}

/// An account on the way: `left_ucr` is what it could still spend.
struct Purse {
    short: Short,
    left_ucr: i64,
}

/// Looks at everything that is selected. One number for each account of a partition is in memory.
pub(super) async fn preview(
    store: &Store,
    selection: &Selection,
    payer: Payer,
) -> Result<Preview, Failure> {
    let mut preview = Preview::default();
    let mut purses: HashMap<AccountId, Purse> = HashMap::new();
    let (mut partition, mut stands_still) = (None, false);
    let mut walk = Walk::over(store, selection);
    while let Some(step) = walk.next().await? {
        let Some(letter) = step.letter else {
            preview.not_dead += 1;
            continue;
        };
        // A walk over all goes partition by partition, and an account has one.
        let changed = partition.replace(step.job.partition()) != partition;
        if changed && matches!(selection, Selection::Fitting(_)) {
            preview.close(purses.drain());
        }
        if changed {
            let frozen = store.frozen(step.job.partition()).await?;
            stands_still = frozen.iter().any(|one| one.account.is_none());
        }
        let purse = match purses.entry(letter.account.clone()) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                let mut purse = open(store, new.key()).await?;
                if stands_still {
                    purse.short.state = "frozen with its whole partition".to_owned();
                }
                new.insert(purse)
            }
        };
        preview.add(purse, &letter, payer);
    }
    preview.close(purses.drain());
    Ok(preview)
}

async fn open(store: &Store, account: &AccountId) -> Result<Purse, Failure> {
    let view = store.account(account).await?;
    let (state, available_ucr) = view.map_or_else(
        || ("unknown".to_owned(), 0),
        |view| (view.state, view.available_ucr - view.debt_ucr),
    );
    let short = Short {
        account: account.to_string(),
        state,
        jobs: 0,
        need_ucr: 0,
        available_ucr,
        payable_jobs: 0,
    };
    Ok(Purse {
        short,
        left_ucr: available_ucr,
    })
}

impl Preview {
    /// What a server has looked at. It names accounts that are short up to a limit.
    pub(super) fn of(look: Look) -> Self {
        let short: Vec<Short> = look.short.into_iter().map(Short::of).collect();
        Self {
            jobs: look.jobs,
            not_dead: 0,
            hold_ucr: look.hold_ucr,
            payable_jobs: look.payable_jobs,
            payable_ucr: look.payable_ucr,
            accounts_short: short.len() as u64,
            short,
        }
    }

    fn add(&mut self, purse: &mut Purse, letter: &DeadLetter, payer: Payer) {
        let need_ucr = letter.ceiling.get();
        self.jobs += 1;
        self.hold_ucr = self.hold_ucr.saturating_add(need_ucr);
        purse.short.jobs += 1;
        purse.short.need_ucr = purse.short.need_ucr.saturating_add(need_ucr);
        let can_pay = match payer {
            Payer::House => true,
            Payer::Account => purse.left_ucr >= need_ucr,
        };
        if can_pay && purse.short.state == "open" {
            purse.left_ucr -= need_ucr;
            purse.short.payable_jobs += 1;
            self.payable_jobs += 1;
            self.payable_ucr = self.payable_ucr.saturating_add(need_ucr);
        }
    }

    fn close(&mut self, purses: impl Iterator<Item = (AccountId, Purse)>) {
        let shorts = purses.map(|(_, purse)| purse.short);
        let shorts: Vec<Short> = shorts.filter(|one| one.payable_jobs < one.jobs).collect();
        self.accounts_short += shorts.len() as u64;
        self.short.extend(shorts);
        self.short
            .sort_by(|one, other| one.account.cmp(&other.account));
        self.short.truncate(NAMED_MAX);
    }

    /// The same in words, a few lines.
    pub(super) fn text(&self, payer: Payer) -> String {
        let mut text = format!(
            "{}, {} would be held; {}",
            count(self.jobs, "dead letter"),
            credits(self.hold_ucr),
            match payer {
                Payer::Account => "the accounts pay",
                Payer::House => "the house pays, the accounts are charged nothing",
            }
        );
        if self.not_dead > 0 {
            text += &format!("\n{} of the jobs named are no dead letters", self.not_dead);
        }
        if self.accounts_short > 0 {
            text += &format!(
                "\n{} of them can be paid now ({}); not all of theirs can be paid by {}:",
                self.payable_jobs,
                credits(self.payable_ucr),
                count(self.accounts_short, "account")
            );
        }
        for short in &self.short {
            text += &format!("\n  {}: {}", short.account, short.words());
        }
        if self.accounts_short > self.short.len() as u64 {
            text += "\n  ...";
        }
        text
    }
}

impl Short {
    fn of(short: wire::Short) -> Self {
        Self {
            account: short.account,
            state: short.state,
            jobs: short.jobs,
            need_ucr: short.need_ucr,
            available_ucr: short.available_ucr,
            payable_jobs: short.payable_jobs,
        }
    }

    fn words(&self) -> String {
        if self.state != "open" {
            return format!(
                "{}, but the account is {}",
                count(self.jobs, "job"),
                self.state
            );
        }
        format!(
            "{} for {}, {} available, enough for {}",
            credits(self.need_ucr),
            count(self.jobs, "job"),
            credits(self.available_ucr),
            self.payable_jobs
        )
    }
}
