//! Loading, reading back, noticing and repairing.

use std::time::{Duration, Instant};

use sekisho_nsg::agent::{
    Action, Change, NftError, Reason, Saved, Watcher, apply, compile, hits, load as nft_load, observe, plan,
    restore, save,
};
use sekisho_nsg::compile::Form;
use sekisho_nsg::guard::{Existing, Guard, Transport};
use sekisho_nsg::policy::NsgPart;
use sekisho_nsg::resolve::NicInput;
use sekisho_nsg::swap::transactions;
use serde_json::json;

use crate::classbench::{Kind, rules, stage};
use crate::support::{compile_as, enforce, id, lab, nic_with, nsg, policy, rule, run, sh};

fn part(port: &str) -> NsgPart {
    part_denying(port, &["22", "80-90"])
}

fn part_denying(port: &str, denied: &[&str]) -> NsgPart {
    let rules = json!([
        rule(
            "Inbound",
            100,
            "Allow",
            json!({"protocol": "Tcp", "destinationPortRange": port,
            "sourceAddressPrefix": null, "sourceAddressPrefixes": ["10.0.0.0/8", "192.0.2.1", "fd00::/8", "2001:db8::1"]})
        ),
        rule(
            "Inbound",
            110,
            "Deny",
            json!({"protocol": "*", "destinationPortRange": null,
            "destinationPortRanges": denied})
        ),
        rule("Outbound", 100, "Deny", json!({"protocol": "Esp", "destinationAddressPrefix": "192.0.2.0/24"})),
    ]);
    NsgPart { nics: vec![policy(nic_with(rules))] }
}

#[test]
fn what_is_loaded_is_read_back_and_put_back() {
    let Some(lab) = lab("what_is_loaded_is_read_back_and_put_back", "rb") else { return };
    let host = lab.host("web", "10.77.0.4/24").unwrap();
    run(&host, || async {
        assert_eq!(observe().await.unwrap(), None);
        assert_eq!(save().await.unwrap(), Saved::Nothing);
        enforce(&part("22"), 7).await.unwrap();
        let first = observe().await.unwrap().unwrap();
        assert_eq!(first.generation(), Some(7));
        // The same policy again is nothing to do, whatever its generation is called.
        assert_eq!(enforce(&part("22"), 7).await.unwrap(), None);
        assert_eq!(enforce(&part("22"), 8).await.unwrap(), None);
        enforce(&part("23"), 8).await.unwrap();
        let second = observe().await.unwrap().unwrap();
        assert_eq!(second.generation(), Some(8));
        assert!(second.chains().keys().all(|name| !name.as_str().starts_with("g7_")), "nothing is left of 7");
        restore(&Saved::Policy { generation: 7, part: part("22") }).await.unwrap();
        assert_eq!(observe().await.unwrap().unwrap().generation(), Some(7));
        assert_eq!(enforce(&part("22"), 7).await.unwrap(), None);
        // A table that nobody knows the policy of comes back as it was listed.
        let unknown = save().await.unwrap();
        enforce(&part("23"), 8).await.unwrap();
        restore(&unknown).await.unwrap();
        assert_eq!(enforce(&part("22"), 7).await.unwrap(), None);
        for _ in 0..2 {
            restore(&Saved::Nothing).await.unwrap();
            assert_eq!(observe().await.unwrap(), None);
        }
    });
}

#[test]
fn what_lasts_longer_than_a_generation_goes_on_and_is_never_put_back() {
    let name = "what_lasts_longer_than_a_generation_goes_on_and_is_never_put_back";
    let Some(lab) = lab(name, "ll") else { return };
    let host = lab.host("web", "10.77.0.4/24").unwrap();
    let elements = || sh(&host, "nft list map inet sekisho open_tcp_22_4");
    let guarded = |port: &str| {
        let mut part = part(port);
        part.nics[0].guarded = vec![Guard { protocol: Transport::Tcp, port: 22, existing: Existing::Cut }];
        part
    };
    run(&host, || async {
        enforce(&guarded("22"), 7).await.unwrap();
        sh(
            &host,
            "nft 'add element inet sekisho open_tcp_22_4 { 192.0.2.1 timeout 1h : 7 };
                  add set inet sekisho not_ours { type ipv4_addr; }'",
        );
        assert_eq!(enforce(&guarded("22"), 7).await.unwrap(), None, "sets that no rule asks are no drift");
        let unknown = save().await.unwrap();
        enforce(&guarded("23"), 8).await.unwrap();
        assert!(elements().contains("192.0.2.1"), "another generation leaves it open");
        let sets = sh(&host, "nft list sets inet");
        assert!(!sets.contains("not_ours"), "{sets}");
        restore(&Saved::Policy { generation: 7, part: guarded("22") }).await.unwrap();
        assert!(elements().contains("192.0.2.1"), "and so does the one before");
        restore(&unknown).await.unwrap();
        assert!(!elements().contains("192.0.2.1"), "but no listing opens anything");
    });
}

