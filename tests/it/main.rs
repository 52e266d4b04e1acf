//! One integration binary: modules by promise and by part of the house.

mod catalogue;
mod config;
mod ledger;
mod ledger_audit;
mod making;
mod media;
mod probe;
mod simulator;
mod store_claim;
mod store_grants;
mod store_submit;
mod support;
mod tidy;
mod worker;
