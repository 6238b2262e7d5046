//! The compiler's text. What the text does is tested in a kernel; here is what must never be in it.

use proptest::prelude::*;
use sekisho_nsg::compile::{generation, script};
use sekisho_nsg::policy::{Addresses, NsgPart, PortRange, Ports};
use serde_json::json;

use crate::support::{nic_with, policy, rule};

fn one(changes: impl FnOnce(&mut sekisho_nsg::policy::Rule)) -> String {
    let mut nic = policy(nic_with(json!([rule("Inbound", 100, "Allow", json!({}))])));
    changes(&mut nic.inbound[0].rules[0]);
    script(&NsgPart { nics: vec![nic] }, 1)
}

fn lines(script: &str) -> Vec<&str> {
    script.lines().map(str::trim).filter(|l| l.contains("n0_in_s0_p100\"")).collect()
}

#[test]
fn a_rule_that_matches_nothing_is_no_rule() {
    let only = |texts: &[&str]| Addresses::Only(texts.iter().map(|t| t.parse().unwrap()).collect());
    assert_eq!(lines(&one(|r| r.source = Addresses::none())), Vec::<&str>::new());
    assert_eq!(lines(&one(|r| r.destination = Addresses::none())), Vec::<&str>::new());
    assert_eq!(lines(&one(|r| r.source_ports = Ports::Only(vec![]))), Vec::<&str>::new());
    assert_eq!(lines(&one(|r| r.destination_ports = Ports::Only(vec![]))), Vec::<&str>::new());
    let families = one(|r| {
        r.source = only(&["10.0.0.0/8"]);
        r.destination = only(&["fd00::/8"]);
    });
    assert_eq!(lines(&families), Vec::<&str>::new());
}

#[test]
fn a_rule_for_everything_of_one_family_stays_in_the_family() {
    let all4 = one(|r| r.source = Addresses::Only(vec!["0.0.0.0/0".parse().unwrap()]));
    assert_eq!(lines(&all4), [r#"meta nfproto ipv4 counter name "n0_in_s0_p100" return comment "r100""#]);
    let all6 = one(|r| r.source = Addresses::Only(vec!["::/0".parse().unwrap()]));
    assert_eq!(lines(&all6), [r#"meta nfproto ipv6 counter name "n0_in_s0_p100" return comment "r100""#]);
    assert_eq!(lines(&one(|_| ())), [r#"counter name "n0_in_s0_p100" return comment "r100""#]);
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
    assert!(text.contains("elements = { 10.0.0.0/7, 192.0.2.1 }"), "{text}");
    assert!(text.contains("elements = { 1-21, 80 }"), "{text}");
}

#[test]
fn the_generation_is_read_back() {
    assert_eq!(generation(&script(&NsgPart::default(), u64::MAX)), Some(u64::MAX));
    assert_eq!(generation(""), None);
}

#[test]
fn an_unfiltered_direction_has_no_rule_at_all() {
    let mut nic = policy(nic_with(json!([])));
    nic.outbound.clear();
    let text = script(&NsgPart { nics: vec![nic] }, 1);
    assert!(text.contains("iifname \"eth0\"") && !text.contains("oifname"), "{text}");
}

proptest! {
    #[test]
    fn no_rule_name_breaks_out_of_the_script(name in "\\PC{0,90}|[a\"\\n;{} ]{0,10}") {
        let text = one(|r| r.name = name.clone());
        let expected = one(|r| r.name = String::new());
        let without: String = text.replace(&format!(" comment \"{name}\""), "");
        prop_assert_eq!(without, expected);
        prop_assert_eq!(text.lines().count(), one(|_| ()).lines().count());
    }
}
