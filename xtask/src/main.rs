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

/// Builds packages as they are shipped; the directory of their programs.
fn release(packages: &[&str]) -> anyhow::Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--quiet", "--locked", "--release"]);
    for package in packages {
        command.args(["-p", package]);
    }
    if let Some(node) = setup::node_dir()? {
        command.env("PATH", setup::path_with(&node));
    }
    run(&mut command)?;
    Ok(debug_dir().with_file_name("release"))
}

/// A port on localhost that nobody has.
fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Where cargo puts debug builds.
fn debug_dir() -> PathBuf {
    // This program lies in `{target}/debug/`.
    let own = std::env::current_exe().ok().and_then(|p| p.parent().map(PathBuf::from));
    own.unwrap_or_else(|| root().join("target/debug"))
}

/// In the environment: the whole workspace has just been built. Alone, a package would be built again, with fewer
/// features of what it stands on, and all of that too.
const BUILT: &str = "SEKISHO_WHOLE_WORKSPACE";

/// The programs that most of this needs.
const PROGRAMS: [&str; 2] = ["sekisho", "sekisho-agent"];

/// Builds programs for debugging.
fn build(packages: &[&str]) -> anyhow::Result<()> {
    if std::env::var_os(BUILT).is_some() {
        return Ok(());
    }
    let mut command = cargo();
    command.args(["build", "--quiet", "--locked"]);
    command.args(packages.iter().flat_map(|package| ["-p", package]));
    if let Some(node) = setup::node_dir()? {
        command.env("PATH", setup::path_with(&node));
    }
    run(&mut command)
}
