//! Whatever rules a machine is given, and whenever its agent is killed: it is never out of the server's reach for longer
//! than a change may stay unconfirmed.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sekisho_lab::{Api, Host, Site};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{AGENT, programs, unable};

/// Machines, which are given their rules side by side.
const MACHINES: u8 = 25;
/// Rulesets that each of them is given.
const RULESETS: u64 = 20;
/// A change must be confirmed within 3 seconds, and the dead man's switch waits for 5 more. Looking takes a second.
const DEADLINE: Duration = Duration::from_secs(9);
/// How long it is looked after each change at least.
const LOOK: Duration = Duration::from_millis(300);

/// Numbers that are the same in every run (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

/// Rules at random. More than every third list denies the way to the server.
fn ruleset(random: &mut Random, server: &str) -> Value {
    let places = ["*", "10.77.0.1", "10.77.0.0/24", "203.0.113.0/24", "Internet", "VirtualNetwork"];
    let rule = |random: &mut Random, n: u64| {
        json!({"name": format!("r{n}"), "properties": {
            "priority": 100 + n, "direction": random.one(&["Inbound", "Outbound"]),
            "access": random.one(&["Allow", "Deny", "Deny"]), "protocol": random.one(&["*", "Tcp", "Udp"]),
            "sourceAddressPrefix": random.one(&places), "destinationAddressPrefix": random.one(&places),
            "sourcePortRange": "*", "destinationPortRange": random.one(&["*", "22", "1-65535", server])}})
    };
    let mut rules: Vec<Value> = (0..random.below(7)).map(|n| rule(random, n)).collect();
    if random.below(3) == 0 {
        rules.push(json!({"name": "cut", "properties": {
            "priority": 200, "direction": "Outbound", "access": "Deny", "protocol": "Tcp",
            "sourceAddressPrefix": "*", "destinationAddressPrefix": random.one(&["*", "10.77.0.1"]),
            "sourcePortRange": "*", "destinationPortRange": random.one(&["*", server])}}));
    }
    rules.into()
}

/// What happened to a machine.
#[derive(Default)]
struct Seen {
    cut_off: usize,
    killed: usize,
    longest: Duration,
}

/// A machine under attack.
struct Victim<'t> {
    site: &'t Mutex<Site>,
    api: &'t Api,
    host: Host,
    server: SocketAddr,
    group: String,
    random: Random,
    seen: Seen,
}

impl Victim<'_> {
    fn reaches_the_server(&self) -> bool {
        self.host.connect_tcp(self.server, Duration::from_millis(400)).is_ok()
    }

    /// Gives the machine rules, may kill its agent in the middle, and waits until it is in reach again.
    fn attack(&mut self) {
        let rules = ruleset(&mut self.random, &self.server.port().to_string());
        let body = json!({"location": "home", "properties": {"securityRules": rules}});
        self.api.put(&self.group, &body).unwrap_or_else(|error| panic!("{error}: {body}"));
        let began = Instant::now();
        let kill = (self.random.below(3) == 0).then(|| Duration::from_millis(self.random.below(900)));
        let (mut killed, mut since) = (false, None::<Instant>);
        while began.elapsed() < LOOK || since.is_some() || kill.is_some_and(|_| !killed) {
            if let Some(at) = kill.filter(|at| !killed && began.elapsed() >= *at) {
                killed = true;
                let mut site = self.site.lock().unwrap();
                site.kill_agent(self.host.name()).unwrap();
                drop(site);
                // Without an agent, too, the machine comes back: it is started again only then, or at once.
                if self.random.below(2) == 0 || at < Duration::from_millis(100) {
                    self.start();
                    // It takes what was interrupted back, and tries it once more.
                    since = since.map(|_| Instant::now());
                }
            }
            match (self.reaches_the_server(), since) {
                (true, None) => std::thread::sleep(Duration::from_millis(20)),
                (true, Some(from)) => {
                    self.seen.longest = self.seen.longest.max(from.elapsed());
                    self.seen.cut_off += 1;
                    since = None;
                }
                (false, None) => since = Some(Instant::now()),
                (false, Some(from)) => {
                    assert!(from.elapsed() < DEADLINE, "{} is out of reach with {body}", self.host.name());
                }
            }
        }
        if killed {
            self.seen.killed += 1;
            self.start();
        }
    }

    /// Starts the agent, if none runs.
    fn start(&self) {
        let mut site = self.site.lock().unwrap();
        if site.machine(self.host.name()).unwrap().agent_pid().is_none() {
            site.start_agent(self.host.name(), AGENT, &[]).unwrap();
        }
    }
}

