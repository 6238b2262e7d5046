//! The compiler's text and the swap of generations. What the text does is tested in a kernel; here is what must never be
//! in it.

use proptest::prelude::*;
use sekisho_nsg::compile::{Form, compile};
use sekisho_nsg::policy::{Addresses, NsgPart, PortRange, Ports};
use sekisho_nsg::swap::transactions;
use serde_json::json;

use crate::support::{nic_with, policy, rule};

fn script(part: &NsgPart, generation: u64) -> String {
    transactions(&compile(part, generation), None).concat()
}

fn one(changes: impl FnOnce(&mut sekisho_nsg::policy::Rule)) -> String {
    let mut nic = policy(nic_with(json!([rule("Inbound", 100, "Allow", json!({}))])));
    changes(&mut nic.inbound[0].rules[0]);
    script(&NsgPart { nics: vec![nic] }, 1)
}

/// Whether some packet reaches the end of the first rule.
fn is_reachable(script: &str) -> bool {
    script.contains("chain g1_n0_in_s0_r0 {")
}

#[test]
fn a_rule_that_matches_nothing_is_no_rule() {
    let only = |texts: &[&str]| Addresses::Only(texts.iter().map(|t| t.parse().unwrap()).collect());
    assert!(is_reachable(&one(|_| ())));
    assert!(!is_reachable(&one(|r| r.source = Addresses::none())));
    assert!(!is_reachable(&one(|r| r.destination = Addresses::none())));
    assert!(!is_reachable(&one(|r| r.source_ports = Ports::Only(vec![]))));
    assert!(!is_reachable(&one(|r| r.destination_ports = Ports::Only(vec![]))));
    assert!(!is_reachable(&one(|r| {
        r.source = only(&["10.0.0.0/8"]);
        r.destination = only(&["fd00::/8"]);
    })));
}

#[test]
fn a_rule_for_everything_of_one_family_stays_in_the_family() {
    let all4 = one(|r| r.source = Addresses::Only(vec!["0.0.0.0/0".parse().unwrap()]));
    assert!(all4.contains("meta nfproto 2 goto g1_n0_in_s0_r0\n"), "{all4}");
    assert!(all4.contains("meta nfproto 10 goto g1_n0_in_s0_"), "{all4}");
    let all6 = one(|r| r.source = Addresses::Only(vec!["::/0".parse().unwrap()]));
    assert!(all6.contains("meta nfproto 10 goto g1_n0_in_s0_r0\n"), "{all6}");
    assert!(one(|_| ()).contains("jump g1_n0_in_s0_r0\n"), "the first rule decides about everything");
}

#[test]
fn overlapping_and_adjacent_intervals_are_merged() {
    let text = one(|r| {
        r.source = Addresses::Only(
            ["10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/8", "192.0.2.1", "192.0.2.1"]
                .iter()
                .map(|t| t.parse().unwrap_or_else(|_| format!("{t}/32").parse().unwrap()))
                .collect(),
        );
        r.destination_ports =
            Ports::Only(["1-10", "5-20", "21", "80"].iter().filter_map(|t| PortRange::parse(t)).collect());
    });
    for test in ["ip saddr 10.0.0.0-11.255.255.255", "ip saddr 192.0.2.1", "th dport 1-21", "th dport 80"] {
        assert!(text.contains(&format!("{test} goto ")), "{test}: {text}");
    }
}

#[test]
fn what_cannot_be_read_is_dropped_before_any_node_asks_for_it() {
    let text = one(|r| r.destination_ports = Ports::Only(vec![PortRange::new(22, 22).unwrap()]));
    let chains: Vec<Vec<&str>> =
        text.split("chain ").map(|chain| chain.lines().map(str::trim).collect()).collect();
    let asks = |lines: &[&str], of: &str| lines[1..].iter().any(|line| line.contains(of));
    // Families and protocols that are not known are dropped where they are asked for.
    for key in ["meta nfproto ", "meta l4proto "] {
        let nodes: Vec<_> =
            chains.iter().filter(|lines| lines[0].contains("_s0_") && asks(lines, key)).collect();
        assert!(!nodes.is_empty(), "{key}: {text}");
        for lines in nodes {
            let end = lines.iter().position(|line| *line == "}").unwrap();
            assert_eq!(lines[end - 1], "drop", "{lines:?}");
        }
    }
    // Ports that cannot be read come to no node.
    let entry = chains.iter().find(|lines| lines[0].starts_with("g1_n0_in ")).unwrap();
    let at = |of: &str| entry.iter().position(|line| line.starts_with(of));
    let stage = at("jump g1_n0_in_s0_").unwrap();
    for protocol in [6, 17, 132] {
        let asked = at(&format!("meta l4proto {protocol} jump g1_ports")).unwrap();
        assert!(asked < stage, "{entry:?}");
    }
}

#[test]
fn an_unfiltered_direction_has_no_rule_at_all() {
    let mut nic = policy(nic_with(json!([])));
    nic.outbound.clear();
    let text = script(&NsgPart { nics: vec![nic] }, 1);
    assert!(text.contains("iifname \"eth0\"") && !text.contains("oifname"), "{text}");
}

#[test]
fn the_form_of_a_stage_is_told() {
    let nic = policy(nic_with(json!([rule("Inbound", 100, "Allow", json!({"destinationPortRange": "22"}))])));
    let forms = compile(&NsgPart { nics: vec![nic] }, 1).forms();
    assert_eq!(forms.len(), 2);
    assert!(forms.iter().all(|f| f.form == Form::Rules && f.edges > 0 && f.rules >= 3), "{forms:?}");
}

proptest! {
    #[test]
    fn no_rule_name_breaks_out_of_the_script(name in "\\PC{0,90}|[a\"\\n;{} ]{0,10}") {
        let text = one(|r| r.name = name.clone());
        let expected = one(|r| r.name = String::new());
        // Counters have a digest in their names, and nothing else may differ.
        let blind = |text: &str| -> Vec<String> {
            text.lines()
                .map(|l| match l.split_once("hits_") {
                    None => l.to_owned(),
                    Some((before, after)) => {
                        let end = after.find(|c: char| !c.is_ascii_alphanumeric() && !"_.-".contains(c));
                        format!("{before}{}", &after[end.unwrap_or(after.len())..])
                    }
                })
                .collect()
        };
        let (mut text, mut expected) = (blind(&text), blind(&expected));
        // Counters are sorted by name.
        text.sort();
        expected.sort();
        prop_assert_eq!(text, expected);
    }
}
