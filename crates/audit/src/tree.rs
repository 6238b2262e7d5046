//! The Merkle tree of RFC 6962 §2.1: what is hashed how, what is kept of it, and proofs.
//!
//! Only complete subtrees are ever kept, so that nothing kept changes: a tree of any size, past ones included, is a row
//! of at most 64 of them. Reading is somebody else's: a [`Plan`] names the nodes of a proof, and whoever has read them
//! fills it.

use ring::digest::{Context, SHA256};

use crate::Hash;

/// A complete subtree: `1 << level` leaves, the `index`-th such one of the tree. On level 0 it is a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// The binary logarithm of the number of its leaves.
    pub level: u32,
    /// Its place among the subtrees of this level, from 0.
    pub index: u64,
}

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut out = [0u8; 32];
    out.copy_from_slice(context.finish().as_ref());
    Hash(out)
}

/// The hash of a leaf.
pub fn leaf_hash(bytes: &[u8]) -> Hash {
    sha256(&[&[0x00], bytes])
}

/// The hash of two subtrees that lie side by side.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[0x01], &left.0, &right.0])
}

/// The root of subtrees that lie side by side, each larger than the next.
fn fold(nodes: &[Hash]) -> Hash {
    match nodes.split_last() {
        None => sha256(&[]),
        Some((last, rest)) => rest.iter().rev().fold(*last, |right, left| node_hash(left, &right)),
    }
}

/// The largest complete subtrees that hold exactly the leaves from `begin` up to `end`. It begins where a subtree of its
/// size can begin, as all ranges of the RFC's definitions do.
fn cover(begin: u64, end: u64) -> Vec<Node> {
    let (mut at, mut nodes) = (begin, Vec::new());
    while at < end {
        let level = at.trailing_zeros().min((end - at).ilog2());
        nodes.push(Node { level, index: at >> level });
        at += 1 << level;
    }
    nodes
}

/// The complete subtrees that a tree consists of, from the largest: all that is needed to go on with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    nodes: Vec<Hash>,
}

impl Frontier {
    /// The nodes that the frontier of a tree of `size` leaves is made of.
    pub fn nodes_of(size: u64) -> Vec<Node> {
        cover(0, size)
    }

    /// The frontier of a tree of `size` leaves whose nodes, those of [`Frontier::nodes_of`], have these hashes; `None`
    /// when they are too many or too few.
    pub fn of(size: u64, nodes: Vec<Hash>) -> Option<Frontier> {
        (nodes.len() == size.count_ones() as usize).then_some(Frontier { size, nodes })
    }

    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes of its nodes, from the largest.
    pub fn hashes(&self) -> &[Hash] {
        &self.nodes
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        fold(&self.nodes)
    }

    /// Appends a leaf by its hash; returns the subtrees of two leaves and more that it has completed.
    pub fn append(&mut self, leaf: Hash) -> Vec<(Node, Hash)> {
        let (mut node, mut hash, mut made) = (Node { level: 0, index: self.size }, leaf, Vec::new());
        while node.index & 1 == 1
            && let Some(left) = self.nodes.pop()
        {
            node = Node { level: node.level + 1, index: node.index >> 1 };
            hash = node_hash(&left, &hash);
            made.push((node, hash));
        }
        self.nodes.push(hash);
        self.size += 1;
        made
    }
}

/// A proof whose nodes were not read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan(Vec<Vec<Node>>);

impl Plan {
    /// That the leaf at `index`, from 0, is in the tree of `size` leaves; `None` when there is no such leaf.
    pub fn inclusion(index: u64, size: u64) -> Option<Plan> {
        if index >= size {
            return None;
        }
        let (mut begin, mut end, mut ranges) = (0, size, Vec::new());
        while end - begin > 1 {
            let middle = begin + split(end - begin);
            if index < middle {
                ranges.push((middle, end));
                end = middle;
            } else {
                ranges.push((begin, middle));
                begin = middle;
            }
        }
        Some(Plan::of(ranges))
    }

