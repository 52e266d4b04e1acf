//! Which server has a key: the only one there is, or a node of a cluster.
//!
//! A call of the store names keys of one slot, and so one node. Which one is kept as the cluster said it
//! last, and asked again when a node says otherwise or does not answer. No client of the `redis` crate
//! stands between: it repeats by itself what it has no answer for, and whoever calls must know that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::select_ok;
use redis::{ConnectionAddr, ConnectionInfo, Value, from_redis_value};
use tokio::time::Instant;

use super::address::Address;
use super::connection::{ConnectionOptions, Line, Node};
use super::error::Error;
use super::joint::Joint;
use super::keys::slot_of;

/// The cluster is asked where its slots are at most so often, whatever calls find out.
const ASKED_EVERY: Duration = Duration::from_millis(50);

/// The process's connections to a store's servers.
pub(super) struct Connections {
    pub(super) options: ConnectionOptions,
    pub(super) is_cluster: bool,
    /// As the address names them.
    seeds: Vec<ConnectionInfo>,
    state: Mutex<State>,
    /// One asks the cluster, the others wait for what it says.
    asking: Joint<Result<Arc<Slots>, Error>>,
}

/// What is known of the servers.
#[derive(Default)]
struct State {
    nodes: BTreeMap<String, Arc<Node>>,
    slots: Option<Arc<Slots>>,
    asked_at: Option<Instant>,
    /// A node that did not do what the slots say; the others are asked why.
    doubted: Option<String>,
}

/// Slots by their node's name.
#[derive(Debug, Default, Clone, PartialEq)]
struct Slots {
    /// First and last slot, both included; the node that has them.
    ranges: Vec<(u16, u16, String)>,
    /// Replicas, which also know where slots are.
    others: Vec<String>,
}

impl Connections {
    pub(super) fn new(url: &str, options: ConnectionOptions) -> Result<Self, Error> {
        let Address {
            servers,
            is_cluster,
        } = Address::read(url)?;
        let connections = Self {
            options,
            is_cluster,
            seeds: servers,
            state: Mutex::default(),
            asking: Joint::default(),
        };
        for seed in &connections.seeds {
            connections.node_at(seed.clone())?;
        }
        Ok(connections)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn node_at(&self, info: ConnectionInfo) -> Result<Arc<Node>, Error> {
        let name = info.addr().to_string();
        if let Some(node) = self.state().nodes.get(&name) {
            return Ok(Arc::clone(node));
        }
        let node = Arc::new(Node::new(info, self.options)?);
        let mut state = self.state();
        Ok(Arc::clone(state.nodes.entry(name).or_insert(node)))
    }

    /// The node of a name `host:port`; without a host it is that of the node which said so. What else is
    /// needed to connect is as in the address.
    pub(super) fn node_named(&self, name: &str, said_by: &Node) -> Result<Arc<Node>, Error> {
        let wrong = || Error::Unreachable(format!("a node's address is not usable: {name}"));
        let (host, port) = name.rsplit_once(':').ok_or_else(wrong)?;
        let port: u16 = port.parse().map_err(|_| wrong())?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = match host {
            "" | "?" => said_by.host(),
            host => host.to_owned(),
        };
        let seed = self.seeds.first().ok_or_else(wrong)?;
        let address = match seed.addr() {
            ConnectionAddr::TcpTls {
                insecure,
                tls_params,
                ..
            } => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: *insecure,
                tls_params: tls_params.clone(),
            },
            ConnectionAddr::Tcp(..) | ConnectionAddr::Unix(_) | _ => {
                ConnectionAddr::Tcp(host, port)
            }
        };
        self.node_at(seed.clone().set_addr(address))
    }

    /// The server that has a key.
    pub(super) async fn node_of(self: &Arc<Self>, key: &str) -> Result<Arc<Node>, Error> {
        if !self.is_cluster {
            return self.only();
        }
        self.node_of_slot(slot_of(key)).await
    }

    /// The single server there is, where it is no cluster.
    pub(super) fn only(&self) -> Result<Arc<Node>, Error> {
        let state = self.state();
        let node = state.nodes.values().next();
        node.map(Arc::clone)
            .ok_or_else(|| Error::Unreachable("the address names no server".to_owned()))
    }

    async fn node_of_slot(self: &Arc<Self>, slot: u16) -> Result<Arc<Node>, Error> {
        let slots = self.slots().await?;
        let none = || Error::Unreachable(format!("no node of the cluster has slot {slot}"));
        let name = slots.node_of(slot).ok_or_else(|| {
            self.doubt("");
            none()
        })?;
        self.state().nodes.get(name).cloned().ok_or_else(none)
    }

