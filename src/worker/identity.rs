//! Who this worker is: host and boot nonce, with a new number wherever an id was declared dead.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// A worker's ids, one per partition. They differ only after the store took one for dead there: a
/// dead id is refused for ever, so the process goes on under the next.
pub(super) struct Identity {
    base: String,
    lives: Vec<AtomicU32>,
    /// Where the current id has claimed, and so has a lease that can be lost.
    joined: Vec<AtomicBool>,
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
            joined: (0..partitions).map(|_| AtomicBool::new(false)).collect(),
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
        if life == 0 {
            self.base.clone()
        } else {
            format!("{}-{life}", self.base)
        }
    }

    /// Takes a new id in a partition where `dead` was declared dead; does nothing where another task
    /// already did.
    pub(super) fn renew(&self, partition: u16, dead: &str) {
        if self.at(partition) == dead {
            if let Some(life) = self.lives.get(usize::from(partition)) {
                life.fetch_add(1, Ordering::Relaxed);
            }
            self.set_joined(partition, false);
        }
    }
}

impl Identity {
    /// Notes that the store knows the id in a partition, or no longer does.
    pub(super) fn set_joined(&self, partition: u16, joined: bool) {
        if let Some(flag) = self.joined.get(usize::from(partition)) {
            flag.store(joined, Ordering::Relaxed);
        }
    }

    /// Whether the current id has a lease in a partition, as far as this process knows.
    pub(super) fn has_joined(&self, partition: u16) -> bool {
        self.joined
            .get(usize::from(partition))
            .is_some_and(|flag| flag.load(Ordering::Relaxed))
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
    fn two_boots_never_share_an_id() {
        assert_ne!(Identity::new(1).base(), Identity::new(1).base());
    }
}
