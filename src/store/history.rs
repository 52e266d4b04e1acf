//! What a history outside the store needs of it: where each journal ends, the answers that operation ids
//! got, and a mark that trimming waits for.

use super::{Error, Store, scripts};
use crate::domain::ids::AccountId;

/// Where a partition's journal ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalHead {
    /// The epoch of its entries; `None` while the partition is being restored.
    pub epoch: Option<u64>,
    /// The newest entry's sequence; 0 = there is none.
    pub seq: u64,
    /// That entry's hash.
    pub hash: String,
}

impl Store {
    /// Where a partition's journal ends.
    pub async fn journal_end(&self, partition: u16) -> Result<JournalHead, Error> {
        let mut ask = redis::pipe();
        ask.cmd("HMGET")
            .arg(self.keys(partition)?.meta())
            .arg("epoch")
            .arg("seq")
            .arg("hash");
        type Fields = (Option<String>, Option<u64>, Option<String>);
        let ((epoch, seq, hash),): (Fields,) = self.read("meta", &ask).await?;
        Ok(JournalHead {
            epoch: epoch.map_or(Some(1), |text| text.parse().ok()),
            seq: seq.unwrap_or(0),
            hash: hash.unwrap_or_default(),
        })
    }

    /// Notes that a partition's journal is committed elsewhere up to `seq` (0 = not yet): nothing above
    /// is trimmed. The mark never goes back.
    pub async fn note_history(&self, partition: u16, seq: u64) -> Result<u64, Error> {
        let keys = [self.keys(partition)?.meta()];
        let reply = self
            .run(&scripts::HISTORY, &keys, &[seq.to_string()])
            .await?;
        match reply.word()?.as_str() {
            "noted" => reply.number(1),
            _ => reply.unknown(),
        }
    }

    /// What operation ids were answered, as the store keeps it; `None` where an id is unknown.
    pub async fn operation_answers(
        &self,
        partition: u16,
        operations: &[(AccountId, String)],
    ) -> Result<Vec<Option<String>>, Error> {
        if operations.is_empty() {
            return Ok(Vec::new());
        }
        let keys = self.keys(partition)?;
        let mut ask = redis::pipe();
        for (account, operation) in operations {
            ask.cmd("HGET").arg(keys.operations(account)).arg(operation);
        }
        self.read("ops", &ask).await
    }
}
