//! API keys over the API, and tokens for end users.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::shapes::{Page, ProblemBody};
use crate::api::House;
use crate::api::extract::{Body, answer, repeatable};
use crate::api::gate::Caller;
use crate::api::problem::{Kind, Problem};
use crate::api::repeats::shown_once;
use crate::api::text::rfc3339;
use crate::domain::ids::AccountId;
use crate::store::{ApiSecret, KeyKind, KeyScope, KeyView, NewKey, RevokeOutcome, RotateOutcome};

/// How long the secret before a rotation is taken too, where nothing is said.
const OVERLAP: Duration = Duration::from_secs(24 * 3_600);
/// Longest life of a secret before a rotation.
const OVERLAP_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);

/// A key without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Key {
    /// Its id.
    key: String,
    /// What people call it.
    name: String,
    /// What it may do.
    scopes: Vec<String>,
    /// The only account it sees.
    account: Option<String>,
    /// When it was made.
    created_at: Option<String>,
    /// Who made it.
    created_by: String,
    /// When it ends by itself.
    expires_at: Option<String>,
    /// When it was used last, to the minute.
    used_at: Option<String>,
    /// Until when the secret before the last rotation is taken too.
    old_until: Option<String>,
    /// When it was revoked.
    revoked_at: Option<String>,
}

impl Key {
    fn of(view: KeyView) -> Self {
        Self {
            scopes: view.scopes.iter().map(ToString::to_string).collect(),
            account: view.account.map(String::from),
            created_at: rfc3339(view.created_at_ms),
            expires_at: view.expires_at_ms.and_then(rfc3339),
            used_at: view.used_at_ms.and_then(rfc3339),
            old_until: view.old_until_ms.and_then(rfc3339),
            revoked_at: view.revoked_at_ms.and_then(rfc3339),
            key: view.key,
            name: view.name,
            created_by: view.created_by,
        }
    }
}

/// A secret, shown this once.
#[derive(Clone, Serialize, ToSchema)]
pub(in crate::api) struct KeySecret {
    /// The key's id.
    key: String,
    /// What to send as `Authorization: Bearer ...`; not in the answer to a repetition, as it is kept nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// When it ends by itself.
    expires_at: Option<String>,
    /// After a rotation: until when the secret before is taken too.
    #[serde(skip_serializing_if = "Option::is_none")]
    old_until: Option<String>,
}

impl KeySecret {
    fn shown_once(self) -> Response {
        let kept = Self {
            secret: None,
            ..self.clone()
        };
        shown_once(StatusCode::CREATED, &self, &kept)
    }
}

/// The longest life that a key can be given, ms.
const TTL_MAX_MS: u64 = 100 * 31_557_600_000;

/// A key to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct KeyRequest {
    /// What people call it: 1 to 40 letters, digits, or one of . _ @ -
    #[schema(pattern = "^[A-Za-z0-9._@-]{1,40}$")]
    name: String,
    /// Of `produce`, `operate`, `admin`.
    #[schema(value_type = Vec<String>, min_items = 1, pattern = "^(produce|operate|admin)$")]
    scopes: Vec<KeyScope>,
    /// The only account it sees; then its only scope is `produce`.
    #[schema(value_type = Option<String>, pattern = "^[A-Za-z0-9._@-]{1,64}$")]
    account: Option<AccountId>,
    /// How long it lives; until it is revoked where nothing is said.
    #[serde(default)]
    #[schema(maximum = 3155760000000u64)]
    ttl_ms: u64,
    /// Why, for the log of operators' acts.
    #[serde(default)]
    reason: String,
}

