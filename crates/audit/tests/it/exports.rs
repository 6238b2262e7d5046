//! Exports, checked with nothing but the file.

use proptest::prelude::*;
use sekisho_audit::export::{ExportError, Line, Report, verify};
use sekisho_audit::note::{Signer, Use};
use sekisho_audit::tree::leaf_hash;
use sekisho_audit::{Checkpoint, Frontier};

use super::{Log, NAME, entries, key};

/// Entries `from` to `to` of a log of `size`, cosigned at `seen`.
fn export(log: &Log, key: &Signer, witness: &Signer, (from, to): (u64, u64), seen: u64) -> Vec<String> {
    let before = Frontier::nodes_of(from - 1).iter().map(|n| log.nodes[n]).collect();
    let mut lines = vec![Line::Log { key: key.verifier(), after: from - 1, frontier: before }];
    for sequence in from..=to {
        let leaf = log.leaves[sequence as usize - 1].clone();
        let hash = leaf_hash(leaf.as_bytes());
        // Only the hash of every fourth is left.
        lines.push(Line::Entry {
            sequence: sequence as i64,
            hash,
            leaf: Some(leaf).filter(|_| sequence % 4 != 0),
        });
    }
    let advance = log.advance(key, to, log.size());
    lines.push(Line::Checkpoint { note: advance.note, consistency: advance.consistency });
    let text = Checkpoint { origin: NAME.to_owned(), size: seen, root: log.root(seen) }.text();
    lines.push(Line::Cosignature {
        key: witness.verifier(),
        machine: "/machines/m".to_owned(),
        size: seen,
        line: witness.line(&text, 77),
    });
    lines.iter().map(|line| serde_json::to_string(line).unwrap()).collect()
}

fn check(lines: &[String]) -> Result<Report, ExportError> {
    verify(lines.iter().map(String::as_str), None)
}

proptest! {
    #[test]
    fn an_export_of_any_part_holds_and_a_touched_one_does_not(
        size in 2u64..50, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(),
        seen in any::<prop::sample::Index>(), kind in 0..3, at in any::<prop::sample::Index>(),
    ) {
        let (log, witness) = (key(Use::Note, NAME), key(Use::Cosignature, "sekisho/test/w"));
        let kept = Log::of(entries(size as i64));
        let from = a.index(size as usize) as u64 + 1;
        let to = from + b.index((size - from + 1) as usize) as u64;
        let seen = seen.index(size as usize) as u64 + 1;
        let good = export(&kept, &log, &witness, (from, to), seen);
        let report = check(&good).unwrap();
        prop_assert!(report.holds(), "{report}");
        prop_assert_eq!((report.entries, report.root, &report.checkpoint), ((from, to), kept.root(to), &Ok(size)));
        prop_assert_eq!(report.cosignatures[0].at.is_ok(), (from - 1..=to).contains(&seen));

        let mut bad = good.clone();
        let at = 1 + at.index((to - from + 1) as usize);
        match kind {
            0 => bad[at] = bad[at].replacen("Microsoft", "Macrosoft", 1),
            1 => drop(bad.remove(at)),
            _ => bad.swap(at, at - 1),
        }
        let found = check(&bad);
        prop_assert!(bad == good || found.as_ref().map_or(true, |r| !r.holds()), "{found:?}");
    }
}

#[test]
fn the_first_entry_that_does_not_fit_is_named_and_so_is_what_is_wrong_with_the_end() {
    let (log, witness) = (key(Use::Note, NAME), key(Use::Cosignature, "sekisho/test/w"));
    let kept = Log::of(entries(9));
    let good = export(&kept, &log, &witness, (1, 9), 5);
    let with = |at: usize, line: String| [&good[..at], &[line], &good[at + 1..]].concat();
    assert_eq!(check(&with(3, good[3].replace("Succeeded", "Denied"))), Err(ExportError::Changed(3)));
    assert_eq!(check(&[&good[..3], &good[4..]].concat()), Err(ExportError::Gap { expected: 3, found: 4 }));
    assert_eq!(check(&good[..10]), Err(ExportError::NoCheckpoint));
    assert_eq!(check(&with(2, "{}".to_owned())), Err(ExportError::Unreadable(3)));
    // Whoever changes an entry and its hash has the checkpoint against him, and whoever signs again the witnesses.
    let mut leaves = kept.leaves.clone();
    leaves[2] = leaves[2].replace("Succeeded", "Denied");
    let forged = Log::of(leaves);
    let all = export(&forged, &log, &witness, (1, 9), 5);
    let signed_before = [&all[..10], &good[10..11]].concat();
    assert!(check(&signed_before).unwrap().checkpoint.is_err());
    let signed_again = [&all[..11], &good[11..]].concat();
    let report = check(&signed_again).unwrap();
    assert!(report.checkpoint.is_ok() && report.cosignatures[0].at.is_err() && !report.holds(), "{report}");
    // The export's own word for the key is worth less than one that is known from elsewhere.
    let other = key(Use::Note, NAME);
    let trusted = other.verifier();
    assert!(verify(good.iter().map(String::as_str), Some(&trusted)).unwrap().checkpoint.is_err());
}