    /// Every server that has data.
    pub(super) async fn all(self: &Arc<Self>) -> Result<Vec<Arc<Node>>, Error> {
        if !self.is_cluster {
            return Ok(vec![self.only()?]);
        }
        let slots = self.slots().await?;
        let state = self.state();
        let nodes = slots.masters().into_iter();
        Ok(nodes
            .filter_map(|name| state.nodes.get(name).cloned())
            .collect())
    }

    /// A node did not do what the slots say: they are asked for again before the next call.
    pub(super) fn doubt(&self, node: &str) {
        if self.is_cluster {
            self.state().doubted = Some(node.to_owned());
        }
    }

    /// A node has said who has a slot now.
    pub(super) fn moved(&self, slot: u16, to: &Node) {
        let mut state = self.state();
        let mut slots = state.slots.as_deref().cloned().unwrap_or_default();
        slots.ranges.insert(0, (slot, slot, to.name()));
        state.slots = Some(Arc::new(slots));
        drop(state);
        self.doubt("");
    }

    fn known_slots(&self) -> Option<Arc<Slots>> {
        let state = self.state();
        let is_fresh = |at: Instant| at.elapsed() < ASKED_EVERY;
        let is_known = state.doubted.is_none() || state.asked_at.is_some_and(is_fresh);
        state.slots.clone().filter(|_| is_known)
    }

    async fn slots(self: &Arc<Self>) -> Result<Arc<Slots>, Error> {
        if let Some(slots) = self.known_slots() {
            return Ok(slots);
        }
        let connections = Arc::clone(self);
        let asked = self.asking.done(|| connections.ask()).await;
        let broken = || {
            Err(Error::Unreachable(
                "asking the cluster broke off".to_owned(),
            ))
        };
        asked.unwrap_or_else(broken)
    }

    async fn ask(self: Arc<Self>) -> Result<Arc<Slots>, Error> {
        if let Some(slots) = self.known_slots() {
            return Ok(slots);
        }
        let doubted = self.state().doubted.take();
        let found = self.ask_for_slots(doubted.as_deref()).await;
        let mut state = self.state();
        state.asked_at = Some(Instant::now());
        match found {
            Ok(slots) => {
                let slots = Arc::new(slots);
                state.slots = Some(Arc::clone(&slots));
                Ok(slots)
            }
            Err(error) => {
                state.doubted = doubted.or(Some(String::new()));
                // As it was said last is better than nothing.
                let known = state.slots.clone();
                known.filter(|_| error.is_transient()).ok_or(error)
            }
        }
    }

    /// Whoever answers first is believed: if it is behind, the next redirection says so.
    async fn ask_for_slots(&self, doubted: Option<&str>) -> Result<Slots, Error> {
        let (slots, said_by) = {
            let mut nodes = self.to_be_asked()?;
            if nodes.len() > 1 {
                nodes.retain(|node| Some(node.name().as_str()) != doubted);
            }
            let asked = nodes.into_iter().map(|node| {
                let limit = Duration::from_millis(self.options.connect_timeout_ms);
                Box::pin(async move {
                    let asked = tokio::time::timeout(limit, slots_by(&node)).await;
                    let late = |_| Error::Unreachable(format!("{} does not answer", node.name()));
                    asked.map_err(late)?.map(|slots| (slots, node))
                })
            });
            select_ok(asked).await?.0
        };
        let mut known = Slots::default();
        for (first, last, nodes) in slots {
            for (rank, name) in nodes.iter().enumerate() {
                let name = self.node_named(name, &said_by)?.name();
                if rank == 0 {
                    known.ranges.push((first, last, name));
                } else if !known.others.contains(&name) {
                    known.others.push(name);
                }
            }
        }
        Ok(known)
    }

    /// The nodes of the cluster as far as they are known, and those that the address names.
    fn to_be_asked(&self) -> Result<Vec<Arc<Node>>, Error> {
        let state = self.state();
        let slots = state.slots.clone().unwrap_or_default();
        let seeds = self.seeds.iter().map(|seed| seed.addr().to_string());
        let mut names: Vec<String> = slots.masters().into_iter().map(str::to_owned).collect();
        names.extend(slots.others.iter().cloned().chain(seeds));
        names.sort();
        names.dedup();
        let nodes: Vec<_> = names
            .iter()
            .filter_map(|name| state.nodes.get(name).cloned())
            .collect();
        Ok(nodes)
    }
}

