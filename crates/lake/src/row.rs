//! An event as the lake keeps it, the table of events, and their two orders.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{Array as _, ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::file::properties::WriterPropertiesBuilder;
use sekisho_arm::Event;
use sekisho_store::{HotEvent, from_ms, to_ms};
use time::OffsetDateTime;

use crate::segment::{AT, MACHINE, Record, delta, instant, instants, known, texts};

/// One event and when it was received.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The event.
    pub event: Event,
    /// When the server received it, by the server's clock.
    pub received: OffsetDateTime,
}

impl From<HotEvent> for Row {
    fn from(hot: HotEvent) -> Self {
        Row { event: hot.event, received: hot.received }
    }
}

/// The order of answers: by time; what comes after makes it a total order.
pub(crate) type Key = (i64, String, String, String, i64);

impl Row {
    pub(crate) fn key(&self) -> Key {
        let e = &self.event;
        (to_ms(e.at), e.machine.clone(), e.stream.clone(), e.epoch.clone(), e.sequence)
    }
}

const STREAM: usize = 2;
const EPOCH: usize = 3;
const SEQUENCE: usize = 4;
const RECEIVED: usize = 5;
/// The column of kinds.
pub(crate) const KIND: usize = 6;
const DATA: usize = 7;

impl Record for Row {
    /// One machine's events lie together, by time.
    const SORTED: &'static [usize] = &[MACHINE, AT, STREAM, EPOCH, SEQUENCE];

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("machine", DataType::Utf8, false),
            Field::new("at", instant(), false),
            Field::new("stream", DataType::Utf8, false),
            Field::new("epoch", DataType::Utf8, false),
            Field::new("sequence", DataType::Int64, false),
            Field::new("received", instant(), false),
            Field::new("kind", DataType::Utf8, false),
            Field::new("data", DataType::Utf8, false),
        ]))
    }

    fn kept(properties: WriterPropertiesBuilder) -> WriterPropertiesBuilder {
        let properties = properties.set_column_dictionary_enabled("data".into(), false);
        known(delta(properties, &["sequence", "received"]), "kind")
    }

    fn machine(&self) -> &str {
        &self.event.machine
    }

    fn at(&self) -> i64 {
        to_ms(self.event.at)
    }

    fn order(&self, other: &Self) -> Ordering {
        fn place(row: &Row) -> (&str, i64, &str, &str, i64) {
            let e = &row.event;
            (&e.machine, to_ms(e.at), &e.stream, &e.epoch, e.sequence)
        }
        place(self).cmp(&place(other))
    }

    fn columns(rows: &[Self]) -> Vec<ArrayRef> {
        let text = |of: fn(&Event) -> &str| texts(rows.iter().map(move |r| of(&r.event)));
        vec![
            text(|e| &e.machine),
            instants(rows.iter().map(Record::at)),
            text(|e| &e.stream),
            text(|e| &e.epoch),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.event.sequence))),
            instants(rows.iter().map(|r| to_ms(r.received))),
            text(|e| &e.kind),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.event.data.to_string()))),
        ]
    }

    fn rows(batch: &RecordBatch) -> Option<Vec<Self>> {
        let column = |column: usize| batch.columns().get(column).filter(|array| array.null_count() == 0);
        let text = |n: usize| column(n).and_then(|array| array.as_string_opt::<i32>());
        let instant = |n: usize| column(n).and_then(|a| a.as_primitive_opt::<TimestampMillisecondType>());
        let (machines, streams, epochs, kinds) = (text(MACHINE)?, text(STREAM)?, text(EPOCH)?, text(KIND)?);
        let (at, received, data) = (instant(AT)?, instant(RECEIVED)?, text(DATA)?);
        let numbers = column(SEQUENCE)?.as_primitive_opt::<Int64Type>()?;
        let row = |row: usize| {
            let event = Event {
                machine: machines.value(row).to_owned(),
                stream: streams.value(row).to_owned(),
                epoch: epochs.value(row).to_owned(),
                sequence: numbers.value(row),
                at: from_ms(at.value(row)),
                kind: kinds.value(row).to_owned(),
                data: serde_json::from_str(data.value(row)).ok()?,
            };
            Some(Row { event, received: from_ms(received.value(row)) })
        };
        (0..batch.num_rows()).map(row).collect()
    }
}
