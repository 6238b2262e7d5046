//! The client for what the server asks of others: over TLS only, straight to where it was told, and never further.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The client cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutgoingError {
    /// The file of authorities cannot be read.
    #[error("{0}: {1}")]
    Authorities(PathBuf, std::io::Error),
    /// What stands in it is not usable, or the system has none.
    #[error("no HTTPS client: {0}")]
    Client(#[from] reqwest::Error),
}

/// A client that trusts the system's authorities and those of a PEM file.
///
/// # Errors
/// [`OutgoingError`].
pub(crate) fn client(authorities: Option<&Path>) -> Result<reqwest::Client, OutgoingError> {
    // The client takes the process's provider; when there is one already, it is this one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .https_only(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .user_agent(concat!("sekisho/", env!("CARGO_PKG_VERSION")));
    if let Some(path) = authorities {
        let pem = std::fs::read(path).map_err(|e| OutgoingError::Authorities(path.to_owned(), e))?;
        builder = builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(&pem)?);
    }
    Ok(builder.build()?)
}
