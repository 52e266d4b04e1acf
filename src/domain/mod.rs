//! The rules of the house as plain values and functions.
pub mod failure;
pub mod media;
