//! The digests of a segment's pages: by them a reader that fetches a few pages of a file knows that these are what was written,
//! without the rest. They stand before the file's indexes and footer, in the tail, which the manifest vouches for.

use std::collections::BTreeSet;
use std::ops::Range;

use parquet::file::metadata::ParquetMetaData;
use ring::digest::{SHA256, digest};

/// Bytes that are kept of a SHA-256. To find something else with these takes 2^128 steps.
const KEPT: usize = 16;

/// Pages of columns with few values are smaller than what is kept of a digest: below so many bytes they share one.
const SMALL: u64 = 256;

type Digest = [u8; KEPT];

/// What comes before a file's tail, cut where pages, dictionaries and what columns know of their values begin and end.
pub(crate) struct Blocks {
    /// The first is 0.
    starts: Vec<u64>,
    /// Where the last of them ends.
    pub(crate) end: u64,
    digests: Vec<Digest>,
}

fn starts(metadata: &ParquetMetaData, end: u64) -> Vec<u64> {
    let mut all = BTreeSet::from([0]);
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let index = metadata.page_index_for_row_group(number);
        for (number, column) in group.columns().iter().enumerate() {
            let (start, length) = column.byte_range();
            all.extend([start, start.saturating_add(length)]);
            let place = |offset: i64| u64::try_from(offset).ok();
            all.extend(
                index.page_locations(number).into_iter().flatten().filter_map(|page| place(page.offset)),
            );
            let known = column.bloom_filter_offset().zip(column.bloom_filter_length());
            let known = known.map(|(offset, length)| [offset, offset.saturating_add(length.into())]);
            all.extend(known.into_iter().flatten().filter_map(place));
        }
    }
    let all: Vec<u64> = all.into_iter().filter(|start| *start < end).collect();
    let mut kept = Vec::<u64>::new();
    for (start, next) in all.iter().copied().zip(all.iter().copied().skip(1).chain([end])) {
        // Small ones share a block, but never with one that is not.
        if kept.last().is_none_or(|last| start - last >= SMALL || next - start >= SMALL) {
            kept.push(start);
        }
    }
    kept
}

fn digest_of(block: &[u8]) -> Digest {
    // SHA-256 has more.
    digest(&SHA256, block).as_ref().first_chunk().copied().unwrap_or_default()
}

impl Blocks {
    /// Those of a file's beginning.
    pub(crate) fn of(bytes: &[u8], metadata: &ParquetMetaData) -> Blocks {
        let end = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let mut blocks = Blocks { starts: starts(metadata, end), end, digests: Vec::new() };
        blocks.digests = blocks.each(0..end, bytes).map(digest_of).collect();
        blocks
    }

    /// Those before `end`, from what stands there. `None` when these are not all.
    pub(crate) fn parse(tail: &[u8], metadata: &ParquetMetaData, end: u64) -> Option<Blocks> {
        let starts = starts(metadata, end);
        let (digests, _) = tail.as_chunks();
        Some(Blocks { digests: digests.get(..starts.len())?.to_vec(), starts, end })
    }

    /// The digests, one after another.
    pub(crate) fn to_bytes(&self) -> &[u8] {
        self.digests.as_flattened()
    }

    /// The blocks that a range lies in.
    pub(crate) fn around(&self, range: &Range<u64>) -> Range<u64> {
        let before = self.starts.partition_point(|start| *start <= range.start);
        let start = before.checked_sub(1).and_then(|n| self.starts.get(n));
        let behind = self.starts.partition_point(|start| *start < range.end);
        start.copied().unwrap_or(0)..self.starts.get(behind).copied().unwrap_or(self.end)
    }

    /// Whether these are the bytes of some whole blocks.
    pub(crate) fn hold(&self, range: Range<u64>, bytes: &[u8]) -> bool {
        let first = self.starts.partition_point(|start| *start < range.start);
        let known = self.digests.iter().skip(first).copied();
        u64::try_from(bytes.len()) == Ok(range.end.saturating_sub(range.start))
            && self.each(range, bytes).zip(known).all(|(block, known)| digest_of(block) == known)
    }

    /// Each of the whole blocks of a range.
    fn each<'b>(&self, range: Range<u64>, bytes: &'b [u8]) -> impl Iterator<Item = &'b [u8]> {
        let first = self.starts.partition_point(|start| *start < range.start);
        let ends = self.starts.iter().copied().skip(first + 1).chain([self.end]);
        let mut rest = bytes;
        let mut from = range.start;
        ends.take_while(move |end| *end <= range.end).map(move |end| {
            let length = usize::try_from(end.saturating_sub(from)).unwrap_or(usize::MAX);
            let (block, behind) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            (rest, from) = (behind, end);
            block
        })
    }
}
