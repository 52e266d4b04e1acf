//! Dead letters: gone through one by one, however many there are, with a page at a time in memory; let go.

use std::collections::VecDeque;

use super::refusal::{Kind, Refused};
use crate::domain::ids::JobId;
use crate::store::{DeadFilter, DeadLetter, DropOutcome, Error, Place, Sorting, Store};

/// Which dead letters an act is for.
#[derive(Debug)]
pub enum Selection {
    /// These jobs.
    Named(Vec<JobId>),
    /// Whatever fits.
    Fitting(DeadFilter),
}

/// Where a walk has come to.
pub struct Walk {
    store: Store,
    filter: DeadFilter,
    named: VecDeque<JobId>,
    /// The partition that is read, past the last one at the end.
    partition: u16,
    place: Option<Place>,
    page: VecDeque<DeadLetter>,
}

/// One step of a walk.
pub struct Step {
    /// The job; one that was named may be no dead letter.
    pub job: JobId,
    /// What it is as a dead letter, as of the page it was on.
    pub letter: Option<DeadLetter>,
}

impl Walk {
    /// A walk over what was selected: in the order of the names, or partition by partition, the oldest
    /// dead letter first.
    pub fn over(store: &Store, selection: &Selection) -> Self {
        let (named, filter, partition) = match selection {
            Selection::Named(jobs) => (
                jobs.iter().cloned().collect(),
                DeadFilter::default(),
                store.partitions(),
            ),
            Selection::Fitting(filter) => (VecDeque::new(), filter.clone(), 0),
        };
        Self {
            store: store.clone(),
            filter,
            named,
            partition,
            place: None,
            page: VecDeque::new(),
        }
    }

    /// The next one; `None` at the end. A dead letter that comes or goes meanwhile makes the walk neither
    /// miss nor repeat another one.
    ///
    /// # Errors
    /// The store's: the same step can be asked for again.
    pub async fn next(&mut self) -> Result<Option<Step>, Error> {
        if let Some(job) = self.named.pop_front() {
            let letter = self.store.dead_letter(&job).await?;
            return Ok(Some(Step { job, letter }));
        }
        while self.page.is_empty() && self.partition < self.store.partitions() {
            self.turn().await?;
        }
        let letter = self.page.pop_front();
        Ok(letter.map(|letter| Step {
            job: letter.job.clone(),
            letter: Some(letter),
        }))
    }

    /// Reads the next page.
    async fn turn(&mut self) -> Result<(), Error> {
        if self
            .filter
            .may_be_in(self.partition, self.store.partitions())
        {
            let after = self.place.as_ref();
            let page = self
                .store
                .dead_page(self.partition, &self.filter, Sorting::Earliest, after)
                .await?;
            self.page = page.letters.into();
            self.place = page.next;
        }
        if self.place.is_none() {
            self.partition += 1;
        }
        Ok(())
    }
}

/// A dead letter that was let go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Whose it was.
    pub account: String,
    /// What had been held for it, micro-credits.
    pub ceiling_ucr: i64,
    /// It had been dropped before.
    pub replayed: bool,
}

/// What came of letting a dead letter go.
///
/// # Errors
/// [`Refused`] where the job is no dead letter.
pub fn dropped(job: &JobId, outcome: DropOutcome) -> Result<Dropped, Refused> {
    match outcome {
        DropOutcome::Dropped {
            account,
            ceiling,
            replayed,
        } => Ok(Dropped {
            account: account.to_string(),
            ceiling_ucr: ceiling.get(),
            replayed,
        }),
        DropOutcome::Redriven(new) => {
            let sentence = format!("job {job} was retried already, as job {new}");
            Err(Refused::new(Kind::NotADeadLetter, sentence).with("new_job", new.as_str()))
        }
        DropOutcome::NotDead(state) => {
            let sentence = format!("job {job} is no dead letter: it is {state}");
            Err(Refused::new(Kind::NotADeadLetter, sentence).with("state", state))
        }
        DropOutcome::UnknownJob => {
            let sentence = format!("there is no job {job}");
            Err(Refused::new(Kind::UnknownJob, sentence))
        }
    }
}
