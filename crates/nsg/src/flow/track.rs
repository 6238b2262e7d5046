//! Connections from their beginning to their end: what of their counters was told, so that records carry what came since.
//! Pure. Bounded: what exceeds the limit is counted and not followed.

use std::collections::HashMap;

use super::record::Delta;
use crate::netlink::conntrack::{Connection, Tuple};

/// A connection's number and its addresses: the number alone may be used again.
type Key = (u32, Tuple);

/// A connection that is followed, with what its owner wants to know of it.
#[derive(Debug, Clone)]
struct Known<T> {
    tag: T,
    told: Delta,
    /// When something was last told of it, in milliseconds.
    told_at: i64,
    /// In which look at the table it was last seen.
    seen: u64,
}

/// What a look at the table tells of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen<T> {
    /// It is not followed, and lives.
    Unknown,
    /// There is nothing to tell.
    Quiet,
    /// It goes on.
    Continues(T, Delta),
    /// It has ended.
    Ended(T, Delta),
}

/// The connections that are followed.
#[derive(Debug)]
pub struct Tracker<T> {
    flows: HashMap<Key, Known<T>>,
    limit: usize,
    look: u64,
    exceeded: u64,
}

fn key(connection: &Connection) -> Key {
    (connection.id, connection.original)
}

impl<T: Clone> Tracker<T> {
    /// Follows at most so many connections.
    pub fn new(limit: usize) -> Self {
        Self { flows: HashMap::new(), limit, look: 0, exceeded: 0 }
    }

    /// Connections that are followed.
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// Whether a connection is followed.
    pub fn knows(&self, connection: &Connection) -> bool {
        self.flows.contains_key(&key(connection))
    }

    /// A connection that was there before is followed from now on: what it transferred so far is not told.
    pub fn joins(&mut self, connection: &Connection, at: i64, tag: T) -> bool {
        let begun = self.begins(connection, at, tag);
        if let Some(known) = self.flows.get_mut(&key(connection)) {
            known.told = total(connection);
        }
        begun
    }

    /// A connection begins. False when there are too many; that is counted.
    pub fn begins(&mut self, connection: &Connection, at: i64, tag: T) -> bool {
        if self.flows.len() >= self.limit {
            self.exceeded += 1;
            return false;
        }
        let known = Known { tag, told: Delta::default(), told_at: at, seen: self.look };
        self.flows.insert(key(connection), known);
        true
    }

    /// Connections that were not followed since this was last asked.
    pub fn exceeded(&mut self) -> u64 {
        std::mem::take(&mut self.exceeded)
    }

    /// A connection is gone: what was not told of it yet. `None` when it is not followed, or its end was told already.
    pub fn gone(&mut self, connection: &Connection) -> Option<(T, Delta)> {
        let known = self.flows.remove(&key(connection))?;
        Some((known.tag, since(&known.told, connection)))
    }

    /// A look at the table begins.
    pub fn look(&mut self) {
        self.look += 1;
    }

    /// A look at the table finds a connection. What goes on is told of every so many milliseconds, where anything was
    /// transferred.
    pub fn seen(&mut self, connection: &Connection, at: i64, every: i64) -> Seen<T> {
        if connection.over {
            return self.gone(connection).map_or(Seen::Quiet, |(tag, delta)| Seen::Ended(tag, delta));
        }
        let look = self.look;
        let Some(known) = self.flows.get_mut(&key(connection)) else { return Seen::Unknown };
        known.seen = look;
        let delta = since(&known.told, connection);
        if at - known.told_at < every || delta == Delta::default() {
            return Seen::Quiet;
        }
        known.told = total(connection);
        known.told_at = at;
        Seen::Continues(known.tag.clone(), delta)
    }

    /// A look at the whole table is over: what it and the one before did not find has ended unheard, with counters that
    /// nobody knows. What only it did not find may have moved in the table meanwhile.
    pub fn looked(&mut self) -> Vec<T> {
        let look = self.look.saturating_sub(1);
        self.flows.extract_if(|_, known| known.seen < look).map(|(_, known)| known.tag).collect()
    }
}

