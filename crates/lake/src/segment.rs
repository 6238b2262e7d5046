//! The format of a segment: a Parquet file of events sorted by machine and time, with statistics and an index of its
//! pages, so that a reader fetches little more than what it asks for; and the reading of one, which believes nothing.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use futures_util::{FutureExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderOptions, RowFilter, RowSelection, RowSelector,
};
use parquet::arrow::async_reader::{ParquetRecordBatchStream, ParquetRecordBatchStreamBuilder};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, SortingColumn};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::properties::WriterProperties;
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnPath;
use ring::digest::{Context, SHA256, digest};
use sekisho_arm::Event;
use sekisho_store::{Segment, from_ms, to_ms};

use crate::LakeError;
use crate::file::{File, external};
use crate::row::Row;

/// Rows of a page: how finely a reader can choose.
const PAGE: usize = 2048;
/// Rows of a row group.
const GROUP: usize = 128 * 1024;
/// Rows that are encoded or decoded at once.
const BATCH: usize = 2048;

const MACHINE: usize = 0;
const AT: usize = 1;
const STREAM: usize = 2;
const EPOCH: usize = 3;
const SEQUENCE: usize = 4;
const RECEIVED: usize = 5;
const KIND: usize = 6;
const DATA: usize = 7;

fn schema() -> SchemaRef {
    let instant = || DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
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

fn properties() -> Result<WriterProperties, ParquetError> {
    let machine = || ColumnPath::from("machine");
    let sorted = [MACHINE, AT, STREAM, EPOCH, SEQUENCE].map(|column| SortingColumn {
        column_idx: i32::try_from(column).unwrap_or(0),
        descending: false,
        nulls_first: false,
    });
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("sekisho-lake ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_max_row_group_row_count(Some(GROUP))
        .set_data_page_row_count_limit(PAGE)
        .set_write_batch_size(PAGE)
        .set_sorting_columns(Some(sorted.to_vec()))
        // Ids of machines begin alike: cut off after 64 bytes, as is the default, all would look the same.
        .set_column_index_truncate_length(None)
        .set_statistics_truncate_length(None)
        .set_column_bloom_filter_enabled(machine(), true)
        .set_column_bloom_filter_fpp(machine(), 0.01)
        .set_column_bloom_filter_max_ndv(machine(), 10_000)
        .set_column_dictionary_enabled(ColumnPath::from("data"), false);
    // Whoever wants one page must read a dictionary whole, and numbers that hardly repeat make a large one.
    for column in ["at", "sequence", "received"] {
        properties = properties
            .set_column_dictionary_enabled(column.into(), false)
            .set_column_encoding(column.into(), Encoding::DELTA_BINARY_PACKED);
    }
    Ok(properties.build())
}

/// A segment's file before it is anywhere.
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: String,
    pub(crate) rows: i64,
    pub(crate) machines: (String, String),
    /// Milliseconds.
    pub(crate) at: (i64, i64),
}

/// Encodes rows that come in the order of [`Row::place`].
pub(crate) struct Encoder {
    writer: ArrowWriter<Vec<u8>>,
    waiting: Vec<Row>,
    rows: i64,
    machines: Option<(String, String)>,
    at: (i64, i64),
}

impl Encoder {
    pub(crate) fn new() -> Result<Encoder, ParquetError> {
        Ok(Encoder {
            writer: ArrowWriter::try_new(Vec::new(), schema(), Some(properties()?))?,
            waiting: Vec::with_capacity(BATCH),
            rows: 0,
            machines: None,
            at: (i64::MAX, i64::MIN),
        })
    }

    /// About how large the file is by now.
    pub(crate) fn size(&self) -> usize {
        self.writer.bytes_written() + self.writer.in_progress_size()
    }

    pub(crate) fn push(&mut self, row: Row) -> Result<(), ParquetError> {
        let at = to_ms(row.event.at);
        self.at = (self.at.0.min(at), self.at.1.max(at));
        self.rows += 1;
        let machine = &row.event.machine;
        match &mut self.machines {
            None => self.machines = Some((machine.clone(), machine.clone())),
            Some((_, last)) if last != machine => last.clone_from(machine),
            Some(_) => {}
        }
        self.waiting.push(row);
        if self.waiting.len() == BATCH { self.encode() } else { Ok(()) }
    }

    fn encode(&mut self) -> Result<(), ParquetError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.waiting);
        let text = |of: fn(&Event) -> &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(rows.iter().map(|r| of(&r.event))))
        };
        let instants = |of: fn(&Row) -> i64| -> ArrayRef {
            let values = TimestampMillisecondArray::from_iter_values(rows.iter().map(of));
            Arc::new(values.with_timezone("UTC"))
        };
        let data = rows.iter().map(|r| r.event.data.to_string());
        let columns = vec![
            text(|e| &e.machine),
            instants(|r| to_ms(r.event.at)),
            text(|e| &e.stream),
            text(|e| &e.epoch),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.event.sequence))),
            instants(|r| to_ms(r.received)),
            text(|e| &e.kind),
            Arc::new(StringArray::from_iter_values(data)),
        ];
        self.writer.write(&RecordBatch::try_new(schema(), columns)?)
    }

    pub(crate) fn finish(mut self) -> Result<Encoded, ParquetError> {
        self.encode()?;
        let bytes = self.writer.into_inner()?;
        Ok(Encoded {
            digest: hex(digest(&SHA256, &bytes).as_ref()),
            bytes,
            rows: self.rows,
            machines: self.machines.unwrap_or_default(),
            at: self.at,
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Which rows of a segment are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// Of one machine, by its lower-cased id.
    pub(crate) machine: Option<String>,
    /// Not before and not after, in milliseconds.
    pub(crate) at: Option<(i64, i64)>,
    /// Of these kinds; of all when there are none.
    pub(crate) kinds: Vec<String>,
}

impl Wanted {
    /// Whether rows between these bounds can be wanted. A bound that is not known excludes nothing.
    fn overlaps(&self, machines: Option<(&[u8], &[u8])>, at: Option<(i64, i64)>) -> bool {
        let machine = self.machine.as_ref().map(String::as_bytes);
        machine.zip(machines).is_none_or(|(wanted, (low, high))| low <= wanted && wanted <= high)
            && self.at.zip(at).is_none_or(|((from, to), (low, high))| low <= to && from <= high)
    }
}

/// Reads a segment's wanted rows in the order of [`Row::place`].
pub(crate) struct Reader<'s> {
    segment: &'s Segment,
    batches: ParquetRecordBatchStream<File>,
    rows: VecDeque<Row>,
}

impl<'s> Reader<'s> {
    /// Opens a segment.
    pub(crate) async fn open(
        objects: &Arc<dyn ObjectStore>,
        segment: &'s Segment,
        wanted: &Wanted,
    ) -> Result<Reader<'s>, LakeError> {
        let batches = guarded(segment, open(objects, segment, wanted)).await?;
        Ok(Reader { segment, batches, rows: VecDeque::new() })
    }

    /// The next row.
    pub(crate) async fn next(&mut self) -> Result<Option<Row>, LakeError> {
        while self.rows.is_empty() {
            let Some(batch) = guarded(self.segment, self.batches.try_next()).await? else { return Ok(None) };
            self.rows = rows(self.segment, &batch)?;
        }
        Ok(self.rows.pop_front())
    }
}

