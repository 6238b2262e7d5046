//! Desktops of machines, which are seen over RDP or VNC, and what is kept for them beside the machine: passwords, which only
//! the server opens, and the certificates by which RDP servers are known again.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use schemars::JsonSchema;
use sekisho_arm::traits::{read_document, read_documents, write_document};
use sekisho_arm::{ArmError, Read, Resource, Scope, StoreError, Write};
use sekisho_link::account::Account;
use sekisho_link::facts::Facts;
use sekisho_link::machine::FactsObserver;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The longest domain, in bytes.
const LONGEST_DOMAIN: usize = 255;

/// How a desktop is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DesktopProtocol")]
pub enum Protocol {
    /// Microsoft's Remote Desktop Protocol: somebody logs in to an account.
    Rdp,
    /// RFC 6143: a screen, whoever's it is.
    Vnc,
}

impl Protocol {
    /// Both.
    pub const ALL: [Protocol; 2] = [Protocol::Rdp, Protocol::Vnc];

    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Protocol::Rdp => "rdp",
            Protocol::Vnc => "vnc",
        }
    }

    /// The port on which its servers listen unless they are told otherwise.
    pub fn port(self) -> u16 {
        match self {
            Protocol::Rdp => 3389,
            Protocol::Vnc => 5900,
        }
    }
}

/// A domain or a computer of Windows, whose accounts are meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Domain(String);

/// It is not the name of a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of a domain has 1 to {LONGEST_DOMAIN} bytes, and none that controls a terminal")]
pub struct BadDomain;

impl FromStr for Domain {
    type Err = BadDomain;

    fn from_str(text: &str) -> Result<Domain, BadDomain> {
        let is_good = (1..=LONGEST_DOMAIN).contains(&text.len()) && !text.chars().any(char::is_control);
        is_good.then(|| Domain(text.to_owned())).ok_or(BadDomain)
    }
}

impl TryFrom<String> for Domain {
    type Error = BadDomain;

    fn try_from(text: String) -> Result<Domain, BadDomain> {
        text.parse()
    }
}

impl From<Domain> for String {
    fn from(domain: Domain) -> String {
        domain.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// For what a password is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct For {
    /// The machine's id.
    pub machine: String,
    /// How its desktop is seen.
    pub protocol: Protocol,
    /// The account; VNC knows of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
}

impl For {
    /// A name that nothing else of the machine has.
    pub fn name(&self) -> String {
        let account = self.account.iter().map(|account| format!("-{account}"));
        account.fold(self.protocol.word().to_owned(), |name, account| name + &account)
    }

    /// The key of the document, and the place that the password is sealed for.
    pub fn key(&self) -> String {
        format!("{}|{}", self.machine.to_ascii_lowercase(), self.name())
    }
}

/// A password that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    /// For what.
    #[serde(flatten)]
    pub of: For,
    /// The domain of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Domain>,
    /// The password, sealed for the [place](For::key) of this document.
    pub sealed: String,
    /// When it was changed last.
    #[serde(with = "time::serde::rfc3339")]
    pub changed: OffsetDateTime,
    /// By whom.
    pub by: String,
}

/// The certificate that an RDP server showed when it was seen first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pin {
    /// The machine's id.
    pub machine: String,
    /// The port on it.
    pub port: u16,
    /// The SHA-256 of the certificate, in hexadecimal digits.
    pub fingerprint: String,
    /// When it was seen.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// By whom.
    pub by: String,
}

/// What is kept beside a machine, and goes with it.
pub trait Beside: Serialize + DeserializeOwned + Send + Sync {
    /// The kind of the documents.
    const KIND: &'static str;

    /// The key of its document.
    fn key(&self) -> String;

    /// The id of its machine.
    fn machine(&self) -> &str;
}

impl Beside for Credential {
    const KIND: &'static str = "desktopCredential";

    fn key(&self) -> String {
        self.of.key()
    }

    fn machine(&self) -> &str {
        &self.of.machine
    }
}

