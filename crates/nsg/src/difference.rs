//! What a change of policy changes: the packets that are let through after it and were not before, and those that are not
//! any more. All of them, as boxes, the widest first.

use schemars::JsonSchema;
use serde::Serialize;

use crate::allowed::{allowed, in_best_order};
use crate::diagram::{ALLOW, Budget, Manager, NodeId, TooLarge};
use crate::evaluate::{Packet, evaluate};
use crate::policy::{Direction, NicPolicy};
use crate::shown::{ShownBox, ShownPacket};

/// Boxes that are looked at before the widest are taken.
const CANDIDATES: usize = 20_000;

/// What changes at one NIC in one direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyDifference {
    /// Denied before, allowed after.
    pub newly_allowed: Changed,
    /// Allowed before, denied after.
    pub newly_denied: Changed,
}

/// Packets that are treated otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    /// Disjoint boxes, those of the most pairs of addresses first.
    pub boxes: Vec<ChangedBox>,
    /// Whether these are all.
    pub is_all: bool,
}

impl Changed {
    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        self.boxes.is_empty() && self.is_all
    }

    /// Leaves the first boxes.
    pub fn keep(&mut self, limit: usize) {
        self.is_all &= self.boxes.len() <= limit;
        self.boxes.truncate(limit);
    }
}

/// A box of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangedBox {
    /// The packets.
    pub packets: ShownBox,
    /// One of them.
    pub witness: ShownPacket,
    /// The rule that decides about that one before; nothing where no rule does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_before: Option<String>,
    /// The rule that decides about that one after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_after: Option<String>,
}

/// Compares two policies of a NIC; at most `limit` boxes of each kind.
///
/// # Errors
/// [`TooLarge`].
pub fn difference(
    before: &NicPolicy,
    after: &NicPolicy,
    direction: Direction,
    limit: usize,
    budget: Budget,
) -> Result<PolicyDifference, TooLarge> {
    let (mut manager, (old, new)) = in_best_order(budget, |manager, budget| {
        Ok((allowed(manager, before, direction, budget)?, allowed(manager, after, direction, budget)?))
    })?;
    let (more, less) = (manager.without(new, old), manager.without(old, new));
    let decides = |policy: &NicPolicy, packet: &Packet| {
        evaluate(policy, direction, packet).rule.map(|rule| rule.name.clone())
    };
    let show = |set| widest(&manager, set, limit, |packet| (decides(before, packet), decides(after, packet)));
    Ok(PolicyDifference { newly_allowed: show(more), newly_denied: show(less) })
}

fn widest(
    manager: &Manager,
    set: NodeId,
    limit: usize,
    rules: impl Fn(&Packet) -> (Option<String>, Option<String>),
) -> Changed {
    let (mut boxes, mut is_all) = manager.boxes(set, &|t| t == ALLOW, CANDIDATES);
    boxes.sort_by(|a, b| b.size().total_cmp(&a.size()));
    is_all &= boxes.len() <= limit;
    boxes.truncate(limit);
    let show = |of: &crate::diagram::PacketBox| {
        let packet = of.product.some(of.family).packet();
        let (rule_before, rule_after) = rules(&packet);
        ChangedBox { packets: of.into(), witness: (&packet).into(), rule_before, rule_after }
    };
    Changed { boxes: boxes.iter().map(show).collect(), is_all }
}
