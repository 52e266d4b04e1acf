//! The registry of Lua scripts: each binary carries its own, assembled from a body and the shared
//! files that the body names, so that two versions can run side by side on one server.

use std::borrow::Cow;
use std::sync::LazyLock;

#[cfg(all(feature = "lua-from-disk", not(debug_assertions)))]
compile_error!("lua-from-disk is for scripts/mutate-lua: a release carries its own scripts");

use super::error::Error;
use super::prune;

const BASE: &str = include_str!("lua/lib/base.lua");
const ACTS: &str = include_str!("lua/lib/acts.lua");
const BATCH: &str = include_str!("lua/lib/batch.lua");
const ACCOUNT: &str = include_str!("lua/lib/account.lua");
const CLOCK: &str = include_str!("lua/lib/clock.lua");
const CREDIT: &str = include_str!("lua/lib/credit.lua");
const EVENTS: &str = include_str!("lua/lib/events.lua");
const COSTS: &str = include_str!("lua/lib/costs.lua");
const CALENDAR: &str = include_str!("lua/lib/calendar.lua");
const CAPS: &str = include_str!("lua/lib/caps.lua");
const OPERATION: &str = include_str!("lua/lib/operation.lua");
const EXPIRY: &str = include_str!("lua/lib/expiry.lua");
const FROZEN: &str = include_str!("lua/lib/frozen.lua");
const HOOKS: &str = include_str!("lua/lib/hooks.lua");
const HOLD: &str = include_str!("lua/lib/hold.lua");
const OPENING: &str = include_str!("lua/lib/opening.lua");
const QUEUE: &str = include_str!("lua/lib/queue.lua");
const JOB: &str = include_str!("lua/lib/job.lua");
const ADMISSION: &str = include_str!("lua/lib/admission.lua");
const READY: &str = include_str!("lua/lib/ready.lua");
const UPKEEP: &str = include_str!("lua/lib/upkeep.lua");

/// A script of the store, ready to be called by its hash.
pub(super) struct Script {
    pub(super) name: &'static str,
    pub(super) code: redis::Script,
    /// What its header declares.
    keys: Declared,
    args: Declared,
}

impl Script {
    /// Whether a call has as many keys and arguments as the header says. The first argument, the
    /// time, counts.
    pub(super) fn fits(&self, keys: usize, args: usize) -> bool {
        self.keys.fits(keys) && self.args.fits(args)
    }
}

impl Script {
    /// The error for an answer with fewer rows than the call had items.
    pub(super) fn no_answer(&self) -> Error {
        Error::Reply {
            script: self.name,
            detail: "no answer for this item".to_owned(),
        }
    }
}

/// How many keys or arguments a header numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Declared {
    count: usize,
    /// The last number has two dots: any number of them, from there on.
    open: bool,
}

impl Declared {
    /// Reads the numbers, one after the other, of the header line that begins with `word` and of the
    /// lines that continue it.
    fn read(body: &str, word: &str) -> Self {
        let begin = format!("-- {word} ");
        let mut lines = body.lines().skip_while(|line| !line.starts_with(&begin));
        let first = lines.next().and_then(|line| line.strip_prefix(&begin));
        let rest = lines.take_while(|line| line.starts_with("--      "));
        let text = first
            .into_iter()
            .chain(rest)
            .flat_map(str::split_whitespace);
        let mut declared = Self {
            count: 0,
            open: false,
        };
        for token in text {
            let next = (declared.count + 1).to_string();
            declared.open |= token.strip_suffix("..") == Some(&next);
            declared.count += usize::from(token.trim_end_matches('.') == next);
        }
        declared
    }

    fn fits(self, given: usize) -> bool {
        given == self.count || self.open && given + 1 >= self.count
    }
}

