//! Telling an account's own server what happened: a signed message, posted through the guarded client.
//!
//! Messages follow Standard Webhooks: three headers, HMAC-SHA256 over id, time and body, secrets that
//! begin with `whsec_`. Nothing here knows the store; when something is tried again is decided by
//! whoever calls.

mod address;
mod message;
mod post;
mod secret;

pub use address::{BadAddress, address};
pub use message::{Facts, JobFacts, MediaFacts, Message};
pub use post::{Answer, Limits, Poster};
pub use secret::{BadSecret, Secret, signatures};
