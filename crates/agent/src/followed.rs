//! Where the keys went that this machine knows of the server: what it follows when it is told that some were replaced.

use sekisho_agent::enrol::Identity;
use sekisho_audit::note::Verifier;
use sekisho_audit::succession::{Pinned as _, walk};
use sekisho_audit::witness::Memory;
use sekisho_link::CommandKey;
use sekisho_link::message::Successions;

use crate::log::Log;

/// The keys that take the place of those that were known; nothing where these are the newest.
pub(crate) struct Followed {
    pub(crate) command: Option<CommandKey>,
    /// What is remembered of the log, under its key.
    pub(crate) log: Option<Memory>,
}

impl Followed {
    /// Walks from the keys that are known.
    pub(crate) fn from(command: &CommandKey, log: &Log, all: &Successions) -> Followed {
        let led = walk(command, &all.command).pop();
        Followed { command: led.filter(|key| key != command), log: log.succeeded(&all.log) }
    }

    /// Whether all that are known are the newest.
    pub(crate) fn is_nothing(&self) -> bool {
        self.command.is_none() && self.log.is_none()
    }

    /// The identity as it is kept from now on.
    pub(crate) fn kept(&self, identity: &Identity) -> Identity {
        let mut kept = identity.clone();
        if let Some(key) = &self.command {
            kept.command_key = key.to_string();
        }
        if let Some(memory) = &self.log {
            kept.log_key = Some(memory.key.to_string());
        }
        kept
    }

    /// What each is for, and the key.
    pub(crate) fn told(&self) -> Vec<(&'static str, String)> {
        let command = self.command.iter().map(|key| (CommandKey::PURPOSE, key.to_string()));
        let log = self.log.iter().map(|memory| (Verifier::PURPOSE, memory.key.to_string()));
        command.chain(log).collect()
    }
}
