//! A segment's file as the decoder reads it: bytes that were written, and no others.
//!
//! The manifest has the digest of the file's tail, and the tail those of all that is before it. So nothing that was changed
//! reaches the decoder, wherever it lies, and of a large file little more is read than what is asked for.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use ring::digest::{SHA256, digest};
use sekisho_store::Segment;

use crate::blocks::Blocks;

#[derive(Clone)]
pub(crate) struct File {
    objects: Arc<dyn ObjectStore>,
    path: Path,
    tail: Bytes,
    /// What comes before the tail.
    blocks: Arc<Blocks>,
    pub(crate) metadata: Arc<ParquetMetaData>,
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

pub(crate) fn general(why: &str) -> ParquetError {
    ParquetError::General(why.to_owned())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn changed() -> ParquetError {
    general("its content is not what was written")
}

impl File {
    pub(crate) async fn open(objects: &Arc<dyn ObjectStore>, segment: &Segment) -> Result<File> {
        let path = Path::parse(&segment.path).map_err(|e| general(&e.to_string()))?;
        let size = objects.head(&path).await.map_err(external)?.size;
        if i64::try_from(size) != Ok(segment.bytes) {
            return Err(general(&format!("it has {size} bytes instead of {}", segment.bytes)));
        }
        let tail = segment.tail.unwrap_or(segment.bytes);
        let begin =
            u64::try_from(segment.bytes - tail).ok().filter(|begin| *begin < size).ok_or_else(changed)?;
        let tail = objects.get_range(&path, begin..size).await.map_err(external)?;
        if hex(digest(&SHA256, &tail).as_ref()) != segment.digest {
            return Err(changed());
        }
        let mut reader = ParquetMetaDataReader::new()
            .with_offset_index_policy(PageIndexPolicy::Required)
            // Not every column has bounds of its pages.
            .with_column_index_policy(PageIndexPolicy::Optional);
        reader.try_parse_sized(&tail, size)?;
        let metadata = reader.finish()?;
        let blocks = Blocks::parse(&tail, &metadata, begin).ok_or_else(changed)?;
        Ok(File { objects: objects.clone(), path, tail, blocks: blocks.into(), metadata: metadata.into() })
    }

    /// The blocks that must be fetched for a range of the file, none if it lies in the tail.
    fn needed(&self, range: &Range<u64>) -> Result<Range<u64>> {
        let size = self.blocks.end.saturating_add(u64::try_from(self.tail.len())?);
        if range.start > range.end || size < range.end {
            return Err(general("it points outside of itself"));
        }
        let before = range.start.min(self.blocks.end)..range.end.min(self.blocks.end);
        Ok(if before.is_empty() { self.blocks.end..self.blocks.end } else { self.blocks.around(&before) })
    }

    /// A range out of the blocks that were fetched for it and the tail.
    fn cut(&self, range: &Range<u64>, needed: &Range<u64>, fetched: &Bytes) -> Result<Bytes> {
        if !self.blocks.hold(needed.clone(), fetched) {
            return Err(changed());
        }
        let place = |at: u64, from: u64| usize::try_from(at.saturating_sub(from));
        let of_blocks = fetched.slice(
            place(range.start, needed.start)?.min(fetched.len())
                ..place(range.end, needed.start)?.min(fetched.len()),
        );
        let end = self.blocks.end;
        if range.end <= end {
            return Ok(of_blocks);
        }
        let of_tail = self.tail.slice(place(range.start, end)?..place(range.end, end)?);
        if of_blocks.is_empty() {
            return Ok(of_tail);
        }
        let mut both = BytesMut::from(of_blocks);
        both.extend_from_slice(&of_tail);
        Ok(both.freeze())
    }

    async fn read(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let needed = ranges.iter().map(|range| self.needed(range)).collect::<Result<Vec<_>>>()?;
        let to_fetch: Vec<Range<u64>> = needed.iter().filter(|r| !r.is_empty()).cloned().collect();
        let mut fetched = self.objects.get_ranges(&self.path, &to_fetch).await.map_err(external)?.into_iter();
        let mut next = |needed: &Range<u64>| if needed.is_empty() { None } else { fetched.next() };
        let each = ranges.iter().zip(&needed);
        each.map(|(range, needed)| self.cut(range, needed, &next(needed).unwrap_or_default())).collect()
    }
}

impl AsyncFileReader for File {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        async move { self.read(&[range]).await?.pop().ok_or_else(changed) }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        async move { self.read(&ranges).await }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        let metadata = self.metadata.clone();
        async move { Ok(metadata) }.boxed()
    }
}
