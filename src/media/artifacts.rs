//! The artifact folder: where outputs are received, named and kept.
//!
//! A file appears under its final name only whole, flushed and by an atomic rename. The name holds a
//! piece of the content's hash: receiving the same output again replaces the file by one with the same
//! content, and a worker that was taken for dead can never put other bytes in the place that a settled
//! job's record names.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::TempPath;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::Error;
use super::sniff::{Container, HEAD_BYTES, sniff};

/// Sub-folder for files that are still being received. A job id never starts with a dot.
const INCOMING_DIR: &str = ".incoming";

/// Age at which a file that is still being received counts as left behind.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Longest job id that becomes a folder name.
const JOB_CHARS_MAX: usize = 128;

/// Characters of the content's hash in a file's name.
const HASH_CHARS: usize = 16;

/// A folder that holds outputs, on a disk that all workers of a deployment share.
#[derive(Debug, Clone)]
pub struct ArtifactStore {
    dir: PathBuf,
}

/// A stored output, as it stands in a job's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredArtifact {
    /// Path below the artifact folder: `<job>/<submission>-<index>-<hash>.<ext>`, with the first 16
    /// characters of the hash.
    pub place: String,
    /// SHA-256 of the content in lower-case hex.
    pub sha256: String,
    /// Length of the content in bytes.
    pub bytes: u64,
}

/// What an output is called: the same for every attempt to fetch it.
#[derive(Debug, Clone, Copy)]
pub struct ArtifactName<'a> {
    /// The job's id.
    pub job: &'a str,
    /// The number of the submission that made it.
    pub submission: u32,
    /// Its position among the submission's outputs.
    pub index: u32,
}

impl ArtifactStore {
    /// Opens the folder, creating it if it is missing, and removes what a process that died a day ago
    /// or earlier left half received.
    ///
    /// # Errors
    /// [`Error::Storage`] where the folder cannot be created or entered.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, Error> {
        let dir = dir.into();
        std::fs::create_dir_all(dir.join(INCOMING_DIR))?;
        let dir = dir.canonicalize()?;
        remove_abandoned(&dir.join(INCOMING_DIR))?;
        Ok(Self { dir })
    }

    /// The folder itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file behind a stored place.
    ///
    /// # Errors
    /// [`Error::BadName`] for a place this store would not have written.
    pub fn path_of(&self, place: &str) -> Result<PathBuf, Error> {
        path_below(&self.dir, place)
    }

    /// Starts to receive an output of at most `limit_bytes`.
    pub(super) fn receive(&self, limit_bytes: u64) -> Result<Incoming, Error> {
        let (file, path) =
            tempfile::NamedTempFile::new_in(self.dir.join(INCOMING_DIR))?.into_parts();
        Ok(Incoming {
            file: File::from_std(file),
            path,
            hasher: Sha256::new(),
            head: Vec::with_capacity(HEAD_BYTES),
            bytes: 0,
            limit_bytes,
        })
    }

    /// Gives a fetched output its name and keeps it.
    ///
    /// # Errors
    /// [`Error::NotMedia`] (the bytes are dropped), [`Error::BadName`], [`Error::Storage`].
    pub async fn keep(
        &self,
        fetched: Fetched,
        name: ArtifactName<'_>,
    ) -> Result<StoredArtifact, Error> {
        let extension = fetched.container()?.extension();
        if !is_job_name(name.job) {
            return Err(Error::BadName);
        }
        let place = format!(
            "{}/{}-{}-{}.{extension}",
            name.job,
            name.submission,
            name.index,
            &fetched.sha256[..HASH_CHARS]
        );
        let folder = self.dir.join(name.job);
        let target = self.dir.join(&place);
        let from = fetched.path;
        tokio::task::spawn_blocking(move || move_into(from, &folder, &target))
            .await
            .map_err(io::Error::other)??;
        Ok(StoredArtifact {
            place,
            sha256: fetched.sha256,
            bytes: fetched.bytes,
        })
    }
}

