//! Elements of a map as netlink messages: `nfgenmsg` and attributes of `linux/netfilter/nf_tables.h`.
//!
//! Pure; what is read may be anything.

use std::time::Duration;

use super::Map;
use super::pieces::Piece;
use super::plan::{Change, Present};
use crate::netlink::message::{NLM_F_ACK, NLM_F_DUMP, append, attribute, nest, netfilter, put};
use crate::ruleset::TABLE;

/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u16 = 10 << 8;
const NFT_MSG_NEWSETELEM: u16 = SUBSYSTEM | 12;
const NFT_MSG_GETSETELEM: u16 = SUBSYSTEM | 13;
const NFT_MSG_DELSETELEM: u16 = SUBSYSTEM | 14;
const NFT_MSG_NEWGEN: u16 = SUBSYSTEM | 15;
const NFT_MSG_GETGEN: u16 = SUBSYSTEM | 16;
const NFNL_MSG_BATCH_BEGIN: u16 = 16;
const NFNL_MSG_BATCH_END: u16 = 17;

const NLM_F_CREATE: u16 = 0x400;
const NLM_F_EXCL: u16 = 0x200;

const NFPROTO_INET: u8 = 1;

const NFTA_SET_ELEM_LIST_TABLE: u16 = 1;
const NFTA_SET_ELEM_LIST_SET: u16 = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_DATA: u16 = 2;
const NFTA_SET_ELEM_FLAGS: u16 = 3;
const NFTA_SET_ELEM_TIMEOUT: u16 = 4;
const NFTA_SET_ELEM_EXPIRATION: u16 = 5;
const NFTA_SET_ELEM_EXPR: u16 = 7;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_GEN_ID: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_COUNTER_BYTES: u16 = 1;
const NFTA_COUNTER_PACKETS: u16 = 2;
const NFT_SET_ELEM_INTERVAL_END: u32 = 1;

/// How many changes one message carries. The length of a list of elements is 16 bits; an element is about a hundred bytes.
const PER_MESSAGE: usize = 400;

/// Messages under way to the kernel, numbered from 1.
#[derive(Default)]
pub(super) struct Messages {
    pub(super) bytes: Vec<u8>,
    /// The number of the last message.
    pub(super) last: u32,
    /// How many of them the kernel answers.
    pub(super) answered: usize,
}

impl Messages {
    /// Asks for everything that a map holds.
    pub(super) fn list(map: Map) -> Messages {
        let mut out = Messages::default();
        out.message(NFT_MSG_GETSETELEM, NLM_F_DUMP, NFPROTO_INET, 0, |b| place(b, map));
        out
    }

    /// Asks for the generation of the ruleset.
    pub(super) fn generation() -> Messages {
        let mut out = Messages::default();
        out.message(NFT_MSG_GETGEN, NLM_F_ACK, 0, 0, |_| {});
        out
    }

    /// All changes as one transaction.
    pub(super) fn change(changes: &[Change]) -> Messages {
        let mut out = Messages::default();
        out.batch(|out| {
            for run in changes.chunk_by(|a, b| a.is_beside(b)).flat_map(|run| run.chunks(PER_MESSAGE)) {
                let Some(first) = run.first() else { continue };
                let (kind, flags, map) = match first {
                    Change::Close { map, .. } => (NFT_MSG_DELSETELEM, 0, *map),
                    Change::Open { map, .. } => (NFT_MSG_NEWSETELEM, NLM_F_CREATE | NLM_F_EXCL, *map),
                };
                out.elements(kind, flags, map, |b| {
                    for change in run {
                        match change {
                            Change::Close { first, last, .. } => {
                                start(b, map, *first, |_| {});
                                end(b, map, *last);
                            }
                            Change::Open { piece, .. } => open(b, map, piece),
                        }
                    }
                });
            }
        });
        out
    }

    /// Empties maps, as one transaction.
    pub(super) fn flush(maps: &[Map]) -> Messages {
        let mut out = Messages::default();
        out.batch(|out| {
            for map in maps {
                out.answered += 1;
                out.message(NFT_MSG_DELSETELEM, NLM_F_ACK, NFPROTO_INET, 0, |b| place(b, *map));
            }
        });
        out
    }

