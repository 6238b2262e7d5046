//! One honest witness against whoever has the log's key and its store.

use proptest::prelude::*;
use sekisho_audit::note::{NoteError, Use};
use sekisho_audit::witness::{Memory, WitnessError};

use super::{Log, NAME, entries, entry, key};

proptest! {
    #[test]
    fn any_byte_of_the_log_that_is_mutated_dropped_or_reordered_is_found_by_one_honest_witness(
        seen in 1i64..60, more in 0i64..20, kind in 0..4, at in any::<prop::sample::Index>(),
        byte in any::<prop::sample::Index>(), bit in 0u8..7, honest in any::<bool>(),
    ) {
        let log = key(Use::Note, NAME);
        let good = Log::of(entries(seen + more));
        let memory = Memory::of(log.verifier());
        let memory = memory.advance(&good.advance(&log, 0, seen as u64)).unwrap();
        prop_assert!(memory.advance(&good.advance(&log, seen as u64, good.size())).is_ok());

        // Whoever has the database and the key changes what the witness has seen, and signs all of it again.
        let mut leaves = entries(seen + more);
        let at = at.index(seen as usize);
        match kind {
            0 => {
                let mut bytes = leaves[at].clone().into_bytes();
                let byte = byte.index(bytes.len());
                bytes[byte] ^= 1 << bit;
                leaves[at] = String::from_utf8_lossy(&bytes).into_owned();
            }
            1 => drop(leaves.remove(at)),
            2 => leaves.insert(at, entry(999)),
            _ if leaves.len() > 1 => {
                let last = leaves.len() - 1;
                leaves.swap(at.min(last - 1), at.min(last - 1) + 1);
            }
            _ => leaves[at].push(' '),
        }
        leaves.extend(entries(3));
        let bad = Log::of(leaves);
        prop_assume!(bad.leaves[..seen as usize] != good.leaves[..seen as usize]);
        for size in 0..=bad.size() {
            let mut offered = bad.advance(&log, seen as u64, size);
            if honest {
                // A proof that was good once.
                offered.consistency = good.advance(&log, seen as u64, good.size()).consistency;
            }
            let found = memory.advance(&offered).unwrap_err();
            prop_assert!(found.is_rewrite(), "{found}");
            if size < seen as u64 {
                prop_assert_eq!(found, WitnessError::Cut { known: seen as u64, offered: size });
            }
        }
    }

    #[test]
    fn an_entry_is_read_only_with_the_proof_that_it_is_in_the_log(
        size in 1u64..80, at in any::<prop::sample::Index>(), other in any::<prop::sample::Index>(),
    ) {
        let log = key(Use::Note, NAME);
        let kept = Log::of(entries(size as i64));
        let memory = Memory::of(log.verifier()).advance(&kept.advance(&log, 0, size)).unwrap();
        let (at, other) = (at.index(size as usize) as u64 + 1, other.index(size as usize) as u64 + 1);
        let mut included = kept.included(at, size);
        prop_assert_eq!(memory.read(&included).unwrap().sequence as u64, at);
        if other != at {
            included.inclusion = kept.included(other, size).inclusion;
            prop_assert_eq!(memory.read(&included), Err(WitnessError::NotIncluded));
        }
        included.leaf = entry(size as i64 + 1);
        prop_assert_eq!(memory.read(&included), Err(WitnessError::NotIncluded));
    }
}

#[test]
fn a_witness_follows_only_the_key_it_knows_and_only_from_where_it_is() {
    let (log, other) = (key(Use::Note, NAME), key(Use::Note, NAME));
    let kept = Log::of(entries(9));
    let fresh = Memory::of(log.verifier());
    let refused = fresh.advance(&kept.advance(&other, 0, 4)).unwrap_err();
    assert_eq!(refused, WitnessError::Note(NoteError::NotSigned));
    assert!(!refused.is_rewrite(), "nobody knows who signed that");
    // What it has not seen yet it takes as it is told; that is the limit of witnessing.
    let memory = fresh.advance(&kept.advance(&log, 0, 4)).unwrap();
    let elsewhere = memory.advance(&kept.advance(&log, 5, 9)).unwrap_err();
    assert_eq!(elsewhere, WitnessError::Elsewhere { from: 5, known: 4 });
    assert!(!elsewhere.is_rewrite());
    assert_eq!(memory.advance(&kept.advance(&log, 4, 4)), Ok(memory.clone()), "the same again is no news");
    assert_eq!(fresh.read(&kept.included(1, 9)), Err(WitnessError::NotIncluded));
}
