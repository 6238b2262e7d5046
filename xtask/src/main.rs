//! `cargo xtask`: everything a person does more than once, in one place, the same for people and CI.
//!
//! Each command first makes sure of what it needs ([`setup`]) and says what it installs.

mod bench;
mod book;
mod demo;
mod dist;
mod fleet;
mod lint;
mod setup;
mod test;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};

/// Chores of the Sekisho repository.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Runs the product, small: one server and three machines in network namespaces.
    Demo(demo::Options),
    /// Runs all tests: Rust, the portal, az and the SDKs, the browser.
    Test(test::Options),
    /// Makes packages of the server and the agent under target/dist: .deb and tarball.
    Dist(dist::Options),
    /// Makes the book of docs/ for a browser, under target/book.
    Book,
    /// Checks format, lints and licences without running tests.
    Lint,
    /// Measures, beside others that do the same, and prints one line of JSON for each figure.
    Bench(bench::Options),
    /// Takes the pictures under docs/screens from a running demo.
    Screenshots,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Chore::Demo(options) => demo::run(&options),
        Chore::Test(options) => test::run(&options),
        Chore::Bench(options) => bench::run(&options),
        Chore::Dist(options) => dist::run_with(&options),
        Chore::Book => book::make(),
        Chore::Lint => lint::run(),
        Chore::Screenshots => test::screenshots(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the repository.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs a command to its end; its output is the person's.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = format!(
        "{} {}",
        command.get_program().display(),
        command.get_args().next().map(|a| a.display().to_string()).unwrap_or_default()
    );
    let status = command.status().with_context(|| format!("starting {shown}"))?;
    if !status.success() {
        bail!("{shown} failed ({status})");
    }
    Ok(())
}

/// Cargo, as this program was started by it.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Where cargo puts debug builds.
fn debug_dir() -> PathBuf {
    // This program lies in `{target}/debug/`.
    let own = std::env::current_exe().ok().and_then(|p| p.parent().map(PathBuf::from));
    own.unwrap_or_else(|| root().join("target/debug"))
}

/// Builds the two programs.
fn build() -> anyhow::Result<()> {
    let mut command = cargo();
    command.args(["build", "--quiet", "--locked", "-p", "sekisho", "-p", "sekisho-agent"]);
    if let Some(node) = setup::node_dir()? {
        command.env("PATH", setup::path_with(&node));
    }
    run(&mut command)
}
