//! The rules of the house as plain values and functions.
pub mod credits;
pub mod failure;
pub mod media;
pub mod pricing;
