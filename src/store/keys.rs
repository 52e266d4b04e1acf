//! Every key of the store has its function here: `ml:{tag}:<noun>:<id>`.
//!
//! All keys of a partition carry its tag, so that each script stays in one slot of a cluster. The
//! same names are built in `lua/lib/base.lua` from the first key of a call.

use crate::domain::ids::{AccountId, EndpointId, IdempotencyKey, JobId};

/// Slots of a Redis Cluster.
const SLOTS: u32 = 16_384;

/// The key that says what this store is: schema, number of partitions, tags.
pub(super) const STORE_META: &str = "ml:{meta}:store:meta";

/// The classes of ready streams, in the order in which they are served and declared.
pub(super) const CLASSES: [&str; 4] = ["resume", "high", "normal", "low"];

/// Tags whose slots lie evenly over the slot range, so that a cluster's masters share the work.
pub(super) fn spread_tags(partitions: u16) -> Vec<String> {
    let share = SLOTS.div_ceil(u32::from(partitions));
    (0..partitions)
        .map(|partition| {
            (0u32..)
                .map(|n| format!("p{partition:02x}{}", suffix(n)))
                .find(|tag| slot(tag) / share == u32::from(partition))
                .unwrap_or_default()
        })
        .collect()
}

fn slot(tag: &str) -> u32 {
    u32::from(crc16::State::<crc16::XMODEM>::calculate(tag.as_bytes())) % SLOTS
}

/// The slot of a key: that of what stands in its braces.
pub(super) fn slot_of(key: &str) -> u16 {
    let tagged = key
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'));
    let tag = tagged.map_or(key, |(tag, _)| if tag.is_empty() { key } else { tag });
    // Below the number of slots.
    slot(tag) as u16
}

fn suffix(n: u32) -> String {
    if n == 0 {
        String::new()
    } else {
        format!("-{n}")
    }
}

/// The keys of one partition.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    tag: String,
}

impl Keys {
    pub(super) fn new(tag: &str) -> Self {
        Self {
            tag: tag.to_owned(),
        }
    }

    /// Its hash tag.
    pub(super) fn tag(&self) -> &str {
        &self.tag
    }

    fn key(&self, noun: &str, id: &str) -> String {
        format!("ml:{{{}}}:{noun}:{id}", self.tag)
    }

    /// Hash: epoch, sequence and hash of the journal, clocks of the sweep.
    pub(super) fn meta(&self) -> String {
        self.part("meta")
    }

    /// One of the partition's own keys: `deadlines`, `due`, `journal`, ...
    pub(super) fn part(&self, id: &str) -> String {
        self.key("part", id)
    }

    /// Hash: an account's balances and totals.
    pub(super) fn account(&self, account: &AccountId) -> String {
        self.key("acct", account.as_str())
    }

    /// Hash: an account's live grants.
    pub(super) fn grants(&self, account: &AccountId) -> String {
        self.key("grants", account.as_str())
    }

    /// Hash: operation id to outcome; never expires.
    pub(super) fn operations(&self, account: &AccountId) -> String {
        self.key("ops", account.as_str())
    }

    /// Sorted set: an account's jobs by the time they were submitted.
    pub(super) fn jobs_of(&self, account: &AccountId) -> String {
        self.key("jobs", account.as_str())
    }

    /// String: the job that an idempotency key made.
    pub(super) fn idempotency(&self, account: &AccountId, key: &IdempotencyKey) -> String {
        self.key("idem", &format!("{account}:{key}"))
    }

    /// Hash: a stored quote; expires by itself.
    pub(super) fn quote(&self, quote: &str) -> String {
        self.key("quote", quote)
    }

    /// Hash: a job.
    pub(super) fn job(&self, job: &JobId) -> String {
        self.key("job", job.as_str())
    }

    /// The same for an id that was read from the store.
    pub(super) fn job_of(&self, id: &str) -> String {
        self.key("job", id)
    }

    /// String: what the producer asked for and all that the attempt needs, JSON.
    pub(super) fn payload(&self, job: &JobId) -> String {
        self.key("payload", job.as_str())
    }

    /// Hash: intent, handle and artifact of the current submission, JSON each.
    pub(super) fn work(&self, job: &JobId) -> String {
        self.key("work", job.as_str())
    }

    /// String: a line per event of a job.
    pub(super) fn timeline(&self, job: &JobId) -> String {
        self.key("timeline", job.as_str())
    }

    /// Sorted set: an account's jobs in a queue that wait for one of its active ones to end. A member of
    /// the lanes index is `<account>:<queue>`.
    pub(super) fn lane_of(&self, member: &str) -> String {
        self.key("lane", member)
    }

    /// Stream: jobs of a queue and class that a worker can take.
    pub(super) fn ready(&self, queue: &str, class: &str) -> String {
        self.key("ready", &format!("{queue}:{class}"))
    }

    /// Set: jobs that a worker has to stop.
    pub(super) fn stops(&self, worker: &str) -> String {
        self.key("stops", worker)
    }

    /// Hash: what a provider may still be doing for us.
    pub(super) fn obligation(&self, id: &str) -> String {
        self.key("obligation", id)
    }

    /// Set: an account's endpoints.
    pub(super) fn hooks_of(&self, account: &AccountId) -> String {
        self.key("hooks", account.as_str())
    }

    /// One of an endpoint's keys: `hook` (the hash of itself), `outbox`, `outdue`, `outfly`, `outtry`,
    /// `outdead`.
    pub(super) fn endpoint(&self, noun: &str, endpoint: &EndpointId) -> String {
        self.key(noun, endpoint.as_str())
    }

    /// Hash: the answer of an HTTP request with an idempotency key.
    pub(super) fn answer(&self, id: &str) -> String {
        self.key("answer", id)
    }

    /// Hash: an API key or token, by the hash of its secret.
    pub(super) fn api_key(&self, id: &str) -> String {
        self.key("apikey", id)
    }

    /// The four streams of a queue, in the order of [`CLASSES`].
    pub(super) fn streams(&self, queue: &str) -> [String; 4] {
        CLASSES.map(|class| self.ready(queue, class))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_spread_evenly_over_the_slots() {
        for partitions in [1, 3, 8, 64] {
            let tags = spread_tags(partitions);
            let share = SLOTS.div_ceil(u32::from(partitions));
            for (n, tag) in tags.iter().enumerate() {
                assert_eq!(slot(tag) / share, u32::try_from(n).unwrap(), "{tag}");
            }
        }
    }

    #[test]
    fn a_key_lies_in_the_slot_of_its_tag() {
        // As `CLUSTER KEYSLOT` says.
        assert_eq!(slot_of("foo"), 12_182);
        assert_eq!(slot_of("ml:{foo}:part:meta"), 12_182);
        assert_eq!(slot_of("{}foo"), slot_of("{}foo"));
        assert_eq!(
            slot_of(&Keys::new("p03").meta()),
            slot_of(&Keys::new("p03").part("due"))
        );
    }

    #[test]
    fn every_key_of_a_partition_carries_its_tag() {
        let keys = Keys::new("p03");
        assert_eq!(keys.meta(), "ml:{p03}:part:meta");
        assert_eq!(keys.ready("video", "low"), "ml:{p03}:ready:video:low");
    }
}