#[test]
fn five_hundred_rulesets_and_kills_in_the_middle_leave_no_machine_out_of_reach() {
    if unable().is_some() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let prefix = format!("fcc{}", std::process::id() % 10_000);
    let mut site = Site::start(&prefix, port, &programs(), dir.path()).unwrap();
    let api = site.api().unwrap();
    site.make_network(&api, "shared", json!([])).unwrap();
    let names: Vec<String> = (0..MACHINES).map(|n| format!("m{n}")).collect();
    let machines: Vec<(&str, u8)> = names.iter().map(String::as_str).zip(10..).collect();
    site.join(&machines, AGENT).unwrap();
    site.wait_for_facts(&api).unwrap();
    let groups: Vec<String> = names
        .iter()
        .map(|name| {
            let group = site.network("networkSecurityGroups", &format!("{name}-nsg"));
            let path = format!("{group}?api-version=2024-05-01");
            api.put(&path, &json!({"location": "home", "properties": {}})).unwrap();
            let nic = site.network("networkInterfaces", &format!("{name}-eth0"));
            let nic = format!("{nic}?api-version=2024-05-01");
            let mut body = api.get(&nic).unwrap();
            body["properties"]["networkSecurityGroup"] = json!({ "id": group });
            api.put(&nic, &body).unwrap();
            path
        })
        .collect();
    site.wait_for_rules(&api).unwrap();
    let hosts: Vec<Host> = names.iter().map(|name| site.machine(name).unwrap().host.clone()).collect();
    let server = SocketAddr::from(([10, 77, 0, 1], port));
    let shared = Mutex::new(site);
    let began = Instant::now();
    let all: Vec<Seen> = std::thread::scope(|scope| {
        let attack = |(n, (host, group)): (usize, (Host, String))| {
            let (site, api, random, seen) = (&shared, &api, Random(n as u64), Seen::default());
            scope.spawn(move || {
                let mut victim = Victim { site, api, host, server, group, random, seen };
                for _ in 0..RULESETS {
                    victim.attack();
                }
                victim.seen
            })
        };
        let running: Vec<_> = hosts.into_iter().zip(groups).enumerate().map(attack).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let sum = |of: fn(&Seen) -> usize| all.iter().map(of).sum::<usize>();
    let longest = all.iter().map(|seen| seen.longest).max().unwrap();
    let (cut_off, killed) = (sum(|seen| seen.cut_off), sum(|seen| seen.killed));
    println!(
        "500 rulesets in {:?}: cut off {cut_off} times, {longest:?} at most; the agent was killed {killed} times",
        began.elapsed()
    );
    assert!(cut_off >= 25 && killed >= 100, "nothing was put to the test: {cut_off}, {killed}");
    // In the end every machine has told how its newest rules ended.
    let mut site = shared.into_inner().unwrap();
    for name in &names {
        // What a thread has started ends with it, without a word.
        site.kill_agent(name).unwrap();
        site.start_agent(name, AGENT, &[]).unwrap();
    }
    site.wait("every machine settles", DEADLINE * 5, |site| {
        let rows = site.fleet(&api)?;
        let settled =
            |r: &&Value| ["applied", "reverted"].contains(&r["network"]["state"].as_str().unwrap_or(""));
        let there = rows.iter().filter(settled).count();
        let late = || sekisho_lab::SiteError::Answer(format!("{there} of {MACHINES} have"));
        if there == usize::from(MACHINES) { Ok(()) } else { Err(late()) }
    })
    .unwrap();
}
