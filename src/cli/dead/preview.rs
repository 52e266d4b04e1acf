//! What a retry would do, in words, whoever has looked.

use super::count;
use crate::cli::output::credits;
use crate::desk::look::{Preview, Short};
use crate::store::Payer;
use crate::wire::{self, Look};

impl Preview {
    /// What a server has looked at. It names accounts that are short up to a limit.
    pub fn of(look: Look) -> Self {
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
