//! The machine side: how long each grant has left, whichever clock is wrong. It is the same for whatever a grant gives
//! ([`Term`]).
//!
//! Pure. The kernel counts; this decides what it is told to count. Three rules:
//! - A grant ends by the **server's** time, once the server has been heard; the machine's wall clock is never asked.
//! - What was begun is remembered by the kernel's own clock since boot, which nobody can set ([`Ledger`]): a restart of
//!   the agent, or a server whose clock was set back, never gives it more time.
//! - After a reboot nothing is remembered and nothing is open, until the server has been heard again.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::part::OpenGrant;

/// The kernel's clock since boot, in milliseconds. It goes on while the machine sleeps.
pub type SinceBoot = u64;

/// What is remembered of the grants that were begun, on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ledger {
    /// The boot that the times belong to.
    pub boot: String,
    /// Until when, by the grant's number and end: one that was extended has another end.
    #[serde(with = "entries")]
    pub ends: BTreeMap<(u32, i64), SinceBoot>,
}

impl Ledger {
    /// Ends grants now, by number and end, for as long as they are remembered.
    pub fn end(&mut self, which: &BTreeSet<(u32, i64)>, now: SinceBoot) {
        for (_, ends) in self.ends.iter_mut().filter(|(grant, _)| which.contains(grant)) {
            *ends = now.min(*ends);
        }
    }
}

/// JSON has no keys of two numbers.
mod entries {
    use super::{BTreeMap, SinceBoot};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    type Ends = BTreeMap<(u32, i64), SinceBoot>;

    pub(super) fn serialize<S: Serializer>(ends: &Ends, to: S) -> Result<S::Ok, S::Error> {
        ends.iter().map(|((mark, end), at)| (mark, end, at)).collect::<Vec<_>>().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Ends, D::Error> {
        let all = Vec::<(u32, i64, SinceBoot)>::deserialize(from)?;
        Ok(all.into_iter().map(|(mark, end, at)| ((mark, end), at)).collect())
    }
}

/// What time it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Now {
    /// The kernel's boot id.
    pub boot: String,
    /// The kernel's clock.
    pub since_boot: SinceBoot,
    /// The server's time in milliseconds since 1970, once it has been heard.
    pub server: Option<i64>,
}

/// Something that is given for a time.
pub trait Term {
    /// The number of the grant.
    fn mark(&self) -> u32;
    /// When it ends by the server's clock, in milliseconds since 1970.
    fn end(&self) -> i64;
    /// The longest that it may be there from when the machine first hears of it, in seconds.
    fn longest(&self) -> i64;
}

impl Term for OpenGrant {
    fn mark(&self) -> u32 {
        self.mark
    }
    fn end(&self) -> i64 {
        self.end
    }
    fn longest(&self) -> i64 {
        self.longest
    }
}

/// A grant with the time that it has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening<'g, T = OpenGrant> {
    /// The grant.
    pub grant: &'g T,
    /// When it ends by the kernel's clock.
    pub ends: SinceBoot,
}

