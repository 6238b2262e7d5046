//! Whom the SSH servers of machines trust, and who vouches for them: the part of desired documents that names the
//! authorities, and the certificates of host keys, which are signed here as soon as agents have told of the keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use sekisho_arm::traits::{read_documents, write_document};
use sekisho_arm::{ArmError, Listing, Read, Scope, StoreError};
use sekisho_bastion::machine::{self as kept, HostCertificate, KIND, LASTS, SshServer, names};
use sekisho_bastion::part::{PART, SshPart};
use sekisho_bastion::provider::{host_type, reached};
use sekisho_bastion_ssh::certificate::of_host;
use sekisho_identity::ring::Purpose;
use sekisho_link::machine::{PartCompiler, interface_type, vm_type};
use sekisho_store::News;
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};

use crate::app::App;
use crate::keys::rows;

/// How often it is looked whether certificates end.
const EVERY: Duration = Duration::from_secs(3600);

/// The part of every machine that a bastion host reaches.
pub(crate) struct Compiler;

#[async_trait]
impl PartCompiler for Compiler {
    fn part(&self) -> &'static str {
        PART
    }

    fn watches(&self, kind: &str) -> bool {
        kind == rows::KIND
            || kind == KIND
            || [host_type(), vm_type(), interface_type()].iter().any(|own| kind == own.key())
    }

    async fn compile(&self, read: &mut dyn Read) -> Result<BTreeMap<String, Value>, ArmError> {
        let machines = reached(read).await?;
        if machines.is_empty() {
            return Ok(BTreeMap::new());
        }
        let ring = rows::of(read, Purpose::SshUserCa).await?;
        let authorities: Vec<String> = ring.living().map(|key| key.public.clone()).collect();
        let destroyed = ring.rows().iter().filter(|key| !key.lives());
        let revoked: Vec<String> = destroyed.map(|key| key.public.clone()).collect();
        let servers: Vec<(String, SshServer)> = read_documents(read, KIND).await?;
        let mut certificates: BTreeMap<String, Vec<String>> = servers
            .into_iter()
            .map(|(machine, server)| {
                (machine, server.certificates.into_iter().map(|c| c.certificate).collect())
            })
            .collect();
        let mut part = |machine: &String| SshPart {
            authorities: authorities.clone(),
            revoked: revoked.clone(),
            host_certificates: certificates.remove(machine).unwrap_or_default(),
        };
        let value = |machine: String| {
            let part = serde_json::to_value(part(&machine)).map_err(|_| ArmError::internal())?;
            Ok((machine, part))
        };
        machines.into_iter().map(value).collect()
    }

    fn changes(&self, _: Option<&Value>, _: Option<&Value>) -> Vec<Value> {
        Vec::new()
    }
}

/// Has every host key certified that agents have told of, for as long as the server runs.
pub(crate) async fn keep(app: Arc<App>) {
    let mut feed = app.store.changes();
    let mut look = interval(EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let only = tokio::select! {
            news = feed.next() => match news {
                Some(News::Changes(changes)) => {
                    if changes.iter().any(|c| c.kind == rows::KIND) {
                        None
                    } else {
                        let changed = changes.iter().filter(|c| c.kind == KIND);
                        let changed: BTreeSet<String> = changed.map(|c| c.key.clone()).collect();
                        if changed.is_empty() { continue } else { Some(changed) }
                    }
                }
                Some(News::Missed) => None,
                None => return,
            },
            _ = look.tick() => None,
        };
        if let Err(error) = certify(&app, only.as_ref()).await {
            tracing::error!(%error, "host keys of machines could not be certified");
        }
    }
}

/// Certifies what is not certified yet, of these machines or of all.
async fn certify(app: &Arc<App>, only: Option<&BTreeSet<String>>) -> Result<(), StoreError> {
    let mut read = app.store.read().await?;
    let now = read.now();
    let concerned = |key: &String| only.is_none_or(|only| only.contains(key));
    let servers: Vec<(String, SshServer)> = match only {
        Some(keys) => {
            let mut out = Vec::new();
            for key in keys {
                let Ok(id) = Scope::parse(key) else { continue };
                out.extend(kept::of(&mut read, &id).await?.map(|server| (key.clone(), server)));
            }
            out
        }
        None => read_documents(&mut read, KIND).await?,
    };
    if servers.is_empty() {
        return Ok(());
    }
    let machines = read.list(&Listing::of(&Scope::Tenant, &vm_type())).await?;
    drop(read);
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for machine in &machines {
        *known.entry(machine.id.name().to_lowercase()).or_default() += 1;
    }
    let ids: BTreeMap<String, &Scope> = machines.iter().map(|m| (m.id.key(), &m.id)).collect();
    let authority = app.keys.get();
    let authority = &authority.ssh_hosts;
    let line = authority.line();
    for (key, mut server) in servers.into_iter().filter(|(key, _)| concerned(key)) {
        let Some(id) = ids.get(&key) else { continue };
        let names = names(id, known.get(&id.name().to_lowercase()) == Some(&1));
        let missing = server.uncertified(&line, &names, now);
        if missing.is_empty() {
            continue;
        }
        let before = server.clone();
        for host_key in missing {
            let lasts = LASTS.unsigned_abs();
            match of_host(authority, &host_key, &names, SystemTime::from(now), lasts) {
                Ok(certificate) => {
                    server.certificates.retain(|c| c.host_key != host_key);
                    let (authority, names, until) = (line.clone(), names.clone(), now + LASTS);
                    server.certificates.push(HostCertificate {
                        host_key,
                        authority,
                        names,
                        certificate,
                        until,
                    });
                }
                Err(error) => tracing::warn!(machine = key, %error, "a host key cannot be certified"),
            }
        }
        if server == before {
            continue;
        }
        app.store
            .write::<_, StoreError, _>(move |tx| {
                Box::pin(async move {
                    let Ok(id) = Scope::parse(&key) else { return Ok(()) };
                    // Its agent may have told of other keys meanwhile; those come with the next change.
                    if kept::of(tx.as_read(), &id).await?.as_ref() == Some(&before) {
                        write_document(tx, KIND, &key, &server).await?;
                    }
                    Ok(())
                })
            })
            .await?;
    }
    Ok(())
}
