//! The rules of the house as plain values and functions.
//!
//! Nothing here reads a clock, draws a random number, opens a file or a connection: what a function
//! needs is handed in, so that every rule can be checked by a table.

pub mod canonical;
pub mod catalogue;
pub mod cost;
pub mod credits;
pub mod failure;
pub mod ids;
pub mod job;
pub mod media;
pub mod nearest;
pub mod payload;
pub mod pricing;
pub mod problem;
pub mod quote;
pub mod reference;
pub mod retry;
pub mod time;
pub mod webhook;