fn total(connection: &Connection) -> Delta {
    Delta {
        packets_sent: connection.sent.packets,
        bytes_sent: connection.sent.bytes,
        packets_received: connection.received.packets,
        bytes_received: connection.received.bytes,
    }
}

/// Counters that went backwards were set to zero by somebody.
fn since(told: &Delta, connection: &Connection) -> Delta {
    let now = total(connection);
    let of = |now: u64, told: u64| now.checked_sub(told).unwrap_or(now);
    Delta {
        packets_sent: of(now.packets_sent, told.packets_sent),
        bytes_sent: of(now.bytes_sent, told.bytes_sent),
        packets_received: of(now.packets_received, told.packets_received),
        bytes_received: of(now.bytes_received, told.bytes_received),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::conntrack::Count;
    use crate::netlink::conntrack::tests::connections;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_told_of_a_connection_sums_to_its_counters(
            mut connection in connections(),
            steps in prop::collection::vec((0_u64..1000, 0_u64..1000, 0_i64..3000), 0..30),
            closes in any::<bool>(),
        ) {
            (connection.sent, connection.received, connection.over) = Default::default();
            let mut tracker = Tracker::new(10);
            prop_assert!(tracker.begins(&connection, 0, "tag"));
            let (mut at, mut sum, mut told_at) = (0, Delta::default(), 0);
            let mut add = |delta: Delta| {
                sum.packets_sent += delta.packets_sent;
                sum.bytes_sent += delta.bytes_sent;
                sum.packets_received += delta.packets_received;
                sum.bytes_received += delta.bytes_received;
                sum
            };
            for (sent, received, pause) in steps {
                at += pause;
                connection.sent = Count { packets: connection.sent.packets + sent, bytes: connection.sent.bytes + sent * 60 };
                connection.received = Count { packets: connection.received.packets + received, bytes: connection.received.bytes + received };
                tracker.look();
                match tracker.seen(&connection, at, 1000) {
                    Seen::Continues(_, delta) => {
                        prop_assert!(at - told_at >= 1000 && delta != Delta::default());
                        told_at = at;
                        add(delta);
                    }
                    Seen::Quiet => {}
                    other => prop_assert!(false, "{:?}", other),
                }
                prop_assert!(tracker.looked().is_empty());
            }
            connection.over = closes;
            let last = if closes {
                match tracker.seen(&connection, at, 1000) { Seen::Ended(_, delta) => Some(delta), _ => None }
            } else {
                tracker.gone(&connection).map(|(_, delta)| delta)
            };
            prop_assert_eq!(add(last.unwrap()), total(&connection));
            // Its end is told once, whether it is seen closed or removed afterwards.
            prop_assert!(tracker.gone(&connection).is_none() && tracker.is_empty());
            connection.over = true;
            prop_assert_eq!(tracker.seen(&connection, at, 1000), Seen::Quiet);
        }

        #[test]
        fn beyond_the_limit_connections_are_counted_and_what_ended_unheard_is_found(
            all in prop::collection::hash_map(any::<u32>(), connections(), 0..20),
        ) {
            let mut tracker = Tracker::new(7);
            let all: Vec<Connection> = all.into_iter().map(|(id, c)| Connection { id, over: false, ..c }).collect();
            let followed = all.iter().filter(|c| tracker.begins(c, 0, c.id)).count();
            prop_assert_eq!(followed, all.len().min(7));
            prop_assert_eq!(tracker.exceeded(), (all.len() - followed) as u64);
            for _ in 0..2 {
                tracker.look();
                for connection in all.iter().step_by(2) {
                    tracker.seen(connection, 1, 1000);
                }
            }
            let gone = (0..followed).filter(|at| at % 2 == 1).count();
            prop_assert_eq!(tracker.looked().len(), gone);
        }
    }
}
