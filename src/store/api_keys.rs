//! API keys and tokens: who may call the HTTP API, and what they may do there. Kept by the hash of a
//! secret that is shown once and stored nowhere; all of them in the first partition.

use std::collections::HashMap;
use std::fmt;

use rand::Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Error, Store, scripts};
use crate::domain::ids::AccountId;

/// Keys that are listed in one round trip.
const BATCH: usize = 100;
/// A use is noted at most this often, ms; see `key_used.lua`.
const USED_EVERY_MS: u64 = 60_000;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyScope {
    /// Quote, submit, cancel and look at jobs; look at what they cost.
    Produce,
    /// Run the house: queues, workers, dead letters, obligations.
    Operate,
    /// Everything, credits and keys included.
    Admin,
}

impl KeyScope {
    /// Every scope, the least first.
    pub const ALL: [Self; 3] = [Self::Produce, Self::Operate, Self::Admin];

    /// The word in the store, on the command line and in the API's document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }

    /// The scope a word stands for.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

impl fmt::Display for KeyScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether it is somebody's key, or a short-lived token for one account's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// Made by an operator; lives until it is revoked or expires.
    Key,
    /// Made by a producer for one account; ends by itself.
    Token,
}

impl KeyKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Token => "token",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Key => "mlk",
            Self::Token => "mlt",
        }
    }
}

/// A secret as its owner has it: `mlk_<id>_<secret>`. Never printed by accident.
#[derive(Clone)]
pub struct ApiSecret {
    kind: KeyKind,
    id: String,
    secret: String,
}

impl ApiSecret {
    /// A new one: 256 random bits.
    pub fn new(kind: KeyKind) -> Self {
        let id = hex::encode(rand::rng().random::<[u8; 8]>());
        Self::of_id(kind, id)
    }

    /// A new secret for a key that is there.
    pub fn of_id(kind: KeyKind, id: String) -> Self {
        let secret = hex::encode(rand::rng().random::<[u8; 32]>());
        Self { kind, id, secret }
    }

    /// Reads what a caller sent; `None` for what was never made by us.
    pub fn parse(text: &str) -> Option<Self> {
        let (prefix, rest) = text.split_once('_')?;
        let (id, secret) = rest.split_once('_')?;
        let kind = [KeyKind::Key, KeyKind::Token]
            .into_iter()
            .find(|kind| kind.prefix() == prefix)?;
        let is_hex = |text: &str, length| {
            text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit())
        };
        (is_hex(id, 16) && is_hex(secret, 64)).then(|| Self {
            kind,
            id: id.to_owned(),
            secret: secret.to_owned(),
        })
    }

    /// The part that may be known to everybody.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The whole, to be shown once.
    pub fn reveal(&self) -> String {
        format!("{}_{}_{}", self.kind.prefix(), self.id, self.secret)
    }

    fn hash(&self) -> String {
        hex::encode(Sha256::digest(self.secret.as_bytes()))
    }
}

impl fmt::Debug for ApiSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}_...", self.kind.prefix(), self.id)
    }
}

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Key or token.
    pub kind: KeyKind,
    /// What people call it; the actor of what is done with it.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<KeyScope>,
    /// The only account it sees; `None` = all.
    pub account: Option<AccountId>,
    /// How long it lives, ms; 0 = until it is revoked.
    pub ttl_ms: u64,
    /// Why, for the log of acts.
    pub reason: String,
    /// Who makes it.
    pub actor: String,
}

/// A key as it stands, without its secret. Times in ms since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyView {
    /// Its id, the part of the secret that is no secret.
    pub key: String,
    /// Key or token.
    pub kind: KeyKind,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<KeyScope>,
    /// The only account it sees; `None` = all.
    pub account: Option<AccountId>,
    /// When it was made.
    pub created_at_ms: u64,
    /// Who made it.
    pub created_by: String,
    /// When it ends by itself; `None` = never.
    pub expires_at_ms: Option<u64>,
    /// When it was used last, to the minute; `None` = never.
    pub used_at_ms: Option<u64>,
    /// Until when the secret before the last rotation is taken too.
    pub old_until_ms: Option<u64>,
    /// When it was revoked.
    pub revoked_at_ms: Option<u64>,
}

