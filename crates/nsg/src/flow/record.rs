//! What a machine tells of its flows: an event of kind [`KIND`] with many flows, which share tables of interfaces, rules
//! and processes. A flow is an array, not an object: there may be tens of thousands a second.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::policy::{Access, Direction, InterfaceName, MacAddress};

/// The kind of the events.
pub const KIND: &str = "network.flows";
/// Most flows of an event.
pub const MAX_FLOWS: usize = 400;
/// Most entries of each of its tables.
pub const MAX_TABLE: usize = 1000;
/// Most characters of a text in it.
const MAX_TEXT: usize = 1024;
/// The last instant of a flow, in milliseconds since 1970: the end of the year 9999.
const MAX_AT: i64 = 253_402_300_799_999;

/// Flows that were told of together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Batch {
    /// The generation of the rules by which they were judged.
    pub generation: u64,
    /// The interfaces.
    pub nics: Vec<Nic>,
    /// The rules that decided.
    pub rules: Vec<DecidingRule>,
    /// The processes.
    pub processes: Vec<Process>,
    /// The flows.
    pub flows: Vec<Flow>,
    /// What is not among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Nic {
    /// Its name on the machine.
    pub interface: InterfaceName,
    /// Its hardware address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
}

/// The rule that decided a flow.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecidingRule {
    /// The id of its security group: the one that denied, or the last that allowed.
    pub nsg: String,
    /// Its name there.
    pub name: String,
    /// Whether it is one of those that every group has.
    pub is_default: bool,
    /// What it did.
    pub access: Access,
}

impl DecidingRule {
    /// `UserRule_` or `DefaultRule_` and the name, as Azure's logs say.
    pub fn logged_name(&self) -> String {
        format!("{}_{}", if self.is_default { "DefaultRule" } else { "UserRule" }, self.name)
    }
}

/// Whose socket it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Process {
    /// Its number; 0 when only the user is known.
    pub pid: u32,
    /// Its name, as the kernel has it.
    pub name: String,
    /// Its program.
    pub exe: String,
    /// The user's number.
    pub uid: u32,
    /// The user's name, where the machine's own list has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The unit of systemd that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The package that its program is from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
}

/// Where a flow is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum State {
    /// It begins.
    #[serde(rename = "B")]
    Begin,
    /// It goes on.
    #[serde(rename = "C")]
    Continue,
    /// It has ended.
    #[serde(rename = "E")]
    End,
    /// It was denied.
    #[serde(rename = "D")]
    Denied,
}

impl State {
    /// `B`, `C`, `E` or `D`.
    pub fn letter(self) -> &'static str {
        match self {
            State::Begin => "B",
            State::Continue => "C",
            State::End => "E",
            State::Denied => "D",
        }
    }

    /// Reads the letter.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Begin, Self::Continue, Self::End, Self::Denied].into_iter().find(|s| s.letter() == text)
    }
}

/// Packets and bytes since the record before of the same flow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delta {
    /// Packets of who began it.
    pub packets_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Packets of the other side.
    pub packets_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
}

/// One record of a flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Row", into = "Row")]
pub struct Flow {
    /// When, in milliseconds since 1970 by the machine's clock.
    pub at: i64,
    /// Index of the interface.
    pub nic: u16,
    /// Which way its first packet went.
    pub direction: Direction,
    /// Who began it.
    pub source: IpAddr,
    /// The other side.
    pub destination: IpAddr,
    /// 0 for protocols without ports.
    pub source_port: u16,
    /// 0 for protocols without ports.
    pub destination_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// Where it is in its life.
    pub state: State,
    /// Index of the rule that decided; `None` where no rule was asked.
    pub rule: Option<u16>,
    /// Index of the process, if it is known.
    pub process: Option<u16>,
    /// What was transferred. Of what was denied, the packets and bytes that were dropped.
    pub delta: Delta,
    /// How many connections this record stands for: 1, or more where a flood of denied ones from a prefix (/24, /64) to a
    /// port is told as one, under the addresses of the first.
    pub count: u64,
}

type Row =
    (i64, u16, char, IpAddr, IpAddr, u16, u16, u8, State, Option<u16>, Option<u16>, u64, u64, u64, u64, u64);

impl From<Flow> for Row {
    fn from(f: Flow) -> Row {
        let d = f.delta;
        let direction = if f.direction == Direction::Inbound { 'I' } else { 'O' };
        (
            f.at,
            f.nic,
            direction,
            f.source,
            f.destination,
            f.source_port,
            f.destination_port,
            f.protocol,
            f.state,
            f.rule,
            f.process,
            d.packets_sent,
            d.bytes_sent,
            d.packets_received,
            d.bytes_received,
            f.count,
        )
    }
}

