//! What playing a long recording takes.

use std::process::Command;

use anyhow::Context as _;

use super::figure::{Figure, Target};
use super::tools::json_of;
use super::{Bench, Note as _, Results, Sizes};

fn seek(sizes: &Sizes) -> String {
    format!("seek in a recording of {} minutes, p50", sizes.recorded)
}

pub(crate) fn figures(sizes: &Sizes) -> Vec<Figure> {
    vec![Figure::new(seek(sizes), "ms", Target::at_most(150.0)).against("reading all of it")]
}

pub(crate) fn measure(bench: &Bench, results: &mut Results) -> anyhow::Result<()> {
    let mut command = Command::new(bench.programs.join("sekisho-bench"));
    let took = json_of(command.args(["recording", "--minutes", &bench.sizes.recorded.to_string()]))?;
    eprintln!("{took}");
    let number = |name: &str| took[name].as_f64().with_context(|| name.to_owned());
    results.note(seek(&bench.sizes), number("p50Ms")?, Some(number("wholeMs")?));
    Ok(())
}
