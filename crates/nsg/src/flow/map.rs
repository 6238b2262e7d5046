//! The flow map: who talks with whom in groups, how much and what is denied; and about one connection between two groups the
//! rules, ports, processes and single records. Pure; the answer is bounded, and says when it is not all.
//!
//! A flow between two machines that are both logged is told of twice. It counts as its destination tells: what was let out
//! may not have been let in. What a machine did not let out only it can tell of.

use std::collections::{BTreeSet, HashMap, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::filter::decision;
use super::places::{End, Grouping, Place, PlaceKind, Places};
use super::record::Record;
use super::traffic::{
    Amount, COUNTED, FlowShown, Newest, ProcessShown, ProcessTraffic, RuleShown, RuleTraffic, counted, top,
};
use crate::policy::{Access, Direction};

/// Edges of an answer: at most so many by what was allowed, and so many by what was denied.
const EDGES: usize = 80;

/// What is asked of a map.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FlowMapQuestion {
    /// Not before this instant; an hour before `to` when absent.
    pub from: Option<String>,
    /// Not after this instant; now when absent.
    pub to: Option<String>,
    /// `Allow` or `Deny`.
    pub access: Option<Access>,
    /// Flows to this port.
    pub port: Option<u16>,
    /// By what machines are put together.
    pub group_by: Grouping,
    /// The id of the group whose machines are shown one by one.
    pub expand: Option<String>,
}

/// What is asked of an edge: the same, and which one.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlowEdgeQuestion {
    /// As of the map.
    #[serde(flatten)]
    pub map: FlowMapQuestion,
    /// The id of the node where flows begin.
    pub source: String,
    /// The id of the node where they end.
    pub target: String,
    /// Single flows that are shown, at most 1000; 100 when absent.
    pub top: Option<usize>,
}

/// Who talks with whom.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlowMap {
    /// Since when.
    pub from: String,
    /// Until when.
    pub to: String,
    /// Whether everything was counted. Otherwise ask about less time.
    pub is_all: bool,
    /// All of it together.
    pub total: Amount,
    /// The groups.
    pub nodes: Vec<FlowNode>,
    /// What flows between them, the most first.
    pub edges: Vec<FlowEdge>,
    /// How many more edges there are, with less.
    pub other_edges: usize,
}

/// A group, or a machine of the one that is expanded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlowNode {
    /// By which it is asked about.
    pub id: String,
    /// What it is.
    pub kind: PlaceKind,
    /// What people call it; nothing where the kind says all.
    pub name: String,
    /// How many machines of it were seen.
    pub machines: usize,
}

/// What flows from one node to another.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlowEdge {
    /// The id of the node where flows begin.
    pub source: String,
    /// The id of the node where they end.
    pub target: String,
    /// How much.
    #[serde(flatten)]
    pub amount: Amount,
}

/// What there is to see of an edge.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlowEdgeView {
    /// Since when.
    pub from: String,
    /// Until when.
    pub to: String,
    /// Whether everything was counted. Otherwise ask about less time.
    pub is_all: bool,
    /// All of it together.
    pub total: Amount,
    /// By rule, of either side.
    pub rules: Vec<RuleTraffic>,
    /// By port.
    pub ports: Vec<PortTraffic>,
    /// By process, of either side.
    pub processes: Vec<ProcessTraffic>,
    /// The newest records, of either side.
    pub flows: Vec<FlowShown>,
}

/// The traffic to a port.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PortTraffic {
    /// IP protocol number.
    pub protocol: u8,
    /// 0 for protocols without ports.
    pub port: u16,
    /// How much.
    #[serde(flatten)]
    pub amount: Amount,
}

type Edge = (Place, Place);

/// Counts each flow once, by what is asked of it.
struct Once<K> {
    sums: HashMap<K, Amount>,
    /// What was let out to a machine, which may tell of it itself.
    let_out: HashMap<(K, String), Amount>,
    told: HashSet<String>,
    is_all: bool,
}

impl<K: Clone + Eq + std::hash::Hash> Once<K> {
    fn new() -> Self {
        Self { sums: HashMap::new(), let_out: HashMap::new(), told: HashSet::new(), is_all: true }
    }

    fn add(&mut self, key: K, machine: &str, to: &End, record: &Record) {
        let flow = &record.flow;
        if !self.told.contains(machine) {
            self.told.insert(machine.to_owned());
        }
        let is_let_out = flow.direction == Direction::Outbound && decision(flow.state) == Access::Allow;
        self.is_all &= match &to.machine {
            Some(other) if is_let_out => counted(&mut self.let_out, (key, other.clone()), flow),
            _ => counted(&mut self.sums, key, flow),
        };
    }

