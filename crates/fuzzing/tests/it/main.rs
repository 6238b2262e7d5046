//! The bodies with every seed, with mutations of seeds and with noise.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{TestCaseError, TestRunner};
use sekisho_fuzzing::Body;

/// Strings that decide something somewhere.
const WORDS: [&str; 24] = [
    "/providers/",
    "/resourceGroups/",
    "/subscriptions/",
    " and ",
    " or ",
    "not ",
    "(",
    ")",
    "''",
    "/any(c:c eq ",
    "skj1.",
    ".",
    ":",
    "=",
    "\n",
    "\"",
    "{",
    "}",
    "%2f",
    "\u{a0}",
    "\u{0}",
    "東",
    "1e400",
    "18446744073709551615",
];

#[derive(Debug, Clone)]
enum Mutation {
    Flip(Index, u8),
    Word(Index, usize),
    Remove(Index, u8),
    Repeat(Index, u8),
    /// The rest is another seed's.
    Splice(Index, Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let place = any::<Index>;
    prop_oneof![
        (place(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (place(), 0..WORDS.len()).prop_map(|(at, word)| Mutation::Word(at, word)),
        (place(), any::<u8>()).prop_map(|(at, count)| Mutation::Remove(at, count)),
        (place(), any::<u8>()).prop_map(|(at, count)| Mutation::Repeat(at, count)),
        (place(), place()).prop_map(|(at, other)| Mutation::Splice(at, other)),
    ]
}

fn apply(mutation: &Mutation, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let place = |at: &Index, bytes: &[u8]| at.index(bytes.len() + 1);
    match mutation {
        Mutation::Flip(at, bit) => {
            let at = place(at, bytes);
            bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << bit);
        }
        Mutation::Word(at, word) => {
            let at = place(at, bytes);
            bytes.splice(at..at, WORDS[*word].bytes());
        }
        Mutation::Remove(at, count) => {
            let at = place(at, bytes);
            bytes.drain(at..(at + usize::from(*count)).min(bytes.len()));
        }
        Mutation::Repeat(at, count) => {
            let at = place(at, bytes);
            let part = bytes[at..(at + usize::from(*count)).min(bytes.len())].to_vec();
            bytes.splice(at..at, part);
        }
        Mutation::Splice(at, other) => {
            let (at, other) = (place(at, bytes), other.get(seeds));
            bytes.truncate(at);
            bytes.extend(&other[at.min(other.len())..]);
        }
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.collect();
    files.sort();
    assert!(!files.is_empty(), "no seeds of {target}");
    files.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Runs a body with its seeds, and then so often with something near or far from them.
fn check(target: &str, cases: u32) {
    let body: Body = sekisho_fuzzing::ALL.iter().find(|(name, _)| *name == target).unwrap().1;
    let seeds = seeds(target);
    seeds.iter().for_each(|seed| body(seed));
    let near = (any::<Index>(), prop::collection::vec(mutation(), 1..6));
    let noise = prop::collection::vec(any::<u8>(), 0..200);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let run = TestRunner::new(config).run(&(near, noise), |((seed, mutations), noise)| {
        let mut bytes = seed.get(&seeds).clone();
        mutations.iter().for_each(|mutation| apply(mutation, &mut bytes, &seeds));
        body(&bytes);
        body(&noise);
        Ok::<(), TestCaseError>(())
    });
    run.unwrap_or_else(|error| panic!("{target}: {error}"));
}

#[test]
fn every_listing_that_is_a_seed_passes_as_the_policy() {
    assert!(seeds("listing").iter().all(|seed| sekisho_fuzzing::listing_passes(seed)));
}

macro_rules! holds {
    ($($name:ident: $target:literal, $cases:literal;)*) => {
        $(#[test] fn $name() { check($target, $cases); })*

        #[test]
        fn every_target_is_run_here_and_has_a_binary() {
            let here = [$($target),*];
            let all: Vec<&str> = sekisho_fuzzing::ALL.iter().map(|(name, _)| *name).collect();
            assert_eq!(here.as_slice(), all);
            let manifest = include_str!("../../../../fuzz/Cargo.toml");
            assert!(all.iter().all(|name| manifest.contains(&format!("fuzz_targets/{name}.rs"))));
        }
    };
}

holds! {
    nothing_signs_in_that_nobody_signed: "assertion", 4000;
    a_configuration_means_the_same_after_it_was_shown: "configuration", 2000;
    a_filter_means_the_same_after_it_was_printed: "filter", 4000;
    a_line_of_a_flow_log_means_the_same_after_it_was_written: "flow", 4000;
    a_frame_means_the_same_after_it_was_sent_on: "frame", 4000;
    an_id_has_one_canonical_text: "id", 4000;
    a_join_string_has_one_text: "join", 4000;
    what_is_read_of_a_listing_leads_to_the_policy_by_whole_lines: "listing", 500;
    a_group_that_is_taken_is_judged_rule_by_rule_as_its_diagram_says: "rules", 2000;
    what_scp_says_passes_the_same_however_it_is_cut_and_each_file_is_told: "scp", 2000;
    a_segment_of_others_is_read_or_an_error_that_names_it: "segment", 500;
    what_sftp_says_passes_the_same_however_it_is_cut_and_each_file_is_told: "sftp", 2000;
    a_spool_sends_without_holes_whatever_its_files_hold: "spool", 500;
    a_file_of_service_tags_changes_nothing_about_itself: "tags", 2000;
    only_the_key_makes_tokens: "token", 500;
}