impl From<Row> for Flow {
    fn from(row: Row) -> Flow {
        let (at, nic, direction, source, destination, source_port, destination_port, protocol, ..) = row;
        let (.., state, rule, process, packets_sent, bytes_sent, packets_received, bytes_received, count) =
            row;
        let direction = if direction == 'I' { Direction::Inbound } else { Direction::Outbound };
        Flow {
            at,
            nic,
            direction,
            source,
            destination,
            source_port,
            destination_port,
            protocol,
            state,
            rule,
            process,
            delta: Delta { packets_sent, bytes_sent, packets_received, bytes_received },
            count,
        }
    }
}

/// Why something is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GapReason {
    /// The kernel had more news of connections than the agent took; how many is unknown.
    Connections,
    /// The kernel had more denied packets to tell of than the agent took.
    Denied,
    /// The kernel told of no more denied packets than its rate. How many more there were, the counters of rules tell.
    Rate,
    /// There were more connections at once than the agent follows.
    Table,
    /// The agent could not send as fast as there were records.
    Backlog,
    /// The kernel tells of nothing: what it lacks is in the agent's log.
    Unavailable,
}

/// Something that is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// Why.
    pub reason: GapReason,
    /// How many records, packets or connections, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// The rule that denied what is missing, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<DecidingRule>,
}

/// An event that no agent of ours sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the flows of an event make no sense")]
pub struct BatchError;

impl Batch {
    /// Reads what an event carries. What arrives is hostile until it is checked: indexes point into tables, tables are
    /// of bounded size, addresses of a flow are of one family, and its instant is one.
    ///
    /// # Errors
    /// [`BatchError`].
    pub fn read(data: &Value) -> Result<Batch, BatchError> {
        let batch = Batch::deserialize(data).map_err(|_| BatchError)?;
        if batch.is_sound() { Ok(batch) } else { Err(BatchError) }
    }

    fn is_sound(&self) -> bool {
        let within = |index: Option<u16>, table: usize| index.is_none_or(|i| usize::from(i) < table);
        let good = |f: &Flow| {
            usize::from(f.nic) < self.nics.len()
                && within(f.rule, self.rules.len())
                && within(f.process, self.processes.len())
                && f.source.is_ipv4() == f.destination.is_ipv4()
                && f.count > 0
                && (0..=MAX_AT).contains(&f.at)
        };
        let short = |text: &str| text.len() <= MAX_TEXT;
        let named = self.gaps.iter().filter_map(|g| g.rule.as_ref());
        let mut rules = self.rules.iter().chain(named).flat_map(|r| [r.nsg.as_str(), r.name.as_str()]);
        let mut processes = self.processes.iter().flat_map(|p| {
            let known = [p.user.as_deref(), p.unit.as_deref(), p.package.as_deref()];
            [p.name.as_str(), p.exe.as_str()].into_iter().chain(known.into_iter().flatten())
        });
        let tables = [self.nics.len(), self.rules.len(), self.processes.len(), self.gaps.len()];
        tables.iter().all(|n| *n <= MAX_TABLE)
            && self.flows.len() <= MAX_FLOWS
            && rules.all(short)
            && processes.all(short)
            && self.flows.iter().all(good)
    }

    /// Its flows, each with what it names.
    pub fn records(&self) -> Vec<Record> {
        fn shared<T: Clone>(table: &[T]) -> Vec<Arc<T>> {
            table.iter().cloned().map(Arc::new).collect()
        }
        fn named<T>(table: &[Arc<T>], index: Option<u16>) -> Option<Arc<T>> {
            index.and_then(|i| table.get(usize::from(i))).cloned()
        }
        let (nics, rules, processes) = (shared(&self.nics), shared(&self.rules), shared(&self.processes));
        let record = |flow: &Flow| {
            Some(Record {
                generation: self.generation,
                nic: named(&nics, Some(flow.nic))?,
                rule: named(&rules, flow.rule),
                process: named(&processes, flow.process),
                flow: Flow { nic: 0, rule: None, process: None, ..flow.clone() },
            })
        };
        self.flows.iter().filter_map(record).collect()
    }

    /// What an event carries.
    pub fn data(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            _ => Map::new(),
        }
    }
}

/// A record that names what it speaks of: before it is put into a [`Batch`], and when it has been taken out of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The generation of the rules by which it was judged.
    pub generation: u64,
    /// The interface.
    pub nic: Arc<Nic>,
    /// The rule.
    pub rule: Option<Arc<DecidingRule>>,
    /// The process.
    pub process: Option<Arc<Process>>,
    /// The rest; its indexes mean nothing, and are 0 or absent when it has been taken out.
    pub flow: Flow,
}

