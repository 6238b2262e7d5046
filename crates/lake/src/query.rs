//! The lake's questions: the events of one machine or of all, within a time, in a stable order, page by page.

use std::collections::BTreeMap;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sekisho_store::{Segment, from_ms, to_ms};
use serde_json::Value;
use time::OffsetDateTime;

use crate::LakeError;
use crate::flow;
use crate::row::{KIND, Key, Row};
use crate::wanted::{Is, Machines, Term, Wanted};

/// Which end of the time comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The newest event.
    #[default]
    NewestFirst,
    /// The oldest event.
    OldestFirst,
}

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Events of one machine, by its lower-cased id; of all when absent.
    pub machine: Option<String>,
    /// Not before this instant.
    pub from: Option<OffsetDateTime>,
    /// Not after this instant.
    pub to: Option<OffsetDateTime>,
    /// Of these kinds; of all when there are none.
    pub kinds: Vec<String>,
    /// Not of these kinds.
    pub without: Vec<String>,
    /// Of these streams; of all when there are none.
    pub streams: Vec<String>,
    /// Where the particulars have this value at this JSON pointer.
    pub field: Option<(String, Value)>,
    /// The order of the answer.
    pub order: Order,
    /// At most this many.
    pub limit: usize,
    /// What comes after this place.
    pub after: Option<Cursor>,
}

/// A part of the answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// The events, in order.
    pub rows: Vec<Row>,
    /// Where to go on; `None` when this was all.
    pub next: Option<Cursor>,
}

/// A place in an answer. Its text is opaque to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(Key);

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = serde_json::to_vec(&self.0).map_err(|_| std::fmt::Error)?;
        f.write_str(&URL_SAFE_NO_PAD.encode(text))
    }
}

impl FromStr for Cursor {
    type Err = LakeError;
    fn from_str(text: &str) -> Result<Cursor, LakeError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| LakeError::Cursor)?;
        serde_json::from_slice(&bytes).map(Cursor).map_err(|_| LakeError::Cursor)
    }
}

/// The best rows found so far, one more than a page holds so that it is known whether another one follows.
pub(crate) struct Best<'q> {
    query: &'q Query,
    rows: BTreeMap<Key, Row>,
}

impl<'q> Best<'q> {
    pub(crate) fn new(query: &'q Query) -> Best<'q> {
        Best { query, rows: BTreeMap::new() }
    }

    /// The time, in milliseconds, in which a row may still change the answer.
    pub(crate) fn at(&self) -> (i64, i64) {
        let mut from = self.query.from.map_or(i64::MIN, to_ms);
        let mut to = self.query.to.map_or(i64::MAX, to_ms);
        let full = self.rows.len() > self.query.limit;
        let after = self.query.after.as_ref().map(|Cursor(key)| key.0);
        match self.query.order {
            Order::NewestFirst => {
                to = after.map_or(to, |after| to.min(after));
                let worst = self.rows.keys().next().filter(|_| full).map(|key| key.0);
                from = worst.map_or(from, |worst| from.max(worst));
            }
            Order::OldestFirst => {
                from = after.map_or(from, |after| from.max(after));
                let worst = self.rows.keys().next_back().filter(|_| full).map(|key| key.0);
                to = worst.map_or(to, |worst| to.min(worst));
            }
        }
        (from, to)
    }

    /// Which rows of a segment can change the answer; `None` when none can.
    pub(crate) fn wanted(&self, segment: &Segment) -> Option<Wanted> {
        let (from, to) = self.at();
        let streams = &self.query.streams;
        let can = segment.stream != flow::STREAM
            && (streams.is_empty() || streams.contains(&segment.stream))
            && to_ms(segment.at.0) <= to
            && from <= to_ms(segment.at.1)
            && self
                .query
                .machine
                .as_ref()
                .is_none_or(|m| segment.machines.0 <= *m && *m <= segment.machines.1);
        let kinds = &self.query.kinds;
        let of_kinds = || Term { columns: &[KIND], is: Is::Text(kinds.clone()) };
        can.then(|| Wanted {
            machines: self.query.machine.clone().map_or(Machines::All, Machines::One),
            at: Some((from, to)),
            terms: (!kinds.is_empty()).then(of_kinds).into_iter().collect(),
        })
    }

    /// Takes a row into account.
    pub(crate) fn offer(&mut self, row: Row) {
        let (query, event) = (self.query, &row.event);
        let (from, to) = self.at();
        let matches = (from..=to).contains(&to_ms(event.at))
            && query.machine.as_ref().is_none_or(|m| *m == event.machine)
            && (query.kinds.is_empty() || query.kinds.contains(&event.kind))
            && !query.without.contains(&event.kind)
            && (query.streams.is_empty() || query.streams.contains(&event.stream));
        if !matches {
            return;
        }
        let (Some(row), _) = flow::divide(row) else { return };
        let event = &row.event;
        if !query.field.as_ref().is_none_or(|(path, value)| event.data.pointer(path) == Some(value)) {
            return;
        }
        let key = row.key();
        let follows = query.after.as_ref().is_none_or(|Cursor(after)| match query.order {
            Order::NewestFirst => key < *after,
            Order::OldestFirst => key > *after,
        });
        if !follows {
            return;
        }
        self.rows.insert(key, row);
        if self.rows.len() > query.limit.saturating_add(1) {
            match query.order {
                Order::NewestFirst => self.rows.pop_first(),
                Order::OldestFirst => self.rows.pop_last(),
            };
        }
    }

    pub(crate) fn page(self) -> Page {
        let more = self.rows.len() > self.query.limit;
        let rows: Vec<(Key, Row)> = match self.query.order {
            Order::NewestFirst => self.rows.into_iter().rev().take(self.query.limit).collect(),
            Order::OldestFirst => self.rows.into_iter().take(self.query.limit).collect(),
        };
        let next = rows.last().filter(|_| more).map(|(key, _)| Cursor(key.clone()));
        Page { rows: rows.into_iter().map(|(_, row)| row).collect(), next }
    }
}

/// The range of time as instants.
pub(crate) fn instants((from, to): (i64, i64)) -> std::ops::RangeInclusive<OffsetDateTime> {
    let first = to_ms(time::Date::MIN.midnight().assume_utc());
    let last = to_ms(time::Date::MAX.midnight().assume_utc());
    from_ms(from.clamp(first, last))..=from_ms(to.clamp(first, last))
}