    /// That the tree of `new` leaves begins with the tree of `old` leaves; `None` when it is smaller. From nothing, and
    /// from itself, the proof is empty.
    pub fn consistency(old: u64, new: u64) -> Option<Plan> {
        if old > new {
            return None;
        }
        if old == 0 || old == new {
            return Some(Plan(Vec::new()));
        }
        let (mut begin, mut end, mut ranges) = (0, new, Vec::new());
        // While it is a prefix of the tree from the first leaf, its root is known to whoever checks.
        let mut known = true;
        while old < end {
            let middle = begin + split(end - begin);
            if old <= middle {
                ranges.push((middle, end));
                end = middle;
            } else {
                ranges.push((begin, middle));
                begin = middle;
                known = false;
            }
        }
        if !known {
            ranges.push((begin, end));
        }
        Some(Plan::of(ranges))
    }

    /// From the innermost range to the outermost, as proofs are written.
    fn of(ranges: Vec<(u64, u64)>) -> Plan {
        Plan(ranges.into_iter().rev().map(|(begin, end)| cover(begin, end)).collect())
    }

    /// The nodes to read.
    pub fn nodes(&self) -> impl Iterator<Item = Node> + '_ {
        self.0.iter().flatten().copied()
    }

    /// The proof; `None` when a node is not there.
    pub fn fill(&self, stored: impl Fn(Node) -> Option<Hash>) -> Option<Vec<Hash>> {
        let step = |nodes: &Vec<Node>| {
            let hashes: Option<Vec<Hash>> = nodes.iter().map(|n| stored(*n)).collect();
            Some(fold(&hashes?))
        };
        self.0.iter().map(step).collect()
    }
}

/// The largest power of two below `size`, which is above 1.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// Whether `proof` shows that a leaf with this hash is at `index` in the tree (RFC 9162 §2.1.3.2).
pub fn proves_inclusion(leaf: &Hash, index: u64, (size, root): (u64, &Hash), proof: &[Hash]) -> bool {
    if index >= size {
        return false;
    }
    let (mut own, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if own & 1 == 1 || own == last {
            hash = node_hash(sibling, &hash);
            climb(&mut own, &mut last);
        } else {
            hash = node_hash(&hash, sibling);
        }
        (own, last) = (own >> 1, last >> 1);
    }
    last == 0 && hash == *root
}

/// Whether `proof` shows that the new tree begins with the old one, which is not empty (RFC 9162 §2.1.4.2).
pub fn proves_consistency(
    (old, old_root): (u64, &Hash),
    (new, new_root): (u64, &Hash),
    proof: &[Hash],
) -> bool {
    if old == 0 || old > new {
        return false;
    }
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    let (mut own, mut last) = (old - 1, new - 1);
    let complete = own.trailing_ones();
    (own, last) = (own >> complete, last >> complete);
    // A tree that is one complete subtree is where the proof begins.
    let (first, rest) = match proof.split_first() {
        Some((first, rest)) if !old.is_power_of_two() => (first, rest),
        Some(_) => (old_root, proof),
        None => return false,
    };
    let (mut before, mut after) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if own & 1 == 1 || own == last {
            (before, after) = (node_hash(sibling, &before), node_hash(sibling, &after));
            climb(&mut own, &mut last);
        } else {
            after = node_hash(&after, sibling);
        }
        (own, last) = (own >> 1, last >> 1);
    }
    last == 0 && before == *old_root && after == *new_root
}

