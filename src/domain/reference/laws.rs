//! The promises about money, as questions to a state.

use std::collections::BTreeSet;

use super::{Account, Entry, Job, Partition};
use crate::domain::job::State;

/// A promise: its name, and whether a state keeps it.
pub type Law = (&'static str, fn(&Partition) -> bool);

/// Every law that holds in each state, whatever has happened.
pub const LAWS: [Law; 8] = [
    ("conserved", conserved),
    ("held is what open jobs hold", held_is_what_open_jobs_hold),
    ("nothing is below zero", nothing_is_below_zero),
    ("grants add up to the balance", grants_add_up),
    (
        "a capture is never above its ceiling",
        captured_within_ceiling,
    ),
    (
        "a refund is never above its capture",
        refunded_within_capture,
    ),
    (
        "an ended job kept or gave back all of its hold",
        ended_in_full,
    ),
    (
        "every open job has a clock and one place",
        every_open_job_has_a_place,
    ),
];

/// The laws that a state breaks.
pub fn broken(state: &Partition) -> Vec<&'static str> {
    let laws = LAWS.iter().filter(|(_, holds)| !holds(state));
    laws.map(|(name, _)| *name).collect()
}

/// Whether an entry moves nothing in or out of the world that has no other side.
pub fn is_balanced(entry: &Entry) -> bool {
    entry.postings.values().sum::<i64>() == 0
}

fn conserved(state: &Partition) -> bool {
    state.accounts.values().all(|a| {
        let came_in = a.granted_ucr + a.refunded_ucr + a.adjusted_ucr;
        came_in - a.captured_ucr - a.expired_ucr == a.available_ucr + a.held_ucr - a.debt_ucr
    })
}

fn open_jobs(state: &Partition) -> impl Iterator<Item = (&u16, &Job)> {
    state
        .jobs
        .iter()
        .filter(|(_, job)| !job.state.is_terminal())
}

fn held_is_what_open_jobs_hold(state: &Partition) -> bool {
    let slices_add_up =
        |job: &Job| job.slices.iter().map(|(_, ucr)| ucr).sum::<i64>() == job.hold_ucr;
    state.accounts.iter().all(|(no, account)| {
        let own = open_jobs(state).filter(|(_, job)| job.account == *no);
        own.map(|(_, job)| job.hold_ucr).sum::<i64>() == account.held_ucr
    }) && open_jobs(state).all(|(_, job)| slices_add_up(job))
}

fn nothing_is_below_zero(state: &Partition) -> bool {
    let is_sound = |a: &Account| {
        let grants = a.grants.values();
        [
            a.available_ucr,
            a.held_ucr,
            a.debt_ucr,
            a.granted_ucr,
            a.captured_ucr,
            a.expired_ucr,
            a.refunded_ucr,
        ]
        .into_iter()
        .chain(grants.flat_map(|grant| [grant.remaining_ucr, grant.pinned_ucr]))
        .all(|ucr| ucr >= 0)
    };
    state.accounts.values().all(is_sound)
}

fn grants_add_up(state: &Partition) -> bool {
    state.accounts.values().all(|account| {
        let remaining: i64 = account
            .grants
            .values()
            .map(|grant| grant.remaining_ucr)
            .sum();
        let pinned: i64 = account.grants.values().map(|grant| grant.pinned_ucr).sum();
        (remaining, pinned) == (account.available_ucr, account.held_ucr)
    })
}

fn captured_within_ceiling(state: &Partition) -> bool {
    state
        .jobs
        .values()
        .all(|job| job.captured_ucr <= job.hold_ucr)
}

fn refunded_within_capture(state: &Partition) -> bool {
    state
        .jobs
        .values()
        .all(|job| job.refunded_ucr <= job.captured_ucr)
}

fn ended_in_full(state: &Partition) -> bool {
    state
        .jobs
        .values()
        .filter(|job| job.state.is_terminal())
        .all(|job| {
            let is_free = job.captured_ucr == 0 || job.state == State::Succeeded;
            is_free && job.captured_ucr + job.released_ucr == job.hold_ucr
        })
}

fn every_open_job_has_a_place(state: &Partition) -> bool {
    let open: BTreeSet<u16> = open_jobs(state).map(|(no, _)| *no).collect();
    let clocks: BTreeSet<u16> = state.deadlines.keys().copied().collect();
    let mut places: Vec<u16> = state.ready.iter().flatten().copied().collect();
    places.extend(state.lanes.values().flat_map(|lane| lane.values()));
    places.extend(state.due.keys());
    places.sort_unstable();
    let is_held_by_somebody = |job: &Job| (job.state == State::Running) == job.take.is_some();
    open == clocks
        && places.iter().eq(open.iter())
        && open_jobs(state).all(|(_, job)| is_held_by_somebody(job))
}
