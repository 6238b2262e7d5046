//! Two machines with one key, noticed from what the agents say of themselves.
//!
//! A machine that is copied with its state directory becomes two that the key cannot tell apart. Two things can:
//!
//! 1. *Both answer at the same time.* An agent ends its connection before it opens another, so an older connection on
//!    which a fresh challenge is answered after a newer one has said hello is another machine's. This proves it, and
//!    neither a reconnect, nor a restart, nor a reboot, nor a snapshot put back can look like it: in each of them the
//!    older connection's process is gone.
//! 2. *They take turns.* Each process of an agent names itself and counts its connections, on disk. When a process that
//!    was replaced goes on, and the one that had replaced it goes on after that, two live where one was thought to be,
//!    though never both at once. Turns are found only here, by [`judge`].
//!
//! What looks similar and is one machine: a *disk* put back to an earlier state counts on from a number that was used
//! before, in a new process; a *running* machine put back continues a process that had been replaced, once. Both are
//! [`Verdict::RolledBack`], which is told in the machine's history and has no other consequence. Only who puts two
//! running states back in turns, each saved after its last connection, is taken for two machines.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

/// How many processes of an agent are remembered.
const PROCESSES: usize = 8;
/// How many machines a quarantine tells apart.
const SIGHTINGS: usize = 8;
/// Most characters of a text that a machine says of itself.
const TEXT: usize = 128;

/// What an agent says of its own life in its hello.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lineage {
    /// The machine's host name.
    pub hostname: String,
    /// Random, new with every start of the agent.
    pub process: String,
    /// How many connections this agent has opened, with this one; kept on the machine's disk.
    pub connections: u64,
}

impl Lineage {
    /// Names the connection among all that this agent has ever opened; `None` when its version does not count them.
    pub fn link(&self) -> Option<String> {
        (!self.process.is_empty()).then(|| format!("{}/{}", self.process, self.connections))
    }
}

/// A connection that said hello, and from where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sighting {
    /// The connection.
    pub connection: Uuid,
    /// The address that it came from.
    pub address: String,
    /// The kernel's boot id.
    pub boot_id: String,
    /// What the agent says of its life; empty when its version does not.
    pub lineage: Lineage,
    /// When it said hello.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The process that it had been replaced by before it came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_after: Option<String>,
}

impl Sighting {
    /// A sighting whose texts have a length that can be kept.
    pub fn new(
        connection: Uuid,
        address: String,
        boot_id: &str,
        lineage: &Lineage,
        at: OffsetDateTime,
    ) -> Self {
        let short = |text: &str| -> String { text.chars().take(TEXT).collect() };
        let lineage = Lineage {
            hostname: short(&lineage.hostname),
            process: short(&lineage.process),
            connections: lineage.connections,
        };
        Self { connection, address, boot_id: short(boot_id), lineage, at, back_after: None }
    }
}

/// What a hello means after those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The same machine goes on.
    Continues,
    /// The machine was put back to an earlier state of its disk or memory.
    RolledBack,
    /// Two machines take turns.
    TakesTurns,
}

/// Judges a hello by the last one of each process, the newest at the end, and puts it there.
pub fn judge(seen: &mut Vec<Sighting>, mut new: Sighting) -> Verdict {
    let process = new.lineage.process.clone();
    let newest = seen.last().map(|s| s.lineage.clone()).unwrap_or_default();
    let before = seen.iter().position(|s| s.lineage.process == process).map(|at| seen.remove(at));
    let verdict = match before {
        // A version that does not say is only found by its answers.
        _ if process.is_empty() || newest.process.is_empty() => Verdict::Continues,
        Some(own) if new.lineage.connections <= own.lineage.connections => Verdict::RolledBack,
        Some(_) if newest.process == process => Verdict::Continues,
        Some(_) => {
            let other_came_back = seen.last().is_some_and(|s| s.back_after.as_ref() == Some(&process));
            new.back_after = Some(newest.process);
            if other_came_back { Verdict::TakesTurns } else { Verdict::RolledBack }
        }
        None if new.lineage.connections <= newest.connections => Verdict::RolledBack,
        None => Verdict::Continues,
    };
    seen.push(new);
    let surplus = seen.len().saturating_sub(PROCESSES);
    seen.drain(..surplus);
    verdict
}

/// Why a machine is in quarantine: its key is used by more than one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Duplicate {
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String")]
    pub since: OffsetDateTime,
    /// The machines that use the key, as far as they can be told apart; the one heard of last at the end.
    pub sightings: Vec<SightedMachine>,
}

/// One of the machines that use a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SightedMachine {
    /// The address that it came from last.
    pub address: String,
    /// Its host name; empty when its agent does not say.
    pub hostname: String,
    /// Its kernel's boot id.
    pub boot_id: String,
    /// When it was last heard of.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String")]
    pub last_seen_at: OffsetDateTime,
}