/// A file of `lua/`: the one this binary carries.
#[cfg(not(feature = "lua-from-disk"))]
fn source(_name: &str, carried: &'static str) -> Cow<'static, str> {
    Cow::Borrowed(carried)
}

/// A file of `lua/`: the one in METERLINE_LUA_DIR where that is set, else the one this binary carries.
#[cfg(feature = "lua-from-disk")]
fn source(name: &str, carried: &'static str) -> Cow<'static, str> {
    let Some(dir) = std::env::var_os("METERLINE_LUA_DIR") else {
        return Cow::Borrowed(carried);
    };
    let path = std::path::Path::new(&dir).join(format!("{name}.lua"));
    match std::fs::read_to_string(&path) {
        Ok(text) => Cow::Owned(text),
        // A script that the server cannot compile: every call of it fails and says this.
        Err(error) => Cow::Owned(format!("#!lua\nfailed to read {}: {error}", path.display())),
    }
}

/// Puts the shebang first, then what the body needs of the shared files, then the body. `flags` replaces the
/// body's own shebang.
fn assemble(body: &str, flags: Option<&str>) -> String {
    let (shebang, rest) = body.split_once('\n').unwrap_or((body, ""));
    let uses = rest
        .lines()
        .find_map(|line| line.strip_prefix("-- uses: "))
        .unwrap_or("base");
    let mut text = String::new();
    for part in uses.split(", ") {
        text.push('\n');
        text.push_str(&match part {
            "account" => source("lib/account", ACCOUNT),
            "batch" => source("lib/batch", BATCH),
            "acts" => source("lib/acts", ACTS),
            "clock" => source("lib/clock", CLOCK),
            "credit" => source("lib/credit", CREDIT),
            "events" => source("lib/events", EVENTS),
            "costs" => source("lib/costs", COSTS),
            "calendar" => source("lib/calendar", CALENDAR),
            "caps" => source("lib/caps", CAPS),
            "operation" => source("lib/operation", OPERATION),
            "expiry" => source("lib/expiry", EXPIRY),
            "frozen" => source("lib/frozen", FROZEN),
            "hold" => source("lib/hold", HOLD),
            "hooks" => source("lib/hooks", HOOKS),
            "opening" => source("lib/opening", OPENING),
            "queue" => source("lib/queue", QUEUE),
            "job" => source("lib/job", JOB),
            "ready" => source("lib/ready", READY),
            "admission" => source("lib/admission", ADMISSION),
            "upkeep" => source("lib/upkeep", UPKEEP),
            _ => source("lib/base", BASE),
        });
    }
    let (shebang, shared) = (flags.unwrap_or(shebang), prune::needed(&text, rest));
    format!("{shebang}\n{shared}\n{rest}")
}

fn script(name: &'static str, carried: &'static str, flags: Option<&str>) -> Script {
    let body = &source(name, carried);
    #[expect(clippy::disallowed_methods, reason = "this is the registry")]
    let code = redis::Script::new(&assemble(body, flags));
    Script {
        name,
        code,
        keys: Declared::read(body, "KEYS"),
        args: Declared::read(body, "ARGV"),
    }
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
    ACCOUNT_SET = "account_set";
    ACCOUNT_STATE = "account_state";
    GRANT = "grant";
    REWARD = "reward";
    ADJUST = "adjust";
    REFUND = "refund";
    PLAN = "plan";
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
    REDRIVE = "redrive";
    DROP = "drop";
    FORCE_FAIL = "force_fail";
    REAP = "reap";
    TICK = "tick";
    FREEZE = "freeze";
    ROUND = "round";
    TRIM = "trim";
    FORGET_ACTS = "forget_acts";
    HISTORY = "history";
    RESTORE = "restore";
    RESTORE_JOB = "restore_job";
    AUDIT = "audit";
    MARK = "mark";
    LOOK_ACCOUNTS = "look_accounts";
    LOOK_INDEX = "look_index";
    LOOK_JOBS = "look_jobs";
    LOOK_QUEUES = "look_queues";
    QUEUE_ACT = "queue";
    HOOK_CREATE = "hook_create";
    HOOK_SET = "hook_set";
    HOOK_CLAIM = "hook_claim";
    HOOK_REPORT = "hook_report";
    HOOK_REDELIVER = "hook_redeliver";
    CLAIM_OBLIGATION = "claim_obligation";
    SETTLE_OBLIGATION = "settle_obligation";
    TRIM_COSTS = "trim_costs";
    DRAIN_WORKER = "drain_worker";
    LEAVE = "leave";
    KEY_CREATE = "key_create";
    KEY_ROTATE = "key_rotate";
    KEY_REVOKE = "key_revoke";
    KEY_USED = "key_used";
    ANSWER_BEGIN = "answer_begin";
    ANSWER_END = "answer_end";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_how_many_keys_and_arguments_a_script_takes() {
        let numbers = |script: &Script| (script.keys, script.args);
        let exactly = |count| Declared { count, open: false };
        let from = |count| Declared { count, open: true };
        for (script, keys, args) in [
            (&SUBMIT, exactly(1), from(6)),
            (&GRANT, exactly(4), exactly(10)),
            (&TICK, exactly(11), exactly(9)),
            (&REAP, exactly(6), from(6)),
            (&CLAIM, from(4), from(6)),
            (&LOOK_JOBS, from(3), from(2)),
        ] {
            assert_eq!(numbers(script), (keys, args), "{}", script.name);
        }
    }

    #[test]
    fn an_open_list_may_be_empty_and_a_closed_one_is_exact() {
        assert!([5, 6, 60].iter().all(|n| REAP.fits(6, *n)));
        assert!(!REAP.fits(6, 4));
        assert!(!REAP.fits(5, 6) && !REAP.fits(7, 6));
    }
}
