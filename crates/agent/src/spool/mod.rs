//! What the machine has to tell and the server has not acknowledged yet, on disk: bounded, checksummed, there after
//! `kill -9` and after a day without a server.
//!
//! A stream is a directory of numbered files ([`segment`]). Events are appended to the last one; only what has been
//! synced is ever handed out, so that a number that was sent is never given to another event. Files whose every entry
//! is acknowledged are removed. When the quota is reached the oldest file becomes a gap that says what is lost.

mod segment;

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use segment::{Content, HEAD, Segment, head, parse, record, sync_dir};
use sekisho_link::stream::{BATCH_BYTES, Batch, Entry, Epoch, GapReason, MAX_ENTRIES, Numbered, Stream};

/// A file is closed at this length in bytes, or at a sixteenth of the quota.
const SEGMENT_BYTES: u64 = 1 << 20;

/// The spool of one stream.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    stream: Stream,
    /// Most bytes on disk.
    quota: u64,
    /// The oldest first; the last one is written to.
    segments: VecDeque<Segment>,
    /// The index in the name of the last file.
    index: u64,
    file: File,
    /// What the server has of the oldest epoch.
    acknowledged: u64,
    /// The last number that is durable in the last file.
    durable: u64,
}

impl Spool {
    /// Opens the spool in `dir`, making it where there is none. `boot` names the machine's boot: in another boot than the
    /// last one a new epoch begins. `epoch` is used when one begins.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub fn open(dir: &Path, stream: Stream, quota: u64, boot: &str, epoch: Epoch) -> io::Result<Spool> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut names: Vec<(u64, PathBuf)> = fs::read_dir(dir)?
            .filter_map(|entry| entry.ok().map(|e| e.path()))
            .filter_map(|path| {
                let index = path.file_name()?.to_str()?.strip_suffix(".seg")?.parse().ok()?;
                Some((index, path))
            })
            .collect();
        names.sort();
        let (mut segments, mut unreadable) = (VecDeque::new(), false);
        for (_, path) in &names {
            let bytes = fs::read(path)?;
            match parse(&bytes) {
                Some(content) => segments.push_back(Segment::of(path.clone(), &content)),
                None => {
                    // A file whose making was cut short holds nothing; any other had something to tell.
                    unreadable |= bytes.len() > HEAD;
                    fs::remove_file(path)?;
                }
            }
        }
        let same_boot = fs::read_to_string(dir.join("boot")).is_ok_and(|text| text == boot);
        let index = names.last().map_or(0, |(index, _)| *index);
        let reusable = segments.back().filter(|s| same_boot && !s.damaged && !s.only_gap);
        let mut spool = match reusable {
            Some(last) => {
                let file = OpenOptions::new().append(true).open(&last.path)?;
                // What a crashed process had written is not durable before this.
                file.sync_all()?;
                let durable = last.last;
                Spool { dir: dir.to_owned(), stream, quota, segments, index, file, acknowledged: 0, durable }
            }
            None => {
                let file = File::open(dir)?;
                let mut spool = Spool {
                    dir: dir.to_owned(),
                    stream,
                    quota,
                    segments,
                    index,
                    file,
                    acknowledged: 0,
                    durable: 0,
                };
                spool.begin(epoch, 1)?;
                spool.keep("boot", boot)?;
                spool
            }
        };
        if unreadable {
            // What it held is not known; one number says that something is lost.
            spool.skip(1, GapReason::Damaged)?;
            spool.sync()?;
        }
        let kept = fs::read_to_string(dir.join("acknowledged")).unwrap_or_default();
        if let Some((of, last)) = kept.split_once(' ')
            && spool.segments.front().is_some_and(|s| s.epoch.to_string() == of)
        {
            spool.acknowledged = last.trim().parse().unwrap_or(0);
        }
        Ok(spool)
    }

    /// Starts a new file.
    fn begin(&mut self, epoch: Epoch, first: u64) -> io::Result<()> {
        self.index += 1;
        let path = self.dir.join(format!("{:012}.seg", self.index));
        let mut file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(&path)?;
        file.write_all(&head(epoch, first))?;
        file.sync_all()?;
        sync_dir(&path)?;
        self.segments.push_back(Segment {
            path,
            epoch,
            first,
            last: first - 1,
            bytes: HEAD as u64,
            damaged: false,
            only_gap: false,
        });
        (self.file, self.durable) = (file, first - 1);
        Ok(())
    }

    fn keep(&self, name: &str, text: &str) -> io::Result<()> {
        let (path, fresh) = (self.dir.join(name), self.dir.join(format!("{name}.new")));
        fs::write(&fresh, text)?;
        fs::rename(fresh, path)
    }

    /// The stream.
    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// Appends an event of a kind, with its time in milliseconds since 1970. It is neither durable nor sent before
    /// [`Spool::sync`].
    ///
    /// # Errors
    /// When the disk does not take it; nothing was appended then.
    pub fn append(&mut self, at: i64, kind: &str, data: Map<String, Value>) -> io::Result<()> {
        self.write(1, &Entry::Event { at, kind: kind.to_owned(), data })
    }

    /// Says that events which should have been appended never can be.
    ///
    /// # Errors
    /// As [`Spool::append`].
    pub fn skip(&mut self, lost: u64, reason: GapReason) -> io::Result<()> {
        let to = self.segments.back().map_or(0, |s| s.last) + lost;
        self.write(lost, &Entry::Gap { to, reason })
    }

    /// Writes an entry that takes so many numbers.
    fn write(&mut self, numbers: u64, entry: &Entry) -> io::Result<()> {
        let Some(active) = self.segments.back() else { return Err(io::ErrorKind::NotFound.into()) };
        let (number, last) = (active.last + 1, active.last + numbers);
        let bytes = record(last, entry)?;
        let longest = SEGMENT_BYTES.min(self.quota / 16);
        if active.bytes + bytes.len() as u64 > longest && active.bytes > HEAD as u64 {
            self.sync()?;
            let epoch = self.epoch();
            self.begin(epoch, number)?;
        }
        self.make_room(bytes.len() as u64)?;
        if let Err(error) = self.file.write_all(&bytes) {
            // A part of it may be there.
            let length = self.segments.back().map_or(0, |s| s.bytes);
            self.file.set_len(length)?;
            return Err(error);
        }
        if let Some(active) = self.segments.back_mut() {
            active.last = last;
            active.bytes += bytes.len() as u64;
        }
        Ok(())
    }

    /// Makes durable what was appended.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&mut self) -> io::Result<()> {
        let last = self.segments.back().map_or(0, |s| s.last);
        if self.durable != last {
            self.file.sync_data()?;
            self.durable = last;
        }
        Ok(())
    }

    fn epoch(&self) -> Epoch {
        self.segments.back().map_or(Epoch(0), |s| s.epoch)
    }

    /// Turns the oldest files into gaps until `more` bytes fit.
    fn make_room(&mut self, more: u64) -> io::Result<()> {
        loop {
            let used: u64 = self.segments.iter().map(|s| s.bytes).sum();
            let victim = (0..self.segments.len().saturating_sub(1)).find(|i| !self.segments[*i].only_gap);
            let (true, Some(victim)) = (used + more > self.quota, victim) else { return Ok(()) };
            let last = self.end_of(victim);
            let before = victim.checked_sub(1).map(|i| &self.segments[i]);
            let joins = before.is_some_and(|b| b.epoch == self.segments[victim].epoch);
            if joins {
                self.segments[victim - 1].become_gap(last, GapReason::Overflow)?;
                if let Some(gone) = self.segments.remove(victim) {
                    fs::remove_file(gone.path)?;
                }
            } else {
                self.segments[victim].become_gap(last, GapReason::Overflow)?;
            }
        }
    }

    /// The last number that a file stands for: where the next one of its epoch begins, if there is one.
    fn end_of(&self, at: usize) -> u64 {
        let segment = &self.segments[at];
        match self.segments.get(at + 1).filter(|next| next.epoch == segment.epoch) {
            Some(next) => next.first - 1,
            // How much is lost of a damaged end is not known; one number says that something is.
            None => segment.last + u64::from(segment.damaged),
        }
    }

    /// Takes note of how far the server has got with each epoch, and forgets what it has.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn resume(&mut self, server: &BTreeMap<Epoch, u64>, fresh: Epoch) -> io::Result<()> {
        if server.get(&self.epoch()).is_some_and(|last| *last > self.durable) {
            // The server has numbers of this epoch that this disk never gave away: it cannot be continued.
            self.begin(fresh, 1)?;
        }
        if let Some(oldest) = self.segments.front().map(|s| s.epoch) {
            self.acknowledged = server.get(&oldest).copied().unwrap_or(0);
        }
        self.forget(server)
    }

    /// The server has everything of an epoch up to a number.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn acknowledge(&mut self, epoch: Epoch, upto: u64) -> io::Result<()> {
        if self.segments.front().is_some_and(|s| s.epoch == epoch) {
            self.acknowledged = self.acknowledged.max(upto);
        }
        self.forget(&BTreeMap::from([(epoch, upto)]))
    }

    fn forget(&mut self, server: &BTreeMap<Epoch, u64>) -> io::Result<()> {
        while self.segments.len() > 1 && self.acknowledged >= self.end_of(0) {
            let Some(done) = self.segments.pop_front() else { break };
            fs::remove_file(&done.path)?;
            if let Some(next) = self.segments.front().filter(|next| next.epoch != done.epoch) {
                self.acknowledged = server.get(&next.epoch).copied().unwrap_or(0);
            }
        }
        let Some(front) = self.segments.front() else { return Ok(()) };
        // Not synced: an older number only has entries sent again.
        self.keep("acknowledged", &format!("{} {}", front.epoch, self.acknowledged))
    }

    /// Where sending begins: the oldest epoch, and the last number of it that the server has.
    pub fn start(&self) -> (Epoch, u64) {
        (self.segments.front().map_or(Epoch(0), |s| s.epoch), self.acknowledged)
    }

    /// The next durable entries after a number of an epoch, or of the epoch that follows when that one is at its end;
    /// `None` when there is nothing.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn batch(&self, after: (Epoch, u64)) -> io::Result<Option<Batch>> {
        let (mut epoch, mut last) = after;
        for at in 0..self.segments.len() {
            let segment = &self.segments[at];
            if segment.epoch != epoch {
                // Files of an earlier epoch come first, so everything of `epoch` has been passed.
                let passed = self.segments.iter().take(at).any(|s| s.epoch == epoch)
                    || !self.segments.iter().any(|s| s.epoch == epoch);
                if !passed {
                    continue;
                }
                (epoch, last) = (segment.epoch, 0);
            }
            let active = at + 1 == self.segments.len();
            let end = if active { self.durable } else { self.end_of(at) };
            if end <= last {
                continue;
            }
            if segment.first > last + 1 {
                // What came before was acknowledged and is gone, and the server does not have it.
                let gap = Entry::Gap { to: segment.first - 1, reason: GapReason::Forgotten };
                return Ok(Some(Batch { stream: self.stream, epoch, first: last + 1, entries: vec![gap] }));
            }
            let content = parse(&fs::read(&segment.path)?);
            let entries = content.map_or_else(Vec::new, |c: Content| c.entries);
            return Ok(Some(cut(self.stream, epoch, last, end, entries)));
        }
        Ok(None)
    }
}