/// What is to be open now, and what is to be remembered of it before it is opened. What is not remembered is not known to
/// be over either.
pub fn openings<'g, T: Term>(grants: &'g [T], ledger: &Ledger, now: &Now) -> (Vec<Opening<'g, T>>, Ledger) {
    let same_boot = ledger.boot == now.boot;
    let mut kept = Ledger { boot: now.boot.clone(), ends: BTreeMap::new() };
    let mut open = Vec::new();
    for grant in grants {
        let key = (grant.mark(), grant.end());
        let remembered = ledger.ends.get(&key).copied().filter(|_| same_boot);
        let said = now.server.map(|server| {
            let left = (grant.end() - server).min(grant.longest().saturating_mul(1000));
            now.since_boot + u64::try_from(left).unwrap_or(0)
        });
        let Some(ends) = remembered.into_iter().chain(said).min() else { continue };
        kept.ends.insert(key, ends);
        if ends > now.since_boot {
            open.push(Opening { grant, ends });
        }
    }
    (open, kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::Transport;
    use proptest::prelude::*;

    fn grant(end: i64, longest: i64) -> OpenGrant {
        OpenGrant {
            mark: 7,
            protocol: Transport::Tcp,
            port: 22,
            sources: Vec::new(),
            end,
            longest,
            idle: None,
        }
    }

    fn now(boot: &str, since_boot: u64, server: Option<i64>) -> Now {
        Now { boot: boot.to_owned(), since_boot, server }
    }

    fn ends(grants: &[OpenGrant], ledger: &Ledger, now: &Now) -> (Option<u64>, Ledger) {
        let (open, kept) = openings(grants, ledger, now);
        (open.first().map(|o| o.ends), kept)
    }

    #[test]
    fn nothing_is_open_before_the_server_was_heard_and_a_restart_goes_on_where_it_was() {
        let grants = [grant(1_000_000, 600)];
        let none = Ledger::default();
        assert_eq!(ends(&grants, &none, &now("a", 50, None)).0, None);
        let (first, kept) = ends(&grants, &none, &now("a", 50, Some(940_000)));
        assert_eq!(first, Some(60_050));
        // The agent starts again without a server, later, and once more when nothing is left.
        assert_eq!(ends(&grants, &kept, &now("a", 40_000, None)).0, Some(60_050));
        assert_eq!(ends(&grants, &kept, &now("a", 60_050, None)).0, None);
        // After a reboot the memory is of another life.
        assert_eq!(ends(&grants, &kept, &now("b", 10, None)).0, None);
        assert_eq!(ends(&grants, &kept, &now("b", 10, Some(970_000))).0, Some(30_010));
    }

    #[test]
    fn a_server_whose_clock_is_set_back_gives_nothing_more_and_one_set_forward_takes_away() {
        let grants = [grant(1_000_000, 600)];
        let (_, kept) = ends(&grants, &Ledger::default(), &now("a", 0, Some(940_000)));
        assert_eq!(ends(&grants, &kept, &now("a", 10, Some(100_000))).0, Some(60_000));
        assert_eq!(ends(&grants, &kept, &now("a", 10, Some(990_000))).0, Some(10_010));
        // One that is first heard of with a clock that is far off is capped by what was asked for.
        assert_eq!(ends(&grants, &Ledger::default(), &now("a", 0, Some(0))).0, Some(600_000));
        // What was ended early stays ended, whatever the server says and whenever the agent starts.
        let mut ended = kept.clone();
        ended.end(&BTreeSet::from([(7, 1_000_000)]), 5);
        assert_eq!(ends(&grants, &ended, &now("a", 10, Some(940_000))).0, None);
        // A grant that was extended has another end, and its own time.
        let longer = [grant(1_060_000, 600)];
        assert_eq!(ends(&longer, &kept, &now("a", 10, Some(950_000))).0, Some(110_010));
    }

    proptest! {
        #[test]
        fn whatever_is_restarted_and_set_a_grant_is_open_no_longer_than_it_was_given(
            steps in prop::collection::vec((0_u64..40_000, prop::option::of(-100_000_i64..2_000_000)), 1..20),
        ) {
            let grants = [grant(1_000_000, 60)];
            let (mut ledger, mut at, mut first) = (Ledger::default(), 0_u64, None);
            for (later, server) in steps {
                at += later;
                let (open, kept) = openings(&grants, &ledger, &now("a", at, server));
                // On disk and back, as a restart does.
                let text = serde_json::to_string(&kept).unwrap();
                ledger = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(&ledger, &kept);
                if let Some(open) = open.first() {
                    let first = *first.get_or_insert(at);
                    prop_assert!(open.ends <= first + 60_000);
                    prop_assert!(open.ends > at);
                }
            }
        }
    }
}
