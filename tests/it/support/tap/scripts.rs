//! The store's scripts as the store sends them, and each with its calls counted.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use sha1::{Digest, Sha1};

/// Counts the calls of a script. The last argument says from which one on they are errors; 0 = none.
const PROLOGUE: &str = r"
local real, stop_at, calls, given = redis, tonumber(ARGV[#ARGV]), {}, {}
for i = 1, #ARGV - 1 do given[i] = ARGV[i] end
local ARGV = given
local WRITES_NOT = { READS }
local function counted(how)
  return function(...)
    local call = { '', ... }
    for i = 2, #call do call[i] = string.sub(type(call[i]) == 'number' and string.format('%.17g', call[i]) or call[i], 1, 80) end
    if not WRITES_NOT[call[2]] then call[1] = real.call('TYPE', call[2] == 'XREADGROUP' and call[9] or call[2] == 'XGROUP' and call[4] or call[3]).ok end
    calls[#calls + 1] = { call[1], unpack(call, 2) }
    if stop_at > 0 and #calls >= stop_at then error({ err = 'FAULT ' .. call[2] }) end
    return real[how](...)
  end
end
local redis = setmetatable({ call = counted('call'), pcall = counted('pcall') }, { __index = real })
local function main()
";

const EPILOGUE: &str = "
end
local reply = main()
return { cjson.encode(calls), reply }
";

/// A script of the store.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) name: String,
    /// Its text with its calls counted, and the hash that the server knows it by once it has seen it.
    pub(super) watched: String,
    pub(super) hash: String,
}

/// Those that clients have loaded, by their hash. Their texts are the ones that were sent.
#[derive(Default)]
pub(super) struct Scripts {
    by_hash: Mutex<BTreeMap<String, Script>>,
}

impl Scripts {
    /// A client loads a script; one of the store's is known by its end, which is its own file.
    pub(super) fn learn(&self, text: &[u8]) {
        let text = String::from_utf8_lossy(text).into_owned();
        let Some((shebang, rest)) = text.split_once('\n') else {
            return;
        };
        let own = |(_, body): &(String, String)| {
            let body = body.split_once('\n').map(|(_, rest)| rest.trim());
            body.is_some_and(|body| rest.trim_end().ends_with(body))
        };
        let Some((name, _)) = bodies().into_iter().find(own) else {
            return;
        };
        let reads = super::READS
            .map(|command| format!("{command} = true"))
            .join(", ");
        let prologue = PROLOGUE.replace("READS }", &format!("{reads} }}"));
        let watched = format!("{shebang}{prologue}{rest}{EPILOGUE}");
        let script = Script {
            name,
            hash: hex::encode(Sha1::digest(&watched)),
            watched,
        };
        let hash = hex::encode(Sha1::digest(&text));
        self.by_hash
            .lock()
            .expect("the scripts")
            .insert(hash, script);
    }

    pub(super) fn of(&self, hash: &[u8]) -> Option<Script> {
        let hash = std::str::from_utf8(hash).ok()?;
        self.by_hash.lock().expect("the scripts").get(hash).cloned()
    }
}

/// The first command that was an error, where one was: the script's own end, or an item's answer.
pub(super) fn fault(reply: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(reply).into_owned();
    let (_, rest) = text.split_once("FAULT ")?;
    rest.split_whitespace().next().map(str::to_owned)
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/store/lua")
}

/// Name and text of every script's own file.
pub(crate) fn bodies() -> Vec<(String, String)> {
    let mut bodies = Vec::new();
    for entry in std::fs::read_dir(folder()).expect("the scripts").flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "lua") {
            let name = path
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            bodies.push((name, std::fs::read_to_string(&path).expect("a script")));
        }
    }
    bodies.sort();
    bodies
}
