//! What a retry would do, looked at without doing it: how many jobs, how many credits, who cannot pay.

use std::collections::HashMap;

use serde::Serialize;

use super::dead::{Selection, Walk};
use crate::domain::ids::AccountId;
use crate::store::{DeadLetter, Error, Payer, Store};

/// Accounts that are named one by one; the others are only counted.
const NAMED_MAX: usize = 100;

/// What would happen. It is a look, not a promise: balances, lanes and room can change before it is done.
#[derive(Debug, Default, Serialize)]
pub struct Preview {
    /// Dead letters.
    pub jobs: u64,
    /// What was named and is none.
    pub not_dead: u64,
    /// What would be held for all of them.
    pub hold_ucr: i64,
    /// Those that whoever pays could pay now.
    pub payable_jobs: u64,
    /// What would be held for these.
    pub payable_ucr: i64,
    /// Accounts that could not have all of theirs retried.
    pub accounts_short: u64,
    /// The first hundred of these.
    pub short: Vec<Short>,
}

/// An account that could not have all of its dead letters retried.
#[derive(Debug, Clone, Serialize)]
pub struct Short {
    /// The account.
    pub account: String,
    /// `open`, or why it may not spend.
    pub state: String,
    /// Its dead letters.
    pub jobs: u64,
    /// What would be held for them.
    pub need_ucr: i64,
    /// What it can spend; below zero while it is owing.
    pub available_ucr: i64,
    /// How many of its jobs that would pay, in the order in which they are tried.
    pub payable_jobs: u64,
}

/// An account on the way: `left_ucr` is what it could still spend.
struct Purse {
    short: Short,
    left_ucr: i64,
}

/// Looks at everything that is selected. One number for each account of a partition is in memory.
///
/// # Errors
/// The store's: nothing was changed.
pub async fn preview(store: &Store, selection: &Selection, payer: Payer) -> Result<Preview, Error> {
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

async fn open(store: &Store, account: &AccountId) -> Result<Purse, Error> {
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
}
