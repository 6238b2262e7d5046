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
use sekisho_link::message::{JoinAnswer, JoinRequest};
use sekisho_link::{JoinString, pki, tls};
use serde::{Deserialize, Serialize};
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
    /// The server's authority, PEM.
    pub ca: String,
    /// The client certificate, PEM.
    pub certificate: String,
    /// Its private key, PEM.
    pub key: String,
    /// The server's command key, base64.
    pub command_key: String,
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

/// Makes a key and has the server certify it.
///
/// # Errors
/// When the server cannot be reached, is not the one that the join string names, or refuses; with its own words.
pub async fn enrol(join: &JoinString, hostname: String) -> anyhow::Result<Identity> {
    let (key, csr) = pki::request()?;
    let request = JoinRequest { secret: URL_SAFE_NO_PAD.encode(&*join.secret), csr, hostname };
    let body = serde_json::to_vec(&request)?;
    let config = Arc::new(tls::joining(join.pin)?);
    let (status, answer) = confirm::request(&join.address, config, Method::POST, "/link/join", body).await?;
    if status != StatusCode::CREATED {
        let message =
            answer.pointer("/error/message").and_then(|m| m.as_str()).unwrap_or("no reason was given");
        bail!("the server refused ({status}): {message}");
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
    })
}
