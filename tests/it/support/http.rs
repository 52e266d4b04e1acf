//! A client for the HTTP servers of the tests.

/// A client that goes straight there, for a test that may be the only one to run: the TLS provider that
/// `reqwest` asks for is in place.
pub(crate) fn http_client() -> reqwest::Client {
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build();
    client.expect("a client")
}
