//! Seeking in a long recording, as whoever plays it does: from its file to the lines of half a minute.

use std::time::Instant;

use anyhow::Context as _;
use sekisho_bastion_recording::container::{Header, Key, Lane, Line, Shows, Writer};
use sekisho_bastion_recording::verify::read;
use sekisho_bastion_recording::window::Proved;
use serde_json::{Value, json};

use crate::statistics::{percentile, sorted};

/// What is played at once, in milliseconds.
const PLAYED: u64 = 30_000;
/// Of a terminal.
const COLUMNS: usize = 120;
const ROWS: usize = 40;

/// What is measured.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long the recording is, in minutes; something happens every second.
    #[arg(long, default_value_t = 480)]
    minutes: u64,
    /// How often it is sought in.
    #[arg(long, default_value_t = 50)]
    seeks: u64,
}

/// Measures everything.
pub(crate) fn run(options: &Options) -> anyhow::Result<Value> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("long.skr");
    let (bytes, key) = recording(options.minutes * 60)?;
    let size = bytes.len();
    std::fs::write(&path, bytes)?;
    let last = options.minutes * 60_000;
    let moments = (0..options.seeks).map(|n| n * 7919 % options.seeks * last / options.seeks);
    let mut seeks = Vec::new();
    for moment in moments {
        let began = Instant::now();
        let bytes = std::fs::read(&path)?;
        let proved = Proved::of(&bytes, Some(&key))?;
        let lines = proved.window(moment, Some(moment + PLAYED), Lane::Screen, u64::MAX)?;
        proved.duration()?;
        seeks.push(began.elapsed().as_secs_f64() * 1000.0);
        anyhow::ensure!(!lines.is_empty(), "nothing is to be seen at {moment}");
    }
    let began = Instant::now();
    read(&std::fs::read(&path)?, Some(&key)).context("the recording")?;
    let whole = began.elapsed().as_secs_f64() * 1000.0;
    let seeks = sorted(seeks);
    Ok(
        json!({"p50Ms": percentile(&seeks, 0.5), "p99Ms": percentile(&seeks, 0.99), "wholeMs": whole, "bytes": size}),
    )
}

/// A recording in which something is written every second, and its key.
fn recording(seconds: u64) -> anyhow::Result<(Vec<u8>, String)> {
    let key = Key::generate()?;
    let public = key.public();
    let header = Header {
        session: "bench".to_owned(),
        machine: "/bench".to_owned(),
        account: "root".to_owned(),
        person: "bench".to_owned(),
        since: "2026-11-27T00:00:00Z".to_owned(),
        shows: Shows::Terminal,
        columns: COLUMNS as u32,
        rows: ROWS as u32,
        key: public.clone(),
    };
    let (mut writer, mut bytes) = Writer::begin(key, &header)?;
    let row = |n: u64| {
        let words = (0..12).map(|w| format!("{:x}", (n * 12 + w).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 30));
        words.collect::<Vec<_>>().join(" ")
    };
    for second in 0..seconds {
        let screen: Vec<String> = (0..ROWS as u64).map(|r| row((second + r) % 997)).collect();
        let at = second * 1000;
        let lines = [
            Line(at, Lane::Output, format!("{}\r\n", row(second))),
            Line(at, Lane::Screen, screen.join("\r\n")),
            Line(at + 400, Lane::Output, format!("{}\r\n", row(second + 1))),
        ];
        bytes.extend(writer.chunk(&lines)?);
    }
    bytes.extend(writer.end()?);
    Ok((bytes, public))
}
