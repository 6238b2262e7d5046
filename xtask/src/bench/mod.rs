//! Measurements: one line of JSON for each figure, ours beside a peer's, against what was promised.
//!
//! Every group of figures starts what it needs, the real programs over TLS, and says what it can measure before it does:
//! what a run could not measure is in its output, and does not hold.

mod access;
mod agent;
mod agents;
mod api;
mod figure;
mod guard;
mod log;
mod network;
mod peers;
mod process;
mod recording;
mod rule;
mod server;
mod sign_in;
mod ssh;
mod tiles;
mod tools;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;

use crate::setup;
use figure::{Figure, Measured, table};

/// What is measured.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The area.
    #[arg(default_value = "foundation", value_parser = ["foundation", "identity", "network", "bastion"])]
    area: String,
    /// Only this group of figures: access, api, agents, agent, server or rule; of identity: log or sign-in; of network: filter or jit; of
    /// bastion: ssh, recording or tiles.
    #[arg(long)]
    only: Option<String>,
    /// Also prints the table of docs/reference/benchmarks.md at the end.
    #[arg(long)]
    markdown: bool,
    /// Everything with the programs of a debug build and tiny sizes, without peers that must be fetched: whether it can
    /// be measured, not how much it is.
    #[arg(long)]
    smoke: bool,
}

/// What is measured, and what measures.
const PROGRAMS: [&str; 4] = ["sekisho", "sekisho-agent", "sekisho-fleet", "sekisho-bench"];

/// How much of everything.
pub(crate) struct Sizes {
    /// Machines of the API's figures, and of one of their resource groups.
    pub(crate) machines: usize,
    pub(crate) together: usize,
    /// Rounds of requests, to ours and the peer in turn.
    pub(crate) rounds: usize,
    /// Requests of a round of writes.
    pub(crate) writes: usize,
    /// Role assignments, machines and decisions of the figures of access.
    pub(crate) access: [usize; 3],
    /// Connected agents, and how long they idle before memory is read.
    pub(crate) agents: usize,
    pub(crate) idle: Duration,
    /// Machines that send events, and how many each.
    pub(crate) streams: (usize, usize),
    /// Machines of the server's own figures, and starts.
    pub(crate) resident: usize,
    pub(crate) starts: usize,
    /// How long agents of one machine are watched.
    pub(crate) watched: Duration,
    /// Changes of a rule.
    pub(crate) changes: usize,
    /// Runs of `az`.
    pub(crate) az: usize,
    /// Entries of the log.
    pub(crate) entries: usize,
    /// Sign-ins of a storm.
    pub(crate) sign_ins: usize,
    /// Rounds of what is measured without a server.
    pub(crate) repeats: u32,
    /// Rounds of packets, and changes of policy under load.
    pub(crate) filter: (usize, usize),
    /// Minutes of a long recording.
    pub(crate) recorded: u64,
    /// Frames of a desktop.
    pub(crate) frames: u32,
    /// Connections over SSH, mebibytes, keystrokes of a turn, and idle sessions.
    pub(crate) ssh: [usize; 4],
}

const FULL: Sizes = Sizes {
    machines: 10_000,
    together: 1_000,
    rounds: 20,
    writes: 500,
    access: [20_000, 10_000, 500_000],
    agents: 2_000,
    idle: Duration::from_secs(30),
    streams: (50, 10_000),
    resident: 1_000,
    starts: 7,
    watched: Duration::from_secs(120),
    changes: 100,
    az: 5,
    entries: 50_000,
    sign_ins: 400,
    repeats: 2_000,
    filter: (400, 100),
    recorded: 480,
    frames: 200,
    ssh: [20, 512, 200, 20],
};

