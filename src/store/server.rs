//! What the server says of itself, and whether it may be trusted with money.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::connection::Node;
use super::{Error, Store};

/// What `INFO` says, as far as it matters here. `CONFIG` is often blocked, so it is not asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerReport {
    /// The server's version, as it prints it.
    pub version: String,
    /// What it does when memory is full.
    pub maxmemory_policy: String,
    /// Its memory limit, bytes; 0 = none.
    pub maxmemory_bytes: u64,
    /// What it uses now, bytes.
    pub used_memory_bytes: u64,
    /// Whether every write goes to an append-only file.
    pub append_only: bool,
    /// `master` or `slave`.
    pub role: String,
    /// Replicas that are connected to it.
    pub replicas: u32,
}

/// The oldest server whose scripts can carry flags.
const OLDEST: (u32, u32) = (7, 0);

impl ServerReport {
    /// Reads the text of `INFO`.
    pub fn from_info(info: &str) -> Self {
        let fields: BTreeMap<&str, &str> = info
            .lines()
            .filter_map(|line| line.trim().split_once(':'))
            .collect();
        let text = |name: &str| fields.get(name).copied().unwrap_or_default().to_owned();
        let number = |name: &str| text(name).parse().unwrap_or_default();
        Self {
            version: text("redis_version"),
            maxmemory_policy: text("maxmemory_policy"),
            maxmemory_bytes: number("maxmemory"),
            used_memory_bytes: number("used_memory"),
            append_only: text("aof_enabled") == "1",
            role: text("role"),
            replicas: text("connected_slaves").parse().unwrap_or(0),
        }
    }

    /// The first two numbers of its version; Valkey says which Redis it is like.
    pub(super) fn version_number(&self) -> (u32, u32) {
        let mut parts = self
            .version
            .split('.')
            .map(|part| part.parse::<u32>().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    }

    /// Refuses a server that is too old.
    pub fn check_version(&self) -> Result<(), Error> {
        if self.version_number() >= OLDEST {
            return Ok(());
        }
        Err(Error::Unfit(format!(
            "it is version {}, at least {}.{} is needed (or Valkey)",
            if self.version.is_empty() {
                "unknown"
            } else {
                &self.version
            },
            OLDEST.0,
            OLDEST.1
        )))
    }

    /// Refuses new jobs on a server that could throw keys away, or that only follows another.
    pub fn check_submits(&self) -> Result<(), Error> {
        if !matches!(self.maxmemory_policy.as_str(), "noeviction" | "") {
            return Err(Error::Unfit(format!(
                "its maxmemory-policy is {}, which may throw credits away; set it to noeviction",
                self.maxmemory_policy
            )));
        }
        if self.role == "slave" {
            return Err(Error::Unfit("it is a replica; name the master".to_owned()));
        }
        Ok(())
    }

    /// Whether less than `percent` of the memory limit is used.
    pub fn has_room(&self, percent: u8) -> bool {
        let limit = u128::from(self.maxmemory_bytes) * u128::from(percent) / 100;
        self.maxmemory_bytes == 0 || u128::from(self.used_memory_bytes) < limit
    }

    /// What an operator should know, in words; empty when all is well.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.append_only {
            warnings.push(
                "the store keeps no append-only file: a restart loses every credit and job \
                 (set appendonly yes)"
                    .to_owned(),
            );
        }
        if let Err(error) = self.check_submits() {
            warnings.push(format!("submits are refused: failed to {error}"));
        }
        warnings
    }
}

impl Store {
    /// Asks the server about itself; in a cluster the one that has the first partition.
    pub async fn server_report(&self) -> Result<ServerReport, Error> {
        let node = self.node_of(0).await?;
        self.report_of(&node).await
    }

    /// Asks every server that has data about itself; each with its address.
    pub async fn server_reports(&self) -> Result<Vec<(String, ServerReport)>, Error> {
        let mut reports = Vec::new();
        for node in self.inner.connections.all().await? {
            reports.push((node.name(), self.report_of(&node).await?));
        }
        Ok(reports)
    }

