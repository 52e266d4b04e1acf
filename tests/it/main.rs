//! Integration tests, one module per subject.

mod media;
mod simulator;
