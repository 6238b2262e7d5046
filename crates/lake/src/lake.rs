//! What is done to the lake: flushing, compacting, retaining, sweeping, and answering.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};
use sekisho_store::{DAY, Hot, HotEvent, Segment, Store, Swap, from_ms, to_ms};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::flow::{self, FlowRow};
use crate::query::{Best, Order, instants};
use crate::row::Row;
use crate::segment::{Encoded, Encoder, Reader, Record, storage};
use crate::wanted::Wanted;
use crate::{LakeError, Page, Query};

/// Hot events that are taken into memory at once.
const TAKE: i64 = 10_000;
/// With this many hot events they are flushed, however young they are.
const MANY: i64 = 50_000;
/// The longest a hot event waits.
const WAIT: Duration = Duration::hours(1);
/// About the largest file in bytes; a day of more than that becomes several.
const LARGEST: usize = 64 << 20;
/// A file that is not in the manifest may be one whose writer is just about to put it there.
const ORPHAN: Duration = Duration::hours(1);
/// Flows that are taken into memory at once, if one event does not bring more.
const FLOWS: usize = 200_000;
/// The folders of all segments: of events, by their streams, and of flows.
const ROOTS: [&str; 2] = ["events", "flows"];

/// How many days events are kept, by the UTC day of their receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Of streams that are not named.
    pub days: u32,
    /// Of these streams; flows are one of their own, by the kind of the events in which they came.
    pub streams: BTreeMap<String, u32>,
}

/// The lake; clones share it. Several servers may work on the same one when they share database and place.
#[derive(Clone)]
pub struct Lake {
    pub(crate) store: Store,
    pub(crate) objects: Arc<dyn ObjectStore>,
}

impl Lake {
    /// A lake whose manifest and hot events are in `store` and whose segments are in `objects`, as [`Place::open`]
    /// gives them. An object that was acknowledged must survive.
    ///
    /// [`Place::open`]: crate::Place::open
    pub fn on(store: Store, objects: Arc<dyn ObjectStore>) -> Lake {
        Lake { store, objects }
    }

