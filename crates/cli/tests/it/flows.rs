//! Flow logs from the kernel to the blob: what is allowed and what is denied, with rule, generation and process, and that
//! nothing is told twice whoever dies.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{AGENT, GROUP, SOON, World, rule, unable};

const VERSION: &str = "api-version=2025-03-01";
/// The agent looks at the table of connections every five seconds.
const LATER: Duration = Duration::from_secs(40);

impl World {
    /// Has the flows of a target logged, and waits until the machine's kernel tells of them.
    fn log_flows(&self, name: &str, target: &str) {
        let watcher = self.site.network("networkWatchers", "nw");
        self.api.put(&format!("{watcher}?{VERSION}"), &json!({"location": "home"})).unwrap();
        let storage = format!("{}/providers/Microsoft.Storage/storageAccounts/flows1", self.site.group());
        let body = json!({"location": "home", "properties": {
            "targetResourceId": target, "storageId": storage, "enabled": true,
            "format": {"type": "JSON", "version": 2}, "sekisho": {"continueSeconds": 1},
        }});
        self.api.put(&format!("{watcher}/flowLogs/{name}?{VERSION}"), &body).unwrap();
        let began = Instant::now();
        while !self.nft("db", &["list", "table", "inet", "sekisho"]).contains("denied_log") {
            assert!(began.elapsed() < SOON, "the kernel does not log what it denies");
        }
    }

    /// Waits until the agent of `db` listens, which it does a moment after its kernel has the rules: what nobody answers is
    /// a flow, too.
    fn is_heard(&mut self) {
        let (began, web) = (Instant::now(), self.site.machine("web").unwrap().host.clone());
        while self.traffic(&json!({ "port": 9 }))["flows"].as_array().unwrap().is_empty() {
            assert!(began.elapsed() < LATER, "the agent does not listen");
            let _ = web.connect_tcp("10.77.0.5:9".parse().unwrap(), Duration::from_millis(200));
        }
    }

    /// Waits until an agent has a flow from a port on its disk.
    fn is_on_disk(&self, name: &str, port: u16) {
        let (began, state) = (Instant::now(), self.site.machine(name).unwrap().state.clone());
        let port = port.to_string();
        while !holds(&state, port.as_bytes()) {
            assert!(began.elapsed() < SOON, "the flow is not on the disk");
        }
    }

    fn traffic(&self, question: &Value) -> Value {
        let path = format!(
            "{}/providers/Microsoft.Compute/virtualMachines/db/providers/Sekisho.Network/traffic?api-version=2026-11-01",
            self.site.group()
        );
        self.api.post(&path, question).unwrap()
    }

