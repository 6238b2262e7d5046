//! An event as the lake keeps it, and the two orders of events.

use sekisho_arm::Event;
use sekisho_store::{HotEvent, to_ms};
use time::OffsetDateTime;

/// One event and when it was received.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The event.
    pub event: Event,
    /// When the server received it, by the server's clock.
    pub received: OffsetDateTime,
}

impl From<HotEvent> for Row {
    fn from(hot: HotEvent) -> Self {
        Row { event: hot.event, received: hot.received }
    }
}

/// The order of a segment's rows: one machine's events lie together, by time.
pub(crate) type Place<'r> = (&'r str, i64, &'r str, &'r str, i64);
/// The order of answers: by time; what comes after makes it a total order.
pub(crate) type Key = (i64, String, String, String, i64);

impl Row {
    pub(crate) fn place(&self) -> Place<'_> {
        let e = &self.event;
        (&e.machine, to_ms(e.at), &e.stream, &e.epoch, e.sequence)
    }

    pub(crate) fn key(&self) -> Key {
        let e = &self.event;
        (to_ms(e.at), e.machine.clone(), e.stream.clone(), e.epoch.clone(), e.sequence)
    }
}