#[test]
fn a_script_that_nft_refuses_changes_nothing_and_says_why() {
    let Some(lab) = lab("a_script_that_nft_refuses_changes_nothing_and_says_why", "rf") else { return };
    let host = lab.host("web", "10.77.0.4/24").unwrap();
    run(&host, || async {
        enforce(&part("22"), 7).await.unwrap();
        let before = observe().await.unwrap();
        let bad = transactions(&compile(&part("23"), 8), before.as_ref()).concat()
            + "add rule inet sekisho nowhere accept\n";
        match nft_load(&bad).await {
            Err(NftError::Refused(message)) => assert!(message.contains("nowhere"), "{message}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(observe().await.unwrap(), before);
    });
}

#[test]
fn only_our_own_table_is_touched() {
    let Some(lab) = lab("only_our_own_table_is_touched", "ot") else { return };
    let host = lab.host("web", "10.77.0.4/24").unwrap();
    sh(&host, "nft 'add table inet other; add chain inet other c { type filter hook input priority 0; }'");
    run(&host, || async {
        enforce(&part("22"), 1).await.unwrap();
        enforce(&part("23"), 2).await.unwrap();
        apply(&Action::Remove, None).await.unwrap();
    });
    assert_eq!(sh(&host, "nft list tables"), "table inet other\n");
}

#[test]
fn a_foreign_flush_is_noticed_and_repaired_within_a_second() {
    let Some(lab) = lab("a_foreign_flush_is_noticed_and_repaired_within_a_second", "ff") else { return };
    let host = lab.host("web", "10.77.0.4/24").unwrap();
    run(&host, || async {
        let mut watcher = Watcher::new().unwrap();
        let mut desired = compile(&part("22"), 3);
        let action = plan(Some(&mut desired), None).unwrap();
        apply(&action, Some(&mut desired)).await.unwrap();
        // Our own change is reported too, and there is nothing to do.
        watcher.changed().await.unwrap();
        assert_eq!(plan(Some(&mut desired), observe().await.unwrap().as_ref()), None);

        let start = Instant::now();
        sh(&host, "nft flush ruleset");
        let change = tokio::time::timeout(Duration::from_secs(1), watcher.changed()).await.unwrap().unwrap();
        assert!(matches!(&change, Change { process: Some((_, name)) } if name == "nft"), "{change:?}");
        let step = plan(Some(&mut desired), observe().await.unwrap().as_ref()).unwrap();
        assert!(matches!(&step, Action::Load { reason: Reason::Missing, .. }), "{step:?}");
        apply(&step, Some(&mut desired)).await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    });
}

#[test]
fn every_kind_of_tampering_is_found_and_repaired() {
    let Some(lab) = lab("every_kind_of_tampering_is_found_and_repaired", "tp") else { return };
    let host = lab.host("web", "10.77.0.4/24").unwrap();
    run(&host, || async {
        // So many that the kernel looks their node up; the sources are so few that it compares.
        let mut desired = compile(
            &part_denying("22", &["22", "26", "80-90", "100", "200", "300", "400", "500", "600", "700"]),
            3,
        );
        let generation = || async { observe().await.unwrap().unwrap() };
        // What to run, given the names of chains, and what the difference says.
        type Tamper = fn(&sekisho_lab::Host, &str) -> String;
        let cases: [(&str, Tamper, &str); 25] = [
            (
                "rule added before all",
                |_, p| format!("insert rule inet sekisho {p}n0_in accept"),
                "rules instead of",
            ),
            (
                "rule added to the end",
                |_, p| format!("add rule inet sekisho {p}n0_in accept"),
                "rules instead of",
            ),
            (
                "rule added to the hook",
                |_, _| "add rule inet sekisho inbound accept".into(),
                "rules instead of",
            ),
            (
                "rule removed",
                |h, p| {
                    format!(
                        "delete rule inet sekisho {p}n0_in handle {}",
                        handle(h, &format!("{p}n0_in"), "invalid\\|0x1")
                    )
                },
                "rules instead of",
            ),
            (
                "stage removed",
                |h, p| {
                    format!(
                        "delete rule inet sekisho {p}n0_in handle {}",
                        handle(h, &format!("{p}n0_in"), "_s0_")
                    )
                },
                "rules instead of",
            ),
            (
                "stage replaced by another chain",
                |h, p| {
                    let chain = format!("{p}n0_in");
                    format!(
                        "replace rule inet sekisho {chain} handle {} jump {p}ports",
                        handle(h, &chain, "_s0_")
                    )
                },
                "holds other rules",
            ),
            (
                "gate pointed elsewhere",
                |h, p| {
                    let chain = format!("{p}n0_in");
                    let at = handle(h, &chain, "jump .*ports");
                    format!("replace rule inet sekisho {chain} handle {at} meta l4proto 6 jump {p}alive_in")
                },
                "another",
            ),
            (
                "condition widened",
                |h, p| {
                    let chain = format!("{p}n0_in");
                    let at = handle(h, &chain, "established\\|0x2");
                    format!(
                        "replace rule inet sekisho {chain} handle {at} ct state established,related,new accept"
                    )
                },
                "another one",
            ),
            (
                "condition removed",
                |h, p| {
                    let at = handle(h, "inbound", "jump");
                    format!("replace rule inet sekisho inbound handle {at} iifname \"eth1\" jump {p}n0_in")
                },
                "another one",
            ),
            (
                "verdict changed at the end",
                |h, p| {
                    let chain = format!("{p}n0_in_s0_r4");
                    format!("replace rule inet sekisho {chain} handle {} return", handle(h, &chain, "drop"))
                },
                "passes that should be dropped: TCP",
            ),
            (
                "uncounted",
                |h, p| {
                    let chain = format!("{p}n0_in_s0_r4");
                    format!("replace rule inet sekisho {chain} handle {} drop", handle(h, &chain, "drop"))
                },
                "counted wrongly",
            ),
            (
                "interval widened",
                |h, p| {
                    let chain = port_node(h, p);
                    let map = sh(h, &format!("nft list chain inet sekisho {chain} | grep vmap"));
                    let wider = map.replace(" 22 :", " 22-23 :").replace("23-25", "24-25");
                    assert_ne!(map, wider);
                    other_map(&chain, &wider)
                },
                "23",
            ),
            (
                "interval removed",
                |h, p| {
                    let chain = port_node(h, p);
                    let map = sh(h, &format!("nft list chain inet sekisho {chain} | grep vmap"));
                    let gone = map.replace(", 22 :", ", 9999999 :");
                    let goto = gone
                        .split("9999999 : ")
                        .nth(1)
                        .unwrap()
                        .split([',', '}'])
                        .next()
                        .unwrap()
                        .trim()
                        .to_owned();
                    let gone = gone.replace(&format!(", 9999999 : {goto}"), "");
                    other_map(&chain, &gone)
                },
                "is dropped that should be let through: TCP",
            ),
            (
                "comparison widened",
                |h, p| {
                    let (chain, to) = source_node(h, p);
                    let at = handle(h, &chain, "10.0.0.0-10");
                    format!(
                        "replace rule inet sekisho {chain} handle {at} ip saddr 10.0.0.0-11.255.255.255 goto {to}"
                    )
                },
                "that should be",
            ),
            (
                "comparison put before others",
                |h, p| {
                    let (chain, _) = source_node(h, p);
                    format!("insert rule inet sekisho {chain} ip saddr 10.1.0.0/16 drop")
                },
                "is dropped that should be let through",
            ),
            (
                "comparison removed",
                |h, p| {
                    let (chain, _) = source_node(h, p);
                    format!("delete rule inet sekisho {chain} handle {}", handle(h, &chain, "10.0.0.0-10"))
                },
                "is dropped that should be let through",
            ),
            (
                "all others led elsewhere",
                |h, p| {
                    let (chain, _) = source_node(h, p);
                    let last =
                        sh(h, &format!("nft list chain inet sekisho {chain} | grep -v saddr | grep goto"));
                    let at = handle(h, &chain, &format!("\t{} #", last.trim()));
                    format!("replace rule inet sekisho {chain} handle {at} accept")
                },
                "passes that should be",
            ),
            (
                "comparison of something else",
                |h, p| {
                    let (chain, to) = source_node(h, p);
                    format!("insert rule inet sekisho {chain} tcp dport 23 goto {to}")
                },
                "holds other rules",
            ),
            (
                "fall-through opened",
                |h, p| {
                    let chain = port_node(h, p);
                    format!("replace rule inet sekisho {chain} handle {} accept", handle(h, &chain, "drop"))
                },
                "holds other rules",
            ),
            (
                "hook of another priority",
                |h, p| {
                    let own = jumps(h, "inbound");
                    let _ = p;
                    format!(
                        "flush chain inet sekisho inbound; delete chain inet sekisho inbound; add chain inet sekisho inbound {{ type filter hook prerouting priority 300; policy accept; }}; add rule inet sekisho inbound {own}"
                    )
                },
                "not where they should be",
            ),
            (
                "policy of a hook changed",
                |_, _| {
                    "add chain inet sekisho outbound { type filter hook postrouting priority 150; policy drop; }".into()
                },
                "not where they should be",
            ),
            (
                "chain detached",
                |h, _| format!("delete rule inet sekisho inbound handle {}", handle(h, "inbound", "jump")),
                "rules instead of",
            ),
            (
                "a hook of somebody else",
                |_, _| {
                    "add chain inet sekisho mine_too { type filter hook input priority 0; policy drop; }"
                        .into()
                },
                "not where they should be",
            ),
            ("a chain named like a word", |_, _| "add chain inet sekisho mine".into(), "strange name"),
            ("table asleep", |_, _| "add table inet sekisho { flags dormant; }".into(), "flags"),
        ];
        for (name, tamper, says) in cases {
            if let Some(step) = plan(Some(&mut desired), observe().await.unwrap().as_ref()) {
                apply(&step, Some(&mut desired)).await.unwrap();
            }
            let listing = generation().await;
            let prefix =
                listing.chains().keys().find_map(|c| c.as_str().strip_suffix("n0_in").map(str::to_owned));
            let script = tamper(&host, &prefix.unwrap());
            nft_load(&script).await.unwrap_or_else(|e| panic!("{name}: {script}: {e}"));
            let step = plan(Some(&mut desired), observe().await.unwrap().as_ref());
            let Some(Action::Load { reason: Reason::Drift(difference), .. }) = &step else {
                panic!("{name}: {step:?}")
            };
            assert!(difference.to_string().contains(says), "{name}: {difference}");
            apply(step.as_ref().unwrap(), Some(&mut desired)).await.unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(plan(Some(&mut desired), observe().await.unwrap().as_ref()), None, "{name}");
        }
    });
}

/// nft 1.0.6 cannot replace a rule by a map of intervals.
fn other_map(chain: &str, map: &str) -> String {
    let on = format!("inet sekisho {chain}");
    format!("flush chain {on}\nadd rule {on} {}\nadd rule {on} drop\n", map.trim())
}

/// The handle of a chain's first rule that a pattern finds.
fn handle(host: &sekisho_lab::Host, chain: &str, rule: &str) -> String {
    let list = format!("nft -n -a list chain inet sekisho {chain} | grep -v 'chain {chain} ' | grep handle");
    let found = sh(host, &format!("{list} | grep -m1 -e '{rule}'"));
    found.rsplit(' ').next().unwrap().trim().to_owned()
}

fn jumps(host: &sekisho_lab::Host, chain: &str) -> String {
    sh(host, &format!("nft list chain inet sekisho {chain} | grep jump")).trim().to_owned()
}

/// A node that tells sources from others by comparing, and where one of them leads.
fn source_node(host: &sekisho_lab::Host, prefix: &str) -> (String, String) {
    let names = sh(host, "nft list table inet sekisho | sed -n 's/.*chain \\(.*\\) {/\\1/p'");
    let found =
        names.lines().filter(|name| name.starts_with(&format!("{prefix}n0_in_s0_"))).find_map(|name| {
            let rules = sh(host, &format!("nft list chain inet sekisho {name}"));
            let to = rules
                .lines()
                .find_map(|line| line.trim().strip_prefix("ip saddr 10.0.0.0-10.255.255.255 goto "))?;
            Some((name.to_owned(), to.to_owned()))
        });
    found.unwrap()
}

/// The node that tells the open port from others.
fn port_node(host: &sekisho_lab::Host, prefix: &str) -> String {
    let names = sh(host, "nft list table inet sekisho | sed -n 's/.*chain \\(.*\\) {/\\1/p'");
    let is_it = |name: &&str| {
        name.starts_with(&format!("{prefix}n0_in_s0_"))
            && sh(host, &format!("nft list chain inet sekisho {name}")).contains(", 22 :")
    };
    names.lines().find(is_it).unwrap().to_owned()
}

#[test]
fn changes_of_other_tables_are_not_reported() {
    let Some(lab) = lab("changes_of_other_tables_are_not_reported", "oc") else { return };
    let host = lab.host("web", "10.77.0.4/24").unwrap();
    run(&host, || async {
        let mut watcher = Watcher::new().unwrap();
        sh(
            &host,
            "nft 'add table inet other; add table ip sekisho; add chain ip sekisho c; add set inet other s { type ipv4_addr; }; add element inet other s { 1.2.3.4 }'",
        );
        let quiet = tokio::time::timeout(Duration::from_millis(200), watcher.changed()).await;
        assert!(quiet.is_err(), "{quiet:?}");
    });
}

#[test]
fn hits_are_counted_by_rule() {
    let Some(lab) = lab("hits_are_counted_by_rule", "hc") else { return };
    let web = lab.host("web", "10.77.0.4/24").unwrap();
    let db = lab.host("db", "10.77.0.5/24").unwrap();
    let part = part("22");
    run(&web, || async { enforce(&part, 1).await }).unwrap();
    let _port = web.listen_tcp("10.77.0.4:22".parse().unwrap()).unwrap();
    for _ in 0..3 {
        db.connect_tcp("10.77.0.4:22".parse().unwrap(), Duration::from_secs(2)).unwrap();
    }
    db.connect_tcp("10.77.0.4:85".parse().unwrap(), Duration::from_millis(100)).unwrap_err();
    let counted = run(&web, || async { hits(&part).await }).unwrap();
    let of = |name: &str| counted.iter().find(|h| h.rule == name).unwrap().packets;
    assert_eq!((of("r100"), of("r110"), of("DenyAllInBound")), (3, 1, 0), "one packet for each flow");
    assert_eq!(counted.len(), 9);
    assert_eq!(run(&web, || async { enforce(&part, 1).await }).unwrap(), None, "traffic is no drift");
    // A rule that is in the next generation, too, goes on counting; one that is not ends.
    let mut next = part.clone();
    next.nics[0].inbound[0].rules.retain(|rule| rule.name != "r110");
    run(&web, || async { enforce(&next, 2).await }).unwrap();
    let later = run(&web, || async { hits(&next).await }).unwrap();
    assert_eq!(later.iter().find(|h| h.rule == "r100").unwrap().packets, 3);
    assert_eq!(later.len(), 8);
    run(&web, || async { enforce(&part, 3).await }).unwrap();
    let again = run(&web, || async { hits(&part).await }).unwrap();
    assert_eq!(again.iter().find(|h| h.rule == "r110").unwrap().packets, 0);
}

#[test]
fn a_policy_of_thousands_of_chains_is_loaded_in_pieces_and_changed_over_at_once() {
    let name = "a_policy_of_thousands_of_chains_is_loaded_in_pieces_and_changed_over_at_once";
    let Some(lab) = lab(name, "tc") else { return };
    let host = lab.host("web", "10.77.0.4/24").unwrap();
    let part = |form, seed| {
        let mut nic = policy(nic_with(json!([])));
        let count = match form {
            Form::Rules => 750,
            Form::Actions => 1800,
            Form::Linear => 2500,
        };
        nic.inbound = vec![stage(rules(Kind::Ipc, count, seed))];
        NsgPart { nics: vec![nic] }
    };
    run(&host, || async {
        for (generation, form, seed) in [
            (1, Form::Rules, 1),
            (2, Form::Actions, 2),
            (3, Form::Linear, 3),
            (4, Form::Rules, 1),
            (4, Form::Rules, 4),
        ] {
            let mut desired = compile_as(&part(form, seed), generation, form);
            let observed = observe().await.unwrap();
            let step = plan(Some(&mut desired), observed.as_ref()).unwrap();
            let Action::Load { transactions, .. } = &step else { panic!("{step:?}") };
            assert!(transactions.len() > 1, "{form:?}");
            let (last, before) = transactions.split_last().unwrap();
            for transaction in before {
                nft_load(transaction).await.unwrap();
            }
            if let Some(observed) = observed {
                // What packets meet is what it was: everything that was there is there.
                let now = observe().await.unwrap().unwrap();
                assert!(observed.chains().iter().all(|(name, chain)| now.chains().get(name) == Some(chain)));
            }
            nft_load(last).await.unwrap();
            let listing = observe().await.unwrap().unwrap();
            assert!(plan(Some(&mut desired), Some(&listing)).is_none(), "{form:?}");
            println!("{form:?}: {} transactions, {} chains", transactions.len(), listing.chains().len());
        }
    });
}

#[test]
fn two_full_groups_load_within_seconds() {
    let Some(lab) = lab("two_full_groups_load_within_seconds", "fg") else { return };
    let host = lab.host("web", "10.77.0.4/24").unwrap();
    // Lists of their own in every rule.
    let rules: Vec<_> = (0..1000u16)
        .map(|i| {
            let [high, low] = i.to_be_bytes();
            rule(
                "Inbound",
                100 + i,
                "Allow",
                json!({"protocol": "Tcp", "sourceAddressPrefix": null,
                "sourceAddressPrefixes": [format!("10.{high}.{low}.0/25"), format!("11.{high}.{low}.0/25")],
                "destinationPortRange": null,
                "destinationPortRanges": [(1000 + i).to_string(), (3000 + i).to_string()]}),
            )
        })
        .collect();
    let nic = NicInput {
        subnet_nsg: Some((id("virtualNetworks/v/subnets/s"), nsg("outer", json!(rules)))),
        ..nic_with(json!(rules))
    };
    let part = NsgPart { nics: vec![policy(nic)] };
    let start = Instant::now();
    run(&host, || async {
        let mut desired = compile(&part, 1);
        println!("compiled after {:?}: {:?}", start.elapsed(), desired.forms());
        let step = plan(Some(&mut desired), None).unwrap();
        apply(&step, Some(&mut desired)).await.unwrap();
        println!("loaded and read back after {:?}", start.elapsed());
        assert_eq!(hits(&part).await.unwrap().len(), 2 * 1003 + 2 * 3);
    });
    println!("loaded, counted and listed after {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn a_group_that_only_counts_lets_everything_through_and_tells_what_it_would_have_denied() {
    let Some(lab) =
        lab("a_group_that_only_counts_lets_everything_through_and_tells_what_it_would_have_denied", "ao")
    else {
        return;
    };
    let web = lab.host("web", "10.77.0.4/24").unwrap();
    let db = lab.host("db", "10.77.0.5/24").unwrap();
    let _ports = ["22", "85"].map(|p| web.listen_tcp(format!("10.77.0.4:{p}").parse().unwrap()).unwrap());
    let mut part = part("22");
    part.nics[0].inbound[0].audit = true;
    for form in [Form::Rules, Form::Actions, Form::Linear] {
        let mut compiled = compile_as(&part, 1, form);
        run(&web, || async { sekisho_nsg::agent::enforce(Some(&mut compiled)).await.map(drop) }).unwrap();
        for port in ["22", "85"] {
            db.connect_tcp(format!("10.77.0.4:{port}").parse().unwrap(), Duration::from_secs(2)).unwrap();
        }
        let counted = run(&web, || async { hits(&part).await }).unwrap();
        let of = |name: &str| counted.iter().find(|h| h.rule == name).map(|h| h.packets);
        match form {
            Form::Actions => assert_eq!(of("r110"), None),
            _ => assert!(of("r110") >= Some(1), "{form:?}"),
        }
    }
    // Back to enforcing: the same rules deny, and count from nothing.
    part.nics[0].inbound[0].audit = false;
    run(&web, || async { enforce(&part, 2).await }).unwrap();
    let counted = run(&web, || async { hits(&part).await }).unwrap();
    assert_eq!(counted.iter().find(|h| h.rule == "r110").unwrap().packets, 0);
    db.connect_tcp("10.77.0.4:85".parse().unwrap(), Duration::from_millis(100)).unwrap_err();
}
