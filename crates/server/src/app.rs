//! Everything the running server shares.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use sekisho_arm::Registry;
use sekisho_lake::Lake;
use sekisho_link::Current;
use sekisho_link::machine::{FactsObserver, PartCompiler};
use sekisho_store::Store;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::access::Access;
use crate::bastion::{Archive, Bastion};
use crate::breached::Breached;
use crate::certificates::Certificates;
use crate::conditional_access::{ConditionalAccess, Seen};
use crate::config::Config;
use crate::countries::Countries;
use crate::installer::Installer;
use crate::keys::Keys;
use crate::link::Admission;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::signin::Identity;

/// The shared state.
pub struct App {
    /// The configuration.
    pub config: Config,
    /// The tenant's id, made at first start.
    pub tenant: Uuid,
    /// The first subscription.
    pub subscription: Uuid,
    /// The database.
    pub store: Store,
    /// Events.
    pub lake: Lake,
    /// Where recordings of sessions are.
    pub(crate) recordings: Archive,
    /// All types.
    pub registry: Registry,
    /// Rights.
    pub access: Access,
    /// What requests must satisfy beyond rights.
    pub(crate) conditional_access: ConditionalAccess,
    /// What was seen of requests and is not kept yet.
    pub(crate) seen: Seen,
    /// In which country an address is.
    pub(crate) countries: Countries,
    /// Passwords that nobody may have.
    pub(crate) breached: Breached,
    /// People, sessions and tokens.
    pub identity: Identity,
    /// The keys in use.
    pub(crate) keys: Arc<Current<Keys>>,
    /// Held by whoever exchanges them.
    pub(crate) refreshing: tokio::sync::Mutex<()>,
    /// Signs the log and proves what stands in it.
    pub log: Arc<Log>,
    /// What makes parts of desired documents.
    pub compilers: Vec<Arc<dyn PartCompiler>>,
    /// What makes resources out of facts.
    pub observers: Vec<Arc<dyn FactsObserver>>,
    /// Live connections.
    pub agents: Agents,
    /// Streams to machines.
    pub(crate) bastion: Bastion,
    /// The certificates that are shown.
    pub(crate) certificates: Certificates,
    /// What machines install from.
    pub installer: Installer,
    /// Counters of what happens.
    pub metrics: Metrics,
    /// How many agents come in at a time.
    pub admission: Admission,
}

/// Wakes the task of a live agent connection.
pub type Wake = Arc<Notify>;

/// The live connections of agents. Only for waking them: what to say is read from the database.
#[derive(Default)]
pub struct Agents(Mutex<HashMap<String, Vec<(Uuid, Wake)>>>);

impl Agents {
    /// Remembers a connection of a machine. There is more than one while one takes the place of another.
    pub fn enter(&self, machine_key: &str, connection: Uuid, wake: Wake) {
        self.lock().entry(machine_key.to_owned()).or_default().push((connection, wake));
    }

    /// Forgets a connection.
    pub fn leave(&self, machine_key: &str, connection: Uuid) {
        let mut all = self.lock();
        if let Some(own) = all.get_mut(machine_key) {
            own.retain(|(c, _)| *c != connection);
            if own.is_empty() {
                all.remove(machine_key);
            }
        }
    }

    /// Wakes a machine's connections.
    pub fn wake(&self, machine_key: &str) {
        for (_, wake) in self.lock().get(machine_key).into_iter().flatten() {
            wake.notify_one();
        }
    }

    /// Wakes all connections.
    pub fn wake_all(&self) {
        for (_, wake) in self.lock().values().flatten() {
            wake.notify_one();
        }
    }

    /// Whether a machine is connected.
    pub fn is_live(&self, machine_key: &str) -> bool {
        self.lock().contains_key(machine_key)
    }

    /// How many machines are connected.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<(Uuid, Wake)>>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
