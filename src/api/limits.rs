//! How many requests a key may make: a bucket for each that fills evenly and holds a minute's worth.
//!
//! Counted by each process for itself: only keys that are known have a bucket, and buckets that are full
//! again are forgotten.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What a bucket holds lasts this long.
const WINDOW: Duration = Duration::from_secs(60);
/// Buckets above which full ones are looked for.
const BUCKETS_KEPT: usize = 10_000;

/// Buckets by key.
pub(super) struct Limits {
    /// Requests of a key in [`WINDOW`]; 0 = no limit.
    quota: u32,
    /// By when each bucket will be full again, if nothing more is taken.
    full_at: Mutex<HashMap<String, Instant>>,
}

/// What is left of a key's bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    /// Requests in a window.
    pub(super) quota: u32,
    /// Requests that could be made now.
    pub(super) remaining: u32,
    /// Seconds until the bucket is full again.
    pub(super) reset_s: u64,
    /// This request is above the limit; worth a repetition after so many seconds.
    pub(super) refused_for_s: Option<u64>,
}

impl Limits {
    pub(super) fn new(quota: u32) -> Self {
        Self {
            quota,
            full_at: Mutex::default(),
        }
    }

    /// Takes one request out of a key's bucket; `None` where there is no limit.
    pub(super) fn take(&self, key: &str, now: Instant) -> Option<Left> {
        if self.quota == 0 {
            return None;
        }
        let each = WINDOW / self.quota;
        let mut buckets = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() > BUCKETS_KEPT {
            buckets.retain(|_, full_at| *full_at > now);
        }
        let full_at = buckets.get(key).copied().unwrap_or(now).max(now);
        let empties = full_at + each - now;
        let refused_for_s = (empties > WINDOW).then(|| whole_seconds(empties - WINDOW));
        let full_at = if refused_for_s.is_some() {
            full_at
        } else {
            buckets.insert(key.to_owned(), full_at + each);
            full_at + each
        };
        let until_full = full_at - now;
        let taken = until_full.as_nanos().div_ceil(each.as_nanos().max(1));
        let taken = u32::try_from(taken).unwrap_or(u32::MAX);
        Some(Left {
            quota: self.quota,
            remaining: self.quota.saturating_sub(taken),
            reset_s: whole_seconds(until_full),
            refused_for_s,
        })
    }
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_quota_at_once_and_then_evenly() {
        let (limits, now) = (Limits::new(60), Instant::now());
        for n in (0..60).rev() {
            let left = limits.take("a", now).unwrap();
            assert_eq!((left.remaining, left.refused_for_s), (n, None));
        }
        let refused = limits.take("a", now).unwrap();
        assert_eq!((refused.remaining, refused.refused_for_s), (0, Some(1)));
        assert_eq!(limits.take("b", now).unwrap().remaining, 59);
        let later = now + Duration::from_secs(2);
        assert_eq!(limits.take("a", later).unwrap().remaining, 1);
        let whole = now + Duration::from_secs(200);
        let left = limits.take("a", whole).unwrap();
        assert_eq!((left.remaining, left.reset_s), (59, 1));
    }

    #[test]
    fn no_quota_is_no_limit() {
        assert_eq!(Limits::new(0).take("a", Instant::now()), None);
    }
}
