//! Dead letters: jobs that failed or ran out of time, kept for an operator, who finds them, submits them
//! again, or lets them go; and the operator's own end of a job that is still open.

use std::collections::HashMap;

use super::pages::{Place, Row, Sorting, Stretch};
use super::{Error, Store};
use crate::domain::credits::Ucr;
use crate::domain::failure::FailureClass;
use crate::domain::ids::{AccountId, JobId};

/// Which dead letters are meant; what is `None` does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadFilter {
    /// Only this tool's.
    pub tool: Option<String>,
    /// Only those of this class.
    pub class: Option<FailureClass>,
    /// Only this account's.
    pub account: Option<AccountId>,
    /// Only those that ended then or later, ms since 1970.
    pub since_ms: Option<u64>,
    /// Only those that ended then or earlier, ms since 1970.
    pub until_ms: Option<u64>,
}

impl DeadFilter {
    /// Whether a partition can have any.
    pub fn may_be_in(&self, partition: u16, partitions: u16) -> bool {
        let account = self.account.as_ref();
        account.is_none_or(|account| account.partition(partitions) == partition)
    }

    fn fits(&self, letter: &DeadLetter) -> bool {
        self.tool.as_ref().is_none_or(|tool| *tool == letter.tool)
            && self
                .class
                .is_none_or(|class| class.as_str() == letter.class)
            && self
                .account
                .as_ref()
                .is_none_or(|account| *account == letter.account)
    }
}

/// A dead letter as listings show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The job.
    pub job: JobId,
    /// When it ended, ms since 1970.
    pub ended_ms: u64,
    /// `failed` or `timed_out`.
    pub state: String,
    /// Whose it is.
    pub account: AccountId,
    /// Its tool.
    pub tool: String,
    /// Why it ended: a failure class.
    pub class: String,
    /// What the user was told.
    pub message: String,
    /// Submissions made for it.
    pub submissions: u32,
    /// What was held for it, and would be again.
    pub ceiling: Ucr,
}

/// A page of dead letters.
#[derive(Debug)]
pub struct DeadPage {
    /// Those that fit, of the hundred at most that were looked at.
    pub letters: Vec<DeadLetter>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Place>,
}

const FIELDS: [&str; 7] = [
    "state",
    "account",
    "tool",
    "fail_class",
    "message",
    "submissions",
    "hold_ucr",
];

impl Store {
    /// A page of a partition's dead letters that fit a filter.
    pub async fn dead_page(
        &self,
        partition: u16,
        filter: &DeadFilter,
        order: Sorting,
        after: Option<&Place>,
    ) -> Result<DeadPage, Error> {
        let stretch = Stretch {
            partition,
            index: self.keys(partition)?.part("deadletters"),
            order,
            from_ms: filter.since_ms,
            to_ms: filter.until_ms,
            after,
        };
        let (rows, next) = self.index_page(stretch, &FIELDS).await?;
        let mut letters = Vec::new();
        for row in &rows {
            letters.extend(letter(row)?.filter(|letter| filter.fits(letter)));
        }
        Ok(DeadPage { letters, next })
    }

    /// One job as a dead letter; `None` where it is none, or none any more.
    pub async fn dead_letter(&self, job: &JobId) -> Result<Option<DeadLetter>, Error> {
        let mut ask = redis::pipe();
        ask.cmd("ZSCORE")
            .arg(self.keys(job.partition())?.part("deadletters"))
            .arg(job.as_str());
        let (ended_ms,): (Option<u64>,) = self.read("deadletters", &ask).await?;
        let (Some(ended_ms), Some(view)) = (ended_ms, self.job(job).await?) else {
            return Ok(None);
        };
        let Ok(account) = view.text("account").parse() else {
            return Ok(None);
        };
        Ok(Some(DeadLetter {
            job: job.clone(),
            ended_ms,
            state: view.text("state").to_owned(),
            account,
            tool: view.text("tool").to_owned(),
            class: view.text("fail_class").to_owned(),
            message: view.text("message").to_owned(),
            submissions: u32::try_from(view.number("submissions")).unwrap_or(0),
            ceiling: Ucr::new(view.number("hold_ucr")).unwrap_or(Ucr::ZERO),
        }))
    }

    /// What the producer of a job asked for, JSON; `None` where it is gone.
    pub async fn payload(&self, job: &JobId) -> Result<Option<String>, Error> {
        let mut ask = redis::pipe();
        ask.cmd("GET").arg(self.keys(job.partition())?.payload(job));
        let (payload,): (Option<String>,) = self.read("payload", &ask).await?;
        Ok(payload)
    }

    /// What providers may still be doing for one job, of its first hundred submissions.
    pub async fn obligations_of(
        &self,
        job: &JobId,
        submissions: u32,
    ) -> Result<Vec<HashMap<String, String>>, Error> {
        let keys = self.keys(job.partition())?;
        let ids = (1..=submissions.min(100)).map(|n| job.submission_key(n));
        let mut ask = redis::pipe();
        let mut n = 0;
        for id in ids {
            ask.cmd("ZSCORE").arg(keys.part("obligations")).arg(&id);
            ask.cmd("HGETALL").arg(keys.obligation(&id));
            n += 1;
        }
        if n == 0 {
            return Ok(Vec::new());
        }
        let replies: Vec<redis::Value> = self.read("obligations", &ask).await?;
        let open = replies
            .chunks(2)
            .filter(|pair| !matches!(pair.first(), Some(redis::Value::Nil)));
        let hashes = open.filter_map(|pair| redis::from_redis_value(pair.get(1)?.clone()).ok());
        Ok(hashes.collect())
    }
}

/// A row of the index; `None` where its job is gone.
fn letter(row: &Row) -> Result<Option<DeadLetter>, Error> {
    let Ok(account) = AccountId::try_from(row.text(1)?) else {
        return Ok(None);
    };
    Ok(Some(DeadLetter {
        job: row.job.clone(),
        ended_ms: row.at_ms,
        state: row.text(0)?,
        account,
        tool: row.text(2)?,
        class: row.text(3)?,
        message: row.text(4)?,
        submissions: u32::try_from(row.number(5)?).unwrap_or(0),
        ceiling: Ucr::new(row.number(6)?).unwrap_or(Ucr::ZERO),
    }))
}
