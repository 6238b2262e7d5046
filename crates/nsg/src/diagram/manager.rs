//! Nodes that exist once, and operations on diagrams.

use std::collections::HashMap;
use std::sync::Arc;

use super::Product;
use super::field::{Family, Field, Interval};

/// What a diagram says at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Terminal(u32);

impl Terminal {
    /// The greatest one.
    pub const MAX: Terminal = Terminal(TERMINAL - 1);

    /// A terminal by its number.
    ///
    /// # Panics
    /// When the number takes more than 31 bits.
    pub const fn new(number: u32) -> Self {
        assert!(number < TERMINAL, "a terminal is a number of 31 bits");
        Self(number)
    }

    /// The terminal of an index into a list.
    ///
    /// # Panics
    /// When the index takes more than 31 bits.
    pub fn of(index: usize) -> Self {
        #[expect(clippy::expect_used, reason = "no list of 2^31 rules fits into memory")]
        Self::new(u32::try_from(index).expect("an index of 31 bits"))
    }

    /// Its number.
    pub fn number(self) -> u32 {
        self.0
    }

    /// Its number as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The bit that tells terminals from nodes.
const TERMINAL: u32 = 1 << 31;

/// A diagram: its root. Only meaningful in the manager that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

impl NodeId {
    /// Its number among the nodes of its manager. A node's children have lower ones.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }

    /// The terminal, if the diagram says the same of every packet.
    pub fn terminal(self) -> Option<Terminal> {
        (self.0 & TERMINAL != 0).then_some(Terminal(self.0 & !TERMINAL))
    }
}

impl From<Terminal> for NodeId {
    fn from(terminal: Terminal) -> Self {
        Self(terminal.0 | TERMINAL)
    }
}

/// The values from the end of the edge before, or from 0, to `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Edge {
    pub(crate) last: u128,
    pub(crate) to: NodeId,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Node {
    field: Field,
    edges: Box<[Edge]>,
}

/// The order in which five fields are tested after the family; the protocol stands before both ports.
pub type Order = [Field; 5];

/// The nodes of diagrams with one order of fields.
#[derive(Debug)]
pub struct Manager {
    order: Order,
    nodes: Vec<Arc<Node>>,
    unique: HashMap<Arc<Node>, NodeId>,
    edges: usize,
}

impl Manager {
    /// A manager without any node.
    ///
    /// # Panics
    /// When a field is missing in the order, or a port stands before the protocol.
    pub fn new(order: Order) -> Self {
        let at = |field| order.iter().position(|f| *f == field);
        let fields = [Field::Source, Field::Destination, Field::SourcePort, Field::DestinationPort];
        assert!(fields.iter().all(|f| at(*f).is_some()), "every field is tested");
        let protocol = at(Field::Protocol);
        assert!(
            protocol.is_some() && protocol < at(Field::SourcePort) && protocol < at(Field::DestinationPort),
            "only some protocols have ports"
        );
        Self { order, nodes: Vec::new(), unique: HashMap::new(), edges: 0 }
    }

    /// The order of fields after the family.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// How many edges all nodes have together.
    pub fn edges(&self) -> usize {
        self.edges
    }

    /// When a field is tested: 0 is the family.
    pub(crate) fn level(&self, field: Field) -> usize {
        self.order.iter().position(|f| *f == field).map_or(0, |at| at + 1)
    }

    /// What a node tests, and its edges; `None` of a terminal.
    pub(crate) fn node(&self, id: NodeId) -> Option<(Field, &[Edge])> {
        let node = self.nodes.get(id.0 as usize).filter(|_| id.terminal().is_none())?;
        Some((node.field, &node.edges))
    }

    /// What a node tests, and where each interval of values leads.
    pub(crate) fn branches(&self, id: NodeId) -> Option<(Field, Vec<(Interval, NodeId)>)> {
        let (field, edges) = self.node(id)?;
        let mut first = 0;
        let branch = |edge: &Edge| {
            let interval = Interval { first, last: edge.last };
            first = edge.last.saturating_add(1);
            (interval, edge.to)
        };
        Some((field, edges.iter().map(branch).collect()))
    }

    /// The nodes and terminals that a node leads to.
    pub(crate) fn children(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.node(id).into_iter().flat_map(|(_, edges)| edges).map(|edge| edge.to)
    }

    fn level_of(&self, id: NodeId) -> usize {
        self.node(id).map_or(usize::MAX, |(field, _)| self.level(field))
    }

    /// The node with these edges, of which neighbours may have the same child. The children test later fields only, and
    /// the last edge ends at the field's greatest value: both are up to the caller.
    pub(crate) fn make(&mut self, field: Field, edges: impl IntoIterator<Item = Edge>) -> NodeId {
        let mut merged: Vec<Edge> = Vec::new();
        for edge in edges {
            match merged.last_mut() {
                Some(before) if before.to == edge.to => before.last = edge.last,
                _ => merged.push(edge),
            }
        }
        if let [only] = merged.as_slice() {
            return only.to;
        }
        let node = Arc::new(Node { field, edges: merged.into() });
        if let Some(known) = self.unique.get(&node) {
            return *known;
        }
        #[expect(clippy::expect_used, reason = "2^31 nodes do not fit into memory")]
        let id = NodeId(u32::try_from(self.nodes.len()).ok().filter(|n| n & TERMINAL == 0).expect("31 bits"));
        self.edges += node.edges.len();
        self.nodes.push(node.clone());
        self.unique.insert(node, id);
        id
    }

    /// The same from pairs of an edge's last value and its child.
    pub(crate) fn make_from(&mut self, field: Field, edges: Vec<(u128, NodeId)>) -> NodeId {
        self.make(field, edges.into_iter().map(|(last, to)| Edge { last, to }))
    }

