//! Where an open job stands: in a ready stream, in its account's lane, or among those that wait for a time.

use super::{AccountNo, JobNo, Partition, Step};
use crate::domain::job::{Priority, Stage, State};

/// A ready stream, in the order in which they are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Had begun already.
    Resume,
    /// Priority high.
    High,
    /// Priority normal.
    Normal,
    /// Priority low.
    Low,
}

impl Class {
    /// Every stream, in order.
    pub const ALL: [Self; 4] = [Self::Resume, Self::High, Self::Normal, Self::Low];

    /// The word in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resume => "resume",
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }

    /// The stream of a new job.
    pub fn of(priority: Priority) -> Self {
        match priority {
            Priority::High => Self::High,
            Priority::Normal => Self::Normal,
            Priority::Low => Self::Low,
        }
    }

    /// The stream of a job that was claimed before.
    pub(super) fn again(stage: Stage, priority: Priority) -> Self {
        match stage {
            Stage::Fresh => Self::of(priority),
            Stage::Intent | Stage::Handle | Stage::Artifact => Self::Resume,
        }
    }

    pub(super) fn index(self) -> usize {
        match self {
            Self::Resume => 0,
            Self::High => 1,
            Self::Normal => 2,
            Self::Low => 3,
        }
    }
}

impl Partition {
    /// At the end of a ready stream.
    pub(super) fn enqueue(&mut self, no: JobNo, class: Class) {
        self.ready[class.index()].push(no);
        if let Some(job) = self.jobs.get_mut(&no) {
            job.state = State::Queued;
            job.stream = Some(class);
        }
    }

    /// Out of its stream, whoever has it.
    pub(super) fn drop_entry(&mut self, no: JobNo) {
        let stream = self.jobs.get_mut(&no).and_then(|job| job.stream.take());
        if let Some(class) = stream {
            self.ready[class.index()].retain(|other| *other != no);
        }
    }

    /// Behind those of its rank: retries first, then by priority.
    pub(super) fn enter_lane(&mut self, step: &Step<'_>, no: JobNo, account: AccountNo) {
        let Some(job) = self.jobs.get_mut(&no) else {
            return;
        };
        let rank = match (job.is_front, job.priority) {
            (true, _) => 0,
            (false, Priority::High) => 1,
            (false, Priority::Normal) => 2,
            (false, Priority::Low) => 3,
        };
        job.state = State::Queued;
        job.stream = None;
        self.lane_seq += 1;
        self.lanes
            .entry(account)
            .or_default()
            .insert((rank, self.lane_seq), no);
        self.lanes_seen.entry(account).or_insert(step.now_ms);
    }

    pub(super) fn leave_lane(&mut self, no: JobNo, account: AccountNo) {
        if let Some(lane) = self.lanes.get_mut(&account) {
            lane.retain(|_, other| *other != no);
            if lane.is_empty() {
                self.lanes.remove(&account);
            }
        }
    }

    pub(super) fn active_count(&self, account: AccountNo) -> usize {
        self.active
            .get(&account)
            .map_or(0, std::collections::BTreeSet::len)
    }

    pub(super) fn is_active(&self, no: JobNo, account: AccountNo) -> bool {
        self.active
            .get(&account)
            .is_some_and(|active| active.contains(&no))
    }

    pub(super) fn set_active(&mut self, no: JobNo, account: AccountNo) {
        self.active.entry(account).or_default().insert(no);
    }

    pub(super) fn set_inactive(&mut self, no: JobNo, account: AccountNo) {
        if let Some(active) = self.active.get_mut(&account) {
            active.remove(&no);
            if active.is_empty() {
                self.active.remove(&account);
            }
        }
    }

    /// How many of an account's jobs may be active.
    pub(super) fn active_max(&self, step: &Step<'_>, account: AccountNo) -> usize {
        let own = self
            .accounts
            .get(&account)
            .map_or(0, |account| account.max_active);
        let n = if own > 0 { own } else { step.rules.max_active };
        usize::try_from(n).unwrap_or(usize::MAX)
    }

    /// Which jobs of a lane become active when so many members leave: never the one that ends.
    pub(super) fn next_of_lane(
        &self,
        step: &Step<'_>,
        account: AccountNo,
        freed: usize,
        leaving: Option<JobNo>,
    ) -> Vec<JobNo> {
        let active = self.active_count(account) - freed;
        let room = self.active_max(step, account).saturating_sub(active);
        let lane = self
            .lanes
            .get(&account)
            .into_iter()
            .flat_map(|lane| lane.values().copied());
        lane.take(room).filter(|no| Some(*no) != leaving).collect()
    }

    /// Lets these jobs of a lane in. Returns how many.
    pub(super) fn admit(&mut self, account: AccountNo, jobs: &[JobNo]) -> u32 {
        for no in jobs {
            self.leave_lane(*no, account);
            self.set_active(*no, account);
            if let Some(priority) = self.jobs.get(no).map(|job| job.priority) {
                self.enqueue(*no, Class::of(priority));
            }
        }
        if !jobs.is_empty() && !self.lanes.contains_key(&account) {
            self.lanes_seen.remove(&account);
        }
        u32::try_from(jobs.len()).unwrap_or(u32::MAX)
    }
}
