//! A proxy between the stores of a test process and its Redis that lets every script fail inside.
//!
//! Only where METERLINE_TEST_TAP names a file: `script_faults` starts this program again like that. Before
//! a script runs, it is run with an error at its first call, at its second, and so on up to its first
//! write: nothing may have changed. Then it runs in earnest, telling which calls it makes, and each new
//! way through a script becomes a line of the file.

pub(crate) mod scripts;
pub(super) mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};

use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use meterline::dev::redis::PrivateRedis;
use scripts::{Script, Scripts};
use wire::Wire;

/// So many calls of each script in each database are looked at: a test that submits a thousand jobs goes the
/// same way a thousand times.
const TRIED_MAX: u32 = 80;

/// One way through a script.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Way {
    pub(crate) script: String,
    /// The first word of the reply.
    pub(crate) reply: String,
    /// Jobs that the one call was about.
    pub(crate) items: usize,
    /// Calls of the script at which an error was put in, one run each.
    pub(crate) injected: usize,
    /// The keys that were declared.
    pub(crate) keys: Vec<String>,
    /// The type that the first key had (writes only), the command, its arguments.
    pub(crate) calls: Vec<Vec<String>>,
    /// What changed although the script had failed before its first write.
    pub(crate) problem: Option<String>,
}

/// Commands that only read.
pub(crate) const READS: [&str; 33] = [
    "EXISTS",
    "GET",
    "HEXISTS",
    "HGET",
    "HGETALL",
    "HKEYS",
    "HLEN",
    "HMGET",
    "SCARD",
    "SISMEMBER",
    "SMEMBERS",
    "SRANDMEMBER",
    "STRLEN",
    "TIME",
    "TYPE",
    "XINFO",
    "XLEN",
    "XPENDING",
    "XRANGE",
    "XREVRANGE",
    "ZCARD",
    "ZCOUNT",
    "ZRANGE",
    "ZRANGEBYSCORE",
    "ZSCORE",
    "PTTL",
    "TTL",
    "MGET",
    "LLEN",
    "ZREVRANGE",
    "ZREVRANGEBYSCORE",
    "ZRANK",
    "ZMSCORE",
];

static TAP: LazyLock<Option<Tap>> = LazyLock::new(|| {
    let file = PathBuf::from(std::env::var_os("METERLINE_TEST_TAP")?);
    Some(Tap {
        notes: Arc::new(Notes {
            scripts: Scripts::default(),
            out: Mutex::new(File::create(file).expect("the file of ways")),
            seen: Mutex::default(),
        }),
        ports: Mutex::default(),
    })
});

/// The address of the tap for a database of a server, or that of the server itself.
pub(crate) fn around(server: &PrivateRedis, database: u32) -> String {
    match &*TAP {
        Some(tap) => format!("redis://127.0.0.1:{}/{database}", tap.port(server)),
        None => server.url_of_database(database),
    }
}

struct Tap {
    notes: Arc<Notes>,
    /// Where each server is tapped, by its folder.
    ports: Mutex<BTreeMap<PathBuf, u16>>,
}

impl Tap {
    fn port(&self, server: &PrivateRedis) -> u16 {
        let mut ports = self.ports.lock().expect("the ports");
        *ports
            .entry(server.dir().to_owned())
            .or_insert_with(|| self.start(server.dir().join("redis.sock")))
    }

    fn start(&self, socket: PathBuf) -> u16 {
        let house = Arc::new(House {
            notes: Arc::clone(&self.notes),
            socket,
            databases: Mutex::default(),
        });
        let (send, port) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                send.send(listener.local_addr().expect("an address").port())
                    .expect("somebody waits");
                loop {
                    let (client, _) = listener.accept().await.expect("a client");
                    // Else each answer waits for the client's word on the one before, 40 ms a time.
                    client.set_nodelay(true).expect("no delay");
                    let house = Arc::clone(&house);
                    tokio::spawn(async move { Line::new(house).await.serve(client).await });
                }
            });
        });
        port.recv().expect("the tap starts")
    }
}

/// A database: one call at a time, and how often each script was tried in it.
type Database = Arc<tokio::sync::Mutex<BTreeMap<String, u32>>>;

/// What is known of all scripts, whichever server they ran on.
struct Notes {
    scripts: Scripts,
    out: Mutex<File>,
    seen: Mutex<BTreeSet<Vec<String>>>,
}

/// A server behind the tap.
struct House {
    notes: Arc<Notes>,
    socket: PathBuf,
    databases: Mutex<BTreeMap<String, Database>>,
}

impl House {
    async fn connect(&self) -> Wire<UnixStream> {
        Wire::new(UnixStream::connect(&self.socket).await.expect("the server"))
    }

    fn database(&self, number: &str) -> Database {
        let mut databases = self.databases.lock().expect("the databases");
        Arc::clone(databases.entry(number.to_owned()).or_default())
    }
}