/// Make an API key
#[utoipa::path(post, path = "/v1/keys", operation_id = "create_key", tag = "keys",
    security(("key" = ["admin"])), request_body = KeyRequest,
    responses((status = 201, body = KeySecret), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn create(
    State(house): State<Arc<House>>,
    caller: Caller,
    Body(body): Body<KeyRequest>,
) -> Result<Response, Problem> {
    let bad = |detail: &str| Err(Problem::new(Kind::BadRequest, detail));
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._@-".contains(&b);
    if !(1..=40).contains(&body.name.len()) || !body.name.bytes().all(fits) {
        return bad("name: 1 to 40 letters, digits, or one of . _ @ -");
    }
    if body.ttl_ms > TTL_MAX_MS {
        return bad(&format!("ttl_ms: at most {TTL_MAX_MS}, a hundred years"));
    }
    if body.scopes.is_empty() {
        return bad("scopes: at least one of produce, operate, admin");
    }
    if let Some(account) = &body.account {
        super::accounts::view(&house, account).await?;
        if body.scopes != [KeyScope::Produce] {
            return bad("scopes: a key for one account can only have produce");
        }
    }
    let new = NewKey {
        kind: KeyKind::Key,
        name: body.name,
        scopes: body.scopes,
        account: body.account,
        ttl_ms: body.ttl_ms,
        reason: body.reason,
        actor: caller.actor(),
    };
    made(&house, &new).await
}

async fn made(house: &House, new: &NewKey) -> Result<Response, Problem> {
    let secret = ApiSecret::new(new.kind);
    let expires_at_ms = house.store.create_key(&secret, new).await?;
    let made = KeySecret {
        key: secret.id().to_owned(),
        secret: Some(secret.reveal()),
        expires_at: expires_at_ms.and_then(rfc3339),
        old_until: None,
    };
    Ok(made.shown_once())
}

/// List API keys
#[utoipa::path(get, path = "/v1/keys", operation_id = "list_keys", tag = "keys",
    security(("key" = ["admin"])),
    responses((status = 200, body = Page<Key>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn list(State(house): State<Arc<House>>) -> Result<Response, Problem> {
    let keys = house.store.api_keys().await.map_err(Problem::harmless)?;
    let page = Page {
        data: keys.into_iter().map(Key::of).collect(),
        next_cursor: None,
    };
    Ok(answer(StatusCode::OK, &page))
}

/// How a key is rotated.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct RotateRequest {
    /// How long the old secret is taken too: 24 hours where nothing is said, 30 days at most.
    overlap_ms: Option<u64>,
    /// Why, for the log of operators' acts.
    #[serde(default)]
    reason: String,
}

/// Give an API key a new secret
#[utoipa::path(post, path = "/v1/keys/{key}/rotate", operation_id = "rotate_key", tag = "keys",
    security(("key" = ["admin"])), request_body = Option<RotateRequest>,
    responses((status = 201, body = KeySecret), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn rotate(
    State(house): State<Arc<House>>,
    caller: Caller,
    Path(key): Path<String>,
    Body(body): Body<RotateRequest>,
) -> Result<Response, Problem> {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let overlap_ms = body.overlap_ms.unwrap_or(ms(OVERLAP)).min(ms(OVERLAP_MAX));
    let secret = ApiSecret::of_id(KeyKind::Key, key.clone());
    let (reason, by) = (&body.reason, caller.actor());
    let rotated = house.store.rotate_key(&secret, overlap_ms, reason, &by);
    match rotated.await? {
        RotateOutcome::Rotated(old_until_ms) => {
            let made = KeySecret {
                key,
                secret: Some(secret.reveal()),
                expires_at: None,
                old_until: rfc3339(old_until_ms),
            };
            Ok(made.shown_once())
        }
        RotateOutcome::Revoked | RotateOutcome::UnknownKey => Err(unknown(&key)),
    }
}

/// Why a key ends.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct RevokeRequest {
    /// Why, for the log of operators' acts.
    #[serde(default)]
    reason: String,
}

/// When a key ended.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Revoked {
    /// The key's id.
    key: String,
    /// When.
    revoked_at: Option<String>,
}

/// End an API key or a token, at once and for good
#[utoipa::path(post, path = "/v1/keys/{key}/revoke", operation_id = "revoke_key", tag = "keys",
    security(("key" = ["admin"])), request_body = Option<RevokeRequest>,
    responses((status = 200, body = Revoked), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn revoke(
    State(house): State<Arc<House>>,
    caller: Caller,
    Path(key): Path<String>,
    Body(body): Body<RevokeRequest>,
) -> Result<Response, Problem> {
    match house
        .store
        .revoke_key(&key, &body.reason, &caller.actor())
        .await?
    {
        RevokeOutcome::UnknownKey => Err(unknown(&key)),
        RevokeOutcome::Revoked { at_ms, replayed } => {
            let revoked_at = rfc3339(at_ms);
            let revoked = Revoked { key, revoked_at };
            Ok(repeatable(StatusCode::OK, replayed, &revoked))
        }
    }
}

fn unknown(key: &str) -> Problem {
    Problem::new(Kind::UnknownKey, format!("there is no key {key}"))
}

/// A token to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct TokenRequest {
    /// How long it lives: 1 hour where nothing is said, api.token_max_ms at most.
    #[schema(minimum = 1, maximum = 3155760000000u64)]
    ttl_ms: Option<u64>,
}

/// Make a token for an account's owner
///
/// It may do what `produce` may, for this account alone, and ends by itself. A token makes no tokens.
#[utoipa::path(post, path = "/v1/accounts/{account}/tokens", operation_id = "create_token", tag = "keys",
    security(("key" = ["produce"])), request_body = Option<TokenRequest>,
    responses((status = 201, body = KeySecret), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn token(
    State(house): State<Arc<House>>,
    caller: Caller,
    Path(account): Path<String>,
    Body(body): Body<TokenRequest>,
) -> Result<Response, Problem> {
    let account = caller.account_of(&account)?;
    if caller.0.kind == KeyKind::Token {
        let problem = Problem::new(Kind::Forbidden, "a token makes no tokens");
        return Err(problem.with("scope", "produce"));
    }
    super::accounts::view(&house, &account).await?;
    let most_ms = house.settings.token_max_ms;
    let ttl_ms = body.ttl_ms.unwrap_or(3_600_000);
    if !(1..=most_ms.max(3_600_000)).contains(&ttl_ms) {
        let detail = format!("ttl_ms: is {ttl_ms}, must be from 1 to {most_ms}");
        return Err(Problem::new(Kind::BadRequest, detail));
    }
    let new = NewKey {
        kind: KeyKind::Token,
        name: format!("token.{}", caller.0.name),
        scopes: vec![KeyScope::Produce],
        account: Some(account),
        ttl_ms: ttl_ms.min(most_ms),
        reason: String::new(),
        actor: caller.actor(),
    };
    made(&house, &new).await
}
