//! The newest output of a terminal, by sequence numbers: how many bytes came before.

use std::collections::VecDeque;

/// Bytes kept.
const KEPT: usize = 1 << 20;

/// The newest output.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    bytes: VecDeque<u8>,
    end: u64,
}

/// What there is from a number on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// The next bytes; none when there is nothing newer.
    Bytes(Vec<u8>),
    /// They are not kept any more.
    Gone,
}

impl Backlog {
    /// Adds output; the oldest beyond what is kept is forgotten.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.end += bytes.len() as u64;
        self.bytes.extend(&bytes[bytes.len().saturating_sub(KEPT)..]);
        let over = self.bytes.len().saturating_sub(KEPT);
        self.bytes.drain(..over);
    }

    /// The number of the next byte that comes.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The bytes from a number on, at most `most`. A number that has not come yet is answered as the newest.
    pub(super) fn since(&self, from: u64, most: usize) -> Since {
        let start = self.end - self.bytes.len() as u64;
        if from < start {
            return Since::Gone;
        }
        let skip = usize::try_from(from.min(self.end) - start).unwrap_or(usize::MAX);
        Since::Bytes(self.bytes.iter().skip(skip).take(most).copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_reads_on_from_where_they_were_has_every_byte_once_or_is_told_that_some_are_gone() {
        let mut backlog = Backlog::default();
        let all: Vec<u8> = (0..3 * KEPT).map(|n| (n % 251) as u8).collect();
        let (mut at, mut read) = (0, Vec::new());
        for part in all[..KEPT].chunks(4097) {
            backlog.push(part);
            while let Since::Bytes(bytes) = backlog.since(at, 1000) {
                if bytes.is_empty() {
                    break;
                }
                at += bytes.len() as u64;
                read.extend(bytes);
            }
        }
        assert!(read == all[..KEPT]);
        backlog.push(&all[KEPT..]);
        assert_eq!(backlog.since(at, 10), Since::Gone);
        let start = backlog.end() - KEPT as u64;
        assert_eq!(backlog.since(start, 10), Since::Bytes(all[2 * KEPT..2 * KEPT + 10].to_vec()));
        assert_eq!(backlog.since(u64::MAX, 10), Since::Bytes(Vec::new()));
    }
}
