//! `key`: API keys, made, listed, given a new secret, ended.

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::Call;
use super::failure::{Exit, Failure, Kind};
use super::output::{rfc3339, rows, table};
use super::request::span_ms;
use crate::domain::ids::AccountId;
use crate::store::{
    ApiSecret, KeyKind, KeyScope, KeyView, NewKey, RevokeOutcome, RotateOutcome, Store,
};

/// Make API keys, look at them, end them
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  meterline key create --name ops --scope admin\n  meterline key ls"
)]
pub(super) enum Command {
    Create(CreateArgs),
    Ls(LsArgs),
    Rotate(RotateArgs),
    Revoke(RevokeArgs),
}

/// Make an API key; its secret is shown once and stored nowhere
///
/// Scopes: produce (quote, submit and look at jobs), operate (queues, workers, dead letters), admin
/// (everything, credits and keys included). Needs the store, and no server.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  meterline key create --name shop --scope produce\n  meterline key create --name acme-app --scope produce --account acme --expires-in 720h"
)]
pub(super) struct CreateArgs {
    /// What people call it; it stands as the actor of what is done with it
    #[arg(long, value_name = "NAME", value_parser = name, default_value = "key")]
    name: String,
    /// What it may do; may be repeated
    #[arg(long, value_enum, required = true)]
    scope: Vec<ScopeArg>,
    /// The only account it sees [default: all]
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<AccountId>,
    /// How long it lives, such as 720h [default: until it is revoked]
    #[arg(long, value_name = "TIME", value_parser = span_ms)]
    expires_in: Option<u64>,
    #[command(flatten)]
    signed: Signed,
}

/// List API keys
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline key ls --output json")]
pub(super) struct LsArgs {}

/// Give an API key a new secret; the old one is taken for a while longer
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  meterline key rotate KEY --overlap 24h\n  meterline key rotate KEY --overlap 0s --reason \"it was in a log\""
)]
pub(super) struct RotateArgs {
    /// The key's id, as `key ls` shows it
    key: String,
    /// How long the old secret is taken too
    #[arg(long, value_name = "TIME", value_parser = span_ms, default_value = "24h")]
    overlap: u64,
    #[command(flatten)]
    signed: Signed,
}

/// End an API key or a token, at once and for good
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline key revoke KEY --reason \"the shop is closed\"")]
pub(super) struct RevokeArgs {
    /// The key's id, as `key ls` shows it
    key: String,
    #[command(flatten)]
    signed: Signed,
}

