//! Which dead letters are meant, as it is said on a command line.

use crate::cli::failure::{Failure, Kind};
use crate::cli::job::id;
use crate::cli::output::rfc3339;
use crate::cli::request::{failure_class, span_ms, time_ms};
use crate::desk::dead::Selection;
use crate::domain::failure::FailureClass;
use crate::domain::ids::AccountId;
use crate::store::{DeadFilter, Store};
use crate::wire;

/// Flags that narrow dead letters down; all that are given have to fit.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct FilterArgs {
    /// Only this tool's
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// Only those of this failure class, such as provider_fault; timeout for those that ran out of time
    #[arg(long, value_name = "CLASS", value_parser = failure_class)]
    class: Option<FailureClass>,
    /// Only this account's
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<AccountId>,
    /// Only those that ended then or later, RFC 3339
    #[arg(long, value_name = "TIME", value_parser = time_ms)]
    since: Option<u64>,
    /// Only those that ended then or earlier, RFC 3339
    #[arg(long, value_name = "TIME", value_parser = time_ms)]
    until: Option<u64>,
    /// Only those that ended at least so long ago, such as 1h
    #[arg(long, value_name = "TIME", value_parser = span_ms)]
    older_than: Option<u64>,
}

impl FilterArgs {
    /// No flag at all: every dead letter fits.
    fn is_empty(&self) -> bool {
        self.tool.is_none()
            && self.class.is_none()
            && self.account.is_none()
            && self.since.is_none()
            && self.until.is_none()
            && self.older_than.is_none()
    }

    /// The filter as a server reads it. Ages count by this host's clock.
    pub(super) fn through(self) -> wire::DeadFilter {
        let time = |ms: Option<u64>| ms.and_then(|ms| i64::try_from(ms).ok()).and_then(rfc3339);
        let now_ms = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
        let aged_ms = self.older_than.map(|age_ms| now_ms.saturating_sub(age_ms));
        let until_ms = [self.until, aged_ms].into_iter().flatten().min();
        wire::DeadFilter {
            tool: self.tool,
            class: self.class.map(|class| class.as_str().to_owned()),
            account: self.account,
            since: time(self.since),
            until: time(until_ms),
            limit: None,
            cursor: None,
        }
    }

    /// The filter as of the store's clock. An account has to be there. Nothing that ends from now on
    /// fits, so that whoever goes through all of them comes to an end.
    pub(super) async fn filter(self, store: &Store) -> Result<DeadFilter, Failure> {
        if let Some(account) = &self.account
            && store.account(account).await?.is_none()
        {
            return Err(Failure::unknown_account(account));
        }
        let now_ms = store.server_ms().await?;
        let aged_ms = now_ms.saturating_sub(self.older_than.unwrap_or(0));
        Ok(DeadFilter {
            tool: self.tool,
            class: self.class,
            account: self.account,
            since_ms: self.since,
            until_ms: Some(self.until.map_or(aged_ms, |until_ms| until_ms.min(aged_ms))),
        })
    }
}

/// The same, for a server.
pub(super) enum Asked {
    /// These jobs.
    Named(Vec<String>),
    /// Whatever fits.
    Fitting(wire::DeadFilter),
}

/// Which dead letters an act is for: named ones, or those that fit.
#[derive(Debug, clap::Args)]
pub(super) struct SelectArgs {
    /// The dead letters by their job ids
    #[arg(value_name = "JOB", conflicts_with_all = [
        "all", "tool", "class", "account", "since", "until", "older_than",
    ])]
    jobs: Vec<String>,
    /// All there are
    #[arg(long, conflicts_with_all = ["tool", "class", "account", "since", "until", "older_than"])]
    all: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

impl SelectArgs {
    /// As a server is asked; it says itself which jobs there are.
    pub(super) fn through(self) -> Result<Asked, Failure> {
        if !self.jobs.is_empty() {
            return Ok(Asked::Named(self.jobs));
        }
        self.is_said()?;
        Ok(Asked::Fitting(self.filter.through()))
    }

    /// Doing it to all of them has to be said.
    fn is_said(&self) -> Result<(), Failure> {
        if self.all || !self.filter.is_empty() {
            return Ok(());
        }
        let message = "say which ones: JOB..., a filter such as --class, or --all";
        Err(Failure::new(Kind::Usage, message))
    }

    pub(super) async fn selection(self, store: &Store) -> Result<Selection, Failure> {
        if !self.jobs.is_empty() {
            let ids = self.jobs.iter().map(|text| id(store, text));
            return Ok(Selection::Named(ids.collect::<Result<_, _>>()?));
        }
        self.is_said()?;
        Ok(Selection::Fitting(self.filter.filter(store).await?))
    }
}