    /// Whether hot events have waited for long, or are many.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn due(&self, now: OffsetDateTime) -> Result<bool, LakeError> {
        let mut read = self.store.read().await?;
        let oldest = read.hot_events(i64::MIN, 1).await?.into_iter().next();
        let Some(oldest) = oldest else { return Ok(false) };
        Ok(now - oldest.received >= WAIT || read.count_hot_events().await? >= MANY)
    }

    /// Writes all hot events into segments; returns how many there were.
    ///
    /// # Errors
    /// Those of database and storage. What was flushed before stays so, and nothing is lost.
    pub async fn flush(&self) -> Result<u64, LakeError> {
        let (mut flushed, mut after) = (0, i64::MIN);
        loop {
            let hot = self.store.read().await?.hot_events(after, TAKE).await?;
            let Some(last) = hot.last() else { return Ok(flushed) };
            after = last.arrival;
            let mut parts = BTreeMap::<(String, i64), Vec<HotEvent>>::new();
            for event in hot {
                let part = (event.event.stream.clone(), day(event.received));
                parts.entry(part).or_default().push(event);
            }
            for ((stream, day), events) in parts {
                flushed += self.flush_part(stream, day, events).await?;
            }
        }
    }

    /// Writes what came by one stream on one day, in the order of its arrival.
    async fn flush_part(&self, stream: String, day: i64, events: Vec<HotEvent>) -> Result<u64, LakeError> {
        let (mut flushed, mut part) = (0, Part::default());
        for event in events {
            part.take(event);
            if part.flows.len() >= FLOWS {
                flushed += self.flush_few(&stream, day, std::mem::take(&mut part)).await?;
            }
        }
        Ok(flushed + self.flush_few(&stream, day, part).await?)
    }

    async fn flush_few(&self, stream: &str, day: i64, part: Part) -> Result<u64, LakeError> {
        let Some((first, last)) = part.arrivals else { return Ok(0) };
        let mut add = Vec::new();
        if !part.rows.is_empty() {
            add.push(self.put(stream, day, 0, encoded(part.rows)?).await?);
        }
        if !part.flows.is_empty() {
            add.push(self.put(flow::STREAM, day, 0, encoded(part.flows)?).await?);
        }
        let hot = Hot { stream: stream.to_owned(), day, arrivals: first..=last, rows: part.events };
        let swap = Swap { add, hot: Some(hot), remove: Vec::new() };
        Ok(if self.swap(swap).await? { part.events } else { 0 })
    }

    /// Makes one sorted segment (several, where the day is large) of the many of every day before today; returns how
    /// many segments went.
    ///
    /// # Errors
    /// Those of database and storage; a segment that is damaged is left as it is, and named.
    pub async fn compact(&self, now: OffsetDateTime) -> Result<u64, LakeError> {
        let mut days = BTreeMap::<(String, i64), Vec<Segment>>::new();
        for segment in self.store.read().await?.segments().await? {
            days.entry((segment.stream.clone(), segment.day)).or_default().push(segment);
        }
        let (mut gone, mut failed) = (0, None);
        for ((stream, of), segments) in days {
            if of >= day(now) || segments.len() < 2 || segments.iter().all(|s| s.level > 0) {
                continue;
            }
            let merged = if stream == flow::STREAM {
                self.merge::<FlowRow>(&stream, of, &segments).await
            } else {
                self.merge::<Row>(&stream, of, &segments).await
            };
            match merged {
                Ok(count) => gone += count,
                // One damaged day does not keep the others from being compacted.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(gone), Err)
    }

    async fn merge<R: Record>(&self, stream: &str, day: i64, segments: &[Segment]) -> Result<u64, LakeError> {
        let mut readers = Vec::with_capacity(segments.len());
        let mut heads = Vec::with_capacity(segments.len());
        for segment in segments {
            let mut reader = Reader::<R>::open(&self.objects, segment, &Wanted::default()).await?;
            heads.push(reader.next().await?);
            readers.push(reader);
        }
        let (mut add, mut encoder, mut read) = (Vec::new(), Encoder::<R>::new()?, 0);
        loop {
            let first = heads.iter().enumerate().filter_map(|(n, row)| Some((n, row.as_ref()?)));
            let Some((first, _)) = first.min_by(|a, b| a.1.order(b.1)) else { break };
            let (Some(head), Some(reader)) = (heads.get_mut(first), readers.get_mut(first)) else { break };
            if let Some(row) = std::mem::replace(head, reader.next().await?) {
                encoder.push(row)?;
                read += 1;
            }
            if encoder.size() >= LARGEST {
                let full = std::mem::replace(&mut encoder, Encoder::new()?);
                add.push(self.put(stream, day, 1, full.finish()?).await?);
            }
        }
        let last = encoder.finish()?;
        if last.rows > 0 {
            add.push(self.put(stream, day, 1, last).await?);
        }
        let promised: i64 = segments.iter().map(|s| s.rows).sum();
        if read != promised || add.iter().map(|s| s.rows).sum::<i64>() != promised {
            let segment = segments.iter().map(|s| s.path.as_str()).collect::<Vec<_>>().join(", ");
            let why = format!("{read} events were read instead of {promised}");
            return Err(LakeError::Unreadable { segment, why });
        }
        let swap = Swap { add, hot: None, remove: segments.iter().map(|s| s.id.clone()).collect() };
        if !self.swap(swap).await? {
            return Ok(0);
        }
        self.delete(segments.iter()).await?;
        Ok(u64::try_from(segments.len()).unwrap_or(u64::MAX))
    }

    /// Drops the segments of days that need no longer be kept; returns how many went.
    ///
    /// # Errors
    /// Those of database and storage.
    pub async fn retain(&self, now: OffsetDateTime, retention: &Retention) -> Result<u64, LakeError> {
        let past = |segment: &Segment| {
            let days = retention.streams.get(&segment.stream).copied().unwrap_or(retention.days);
            segment.day < day(now) - i64::from(days)
        };
        let segments = self.store.read().await?.segments().await?;
        let past: Vec<Segment> = segments.into_iter().filter(past).collect();
        if past.is_empty() {
            return Ok(0);
        }
        let remove = past.iter().map(|s| s.id.clone()).collect();
        if !self.swap(Swap { remove, ..Swap::default() }).await? {
            return Ok(0);
        }
        self.delete(past.iter()).await?;
        Ok(u64::try_from(past.len()).unwrap_or(u64::MAX))
    }

    /// Removes files that are not in the manifest and have not been for an hour; returns how many.
    ///
    /// # Errors
    /// Those of database and storage.
    pub async fn sweep(&self, now: OffsetDateTime) -> Result<u64, LakeError> {
        let old = to_ms(now - ORPHAN);
        let files = self.files().await?;
        // Read after the files: what has become part of the lake meanwhile is seen.
        let segments = self.store.read().await?.segments().await?;
        let known: BTreeSet<&str> = segments.iter().map(|s| s.path.as_str()).collect();
        let mut swept = 0;
        for file in files {
            if !known.contains(file.location.as_ref()) && file.last_modified.timestamp_millis() < old {
                tracing::info!(file = %file.location, "a file that is not part of the lake is removed");
                self.remove(&file.location).await?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// The segments whose files are missing or have another size than was written.
    ///
    /// # Errors
    /// Those of the database, and of a storage that does not answer at all.
    pub async fn check(&self) -> Result<Vec<LakeError>, LakeError> {
        let size =
            |file: ObjectMeta| (file.location.to_string(), i64::try_from(file.size).unwrap_or(i64::MAX));
        let sizes: BTreeMap<String, i64> = self.files().await?.into_iter().map(size).collect();
        let segments = self.store.read().await?.segments().await?;
        let wrong = |segment: Segment| match sizes.get(&segment.path) {
            Some(size) if *size == segment.bytes => None,
            Some(size) => {
                let why = format!("it has {size} bytes instead of {}", segment.bytes);
                Some(LakeError::Unreadable { segment: segment.path, why })
            }
            None => Some(LakeError::Missing(segment.path)),
        };
        Ok(segments.into_iter().filter_map(wrong).collect())
    }

    /// Answers a query.
    ///
    /// # Errors
    /// [`LakeError::Missing`] or [`LakeError::Unreadable`] when a segment that may hold part of the answer cannot be
    /// read: never a shorter answer instead.
    pub async fn query(&self, query: &Query) -> Result<Page, LakeError> {
        let mut missing = None;
        loop {
            match self.answer(query).await {
                // Compacted or retained while it was read; the manifest of now does not name it any more.
                Err(LakeError::Missing(segment)) if missing.as_ref() != Some(&segment) => {
                    missing = Some(segment);
                }
                answer => return answer,
            }
        }
    }

    async fn answer(&self, query: &Query) -> Result<Page, LakeError> {
        let mut best = Best::new(query);
        // Both in one transaction: an event is in the one or in the other.
        let mut read = self.store.read().await?;
        let at = instants(best.at());
        if at.start() <= at.end() {
            read.each_hot_event(query.machine.as_deref(), at, |hot| best.offer(hot.into())).await?;
        }
        let mut segments = read.segments().await?;
        drop(read);
        match query.order {
            Order::NewestFirst => segments.sort_by_key(|s| std::cmp::Reverse(s.at.1)),
            Order::OldestFirst => segments.sort_by_key(|s| s.at.0),
        }
        for segment in &segments {
            let Some(wanted) = best.wanted(segment) else { continue };
            let mut reader = Reader::<Row>::open(&self.objects, segment, &wanted).await?;
            while let Some(row) = reader.next().await? {
                best.offer(row);
            }
        }
        Ok(best.page())
    }

    /// All files, whether they are part of the lake or not.
    async fn files(&self) -> Result<Vec<ObjectMeta>, LakeError> {
        let mut all = Vec::new();
        for root in ROOTS {
            all.extend(self.objects.list(Some(&Path::from(root))).try_collect::<Vec<_>>().await?);
        }
        Ok(all)
    }

    /// Writes a file under its final name; only the manifest makes it part of the lake.
    async fn put(&self, stream: &str, day: i64, level: i64, encoded: Encoded) -> Result<Segment, LakeError> {
        let id = Uuid::now_v7().to_string();
        let date = from_ms(day * DAY).date().to_string();
        let file = format!("{id}.parquet");
        let [events, flows] = ROOTS;
        let path = if stream == flow::STREAM {
            Path::from_iter([flows, &date, &file])
        } else {
            Path::from_iter([events, stream, &date, &file])
        };
        let segment = Segment {
            id,
            stream: stream.to_owned(),
            day,
            level,
            machines: encoded.machines,
            at: (from_ms(encoded.at.0), from_ms(encoded.at.1)),
            rows: encoded.rows,
            bytes: i64::try_from(encoded.bytes.len()).unwrap_or(i64::MAX),
            path: path.to_string(),
            tail: Some(i64::try_from(encoded.tail).unwrap_or(i64::MAX)),
            digest: encoded.digest,
            made: OffsetDateTime::now_utc(),
        };
        let new = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        self.objects.put_opts(&path, PutPayload::from(encoded.bytes), new).await?;
        Ok(segment)
    }

    /// Changes the manifest; where somebody else was faster, the new files go at once.
    async fn swap(&self, swap: Swap) -> Result<bool, LakeError> {
        let new: Vec<Segment> = swap.add.clone();
        let done = self.store.swap(swap).await?;
        if !done {
            self.delete(new.iter()).await?;
        }
        Ok(done)
    }

    async fn delete(&self, segments: impl Iterator<Item = &Segment>) -> Result<(), LakeError> {
        for segment in segments {
            let path = Path::parse(&segment.path).map_err(|e| storage(segment, e.into()))?;
            self.remove(&path).await?;
        }
        Ok(())
    }

    async fn remove(&self, path: &Path) -> Result<(), LakeError> {
        match self.objects.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Hot events on their way into segments.
#[derive(Default)]
struct Part {
    /// The first and the last number of arrival.
    arrivals: Option<(i64, i64)>,
    events: u64,
    rows: Vec<Row>,
    flows: Vec<FlowRow>,
}

impl Part {
    /// Takes the next one.
    fn take(&mut self, event: HotEvent) {
        let first = self.arrivals.map_or(event.arrival, |(first, _)| first);
        self.arrivals = Some((first, event.arrival));
        self.events += 1;
        let (row, flows) = flow::divide(event.into());
        self.rows.extend(row);
        self.flows.extend(flows);
    }
}

fn encoded<R: Record>(mut rows: Vec<R>) -> Result<Encoded, LakeError> {
    rows.sort_by(Record::order);
    let mut encoder = Encoder::new()?;
    for row in rows {
        encoder.push(row)?;
    }
    Ok(encoder.finish()?)
}

fn day(at: OffsetDateTime) -> i64 {
    to_ms(at).div_euclid(DAY)
}