impl KeyView {
    /// Whether it may do this: an admin may do everything.
    pub fn may(&self, scope: KeyScope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&KeyScope::Admin)
    }

    /// Whether it sees this account.
    pub fn sees(&self, account: &str) -> bool {
        self.account
            .as_ref()
            .is_none_or(|own| own.as_str() == account)
    }
}

/// What happened to a key that was to be rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotateOutcome {
    /// The new secret is taken, and the old one until then, ms since 1970.
    Rotated(u64),
    /// It was revoked.
    Revoked,
    /// There is no such key.
    UnknownKey,
}

/// What happened to a key that was to be revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokeOutcome {
    /// It is taken no more since then, ms since 1970; `replayed` where it was revoked before.
    Revoked {
        /// When.
        at_ms: u64,
        /// It had been revoked before.
        replayed: bool,
    },
    /// There is no such key.
    UnknownKey,
}

impl Store {
    /// Keeps a new key under the hash of its secret. Returns when it expires, ms since 1970.
    pub async fn create_key(&self, secret: &ApiSecret, new: &NewKey) -> Result<Option<u64>, Error> {
        let keys = self.keys(0)?;
        let keys = [keys.meta(), keys.api_key(&secret.id), keys.part("apikeys")];
        let scopes: Vec<&str> = new.scopes.iter().map(|scope| scope.as_str()).collect();
        let args = [
            secret.id.clone(),
            secret.hash(),
            new.name.clone(),
            scopes.join(" "),
            new.account
                .as_ref()
                .map_or("", AccountId::as_str)
                .to_owned(),
            new.ttl_ms.to_string(),
            new.reason.clone(),
            new.actor.clone(),
            new.kind.as_str().to_owned(),
        ];
        let reply = self.run(&scripts::KEY_CREATE, &keys, &args).await?;
        match reply.word()?.as_str() {
            "created" => Ok(Some(reply.number(1)?).filter(|at| *at > 0)),
            _ => reply.unknown(),
        }
    }

    /// The key of a secret, where it is one, is not revoked and has not expired.
    pub async fn authenticate(&self, secret: &ApiSecret) -> Result<Option<KeyView>, Error> {
        // Every request pays for this: both are asked for at once.
        let (found, now_ms) = tokio::try_join!(self.key_and_hashes(&secret.id), self.server_ms())?;
        let Some((view, hashes)) = found else {
            return Ok(None);
        };
        let given = secret.hash();
        let is_given = |hash: &str| bool::from(hash.as_bytes().ct_eq(given.as_bytes()));
        let old_lives = view.old_until_ms.is_some_and(|until| until > now_ms);
        // Both are compared whatever the first says.
        let fits = is_given(&hashes[0]) | (old_lives & is_given(&hashes[1]));
        let lives = view.revoked_at_ms.is_none()
            && view.expires_at_ms.is_none_or(|until| until > now_ms)
            && view.kind == secret.kind;
        if !(fits && lives) {
            return Ok(None);
        }
        let used_ms = view.used_at_ms.unwrap_or(0);
        if now_ms.saturating_sub(used_ms) >= USED_EVERY_MS {
            let keys = self.keys(0)?;
            let keys = [keys.meta(), keys.api_key(&secret.id)];
            self.run(&scripts::KEY_USED, &keys, &[]).await?;
        }
        Ok(Some(view))
    }

    /// One key; `None` where there is none.
    pub async fn api_key(&self, id: &str) -> Result<Option<KeyView>, Error> {
        Ok(self.key_and_hashes(id).await?.map(|(view, _)| view))
    }

    async fn key_and_hashes(&self, id: &str) -> Result<Option<(KeyView, [String; 2])>, Error> {
        let mut ask = redis::pipe();
        ask.cmd("HGETALL").arg(self.keys(0)?.api_key(id));
        let (fields,): (HashMap<String, String>,) = self.read("apikey", &ask).await?;
        Ok(view(id, &fields))
    }