const SMOKE: Sizes = Sizes {
    machines: 6,
    together: 3,
    rounds: 2,
    writes: 10,
    access: [300, 200, 2_000],
    agents: 5,
    idle: Duration::ZERO,
    streams: (2, 600),
    resident: 3,
    starts: 1,
    watched: Duration::from_secs(1),
    changes: 3,
    az: 0,
    entries: 500,
    sign_ins: 6,
    repeats: 20,
    filter: (3, 3),
    recorded: 2,
    frames: 2,
    ssh: [1, 1, 5, 1],
};

/// Everything a group needs to know.
pub(crate) struct Bench {
    pub(crate) sizes: Sizes,
    pub(crate) smoke: bool,
    /// The directory of our programs.
    pub(crate) programs: PathBuf,
}

/// What a group has measured so far, by the names of its figures.
pub(crate) type Results = BTreeMap<String, Measured>;

pub(crate) trait Note {
    /// Keeps a figure.
    fn note(&mut self, name: impl Into<String>, ours: f64, peer: Option<f64>);
}

impl Note for Results {
    fn note(&mut self, name: impl Into<String>, ours: f64, peer: Option<f64>) {
        self.insert(name.into(), Measured { ours, peer });
    }
}

/// Figures that are measured together.
struct Group {
    name: &'static str,
    figures: fn(&Sizes) -> Vec<Figure>,
    measure: fn(&Bench, &mut Results) -> anyhow::Result<()>,
}

const FOUNDATION: [Group; 6] = [
    Group { name: "access", figures: access::figures, measure: access::measure },
    Group { name: "api", figures: api::figures, measure: api::measure },
    Group { name: "agents", figures: agents::figures, measure: agents::measure },
    Group { name: "agent", figures: agent::figures, measure: agent::measure },
    Group { name: "server", figures: server::figures, measure: server::measure },
    Group { name: "rule", figures: rule::figures, measure: rule::measure },
];

const IDENTITY: [Group; 2] = [
    Group { name: "log", figures: log::figures, measure: log::measure },
    Group { name: "sign-in", figures: sign_in::figures, measure: sign_in::measure },
];

const NETWORK: [Group; 2] = [
    Group { name: "filter", figures: network::figures, measure: network::measure },
    Group { name: "jit", figures: guard::figures, measure: guard::measure },
];

const BASTION: [Group; 3] = [
    Group { name: "ssh", figures: ssh::figures, measure: ssh::measure },
    Group { name: "recording", figures: recording::figures, measure: recording::measure },
    Group { name: "tiles", figures: tiles::figures, measure: tiles::measure },
];

/// Measures and prints. Whether figures hold does not change how this ends: it reports.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if !options.smoke {
        setup::packages(setup::DEMO)?;
        setup::packages(&[setup::POSTGRESQL])?;
    }
    sekisho_lab::requirements().map_err(anyhow::Error::msg)?;
    let (sizes, programs) =
        if options.smoke { (SMOKE, crate::debug_dir()) } else { (FULL, crate::release(&PROGRAMS)?) };
    let bench = Bench { sizes, smoke: options.smoke, programs };
    let mut lines = Vec::new();
    let groups: &[Group] = match options.area.as_str() {
        "identity" => &IDENTITY,
        "network" => &NETWORK,
        "bastion" => &BASTION,
        _ => &FOUNDATION,
    };
    for group in groups {
        if options.only.as_ref().is_some_and(|only| *only != group.name) {
            continue;
        }
        eprintln!("== {}", group.name);
        let mut results = Results::new();
        let why = match (group.measure)(&bench, &mut results) {
            Ok(()) => "nothing was measured".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        let figures = (group.figures)(&bench.sizes);
        if let Some(name) = results.keys().find(|name| figures.iter().all(|f| f.name != **name)) {
            bail!("'{name}' was measured and is no figure");
        }
        for figure in figures {
            let line = figure.line(&options.area, results.get(&figure.name).copied(), &why);
            println!("{line}");
            lines.push(line);
        }
    }
    if options.markdown {
        print!("{}", table(&lines));
    }
    Ok(())
}
