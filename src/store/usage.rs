//! What the server has spent so far: processor time, calls, memory. For whoever measures.

use std::collections::BTreeMap;

use super::{Error, Store};

/// The counters of the servers since their start.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServerUsage {
    /// Processor time of the server, all threads, in microseconds.
    pub cpu_us: f64,
    /// Memory that its data and buffers take, bytes.
    pub memory_bytes: u64,
    /// Calls by command, those that scripts make included.
    pub calls: BTreeMap<String, u64>,
}

impl ServerUsage {
    /// Reads the text of `INFO everything`.
    fn from_info(info: &str) -> Self {
        let mut usage = Self::default();
        let fields = info.lines().filter_map(|line| line.trim().split_once(':'));
        for (name, value) in fields {
            if let Some(command) = name.strip_prefix("cmdstat_") {
                let calls = value.strip_prefix("calls=").and_then(|rest| {
                    let (calls, _) = rest.split_once(',')?;
                    calls.parse().ok()
                });
                usage
                    .calls
                    .insert(command.to_owned(), calls.unwrap_or_default());
            }
            match name {
                "used_cpu_sys" | "used_cpu_user" => {
                    usage.cpu_us += value.parse::<f64>().unwrap_or_default() * 1e6;
                }
                "used_memory" => usage.memory_bytes = value.parse().unwrap_or_default(),
                _ => {}
            }
        }
        usage
    }

    fn add(&mut self, other: &Self) {
        self.cpu_us += other.cpu_us;
        self.memory_bytes += other.memory_bytes;
        for (command, calls) in &other.calls {
            *self.calls.entry(command.clone()).or_default() += calls;
        }
    }

    /// Calls of every command together.
    pub fn calls_in_all(&self) -> u64 {
        self.calls.values().sum()
    }
}

impl Store {
    /// What the servers have spent so far, all together.
    pub async fn usage(&self) -> Result<ServerUsage, Error> {
        let mut ask = redis::cmd("INFO");
        ask.arg("everything");
        let mut usage = ServerUsage::default();
        for node in self.inner.connections.all().await? {
            let info: String = self.read_from(&node, &ask, "INFO").await?;
            usage.add(&ServerUsage::from_info(&info));
        }
        Ok(usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_from_the_servers_own_words() {
        let info = "# CPU\r\nused_cpu_sys:0.25\r\nused_cpu_user:1.5\r\nused_memory:1024\r\n\
                    used_memory_rss:9\r\ncmdstat_evalsha:calls=3,usec=9,usec_per_call=3.00\r\n\
                    cmdstat_config|get:calls=1,usec=2,usec_per_call=2.00\r\n";
        let usage = ServerUsage::from_info(info);
        assert!((usage.cpu_us - 1_750_000.0).abs() < 1.0);
        assert_eq!((usage.memory_bytes, usage.calls_in_all()), (1024, 4));
        assert_eq!(usage.calls["evalsha"], 3);
    }
}
