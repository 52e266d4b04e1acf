//! For developing with Meterline and showing it: a private Redis, a simulated provider, the demo.

pub mod redis;
pub mod simulator;
