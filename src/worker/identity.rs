//! Who this worker is: host and boot nonce, with a new number wherever an id was declared dead.

use std::sync::atomic::{AtomicU32, Ordering};

/// A worker's ids, one per partition. They differ only after the store took one for dead there: a
/// dead id is refused for ever, so the process goes on under the next.
pub(super) struct Identity {
    base: String,
    lives: Vec<AtomicU32>,
    /// Which life has claimed, counted from 1, and so has a lease that can be lost; 0 = none.
    joined: Vec<AtomicU32>,
}

impl Identity {
    pub(super) fn new(partitions: u16) -> Self {
        let host = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        let host: String = host
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
            .take(40)
            .collect();
        let host = if host.is_empty() {
            "host".to_owned()
        } else {
            host
        };
        Self {
            base: format!("{host}-{:012x}", rand::random::<u64>() >> 16),
            lives: (0..partitions).map(|_| AtomicU32::new(0)).collect(),
            joined: (0..partitions).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// The id this process was born with.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// The id in one partition.
    pub(super) fn at(&self, partition: u16) -> String {
        let life = self
            .lives
            .get(usize::from(partition))
            .map_or(0, |n| n.load(Ordering::Relaxed));
        self.name(life)
    }

    fn name(&self, life: u32) -> String {
        if life == 0 {
            self.base.clone()
        } else {
            format!("{}-{life}", self.base)
        }
    }

    /// Takes a new id in a partition where `dead` was declared dead; does nothing where another task
    /// already did.
    pub(super) fn renew(&self, partition: u16, dead: &str) {
        let Some(life) = self.lives.get(usize::from(partition)) else {
            return;
        };
        let current = life.load(Ordering::Relaxed);
        if self.name(current) == dead {
            // Another task may hear of the same death at the same moment: one new id is enough.
            let next = current.saturating_add(1);
            let _ = life.compare_exchange(current, next, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Notes that the store knows `worker` in a partition. The word of a dead id counts for nothing.
    pub(super) fn note_joined(&self, partition: u16, worker: &str) {
        let at = usize::from(partition);
        if let (Some(life), Some(joined)) = (self.lives.get(at), self.joined.get(at)) {
            let current = life.load(Ordering::Relaxed);
            if self.name(current) == worker {
                joined.store(current.saturating_add(1), Ordering::Relaxed);
            }
        }
    }

    /// Whether the current id has a lease in a partition, as far as this process knows.
    pub(super) fn has_joined(&self, partition: u16) -> bool {
        let at = usize::from(partition);
        match (self.lives.get(at), self.joined.get(at)) {
            (Some(life), Some(joined)) => {
                joined.load(Ordering::Relaxed) == life.load(Ordering::Relaxed).saturating_add(1)
            }
            (None, _) | (_, None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_id_is_replaced_once_and_only_where_it_died() {
        let identity = Identity::new(2);
        let first = identity.at(0);
        identity.renew(0, &first);
        identity.renew(0, &first);
        assert_ne!(identity.at(0), first);
        assert_eq!(identity.at(0), format!("{first}-1"));
        assert_eq!(identity.at(1), first);
    }

    #[test]
    fn a_new_id_has_no_lease_whatever_the_dead_one_still_hears() {
        let identity = Identity::new(1);
        let first = identity.at(0);
        identity.note_joined(0, &first);
        assert!(identity.has_joined(0));
        identity.renew(0, &first);
        identity.note_joined(0, &first);
        assert!(!identity.has_joined(0));
        identity.note_joined(0, &identity.at(0));
        // Heard of once more, the old death takes nothing from the new life.
        identity.renew(0, &first);
        assert!(identity.has_joined(0));
    }

    #[test]
    fn two_boots_never_share_an_id() {
        assert_ne!(Identity::new(1).base(), Identity::new(1).base());
    }
}
