//! Meterline: a queue that meters what it runs.

pub mod config;
pub mod domain;
pub mod media;
pub mod provider;
