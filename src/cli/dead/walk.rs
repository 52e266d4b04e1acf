//! Going through dead letters one by one, however many there are: a page at a time is in memory.

use std::collections::VecDeque;

use super::filter::Selection;
use crate::domain::ids::JobId;
use crate::store::{DeadFilter, DeadLetter, Error, Place, Sorting, Store};

/// Where a walk has come to.
pub(super) struct Walk {
    store: Store,
    filter: DeadFilter,
    named: VecDeque<JobId>,
    /// The partition that is read, past the last one at the end.
    partition: u16,
    place: Option<Place>,
    page: VecDeque<DeadLetter>,
}

/// One step of a walk.
pub(super) struct Step {
    /// The job; one that was named may be no dead letter.
    pub(super) job: JobId,
    /// What it is as a dead letter, as of the page it was on.
    pub(super) letter: Option<DeadLetter>,
}

impl Walk {
    /// A walk over what was selected: in the order of the names, or partition by partition, the oldest
    /// dead letter first.
    pub(super) fn over(store: &Store, selection: &Selection) -> Self {
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
    pub(super) async fn next(&mut self) -> Result<Option<Step>, Error> {
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
