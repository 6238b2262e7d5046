//! Loading, reading back, noticing and repairing.

use std::time::{Duration, Instant};

use sekisho_nsg::agent::{
    Action, Change, Desired, NftError, Reason, Watcher, apply, digest, hits, load as nft_load, observe, plan,
    restore, script,
};
use sekisho_nsg::policy::NsgPart;
use sekisho_nsg::resolve::NicInput;
use serde_json::json;

use crate::support::{id, lab, nic_with, nsg, policy, rule, run, sh};

fn part(port: &str) -> NsgPart {
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
            "destinationPortRanges": ["22", "80-90"]})
        ),
        rule("Outbound", 100, "Deny", json!({"protocol": "Esp", "destinationAddressPrefix": "192.0.2.0/24"})),
    ]);
    NsgPart { nics: vec![policy(nic_with(rules))] }
}

#[test]
fn what_is_loaded_is_read_back_and_put_back_exactly() {
    let Some(lab) = lab("what_is_loaded_is_read_back_and_put_back_exactly", "rb") else { return };
    let host = lab.host("web", "10.77.0.4/24").unwrap();
    run(&host, || async {
        assert_eq!(digest().await.unwrap(), None);
        nft_load(&script(&part("22"), 7)).await.unwrap();
        let first = observe().await.unwrap().unwrap();
        assert_eq!(first.generation(), Some(7));
        nft_load(&script(&part("23"), 8)).await.unwrap();
        let second = observe().await.unwrap().unwrap();
        assert_eq!(second.generation(), Some(8));
        assert_ne!(first, second);
        restore(Some(&first)).await.unwrap();
        assert_eq!(observe().await.unwrap(), Some(first.clone()));
        // Loading the same again gives the same listing, so that digests can be compared at all.
        nft_load(&script(&part("22"), 7)).await.unwrap();
        assert_eq!(observe().await.unwrap(), Some(first));
        restore(None).await.unwrap();
        assert_eq!(observe().await.unwrap(), None);
        restore(None).await.unwrap();
    });
}

#[test]
fn a_script_that_nft_refuses_changes_nothing_and_says_why() {
    let Some(lab) = lab("a_script_that_nft_refuses_changes_nothing_and_says_why", "rf") else { return };
    let host = lab.host("web", "10.77.0.4/24").unwrap();
    run(&host, || async {
        nft_load(&script(&part("22"), 7)).await.unwrap();
        let before = digest().await.unwrap();
        let bad = script(&part("23"), 8) + "add rule inet sekisho nowhere accept\n";
        match nft_load(&bad).await {
            Err(NftError::Refused(message)) => assert!(message.contains("nowhere"), "{message}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(digest().await.unwrap(), before);
    });
}

#[test]
fn only_our_own_table_is_touched() {
    let Some(lab) = lab("only_our_own_table_is_touched", "ot") else { return };
    let host = lab.host("web", "10.77.0.4/24").unwrap();
    sh(&host, "nft 'add table inet other; add chain inet other c { type filter hook input priority 0; }'");
    run(&host, || async {
        nft_load(&script(&part("22"), 1)).await.unwrap();
        nft_load(&script(&part("22"), 2)).await.unwrap();
        apply(&Action::Remove).await.unwrap();
    });
    assert_eq!(sh(&host, "nft list tables"), "table inet other\n");
}

#[test]
fn a_foreign_flush_is_noticed_and_repaired_within_a_second() {
    let Some(lab) = lab("a_foreign_flush_is_noticed_and_repaired_within_a_second", "ff") else { return };
    let host = lab.host("web", "10.77.0.4/24").unwrap();
    run(&host, || async {
        let mut watcher = Watcher::new().unwrap();
        let action = Action::Load { script: script(&part("22"), 3), reason: Reason::Missing };
        let loaded = apply(&action).await.unwrap();
        let desired = Desired { part: part("22"), generation: 3, digest: loaded.clone() };
        // Our own change is reported too, and there is nothing to do.
        watcher.changed().await.unwrap();
        assert_eq!(plan(Some(&desired), digest().await.unwrap().as_ref()), []);

        let start = Instant::now();
        sh(&host, "nft flush ruleset");
        let change = tokio::time::timeout(Duration::from_secs(1), watcher.changed()).await.unwrap().unwrap();
        assert!(matches!(&change, Change { process: Some((_, name)) } if name == "nft"), "{change:?}");
        let steps = plan(Some(&desired), digest().await.unwrap().as_ref());
        assert!(matches!(steps.as_slice(), [Action::Load { reason: Reason::Missing, .. }]), "{steps:?}");
        assert_eq!(apply(&steps[0]).await.unwrap(), loaded);
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());

        for tampering in [
            "nft insert rule inet sekisho n0_in accept",
            "nft delete rule inet sekisho inbound handle $(nft -a list chain inet sekisho inbound | sed -n 's/.*jump.*handle //p')",
            "nft 'add table inet sekisho { flags dormant; }'",
            "nft add element inet sekisho set0 '{ 198.51.100.0/24 }'",
        ] {
            while tokio::time::timeout(Duration::from_millis(50), watcher.changed()).await.is_ok() {}
            sh(&host, tampering);
            tokio::time::timeout(Duration::from_secs(1), watcher.changed()).await.unwrap().unwrap();
            let steps = plan(Some(&desired), digest().await.unwrap().as_ref());
            assert!(
                matches!(steps.as_slice(), [Action::Load { reason: Reason::Drift, .. }]),
                "{tampering}: {steps:?}"
            );
            assert_eq!(apply(&steps[0]).await.unwrap(), loaded, "{tampering}");
        }
    });
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
    let before = run(&web, || async {
        nft_load(&script(&part, 1)).await.unwrap();
        digest().await.unwrap()
    });
    let _port = web.listen_tcp("10.77.0.4:22".parse().unwrap()).unwrap();
    for _ in 0..3 {
        db.connect_tcp("10.77.0.4:22".parse().unwrap(), Duration::from_secs(2)).unwrap();
    }
    db.connect_tcp("10.77.0.4:85".parse().unwrap(), Duration::from_millis(100)).unwrap_err();
    let counted = run(&web, || async { hits(&part).await }).unwrap();
    let of = |name: &str| counted.iter().find(|h| h.rule == name).unwrap().packets;
    assert_eq!((of("r100"), of("r110"), of("DenyAllInBound")), (3, 1, 0), "one packet for each flow");
    assert_eq!(counted.len(), 9);
    assert_eq!(run(&web, || async { digest().await.unwrap() }), before, "traffic is no drift");
}

#[test]
fn two_full_groups_load_within_seconds() {
    let Some(lab) = lab("two_full_groups_load_within_seconds", "fg") else { return };
    let host = lab.host("web", "10.77.0.4/24").unwrap();
    // Lists of their own in every rule, so that no set is shared within a group: two thousand sets.
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
        nft_load(&script(&part, 1)).await.unwrap();
        println!("loaded after {:?}", start.elapsed());
        assert_eq!(hits(&part).await.unwrap().len(), 2 * 1003 + 2 * 3);
        digest().await.unwrap().unwrap();
    });
    println!("loaded, counted and listed after {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}
