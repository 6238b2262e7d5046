//! One agent on one machine, while nothing happens, beside others' agents in the same time.

use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use sekisho_lab::Host;
use serde_json::json;

use super::figure::{Figure, Target};
use super::process::{cpu, resident};
use super::tools::{Database, Ends, Installation, size};
use super::{Bench, Note as _, Results, Sizes, peers};

/// Two peers: name, Debian package, program.
const PEERS: [(&str, &str, &str); 2] = [
    ("node_exporter", "prometheus-node-exporter", "usr/bin/prometheus-node-exporter"),
    ("zabbix-agent2", "zabbix-agent2", "usr/sbin/zabbix_agent2"),
];
/// After this long a fresh agent has nothing left to do.
const SETTLED: Duration = Duration::from_secs(40);
const GROUP: &str = "bench";

fn memory(peer: &str) -> String {
    format!("agent, resident, beside {peer}")
}
fn load(peer: &str) -> String {
    format!("agent, idle CPU, beside {peer}")
}
fn program(peer: &str) -> String {
    format!("agent, program, beside {peer}")
}

pub(crate) fn figures(_: &Sizes) -> Vec<Figure> {
    let of = |(peer, ..): (&'static str, &str, &str)| {
        [
            Figure::new(memory(peer), "MB", Target::at_most(15.0)).against(peer),
            Figure::new(load(peer), "%", Target::at_most(0.1)).against(peer),
            Figure::new(program(peer), "MB", Target::NONE).against(peer),
        ]
    };
    PEERS.into_iter().flat_map(of).collect()
}

/// A program that is watched.
struct Watched {
    pid: u32,
    memory: f64,
    load: f64,
}

impl Watched {
    fn new(pid: u32) -> Watched {
        Watched { pid, memory: 0.0, load: 0.0 }
    }
}

pub(crate) fn measure(bench: &Bench, results: &mut Results) -> anyhow::Result<()> {
    let mut installation = Installation::start(bench, Database::Sqlite)?;
    let site = &mut installation.site;
    site.make_network(&installation.api, GROUP, json!([]))?;
    site.join(&[("web", 4)], &[])?;
    site.wait_for_facts(&installation.api)?;
    site.attach(&installation.api, GROUP)?;
    site.wait_for_rules(&installation.api)?;
    let machine = site.machine("web")?;
    let mut watched = vec![Watched::new(machine.agent_pid().context("the agent does not run")?)];
    let mut others = Vec::new();
    let mut why = None;
    for (peer, package, program) in PEERS {
        let started = if bench.smoke {
            Err(anyhow::anyhow!("a smoke test fetches no peers"))
        } else {
            start(&machine.host, peer, package, program, installation.dir.path())
        };
        match started {
            Ok(child) => {
                watched.push(Watched::new(child.id()));
                others.push((peer, Ends(child)));
            }
            Err(error) => why = why.or(Some(error.context(peer))),
        }
    }
    if !bench.smoke {
        std::thread::sleep(SETTLED);
    }
    watch(&mut watched, bench.sizes.watched)?;
    let ours = size(&bench.programs.join("sekisho-agent"))? / 1e6;
    for (peer, package, path) in PEERS {
        let theirs = others.iter().position(|(name, _)| *name == peer).map(|n| &watched[n + 1]);
        results.note(memory(peer), watched[0].memory / 1e6, theirs.map(|w| w.memory / 1e6));
        results.note(load(peer), watched[0].load * 100.0, theirs.map(|w| w.load * 100.0));
        let theirs = theirs.map(|_| peers::debian(package, path).and_then(|path| size(&path))).transpose()?;
        results.note(program(peer), ours, theirs.map(|bytes| bytes / 1e6));
    }
    why.map_or(Ok(()), Err)
}

/// Watches all of them in the same time.
fn watch(all: &mut [Watched], time: Duration) -> anyhow::Result<()> {
    let before = all.iter().map(|w| cpu(w.pid)).collect::<Result<Vec<_>, _>>()?;
    std::thread::sleep(time);
    for (watched, before) in all.iter_mut().zip(before) {
        watched.load = (cpu(watched.pid)? - before) / time.as_secs_f64();
        watched.memory = resident(watched.pid)?;
    }
    Ok(())
}

/// Starts a peer in the machine, as its package would, and makes sure that it lives.
fn start(
    host: &Host,
    peer: &str,
    package: &str,
    program: &str,
    dir: &std::path::Path,
) -> anyhow::Result<Child> {
    let path = peers::debian(package, program)?;
    let mut command = host.command(&path.display().to_string());
    if peer == "zabbix-agent2" {
        let config = dir.join("zabbix.conf");
        let sockets = dir.display();
        let text = format!(
            "LogType=console\nServer=127.0.0.1\nHostname=web\nPluginSocket={sockets}/zabbix-plugin.sock\n\
             ControlSocket={sockets}/zabbix.sock\n"
        );
        fs::write(&config, text)?;
        command.arg("-f").arg("-c").arg(config);
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    std::thread::sleep(Duration::from_secs(2));
    if let Some(status) = child.try_wait()? {
        bail!("it ended ({status})");
    }
    Ok(child)
}
