//! Accounts are opened and closed; what they may do is set.

use super::book::Booking;
use super::{Account, AccountNo, AccountState, Caps, EntryKind, Partition, Reply, Step};

impl Partition {
    pub(super) fn open(&mut self, step: &mut Step<'_>, account: AccountNo) -> Reply {
        if self.accounts.contains_key(&account) {
            return Reply::Exists;
        }
        self.accounts.insert(account, Account::default());
        if let Some(purse) = self.purse(account) {
            self.book(step, purse, Booking::still(EntryKind::Open));
        }
        Reply::Created
    }

    pub(super) fn set_open(
        &mut self,
        step: &mut Step<'_>,
        account: AccountNo,
        is_open: bool,
    ) -> Reply {
        let Some(mut purse) = self.purse(account) else {
            return Reply::UnknownAccount;
        };
        let state = if is_open {
            AccountState::Open
        } else {
            AccountState::Closed
        };
        if purse.account.state == state {
            return Reply::Unchanged;
        }
        if purse.account.state == AccountState::Frozen {
            return Reply::AccountFrozen;
        }
        if !is_open && purse.account.held_ucr > 0 {
            return Reply::HasOpenJobs {
                held_ucr: purse.account.held_ucr,
            };
        }
        purse.expire(step.now_ms);
        purse.account.state = state;
        self.book(step, purse, Booking::still(EntryKind::Set));
        Reply::Set { admitted: 0 }
    }

    pub(super) fn set_max_active(
        &mut self,
        step: &mut Step<'_>,
        account: AccountNo,
        n: u32,
    ) -> Reply {
        let Some(mut purse) = self.purse(account) else {
            return Reply::UnknownAccount;
        };
        if purse.account.max_active == n {
            return Reply::Unchanged;
        }
        purse.expire(step.now_ms);
        purse.account.max_active = n;
        self.book(step, purse, Booking::still(EntryKind::Set));
        let next = self.next_of_lane(step, account, 0, None);
        Reply::Set {
            admitted: self.admit(account, &next),
        }
    }

    pub(super) fn set_caps(
        &mut self,
        step: &mut Step<'_>,
        account: AccountNo,
        caps: Caps,
    ) -> Reply {
        let Some(mut purse) = self.purse(account) else {
            return Reply::UnknownAccount;
        };
        if purse.account.caps == caps {
            return Reply::Unchanged;
        }
        purse.expire(step.now_ms);
        purse.account.caps = caps;
        self.book(step, purse, Booking::still(EntryKind::Set));
        let next = self.next_of_lane(step, account, 0, None);
        Reply::Set {
            admitted: self.admit(account, &next),
        }
    }
}
