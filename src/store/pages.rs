//! Pages over an index of jobs: a bounded look at each, whatever its length.

use super::reply::Reply;
use super::{Error, Store, scripts};
use crate::domain::ids::JobId;

/// Jobs looked at in one call.
pub(super) const PAGE: usize = 100;

/// Where a page of an index ended: the next one begins behind it. It names a job by value, so that what
/// comes and goes meanwhile moves nobody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    at_ms: u64,
    job: String,
}

impl Place {
    /// Behind this job, which stands at this time (ms since 1970) in the index.
    pub fn behind(at_ms: u64, job: impl Into<String>) -> Self {
        Self {
            at_ms,
            job: job.into(),
        }
    }

    /// The last one's time, ms since 1970, and its id.
    pub fn last(&self) -> (u64, &str) {
        (self.at_ms, &self.job)
    }
}

/// From which end an index is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sorting {
    /// The earliest time first.
    Earliest,
    /// The latest time first.
    Latest,
}

/// Which stretch of an index is read: its key, its times in ms since 1970, both included, and where the
/// page before ended.
pub(super) struct Stretch<'a> {
    pub(super) partition: u16,
    pub(super) index: String,
    pub(super) order: Sorting,
    pub(super) from_ms: Option<u64>,
    pub(super) to_ms: Option<u64>,
    pub(super) after: Option<&'a Place>,
}

/// One job of a page: its time in the index, and the fields that were asked for, in their order.
pub(super) struct Row {
    pub(super) job: JobId,
    pub(super) at_ms: u64,
    row: Reply,
}

impl Row {
    /// The field that was asked for at this place; empty where it is not set.
    pub(super) fn text(&self, field: usize) -> Result<String, Error> {
        self.row.text(field + 2)
    }

    /// The same as a number, 0 where it is not set.
    pub(super) fn number(&self, field: usize) -> Result<i64, Error> {
        Ok(self.text(field)?.parse().unwrap_or(0))
    }
}

impl Store {
    /// A page of an index, and where the next one begins; `None` at the end.
    pub(super) async fn index_page(
        &self,
        stretch: Stretch<'_>,
        fields: &[&str],
    ) -> Result<(Vec<Row>, Option<Place>), Error> {
        let bound =
            |ms: Option<u64>, none: &str| ms.map_or_else(|| none.to_owned(), |ms| ms.to_string());
        let after = stretch.after;
        let mut args = vec![
            match stretch.order {
                Sorting::Earliest => "up".to_owned(),
                Sorting::Latest => "down".to_owned(),
            },
            bound(stretch.from_ms, "-inf"),
            bound(stretch.to_ms, "+inf"),
            bound(after.map(|place| place.at_ms), ""),
            after.map(|place| place.job.clone()).unwrap_or_default(),
            PAGE.to_string(),
        ];
        args.extend(fields.iter().map(|field| (*field).to_owned()));
        let keys = [self.keys(stretch.partition)?.meta(), stretch.index];
        let reply = self.look(&scripts::LOOK_INDEX, &keys, &args).await?;
        if reply.word()? != "page" {
            return reply.unknown();
        }
        let (mut rows, mut last) = (Vec::new(), None);
        for row in reply.rows(1)? {
            let (job, at_ms) = (row.text(0)?, row.number(1)?);
            // What is no job id is passed over, and the page still ends behind it.
            if let Ok(job) = JobId::try_from(job.clone()) {
                rows.push(Row { job, at_ms, row });
            }
            last = Some(Place { at_ms, job });
        }
        Ok((
            rows,
            last.filter(|_| reply.text(2).is_ok_and(|more| more == "1")),
        ))
    }
}
