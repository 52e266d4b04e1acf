//! The promises, asked in every state of the small house.

use meterline::domain::reference::{Partition, laws};
use stateright::{Model, Property};

use super::world::{House, World};

/// A question to a state.
type Question = fn(&House, &World) -> bool;

/// What holds in every state, beside the laws of the ledger.
const ALWAYS: [(&str, Question); 8] = [
    ("the journal says what the balance says", |_, world| {
        let account = &world.store.state.accounts[&0];
        world.store.booked == [account.available_ucr, account.held_ucr, -account.debt_ucr]
    }),
    ("a hold ends once", |_, world| {
        world.store.stories.iter().all(|story| story.ends <= 1)
    }),
    ("never both charged and given back in full", |_, world| {
        world
            .store
            .stories
            .iter()
            .all(|story| !(story.was_charged && story.was_released))
    }),
    ("nobody is charged after the deadline", |_, world| {
        world
            .store
            .stories
            .iter()
            .all(|story| !story.was_charged_late)
    }),
    ("an ended job stays ended", |_, world| {
        world.store.stories.iter().all(|story| !story.rose_again)
    }),
    (
        "a job is charged the price it was submitted at",
        |_, world| {
            let stories = world.store.stories.iter();
            world
                .store
                .state
                .jobs
                .values()
                .zip(stories)
                .all(|(job, story)| {
                    job.captured_ucr == 0 || job.captured_ucr == story.price.min(job.hold_ucr)
                })
        },
    ),
    (
        "behind lost writes nothing is held and nothing handed out",
        |_, world| world.fence.is_none_or(|fence| fence == world.handed_out()),
    ),
    (
        "in the end every job has ended and nothing is held",
        |house, world| {
            let mut acts = Vec::new();
            house.actions(world, &mut acts);
            !acts.is_empty() || is_settled(world)
        },
    ),
];

/// Comes up only where workers are lost.
pub(super) const TAKEN_OVER: &str = "a job is taken over";

/// What has to come up somewhere, or the walk has looked at nothing.
pub(super) const SEEN: [(&str, Question); 4] = [
    ("a job is charged", |_, world| {
        world.store.stories.iter().any(|story| story.was_charged)
    }),
    ("a job is given back in full", |_, world| {
        world.store.stories.iter().any(|story| story.was_released)
    }),
    (TAKEN_OVER, |_, world| {
        world.store.state.jobs.values().any(|job| job.takeovers > 0)
    }),
    ("credit expires", |_, world| {
        world.store.state.accounts[&0].expired_ucr > 0
    }),
];

/// All has ended that was ever accepted, and time is up.
fn is_settled(world: &World) -> bool {
    let state = &world.store.state;
    world.is_over()
        && state.jobs.values().all(|job| job.state.is_terminal())
        && state.accounts.values().all(|account| account.held_ucr == 0)
}

/// A law of the ledger by its number: a property is a plain function, which can carry nothing.
fn keeps<const N: usize>(_: &House, world: &World) -> bool {
    let (_, holds): (&str, fn(&Partition) -> bool) = laws::LAWS[N];
    holds(&world.store.state)
}

const LAWS: [Question; 8] = [
    keeps::<0>, keeps::<1>, keeps::<2>, keeps::<3>, keeps::<4>, keeps::<5>, keeps::<6>, keeps::<7>,
];

/// All of them.
pub(super) fn properties() -> Vec<Property<House>> {
    let laws = laws::LAWS.iter().zip(LAWS);
    let mut all: Vec<Property<House>> = laws
        .map(|((name, _), holds)| Property::always(name, holds))
        .collect();
    all.extend(
        ALWAYS
            .into_iter()
            .map(|(name, holds)| Property::always(name, holds)),
    );
    all.extend(
        SEEN.into_iter()
            .map(|(name, seen)| Property::sometimes(name, seen)),
    );
    all.push(Property::eventually("every open job ends", |_, world| {
        is_settled(world)
    }));
    all
}
