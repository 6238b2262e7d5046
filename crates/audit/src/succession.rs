//! Successions: how whoever knows a key learns of the one that takes its place. The old key signs the new one, and these
//! notes are kept for ever, so that somebody who slept through several rotations walks from the key that he knows to the
//! newest, one step at a time.
//!
//! Whoever has a key can name any other as its successor. So a key that was stolen is believed by those who were asleep
//! when it was replaced until they have heard of that; nobody who has gone on comes back to it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The steps that are looked at from where somebody is: each costs a signature.
const LONGEST: usize = 1000;

/// A public key that somebody knows, and that names the one after it.
pub trait Pinned: Clone + PartialEq + fmt::Display {
    /// What it is for, so that a key for one thing never becomes one for another.
    const PURPOSE: &'static str;

    /// Whether this key has signed a text.
    fn has_signed(&self, text: &str, signature: &str) -> bool;

    /// Whether another one can take its place at all.
    fn admits(&self, _: &Self) -> bool {
        true
    }
}

/// That a key takes the place of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Succession<K> {
    /// The one that was known.
    pub old: K,
    /// The one that is known from now on.
    pub new: K,
    /// From when the new one is used, in seconds since 1970.
    pub at: i64,
    /// The old one's signature.
    pub signature: String,
}

impl<K: Pinned> Succession<K> {
    /// Has the old key say it; `sign` makes its signature of a text.
    pub fn new(old: K, new: K, at: i64, sign: impl FnOnce(&str) -> String) -> Self {
        let mut made = Succession { old, new, at, signature: String::new() };
        made.signature = sign(&made.text());
        made
    }

    /// What is signed. The first line says that it is nothing else.
    fn text(&self) -> String {
        format!("sekisho-succession/1\n{}\n{}\n{}\n{}\n", K::PURPOSE, self.old, self.new, self.at)
    }

    fn holds(&self) -> bool {
        self.old.admits(&self.new) && self.old.has_signed(&self.text(), &self.signature)
    }
}

/// The keys from the one that is known to the last that follows from it, the known one first. A step that does not hold,
/// or leads back to a key that was left, is not taken.
pub fn walk<K: Pinned>(known: &K, all: &[Succession<K>]) -> Vec<K> {
    let (mut passed, mut looked_at) = (vec![known.clone()], 0);
    for step in all {
        let here = passed.last() == Some(&step.old);
        looked_at += usize::from(here);
        if here && looked_at <= LONGEST && !passed.contains(&step.new) && step.holds() {
            passed.push(step.new.clone());
        }
    }
    passed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::note::{Signer, Use, Verifier};

    const NAME: &str = "sekisho/t";

    fn signer(name: &str) -> Signer {
        Signer::new(name, Use::Note, &Signer::generate().unwrap()).unwrap()
    }

    fn step(old: &Signer, new: &Verifier, at: i64) -> Succession<Verifier> {
        Succession::new(old.verifier(), new.clone(), at, |text| old.line(text, 0))
    }

    fn chain(length: usize) -> (Vec<Signer>, Vec<Succession<Verifier>>) {
        let keys: Vec<Signer> = (0..=length).map(|_| signer(NAME)).collect();
        let steps = keys.windows(2).zip(0..).map(|(two, at)| step(&two[0], &two[1].verifier(), at)).collect();
        (keys, steps)
    }

    fn end(known: &Signer, all: &[Succession<Verifier>]) -> Verifier {
        walk(&known.verifier(), all).pop().unwrap()
    }

    #[test]
    fn whoever_knows_any_key_of_a_chain_walks_to_its_end() {
        let (keys, steps) = chain(3);
        for (at, key) in keys.iter().enumerate() {
            assert_eq!(walk(&key.verifier(), &steps).len(), 4 - at);
            assert_eq!(end(key, &steps), keys[3].verifier());
        }
        let text = serde_json::to_string(&steps).unwrap();
        let read: Vec<Succession<Verifier>> = serde_json::from_str(&text).unwrap();
        assert_eq!(end(&keys[0], &read), keys[3].verifier());
    }

    #[test]
    fn a_stranger_leads_nobody_anywhere_and_no_key_becomes_one_of_another_log_or_use() {
        let (keys, mut steps) = chain(1);
        let (thief, other) = (signer(NAME), signer("sekisho/other"));
        // Signed by somebody else, in the name of the known key.
        let mut forged = step(&thief, &thief.verifier(), 9);
        forged.old = keys[0].verifier();
        assert_eq!(end(&keys[0], &[forged.clone()]), keys[0].verifier());
        // With the signature of another step.
        forged.signature = steps[0].signature.clone();
        assert_eq!(end(&keys[0], &[forged]), keys[0].verifier());
        assert_eq!(end(&keys[0], &[step(&keys[0], &other.verifier(), 9)]), keys[0].verifier());
        let witness = Signer::new(NAME, Use::Cosignature, &Signer::generate().unwrap()).unwrap();
        assert_eq!(end(&keys[0], &[step(&keys[0], &witness.verifier(), 9)]), keys[0].verifier());
        // Back to a key that was left, by the word of the key that followed.
        steps.push(step(&keys[1], &keys[0].verifier(), 2));
        assert_eq!(end(&keys[0], &steps), keys[1].verifier());
    }

    proptest! {
        #[test]
        fn what_is_dropped_moved_or_changed_ends_the_walk_at_the_last_good_step(
            length in 1..6usize,
            at in any::<prop::sample::Index>(),
            to in any::<prop::sample::Index>(),
            how in 0..6u8,
        ) {
            let (keys, good) = chain(length);
            let (at, to) = (at.index(length), to.index(length));
            let mut steps = good.clone();
            let expected = match how {
                0 => { steps.remove(at); at }
                1 => { steps.swap(at, to); if at == to { length } else { at.min(to) } }
                2 => { steps[at].at += 1; at }
                3 => { steps[at].new = signer(NAME).verifier(); at }
                4 => { steps[at].signature = good[to].signature.clone(); if at == to { length } else { at } }
                _ => { steps.insert(at, step(&keys[at], &keys[to.min(at)].verifier(), 0)); length }
            };
            let walked = walk(&keys[0].verifier(), &steps);
            // After a swap the walk may find the earlier of the two later on, and goes on from there as far as it can.
            prop_assert!(walked.contains(&keys[expected].verifier()));
            let known: Vec<Verifier> = keys.iter().map(Signer::verifier).collect();
            prop_assert_eq!(&walked[..], &known[..walked.len()], "never anything but a beginning of the chain");
            if !matches!(how, 1) {
                prop_assert_eq!(walked.len(), expected + 1);
            }
        }

        #[test]
        fn nonsense_is_followed_nowhere(text in "\\PC{0,80}", at in any::<i64>()) {
            let (keys, steps) = chain(1);
            let nonsense = Succession { signature: text, at, ..steps[0].clone() };
            prop_assert_eq!(end(&keys[0], &[nonsense]), keys[0].verifier());
        }
    }
}
