//! The product under faults: a real server, real agents, the kernel, and what happens when parts of it die or are cut
//! off. Each test has a lab of its own.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod access;
mod bastion;
mod bastion_asked;
mod bastion_clients;
mod bastion_desktop;
mod bastion_files;
mod bastion_gate;
mod bastion_live;
mod bastion_ssh;
mod clocks;
mod confirm;
mod copies;
mod durability;
mod elevation;
mod flows;
mod guest;
mod installation;
mod operations;
mod recordings;
mod reference;
mod rotation;
mod witnesses;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sekisho_lab::{Api, Site, SiteError};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The security group of the machines.
const GROUP: &str = "nsg";
/// What agents are started with: a change must be confirmed within 3 seconds.
const AGENT: &[&str] = &["--confirm-seconds", "3", "--reconnect-seconds", "1"];
/// How long things may take that take time for a reason.
const SOON: Duration = Duration::from_secs(20);

/// Why this machine cannot run the tests here, said by name.
fn unable() -> Option<String> {
    let why = sekisho_lab::requirements().err()?;
    skipped(&why);
    Some(why)
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

/// The directory of the two programs. The agent's is another package's: a run of the whole workspace builds it too and
/// says so (building it alone would choose other features and take minutes); a run of this package alone builds it here.
fn programs() -> PathBuf {
    let sekisho = PathBuf::from(env!("CARGO_BIN_EXE_sekisho"));
    let dir = sekisho.parent().unwrap().to_owned();
    static BUILT: std::sync::Once = std::sync::Once::new();
    BUILT.call_once(|| {
        if std::env::var_os("SEKISHO_WHOLE_WORKSPACE").is_some() {
            return;
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--locked", "-p", "sekisho-agent", "--target-dir"])
            .arg(dir.parent().unwrap())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.unwrap().success(), "the agent does not build");
    });
    assert!(dir.join("sekisho-agent").exists(), "the agent was not built");
    dir
}

/// A site with machines `web` and `db`, a security group on both, and everything in force.
struct World {
    site: Site,
    api: Api,
    dir: TempDir,
}

impl World {
    fn new(prefix: &str) -> World {
        World::of(prefix, &programs())
    }

    fn of(prefix: &str, programs: &Path) -> World {
        let dir = TempDir::new().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut site =
            Site::start(&format!("{prefix}{}", std::process::id() % 10_000), port, programs, dir.path())
                .unwrap();
        let api = site.api().unwrap();
        site.make_network(&api, GROUP, json!([])).unwrap();
        site.join(&[("web", 4), ("db", 5)], AGENT).unwrap();
        site.wait_for_facts(&api).unwrap();
        site.attach(&api, GROUP).unwrap();
        site.wait_for_rules(&api).unwrap();
        let world = World { site, api, dir };
        world.listen("db", 5432);
        world.listen("web", 5432);
        world
    }

    /// Accepts connections in a host for as long as the test lives.
    fn listen(&self, host: &str, port: u16) {
        let host = &self.site.machine(host).unwrap().host;
        let listener = host.listen_tcp(SocketAddr::new(host.addresses()[0].addr(), port)).unwrap();
        std::thread::spawn(move || listener.incoming().flatten().for_each(drop));
    }

    /// Whether a new connection gets through.
    fn passes(&self, from: &str, to: &str, port: u16) -> bool {
        let address = self.site.machine(to).unwrap().host.addresses()[0].addr();
        let from = &self.site.machine(from).unwrap().host;
        from.connect_tcp(SocketAddr::new(address, port), Duration::from_millis(250)).is_ok()
    }

    fn becomes(&self, what: &str, passes: bool, limit: Duration) -> Duration {
        let began = Instant::now();
        while self.passes("web", "db", 5432) != passes {
            assert!(
                began.elapsed() < limit,
                "{what}: packets {} after {limit:?}",
                if passes { "do not pass" } else { "pass" }
            );
        }
        began.elapsed()
    }

    fn rule(&self, name: &str, body: Value) {
        let path = format!(
            "{}/securityRules/{name}?api-version=2024-05-01",
            self.site.network("networkSecurityGroups", GROUP)
        );
        self.api.put(&path, &json!({ "properties": body })).unwrap();
    }

    fn deny_db(&self) {
        self.rule("deny-db", rule(200, "Inbound", "Deny", "5432"));
    }

    fn remove(&self, name: &str) {
        let path = format!(
            "{}/securityRules/{name}?api-version=2024-05-01",
            self.site.network("networkSecurityGroups", GROUP)
        );
        self.api.delete(&path).unwrap();
    }

    /// What the server knows of a machine's network rules.
    fn network(&self, name: &str) -> Value {
        let rows = self.site.fleet(&self.api).unwrap();
        rows.into_iter().find(|r| r["name"] == name).map(|r| r["network"].clone()).unwrap_or_default()
    }

    fn state_becomes(&mut self, name: &str, state: &str) -> Value {
        let (name, state, api) = (name.to_owned(), state.to_owned(), self.api.clone());
        let what = format!("{name} is {state}");
        self.site
            .wait(&what, SOON, |site| {
                let rows = site.fleet(&api)?;
                let row = rows.into_iter().find(|r| r["name"] == name.as_str()).unwrap_or_default();
                if row["network"]["state"] == state.as_str() {
                    Ok(row["network"].clone())
                } else {
                    Err(SiteError::Answer(row.to_string()))
                }
            })
            .unwrap()
    }

    /// Waits until the history of a machine has exactly these kinds of its own stream of urgent events, in any order.
    fn history_has(&mut self, name: &str, kinds: &[&str]) {
        let path = format!(
            "{}/providers/Microsoft.Compute/virtualMachines/{name}/providers/Sekisho.Fleet/events?api-version=2026-11-01",
            self.site.group()
        );
        let api = self.api.clone();
        self.site
            .wait("the machine's history", SOON, |_| {
                let all = api.get(&path)?;
                let rows = all["value"].as_array().cloned().unwrap_or_default();
                let own = rows.iter().map(|r| &r["properties"]).filter(|p| p["stream"] == "security");
                let mut told: Vec<&str> = own.filter_map(|p| p["kind"].as_str()).collect();
                told.sort_unstable();
                if told == kinds { Ok(()) } else { Err(SiteError::Answer(format!("{told:?}"))) }
            })
            .unwrap();
    }

    /// What the server knows of a machine besides its rules.
    fn known(&self, api: &Api, name: &str) -> Result<Value, SiteError> {
        let path = format!(
            "{}/providers/Microsoft.Compute/virtualMachines/{name}?$expand=instanceView&api-version=2024-07-01",
            self.site.group()
        );
        let mut known = api.get(&path)?["properties"]["sekisho"].clone();
        // Only what tests look at, so that a failure can be read.
        known["facts"] = json!({"clock": known["facts"]["clock"], "agent": known["facts"]["agent"]});
        Ok(known)
    }

    /// Waits until what the server knows of a machine is as wanted.
    fn known_becomes(&self, api: &Api, name: &str, what: &str, good: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let known = self.known(api, name).unwrap();
            if good(&known) {
                return known;
            }
            assert!(began.elapsed() < SOON, "{what} did not come: {known}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    fn machine_id(&self, name: &str) -> String {
        format!("{}/providers/Microsoft.Compute/virtualMachines/{name}", self.site.group())
    }

    /// The path of the assignment by which the tests' program has a role on a machine.
    fn role_of(&self, machine: &str, role: &str) -> String {
        let name = format!("11111111-2222-4333-8444-0000{}", &role[..8]);
        let kind = "providers/Microsoft.Authorization/roleAssignments";
        format!("{}/{kind}/{name}?api-version=2022-04-01", self.machine_id(machine))
    }

    /// Gives the tests' program a role on a machine.
    fn give_role(&self, machine: &str, role_id: &str) {
        let claims = self.api.token().split('.').nth(1).unwrap();
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        let role = format!("/providers/Microsoft.Authorization/roleDefinitions/{role_id}");
        let body = json!({"properties": {"roleDefinitionId": role, "principalId": claims["oid"],
            "principalType": "ServicePrincipal"}});
        self.api.put(&self.role_of(machine, role_id), &body).unwrap();
    }

    fn nft(&self, host: &str, arguments: &[&str]) -> String {
        let output = self.site.machine(host).unwrap().host.command("nft").args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

fn rule(priority: u16, direction: &str, access: &str, port: &str) -> Value {
    json!({
        "priority": priority, "direction": direction, "access": access, "protocol": "*", "sourceAddressPrefix": "*",
        "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": port,
    })
}

#[test]
fn a_deny_rule_drops_new_connections_within_a_second_and_its_removal_lets_them_pass() {
    if unable().is_some() {
        return;
    }
    let world = World::new("fda");
    assert!(world.passes("web", "db", 5432), "the default rules let the network in");
    world.deny_db();
    world.becomes("after the rule", false, Duration::from_secs(1));
    world.remove("deny-db");
    world.becomes("after its removal", true, Duration::from_secs(1));
}

#[test]
fn a_machine_whose_kernel_takes_the_rules_says_so() {
    if unable().is_some() {
        return;
    }
    let world = World::new("fdh");
    for row in world.site.fleet(&world.api).unwrap() {
        let path = format!("{}?$expand=instanceView&api-version=2024-07-01", row["id"].as_str().unwrap());
        let machine = world.api.get(&path).unwrap();
        let nftables = &machine["properties"]["sekisho"]["facts"]["capabilities"]["nftables"];
        assert_eq!(nftables["tier"], "full", "{nftables}");
    }
}

#[test]
fn an_agent_whose_program_is_replaced_under_it_still_enforces_changes() {
    if unable().is_some() {
        return;
    }
    let copies = TempDir::new().unwrap();
    for name in ["sekisho", "sekisho-agent"] {
        std::fs::copy(programs().join(name), copies.path().join(name)).unwrap();
    }
    let world = World::of("fdi", copies.path());
    let upgraded = copies.path().join("new");
    std::fs::write(&upgraded, "#!/bin/false\n").unwrap();
    std::fs::rename(&upgraded, copies.path().join("sekisho-agent")).unwrap();
    world.deny_db();
    world.becomes("after the upgrade", false, SOON);
}

#[test]
fn an_offline_agent_keeps_enforcing_and_catches_up_when_it_is_back() {
    if unable().is_some() {
        return;
    }
    let mut world = World::new("fdb");
    world.deny_db();
    world.becomes("before", false, SOON);
    world.site.kill_agent("db").unwrap();
    world.remove("deny-db");
    assert!(!world.passes("web", "db", 5432), "the rules stay in force without their agent");
    world.site.start_agent("db", AGENT, &[]).unwrap();
    world.becomes("after the agent is back", true, SOON);
    world.state_becomes("db", "applied");
}

#[test]
fn a_rule_set_that_cuts_the_agent_off_takes_itself_back_and_says_so() {
    if unable().is_some() {
        return;
    }
    let mut world = World::new("fdc");
    world.rule("deny-all-out", rule(100, "Outbound", "Deny", "*"));
    let network = world.state_becomes("db", "reverted");
    assert!(network["message"].as_str().unwrap().contains("no new connection"), "{network}");
    assert!(
        !world.nft("db", &["list", "table", "inet", "sekisho"]).contains("deny-all-out"),
        "the old rules are back"
    );
    world.remove("deny-all-out");
    world.state_becomes("db", "applied");
    // What came back is what the next generation wants: nothing is loaded, and nobody is blamed.
    world.deny_db();
    world.becomes("after a later rule", false, SOON);
    let log = std::fs::read_to_string(world.dir.path().join("agent-db.log")).unwrap();
    assert!(log.contains("a generation ended") && !log.contains("were repaired"), "{log}");
}

#[test]
fn a_foreign_flush_is_repaired_within_a_second_and_reported() {
    if unable().is_some() {
        return;
    }
    let mut world = World::new("fdd");
    world.deny_db();
    world.becomes("before", false, SOON);
    world.state_becomes("db", "applied");
    world.nft("db", &["flush", "ruleset"]);
    let repaired = world.becomes("after the flush", false, Duration::from_secs(1));
    assert!(repaired < Duration::from_secs(1));
    let (api, what) = (world.api.clone(), "the repair is reported");
    world
        .site
        .wait(what, SOON, |site| {
            let rows = site.fleet(&api)?;
            let row = rows.into_iter().find(|r| r["name"] == "db").unwrap_or_default();
            let message = row["network"]["message"].as_str().unwrap_or_default().to_owned();
            if message.contains("Another program") { Ok(()) } else { Err(SiteError::Answer(message)) }
        })
        .unwrap();
}

#[test]
fn what_a_machine_tells_of_its_life_is_in_its_history_once_whoever_dies() {
    if unable().is_some() {
        return;
    }
    let mut world = World::new("fdi");
    world.deny_db();
    world.state_becomes("db", "applied");
    // Without a server the machine repairs, dies and lives again; it tells so afterwards.
    world.site.kill_server();
    world.nft("db", &["flush", "ruleset"]);
    world.becomes("after the flush", false, SOON);
    world.site.kill_agent("db").unwrap();
    world.site.start_agent("db", AGENT, &[]).unwrap();
    world.site.start_server().unwrap();
    world.history_has("db", &["agent.started", "agent.started", "rules.repaired"]);
    // Nothing comes twice when both sides die once more.
    world.site.kill_server();
    world.site.kill_agent("db").unwrap();
    world.site.start_server().unwrap();
    world.site.start_agent("db", AGENT, &[]).unwrap();
    world.history_has("db", &["agent.started", "agent.started", "agent.started", "rules.repaired"]);
}

#[test]
fn an_agent_killed_at_any_step_of_a_change_never_opens_what_is_closed_and_converges_after_a_restart() {
    if unable().is_some() {
        return;
    }
    let mut world = World::new("fde");
    world.deny_db();
    world.becomes("before", false, SOON);
    world.state_becomes("db", "applied");
    for (round, step) in
        ["armed", "journal", "loaded", "confirmed", "released", "kept", "cleared"].iter().enumerate()
    {
        world.site.kill_agent("db").unwrap();
        world.site.start_agent("db", AGENT, &[("SEKISHO_AGENT_DIES_AT", step)]).unwrap();
        world.rule(
            &format!("extra-{step}"),
            rule(300 + u16::try_from(round).unwrap(), "Inbound", "Deny", &format!("{}", 7000 + round)),
        );
        let signal = world.site.agent_dies("db", SOON).unwrap();
        assert_eq!(signal, Some(9), "the agent dies at {step}");
        assert!(
            !world.passes("web", "db", 5432),
            "what was closed stays closed when the agent dies at {step}"
        );
        world.site.start_agent("db", AGENT, &[]).unwrap();
        world.state_becomes("db", "applied");
        assert!(!world.passes("web", "db", 5432), "what was closed stays closed after {step}");
        let loaded = world.nft("db", &["list", "table", "inet", "sekisho"]);
        assert!(loaded.contains(&format!("{}", 7000 + round)), "the change of {step} is in force:\n{loaded}");
        assert!(
            !world.site.machine("db").unwrap().state.join("journal.json").exists(),
            "{step} leaves no journal"
        );
    }
}

#[test]
fn a_killed_server_loses_nothing_it_acknowledged_and_machines_converge_when_it_is_back() {
    if unable().is_some() {
        return;
    }
    let mut world = World::new("fdf");
    for round in 0..5u16 {
        world.rule(&format!("r{round}"), rule(400 + round, "Inbound", "Deny", &format!("{}", 8000 + round)));
        world.site.kill_server();
        assert!(world.passes("web", "db", 5432), "machines go on without a server");
        world.site.start_server().unwrap();
        world.api = world.site.api().unwrap();
        let group = world
            .api
            .get(&format!("{}?api-version=2024-05-01", world.site.network("networkSecurityGroups", GROUP)))
            .unwrap();
        let names: Vec<&str> = group["properties"]["securityRules"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["name"].as_str().unwrap())
            .collect();
        assert!(names.contains(&format!("r{round}").as_str()), "what was acknowledged is there: {names:?}");
    }
    // The kill may have met a machine between a change and its confirmation: then that generation is taken back, and the
    // next one brings everything.
    world.deny_db();
    world.becomes("after the kills", false, SOON);
    world.state_becomes("db", "applied");
    let checked = world.site.admin(&["audit", "verify"]).unwrap();
    assert!(checked["entries"].as_u64().unwrap() > 5, "{checked}");
}

#[test]
fn a_retired_machine_is_cut_from_the_server_at_once_and_stays_out() {
    if unable().is_some() {
        return;
    }
    let mut world = World::new("fdg");
    let vm = format!(
        "{}/providers/Microsoft.Compute/virtualMachines/db?api-version=2024-07-01",
        world.site.group()
    );
    world.api.delete(&vm).unwrap();
    let log = world.site.machine("db").unwrap().state.with_file_name("agent-db.log");
    world
        .site
        .wait("the agent is dismissed", SOON, |_| {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            if text.contains("dismissed") { Ok(()) } else { Err(SiteError::Answer(text)) }
        })
        .unwrap();
    let rows = world.site.fleet(&world.api).unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(world.network("web")["state"], "applied");
}
