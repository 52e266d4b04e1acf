//! A private cluster: masters on loopback ports, replicas where they are asked for, gone with the test.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use meterline::dev::redis::PrivateRedis;

use super::plain_redis;
use super::ports::free_ports;

/// Slots of a cluster.
const SLOTS: u16 = 16_384;
/// How long nodes may take to agree.
const AGREE_MAX: Duration = Duration::from_secs(30);
/// How long a node may be silent before the others take it for dead, ms.
const NODE_TIMEOUT_MS: u32 = 2_000;

/// The cluster that all stores of this process live in, where it was started to test one.
static OURS: LazyLock<Option<PrivateCluster>> = LazyLock::new(|| {
    std::env::var_os("METERLINE_TEST_CLUSTER")?;
    Some(PrivateCluster::start(3, 0))
});

/// The address of the process's cluster, emptied; `None` where stores live in a single server.
pub(crate) fn ours_emptied() -> Option<String> {
    let cluster = OURS.as_ref()?;
    for node in &cluster.nodes {
        let _: i64 = node.ask(&["EVAL", super::raw::FORGET, "0"]);
    }
    Some(cluster.url())
}

/// One server of a cluster.
pub(crate) struct ClusterNode {
    pub(crate) server: PrivateRedis,
    /// Where it listens.
    pub(crate) port: u16,
    /// Where the other nodes reach it.
    bus: u16,
    /// Its name in the cluster.
    pub(crate) id: String,
}

/// How a node is started.
struct Wish {
    port: u16,
    bus: u16,
    /// Where clients are told that it is.
    announced: u16,
}

impl ClusterNode {
    fn start(wish: &Wish) -> Self {
        let mut options = plain_redis();
        for (name, value) in [
            ("--port", wish.port.to_string()),
            ("--bind", "127.0.0.1".to_owned()),
            ("--cluster-enabled", "yes".to_owned()),
            ("--cluster-port", wish.bus.to_string()),
            ("--cluster-announce-ip", "127.0.0.1".to_owned()),
            ("--cluster-announce-port", wish.announced.to_string()),
            ("--cluster-node-timeout", NODE_TIMEOUT_MS.to_string()),
            ("--cluster-replica-validity-factor", "0".to_owned()),
            ("--repl-diskless-sync-delay", "0".to_owned()),
            ("--databases", "1".to_owned()),
        ] {
            options.extra.extend([name.to_owned(), value]);
        }
        let server = PrivateRedis::start(options).expect("a node");
        let mut node = Self {
            server,
            port: wish.port,
            bus: wish.bus,
            id: String::new(),
        };
        node.id = node.ask(&["CLUSTER", "MYID"]);
        node
    }

    /// Runs one command on this node, over its own socket.
    pub(crate) fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        self.attempt(words).expect(words[0])
    }

    /// The same with a command that may be refused.
    pub(crate) fn attempt<T: redis::FromRedisValue>(
        &self,
        words: &[&str],
    ) -> redis::RedisResult<T> {
        let mut connection = redis::Client::open(self.server.url())?.get_connection()?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query(&mut connection)
    }

    /// What `CLUSTER INFO` says under a name.
    pub(crate) fn info(&self, name: &str) -> String {
        let text: String = self.attempt(&["CLUSTER", "INFO"]).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        let found = lines.into_iter().find(|(key, _)| *key == name);
        found
            .map(|(_, value)| value.trim().to_owned())
            .unwrap_or_default()
    }
}

/// Servers that share the slots evenly, in the order of their slots; replicas behind the masters.
pub(crate) struct PrivateCluster {
    pub(crate) nodes: Vec<ClusterNode>,
    /// Where clients are told that the nodes are.
    announced: Vec<u16>,
}

impl PrivateCluster {
    /// So many masters, each with so many replicas.
    pub(crate) fn start(masters: usize, replicas: usize) -> Self {
        Self::start_behind(masters, replicas, &[])
    }

    /// The same; clients are told that the first nodes are at these ports.
    pub(crate) fn start_behind(masters: usize, replicas: usize, announced: &[u16]) -> Self {
        let count = masters * (1 + replicas);
        let ports = free_ports(2 * count);
        let wishes = (0..count).map(|n| Wish {
            port: ports[n],
            bus: ports[count + n],
            announced: announced.get(n).copied().unwrap_or(ports[n]),
        });
        let wishes: Vec<Wish> = wishes.collect();
        let nodes: Vec<ClusterNode> = std::thread::scope(|scope| {
            let started: Vec<_> = wishes
                .iter()
                .map(|wish| scope.spawn(|| ClusterNode::start(wish)))
                .collect();
            started
                .into_iter()
                .map(|node| node.join().expect("a node"))
                .collect()
        });
        let cluster = Self {
            announced: wishes.iter().map(|wish| wish.announced).collect(),
            nodes,
        };
        cluster.join(masters);
        cluster
    }

