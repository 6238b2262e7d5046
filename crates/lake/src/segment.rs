//! The format of a segment: a Parquet file of records sorted by machine and time, with statistics and an index of its
//! pages, so that a reader fetches little more than what it asks for; and the reading of one. What columns there are beside
//! machine and time is the business of each [`Record`].

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{ArrayRef, BooleanArray, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow_schema::{ArrowError, DataType, SchemaRef, TimeUnit};
use futures_util::{FutureExt as _, TryStreamExt as _};
use object_store::ObjectStore;
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicate, ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, RowFilter, RowSelection,
    RowSelector,
};
use parquet::arrow::async_reader::{ParquetRecordBatchStream, ParquetRecordBatchStreamBuilder};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataWriter, SortingColumn};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::file::statistics::Statistics;
use parquet::file::writer::TrackedWrite;
use parquet::schema::types::ColumnPath;
use ring::digest::{SHA256, digest};
use sekisho_store::Segment;

use crate::LakeError;
use crate::blocks::Blocks;
use crate::file::{File, general, hex};
use crate::wanted::{Is, Machines, Term, Wanted};

/// Rows of a page: how finely a reader can choose.
const PAGE: usize = 2048;
/// Rows of a row group.
const GROUP: usize = 128 * 1024;
/// Rows that are encoded or decoded at once.
const BATCH: usize = 2048;

/// The first column of every segment.
pub(crate) const MACHINE: usize = 0;
/// The second.
pub(crate) const AT: usize = 1;

/// A row of a segment.
pub(crate) trait Record: Sized + Send {
    /// The columns by which rows are sorted, as [`Record::order`] does.
    const SORTED: &'static [usize];

    /// All columns; the first two are [`MACHINE`] and [`AT`].
    fn schema() -> SchemaRef;

    /// How the columns beside the first two are kept.
    fn kept(properties: WriterPropertiesBuilder) -> WriterPropertiesBuilder;

    /// The lower-cased id of its machine.
    fn machine(&self) -> &str;

    /// Milliseconds since 1970.
    fn at(&self) -> i64;

    /// The order within a segment.
    fn order(&self, other: &Self) -> Ordering;

    /// Rows as columns.
    fn columns(rows: &[Self]) -> Vec<ArrayRef>;

    /// Columns as rows. `None` when they are not what [`Record::columns`] makes.
    fn rows(batch: &RecordBatch) -> Option<Vec<Self>>;
}

/// The type of instants.
pub(crate) fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

/// A column of texts.
pub(crate) fn texts<'r>(values: impl Iterator<Item = &'r str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

/// A column of instants in milliseconds.
pub(crate) fn instants(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from_iter_values(values).with_timezone("UTC"))
}

