//! What is kept of a machine's SSH server: where it listens, its host keys, and their certificates.

use std::collections::BTreeSet;

use async_trait::async_trait;
use sekisho_arm::traits::{read_document, write_document};
use sekisho_arm::{ArmError, Read, Resource, Scope, StoreError, Write};
use sekisho_link::facts::Facts;
use sekisho_link::machine::FactsObserver;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

/// The kind of the documents, by the machine's key.
pub const KIND: &str = "sshServer";
/// How long a certificate of a host key is good.
pub const LASTS: Duration = Duration::days(30);

/// A machine's SSH server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SshServer {
    /// Where it listens.
    pub port: u16,
    /// Its host keys, as OpenSSH writes them.
    pub host_keys: Vec<String>,
    /// Whether it lets in who comes through a bastion.
    pub trusts: bool,
    /// Why not.
    pub problem: Option<String>,
    /// The certificates.
    pub certificates: Vec<HostCertificate>,
}

/// A certificate of a host key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostCertificate {
    /// The key.
    pub host_key: String,
    /// The authority that signed, as OpenSSH writes it.
    pub authority: String,
    /// For which names.
    pub names: Vec<String>,
    /// As OpenSSH writes it.
    pub certificate: String,
    /// Until when it is good.
    #[serde(with = "time::serde::rfc3339")]
    pub until: OffsetDateTime,
}

impl SshServer {
    /// The host keys that need another certificate: of another authority, for other names, or in good time before the
    /// one that there is ends.
    pub fn uncertified(&self, authority: &str, names: &[String], now: OffsetDateTime) -> Vec<String> {
        let certified = |key: &&String| {
            self.certificates.iter().any(|c| {
                c.host_key == **key
                    && c.authority == authority
                    && c.names == names
                    && c.until - now > LASTS / 2
            })
        };
        self.host_keys.iter().filter(|key| !certified(key)).cloned().collect()
    }
}

/// A machine's SSH server, if its agent has told of one.
///
/// # Errors
/// Those of the database.
pub async fn of(read: &mut (dyn Read + '_), machine: &Scope) -> Result<Option<SshServer>, StoreError> {
    read_document(read, KIND, &machine.key()).await
}

/// The names under which a machine is known, given how many have its name: the short ones only when it is the only one.
pub fn names(machine: &Scope, is_only: bool) -> Vec<String> {
    let name = machine.name().to_lowercase();
    let group = machine.group_scope().map(|g| g.name().to_lowercase()).unwrap_or_default();
    let long = format!("{name}.{group}.sekisho");
    if is_only { vec![format!("{name}.sekisho"), name, long] } else { vec![long] }
}

/// Keeps what agents tell of SSH servers.
pub struct Observer;

#[async_trait]
impl FactsObserver for Observer {
    async fn observe(&self, tx: &mut dyn Write, machine: &Resource, facts: &Facts) -> Result<(), ArmError> {
        let kept = of(tx.as_read(), &machine.id).await?;
        let fresh = match &facts.ssh {
            None => None,
            Some(told) => {
                let keys: BTreeSet<&String> = told.host_keys.iter().collect();
                let still = |c: &HostCertificate| keys.contains(&c.host_key);
                let before = kept.iter().flat_map(|k| &k.certificates);
                Some(SshServer {
                    port: told.port,
                    host_keys: told.host_keys.clone(),
                    trusts: told.trusts,
                    problem: told.problem.clone(),
                    certificates: before.filter(|c| still(c)).cloned().collect(),
                })
            }
        };
        if fresh == kept {
            return Ok(());
        }
        match fresh {
            Some(fresh) => write_document(tx, KIND, &machine.id.key(), &fresh).await?,
            None => drop(tx.remove_document(KIND, &machine.id.key()).await?),
        }
        Ok(())
    }

    async fn retire(&self, tx: &mut dyn Write, machine: &Resource) -> Result<(), ArmError> {
        tx.remove_document(KIND, &machine.id.key()).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_key_is_certified_again_before_its_certificate_ends_and_for_every_new_authority_or_name() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let names = vec!["a".to_owned()];
        let mut server = SshServer { host_keys: vec!["k1".into(), "k2".into()], ..SshServer::default() };
        let certificate = |key: &str| HostCertificate {
            host_key: key.to_owned(),
            authority: "ca".to_owned(),
            names: names.clone(),
            certificate: String::new(),
            until: now + LASTS,
        };
        server.certificates = vec![certificate("k1")];
        assert_eq!(server.uncertified("ca", &names, now), ["k2"]);
        server.certificates.push(certificate("k2"));
        assert!(server.uncertified("ca", &names, now + Duration::days(14)).is_empty());
        assert_eq!(server.uncertified("ca", &names, now + Duration::days(15)).len(), 2);
        assert_eq!(server.uncertified("other", &names, now).len(), 2);
        assert_eq!(server.uncertified("ca", &["b".to_owned()], now).len(), 2);
    }
}
