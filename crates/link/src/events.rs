//! What the server itself sees happen to a machine, as events of the machine: appended in the transaction in which it
//! happens, so that it is told exactly when it is true.

use sekisho_arm::{Event, Scope, StoreError, Write};
use serde_json::Value;

/// The stream of what the server sees.
pub const STREAM: &str = "server";
/// The server's stream has one life only: its numbers go on for ever.
const EPOCH: &str = "0";
/// Most characters of a text that comes from somewhere else.
const TEXT: usize = 500;

/// The kinds of events.
pub mod kind {
    /// It joined.
    pub const JOINED: &str = "machine.joined";
    /// It joined again, with a new key.
    pub const REJOINED: &str = "machine.rejoined";
    /// Two machines use its key.
    pub const DUPLICATE: &str = "machine.duplicate";
    /// Its keys were taken away, and it is to join again.
    pub const REKEYED: &str = "machine.rekeyed";
    /// A key that it does not use any more was shown at the door.
    pub const FORMER_KEY: &str = "machine.formerKey";
    /// Its disk or memory was put back to an earlier state.
    pub const ROLLED_BACK: &str = "machine.rolledBack";
    /// It was retired.
    pub const RETIRED: &str = "machine.retired";
    /// Its agent connected.
    pub const CONNECTED: &str = "agent.connected";
    /// Its agent's connection ended.
    pub const DISCONNECTED: &str = "agent.disconnected";
    /// Its agent got a fresh certificate.
    pub const RENEWED: &str = "certificate.renewed";
    /// A generation of its rules is in force.
    pub const APPLIED: &str = "rules.applied";
    /// A generation could not be loaded.
    pub const FAILED: &str = "rules.failed";
    /// A generation cut it off and was taken back.
    pub const REVERTED: &str = "rules.reverted";
    /// Something about it is different.
    pub const FACTS: &str = "facts.changed";
}

/// Appends an event of a machine that happened now.
///
/// # Errors
/// Those of the database.
pub async fn happened(
    tx: &mut (dyn Write + '_),
    machine: &Scope,
    kind: &str,
    data: Value,
) -> Result<(), StoreError> {
    let (machine, at) = (machine.key(), tx.now());
    let sequence = tx.last_event(&machine, STREAM, EPOCH).await? + 1;
    let (stream, epoch, kind) = (STREAM.to_owned(), EPOCH.to_owned(), kind.to_owned());
    tx.append_events(vec![Event { machine, stream, epoch, sequence, at, kind, data }]).await
}

/// A text of bounded length.
pub fn bounded(text: &str) -> String {
    text.chars().take(TEXT).collect()
}
