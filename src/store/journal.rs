//! Reading the journal: every credit movement of a partition, in order.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Error, Store};
use crate::domain::ids::AccountId;

/// One entry as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// `<epoch>-<sequence>`.
    pub id: String,
    /// The exact body; its hash covers these bytes.
    pub body: String,
    /// sha1hex(hash of the entry before .. body).
    pub hash: String,
}

/// The body of an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct JournalBody {
    /// The partition's sequence, without gaps.
    pub seq: u64,
    /// When, ms since 1970.
    pub at_ms: u64,
    /// `open`, `grant`, `hold`, `settle`, `release`, `expire`, `adjust`, `refund`, `set`, `opening`.
    pub kind: String,
    /// Operation id, idempotency key or failure class, by kind.
    pub op: String,
    /// The account.
    pub account: String,
    /// The account's own sequence, without gaps.
    pub account_seq: u64,
    /// The job, or empty.
    pub job: String,
    /// Postings: which book, by how many micro-credits. They sum to zero.
    pub post: Vec<(String, i64)>,
    /// The rows of changed grants as they stand afterwards, `kind|remaining|pinned|expires_ms|age`.
    #[serde(default)]
    pub grants: BTreeMap<String, String>,
    /// The job's whole hold, in `settle` and `release`.
    #[serde(default)]
    pub hold_ucr: i64,
    /// Why, in what operators do.
    #[serde(default)]
    pub reason: String,
    /// How the job ended, in `settle` and `release`.
    #[serde(default)]
    pub state: String,
    /// The grants that a hold pins, `id=amount;...`, in `hold`.
    #[serde(default)]
    pub slices: String,
    /// The operation id of the payment that a clawback is about, in `adjust`.
    #[serde(default)]
    pub payment: String,
    /// What was set, by field, in `set`.
    #[serde(default)]
    pub set: BTreeMap<String, serde_json::Value>,
    /// The job's tool, in `settle`, `release` and `refund`.
    #[serde(default)]
    pub tool: String,
    /// Grants that got credit from outside, `id=amount;...`: in `grant`, `adjust`, `refund`.
    #[serde(default)]
    pub given: String,
    /// Grants that were captured from, or that a correction took from, in the same form.
    #[serde(default)]
    pub taken: String,
    /// Grants whose credit expired, in the same form.
    #[serde(default)]
    pub lost: String,
    /// Booked while the account or its partition was frozen.
    #[serde(default)]
    pub frozen: bool,
    /// The account's whole state, in `opening`.
    #[serde(default)]
    pub opening: Option<Opening>,
}

/// An account's state as an entry, micro-credits; its grants stand in the entry's rows, all of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Opening {
    /// Which round it belongs to; 0 = none, written when the account was cleared.
    pub round: u64,
    /// What can be spent.
    pub available: i64,
    /// What open holds keep.
    pub held: i64,
    /// What is owed.
    pub debt: i64,
    /// Everything ever granted.
    pub granted: i64,
    /// Everything ever charged.
    pub captured: i64,
    /// Everything that expired.
    pub expired: i64,
    /// Charges given back.
    pub refunded: i64,
    /// Corrections.
    pub adjusted: i64,
}

/// What is known of the part of a journal that is no longer kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrimmedHead {
    /// The sequence of the last entry that was taken away; 0 = none was.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
    /// Up to this sequence an account may have entries before its opening.
    pub until: u64,
    /// The sum of all postings taken away, by book.
    pub books: BTreeMap<String, i128>,
}

/// A page of a partition's journal.
#[derive(Debug, Clone)]
pub struct JournalPage {
    /// Its entries, oldest first.
    pub entries: Vec<JournalEntry>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

/// A stream's entry: its id, then its fields.
type Row = (String, Vec<(String, String)>);

impl JournalEntry {
    /// The body, understood; `None` where it is not a journal body.
    pub fn body(&self) -> Option<JournalBody> {
        serde_json::from_str(&self.body).ok()
    }

    /// The body where it is about this account. Others are told apart without being understood: the
    /// texts of a body are encoded, so that none of them can look like this member.
    pub fn body_of(&self, account: &AccountId) -> Option<JournalBody> {
        let member = format!("\"account\":\"{account}\"");
        let body = self.body.contains(&member).then(|| self.body())?;
        body.filter(|body| body.account == account.as_str())
    }
}

impl Store {
    /// A page of a partition's journal, from an id on (`-` for the first).
    pub async fn journal(
        &self,
        partition: u16,
        from: &str,
        limit: usize,
    ) -> Result<JournalPage, Error> {
        let mut ask = redis::pipe();
        let stream = self.keys(partition)?.part("journal");
        ask.cmd("XRANGE")
            .arg(stream)
            .arg(from)
            .arg("+")
            .arg("COUNT")
            .arg(limit);
        let (rows,): (Vec<Row>,) = self.read("journal", &ask).await?;
        Ok(page(rows, limit))
    }