/// Who does it and why.
#[derive(Debug, clap::Args)]
struct Signed {
    /// Why, for the log of operators' acts
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    reason: String,
    /// Who does it, for the log of operators' acts
    #[arg(long, env = "USER", default_value = "cli")]
    actor: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ScopeArg {
    Produce,
    Operate,
    Admin,
}

impl From<ScopeArg> for KeyScope {
    fn from(scope: ScopeArg) -> Self {
        match scope {
            ScopeArg::Produce => Self::Produce,
            ScopeArg::Operate => Self::Operate,
            ScopeArg::Admin => Self::Admin,
        }
    }
}

/// A name stands as an actor in the books: short, on one line.
fn name(text: &str) -> Result<String, String> {
    let fits = (1..=40).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._@-".contains(&b));
    let rule = || "1 to 40 letters, digits, or one of . _ @ -".to_owned();
    fits.then(|| text.to_owned()).ok_or_else(rule)
}

pub(super) async fn run(call: &Call, command: Command) -> Result<Exit, Failure> {
    let store = call.house()?.store().await?;
    match command {
        Command::Create(args) => create(call, &store, args).await,
        Command::Ls(LsArgs {}) => ls(call, &store).await,
        Command::Rotate(args) => rotate(call, &store, args).await,
        Command::Revoke(args) => revoke(call, &store, args).await,
    }
}

async fn create(call: &Call, store: &Store, args: CreateArgs) -> Result<Exit, Failure> {
    if let Some(account) = &args.account
        && store.account(account).await?.is_none()
    {
        return Err(Failure::unknown_account(account));
    }
    let mut scopes: Vec<KeyScope> = args.scope.into_iter().map(KeyScope::from).collect();
    scopes.sort_unstable();
    scopes.dedup();
    if args.account.is_some() && scopes != [KeyScope::Produce] {
        let message = "a key for one account can only have --scope produce";
        return Err(Failure::new(Kind::Usage, message));
    }
    let new = NewKey {
        kind: KeyKind::Key,
        name: args.name,
        scopes,
        account: args.account,
        ttl_ms: args.expires_in.unwrap_or(0),
        reason: args.signed.reason,
        actor: args.signed.actor,
    };
    let secret = ApiSecret::new(KeyKind::Key);
    let expires_at_ms = store.create_key(&secret, &new).await?;
    let value = json!({
        "key": secret.id(),
        "secret": secret.reveal(),
        "name": new.name,
        "scopes": new.scopes,
        "account": new.account,
        "expires_at": time(expires_at_ms),
    });
    call.out.show(&value, || {
        format!(
            "key {} ({}) is made. Its secret is shown this once:\n{}",
            secret.id(),
            new.name,
            secret.reveal()
        )
    })?;
    Ok(Exit::Done)
}

async fn ls(call: &Call, store: &Store) -> Result<Exit, Failure> {
    let keys = store.api_keys().await?;
    let now_ms = store.server_ms().await?;
    let values: Vec<_> = keys
        .iter()
        .map(|key| {
            let mut value = json!(key);
            value["state"] = json!(state(key, now_ms));
            value
        })
        .collect();
    call.out.show(&values, || {
        let mut list = table(&["key", "name", "scopes", "account", "state", "last used"]);
        for key in &keys {
            let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
            list.add_row([
                key.key.clone(),
                key.name.clone(),
                scopes.join(","),
                key.account
                    .as_ref()
                    .map_or("all", AccountId::as_str)
                    .to_owned(),
                state(key, now_ms).to_owned(),
                time(key.used_at_ms).unwrap_or_else(|| "never".to_owned()),
            ]);
        }
        rows(
            &list,
            "no keys; make one with: meterline key create --scope admin",
        )
    })?;
    Ok(Exit::Done)
}

fn state(key: &KeyView, now_ms: u64) -> &'static str {
    if key.revoked_at_ms.is_some() {
        "revoked"
    } else if key.expires_at_ms.is_some_and(|at| at <= now_ms) {
        "expired"
    } else if key.old_until_ms.is_some_and(|at| at > now_ms) {
        "two secrets"
    } else {
        "open"
    }
}

async fn rotate(call: &Call, store: &Store, args: RotateArgs) -> Result<Exit, Failure> {
    let secret = ApiSecret::of_id(KeyKind::Key, args.key.clone());
    let Signed { reason, actor } = args.signed;
    let outcome = store.rotate_key(&secret, args.overlap, &reason, &actor);
    let old_until_ms = match outcome.await? {
        RotateOutcome::Rotated(at_ms) => at_ms,
        RotateOutcome::Revoked => {
            let message = format!("key {} was revoked: make another one", args.key);
            return Err(Failure::new(Kind::KeyRevoked, message));
        }
        RotateOutcome::UnknownKey => return Err(unknown(&args.key)),
    };
    let until = time(Some(old_until_ms));
    let value = json!({"key": secret.id(), "secret": secret.reveal(), "old_until": until});
    call.out.show(&value, || {
        format!(
            "key {} has a new secret, shown this once:\n{}\nThe old one is taken until {}",
            secret.id(),
            secret.reveal(),
            until.clone().unwrap_or_default()
        )
    })?;
    Ok(Exit::Done)
}

async fn revoke(call: &Call, store: &Store, args: RevokeArgs) -> Result<Exit, Failure> {
    let Signed { reason, actor } = args.signed;
    match store.revoke_key(&args.key, &reason, &actor).await? {
        RevokeOutcome::UnknownKey => Err(unknown(&args.key)),
        RevokeOutcome::Revoked { at_ms, replayed } => {
            let at = time(Some(at_ms));
            let value = json!({"key": args.key, "revoked_at": at, "replayed": replayed});
            call.out.show(&value, || {
                let how = if replayed {
                    "was revoked before, at"
                } else {
                    "is revoked since"
                };
                format!("key {} {how} {}", args.key, at.clone().unwrap_or_default())
            })?;
            Ok(Exit::Done)
        }
    }
}

fn unknown(key: &str) -> Failure {
    Failure::new(Kind::UnknownKey, format!("there is no key {key}"))
}

fn time(ms: Option<u64>) -> Option<String> {
    ms.and_then(|ms| i64::try_from(ms).ok()).and_then(rfc3339)
}