    fn batch(&mut self, work: impl FnOnce(&mut Messages)) {
        // The resource id of a batch is the subsystem.
        self.message(NFNL_MSG_BATCH_BEGIN, 0, 0, SUBSYSTEM >> 8, |_| {});
        work(self);
        self.message(NFNL_MSG_BATCH_END, 0, 0, SUBSYSTEM >> 8, |_| {});
    }

    fn elements(&mut self, kind: u16, flags: u16, map: Map, elements: impl FnOnce(&mut Vec<u8>)) {
        self.answered += 1;
        self.message(kind, flags | NLM_F_ACK, NFPROTO_INET, 0, |b| {
            place(b, map);
            nest(b, NFTA_SET_ELEM_LIST_ELEMENTS, elements);
        });
    }

    fn message(&mut self, kind: u16, flags: u16, family: u8, resource: u16, body: impl FnOnce(&mut Vec<u8>)) {
        self.last += 1;
        append(&mut self.bytes, kind, flags, self.last, |b| {
            netfilter(b, family, resource);
            body(b);
        });
    }
}

/// The table and the map.
fn place(out: &mut Vec<u8>, map: Map) {
    let text = |out: &mut Vec<u8>, kind, text: &str| put(out, kind, &[text.as_bytes(), &[0]].concat());
    text(out, NFTA_SET_ELEM_LIST_TABLE, TABLE);
    text(out, NFTA_SET_ELEM_LIST_SET, &map.to_string());
}

fn open(out: &mut Vec<u8>, map: Map, piece: &Piece) {
    start(out, map, piece.first, |b| {
        put(b, NFTA_SET_ELEM_TIMEOUT, &piece.milliseconds().to_be_bytes());
        nest(b, NFTA_SET_ELEM_DATA, |b| put(b, NFTA_DATA_VALUE, &piece.mark.to_ne_bytes()));
    });
    end(out, map, piece.last);
}

fn start(out: &mut Vec<u8>, map: Map, first: u128, more: impl FnOnce(&mut Vec<u8>)) {
    nest(out, NFTA_LIST_ELEM, |b| {
        key(b, map, first);
        more(b);
    });
}

/// An interval ends with an element of its own, after its last address. What reaches the highest has none.
fn end(out: &mut Vec<u8>, map: Map, last: u128) {
    if last >= map.highest() {
        return;
    }
    nest(out, NFTA_LIST_ELEM, |b| {
        key(b, map, last + 1);
        put(b, NFTA_SET_ELEM_FLAGS, &NFT_SET_ELEM_INTERVAL_END.to_be_bytes());
    });
}

fn key(out: &mut Vec<u8>, map: Map, number: u128) {
    let bytes = number.to_be_bytes();
    let bytes = if map.v4 { &bytes[12..] } else { &bytes[..] };
    nest(out, NFTA_SET_ELEM_KEY, |b| put(b, NFTA_DATA_VALUE, bytes));
}

/// One element, as the kernel lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element {
    key: u128,
    is_end: bool,
    mark: u32,
    left: Option<Duration>,
    carried: (u64, u64),
}

/// The elements of one message of a listing; what cannot be read is left out.
pub(super) fn elements(kind: u16, payload: &[u8]) -> Vec<Element> {
    if kind != NFT_MSG_NEWSETELEM {
        return Vec::new();
    }
    let list = payload.get(4..).and_then(|body| attribute(body, NFTA_SET_ELEM_LIST_ELEMENTS));
    attributes(list.unwrap_or_default()).filter_map(element).collect()
}

