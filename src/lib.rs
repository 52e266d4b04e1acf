//! Meterline: a queue that meters what it runs.

pub mod dev;
pub mod domain;
pub mod ledger;
pub mod store;
