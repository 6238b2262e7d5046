//! The lake: what happened to machines, kept for days in immutable Parquet files and read back by time and machine.
//!
//! Events are appended as rows of the database, in the transaction in which they happen. [`Lake::flush`] writes rows
//! that have waited into a segment, a file that is synced under its final name before one transaction puts it into the
//! manifest and removes its rows. [`Lake::compact`] makes one sorted segment of the many of a finished day,
//! [`Lake::retain`] drops whole segments. The manifest alone says what is part of the lake: a file it does not name is
//! what a crash or a slower neighbour left behind, and [`Lake::sweep`] removes it. So nothing is lost and nothing is
//! there twice, whatever dies when.
//!
//! Flows of machines come in events, many in one. In segments they lie apart, in a table of their own (`flow`) that is flushed
//! in the same transactions and kept in order in the same way; [`Lake::flows`] reads them wherever they are.
//!
//! This crate must never answer with less than the manifest promises: a segment that is missing, or that was changed in a
//! byte that is looked at, is an error that names it.

mod blocks;
mod error;
mod file;
mod flow;
mod flow_query;
mod lake;
mod place;
mod query;
mod row;
mod segment;
mod wanted;

pub use error::LakeError;
pub use flow::{FlowRow, Origin};
pub use flow_query::{FlowQuery, NOTED};
pub use lake::{Lake, Retention};
pub use place::Place;
pub use query::{Cursor, Order, Page, Query};
pub use row::Row;
pub use wanted::Machines;
