//! The installation's own keys: the key ring in the database, sealed with the one root key that is not there.
//!
//! [`root`] knows where the root key is, [`rows`] keeps the ring, [`make`] makes its keys, [`old`] takes over what earlier
//! versions kept in files, [`own`] is the server's certificate, [`rotate`] replaces keys, [`successions`] is how machines
//! learn of that, and [`keep`] has every server of a database use what the ring says at the moment. In the data directory
//! are the root key, unless systemd has it, and certificates, which are public.

mod files;
pub(crate) mod keep;
mod make;
mod old;
mod own;
mod root;
pub(crate) mod rotate;
pub(crate) mod rows;
mod successions;

use std::path::PathBuf;
use std::sync::Arc;

use sekisho_arm::{CallerRef, Outcome, PrincipalKind, Read, StoreError, Write};
use sekisho_audit::Succession;
use sekisho_audit::note::{Signer, Verifier};
use sekisho_bastion_ssh::authority as ssh;
use sekisho_identity::ring::{Key, KeyRing, Label, MOST, OpenError, Purpose, RootKey};
use sekisho_identity::seal::{SealingKey, SealingKeys};
use sekisho_identity::throttle::Keyed;
use sekisho_identity::token;
use sekisho_link::SigningKeys;
use sekisho_link::message::Successions;
use sekisho_link::pki::{Authorities, Identity};
use sekisho_store::Store;
use time::OffsetDateTime;
use uuid::Uuid;
use zeroize::Zeroizing;

pub(crate) use own::current as current_server;
pub(crate) use root::Roots;

use crate::config::Config;
use crate::log::{Log, LogKeys};
use crate::signin;
use files::Files;
use make::Maker;
use old::Old;
use rows::Ids;

/// The word for the root key where purposes are named.
pub(crate) const ROOT: &str = "root";

/// The keys in use, as the ring says.
pub(crate) struct Keys {
    /// The authorities.
    pub(crate) authorities: Authorities,
    /// Sign desired documents.
    pub(crate) command: SigningKeys,
    /// How machines learn of keys that were replaced.
    pub(crate) successions: Successions,
    /// Seal what else is secret in the database.
    pub(crate) sealing: SealingKeys,
    /// Key the counters of failed sign-ins.
    pub(crate) throttle: Keyed,
    /// Certifies people to SSH servers.
    pub(crate) ssh_users: ssh::Authority,
    /// Certifies SSH servers to people.
    pub(crate) ssh_hosts: ssh::Authority,
}

/// All keys of the ring that live, opened.
pub(crate) struct Opened {
    pub(crate) keys: Keys,
    /// Sign tokens.
    pub(crate) tokens: Vec<token::SigningKey>,
    /// Sign checkpoints of the log.
    pub(crate) log: LogKeys,
}

/// What there is at the start.
pub(crate) struct Loaded {
    pub(crate) opened: Opened,
    /// The server's certificate.
    pub(crate) server: Identity,
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
    /// Too many live already.
    #[error(
        "{MOST} keys for '{0}' live already: wait until the oldest is over ('sekisho keys list'), or destroy the old ones"
    )]
    TooMany(Purpose),
    /// A purpose has no key that lives.
    #[error("keys are missing in the database: the next start of the server makes them")]
    Incomplete,
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

/// Reads all keys, making what is missing and taking over what earlier versions kept in files.
///
/// # Errors
/// [`KeyError`] with what to do.
pub(crate) async fn load(config: &Config, store: &Store) -> Result<Loaded, KeyError> {
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
    let (successions, now) = {
        let mut read = store.read().await?;
        (successions::all(&mut read).await?, read.now())
    };
    let opened = open(&roots, &rows, successions, (ids.tenant, now))?;
    let authorities = &opened.keys.authorities;
    files.keep(files::AUTHORITY, &authorities.bundle())?;
    let server = current_server(store, config, authorities).await?;
    Ok(Loaded { opened, server, tenant: ids.tenant, subscription: ids.subscription })
}

