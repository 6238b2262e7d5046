//! What of a [`Spool`] is on its way: which batch comes next, how much the server is willing to take, and where to go on
//! after a connection broke. It talks to nobody.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use sekisho_link::stream::{Batch, Entry, Epoch, GapReason, Stream};
use serde_json::{Map, Value};

use crate::spool::Spool;

/// Most bytes on their way at once, whatever the server would take.
const MOST_FLYING: usize = 1 << 20;

/// A stream on its way to the server.
#[derive(Debug)]
pub struct Outbox {
    spool: Spool,
    /// The last that was sent.
    sent: (Epoch, u64),
    /// Bytes that may be on their way at once.
    credit: usize,
    /// What is on its way: epoch, last number, bytes.
    flying: VecDeque<(Epoch, u64, usize)>,
    /// Events that the disk did not take.
    refused: u64,
}

impl Outbox {
    /// Begins without a connection.
    pub fn new(spool: Spool) -> Outbox {
        let sent = spool.start();
        Outbox { spool, sent, credit: 0, flying: VecDeque::new(), refused: 0 }
    }

    /// Keeps an event of a kind, with its time in milliseconds since 1970: at once durable on the urgent stream, with the
    /// next [`Outbox::sync`] on the other. What the disk does not take is counted, and told of when it takes something
    /// again.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn keep(&mut self, at: i64, kind: &str, data: Map<String, Value>) -> io::Result<()> {
        let kept = self.append(at, kind, data);
        self.refused += u64::from(kept.is_err());
        kept?;
        if self.spool.stream() == Stream::Security { self.spool.sync() } else { Ok(()) }
    }

    fn append(&mut self, at: i64, kind: &str, data: Map<String, Value>) -> io::Result<()> {
        if self.refused > 0 {
            self.spool.skip(self.refused, GapReason::Refused)?;
            self.refused = 0;
        }
        self.spool.append(at, kind, data)
    }

    /// Makes durable what was kept; only then is it sent.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&mut self) -> io::Result<()> {
        self.spool.sync()
    }

    /// A connection begins: what the server has of each epoch, and how many bytes it takes. `fresh` is used should a new
    /// epoch be needed.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn connected(
        &mut self,
        server: &BTreeMap<Epoch, u64>,
        credit: usize,
        fresh: Epoch,
    ) -> io::Result<()> {
        self.spool.resume(server, fresh)?;
        self.rewind(self.spool.start(), credit);
        Ok(())
    }

    /// The connection is gone: nothing is sent until the next.
    pub fn disconnected(&mut self) {
        self.rewind(self.spool.start(), 0);
    }

    fn rewind(&mut self, to: (Epoch, u64), credit: usize) {
        (self.sent, self.credit) = (to, credit);
        self.flying.clear();
    }

    /// The server has everything up to a number, and takes this many bytes from now on.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn acknowledged(&mut self, epoch: Epoch, upto: u64, credit: usize) -> io::Result<()> {
        self.credit = credit;
        while self.flying.front().is_some_and(|(e, last, _)| *e != epoch || *last <= upto) {
            if self.flying.pop_front().is_some_and(|(e, last, _)| e == epoch && last == upto) {
                break;
            }
        }
        self.spool.acknowledge(epoch, upto)
    }

    /// The server takes this many bytes from now on.
    pub fn grant(&mut self, credit: usize) {
        self.credit = credit;
    }

    /// The server misses what comes after a number.
    pub fn missing(&mut self, epoch: Epoch, last: u64) {
        self.rewind((epoch, last), self.credit);
    }

    /// Whether something is on its way.
    pub fn is_waiting(&self) -> bool {
        !self.flying.is_empty()
    }

    /// Whether the server has everything that is durable.
    pub fn is_empty(&self) -> bool {
        self.flying.is_empty() && matches!(self.spool.batch(self.spool.start()), Ok(None))
    }

    /// The next batch, when there is one and the server takes more.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn next_batch(&mut self) -> io::Result<Option<Batch>> {
        if self.flying.iter().map(|(_, _, bytes)| bytes).sum::<usize>() >= self.credit.min(MOST_FLYING) {
            return Ok(None);
        }
        let Some(batch) = self.spool.batch(self.sent)? else { return Ok(None) };
        let last = batch.entries.iter().fold(batch.first - 1, |at, entry| match entry {
            Entry::Event { .. } => at + 1,
            Entry::Gap { to, .. } => *to,
        });
        let bytes = serde_json::to_string(&batch).map_or(0, |text| text.len());
        self.flying.push_back((batch.epoch, last, bytes));
        self.sent = (batch.epoch, last);
        Ok(Some(batch))
    }
}
