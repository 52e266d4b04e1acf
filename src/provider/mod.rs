//! Model providers over HTTP: one engine, and a file for each provider.
//!
//! Nothing here knows the store, the media code or the worker. Nothing here repeats a request:
//! every function does one thing at the provider and says what came of it.

mod answer;
mod auth;
mod cancel;
mod check;
mod classify;
mod client;
mod cost;
mod engine;
mod follow;
mod handle;
mod health;
mod hosts;
mod layers;
mod outputs;
mod placeholder;
mod pointer;
mod poll;
mod predicate;
mod preset;
mod registry;
mod request;
mod result;
mod retry_after;
mod schema;
mod submit;
mod template;
mod verdict;

pub use answer::{Answer, CancelOutcome, Failure, Output, PollError, SubmitError, Submitted};
pub use check::problems;
pub use cost::{Usage, Work};
pub use engine::Engine;
pub use handle::Handle;
pub use health::Standing;
pub use preset::Attach;
pub use registry::{Error, Providers};
pub use request::SubmitRequest;
pub use schema::schema;
pub use verdict::DurationMeaning;
