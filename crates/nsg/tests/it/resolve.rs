//! Names become addresses, and nothing ever becomes everything.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;
use proptest::prelude::*;
use sekisho_nsg::allowed::{BUDGET, allowed};
use sekisho_nsg::analyse::{Limits, RuleState, analyse_below};
use sekisho_nsg::diagram::{ALLOW, Manager, ORDERS, Point};
use sekisho_nsg::evaluate::{ALIVE_ICMPV6, evaluate};
use sekisho_nsg::platform::PlatformExceptions;
use sekisho_nsg::policy::{Addresses, Association, Direction, NicPolicy};
use sekisho_nsg::resolve::{
    AdminRules, AttachedNsg, Inputs, NicInput, ResolveError, Tags, complement, resolve,
};
use sekisho_nsg::resources::AdminRule;
use serde_json::{Value, json};

use crate::random::{packets, platform, stage};
use crate::support::{asg, id, inbound, nic, nic_with, nsg, outbound, packet, policy, rule};

fn inputs(nic: NicInput) -> Inputs {
    let mut tags = Tags::default();
    tags.insert("Office", vec!["203.0.113.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()]);
    tags.insert("Empty", vec![]);
    let groups = HashMap::from([
        (asg("web"), vec!["10.77.0.4".parse().unwrap(), "10.77.0.9".parse().unwrap()]),
        (asg("db"), vec!["10.77.0.5".parse().unwrap()]),
        (asg("empty"), vec![]),
    ]);
    Inputs { nics: vec![nic], groups, tags }
}

fn named(groups: &[&str]) -> Value {
    groups.iter().map(|g| json!({"id": asg(g)})).collect()
}

#[test]
fn without_an_nsg_nothing_is_filtered() {
    let policy = policy(nic());
    assert!(policy.inbound.is_empty() && policy.outbound.is_empty());
    assert_eq!(inbound(&policy, &packet(6, "192.0.2.1:1", "10.77.0.4:22")), (true, None));
}

#[test]
fn the_six_defaults_do_what_azures_do() {
    let policy = policy(nic_with(json!([])));
    let by = |name: &str| Some(name.to_owned());
    for (from, to) in [("10.77.9.9:1", "10.77.0.4:22"), ("[fd77:0:0:9::1]:1", "[fd77::4]:22")] {
        assert_eq!(inbound(&policy, &packet(6, from, to)), (true, by("AllowVnetInBound")));
        assert_eq!(outbound(&policy, &packet(6, to, from)), (true, by("AllowVnetOutBound")));
    }
    let probe = packet(6, "168.63.129.16:1", "10.77.0.4:80");
    assert_eq!(
        inbound(&policy, &probe),
        (true, by("AllowVnetInBound")),
        "the tag holds the prober, as Azure's does"
    );
    assert_eq!(
        inbound(&policy, &packet(6, "168.63.129.16:1", "198.51.100.1:80")),
        (true, by("AllowAzureLoadBalancerInBound"))
    );
    for (from, to) in [("192.0.2.1:1", "10.77.0.4:22"), ("[2001:db8::1]:1", "[fd77::4]:22")] {
        assert_eq!(inbound(&policy, &packet(6, from, to)), (false, by("DenyAllInBound")));
        assert_eq!(outbound(&policy, &packet(6, to, from)), (true, by("AllowInternetOutBound")));
    }
    assert_eq!(inbound(&policy, &packet(47, "192.0.2.1", "10.77.0.4")), (false, by("DenyAllInBound")));
    // From an address that is not the network's to one that is: neither default allows it.
    assert_eq!(outbound(&policy, &packet(6, "192.0.2.4:1", "10.77.0.9:22")), (false, by("DenyAllOutBound")));
}

#[test]
fn elsewhere_than_in_azure_and_where_a_group_says_so_rules_decide_about_the_platforms_addresses() {
    let all = || json!([rule("Outbound", 200, "Deny", json!({}))]);
    let dns = packet(17, "10.77.0.4:1", "168.63.129.16:53");
    let agent = packet(6, "10.77.0.4:1", "168.63.129.16:80");
    let metadata = packet(6, "10.77.0.4:1", "169.254.169.254:80");
    let passes = |nic: NicInput| [&dns, &agent, &metadata].map(|p| outbound(&policy(nic.clone()), p).0);
    assert_eq!(passes(nic_with(all())), [true; 3]);
    assert_eq!(passes(NicInput { in_azure: false, ..nic_with(all()) }), [false; 3]);
    let said = |platform, in_azure| {
        let nsg = AttachedNsg { platform, ..nsg("own", all()) };
        NicInput { nic_nsg: Some(nsg), in_azure, ..nic() }
    };
    assert_eq!(passes(said(PlatformExceptions::Azure, false)), [true; 3]);
    assert_eq!(passes(said(PlatformExceptions::None, true)), [false; 3]);
    // Of two groups the strictest counts.
    let subnet = AttachedNsg { platform: PlatformExceptions::None, ..nsg("subnet", json!([])) };
    let both = NicInput {
        subnet_nsg: Some((id("virtualNetworks/n"), subnet)),
        ..said(PlatformExceptions::Azure, true)
    };
    assert_eq!(passes(both), [false; 3]);
    // A rule that names a tag of the platform takes charge of that service, and of no other.
    for (tag, expected) in [
        ("AzurePlatformDNS", [false, true, true]),
        ("azureplatformimds", [true, true, false]),
        ("AzurePlatformLKM", [true, true, true]),
    ] {
        let named = rule("Outbound", 100, "Deny", json!({"destinationAddressPrefix": tag}));
        assert_eq!(passes(nic_with(json!([named]))), expected, "{tag}");
    }
    let inbound = rule("Inbound", 100, "Deny", json!({"sourceAddressPrefix": "AzurePlatformDNS"}));
    assert_eq!(passes(nic_with(json!([inbound]))), [true; 3], "what comes in is not concerned");
}

fn admin(rules: Value) -> AdminRules {
    let parse = |rule: &Value| {
        let typed: AdminRule = serde_json::from_value(rule.clone()).unwrap();
        typed.parse(rule["name"].as_str().unwrap()).unwrap()
    };
    AdminRules {
        manager: id("networkManagers/m"),
        network: id("virtualNetworks/n"),
        rules: rules.as_array().unwrap().iter().map(parse).collect(),
    }
}

fn admin_rule(name: &str, access: &str, port: &str) -> Value {
    json!({"name": name, "kind": "Custom", "properties": {"protocol": "Tcp", "access": access, "direction": "Inbound",
        "priority": 1, "sources": [{"addressPrefix": "Internet", "addressPrefixType": "ServiceTag"}],
        "destinationPortRanges": [port]}})
}

#[test]
fn admin_rules_stand_above_the_groups_and_end_it_unless_they_only_allow() {
    let rules = json!([
        admin_rule("always", "AlwaysAllow", "22"),
        admin_rule("never", "Deny", "23"),
        admin_rule("may", "Allow", "80")
    ]);
    let open = json!([rule("Inbound", 100, "Allow", json!({"destinationPortRange": "23"}))]);
    let governed = |group: Option<Value>| {
        let nic = group.map_or_else(nic, nic_with);
        policy(NicInput { admin: Some(admin(rules.clone())), ..nic })
    };
    let by = |name: &str| Some(name.to_owned());
    let says = |policy: &NicPolicy, port: u16| {
        inbound(policy, &packet(6, "192.0.2.1:1", &format!("10.77.0.4:{port}")))
    };
    let filtered = governed(Some(open));
    assert_eq!(says(&filtered, 22), (true, by("always")), "the group's default would deny it");
    assert_eq!(says(&filtered, 23), (false, by("never")), "the group would let it in");
    assert_eq!(says(&filtered, 80), (false, by("DenyAllInBound")), "it goes on to the group");
    assert_eq!(says(&filtered, 81), (false, by("DenyAllInBound")));
    // What they decide never comes to the group.
    let found =
        analyse_below(&filtered.inbound[0].rules, &filtered.inbound[1].rules, &Limits::default()).unwrap();
    assert_eq!((found[0].rule.as_str(), found[0].state), ("r100", RuleState::PartlyShadowed));
    assert_eq!(found[0].by, ["never"], "{found:?}");
    // Where no group is, what is not denied passes.
    let alone = governed(None);
    assert_eq!((says(&alone, 22).0, says(&alone, 23).0, says(&alone, 81).0), (true, false, true));
    assert!(alone.outbound.is_empty(), "no rule is about what goes out");
    let shown = sekisho_nsg::effective::effective(
        &inputs(nic()),
        &NicInput { admin: Some(admin(rules.clone())), ..nic() },
    );
    let shown = serde_json::to_value(shown.unwrap()).unwrap();
    assert_eq!(shown[0]["association"]["networkManager"]["id"], id("networkManagers/m").to_string());
    assert_eq!(shown[0]["effectiveSecurityRules"][0]["name"], "securityAdminRules/always");
    assert_eq!(shown[0]["effectiveSecurityRules"][0]["access"], "AlwaysAllow");
    assert_eq!(shown[0]["effectiveSecurityRules"][0]["sourceAddressPrefix"], "Internet");
}

proptest! {
    /// What a NIC lets through as a set is what its rules say one by one, managers' rules and the platform included.
    #[test]
    fn what_passes_as_a_set_is_what_rules_say_one_by_one(
        stages in prop::collection::vec(stage(), 0..4), packets in packets(), platform in platform(),
    ) {
        let nic = NicPolicy { outbound: stages, platform, ..policy(nic()) };
        for order in ORDERS {
            let mut manager = Manager::new(order);
            let set = allowed(&mut manager, &nic, Direction::Outbound, BUDGET).unwrap();
            for packet in packets.iter().filter(|p| p.icmp_type.is_none_or(|t| !ALIVE_ICMPV6.contains(&t))) {
                let Some(point) = Point::of(packet) else { continue };
                let expected = evaluate(&nic, Direction::Outbound, packet).allow;
                prop_assert_eq!(manager.lookup(set, &point) == ALLOW, expected, "{} {:#?}", packet, nic);
            }
        }
    }
}

#[test]
fn what_keeps_a_nic_alive_passes_a_deny_of_everything() {
    let all = json!([rule("Inbound", 100, "Deny", json!({})), rule("Outbound", 100, "Deny", json!({}))]);
    let policy = policy(nic_with(all));
    for to in ["168.63.129.16:53", "169.254.169.254:80"] {
        assert_eq!(outbound(&policy, &packet(6, "10.77.0.4:1", to)), (true, None));
    }
    // Outside Azure anybody can send from that address.
    assert!(!inbound(&policy, &packet(17, "168.63.129.16:53", "10.77.0.4:9")).0);
    assert!(inbound(&policy, &packet(17, "10.77.0.1:67", "255.255.255.255:68")).0);
    assert!(!inbound(&policy, &packet(17, "10.77.0.1:67", "10.77.0.4:53")).0);
    assert!(outbound(&policy, &packet(17, "0.0.0.0:68", "255.255.255.255:67")).0);
    assert!(inbound(&policy, &packet(17, "[fe80::1]:547", "[fe80::2]:546")).0);
    assert!(!inbound(&policy, &packet(17, "[2001:db8::1]:547", "[fd77::4]:546")).0);
    let mut neighbour = packet(58, "fd77::5", "ff02::1:ff00:4");
    neighbour.icmp_type = Some(135);
    assert!(inbound(&policy, &neighbour).0 && outbound(&policy, &neighbour).0);
    assert!(!inbound(&policy, &packet(58, "fd77::5", "fd77::4")).0, "an echo request is no discovery");
}

#[test]
fn without_a_network_the_tag_means_what_is_on_link() {
    let policy = policy(NicInput { network: None, ..nic_with(json!([])) });
    assert!(inbound(&policy, &packet(6, "10.77.0.200:1", "10.77.0.4:22")).0);
    assert!(inbound(&policy, &packet(6, "[fd77::9]:1", "[fd77::4]:22")).0);
    assert!(!inbound(&policy, &packet(6, "10.77.1.1:1", "10.77.0.4:22")).0);
}

#[test]
fn subnet_comes_first_inward_and_last_outward() {
    let both = NicInput {
        subnet_nsg: Some((id("virtualNetworks/v/subnets/s"), nsg("outer", json!([])))),
        ..nic_with(json!([]))
    };
    let policy = policy(both);
    let order =
        |direction| policy.stages(direction).iter().map(|s| s.association.clone()).collect::<Vec<_>>();
    let subnet = Association::Subnet(id("virtualNetworks/v/subnets/s").to_string());
    let own = Association::Nic(id("networkInterfaces/web").to_string());
    assert_eq!(order(Direction::Inbound), [subnet.clone(), own.clone()]);
    assert_eq!(order(Direction::Outbound), [own, subnet]);
}

#[test]
fn both_stages_must_allow() {
    let allow = |port: &str| json!([rule("Inbound", 100, "Allow", json!({"destinationPortRange": port}))]);
    let both = NicInput {
        subnet_nsg: Some((id("virtualNetworks/v/subnets/s"), nsg("outer", allow("80-90")))),
        ..nic_with(allow("85-95"))
    };
    let policy = policy(both);
    let to = |port: u16| inbound(&policy, &packet(6, "192.0.2.1:1", &format!("10.77.0.4:{port}"))).0;
    assert_eq!([80, 85, 90, 95].map(to), [false, true, true, false]);
}

#[test]
fn user_tags_are_found_without_case_and_an_unknown_tag_is_an_error() {
    let from = |tag: &str| {
        inputs(nic_with(json!([rule("Inbound", 100, "Allow", json!({"sourceAddressPrefix": tag}))])))
    };
    let part = resolve(&from("oFFICE")).unwrap();
    assert!(inbound(&part.nics[0], &packet(6, "203.0.113.9:1", "10.77.0.4:22")).0);
    assert!(inbound(&part.nics[0], &packet(6, "[2001:db8::9]:1", "[fd77::4]:22")).0);
    assert!(!inbound(&part.nics[0], &packet(6, "203.0.114.9:1", "10.77.0.4:22")).0);
    match resolve(&from("Storage")).unwrap_err() {
        ResolveError::UnknownTag { rule, tag, .. } => {
            assert_eq!((rule.as_str(), tag.as_str()), ("r100", "Storage"))
        }
        other => panic!("{other}"),
    }
}

#[test]
fn an_empty_tag_or_group_matches_nothing() {
    for changes in [
        json!({"sourceAddressPrefix": "Empty"}),
        json!({"destinationAddressPrefix": "Empty"}),
        json!({"sourceAddressPrefix": null, "sourceApplicationSecurityGroups": named(&["empty"])}),
        json!({"destinationAddressPrefix": null, "destinationApplicationSecurityGroups": named(&["empty"])}),
    ] {
        let member = NicInput {
            groups: HashSet::from([asg("empty")]),
            ..nic_with(json!([rule("Inbound", 100, "Allow", changes)]))
        };
        let part = resolve(&inputs(member)).unwrap();
        let first = &part.nics[0].inbound[0].rules[0];
        assert!([&first.source, &first.destination].contains(&&Addresses::none()), "{first:?}");
        assert!(!inbound(&part.nics[0], &packet(6, "192.0.2.1:1", "10.77.0.4:22")).0);
    }
}

#[test]
fn a_group_on_the_nics_own_side_is_about_members_only() {
    let to = |group: &str, member_of: &str| {
        let changes = json!({"destinationAddressPrefix": null, "destinationApplicationSecurityGroups": named(&[group])});
        let out = json!({"sourceAddressPrefix": null, "sourceApplicationSecurityGroups": named(&[group]),
            "destinationAddressPrefix": "10.77.0.0/16"});
        let nic = NicInput {
            groups: HashSet::from([asg(member_of)]),
            ..nic_with(json!([rule("Inbound", 100, "Allow", changes), rule("Outbound", 100, "Deny", out)]))
        };
        let part = resolve(&inputs(nic)).unwrap();
        (
            inbound(&part.nics[0], &packet(6, "192.0.2.1:1", "10.77.0.4:22")).0,
            outbound(&part.nics[0], &packet(6, "10.77.0.4:1", "10.77.0.5:22")).0,
        )
    };
    assert_eq!(to("web", "WEB"), (true, false), "names compare without case");
    assert_eq!(to("web", "db"), (false, true));
    assert_eq!(to("db", "web"), (false, true));
}

#[test]
fn a_group_on_the_other_side_is_its_members_addresses() {
    let from =
        json!({"sourceAddressPrefix": null, "sourceApplicationSecurityGroups": named(&["db", "empty"])});
    let deny = rule("Inbound", 200, "Deny", json!({}));
    let part = resolve(&inputs(nic_with(json!([deny, rule("Inbound", 100, "Allow", from)])))).unwrap();
    assert!(inbound(&part.nics[0], &packet(6, "10.77.0.5:1", "10.77.0.4:22")).0);
    assert!(!inbound(&part.nics[0], &packet(6, "10.77.0.6:1", "10.77.0.4:22")).0);
    let unknown = json!({"sourceAddressPrefix": null, "sourceApplicationSecurityGroups": named(&["gone"])});
    let error = resolve(&inputs(nic_with(json!([rule("Inbound", 100, "Deny", unknown)])))).unwrap_err();
    assert!(matches!(error, ResolveError::UnknownGroup { .. }), "{error}");
}

#[test]
fn a_part_survives_json() {
    let part = resolve(&inputs(nic_with(json!([rule(
        "Inbound",
        100,
        "Allow",
        json!({"sourceAddressPrefix": "Empty"})
    )]))))
    .unwrap();
    let text = serde_json::to_string(&part).unwrap();
    assert_eq!(serde_json::from_str::<sekisho_nsg::policy::NsgPart>(&text).unwrap(), part);
}

fn net() -> impl Strategy<Value = IpNet> {
    prop_oneof![
        (any::<u32>(), 0u8..=32)
            .prop_map(|(a, l)| IpNet::new(IpAddr::from(a.to_be_bytes()), l).unwrap().trunc()),
        (any::<u128>(), 0u8..=128)
            .prop_map(|(a, l)| IpNet::new(IpAddr::from(a.to_be_bytes()), l).unwrap().trunc()),
    ]
}

proptest! {
    #[test]
    fn the_complement_holds_exactly_what_the_prefixes_do_not(
        nets in prop::collection::vec(net(), 0..8), other in any::<u32>(), other6 in any::<u128>(),
    ) {
        let rest = complement(&nets);
        let has = |list: &[IpNet], a: IpAddr| list.iter().any(|n| n.contains(&a));
        let mut probes = vec![IpAddr::from(other.to_be_bytes()), IpAddr::from(other6.to_be_bytes())];
        for net in &nets {
            probes.extend([net.network(), net.broadcast()]);
        }
        for probe in probes {
            prop_assert_ne!(has(&nets, probe), has(&rest, probe), "{}", probe);
        }
    }
}
