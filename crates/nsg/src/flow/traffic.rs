//! What there is to see of many flows: who talks most, by which rule, whose processes, over time, and the single flows. Pure;
//! bounded by the number of different answers that are counted.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::filter::Filter;
use super::record::{DecidingRule, Delta, Flow, Gap, GapReason, Process, Record, State};
use crate::policy::{Access, Direction};

/// Rows of each table.
const ROWS: usize = 25;
/// Parts of the time.
const BUCKETS: i64 = 60;
/// Different entries that are counted one by one; those beyond are left out, and the answer says that it is not all.
pub(super) const COUNTED: usize = 100_000;
/// The single flows that are shown when nothing else is said, and at most.
const SHOWN: usize = 100;
const MOST_SHOWN: usize = 1000;

/// What is asked.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TrafficQuestion {
    /// Not before this instant; an hour before `to` when absent.
    pub from: Option<String>,
    /// Not after this instant; now when absent.
    pub to: Option<String>,
    /// Flows with this address at either end.
    pub address: Option<String>,
    /// Flows to this port.
    pub port: Option<u16>,
    /// Flows that this rule decided.
    pub rule: Option<String>,
    /// Flows of processes of this name.
    pub process: Option<String>,
    /// `Allow` or `Deny`.
    pub access: Option<Access>,
    /// Single flows that are shown, at most 1000; 100 when absent.
    pub top: Option<usize>,
}

/// What there is to see.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrafficView {
    /// Since when.
    pub from: String,
    /// Until when.
    pub to: String,
    /// Whether everything was counted. Otherwise ask about less time.
    pub is_all: bool,
    /// All of it together.
    pub total: Amount,
    /// Who talks most, by the other side's address.
    pub talkers: Vec<Talker>,
    /// By rule.
    pub rules: Vec<RuleTraffic>,
    /// By process.
    pub processes: Vec<ProcessTraffic>,
    /// In equal parts of the time.
    pub over_time: Vec<TimeTraffic>,
    /// The newest records.
    pub flows: Vec<FlowShown>,
    /// What was not told of.
    pub gaps: Vec<GapShown>,
}

/// How much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Amount {
    /// Flows that began.
    pub allowed: u64,
    /// Packets that were denied.
    pub denied: u64,
    /// Bytes of who began.
    pub bytes_sent: u64,
    /// Bytes of the other side.
    pub bytes_received: u64,
}

impl Amount {
    fn add(&mut self, flow: &Flow) {
        match flow.state {
            State::Begin => self.join(Amount { allowed: 1, ..Amount::default() }),
            State::Denied => self.join(Amount { denied: flow.delta.packets_sent, ..Amount::default() }),
            State::Continue | State::End => {
                let Delta { bytes_sent, bytes_received, .. } = flow.delta;
                self.join(Amount { bytes_sent, bytes_received, ..Amount::default() });
            }
        }
    }

    /// Both together. A machine may tell of any number.
    pub(super) fn join(&mut self, other: Amount) {
        self.allowed = self.allowed.saturating_add(other.allowed);
        self.denied = self.denied.saturating_add(other.denied);
        self.bytes_sent = self.bytes_sent.saturating_add(other.bytes_sent);
        self.bytes_received = self.bytes_received.saturating_add(other.bytes_received);
    }

    /// What is more: bytes, then flows.
    pub(super) fn weight(&self) -> (u64, u64) {
        (self.bytes_sent.saturating_add(self.bytes_received), self.allowed.saturating_add(self.denied))
    }
}

/// The traffic with an address.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Talker {
    /// The other side's address.
    pub address: String,
    /// How much.
    #[serde(flatten)]
    pub amount: Amount,
}

/// The traffic that a rule decided.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleTraffic {
    /// The rule; nothing where none was asked.
    pub rule: Option<RuleShown>,
    /// How much.
    #[serde(flatten)]
    pub amount: Amount,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleShown {
    /// The id of its security group.
    pub network_security_group_id: String,
    /// Its name.
    pub name: String,
    /// `Allow` or `Deny`.
    pub access: String,
}

impl From<&DecidingRule> for RuleShown {
    fn from(rule: &DecidingRule) -> Self {
        Self {
            network_security_group_id: rule.nsg.clone(),
            name: rule.name.clone(),
            access: rule.access.as_str().to_owned(),
        }
    }
}

/// The traffic of a process.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProcessTraffic {
    /// The process; nothing where it is not known.
    pub process: Option<ProcessShown>,
    /// How much.
    #[serde(flatten)]
    pub amount: Amount,
}

