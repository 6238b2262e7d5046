//! What the log costs: writing it, proving it, witnessing it, against the same without it, and against hashing and signing
//! alone.

use std::process::Command;

use anyhow::Context as _;
use sekisho_lab::Postgres;

use super::figure::{Figure, Target};
use super::tools::{Database, json_of};
use super::{Bench, Note as _, Results, Sizes};

const WRITERS: &str = "32";
const TREE: &str = "an entry into the tree, in memory";
const STEP: &str = "a witness's step: checkpoint, proof, cosignature";

fn append(database: Database) -> String {
    format!("time of an audit entry at {WRITERS} writers, durable, {}", database.name())
}
fn proof(sizes: &Sizes, database: Database) -> String {
    format!("consistency proof of a log of {} entries, p50, {}", sizes.entries, database.name())
}

pub(crate) fn figures(sizes: &Sizes) -> Vec<Figure> {
    let of = |database| {
        [
            Figure::new(append(database), "ms", Target::NONE.within(1.5)).against("a document"),
            Figure::new(proof(sizes, database), "µs", Target::at_most(1000.0)),
        ]
    };
    let alone = [
        Figure::new(TREE, "µs", Target::NONE.within(2.0)).against("sha256 alone"),
        Figure::new(STEP, "µs", Target::NONE.within(1.5)).against("ed25519 alone"),
    ];
    Database::ALL.into_iter().flat_map(of).chain(alone).collect()
}

pub(crate) fn measure(bench: &Bench, results: &mut Results) -> anyhow::Result<()> {
    for database in Database::ALL {
        let dir = tempfile::tempdir()?;
        let postgres = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(Postgres::start()?),
        };
        let sqlite = || format!("sqlite://{}", dir.path().join("log.db").display());
        let url = postgres.as_ref().map_or_else(sqlite, Postgres::url);
        let mut command = Command::new(bench.programs.join("sekisho-bench"));
        command.args(["log", "--database", &url, "--writers", WRITERS]);
        let took = json_of(command.args(["--entries", &bench.sizes.entries.to_string()]))?;
        eprintln!("{took}");
        let number = |name: &str| took[name].as_f64().with_context(|| name.to_owned());
        results.note(append(database), number("appendMs")?, Some(number("documentMs")?));
        results.note(proof(&bench.sizes, database), number("proofUs")?, None);
        results.note(TREE, number("treeUs")?, Some(number("hashingUs")?));
        results.note(STEP, number("stepUs")?, Some(number("signingUs")?));
    }
    Ok(())
}
