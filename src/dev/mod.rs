//! Helpers for those who try Meterline out or test their own system against it.

pub mod simulator;
