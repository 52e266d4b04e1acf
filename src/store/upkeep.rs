//! The books' upkeep: openings from which they can begin, and taking away what stands before them.

use std::collections::BTreeMap;

use sha1::{Digest, Sha1};

use super::{Error, JournalEntry, Store, scripts};

/// Accounts that one step of a round opens, so that no script runs long.
const OPENINGS: u32 = 50;
/// Entries that one step takes away.
const ENTRIES: u64 = 1_000;
/// Acts that one step forgets.
const ACTS: u32 = 100;

/// What one step of a round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoundOutcome {
    /// No round is due.
    Idle,
    /// Something in the partition is frozen: wrong figures must not become a beginning.
    Frozen,
    /// So many openings were written.
    Written {
        /// How many.
        openings: u32,
        /// The round is not complete: again.
        more: bool,
    },
}

/// What one step of trimming did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrimOutcome {
    /// Nothing is old enough, or no audit has found what would stay right.
    Nothing,
    /// Something in the partition is frozen: whoever looks into it may need every entry.
    Frozen,
    /// Another process trims, or the entries are not a chain: nothing was taken away.
    Moved,
    /// So many entries are gone; there may be more.
    Trimmed {
        /// How many.
        entries: u64,
    },
}

impl Store {
    /// Writes the next openings of a partition's round, where one is due.
    pub async fn open_books(&self, partition: u16) -> Result<RoundOutcome, Error> {
        let keys = self.keys(partition)?;
        let keys = ["meta", "accounts", "rounds"].map(|id| keys.part(id));
        let args = [self.options().opening_ms.to_string(), OPENINGS.to_string()];
        let reply = self.run(&scripts::ROUND, &keys, &args).await?;
        match reply.word()?.as_str() {
            "idle" => Ok(RoundOutcome::Idle),
            "frozen" => Ok(RoundOutcome::Frozen),
            "written" => Ok(RoundOutcome::Written {
                openings: reply.number(1)?,
                more: reply.text(2)? == "1",
            }),
            _ => reply.unknown(),
        }
    }

    /// Takes the next entries away from the front of a partition's journal, where that may be done.
    /// Their sums stay, and what is needed to go on checking the chain.
    pub async fn trim_journal(&self, partition: u16) -> Result<TrimOutcome, Error> {
        let keys = self.keys(partition)?;
        let keys = ["meta", "journal", "trimmed", "rounds"].map(|id| keys.part(id));
        let retention = self.options().journal_retention_ms.to_string();
        let ask = [retention.clone(), String::new()].into_iter();
        let ask: Vec<String> = ask.chain(["0", "", ""].map(str::to_owned)).collect();
        let reply = self.run(&scripts::TRIM, &keys, &ask).await?;
        let (seq, hash, to): (u64, String, u64) = match reply.word()?.as_str() {
            "target" => (reply.number(1)?, reply.text(2)?, reply.number(3)?),
            "nothing" => return Ok(TrimOutcome::Nothing),
            "frozen" => return Ok(TrimOutcome::Frozen),
            _ => return reply.unknown(),
        };
        let count = (to - seq).min(ENTRIES);
        let limit = usize::try_from(count + 1).unwrap_or(usize::MAX);
        let page = self.journal(partition, "-", limit).await?;
        let mut books = self.trimmed_head(partition).await?.books;
        let Some((last, stays)) = cut(&page.entries, seq, &hash, count, &mut books) else {
            return Ok(TrimOutcome::Moved);
        };
        let mut args = vec![
            retention,
            seq.to_string(),
            (seq + count).to_string(),
            last,
            stays,
        ];
        for (book, sum) in books {
            args.extend([format!("book:{book}"), sum.to_string()]);
        }
        let reply = self.run(&scripts::TRIM, &keys, &args).await?;
        match reply.word()?.as_str() {
            "trimmed" => Ok(TrimOutcome::Trimmed { entries: count }),
            "moved" | "nothing" => Ok(TrimOutcome::Moved),
            "frozen" => Ok(TrimOutcome::Frozen),
            _ => reply.unknown(),
        }
    }

    /// Forgets operators' acts that are old enough. Returns whether there are more.
    pub async fn forget_acts(&self, partition: u16) -> Result<bool, Error> {
        let keys = self.keys(partition)?;
        let keys = [keys.meta(), keys.part("acts")];
        let args = [self.options().acts_ms.to_string(), ACTS.to_string()];
        let reply = self.run(&scripts::FORGET_ACTS, &keys, &args).await?;
        match reply.word()?.as_str() {
            "forgotten" => Ok(reply.text(2)? == "1"),
            _ => reply.unknown(),
        }
    }
}

/// Checks that `entries` are the `count` entries behind `seq` and one more, each chained to the one
/// before, and adds their postings up. Returns the hash of the last to go and the id of the first to
/// stay; `None` where anything is not as it must be.
fn cut(
    entries: &[JournalEntry],
    mut seq: u64,
    hash: &str,
    count: u64,
    books: &mut BTreeMap<String, i128>,
) -> Option<(String, String)> {
    let (stays, go) = entries.split_last()?;
    if go.len() as u64 != count {
        return None;
    }
    let mut hash = hash.to_owned();
    for entry in go {
        let body = entry.body()?;
        seq += 1;
        hash = hex::encode(Sha1::digest(format!("{hash}{}", entry.body)));
        if body.seq != seq || hash != entry.hash {
            return None;
        }
        for (book, delta) in &body.post {
            *books.entry(book.clone()).or_default() += i128::from(*delta);
        }
    }
    Some((hash, stays.id.clone()))
}