impl Beside for Pin {
    const KIND: &'static str = "desktopCertificate";

    fn key(&self) -> String {
        pin_key(&self.machine, self.port)
    }

    fn machine(&self) -> &str {
        &self.machine
    }
}

fn pin_key(machine: &str, port: u16) -> String {
    format!("{}|{port}", machine.to_ascii_lowercase())
}

/// The password that is kept for something.
///
/// # Errors
/// Those of the database.
pub async fn credential(read: &mut (dyn Read + '_), of: &For) -> Result<Option<Credential>, StoreError> {
    read_document(read, Credential::KIND, &of.key()).await
}

/// The certificate of a machine's RDP server.
///
/// # Errors
/// Those of the database.
pub async fn pin(read: &mut (dyn Read + '_), machine: &Scope, port: u16) -> Result<Option<Pin>, StoreError> {
    read_document(read, Pin::KIND, &pin_key(&machine.to_string(), port)).await
}

/// All of a kind.
///
/// # Errors
/// Those of the database.
pub async fn all<T: Beside>(read: &mut (dyn Read + '_)) -> Result<Vec<T>, StoreError> {
    Ok(read_documents(read, T::KIND).await?.into_iter().map(|(_, kept)| kept).collect())
}

/// Keeps something.
///
/// # Errors
/// Those of the database.
pub async fn keep<T: Beside>(tx: &mut (dyn Write + '_), kept: &T) -> Result<(), StoreError> {
    write_document(tx, T::KIND, &kept.key(), kept).await
}

/// Removes the password that is kept for something. Whether there was one.
///
/// # Errors
/// Those of the database.
pub async fn remove_credential(tx: &mut (dyn Write + '_), of: &For) -> Result<bool, StoreError> {
    tx.remove_document(Credential::KIND, &of.key()).await
}

/// Forgets the certificate of a machine's RDP server, so that the next one is taken for its own. Whether one was known.
///
/// # Errors
/// Those of the database.
pub async fn forget_pin(tx: &mut (dyn Write + '_), machine: &Scope, port: u16) -> Result<bool, StoreError> {
    tx.remove_document(Pin::KIND, &pin_key(&machine.to_string(), port)).await
}

/// Has what is kept beside a machine go with it.
pub struct Observer;

#[async_trait]
impl FactsObserver for Observer {
    async fn observe(&self, _: &mut dyn Write, _: &Resource, _: &Facts) -> Result<(), ArmError> {
        Ok(())
    }

    async fn retire(&self, tx: &mut dyn Write, machine: &Resource) -> Result<(), ArmError> {
        remove_all::<Credential>(tx, &machine.id).await?;
        remove_all::<Pin>(tx, &machine.id).await?;
        Ok(())
    }
}

async fn remove_all<T: Beside>(tx: &mut (dyn Write + '_), machine: &Scope) -> Result<(), StoreError> {
    for kept in all::<T>(tx.as_read()).await? {
        if kept.machine().eq_ignore_ascii_case(&machine.to_string()) {
            tx.remove_document(T::KIND, &kept.key()).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_kept_for_one_account_of_one_machine_and_protocol() {
        let of = |machine: &str, protocol, account: Option<&str>| For {
            machine: machine.to_owned(),
            protocol,
            account: account.map(|name| name.parse().unwrap()),
        };
        let jun = of("/subscriptions/S/vm", Protocol::Rdp, Some("jun"));
        assert_eq!((jun.name().as_str(), jun.key().as_str()), ("rdp-jun", "/subscriptions/s/vm|rdp-jun"));
        for other in [
            of("/subscriptions/S/vm", Protocol::Rdp, Some("Jun")),
            of("/subscriptions/S/vm", Protocol::Vnc, None),
            of("/subscriptions/S/vm2", Protocol::Rdp, Some("jun")),
        ] {
            assert_ne!(other.key(), jun.key());
        }
        for bad in ["", "a\nb", "x".repeat(256).as_str()] {
            assert_eq!(bad.parse::<Domain>(), Err(BadDomain));
        }
    }
}
