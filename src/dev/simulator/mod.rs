//! A simulated provider.
pub mod making;
