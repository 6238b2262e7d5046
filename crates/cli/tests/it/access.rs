//! Just-in-time access from the request to the kernel, and that nothing keeps a port open longer than it was given: not a
//! dead server, not a dead agent, not a restart, not a clock that is set.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{AGENT, SOON, World, clocks, unable};

const PORT: u16 = 2222;
const VERSION: &str = "api-version=2020-01-01";

/// A guarded port of `db` with a listener.
struct Guarded {
    world: World,
    listener: TcpListener,
}

impl Guarded {
    fn new(prefix: &str) -> Option<Guarded> {
        if unable().is_some() {
            return None;
        }
        let world = World::new(prefix);
        let listener = world.site.machine("db").unwrap().host.listen_tcp(at("0.0.0.0:2222")).unwrap();
        listener.set_nonblocking(true).unwrap();
        assert!(world.passes("web", "db", PORT), "before it is guarded the port is open");
        let guarded = Guarded { world, listener };
        guarded.policy(json!({}));
        guarded.becomes(false, SOON);
        Some(guarded)
    }

    fn path(&self, rest: &str) -> String {
        let group = self.world.site.group();
        format!(
            "{group}/providers/Microsoft.Security/locations/home/jitNetworkAccessPolicies/default{rest}?{VERSION}"
        )
    }

    fn machine(&self) -> String {
        format!("{}/providers/Microsoft.Compute/virtualMachines/db", self.world.site.group())
    }

    fn policy(&self, sekisho: Value) {
        let ports = json!([{"number": PORT, "protocol": "*", "allowedSourceAddressPrefix": "10.77.0.0/24",
            "maxRequestAccessDuration": "PT1H"}]);
        let body = json!({"properties": {"virtualMachines": [{"id": self.machine(), "ports": ports}],
            "sekisho": sekisho}});
        self.world.api.put(&self.path(""), &body).unwrap();
    }

    /// Asks for the port for `web`; the request's name.
    fn ask(&self, seconds: u64) -> String {
        let port = json!({"number": PORT, "duration": format!("PT{seconds}S"),
            "allowedSourceAddressPrefix": "10.77.0.4"});
        let body = json!({"virtualMachines": [{"id": self.machine(), "ports": [port]}]});
        let made = self.world.api.post(&self.path("/initiate"), &body).unwrap();
        made["sekisho"]["id"].as_str().unwrap().to_owned()
    }

