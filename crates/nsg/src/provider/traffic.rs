//! What a change of a machine's part does to packets: which pass that did not, and which do not that did. Machines with the
//! same rules are compared once.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::diagram::Budget;
use crate::difference::{PolicyDifference, difference};
use crate::policy::{Direction, NicPolicy, NsgPart};

/// Boxes of each kind that are shown.
const BOXES: usize = 12;
/// Different changes that are looked into in one answer: whoever waits, waits for all of them.
const DIFFERENT: usize = 8;
/// For one of them: well below a second.
const BUDGET: Budget = Budget { edges: 150_000, work: 40_000_000 };

/// What changes for packets at one interface in one direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TrafficEffect {
    /// The interface on the machine.
    pub interface: String,
    /// The direction of the flows.
    pub direction: Direction,
    /// What passes and did not, and the other way round; nothing when the rules are too many to say.
    pub difference: Option<PolicyDifference>,
}

/// The effects of each pair of parts, before and after.
pub(super) fn effects(pairs: &[(NsgPart, NsgPart)]) -> Vec<Vec<Value>> {
    let mut known: HashMap<String, Option<PolicyDifference>> = HashMap::new();
    let mut compare = |direction: Direction, before: &NicPolicy, after: &NicPolicy| {
        let stages = (before.stages(direction), after.stages(direction));
        let platform = (&before.platform, &after.platform);
        let key = serde_json::to_string(&(direction, stages, platform)).unwrap_or_default();
        let room = known.len() < DIFFERENT;
        known
            .entry(key)
            .or_insert_with(|| {
                room.then(|| difference(before, after, direction, BOXES, BUDGET).ok()).flatten()
            })
            .clone()
    };
    let mut of = |before: &NsgPart, after: &NsgPart| {
        let mut rows = Vec::new();
        for (old, new) in interfaces(before, after) {
            for direction in [Direction::Inbound, Direction::Outbound] {
                let same_platform = direction == Direction::Inbound || old.platform == new.platform;
                if same_platform && old.stages(direction) == new.stages(direction) {
                    continue;
                }
                let interface = new.interface.to_string();
                let row = TrafficEffect { interface, direction, difference: compare(direction, &old, &new) };
                rows.extend(serde_json::to_value(row).ok());
            }
        }
        rows
    };
    pairs.iter().map(|(before, after)| of(before, after)).collect()
}

/// The interfaces of either part; one that a part does not name is not filtered by it.
fn interfaces(before: &NsgPart, after: &NsgPart) -> Vec<(NicPolicy, NicPolicy)> {
    let open = |nic: &NicPolicy| NicPolicy { inbound: Vec::new(), outbound: Vec::new(), ..nic.clone() };
    let find =
        |part: &NsgPart, nic: &NicPolicy| part.nics.iter().find(|n| n.interface == nic.interface).cloned();
    let kept = after.nics.iter().map(|new| (find(before, new).unwrap_or_else(|| open(new)), new.clone()));
    let gone =
        before.nics.iter().filter(|old| find(after, old).is_none()).map(|old| (old.clone(), open(old)));
    kept.chain(gone).collect()
}
