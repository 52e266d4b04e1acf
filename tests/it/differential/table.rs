//! Operations as a table of text, and back: what a failing case prints can be pasted as a test.

use std::collections::BTreeMap;

use meterline::domain::failure::FailureClass;
use meterline::domain::job::Priority;
use meterline::domain::reference::{Caps, Correction, Kind, Note, Op, Scope};

use crate::support::T0;

const UCR: i64 = 1_000_000;

/// One operation in words: amounts in credits, times in ms since [`T0`].
pub(super) fn words(op: &Op) -> String {
    let credits = |ucr: i64| ucr / UCR;
    let flag = |on: bool, word: &str| {
        if on {
            format!(" {word}")
        } else {
            String::new()
        }
    };
    match *op {
        Op::Open { account } => format!("open a{account}"),
        Op::Close { account } => format!("close a{account}"),
        Op::Reopen { account } => format!("reopen a{account}"),
        Op::MaxActive { account, n } => format!("limit a{account} {n}"),
        Op::Caps { account, caps } => format!(
            "caps a{account} day={} month={}",
            credits(caps.day_ucr),
            credits(caps.month_ucr)
        ),
        Op::Grant {
            account,
            op,
            ucr,
            kind,
            expires_ms,
        } => {
            let until = if expires_ms == 0 {
                String::new()
            } else {
                format!(" until={}", expires_ms - T0)
            };
            format!(
                "grant a{account} op={op} {} {}{until}",
                credits(ucr),
                kind.as_str()
            )
        }
        Op::Adjust {
            account,
            op,
            correction,
        } => match correction {
            Correction::Up(ucr) => format!("adjust a{account} op={op} +{}", credits(ucr)),
            Correction::Down(ucr) => format!("adjust a{account} op={op} -{}", credits(ucr)),
            Correction::Clawback { payment, ucr } => {
                let ucr = ucr
                    .map(|ucr| format!(" {}", credits(ucr)))
                    .unwrap_or_default();
                format!("clawback a{account} op={op} of={payment}{ucr}")
            }
        },
        Op::Refund { job, op, ucr } => {
            let ucr = ucr
                .map(|ucr| format!(" {}", credits(ucr)))
                .unwrap_or_default();
            format!("refund j{job} op={op}{ucr}")
        }
        Op::Submit {
            account,
            job,
            ucr,
            priority,
            delay_ms,
            key,
        } => {
            let delay = if delay_ms == 0 {
                String::new()
            } else {
                format!(" delay={delay_ms}")
            };
            let key = key.map(|key| format!(" key={key}")).unwrap_or_default();
            format!(
                "submit a{account} j{job} {} {}{delay}{key}",
                credits(ucr),
                priority.as_str()
            )
        }
        Op::Claim {
            worker,
            n,
            low_first,
        } => format!("claim w{worker} {n}{}", flag(low_first, "low-first")),
        Op::Note { job, take, note } => match note {
            Note::Intent(n) => format!("intent j{job}#{take} {n}"),
            Note::Handle => format!("handle j{job}#{take}"),
            Note::Artifact => format!("artifact j{job}#{take}"),
        },
        Op::Settle {
            job,
            take,
            ucr,
            absorbed_ucr,
        } => {
            let absorbed = if absorbed_ucr == 0 {
                String::new()
            } else {
                format!(" absorbed={}", credits(absorbed_ucr))
            };
            format!("settle j{job}#{take} {}{absorbed}", credits(ucr))
        }
        Op::Fail {
            job,
            take,
            class,
            again,
            has_verdict,
        } => {
            let again = again
                .map(|(ms, tries)| format!(" again={ms} tries={tries}"))
                .unwrap_or_default();
            format!(
                "fail j{job}#{take} {class}{again}{}",
                flag(has_verdict, "verdict")
            )
        }
        Op::Defer {
            job,
            take,
            delay_ms,
            keep,
            ahead,
        } => {
            format!(
                "defer j{job}#{take} {delay_ms}{}{}",
                flag(keep, "keep"),
                flag(ahead, "ahead")
            )
        }
        Op::Cancel { job } => format!("cancel j{job}"),
        Op::ForceFail { job, class } => format!("force-fail j{job} {class}"),
        Op::Redrive { dead, job, house } => {
            format!(
                "redrive j{dead} j{job} {}",
                if house { "house" } else { "account" }
            )
        }
        Op::Drop { job } => format!("drop j{job}"),
        Op::Beat { worker } => format!("beat w{worker}"),
        Op::Leave { worker } => format!("leave w{worker}"),
        Op::Reap { .. } => "reap".to_owned(),
        Op::Tick { again } => format!("tick{}", flag(again, "again")),
        Op::Freeze { scope, op } => format!("freeze {} op={op}", scope_word(scope)),
        Op::Clear { scope, op } => format!("clear {} op={op}", scope_word(scope)),
    }
}

