//! Flows: what becomes of events that carry them, and the table in which they lie, a row for each record of a flow, so that
//! questions about flows read no more than the columns and pages that they are about, and other programs can ask, too.
//!
//! Agents send many flows in one event ([`record::Batch`]). As long as an event is hot it stays what it is; in a segment its
//! flows are rows of their own, and what else it says, the gaps, stays an event. What makes no sense stays one, too.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Int64Type, TimestampMillisecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, Int64Array, PrimitiveArray, RecordBatch, StringArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::file::properties::{EnabledStatistics, WriterPropertiesBuilder};
use sekisho_nsg::flow::filter::{Filter, decision};
use sekisho_nsg::flow::record::{Batch, DecidingRule, Delta, Flow, KIND, Nic, Process, Record, State};
use sekisho_nsg::policy::{Access, Direction, InterfaceName, MacAddress};
use sekisho_store::{from_ms, to_ms};
use time::OffsetDateTime;

use crate::row::Row;
use crate::segment::{self, AT, MACHINE, delta, instant, instants, known, texts};
use crate::wanted::{Is, Term};

/// What the manifest calls the stream of flows, whichever they came by. No machine's stream is called so.
pub(crate) const STREAM: &str = KIND;

/// Rows of a page.
const PAGE: usize = 8192;

/// One record of a flow, with the machine that told of it.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowRow {
    /// The machine, by its lower-cased id.
    pub machine: Arc<str>,
    /// What it told.
    pub record: Record,
    /// The event in which it came.
    pub origin: Origin,
    /// When the server received it, by the server's clock.
    pub received: OffsetDateTime,
}

/// Where a record comes from; no two have the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The stream.
    pub stream: Arc<str>,
    /// The stream's numbering.
    pub epoch: Arc<str>,
    /// The event's number.
    pub sequence: i64,
    /// The record's place in it.
    pub place: u16,
}

/// What an event stays, and the flows that it brings.
pub(crate) fn divide(mut row: Row) -> (Option<Row>, Vec<FlowRow>) {
    let event = &row.event;
    if event.kind != KIND {
        return (Some(row), Vec::new());
    }
    let Ok(batch) = Batch::read(&event.data) else { return (Some(row), Vec::new()) };
    let (machine, stream, epoch): (Arc<str>, Arc<str>, Arc<str>) =
        (event.machine.as_str().into(), event.stream.as_str().into(), event.epoch.as_str().into());
    let flows = (0..).zip(batch.records()).map(|(place, record)| FlowRow {
        machine: machine.clone(),
        record,
        origin: Origin { stream: stream.clone(), epoch: epoch.clone(), sequence: event.sequence, place },
        received: row.received,
    });
    let flows = flows.collect();
    if batch.gaps.is_empty() {
        return (None, flows);
    }
    let rest = Batch { generation: batch.generation, gaps: batch.gaps, ..Batch::default() };
    row.event.data = rest.data().into();
    (Some(row), flows)
}

const INTERFACE: usize = 2;
const MAC: usize = 3;
const DIRECTION: usize = 4;
const DECISION: usize = 5;
const STATE: usize = 6;
const PROTOCOL: usize = 7;
const SOURCE: usize = 8;
const SOURCE_PORT: usize = 9;
const DESTINATION: usize = 10;
const DESTINATION_PORT: usize = 11;
const GROUP: usize = 12;
const RULE: usize = 13;
const RULE_IS_DEFAULT: usize = 14;
const RULE_ACCESS: usize = 15;
const GENERATION: usize = 16;
const PROCESS: usize = 17;
const PROGRAM: usize = 18;
const PID: usize = 19;
const UNIT: usize = 20;
const USER: usize = 21;
const UID: usize = 22;
const PACKAGE: usize = 23;
const PACKETS_SENT: usize = 24;
const BYTES_SENT: usize = 25;
const PACKETS_RECEIVED: usize = 26;
const BYTES_RECEIVED: usize = 27;
const COUNT: usize = 28;
const EVENT_STREAM: usize = 29;
const EPOCH: usize = 30;
const SEQUENCE: usize = 31;
const PLACE: usize = 32;
const RECEIVED: usize = 33;

/// What a filter says of single columns.
pub(crate) fn terms(filter: &Filter) -> Vec<Term> {
    let text = |text: &str| Is::Text(vec![text.to_owned()]);
    let Filter { address, port, rule, process, access } = filter;
    let all = [
        access.map(|access| Term { columns: &[DECISION], is: text(access.as_str()) }),
        port.map(|port| Term { columns: &[DESTINATION_PORT], is: Is::Number(port) }),
        address.map(|a| Term { columns: &[SOURCE, DESTINATION], is: text(&a.to_string()) }),
        rule.clone().map(|rule| Term { columns: &[RULE], is: Is::AnyCase(rule) }),
        process.as_ref().map(|process| Term { columns: &[PROCESS], is: text(process) }),
    ];
    all.into_iter().flatten().collect()
}