    fn finish(mut self) -> (HashMap<K, Amount>, bool) {
        for ((key, machine), amount) in self.let_out {
            if !self.told.contains(&machine) {
                self.sums.entry(key).or_default().join(amount);
            }
        }
        (self.sums, self.is_all)
    }
}

/// Counts flows by the groups at their ends.
pub struct MapSummary {
    edges: Once<Edge>,
    machines: HashMap<Place, BTreeSet<String>>,
    is_cut: bool,
}

impl Default for MapSummary {
    fn default() -> Self {
        Self { edges: Once::new(), machines: HashMap::new(), is_cut: false }
    }
}

impl MapSummary {
    /// Not everything will be counted.
    pub fn cut(&mut self) {
        self.is_cut = true;
    }

    /// Counts what a machine told.
    pub fn add(&mut self, places: &Places, machine: &str, record: &Record) {
        let (from, to) = places.ends(machine, record);
        for end in [&from, &to] {
            let Some(machine) = &end.machine else { continue };
            if let Some(seen) = self.machines.get_mut(&end.place) {
                if seen.len() < COUNTED && !seen.contains(machine) {
                    seen.insert(machine.clone());
                }
            } else {
                self.machines.insert(end.place.clone(), BTreeSet::from([machine.clone()]));
            }
        }
        self.edges.add((from.place, to.place.clone()), machine, &to, record);
    }

    /// What there is to see; `from` and `to` say of which time.
    pub fn finish(self, from: String, to: String) -> FlowMap {
        let (sums, is_all) = self.edges.finish();
        let mut total = Amount::default();
        sums.values().for_each(|amount| total.join(*amount));
        let mut all: Vec<(Edge, Amount)> = sums.into_iter().collect();
        all.sort_by(|a, b| b.1.weight().cmp(&a.1.weight()).then_with(|| a.0.cmp(&b.0)));
        // What is denied has hardly any bytes, and is what people look for.
        let mut denied: Vec<usize> = (0..all.len()).filter(|at| all[*at].1.denied > 0).collect();
        denied.sort_by_key(|at| std::cmp::Reverse(all[*at].1.denied));
        let kept: BTreeSet<usize> = (0..all.len().min(EDGES)).chain(denied.into_iter().take(EDGES)).collect();
        let other_edges = all.len() - kept.len();
        let edges: Vec<(Edge, Amount)> =
            all.into_iter().enumerate().filter(|(at, _)| kept.contains(at)).map(|(_, edge)| edge).collect();
        let places: BTreeSet<&Place> = edges.iter().flat_map(|((a, b), _)| [a, b]).collect();
        let nodes = places
            .into_iter()
            .map(|place| FlowNode {
                id: place.id(),
                kind: place.kind,
                name: name(place),
                machines: self.machines.get(place).map_or(0, BTreeSet::len),
            })
            .collect();
        let edge = |((source, target), amount): (Edge, Amount)| FlowEdge {
            source: source.id(),
            target: target.id(),
            amount,
        };
        FlowMap {
            from,
            to,
            is_all: is_all && !self.is_cut,
            total,
            nodes,
            edges: edges.into_iter().map(edge).collect(),
            other_edges,
        }
    }
}

/// The last part of an id; of a subnet its network's, too.
fn name(place: &Place) -> String {
    let mut parts = place.name.rsplit('/');
    let last = parts.next().unwrap_or_default();
    match (place.kind, parts.nth(1)) {
        (PlaceKind::Subnet, Some(network)) => format!("{network}/{last}"),
        _ => last.to_owned(),
    }
}

/// Counts the flows of one edge.
pub struct EdgeSummary {
    source: String,
    target: String,
    instant: fn(i64) -> String,
    ports: Once<(u8, u16)>,
    rules: HashMap<Option<RuleShown>, Amount>,
    processes: HashMap<Option<ProcessShown>, Amount>,
    newest: Newest,
    is_all: bool,
}

impl EdgeSummary {
    /// Counts nothing yet. `instant` writes milliseconds since 1970.
    pub fn new(question: &FlowEdgeQuestion, instant: fn(i64) -> String) -> Self {
        Self {
            source: question.source.clone(),
            target: question.target.clone(),
            instant,
            ports: Once::new(),
            rules: HashMap::new(),
            processes: HashMap::new(),
            newest: Newest::new(question.top),
            is_all: true,
        }
    }