    /// Waits until the newest request satisfies, by its port and its history.
    fn request_becomes(&self, what: &str, good: impl Fn(&Value, &str) -> bool) {
        let start = Instant::now();
        loop {
            let policy = self.world.api.get(&self.path("")).unwrap();
            let request = &policy["properties"]["requests"][0];
            if good(&request["virtualMachines"][0]["ports"][0], &request["sekisho"]["history"].to_string()) {
                return;
            }
            assert!(start.elapsed() < SOON * 2, "{what}: {request}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn becomes(&self, open: bool, limit: Duration) -> Duration {
        let start = Instant::now();
        while self.world.passes("web", "db", PORT) != open {
            // Those that only look would fill the queue, and then nobody gets in.
            while self.listener.accept().is_ok() {}
            assert!(start.elapsed() < limit, "port open: {} after {limit:?}", !open);
        }
        start.elapsed()
    }

    fn pair(&self) -> (TcpStream, TcpStream) {
        let web = &self.world.site.machine("web").unwrap().host;
        let client = web.connect_tcp(at("10.77.0.5:2222"), SOON).unwrap();
        let start = Instant::now();
        loop {
            match self.listener.accept() {
                Ok((server, from)) if from == client.local_addr().unwrap() => return (client, server),
                Ok(_) => {}
                Err(_) => std::thread::yield_now(),
            }
            assert!(start.elapsed() < SOON, "the connection does not arrive");
        }
    }
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Goes on asking until the connection is cut.
fn until_cut(client: &mut TcpStream, server: &mut TcpStream) -> ErrorKind {
    let (start, mut byte) = (Instant::now(), [0]);
    client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    server.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    loop {
        let asked = client.write_all(b"?");
        let heard = asked.and_then(|()| match server.read_exact(&mut byte) {
            Ok(()) => server.write_all(b"!"),
            Err(_) => Ok(()),
        });
        if let Err(error) = heard.and_then(|()| client.read_exact(&mut byte)) {
            return error.kind();
        }
        assert!(start.elapsed() < SOON * 2, "nothing cuts it");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_request_opens_the_port_for_its_source_alone_and_its_end_cuts_what_is_there() {
    let Some(guarded) = Guarded::new("fja") else { return };
    let start = Instant::now();
    guarded.ask(8);
    println!("open {:?} after it was asked for", guarded.becomes(true, SOON));
    let (mut client, mut server) = guarded.pair();
    assert_eq!(until_cut(&mut client, &mut server), ErrorKind::ConnectionReset);
    let lived = start.elapsed();
    println!("asked for 8 s, cut {lived:?} after it was asked for");
    assert!(lived > Duration::from_millis(7800) && lived < Duration::from_millis(9000), "{lived:?}");
    guarded.becomes(false, Duration::from_millis(1));

    // Somebody ends it.
    let name = guarded.ask(600);
    guarded.becomes(true, SOON);
    let (mut client, mut server) = guarded.pair();
    let start = Instant::now();
    guarded.world.api.post(&guarded.path("/revoke"), &json!({ "requestId": name })).unwrap();
    assert_eq!(until_cut(&mut client, &mut server), ErrorKind::ConnectionReset);
    println!("cut {:?} after it was revoked", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());

    // Rules that change meanwhile do not disturb it; what is no longer guarded is everybody's again.
    guarded.ask(600);
    guarded.becomes(true, SOON);
    let (mut client, mut server) = guarded.pair();
    guarded.world.deny_db();
    guarded.world.becomes("the rule", false, SOON);
    let mut byte = [0];
    client.write_all(b"?").unwrap();
    server.read_exact(&mut byte).unwrap();
    guarded.world.api.delete(&guarded.path("")).unwrap();
    let db = guarded.world.site.machine("db").unwrap().host.clone();
    let start = Instant::now();
    while db.connect_tcp(at("10.77.0.5:2222"), SOON).is_err()
        || !guarded.world.nft("db", &["list", "ruleset"]).contains("n0_in")
        || guarded.world.nft("db", &["list", "ruleset"]).contains("guard_")
    {
        assert!(start.elapsed() < SOON, "it is still guarded");
    }
}

#[test]
fn with_the_server_and_the_agent_dead_the_kernel_ends_it() {
    let Some(mut guarded) = Guarded::new("fjb") else { return };
    guarded.ask(5);
    guarded.becomes(true, SOON);
    let (mut client, mut server) = guarded.pair();
    guarded.world.site.kill_agent("db").unwrap();
    guarded.world.site.kill_server();
    assert_eq!(until_cut(&mut client, &mut server), ErrorKind::ConnectionReset);
    guarded.becomes(false, Duration::from_millis(1));
}

#[test]
fn a_restart_of_the_agent_and_a_clock_that_is_set_give_nothing_more() {
    let Some(mut guarded) = Guarded::new("fjc") else { return };
    let start = Instant::now();
    guarded.ask(10);
    guarded.becomes(true, SOON);
    let (mut client, mut server) = guarded.pair();
    guarded.world.site.kill_agent("db").unwrap();
    // Without a server an agent that starts again knows what was begun, and with its clock set back it knows it still.
    guarded.world.site.kill_server();
    let off = clocks::off("-1d");
    let environment: &[(&str, &str)] = if clocks::is_there() { &off } else { &[] };
    guarded.world.site.start_agent("db", AGENT, environment).unwrap();
    // Somebody flushes everything: what comes back is what was left, and no more.
    guarded.world.nft("db", &["flush", "ruleset"]);
    let began = Instant::now();
    while !guarded.world.nft("db", &["list", "ruleset"]).contains("elements = { 10.77.0.4") {
        assert!(began.elapsed() < Duration::from_secs(5), "it does not come back");
    }
    assert_eq!(until_cut(&mut client, &mut server), ErrorKind::ConnectionReset);
    let lived = start.elapsed();
    println!("asked for 10 s, cut {lived:?} after it was asked for");
    assert!(lived < Duration::from_millis(11_500), "{lived:?}");
    guarded.becomes(false, Duration::from_millis(1));
}

#[test]
fn after_a_reboot_nothing_is_open_until_the_server_says_what_time_it_is() {
    let Some(mut guarded) = Guarded::new("fjd") else { return };
    guarded.ask(600);
    guarded.becomes(true, SOON);
    guarded.world.site.kill_agent("db").unwrap();
    guarded.world.site.kill_server();
    // A reboot leaves an empty kernel, and another boot id than the one that was written down.
    guarded.world.nft("db", &["flush", "ruleset"]);
    let ledger = guarded.world.site.machine("db").unwrap().state.join("access.json");
    let text = std::fs::read_to_string(&ledger).unwrap();
    let mut kept: Value = serde_json::from_str(&text).unwrap();
    kept["boot"] = "another".into();
    std::fs::write(&ledger, kept.to_string()).unwrap();
    guarded.world.site.start_agent("db", AGENT, &[]).unwrap();
    let start = Instant::now();
    while !guarded.world.nft("db", &["list", "ruleset"]).contains("guard_tcp_2222") {
        assert!(start.elapsed() < SOON, "it is not guarded again");
    }
    assert!(!guarded.world.passes("web", "db", PORT), "it was opened by a clock that nobody vouches for");
    guarded.world.site.start_server().unwrap();
    guarded.becomes(true, SOON);
}

#[test]
fn what_a_grant_carries_is_told_with_its_request_also_what_came_before_its_end() {
    let Some(guarded) = Guarded::new("fje") else { return };
    let name = guarded.ask(600);
    guarded.becomes(true, SOON);
    guarded.request_becomes("a first word", |port, _| port["usage"]["connections"].as_u64() >= Some(1));
    let (mut client, mut server) = guarded.pair();
    client.write_all(&[7; 50_000]).unwrap();
    server.read_exact(&mut [0; 50_000]).unwrap();
    guarded.world.api.post(&guarded.path("/revoke"), &json!({ "requestId": name })).unwrap();
    guarded.request_becomes("a last word", |port, _| {
        let number = |field: &str| port["usage"][field].as_u64().unwrap_or(0);
        port["state"] == "revoked" && number("bytes") > 50_000 && number("connections") >= 2
    });
}

#[test]
fn what_nobody_uses_is_closed_by_its_machine_and_stays_closed() {
    let Some(mut guarded) = Guarded::new("fjf") else { return };
    guarded.policy(json!({"idleClose": "PT1M"}));
    guarded.ask(600);
    guarded.request_becomes("in force", |port, _| port["state"] == "active");
    let tally = guarded.world.site.machine("db").unwrap().state.join("usage.json");
    let start = Instant::now();
    let kept = || serde_json::from_str::<Value>(&std::fs::read_to_string(&tally).ok()?).ok();
    // A packet of the last attempt before the port was open may still come, and is use: the agent, which looks each second,
    // has seen all there is once nothing changes.
    let (mut before, mut still) = (None, Instant::now());
    while before.is_none() || still.elapsed() < Duration::from_secs(3) {
        assert!(start.elapsed() < SOON, "nobody looks");
        std::thread::sleep(Duration::from_millis(50));
        let now = kept().filter(|kept| kept["grants"].as_object().is_some_and(|grants| !grants.is_empty()));
        if now != before {
            (before, still) = (now, Instant::now());
        }
    }
    // A minute goes by: what was noted was noted a minute earlier.
    guarded.world.site.kill_agent("db").unwrap();
    let mut earlier = kept().unwrap();
    for count in earlier["grants"].as_object_mut().unwrap().values_mut() {
        count["busy"] = (count["busy"].as_u64().unwrap().saturating_sub(61_000)).into();
    }
    std::fs::write(&tally, earlier.to_string()).unwrap();
    guarded.world.site.start_agent("db", AGENT, &[]).unwrap();
    guarded
        .request_becomes("the end", |port, history| port["state"] == "expired" && history.contains("idle"));
    guarded.becomes(false, Duration::from_millis(1));
    // Nothing that is said of it again opens it.
    guarded.world.site.kill_agent("db").unwrap();
    guarded.world.site.start_agent("db", AGENT, &[]).unwrap();
    guarded.world.state_becomes("db", "applied");
    guarded.becomes(false, Duration::from_millis(1));
}
