//! How much a grant was used: what the kernel has counted, added up over everything that makes it count anew.
//!
//! Pure. The kernel counts packets and bytes with each opening, and forgets them with it: when it is closed, when it is
//! given more time, when another program flushes the rules. Whoever holds the [`Tally`] looks every second, and remembers
//! on disk what was counted before; what passes in an opening's last second may be missing. What a machine tells of a
//! grant ([`Used`]) is everything since its beginning, so that it may be told twice, and what is told last holds.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::agent::SinceBoot;
use crate::part::OpenGrant;

/// The kind of the events that tell it.
pub const USED: &str = "access.used";
/// The kind of the event that tells that a grant was closed because nobody used it.
pub const IDLE: &str = "access.idle";
/// What is used is told again this often, in milliseconds.
const TELL: u64 = 30_000;
/// Most connections of a grant that are counted.
const MOST_FLOWS: usize = 10_000;

/// What the connections of a grant have carried since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Used {
    /// When it was first used, by the server's clock, in milliseconds since 1970.
    pub first: i64,
    /// When it was last seen to be used.
    pub last: i64,
    /// Packets in both directions.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Connections.
    pub flows: u64,
}

impl Used {
    /// Both together, whichever was told later.
    pub fn with(self, other: Used) -> Used {
        Used {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
            packets: self.packets.max(other.packets),
            bytes: self.bytes.max(other.bytes),
            flows: self.flows.max(other.flows),
        }
    }
}

/// What a machine says of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The grant's number.
    pub mark: u32,
    /// What it carried.
    #[serde(flatten)]
    pub used: Used,
}

/// Packets and bytes.
type Carried = (u64, u64);

/// What time it is when somebody looks.
#[derive(Debug, Clone, Copy)]
pub struct At {
    /// By the kernel's clock.
    pub since_boot: SinceBoot,
    /// By the server's, in milliseconds since 1970.
    pub server: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Count {
    /// Since when it is open, or was last used, by the kernel's clock.
    busy: SinceBoot,
    /// What was counted before the kernel began anew.
    before: Carried,
    /// What the kernel said last.
    seen: Carried,
    used: Option<Used>,
    flows: BTreeSet<u32>,
    told: Option<Used>,
    told_at: SinceBoot,
}

impl Count {
    fn total(&self) -> Carried {
        (self.before.0 + self.seen.0, self.before.1 + self.seen.1)
    }
}

/// What every grant of a machine has carried.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tally {
    /// The boot that its times belong to.
    boot: String,
    grants: BTreeMap<u32, Count>,
}

impl Tally {
    /// Whether there is nothing to look after.
    pub fn is_empty(&self) -> bool {
        self.grants.is_empty()
    }

    /// Takes note of what the kernel counts for each mark. Returns those that were used since the last look.
    pub fn look(
        &mut self,
        boot: &str,
        open: &BTreeSet<u32>,
        kernel: &BTreeMap<u32, Carried>,
        at: At,
    ) -> Vec<u32> {
        if self.boot != boot {
            // The clock began anew, and so did the kernel's counters.
            boot.clone_into(&mut self.boot);
            for count in self.grants.values_mut() {
                (count.busy, count.told_at, count.flows) = (at.since_boot, 0, BTreeSet::new());
            }
        }
        for mark in open {
            self.grants.entry(*mark).or_insert_with(|| Count { busy: at.since_boot, ..Count::default() });
        }
        let mut moved = Vec::new();
        for (mark, count) in &mut self.grants {
            let now = kernel.get(mark).copied().unwrap_or_default();
            if now == count.seen {
                continue;
            }
            if now.0 < count.seen.0 || now.1 < count.seen.1 {
                count.before = count.total();
            }
            count.seen = now;
            let (packets, bytes) = count.total();
            let known = count.used.unwrap_or(Used { first: at.server, ..Used::default() });
            if packets > known.packets {
                let last = known.last.max(at.server);
                count.used = Some(Used { packets, bytes, last, ..known });
                count.busy = at.since_boot;
                moved.push(*mark);
            }
        }
        moved
    }

    /// Takes note of the connections of a mark.
    pub fn connected(&mut self, mark: u32, flows: impl IntoIterator<Item = u32>) {
        let Some(count) = self.grants.get_mut(&mark) else { return };
        for flow in flows {
            if count.flows.len() < MOST_FLOWS
                && count.flows.insert(flow)
                && let Some(used) = &mut count.used
            {
                used.flows += 1;
            }
        }
    }

    /// The grants that were not used for as long as they may be, with the end that they were to have.
    pub fn idle(&self, grants: &[OpenGrant], at: SinceBoot) -> BTreeSet<(u32, i64)> {
        let over = |g: &&OpenGrant| {
            let busy = self.grants.get(&g.mark).map(|count| count.busy);
            let longest = g.idle.and_then(|s| u64::try_from(s).ok()).map(|s| s * 1000);
            busy.zip(longest).is_some_and(|(busy, longest)| at.saturating_sub(busy) >= longest)
        };
        grants.iter().filter(over).map(|g| (g.mark, g.end)).collect()
    }