fn properties<R: Record>() -> Result<WriterProperties, ParquetError> {
    let sorted = R::SORTED.iter().map(|column| SortingColumn {
        column_idx: i32::try_from(*column).unwrap_or(0),
        descending: false,
        nulls_first: false,
    });
    let properties = WriterProperties::builder()
        .set_created_by(concat!("sekisho-lake ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_max_row_group_row_count(Some(GROUP))
        .set_data_page_row_count_limit(PAGE)
        .set_write_batch_size(PAGE)
        .set_sorting_columns(Some(sorted.collect()))
        // Ids of machines begin alike: cut off after 64 bytes, as is the default, all would look the same.
        .set_column_index_truncate_length(None)
        .set_statistics_truncate_length(None);
    let properties = known(delta(properties, &["at"]), "machine");
    Ok(R::kept(properties).build())
}

/// Numbers that hardly repeat: whoever wants one page must read a dictionary whole, and these make a large one.
pub(crate) fn delta(mut properties: WriterPropertiesBuilder, columns: &[&str]) -> WriterPropertiesBuilder {
    for column in columns {
        properties = properties
            .set_column_dictionary_enabled((*column).into(), false)
            .set_column_encoding((*column).into(), Encoding::DELTA_BINARY_PACKED);
    }
    properties
}

/// A column whose row groups say, nearly always rightly, what is not among their values. What says so is as large as it must
/// be for the values that there are, of which every row may have another.
pub(crate) fn known(properties: WriterPropertiesBuilder, column: &str) -> WriterPropertiesBuilder {
    let column = ColumnPath::from(column);
    properties
        .set_column_bloom_filter_enabled(column.clone(), true)
        .set_column_bloom_filter_fpp(column.clone(), 0.01)
        .set_column_bloom_filter_max_ndv(column, u64::try_from(GROUP).unwrap_or(u64::MAX))
}

/// A segment's file before it is anywhere.
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    /// How many of them, at the end, are the digests of the pages, their indexes and the footer.
    pub(crate) tail: usize,
    /// SHA-256 of these in hex.
    pub(crate) digest: String,
    pub(crate) rows: i64,
    pub(crate) machines: (String, String),
    /// Milliseconds.
    pub(crate) at: (i64, i64),
}

/// Encodes rows that come in their order.
pub(crate) struct Encoder<R> {
    writer: ArrowWriter<Vec<u8>>,
    waiting: Vec<R>,
    rows: i64,
    machines: Option<(String, String)>,
    at: (i64, i64),
}

impl<R: Record> Encoder<R> {
    pub(crate) fn new() -> Result<Encoder<R>, ParquetError> {
        Ok(Encoder {
            writer: ArrowWriter::try_new(Vec::new(), R::schema(), Some(properties::<R>()?))?,
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

    pub(crate) fn push(&mut self, row: R) -> Result<(), ParquetError> {
        let at = row.at();
        self.at = (self.at.0.min(at), self.at.1.max(at));
        self.rows += 1;
        let machine = row.machine();
        match &mut self.machines {
            None => self.machines = Some((machine.to_owned(), machine.to_owned())),
            Some((_, last)) if last != machine => machine.clone_into(last),
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
        self.writer.write(&RecordBatch::try_new(R::schema(), R::columns(&rows))?)
    }

    pub(crate) fn finish(mut self) -> Result<Encoded, ParquetError> {
        self.encode()?;
        self.writer.flush()?;
        self.writer.sync()?;
        let begin = self.writer.inner().len();
        // Only now it says where its pages are.
        let metadata = self.writer.finish()?;
        let mut pages = std::mem::take(self.writer.inner_mut());
        pages.truncate(begin);
        let mut bytes = Vec::new();
        let mut written = TrackedWrite::new(&mut bytes);
        written.write_all(&pages)?;
        written.write_all(Blocks::of(&pages, &metadata).to_bytes())?;
        ParquetMetaDataWriter::new_with_tracked(written, &metadata).finish()?;
        let tail = bytes.get(begin..).unwrap_or_default();
        Ok(Encoded {
            tail: tail.len(),
            digest: hex(digest(&SHA256, tail).as_ref()),
            bytes,
            rows: self.rows,
            machines: self.machines.unwrap_or_default(),
            at: self.at,
        })
    }
}

/// Reads a segment's wanted rows in their order.
pub(crate) struct Reader<'s, R> {
    segment: &'s Segment,
    batches: ParquetRecordBatchStream<File>,
    rows: VecDeque<R>,
}

impl<'s, R: Record> Reader<'s, R> {
    /// Opens a segment.
    pub(crate) async fn open(
        objects: &Arc<dyn ObjectStore>,
        segment: &'s Segment,
        wanted: &Wanted,
    ) -> Result<Reader<'s, R>, LakeError> {
        let batches = guarded(segment, open(objects, segment, wanted, &R::schema())).await?;
        Ok(Reader { segment, batches, rows: VecDeque::new() })
    }

    /// The next row.
    pub(crate) async fn next(&mut self) -> Result<Option<R>, LakeError> {
        while self.rows.is_empty() {
            let Some(batch) = guarded(self.segment, self.batches.try_next()).await? else { return Ok(None) };
            let misfit = || unreadable(self.segment, "a column holds what was never written into it");
            self.rows = R::rows(&batch).ok_or_else(misfit)?.into();
        }
        Ok(self.rows.pop_front())
    }
}

/// The decoder may fail in any way, also by panicking, where a file is not what this program writes though the manifest vouches
/// for it.
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

async fn open(
    objects: &Arc<dyn ObjectStore>,
    segment: &Segment,
    wanted: &Wanted,
    schema: &SchemaRef,
) -> Result<ParquetRecordBatchStream<File>, ParquetError> {
    let file = File::open(objects, segment).await?;
    let metadata = file.metadata.clone();
    let arrow = ArrowReaderMetadata::try_new(metadata.clone(), ArrowReaderOptions::new())?;
    let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(file, arrow);
    if builder.schema().fields() != schema.fields() {
        return Err(general("it has other columns"));
    }
    let mut groups = Vec::new();
    let mut selected = Vec::new();
    for group in 0..metadata.num_row_groups() {
        let columns = metadata.row_group(group);
        let rows = usize::try_from(columns.num_rows()).map_err(|_| general("a negative number of rows"))?;
        let statistics = |column: usize| columns.columns().get(column).and_then(|c| c.statistics());
        let texts = |column: usize| statistics(column).and_then(|s| s.min_bytes_opt().zip(s.max_bytes_opt()));
        let (machines, at) = (texts(MACHINE), statistics(AT).and_then(times));
        let may = wanted.overlaps(machines, at) && wanted.single().all(|(column, is)| is.may(texts(column)));
        if !may || !known_in(&mut builder, group, wanted).await? {
            continue;
        }
        groups.push(group);
        selected.extend(pages(&metadata, group, rows, wanted)?);
    }
    let filter = predicates(&builder, wanted);
    builder
        .with_row_groups(groups)
        .with_row_selection(RowSelection::from(selected))
        .with_row_filter(RowFilter::new(filter))
        .with_batch_size(BATCH)
        .build()
}

fn times(statistics: &Statistics) -> Option<(i64, i64)> {
    match statistics {
        Statistics::Int64(values) => values.min_opt().copied().zip(values.max_opt().copied()),
        _ => None,
    }
}

/// Whether a row group can hold what is wanted, as far as its columns know their values.
async fn known_in(
    builder: &mut ParquetRecordBatchStreamBuilder<File>,
    group: usize,
    wanted: &Wanted,
) -> Result<bool, ParquetError> {
    let machine = match &wanted.machines {
        Machines::One(machine) => Some(Term { columns: &[MACHINE], is: Is::Text(vec![machine.clone()]) }),
        _ => None,
    };
    for Term { columns, is } in machine.iter().chain(&wanted.terms) {
        let mut may = false;
        for column in *columns {
            let filter = builder.get_row_group_column_bloom_filter(group, *column).await?;
            may |= filter.is_none_or(|filter| match is {
                Is::Text(any) => any.iter().any(|text| filter.check(&text.as_str())),
                // 16 bits are kept as 32.
                Is::Number(number) => filter.check(&i32::from(*number)),
                Is::AnyCase(_) => true,
            });
            if may {
                break;
            }
        }
        if !may {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What a row must satisfy; each of them reads its own columns, of the rows that the ones before have left.
fn predicates(
    builder: &ParquetRecordBatchStreamBuilder<File>,
    wanted: &Wanted,
) -> Vec<Box<dyn ArrowPredicate>> {
    let types = builder.parquet_schema();
    let (machines, at) = (wanted.machines.clone(), wanted.at);
    let misfit = || ArrowError::SchemaError("a column has another type".to_owned());
    let first = ArrowPredicateFn::new(ProjectionMask::leaves(types, [MACHINE, AT]), move |batch| {
        let machine = batch.column(0).as_string_opt::<i32>().ok_or_else(misfit)?;
        let instants = batch.column(1).as_primitive_opt::<TimestampMillisecondType>().ok_or_else(misfit)?;
        let matches = |row: usize| {
            let within = at.is_none_or(|(from, to)| (from..=to).contains(&instants.value(row)));
            Some(within && machines.contains(machine.value(row)))
        };
        Ok((0..batch.num_rows()).map(matches).collect::<BooleanArray>())
    });
    let mut all: Vec<Box<dyn ArrowPredicate>> = vec![Box::new(first)];
    for Term { columns, is } in &wanted.terms {
        let is = is.clone();
        let columns = ProjectionMask::leaves(types, columns.iter().copied());
        all.push(Box::new(ArrowPredicateFn::new(columns, move |batch| {
            let holds = |row: usize| -> Result<Option<bool>, ArrowError> {
                let mut any = false;
                for column in batch.columns() {
                    any |= is.holds(column.as_ref(), row).ok_or_else(misfit)?;
                }
                Ok(Some(any))
            };
            (0..batch.num_rows()).map(holds).collect::<Result<BooleanArray, _>>()
        })));
    }
    all
}

/// The rows of a row group that lie in pages which can hold wanted ones. Pages of different columns have different
/// borders; what counts are those of machine and time, and of columns that are spoken of alone.
fn pages(
    metadata: &ParquetMetaData,
    group: usize,
    rows: usize,
    wanted: &Wanted,
) -> Result<Vec<RowSelector>, ParquetError> {
    let index = metadata.page_index_for_row_group(group);
    let mut selection = RowSelection::from(vec![RowSelector::select(rows)]);
    let mut narrow = |column: usize, may: &dyn Fn(&ColumnIndexMetaData, usize) -> bool| {
        let (Some(bounds), Some(places)) = (index.column_index(column), index.page_locations(column)) else {
            return Ok(());
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
            selectors.push(if may(bounds, page) {
                RowSelector::select(length)
            } else {
                RowSelector::skip(length)
            });
        }
        if selectors.iter().map(|s| s.row_count).sum::<usize>() != rows {
            return Err(general("the index of its pages does not cover its rows"));
        }
        selection = selection.intersection(&RowSelection::from(selectors));
        Ok(())
    };
    narrow(MACHINE, &|bounds, page| wanted.overlaps(texts_of(bounds, page), None))?;
    narrow(AT, &|bounds, page| {
        let ColumnIndexMetaData::INT64(b) = bounds else { return true };
        wanted.overlaps(None, b.min_value(page).copied().zip(b.max_value(page).copied()))
    })?;
    for (column, is) in wanted.single() {
        narrow(column, &|bounds, page| is.may(texts_of(bounds, page)))?;
    }
    Ok(selection.iter().copied().collect())
}

/// The first and the last text of a page.
fn texts_of(bounds: &ColumnIndexMetaData, page: usize) -> Option<(&[u8], &[u8])> {
    match bounds {
        ColumnIndexMetaData::BYTE_ARRAY(texts) => texts.min_value(page).zip(texts.max_value(page)),
        _ => None,
    }
}
