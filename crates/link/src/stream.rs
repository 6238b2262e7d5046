//! Event streams: what a machine tells of itself, each event stored by the server exactly once.
//!
//! A stream is numbered from 1 without gaps within an [`Epoch`]. The agent keeps what it has to say on disk and sends it
//! in [`Batch`]es; the server keeps a batch and how far it has got ([`Cursors`]) in one transaction and only then says
//! so. What arrives again is [`judge`]d by its numbers and not kept twice; what can never arrive is a
//! [`Gap`](Entry::Gap) that says so. An epoch ends with the boot in which it began: a disk that was put back to an older
//! state would otherwise give old numbers to new events.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Most entries in a batch.
pub const MAX_ENTRIES: usize = 1000;
/// Largest event in bytes of JSON.
pub const MAX_EVENT_BYTES: usize = 64 << 10;
/// Bytes of entries in a batch, which bounds how long a small stream waits behind a large one.
pub const BATCH_BYTES: usize = 64 << 10;
/// Epochs of a stream that the server remembers.
const EPOCHS: usize = 64;

/// The streams of a machine, in the order in which they are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// What must be known soon and never be lost: the machine's life, refused and repaired things. Kept durably one by
    /// one.
    Security,
    /// What there is much of. Kept durably once a second.
    Telemetry,
}

impl Stream {
    /// All streams, the most urgent first.
    pub const ALL: [Stream; 2] = [Stream::Security, Stream::Telemetry];

    /// `security` or `telemetry`.
    pub fn word(self) -> &'static str {
        match self {
            Stream::Security => "security",
            Stream::Telemetry => "telemetry",
        }
    }
}

/// One continuous numbering of a stream: 64 random bits, as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl std::fmt::Display for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for Epoch {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let plain = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let value = plain.then(|| u64::from_str_radix(&text, 16).ok()).flatten();
        value.map(Epoch).ok_or_else(|| serde::de::Error::custom("an epoch is 16 hexadecimal digits"))
    }
}

/// Why numbers stand for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GapReason {
    /// The machine's spool was full and the oldest had to go.
    Overflow,
    /// The machine's disk gave back something else than was written.
    Damaged,
    /// The machine's disk took no more.
    Refused,
    /// The server had acknowledged it and does not have it any more.
    Forgotten,
}

/// What a number stands for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Entry {
    /// Something happened.
    Event {
        /// When, in milliseconds since 1970 by the machine's clock.
        at: i64,
        /// What, as dotted lower-case words: `agent.started`.
        kind: String,
        /// The particulars.
        data: Map<String, Value>,
    },
    /// These numbers, up to and with `to`, will never be heard of.
    Gap {
        /// The last of them.
        to: u64,
        /// Why.
        reason: GapReason,
    },
}

/// Consecutive entries of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Batch {
    /// Of which stream.
    pub stream: Stream,
    /// Of which numbering.
    pub epoch: Epoch,
    /// The number of the first entry.
    pub first: u64,
    /// The entries.
    pub entries: Vec<Entry>,
}

/// An entry and the numbers it has: one for an event, any number for a gap.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbered {
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
    /// The entry.
    pub entry: Entry,
}

/// A batch that no agent of ours sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// It is empty, too long, or its numbers make no sense.
    #[error("the numbers of a batch make no sense")]
    Numbers,
    /// A kind is not dotted lower-case words, or an event is too large.
    #[error("an event is malformed or too large")]
    Event,
}

/// Whether a text can be the kind of an event: 1 to 64 of `a-z 0-9 . -`.
pub fn is_kind(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-'))
}

impl Entry {
    /// Whether the server takes it.
    ///
    /// # Errors
    /// [`BatchError::Event`] for a kind that is none, or an event that is too large.
    pub fn check(&self) -> Result<(), BatchError> {
        let Entry::Event { kind, data, .. } = self else { return Ok(()) };
        let size = serde_json::to_string(data).map_or(usize::MAX, |text| text.len());
        if is_kind(kind) && size <= MAX_EVENT_BYTES { Ok(()) } else { Err(BatchError::Event) }
    }
}

impl Batch {
    /// The entries with their numbers, checked.
    ///
    /// # Errors
    /// [`BatchError`]: what arrives is hostile until it is checked.
    pub fn numbered(self) -> Result<Vec<Numbered>, BatchError> {
        if self.first == 0 || self.entries.is_empty() || self.entries.len() > MAX_ENTRIES {
            return Err(BatchError::Numbers);
        }
        let mut from = self.first;
        let mut out = Vec::with_capacity(self.entries.len());
        for entry in self.entries {
            let to = match &entry {
                Entry::Gap { to, .. } if *to >= from => *to,
                Entry::Gap { .. } => return Err(BatchError::Numbers),
                Entry::Event { .. } => from,
            };
            entry.check()?;
            out.push(Numbered { from, to, entry });
            // The database counts in signed numbers.
            from = to.checked_add(1).filter(|n| i64::try_from(*n).is_ok()).ok_or(BatchError::Numbers)?;
        }
        Ok(out)
    }
}

