//! The files of an agent's spool.

use std::fs;
use std::path::Path;

use sekisho_agent::spool::Spool;
use sekisho_link::stream::{Entry, Epoch, Stream};
use serde_json::Map;

const QUOTA: u64 = 64 << 10;
const HEAD: usize = 28;
const RECORD: usize = 16;

/// Whatever the files of a spool hold, it opens, what it sends is taken by the server and has no holes, and what is
/// appended comes out at the end.
///
/// The first byte says whether the boot is the same, whether there are two files, and whether checksums are put right,
/// without which nearly every file would be nothing but damage.
pub fn spool(data: &[u8]) {
    let [mode, content @ ..] = data else { return };
    let dir = crate::directory();
    let halves = if mode & 2 == 0 { (content, &[][..]) } else { content.split_at(content.len() / 2) };
    for (name, half) in [("000000000001.seg", halves.0), ("000000000002.seg", halves.1)] {
        let mut bytes = half.to_vec();
        if mode & 4 == 0 {
            seal(&mut bytes);
        }
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    fs::write(dir.path().join("boot"), if mode & 1 == 0 { "this" } else { "another" }).unwrap();
    fs::write(dir.path().join("acknowledged"), halves.1).unwrap();
    let mut spool = open(dir.path(), 77);
    drain(&spool);
    // Perhaps too large to be kept; but what is kept is taken.
    let pad = "x".repeat(content.len() * 251 % (70 << 10));
    let _ = spool.append(1, "test.large", Map::from_iter([("pad".to_owned(), pad.into())]));
    spool.append(1, "test.last", Map::new()).expect("nothing can be appended");
    spool.sync().unwrap();
    let sent = drain(&spool);
    assert!(
        matches!(sent.last(), Some(Entry::Event { kind, .. }) if kind == "test.last"),
        "{:?}",
        sent.last()
    );
    drop(spool);
    assert_eq!(drain(&open(dir.path(), 78)), sent, "a restart changes what is sent");
}

fn open(dir: &Path, epoch: u64) -> Spool {
    Spool::open(dir, Stream::Telemetry, QUOTA, "this", Epoch(epoch)).expect("a spool that does not open")
}

/// Everything there is to send, as the server would see it.
fn drain(spool: &Spool) -> Vec<Entry> {
    let (mut after, mut all) = (spool.start(), Vec::new());
    while let Some(batch) = spool.batch(after).expect("a spool that cannot be read") {
        let expected = if batch.epoch == after.0 { after.1 + 1 } else { 1 };
        assert_eq!(batch.first, expected, "a hole");
        after = (batch.epoch, batch.first - 1);
        for numbered in batch.numbered().expect("a batch that the server refuses") {
            after.1 = numbered.to;
            all.push(numbered.entry);
        }
    }
    all
}

/// Puts magic, checksums and lengths right.
fn seal(bytes: &mut [u8]) {
    if bytes.len() < HEAD {
        return;
    }
    bytes[..8].copy_from_slice(b"SKSPOOL1");
    let sum = crc32c::crc32c(&bytes[..HEAD - 4]);
    bytes[HEAD - 4..HEAD].copy_from_slice(&sum.to_le_bytes());
    let mut at = HEAD;
    while let Some(record) = bytes.get_mut(at..).filter(|r| r.len() >= RECORD) {
        let length = u32::from_le_bytes([record[0], record[1], record[2], record[3]]) as usize;
        let Some(covered) = record.get(8..RECORD + length) else { return };
        let sum = crc32c::crc32c(covered);
        record[4..8].copy_from_slice(&sum.to_le_bytes());
        at += RECORD + length;
    }
}