/// A program as it runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProcessShown {
    /// Its name.
    pub name: String,
    /// Its program.
    pub exe: String,
    /// Its user.
    pub user: String,
    /// Its unit.
    pub unit: Option<String>,
    /// Its package.
    pub package: Option<String>,
}

impl From<&Process> for ProcessShown {
    fn from(process: &Process) -> Self {
        Self {
            name: process.name.clone(),
            exe: process.exe.clone(),
            user: process.user.clone().unwrap_or_else(|| process.uid.to_string()),
            unit: process.unit.clone(),
            package: process.package.clone(),
        }
    }
}

/// The traffic in a part of the time.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimeTraffic {
    /// When it begins.
    pub from: String,
    /// How much.
    #[serde(flatten)]
    pub amount: Amount,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlowShown {
    /// When.
    pub at: String,
    /// The id of the machine, in lower case.
    pub machine: String,
    /// The interface.
    pub interface: String,
    /// Which way it began.
    pub direction: Direction,
    /// Who began it.
    pub source_address: String,
    /// 0 for protocols without ports.
    pub source_port: u16,
    /// The other side.
    pub destination_address: String,
    /// 0 for protocols without ports.
    pub destination_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// `B`, `C`, `E` or `D`.
    pub state: String,
    /// The rule that decided.
    pub rule: Option<RuleShown>,
    /// The generation of the rules.
    pub generation: u64,
    /// Whose socket it is.
    pub process: Option<ProcessShown>,
    /// Packets of who began it.
    pub packets_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Packets of the other side.
    pub packets_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// For how many connections it stands.
    pub count: u64,
}

impl FlowShown {
    /// A record of a machine; `instant` writes milliseconds since 1970.
    pub(super) fn of(machine: &str, record: &Record, instant: fn(i64) -> String) -> Self {
        let flow = &record.flow;
        Self {
            at: instant(flow.at),
            machine: machine.to_owned(),
            interface: record.nic.interface.to_string(),
            direction: flow.direction,
            source_address: flow.source.to_string(),
            source_port: flow.source_port,
            destination_address: flow.destination.to_string(),
            destination_port: flow.destination_port,
            protocol: flow.protocol,
            state: flow.state.letter().to_owned(),
            rule: record.rule.as_deref().map(RuleShown::from),
            generation: record.generation,
            process: record.process.as_deref().map(ProcessShown::from),
            packets_sent: flow.delta.packets_sent,
            bytes_sent: flow.delta.bytes_sent,
            packets_received: flow.delta.packets_received,
            bytes_received: flow.delta.bytes_received,
            count: flow.count,
        }
    }
}

/// Something that was not told of.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GapShown {
    /// When.
    pub at: String,
    /// The id of the machine, in lower case.
    pub machine: String,
    /// `connections`, `denied`, `rate`, `table`, `backlog` or `unavailable`.
    pub reason: String,
    /// How many, if that is known.
    pub lost: Option<u64>,
    /// The rule that denied them, if that is known.
    pub rule: Option<RuleShown>,
}

/// What is asked, checked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Milliseconds since 1970.
    pub from: i64,
    /// Milliseconds since 1970.
    pub to: i64,
    /// What must hold of a flow.
    pub filter: Filter,
    /// See [`TrafficQuestion`].
    pub top: Option<usize>,
}

/// Counts flows.
pub struct Summary {
    asked: Asked,
    instant: fn(i64) -> String,
    is_all: bool,
    total: Amount,
    talkers: HashMap<IpAddr, Amount>,
    rules: HashMap<Option<RuleShown>, Amount>,
    processes: HashMap<Option<ProcessShown>, Amount>,
    over_time: Vec<Amount>,
    newest: Newest,
    gaps: Vec<GapShown>,
}

/// The newest records, as many as are shown.
pub(super) struct Newest {
    most: usize,
    flows: BTreeMap<(i64, u64), FlowShown>,
    taken: u64,
}

impl Newest {
    pub(super) fn new(top: Option<usize>) -> Self {
        Self { most: top.unwrap_or(SHOWN).min(MOST_SHOWN), flows: BTreeMap::new(), taken: 0 }
    }

    pub(super) fn add(&mut self, at: i64, shown: impl FnOnce() -> FlowShown) {
        let is_full = self.flows.len() >= self.most;
        if is_full && self.flows.first_key_value().is_none_or(|(first, _)| at < first.0) {
            return;
        }
        self.taken += 1;
        self.flows.insert((at, self.taken), shown());
        while self.flows.len() > self.most {
            self.flows.pop_first();
        }
    }

