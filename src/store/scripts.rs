//! The registry of Lua scripts: each binary carries its own, assembled from a body and the shared
//! files that the body names, so that two versions can run side by side on one server.

use std::sync::LazyLock;

const BASE: &str = include_str!("lua/lib/base.lua");
const ACCOUNT: &str = include_str!("lua/lib/account.lua");
const QUEUE: &str = include_str!("lua/lib/queue.lua");
const JOB: &str = include_str!("lua/lib/job.lua");

/// A script of the store, ready to be called by its hash.
pub(super) struct Script {
    pub(super) name: &'static str,
    pub(super) code: redis::Script,
}

/// Puts the shebang first, then the shared files, then the body. `flags` replaces the body's own.
fn assemble(body: &str, flags: Option<&str>) -> String {
    let (shebang, rest) = body.split_once('\n').unwrap_or((body, ""));
    let uses = rest
        .lines()
        .find_map(|line| line.strip_prefix("-- uses: "))
        .unwrap_or("base");
    let mut text = flags.unwrap_or(shebang).to_owned();
    for part in uses.split(", ") {
        text.push('\n');
        text.push_str(match part {
            "account" => ACCOUNT,
            "queue" => QUEUE,
            "job" => JOB,
            _ => BASE,
        });
    }
    text.push('\n');
    text.push_str(rest);
    text
}

fn script(name: &'static str, body: &str, flags: Option<&str>) -> Script {
    #[expect(clippy::disallowed_methods, reason = "this is the registry")]
    let code = redis::Script::new(&assemble(body, flags));
    Script { name, code }
}

macro_rules! registry {
    ($($(#[$doc:meta])* $constant:ident = $name:literal $(as $flags:literal)?;)*) => {
        $(
            $(#[$doc])*
            pub(super) static $constant: LazyLock<Script> = LazyLock::new(|| {
                let flags: Option<&str> = None $(.or(Some($flags)))?;
                script($name, include_str!(concat!("lua/", $name, ".lua")), flags)
            });
        )*
    };
}

registry! {
    INIT = "init";
    ACCOUNT_OPEN = "account";
    GRANT = "grant";
    QUOTE = "quote";
    SUBMIT = "submit";
    CLAIM = "claim";
    CHECKPOINT = "checkpoint";
    /// The same script, refused when memory is full: it stands before the POST.
    CHECKPOINT_INTENT = "checkpoint" as "#!lua";
    HEARTBEAT = "heartbeat";
    SETTLE = "settle";
    FAIL = "fail";
    DEFER = "defer";
    CANCEL = "cancel";
    REAP = "reap";
    TICK = "tick";
    LOOK_ACCOUNTS = "look_accounts";
    LOOK_JOBS = "look_jobs";
}
