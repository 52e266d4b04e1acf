//! The OpenAPI document: made from the handlers, and the one place that says which scopes a route needs.

use std::collections::{HashMap, HashSet};

use axum::http::Method;
use serde_json::{Value, json};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

use crate::store::KeyScope;

/// Name of the security scheme in the document.
const KEY: &str = "key";
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Meterline",
        description = "A queue that meters what it runs: credits are held in the step that queues a job, and what is not charged for measured output goes back in the step that ends it.\n\nAmounts are whole micro-credits (`*_ucr`), lengths of time whole milliseconds (`*_ms`), times RFC 3339. Problems are `application/problem+json`; `type` says which."
    ),
    modifiers(&Keys),
    tags(
        (name = "jobs", description = "Quote, submit, follow, stop"),
        (name = "accounts", description = "Who pays: balances, grants, spending"),
        (name = "webhooks", description = "Telling accounts of their jobs"),
        (name = "house", description = "Queues, workers, dead letters, obligations"),
        (name = "keys", description = "Who may call"),
        (name = "server", description = "Whether it is well, and what it says of itself"),
    )
)]
pub(super) struct Base;

struct Keys;

impl utoipa::Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API key (`mlk_...`) or a token (`mlt_...`)"))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(KEY, SecurityScheme::Http(scheme));
    }
}

/// The document, and what the gate reads out of it.
pub(super) struct Document {
    /// As it is served.
    pub(super) text: String,
    /// The same as a page for people.
    pub(super) reference: String,
    scopes: HashMap<(Method, String), Vec<KeyScope>>,
    /// Paths whose POST has no idempotency key of its own in the books: its answer is kept instead.
    kept: HashSet<String>,
}

impl Document {
    pub(super) fn of(document: &utoipa::openapi::OpenApi) -> Self {
        let mut value = serde_json::to_value(document).unwrap_or_default();
        let kept = keep_answers(&mut value);
        complete(&mut value);
        let mut scopes = HashMap::new();
        for (path, item) in value["paths"].as_object().into_iter().flatten() {
            for (method, operation) in item.as_object().into_iter().flatten() {
                if let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) {
                    scopes.insert((method, path.clone()), scopes_of(operation));
                }
            }
        }
        let mut text = serde_json::to_string_pretty(&value).unwrap_or_default();
        text.push('\n');
        let reference = super::reference::page(&value);
        Self {
            text,
            reference,
            scopes,
            kept,
        }
    }

    /// Whether answers of this path's POST are kept under the idempotency key that was sent.
    pub(super) fn keeps_answers(&self, path: &str) -> bool {
        self.kept.contains(path)
    }

    /// The scopes of which a caller needs one; none where everybody may call; `None` where the route is
    /// not in the document.
    pub(super) fn scopes(&self, method: &Method, path: &str) -> Option<&[KeyScope]> {
        let method = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        let found = self.scopes.get(&(method.clone(), path.to_owned()));
        found.map(Vec::as_slice)
    }
}

/// Gives each POST that has none the header that makes it happen once. Returns their paths.
fn keep_answers(document: &mut Value) -> HashSet<String> {
    let mut kept = HashSet::new();
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (path, item) in paths {
        let Some(post) = item.get_mut("post").and_then(Value::as_object_mut) else {
            continue;
        };
        let parameters = post.entry("parameters").or_insert_with(|| json!([]));
        let Some(parameters) = parameters.as_array_mut() else {
            continue;
        };
        if parameters.iter().any(|one| one["name"] == IDEMPOTENCY_KEY) {
            continue;
        }
        parameters.push(json!({
            "name": IDEMPOTENCY_KEY,
            "in": "header",
            "required": false,
            "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
            "description": "A repeated request with the same key gets the first one's answer, for a day",
        }));
        kept.insert(path.clone());
    }
    kept
}

/// What is the same of every operation: with a key, it can find the server or its store in trouble; what
/// a response is has to be said, also where its status says it all.
fn complete(document: &mut Value) {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (_, item) in paths {
        let operations = item.as_object_mut().into_iter().flatten();
        for (_, operation) in operations {
            let refused = operation["responses"]["4XX"].clone();
            // What stands in an address or a header can be missing, and is never null.
            let parameters = operation
                .get_mut("parameters")
                .and_then(Value::as_array_mut);
            for parameter in parameters.into_iter().flatten() {
                let Some(kind) = parameter.pointer_mut("/schema/type") else {
                    continue;
                };
                let given = kind.as_array().and_then(|types| {
                    let given = types.iter().find(|one| *one != "null");
                    given.cloned()
                });
                if let Some(given) = given {
                    *kind = given;
                }
            }
            // A body that can be left out is left out, and not null.
            let schema = "/requestBody/content/application~1json/schema";
            if let Some(schema) = operation.pointer_mut(schema) {
                let all = schema["oneOf"].as_array();
                let given = all.and_then(|all| all.iter().find(|one| one.get("$ref").is_some()));
                if let Some(given) = given.cloned() {
                    *schema = given;
                }
            }
            let responses = operation["responses"].as_object_mut();
            let Some(responses) = responses else { continue };
            if refused.is_object() {
                responses.entry("5XX").or_insert(refused);
            }
            for (status, response) in responses {
                let said = match status.as_str() {
                    "201" => "It is made; or was before, where `Idempotent-Replayed` says so",
                    "202" => "It goes on in the background",
                    "5XX" => "The server or its store is in trouble; `type` says which",
                    refused if refused.starts_with('4') => "Refused; `type` says why",
                    _ => "Done",
                };
                if let Some(response) = response.as_object_mut() {
                    let description = response.entry("description").or_insert(Value::Null);
                    if description.as_str().is_none_or(str::is_empty) {
                        *description = said.into();
                    }
                }
            }
        }
    }
}

/// What stands under `security`; of several each would do. A route that says nothing is for admins.
fn scopes_of(operation: &Value) -> Vec<KeyScope> {
    let Some(security) = operation["security"].as_array() else {
        return vec![KeyScope::Admin];
    };
    let words = security
        .iter()
        .filter_map(|one| one[KEY].as_array())
        .flatten();
    words
        .filter_map(|word| KeyScope::from_word(word.as_str()?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_that_says_nothing_is_for_admins() {
        assert_eq!(scopes_of(&json!({})), [KeyScope::Admin]);
        assert_eq!(scopes_of(&json!({"security": [{}]})), []);
        let one = json!({"security": [{"key": ["produce", "operate"]}]});
        assert_eq!(scopes_of(&one), [KeyScope::Produce, KeyScope::Operate]);
    }
}