    /// Every key but tokens, the oldest first.
    pub async fn api_keys(&self) -> Result<Vec<KeyView>, Error> {
        let keys = self.keys(0)?;
        let mut ask = redis::pipe();
        ask.cmd("ZRANGE").arg(keys.part("apikeys")).arg(0).arg(-1);
        let (ids,): (Vec<String>,) = self.read("apikeys", &ask).await?;
        let mut found = Vec::new();
        for ids in ids.chunks(BATCH) {
            let mut ask = redis::pipe();
            for id in ids {
                ask.cmd("HGETALL").arg(keys.api_key(id));
            }
            let hashes: Vec<HashMap<String, String>> = self.read("apikey", &ask).await?;
            let views = ids.iter().zip(&hashes);
            found.extend(views.filter_map(|(id, fields)| Some(view(id, fields)?.0)));
        }
        Ok(found)
    }

    /// Gives a key another secret; the one before is taken for `overlap_ms` longer.
    pub async fn rotate_key(
        &self,
        secret: &ApiSecret,
        overlap_ms: u64,
        reason: &str,
        actor: &str,
    ) -> Result<RotateOutcome, Error> {
        let keys = self.keys(0)?;
        let keys = [keys.meta(), keys.api_key(&secret.id)];
        let args = [
            secret.id.clone(),
            secret.hash(),
            overlap_ms.to_string(),
            reason.to_owned(),
            actor.to_owned(),
        ];
        let reply = self.run(&scripts::KEY_ROTATE, &keys, &args).await?;
        match reply.word()?.as_str() {
            "rotated" => Ok(RotateOutcome::Rotated(reply.number(1)?)),
            "revoked" => Ok(RotateOutcome::Revoked),
            "unknown_key" => Ok(RotateOutcome::UnknownKey),
            _ => reply.unknown(),
        }
    }

    /// Ends a key or a token for good.
    pub async fn revoke_key(
        &self,
        id: &str,
        reason: &str,
        actor: &str,
    ) -> Result<RevokeOutcome, Error> {
        let keys = self.keys(0)?;
        let keys = [keys.meta(), keys.api_key(id)];
        let args = [id, reason, actor].map(str::to_owned);
        let reply = self.run(&scripts::KEY_REVOKE, &keys, &args).await?;
        let word = reply.word()?;
        match word.as_str() {
            "revoked" | "already" => Ok(RevokeOutcome::Revoked {
                at_ms: reply.number(1)?,
                replayed: word == "already",
            }),
            "unknown_key" => Ok(RevokeOutcome::UnknownKey),
            _ => reply.unknown(),
        }
    }
}

/// A key's hash as a view, and the hashes of its secrets; `None` where it is none.
fn view(id: &str, fields: &HashMap<String, String>) -> Option<(KeyView, [String; 2])> {
    let text = |name: &str| fields.get(name).map_or("", String::as_str);
    let time = |name: &str| text(name).parse::<u64>().ok().filter(|ms| *ms > 0);
    let kind = [KeyKind::Key, KeyKind::Token]
        .into_iter()
        .find(|kind| kind.as_str() == text("kind"))?;
    let account = match text("account") {
        "" => None,
        // One that cannot be read must not become a key for all.
        name => Some(name.parse().ok()?),
    };
    let view = KeyView {
        key: id.to_owned(),
        kind,
        name: text("name").to_owned(),
        scopes: text("scopes")
            .split(' ')
            .filter_map(KeyScope::from_word)
            .collect(),
        account,
        created_at_ms: time("created_at").unwrap_or(0),
        created_by: text("created_by").to_owned(),
        expires_at_ms: time("expires_at"),
        used_at_ms: time("used_at"),
        old_until_ms: time("old_until"),
        revoked_at_ms: time("revoked_at"),
    };
    Some((view, ["hash", "old_hash"].map(|name| text(name).to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_back_and_never_printed() {
        let secret = ApiSecret::new(KeyKind::Key);
        let text = secret.reveal();
        assert!(text.starts_with("mlk_") && text.len() == 4 + 16 + 1 + 64);
        assert_eq!(ApiSecret::parse(&text).unwrap().hash(), secret.hash());
        assert!(!format!("{secret:?}").contains(&secret.secret));
        for wrong in [
            "",
            "mlk",
            "mlk_1_2",
            &text[1..],
            &text[..80],
            &format!("{text}0"),
        ] {
            assert!(ApiSecret::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_key_whose_account_cannot_be_read_is_none() {
        let fields = [("kind", "key"), ("account", "no such name")];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert!(view("k", &fields.into()).is_none());
    }
}