/// Puts records into as few batches as may be, in their order.
pub fn batches(records: Vec<Record>, gaps: Vec<Gap>) -> Vec<Batch> {
    let mut out: Vec<Batch> = Vec::new();
    for mut record in records {
        let fits = |b: &Batch| {
            b.generation == record.generation
                && b.flows.len() < MAX_FLOWS
                && b.rules.len().max(b.processes.len()).max(b.nics.len()) < TABLE_OF_ONE
        };
        if !out.last().is_some_and(fits) {
            out.push(Batch { generation: record.generation, ..Batch::default() });
        }
        let Some(batch) = out.last_mut() else { continue };
        record.flow.nic = index(&mut batch.nics, &record.nic);
        record.flow.rule = record.rule.map(|rule| index(&mut batch.rules, &rule));
        record.flow.process = record.process.map(|process| index(&mut batch.processes, &process));
        batch.flows.push(record.flow);
    }
    if !gaps.is_empty() {
        if out.is_empty() {
            out.push(Batch::default());
        }
        if let Some(last) = out.last_mut() {
            last.gaps = gaps;
        }
    }
    out
}

/// Entries of a table that this agent writes: an event has at most 64 KiB.
const TABLE_OF_ONE: usize = 40;

fn index<T: Clone + PartialEq>(table: &mut Vec<T>, entry: &T) -> u16 {
    let at = table.iter().rposition(|e| e == entry).unwrap_or_else(|| {
        table.push(entry.clone());
        table.len() - 1
    });
    u16::try_from(at).unwrap_or(u16::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    pub(crate) fn flow() -> Flow {
        Flow {
            at: 1_663_146_003_606,
            nic: 0,
            direction: Direction::Outbound,
            source: "10.0.0.6".parse().unwrap(),
            destination: "52.239.184.180".parse().unwrap(),
            source_port: 23956,
            destination_port: 443,
            protocol: 6,
            state: State::End,
            rule: None,
            process: None,
            delta: Delta { packets_sent: 3, bytes_sent: 767, packets_received: 2, bytes_received: 1580 },
            count: 1,
        }
    }

    fn batch() -> Batch {
        let nic = Nic { interface: InterfaceName::new("eth0").unwrap(), mac: None };
        Batch { generation: 7, nics: vec![nic], flows: vec![flow()], ..Batch::default() }
    }

    #[test]
    fn a_flow_is_an_array_and_comes_back_as_it_was() {
        let data = Value::Object(batch().data());
        assert_eq!(
            data["flows"][0],
            json!([
                1_663_146_003_606_i64,
                0,
                "O",
                "10.0.0.6",
                "52.239.184.180",
                23956,
                443,
                6,
                "E",
                null,
                null,
                3,
                767,
                2,
                1580,
                1
            ])
        );
        assert_eq!(Batch::read(&data), Ok(batch()));
    }

    #[test]
    fn what_points_nowhere_or_is_too_much_is_refused() {
        let bad: [fn(&mut Batch); 8] = [
            |b| b.flows[0].nic = 1,
            |b| b.flows[0].rule = Some(0),
            |b| b.flows[0].process = Some(9),
            |b| b.flows[0].source = "::1".parse().unwrap(),
            |b| b.flows[0].at = -1,
            |b| b.flows[0].at = MAX_AT + 1,
            |b| b.flows = vec![flow(); MAX_FLOWS + 1],
            |b| b.processes = vec![Process { exe: "x".repeat(MAX_TEXT + 1), ..Process::default() }],
        ];
        for spoil in bad {
            let mut batch = batch();
            spoil(&mut batch);
            assert_eq!(Batch::read(&Value::Object(batch.data())), Err(BatchError));
        }
        assert_eq!(Batch::read(&json!({"flows": 1})), Err(BatchError));
    }

    proptest! {
        #[test]
        fn batches_keep_every_record_with_what_it_names_and_each_fits_into_an_event(
            kinds in prop::collection::vec((0_u64..3, 0_u32..200, prop::option::of(0_u32..60)), 0..1500),
        ) {
            let records: Vec<Record> = kinds.iter().map(|(generation, process, rule)| Record {
                generation: *generation,
                nic: Arc::new(batch().nics[0].clone()),
                rule: rule.map(|n| Arc::new(DecidingRule {
                    nsg: "/n".to_owned(), name: n.to_string(), is_default: false, access: Access::Allow,
                })),
                process: Some(Arc::new(Process { pid: *process, exe: "/usr/bin/program".to_owned(), ..Process::default() })),
                flow: flow(),
            }).collect();
            let (mut told, mut again) = (Vec::new(), Vec::new());
            for batch in batches(records.clone(), Vec::new()) {
                let data = Value::Object(batch.data());
                prop_assert!(data.to_string().len() <= 64 << 10);
                let batch = Batch::read(&data).unwrap();
                again.extend(batch.records());
                for f in &batch.flows {
                    let rule = f.rule.map(|r| batch.rules[usize::from(r)].name.parse().unwrap());
                    told.push((batch.generation, batch.processes[usize::from(f.process.unwrap())].pid, rule));
                }
            }
            prop_assert_eq!(told, kinds);
            // Taken out again, they name what they named.
            let named = |r: &Record| (r.generation, r.nic.clone(), r.rule.clone(), r.process.clone());
            prop_assert_eq!(again.iter().map(named).collect::<Vec<_>>(), records.iter().map(named).collect::<Vec<_>>());
        }
    }
}