/// A batch of the entries after `last`, with a gap at the end where the file has less than it stands for.
fn cut(stream: Stream, epoch: Epoch, last: u64, end: u64, entries: Vec<Numbered>) -> Batch {
    let (mut out, mut bytes, mut at) = (Vec::new(), 0, last);
    for numbered in entries.into_iter().filter(|e| e.to > last && e.to <= end) {
        bytes += serde_json::to_string(&numbered.entry).map_or(0, |text| text.len());
        if !out.is_empty() && (bytes > BATCH_BYTES || out.len() == MAX_ENTRIES) {
            return Batch { stream, epoch, first: last + 1, entries: out };
        }
        at = numbered.to;
        out.push(numbered.entry);
    }
    if at < end && out.len() < MAX_ENTRIES {
        out.push(Entry::Gap { to: end, reason: GapReason::Damaged });
    }
    Batch { stream, epoch, first: last + 1, entries: out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const QUOTA: u64 = 64 << 10;

    fn open(dir: &Path, boot: &str, epoch: u64) -> Spool {
        Spool::open(dir, Stream::Telemetry, QUOTA, boot, Epoch(epoch)).unwrap()
    }

    fn fill(spool: &mut Spool, ids: std::ops::Range<u64>) {
        for id in ids {
            let data =
                Map::from_iter([("id".to_owned(), id.into()), ("pad".to_owned(), "x".repeat(500).into())]);
            spool.append(0, "test", data).unwrap();
        }
        spool.sync().unwrap();
    }

    /// Everything there is to send: ids in order, and how many numbers are gaps. Numbers must be without holes.
    fn drain(spool: &Spool) -> (Vec<u64>, u64) {
        let (mut ids, mut gaps) = (Vec::new(), 0);
        let mut after = spool.start();
        while let Some(batch) = spool.batch(after).unwrap() {
            let expected = if batch.epoch == after.0 { after.1 + 1 } else { 1 };
            assert_eq!(batch.first, expected, "a hole");
            after = (batch.epoch, batch.first - 1);
            for numbered in batch.numbered().unwrap() {
                after.1 = numbered.to;
                match numbered.entry {
                    Entry::Event { data, .. } => ids.push(data["id"].as_u64().unwrap()),
                    Entry::Gap { .. } => gaps += numbered.to - numbered.from + 1,
                }
            }
        }
        (ids, gaps)
    }

    #[test]
    fn what_was_kept_is_there_after_a_restart_and_gone_when_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = open(dir.path(), "boot", 1);
        fill(&mut spool, 0..40);
        drop(spool);
        let mut spool = open(dir.path(), "boot", 2);
        fill(&mut spool, 40..50);
        assert_eq!(drain(&spool), ((0..50).collect(), 0));
        spool.acknowledge(Epoch(1), 30).unwrap();
        assert_eq!(drain(&spool), ((30..50).collect(), 0));
        let spool = open(dir.path(), "boot", 3);
        assert_eq!(drain(&spool), ((30..50).collect(), 0), "how far it got is kept");
    }

    #[test]
    fn another_boot_begins_another_numbering_after_the_rest_of_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        fill(&mut open(dir.path(), "one", 1), 0..5);
        let mut spool = open(dir.path(), "two", 2);
        fill(&mut spool, 5..8);
        assert_eq!(drain(&spool), ((0..8).collect(), 0));
        spool.acknowledge(Epoch(1), 5).unwrap();
        assert_eq!(spool.start(), (Epoch(2), 0));
        assert_eq!(drain(&spool), ((5..8).collect(), 0));
    }

    #[test]
    fn a_day_without_a_server_stays_within_the_quota_and_says_what_it_lost() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = open(dir.path(), "boot", 1);
        fill(&mut spool, 0..2000);
        let bytes: u64 =
            fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
        assert!(bytes <= QUOTA + 4096, "{bytes} bytes");
        let (ids, gaps) = drain(&spool);
        assert_eq!(ids.len() as u64 + gaps, 2000);
        assert!(ids.len() > 50 && ids.last() == Some(&1999), "the newest are kept");
    }

    #[test]
    fn a_server_that_forgot_what_it_had_is_told_what_it_will_never_get_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = open(dir.path(), "boot", 1);
        fill(&mut spool, 0..100);
        spool.acknowledge(Epoch(1), 90).unwrap();
        spool.resume(&BTreeMap::from([(Epoch(1), 10)]), Epoch(9)).unwrap();
        let (ids, gaps) = drain(&spool);
        assert_eq!(ids.len() as u64 + gaps, 90);
        assert!(gaps > 0 && ids.contains(&99));
    }

    #[test]
    fn a_server_that_has_more_than_this_disk_ends_the_numbering() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = open(dir.path(), "boot", 1);
        fill(&mut spool, 0..3);
        spool.resume(&BTreeMap::from([(Epoch(1), 7)]), Epoch(9)).unwrap();
        fill(&mut spool, 3..5);
        assert_eq!(spool.start(), (Epoch(9), 0));
        assert_eq!(drain(&spool), (vec![3, 4], 0));
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_a_file_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400), headed in any::<bool>()) {
            if headed {
                bytes.splice(0..0, head(Epoch(1), 1));
            }
            parse(&bytes);
        }

        #[test]
        fn damage_anywhere_is_said_and_never_shifts_or_invents(at in any::<prop::sample::Index>(), bit in 0u8..8, file in any::<prop::sample::Index>()) {
            let dir = tempfile::tempdir().unwrap();
            fill(&mut open(dir.path(), "boot", 1), 0..60);
            let mut files: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
            files.retain(|p| p.extension().is_some_and(|e| e == "seg"));
            files.sort();
            let path = file.get(&files);
            let mut bytes = fs::read(path).unwrap();
            *at.get_mut(&mut bytes) ^= 1 << bit;
            fs::write(path, bytes).unwrap();
            let mut spool = open(dir.path(), "boot", 2);
            fill(&mut spool, 60..70);
            let (ids, gaps) = drain(&spool);
            prop_assert!(ids.windows(2).all(|w| w[0] < w[1]), "{ids:?}");
            prop_assert!(ids.iter().rev().take(10).rev().copied().eq(60..70), "new events are all there");
            prop_assert!(ids.len() == 70 || gaps > 0, "{} events and no word of the others", ids.len());
        }
    }
}
