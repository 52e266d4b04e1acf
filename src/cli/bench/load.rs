//! The load: a thousand accounts with credits, and the jobs that they submit.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::cli::failure::{Failure, Kind};
use crate::domain::credits::Ucr;
use crate::domain::ids::AccountId;
use crate::domain::job::Priority;
use crate::domain::pricing::{Asked, BilledTrack, Rule};
use crate::store::{GrantKind, GrantRequest, NewJob, Store, SubmitOutcome};

/// The one queue that the load uses.
pub(super) const QUEUE: &str = "video";
/// Credits that each account gets: enough for any number of jobs that fits into a server.
const FUNDS_CREDITS: u32 = 100_000_000;
/// Calls under way while accounts are opened.
const OPENING: usize = 100;
/// Bytes of padding in each job, as in the jobs of the peers.
const PAD_BYTES: usize = 600;
/// What is held for a job: 5 s at 7 credits.
const CEILING_CREDITS: u32 = 35;
/// What is charged: 4 s, so that each settlement captures and releases.
pub(super) const CHARGE_CREDITS: u32 = 28;

/// What a job of the load carries.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Payload {
    /// When it was submitted, us since 1970.
    pub(super) ts: f64,
    /// How long it runs, ms.
    pub(super) sleep_ms: u64,
    pad: String,
}

/// Makes jobs, each account's turn after the other.
#[derive(Clone)]
pub(super) struct Load {
    store: Store,
    accounts: Vec<AccountId>,
    rule: Rule,
    sleep_ms: u64,
    /// Tells the jobs of one run from those of the next.
    run: String,
}

/// Microseconds since 1970.
pub(super) fn now_us() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64() * 1e6
}

/// Microseconds since `began`.
pub(super) fn us_since(began: Instant) -> u32 {
    u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX)
}

impl Load {
    /// Jobs for `accounts` accounts that run for `sleep_ms` each.
    pub(super) fn new(store: Store, accounts: u32, sleep_ms: u64) -> Result<Self, Failure> {
        let name = |n| format!("bench-{n:04}").parse::<AccountId>();
        let accounts: Result<_, _> = (0..accounts).map(name).collect();
        let rule = Rule::per_second(Ucr::from_credits(7), BilledTrack::Video);
        Ok(Self {
            store,
            accounts: accounts?,
            rule: rule.map_err(|error| Failure::new(Kind::Usage, error.to_string()))?,
            sleep_ms,
            run: format!("{:016x}", rand::random::<u64>()),
        })
    }

    /// The same load once more: other jobs, the same accounts.
    pub(super) fn again(&self) -> Self {
        Self {
            run: format!("{:016x}", rand::random::<u64>()),
            ..self.clone()
        }
    }

    /// Who submits.
    pub(super) fn accounts(&self) -> &[AccountId] {
        &self.accounts
    }

    /// Opens the accounts and funds them, each once however often this is called. `max_active` 0 =
    /// the default of the settings.
    pub(super) async fn fund(&self, max_active: u32) -> Result<(), Failure> {
        let last = self.accounts.last();
        // The last one is funded last: where it stands, all of them do.
        if let Some(last) = last
            && self.store.account(last).await?.is_some()
        {
            return Ok(());
        }
        let (most, rest) = self
            .accounts
            .split_at(self.accounts.len().saturating_sub(1));
        for some in [most, rest] {
            stream::iter(some)
                .map(|account| self.fund_one(account, max_active))
                .buffer_unordered(OPENING)
                .try_collect::<()>()
                .await?;
        }
        Ok(())
    }

    async fn fund_one(&self, account: &AccountId, max_active: u32) -> Result<(), Failure> {
        self.store.open_account(account, max_active).await?;
        let request = GrantRequest {
            account: account.clone(),
            operation: format!("fund-{account}").parse()?,
            amount: Ucr::from_credits(FUNDS_CREDITS),
            kind: GrantKind::Purchase,
            expires_at_ms: None,
            reason: "bench".to_owned(),
            actor: "bench".to_owned(),
        };
        self.store.grant(&request).await?;
        Ok(())
    }

    /// Submits job `n`. Returns how long the call took, us.
    pub(super) async fn submit(&self, n: u64) -> Result<u32, Failure> {
        let began = Instant::now();
        match self.store.submit(&self.job(n)?).await? {
            SubmitOutcome::Accepted(_) => Ok(us_since(began)),
            SubmitOutcome::Refused(refusal) => Err(refusal.into()),
        }
    }

    /// Submits jobs `0..n` with so many calls under way, each a call of its own with an outcome of its
    /// own. Yields how long each took, us.
    pub(super) fn submit_all(
        &self,
        n: u64,
        in_flight: usize,
    ) -> impl Stream<Item = Result<u32, Failure>> {
        stream::iter(0..n)
            .map(|n| self.submit(n))
            .buffer_unordered(in_flight.max(1))
    }

    fn job(&self, n: u64) -> Result<NewJob, Failure> {
        let at = usize::try_from(n).unwrap_or_default() % self.accounts.len().max(1);
        let account = self.accounts[at].clone();
        let payload = Payload {
            ts: now_us(),
            sleep_ms: self.sleep_ms,
            pad: "p".repeat(PAD_BYTES),
        };
        let payload = serde_json::to_string(&payload)
            .map_err(|error| Failure::new(Kind::Io, error.to_string()))?;
        Ok(NewJob {
            job: self.store.new_job_id(&account),
            account,
            fingerprint: format!("{}{n:048x}", self.run),
            ceiling: Ucr::from_credits(CEILING_CREDITS),
            tool: "image-to-video".to_owned(),
            queue: QUEUE.to_owned(),
            priority: Priority::Normal,
            price_version: "bench".to_owned(),
            rule: self.rule,
            asked: Asked {
                max_ms: Some(5_000),
                outputs: 1,
            },
            deadline_ms: 1_800_000,
            delay_ms: 0,
            payload,
            idempotency_key: Some(format!("{}-{n}", self.run).parse()?),
            quote: None,
            max: None,
        })
    }
}
