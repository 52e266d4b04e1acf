//! Outputs of providers: fetched through a guarded client, stored, and measured from the stored bytes.
//!
//! Nothing here knows a provider, a job's price or the store. Nothing here carries a credential: the
//! client that fetches outputs is not the one that holds keys. No length is ever guessed: what the
//! container does not prove is `None`.

pub mod artifacts;
pub mod fetch;
pub mod kept;
pub mod probe;
pub mod sniff;

mod data_url;

use thiserror::Error as ThisError;

use crate::guard;

/// Why an output could not be fetched, stored or measured.
#[derive(Debug, ThisError)]
pub enum Error {
    /// The scheme, host, port or address is one we never dial for an output.
    #[error("reach an output: {0} is not allowed")]
    Blocked(String),
    /// The output is larger than the limit, by its own claim or by the bytes that came.
    #[error("take an output of more than {limit_bytes} bytes")]
    TooLarge {
        /// The limit that was passed.
        limit_bytes: u64,
    },
    /// No connection, no answer, no further byte, or no end within its time limit.
    #[error("fetch an output in time")]
    Timeout,
    /// The file host answered with something else than 200.
    #[error("fetch an output: http status {0}")]
    Status(u16),
    /// The connection failed, or broke before the end. The address is left out: it may be signed.
    #[error("fetch an output")]
    Transport(#[source] reqwest::Error),
    /// The `data:` URL is not `data:[type];base64,...`.
    #[error("decode an output given as a data url")]
    BadDataUrl,
    /// Reading or writing the artifact folder failed.
    #[error("store an output")]
    Storage(#[from] std::io::Error),
    /// A job id or a stored place that does not name a file inside the artifact folder.
    #[error("name an artifact")]
    BadName,
    /// The first bytes belong to no kind of media known here.
    #[error("recognise an output as media")]
    NotMedia,
    /// It is media, but its length cannot be found out safely; the text says at which step.
    #[error("measure an output: {0}")]
    Unmeasurable(&'static str),
}

impl From<guard::Error> for Error {
    fn from(error: guard::Error) -> Self {
        match error {
            guard::Error::Blocked(what) => Self::Blocked(what),
            guard::Error::Timeout => Self::Timeout,
            guard::Error::Transport(error) => Self::Transport(error),
        }
    }
}
