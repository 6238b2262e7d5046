//! What the tests share: a network security group from JSON, one NIC's inputs, and the lab.

use std::collections::HashSet;
use std::net::IpAddr;

use sekisho_arm::Scope;
use sekisho_lab::{Lab, requirements};
use sekisho_nsg::compile::{Compiled, Form, compile_within};
use sekisho_nsg::diagram::Budget;
use sekisho_nsg::evaluate::{Packet, evaluate};
use sekisho_nsg::policy::{Direction, InterfaceName, NicPolicy, NsgPart};
use sekisho_nsg::resolve::{AttachedNsg, Inputs, NicInput, resolve};
use serde_json::{Value, json};

pub(crate) const NETWORK: &str =
    "/subscriptions/33333333-3333-3333-3333-333333333333/resourceGroups/rg/providers/Microsoft.Network";

pub(crate) fn id(path: &str) -> Scope {
    Scope::parse(&format!("{NETWORK}/{path}")).unwrap()
}

pub(crate) fn asg(name: &str) -> Scope {
    id(&format!("applicationSecurityGroups/{name}"))
}

/// A rule for everything in one direction, with some properties replaced; `null` removes one. Its name is its priority.
pub(crate) fn rule(direction: &str, priority: u16, access: &str, changes: Value) -> Value {
    let mut properties = json!({"protocol": "*", "access": access, "direction": direction, "priority": priority,
        "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*",
        "destinationPortRange": "*"});
    for (key, value) in changes.as_object().unwrap() {
        properties[key] = value.clone();
    }
    json!({"name": format!("r{priority}"), "properties": properties})
}

pub(crate) fn nsg(name: &str, rules: Value) -> AttachedNsg {
    AttachedNsg {
        id: id(&format!("networkSecurityGroups/{name}")),
        rules: serde_json::from_value(rules).unwrap(),
        audit: false,
        existing_flows: Default::default(),
        platform: Default::default(),
    }
}

/// `eth0` with 10.77.0.4/24 and fd77::4/64 in the network 10.77.0.0/16 and fd77::/48, without any NSG.
pub(crate) fn nic() -> NicInput {
    NicInput {
        id: id("networkInterfaces/web"),
        mac: None,
        interface: InterfaceName::new("eth0").unwrap(),
        addresses: vec!["10.77.0.4/24".parse().unwrap(), "fd77::4/64".parse().unwrap()],
        network: Some(vec!["10.77.0.0/16".parse().unwrap(), "fd77::/48".parse().unwrap()]),
        nic_nsg: None,
        subnet_nsg: None,
        groups: HashSet::new(),
        in_azure: true,
        admin: None,
    }
}

/// The NIC with one NSG attached to it.
pub(crate) fn nic_with(rules: Value) -> NicInput {
    NicInput { nic_nsg: Some(nsg("own", rules)), ..nic() }
}

pub(crate) fn policy(nic: NicInput) -> NicPolicy {
    resolve(&Inputs { nics: vec![nic], ..Inputs::default() }).unwrap().nics.remove(0)
}

pub(crate) fn packet(protocol: u8, from: &str, to: &str) -> Packet {
    let (source, source_port) = split(from);
    let (destination, destination_port) = split(to);
    let ports = source_port.zip(destination_port);
    let icmp_type = match protocol {
        1 => Some(8),
        58 => Some(128),
        _ => None,
    };
    Packet { source, destination, protocol, ports, icmp_type }
}

fn split(text: &str) -> (IpAddr, Option<u16>) {
    match text.parse::<std::net::SocketAddr>() {
        Ok(address) => (address.ip(), Some(address.port())),
        Err(_) => (text.parse().unwrap(), None),
    }
}

/// Whether a packet may come in, and by which rule.
pub(crate) fn inbound(policy: &NicPolicy, packet: &Packet) -> (bool, Option<String>) {
    let verdict = evaluate(policy, Direction::Inbound, packet);
    (verdict.allow, verdict.rule.map(|r| r.name.clone()))
}

/// Whether a packet may go out, and by which rule.
pub(crate) fn outbound(policy: &NicPolicy, packet: &Packet) -> (bool, Option<String>) {
    let verdict = evaluate(policy, Direction::Outbound, packet);
    (verdict.allow, verdict.rule.map(|r| r.name.clone()))
}

/// A lab for one test, or `None` after saying why there is none.
pub(crate) fn lab(test: &str, tag: &str) -> Option<Lab> {
    match requirements() {
        Ok(()) => Some(Lab::new(&format!("nt{tag}{}", std::process::id())).unwrap()),
        Err(why) => {
            println!("{test}: skipped: {why}");
            None
        }
    }
}

/// Runs asynchronous work in a host, so that sockets and `nft` are the host's.
pub(crate) fn run<T: Send, F: Future<Output = T>>(
    host: &sekisho_lab::Host,
    work: impl FnOnce() -> F + Send,
) -> T {
    host.inside(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work())
    })
    .unwrap()
}

/// Makes a host hold a policy.
pub(crate) fn load(host: &sekisho_lab::Host, policies: &[NicPolicy]) {
    let part = NsgPart { nics: policies.to_vec() };
    run(host, || async { enforce(&part, 1).await.map(drop) }).unwrap_or_else(|e| panic!("{e}\n{part:#?}"));
}

/// A policy of which every stage is held in one form.
pub(crate) fn compile_as(part: &NsgPart, generation: u64, form: Form) -> Compiled {
    let (nothing, plenty) = (Budget { edges: 0, work: 0 }, Budget { edges: 100_000, work: 100_000_000 });
    let compiled = match form {
        Form::Rules => compile_within(part, generation, plenty, nothing),
        Form::Actions => compile_within(part, generation, nothing, plenty),
        Form::Linear => compile_within(part, generation, nothing, nothing),
    };
    assert!(compiled.forms().iter().all(|f| f.form == form));
    compiled
}

/// Makes the network namespace of this thread hold a policy.
pub(crate) async fn enforce(
    part: &NsgPart,
    generation: u64,
) -> Result<Option<sekisho_nsg::agent::Action>, sekisho_nsg::agent::NftError> {
    sekisho_nsg::agent::enforce(Some(&mut sekisho_nsg::agent::compile(part, generation))).await
}

/// Runs a program in a host to its successful end.
pub(crate) fn sh(host: &sekisho_lab::Host, script: &str) -> String {
    let output = host.command("sh").args(["-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
