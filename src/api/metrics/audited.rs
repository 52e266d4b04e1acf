//! What the continuous audit says, as metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::store::LastAudit;

/// What the partitions' last audits say. Partitions that were never audited are left out.
#[derive(Default)]
pub(in crate::api) struct Audited {
    /// By partition: whether it found nothing.
    pub(super) sound: Vec<(u16, bool)>,
    /// By posting: what the journals add up to, micro-credits.
    pub(super) posted_ucr: BTreeMap<String, i128>,
    pub(super) differences: u64,
    /// The longest time since an audit.
    pub(super) age: Option<Duration>,
}

impl Audited {
    /// Takes the last audit of a partition in. A report that cannot be read counts as a difference.
    pub(in crate::api) fn add(&mut self, partition: u16, audit: &LastAudit, now_ms: u64) {
        let report: serde_json::Value = serde_json::from_str(&audit.report).unwrap_or_default();
        self.sound.push((partition, report["ok"] == true));
        self.differences += report["differences_in_all"].as_u64().unwrap_or(1);
        for (posting, sum) in report["books"].as_object().into_iter().flatten() {
            let sum = sum.as_i64().map_or(0, i128::from);
            *self.posted_ucr.entry(posting.clone()).or_default() += sum;
        }
        let age = Duration::from_millis(now_ms.saturating_sub(audit.at_ms));
        self.age = self.age.max(Some(age));
    }
}
