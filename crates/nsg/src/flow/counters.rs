//! What the kernel counted of each rule, as netlink tells of it (`NFT_MSG_GETOBJ` of `linux/netfilter/nf_tables.h`), and how
//! many of the packets that it denied were never told of: a flood is counted exactly, however little of it is shown. Pure;
//! what is read may be anything.

use std::collections::HashMap;

use super::record::{DecidingRule, Gap, GapReason};
use crate::netlink::message::{self, Answer, after_netfilter, attribute, number, put};
use crate::policy::{Access, Direction};
use crate::ruleset::TABLE;

/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u8 = 10;
/// `NFT_MSG_NEWOBJ` and `NFT_MSG_GETOBJ`.
const NEW_OBJECT: u8 = 18;
const GET_OBJECT: u16 = ((SUBSYSTEM as u16) << 8) | 19;
/// `NFPROTO_INET`.
const INET: u8 = 1;
/// `NFT_OBJECT_COUNTER`.
const COUNTER: u32 = 1;
const OBJECT_TABLE: u16 = 1;
const OBJECT_NAME: u16 = 2;
const OBJECT_TYPE: u16 = 3;
const OBJECT_DATA: u16 = 4;
const COUNTER_PACKETS: u16 = 2;

/// Asks for the counters of the table.
pub fn ask() -> Vec<u8> {
    message::message(GET_OBJECT, message::NLM_F_DUMP, |b| {
        message::netfilter(b, INET, 0);
        put(b, OBJECT_TABLE, &[TABLE.as_bytes(), &[0]].concat());
        put(b, OBJECT_TYPE, &COUNTER.to_be_bytes());
    })
}

/// Reads a datagram of the answer: names and packets of counters.
pub fn read(datagram: &[u8], mut each: impl FnMut(String, u64)) -> Answer {
    message::answers(datagram, |kind, payload| {
        let attributes = after_netfilter(payload);
        if kind.to_le_bytes() != [NEW_OBJECT, SUBSYSTEM]
            || number(attributes, OBJECT_TYPE).map(u32::from_be_bytes) != Some(COUNTER)
        {
            return;
        }
        let name = attribute(attributes, OBJECT_NAME).and_then(|n| std::str::from_utf8(n).ok());
        let packets = attribute(attributes, OBJECT_DATA).and_then(|d| number(d, COUNTER_PACKETS));
        if let (Some(name), Some(packets)) = (name, packets) {
            each(name.trim_end_matches('\0').to_owned(), u64::from_be_bytes(packets));
        }
    })
}

/// The rules that deny, by their counters.
#[derive(Debug, Default)]
pub struct Untold {
    rules: HashMap<String, Watched>,
    /// Counters by what a packet is attributed to.
    names: HashMap<(String, Direction, String, String), String>,
}

#[derive(Debug)]
struct Watched {
    rule: DecidingRule,
    /// Packets that were told of, since `from`.
    told: u64,
    /// Where the counter stood.
    from: Option<u64>,
    /// What was missing at the look before: some of it may have been on its way.
    missing: u64,
}

impl Untold {
    /// Watches a rule at an interface by its counter.
    pub fn watch(&mut self, interface: &str, direction: Direction, rule: DecidingRule, counter: String) {
        if rule.access != Access::Deny {
            return;
        }
        let key = (interface.to_owned(), direction, rule.nsg.clone(), rule.name.clone());
        self.names.insert(key, counter.clone());
        self.rules.insert(counter, Watched { rule, told: 0, from: None, missing: 0 });
    }

    /// Goes on from what another one knows of the counters that both watch.
    #[must_use]
    pub fn after(mut self, other: &Self) -> Self {
        for (counter, watched) in &mut self.rules {
            if let Some(known) = other.rules.get(counter) {
                (watched.told, watched.from, watched.missing) = (known.told, known.from, known.missing);
            }
        }
        self
    }

