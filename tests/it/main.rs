//! One integration binary: modules by promise and by part of the house.

mod catalogue;
mod chaos;
mod config;
mod ledger;
mod ledger_audit;
mod making;
mod media;
mod outage;
mod probe;
mod provider;
mod review;
mod simulator;
mod store_burn;
mod store_cancel;
mod store_claim;
mod store_clocks;
mod store_fence;
mod store_grants;
mod store_leases;
mod store_random;
mod store_server;
mod store_settle;
mod store_submit;
mod support;
mod tidy;
mod worker;
