//! `sekisho-bench`: what `cargo xtask bench` measures with. Each command prints one JSON object.
//!
//! It must never say how good a number is: that is decided where peers and targets are known.

mod decide;
mod events;
mod firewalld;
mod floor;
mod flows;
mod guard;
mod identity;
mod load;
mod log;
mod network;
mod recording;
mod start;
mod statistics;
mod tiles;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures.
#[derive(Parser)]
#[command(name = "sekisho-bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Decisions of access in one large world, which it also writes down for others to decide the same.
    Decide(decide::Options),
    /// Many small worlds with questions and our answers, for others to decide the same.
    Worlds(decide::Worlds),
    /// Sends requests over TLS, to several servers in turn. Reads what to do, tokens among it, from standard input.
    Load,
    /// Serves the plainest handlers of the same queries until it is ended.
    Floor(floor::Options),
    /// Sends events as agents do and waits until all are kept.
    Events(events::Options),
    /// The audit log on a database: entries, proofs, and what hashing and signing alone cost.
    Log(log::Options),
    /// Signing in and what every request asks, beside the cryptography alone that is in it.
    Identity(identity::Options),
    /// The packet filter: what rules cost a packet, and what a change of them takes and leaks. Needs root.
    Network(network::Options),
    /// Just-in-time access in the kernel: what changes of it take, and how late it closes. Needs root.
    Guard(guard::Options),
    /// Seeking in a long recording of a session.
    Recording(recording::Options),
    /// The picture of a desktop, beside JPEG tiles.
    Tiles(tiles::Options),
    /// Starts a program several times and waits each time until it answers.
    Start {
        /// The server's CA, PEM; made by the program itself.
        #[arg(long)]
        ca: PathBuf,
        /// Where it answers.
        #[arg(long)]
        url: String,
        /// How often.
        #[arg(long, default_value_t = 5)]
        times: usize,
        /// The program and its arguments.
        #[arg(trailing_var_arg = true, required = true)]
        program: Vec<String>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Another version of the library may be linked in with another provider: there is to be one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let result =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Into::into).and_then(
            |runtime| match arguments.command {
                Command::Decide(options) => decide::run(&options),
                Command::Worlds(options) => decide::worlds(&options),
                Command::Load => runtime.block_on(load::run()),
                Command::Floor(options) => runtime.block_on(floor::run(options)),
                Command::Events(options) => runtime.block_on(events::run(&options)),
                Command::Log(options) => runtime.block_on(log::run(&options)),
                Command::Identity(options) => identity::run(&options),
                Command::Network(options) => network::run(&options),
                Command::Guard(options) => guard::run(&options),
                Command::Recording(options) => recording::run(&options),
                Command::Tiles(options) => tiles::run(&options),
                Command::Start { ca, url, times, program } => {
                    runtime.block_on(start::run(&ca, &url, times, &program))
                }
            },
        );
    match result {
        Ok(value) => {
            print(&value);
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

#[expect(clippy::print_stdout, reason = "the measurement is what this program is for")]
fn print(value: &serde_json::Value) {
    println!("{value}");
}

#[expect(clippy::print_stderr, reason = "the command line talks to a person")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("sekisho-bench: {error:#}");
    ExitCode::FAILURE
}
