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
    /// What speaks for it.
    pub support: Support,
}

impl TrackLength {
    /// A length in milliseconds that independent readings agree on.
    pub const fn agreed(ms: u64) -> Self {
        let support = Support::Agreed;
        Self { ms, support }
    }

    /// Whether independent readings agree on it.
    pub const fn is_agreed(self) -> bool {
        matches!(self.support, Support::Agreed)
    }
}

/// How well a length is supported, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Support {
    /// Readings differ, or a part of the file is broken, missing or unexplained: worth a look.
    Differing,
    /// There is one reading, and nothing contradicts it: some kinds of file have no more.
    Alone,
    /// All independent readings agree (within one frame or 50 ms, whichever is more).
    Agreed,
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