    /// A packet was told of.
    pub fn told(&mut self, interface: &str, direction: Direction, rule: &DecidingRule) {
        let key = (interface.to_owned(), direction, rule.nsg.clone(), rule.name.clone());
        if let Some(watched) = self.names.get(&key).and_then(|name| self.rules.get_mut(name)) {
            watched.told += 1;
        }
    }

    /// What the kernel counted and did not tell of since this was last asked: what was missing at two looks.
    pub fn look(&mut self, counted: &HashMap<String, u64>, at: i64) -> Vec<Gap> {
        let mut gaps = Vec::new();
        for (name, watched) in &mut self.rules {
            let Some(packets) = counted.get(name).copied() else { continue };
            // A counter that went backwards was made anew.
            let Some(since) = watched.from.and_then(|from| packets.checked_sub(from)) else {
                (watched.from, watched.told, watched.missing) = (Some(packets), 0, 0);
                continue;
            };
            // What was told of beyond what was counted since was counted before.
            watched.told = watched.told.min(since);
            let missing = since - watched.told;
            let lost = missing.min(watched.missing);
            watched.told += lost;
            watched.missing = missing - lost;
            if lost > 0 {
                gaps.push(Gap {
                    at,
                    reason: GapReason::Rate,
                    lost: Some(lost),
                    rule: Some(watched.rule.clone()),
                });
            }
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_told_and_what_is_lost_sum_to_what_was_counted(steps in prop::collection::vec((0_u64..50, 0_u64..50), 1..20)) {
            let rule = DecidingRule { nsg: "/n".to_owned(), name: "r".to_owned(), is_default: false, access: Access::Deny };
            let mut untold = Untold::default();
            untold.watch("eth0", Direction::Inbound, rule.clone(), "c".to_owned());
            let (mut counted, mut told, mut waiting, mut lost) = (100_u64, 0, 0_u64, 0);
            let look = |counted: u64, untold: &mut Untold| -> u64 {
                let at = HashMap::from([("c".to_owned(), counted)]);
                untold.look(&at, 0).iter().filter_map(|g| g.lost).sum()
            };
            prop_assert_eq!(look(counted, &mut untold), 0);
            for (shown, dropped) in steps {
                // What was on its way at the look before arrives before the next one.
                for _ in 0..std::mem::replace(&mut waiting, shown) {
                    untold.told("eth0", Direction::Inbound, &rule);
                    told += 1;
                }
                counted += shown + dropped;
                lost += look(counted, &mut untold);
            }
            for _ in 0..waiting {
                untold.told("eth0", Direction::Inbound, &rule);
                told += 1;
            }
            lost += look(counted, &mut untold);
            lost += look(counted, &mut untold);
            prop_assert!(told + lost >= counted - 100);
        }

        #[test]
        fn a_packet_that_was_counted_before_and_told_of_later_hides_none_that_is_missing(early in 1_u64..50, missing in 1_u64..50) {
            let rule = DecidingRule { nsg: "/n".to_owned(), name: "r".to_owned(), is_default: false, access: Access::Deny };
            let watching = || {
                let mut untold = Untold::default();
                untold.watch("eth0", Direction::Inbound, rule.clone(), "c".to_owned());
                untold
            };
            let look = |counted: u64, untold: &mut Untold| -> u64 {
                let at = HashMap::from([("c".to_owned(), counted)]);
                untold.look(&at, 0).iter().filter_map(|g| g.lost).sum()
            };
            let mut untold = watching();
            look(early, &mut untold);
            (0..early).for_each(|_| untold.told("eth0", Direction::Inbound, &rule));
            prop_assert_eq!(look(early, &mut untold), 0);
            prop_assert_eq!(look(early + missing, &mut untold), 0);
            // The rules change meanwhile.
            let mut untold = watching().after(&untold);
            prop_assert_eq!(look(early + missing, &mut untold), missing);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            read(&bytes, |_, _| {});
            read(&message::message(u16::from_le_bytes([NEW_OBJECT, SUBSYSTEM]), 0, |b| b.extend(&bytes)), |_, _| {});
        }
    }
}
