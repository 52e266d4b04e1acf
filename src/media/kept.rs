//! From a stored place to the file, for whoever only reads outputs: nothing is created here.

use std::io;
use std::path::{Path, PathBuf};

use super::artifacts::{StoredArtifact, path_below};

/// The folder that workers keep outputs in, as a process that hands them out sees it. It may not be there.
#[derive(Debug, Clone)]
pub struct KeptOutputs {
    dir: PathBuf,
}

/// Why there is no file to hand out.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// This process sees no such folder.
    #[error("find the artifact folder")]
    Folder,
    /// The folder has no such file, or one of another length than what was stored.
    #[error("find an output: {0}")]
    File(&'static str),
    /// The disk does not answer.
    #[error("read the artifact folder: {0}")]
    Disk(io::Error),
}

impl KeptOutputs {
    /// Outputs below this folder.
    pub fn below(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The file of a stored output. Its content was hashed when it was stored; here its length is compared,
    /// so that a file that was cut off is not taken for it.
    ///
    /// # Errors
    /// [`Missing`], also for a place that leads out of the folder, be it by a link.
    pub async fn find(&self, stored: &StoredArtifact) -> Result<PathBuf, Missing> {
        let dir = match tokio::fs::canonicalize(&self.dir).await {
            Ok(dir) => dir,
            Err(error) if is_absent(&error) => return Err(Missing::Folder),
            Err(error) => return Err(Missing::Disk(error)),
        };
        let path = path_below(&dir, &stored.place)
            .map_err(|_| Missing::File("its place is none of the folder's"))?;
        let (file, metadata) = match look(&path).await {
            Ok(found) => found,
            Err(error) if is_absent(&error) => return Err(Missing::File("it is not there")),
            Err(error) => return Err(Missing::Disk(error)),
        };
        if !file.starts_with(&dir) {
            return Err(Missing::File("a link leads out of the folder"));
        }
        if !metadata.is_file() || metadata.len() != stored.bytes {
            return Err(Missing::File("it is not as long as what was stored"));
        }
        Ok(file)
    }
}

/// Where a path leads in the end, and what is there.
async fn look(path: &Path) -> io::Result<(PathBuf, std::fs::Metadata)> {
    let file = tokio::fs::canonicalize(path).await?;
    let metadata = tokio::fs::metadata(&file).await?;
    Ok((file, metadata))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(place: &str, bytes: u64) -> StoredArtifact {
        let (place, sha256) = (place.to_owned(), "0".repeat(64));
        StoredArtifact {
            place,
            sha256,
            bytes,
        }
    }

    #[tokio::test]
    async fn only_the_file_that_was_stored_is_found() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), b"12345678").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("j00-abc");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("1-0-aa.gif"), b"GIF89a..").unwrap();
        std::fs::create_dir(folder.join("1-1-bb.gif")).unwrap();
        let link = folder.join("1-2-cc.gif");
        std::os::unix::fs::symlink(outside.path().join("secret"), link).unwrap();
        let kept = KeptOutputs::below(dir.path());
        let found = kept.find(&stored("j00-abc/1-0-aa.gif", 8)).await.unwrap();
        assert_eq!(std::fs::read(found).unwrap(), b"GIF89a..");
        for (place, bytes) in [
            ("j00-abc/1-0-aa.gif", 9),
            ("j00-abc/1-1-bb.gif", 8),
            ("j00-abc/1-2-cc.gif", 8),
            ("j00-abc/1-3-dd.gif", 8),
            ("j00-abc/1-0-aa.gif/x", 8),
            ("j00-abc/../j00-abc/1-0-aa.gif", 8),
            ("../secret", 8),
        ] {
            let found = kept.find(&stored(place, bytes)).await;
            assert!(matches!(found, Err(Missing::File(_))), "{place}: {found:?}");
        }
    }

    #[tokio::test]
    async fn a_process_without_the_folder_says_so_and_makes_none() {
        let dir = tempfile::tempdir().unwrap();
        let nowhere = dir.path().join("artifacts");
        let kept = KeptOutputs::below(&nowhere);
        let found = kept.find(&stored("j00-abc/1-0-aa.gif", 8)).await;
        assert!(matches!(found, Err(Missing::Folder)), "{found:?}");
        assert!(!nowhere.exists());
    }
}
