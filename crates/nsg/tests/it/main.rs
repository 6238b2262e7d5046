//! Policies from end to end: names resolved, compiled, and judged by a real kernel in network namespaces.
//!
//! Tests that need the kernel say `skipped: <why>` and pass where it is not to be had (not root, no nft).
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests fail by panicking, too")]

mod agent;
mod analyse;
mod beside;
mod classbench;
mod diagnose;
mod diagram;
mod effective;
mod flow;
mod guard;
mod kernel;
mod late;
mod random;
mod resolve;
mod script;
mod support;