/// How far a stream has got, by epoch, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cursors(Vec<(Epoch, u64)>);

impl Cursors {
    /// The last number kept of an epoch; 0 for none.
    pub fn last(&self, epoch: Epoch) -> u64 {
        self.0.iter().find(|(e, _)| *e == epoch).map_or(0, |(_, last)| *last)
    }

    fn advance(&mut self, epoch: Epoch, to: u64) {
        match self.0.iter_mut().find(|(e, _)| *e == epoch) {
            Some((_, last)) => *last = to,
            None => self.0.push((epoch, to)),
        }
        if self.0.len() > EPOCHS {
            self.0.remove(0);
        }
    }

    /// All of them.
    pub fn by_epoch(&self) -> BTreeMap<Epoch, u64> {
        self.0.iter().copied().collect()
    }
}

/// What is to be done with a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Keep these and the cursors, in one transaction; then acknowledge.
    Keep(Vec<Numbered>, Cursors),
    /// All of it is there already: acknowledge up to this number.
    Known(u64),
    /// Something before it is missing: send again from after this number.
    Missing(u64),
}

/// Judges a batch by what has been kept before.
///
/// # Errors
/// [`BatchError`].
pub fn judge(cursors: &Cursors, batch: Batch) -> Result<Verdict, BatchError> {
    let (epoch, first) = (batch.epoch, batch.first);
    let entries = batch.numbered()?;
    let last = cursors.last(epoch);
    if first > last + 1 {
        return Ok(Verdict::Missing(last));
    }
    let mut fresh: Vec<Numbered> = entries.into_iter().filter(|e| e.to > last).collect();
    let Some(newest) = fresh.last().map(|e| e.to) else { return Ok(Verdict::Known(last)) };
    if let Some(head) = fresh.first_mut() {
        // A gap may begin before what is known.
        head.from = head.from.max(last + 1);
    }
    let mut next = cursors.clone();
    next.advance(epoch, newest);
    Ok(Verdict::Keep(fresh, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: i64) -> Entry {
        Entry::Event { at: n, kind: "test".to_owned(), data: Map::new() }
    }

    fn batch(epoch: u64, first: u64, entries: Vec<Entry>) -> Batch {
        Batch { stream: Stream::Telemetry, epoch: Epoch(epoch), first, entries }
    }

    #[test]
    fn what_overlaps_is_kept_once_and_what_leaps_ahead_is_asked_for_again() {
        let none = Cursors::default();
        let Ok(Verdict::Keep(kept, one)) = judge(&none, batch(7, 1, vec![event(1), event(2)])) else {
            panic!()
        };
        assert_eq!((kept.len(), one.last(Epoch(7))), (2, 2));
        let Ok(Verdict::Keep(kept, two)) = judge(&one, batch(7, 2, vec![event(2), event(3)])) else {
            panic!()
        };
        assert_eq!((kept.len(), kept[0].from, two.last(Epoch(7))), (1, 3, 3));
        assert_eq!(judge(&two, batch(7, 1, vec![event(1)])), Ok(Verdict::Known(3)));
        assert_eq!(judge(&two, batch(7, 5, vec![event(5)])), Ok(Verdict::Missing(3)));
        assert_eq!(judge(&two, batch(8, 2, vec![event(2)])), Ok(Verdict::Missing(0)));
        let gap = Entry::Gap { to: 9, reason: GapReason::Overflow };
        let Ok(Verdict::Keep(kept, three)) = judge(&two, batch(7, 2, vec![gap])) else { panic!() };
        assert_eq!((kept[0].from, kept[0].to, three.last(Epoch(7))), (4, 9, 9));
    }

    #[test]
    fn an_older_epoch_that_comes_again_is_not_kept_again() {
        let cursors = Cursors(vec![(Epoch(1), 5), (Epoch(2), 3)]);
        assert_eq!(judge(&cursors, batch(1, 1, vec![event(1)])), Ok(Verdict::Known(5)));
    }

    #[test]
    fn malformed_batches_are_refused() {
        let none = Cursors::default();
        let gap = |to| Entry::Gap { to, reason: GapReason::Damaged };
        for bad in [
            batch(1, 0, vec![event(0)]),
            batch(1, 1, vec![]),
            batch(1, 1, vec![event(0); MAX_ENTRIES + 1]),
            batch(1, 5, vec![gap(4)]),
            batch(1, 1, vec![gap(u64::MAX), event(0)]),
            batch(1, 1, vec![gap(u64::MAX)]),
            batch(1, 1, vec![Entry::Event { at: 0, kind: "No Kind".to_owned(), data: Map::new() }]),
        ] {
            assert!(judge(&none, bad.clone()).is_err(), "{bad:?}");
        }
    }
}