/// A file that is not what was written can make the decoder fail in any way, also by panicking.
async fn guarded<T>(
    segment: &Segment,
    work: impl Future<Output = Result<T, ParquetError>>,
) -> Result<T, LakeError> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(failed(segment, error)),
        Err(_) => Err(unreadable(segment, "its content makes no sense")),
    }
}

fn failed(segment: &Segment, error: ParquetError) -> LakeError {
    match error {
        ParquetError::External(cause) => match cause.downcast::<object_store::Error>() {
            Ok(error) => storage(segment, *error),
            Err(cause) => unreadable(segment, &cause.to_string()),
        },
        error => unreadable(segment, &error.to_string()),
    }
}

/// What the storage says about a segment's file.
pub(crate) fn storage(segment: &Segment, error: object_store::Error) -> LakeError {
    match error {
        object_store::Error::NotFound { .. } => LakeError::Missing(segment.path.clone()),
        error => error.into(),
    }
}

fn unreadable(segment: &Segment, why: &str) -> LakeError {
    LakeError::Unreadable { segment: segment.path.clone(), why: why.to_owned() }
}

fn general(why: &str) -> ParquetError {
    ParquetError::General(why.to_owned())
}

async fn open(
    objects: &Arc<dyn ObjectStore>,
    segment: &Segment,
    wanted: &Wanted,
) -> Result<ParquetRecordBatchStream<File>, ParquetError> {
    let path = Path::parse(&segment.path).map_err(|e| general(&e.to_string()))?;
    let size = objects.head(&path).await.map_err(external)?.size;
    if i64::try_from(size) != Ok(segment.bytes) {
        return Err(general(&format!("it has {size} bytes instead of {}", segment.bytes)));
    }
    let file = File { objects: objects.clone(), path, size };
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let mut builder = ParquetRecordBatchStreamBuilder::new_with_options(file, options).await?;
    if builder.schema().fields() != schema().fields() {
        return Err(general("it has other columns"));
    }
    let metadata = builder.metadata().clone();
    if metadata.file_metadata().num_rows() != segment.rows {
        return Err(general("it has another number of rows"));
    }
    let mut groups = Vec::new();
    let mut selected = Vec::new();
    for group in 0..metadata.num_row_groups() {
        let columns = metadata.row_group(group);
        let rows = usize::try_from(columns.num_rows()).map_err(|_| general("a negative number of rows"))?;
        let bounds = |column: usize| columns.columns().get(column).and_then(|c| c.statistics());
        let machines = bounds(MACHINE).and_then(|s| s.min_bytes_opt().zip(s.max_bytes_opt()));
        let at = bounds(AT).and_then(instants);
        if !wanted.overlaps(machines, at) {
            continue;
        }
        if let Some(machine) = &wanted.machine {
            let filter = builder.get_row_group_column_bloom_filter(group, MACHINE).await?;
            if filter.is_some_and(|f| !f.check(&machine.as_str())) {
                continue;
            }
        }
        groups.push(group);
        selected.extend(pages(&metadata, group, rows, wanted)?);
    }
    let types = builder.parquet_schema();
    let filter = ArrowPredicateFn::new(ProjectionMask::leaves(types, [MACHINE, AT, KIND]), {
        let wanted = wanted.clone();
        move |batch| matches(&wanted, &batch)
    });
    builder
        .with_row_groups(groups)
        .with_row_selection(RowSelection::from(selected))
        .with_row_filter(RowFilter::new(vec![Box::new(filter)]))
        .with_batch_size(BATCH)
        .build()
}

