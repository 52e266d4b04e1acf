//! The books: reading the journal back and checking everything else against it.
//!
//! The journal is the truth of last resort. Nothing here writes but
//! the continuous audit, which freezes what differs.

pub mod audit;
mod books;
mod compare;
pub mod costs;
mod fold;
pub mod history;
mod moved;
pub mod postgres;
pub mod statement;
mod walk;
pub mod watch;

pub use audit::{Report, audit, audit_partition, audit_partitions, still_differs};
pub use compare::Difference;
pub use costs::{CostLine, CostsBy, costs_in_store};
pub use history::History;
pub use statement::{By, Line, Statement, statement};
pub use watch::{Round, Watch};
