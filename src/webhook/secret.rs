//! Secrets of endpoints, and the signatures made with them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

const PREFIX: &str = "whsec_";
/// Bytes of a key: less can be guessed, more is not taken by other libraries.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A text that is no usable secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret is whsec_ and the base64 of 24 to 64 bytes")]
pub struct BadSecret;

/// What both sides know: `whsec_` and the base64 of 24 to 64 bytes. Never printed by itself.
#[derive(Debug, Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// A secret of these bytes, which the caller drew at random.
    pub fn of_bytes(bytes: [u8; 32]) -> Self {
        Self(format!("{PREFIX}{}", STANDARD.encode(bytes)).into())
    }

    /// Reads a secret's text.
    ///
    /// # Errors
    /// [`BadSecret`] where it is none, or shorter or longer than what others take.
    pub fn parse(text: &str) -> Result<Self, BadSecret> {
        key(text).map(|_| Self(text.to_owned().into()))
    }

    /// The text, for the one time it is shown, and for the store.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// `v1,` and the base64 of the HMAC over `<id>.<seconds>.<body>`.
    fn sign(&self, id: &str, at_s: i64, body: &[u8]) -> Result<String, BadSecret> {
        let key = key(self.expose())?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| BadSecret)?;
        mac.update(format!("{id}.{at_s}.").as_bytes());
        mac.update(body);
        Ok(format!(
            "v1,{}",
            STANDARD.encode(mac.finalize().into_bytes())
        ))
    }
}

fn key(text: &str) -> Result<Vec<u8>, BadSecret> {
    let coded = text.strip_prefix(PREFIX).ok_or(BadSecret)?;
    let key = STANDARD.decode(coded).map_err(|_| BadSecret)?;
    BYTES.contains(&key.len()).then_some(key).ok_or(BadSecret)
}

/// The `webhook-signature` header: one signature for each secret, the newest first.
///
/// # Errors
/// [`BadSecret`] where one cannot be used.
pub fn signatures(
    secrets: &[Secret],
    id: &str,
    at_s: i64,
    body: &[u8],
) -> Result<String, BadSecret> {
    let each = secrets.iter().map(|secret| secret.sign(id, at_s, body));
    Ok(each.collect::<Result<Vec<_>, _>>()?.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    #[test]
    fn the_published_example_gets_the_published_signature() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signatures(
            &[secret],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(
            signed.as_deref(),
            Ok("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        );
    }

    #[test]
    fn an_independent_reader_accepts_it() {
        let (id, body) = (
            "msg_j00-x_2",
            "{\"type\":\"job.succeeded\",\"name\":\"Zoë\"}",
        );
        let now = jiff::Timestamp::now().as_second();
        let secrets = [Secret::of_bytes([7; 32]), Secret::of_bytes([9; 32])];
        let signed = signatures(&secrets, id, now, body.as_bytes()).unwrap();
        let mut headers = axum::http::HeaderMap::new();
        let row = [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", now.to_string()),
            ("webhook-signature", signed),
        ];
        for (name, value) in row {
            headers.insert(name, value.parse().unwrap());
        }
        for secret in &secrets {
            let reader = standardwebhooks::Webhook::new(secret.expose()).unwrap();
            reader.verify(body.as_bytes(), &headers).unwrap();
            assert!(reader.verify(b"{}", &headers).is_err());
        }
        let stranger = standardwebhooks::Webhook::new(Secret::of_bytes([8; 32]).expose()).unwrap();
        assert!(stranger.verify(body.as_bytes(), &headers).is_err());
    }

    #[test]
    fn secrets_of_other_lengths_and_shapes_are_refused() {
        let of = |n: usize| format!("whsec_{}", STANDARD.encode(vec![1; n]));
        assert!(Secret::parse(&of(24)).is_ok() && Secret::parse(&of(64)).is_ok());
        for text in [
            of(23),
            of(65),
            of(0),
            "whsec_??".to_owned(),
            STANDARD.encode([1; 32]),
        ] {
            assert_eq!(Secret::parse(&text).err(), Some(BadSecret), "{text}");
        }
    }

    #[test]
    fn a_secret_is_not_printed_by_chance() {
        let secret = Secret::of_bytes([7; 32]);
        assert!(!format!("{secret:?}").contains(&secret.expose()[6..20]));
    }
}
