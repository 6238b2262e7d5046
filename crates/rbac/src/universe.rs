//! Every concrete operation the server knows, and how action patterns pick among them.
//!
//! Operations get dense numbers, so that a set of them is a bit set and a role block compiles to one. The strings are
//! compared in lower case with blanks trimmed: Azure ignores case, and its own built-in roles contain trailing blanks.

use std::collections::HashMap;

use ahash::RandomState;

/// The number of an operation in its [`Universe`]. Meaningless in another universe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(u32);

impl OpId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// The two separate worlds of rights: `actions` never reach the data plane, `dataActions` never the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Plane {
    /// Managing resources.
    Control,
    /// Using what is inside them: shells, secrets, restored files.
    Data,
}

/// Why a set of operations is not a universe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UniverseError {
    /// One name cannot be on both planes, or a decision by name would be ambiguous.
    #[error("the operation '{0}' is declared as both control plane and data plane")]
    BothPlanes(String),
    /// A concrete operation holds no wildcard and has at least a namespace and a verb.
    #[error("'{0}' is not a concrete operation")]
    NotConcrete(String),
}

#[derive(Debug)]
struct Op {
    name: String,
    lower: String,
    plane: Plane,
}

/// All operations that can be asked about.
#[derive(Debug, Default)]
pub struct Universe {
    ops: Vec<Op>,
    index: HashMap<String, OpId, RandomState>,
    data: Bits,
}

impl Universe {
    /// Numbers the operations. `is_data` is true for operations of the data plane. Repeats are fine.
    ///
    /// # Errors
    /// [`UniverseError`] when a name has a wildcard or no `/`, or is on both planes.
    pub fn new<S: Into<String>>(
        operations: impl IntoIterator<Item = (S, bool)>,
    ) -> Result<Universe, UniverseError> {
        let mut ops: Vec<Op> = Vec::new();
        for (name, is_data) in operations {
            let name = name.into().trim().to_owned();
            if name.contains('*') || !name.contains('/') || name.len() > MAX_PATTERN_BYTES {
                return Err(UniverseError::NotConcrete(name));
            }
            let plane = if is_data { Plane::Data } else { Plane::Control };
            ops.push(Op { lower: name.to_ascii_lowercase(), name, plane });
        }
        // Sorted, so that the fixed head of a pattern selects a contiguous run.
        ops.sort_by(|a, b| a.lower.cmp(&b.lower));
        if let Some(pair) = ops.windows(2).find(|w| w[0].lower == w[1].lower && w[0].plane != w[1].plane) {
            return Err(UniverseError::BothPlanes(pair[0].name.clone()));
        }
        ops.dedup_by(|a, b| a.lower == b.lower);
        let mut universe = Universe { index: HashMap::default(), ..Universe::default() };
        universe.data = Bits::empty(ops.len());
        for (i, op) in (0u32..).zip(&ops) {
            // As it is registered, it is asked for most.
            universe.index.insert(op.name.clone(), OpId(i));
            universe.index.insert(op.lower.clone(), OpId(i));
            if op.plane == Plane::Data {
                universe.data.set(OpId(i));
            }
        }
        universe.ops = ops;
        Ok(universe)
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Finds an operation by name, ignoring case. `None` means nobody may do it.
    pub fn find(&self, name: &str) -> Option<OpId> {
        self.index.get(name).or_else(|| self.index.get(&normal(name))).copied()
    }

    /// The name as it was registered.
    pub fn name(&self, op: OpId) -> &str {
        self.ops.get(op.index()).map_or("", |o| o.name.as_str())
    }

    pub(crate) fn lower(&self, op: OpId) -> &str {
        self.ops.get(op.index()).map_or("", |o| o.lower.as_str())
    }

    /// The plane an operation is on.
    pub fn plane(&self, op: OpId) -> Plane {
        self.ops.get(op.index()).map_or(Plane::Control, |o| o.plane)
    }

    /// The operations of one plane that a pattern picks.
    pub fn matching(&self, pattern: &str, plane: Plane) -> Vec<OpId> {
        let mut bits = Bits::empty(self.len());
        self.add(&mut bits, pattern, plane);
        bits.iter().collect()
    }

    /// The operations a permission block grants: each plane's patterns minus the block's own subtractions.
    pub(crate) fn block(&self, permission: &crate::Permission) -> Bits {
        let half = |add: &[String], sub: &[String], plane| {
            let mut granted = Bits::empty(self.len());
            let mut taken = Bits::empty(self.len());
            add.iter().for_each(|p| self.add(&mut granted, p, plane));
            sub.iter().for_each(|p| self.add(&mut taken, p, plane));
            granted.subtract(&taken);
            granted
        };
        let mut bits = half(&permission.actions, &permission.not_actions, Plane::Control);
        bits.union(&half(&permission.data_actions, &permission.not_data_actions, Plane::Data));
        bits
    }

    fn add(&self, bits: &mut Bits, pattern: &str, plane: Plane) {
        let pattern = Pattern::new(pattern);
        let head = pattern.head();
        let from = self.ops.partition_point(|o| o.lower.as_str() < head);
        for (i, op) in (0u32..).zip(&self.ops).skip(from) {
            if !op.lower.starts_with(head) {
                break;
            }
            if op.plane == plane && pattern.matches(&op.lower) {
                bits.set(OpId(i));
            }
        }
    }
}

/// Longest action string or pattern looked at, in bytes; Azure's longest is 178.
pub(crate) const MAX_PATTERN_BYTES: usize = 1024;

fn normal(text: &str) -> String {
    text.trim().to_ascii_lowercase()
}

/// An action string with any number of `*`, each standing for any run of characters, `/` included.
///
/// Azure allows one `*`, and [`crate::validate`] insists on it; but a pattern that got past it must not turn into
/// "matches nothing" inside a subtraction, which would grant more, so matching takes any number.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    parts: Vec<String>,
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Pattern {
        Pattern { parts: normal(text).split('*').map(str::to_owned).collect() }
    }

