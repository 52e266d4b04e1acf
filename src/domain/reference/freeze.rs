//! An account or all of it stands still, and goes on again.

use super::book::Booking;
use super::{AccountState, EntryKind, OpNo, Partition, Reply, Scope, Step};
use crate::domain::job::State;

impl Partition {
    fn done_to(&self, op: OpNo, freezes: bool, scope: Scope) -> Option<Reply> {
        let (froze, what, parked) = *self.freezes.get(&op)?;
        Some(if (froze, what) != (freezes, scope) {
            Reply::FreezeMismatch
        } else if freezes {
            Reply::FreezeDone { replayed: true }
        } else {
            Reply::Cleared {
                parked,
                replayed: true,
            }
        })
    }

    pub(super) fn freeze(&mut self, _: &Step<'_>, scope: Scope, op: OpNo) -> Reply {
        if let Some(before) = self.done_to(op, true, scope) {
            return before;
        }
        match scope {
            Scope::Partition if self.is_frozen => return Reply::AlreadyFrozen,
            Scope::Partition => self.is_frozen = true,
            Scope::Account(no) => {
                if self.is_account_frozen(no) {
                    return Reply::AlreadyFrozen;
                }
                let Some(account) = self.accounts.get_mut(&no) else {
                    return Reply::UnknownAccount;
                };
                self.frozen.insert(no, account.state);
                account.state = AccountState::Frozen;
            }
        }
        self.freezes.insert(op, (true, scope, 0));
        Reply::FreezeDone { replayed: false }
    }

    pub(super) fn clear(&mut self, step: &mut Step<'_>, scope: Scope, op: OpNo) -> Reply {
        if let Some(before) = self.done_to(op, false, scope) {
            return before;
        }
        let parked = match scope {
            Scope::Partition if !self.is_frozen => return Reply::NotFrozen,
            Scope::Partition => {
                self.is_frozen = false;
                0
            }
            Scope::Account(no) => {
                let Some(before) = self.frozen.remove(&no) else {
                    return Reply::NotFrozen;
                };
                self.write_opening(step, no, before);
                self.let_go_on(step, no)
            }
        };
        self.freezes.insert(op, (false, scope, parked));
        Reply::Cleared {
            parked,
            replayed: false,
        }
    }

    /// The account's state as one entry of its own, from which its books can begin.
    fn write_opening(&mut self, step: &mut Step<'_>, no: u8, state: AccountState) {
        let Some(mut purse) = self.purse(no) else {
            return;
        };
        purse.account.state = state;
        purse.touched = purse.account.grants.keys().copied().collect();
        let expiry = self.expiries.get(&no).copied();
        self.book(step, purse, Booking::still(EntryKind::Opening));
        // Nothing was looked at for its expiry.
        match expiry {
            Some(at_ms) => self.expiries.insert(no, at_ms),
            None => self.expiries.remove(&no),
        };
    }

    /// What was put off is due now. Returns how many jobs there were, ended ones too.
    fn let_go_on(&mut self, step: &Step<'_>, no: u8) -> u32 {
        let parked = self.parked.remove(&no).unwrap_or_default();
        for job in &parked {
            if self
                .jobs
                .get(job)
                .is_some_and(|job| job.state == State::Scheduled)
            {
                self.due.insert(*job, step.now_ms);
            }
        }
        u32::try_from(parked.len()).unwrap_or(u32::MAX)
    }
}
