//! The store's scripts as the store puts them together, and each with its calls counted.

use std::collections::BTreeMap;
use std::path::PathBuf;

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
    /// Its text with its calls counted.
    pub(super) watched: String,
}

/// All of them, by the hash of the text that the store sends.
pub(super) struct Scripts {
    by_hash: BTreeMap<String, Script>,
}

impl Scripts {
    pub(super) fn read() -> Self {
        let mut by_hash = BTreeMap::new();
        for (name, body) in bodies() {
            let (shebang, _) = body.split_once('\n').expect("a shebang");
            // The intent's checkpoint is refused when memory is full.
            for flags in [shebang, "#!lua"] {
                let text = assemble(&body, flags);
                let (_, rest) = text.split_once('\n').expect("a shebang");
                let reads = super::READS
                    .map(|command| format!("{command} = true"))
                    .join(", ");
                let prologue = PROLOGUE.replace("READS }", &format!("{reads} }}"));
                let script = Script {
                    name: name.clone(),
                    watched: format!("{flags}{prologue}{rest}{EPILOGUE}"),
                };
                by_hash.insert(hex::encode(Sha1::digest(&text)), script);
            }
        }
        Self { by_hash }
    }

    pub(super) fn knows(&self, hash: &[u8]) -> bool {
        self.of(hash).is_some()
    }

    pub(super) fn of(&self, hash: &[u8]) -> Option<&Script> {
        self.by_hash.get(std::str::from_utf8(hash).ok()?)
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

/// As the store does it.
fn assemble(body: &str, flags: &str) -> String {
    let (_, rest) = body.split_once('\n').expect("a shebang");
    let uses = rest.lines().find_map(|line| line.strip_prefix("-- uses: "));
    let mut text = flags.to_owned();
    for part in uses.unwrap_or("base").split(", ") {
        let path = folder().join(format!("lib/{part}.lua"));
        text.push('\n');
        text.push_str(&std::fs::read_to_string(path).expect("a shared file"));
    }
    text.push('\n');
    text.push_str(rest);
    text
}
