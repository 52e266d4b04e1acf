//! One integration binary: modules by promise and by part of the house.

mod catalogue;
mod config;
mod ledger;
mod support;
mod tidy;
