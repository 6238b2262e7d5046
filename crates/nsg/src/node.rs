//! One node of a diagram as the rules of a chain, and such rules as a node again. Pure.
//!
//! Whatever the rules, they say where every value of one key leads. Which they are is a matter of what a packet meets:
//!
//! - Where no more than [`FEW`] intervals lead elsewhere than most do, each is compared with, one after the other, and one
//!   rule for all others is last.
//! - A map of intervals is an array to the kernel, searched in halves, with an indirect call for every step. From [`MANY`]
//!   intervals on, single values have a map of their own, which is a hash table, and the array is left with fewer: what lies
//!   around them is one interval again. So have whole blocks of addresses of the usual lengths ([`lengths`]).
//! - What nearly all packets are of, TCP and UDP, is compared with first.
//!
//! Sets are not for nothing: what it costs to make one grows with the number of those that there are
//! (`nf_tables_set_alloc_name` in the kernel walks them all).

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::diagram::{Family, Interval, IntervalSet};
use crate::ruleset::{Key, Rule, Verdict, When, block};

/// See the module.
const FEW: usize = 8;
/// See the module.
const MANY: usize = 32;
/// TCP and UDP.
const COMMON: [u128; 2] = [6, 17];
/// An interval of more blocks of one length is none of that length.
const BLOCKS: usize = 64;
/// Fewer blocks have no map of their own.
const FEW_BLOCKS: usize = 4;
/// No chain of ours has more rules.
const MOST: usize = FEW + 8;

type Branch = (Interval, Verdict);

/// The rules by which the values of a key lead where they should, every value having a branch, in order.
pub(crate) fn rules(key: Key, branches: Vec<Branch>) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut left = branches;
    if key == Key::Protocol {
        let (common, others) = apart(left, |value| COMMON.contains(&value));
        rules.extend(common.into_iter().map(|branch| test(key, branch)));
        left = others;
    }
    let mut made = few(key, &left);
    if made.is_none() && (key == Key::Protocol || left.len() >= MANY) {
        let (alone, others) = apart(left, |_| true);
        if !alone.is_empty() {
            rules.push(Rule::Map(key, alone));
        }
        left = others;
        for length in lengths(key) {
            if left.len() < MANY {
                break;
            }
            if let Some((blocks, others)) = blocks(key, length, &left) {
                rules.push(Rule::Blocks(key, length, blocks));
                left = others;
            }
        }
        made = few(key, &left);
    }
    rules.extend(made.unwrap_or_else(|| vec![Rule::Map(key, left), last(Verdict::Drop)]));
    rules
}

/// The rules by which some values lead somewhere, one after the other; all others are dropped.
pub(crate) fn each(key: Key, branches: Vec<Branch>) -> Vec<Rule> {
    branches.into_iter().map(|branch| test(key, branch)).chain([last(Verdict::Drop)]).collect()
}

/// What the kernel can read of every packet that comes to a node that asks for it: addresses, because the family has been
/// asked for, and ports, because only packets whose ports can be read come to the stages at all
/// ([`crate::evaluate::is_unreadable`]), and a diagram asks for ports only where there are some. Of anything else, what
/// cannot be read must be dropped.
fn is_always_read(key: Key) -> bool {
    matches!(key, Key::Source(_) | Key::Destination(_) | Key::SourcePort | Key::DestinationPort)
}

fn last(verdict: Verdict) -> Rule {
    Rule::When(When::always(verdict))
}

fn test(key: Key, (interval, verdict): Branch) -> Rule {
    Rule::When(When::always(verdict).and(key, IntervalSet::new([interval])))
}

