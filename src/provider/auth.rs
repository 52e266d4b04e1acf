//! How a provider wants to be shown our key. The key itself is never logged or stored.

use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// What a preset says about the key.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Auth {
    /// No key.
    None {},
    /// `Authorization: Bearer <key>`.
    Bearer {
        /// The environment variable with the key.
        secret_env: String,
    },
    /// A header of its own.
    Header {
        /// The environment variable with the key.
        secret_env: String,
        /// The header's name.
        name: String,
        /// What stands in front of the key, such as `Key `.
        #[serde(default)]
        prefix: String,
    },
}

/// The key, ready to be sent or known to be missing.
#[derive(Debug, Clone)]
pub(super) enum Key {
    /// This provider takes none.
    NotNeeded,
    /// The header to send. Its value does not show in debug output.
    Ready(HeaderName, HeaderValue),
    /// The variable with this name is not set: the provider cannot be used.
    Missing(String),
}

/// Why a key cannot be sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("read auth header name `{0}`")]
    HeaderName(String),
    /// The value itself is not shown.
    #[error("send the key in `{0}`: it has characters that a header cannot carry")]
    HeaderValue(String),
}

impl Auth {
    /// The name that says which key is used, without saying the key.
    pub(super) fn key_id(&self) -> &str {
        match self {
            Self::None {} => "none",
            Self::Bearer { secret_env } | Self::Header { secret_env, .. } => secret_env,
        }
    }

    /// The key as `secrets` knows it.
    pub(super) fn key(&self, secrets: &dyn Fn(&str) -> Option<SecretString>) -> Result<Key, Error> {
        let (variable, header, prefix) = match self {
            Self::None {} => return Ok(Key::NotNeeded),
            Self::Bearer { secret_env } => (secret_env, AUTHORIZATION, "Bearer "),
            Self::Header {
                secret_env,
                name,
                prefix,
            } => {
                let header = HeaderName::from_bytes(name.as_bytes())
                    .map_err(|_| Error::HeaderName(name.clone()))?;
                (secret_env, header, prefix.as_str())
            }
        };
        let Some(secret) = secrets(variable) else {
            return Ok(Key::Missing(variable.clone()));
        };
        // A line break at the end is what most ways of keeping a key in a file leave behind.
        let bare = secret.expose_secret().trim();
        if bare.is_empty() {
            return Ok(Key::Missing(variable.clone()));
        }
        let mut value = HeaderValue::from_str(&format!("{prefix}{bare}"))
            .map_err(|_| Error::HeaderValue(variable.clone()))?;
        value.set_sensitive(true);
        Ok(Key::Ready(header, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(toml_text: &str, secret: Option<&str>) -> Result<Key, Error> {
        let auth: Auth = toml::from_str(toml_text).unwrap();
        auth.key(&|name| {
            assert_eq!(name, "K");
            secret.map(SecretString::from)
        })
    }

    #[test]
    fn the_key_is_written_the_way_the_provider_wants_it() {
        let table = [
            (
                "kind = 'bearer'\nsecret_env = 'K'",
                "authorization",
                "Bearer s3",
            ),
            (
                "kind = 'header'\nname = 'x-key'\nsecret_env = 'K'",
                "x-key",
                "s3",
            ),
            (
                "kind = 'header'\nname = 'Authorization'\nprefix = 'Key '\nsecret_env = 'K'",
                "authorization",
                "Key s3",
            ),
        ];
        for (text, name, value) in table {
            let Key::Ready(got_name, got_value) = key(text, Some("s3\n")).unwrap() else {
                panic!("{text}: no key")
            };
            assert_eq!(
                (got_name.as_str(), got_value.to_str().unwrap()),
                (name, value)
            );
        }
    }

    #[test]
    fn a_key_never_shows_in_debug_output_or_errors() {
        let bearer = "kind = 'bearer'\nsecret_env = 'K'";
        let shown = format!("{:?}", key(bearer, Some("hush")).unwrap());
        assert!(!shown.contains("hush"), "{shown}");
        let error = key(bearer, Some("hu\nsh")).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hu"), "{error:?}");
    }

    #[test]
    fn an_unset_or_empty_variable_is_a_missing_key() {
        for secret in [None, Some(""), Some(" \n")] {
            let got = key("kind = 'bearer'\nsecret_env = 'K'", secret).unwrap();
            assert!(matches!(got, Key::Missing(name) if name == "K"));
        }
    }

    #[test]
    fn unknown_keys_are_refused_also_where_there_is_no_secret() {
        assert!(toml::from_str::<Auth>("kind = 'none'\nsecret_env = 'K'").is_err());
        assert!(toml::from_str::<Auth>("kind = 'none'").is_ok());
    }
}
