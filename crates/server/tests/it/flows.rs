//! A machine that tells of its flows.

use sekisho_link::message::{ToAgent, ToServer};
use sekisho_link::stream::{Batch as Entries, Entry, Epoch, Stream};
use sekisho_nsg::flow::record::{Batch, DecidingRule, Delta, Flow, KIND, Nic, Process, State};
use sekisho_nsg::policy::{Access, Direction, InterfaceName, MacAddress};
use serde_json::json;

use crate::agent::{Link, facts, join};
use crate::kit::{Http, NETWORK, at, until};
use crate::seed::World;

/// A machine with one interface, a link, and how much it has told.
pub(crate) struct Teller {
    /// Its id.
    pub(crate) machine: String,
    /// The id of its interface.
    pub(crate) nic: String,
    link: Link,
    told: u64,
}

impl Teller {
    /// Lets one join `rg1` with an address such as `10.0.1.7/24`, behind the security group `nsg1`, and as a member of an
    /// application security group.
    pub(crate) async fn join(
        world: &World,
        root: &Http,
        (name, address): (&str, &str),
        member_of: Option<&str>,
    ) -> Teller {
        let agent = join(&world.join_string(1).await, name).await.ok().unwrap();
        let mut link = agent.connect(0).await;
        link.say(&ToServer::Facts { facts: facts(name, address) }).await;
        let nic = world.network(&format!("networkInterfaces/{name}-eth0"));
        let path = at(&nic, NETWORK);
        let mut body = until("the interface", async || {
            let answer = root.get(&path).await;
            (answer.status == 200).then(|| answer.json())
        })
        .await;
        body["properties"]["networkSecurityGroup"] =
            json!({"id": world.network("networkSecurityGroups/nsg1")});
        if let Some(asg) = member_of {
            let asg = world.network(&format!("applicationSecurityGroups/{asg}"));
            body["properties"]["ipConfigurations"][0]["properties"]["applicationSecurityGroups"] =
                json!([{ "id": asg }]);
        }
        root.put(&path, body).await.expect(200);
        Teller { machine: agent.machine.clone(), nic, link, told: 0 }
    }

    /// Tells of flows, and waits until the server keeps them.
    pub(crate) async fn tell(&mut self, batch: &Batch) {
        let noted = batch.flows.iter().map(|f| f.at).max().unwrap_or_default() + 100;
        self.told += 1;
        let entries = vec![Entry::Event { at: noted, kind: KIND.to_owned(), data: batch.data() }];
        let batch = Entries { stream: Stream::Telemetry, epoch: Epoch(7), first: self.told, entries };
        self.link.say(&ToServer::Events(batch)).await;
        let told = self.told;
        while !matches!(self.link.hear().await, Some(ToAgent::Acknowledged { upto, .. }) if upto == told) {}
    }
}

/// A batch of the interface `eth0`, with the rules `ssh` (0, allows) and `deny` (1) of a security group and the process
/// `sshd` (0).
pub(crate) fn batch(nsg: &str, flows: Vec<Flow>) -> Batch {
    let rule = |name: &str, access| DecidingRule {
        nsg: nsg.to_owned(),
        name: name.to_owned(),
        is_default: false,
        access,
    };
    let process = Process {
        pid: 7,
        name: "sshd".to_owned(),
        exe: "/usr/sbin/sshd".to_owned(),
        user: Some("root".to_owned()),
        unit: Some("ssh.service".to_owned()),
        package: Some("openssh-server".to_owned()),
        ..Process::default()
    };
    let mac = MacAddress::parse("52:54:00:00:00:01").unwrap();
    Batch {
        generation: 3,
        nics: vec![Nic { interface: InterfaceName::new("eth0").unwrap(), mac: Some(mac) }],
        rules: vec![rule("ssh", Access::Allow), rule("deny", Access::Deny)],
        processes: vec![process],
        flows,
        gaps: Vec::new(),
    }
}

/// One record of a TCP flow from an address and port to another, which came in at `at`.
pub(crate) fn flow(at: i64, state: State, from: (&str, u16), to: (&str, u16)) -> Flow {
    let denied = state == State::Denied;
    let delta = match state {
        State::Begin => Delta::default(),
        State::Denied => Delta { packets_sent: 1, bytes_sent: 60, ..Delta::default() },
        _ => Delta { packets_sent: 3, bytes_sent: 767, packets_received: 2, bytes_received: 1580 },
    };
    Flow {
        at,
        nic: 0,
        direction: Direction::Inbound,
        source: from.0.parse().unwrap(),
        destination: to.0.parse().unwrap(),
        source_port: from.1,
        destination_port: to.1,
        protocol: 6,
        state,
        rule: Some(u16::from(denied)),
        process: (!denied).then_some(0),
        delta,
        count: 1,
    }
}
