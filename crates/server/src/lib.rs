//! The server: composition of everything that answers on the network.
//!
//! A connection comes in through [`listen`], becomes a request in [`http`], is attributed by [`authn`] and
//! let in by [`conditional_access`], and is answered
//! by [`arm`] (resources), [`signin`] (people and tokens), [`link`] (agents), [`bastion`] (streams to machines), [`events`]
//! (what changed) or [`portal`].
//! Writes go through the store; background tasks follow its change feed and only ever converge: [`desired`] compiles
//! what machines should be, [`link`] wakes their connections, [`arm`] keeps the rights current, [`lake`] moves events
//! into segments, [`log`] signs the activity log.
//!
//! The server must never answer a write before it is durable and audited, log a secret, or let a route through that
//! did not ask for a right.

pub mod access;
pub mod admin;
mod admitted;
mod ahead;
pub mod app;
pub mod arm;
pub mod authn;
pub mod backup;
mod bastion;
mod breached;
mod certificates;
mod conditional_access;
pub mod config;
mod countries;
pub mod database;
pub mod desired;
pub mod doctor;
mod drain;
pub mod events;
mod flow_logs;
pub mod http;
mod installer;
mod keys;
mod lake;
pub mod link;
mod listen;
pub mod log;
mod metrics;
pub mod openapi;
mod outgoing;
pub mod portal;
mod process;
pub mod resources;
mod rights;
pub mod routes;
pub mod signin;

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::{Arc, OnceLock};

use sekisho_arm::{ArmError, Registry, Resource, Scope, StoreError};
use sekisho_lake::{Lake, LakeError};
use sekisho_link::Current;
use sekisho_link::machine::FactsObserver;
use sekisho_link::provider::JoinPoint;
use sekisho_rbac::Universe;
use sekisho_store::Store;
use serde_json::json;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use crate::access::Access;
use crate::app::{Agents, App};
pub use crate::bastion::Archive;
use crate::bastion::credentials::LateKeys;
use crate::breached::Breached;
use crate::certificates::Certificates;
use crate::conditional_access::ConditionalAccess;
use crate::config::{Config, ConfigError};
use crate::countries::Countries;
use crate::installer::Installer;
use crate::keys::{Loaded, Opened};
use crate::log::Log;
use crate::metrics::Metrics;
use crate::signin::Identity;

