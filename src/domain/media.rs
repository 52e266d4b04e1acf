//! What was measured of one output file. Lengths are whole milliseconds, rounded down.

use serde::{Deserialize, Serialize};

/// What kind of file an output is, found out from its first bytes, never from its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediaKind {
    /// A still picture: it has no length.
    Image,
    /// A file with a video track.
    Video,
    /// A file with audio only.
    Audio,
}

/// The length of one track, as far as independent readings of the container support it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackLength {
    /// Milliseconds; where readings disagree, the smallest of those that passed the checks.
    pub ms: u64,
    /// All independent readings agreed (within one frame or 50 ms, whichever is more).
    pub agreed: bool,
}

/// One measured output file. A track that is absent, or of which no reading is trusted, is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measurement {
    /// What the file is.
    pub kind: MediaKind,
    /// The longest enabled video track.
    pub video: Option<TrackLength>,
    /// The longest enabled audio track.
    pub audio: Option<TrackLength>,
}