    /// The server that has a partition.
    async fn node_of(&self, partition: u16) -> Result<Arc<Node>, Error> {
        if !self.inner.connections.is_cluster {
            return self.inner.connections.only();
        }
        let key = self.keys(partition)?.meta();
        self.inner.connections.node_of(&key).await
    }

    /// Asks a server about itself.
    pub(super) async fn report_of(&self, node: &Arc<Node>) -> Result<ServerReport, Error> {
        let info: String = self.read_from(node, &redis::cmd("INFO"), "INFO").await?;
        Ok(ServerReport::from_info(&info))
    }

    /// Refuses new jobs of a partition where its server could lose them, or is full.
    pub(super) async fn check_admission(&self, partition: u16) -> Result<(), Error> {
        let node = self.node_of(partition).await?;
        if self.has_memory(&node).await? {
            Ok(())
        } else {
            Err(Error::Full)
        }
    }

    /// Whether a server still has room for new jobs, looked at most once a second; an error where
    /// it could throw keys away.
    async fn has_memory(&self, node: &Arc<Node>) -> Result<bool, Error> {
        let now_ms = local_ms();
        let relaxed = Ordering::Relaxed;
        let seen = node.memory_seen.load(relaxed);
        if seen >> 1 > now_ms {
            return Ok(seen & 1 == 1);
        }
        // One asks and the others go by the last word meanwhile; without any word everybody asks.
        let asks = (now_ms + 1_000) << 1 | seen & 1;
        let memory = &node.memory_seen;
        if seen > 0
            && memory
                .compare_exchange(seen, asks, relaxed, relaxed)
                .is_err()
        {
            return Ok(seen & 1 == 1);
        }
        let looked = self.look_at_memory(node).await;
        let word = looked.as_ref().map_or(0, |room| u64::from(*room));
        let until_ms = if looked.is_ok() { now_ms + 1_000 } else { 0 };
        memory.store(until_ms << 1 | word, relaxed);
        looked
    }

    async fn look_at_memory(&self, node: &Arc<Node>) -> Result<bool, Error> {
        let report = self.report_of(node).await?;
        report.check_submits()?;
        Ok(report.has_room(self.inner.options.memory_refuse_percent))
    }
}

/// This process's clock, ms since 1970: only for caching, never for money or leases.
pub(super) fn local_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(version: &str, policy: &str, maxmemory: u64, used: u64) -> String {
        format!(
            "# Server\r\nredis_version:{version}\r\n# Memory\r\nused_memory:{used}\r\nmaxmemory:{maxmemory}\r\n\
             maxmemory_policy:{policy}\r\n# Persistence\r\naof_enabled:0\r\n# Replication\r\nrole:master\r\n"
        )
    }

    #[test]
    fn a_server_older_than_7_is_refused() {
        for (version, fits) in [
            ("6.2.14", false),
            ("7.0.15", true),
            ("8.0.1", true),
            ("", false),
        ] {
            let report = ServerReport::from_info(&info(version, "noeviction", 0, 1));
            assert_eq!(report.check_version().is_ok(), fits, "{version}");
        }
    }

    #[test]
    fn a_server_that_evicts_gets_no_jobs() {
        let report = ServerReport::from_info(&info("7.2.0", "allkeys-lru", 0, 1));
        assert!(
            report
                .check_submits()
                .unwrap_err()
                .to_string()
                .contains("noeviction")
        );
        assert_eq!(report.warnings().len(), 2);
    }

    #[test]
    fn room_ends_at_the_share_of_maxmemory() {
        let report = |used| ServerReport::from_info(&info("7.0.0", "noeviction", 1000, used));
        assert!(report(849).has_room(85));
        assert!(!report(850).has_room(85));
        assert!(ServerReport::from_info(&info("7.0.0", "noeviction", 0, 9)).has_room(85));
    }
}
