//! What stands still or is set aside, as a server says it, in the store's own views.

use crate::cli::failure::{Failure, Kind};
use crate::cli::server::{Server, job_id, views};
use crate::domain::credits::Ucr;
use crate::domain::job::State;
use crate::store::{FreezeAct, Frozen, HoldView, OldestHolds, Scope};
use crate::wire::{Cleared, Freeze, FreezeRequest, Hold, HoldQuery};

/// Holds of one answer.
const HOLDS_MAX: usize = 100;

impl Server {
    pub(in crate::cli) async fn frozen(&self) -> Result<Vec<Frozen>, Failure> {
        let found = self.client.freezes().await?;
        Ok(found.into_iter().map(frozen).collect())
    }

    /// What stands still from now on, and whether it did before.
    pub(in crate::cli) async fn freeze(&self, act: &FreezeAct) -> Result<(Frozen, bool), Failure> {
        let key = act.operation.as_str();
        let answer = self.client.freeze(&asked(act), Some(key)).await?;
        Ok((frozen(answer.body), answer.replayed))
    }

    /// What had stood still, jobs that are due now, whether it went on before, what still differs.
    pub(in crate::cli) async fn clear(
        &self,
        act: &FreezeAct,
    ) -> Result<(Frozen, u32, bool, Vec<String>), Failure> {
        let key = act.operation.as_str();
        let answer = self.client.clear_freeze(&asked(act), Some(key)).await?;
        let Cleared {
            was,
            jobs_due,
            still_differs,
        } = answer.body;
        Ok((frozen(was), jobs_due, answer.replayed, still_differs))
    }

    /// Ages count by this host's clock.
    pub(in crate::cli) async fn holds(&self, asked: HoldQuery) -> Result<OldestHolds, Failure> {
        if asked.limit.is_some_and(|limit| limit > HOLDS_MAX) {
            let message = format!("a server lists {HOLDS_MAX} holds at most: see --limit");
            return Err(Failure::new(Kind::Usage, message));
        }
        let found = self.client.holds(&asked).await?;
        let oldest: Result<_, Failure> = found.data.into_iter().map(hold).collect();
        Ok(OldestHolds {
            oldest: oldest?,
            number: found.holds,
            held_ucr: found.held_ucr,
            now_ms: u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0),
        })
    }
}

fn asked(act: &FreezeAct) -> FreezeRequest {
    let (account, partition) = match &act.scope {
        Scope::Account(account) => (Some(account.clone()), None),
        Scope::Partition(partition) => (None, Some(*partition)),
    };
    FreezeRequest {
        account,
        partition,
        reason: act.reason.clone(),
    }
}

fn frozen(freeze: Freeze) -> Frozen {
    Frozen {
        partition: freeze.partition,
        account: freeze.account,
        at_ms: views::ms(freeze.at.as_deref()).unwrap_or(0),
        actor: freeze.actor,
        reason: freeze.reason,
        differed: freeze.differed,
    }
}

fn hold(hold: Hold) -> Result<HoldView, Failure> {
    let amount = |ucr: i64| Ucr::new(ucr).map_err(|error| foreign(&error.to_string()));
    let pinned = hold.grants.into_iter();
    let slices: Result<_, Failure> = pinned
        .map(|part| Ok((part.grant, amount(part.pinned_ucr)?)))
        .collect();
    Ok(HoldView {
        job: job_id(&hold.job)?,
        account: hold.account,
        tool: hold.tool,
        state: State::from_word(&hold.state).ok_or_else(|| foreign(&hold.state))?,
        since_ms: views::ms(hold.since.as_deref()).unwrap_or(0),
        until_ms: views::ms(hold.until.as_deref()).unwrap_or(0),
        amount: amount(hold.hold_ucr)?,
        slices: slices?,
        payer: hold.payer,
    })
}

fn foreign(what: &str) -> Failure {
    let message = format!("failed to understand the answer: {what}");
    Failure::new(Kind::ForeignServer, message)
}
