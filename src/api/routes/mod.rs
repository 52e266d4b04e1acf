//! The routes, a file for each subject. Every handler says its path, its scopes and its shapes where it
//! stands; `all` puts them together.

pub(super) mod accounts;
pub(super) mod costs;
pub(super) mod credits;
pub(super) mod dead;
pub(super) mod events;
pub(super) mod freezes;
pub(super) mod health;
pub(super) mod holds;
pub(super) mod house;
pub(super) mod jobs;
pub(super) mod keys;
pub(super) mod listing;
pub(super) mod outputs;
pub(super) mod pages;
pub(super) mod plans;
pub(super) mod quotes;
pub(super) mod runs;
pub(super) mod scrape;
pub(super) mod shapes;
pub(super) mod spending;
pub(super) mod submit;
pub(super) mod tools;
pub(super) mod webhook_messages;
pub(super) mod webhooks;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::House;

/// Every route but those that say whether the server is well.
pub(super) fn all() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new()
        .routes(routes!(quotes::create))
        .routes(routes!(submit::create, listing::list))
        .routes(routes!(submit::batch))
        .routes(routes!(jobs::get))
        .routes(routes!(jobs::cancel))
        .routes(routes!(jobs::retry))
        .routes(routes!(jobs::explain))
        .routes(routes!(outputs::download))
        .routes(routes!(jobs::force_fail))
        .routes(routes!(jobs::refund))
        .routes(routes!(events::of_job))
        .routes(routes!(events::of_account))
        .routes(routes!(tools::list))
        .routes(routes!(tools::get))
        .routes(routes!(accounts::create, accounts::list))
        .routes(routes!(accounts::get))
        .routes(routes!(accounts::set))
        .routes(routes!(keys::token))
        .routes(routes!(credits::grant))
        .routes(routes!(credits::adjust))
        .routes(routes!(credits::clawback))
        .routes(routes!(credits::daily))
        .routes(routes!(plans::set))
        .routes(routes!(spending::statement))
        .routes(routes!(spending::ledger))
        .routes(routes!(house::queues))
        .routes(routes!(house::halt))
        .routes(routes!(house::workers))
        .routes(routes!(house::drain_worker))
        .routes(routes!(house::providers))
        .routes(routes!(house::obligations))
        .routes(routes!(house::acts))
        .routes(routes!(costs::get))
        .routes(routes!(house::scale))
        .routes(routes!(dead::list))
        .routes(routes!(dead::retry))
        .routes(routes!(dead::drop_all))
        .routes(routes!(runs::get))
        .routes(routes!(holds::list))
        .routes(routes!(freezes::list, freezes::freeze))
        .routes(routes!(freezes::clear))
        .routes(routes!(webhooks::create, webhooks::list))
        .routes(routes!(webhooks::get))
        .routes(routes!(webhooks::set_state))
        .routes(routes!(webhooks::rotate))
        .routes(routes!(webhook_messages::test))
        .routes(routes!(webhook_messages::dead))
        .routes(routes!(webhook_messages::redeliver))
        .routes(routes!(keys::create, keys::list))
        .routes(routes!(keys::rotate))
        .routes(routes!(keys::revoke))
        .routes(routes!(scrape::metrics))
        .routes(routes!(pages::openapi))
        .routes(routes!(pages::reference))
        .routes(routes!(pages::problem))
}
