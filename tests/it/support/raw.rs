//! The server behind a store, without the store: to look at every byte, and to break things.

use std::collections::BTreeMap;
use std::time::Duration;

use meterline::domain::ids::AccountId;
use redis::AsyncConnectionConfig;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use sha1::{Digest, Sha1};

/// One hash over every key and value of a database.
pub(super) const DIGEST: &str = "local names, all = redis.call('KEYS', '*'), ''
    table.sort(names)
    for _, name in ipairs(names) do
        local value
        if redis.call('TYPE', name).ok == 'hash' then
            local flat, rows = redis.call('HGETALL', name), {}
            for i = 1, #flat, 2 do rows[#rows + 1] = flat[i] .. '=' .. flat[i + 1] end
            table.sort(rows)
            value = table.concat(rows, ',')
        else
            value = redis.call('DUMP', name)
        end
        all = redis.sha1hex(all .. name .. value)
    end
    return all";

/// Takes every key away.
pub(super) const FORGET: &str =
    "for _, name in ipairs(redis.call('KEYS', '*')) do redis.call('DEL', name) end return 1";

/// A plain connection to the database a store lives in, or to each node of its cluster.
#[derive(Clone)]
pub(crate) struct Raw {
    connections: Vec<MultiplexedConnection>,
}

/// Asks the node that has a key, also while its slot is on the way there.
async fn on<T: redis::FromRedisValue>(node: &MultiplexedConnection, words: &[&str]) -> T {
    let mut ask = redis::pipe();
    // A server that is no node of a cluster refuses it, and goes on.
    ask.cmd("ASKING").ignore();
    ask.cmd(words[0]).arg(&words[1..]);
    let mut connection = node.clone();
    let asked = connection.req_packed_commands(&ask, 0, 2).await;
    let answer = asked.expect(words[0]).into_iter().nth(1);
    let answer = answer.expect("an answer").extract_error().expect(words[0]);
    redis::from_redis_value(answer).expect(words[0])
}

/// A key of the only partition that tests have.
pub(crate) fn key(noun: &str, id: &str) -> String {
    format!("ml:{{p00}}:{noun}:{id}")
}

impl Raw {
    pub(crate) async fn open(url: &str) -> Self {
        let nodes = match url.strip_prefix("redis+cluster://") {
            Some(nodes) => nodes
                .split(',')
                .map(|node| format!("redis://{node}"))
                .collect(),
            None => vec![url.to_owned()],
        };
        // A machine that is busy with other things answers late, and that is nobody's fault.
        let config =
            AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(30)));
        let mut connections = Vec::new();
        for node in nodes {
            let info = redis::IntoConnectionInfo::into_connection_info(node).expect("an address");
            let info =
                info.set_tcp_settings(redis::io::tcp::TcpSettings::default().set_nodelay(true));
            let client = redis::Client::open(info).expect("a client");
            let connection = client.get_multiplexed_async_connection_with_config(&config);
            connections.push(connection.await.expect("a connection"));
        }
        Self { connections }
    }

    /// The answers of every node, for commands that are not about one key.
    async fn of_all<T: redis::FromRedisValue>(&self, words: &[&str]) -> Vec<T> {
        let mut answers = Vec::new();
        for connection in &self.connections {
            let mut connection = connection.clone();
            let mut command = redis::cmd(words[0]);
            command.arg(&words[1..]);
            answers.push(command.query_async(&mut connection).await.expect(words[0]));
        }
        answers
    }

    /// Runs one command.
    pub(crate) async fn run<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let value = self.attempt(words).await.expect(words[0]);
        redis::from_redis_value(value).expect(words[0])
    }

    /// Runs one command that the server may refuse.
    pub(crate) async fn attempt(&self, words: &[&str]) -> redis::RedisResult<redis::Value> {
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        let mut answer = Ok(redis::Value::Nil);
        for connection in &self.connections {
            answer = command.query_async(&mut connection.clone()).await;
            // In a cluster one node has the key, and the others say so.
            let is_elsewhere = |error: &redis::RedisError| {
                error.redirect_node().is_some() || error.to_string().contains("non local key")
            };
            if !answer.as_ref().is_err_and(is_elsewhere) {
                break;
            }
        }
        answer
    }

    /// Every key with its serialised value and the time it ends: equal dumps are equal databases.
    pub(crate) async fn dump(&self) -> BTreeMap<String, (i64, Vec<u8>)> {
        let mut all = BTreeMap::new();
        let keys: Vec<Vec<String>> = self.of_all(&["KEYS", "*"]).await;
        let nodes = self.connections.iter().zip(keys);
        for (node, name) in
            nodes.flat_map(|(node, keys)| keys.into_iter().map(move |key| (node, key)))
        {
            let ends_at: i64 = on(node, &["PEXPIRETIME", &name]).await;
            let kind: String = on(node, &["TYPE", &name]).await;
            // Looking into a large hash may move its fields about: only their order changes.
            let value: Vec<u8> = if kind == "hash" {
                let fields: BTreeMap<String, Vec<u8>> = on(node, &["HGETALL", &name]).await;
                format!("{fields:?}").into_bytes()
            } else {
                on(node, &["DUMP", &name]).await
            };
            all.insert(name, (ends_at, value));
        }
        all
    }

    /// Takes every key away: for tests that use a database of their own server again.
    pub(crate) async fn forget_all(&self) {
        let _: Vec<i64> = self.of_all(&["EVAL", FORGET, "0"]).await;
    }

    /// One hash over every key and value: much quicker than a dump, but it does not say what differs.
    pub(crate) async fn digest(&self) -> String {
        let all: Vec<String> = self.of_all(&["EVAL", DIGEST, "0"]).await;
        all.concat()
    }

    /// Books a debt as a correction, the way a clawback of spent credit leaves one.
    pub(crate) async fn owe(&self, account: &AccountId, ucr: i64) {
        let (meta, hash) = (key("part", "meta"), key("acct", account.as_str()));
        let (seq, before): (u64, String) = self.run(&["HMGET", &meta, "seq", "hash"]).await;
        let account_seq: u64 = self.run(&["HGET", &hash, "seq"]).await;
        let (seq, account_seq) = (seq + 1, account_seq + 1);
        let body = serde_json::json!({
            "seq": seq, "at_ms": super::T0, "kind": "adjust", "op": "clawback", "account": account.as_str(),
            "account_seq": account_seq, "job": "", "post": [["debt", -ucr], ["world", ucr]], "grants": {},
        })
        .to_string();
        let chained = hex::encode(Sha1::digest(format!("{before}{body}")));
        let (id, seq) = (format!("1-{seq}"), seq.to_string());
        let _: String = self
            .run(&[
                "XADD",
                &key("part", "journal"),
                &id,
                "b",
                &body,
                "h",
                &chained,
            ])
            .await;
        let _: () = self
            .run(&["HSET", &meta, "seq", &seq, "hash", &chained])
            .await;
        let _: () = self
            .run(&["HSET", &hash, "seq", &account_seq.to_string()])
            .await;
        let _: i64 = self
            .run(&["HINCRBY", &hash, "debt", &ucr.to_string()])
            .await;
        let _: i64 = self
            .run(&["HINCRBY", &hash, "adjusted", &(-ucr).to_string()])
            .await;
    }
}
