//! Open holds: what is set aside, for which job, out of which grants.

use super::pages::{Place, Row, Sorting, Stretch};
use super::{Error, Store};
use crate::domain::credits::Ucr;
use crate::domain::ids::{AccountId, JobId};
use crate::domain::job::State;

/// An open hold and the job it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldView {
    /// The job.
    pub job: JobId,
    /// Whose credits.
    pub account: String,
    /// The job's tool.
    pub tool: String,
    /// Where the job stands.
    pub state: State,
    /// When it was made, ms since 1970.
    pub since_ms: u64,
    /// By when it ends at the latest, ms since 1970.
    pub until_ms: u64,
    /// How much is held.
    pub amount: Ucr,
    /// The grants it pins, with how much of each, in the order they are captured.
    pub slices: Vec<(String, Ucr)>,
    /// `account`, or `house` where the house pays.
    pub payer: String,
}

/// A page of open holds.
#[derive(Debug)]
pub struct HoldPage {
    /// Those found on it.
    pub holds: Vec<HoldView>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Place>,
}

/// The oldest holds of those that fit, and what all of these come to.
#[derive(Debug, Default)]
pub struct OldestHolds {
    /// The oldest first.
    pub oldest: Vec<HoldView>,
    /// How many fit.
    pub number: u64,
    /// What they come to, micro-credits.
    pub held_ucr: i64,
    /// The store's time when they were looked for, ms since 1970.
    pub now_ms: u64,
}

const FIELDS: [&str; 9] = [
    "state",
    "account",
    "tool",
    "created_at",
    "deadline_at",
    "ttl_at",
    "hold_ucr",
    "slices",
    "payer",
];

impl Store {
    /// A page of a partition's open holds, or of one account's. A page looks at a hundred jobs at most
    /// and may hold fewer, or none, of what is asked for.
    pub async fn hold_page(
        &self,
        partition: u16,
        account: Option<&AccountId>,
        after: Option<&Place>,
    ) -> Result<HoldPage, Error> {
        let keys = self.keys(partition)?;
        let stretch = Stretch {
            partition,
            index: account.map_or_else(|| keys.part("deadlines"), |account| keys.jobs_of(account)),
            order: Sorting::Earliest,
            from_ms: None,
            to_ms: None,
            after,
        };
        let (rows, next) = self.index_page(stretch, &FIELDS).await?;
        let mut holds = Vec::new();
        for row in &rows {
            holds.extend(hold(row)?);
        }
        Ok(HoldPage { holds, next })
    }

    /// Goes through all open holds that may fit, a page at a time; a page more than the limit is in memory
    /// at most.
    pub async fn oldest_holds(
        &self,
        account: Option<&AccountId>,
        older_than_ms: u64,
        limit: usize,
    ) -> Result<OldestHolds, Error> {
        let now_ms = self.server_ms().await?;
        let before_ms = now_ms.saturating_sub(older_than_ms);
        let mut found = OldestHolds {
            now_ms,
            ..OldestHolds::default()
        };
        let own = account.map(|account| account.partition(self.partitions()));
        for partition in own.map_or(0..self.partitions(), |own| own..own + 1) {
            let mut place = None;
            loop {
                let page = self.hold_page(partition, account, place.as_ref()).await?;
                let fits = |hold: &HoldView| hold.since_ms <= before_ms;
                for hold in page.holds.into_iter().filter(fits) {
                    found.number += 1;
                    found.held_ucr = found.held_ucr.saturating_add(hold.amount.get());
                    found.oldest.push(hold);
                }
                found.oldest.sort_by_key(|hold| hold.since_ms);
                found.oldest.truncate(limit);
                place = page.next;
                if place.is_none() {
                    break;
                }
            }
        }
        Ok(found)
    }
}

/// The hold of a job; `None` where the job is gone or has ended.
fn hold(row: &Row) -> Result<Option<HoldView>, Error> {
    let state = State::from_word(&row.text(0)?);
    let Some(state) = state.filter(|state| !state.is_terminal()) else {
        return Ok(None);
    };
    let ms = |n: i64| u64::try_from(n).unwrap_or(0);
    let deadline_ms = ms(row.number(4)?);
    let payer = row.text(8)?;
    Ok(Some(HoldView {
        job: row.job.clone(),
        account: row.text(1)?,
        tool: row.text(2)?,
        state,
        since_ms: ms(row.number(3)?),
        until_ms: if deadline_ms > 0 {
            deadline_ms
        } else {
            ms(row.number(5)?)
        },
        amount: Ucr::new(row.number(6)?).unwrap_or(Ucr::ZERO),
        slices: slices(&row.text(7)?),
        payer: if payer.is_empty() {
            "account".to_owned()
        } else {
            payer
        },
    }))
}

/// Reads `g1=35000000;g2=1000000`.
fn slices(text: &str) -> Vec<(String, Ucr)> {
    let parts = text.split(';').filter_map(|part| part.split_once('='));
    parts
        .filter_map(|(grant, ucr)| Some((grant.to_owned(), Ucr::new(ucr.parse().ok()?).ok()?)))
        .collect()
}
