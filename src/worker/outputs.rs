//! From a provider's answer to stored, measured files.

use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::domain::ids::JobId;
use crate::domain::media::{Measurement, MediaKind};
use crate::domain::pricing::Charge;
use crate::media;
use crate::media::artifacts::{ArtifactName, ArtifactStore, StoredArtifact};
use crate::media::fetch::{Fetcher, Source};
use crate::media::probe::child::Prober;
use crate::provider::Output;
use crate::store::SubmissionCost;

/// Outputs that one submission may have: more are not fetched.
const OUTPUTS_MAX: usize = 64;

/// A stored output and what was measured of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredOutput {
    /// Where it is, its hash and its size.
    pub artifact: StoredArtifact,
    /// Its kind and the lengths of its tracks.
    pub measured: Measurement,
}

impl StoredOutput {
    /// Whether both have the same content.
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        self.artifact.sha256 == other.artifact.sha256
    }
}

/// What is written down once the outputs are stored and priced: a take-over that finds it settles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArtifactRecord {
    /// The submission that made them.
    pub submission: u32,
    /// The provider that made them.
    pub provider: String,
    /// The folder of the worker that stored them: the place of each lies below it.
    #[serde(default)]
    pub folder: String,
    /// The stored files.
    pub outputs: Vec<StoredOutput>,
    /// What they cost.
    pub charge: Charge,
    /// The length in the provider's own answer, ms: never charged by, kept to compare.
    pub reported_ms: Option<u64>,
    /// What the submission cost us, where anything is known of it; gone once it is booked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<SubmissionCost>,
}

impl ArtifactRecord {
    /// The record as whoever reads a result may see it.
    pub(super) fn without_cost(&self) -> Self {
        Self {
            cost: None,
            ..self.clone()
        }
    }
}

/// Why outputs could not be stored.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The file host may answer later, or the provider may give another address.
    Again(media::Error),
    /// The output itself is at fault, or points where we do not go: no other try will do better.
    Hopeless(media::Error),
    /// Our own disk.
    Ours(media::Error),
}

/// Fetches, stores and measures.
pub struct Outputs {
    fetcher: Fetcher,
    store: ArtifactStore,
    prober: Prober,
}

impl Outputs {
    /// Works with these parts.
    pub fn new(fetcher: Fetcher, store: ArtifactStore, prober: Prober) -> Self {
        Self {
            fetcher,
            store,
            prober,
        }
    }

    /// The folder that outputs are stored below.
    pub(super) fn folder(&self) -> String {
        self.store.dir().display().to_string()
    }

    /// Takes one output in: fetched through the guarded client, stored under its name, measured from
    /// the stored bytes.
    pub(super) async fn take(
        &self,
        job: &JobId,
        submission: u32,
        index: usize,
        output: Output,
        allow_cidr: &[IpNet],
        wanted: MediaKind,
    ) -> Result<StoredOutput, Trouble> {
        let source = match output {
            Output::Url(url) => Source::Url(url),
            Output::DataUrl(text) => Source::DataUrl(text),
            Output::Bytes(bytes) => Source::Bytes(bytes),
        };
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let name = ArtifactName {
            job: job.as_str(),
            submission,
            index,
        };
        let fetched = self
            .fetcher
            .fetch(&source, allow_cidr, &self.store)
            .await
            .map_err(trouble)?;
        let artifact = self.store.keep(fetched, name).await.map_err(trouble)?;
        let path = self.store.path_of(&artifact.place).map_err(trouble)?;
        let measured = match self.prober.measure(&path).await {
            Ok(measured) => measured,
            Err(media::Error::NotMedia) => return Err(Trouble::Hopeless(media::Error::NotMedia)),
            Err(error) => {
                // It is media of a kind we cannot measure: delivered, and nothing is charged for it.
                tracing::warn!(job.id = job.as_str(), %error, "failed to measure an output of {job}");
                Measurement {
                    kind: wanted,
                    video: None,
                    audio: None,
                }
            }
        };
        Ok(StoredOutput { artifact, measured })
    }

    /// At most so many outputs of one submission are taken in.
    pub(super) fn at_most(outputs: Vec<Output>) -> impl Iterator<Item = (usize, Output)> {
        outputs.into_iter().take(OUTPUTS_MAX).enumerate()
    }
}

fn trouble(error: media::Error) -> Trouble {
    match error {
        media::Error::Timeout | media::Error::Status(_) | media::Error::Transport(_) => {
            Trouble::Again(error)
        }
        media::Error::Blocked(_)
        | media::Error::TooLarge { .. }
        | media::Error::BadDataUrl
        | media::Error::BadName
        | media::Error::NotMedia
        | media::Error::Unmeasurable(_) => Trouble::Hopeless(error),
        media::Error::Storage(_) => Trouble::Ours(error),
    }
}

/// Time between two tries to fetch from the same handle.
pub(super) const FETCH_AGAIN: Duration = Duration::from_millis(500);
