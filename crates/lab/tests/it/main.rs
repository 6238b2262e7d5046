//! The lab against the real kernel. Without root or the programs every test says `skipped: <why>` and passes.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests fail by panicking, too")]

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sekisho_lab::{Host, Lab, LabError, ProbeError, requirements};

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(5);

/// Set for a copy of this test program that is to own a lab and be killed.
const VICTIM: &str = "SEKISHO_LAB_TEST_VICTIM";

fn ready(test: &str) -> bool {
    match requirements() {
        Ok(()) => true,
        Err(why) => {
            println!("{test}: skipped: {why}");
            false
        }
    }
}

/// A prefix that no other test and no other run of the tests uses.
fn prefix(tag: &str) -> String {
    format!("lt{tag}{}", std::process::id())
}

fn output(host: &Host, program: &str, arguments: &[&str]) -> String {
    let output = host.command(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// What the machine itself looks like: its interfaces, and the namespaces of a prefix.
fn host_links() -> String {
    let output = Command::new("ip").args(["-br", "link"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn namespaces(prefix: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/run/netns") else { return Vec::new() };
    let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|n| n.starts_with(&format!("{prefix}-"))).collect()
}

/// Until the started process has become the program it is to run.
fn wait_for_sleep(pid: u32) {
    let name = || std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    let start = Instant::now();
    while name() != "sleep\n" {
        assert!(start.elapsed() < LONG, "{}", name());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn hosts_of_a_lab_reach_each_other_over_both_families() {
    if !ready("hosts_of_a_lab_reach_each_other_over_both_families") {
        return;
    }
    let lab = Lab::new(&prefix("a")).unwrap();
    let web = lab.host("web", "10.77.0.4/24 fd77::4/64").unwrap();
    let db = lab.host("db", "10.77.0.5/24 fd77::5/64").unwrap();
    for to in ["10.77.0.5:5432", "[fd77::5]:5432"] {
        let listener = db.listen_tcp(address(to)).unwrap();
        let mut client = web.connect_tcp(address(to), LONG).unwrap();
        let (mut server, from) = listener.accept().unwrap();
        assert!(web.addresses().iter().any(|a| a.addr() == from.ip()), "{from}");
        client.write_all(b"hello").unwrap();
        drop(client);
        let mut text = String::new();
        server.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }
    let echo = db.bind_udp(address("10.77.0.5:53")).unwrap();
    let thread = std::thread::spawn(move || {
        let mut buffer = [0; 64];
        let (length, from) = echo.recv_from(&mut buffer).unwrap();
        echo.send_to(&buffer[..length], from).unwrap();
    });
    assert_eq!(web.probe_udp(address("10.77.0.5:53"), b"who", LONG).unwrap(), b"who");
    thread.join().unwrap();
    // Loopback is up.
    let _own = web.listen_tcp(address("127.0.0.1:80")).unwrap();
    web.connect_tcp(address("127.0.0.1:80"), LONG).unwrap();
}

#[test]
fn a_probe_tells_silence_from_refusal() {
    if !ready("a_probe_tells_silence_from_refusal") {
        return;
    }
    let lab = Lab::new(&prefix("b")).unwrap();
    let web = lab.host("web", "10.77.0.4/24").unwrap();
    let db = lab.host("db", "10.77.0.5/24").unwrap();
    let closed = address("10.77.0.5:9");
    assert!(matches!(web.connect_tcp(closed, LONG), Err(ProbeError::Refused)));
    assert!(matches!(web.probe_udp(closed, b"x", LONG), Err(ProbeError::Refused)));
    output(
        &db,
        "nft",
        &["add table inet t; add chain inet t c { type filter hook input priority 0; policy drop; }"],
    );
    assert!(matches!(web.connect_tcp(closed, SHORT), Err(ProbeError::Silent)));
    assert!(matches!(web.probe_udp(closed, b"x", SHORT), Err(ProbeError::Silent)));
    // An address that nobody has.
    assert!(web.connect_tcp(address("10.77.0.77:9"), SHORT).is_err());
}

#[test]
fn a_program_runs_in_the_host_under_its_name_and_dies_with_the_lab() {
    if !ready("a_program_runs_in_the_host_under_its_name_and_dies_with_the_lab") {
        return;
    }
    let before = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let lab = Lab::new(&prefix("c")).unwrap();
    let web = lab.host("web", "10.77.0.4/24").unwrap();
    assert_eq!(output(&web, "cat", &["/proc/sys/kernel/hostname"]), "web\n");
    assert!(output(&web, "ip", &["-br", "address"]).contains("10.77.0.4/24"));
    assert_eq!(output(&web, "printf", &["%s|", "a b", "$0", "\"; exit 1"]), "a b|$0|\"; exit 1|");
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), before);
    let mut child = web.command("sleep").arg("600").spawn().unwrap();
    wait_for_sleep(child.id());
    drop(lab);
    assert!(!child.wait().unwrap().success());
    assert!(web.inside(|| ()).is_err(), "the host is gone with its lab");
}

#[test]
fn labs_of_different_prefixes_live_side_by_side_and_leave_nothing() {
    if !ready("labs_of_different_prefixes_live_side_by_side_and_leave_nothing") {
        return;
    }
    let links = host_links();
    // One prefix begins with the other.
    let (short, long) = (prefix("d"), format!("{}x", prefix("d")));
    let one = Lab::new(&short).unwrap();
    let two = Lab::new(&long).unwrap();
    let web = one.host("web", "10.77.0.4/24").unwrap();
    let namesake = two.host("web", "10.77.0.4/24").unwrap();
    assert!(matches!(one.host("web", ""), Err(LabError::Duplicate(_))));
    let _port = web.listen_tcp(address("10.77.0.4:80")).unwrap();
    assert!(matches!(namesake.connect_tcp(address("10.77.0.4:80"), LONG), Err(ProbeError::Refused)));
    assert_eq!(host_links(), links);
    drop(one);
    assert_eq!(namespaces(&short), Vec::<String>::new());
    assert_eq!(namespaces(&long).len(), 2);
    drop(two);
    assert_eq!(namespaces(&long), Vec::<String>::new());
    assert_eq!(host_links(), links);
    assert!(!std::path::Path::new("/run/sekisho-lab").join(&short).exists());
}

#[test]
fn names_that_could_mean_another_lab_are_refused() {
    for bad in ["", "a-b", "A", "a/b", "..", "a b", "waytoolongaprefixforalab"] {
        assert!(matches!(Lab::new(bad), Err(LabError::Name(_))), "{bad}");
        assert!(matches!(Lab::sweep(bad), Err(LabError::Name(_))), "{bad}");
    }
}

/// Ends the victim and removes its lab, also when the test fails half-way.
struct Victim {
    child: Child,
    prefix: String,
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = Lab::sweep(&self.prefix);
    }
}

#[test]
fn a_living_lab_is_not_swept_and_a_killed_one_is() {
    if !ready("a_living_lab_is_not_swept_and_a_killed_one_is") {
        return;
    }
    let prefix = prefix("e");
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_victim_of_another_test", "--nocapture"])
        .env(VICTIM, &prefix)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut victim = Victim { child, prefix: prefix.clone() };
    let mut seen = String::new();
    let mut stdout = victim.child.stdout.take().unwrap();
    while !seen.contains("lab is up") {
        let mut byte = [0];
        assert_eq!(stdout.read(&mut byte).unwrap(), 1, "{seen}");
        seen.push(char::from(byte[0]));
    }
    match Lab::sweep(&prefix) {
        Err(LabError::InUse { pid, .. }) => assert_eq!(pid, victim.child.id().to_string()),
        other => panic!("{other:?}"),
    }
    assert!(matches!(Lab::new(&prefix), Err(LabError::InUse { .. })));
    let inside: u32 = seen.split("sleeper ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    victim.child.kill().unwrap();
    victim.child.wait().unwrap();
    // The kernel kills what the victim ran, by the parent-death signal.
    let start = Instant::now();
    let alive = || std::fs::read_to_string(format!("/proc/{inside}/stat")).is_ok_and(|s| !s.contains(") Z"));
    while alive() {
        assert!(start.elapsed() < LONG, "process {inside} outlived its owner");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(namespaces(&prefix).len(), 2);
    assert_eq!(Lab::sweep(&prefix).unwrap(), 2);
    assert_eq!(namespaces(&prefix), Vec::<String>::new());
    assert_eq!(Lab::sweep(&prefix).unwrap(), 0);
}

/// Owns a lab until it is killed, when started by the test above; as a test of its own it does nothing.
#[test]
fn the_victim_of_another_test() {
    let Ok(prefix) = std::env::var(VICTIM) else { return };
    let lab = Lab::new(&prefix).unwrap();
    let host = lab.host("web", "10.77.0.4/24").unwrap();
    let mut child = host.command("sleep").arg("60").spawn().unwrap();
    wait_for_sleep(child.id());
    println!("sleeper {} lab is up", child.id());
    child.wait().unwrap();
}
