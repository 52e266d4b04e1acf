//! An append-only file as the commands that stand in it, and a server that loads whatever it is given.

use std::path::PathBuf;

use meterline::dev::redis::{PrivateRedis, RedisOptions};
use meterline::store::Store;

use crate::support::{Raw, options};

/// One hash over all that was written: of a stream its entries, its groups and who has what, but not when a
/// consumer was seen last, which a server that loads a file says of itself.
const CONTENT: &str = "local names, all = redis.call('KEYS', '*'), ''
    table.sort(names)
    for _, name in ipairs(names) do
        local kind, rows = redis.call('TYPE', name).ok, {}
        local function add(value)
            if type(value) ~= 'table' then rows[#rows + 1] = tostring(value) return end
            for _, one in ipairs(value) do add(one) end
        end
        if kind == 'hash' then
            local flat, pairs_of = redis.call('HGETALL', name), {}
            for i = 1, #flat, 2 do pairs_of[#pairs_of + 1] = flat[i] .. '=' .. flat[i + 1] end
            table.sort(pairs_of)
            add(pairs_of)
        elseif kind == 'set' then
            local members = redis.call('SMEMBERS', name)
            table.sort(members)
            add(members)
        elseif kind == 'zset' then add(redis.call('ZRANGE', name, 0, -1, 'WITHSCORES'))
        elseif kind == 'string' then add(redis.call('GET', name))
        else
            add(redis.call('XRANGE', name, '-', '+'))
            for _, group in ipairs(redis.call('XINFO', 'GROUPS', name)) do
                add({ group[2], group[8] })
                for _, row in ipairs(redis.call('XPENDING', name, group[2], '-', '+', 10000)) do
                    add({ row[1], row[2], row[4] })
                end
            end
        end
        all = redis.sha1hex(all .. name .. table.concat(rows, ','))
    end
    return all";

/// One command of the file.
#[derive(Debug, Clone)]
pub(super) struct Command {
    /// Where it begins and where the next one does, bytes.
    pub(super) from: usize,
    pub(super) to: usize,
    /// Its first words.
    pub(super) words: Vec<String>,
    /// Whether everything before its end is whole: it stands alone, or ends a transaction.
    pub(super) is_whole: bool,
}

/// A file that a server wrote.
pub(super) struct Written {
    pub(super) bytes: Vec<u8>,
    pub(super) commands: Vec<Command>,
    /// The latest time that anybody said while it was written, ms since 1970.
    pub(super) at_ms: u64,
}

/// Where the server of a folder appends.
fn file_of(server: &PrivateRedis) -> PathBuf {
    server.dir().join("appendonlydir/appendonly.aof.1.incr.aof")
}

/// A server that writes everything into one file and never rewrites it.
pub(super) fn appending() -> RedisOptions {
    let never = ["--auto-aof-rewrite-percentage", "0"];
    RedisOptions {
        append_only: true,
        extra: never.map(str::to_owned).into(),
    }
}

impl Written {
    pub(super) fn by(server: &PrivateRedis, at_ms: u64) -> Self {
        let bytes = std::fs::read(file_of(server)).expect("the file");
        let commands = commands_in(&bytes);
        Self {
            bytes,
            commands,
            at_ms,
        }
    }

    /// The end of the last whole command or transaction at or before a place.
    pub(super) fn whole_before(&self, at: usize) -> usize {
        let whole = self.commands.iter().rev();
        let mut whole = whole.filter(|command| command.is_whole && command.to <= at);
        whole.next().map_or(0, |command| command.to)
    }
}

/// Takes the file apart: `*N`, and N times a length and a text.
fn commands_in(bytes: &[u8]) -> Vec<Command> {
    let (mut commands, mut at, mut is_open) = (Vec::new(), 0, false);
    while at < bytes.len() {
        let (from, mut words) = (at, Vec::new());
        for _ in 0..number(bytes, b'*', &mut at) {
            let length = number(bytes, b'$', &mut at);
            let text = &bytes[at..at + length];
            words.push(String::from_utf8_lossy(&text[..length.min(400)]).into_owned());
            at += length + 2;
        }
        words[0].make_ascii_uppercase();
        is_open = words[0] == "MULTI" || is_open && words[0] != "EXEC";
        commands.push(Command {
            from,
            to: at,
            words,
            is_whole: !is_open,
        });
    }
    commands
}

fn number(bytes: &[u8], mark: u8, at: &mut usize) -> usize {
    assert_eq!(bytes[*at], mark, "at {at}");
    let end = *at
        + bytes[*at..]
            .iter()
            .position(|b| *b == b'\r')
            .expect("a line");
    let digits = std::str::from_utf8(&bytes[*at + 1..end]).expect("digits");
    *at = end + 2;
    digits.parse().expect("a number")
}

/// A server that is started again and again on a file of the test's.
pub(super) struct Reader {
    pub(super) server: PrivateRedis,
}

impl Reader {
    pub(super) fn start() -> Self {
        let server = PrivateRedis::start(appending()).expect("a Redis");
        Self { server }
    }

    /// Starts it on these bytes.
    pub(super) fn load(&mut self, bytes: &[u8]) {
        self.server.kill().expect("killed");
        std::fs::write(file_of(&self.server), bytes).expect("the file");
        self.server.restart().expect("started");
    }

    /// How long its file is now, bytes.
    pub(super) fn length(&self) -> usize {
        let file = std::fs::metadata(file_of(&self.server)).expect("the file");
        usize::try_from(file.len()).expect("a length")
    }

    pub(super) async fn raw(&self) -> Raw {
        Raw::open(&self.server.url()).await
    }

    pub(super) async fn content(&self) -> String {
        self.raw().await.run(&["EVAL", CONTENT, "0"]).await
    }

    pub(super) async fn store(&self, at_ms: u64) -> Store {
        let store = Store::open(&self.server.url(), options()).await;
        store.expect("a store").at(at_ms)
    }
}