/// One rule for each interval that does not lead where most do, and the rest; `None` where those are not few.
fn few(key: Key, branches: &[Branch]) -> Option<Vec<Rule>> {
    let Some((Interval { last: greatest, .. }, _)) = branches.last() else {
        return Some(vec![last(Verdict::Drop)]);
    };
    let mut counts: BTreeMap<&Verdict, usize> = BTreeMap::new();
    for (_, verdict) in branches {
        *counts.entry(verdict).or_default() += 1;
    }
    let (usual, most) = counts.into_iter().max_by_key(|(_, count)| *count)?;
    if branches.len() - most > FEW {
        return None;
    }
    let (rest, others): (Vec<&Branch>, Vec<&Branch>) =
        branches.iter().partition(|(_, verdict)| verdict == usual);
    let mut rules: Vec<Rule> = others.iter().map(|branch| test(key, (*branch).clone())).collect();
    if is_always_read(key) || *usual == Verdict::Drop {
        rules.push(last(usual.clone()));
        return Some(rules);
    }
    match rest.as_slice() {
        [only] if !others.is_empty() => rules.push(test(key, (*only).clone())),
        // In halves: a test for any value at all is one that nft may leave out, and with it the question whether there is one.
        _ => rules.extend(
            [(0, greatest / 2), (greatest / 2 + 1, *greatest)]
                .map(|(first, last)| test(key, (Interval { first, last }, usual.clone()))),
        ),
    }
    rules.push(last(Verdict::Drop));
    Some(rules)
}

/// Some of the values that have a branch of their own, and the other branches, again of every value: those are asked for
/// afterwards, so that what is taken out may be anyone's.
fn apart(branches: Vec<Branch>, of: impl Fn(u128) -> bool) -> (Vec<Branch>, Vec<Branch>) {
    taken(branches, |interval| interval.first == interval.last && of(interval.first))
}

/// Apart from the others as single values are: blocks of a prefix length, each on its own, if there are enough of them.
fn blocks(key: Key, length: u8, branches: &[Branch]) -> Option<(Vec<Branch>, Vec<Branch>)> {
    let (Key::Source(family) | Key::Destination(family)) = key else { return None };
    let split = |interval: Interval| -> Option<Vec<Interval>> {
        let mut blocks = vec![block(family, length, interval.first)?];
        while let Some(last) = blocks.last().map(|b| b.last).filter(|last| *last < interval.last) {
            blocks.push(block(family, length, last + 1)?);
            if blocks.len() > BLOCKS {
                return None;
            }
        }
        (blocks.last()?.last == interval.last).then_some(blocks)
    };
    let (whole, others) = taken(branches.to_vec(), |interval| split(interval).is_some());
    let of = |(interval, verdict): Branch| {
        split(interval).unwrap_or_default().into_iter().map(move |block| (block, verdict.clone()))
    };
    (whole.len() >= FEW_BLOCKS).then(|| (whole.into_iter().flat_map(of).collect(), others))
}

/// The prefix lengths that networks mostly have, the longest first.
fn lengths(key: Key) -> [u8; 2] {
    match key {
        Key::Source(Family::V6) | Key::Destination(Family::V6) => [64, 48],
        _ => [24, 16],
    }
}

fn taken(branches: Vec<Branch>, of: impl Fn(Interval) -> bool) -> (Vec<Branch>, Vec<Branch>) {
    let (mut alone, mut others): (Vec<Branch>, Vec<Branch>) = (Vec::new(), Vec::new());
    for (interval, verdict) in branches {
        let taken = of(interval);
        match others.last_mut() {
            Some((before, of)) if taken || *of == verdict => before.last = interval.last,
            Some(_) => others.push((interval, verdict.clone())),
            None if taken => {}
            None => others.push((Interval { first: 0, ..interval }, verdict.clone())),
        }
        if taken {
            alone.push((interval, verdict));
        }
    }
    (alone, others)
}