/// Opens what lives.
fn open(
    roots: &Roots,
    rows: &[Key],
    successions: Successions,
    (tenant, now): (Uuid, OffsetDateTime),
) -> Result<Opened, KeyError> {
    let ring = |purpose| ring_of(rows, purpose);
    let token =
        |key: &Key| serde_json::from_slice(&roots.open(key)?).map_err(|_| KeyError::Unusable(key.purpose));
    let Living { active, before, after } =
        Living::read(&ring(Purpose::CommandSigning), now, |key| make::command(&roots.open(key)?))?;
    let command = SigningKeys::new(active, before, after);
    let sealing = sealing(roots, &ring(Purpose::Sealing), now)?;
    let (active, others) = Living::read(&ring(Purpose::Throttle), now, |key| bits(roots, key))?.apart();
    let throttle = Keyed::new(&active, &others.iter().map(|key| &**key).collect::<Vec<_>>());
    let signer = |key: &Key| make::log_signer(tenant, &roots.open(key)?);
    let (active, others) = Living::read(&ring(Purpose::LogSigning), now, signer)?.apart();
    let log = LogKeys::new(active, others);
    let tokens = ring(Purpose::TokenSigning).living().map(token).collect::<Result<_, _>>()?;
    let keys = Keys {
        authorities: authorities(roots, &ring(Purpose::AgentCa), now)?,
        command,
        successions,
        sealing,
        throttle,
        ssh_users: ssh_authority(roots, &ring(Purpose::SshUserCa), now)?,
        ssh_hosts: ssh_authority(roots, &ring(Purpose::SshHostCa), now)?,
    };
    Ok(Opened { keys, tokens, log })
}

fn ring_of(rows: &[Key], purpose: Purpose) -> KeyRing {
    KeyRing::new(rows.iter().filter(|key| key.purpose == purpose).cloned().collect())
}

/// The keys of a purpose that live.
struct Living<T> {
    active: T,
    before: Vec<T>,
    after: Vec<T>,
}

impl<T> Living<T> {
    fn read(
        ring: &KeyRing,
        now: OffsetDateTime,
        read: impl Fn(&Key) -> Result<T, KeyError>,
    ) -> Result<Living<T>, KeyError> {
        let active = ring.active(now).ok_or(KeyError::Incomplete)?;
        let all: Vec<&Key> = ring.living().collect();
        let at = all.iter().position(|key| key.id == active.id).unwrap_or(0);
        let (before, after) = (all.iter().take(at), all.iter().skip(at + 1));
        Ok(Living {
            active: read(active)?,
            before: before.map(|key| read(key)).collect::<Result<_, _>>()?,
            after: after.map(|key| read(key)).collect::<Result<_, _>>()?,
        })
    }

    /// The one in use, and all others.
    fn apart(self) -> (T, Vec<T>) {
        (self.active, self.before.into_iter().chain(self.after).collect())
    }
}

/// The keys that seal.
fn sealing(roots: &Roots, ring: &KeyRing, now: OffsetDateTime) -> Result<SealingKeys, KeyError> {
    let key = |key: &Key| SealingKey::new(&*bits(roots, key)?).ok_or(KeyError::Unusable(key.purpose));
    let id = ring.active(now).map(|key| key.id.clone()).unwrap_or_default();
    let (active, others) = Living::read(ring, now, key)?.apart();
    Ok(SealingKeys { id, active, others })
}

fn bits(roots: &Roots, key: &Key) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let bytes = roots.open(key)?;
    <[u8; 32]>::try_from(bytes.as_slice()).map(Zeroizing::new).map_err(|_| KeyError::Unusable(key.purpose))
}

/// The authorities. Only the key of the one that signs is opened.
fn authorities(roots: &Roots, ring: &KeyRing, now: OffsetDateTime) -> Result<Authorities, KeyError> {
    let active = ring.active(now).ok_or(KeyError::Incomplete)?;
    let signing = make::authority(active, &roots.open(active)?)?;
    Ok(Authorities::new(signing, ring.living().map(|key| key.public.clone()).collect()))
}

