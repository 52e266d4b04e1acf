//! Reading the chain of hashes again, a piece at a time: an entry that was right when it was folded may
//! have been changed since.

use sha1::{Digest, Sha1};

use super::compare::Differences;
use crate::store::{Error, JournalEntry, Store};

/// Entries read at a time.
const PAGE: usize = 1_000;

/// Where the walk along one partition's journal stands. At the end it begins again.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Where to read on; `None` = in front of the first entry that is kept.
    from: Option<String>,
    seq: u64,
    hash: String,
}

impl Walk {
    /// Checks about `limit` more entries.
    pub(super) async fn go_on(
        &mut self,
        store: &Store,
        partition: u16,
        limit: usize,
        differences: &mut Differences,
    ) -> Result<(), Error> {
        if self.from.is_none() {
            let head = store.trimmed_head(partition).await?;
            (self.seq, self.hash) = (head.seq, head.hash);
        }
        for _ in 0..limit.div_ceil(PAGE) {
            let from = self.from.as_deref().unwrap_or("-");
            let page = store.journal(partition, from, PAGE).await?;
            let broken = page.entries.iter().find(|entry| !self.step(entry));
            if let Some(entry) = broken {
                let before = self.seq;
                self.from = None;
                // What lies before this place may have been trimmed meanwhile.
                if store.trimmed_head(partition).await?.seq < before {
                    let expected = format!("the one behind entry {}", before.saturating_sub(1));
                    differences.add("", format!("entry {}", entry.id), expected, "another");
                }
                return Ok(());
            }
            self.from = page.next;
            if self.from.is_none() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether the entry is the next one, chained to the one before.
    fn step(&mut self, entry: &JournalEntry) -> bool {
        let hash = hex::encode(Sha1::digest(format!("{}{}", self.hash, entry.body)));
        let seq = entry.id.rsplit('-').next().and_then(|seq| seq.parse().ok());
        self.seq += 1;
        self.hash = hash;
        self.hash == entry.hash && seq == Some(self.seq)
    }
}
