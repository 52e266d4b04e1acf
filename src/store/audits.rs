//! Who audits a partition, and what was found last.

use std::collections::HashMap;

use super::{Error, Store, scripts};

/// What the last audit of a partition found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastAudit {
    /// When, ms since 1970.
    pub at_ms: u64,
    /// Who.
    pub auditor: String,
    /// The report, JSON.
    pub report: String,
}

/// A partition's clock that was set back, because the server's had been ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockSet {
    /// When, ms since 1970.
    pub at_ms: u64,
    /// By how much, ms.
    pub by_ms: u64,
}

impl Store {
    /// The last time a partition's clock was set back; `None` where it never was.
    pub async fn clock_set_back(&self, partition: u16) -> Result<Option<ClockSet>, Error> {
        let mut ask = redis::pipe();
        ask.cmd("HMGET")
            .arg(self.keys(partition)?.meta())
            .arg("clock_set_at")
            .arg("clock_set_ms");
        let ((at, by),): ((Option<u64>, Option<u64>),) = self.read("meta", &ask).await?;
        Ok(at.zip(by).map(|(at_ms, by_ms)| ClockSet { at_ms, by_ms }))
    }

    /// Asks to be the one that audits a partition for the next `lease_ms`. Returns whether it is.
    pub async fn lead_audit(
        &self,
        partition: u16,
        auditor: &str,
        lease_ms: u64,
    ) -> Result<bool, Error> {
        let lease = lease_ms.to_string();
        self.audit_script(partition, [auditor, "lead", &lease, "", "", ""])
            .await
    }

    /// Keeps what an audit has found: the report, whether nothing differs, up to which sequence it
    /// has read, and the newest wrong opening it has seen. Returns whether it was the leader's word.
    pub async fn keep_audit(
        &self,
        partition: u16,
        auditor: &str,
        report: &str,
        sound: bool,
        seq: u64,
        wrong_until: u64,
    ) -> Result<bool, Error> {
        let (seq, wrong) = (seq.to_string(), wrong_until.to_string());
        let sound = if sound { "1" } else { "" };
        self.audit_script(partition, [auditor, "found", report, sound, &seq, &wrong])
            .await
    }

    async fn audit_script(&self, partition: u16, args: [&str; 6]) -> Result<bool, Error> {
        let keys = self.keys(partition)?;
        let keys = [keys.meta(), keys.part("audit")];
        let args = args.map(str::to_owned);
        let reply = self.run(&scripts::AUDIT, &keys, &args).await?;
        match reply.word()?.as_str() {
            "leads" | "noted" => Ok(true),
            "follows" => Ok(false),
            _ => reply.unknown(),
        }
    }

    /// What the last audit of a partition found; `None` where there was none yet.
    pub async fn last_audit(&self, partition: u16) -> Result<Option<LastAudit>, Error> {
        let mut ask = redis::pipe();
        ask.cmd("HGETALL").arg(self.keys(partition)?.part("audit"));
        let (mut fields,): (HashMap<String, String>,) = self.read("audit", &ask).await?;
        let mut take = |name: &str| fields.remove(name);
        let (at, report) = (take("at_ms"), take("report"));
        let at_ms = at.and_then(|text| text.parse().ok());
        Ok(at_ms.zip(report).map(|(at_ms, report)| LastAudit {
            at_ms,
            auditor: take("leader").unwrap_or_default(),
            report,
        }))
    }
}