impl Duplicate {
    /// Two sightings of what was thought to be one machine.
    pub fn new(since: OffsetDateTime, sightings: [&Sighting; 2]) -> Self {
        let mut new = Self { since, sightings: Vec::new() };
        sightings.into_iter().for_each(|s| new.note(s));
        new
    }

    /// One of the machines said hello again, or one more did.
    pub fn note(&mut self, seen: &Sighting) {
        let copy = SightedMachine {
            address: seen.address.clone(),
            hostname: seen.lineage.hostname.clone(),
            boot_id: seen.boot_id.clone(),
            last_seen_at: seen.at,
        };
        self.sightings.retain(|c| {
            (&c.address, &c.hostname, &c.boot_id) != (&copy.address, &copy.hostname, &copy.boot_id)
        });
        self.sightings.push(copy);
        let surplus = self.sightings.len().saturating_sub(SIGHTINGS);
        self.sightings.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sighting(process: &str, connections: u64) -> Sighting {
        let lineage = Lineage { hostname: "web".into(), process: process.into(), connections };
        Sighting::new(Uuid::nil(), "10.0.0.1".into(), "boot", &lineage, OffsetDateTime::UNIX_EPOCH)
    }

    fn verdicts(hellos: &[(&str, u64)]) -> Vec<Verdict> {
        let mut seen = Vec::new();
        hellos.iter().map(|(process, count)| judge(&mut seen, sighting(process, *count))).collect()
    }

    use Verdict::{Continues, RolledBack, TakesTurns};

    #[test]
    fn reconnects_restarts_and_reboots_are_one_machine() {
        let all = verdicts(&[("a", 1), ("a", 2), ("b", 3), ("b", 9), ("c", 10)]);
        assert_eq!(all, [Continues; 5]);
    }

    #[test]
    fn a_disk_put_back_is_one_machine_that_went_back_each_time_it_is_done() {
        let all = verdicts(&[("a", 1), ("a", 8), ("b", 3), ("b", 4), ("c", 3), ("d", 3)]);
        assert_eq!(all, [Continues, Continues, RolledBack, Continues, RolledBack, RolledBack]);
    }

    #[test]
    fn a_running_machine_put_back_is_one_machine_that_went_back() {
        // Saved while "a" ran, updated and rebooted into "b", put back, rebooted again.
        let all = verdicts(&[("a", 1), ("b", 2), ("a", 2), ("a", 3), ("c", 4), ("d", 5)]);
        assert_eq!(all, [Continues, Continues, RolledBack, Continues, Continues, Continues]);
        // The same state put back again and again.
        let all = verdicts(&[("a", 5), ("b", 6), ("a", 6), ("b", 6), ("a", 6), ("a", 7)]);
        assert!(!all.contains(&TakesTurns), "{all:?}");
    }

    #[test]
    fn two_machines_that_take_turns_are_two_once_both_have_gone_on() {
        let all = verdicts(&[("a", 5), ("b", 6), ("a", 6), ("b", 7)]);
        assert_eq!(all, [Continues, Continues, RolledBack, TakesTurns]);
    }

    #[test]
    fn agents_that_say_nothing_of_their_life_are_never_judged_by_it() {
        assert_eq!(verdicts(&[("", 0), ("a", 1), ("", 0), ("", 0)]), [Continues; 4]);
    }

    #[test]
    fn a_quarantine_tells_machines_apart_and_forgets_the_oldest_of_many() {
        let mut told = Duplicate::new(OffsetDateTime::UNIX_EPOCH, [&sighting("a", 1), &sighting("b", 2)]);
        assert_eq!(told.sightings.len(), 1, "one machine, as far as can be told");
        for n in 0..20 {
            told.note(&Sighting { address: format!("10.0.0.{n}"), ..sighting("a", 1) });
        }
        assert_eq!(told.sightings.len(), SIGHTINGS);
        assert_eq!(told.sightings.last().unwrap().address, "10.0.0.19");
    }

    proptest! {
        /// Whatever one machine does by itself: reconnect, restart, put its disk back.
        #[test]
        fn one_machine_is_never_taken_for_two(steps in prop::collection::vec(0u8..3, 0..60)) {
            let (mut seen, mut process, mut count, mut saved) = (Vec::new(), 0, 0u64, 0u64);
            for step in steps {
                match step {
                    0 => {}
                    1 => process += 1,
                    _ => (process, count, saved) = (process + 1, saved, count),
                }
                count += 1;
                let verdict = judge(&mut seen, sighting(&process.to_string(), count));
                prop_assert_ne!(verdict, TakesTurns);
                prop_assert!(seen.len() <= PROCESSES);
            }
        }
    }
}
