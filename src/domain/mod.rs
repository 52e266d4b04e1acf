//! The rules of the house as plain values and functions.
pub mod canonical;
pub mod catalogue;
pub mod credits;
pub mod failure;
pub mod media;
pub mod nearest;
pub mod pricing;
pub mod problem;
pub mod quote;
