//! Identifiers: what may stand in one, and how an account finds its partition.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A text that cannot be an identifier of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} is not usable: {rule}")]
pub struct BadId {
    what: &'static str,
    text: String,
    rule: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The identifier as it stands in keys and replies.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

id! {
    /// Who pays: 1 to 64 of `A-Z a-z 0-9 . _ @ -`.
    AccountId
}

id! {
    /// `j<partition, 2 hex>-<uuid v7>`: made by the producer before the call, sorts by time within
    /// its partition.
    JobId
}

id! {
    /// `w<partition, 2 hex>-<16 hex>`: where an account wants to be told of its jobs.
    EndpointId
}

id! {
    /// The producer's own key for one click: 1 to 255 printable ASCII characters without spaces.
    IdempotencyKey
}

id! {
    /// The caller's key for one grant, adjustment or refund: 1 to 128 printable ASCII characters.
    OperationId
}

fn printable(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

impl TryFrom<String> for AccountId {
    type Error = BadId;
    fn try_from(text: String) -> Result<Self, BadId> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'@' | b'-');
        if (1..=64).contains(&text.len()) && text.bytes().all(fits) {
            return Ok(Self(text));
        }
        Err(BadId {
            what: "account",
            text,
            rule: "1 to 64 letters, digits, or one of . _ @ -",
        })
    }
}

impl TryFrom<String> for JobId {
    type Error = BadId;
    fn try_from(text: String) -> Result<Self, BadId> {
        let rest = text.strip_prefix('j').and_then(|t| t.split_once('-'));
        let fits = rest.is_some_and(|(partition, uuid)| {
            partition.len() == 2
                && u8::from_str_radix(partition, 16).is_ok()
                && uuid.len() == 36
                && uuid::Uuid::try_parse(uuid).is_ok()
        });
        if fits && !text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Ok(Self(text));
        }
        Err(BadId {
            what: "job",
            text,
            rule: "j, two hex digits, a dash, a lower-case uuid",
        })
    }
}

impl TryFrom<String> for EndpointId {
    type Error = BadId;
    fn try_from(text: String) -> Result<Self, BadId> {
        let hex = |part: &str, digits: usize| {
            let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            part.len() == digits && part.bytes().all(is_hex)
        };
        let rest = text.strip_prefix('w').and_then(|t| t.split_once('-'));
        if rest.is_some_and(|(partition, nonce)| hex(partition, 2) && hex(nonce, 16)) {
            return Ok(Self(text));
        }
        Err(BadId {
            what: "endpoint",
            text,
            rule: "w, two hex digits, a dash, sixteen hex digits",
        })
    }
}

impl TryFrom<String> for IdempotencyKey {
    type Error = BadId;
    fn try_from(text: String) -> Result<Self, BadId> {
        if printable(&text, 255) {
            return Ok(Self(text));
        }
        Err(BadId {
            what: "idempotency key",
            text,
            rule: "1 to 255 printable ASCII characters",
        })
    }
}

impl TryFrom<String> for OperationId {
    type Error = BadId;
    fn try_from(text: String) -> Result<Self, BadId> {
        if printable(&text, 128) {
            return Ok(Self(text));
        }
        Err(BadId {
            what: "operation id",
            text,
            rule: "1 to 128 printable ASCII characters",
        })
    }
}

impl AccountId {
    /// The partition this account's keys live in: the first eight bytes of SHA-256(account), read
    /// big-endian, modulo the number of partitions. Stable for as long as the store lives.
    pub fn partition(&self, partitions: u16) -> u16 {
        let digest = Sha256::digest(self.0.as_bytes());
        let head = digest
            .iter()
            .take(8)
            .fold(0u64, |n, byte| (n << 8) | u64::from(*byte));
        u16::try_from(head % u64::from(partitions.max(1))).unwrap_or(0)
    }
}

impl JobId {
    /// A job id in `partition`, with a time-ordered `uuid` (version 7) made by the caller.
    pub fn new(partition: u16, uuid: uuid::Uuid) -> Self {
        Self(format!("j{partition:02x}-{}", uuid.hyphenated()))
    }

    /// The partition the id carries.
    pub fn partition(&self) -> u16 {
        self.0
            .get(1..3)
            .and_then(|hex| u16::from_str_radix(hex, 16).ok())
            .unwrap_or(0)
    }

    /// What a provider gets as idempotency key for one submission: derived from job and number
    /// alone, so that a worker that takes over sends the same.
    pub fn submission_key(&self, submission: u32) -> String {
        format!("{}-{submission}", self.0)
    }
}

impl EndpointId {
    /// An endpoint id in `partition`, with a random number drawn by the caller.
    pub fn new(partition: u16, nonce: u64) -> Self {
        Self(format!("w{partition:02x}-{nonce:016x}"))
    }

    /// The partition the id carries.
    pub fn partition(&self) -> u16 {
        self.0
            .get(1..3)
            .and_then(|hex| u16::from_str_radix(hex, 16).ok())
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_spread_over_partitions_and_stay_where_they_are() {
        let at = |name: &str| name.parse::<AccountId>().unwrap().partition(8);
        assert_eq!(at("acme"), at("acme"));
        let seen: std::collections::BTreeSet<u16> =
            (0..200).map(|n| at(&format!("account-{n}"))).collect();
        assert_eq!(seen.len(), 8);
    }

    #[test]
    fn a_job_id_carries_its_partition() {
        let id = JobId::new(7, uuid::Uuid::nil());
        assert_eq!(id.as_str(), "j07-00000000-0000-0000-0000-000000000000");
        assert_eq!(id.as_str().parse::<JobId>().unwrap().partition(), 7);
        assert_eq!(id.submission_key(2), format!("{id}-2"));
    }

    #[test]
    fn ids_with_other_characters_are_refused() {
        for text in ["", "a b", "a:b", "a{b}", "é", &"x".repeat(65)] {
            assert!(text.parse::<AccountId>().is_err(), "{text:?}");
        }
        for text in [
            "",
            "j1-x",
            "J01-00000000-0000-0000-0000-000000000000",
            "j01-0",
        ] {
            assert!(text.parse::<JobId>().is_err(), "{text:?}");
        }
        assert!("k 1".parse::<IdempotencyKey>().is_err());
    }
}
