//! The typed client: every method against a live server, and what it does when answers are late or lost.

mod calls;
mod following;
mod repeating;

use std::time::Duration;

use meterline::client::{Client, Options};
use meterline::wire::JobRequest;

use crate::api::Api;

/// A client of a live server, with a key that may do everything.
fn of(api: &Api) -> Client {
    at(&api.url, &api.admin, Duration::from_secs(10))
}

fn at(url: &str, key: &str, patience: Duration) -> Client {
    let options = Options {
        patience,
        ..Options::new(url, key.to_owned().into())
    };
    Client::new(&options).expect("a client")
}

/// An image job of an account.
fn image(account: &str) -> JobRequest {
    let params = serde_json::json!({"prompt": "a red fox"});
    JobRequest {
        account: Some(account.parse().expect("an account")),
        tool: Some("text-to-image".to_owned()),
        params: params.as_object().expect("an object").clone(),
        ..JobRequest::default()
    }
}
