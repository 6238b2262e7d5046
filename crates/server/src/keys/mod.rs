//! The installation's own keys: the key ring in the database, sealed with the one root key that is not there.
//!
//! [`root`] knows where the root key is, [`rows`] keeps the ring, [`old`] takes over what earlier versions kept in files,
//! [`own`] is the server's certificate, and [`rotate`] replaces keys. In the data directory are the root key, unless
//! systemd has it, and certificates, which are public.

mod files;
mod old;
mod own;
mod root;
pub(crate) mod rotate;
pub(crate) mod rows;

use std::path::PathBuf;
use std::sync::Arc;

use ring::rand::{SecureRandom as _, SystemRandom};
use sekisho_arm::{CallerRef, Outcome, PrincipalKind, Read, StoreError, Write};
use sekisho_audit::note::{Signer, Verifier};
use sekisho_identity::ring::{Algorithm, Key, Label, OpenError, Purpose, RootKey};
use sekisho_identity::token;
use sekisho_link::pki::{Authority, Identity};
use sekisho_store::Store;
use serde::Deserialize;
use time::OffsetDateTime;
use uuid::Uuid;
use zeroize::Zeroizing;

pub(crate) use own::current as current_server;
pub(crate) use root::Roots;

use crate::config::Config;
use crate::log::Log;
use crate::signin;
use files::Files;
use old::Old;
use rows::Ids;

/// The word for the root key where purposes are named.
pub(crate) const ROOT: &str = "root";
/// Those of which there is exactly one.
const SINGLE: [Purpose; 5] =
    [Purpose::AgentCa, Purpose::CommandSigning, Purpose::LogSigning, Purpose::Sealing, Purpose::Throttle];

/// All keys that are used as long as the server runs.
pub(crate) struct Keys {
    /// The authority.
    pub(crate) ca: Identity,
    /// The server's certificate.
    pub(crate) server: Identity,
    /// Signs desired documents; PKCS#8.
    pub(crate) command: Zeroizing<Vec<u8>>,
    /// Seals what else is secret in the database.
    pub(crate) sealing: Zeroizing<[u8; 32]>,
    /// Signs checkpoints of the log; PKCS#8.
    pub(crate) log: Zeroizing<Vec<u8>>,
    /// Keys the counters of failed sign-ins.
    pub(crate) throttle: Zeroizing<[u8; 32]>,
    /// The tenant.
    pub(crate) tenant: Uuid,
    /// The first subscription.
    pub(crate) subscription: Uuid,
}

/// Keys cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file cannot be used.
    #[error("{0}: {1}")]
    File(PathBuf, String),
    /// The root key of the database is not here.
    #[error(
        "the keys in the database are sealed with the root key {0}, which is not here: copy 'keys/root.key' from the \
         data directory of a server that has it, or give the service the credential 'sekisho-root'"
    )]
    OtherRoot(String),
    /// The operator has to make the next root key.
    #[error(
        "the root key is a credential of the service: give it another one as 'sekisho-root-next', restart, and run \
         this again"
    )]
    NoNextRoot,
    /// A row is not what was written.
    #[error("the key {1} for '{0}' does not open: {2}")]
    Unopened(Purpose, String, OpenError),
    /// A file holds another key than the database.
    #[error(
        "{0} is another key than the one in the database. If the database is the right one, move the file away"
    )]
    Differs(PathBuf),
    /// The old ring does not open.
    #[error(
        "the database's signing keys were sealed by another installation: copy the directory 'keys' from the data \
         directory of the server that made them"
    )]
    OldRing,
    /// A key could not be made.
    #[error("no key for '{0}' could be made: {1}")]
    Make(Purpose, String),
    /// A key cannot be used.
    #[error("the key for '{0}' cannot be used")]
    Unusable(Purpose),
    /// There is none.
    #[error("there is no key for '{0}' in the database: the first start of the server makes it")]
    Missing(Purpose),
    /// The database.
    #[error("{0}")]
    Store(#[from] StoreError),
}

fn unopened(key: &Key, why: OpenError) -> KeyError {
    KeyError::Unopened(key.purpose, key.id.clone(), why)
}

/// Seals a key for the ring.
///
/// # Errors
/// [`KeyError::Make`].
pub(crate) fn sealed(
    root: &RootKey,
    label: Label,
    secret: &[u8],
    now: OffsetDateTime,
) -> Result<Key, KeyError> {
    let purpose = label.purpose;
    Key::seal(root, label, secret, now).map_err(|e| KeyError::Make(purpose, e.to_string()))
}

/// The public part of a key that signs tokens.
#[derive(Deserialize)]
struct Point {
    x: String,
    y: String,
}

