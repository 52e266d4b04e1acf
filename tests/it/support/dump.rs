//! A whole database as lines of text: the only place in the tests that names every kind of key.
//!
//! Numbers stand for names: job `j3`, account `a0`, worker `w1`, operation `op-4`, as the differential tests
//! name them. What is empty or zero is left out, as a field that was never written is.

use std::collections::BTreeMap;

use super::raw::Raw;

/// Every key with its type and its content, read in one step.
const READ: &str = "
    local all = {}
    local names = redis.call('KEYS', '*')
    table.sort(names)
    for _, name in ipairs(names) do
        local kind = redis.call('TYPE', name).ok
        local row = { name, kind }
        local function add(flat) for _, text in ipairs(flat) do row[#row + 1] = text end end
        if kind == 'string' then add({ redis.call('GET', name) })
        elseif kind == 'hash' then
            local flat, fields = redis.call('HGETALL', name), {}
            for i = 1, #flat, 2 do fields[#fields + 1] = { flat[i], flat[i + 1] } end
            table.sort(fields, function(a, b) return a[1] < b[1] end)
            for _, field in ipairs(fields) do add(field) end
        elseif kind == 'set' then
            local members = redis.call('SMEMBERS', name)
            table.sort(members)
            add(members)
        elseif kind == 'zset' then add(redis.call('ZRANGE', name, 0, -1, 'WITHSCORES'))
        else
            row[#row + 1] = redis.sha1hex(redis.call('DUMP', name))
            if string.find(name, ':ready:', 1, true) then
                local who = {}
                local pending = redis.pcall('XPENDING', name, 'workers', '-', '+', 1000)
                if not pending.err then for _, p in ipairs(pending) do who[p[1]] = p[2] end end
                for _, e in ipairs(redis.call('XRANGE', name, '-', '+')) do add({ e[2][2], who[e[1]] or '' }) end
            elseif string.find(name, ':journal', 1, true) then
                for _, e in ipairs(redis.call('XRANGE', name, '(' .. ARGV[1], '+')) do add({ e[2][2] }) end
            end
        end
        all[#all + 1] = row
    end
    return all";

/// A database as it stands: each key, its type, its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dump {
    rows: Vec<Vec<String>>,
}

/// Fields of a job that are compared, and what they are called in the lines.
const JOB: [&str; 31] = [
    "absorbed_ucr",
    "account",
    "cancel_at",
    "captured_ucr",
    "class",
    "counted_in",
    "created_at",
    "deadline_at",
    "due_at",
    "dropped_at",
    "ended_by",
    "fail_class",
    "finished_at",
    "hold_ucr",
    "idem",
    "lane",
    "open_submission",
    "payer",
    "payer_again",
    "queue",
    "redrive_of",
    "redriven_as",
    "refunded_ucr",
    "released_ucr",
    "slices",
    "stage",
    "started_at",
    "state",
    "submissions",
    "takeovers",
    "takes",
];
const JOB_MORE: [&str; 5] = ["token", "tries", "ttl_at", "worker", "stream"];
const ACCOUNT: [&str; 14] = [
    "adjusted",
    "available",
    "captured",
    "caps",
    "debt",
    "expired",
    "granted",
    "held",
    "max_active",
    "next_grant",
    "refunded",
    "seq",
    "spent",
    "state",
];
const META: [&str; 8] = [
    "frozen",
    "frozen_n",
    "lane_seq",
    "last_ms",
    "open",
    "reap_after_ms",
    "seq",
    "tick_ms",
];
/// Keys that say what happened, to people; nothing is decided by them.
const NOT_COMPARED: [&str; 11] = [
    "part:accounts",
    "part:acts",
    "part:control",
    "part:costs",
    "part:costsums",
    "part:events",
    "part:owed",
    "part:starts",
    "part:workers",
    "part:halts",
    "store:meta",
];

impl Dump {
    /// Reads everything; of the journal what stands behind the entry `after`.
    pub(crate) async fn read(raw: &Raw, after: &str) -> Self {
        let rows = raw.run(&["EVAL", READ, "0", after]).await;
        Self { rows }
    }

    /// The new entries of the journal, as they were written.
    pub(crate) fn journal(&self) -> &[String] {
        let row = self
            .rows
            .iter()
            .find(|row| row[0].ends_with(":part:journal"));
        row.map_or(&[], |row| &row[3..])
    }

    /// Whether every key is the same, byte for byte. Of the journal, whose entries are read only once, its
    /// own sum counts.
    pub(crate) fn same_bytes(&self, other: &Self) -> bool {
        let cut = |row: &Vec<String>| {
            let n = if row[0].ends_with(":part:journal") {
                3
            } else {
                row.len()
            };
            row[..n].to_vec()
        };
        self.rows.iter().map(cut).eq(other.rows.iter().map(cut))
    }

    /// The state as lines: where, and what stands there.
    pub(crate) fn lines(&self) -> BTreeMap<String, String> {
        let mut lines = Lines::default();
        for row in &self.rows {
            let (_, rest) = row[0].split_once("}:").expect("a key of ours");
            if !NOT_COMPARED.contains(&rest) {
                lines.key(rest, &row[2..]);
            }
        }
        lines.all
    }
}

#[derive(Default)]
struct Lines {
    all: BTreeMap<String, String>,
}

impl Lines {
    fn put(&mut self, place: String, value: String) {
        if !value.is_empty() && value != "0" {
            self.all.insert(place, value);
        }
    }

    fn key(&mut self, rest: &str, content: &[String]) {
        let (noun, id) = rest.split_once(':').expect("a noun and an id");
        match (noun, id) {
            ("part", "meta") => self.meta(&hash(content)),
            ("part", "frozen") => {
                for (who, row) in hash(content) {
                    let row: serde_json::Value = serde_json::from_str(&row).expect("a row");
                    let before = row["before"].as_str().expect("a state").to_owned();
                    self.put(format!("frozen {who}"), format!("was {before}"));
                }
            }
            ("part", "freezes") => {
                for (op, done) in hash(content) {
                    let words: Vec<&str> = done.splitn(4, '|').collect();
                    self.put(format!("freezes {op}"), words[..3].join("|"));
                }
            }
            ("part", "reaping" | "queues") | ("active" | "parked" | "stops", _) => {
                let members: Vec<String> = content.iter().map(|m| short(m)).collect();
                self.put(format!("{noun} {id}"), members.join(","));
            }
            ("part", "journal") | ("timeline", _) => {}
            ("part", _) | ("lane" | "jobs", _) => {
                for pair in content.chunks(2) {
                    self.put(
                        format!("{noun} {id} {}", short(&pair[0])),
                        score(noun, &pair[1]),
                    );
                }
            }
            ("acct", account) => {
                let fields = hash(content);
                for name in ACCOUNT {
                    self.put(format!("acct {account} {name}"), field(&fields, name));
                }
            }
            ("grants", account) => {
                for (grant, row) in hash(content) {
                    let (row, _age) = row.rsplit_once('|').expect("a row");
                    self.put(format!("grants {account} {grant}"), row.to_owned());
                }
            }
            ("ops", account) => {
                for (op, done) in hash(content) {
                    let answer = done
                        .split_once('|')
                        .map_or(done.as_str(), |(_, answer)| answer);
                    self.put(format!("ops {account} {op}"), answer.to_owned());
                }
            }
            ("job", job) => self.job(&short(job), &hash(content)),
            ("work", job) => {
                for (name, value) in hash(content) {
                    let value = if name == "taken" {
                        value
                    } else {
                        "yes".to_owned()
                    };
                    self.put(format!("work {} {name}", short(job)), value);
                }
            }
            ("payload" | "obligation", id) => {
                self.put(format!("{noun} {}", short(id)), "yes".to_owned())
            }
            ("idem", key) => self.put(format!("idem {key}"), short(&content[0])),
            ("ready", stream) => {
                let entries = content[1..].chunks(2);
                let shown: Vec<String> = entries
                    .map(|entry| match entry[1].as_str() {
                        "" => short(&entry[0]),
                        worker => format!("{}@{worker}", short(&entry[0])),
                    })
                    .collect();
                self.put(format!("ready {stream}"), shown.join(","));
            }
            _ => panic!(
                "{rest}: a kind of key that the dump does not know: add it here and to the model"
            ),
        }
    }

    fn meta(&mut self, fields: &BTreeMap<String, String>) {
        for name in META {
            self.put(
                format!("meta {name}"),
                field(fields, name).trim().to_owned(),
            );
        }
    }

    fn job(&mut self, job: &str, fields: &BTreeMap<String, String>) {
        let is_over = !field(fields, "finished_at").is_empty();
        for name in JOB.into_iter().chain(JOB_MORE) {
            let value = field(fields, name);
            let value = match name {
                // Where an ended job stood is of no interest.
                "stream" if is_over => String::new(),
                "token" => value.split('-').next().unwrap_or_default().to_owned(),
                "ended_by" | "dropped_at" if !value.is_empty() => "yes".to_owned(),
                "redrive_of" | "redriven_as" => short(&value),
                _ => value,
            };
            self.put(format!("job {job} {name}"), value);
        }
        let has_entry = !field(fields, "entry").is_empty();
        assert_eq!(
            has_entry,
            !field(fields, "stream").is_empty(),
            "{job}: an entry has a stream"
        );
    }
}

fn hash(content: &[String]) -> BTreeMap<String, String> {
    content
        .chunks(2)
        .map(|pair| (pair[0].clone(), pair[1].clone()))
        .collect()
}

fn field(fields: &BTreeMap<String, String>, name: &str) -> String {
    fields.get(name).cloned().unwrap_or_default()
}

/// `j00-00000000-0000-0000-0000-000000000003` is `j3`, with what follows it.
pub(crate) fn short(id: &str) -> String {
    let Some(digits) = id.strip_prefix("j00-").and_then(|rest| rest.get(..36)) else {
        return id.to_owned();
    };
    let n = u32::from_str_radix(&digits[24..], 16).expect("a number as a job id");
    format!("j{n}{}", &id[40..])
}

/// Scores are times; in a lane a rank and an order.
fn score(noun: &str, text: &str) -> String {
    if noun != "lane" {
        return text.to_owned();
    }
    const RANK_STEP: u64 = 1 << 50;
    let score: f64 = text.parse().expect("a score");
    let score = format!("{score:.0}")
        .parse::<u64>()
        .expect("a whole number");
    format!("{}/{}", score / RANK_STEP, score % RANK_STEP)
}
