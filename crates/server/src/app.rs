//! Everything the running server shares.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use sekisho_arm::Registry;
use sekisho_lake::Lake;
use sekisho_link::SigningKey;
use sekisho_link::machine::{FactsObserver, PartCompiler};
use sekisho_link::pki::Authority;
use sekisho_link::served::Served;
use sekisho_store::Store;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::access::Access;
use crate::config::Config;
use crate::installer::Installer;
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
    /// All types.
    pub registry: Registry,
    /// Rights.
    pub access: Access,
    /// People, sessions and tokens.
    pub identity: Identity,
    /// The certificate authority.
    pub authority: Authority,
    /// Signs desired documents.
    pub command_key: SigningKey,
    /// What makes parts of desired documents.
    pub compilers: Vec<Arc<dyn PartCompiler>>,
    /// What makes resources out of facts.
    pub observers: Vec<Arc<dyn FactsObserver>>,
    /// Live connections.
    pub agents: Agents,
    /// What browsers and `az` see.
    pub served: Arc<Served>,
    /// What machines install from.
    pub installer: Installer,
    /// Counters of what happens.
    pub metrics: Metrics,
}

/// Wakes the task of a live agent connection.
pub type Wake = mpsc::Sender<()>;

/// The live connections of agents. Only for waking them: what to say is read from the database.
#[derive(Default)]
pub struct Agents(Mutex<HashMap<String, (Uuid, Wake)>>);

impl Agents {
    /// Remembers a connection; an older one of the same machine is woken, sees that it was replaced, and ends.
    pub fn enter(&self, machine_key: &str, connection: Uuid, wake: Wake) {
        let old = self.lock().insert(machine_key.to_owned(), (connection, wake));
        if let Some((_, wake)) = old {
            // A full queue wakes it as well.
            let _ = wake.try_send(());
        }
    }

    /// Forgets a connection, unless a newer one took its place.
    pub fn leave(&self, machine_key: &str, connection: Uuid) {
        let mut all = self.lock();
        if all.get(machine_key).is_some_and(|(c, _)| *c == connection) {
            all.remove(machine_key);
        }
    }

    /// Whether this is the machine's newest connection.
    pub fn is_current(&self, machine_key: &str, connection: Uuid) -> bool {
        self.lock().get(machine_key).is_some_and(|(c, _)| *c == connection)
    }

    /// Wakes a machine's connection.
    pub fn wake(&self, machine_key: &str) {
        if let Some((_, wake)) = self.lock().get(machine_key) {
            let _ = wake.try_send(());
        }
    }

    /// Wakes all connections.
    pub fn wake_all(&self) {
        for (_, wake) in self.lock().values() {
            let _ = wake.try_send(());
        }
    }

    /// How many machines are connected.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Uuid, Wake)>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
