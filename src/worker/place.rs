//! A job's place in its worker: a slot while it works, a desk while nothing is left but to settle it.
//!
//! A slot is room for work at a provider and for measuring what came of it. Where all of that is done and
//! written down, the next job need not wait for the store to book it. Desks are as many as slots: a store
//! that answers slowly cannot gather jobs without end.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::House;

/// Where a job stands; its slot or desk is free again with the last clone, also after a panic.
#[derive(Clone)]
pub struct Place(Arc<Inner>);

struct Inner {
    house: Arc<House>,
    held: Mutex<Held>,
}

struct Held {
    /// Of the slot, then of a desk. Without one, a job of a queue that has no slots here.
    permit: Option<OwnedSemaphorePermit>,
    at_desk: bool,
}

/// The desks of a worker with these slots.
pub(super) fn desks(slots: impl IntoIterator<Item = u32>) -> Arc<Semaphore> {
    let sum: usize = slots.into_iter().map(|slots| slots as usize).sum();
    Arc::new(Semaphore::new(sum.min(Semaphore::MAX_PERMITS)))
}

impl Place {
    pub(super) fn new(house: Arc<House>, slot: Option<OwnedSemaphorePermit>) -> Self {
        let (permit, at_desk) = (slot, false);
        let held = Mutex::new(Held { permit, at_desk });
        Self(Arc::new(Inner { house, held }))
    }

    /// Nothing is left but to settle: the slot goes to another job, unless every desk is taken.
    pub fn leave_slot(&self) {
        let mut held = self.0.held();
        if !held.at_desk
            && let Ok(desk) = Arc::clone(&self.0.house.desks).try_acquire_owned()
        {
            (held.permit, held.at_desk) = (Some(desk), true);
            drop(held);
            self.0.house.stirred.notify_one();
        }
    }
}

impl Inner {
    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut held = self.held();
        held.permit = None;
        let had_slot = !held.at_desk;
        drop(held);
        if had_slot {
            self.house.stirred.notify_one();
        }
    }
}
