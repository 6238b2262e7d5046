//! Beside the rules of others: what firewalld, Docker and Debian load is left as it is, ours are proved to be in force
//! whoever came first, and a packet passes when all let it pass.
//!
//! What firewalld and Docker load was listed in a network namespace in which they ran; Debian's is where its package has it.

use std::time::Duration;

use sekisho_lab::{Host, ProbeError};
use sekisho_nsg::agent::{Action, Reason, Watcher, apply, compile, observe, plan};
use sekisho_nsg::policy::NsgPart;
use serde_json::json;

use crate::support::{enforce, lab, nic_with, policy, rule, run, sh};

const FIREWALLD: &str = include_str!("beside/firewalld.nft");
const DOCKER: &str = include_str!("beside/docker.nft");
const DEBIAN: &str = "/etc/nftables.conf";

/// How a connection begins.
#[derive(Debug, PartialEq, Eq)]
enum Begins {
    Open,
    /// Somebody says no: firewalld rejects.
    Rejected,
    /// Nobody says anything: ours drop.
    Dropped,
}
use Begins::{Dropped, Open, Rejected};

fn begins(from: &Host, port: u16) -> Begins {
    match from.connect_tcp(([192, 0, 2, 4], port).into(), Duration::from_millis(300)) {
        Ok(_) => Open,
        Err(ProbeError::Silent) => Dropped,
        Err(ProbeError::Refused | ProbeError::Io(_)) => Rejected,
    }
}

/// TCP to these ports may come in, nothing else.
fn allowing(ports: &[&str]) -> NsgPart {
    let ports = json!({"protocol": "Tcp", "destinationPortRange": null, "destinationPortRanges": ports});
    NsgPart { nics: vec![policy(nic_with(json!([rule("Inbound", 100, "Allow", ports)])))] }
}

fn load(host: &Host, rules: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), rules).unwrap();
    sh(host, &format!("nft -f {}", file.path().display()));
}

/// The tables of others, as nft lists them without what they have counted.
fn of_others(host: &Host) -> String {
    let tables = sh(host, "nft list tables");
    let others = tables.lines().filter(|line| *line != "table inet sekisho");
    others.map(|table| sh(host, &format!("nft -s list {table}"))).collect()
}

/// Ours in both orders with theirs, changed, and taken away: theirs stay as they are, and ours are in force.
fn lives_beside(
    web: &Host,
    (theirs, tables): (&str, &[&str]),
    [first, second]: [NsgPart; 2],
    check: impl Fn(&NsgPart),
) {
    let [in_force, changed] = [&first, &second].map(|part| {
        move |generation| {
            run(web, || async {
                enforce(part, generation).await.unwrap();
                assert_eq!(enforce(part, generation).await.unwrap(), None, "nothing else is to be done");
            });
        }
    });
    load(web, theirs);
    let loaded = of_others(web);
    in_force(1);
    check(&first);
    // They load theirs anew, as they do when they are told to.
    let gone: String = tables.iter().map(|table| format!("delete table {table}\n")).collect();
    load(web, &(gone + theirs));
    run(web, || async {
        assert_eq!(enforce(&first, 1).await.unwrap(), None, "what others do is no drift of ours");
    });
    check(&first);
    changed(2);
    check(&second);
    assert_eq!(of_others(web), loaded);
    run(web, || async { apply(&Action::Remove, None).await.unwrap() });
    assert_eq!(of_others(web), loaded);
}

#[test]
fn ours_and_firewallds_rules_hold_side_by_side_and_leave_each_other_alone() {
    let Some(lab) = lab("ours_and_firewallds_rules_hold_side_by_side_and_leave_each_other_alone", "bf")
    else {
        return;
    };
    let web = lab.host("web", "192.0.2.4/24").unwrap();
    let other = lab.host("other", "192.0.2.9/24").unwrap();
    let _ports = [22, 80, 81].map(|port| web.listen_tcp(([0, 0, 0, 0], port).into()).unwrap());
    load(&web, FIREWALLD);
    assert_eq!([22, 80, 81].map(|port| begins(&other, port)), [Open, Open, Rejected], "theirs alone");
    sh(&web, "nft delete table inet firewalld");
    let parts = [allowing(&["80", "81"]), allowing(&["22"])];
    lives_beside(&web, (FIREWALLD, &["inet firewalld"]), parts, |part| {
        let expected =
            if *part == allowing(&["22"]) { [Open, Dropped, Dropped] } else { [Dropped, Open, Rejected] };
        assert_eq!([22, 80, 81].map(|port| begins(&other, port)), expected);
    });
    assert_eq!([22, 80, 81].map(|port| begins(&other, port)), [Open, Open, Rejected]);
}

#[test]
fn a_port_that_docker_publishes_is_open_only_when_the_group_says_so_and_dockers_rules_stay() {
    let name = "a_port_that_docker_publishes_is_open_only_when_the_group_says_so_and_dockers_rules_stay";
    let Some(lab) = lab(name, "bd") else { return };
    let web = lab.host("web", "192.0.2.4/24").unwrap();
    let other = lab.host("other", "192.0.2.9/24").unwrap();
    let container = lab.host("container", "198.51.100.2/24").unwrap();
    sh(
        &web,
        &format!(
            "echo 1 >/proc/sys/net/ipv4/ip_forward
             ip link add docker0 type veth peer name inner netns {}
             ip address add 172.17.0.1/16 dev docker0; ip link set docker0 up",
            container.namespace()
        ),
    );
    sh(
        &container,
        "ip address add 172.17.0.2/16 dev inner; ip link set inner up; ip route add default via 172.17.0.1",
    );
    let _port = container.listen_tcp(([172, 17, 0, 2], 80).into()).unwrap();
    // As it comes in, it is for 8080; 80 is the container's own.
    let parts = [allowing(&["8080"]), allowing(&["80"])];
    lives_beside(&web, (DOCKER, &["ip nat", "ip filter"]), parts, |part| {
        let expected = if *part == allowing(&["8080"]) { Open } else { Dropped };
        assert_eq!(begins(&other, 8080), expected);
    });
    assert_eq!(begins(&other, 8080), Open, "Docker's alone let everybody in");
}

#[test]
fn debians_own_rules_flush_ours_when_they_are_loaded_and_ours_come_back_beside_them() {
    let name = "debians_own_rules_flush_ours_when_they_are_loaded_and_ours_come_back_beside_them";
    let Some(lab) = lab(name, "bn") else { return };
    let web = lab.host("web", "192.0.2.4/24").unwrap();
    let other = lab.host("other", "192.0.2.9/24").unwrap();
    let _ports = [22, 80].map(|port| web.listen_tcp(([0, 0, 0, 0], port).into()).unwrap());
    let part = allowing(&["80"]);
    run(&web, || async {
        enforce(&part, 1).await.unwrap();
        let mut watcher = Watcher::new().unwrap();
        sh(&web, &format!("nft -f {DEBIAN}"));
        let loaded = of_others(&web);
        tokio::time::timeout(Duration::from_secs(1), watcher.changed()).await.unwrap().unwrap();
        let mut desired = compile(&part, 1);
        let action = plan(Some(&mut desired), observe().await.unwrap().as_ref()).unwrap();
        assert!(matches!(&action, Action::Load { reason: Reason::Missing, .. }), "{action:?}");
        apply(&action, Some(&mut desired)).await.unwrap();
        assert_eq!(plan(Some(&mut desired), observe().await.unwrap().as_ref()), None);
        assert_eq!(of_others(&web), loaded);
    });
    assert_eq!([22, 80].map(|port| begins(&other, port)), [Dropped, Open]);
}
