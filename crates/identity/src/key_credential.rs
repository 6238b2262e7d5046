//! Certificates that an application signs in with (Graph `keyCredential`). Only the certificate is here; its key never
//! leaves whoever made it.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::Digest;
use crate::assertion::{Assertion, VerifyingKey};
use crate::oauth::timestamp;

/// Most certificates of one application.
pub const MAX_KEYS: usize = 20;
/// Longest certificate taken, in bytes of DER.
const MAX_DER: usize = 8 * 1024;

/// Why a certificate is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyCredentialError {
    /// It is no X.509 certificate in base64.
    #[error("the key is no X.509 certificate in base64")]
    Certificate,
    /// Its key is of a kind that signs no assertion.
    #[error("the certificate's key is neither RSA of at least 2048 bits nor P-256")]
    Key,
    /// It is over, or ends before it starts.
    #[error("the certificate has expired, or ends before it starts")]
    Dates,
    /// The application has [`MAX_KEYS`].
    #[error("an application has at most {MAX_KEYS} certificates; remove one first")]
    TooMany,
}

/// A certificate as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyCredential {
    /// Names it.
    pub key_id: Uuid,
    /// What people call it.
    pub display_name: Option<String>,
    /// From when it works.
    #[serde(with = "time::serde::rfc3339")]
    pub start: OffsetDateTime,
    /// Until when it works.
    #[serde(with = "time::serde::rfc3339")]
    pub end: OffsetDateTime,
    key: VerifyingKey,
    sha1: [u8; 20],
    sha256: Digest,
}

impl KeyCredential {
    /// Reads a certificate: base64 of DER, as `az` sends it, or of PEM. It works within its own dates and those given.
    ///
    /// # Errors
    /// [`KeyCredentialError`].
    pub fn read(
        key: &str,
        display_name: Option<&str>,
        (start, end): (Option<OffsetDateTime>, Option<OffsetDateTime>),
        now: OffsetDateTime,
    ) -> Result<KeyCredential, KeyCredentialError> {
        let text: String = key.chars().filter(|c| !c.is_whitespace()).take(MAX_DER * 4).collect();
        let mut der = STANDARD.decode(text).map_err(|_| KeyCredentialError::Certificate)?;
        if let Some(inner) = std::str::from_utf8(&der).ok().and_then(armoured) {
            der = STANDARD.decode(inner).map_err(|_| KeyCredentialError::Certificate)?;
        }
        if der.len() > MAX_DER {
            return Err(KeyCredentialError::Certificate);
        }
        let (_, certificate) =
            X509Certificate::from_der(&der).map_err(|_| KeyCredentialError::Certificate)?;
        let validity = certificate.validity();
        let (from, to) = (validity.not_before.to_datetime(), validity.not_after.to_datetime());
        let (start, end) = (start.map_or(from, |s| s.max(from)), end.map_or(to, |e| e.min(to)));
        if end <= start || end <= now {
            return Err(KeyCredentialError::Dates);
        }
        let mut sha1 = [0; 20];
        sha1.copy_from_slice(digest(&SHA1_FOR_LEGACY_USE_ONLY, &der).as_ref());
        Ok(KeyCredential {
            key_id: Uuid::new_v4(),
            display_name: display_name.map(|n| n.chars().take(120).collect()),
            start,
            end,
            key: VerifyingKey::of_certificate(&der).ok_or(KeyCredentialError::Key)?,
            sha1,
            sha256: Digest::of(&der),
        })
    }

    /// Whether its key signed an assertion that says so, or that does not say.
    pub fn signed(&self, assertion: &Assertion<'_>) -> bool {
        assertion.is_of(&self.sha1, &self.sha256) && assertion.verify(&self.key).is_ok()
    }

    /// The SHA-1 thumbprint in hexadecimal, by which people compare certificates.
    pub fn thumbprint(&self) -> String {
        self.sha1.iter().fold(String::new(), |mut out, byte| {
            // Writing to a text does not fail.
            let _ = write!(out, "{byte:02X}");
            out
        })
    }

    /// The credential as Graph shows it.
    pub fn to_graph(&self) -> ShownKey {
        ShownKey {
            custom_key_identifier: self.thumbprint(),
            display_name: self.display_name.clone(),
            end_date_time: timestamp(self.end),
            key: (),
            key_id: self.key_id.to_string(),
            start_date_time: timestamp(self.start),
            kind: "AsymmetricX509Cert",
            usage: "Verify",
        }
    }
}

/// The base64 between the lines of a PEM certificate; the blanks of the armour were taken out with the others.
fn armoured(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let (_, rest) = text.split_once("-----BEGINCERTIFICATE-----")?;
    let (inner, _) = rest.split_once("-----ENDCERTIFICATE-----")?;
    Some(inner.to_owned())
}

/// A certificate as Graph shows it (`keyCredential`).
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "KeyCredential")]
pub struct ShownKey {
    /// The certificate's SHA-1 thumbprint.
    pub custom_key_identifier: String,
    /// What people call it.
    pub display_name: Option<String>,
    /// Until when it works.
    pub end_date_time: String,
    key: (),
    /// Names it.
    pub key_id: String,
    /// From when it works.
    pub start_date_time: String,
    #[serde(rename = "type")]
    kind: &'static str,
    usage: &'static str,
}
