//! The log through its public surface.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod exports;
mod notes;
mod vectors;
mod witnesses;

use std::collections::HashMap;

use sekisho_arm::{AuditEntry, CallerRef, Outcome, PrincipalKind};
use sekisho_audit::note::{Signer, Use};
use sekisho_audit::tree::{Node, Plan, leaf_hash};
use sekisho_audit::witness::{Advance, Included};
use sekisho_audit::{Checkpoint, Frontier, Hash, Leaf};
use time::OffsetDateTime;

const NAME: &str = "sekisho/test";

fn key(of: Use, name: &str) -> Signer {
    Signer::new(name, of, &Signer::generate().unwrap()).unwrap()
}

/// The bytes of the entry with this number.
fn entry(sequence: i64) -> String {
    let entry = AuditEntry {
        operation: format!("Microsoft.Test/x{sequence}/write"),
        resource_id: "/".into(),
        caller: CallerRef { object_id: "o".into(), kind: PrincipalKind::System, name: "n".into() },
        outcome: Outcome::Succeeded,
        detail: "OK".into(),
        correlation_id: "c".into(),
        authorization: None,
        http: None,
        phase: None,
        properties: None,
    };
    let leaf = Leaf { sequence, at: OffsetDateTime::UNIX_EPOCH, entry };
    String::from_utf8(leaf.bytes().unwrap()).unwrap()
}

fn entries(count: i64) -> Vec<String> {
    (1..=count).map(entry).collect()
}

/// What a server keeps of its log: bytes, and the tree over them.
struct Log {
    leaves: Vec<String>,
    tree: Frontier,
    nodes: HashMap<Node, Hash>,
}

impl Log {
    fn of(leaves: Vec<String>) -> Log {
        let mut log = Log { leaves, tree: Frontier::default(), nodes: HashMap::new() };
        for (index, leaf) in (0..).zip(&log.leaves) {
            let hash = leaf_hash(leaf.as_bytes());
            log.nodes.insert(Node { level: 0, index }, hash);
            log.nodes.extend(log.tree.append(hash));
        }
        log
    }

    fn size(&self) -> u64 {
        self.tree.size()
    }

    fn root(&self, size: u64) -> Hash {
        let nodes = Frontier::nodes_of(size).iter().map(|n| self.nodes[n]).collect();
        Frontier::of(size, nodes).unwrap().root()
    }

    fn proof(&self, plan: Plan) -> Vec<Hash> {
        plan.fill(|n| self.nodes.get(&n).copied()).unwrap()
    }

    /// What it shows a witness that has seen `from` entries, when it has `size`.
    fn advance(&self, key: &Signer, from: u64, size: u64) -> Advance {
        let checkpoint = Checkpoint { origin: NAME.to_owned(), size, root: self.root(size) };
        let plan = Plan::consistency(from, size);
        Advance {
            note: checkpoint.sign(key),
            from,
            consistency: plan.map(|p| self.proof(p)).unwrap_or_default(),
        }
    }

    fn included(&self, sequence: u64, size: u64) -> Included {
        let index = sequence - 1;
        let inclusion = self.proof(Plan::inclusion(index, size).unwrap());
        Included { leaf: self.leaves[usize::try_from(index).unwrap()].clone(), inclusion }
    }
}