    /// The newest first.
    pub(super) fn finish(self) -> Vec<FlowShown> {
        self.flows.into_values().rev().collect()
    }
}

impl Summary {
    /// Counts nothing yet. `instant` writes milliseconds since 1970.
    pub fn new(asked: Asked, instant: fn(i64) -> String) -> Self {
        let buckets = usize::try_from(BUCKETS).unwrap_or(0);
        let newest = Newest::new(asked.top);
        Self {
            asked,
            instant,
            is_all: true,
            total: Amount::default(),
            talkers: HashMap::new(),
            rules: HashMap::new(),
            processes: HashMap::new(),
            over_time: vec![Amount::default(); buckets],
            newest,
            gaps: Vec::new(),
        }
    }

    /// Not everything will be counted.
    pub fn cut(&mut self) {
        self.is_all = false;
    }

    /// Counts a record of a machine that is asked for.
    pub fn add(&mut self, machine: &str, record: &Record) {
        let flow = &record.flow;
        self.total.add(flow);
        let other = if flow.direction == Direction::Inbound { flow.source } else { flow.destination };
        let rule = record.rule.as_deref().map(RuleShown::from);
        let process = record.process.as_deref().map(ProcessShown::from);
        self.is_all &= counted(&mut self.talkers, other, flow)
            && counted(&mut self.rules, rule.clone(), flow)
            && counted(&mut self.processes, process.clone(), flow);
        let span = (self.asked.to - self.asked.from).max(1);
        let part = ((flow.at - self.asked.from) * BUCKETS / span).min(BUCKETS - 1);
        if let Some(bucket) = usize::try_from(part).ok().and_then(|p| self.over_time.get_mut(p)) {
            bucket.add(flow);
        }
        self.newest.add(flow.at, || FlowShown::of(machine, record, self.instant));
    }

    /// Notes that a machine could not tell of something.
    pub fn add_gap(&mut self, machine: &str, gap: &Gap) {
        let Asked { from, to, .. } = self.asked;
        if (from..=to).contains(&gap.at) && self.gaps.len() < COUNTED {
            self.gaps.push(GapShown {
                at: (self.instant)(gap.at),
                machine: machine.to_owned(),
                reason: word(gap.reason).to_owned(),
                lost: gap.lost,
                rule: gap.rule.as_ref().map(RuleShown::from),
            });
        }
    }

    /// What there is to see.
    pub fn finish(self) -> TrafficView {
        let Asked { from, to, .. } = self.asked;
        let span = (to - from).max(1);
        let instant = self.instant;
        let at = |part: usize| instant(from + span * i64::try_from(part).unwrap_or(0) / BUCKETS);
        TrafficView {
            from: instant(from),
            to: instant(to),
            is_all: self.is_all,
            total: self.total,
            talkers: top(self.talkers, |address, amount| Talker { address: address.to_string(), amount }),
            rules: top(self.rules, |rule, amount| RuleTraffic { rule, amount }),
            processes: top(self.processes, |process, amount| ProcessTraffic { process, amount }),
            over_time: self
                .over_time
                .into_iter()
                .enumerate()
                .map(|(part, amount)| TimeTraffic { from: at(part), amount })
                .collect(),
            flows: self.newest.finish(),
            gaps: self.gaps,
        }
    }
}

pub(super) fn counted<K: Eq + Hash>(table: &mut HashMap<K, Amount>, key: K, flow: &Flow) -> bool {
    if table.len() >= COUNTED && !table.contains_key(&key) {
        return false;
    }
    table.entry(key).or_default().add(flow);
    true
}

pub(super) fn top<K: Ord, R>(table: HashMap<K, Amount>, row: impl Fn(K, Amount) -> R) -> Vec<R> {
    let mut all: Vec<(K, Amount)> = table.into_iter().collect();
    all.sort_by(|a, b| b.1.weight().cmp(&a.1.weight()).then_with(|| a.0.cmp(&b.0)));
    all.truncate(ROWS);
    all.into_iter().map(|(key, amount)| row(key, amount)).collect()
}

