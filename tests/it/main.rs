//! One integration binary: modules by promise and by part of the house.

mod catalogue;
mod config;
mod ledger;
mod making;
mod media;
mod probe;
mod simulator;
mod support;
mod tidy;
