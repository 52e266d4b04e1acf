//! For developing with Meterline and showing it: children, a private Redis, a simulated provider.

pub mod child;
pub mod redis;
pub mod simulator;
