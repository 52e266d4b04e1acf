//! The books: reading the journal back and checking everything else against it.
//!
//! The journal is the truth of last resort. Nothing here writes.

pub mod audit;
mod compare;
mod fold;
mod moved;
pub mod statement;

pub use audit::{Report, audit};
pub use compare::Difference;
pub use statement::{By, Line, Statement, statement};
