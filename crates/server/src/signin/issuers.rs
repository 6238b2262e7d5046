//! The keys of identity providers that applications trust, found by OpenID Connect Discovery.
//!
//! Only what an administrator named as issuer is ever asked. It is asked over TLS, without following it elsewhere, for so
//! much and so long; what it said is kept for an hour. A token that names a key nobody has seen makes us ask again, but
//! not more than once a minute.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use sekisho_identity::assertion::{VerifyingKey, key_set};
use serde::Deserialize;
use time::OffsetDateTime;
use tokio::sync::Mutex;

use crate::config::Config;
use crate::outgoing::{self, OutgoingError};

/// Largest answer taken, in bytes.
const MAX_ANSWER: usize = 256 << 10;
/// How long keys are kept.
const KEPT: time::Duration = time::Duration::HOUR;
/// How long after an answer, or a failure, the issuer is left alone.
const PAUSE: time::Duration = time::Duration::MINUTE;

/// The provider's keys could not be had. The text is for the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IssuerError {
    /// The client cannot be made.
    #[error(transparent)]
    Client(#[from] OutgoingError),
    /// It does not answer, or not with what is needed.
    #[error("{0}: {1}")]
    Answer(String, String),
    /// It has no such key, or did not answer a moment ago.
    #[error("{0} has no such key")]
    Key(String),
}

#[derive(Default)]
struct Known {
    keys: Vec<(Option<String>, VerifyingKey)>,
    asked: Option<OffsetDateTime>,
    answered: Option<OffsetDateTime>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// What is known of the issuers.
pub(crate) struct Issuers {
    authorities: Option<std::path::PathBuf>,
    client: OnceLock<reqwest::Client>,
    known: Mutex<HashMap<String, Arc<Mutex<Known>>>>,
}

impl Issuers {
    /// With nothing known.
    pub(crate) fn new(config: &Config) -> Issuers {
        Issuers {
            authorities: config.federation_ca_file.clone(),
            client: OnceLock::new(),
            known: Mutex::default(),
        }
    }

    /// The keys of an issuer that may have signed a token: the one of that id, or all when the token names none.
    ///
    /// # Errors
    /// [`IssuerError`].
    pub(crate) async fn keys(
        &self,
        issuer: &str,
        key_id: Option<&str>,
        now: OffsetDateTime,
    ) -> Result<Vec<VerifyingKey>, IssuerError> {
        let entry = self.known.lock().await.entry(issuer.to_owned()).or_default().clone();
        // Whoever comes while it is asked waits for the one answer.
        let mut known = entry.lock().await;
        let old = known.answered.is_none_or(|at| now - at >= KEPT);
        let fitting = |known: &Known| -> Vec<VerifyingKey> {
            let fits = |id: &Option<String>| key_id.is_none_or(|wanted| id.as_deref() == Some(wanted));
            known.keys.iter().filter(|(id, _)| fits(id)).map(|(_, key)| key.clone()).collect()
        };
        let rested = known.asked.is_none_or(|at| now - at >= PAUSE);
        if (old || fitting(&known).is_empty()) && rested {
            known.asked = Some(now);
            match self.ask(issuer).await {
                Ok(keys) => {
                    known.keys = keys;
                    known.answered = Some(now);
                }
                // What was known may go on for a while; an issuer that was never reached has nothing.
                Err(error) if known.keys.is_empty() => return Err(error),
                Err(error) => tracing::warn!(%error, "an identity provider's keys stay as they were"),
            }
        }
        // Keys that could not be looked at again for a day are trusted no longer.
        if known.answered.is_none_or(|at| now - at >= time::Duration::DAY) {
            known.keys.clear();
        }
        let found = fitting(&known);
        if found.is_empty() { Err(IssuerError::Key(issuer.to_owned())) } else { Ok(found) }
    }

    async fn ask(&self, issuer: &str) -> Result<Vec<(Option<String>, VerifyingKey)>, IssuerError> {
        let wrong = |why: &str| IssuerError::Answer(issuer.to_owned(), why.to_owned());
        let place = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let discovery: Discovery = serde_json::from_slice(&self.get(&place).await?)
            .map_err(|_| wrong("its discovery document is not readable"))?;
        if discovery.issuer != issuer {
            return Err(wrong("its discovery document is of another issuer"));
        }
        if !discovery.jwks_uri.starts_with("https://") {
            return Err(wrong("its keys are not at an https URL"));
        }
        key_set(&self.get(&discovery.jwks_uri).await?).map_err(|_| wrong("its keys are not readable"))
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, IssuerError> {
        let failed = |e: reqwest::Error| IssuerError::Answer(url.to_owned(), e.without_url().to_string());
        let mut response = self.client()?.get(url).send().await.map_err(failed)?;
        if response.status() != http::StatusCode::OK {
            return Err(IssuerError::Answer(url.to_owned(), format!("status {}", response.status())));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if bytes.len() + chunk.len() > MAX_ANSWER {
                return Err(IssuerError::Answer(url.to_owned(), "the answer is too long".to_owned()));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn client(&self) -> Result<&reqwest::Client, IssuerError> {
        if let Some(made) = self.client.get() {
            return Ok(made);
        }
        let made = outgoing::client(self.authorities.as_deref())?;
        Ok(self.client.get_or_init(|| made))
    }
}