fn instants(statistics: &Statistics) -> Option<(i64, i64)> {
    match statistics {
        Statistics::Int64(values) => values.min_opt().copied().zip(values.max_opt().copied()),
        _ => None,
    }
}

/// The rows of a row group that lie in pages which can hold wanted ones. Pages of different columns have different
/// borders; what counts are those of machine and time.
fn pages(
    metadata: &ParquetMetaData,
    group: usize,
    rows: usize,
    wanted: &Wanted,
) -> Result<Vec<RowSelector>, ParquetError> {
    let index = metadata.page_index_for_row_group(group);
    let mut selection = RowSelection::from(vec![RowSelector::select(rows)]);
    for column in [MACHINE, AT] {
        let (Some(bounds), Some(places)) = (index.column_index(column), index.page_locations(column)) else {
            continue;
        };
        let mut selectors = Vec::with_capacity(places.len());
        for (page, place) in places.iter().enumerate() {
            let next = places.get(page + 1).map(|p| p.first_row_index);
            let first = usize::try_from(place.first_row_index).ok();
            let end = next.map_or(Some(rows), |n| usize::try_from(n).ok());
            let length = first
                .zip(end)
                .and_then(|(first, end)| end.checked_sub(first))
                .filter(|length| *length <= rows)
                .ok_or_else(|| general("the index of its pages makes no sense"))?;
            let may = match bounds {
                ColumnIndexMetaData::BYTE_ARRAY(b) if column == MACHINE => {
                    wanted.overlaps(b.min_value(page).zip(b.max_value(page)), None)
                }
                ColumnIndexMetaData::INT64(b) if column == AT => {
                    wanted.overlaps(None, b.min_value(page).copied().zip(b.max_value(page).copied()))
                }
                _ => true,
            };
            selectors.push(if may { RowSelector::select(length) } else { RowSelector::skip(length) });
        }
        if selectors.iter().map(|s| s.row_count).sum::<usize>() != rows {
            return Err(general("the index of its pages does not cover its rows"));
        }
        selection = selection.intersection(&RowSelection::from(selectors));
    }
    Ok(selection.iter().copied().collect())
}

