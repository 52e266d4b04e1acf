//! Meterline: a queue that meters what it runs.
//!
//! A job and its money move together: the credits are held in the step that queues the job, and what
//! is not charged for measured output goes back in the step that ends it.
//!
//! # The map of the house
//!
//! Arrows point down only; what stands on one line does not know its neighbours.
//!
//! ```text
//! cli                         the command line
//!   │
//! api, dev                    HTTP; a private Redis, a simulated provider, the demo
//!   │
//! desk                        what is refused, and done to many, whichever door it comes in by
//!   │
//! worker, ledger, producer,   run jobs; audit the books; turn requests into jobs;
//! client                      ask a server over HTTP
//!   │
//! provider, media, store,     talk to providers; fetch and measure outputs; Redis;
//! webhook, wire               sign and post what happened; what the API's requests and answers are
//!   │
//! domain, guard               the rules, as plain values and functions; what may be dialled
//! ```
//!
//! `config` reads the settings and hands them down in sections; `telemetry` sets logging up.
//!
//! # What is deliberately absent
//!
//! - Only [`store`] knows Redis; no other module names a key or a script.
//! - No function in [`domain`] reads a clock, draws a random number or does IO.
//! - Nothing outside [`domain::pricing`] rounds an amount.
//! - Nothing in [`worker`] decides about money or leases by its own clock: the store's scripts do.
//! - No credential is ever held by the client that fetches outputs ([`media`]).
//! - There is no second store and no trait for one: tests run on a real Redis.

pub mod api;
pub mod cli;
pub mod client;
pub mod config;
pub mod desk;
pub mod dev;
pub mod domain;
pub mod guard;
pub mod ledger;
pub mod media;
pub mod producer;
pub mod provider;
pub mod store;
pub mod telemetry;
pub mod webhook;
pub mod wire;
pub mod worker;