    /// Not everything will be counted.
    pub fn cut(&mut self) {
        self.is_all = false;
    }

    /// Counts what a machine told, if it is of this edge.
    pub fn add(&mut self, places: &Places, machine: &str, record: &Record) {
        let (from, to) = places.ends(machine, record);
        let is = |end: &End, id: &str| end.place.id().eq_ignore_ascii_case(id);
        if !is(&from, &self.source) || !is(&to, &self.target) {
            return;
        }
        let flow = &record.flow;
        self.ports.add((flow.protocol, flow.destination_port), machine, &to, record);
        self.is_all &= counted(&mut self.rules, record.rule.as_deref().map(RuleShown::from), flow)
            && counted(&mut self.processes, record.process.as_deref().map(ProcessShown::from), flow);
        self.newest.add(flow.at, || FlowShown::of(machine, record, self.instant));
    }

    /// What there is to see; `from` and `to` say of which time.
    pub fn finish(self, from: String, to: String) -> FlowEdgeView {
        let (ports, is_all) = self.ports.finish();
        let mut total = Amount::default();
        ports.values().for_each(|amount| total.join(*amount));
        FlowEdgeView {
            from,
            to,
            is_all: is_all && self.is_all,
            total,
            rules: top(self.rules, |rule, amount| RuleTraffic { rule, amount }),
            ports: top(ports, |(protocol, port), amount| PortTraffic { protocol, port, amount }),
            processes: top(self.processes, |process, amount| ProcessTraffic { process, amount }),
            flows: self.newest.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::places::PlacedNic;
    use super::super::record::tests::flow;
    use super::super::record::{Delta, Flow, Nic, State};
    use super::*;
    use crate::policy::InterfaceName;
    use sekisho_arm::Scope;

    const GROUP: &str =
        "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft";

    fn machine(name: &str) -> Scope {
        Scope::parse(&format!("{GROUP}.Compute/virtualMachines/{name}")).unwrap()
    }

    fn asg(name: &str) -> String {
        format!("{GROUP}.Network/applicationSecurityGroups/{name}")
    }

    /// `web1` and `web2` in the group `web`, `db` in `db`.
    fn places(expanded: Option<String>) -> Places {
        let mut places = Places::new(Grouping::default(), expanded);
        for (name, address, group) in
            [("web1", "10.0.0.4", "web"), ("web2", "10.0.0.5", "web"), ("db", "10.0.0.6", "db")]
        {
            places.add_nic(PlacedNic {
                machine: machine(name),
                interface: InterfaceName::new("eth0").ok(),
                mac: None,
                addresses: vec![address.parse().unwrap()],
                groups: vec![Scope::parse(&asg(group)).unwrap()],
                subnet: None,
                nsg: None,
            });
        }
        places
    }

    fn told(direction: Direction, state: State, from: &str, to: &str) -> Record {
        let delta = match state {
            State::Begin => Delta::default(),
            State::Denied => Delta { packets_sent: 2, ..Delta::default() },
            _ => Delta { bytes_sent: 100, bytes_received: 10, ..Delta::default() },
        };
        let (source, destination) = (from.parse().unwrap(), to.parse().unwrap());
        let flow = Flow { direction, state, source, destination, destination_port: 5432, delta, ..flow() };
        let nic = Nic { interface: InterfaceName::new("eth0").unwrap(), mac: None };
        Record { generation: 1, nic: nic.into(), rule: None, process: None, flow }
    }

    fn whole(direction: Direction, from: &str, to: &str) -> Vec<Record> {
        [State::Begin, State::End].map(|state| told(direction, state, from, to)).to_vec()
    }

    fn map(expanded: Option<String>, all: &[(&str, Vec<Record>)]) -> FlowMap {
        let (places, mut summary) = (places(expanded), MapSummary::default());
        for (name, records) in all {
            records.iter().for_each(|record| summary.add(&places, &machine(name).key(), record));
        }
        summary.finish(String::new(), String::new())
    }

    fn amount(allowed: u64, denied: u64, bytes_sent: u64, bytes_received: u64) -> Amount {
        Amount { allowed, denied, bytes_sent, bytes_received }
    }

    #[test]
    fn a_flow_that_both_sides_tell_of_counts_once_as_its_destination_tells() {
        let (web, db) = ("10.0.0.4", "10.0.0.6");
        let out = whole(Direction::Outbound, web, db);
        let only_source = map(None, &[("web1", out.clone())]);
        assert_eq!(only_source.edges.iter().map(|e| e.amount).collect::<Vec<_>>(), [amount(1, 0, 100, 10)]);
        let both = map(None, &[("web1", out.clone()), ("db", whole(Direction::Inbound, web, db))]);
        let edge = FlowEdge { source: asg("web"), target: asg("db"), amount: amount(1, 0, 100, 10) };
        assert_eq!((both.edges, both.total), (vec![edge], amount(1, 0, 100, 10)));
        // Let out, and not let in.
        let refused = [told(Direction::Inbound, State::Denied, web, db)].to_vec();
        let both = map(None, &[("web1", out[..1].to_vec()), ("db", refused)]);
        assert_eq!(both.total, amount(0, 2, 0, 0));
        // Not let out, of which nobody else can tell.
        let kept_in = [told(Direction::Outbound, State::Denied, web, db)].to_vec();
        let both = map(None, &[("web1", kept_in), ("db", whole(Direction::Inbound, "10.0.0.5", db))]);
        assert_eq!(both.edges[0].amount, amount(1, 2, 100, 10));
    }

    #[test]
    fn groups_are_nodes_until_one_of_them_is_expanded_into_its_machines() {
        let all = [
            (
                "db",
                [
                    whole(Direction::Inbound, "10.0.0.4", "10.0.0.6"),
                    whole(Direction::Inbound, "10.0.0.5", "10.0.0.6"),
                ]
                .concat(),
            ),
            ("web1", whole(Direction::Inbound, "203.0.113.9", "10.0.0.4")),
        ];
        let shown = map(None, &all);
        let nodes: Vec<(PlaceKind, &str, usize)> =
            shown.nodes.iter().map(|n| (n.kind, n.name.as_str(), n.machines)).collect();
        let group = PlaceKind::ApplicationSecurityGroup;
        assert_eq!(nodes, [(group, "db", 1), (group, "web", 2), (PlaceKind::Internet, "", 0)]);
        assert_eq!(shown.edges.len(), 2);
        let shown = map(Some(asg("web")), &all);
        let nodes: Vec<&str> = shown.nodes.iter().map(|n| n.name.as_str()).collect();
        assert_eq!(nodes, ["db", "web1", "web2", ""]);
        assert_eq!(shown.edges.len(), 3);
        assert_eq!(shown.total, amount(3, 0, 300, 30));
    }

    #[test]
    fn an_answer_has_the_largest_edges_and_those_with_most_denials_and_says_how_many_more_there_are() {
        let mut places = Places::default();
        for n in 0..500 {
            let prefix = format!("203.0.{}.{}/32", n / 250, n % 250);
            places.add_tag(&format!("t{n}"), &[prefix.parse().unwrap()]);
        }
        let mut summary = MapSummary::default();
        for n in 0..500_u64 {
            let from = format!("203.0.{}.{}", n / 250, n % 250);
            let state = if n >= 490 { State::Denied } else { State::End };
            let mut record = told(Direction::Inbound, state, &from, "10.0.0.6");
            record.flow.delta.bytes_sent = n;
            summary.add(&places, &machine("db").key(), &record);
        }
        let shown = summary.finish(String::new(), String::new());
        assert_eq!((shown.edges.len(), shown.other_edges), (EDGES + 10, 410));
        assert_eq!(shown.edges[0].source, "ServiceTag/t489");
        assert_eq!(shown.total.denied, 20);
        assert_eq!(shown.nodes.len(), EDGES + 11);
    }

    #[test]
    fn of_one_edge_there_are_ports_and_records_and_nothing_of_the_others() {
        let places = places(None);
        let question =
            FlowEdgeQuestion { source: asg("WEB"), target: asg("db"), ..FlowEdgeQuestion::default() };
        let mut summary = EdgeSummary::new(&question, |at| at.to_string());
        let db = machine("db").key();
        for from in ["10.0.0.4", "203.0.113.9"] {
            whole(Direction::Inbound, from, "10.0.0.6").iter().for_each(|r| summary.add(&places, &db, r));
        }
        let out = whole(Direction::Outbound, "10.0.0.4", "10.0.0.6");
        out.iter().for_each(|r| summary.add(&places, &machine("web1").key(), r));
        let view = summary.finish(String::new(), String::new());
        assert_eq!(view.total, amount(1, 0, 100, 10));
        assert_eq!(view.ports, [PortTraffic { protocol: 6, port: 5432, amount: view.total }]);
        assert_eq!(view.flows.len(), 4, "either side tells");
        assert!(view.is_all && view.flows.iter().all(|f| f.source_address == "10.0.0.4"));
    }
}
