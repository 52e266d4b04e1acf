//! Meterline: a queue that meters what it runs.

pub mod cli;
pub mod config;
pub mod dev;
pub mod domain;
pub mod ledger;
pub mod media;
pub mod producer;
pub mod provider;
pub mod store;
pub mod telemetry;
pub mod worker;
