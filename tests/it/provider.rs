//! The provider engine against real connections: what it sends, what it makes of the answers, and
//! that the key goes nowhere else.
#![expect(clippy::unwrap_used, reason = "a test whose setup fails can only stop")]

mod answers;
mod polling;
pub(crate) mod scripted;
mod shapes;
mod submitting;
mod trust;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meterline::provider::{Engine, Providers, SubmitError, SubmitRequest, Submitted};
use secrecy::SecretString;
use serde_json::{Map, Value, json};

const SIM: &str = include_str!("../../config/providers/sim.toml");
const SIM_SYNC: &str = include_str!("../../config/providers/sim-sync.toml");
const SIM_BLIND: &str = include_str!("../../config/providers/sim-blind.toml");
const SIM_BYTES: &str = include_str!("../../config/providers/sim-bytes.toml");

/// The key that the variable `TEST_KEY` holds in these tests.
const KEY: &str = "k-secret";

/// The shipped provider `name`, moved to `url`.
fn shipped(name: &str, url: &str) -> Arc<Engine> {
    load(&[], url).get(name).unwrap()
}

/// The simulated provider at `url` with a variant's changes.
fn variant(changes: &str, url: &str) -> Arc<Engine> {
    load(
        &[("variant", &format!("extends = \"sim\"\n{changes}"))],
        url,
    )
    .get("variant")
    .unwrap()
}

/// As [`variant`], with a key.
fn keyed(changes: &str, url: &str) -> Arc<Engine> {
    let auth = r#"auth = { kind = "bearer", secret_env = "TEST_KEY" }"#;
    variant(&format!("{auth}\n{changes}"), url)
}

fn load(more: &[(&str, &str)], url: &str) -> Providers {
    let shipped = [
        ("sim", SIM),
        ("sim-sync", SIM_SYNC),
        ("sim-blind", SIM_BLIND),
        ("sim-bytes", SIM_BYTES),
    ];
    let files: Vec<(String, String)> = shipped
        .iter()
        .chain(more)
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect();
    let urls = BTreeMap::from([("sim".to_owned(), url.to_owned())]);
    let secrets = |name: &str| (name == "TEST_KEY").then(|| SecretString::from(KEY));
    Providers::load(&files, &urls, &secrets).unwrap()
}

fn params(tree: &Value) -> Map<String, Value> {
    tree.as_object().unwrap().clone()
}

/// Submits these parameters as submission 2 of job `j00-a`.
async fn submit_params(engine: &Engine, tree: &Value) -> Result<Submitted, SubmitError> {
    let params = params(tree);
    let request = SubmitRequest {
        job: "j00-a",
        submission: 2,
        key: "j00-a-2",
        model: "model-1",
        kind: "video",
        params: &params,
        timeout: Duration::from_secs(5),
    };
    engine.submit(&request).await
}

async fn submit(engine: &Engine) -> Result<Submitted, SubmitError> {
    submit_params(engine, &json!({"prompt": "a cat"})).await
}

/// A first answer that says the work was accepted, with URLs below `base`.
fn accepted(base: &str) -> Value {
    json!({
        "id": "gen-1", "status": "queued",
        "urls": {"get": format!("{base}/v1/generations/gen-1"),
                 "cancel": format!("{base}/v1/generations/gen-1/cancel")}
    })
}
