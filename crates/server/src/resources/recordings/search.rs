//! Finding words in recordings: where, and how much of them one request may read.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use sekisho_bastion_recording::container::{Lane, Line};
use sekisho_bastion_recording::export::plain;
use sekisho_bastion_recording::verify::Recording;
use serde::Serialize;

/// Most places that are shown of one recording.
const MATCHES: usize = 20;
/// Characters around what was found.
const AROUND: usize = 80;
/// Bytes that one request reads, unpacked, after which it pauses; a recording that was begun is searched to its end.
pub(crate) const SEARCHED: u64 = 256 << 20;
/// How long one request searches.
const LONGEST: Duration = Duration::from_secs(5);

/// What a request may still read.
pub(super) struct Budget {
    began: Instant,
    bytes: u64,
}

impl Budget {
    pub(super) fn of(bytes: u64) -> Budget {
        Budget { began: Instant::now(), bytes }
    }

    pub(super) fn spend(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    pub(super) fn is_spent(&self) -> bool {
        self.bytes == 0 || self.began.elapsed() >= LONGEST
    }
}

/// Where something was found.
#[derive(Serialize, JsonSchema)]
pub(super) struct Found {
    /// Milliseconds since the beginning.
    at: u64,
    /// The words around it.
    text: String,
}

/// Where a recording says `words`, whatever the case, at most [`MATCHES`] times.
pub(super) fn find(recording: &Recording, words: &str) -> Vec<Found> {
    let wanted = words.to_lowercase();
    let mut out = Vec::new();
    // What a program writes may come in parts.
    let mut text = String::new();
    let mut starts: Vec<(usize, u64)> = Vec::new();
    for Line(at, lane, said) in &recording.lines {
        if *lane == Lane::Output {
            starts.push((text.len(), *at));
            text.push_str(&plain(said).to_lowercase());
        }
    }
    let mut from = 0;
    while let Some(found) = text[from..].find(&wanted).map(|n| n + from) {
        let index = starts.partition_point(|(start, _)| *start <= found).saturating_sub(1);
        let begin = text[..found].char_indices().rev().take(AROUND).last().map_or(found, |(n, _)| n);
        let around = text[begin..].chars().take(2 * AROUND + wanted.chars().count()).collect::<String>();
        let at = starts.get(index).map_or(0, |(_, at)| *at);
        out.push(Found { at, text: around.split_whitespace().collect::<Vec<_>>().join(" ") });
        from = found + wanted.len();
        if out.len() >= MATCHES {
            break;
        }
    }
    out
}
