//! Whether entries of a journal stand on what history has committed, and in words what is wrong where they
//! do not. Nothing here reads or writes.

use std::fmt;

use sha1::{Digest, Sha1};

use crate::store::{JournalBody, JournalEntry, JournalHead};

/// How far a partition's journal is committed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The epoch of the newest committed entry.
    pub(super) epoch: u64,
    /// Its sequence; 0 = nothing is committed.
    pub(super) seq: u64,
    /// Its hash.
    pub(super) hash: String,
}

/// An entry that was found to stand where it has to.
pub(super) struct Link {
    pub(super) epoch: u64,
    pub(super) hash: String,
    pub(super) text: String,
    pub(super) body: JournalBody,
}

/// Store and history tell different stories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Broken {
    /// The store's journal ends before what history has: acknowledged writes were lost.
    Behind { history: Head, store: JournalHead },
    /// The same place holds another entry.
    Forked { seq: u64 },
    /// Entries between what history has and what the store has are in neither.
    Gap { from: u64, to: u64 },
    /// An entry that cannot be understood.
    Unreadable { id: String },
}

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behind { history, store } => write!(
                out,
                "history is ahead: the store lost entries {} to {}",
                store.seq + 1,
                history.seq
            ),
            Self::Forked { seq } => write!(
                out,
                "history knows another entry {seq} than the one the store goes on from"
            ),
            Self::Gap { from, to } if from == to => {
                write!(out, "entry {from} is missing in store and history")
            }
            Self::Gap { from, to } => {
                write!(
                    out,
                    "entries {from} to {to} are missing in store and history"
                )
            }
            Self::Unreadable { id } => write!(out, "entry {id} of the store cannot be read"),
        }
    }
}

/// What the ends alone say: whether there is more to read, or something is wrong already.
pub(super) fn judge(history: &Head, store: &JournalHead) -> Result<Reading, Broken> {
    let Some(epoch) = store.epoch else {
        return Ok(Reading::Later);
    };
    let behind = || Broken::Behind {
        history: history.clone(),
        store: store.clone(),
    };
    if store.seq < history.seq || (history.seq > 0 && epoch < history.epoch) {
        return Err(behind());
    }
    if store.seq > history.seq {
        return Ok(Reading::More);
    }
    if store.hash != history.hash {
        return Err(Broken::Forked { seq: history.seq });
    }
    Ok(Reading::Level)
}

/// What there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Nothing new.
    Level,
    /// Entries to read.
    More,
    /// The partition is being restored: look again.
    Later,
}

/// Follows the chain from what is committed through these entries.
pub(super) fn follow(head: &Head, entries: &[JournalEntry]) -> Result<Vec<Link>, Broken> {
    let (mut seq, mut hash) = (head.seq, head.hash.clone());
    let mut links = Vec::with_capacity(entries.len());
    for entry in entries {
        let unreadable = || Broken::Unreadable {
            id: entry.id.clone(),
        };
        let (epoch, place) = place(&entry.id).ok_or_else(unreadable)?;
        if place > seq + 1 {
            let (from, to) = (seq + 1, place - 1);
            return Err(Broken::Gap { from, to });
        }
        let mut sha = Sha1::new();
        sha.update(hash.as_bytes());
        sha.update(entry.body.as_bytes());
        hash = hex::encode(sha.finalize());
        if place <= seq || hash != entry.hash {
            return Err(Broken::Forked { seq });
        }
        let body = entry.body().ok_or_else(unreadable)?;
        seq = place;
        links.push(Link {
            epoch,
            hash: hash.clone(),
            text: entry.body.clone(),
            body,
        });
    }
    Ok(links)
}

/// Epoch and sequence of an entry's id.
pub(super) fn place(id: &str) -> Option<(u64, u64)> {
    let (epoch, seq) = id.split_once('-')?;
    Some((epoch.parse().ok()?, seq.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(from: u64, n: u64, hash: &str) -> Vec<JournalEntry> {
        let mut hash = hash.to_owned();
        (from..from + n)
            .map(|seq| {
                let body = format!(
                    "{{\"seq\":{seq},\"at_ms\":1,\"kind\":\"open\",\"op\":\"\",\"account\":\"a\",\
                     \"account_seq\":{seq},\"job\":\"\",\"post\":[]}}"
                );
                hash = hex::encode(Sha1::digest(format!("{hash}{body}")));
                JournalEntry {
                    id: format!("1-{seq}"),
                    body,
                    hash: hash.clone(),
                }
            })
            .collect()
    }

    fn head(seq: u64, hash: &str) -> Head {
        Head {
            epoch: u64::from(seq > 0),
            seq,
            hash: hash.to_owned(),
        }
    }

    fn end(epoch: u64, seq: u64, hash: &str) -> JournalHead {
        JournalHead {
            epoch: Some(epoch),
            seq,
            hash: hash.to_owned(),
        }
    }

    #[test]
    fn entries_follow_from_what_is_committed_and_from_nothing_else() {
        let all = entries(1, 5, "");
        let links = follow(&head(0, ""), &all).unwrap();
        assert_eq!(links.len(), 5);
        assert_eq!(follow(&head(2, &all[1].hash), &all[2..]).unwrap().len(), 3);
        let broken = |head: &Head, entries: &[JournalEntry]| follow(head, entries).err().unwrap();
        assert_eq!(
            broken(&head(2, "other"), &all[2..]),
            Broken::Forked { seq: 2 }
        );
        assert_eq!(
            broken(&head(1, &all[0].hash), &all[3..]),
            Broken::Gap { from: 2, to: 3 }
        );
        let mut changed = all.clone();
        changed[3].body = changed[3].body.replace("\"a\"", "\"b\"");
        assert_eq!(broken(&head(0, ""), &changed), Broken::Forked { seq: 3 });
    }

    #[test]
    fn the_ends_alone_show_a_store_that_lost_entries_or_has_others() {
        let history = head(5, "h5");
        assert_eq!(judge(&history, &end(1, 5, "h5")), Ok(Reading::Level));
        assert_eq!(judge(&history, &end(1, 9, "h9")), Ok(Reading::More));
        assert_eq!(judge(&history, &end(2, 9, "h9")), Ok(Reading::More));
        let forked = judge(&history, &end(1, 5, "x5"));
        assert_eq!(forked, Err(Broken::Forked { seq: 5 }));
        for store in [end(1, 4, "h4"), end(1, 0, "")] {
            let broken = judge(&history, &store).unwrap_err();
            assert!(
                broken.to_string().starts_with("history is ahead: "),
                "{broken}"
            );
        }
        let restoring = JournalHead {
            epoch: None,
            ..end(1, 5, "")
        };
        assert_eq!(judge(&history, &restoring), Ok(Reading::Later));
    }
}