fn word(reason: GapReason) -> &'static str {
    match reason {
        GapReason::Connections => "connections",
        GapReason::Denied => "denied",
        GapReason::Rate => "rate",
        GapReason::Table => "table",
        GapReason::Backlog => "backlog",
        GapReason::Unavailable => "unavailable",
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::flow;
    use super::super::record::{Batch, Nic};
    use super::*;
    use crate::policy::InterfaceName;

    fn asked() -> Asked {
        let at = flow().at;
        Asked { from: at - 1000, to: at + 59_000, filter: Filter::default(), top: None }
    }

    fn batch() -> Batch {
        let rule = |name: &str, access| DecidingRule {
            nsg: "/nsg".to_owned(),
            name: name.to_owned(),
            is_default: false,
            access,
        };
        let denied = Flow {
            state: State::Denied,
            direction: Direction::Inbound,
            rule: Some(1),
            delta: Delta { packets_sent: 7, ..Delta::default() },
            count: 7,
            ..flow()
        };
        let begun = Flow { state: State::Begin, rule: Some(0), process: Some(0), ..flow() };
        let ended = Flow { rule: Some(0), process: Some(0), at: flow().at + 1, ..flow() };
        let outside = Flow { at: 0, ..begun.clone() };
        Batch {
            generation: 3,
            nics: vec![Nic { interface: InterfaceName::new("eth0").unwrap(), mac: None }],
            rules: vec![rule("out", Access::Allow), rule("deny", Access::Deny)],
            processes: vec![Process { name: "curl".to_owned(), ..Process::default() }],
            flows: vec![denied, begun, ended, outside],
            gaps: vec![Gap { at: flow().at, reason: GapReason::Denied, lost: Some(4), rule: None }],
        }
    }

    fn ask(asked: Asked) -> TrafficView {
        let (from, to, filter) = (asked.from, asked.to, asked.filter.clone());
        let mut summary = Summary::new(asked, |at| at.to_string());
        let batch = batch();
        let wanted = |r: &&Record| (from..=to).contains(&r.flow.at) && filter.holds(r);
        batch.records().iter().filter(wanted).for_each(|record| summary.add("/m", record));
        batch.gaps.iter().for_each(|gap| summary.add_gap("/m", gap));
        summary.finish()
    }

    #[test]
    fn every_view_counts_the_same_flows_and_what_is_lost_is_shown() {
        let view = ask(asked());
        let expected = Amount { allowed: 1, denied: 7, bytes_sent: 767, bytes_received: 1580 };
        assert_eq!(view.total, expected);
        let sum = |all: Vec<Amount>| {
            all.into_iter().fold(Amount::default(), |a, b| Amount {
                allowed: a.allowed + b.allowed,
                denied: a.denied + b.denied,
                bytes_sent: a.bytes_sent + b.bytes_sent,
                bytes_received: a.bytes_received + b.bytes_received,
            })
        };
        assert_eq!(sum(view.talkers.iter().map(|t| t.amount).collect()), expected);
        assert_eq!(sum(view.rules.iter().map(|t| t.amount).collect()), expected);
        assert_eq!(sum(view.processes.iter().map(|t| t.amount).collect()), expected);
        assert_eq!(sum(view.over_time.iter().map(|t| t.amount).collect()), expected);
        let states: Vec<&str> = view.flows.iter().map(|f| f.state.as_str()).collect();
        assert_eq!((states, view.is_all), (vec!["E", "B", "D"], true));
        assert_eq!((view.gaps[0].reason.as_str(), view.gaps[0].lost), ("denied", Some(4)));
        // The address of whoever is not this machine.
        let talkers: Vec<&str> = view.talkers.iter().map(|t| t.address.as_str()).collect();
        assert_eq!(talkers, ["52.239.184.180", "10.0.0.6"]);
    }

    #[test]
    fn a_question_about_less_is_answered_with_less() {
        let total = |filter| ask(Asked { filter, ..asked() }).total;
        let all = Filter::default();
        assert_eq!(total(Filter { access: Some(Access::Deny), ..all.clone() }).denied, 7);
        assert_eq!(total(Filter { access: Some(Access::Deny), ..all.clone() }).allowed, 0);
        assert_eq!(total(Filter { process: Some("curl".to_owned()), ..all.clone() }).denied, 0);
        assert_eq!(total(Filter { rule: Some("DENY".to_owned()), ..all.clone() }).denied, 7);
        assert_eq!(total(Filter { port: Some(1), ..all.clone() }), Amount::default());
        assert_eq!(total(Filter { address: Some("10.0.0.6".parse().unwrap()), ..all }).allowed, 1);
        assert_eq!(ask(Asked { top: Some(1), ..asked() }).flows.len(), 1);
    }
}
