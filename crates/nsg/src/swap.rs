//! From one generation of chains to the next, as transactions of nftables. Pure.
//!
//! The new chains are added beside the old ones, then the two chains that packets enter are pointed at them and the old
//! ones are deleted. The last transaction does what matters, so that every packet is judged either by the old policy or
//! by the new one. The table itself stays, and with it the counters of rules that are in both policies, and the maps of
//! guarded ports ([`crate::guard`]), whose elements end by themselves and must not begin anew.
//!
//! What adding a set costs grows with the number of sets in the same transaction (`__nft_set_trans_bind` in the kernel
//! walks them all), so that many chains are added in several transactions, before anything leads to them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::compile::Compiled;
use crate::listing::Listing;
use crate::ruleset::{Chain, DENIED, Name, TABLE, denied};

/// Sets without name in one transaction.
const MAX_SETS: usize = 256;
/// The name of the empty chain that tells which generation is loaded. A chain, because every version of nft lists
/// chains, and not every one lists a table's comment.
const GENERATION: &str = "generation_";

/// The transactions that make the table hold the policy, to be loaded in order. All but the last change nothing for any
/// packet.
pub fn transactions(compiled: &Compiled, present: Option<&Listing>) -> Vec<String> {
    // A table that is not as this crate makes it goes whole, and what lasts in it ends.
    let kept = present.filter(|listing| listing.irregular().is_none());
    let prefix = free_prefix(compiled.generation, kept);
    let stages = compiled.stage_chains(&prefix);
    let counters = compiled.counters();
    let mut done = Vec::new();
    let mut last = String::new();
    if present.is_some() && kept.is_none() {
        last.push_str(&removal());
    }
    let sets: usize = stages.iter().map(Chain::sets).sum();
    // Chains that are added beforehand would go with a table that goes whole.
    if sets > MAX_SETS && (kept.is_some() || present.is_none()) {
        done = batches(&stages, &counters, compiled.logs());
    }
    let _ = writeln!(last, "add table inet {TABLE}");
    let frame = compiled.frame(&prefix);
    let is_as_it_should_be =
        |chain: &Chain| frame.iter().any(|f| f.name == chain.name && f.hook == chain.hook);
    let (hooks, old): (Vec<&Chain>, Vec<&Chain>) =
        kept.iter().flat_map(|listing| listing.chains().values()).partition(|chain| chain.hook.is_some());
    let lasts = |chain: &&&Chain| compiled.logs() && chain.name.as_str() == DENIED;
    let old: Vec<&Chain> = old.iter().filter(|chain| !lasts(chain)).copied().collect();
    for hook in &hooks {
        let _ = writeln!(last, "flush chain inet {TABLE} {}", hook.name);
    }
    for chain in hooks.into_iter().filter(|chain| !is_as_it_should_be(chain)) {
        let _ = writeln!(last, "delete chain inet {TABLE} {}", chain.name);
    }
    let marker = format!("{GENERATION}{}", compiled.generation);
    if done.is_empty() && compiled.logs() {
        last.push_str(&fresh_denied());
    }
    let _ = writeln!(last, "table inet {TABLE} {{");
    if done.is_empty() {
        write_counters(&mut last, &counters);
        stages.iter().for_each(|chain| chain.write(&mut last));
    }
    let maps = compiled.maps();
    maps.iter().for_each(|map| map.write(&mut last));
    let _ = writeln!(last, "\tchain {marker} {{\n\t}}");
    frame.iter().for_each(|chain| chain.write(&mut last));
    last.push_str("}\n");
    for chain in &old {
        let _ = writeln!(last, "flush chain inet {TABLE} {}", chain.name);
    }
    for chain in old.iter().filter(|chain| chain.name.as_str() != marker) {
        let _ = writeln!(last, "delete chain inet {TABLE} {}", chain.name);
    }
    if let Some(listing) = kept {
        let ours = |name: &&Name| name.as_str().starts_with("hits_") || name.as_str().starts_with("invalid_");
        for counter in listing.counters().difference(&counters).filter(ours) {
            let _ = writeln!(last, "delete counter inet {TABLE} {counter}");
        }
        let wanted: BTreeSet<String> = maps.iter().map(ToString::to_string).collect();
        let over = |name: &Name| !wanted.contains(name.as_str());
        for (kind, name) in listing.sets().iter().filter(|(_, name)| over(name)) {
            let _ = writeln!(last, "delete {kind} inet {TABLE} {name}");
        }
    }
    done.push(last);
    done
}

/// The script that removes the table, present or not.
pub fn removal() -> String {
    // `destroy` would be one line, but nft 1.0.6 lacks it.
    format!("add table inet {TABLE}\ndelete table inet {TABLE}\n")
}

/// The generation that a chain of this name tells of.
pub(crate) fn generation_of(name: &Name) -> Option<u64> {
    name.as_str().strip_prefix(GENERATION)?.parse().ok()
}

/// A prefix that no chain of the table has: also a generation that is loaded again is loaded beside itself.
fn free_prefix(generation: u64, present: Option<&Listing>) -> String {
    let taken = |prefix: &str| {
        present.iter().flat_map(|l| l.chains().keys()).any(|name| name.as_str().starts_with(prefix))
    };
    let more = (1u32..).map(|n| format!("g{generation}x{n}_"));
    std::iter::once(format!("g{generation}_")).chain(more).find(|p| !taken(p)).unwrap_or_default()
}

/// The chain of what is denied, the same in every generation: made, emptied and filled in one transaction.
fn fresh_denied() -> String {
    let chain = denied();
    let mut out = format!("add chain inet {TABLE} {0}\nflush chain inet {TABLE} {0}\n", chain.name);
    let _ = writeln!(out, "table inet {TABLE} {{");
    chain.write(&mut out);
    out.push_str("}\n");
    out
}

fn write_counters(out: &mut String, counters: &BTreeSet<Name>) {
    for counter in counters {
        let _ = writeln!(out, "\tcounter {counter} {{\n\t}}");
    }
}

/// Adds chains that nothing leads to yet, with at most [`MAX_SETS`] sets at a time.
fn batches(chains: &[Chain], counters: &BTreeSet<Name>, logs: bool) -> Vec<String> {
    let begin = || format!("add table inet {TABLE}\ntable inet {TABLE} {{\n");
    let mut done = Vec::new();
    let mut text = begin();
    if logs {
        text = format!("add table inet {TABLE}\n{}{text}", fresh_denied());
    }
    write_counters(&mut text, counters);
    let mut sets = 0;
    for chain in chains {
        // A chain of many rules is added piece by piece.
        let mut piece = Chain { rules: Vec::new(), ..chain.clone() };
        for rule in &chain.rules {
            piece.rules.push(rule.clone());
            if sets + piece.sets() >= MAX_SETS {
                piece.write(&mut text);
                piece.rules.clear();
                text.push_str("}\n");
                done.push(std::mem::replace(&mut text, begin()));
                sets = 0;
            }
        }
        sets += piece.sets();
        if !piece.rules.is_empty() {
            piece.write(&mut text);
        }
    }
    text.push_str("}\n");
    done.push(text);
    done
}
