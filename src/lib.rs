//! Meterline: a queue that meters what it runs.

pub mod config;
pub mod dev;
pub mod domain;
pub mod media;
pub mod provider;
