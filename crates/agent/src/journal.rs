//! What this machine tells of its own life: events noted on disk and sent when there is a server.
//!
//! A disk that takes no more events never stops the agent from enforcing: the failure is logged, and what could not be
//! noted is counted and told of later.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use sekisho_agent::connection::Connection;
use sekisho_agent::outbox::Outbox;
use sekisho_agent::spool::Spool;
use sekisho_link::message::{Report, StreamState, ToServer};
use sekisho_link::stream::{Batch, Epoch, Stream};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// Bytes on disk for each stream.
const QUOTA: [(Stream, u64); 2] = [(Stream::Security, 64 << 20), (Stream::Telemetry, 192 << 20)];

/// The streams of this machine.
pub(crate) struct Journal(BTreeMap<Stream, Outbox>);

impl Journal {
    /// Opens the spools in the agent's state directory.
    pub(crate) fn open(state: &Path, boot: &str) -> io::Result<Journal> {
        let mut all = BTreeMap::new();
        for (stream, quota) in QUOTA {
            let dir = state.join("spool").join(stream.word());
            all.insert(stream, Outbox::new(Spool::open(&dir, stream, quota, boot, fresh_epoch()?)?));
        }
        Ok(Journal(all))
    }

    /// Notes that something happened.
    pub(crate) fn note(&mut self, stream: Stream, kind: &str, data: Value) {
        let Value::Object(data) = data else { return };
        let at = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
        self.on(stream, |outbox| outbox.keep(i64::try_from(at).unwrap_or(0), kind, data));
    }

    /// Notes that another program had removed the rules and that they are in force again. How a generation ends is in
    /// the report, and the server notes that.
    pub(crate) fn repaired(&mut self, report: &Report) {
        let message: String = report.message.chars().take(2000).collect();
        self.note(
            Stream::Security,
            "rules.repaired",
            json!({"generation": report.generation, "message": message}),
        );
    }

    fn on(&mut self, stream: Stream, work: impl FnOnce(&mut Outbox) -> io::Result<()>) {
        let Some(outbox) = self.0.get_mut(&stream) else { return };
        if let Err(error) = work(outbox) {
            tracing::error!(%error, stream = stream.word(), "the spool of events does not work");
        }
    }

    /// A connection begins.
    pub(crate) fn connected(&mut self, server: &BTreeMap<Stream, StreamState>) {
        for (stream, state) in server {
            self.on(*stream, |outbox| outbox.connected(&state.last, state.credit, fresh_epoch()?));
        }
    }

    pub(crate) fn disconnected(&mut self) {
        self.0.values_mut().for_each(Outbox::disconnected);
    }

    pub(crate) fn acknowledged(&mut self, stream: Stream, epoch: Epoch, upto: u64, credit: usize) {
        self.on(stream, |outbox| outbox.acknowledged(epoch, upto, credit));
    }

    pub(crate) fn missing(&mut self, stream: Stream, epoch: Epoch, last: u64) {
        self.on(stream, |outbox| {
            outbox.missing(epoch, last);
            Ok(())
        });
    }

    pub(crate) fn credit(&mut self, stream: Stream, credit: usize) {
        self.on(stream, |outbox| {
            outbox.grant(credit);
            Ok(())
        });
    }

    /// Makes durable what could wait for it.
    pub(crate) fn sync(&mut self) {
        for stream in Stream::ALL {
            self.on(stream, Outbox::sync);
        }
    }

    /// Sends what the server takes, the urgent stream first.
    pub(crate) async fn send(&mut self, connection: &mut Connection) -> anyhow::Result<()> {
        // Each batch of what can wait is small, and what cannot is looked at again after it.
        while let Some(batch) = self.next_batch() {
            connection.send(&ToServer::Events(batch)).await?;
        }
        Ok(())
    }

    fn next_batch(&mut self) -> Option<Batch> {
        self.0.values_mut().find_map(|outbox| {
            outbox.next_batch().unwrap_or_else(|error| {
                tracing::error!(%error, "the spool of events cannot be read");
                None
            })
        })
    }
}

/// A new numbering, unlike any other.
pub(crate) fn fresh_epoch() -> io::Result<Epoch> {
    let mut bytes = [0u8; 8];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .map_err(|_| io::Error::other("the system gives no randomness"))?;
    Ok(Epoch(u64::from_le_bytes(bytes)))
}