/// Goes up the right edge of a tree for as long as there is nothing to the right. Only the root is at 0 there, and it has
/// been reached then.
fn climb(own: &mut u64, last: &mut u64) {
    let levels = own.trailing_zeros();
    (*own, *last) = (own.checked_shr(levels).unwrap_or(0), last.checked_shr(levels).unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// The definition of the RFC, word for word.
    fn definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => sha256(&[]),
            [one] => *one,
            more => {
                let (left, right) = more.split_at(split(more.len() as u64) as usize);
                node_hash(&definition(left), &definition(right))
            }
        }
    }

    /// A tree with everything that is kept of it.
    struct Kept {
        leaves: Vec<Hash>,
        frontier: Frontier,
        nodes: HashMap<Node, Hash>,
    }

    fn grown(count: usize) -> Kept {
        let mut kept = Kept { leaves: Vec::new(), frontier: Frontier::default(), nodes: HashMap::new() };
        for index in 0..count as u64 {
            let leaf = leaf_hash(&index.to_be_bytes());
            kept.leaves.push(leaf);
            kept.nodes.insert(Node { level: 0, index }, leaf);
            kept.nodes.extend(kept.frontier.append(leaf));
        }
        kept
    }

    impl Kept {
        fn root(&self, size: u64) -> Hash {
            let nodes = Frontier::nodes_of(size).iter().map(|n| self.nodes[n]).collect();
            Frontier::of(size, nodes).unwrap().root()
        }
        fn proof(&self, plan: &Plan) -> Vec<Hash> {
            plan.fill(|n| self.nodes.get(&n).copied()).unwrap()
        }
    }

    #[test]
    fn a_root_is_what_the_rfc_defines_at_every_size_and_so_is_each_past_one() {
        let kept = grown(70);
        for size in 0..=70 {
            assert_eq!(kept.root(size as u64), definition(&kept.leaves[..size]));
        }
        assert_eq!(kept.frontier.root(), kept.root(70));
        assert_eq!(kept.nodes.keys().filter(|n| n.level > 0).count(), 70 - 70u32.count_ones() as usize);
    }

    #[test]
    fn every_proof_of_small_trees_holds_and_holds_for_nothing_else() {
        let kept = grown(33);
        for size in 1..=33u64 {
            let tree = (size, &kept.root(size));
            for index in 0..size {
                let proof = kept.proof(&Plan::inclusion(index, size).unwrap());
                let leaf = &kept.leaves[index as usize];
                assert!(proves_inclusion(leaf, index, tree, &proof));
                for other in (0..size).filter(|o| *o != index) {
                    assert!(!proves_inclusion(leaf, other, tree, &proof), "{index} as {other} of {size}");
                }
            }
            for old in 1..=size {
                let proof = kept.proof(&Plan::consistency(old, size).unwrap());
                assert!(proves_consistency((old, &kept.root(old)), tree, &proof), "{old} to {size}");
                for other in (1..=size).filter(|o| *o != old) {
                    assert!(!proves_consistency((other, &kept.root(old)), tree, &proof));
                }
            }
        }
        assert_eq!(Plan::inclusion(33, 33), None);
        assert_eq!(Plan::consistency(34, 33), None);
    }

    proptest! {
        #[test]
        fn proofs_of_any_tree_hold_until_a_bit_of_them_is_touched(
            size in 1u64..5000, a in any::<u64>(), b in any::<u64>(), touched in any::<u64>(), bit in 0usize..256,
        ) {
            let kept = grown(size as usize);
            let (index, old) = (a % size, b % size + 1);
            let tree = (size, &kept.root(size));
            let flip = |proof: &mut Vec<Hash>| {
                let at = touched as usize % proof.len();
                proof[at].0[bit / 8] ^= 1 << (bit % 8);
            };
            let mut proof = kept.proof(&Plan::inclusion(index, size).unwrap());
            let leaf = &kept.leaves[index as usize];
            prop_assert!(proves_inclusion(leaf, index, tree, &proof));
            if !proof.is_empty() {
                flip(&mut proof);
                prop_assert!(!proves_inclusion(leaf, index, tree, &proof));
            }
            let mut proof = kept.proof(&Plan::consistency(old, size).unwrap());
            prop_assert!(proof.len() <= 63);
            prop_assert!(proves_consistency((old, &kept.root(old)), tree, &proof));
            if !proof.is_empty() {
                flip(&mut proof);
                prop_assert!(!proves_consistency((old, &kept.root(old)), tree, &proof));
            }
        }

        #[test]
        fn whatever_is_called_a_proof_of_whatever_size_ends_in_an_answer(
            numbers in any::<[u64; 4]>(), proof in proptest::collection::vec(any::<[u8; 32]>(), 0..70),
        ) {
            let proof: Vec<Hash> = proof.into_iter().map(Hash).collect();
            let [a, b, c, d] = numbers;
            let hash = leaf_hash(b"");
            prop_assert!(!proves_inclusion(&hash, a, (b, &hash), &proof) || b == 1);
            prop_assert!(!proves_consistency((c, &hash), (d, &hash), &proof) || c == d);
        }
    }
}
