//! Being let in: a join string becomes an identity.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, StatusCode};
use rustls::ClientConfig;
use sekisho_link::message::{JoinAnswer, JoinRequest, RenewAnswer, RenewRequest};
use sekisho_link::{JoinString, pki, tls};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::confirm;

/// Who a machine is. It has no `Debug`: it holds the private key.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The agent's id.
    pub agent_id: String,
    /// The machine's ARM id.
    pub machine: String,
    /// `host:port` of the server.
    pub address: String,
    /// The server's authorities, PEM.
    pub ca: String,
    /// The client certificate, PEM.
    pub certificate: String,
    /// Its private key, PEM.
    pub key: String,
    /// The server's command key, base64.
    pub command_key: String,
    /// The log's key, a C2SP `vkey`; absent in what a version before it wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_key: Option<String>,
}

impl Identity {
    /// What connections of this machine are made with.
    ///
    /// # Errors
    /// When the certificate does not fit the key.
    pub fn tls(&self) -> anyhow::Result<ClientConfig> {
        let own =
            pki::Identity { certificate: self.certificate.clone(), key: Zeroizing::new(self.key.clone()) };
        Ok(tls::agent(&self.ca, &own)?)
    }

    /// The identity with another certificate, for a key made by [`pki::request`].
    ///
    /// # Errors
    /// When the certificate does not fit the key: it must not replace one that works.
    pub fn renewed(
        &self,
        certificate: String,
        key: &str,
        ca: String,
    ) -> anyhow::Result<(Identity, ClientConfig)> {
        let fresh = Identity { ca, certificate, key: key.to_owned(), ..self.clone() };
        let tls = fresh.tls()?;
        Ok((fresh, tls))
    }

    /// Has the server certify a new key although the certificate of the present one is over, as it is after a machine
    /// was off for a day.
    ///
    /// # Errors
    /// When the server is not reached, or refuses; with its own words.
    pub async fn renew(&self) -> anyhow::Result<(Identity, ClientConfig)> {
        let (key, csr) = pki::request()?;
        let body = serde_json::to_vec(&RenewRequest { csr })?;
        let config = Arc::new(self.tls()?);
        let (status, answer) =
            confirm::request(&self.address, config, Method::POST, "/link/renew", body).await?;
        if status != StatusCode::OK {
            bail!("the server refused ({status}): {}", reason(&answer));
        }
        let RenewAnswer { certificate, ca } =
            serde_json::from_value(answer).context("reading the server's answer")?;
        self.renewed(certificate, &key, ca)
    }
}

/// A refusal in the server's own words.
fn reason(answer: &Value) -> &str {
    answer.pointer("/error/message").and_then(Value::as_str).unwrap_or("no reason was given")
}

/// The beginning of a file that only its owner can read, at most this many bytes.
///
/// # Errors
/// When others can read it too, or it cannot be read as text.
pub fn read_private(path: &Path, limit: u64) -> anyhow::Result<Zeroizing<String>> {
    let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    let mode = file.metadata()?.mode();
    if mode & 0o077 != 0 {
        bail!("{} can be read by others (mode {:o}); run 'chmod 600' on it", path.display(), mode & 0o777);
    }
    let mut text = Zeroizing::new(String::new());
    file.take(limit).read_to_string(&mut text).with_context(|| path.display().to_string())?;
    Ok(text)
}

/// Makes a key and has the server certify it. `machine` is the ARM id of what this machine is already, when it joins
/// again.
///
/// # Errors
/// When the server cannot be reached, is not the one that the join string names, or refuses; with its own words.
pub async fn enrol(join: &JoinString, hostname: String, machine: Option<String>) -> anyhow::Result<Identity> {
    let (key, csr) = pki::request()?;
    let request = JoinRequest { secret: URL_SAFE_NO_PAD.encode(&*join.secret), csr, hostname, machine };
    let body = serde_json::to_vec(&request)?;
    let config = Arc::new(tls::joining(join.pin)?);
    let (status, answer) = confirm::request(&join.address, config, Method::POST, "/link/join", body).await?;
    if status != StatusCode::CREATED {
        bail!("the server refused ({status}): {}", reason(&answer));
    }
    let answer: JoinAnswer = serde_json::from_value(answer).context("reading the server's answer")?;
    Ok(Identity {
        agent_id: answer.agent_id,
        machine: answer.machine,
        address: join.address.clone(),
        ca: answer.ca,
        certificate: answer.certificate,
        key: key.to_string(),
        command_key: answer.command_key,
        log_key: answer.log_key,
    })
}