pub(super) fn scope_word(scope: Scope) -> String {
    match scope {
        Scope::Account(account) => format!("a{account}"),
        Scope::Partition => "*".to_owned(),
    }
}

/// A case as a table.
pub(super) fn write(steps: &[(u64, Op)]) -> String {
    let mut text = "| at ms | operation |\n".to_owned();
    for (at_ms, op) in steps {
        text.push_str(&format!("| {:5} | {} |\n", at_ms - T0, words(op)));
    }
    text
}

/// The operations of a table and when each happens, ms since 1970.
pub(super) fn read(text: &str) -> Vec<(u64, Op)> {
    let rows = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut steps = Vec::new();
    for row in rows.filter(|row| !row.contains("at ms")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let at_ms: u64 = cells[0]
            .parse()
            .unwrap_or_else(|_| panic!("no time: {row}"));
        steps.push((T0 + at_ms, op(cells[1])));
    }
    steps
}

/// The words of one row: bare ones in order, `name=value` by name.
struct Row<'a> {
    text: &'a str,
    bare: Vec<&'a str>,
    named: BTreeMap<&'a str, &'a str>,
}

impl<'a> Row<'a> {
    fn new(text: &'a str) -> Self {
        let (named, bare): (Vec<&str>, Vec<&str>) =
            text.split_whitespace().partition(|word| word.contains('='));
        let named = named.into_iter().filter_map(|word| word.split_once('='));
        Self {
            text,
            bare,
            named: named.collect(),
        }
    }

    fn word(&self, n: usize) -> &'a str {
        self.bare
            .get(n)
            .copied()
            .unwrap_or_else(|| panic!("word {n} is missing: {}", self.text))
    }

    fn number<T: std::str::FromStr>(&self, text: &str) -> T {
        text.parse()
            .unwrap_or_else(|_| panic!("{text} is no number: {}", self.text))
    }

    /// `a0`, `j3`, `w1`: a letter and a number.
    fn no<T: std::str::FromStr>(&self, n: usize) -> T {
        self.number(self.word(n).get(1..).unwrap_or_default())
    }

    /// `j3#2`: a job and the claim of it that speaks.
    fn taken(&self) -> (u16, u32) {
        let (job, take) = self
            .word(1)
            .split_once('#')
            .unwrap_or_else(|| panic!("no claim: {}", self.text));
        (self.number(job.trim_start_matches('j')), self.number(take))
    }

    fn credits(&self, text: &str) -> i64 {
        self.number::<i64>(text) * UCR
    }

    fn optional_credits(&self, n: usize) -> Option<i64> {
        self.bare.get(n).map(|text| self.credits(text))
    }

    fn named<T: std::str::FromStr + Default>(&self, name: &str) -> T {
        self.named
            .get(name)
            .map(|text| self.number(text))
            .unwrap_or_default()
    }

    fn optional<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.named.get(name).map(|text| self.number(text))
    }

    fn has(&self, word: &str) -> bool {
        self.bare.contains(&word)
    }

    fn class(&self) -> FailureClass {
        FailureClass::from_word(self.word(2)).unwrap_or_else(|| panic!("no class: {}", self.text))
    }

    fn scope(&self) -> Scope {
        if self.word(1) == "*" {
            Scope::Partition
        } else {
            Scope::Account(self.no(1))
        }
    }
}

/// One operation out of its words.
pub(super) fn op(text: &str) -> Op {
    let row = Row::new(text);
    match row.word(0) {
        "submit" | "claim" | "beat" | "leave" | "reap" | "tick" => op_of_the_house(&row),
        "intent" | "handle" | "artifact" | "settle" | "fail" | "defer" => op_of_a_worker(&row),
        "cancel" | "force-fail" | "redrive" | "drop" | "freeze" | "clear" => {
            op_of_an_operator(&row)
        }
        _ => op_about_credit(&row),
    }
}