fn matches(wanted: &Wanted, batch: &RecordBatch) -> Result<BooleanArray, ArrowError> {
    let misfit = || ArrowError::SchemaError("a column has another type".to_owned());
    let machines = batch.column(0).as_string_opt::<i32>().ok_or_else(misfit)?;
    let at = batch.column(1).as_primitive_opt::<TimestampMillisecondType>().ok_or_else(misfit)?;
    let kinds = batch.column(2).as_string_opt::<i32>().ok_or_else(misfit)?;
    Ok((0..batch.num_rows())
        .map(|row| {
            let matches = wanted.machine.as_ref().is_none_or(|m| m == machines.value(row))
                && wanted.at.is_none_or(|(from, to)| (from..=to).contains(&at.value(row)))
                && (wanted.kinds.is_empty() || wanted.kinds.iter().any(|k| k == kinds.value(row)));
            Some(matches)
        })
        .collect())
}

/// The rows of a batch; what does not fit to what the manifest says of the segment was not written by this program.
fn rows(segment: &Segment, batch: &RecordBatch) -> Result<VecDeque<Row>, LakeError> {
    let misfit = || unreadable(segment, "a column has another type");
    let text = |column: usize| {
        let array = batch.columns().get(column).and_then(|c| c.as_string_opt::<i32>());
        array.filter(|a| a.null_count() == 0).ok_or_else(misfit)
    };
    let instants = |column: usize| {
        let array =
            batch.columns().get(column).and_then(|c| c.as_primitive_opt::<TimestampMillisecondType>());
        array.filter(|a| a.null_count() == 0).ok_or_else(misfit)
    };
    let (machines, streams, epochs, kinds) = (text(MACHINE)?, text(STREAM)?, text(EPOCH)?, text(KIND)?);
    let (at, received, data) = (instants(AT)?, instants(RECEIVED)?, text(DATA)?);
    let numbers = batch.columns().get(SEQUENCE).and_then(|c| c.as_primitive_opt::<Int64Type>());
    let numbers = numbers.ok_or_else(misfit)?;
    let (low, high) = (segment.machines.0.as_str(), segment.machines.1.as_str());
    (0..batch.num_rows())
        .map(|row| {
            let event = Event {
                machine: machines.value(row).to_owned(),
                stream: streams.value(row).to_owned(),
                epoch: epochs.value(row).to_owned(),
                sequence: numbers.value(row),
                at: from_ms(at.value(row)),
                kind: kinds.value(row).to_owned(),
                data: serde_json::from_str(data.value(row))
                    .map_err(|e| unreadable(segment, &e.to_string()))?,
            };
            let fits = event.stream == segment.stream
                && (low..=high).contains(&event.machine.as_str())
                && segment.at.0 <= event.at
                && event.at <= segment.at.1;
            if !fits {
                return Err(unreadable(segment, "it holds what the manifest does not know of"));
            }
            Ok(Row { event, received: from_ms(received.value(row)) })
        })
        .collect()
}

/// Makes sure that a segment's file is, bit by bit, what was written.
pub(crate) async fn verify(objects: &Arc<dyn ObjectStore>, segment: &Segment) -> Result<(), LakeError> {
    let path = Path::parse(&segment.path).map_err(|e| unreadable(segment, &e.to_string()))?;
    let found = objects.get(&path).await.map_err(|e| storage(segment, e))?;
    let mut chunks = found.into_stream();
    let mut context = Context::new(&SHA256);
    while let Some(chunk) = chunks.try_next().await.map_err(|e| storage(segment, e))? {
        context.update(&chunk);
    }
    if hex(context.finish().as_ref()) == segment.digest {
        Ok(())
    } else {
        Err(unreadable(segment, "its content does not match its digest"))
    }
}