impl segment::Record for FlowRow {
    /// One machine's flows lie together, by time.
    const SORTED: &'static [usize] = &[MACHINE, AT, EVENT_STREAM, EPOCH, SEQUENCE, PLACE];

    fn schema() -> SchemaRef {
        let always = |name: &str, kind: DataType| Field::new(name, kind, false);
        let maybe = |name: &str, kind: DataType| Field::new(name, kind, true);
        Arc::new(Schema::new(vec![
            always("machine", DataType::Utf8),
            always("at", instant()),
            always("interface", DataType::Utf8),
            maybe("mac", DataType::Utf8),
            always("direction", DataType::Utf8),
            always("decision", DataType::Utf8),
            always("state", DataType::Utf8),
            always("protocol", DataType::UInt8),
            always("source_address", DataType::Utf8),
            always("source_port", DataType::UInt16),
            always("destination_address", DataType::Utf8),
            always("destination_port", DataType::UInt16),
            maybe("security_group", DataType::Utf8),
            maybe("rule", DataType::Utf8),
            maybe("rule_is_default", DataType::Boolean),
            maybe("rule_access", DataType::Utf8),
            always("generation", DataType::UInt64),
            maybe("process", DataType::Utf8),
            maybe("program", DataType::Utf8),
            maybe("pid", DataType::UInt32),
            maybe("unit", DataType::Utf8),
            maybe("user", DataType::Utf8),
            maybe("uid", DataType::UInt32),
            maybe("package", DataType::Utf8),
            always("packets_sent", DataType::UInt64),
            always("bytes_sent", DataType::UInt64),
            always("packets_received", DataType::UInt64),
            always("bytes_received", DataType::UInt64),
            always("count", DataType::UInt64),
            always("stream", DataType::Utf8),
            always("epoch", DataType::Utf8),
            always("sequence", DataType::Int64),
            always("place", DataType::UInt16),
            always("received", instant()),
        ]))
    }

    fn kept(properties: WriterPropertiesBuilder) -> WriterPropertiesBuilder {
        // The index of pages is read whole, and these are many columns: with fewer and larger pages, and bounds only where
        // somebody looks at them, it is a hundredth of a file instead of a tenth.
        let properties = properties.set_data_page_row_count_limit(PAGE);
        let mut properties = properties.set_statistics_enabled(EnabledStatistics::Chunk);
        for column in ["machine", "at", "decision", "process"] {
            properties = properties.set_column_statistics_enabled(column.into(), EnabledStatistics::Page);
        }
        let properties = delta(properties, &["source_port", "sequence", "received"]);
        let properties = known(properties, "source_address");
        let properties = known(properties, "destination_address");
        known(properties, "destination_port")
    }

    fn machine(&self) -> &str {
        &self.machine
    }

    fn at(&self) -> i64 {
        self.record.flow.at
    }

    fn order(&self, other: &Self) -> Ordering {
        fn place(row: &FlowRow) -> (&str, i64, &Origin) {
            (&row.machine, row.record.flow.at, &row.origin)
        }
        place(self).cmp(&place(other))
    }

