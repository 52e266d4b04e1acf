//! Integration tests, one module per subject.

mod making;
mod media;
mod probe;