    /// The diagram that asks one of two by the family.
    pub fn by_family(&mut self, v4: NodeId, v6: NodeId) -> NodeId {
        self.make(Field::Family, [Edge { last: 0, to: v4 }, Edge { last: 1, to: v6 }])
    }

    /// The packets of one family that are in a product: [`super::ALLOW`], all others [`super::DENY`].
    pub fn set(&mut self, family: Family, product: &Product) -> NodeId {
        let (yes, no) = (NodeId::from(super::ALLOW), NodeId::from(super::DENY));
        let mut below = yes;
        for field in self.order.into_iter().rev() {
            let max = field.max(family);
            let mut edges = Vec::new();
            let mut next = Some(0);
            for Interval { first, last } in product.values(field).intervals() {
                if next.is_some_and(|n| n < *first) {
                    edges.push(Edge { last: first - 1, to: no });
                }
                edges.push(Edge { last: *last, to: below });
                next = last.checked_add(1);
            }
            if next.is_some_and(|n| n <= max) {
                edges.push(Edge { last: max, to: no });
            }
            below = self.make(field, edges);
        }
        match family {
            Family::V4 => self.by_family(below, no),
            Family::V6 => self.by_family(no, below),
        }
    }

    /// The diagram that says of each packet what `op` makes of what both say. `op` may also be asked about whole
    /// diagrams, and then answers `None` when it does not know yet.
    pub fn combine(
        &mut self,
        a: NodeId,
        b: NodeId,
        op: &impl Fn(NodeId, NodeId) -> Option<NodeId>,
    ) -> NodeId {
        self.combine_known(a, b, op, &mut HashMap::new())
    }

    fn combine_known(
        &mut self,
        a: NodeId,
        b: NodeId,
        op: &impl Fn(NodeId, NodeId) -> Option<NodeId>,
        known: &mut HashMap<(NodeId, NodeId), NodeId>,
    ) -> NodeId {
        if let Some(done) = op(a, b).or_else(|| known.get(&(a, b)).copied()) {
            return done;
        }
        let level = self.level_of(a).min(self.level_of(b));
        let side = |manager: &Self, id: NodeId| match manager.node(id) {
            Some((field, edges)) if manager.level(field) == level => (Some(field), edges.to_vec()),
            _ => (None, vec![Edge { last: u128::MAX, to: id }]),
        };
        let ((field_a, of_a), (field_b, of_b)) = (side(self, a), side(self, b));
        // An operation that does not know about two terminals leaves the first.
        let Some(field) = field_a.or(field_b) else { return a };
        let (mut i, mut j) = (0, 0);
        let mut edges = Vec::with_capacity(of_a.len() + of_b.len());
        while let (Some(left), Some(right)) = (of_a.get(i), of_b.get(j)) {
            let last = left.last.min(right.last);
            let to = self.combine_known(left.to, right.to, op, known);
            edges.push(Edge { last, to });
            i += usize::from(left.last == last);
            j += usize::from(right.last == last);
        }
        let made = self.make(field, edges);
        known.insert((a, b), made);
        made
    }

    /// The diagram with other terminals.
    pub fn map(&mut self, id: NodeId, change: &impl Fn(Terminal) -> Terminal) -> NodeId {
        self.map_known(id, change, &mut HashMap::new())
    }

    fn map_known(
        &mut self,
        id: NodeId,
        change: &impl Fn(Terminal) -> Terminal,
        known: &mut HashMap<NodeId, NodeId>,
    ) -> NodeId {
        if let Some(terminal) = id.terminal() {
            return change(terminal).into();
        }
        if let Some(done) = known.get(&id) {
            return *done;
        }
        let Some((field, edges)) = self.node(id).map(|(f, e)| (f, e.to_vec())) else { return id };
        let mut changed = Vec::with_capacity(edges.len());
        for edge in edges {
            changed.push(Edge { to: self.map_known(edge.to, change, known), ..edge });
        }
        let made = self.make(field, changed);
        known.insert(id, made);
        made
    }

    /// Packets in both sets.
    pub fn and(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.combine(a, b, &|a, b| match (a.terminal(), b.terminal()) {
            (Some(super::DENY), _) | (_, Some(super::DENY)) => Some(super::DENY.into()),
            (Some(_), _) => Some(b),
            (_, Some(_)) => Some(a),
            (None, None) => (a == b).then_some(a),
        })
    }

    /// Packets in at least one of two sets.
    pub fn or(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.combine(a, b, &|a, b| match (a.terminal(), b.terminal()) {
            (Some(super::DENY), _) => Some(b),
            (_, Some(super::DENY)) => Some(a),
            (Some(_), _) | (_, Some(_)) => Some(super::ALLOW.into()),
            (None, None) => (a == b).then_some(a),
        })
    }

    /// Packets of the first set that are not in the second.
    pub fn without(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.combine(a, b, &|a, b| {
            if a == b {
                return Some(super::DENY.into());
            }
            match (a.terminal(), b.terminal()) {
                (Some(super::DENY), _) => Some(super::DENY.into()),
                (_, Some(super::DENY)) => Some(a),
                (_, Some(_)) => Some(super::DENY.into()),
                _ => None,
            }
        })
    }

    /// What a diagram says inside a set; [`super::NO_RULE`] outside of it.
    pub fn restrict(&mut self, id: NodeId, set: NodeId) -> NodeId {
        self.combine(id, set, &|id, set| match set.terminal() {
            Some(super::DENY) => Some(super::NO_RULE.into()),
            Some(_) => Some(id),
            None => None,
        })
    }
}
