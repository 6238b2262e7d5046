//! What the picture of a desktop costs whoever sends it.

use std::process::Command;

use anyhow::Context as _;

use super::figure::{Figure, Target};
use super::tools::json_of;
use super::{Bench, Note as _, Results, Sizes};

/// The pictures, and what they are called here.
const PICTURES: [(&str, &str); 2] =
    [("terminal", "a terminal that scrolls"), ("photo", "a picture that moves")];
const PEER: &str = "JPEG tiles";

fn bytes(what: &str) -> String {
    format!("a desktop's frame of {what}, size")
}
fn time(what: &str) -> String {
    format!("a desktop's frame of {what}, processor time")
}

pub(crate) fn figures(_: &Sizes) -> Vec<Figure> {
    let of = |(_, what): (&str, &str)| {
        [
            Figure::new(bytes(what), "kB", Target::NONE).against(PEER),
            Figure::new(time(what), "ms", Target::NONE).against(PEER),
        ]
    };
    PICTURES.into_iter().flat_map(of).collect()
}

pub(crate) fn measure(bench: &Bench, results: &mut Results) -> anyhow::Result<()> {
    let mut command = Command::new(bench.programs.join("sekisho-bench"));
    let took = json_of(command.args(["tiles", "--frames", &bench.sizes.frames.to_string()]))?;
    eprintln!("{took}");
    for (name, what) in PICTURES {
        let number = |field: &str| took[name][field].as_f64().with_context(|| format!("{name} {field}"));
        results.note(bytes(what), number("kB")?, Some(number("jpegKB")?));
        results.note(time(what), number("ms")?, Some(number("jpegMs")?));
    }
    Ok(())
}