/// A key that signs tokens, as a label and the bytes to seal.
///
/// # Errors
/// [`KeyError::Unusable`].
pub(crate) fn token_label(key: &token::SigningKey) -> Result<(Label, Zeroizing<Vec<u8>>), KeyError> {
    let unusable = |_| KeyError::Unusable(Purpose::TokenSigning);
    let bytes = Zeroizing::new(serde_json::to_vec(key).map_err(unusable)?);
    let Point { x, y } = serde_json::from_slice(&bytes).map_err(unusable)?;
    let label = Label {
        id: key.kid().to_owned(),
        purpose: Purpose::TokenSigning,
        algorithm: Algorithm::Es256,
        public: format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#),
        active: key.active,
    };
    Ok((label, bytes))
}

/// Reads all keys, making what is missing and taking over what earlier versions kept in files.
///
/// # Errors
/// [`KeyError`] with what to do.
pub(crate) async fn load(config: &Config, store: &Store) -> Result<Keys, KeyError> {
    let files = Files::of(&config.data_dir);
    files.make()?;
    let mut roots = Roots::read(config)?;
    let old = Old::read(&files)?;
    let empty = rows::all(&mut store.read().await?).await?.is_empty();
    let first = if empty { roots.first()? } else { String::new() };
    let (organization, roots) = (config.organization.clone(), Arc::new(roots));
    let sealing = roots.clone();
    let (rows, ids) = store
        .write::<_, KeyError, _>(move |tx| {
            Box::pin(async move { complete(tx, &sealing, &first, &old, &organization).await })
        })
        .await?;
    // All of it is in the database by now.
    old::forget(&files)?;
    roots.settle(rows::root_of(&rows).unwrap_or_default())?;
    let opened = |purpose| {
        let key = rows.iter().find(|key| key.purpose == purpose && key.lives());
        let key = key.ok_or(KeyError::Missing(purpose))?;
        roots.open(key).map(|secret| (key.public.clone(), secret))
    };
    let bits = |purpose| {
        let (_, bytes) = opened(purpose)?;
        <[u8; 32]>::try_from(bytes.as_slice()).map(Zeroizing::new).map_err(|_| KeyError::Unusable(purpose))
    };
    let (certificate, pem) = opened(Purpose::AgentCa)?;
    let pem = std::str::from_utf8(&pem).map_err(|_| KeyError::Unusable(Purpose::AgentCa))?;
    let ca = Identity { certificate, key: Zeroizing::new(pem.to_owned()) };
    files.keep(files::AUTHORITY, &ca.certificate)?;
    let authority = Authority::load(&ca).map_err(|_| KeyError::Unusable(Purpose::AgentCa))?;
    Ok(Keys {
        server: current_server(store, config, &authority).await?,
        ca,
        command: opened(Purpose::CommandSigning)?.1,
        log: opened(Purpose::LogSigning)?.1,
        sealing: bits(Purpose::Sealing)?,
        throttle: bits(Purpose::Throttle)?,
        tenant: ids.tenant,
        subscription: ids.subscription,
    })
}

/// Makes the ring complete.
async fn complete(
    tx: &mut dyn Write,
    roots: &Roots,
    first: &str,
    old: &Old,
    organization: &str,
) -> Result<(Vec<Key>, Ids), KeyError> {
    let now = tx.now();
    let mut rows = rows::all(tx.as_read()).await?;
    let root = roots.named(rows::root_of(&rows).unwrap_or(first))?;
    let kept = rows::ids(tx.as_read()).await?;
    let ids = kept.unwrap_or_else(|| Ids {
        tenant: old.tenant.unwrap_or_else(Uuid::new_v4),
        subscription: old.subscription.unwrap_or_else(Uuid::new_v4),
    });
    if kept.is_none() {
        rows::keep_ids(tx, &ids).await?;
    }
    let mut fresh = Vec::new();
    for purpose in SINGLE {
        let given = old_secret(old, purpose);
        match rows.iter().find(|key| key.purpose == purpose && key.lives()) {
            Some(key) => {
                let same = given.is_none_or(|(_, secret)| roots.open(key).is_ok_and(|own| *own == secret));
                same.then_some(()).ok_or_else(|| differs(roots, purpose))?;
            }
            None => {
                let (public, secret) = match given {
                    Some((public, secret)) => (public, Zeroizing::new(secret.to_vec())),
                    None => make(purpose, organization, now).map_err(|e| KeyError::Make(purpose, e))?,
                };
                let label = single(purpose, public, &secret, &ids, now)?;
                fresh.push(sealed(root, label, &secret, now)?);
            }
        }
    }
    if let Some(server) = &old.server {
        let known = |key: &Key| key.purpose == Purpose::ServerTls && key.public == server.certificate;
        if !rows.iter().any(known) {
            fresh.push(sealed(root, own::label(&server.certificate, now), server.key.as_bytes(), now)?);
        }
    }
    let sealing = old.bare.get(&Purpose::Sealing).map(|bytes| bytes.as_slice());
    if let Some(tokens) = old::token_keys(tx.as_read(), sealing).await? {
        for old::TokenKey { active, secret } in tokens {
            let key: token::SigningKey = serde_json::from_slice(&secret).map_err(|_| KeyError::OldRing)?;
            let (label, secret) = token_label(&key)?;
            fresh.push(sealed(root, Label { active, ..label }, &secret, now)?);
        }
        tx.remove_document(old::KIND, old::TOKENS).await?;
    }
    for key in &fresh {
        rows::put(tx, key).await?;
    }
    if !fresh.is_empty() && !old.is_empty() {
        tx.audit(signin::entry("keys/import/action", itself(), Outcome::Succeeded, "key files", "")).await?;
    }
    rows.append(&mut fresh);
    Ok((rows, ids))
}