    fn columns(rows: &[Self]) -> Vec<ArrayRef> {
        let text = |of: fn(&FlowRow) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
        };
        let word = |of: fn(&FlowRow) -> &str| texts(rows.iter().map(of));
        let of_rule = |of: fn(&DecidingRule) -> &str| -> ArrayRef {
            Arc::new(rows.iter().map(|r| r.record.rule.as_deref().map(of)).collect::<StringArray>())
        };
        let of_process = |of: fn(&Process) -> Option<&str>| -> ArrayRef {
            Arc::new(rows.iter().map(|r| r.record.process.as_deref().and_then(of)).collect::<StringArray>())
        };
        let number = |of: fn(&Process) -> u32| -> ArrayRef {
            let of = |r: &FlowRow| r.record.process.as_deref().map(of);
            Arc::new(rows.iter().map(of).collect::<PrimitiveArray<UInt32Type>>())
        };
        vec![
            word(|r| &r.machine),
            instants(rows.iter().map(|r| r.record.flow.at)),
            word(|r| r.record.nic.interface.as_str()),
            Arc::new(rows.iter().map(|r| r.record.nic.mac.map(|m| m.to_string())).collect::<StringArray>()),
            word(|r| r.record.flow.direction.as_str()),
            word(|r| decision(r.record.flow.state).as_str()),
            word(|r| r.record.flow.state.letter()),
            numbers::<UInt8Type>(rows, |r| r.record.flow.protocol),
            text(|r| r.record.flow.source.to_string()),
            numbers::<UInt16Type>(rows, |r| r.record.flow.source_port),
            text(|r| r.record.flow.destination.to_string()),
            numbers::<UInt16Type>(rows, |r| r.record.flow.destination_port),
            of_rule(|rule| &rule.nsg),
            of_rule(|rule| &rule.name),
            Arc::new(
                rows.iter().map(|r| r.record.rule.as_ref().map(|r| r.is_default)).collect::<BooleanArray>(),
            ),
            of_rule(|rule| rule.access.as_str()),
            numbers::<UInt64Type>(rows, |r| r.record.generation),
            of_process(|p| Some(&p.name)),
            of_process(|p| Some(&p.exe)),
            number(|p| p.pid),
            of_process(|p| p.unit.as_deref()),
            of_process(|p| p.user.as_deref()),
            number(|p| p.uid),
            of_process(|p| p.package.as_deref()),
            numbers::<UInt64Type>(rows, |r| r.record.flow.delta.packets_sent),
            numbers::<UInt64Type>(rows, |r| r.record.flow.delta.bytes_sent),
            numbers::<UInt64Type>(rows, |r| r.record.flow.delta.packets_received),
            numbers::<UInt64Type>(rows, |r| r.record.flow.delta.bytes_received),
            numbers::<UInt64Type>(rows, |r| r.record.flow.count),
            word(|r| &r.origin.stream),
            word(|r| &r.origin.epoch),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.origin.sequence))),
            numbers::<UInt16Type>(rows, |r| r.origin.place),
            instants(rows.iter().map(|r| to_ms(r.received))),
        ]
    }

    fn rows(batch: &RecordBatch) -> Option<Vec<Self>> {
        let columns = Columns::of(batch)?;
        let mut known = Known::default();
        (0..batch.num_rows()).map(|row| columns.row(row, &mut known)).collect()
    }
}

fn numbers<T: ArrowPrimitiveType>(rows: &[FlowRow], of: fn(&FlowRow) -> T::Native) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::from_iter_values(rows.iter().map(of)))
}

/// A batch's columns, of the types that they must have.
struct Columns<'b> {
    texts: HashMap<usize, &'b StringArray>,
    at: &'b PrimitiveArray<TimestampMillisecondType>,
    received: &'b PrimitiveArray<TimestampMillisecondType>,
    protocol: &'b PrimitiveArray<UInt8Type>,
    shorts: [&'b PrimitiveArray<UInt16Type>; 3],
    words: [&'b PrimitiveArray<UInt32Type>; 2],
    longs: [&'b PrimitiveArray<UInt64Type>; 6],
    rule_is_default: &'b BooleanArray,
    sequence: &'b PrimitiveArray<Int64Type>,
}

/// What many rows name, kept once.
#[derive(Default)]
struct Known<'b> {
    texts: HashMap<&'b str, Arc<str>>,
    nics: HashMap<(&'b str, Option<&'b str>), Arc<Nic>>,
    rules: HashMap<(&'b str, &'b str, bool, &'b str), Arc<DecidingRule>>,
    processes: HashMap<ProcessKey<'b>, Arc<Process>>,
}

type ProcessKey<'b> = (&'b str, &'b str, u32, u32, [Option<&'b str>; 3]);

/// What is known by a key, made where it is not. `None` when it cannot be.
fn once<K: Hash + Eq, V: ?Sized>(
    known: &mut HashMap<K, Arc<V>>,
    key: K,
    make: impl FnOnce(&K) -> Option<Arc<V>>,
) -> Option<Arc<V>> {
    if let Some(value) = known.get(&key) {
        return Some(value.clone());
    }
    let value = make(&key)?;
    known.insert(key, value.clone());
    Some(value)
}

const TEXTS: [usize; 18] = [
    MACHINE,
    INTERFACE,
    MAC,
    DIRECTION,
    DECISION,
    STATE,
    SOURCE,
    DESTINATION,
    GROUP,
    RULE,
    RULE_ACCESS,
    PROCESS,
    PROGRAM,
    UNIT,
    USER,
    PACKAGE,
    EVENT_STREAM,
    EPOCH,
];