/// Removes files that nobody has written to for longer than any reception lasts. Another process may
/// share the folder and may remove the same file: what is gone already is fine.
fn remove_abandoned(incoming: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(incoming)? {
        let entry = entry?;
        let written = entry.metadata().and_then(|metadata| metadata.modified());
        let age = written.ok().and_then(|written| written.elapsed().ok());
        if age.is_some_and(|age| age > ABANDONED_AFTER) {
            match std::fs::remove_file(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
    }
    Ok(())
}

/// Renames within one file system, and flushes the folder so that the name outlives a power cut.
fn move_into(from: TempPath, folder: &Path, target: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    from.persist(target).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}

/// The file behind a stored place in a folder; [`Error::BadName`] for a place that no store writes.
pub(super) fn path_below(dir: &Path, place: &str) -> Result<PathBuf, Error> {
    let (job, file) = place.split_once('/').ok_or(Error::BadName)?;
    let plain = |part: &str| {
        part.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
    };
    if is_job_name(job) && plain(file) && !file.is_empty() && !file.starts_with('.') {
        Ok(dir.join(job).join(file))
    } else {
        Err(Error::BadName)
    }
}

/// Letters, digits and dashes only: nothing that could leave the folder or hide in it.
fn is_job_name(job: &str) -> bool {
    !job.is_empty()
        && job.len() <= JOB_CHARS_MAX
        && !job.starts_with('-')
        && job.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// An output that is being received: counted and hashed while it is written. Dropping it removes it.
pub(super) struct Incoming {
    file: File,
    path: TempPath,
    hasher: Sha256,
    head: Vec<u8>,
    bytes: u64,
    limit_bytes: u64,
}

impl Incoming {
    /// Refuses an announced length above the limit, before any byte of it is taken.
    pub(super) fn expect_bytes(&self, announced_bytes: u64) -> Result<(), Error> {
        if announced_bytes > self.limit_bytes {
            return Err(Error::TooLarge {
                limit_bytes: self.limit_bytes,
            });
        }
        Ok(())
    }

    /// Takes the next piece.
    pub(super) async fn write(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.expect_bytes(self.bytes.saturating_add(piece.len() as u64))?;
        self.bytes += piece.len() as u64;
        self.hasher.update(piece);
        let missing = HEAD_BYTES.saturating_sub(self.head.len()).min(piece.len());
        self.head.extend_from_slice(&piece[..missing]);
        self.file.write_all(piece).await?;
        Ok(())
    }

    /// Ends the reception: everything is on disk when this returns.
    pub(super) async fn finish(mut self) -> Result<Fetched, Error> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        Ok(Fetched {
            path: self.path,
            head: self.head,
            sha256: hex::encode(self.hasher.finalize()),
            bytes: self.bytes,
        })
    }
}

/// An output that was received whole and has no name yet. Dropping it removes it.
#[derive(Debug)]
pub struct Fetched {
    path: TempPath,
    head: Vec<u8>,
    sha256: String,
    bytes: u64,
}

impl Fetched {
    /// SHA-256 of the content in lower-case hex. Two outputs of one job with the same hash are one.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Length of the content in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What the first bytes say it is.
    ///
    /// # Errors
    /// [`Error::NotMedia`] where they say nothing.
    pub fn container(&self) -> Result<Container, Error> {
        sniff(&self.head).ok_or(Error::NotMedia)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: ArtifactName<'_> = ArtifactName {
        job: "j00-abc",
        submission: 2,
        index: 0,
    };

    async fn fetched(store: &ArtifactStore, content: &[u8]) -> Fetched {
        let mut incoming = store.receive(1_000).unwrap();
        incoming.write(content).await.unwrap();
        incoming.finish().await.unwrap()
    }

    fn files_below(dir: &Path) -> usize {
        std::fs::read_dir(dir).unwrap().count()
    }

    #[tokio::test]
    async fn an_output_is_kept_under_its_name_with_hash_and_length() {
        let dir = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(dir.path()).unwrap();
        let stored = store
            .keep(fetched(&store, b"GIF89a..").await, NAME)
            .await
            .unwrap();
        assert_eq!(
            stored.place,
            format!("j00-abc/2-0-{}.gif", &stored.sha256[..16])
        );
        assert_eq!(stored.bytes, 8);
        assert_eq!(stored.sha256, hex::encode(Sha256::digest(b"GIF89a..")));
        let path = store.path_of(&stored.place).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), b"GIF89a..");
        assert_eq!(files_below(&store.dir().join(INCOMING_DIR)), 0);
    }

    #[tokio::test]
    async fn keeping_the_same_output_again_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(dir.path()).unwrap();
        let first = store
            .keep(fetched(&store, b"GIF89a..").await, NAME)
            .await
            .unwrap();
        let again = store
            .keep(fetched(&store, b"GIF89a..").await, NAME)
            .await
            .unwrap();
        assert_eq!(first, again);
        assert_eq!(files_below(&store.dir().join("j00-abc")), 1);
    }

    #[tokio::test]
    async fn a_late_worker_with_other_bytes_does_not_touch_what_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(dir.path()).unwrap();
        let settled = store
            .keep(fetched(&store, b"GIF89a-first").await, NAME)
            .await
            .unwrap();
        let late = store
            .keep(fetched(&store, b"GIF89a-other").await, NAME)
            .await
            .unwrap();
        assert_ne!(settled.place, late.place);
        let kept = std::fs::read(store.path_of(&settled.place).unwrap()).unwrap();
        assert_eq!(hex::encode(Sha256::digest(kept)), settled.sha256);
    }

    #[tokio::test]
    async fn what_is_not_kept_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(dir.path()).unwrap();
        let refused = store
            .keep(fetched(&store, b"<html>no</html>").await, NAME)
            .await;
        assert!(matches!(refused, Err(Error::NotMedia)));
        let mut incoming = store.receive(4).unwrap();
        assert!(matches!(
            incoming.write(b"12345").await,
            Err(Error::TooLarge { limit_bytes: 4 })
        ));
        drop(incoming);
        assert_eq!(files_below(&store.dir().join(INCOMING_DIR)), 0);
    }

    #[test]
    fn what_a_dead_process_left_half_received_goes_after_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let incoming = dir.path().join(INCOMING_DIR);
        std::fs::create_dir(&incoming).unwrap();
        let now = std::time::SystemTime::now();
        for (name, age) in [("old", ABANDONED_AFTER * 2), ("new", ABANDONED_AFTER / 2)] {
            let file = std::fs::File::create(incoming.join(name)).unwrap();
            file.set_modified(now - age).unwrap();
        }
        ArtifactStore::open(dir.path()).unwrap();
        assert!(!incoming.join("old").exists());
        assert!(incoming.join("new").exists());
    }

    #[tokio::test]
    async fn a_name_cannot_leave_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(dir.path()).unwrap();
        for job in [
            "",
            "..",
            "../x",
            "a/b",
            ".incoming",
            "a\0b",
            "-rf",
            &"a".repeat(129),
        ] {
            let refused = store
                .keep(
                    fetched(&store, b"GIF89a..").await,
                    ArtifactName { job, ..NAME },
                )
                .await;
            assert!(matches!(refused, Err(Error::BadName)), "{job}");
        }
        for place in [
            "x",
            "/etc/passwd",
            "../x/y",
            "a/../b",
            "a/b/c",
            "a/.b",
            "a/",
            "a/b\\c",
        ] {
            assert!(
                matches!(store.path_of(place), Err(Error::BadName)),
                "{place}"
            );
        }
    }
}