impl Notes {
    /// Writes a way down, if it is a new one.
    fn note(&self, way: &Way) {
        // Of every call the command and what kind of key it goes to.
        let shape = |call: &Vec<String>| {
            let noun = call.get(2).map_or("", |key| noun(key));
            format!("{} {noun}", call[1])
        };
        let mut shapes = vec![way.script.clone(), way.reply.clone()];
        shapes.extend(way.calls.iter().map(shape));
        shapes.dedup();
        let is_new = self.seen.lock().expect("the ways").insert(shapes);
        if is_new || way.problem.is_some() {
            let line = serde_json::to_string(way).expect("a line");
            writeln!(self.out.lock().expect("the file"), "{line}").expect("a line");
        }
    }
}

/// What kind of key it is: `acct`, `part:meta`.
pub(crate) fn noun(key: &str) -> &str {
    let Some((_, rest)) = key.split_once("}:") else {
        return "";
    };
    if rest.starts_with("part:") || rest.starts_with("store:") {
        return rest;
    }
    rest.split(':').next().unwrap_or(rest)
}

/// One client's connection.
struct Line {
    house: Arc<House>,
    server: Wire<UnixStream>,
    database: Database,
}

impl Line {
    async fn new(house: Arc<House>) -> Self {
        Self {
            server: house.connect().await,
            database: house.database("0"),
            house,
        }
    }

    async fn serve(mut self, client: TcpStream) {
        let mut client = Wire::new(client);
        while let Some(words) = client.request().await {
            let name = String::from_utf8_lossy(&words[0]).to_uppercase();
            let reply = match name.as_str() {
                "SELECT" => {
                    let number = String::from_utf8_lossy(&words[1]).into_owned();
                    self.database = self.house.database(&number);
                    self.server.ask(&words).await
                }
                // A blocking read stands in nobody's way.
                "XREAD" => self.server.ask(&words).await,
                "SCRIPT" => {
                    self.house
                        .notes
                        .scripts
                        .learn(words.last().expect("a text"));
                    self.server.ask(&words).await
                }
                // Whatever the server knows from others, the tap has to see the text once.
                "EVALSHA" => match self.house.notes.scripts.of(&words[1]) {
                    Some(script) => self.script(script, &words).await,
                    None => Some(b"-NOSCRIPT it was not sent here yet\r\n".to_vec()),
                },
                _ => {
                    let _alone = Arc::clone(&self.database).lock_owned().await;
                    self.server.ask(&words).await
                }
            };
            let Some(reply) = reply else { return };
            if client.say(&reply).await.is_err() {
                return;
            }
        }
    }

    /// Lets a script fail at every call up to its first write, then runs it.
    async fn script(&mut self, script: Script, words: &[Vec<u8>]) -> Option<Vec<u8>> {
        let mut alone = Arc::clone(&self.database).lock_owned().await;
        let tried = alone.entry(script.name.clone()).or_default();
        *tried += 1;
        if *tried > TRIED_MAX {
            return self.server.ask(words).await;
        }
        let before = self.digest().await?;
        let mut injected = 0;
        loop {
            let reply = self.run(&script, words, injected + 1).await?;
            let Some(at) = scripts::fault(&reply) else {
                break; // it came to its end before that call: it writes nothing
            };
            injected += 1;
            if !READS.contains(&at.as_str()) {
                break;
            }
        }
        let problem = (before != self.digest().await?)
            .then(|| format!("{injected} errors before the first write left a trace"));
        let reply = self.run(&script, words, 0).await?;
        let Some((calls, reply)) = wire::unwrap(&reply) else {
            return Some(reply); // an error of its own
        };
        let keys = String::from_utf8_lossy(&words[2]).parse().unwrap_or(0);
        let keys = words[3..3 + keys].iter();
        self.house.notes.note(&Way {
            script: script.name,
            reply: wire::first_word(&reply),
            items: wire::rows(&reply).unwrap_or(1),
            injected,
            keys: keys
                .map(|key| String::from_utf8_lossy(key).into_owned())
                .collect(),
            // An empty table of Lua is no list.
            calls: serde_json::from_slice(&calls).unwrap_or_default(),
            problem,
        });
        Some(reply)
    }

    /// Runs it by its hash: its text is tens of kilobytes, and is sent only where the server does not know it.
    async fn run(&mut self, script: &Script, words: &[Vec<u8>], stop_at: usize) -> Option<Vec<u8>> {
        let hash = script.hash.as_bytes().to_vec();
        let mut call = vec![b"EVALSHA".to_vec(), hash];
        call.extend(words[2..].iter().cloned());
        call.push(stop_at.to_string().into_bytes());
        let reply = self.server.ask(&call).await?;
        if !reply.starts_with(b"-NOSCRIPT") {
            return Some(reply);
        }
        call[0] = b"EVAL".to_vec();
        call[1] = script.watched.as_bytes().to_vec();
        self.server.ask(&call).await
    }

    async fn digest(&mut self) -> Option<Vec<u8>> {
        let words = ["EVAL", super::raw::DIGEST, "0"];
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        self.server.ask(&words).await
    }
}
