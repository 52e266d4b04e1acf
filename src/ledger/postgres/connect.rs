//! A connection to Postgres: TLS where the address asks for it, limits on every wait, our own schema.

use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Error;

/// Longest time to connect.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A statement that takes longer has lost its server, or somebody holds a lock on our tables.
const STATEMENT_MAX_MS: u64 = 30_000;

/// Connects and makes the schema `meterline` the one that names are looked up in.
pub(super) async fn connect(url: &SecretString) -> Result<Client, Error> {
    let mut config: Config = url
        .expose_secret()
        .parse()
        .map_err(|error: tokio_postgres::Error| Error::Unfit(words(&error)))?;
    config
        .connect_timeout(CONNECT_MAX)
        .tcp_user_timeout(CONNECT_MAX * 6)
        .application_name("meterline");
    let connecting = config.connect(tls()?);
    let (client, connection) = tokio::time::timeout(CONNECT_MAX, connecting)
        .await
        .map_err(|_| Error::Unreachable("no answer in time".to_owned()))?
        .map_err(|error| Error::Unreachable(words(&error)))?;
    // Ends when the client is dropped or the server goes away; whoever uses the client hears of it.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to Postgres ended");
        }
    });
    let setting = format!(
        "set search_path to meterline; set statement_timeout to {STATEMENT_MAX_MS}; \
         set timezone to 'UTC'"
    );
    client.batch_execute(&setting).await?;
    Ok(client)
}

fn tls() -> Result<MakeRustlsConnect, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Unfit(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// An error with its causes: the client's own text alone says only `db error`.
pub(super) fn words(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
