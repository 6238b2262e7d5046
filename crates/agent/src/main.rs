//! `sekisho-agent`: runs on a machine as root and makes true what the server wants of it.
//!
//! `join` reads a join string and gets the machine its certificate; `run` holds the link, sends facts, witnesses the log
//! and applies desired documents; `status`, `trust-log` and `leave` are for people. The hidden `deadman` is a process of its own that takes an
//! unconfirmed change back when nobody stops it.
//!
//! The agent must never listen on a port, run a command that came from the network, or stay on rules that cut it off
//! from the server.

mod access;
mod clock;
mod commands;
mod deadman;
mod elevation;
mod facts;
mod fault;
mod followed;
mod journal;
mod limits;
mod log;
mod reach;
mod reconcile;
mod run;
mod since_boot;
mod ssh;
mod state;
mod streams;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Makes a machine part of a Sekisho installation.
#[derive(Parser)]
#[command(name = "sekisho-agent", version)]
struct Arguments {
    /// Where the machine's key and state are kept.
    #[arg(long, global = true, default_value = "/var/lib/sekisho-agent")]
    state_dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Joins: reads the join string from standard input, or from a file that only its owner can read.
    Join {
        /// A file with the join string; its mode must be 0600.
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Runs until it is told to stop.
    Run {
        /// Seconds within which a change must be confirmed by a new connection to the server (5 to 600).
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(2..=600))]
        confirm_seconds: u64,
        /// The longest pause between attempts to reach the server, in seconds.
        #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=900))]
        reconnect_seconds: u64,
        /// A list of hosts near this machine to which sessions through a bastion may lead; a file that only root can change.
        ///
        /// One line for each network with its ports: '10.0.5.0/24 22 3389 5900-5910'. Without the file it leads to none.
        #[arg(long, default_value = "/etc/sekisho-agent/reach")]
        reach: PathBuf,
    },
    /// Shows what this machine is and what is in force.
    Status,
    /// Trusts the log that the server shows next, whatever this machine has seen of it before.
    ///
    /// A machine that has seen more of the log than there is, or another one, keeps its rules and obeys nothing new: the
    /// server may be somebody else's. After a backup was restored that is as it should be, and this lets the machine go
    /// on. Be sure of it first.
    TrustLog,
    /// Removes the rules, ends what users were given, and forgets the server. Retire the machine in the portal as well.
    Leave,
    /// Takes an unconfirmed change back unless it is told otherwise on standard input.
    #[command(hide = true)]
    Deadman {
        /// Seconds to wait.
        #[arg(long)]
        seconds: u64,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    sekisho_logging::start("info", false);
    if let Err(error) = sekisho_logging::keep_memory() {
        return fail(&anyhow::Error::from(error).context("core dumps cannot be turned off"));
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::from(error)),
    };
    let state = state::State::at(&arguments.state_dir);
    let result = runtime.block_on(async {
        match arguments.command {
            Command::Join { file } => commands::join(&state, file.as_deref()).await,
            Command::Run { confirm_seconds, reconnect_seconds, reach } => {
                run::run(state, run::Settings::new(confirm_seconds, reconnect_seconds, reach)).await
            }
            Command::Status => commands::status(&state).await,
            Command::TrustLog => commands::trust_log(&state),
            Command::Leave => commands::leave(&state).await,
            Command::Deadman { seconds } => deadman::main(&state, seconds).await,
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

#[expect(clippy::print_stderr, reason = "the command line talks to a person")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("sekisho-agent: {error:#}");
    ExitCode::FAILURE
}