impl<'b> Columns<'b> {
    fn of(batch: &'b RecordBatch) -> Option<Self> {
        let column = |n: usize| batch.columns().get(n).map(AsRef::as_ref);
        let texts = TEXTS.iter().map(|n| Some((*n, column(*n)?.as_string_opt::<i32>()?)));
        fn primitive<T: ArrowPrimitiveType>(column: Option<&dyn Array>) -> Option<&PrimitiveArray<T>> {
            column?.as_primitive_opt::<T>()
        }
        let short = |n| primitive::<UInt16Type>(column(n));
        let word = |n| primitive::<UInt32Type>(column(n));
        let long = |n| primitive::<UInt64Type>(column(n));
        Some(Columns {
            texts: texts.collect::<Option<_>>()?,
            at: primitive(column(AT))?,
            received: primitive(column(RECEIVED))?,
            protocol: primitive(column(PROTOCOL))?,
            shorts: [short(SOURCE_PORT)?, short(DESTINATION_PORT)?, short(PLACE)?],
            words: [word(PID)?, word(UID)?],
            longs: [
                long(GENERATION)?,
                long(PACKETS_SENT)?,
                long(BYTES_SENT)?,
                long(PACKETS_RECEIVED)?,
                long(BYTES_RECEIVED)?,
                long(COUNT)?,
            ],
            rule_is_default: column(RULE_IS_DEFAULT)?.as_boolean_opt()?,
            sequence: primitive(column(SEQUENCE))?,
        })
    }

    /// The text of a column; nothing where there is none.
    fn text(&self, column: usize, row: usize) -> Option<&'b str> {
        let array = self.texts.get(&column)?;
        array.is_valid(row).then(|| array.value(row))
    }

    fn rule(&self, row: usize, known: &mut Known<'b>) -> Option<Option<Arc<DecidingRule>>> {
        let Some(name) = self.text(RULE, row) else { return Some(None) };
        let key =
            (self.text(GROUP, row)?, name, self.rule_is_default.value(row), self.text(RULE_ACCESS, row)?);
        let make = |(nsg, name, is_default, access): &(&str, &str, bool, &str)| {
            Some(Arc::new(DecidingRule {
                nsg: (*nsg).to_owned(),
                name: (*name).to_owned(),
                is_default: *is_default,
                access: Access::parse(access)?,
            }))
        };
        once(&mut known.rules, key, make).map(Some)
    }

    fn process(&self, row: usize, known: &mut Known<'b>) -> Option<Option<Arc<Process>>> {
        let Some(name) = self.text(PROCESS, row) else { return Some(None) };
        let [pids, uids] = self.words;
        let known_of = [USER, UNIT, PACKAGE].map(|column| self.text(column, row));
        let key = (name, self.text(PROGRAM, row)?, pids.value(row), uids.value(row), known_of);
        let make = |(name, exe, pid, uid, [user, unit, package]): &ProcessKey<'_>| {
            let owned = |text: &Option<&str>| text.map(str::to_owned);
            Some(Arc::new(Process {
                pid: *pid,
                name: (*name).to_owned(),
                exe: (*exe).to_owned(),
                uid: *uid,
                user: owned(user),
                unit: owned(unit),
                package: owned(package),
            }))
        };
        once(&mut known.processes, key, make).map(Some)
    }

    fn nic(&self, row: usize, known: &mut Known<'b>) -> Option<Arc<Nic>> {
        let key = (self.text(INTERFACE, row)?, self.text(MAC, row));
        once(&mut known.nics, key, |(interface, mac)| {
            let mac = mac.map(MacAddress::parse).transpose().ok()?;
            Some(Arc::new(Nic { interface: InterfaceName::new(*interface).ok()?, mac }))
        })
    }

    fn row(&self, row: usize, known: &mut Known<'b>) -> Option<FlowRow> {
        let mut shared = |column: usize| {
            let text = self.text(column, row)?;
            once(&mut known.texts, text, |text| Some((*text).into()))
        };
        let (machine, stream, epoch) = (shared(MACHINE)?, shared(EVENT_STREAM)?, shared(EPOCH)?);
        let [source_port, destination_port, place] = self.shorts.map(|column| column.value(row));
        let [generation, packets_sent, bytes_sent, packets_received, bytes_received, count] =
            self.longs.map(|column| column.value(row));
        let flow = Flow {
            at: self.at.value(row),
            nic: 0,
            direction: Direction::parse(self.text(DIRECTION, row)?)?,
            source: self.text(SOURCE, row)?.parse().ok()?,
            destination: self.text(DESTINATION, row)?.parse().ok()?,
            source_port,
            destination_port,
            protocol: self.protocol.value(row),
            state: State::parse(self.text(STATE, row)?)?,
            rule: None,
            process: None,
            delta: Delta { packets_sent, bytes_sent, packets_received, bytes_received },
            count,
        };
        // What is asked by it was decided by it.
        if self.text(DECISION, row)? != decision(flow.state).as_str() {
            return None;
        }
        Some(FlowRow {
            machine,
            record: Record {
                generation,
                nic: self.nic(row, known)?,
                rule: self.rule(row, known)?,
                process: self.process(row, known)?,
                flow,
            },
            origin: Origin { stream, epoch, sequence: self.sequence.value(row), place },
            received: from_ms(self.received.value(row)),
        })
    }
}