fn op_about_credit(row: &Row<'_>) -> Op {
    let (account, op) = (row.no(1), row.named("op"));
    match row.word(0) {
        "open" => Op::Open { account },
        "close" => Op::Close { account },
        "reopen" => Op::Reopen { account },
        "limit" => Op::MaxActive {
            account,
            n: row.number(row.word(2)),
        },
        "caps" => Op::Caps {
            account,
            caps: Caps {
                day_ucr: row.named::<i64>("day") * UCR,
                month_ucr: row.named::<i64>("month") * UCR,
            },
        },
        "grant" => Op::Grant {
            account,
            op,
            ucr: row.credits(row.word(2)),
            kind: Kind::ALL
                .into_iter()
                .find(|kind| kind.as_str() == row.word(3))
                .unwrap_or_else(|| panic!("no kind: {}", row.text)),
            expires_ms: row.optional::<u64>("until").map_or(0, |ms| T0 + ms),
        },
        "adjust" => {
            let (sign, n) = row.word(2).split_at(1);
            let ucr = row.credits(n);
            let correction = if sign == "+" {
                Correction::Up(ucr)
            } else {
                Correction::Down(ucr)
            };
            Op::Adjust {
                account,
                op,
                correction,
            }
        }
        "clawback" => Op::Adjust {
            account,
            op,
            correction: Correction::Clawback {
                payment: row.named("of"),
                ucr: row.optional_credits(2),
            },
        },
        "refund" => Op::Refund {
            job: row.no(1),
            op,
            ucr: row.optional_credits(2),
        },
        word => panic!("{word} is no operation: {}", row.text),
    }
}

fn op_of_the_house(row: &Row<'_>) -> Op {
    match row.word(0) {
        "submit" => Op::Submit {
            account: row.no(1),
            job: row.no(2),
            ucr: row.credits(row.word(3)),
            priority: row
                .word(4)
                .parse::<Priority>()
                .unwrap_or_else(|error| panic!("{error}: {}", row.text)),
            delay_ms: row.named("delay"),
            key: row.optional("key"),
        },
        "claim" => Op::Claim {
            worker: row.no(1),
            n: row.number(row.word(2)),
            low_first: row.has("low-first"),
        },
        "beat" => Op::Beat { worker: row.no(1) },
        "leave" => Op::Leave { worker: row.no(1) },
        "reap" => Op::Reap { first: [None; 3] },
        _ => Op::Tick {
            again: row.has("again"),
        },
    }
}

fn op_of_a_worker(row: &Row<'_>) -> Op {
    let (job, take) = row.taken();
    match row.word(0) {
        "intent" => Op::Note {
            job,
            take,
            note: Note::Intent(row.number(row.word(2))),
        },
        "handle" => Op::Note {
            job,
            take,
            note: Note::Handle,
        },
        "artifact" => Op::Note {
            job,
            take,
            note: Note::Artifact,
        },
        "settle" => Op::Settle {
            job,
            take,
            ucr: row.credits(row.word(2)),
            absorbed_ucr: row.named::<i64>("absorbed") * UCR,
        },
        "fail" => Op::Fail {
            job,
            take,
            class: row.class(),
            again: row.optional("again").map(|ms| (ms, row.named("tries"))),
            has_verdict: row.has("verdict"),
        },
        _ => Op::Defer {
            job,
            take,
            delay_ms: row.number(row.word(2)),
            keep: row.has("keep"),
            ahead: row.has("ahead"),
        },
    }
}

fn op_of_an_operator(row: &Row<'_>) -> Op {
    match row.word(0) {
        "cancel" => Op::Cancel { job: row.no(1) },
        "force-fail" => Op::ForceFail {
            job: row.no(1),
            class: row.class(),
        },
        "redrive" => Op::Redrive {
            dead: row.no(1),
            job: row.no(2),
            house: row.word(3) == "house",
        },
        "drop" => Op::Drop { job: row.no(1) },
        "freeze" => Op::Freeze {
            scope: row.scope(),
            op: row.named("op"),
        },
        _ => Op::Clear {
            scope: row.scope(),
            op: row.named("op"),
        },
    }
}