fn element(body: &[u8]) -> Option<Element> {
    let value = |kind| attribute(attribute(body, kind)?, NFTA_DATA_VALUE);
    let flags = attribute(body, NFTA_SET_ELEM_FLAGS).and_then(u32_of).unwrap_or(0);
    let key = value(NFTA_SET_ELEM_KEY)?;
    if key.len() > 16 {
        return None;
    }
    let mark = value(NFTA_SET_ELEM_DATA).and_then(|v| Some(u32::from_ne_bytes(v.try_into().ok()?)));
    let counter = attribute(body, NFTA_SET_ELEM_EXPR).and_then(|e| attribute(e, NFTA_EXPR_DATA));
    let count = |kind| counter.and_then(|c| attribute(c, kind)).and_then(u64_of).unwrap_or(0);
    Some(Element {
        key: key.iter().fold(0, |all, byte| all << 8 | u128::from(*byte)),
        is_end: flags & NFT_SET_ELEM_INTERVAL_END != 0,
        mark: mark.unwrap_or(0),
        left: attribute(body, NFTA_SET_ELEM_EXPIRATION).and_then(u64_of).map(Duration::from_millis),
        carried: (count(NFTA_COUNTER_PACKETS), count(NFTA_COUNTER_BYTES)),
    })
}

/// The generation in an answer.
pub(super) fn generation(kind: u16, payload: &[u8]) -> Option<u32> {
    let body = payload.get(4..).filter(|_| kind == NFT_MSG_NEWGEN)?;
    attribute(body, NFTA_GEN_ID).and_then(u32_of)
}

/// The values of all attributes.
fn attributes(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(data.get(..2)?.try_into().ok()?));
        let value = data.get(4..length)?;
        data = data.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(value)
    })
}

/// The number of the message that begins here.
pub(super) fn sequence(message: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(message.get(8..12)?.try_into().ok()?))
}

fn u32_of(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

fn u64_of(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(value.try_into().ok()?))
}

/// The ranges that listed elements stand for.
pub(super) fn ranges(map: Map, mut elements: Vec<Element>) -> Vec<Present> {
    // Where one range ends another may begin.
    elements.sort_by_key(|e| (e.key, !e.is_end));
    let mut out = Vec::new();
    for (index, start) in elements.iter().enumerate().filter(|(_, e)| !e.is_end) {
        let next = elements[index + 1..].iter().find(|e| e.key > start.key);
        out.push(Present {
            first: start.key,
            last: next.map_or(map.highest(), |next| next.key - 1),
            mark: start.mark,
            left: start.left,
            carried: start.carried,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::Transport;
    use crate::netlink::message::next_message;
    use proptest::prelude::*;

    const MAP: Map = Map { protocol: Transport::Tcp, port: 22, v4: true };

    fn listed(messages: &Messages) -> Vec<Element> {
        let mut rest = messages.bytes.as_slice();
        let mut all = Vec::new();
        while let Some((kind, payload, after)) = next_message(rest) {
            all.extend(elements(kind, payload));
            rest = after;
        }
        assert!(rest.is_empty());
        all
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_as_the_same_ranges(
            mut ends in prop::collection::btree_set(0_u32..=u32::MAX, 2..12), mark in 1_u32.., seconds in 1_u64..90_000,
        ) {
            if ends.len() % 2 == 1 { ends.pop_first(); }
            let ends: Vec<u128> = ends.into_iter().map(u128::from).collect();
            let changes: Vec<Change> = ends.chunks(2).map(|pair| {
                let piece = Piece { first: pair[0], last: pair[1] - 1, mark, left: Duration::from_secs(seconds) };
                Change::Open { map: MAP, piece }
            }).collect();
            let found = ranges(MAP, listed(&Messages::change(&changes)));
            prop_assert_eq!(found.len(), changes.len());
            for (range, pair) in found.iter().zip(ends.chunks(2)) {
                prop_assert_eq!((range.first, range.last, range.mark), (pair[0], pair[1] - 1, mark));
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(data in prop::collection::vec(any::<u8>(), 0..200)) {
            let found = elements(NFT_MSG_NEWSETELEM, &data);
            ranges(MAP, found);
            let mut framed = vec![0; 4];
            nest(&mut framed, NFTA_SET_ELEM_LIST_ELEMENTS, |b| nest(b, NFTA_LIST_ELEM, |b| b.extend(&data)));
            let found = elements(NFT_MSG_NEWSETELEM, &framed);
            ranges(Map { v4: false, ..MAP }, found);
        }
    }
}
