//! What is done in the same way whether it is asked for over HTTP or on the command line: which kind of
//! refusal an answer of the layers below is, and what goes over many dead letters.
//!
//! The doors add what is theirs: a status or an exit code, and words about their own flags or headers.

pub mod costs;
pub mod dead;
pub mod endpoints;
pub mod look;
pub mod money;
pub mod refusal;

pub use refusal::Refused;