    fn head(&self) -> &str {
        self.parts.first().map_or("", String::as_str)
    }

    /// Whether a lower-case operation name is picked.
    pub(crate) fn matches(&self, lower: &str) -> bool {
        let [first, middle @ .., last] = self.parts.as_slice() else {
            return self.parts.first().is_some_and(|only| only == lower);
        };
        let Some(rest) = lower.strip_prefix(first.as_str()) else { return false };
        let Some(mut rest) = rest.strip_suffix(last.as_str()) else { return false };
        for part in middle {
            let Some(at) = rest.find(part.as_str()) else { return false };
            rest = &rest[at + part.len()..];
        }
        true
    }
}

/// A set of operations of one universe.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bits(Box<[u64]>);

impl Bits {
    pub(crate) fn empty(len: usize) -> Bits {
        Bits(vec![0; len.div_ceil(64)].into_boxed_slice())
    }

    pub(crate) fn set(&mut self, op: OpId) {
        if let Some(word) = self.0.get_mut(op.index() / 64) {
            *word |= 1 << (op.index() % 64);
        }
    }

    pub(crate) fn has(&self, op: OpId) -> bool {
        self.0.get(op.index() / 64).is_some_and(|word| word >> (op.index() % 64) & 1 == 1)
    }

    pub(crate) fn union(&mut self, other: &Bits) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
    }

    pub(crate) fn subtract(&mut self, other: &Bits) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= !b);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|w| *w == 0)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = OpId> + '_ {
        (0u32..).zip(&self.0).flat_map(|(i, word)| {
            let word = *word;
            (0u32..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| OpId(i * 64 + bit))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_crosses_slashes_and_overlapping_ends_do_not_match() {
        let p = Pattern::new("Microsoft.Compute/*/read ");
        assert!(p.matches("microsoft.compute/virtualmachines/extensions/read"));
        assert!(!p.matches("microsoft.compute/read"));
        assert!(!Pattern::new("ab*ba").matches("aba"));
        assert!(Pattern::new("*").matches("anything/at/all"));
        assert!(Pattern::new("a*b*c").matches("axxbyyc"));
        assert!(!Pattern::new("a*b*c").matches("acb"));
    }

    #[test]
    fn one_name_on_both_planes_is_refused() {
        let made = Universe::new([("Microsoft.X/a/read", false), ("microsoft.x/A/read", true)]);
        assert!(matches!(made, Err(UniverseError::BothPlanes(_))));
        assert!(Universe::new([("Microsoft.X/*", false)]).is_err());
    }

    #[test]
    fn names_are_found_without_case_and_with_stray_blanks() {
        let u = Universe::new([("Microsoft.X/things/read", false)]).unwrap();
        assert_eq!(u.find("MICROSOFT.x/Things/READ ").map(|o| u.name(o)), Some("Microsoft.X/things/read"));
        assert_eq!(u.find("Microsoft.X/things"), None);
    }
}
