//! From a change of a rule to the kernels of all machines, and what `az` takes for one.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use sekisho_lab::Host;
use sekisho_lab::site::GROUP;
use serde_json::json;

use super::figure::{Figure, Target};
use super::tools::{Database, Ends, Installation};
use super::{Bench, Note as _, Results, Sizes, peers};
use crate::fleet::private;

const RULE: &str = "rule in every kernel after the request, p99";
const AZ: &str = "az network nsg rule create, p50";
const NSG: &str = "bench";
const MACHINES: [(&str, u8); 3] = [("web", 4), ("db", 5), ("jump", 6)];
/// The port of the first change; each has another.
const FIRST_PORT: usize = 20_000;
/// After this long a rule will not come.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn figures(_: &Sizes) -> Vec<Figure> {
    vec![
        Figure::new(RULE, "s", Target::at_most(1.0)),
        Figure::new(AZ, "s", Target::NONE).against("az version"),
    ]
}

pub(crate) fn measure(bench: &Bench, results: &mut Results) -> anyhow::Result<()> {
    let mut installation = Installation::start(bench, Database::Sqlite)?;
    let (site, api) = (&mut installation.site, &installation.api);
    site.make_network(api, NSG, json!([]))?;
    site.join(&MACHINES, &[])?;
    site.wait_for_facts(api)?;
    site.attach(api, NSG)?;
    site.wait_for_rules(api)?;
    let monitors = site.machines.iter().map(|m| Monitor::start(&m.host)).collect::<Result<Vec<_>, _>>()?;
    let path =
        format!("{}/securityRules/bench?api-version=2024-05-01", site.network("networkSecurityGroups", NSG));
    let mut took = Vec::new();
    for change in 0..=bench.sizes.changes {
        // A rule's neighbours stand beside it in the kernel: the next change must not be taken for this one's.
        let port = FIRST_PORT + 4 * change;
        let body = json!({"properties": {
            "priority": 100, "direction": "Inbound", "access": "Allow", "protocol": "Tcp",
            "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*",
            "destinationPortRange": port.to_string(),
        }});
        let began = Instant::now();
        api.put(&path, &body)?;
        let seen = monitors.iter().map(|m| m.wait(port)).collect::<Result<Vec<_>, _>>()?;
        // The first is there to be warm.
        if change > 0 {
            took.extend(seen.iter().map(|at| at.duration_since(began).as_secs_f64()));
        }
    }
    took.sort_by(f64::total_cmp);
    let rank = (took.len() as f64 * 0.99).ceil() as usize;
    results.note(RULE, *took.get(rank.max(1) - 1).context("no changes")?, None);
    drop(monitors);
    if bench.sizes.az == 0 {
        bail!("a smoke test runs no az");
    }
    az(bench, &installation, results)
}

/// Hears of every change of a machine's rules.
struct Monitor {
    lines: Receiver<(Instant, String)>,
    _child: Ends,
}

impl Monitor {
    fn start(host: &Host) -> anyhow::Result<Monitor> {
        let mut child =
            host.command("nft").arg("monitor").stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().context("nft has no output")?;
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if tell.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        Ok(Monitor { lines, _child: Ends(child) })
    }

    /// When a rule that names this port came.
    fn wait(&self, port: usize) -> anyhow::Result<Instant> {
        let port = port.to_string();
        loop {
            let (at, line) = self.lines.recv_timeout(PATIENCE).context("the rule does not come")?;
            let added = line.starts_with("add ");
            if added && line.split(|c: char| !c.is_ascii_digit()).any(|word| word == port) {
                return Ok(at);
            }
        }
    }
}

fn az(bench: &Bench, installation: &Installation, results: &mut Results) -> anyhow::Result<()> {
    let python = peers::python("az", Path::new("tests/az/requirements.txt"))?;
    let home = installation.dir.path().join("az");
    std::fs::create_dir(&home)?;
    let site = &installation.site;
    let run = |arguments: &[&str]| -> anyhow::Result<f64> {
        let began = Instant::now();
        let output = Command::new(python.with_file_name("az"))
            .args(arguments)
            .env("HOME", &home)
            .env("AZURE_CONFIG_DIR", &home)
            .env("REQUESTS_CA_BUNDLE", &site.ca)
            .env("PATH", crate::setup::path_with(python.parent().unwrap_or(Path::new("/"))))
            .env("AZURE_CORE_COLLECT_TELEMETRY", "no")
            .env("AZURE_CORE_LOGIN_EXPERIENCE_V2", "off")
            .env("AZURE_CORE_INSTANCE_DISCOVERY", "false")
            .output()?;
        let took = began.elapsed().as_secs_f64();
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            bail!("az {}: {words}", arguments.join(" "));
        }
        Ok(took)
    };
    let secret = home.join("password");
    private(&secret)?.write_all(site.principal.1.as_bytes())?;
    run(&["cloud", "register", "-n", "sekisho", "--endpoint-resource-manager", &site.url])?;
    run(&["cloud", "set", "-n", "sekisho"])?;
    let secret = format!("@{}", secret.display());
    run(&["login", "--service-principal", "-u", &site.principal.0, "-p", &secret, "--tenant", &site.tenant])?;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for number in 0..=bench.sizes.az {
        let (name, priority) = (format!("rule-{number}"), (200 + number).to_string());
        let took = run(&[
            "network",
            "nsg",
            "rule",
            "create",
            "-g",
            GROUP,
            "--nsg-name",
            NSG,
            "-n",
            &name,
            "--priority",
            &priority,
        ])?;
        let start = run(&["version"])?;
        if number > 0 {
            ours.push(took);
            floor.push(start);
        }
    }
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    results.note(AZ, median(&mut ours).context("no runs")?, median(&mut floor));
    Ok(())
}