    fn join(&self, masters: usize) {
        let share = usize::from(SLOTS).div_ceil(masters);
        for (n, node) in self.nodes.iter().enumerate() {
            let epoch = (n + 1).to_string();
            let _: String = node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
            if n < masters {
                let last = ((n + 1) * share).min(usize::from(SLOTS)) - 1;
                let (first, last) = ((n * share).to_string(), last.to_string());
                let _: String = node.ask(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
            }
            if n > 0 {
                let (port, bus) = (node.port.to_string(), node.bus.to_string());
                let met = ["CLUSTER", "MEET", "127.0.0.1", &port, &bus];
                let _: String = self.nodes[0].ask(&met);
            }
        }
        self.agree(|node| node.info("cluster_known_nodes") == self.nodes.len().to_string());
        for (n, replica) in self.nodes.iter().enumerate().skip(masters) {
            let master = &self.nodes[(n - masters) % masters].id;
            let _: String = replica.ask(&["CLUSTER", "REPLICATE", master]);
        }
        self.agree(|node| {
            let all: Vec<redis::Value> = node.attempt(&["CLUSTER", "SLOTS"]).unwrap_or_default();
            node.info("cluster_state") == "ok" && all.len() == masters
        });
    }

    /// Waits until every node that runs is of this opinion.
    pub(crate) fn agree(&self, opinion: impl Fn(&ClusterNode) -> bool) {
        let began = Instant::now();
        let running = || self.nodes.iter().filter(|node| node.server.pid().is_some());
        while !running().all(&opinion) {
            assert!(began.elapsed() < AGREE_MAX, "the nodes do not agree");
            // Nodes announce nothing to whoever is no node.
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The address for clients: each node alone would do.
    pub(crate) fn url(&self) -> String {
        let nodes = self
            .announced
            .iter()
            .map(|port| format!("127.0.0.1:{port}"));
        let nodes: Vec<String> = nodes.collect();
        format!("redis+cluster://{}", nodes.join(","))
    }

    /// The master that has a key now.
    pub(crate) fn owner_of(&self, key: &str) -> usize {
        let slot = self.nodes[0].ask::<u16>(&["CLUSTER", "KEYSLOT", key]);
        let slot = slot.to_string();
        let owns = |node: &ClusterNode| {
            node.attempt::<Vec<String>>(&["CLUSTER", "GETKEYSINSLOT", &slot, "1"])
                .is_ok_and(|keys| !keys.is_empty())
        };
        self.nodes.iter().position(owns).expect("somebody has it")
    }

    /// Begins to move the slot of a key from its master to another.
    pub(crate) fn begin_move(&self, key: &str, to: usize) -> Move<'_> {
        let (from, to) = (&self.nodes[self.owner_of(key)], &self.nodes[to]);
        let slot = from.ask::<u16>(&["CLUSTER", "KEYSLOT", key]).to_string();
        let moving = Move { from, to, slot };
        moving.set(to, &["IMPORTING", &from.id]);
        moving.set(from, &["MIGRATING", &to.id]);
        moving
    }
}

/// A slot on its way from one master to another.
pub(crate) struct Move<'a> {
    from: &'a ClusterNode,
    to: &'a ClusterNode,
    slot: String,
}

impl Move<'_> {
    fn set(&self, node: &ClusterNode, how: &[&str]) {
        let _: String = node.ask(&[&["CLUSTER", "SETSLOT", &self.slot], how].concat());
    }

    /// Moves so many keys; how many are still to go.
    pub(crate) fn step(&self, count: usize) -> usize {
        let (port, count) = (self.to.port.to_string(), count.to_string());
        let words = ["CLUSTER", "GETKEYSINSLOT", &self.slot, &count];
        let keys: Vec<String> = self.from.ask(&words);
        if !keys.is_empty() {
            let mut call = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "10000", "KEYS"];
            call.extend(keys.iter().map(String::as_str));
            let _: String = self.from.ask(&call);
        }
        self.from.ask(&["CLUSTER", "COUNTKEYSINSLOT", &self.slot])
    }

    /// The other has it from now on.
    pub(crate) fn finish(self) {
        self.set(self.to, &["NODE", &self.to.id]);
        self.set(self.from, &["NODE", &self.to.id]);
    }
}