/// The key that the chain of a node asks for, and where its values lead, intervals being sorted and disjoint; a value that
/// has none is dropped. `None` of rules that are not as those that are made here.
pub(crate) fn branches(rules: &[Rule]) -> Option<(Key, Cow<'_, [Branch]>)> {
    let (Rule::When(rest), tests) = rules.split_last()? else { return None };
    if rest != &When::always(rest.verdict.clone()) || tests.len() >= MOST {
        return None;
    }
    if let ([Rule::Map(key, branches)], Verdict::Drop) = (tests, &rest.verdict) {
        return Some((*key, Cow::Borrowed(branches)));
    }
    let key = match tests.first()? {
        Rule::Map(key, _) | Rule::Blocks(key, ..) => *key,
        Rule::When(when) => when.only()?.0,
        _ => return None,
    };
    let mut found: Vec<Branch> = Vec::new();
    // What has been asked for before has its verdict.
    let mut taken = IntervalSet::default();
    for test in tests {
        let asked: Vec<(Interval, &Verdict)> = match test {
            Rule::Map(of, branches) | Rule::Blocks(of, _, branches) if *of == key => {
                branches.iter().map(|(i, verdict)| (*i, verdict)).collect()
            }
            Rule::When(when) => match when.only()? {
                (of, values) if of == key => values.intervals().iter().map(|i| (*i, &when.verdict)).collect(),
                _ => return None,
            },
            _ => return None,
        };
        for (interval, verdict) in &asked {
            let new = taken.gaps(*interval);
            found.extend(new.into_iter().map(|interval| (interval, (*verdict).clone())));
        }
        let asked = asked.iter().map(|(interval, _)| *interval);
        taken = IntervalSet::new(taken.intervals().iter().copied().chain(asked));
    }
    if rest.verdict != Verdict::Drop {
        let new = taken.gaps(Interval { first: 0, last: key.greatest()? });
        // A map of every value is followed by nothing but to drop.
        if !is_always_read(key) || (new.is_empty() && tests.len() == 1) {
            return None;
        }
        found.extend(new.into_iter().map(|interval| (interval, rest.verdict.clone())));
    }
    found.sort_unstable_by_key(|(interval, _)| interval.first);
    Some((key, Cow::Owned(found)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ruleset::Name;

    /// What the kernel does with a packet that has this value of the key, or none that can be read.
    fn judged(rules: &[Rule], value: Option<u128>) -> Option<Verdict> {
        rules.iter().find_map(|rule| match rule {
            Rule::Map(_, branches) | Rule::Blocks(_, _, branches) => {
                let of = |(i, _): &&Branch| value.is_some_and(|v| i.first <= v && v <= i.last);
                branches.iter().find(of).map(|(_, verdict)| verdict.clone())
            }
            Rule::When(when) => match when.matches.values().last() {
                Some(values) => value.is_some_and(|v| values.contains(v)).then(|| when.verdict.clone()),
                None => Some(when.verdict.clone()),
            },
            _ => None,
        })
    }

    fn verdict(n: usize) -> Verdict {
        match n {
            0 => Verdict::Drop,
            1 => Verdict::Return,
            _ => Verdict::Goto(Name::made(&format_args!("c_{n}"))),
        }
    }

    /// Branches of every value: single ones, blocks and other ranges, of few verdicts and of many.
    fn node() -> impl Strategy<Value = (Key, Vec<Branch>)> {
        let keys =
            [Key::Protocol, Key::DestinationPort, Key::Source(Family::V4), Key::Destination(Family::V6)];
        let cuts = prop::collection::btree_map(1u128..256, 0..4, 0..160);
        (prop::sample::select(keys.to_vec()), cuts, 1usize..12, any::<u64>()).prop_map(
            |(key, cuts, verdicts, seed)| {
                let greatest = key.greatest().unwrap();
                // How large a block is that a cut begins.
                let unit: u128 = match key {
                    Key::Source(Family::V4) => 1 << 8,
                    Key::Destination(Family::V6) => 1 << 64,
                    _ => 1,
                };
                let mut firsts = std::collections::BTreeSet::from([0]);
                for (cut, kind) in cuts {
                    let at = cut * unit;
                    firsts.extend(match kind {
                        0 => vec![at, at + unit],
                        1 => vec![at + unit / 3, at + unit / 3 + 1],
                        2 => vec![at],
                        _ => vec![at, at + 3 * unit],
                    });
                }
                let firsts: Vec<u128> = firsts.into_iter().filter(|first| *first <= greatest).collect();
                let mut branches: Vec<Branch> = Vec::new();
                for (at, first) in firsts.iter().enumerate() {
                    let last = firsts.get(at + 1).map_or(greatest, |next| next - 1);
                    let drawn = (seed >> (at % 59)) as usize % (verdicts + 1);
                    match branches.last_mut() {
                        Some((before, of)) if *of == verdict(drawn) => before.last = last,
                        _ => branches.push((Interval { first: *first, last }, verdict(drawn))),
                    }
                }
                (key, branches)
            },
        )
    }

    proptest! {
        #[test]
        fn a_node_in_rules_leads_every_value_where_it_should_and_is_read_back((key, branches) in node()) {
            let made = rules(key, branches.clone());
            for (Interval { first, last }, verdict) in &branches {
                for value in [*first, *last, first + (last - first) / 2] {
                    prop_assert_eq!(judged(&made, Some(value)), Some(verdict.clone()));
                }
            }
            if !is_always_read(key) {
                prop_assert_eq!(judged(&made, None), Some(Verdict::Drop));
            }
            if made.len() == 1 {
                return Ok(());
            }
            let (of, found) = super::branches(&made).unwrap();
            prop_assert_eq!(of, key);
            let at = |value: u128| {
                let of = |(i, _): &&Branch| i.first <= value && value <= i.last;
                found.iter().find(of).map_or(Verdict::Drop, |(_, verdict)| verdict.clone())
            };
            for (Interval { first, last }, verdict) in &branches {
                prop_assert_eq!((&at(*first), &at(*last)), (verdict, verdict));
            }
            prop_assert!(found.windows(2).all(|w| w[0].0.last < w[1].0.first));
        }
    }

    #[test]
    fn what_is_not_read_for_certain_has_no_verdict_but_to_be_dropped() {
        let tcp = test(Key::Protocol, (Interval { first: 6, last: 6 }, Verdict::Drop));
        assert!(branches(&[tcp, last(Verdict::Return)]).is_none());
    }

    #[test]
    fn blocks_of_addresses_are_looked_for_at_once_and_what_is_left_is_few() {
        let net = |n: u128| {
            let first = (10 << 24) | (n << 9);
            [
                (Interval { first, last: first + 255 }, verdict(n as usize % 7 + 2)),
                (Interval { first: first + 256, last: first + 511 }, Verdict::Drop),
            ]
        };
        let mut nets: Vec<Branch> = vec![(Interval { first: 0, last: (10 << 24) - 1 }, Verdict::Drop)];
        nets.extend((0..40).flat_map(net));
        nets.push((Interval { first: (10 << 24) + (40 << 9), last: u32::MAX.into() }, Verdict::Drop));
        let made = rules(Key::Source(Family::V4), nets);
        let [Rule::Blocks(_, 24, blocks), Rule::When(rest)] = made.as_slice() else { panic!("{made:?}") };
        assert!(blocks.len() >= 40, "{blocks:?}");
        assert_eq!(rest, &When::always(Verdict::Drop));
    }

    #[test]
    fn most_packets_meet_few_rules_and_single_values_are_a_map_of_their_own() {
        let host = |n: u128| (Interval { first: 2 * n + 1, last: 2 * n + 1 }, verdict(n as usize % 5 + 2));
        let between = |n: u128| (Interval { first: 2 * n, last: 2 * n }, Verdict::Drop);
        let mut many: Vec<Branch> = (0..50).flat_map(|n| [between(n), host(n)]).collect();
        many.push((Interval { first: 100, last: u32::MAX.into() }, Verdict::Drop));
        let made = rules(Key::Destination(Family::V4), many);
        let [Rule::Map(_, alone), Rule::When(rest)] = made.as_slice() else { panic!("{made:?}") };
        assert_eq!((alone.len(), &rest.verdict), (100, &Verdict::Drop));
        let protocols = [(0, 5, 0), (6, 6, 2), (7, 16, 0), (17, 17, 3), (18, 255, 0)];
        let branches = protocols.map(|(first, last, to)| (Interval { first, last }, verdict(to))).to_vec();
        assert_eq!(rules(Key::Protocol, branches).len(), 3);
    }
}