    /// Waits until the flows to a port are in these states, and shows them.
    fn flows_become(&mut self, port: u16, states: &[&str]) -> Vec<Value> {
        let began = Instant::now();
        loop {
            self.site.all_alive().unwrap();
            let view = self.traffic(&json!({ "port": port }));
            let flows = view["flows"].as_array().unwrap().clone();
            let told: BTreeSet<&str> = flows.iter().filter_map(|f| f["state"].as_str()).collect();
            if states.iter().all(|s| told.contains(s)) {
                return flows;
            }
            assert!(began.elapsed() < LATER, "{states:?} of port {port} did not come: {view:#}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The lines of all blobs of a container, with their rules.
    fn lines(&self, container: &str) -> Vec<(String, String)> {
        let mut blobs = Vec::new();
        find(&self.dir.path().join("server/storage/flows1").join(container), &mut blobs);
        let mut out = Vec::new();
        for path in blobs {
            let blob: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            for record in blob["records"].as_array().unwrap() {
                let groups = record["properties"]["flows"].as_array().into_iter().flatten();
                let groups = groups.map(|g| (g, &g["flows"][0]["flowTuples"]));
                let newer = record["flowRecords"]["flows"].as_array().into_iter().flatten();
                let newer =
                    newer.flat_map(|a| a["flowGroups"].as_array().unwrap()).map(|g| (g, &g["flowTuples"]));
                for (group, lines) in groups.chain(newer) {
                    let rule = group["rule"].as_str().unwrap();
                    let lines = lines.as_array().unwrap().iter();
                    out.extend(lines.map(|l| (rule.to_owned(), l.as_str().unwrap().to_owned())));
                }
            }
        }
        out
    }

    fn lines_become(
        &self,
        container: &str,
        what: &str,
        good: impl Fn(&[(String, String)]) -> bool,
    ) -> Vec<(String, String)> {
        let began = Instant::now();
        loop {
            let lines = self.lines(container);
            if good(&lines) {
                return lines;
            }
            assert!(began.elapsed() < LATER, "{what} is not in the blob: {lines:#?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn find(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            find(&entry.path(), out);
        } else if entry.file_name() == "PT1H.json" {
            out.push(entry.path());
        }
    }
}

/// Whether a text stands in any file below a directory.
fn holds(dir: &Path, text: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().flatten().any(|entry| {
        let path = entry.path();
        let read = || std::fs::read(&path).unwrap_or_default();
        if path.is_dir() { holds(&path, text) } else { read().windows(text.len()).any(|part| part == text) }
    })
}

const NSG: &str = "insights-logs-networksecuritygroupflowevent";
const VNET: &str = "insights-logs-flowlogflowevent";

#[test]
fn what_is_allowed_and_what_is_denied_is_in_azures_blobs_and_in_the_traffic_with_rule_generation_and_process()
{
    if unable().is_some() {
        return;
    }
    let mut world = World::new("fla");
    world.rule("deny-telnet", rule(210, "Inbound", "Deny", "23"));
    world.log_flows("of-group", &world.site.network("networkSecurityGroups", GROUP));
    world.log_flows("of-network", &world.site.network("virtualNetworks", "demo-vnet"));
    world.state_becomes("db", "applied");
    let generation = world.network("db")["generation"].as_u64().unwrap();
    world.is_heard();

    let db = world.site.machine("db").unwrap().host.clone();
    let web = world.site.machine("web").unwrap().host.clone();
    let listener = db.listen_tcp("10.77.0.5:7000".parse().unwrap()).unwrap();
    let mut client = web.connect_tcp("10.77.0.5:7000".parse().unwrap(), SOON).unwrap();
    let from = client.local_addr().unwrap().port();
    let (mut server, _) = listener.accept().unwrap();
    assert!(web.connect_tcp("10.77.0.5:23".parse().unwrap(), Duration::from_millis(300)).is_err());
    let mut bytes = [0; 1000];
    client.write_all(&bytes).unwrap();
    server.read_exact(&mut bytes).unwrap();
    let begun = world.flows_become(7000, &["B", "C"]);
    let flow = begun.iter().find(|f| f["state"] == "B").unwrap();
    assert_eq!(flow["sourceAddress"], "10.77.0.4", "{flow:#}");
    assert_eq!(flow["rule"]["name"], "AllowVnetInBound");
    assert_eq!(flow["generation"], generation);
    // The test itself holds the socket.
    let own = std::env::current_exe().unwrap();
    assert_eq!(flow["process"]["exe"], own.to_str().unwrap(), "{flow:#}");
    assert_eq!(flow["process"]["user"], "root");
    drop((client, server));
    let ended = world.flows_become(7000, &["E"]);
    let sum = |field: &str| -> u64 { ended.iter().map(|f| f[field].as_u64().unwrap()).sum() };
    assert!((1000..3000).contains(&sum("bytesSent")), "{ended:#?}");
    assert!(sum("packetsReceived") >= 3, "{ended:#?}");
    let denied = world.flows_become(23, &["D"]);
    assert_eq!(denied[0]["rule"]["name"], "deny-telnet", "{denied:#?}");
    assert_eq!(denied[0]["generation"], generation);

    // Every view tells the same.
    let view = world.traffic(&json!({"access": "Deny"}));
    assert_eq!(view["total"]["allowed"], 0);
    assert!(view["rules"].as_array().unwrap().iter().any(|r| r["rule"]["name"] == "deny-telnet"), "{view:#}");
    assert!(world.traffic(&json!({"process": "nobody"}))["flows"].as_array().unwrap().is_empty());

    // And Azure's readers find what they know.
    let to = format!(",10.77.0.4,10.77.0.5,{from},7000,T,I,A,");
    let lines = world.lines_become(NSG, "the end of the flow", |all| {
        all.iter().any(|(_, l)| l.contains(&format!("{to}E,")))
            && all.iter().any(|(_, l)| l.contains(",23,T,I,D,B,"))
    });
    let of = |text: &str| {
        lines.iter().find(|(_, l)| l.contains(text)).unwrap_or_else(|| panic!("{text}: {lines:#?}"))
    };
    assert_eq!(of(&format!("{to}B,,,,")).0, "DefaultRule_AllowVnetInBound");
    assert_eq!(of(",23,T,I,D,B,").0, "UserRule_deny-telnet");
    let to = format!(",10.77.0.4,10.77.0.5,{from},7000,6,I,");
    let lines = world.lines_become(VNET, "the end of the flow", |all| {
        all.iter().any(|(_, l)| l.contains(&format!("{to}E,NX,")))
            && all.iter().any(|(_, l)| l.contains(",23,6,I,D,NX,"))
    });
    // A virtual network's log has both machines.
    assert!(lines.iter().any(|(_, l)| l.contains(",7000,6,O,")), "{lines:#?}");

    // Switched off, the kernel tells of nothing more.
    for name in ["of-group", "of-network"] {
        let path = format!("{}/flowLogs/{name}?{VERSION}", world.site.network("networkWatchers", "nw"));
        world.api.delete(&path).unwrap();
    }
    let began = Instant::now();
    while world.nft("db", &["list", "table", "inet", "sekisho"]).contains("denied_log") {
        assert!(began.elapsed() < SOON, "the kernel goes on");
    }
}

#[test]
fn no_flow_is_lost_or_told_twice_when_the_server_is_killed_and_the_agent_after_it() {
    if unable().is_some() {
        return;
    }
    let mut world = World::new("flb");
    world.log_flows("all", &world.site.network("networkSecurityGroups", GROUP));
    world.state_becomes("db", "applied");
    world.is_heard();
    let web = world.site.machine("web").unwrap().host.clone();
    let mut ports = BTreeSet::new();
    let mut connect = |count: usize| {
        for _ in 0..count {
            let to: SocketAddr = "10.77.0.5:5432".parse().unwrap();
            ports.insert(web.connect_tcp(to, SOON).unwrap().local_addr().unwrap().port());
        }
        ports.clone()
    };
    connect(20);
    world.flows_become(5432, &["B"]);
    world.site.kill_server();
    connect(20);
    // What the agent has told its disk outlives it.
    let last = web.connect_tcp("10.77.0.5:5432".parse().unwrap(), SOON).unwrap().local_addr().unwrap().port();
    world.is_on_disk("db", last);
    world.site.kill_agent("db").unwrap();
    world.site.start_agent("db", AGENT, &[]).unwrap();
    world.site.start_server().unwrap();
    world.api = world.site.api().unwrap();
    let expected = connect(0);
    let begun = |all: &[(String, String)]| -> Vec<u16> {
        let of_port = all.iter().filter(|(_, l)| l.contains(",5432,T,I,A,B,"));
        of_port.map(|(_, l)| l.split(',').nth(3).unwrap().parse().unwrap()).collect()
    };
    let start = Instant::now();
    let told = loop {
        let told = begun(&world.lines(NSG));
        let missing: Vec<&u16> = expected.iter().filter(|port| !told.contains(port)).collect();
        if missing.is_empty() {
            break told;
        }
        assert!(start.elapsed() < LATER, "{missing:?} of {expected:?} are not told");
        std::thread::sleep(Duration::from_millis(200));
    };
    assert_eq!(told.len(), told.iter().collect::<BTreeSet<_>>().len(), "something is told twice: {told:?}");
    world.site.kill_server();
    world.site.start_server().unwrap();
    world.api = world.site.api().unwrap();
    let (api, what) = (world.api.clone(), "the server answers");
    world.site.wait(what, SOON, |site| site.fleet(&api).map(drop)).unwrap();
    assert_eq!(begun(&world.lines(NSG)).len(), told.len());
}