    /// What is to be told now: what was used since it was told, and what is closed, for the last time. The closed ones
    /// are forgotten.
    pub fn due(&mut self, open: &BTreeSet<u32>, at: SinceBoot) -> Vec<Told> {
        let mut due = Vec::new();
        self.grants.retain(|mark, count| {
            let is_open = open.contains(mark);
            let news = count.used.filter(|used| count.told != Some(*used));
            let waits = is_open && count.told.is_some() && at.saturating_sub(count.told_at) < TELL;
            if let Some(used) = news.filter(|_| !waits) {
                due.push(Told { mark: *mark, used });
                (count.told, count.told_at) = (Some(used), at);
            }
            is_open
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::Transport;
    use proptest::prelude::*;

    fn at(since_boot: u64) -> At {
        At { since_boot, server: 1_000_000 + i64::try_from(since_boot).unwrap() }
    }

    fn marks(all: &[u32]) -> BTreeSet<u32> {
        all.iter().copied().collect()
    }

    fn grant(mark: u32, idle: Option<i64>) -> OpenGrant {
        let (protocol, sources) = (Transport::Tcp, Vec::new());
        OpenGrant { mark, protocol, port: 22, sources, end: 9, longest: 600, idle }
    }

    #[test]
    fn what_is_used_is_told_at_once_then_every_half_minute_and_a_last_time_when_it_is_closed() {
        let (mut tally, open) = (Tally::default(), marks(&[7, 8]));
        assert!(tally.look("a", &open, &BTreeMap::new(), at(0)).is_empty());
        assert_eq!(tally.due(&open, 0), []);
        assert_eq!(tally.look("a", &open, &BTreeMap::from([(7, (2, 100))]), at(1000)), [7]);
        tally.connected(7, [41, 41]);
        let first = Used { first: 1_001_000, last: 1_001_000, packets: 2, bytes: 100, flows: 1 };
        assert_eq!(tally.due(&open, 1000), [Told { mark: 7, used: first }]);
        tally.look("a", &open, &BTreeMap::from([(7, (5, 300))]), at(2000));
        tally.connected(7, [41, 42]);
        assert_eq!(tally.due(&open, 2000), []);
        let later = Used { last: 1_002_000, packets: 5, bytes: 300, flows: 2, ..first };
        assert_eq!(tally.due(&open, 31_000), [Told { mark: 7, used: later }]);
        // It is closed: the kernel has forgotten it, and so is it here once it is told.
        tally.look("a", &open, &BTreeMap::from([(7, (6, 340))]), at(32_000));
        tally.look("a", &marks(&[8]), &BTreeMap::new(), at(33_000));
        let last = Used { last: 1_032_000, packets: 6, bytes: 340, ..later };
        assert_eq!(tally.due(&marks(&[8]), 33_000), [Told { mark: 7, used: last }]);
        assert_eq!(tally.due(&marks(&[]), 99_000), [], "nobody used the other one");
        assert!(tally.is_empty());
    }

    #[test]
    fn what_is_not_used_for_long_enough_is_idle_and_nothing_else() {
        let (mut tally, open) = (Tally::default(), marks(&[7, 8]));
        let grants = [grant(7, Some(60)), grant(8, None)];
        assert!(tally.idle(&grants, 99_000).is_empty(), "what was never looked at is not idle");
        tally.look("a", &open, &BTreeMap::new(), at(0));
        tally.look("a", &open, &BTreeMap::from([(7, (1, 40))]), at(50_000));
        assert!(tally.idle(&grants, 109_999).is_empty());
        assert_eq!(tally.idle(&grants, 110_000), BTreeSet::from([(7, 9)]));
        // In another life of the machine it begins to count anew.
        tally.look("b", &open, &BTreeMap::new(), at(5));
        assert!(tally.idle(&grants, 60_000).is_empty());
    }

    proptest! {
        /// The kernel counts, and begins anew whenever it likes; a look sees what it says at that moment.
        #[test]
        fn nothing_is_counted_twice_and_nothing_that_was_seen_is_lost(
            steps in prop::collection::vec((0_u64..5, prop::bool::ANY), 0..40),
        ) {
            let (mut tally, open) = (Tally::default(), marks(&[1]));
            let (mut kernel, mut passed, mut time) = (0, 0, 0);
            for (packets, anew) in steps {
                if anew {
                    // Whoever sets it anew looks before and after.
                    tally.look("a", &open, &BTreeMap::from([(1, (kernel, kernel * 60))]), at(time));
                    kernel = 0;
                    tally.look("a", &open, &BTreeMap::new(), at(time));
                }
                kernel += packets;
                passed += packets;
                time += 1000;
                tally.look("a", &open, &BTreeMap::from([(1, (kernel, kernel * 60))]), at(time));
                // On disk and back.
                tally = serde_json::from_str(&serde_json::to_string(&tally).unwrap()).unwrap();
            }
            let told = tally.due(&marks(&[]), time);
            let found = told.first().map_or((0, 0), |t| (t.used.packets, t.used.bytes));
            prop_assert_eq!(found, (passed, passed * 60));
        }
    }
}