impl Slots {
    fn node_of(&self, slot: u16) -> Option<&str> {
        let mut ranges = self.ranges.iter();
        let found = ranges.find(|(first, last, _)| (*first..=*last).contains(&slot));
        found.map(|(_, _, node)| node.as_str())
    }

    fn masters(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .ranges
            .iter()
            .map(|(_, _, node)| node.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// First and last slot, and `host:port` of each node that has them, the master first.
type Row = (u16, u16, Vec<String>);

/// Where a node says that the slots are.
async fn slots_by(node: &Arc<Node>) -> Result<Vec<Row>, Error> {
    let mut connection = node.get(Line::Words).await?;
    let mut ask = redis::cmd("CLUSTER");
    ask.arg("SLOTS");
    let answer: Vec<Vec<Value>> = match ask.query_async(&mut connection).await {
        Ok(answer) => answer,
        Err(error) if error.to_string().contains("cluster support disabled") => {
            let message = format!(
                "{} is not a node of a cluster: write redis:// instead of redis+cluster://",
                node.name()
            );
            return Err(Error::Unfit(message));
        }
        Err(error) => {
            if error.code().is_none() {
                node.forget(Line::Words);
            }
            return Err(Error::Unreachable(error.to_string()));
        }
    };
    let rows: Vec<Row> = answer.into_iter().filter_map(row).collect();
    if rows.is_empty() {
        let message = format!("{} knows no slots of the cluster", node.name());
        return Err(Error::Unreachable(message));
    }
    Ok(rows)
}

fn row(fields: Vec<Value>) -> Option<Row> {
    let mut fields = fields.into_iter();
    let first = from_redis_value(fields.next()?).ok()?;
    let last = from_redis_value(fields.next()?).ok()?;
    let name = |node: Value| {
        let mut fields = from_redis_value::<Vec<Value>>(node).ok()?.into_iter();
        let host: Option<String> = from_redis_value(fields.next()?).ok()?;
        let port: u16 = from_redis_value(fields.next()?).ok()?;
        Some(format!("{}:{port}", host.unwrap_or_default()))
    };
    let nodes: Vec<String> = fields.filter_map(name).collect();
    (!nodes.is_empty()).then_some((first, last, nodes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(url: &str) -> Connections {
        let options = ConnectionOptions {
            pool_size: 1,
            connect_timeout_ms: 100,
            response_timeout_ms: 100,
        };
        Connections::new(url, options).unwrap()
    }

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn a_row_of_slots_names_its_master_first() {
        let node = |host: Value, port| Value::Array(vec![host, Value::Int(port), bulk("an id")]);
        let fields = vec![
            Value::Int(0),
            Value::Int(5460),
            node(bulk("10.0.0.1"), 7000),
            node(Value::Nil, 7001),
        ];
        let names = ["10.0.0.1:7000", ":7001"].map(str::to_owned).into();
        assert_eq!(row(fields), Some((0, 5460, names)));
        assert_eq!(row(vec![Value::Int(0), Value::Int(1)]), None);
    }

    #[tokio::test]
    async fn a_node_without_a_host_is_where_the_one_that_says_so_is() {
        let cluster = cluster("rediss+cluster://user:geheim@10.0.0.1:7000");
        let seed = cluster.only().unwrap();
        for (name, host) in [
            (":7001", "10.0.0.1:7001"),
            ("?:7001", "10.0.0.1:7001"),
            ("other:7001", "other:7001"),
            ("::1:7001", "::1:7001"),
        ] {
            assert_eq!(cluster.node_named(name, &seed).unwrap().name(), host);
        }
        assert!(cluster.node_named("nonsense", &seed).is_err());
    }

    #[tokio::test]
    async fn what_a_node_says_of_a_slot_stands_before_the_ranges() {
        let cluster = cluster("redis+cluster://a:1");
        let seed = cluster.only().unwrap();
        let ranges = vec![(0, 16_383, "a:1".to_owned())];
        cluster.state().slots = Some(Arc::new(Slots {
            ranges,
            others: Vec::new(),
        }));
        let other = cluster.node_named("b:2", &seed).unwrap();
        cluster.moved(7, &other);
        let slots = cluster.state().slots.clone().unwrap();
        assert_eq!(
            (slots.node_of(7), slots.node_of(8)),
            (Some("b:2"), Some("a:1"))
        );
        assert_eq!(slots.masters(), ["a:1", "b:2"]);
    }
}