    /// A page of a partition's journal backwards, from an id on (`+` for the newest); the newest
    /// entry stands first.
    pub async fn journal_backwards(
        &self,
        partition: u16,
        from: &str,
        limit: usize,
    ) -> Result<JournalPage, Error> {
        let mut ask = redis::pipe();
        let stream = self.keys(partition)?.part("journal");
        ask.cmd("XREVRANGE")
            .arg(stream)
            .arg(from)
            .arg("-")
            .arg("COUNT")
            .arg(limit);
        let (rows,): (Vec<Row>,) = self.read("journal", &ask).await?;
        Ok(page(rows, limit))
    }

    /// Where to begin reading a partition's journal for all that happened at `at_ms` or later. Sequence
    /// and time both rise, so that a search by halves finds the place in a few reads.
    pub async fn journal_from(&self, partition: u16, at_ms: u64) -> Result<String, Error> {
        let first = self.journal(partition, "-", 1).await?.entries;
        let last = self.journal_backwards(partition, "+", 1).await?.entries;
        let place = |entries: &[JournalEntry]| {
            let (epoch, seq) = entries.first()?.id.split_once('-')?;
            Some((epoch.to_owned(), seq.parse::<u64>().ok()?))
        };
        let (Some((first_epoch, mut low)), Some((epoch, mut high))) = (place(&first), place(&last))
        else {
            return Ok("-".to_owned());
        };
        if first_epoch != epoch {
            // Only a store that was rebuilt has several; what it has is read from the start.
            return Ok("-".to_owned());
        }
        // Everything before `low` is too old; `high` is the last that may be.
        while low < high {
            let middle = low + (high - low) / 2;
            let found = self
                .journal(partition, &format!("{epoch}-{middle}"), 1)
                .await?;
            let body = found.entries.first().and_then(JournalEntry::body);
            if body.is_some_and(|body| body.at_ms < at_ms) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(format!("{epoch}-{low}"))
    }

    /// What was taken away from the front of a partition's journal.
    pub async fn trimmed_head(&self, partition: u16) -> Result<TrimmedHead, Error> {
        let mut ask = redis::pipe();
        ask.cmd("HGETALL")
            .arg(self.keys(partition)?.part("trimmed"));
        let (fields,): (BTreeMap<String, String>,) = self.read("trimmed", &ask).await?;
        let number = |name: &str| fields.get(name).and_then(|text| text.parse().ok());
        let books = fields.iter().filter_map(|(name, sum)| {
            let book = name.strip_prefix("book:")?;
            Some((book.to_owned(), sum.parse().ok()?))
        });
        Ok(TrimmedHead {
            seq: number("seq").unwrap_or(0),
            hash: fields.get("hash").cloned().unwrap_or_default(),
            until: number("until").unwrap_or(0),
            books: books.collect(),
        })
    }

    /// The newest sequence of a partition's journal and the hash of that entry.
    pub async fn journal_head(&self, partition: u16) -> Result<(u64, String), Error> {
        let mut ask = redis::pipe();
        ask.cmd("HMGET")
            .arg(self.keys(partition)?.meta())
            .arg("seq")
            .arg("hash");
        let ((seq, hash),): ((Option<u64>, Option<String>),) = self.read("meta", &ask).await?;
        Ok((seq.unwrap_or(0), hash.unwrap_or_default()))
    }
}

/// The rows of a stream as a page; full ones have a next.
fn page(rows: Vec<Row>, limit: usize) -> JournalPage {
    let full = rows.len() >= limit;
    let entries: Vec<JournalEntry> = rows
        .into_iter()
        .map(|(id, fields)| {
            let field = |name: &str| {
                let found = fields.iter().find(|(n, _)| n == name);
                found.map(|(_, value)| value.clone()).unwrap_or_default()
            };
            JournalEntry {
                id,
                body: field("b"),
                hash: field("h"),
            }
        })
        .collect();
    let last = entries.last().filter(|_| full);
    let next = last.map(|entry| format!("({}", entry.id));
    JournalPage { entries, next }
}