/// The server cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The data directory cannot be used.
    #[error("the data directory {0} cannot be used: {1}. Choose another with 'data_dir' or SEKISHO_DATA_DIR")]
    DataDir(String, std::io::Error),
    /// Somebody else works on the data directory.
    #[error(
        "the data directory {0} is in use by another 'sekisho'; stop it first, or choose another with 'data_dir'"
    )]
    InUse(String),
    /// A file cannot be used.
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    /// A backup cannot be read, or does not fit.
    #[error("the backup cannot be restored: {0}. Nothing was changed")]
    Backup(String),
    /// The root key was replaced while a backup was written.
    #[error("the root key was replaced in the meantime: begin the backup again")]
    Rotated,
    /// There are no such entries.
    #[error("the log has {0} entries; choose some of them")]
    Export(u64),
    /// A key cannot be read or made.
    #[error("{0}")]
    Keys(#[from] keys::KeyError),
    /// The database cannot be used.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The lake cannot be used.
    #[error("{0}. Choose another place with 'lake' or SEKISHO_LAKE")]
    Lake(#[from] LakeError),
    /// A setting's file cannot be used.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The certificate cannot be shown.
    #[error("{0}")]
    Certificate(#[from] certificates::CertificateError),
    /// The database of countries cannot be read.
    #[error("{0}")]
    Countries(#[from] countries::CountriesError),
    /// The list of breached passwords cannot be used.
    #[error("{0}")]
    Breached(#[from] breached::BreachedError),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}: {1}. Choose another with 'listen' or SEKISHO_LISTEN")]
    Listen(String, std::io::Error),
    /// Nor can the address of the figures.
    #[error("cannot listen on {0}: {1}. Choose another with 'metrics_listen' or SEKISHO_METRICS_LISTEN")]
    MetricsListen(String, std::io::Error),
    /// A key does not work.
    #[error("{0}")]
    Key(String),
    /// Something else of the operating system.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A first resource could not be made.
    #[error("{0}")]
    Arm(#[from] ArmError),
}

/// All types and scope actions, and all operations over them. `store` is where the activity log is read from, beside the
/// read transaction of the request.
pub fn registry(
    tenant: Uuid,
    (store, log): (&Store, &Arc<Log>),
    (lake, recordings): (&Lake, &Archive),
    point: JoinPoint,
) -> (Registry, Arc<Universe>, LateKeys) {
    let (late_registry, late_universe) = (Arc::new(OnceLock::new()), Arc::new(OnceLock::new()));
    let late_keys = LateKeys::default();
    let files = resources::recordings::Files(recordings.clone());
    let mut registry = Registry::default();
    registry
        .add(resources::core::Subscriptions { tenant: tenant.to_string() })
        .add(resources::groups::ResourceGroups { registry: late_registry.clone() })
        .add(resources::activity::Events { store: store.clone() })
        .add(resources::activity::Categories)
        .add(resources::log::Logs { store: store.clone(), log: log.clone() })
        .add(resources::log::Proofs { store: store.clone(), log: log.clone() })
        .add(resources::events::Events { lake: lake.clone() })
        .add(resources::recordings::Recordings {
            files: files.clone(),
            searched: resources::recordings::SEARCHED,
        })
        .add(resources::bastion_sessions::Sessions);
    resources::management::register(&mut registry, tenant, &late_universe);
    resources::authorization::register(&mut registry, &late_universe);
    resources::pim::register(&mut registry, &late_universe);
    resources::jit::register(&mut registry, &late_universe);
    sekisho_link::provider::register(&mut registry, point, observers());
    sekisho_nsg::provider::register(&mut registry);
    let links = bastion::Links { universe: late_universe.clone() };
    sekisho_bastion::provider::register(&mut registry, Arc::new(links));
    registry.add_scope_action(resources::traffic::Traffic {
        lake: lake.clone(),
        universe: late_universe.clone(),
    });
    resources::flow_map::register(&mut registry, lake, &late_universe);
    registry.add_scope_action(resources::recordings::Play { files: files.clone() });
    registry.add_scope_action(resources::recordings::Download { files });
    resources::recordings::register_keeping(&mut registry);
    resources::desktops::register(&mut registry, &late_keys);
    registry.add(resources::locks::Locks);
    let universe = Arc::new(universe(&registry));
    // Set once, here: both are empty until now.
    let _ = late_registry.set(registry.clone());
    let _ = late_universe.set(universe.clone());
    (registry, universe, late_keys)
}

/// Every operation: those of the types, and those of the directory and the tags.
pub fn universe(registry: &Registry) -> Universe {
    let mut all: Vec<(String, bool)> = registry.operations().into_iter().map(|o| (o, false)).collect();
    for extra in [
        signin::directory_rights().as_slice(),
        conditional_access::rights().as_slice(),
        sekisho_nsg::provider::LINK_ACTIONS.as_slice(),
        &[
            "Microsoft.Resources/tags/read",
            "Microsoft.Resources/tags/write",
            "Microsoft.Resources/tags/delete",
        ],
        resources::tag_names::RIGHTS.as_slice(),
        bastion::SESSION_RIGHTS.as_slice(),
        &[metrics::READ],
    ] {
        all.extend(extra.iter().map(|o| ((*o).to_owned(), false)));
    }
    all.extend(sekisho_bastion::provider::LOGIN_RIGHTS.iter().map(|o| ((*o).to_owned(), true)));
    Universe::new(all).unwrap_or_default()
}

/// Runs the server until SIGTERM or SIGINT.
///
/// # Errors
/// [`ServerError`] with what to do next.
pub async fn run(config: Config) -> Result<(), ServerError> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    run_until(config, async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
    .await
}

/// Runs the server until `stop` is ready.
///
/// # Errors
/// [`ServerError`] with what to do next.
pub async fn run_until(config: Config, stop: impl Future<Output = ()>) -> Result<(), ServerError> {
    // First of all, while nothing else holds a descriptor.
    let inherited = listen::inherited()?;
    let dir = config.data_dir.clone();
    let _lock = database::take(&dir)?;
    if let Some(upgrade) = database::migrate(&config).await? {
        tracing::info!(from = upgrade.from, to = upgrade.to, backup = %upgrade.backup.display(), "the database was brought up to date");
    }
    let store = Store::open(&database::url(&config)?).await?;
    let Loaded { opened, server, tenant, subscription } = keys::load(&config, &store).await?;
    let Opened { keys, tokens, log } = opened;
    let key = |e: &dyn std::fmt::Display| ServerError::Key(e.to_string());
    let certificates = Certificates::load(&config, &server, &keys.authorities)?;
    let point = JoinPoint {
        address: config.join_address.clone(),
        pin: certificates.pin(),
        served: certificates.clients(),
    };
    // Requests have a read transaction open while they ask for the log or for events.
    let beside = store.with_own_readers()?;
    let lake = Lake::on(beside.clone(), config.lake.open(tenant, &config.lake_options()?)?);
    let log = Arc::new(Log::new(tenant, log));
    let recordings = Archive::open(&config, tenant)?;
    let (registry, universe, late_keys) = registry(tenant, (&beside, &log), (&lake, &recordings), point);
    first_subscription(&store, subscription, &config).await?;
    resources::management::first_groups(&store, tenant).await?;
    let tls = certificates.tls().map_err(|e| key(&e))?;
    let identity = Identity::new(&config, tenant, tokens).map_err(|e| key(&e))?;
    if let Err(error) = &identity.passkeys {
        tracing::warn!(%error, "passkeys are off; people sign in with password and code");
    }
    let passkeys = identity.passkeys.is_ok();
    store
        .write::<_, StoreError, _>(move |tx| {
            Box::pin(async move { conditional_access::first_policies(tx, passkeys).await })
        })
        .await?;
    let keys = Arc::new(Current::new(keys));
    late_keys.set(keys.clone());
    let app = Arc::new(App {
        access: Access::load(universe, &store).await?,
        conditional_access: ConditionalAccess::load(&store).await?,
        seen: conditional_access::Seen::default(),
        countries: Countries::open(config.country_database.as_deref())?,
        breached: Breached::open(config.breached_passwords_file.as_deref())?,
        tenant,
        subscription,
        registry,
        identity,
        keys,
        refreshing: tokio::sync::Mutex::default(),
        log,
        compilers: vec![
            Arc::new(sekisho_nsg::provider::Compiler),
            Arc::new(sekisho_nsg::provider::FlowCompiler),
            Arc::new(sekisho_jit::provider::Compiler),
            Arc::new(bastion::Trust),
        ],
        observers: observers(),
        agents: Agents::default(),
        bastion: bastion::Bastion::default(),
        installer: Installer::new(config.agents_dir.clone()),
        certificates,
        metrics: Metrics::default(),
        admission: link::Admission::default(),
        store,
        lake,
        recordings,
        config,
    });
    if signin::is_first_run(&app).await? {
        announce(&app).await?;
    }
    // Dropped, and with that ended, whichever way this function returns.
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(arm::follow(app.clone()));
    tasks.spawn(conditional_access::follow(app.clone()));
    tasks.spawn(conditional_access::keep(app.clone()));
    tasks.spawn(desired::follow(app.clone()));
    tasks.spawn(link::follow(app.clone()));
    tasks.spawn(lake::keep(app.clone()));
    tasks.spawn(flow_logs::keep(app.clone()));
    tasks.spawn(signin::sweep::keep(app.clone()));
    tasks.spawn(keys::keep::follow(app.clone()));
    tasks.spawn(resources::pim::clock::keep(app.clone()));
    tasks.spawn(resources::jit::clock::keep(app.clone()));
    tasks.spawn(resources::jit::notices::keep(app.clone()));
    tasks.spawn(bastion::keep(app.clone()));
    tasks.spawn(bastion::keep_recordings(app.clone()));
    tasks.spawn(bastion::keep_archive(app.clone()));
    tasks.spawn(bastion::keep_trust(app.clone()));
    tasks.spawn(log::keep(app.clone()));
    tasks.spawn(certificates::keep(app.clone()));
    let router = http::router(app.clone());
    let listener = TcpListener::bind(app.config.listen)
        .await
        .map_err(|e| ServerError::Listen(app.config.listen.to_string(), e))?;
    // After the bind: whoever is answered by the administration socket may connect.
    let mut admin = tokio::spawn(admin::serve(app.clone()));
    if let Some(address) = app.config.metrics_listen {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|e| ServerError::MetricsListen(address.to_string(), e))?;
        let metrics = metrics::open(app.clone());
        tasks.spawn(async move {
            if let Err(error) = axum::serve(listener, metrics).await {
                tracing::error!(%error, "the figures are no longer served");
            }
        });
    }
    tracing::info!(address = %app.config.listen, url = signin::public_base(&app.config), "listening");
    // Whoever started us without waiting has no socket for it.
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::warn!(%error, "the service manager could not be told");
    }
    for listener in inherited {
        tasks.spawn(listen::serve(app.clone(), listener, tls.clone(), router.clone()));
    }
    tokio::select! {
        () = listen::serve(app.clone(), listener, tls, router) => {}
        ended = &mut admin => {
            if let Ok(Err(error)) = ended {
                return Err(error.into());
            }
        }
        () = stop => tracing::info!("stopping"),
    }
    // The socket must not answer for a server that has stopped.
    admin.abort();
    if let Err(error) = conditional_access::keep_now(&app).await {
        tracing::warn!(%error, "what was seen of the last requests is not kept");
    }
    Ok(())
}

/// The first start ends with what the operator needs next.
#[expect(
    clippy::print_stdout,
    reason = "the one-time link is for the person who started the server, not for the log"
)]
async fn announce(app: &Arc<App>) -> Result<(), ServerError> {
    // Where nobody looks, as under a service manager, what is printed is kept like a log.
    if std::io::stdout().is_terminal() {
        let link = signin::setup_link(app).await?;
        println!("Nobody has signed in yet. Open this one-time link and register yourself:\n  {link}");
        println!("Browsers and az must trust {}", app.config.data_dir.join("keys/ca.pem").display());
    } else {
        tracing::info!("nobody has signed in yet; 'sekisho setup-link' prints a one-time link");
    }
    Ok(())
}

/// Makes the first subscription when there is none.
async fn first_subscription(store: &Store, id: Uuid, config: &Config) -> Result<(), StoreError> {
    let scope = Scope::Subscription(id.to_string());
    if sekisho_arm::Read::get(&mut store.read().await?, &scope).await?.is_some() {
        return Ok(());
    }
    let now = OffsetDateTime::now_utc();
    let resource = Resource {
        type_name: scope.type_name(),
        id: scope,
        location: None,
        tags: None,
        etag: String::new(),
        sequence: 0,
        created_at: now,
        changed_at: now,
        rest: BTreeMap::from([("displayName".to_owned(), json!(config.organization))]).into_iter().collect(),
    };
    store
        .write::<_, StoreError, _>(move |tx| Box::pin(async move { tx.put(resource).await.map(|_| ()) }))
        .await
}

/// Who hears of what machines tell of themselves.
fn observers() -> Vec<Arc<dyn FactsObserver>> {
    vec![
        Arc::new(sekisho_nsg::provider::Interfaces),
        Arc::new(sekisho_bastion::machine::Observer),
        Arc::new(sekisho_bastion::near::Observer),
        Arc::new(sekisho_bastion::desktop::Observer),
    ]
}

#[cfg(test)]
mod tests {
    use sekisho_audit::note::{Signer, Use};
    use sekisho_link::pki::Authority;
    use sekisho_link::served::Served;

    use super::*;

    /// The portal's types are generated from the file, so the file must be what the server says.
    #[tokio::test]
    async fn the_checked_in_openapi_document_is_the_one_the_server_gives() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite://{}/db", dir.path().display())).await.unwrap();
        let now = OffsetDateTime::now_utc();
        let authority = Authority::load(&Authority::generate("none", now).unwrap()).unwrap();
        let served = Arc::new(Served::new(&authority.server(&[], now).unwrap()).unwrap());
        let pin = Arc::new(Current::new([0; 32]));
        let point = JoinPoint { address: "localhost:8443".to_owned(), pin, served };
        let place = sekisho_lake::Place::Directory(dir.path().join("lake"));
        let lake = Lake::on(store.clone(), place.open(Uuid::nil(), &BTreeMap::new()).unwrap());
        let log = Signer::new("sekisho/none", Use::Note, &Signer::generate().unwrap()).unwrap();
        let log = Arc::new(Log::new(Uuid::nil(), log::LogKeys::new(log, Vec::new())));
        let recordings = Archive::of(dir.path(), None, "");
        let (registry, ..) = registry(Uuid::nil(), (&store, &log), (&lake, &recordings), point);
        let document =
            serde_json::to_string_pretty(&openapi::describe(&registry, &http::routes().operations)).unwrap()
                + "\n";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../portal/openapi.json");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &document).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == document,
            "portal/openapi.json is out of date: run this test with UPDATE_GOLDEN=1, then 'npm run generate' in portal/"
        );
    }
}