fn ssh_authority(roots: &Roots, ring: &KeyRing, now: OffsetDateTime) -> Result<ssh::Authority, KeyError> {
    let active = ring.active(now).ok_or(KeyError::Incomplete)?;
    make::ssh_authority(active.purpose, &roots.open(active)?)
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
    let sealing = old.bare.get(&Purpose::Sealing).map(|bytes| bytes.as_slice());
    if let Some(tokens) = old::token_keys(tx.as_read(), sealing).await? {
        for old::TokenKey { active, secret } in tokens {
            let key: token::SigningKey = serde_json::from_slice(&secret).map_err(|_| KeyError::OldRing)?;
            let made = make::token(&key)?;
            fresh.push(sealed(root, Label { active, ..made.label }, &made.secret, now)?);
        }
        tx.remove_document(old::KIND, old::TOKENS).await?;
    }
    let maker = Maker { organization, tenant: ids.tenant, now };
    for purpose in Purpose::ALL.into_iter().filter(|purpose| *purpose != Purpose::ServerTls) {
        let given = old_secret(old, purpose);
        let mut living =
            rows.iter().chain(&fresh).filter(|key| key.purpose == purpose && key.lives()).peekable();
        if living.peek().is_some() {
            let same = given
                .is_none_or(|(_, secret)| living.any(|key| roots.open(key).is_ok_and(|own| *own == secret)));
            same.then_some(()).ok_or_else(|| differs(roots, purpose))?;
            continue;
        }
        let made = match given {
            Some((public, secret)) => maker.given(purpose, public, secret)?,
            None => maker.first(purpose)?,
        };
        fresh.push(sealed(root, made.label, &made.secret, now)?);
    }
    if let Some(server) = &old.server {
        let known = |key: &Key| key.purpose == Purpose::ServerTls && key.public == server.certificate;
        if !rows.iter().any(known) {
            fresh.push(sealed(root, own::label(&server.certificate, now), server.key.as_bytes(), now)?);
        }
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

/// What is known of the log's keys without starting a server.
pub(crate) struct KeptLog {
    /// The newest key by which checkpoints are known.
    pub(crate) verifier: Verifier,
    /// Signs; `None` when the root key is not at hand, as when only the service has it.
    pub(crate) log: Option<Log>,
    /// How the key was replaced since the first.
    pub(crate) successions: Vec<Succession<Verifier>>,
}

/// The log's keys as they are kept.
///
/// # Errors
/// [`KeyError`], also before the first start.
pub(crate) async fn kept_log(config: &Config, read: &mut (dyn Read + '_)) -> Result<KeptLog, KeyError> {
    let purpose = Purpose::LogSigning;
    let unusable = || KeyError::Unusable(purpose);
    let ring = rows::of(read, purpose).await?;
    let ids = rows::ids(read).await?;
    let (Some(newest), Some(ids)) = (ring.newest(), ids) else { return Err(KeyError::Missing(purpose)) };
    let roots = Roots::read(config)?;
    let signers: Result<Vec<Signer>, KeyError> =
        ring.living().map(|key| make::log_signer(ids.tenant, &roots.open(key)?)).collect();
    let log = match signers {
        Ok(mut signers) => {
            let newest = signers.pop().ok_or_else(unusable)?;
            Some(Log::new(ids.tenant, LogKeys::new(newest, signers)))
        }
        Err(KeyError::OtherRoot(_)) => None,
        Err(error) => return Err(error),
    };
    let verifier = newest.public.parse().map_err(|_| unusable())?;
    Ok(KeptLog { verifier, log, successions: successions::all(read).await?.log })
}

/// The server's own certificate as it is kept; `None` before the first start.
///
/// # Errors
/// [`KeyError::File`].
pub(crate) fn kept_server(config: &Config) -> Result<Option<String>, KeyError> {
    Ok(Files::of(&config.data_dir).text(files::SERVER)?.map(|text| text.to_string()))
}