/// The server, where nobody asked it.
pub(crate) fn itself() -> CallerRef {
    CallerRef {
        object_id: Uuid::nil().to_string(),
        kind: PrincipalKind::System,
        name: "the server itself".to_owned(),
    }
}

fn differs(roots: &Roots, purpose: Purpose) -> KeyError {
    KeyError::Differs(roots.directory().path(old::file_of(purpose)))
}

/// The key of a file: its public part, if that was in a file, too, and the key.
fn old_secret(old: &Old, purpose: Purpose) -> Option<(String, &[u8])> {
    match purpose {
        Purpose::AgentCa => old.authority.as_ref().map(|own| (own.certificate.clone(), own.key.as_bytes())),
        other => old.bare.get(&other).map(|bytes| (String::new(), bytes.as_slice())),
    }
}

/// A new key of one of the [`SINGLE`] purposes.
fn make(
    purpose: Purpose,
    organization: &str,
    now: OffsetDateTime,
) -> Result<(String, Zeroizing<Vec<u8>>), String> {
    let secret = match purpose {
        Purpose::AgentCa => {
            let label = format!("{organization} Sekisho CA {}", &Uuid::new_v4().simple().to_string()[..8]);
            let made = Authority::generate(&label, now).map_err(|e| e.to_string())?;
            return Ok((made.certificate, Zeroizing::new(made.key.as_bytes().to_vec())));
        }
        Purpose::CommandSigning => sekisho_link::SigningKey::generate().map_err(|e| e.to_string())?,
        Purpose::LogSigning => Signer::generate().map_err(|e| e.to_string())?,
        _ => {
            let mut bytes = vec![0; 32];
            SystemRandom::new().fill(&mut bytes).map_err(|_| "the system gives no randomness".to_owned())?;
            bytes
        }
    };
    Ok((String::new(), Zeroizing::new(secret)))
}

fn single(
    purpose: Purpose,
    public: String,
    secret: &[u8],
    ids: &Ids,
    now: OffsetDateTime,
) -> Result<Label, KeyError> {
    let unusable = || KeyError::Unusable(purpose);
    let (algorithm, public) = match purpose {
        Purpose::AgentCa => (Algorithm::Es256, public),
        Purpose::CommandSigning => {
            let key = sekisho_link::SigningKey::from_pkcs8(secret).map_err(|_| unusable())?;
            (Algorithm::Ed25519, key.public().to_text())
        }
        Purpose::LogSigning => {
            let log = Log::new(ids.tenant, secret).map_err(|_| unusable())?;
            (Algorithm::Ed25519, log.key().to_string())
        }
        Purpose::Throttle => (Algorithm::HmacSha256, public),
        _ => (Algorithm::XChaCha20Poly1305, public),
    };
    Ok(Label { id: Uuid::new_v4().to_string(), purpose, algorithm, public, active: now })
}

/// What is known of the log's key without starting a server.
pub(crate) struct KeptLog {
    /// The key by which checkpoints are known.
    pub(crate) verifier: Verifier,
    /// Signs; `None` when the root key is not at hand, as when only the service has it.
    pub(crate) log: Option<Log>,
}

/// The log's key as it is kept.
///
/// # Errors
/// [`KeyError`], also before the first start.
pub(crate) async fn kept_log(config: &Config, read: &mut (dyn Read + '_)) -> Result<KeptLog, KeyError> {
    let missing = KeyError::Missing(Purpose::LogSigning);
    let unusable = || KeyError::Unusable(Purpose::LogSigning);
    let ring = rows::of(read, Purpose::LogSigning).await?;
    let ids = rows::ids(read).await?;
    let (Some(key), Some(ids)) = (ring.living().last(), ids) else { return Err(missing) };
    let log = match Roots::read(config)?.open(key) {
        Ok(secret) => Some(Log::new(ids.tenant, &secret).map_err(|_| unusable())?),
        Err(KeyError::OtherRoot(_)) => None,
        Err(error) => return Err(error),
    };
    Ok(KeptLog { verifier: key.public.parse().map_err(|_| unusable())?, log })
}

/// The server's own certificate as it is kept; `None` before the first start.
///
/// # Errors
/// [`KeyError::File`].
pub(crate) fn kept_server(config: &Config) -> Result<Option<String>, KeyError> {
    Ok(Files::of(&config.data_dir).text(files::SERVER)?.map(|text| text.to_string()))
}
