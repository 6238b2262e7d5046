//! A server with thousands of simulated machines, for tests of what many machines show: the portal's list, above all. The
//! bench starts its own with the same functions.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use sekisho_lab::site::{LOCATION, SiteError};
use sekisho_lab::{Api, Site};
use serde_json::{Value, json};

use crate::debug_dir;

/// How many machines.
const COUNT: usize = 5_000;
/// The resource groups they are spread over, with the tags that their machines get.
const GROUPS: [(&str, &str); 3] = [("shop", "production"), ("lab", "test"), ("office", "production")];
/// How long the server may take until it shows what all machines told.
const SETTLE: Duration = Duration::from_secs(120);

/// A running fleet. Dropping it ends the machines, then the server.
pub(crate) struct Fleet {
    machines: Child,
    /// What a test needs to know.
    pub(crate) ready: PathBuf,
    site: Site,
    _dir: tempfile::TempDir,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = self.machines.kill();
        let _ = self.machines.wait();
    }
}

impl Fleet {
    /// Starts everything, all of which has been built, and waits until the server shows all machines.
    pub(crate) fn start(port: u16) -> anyhow::Result<Fleet> {
        let dir = tempfile::tempdir()?;
        let site = Site::start(&format!("skf{port}"), port, &debug_dir(), dir.path())?;
        let join = dir.path().join("join");
        write_joins(&site, &join)?;
        let shown = dir.path().join("fleet.json");
        let mut machines = program(&debug_dir(), &site, COUNT, &join, &dir.path().join("machines"));
        let mut machines =
            machines.arg("--ready-file").arg(&shown).spawn().context("starting the machines")?;
        let output = machines.stdout.take();
        let mut fleet = Fleet { machines, ready: dir.path().join("ready.json"), site, _dir: dir };
        let mut lines = BufReader::new(output.context("the machines have no output")?);
        print!("{}", line(&mut lines, &mut fleet.machines)?);
        let api = fleet.site.api()?;
        let took = settle(&mut fleet.site, &api, COUNT, SETTLE)?;
        println!("The list of {COUNT} machines took the API {} ms.", took.as_millis());
        fleet.write_ready(&shown)?;
        Ok(fleet)
    }

    fn write_ready(&self, shown: &Path) -> anyhow::Result<()> {
        let mut shown: Value = serde_json::from_slice(&fs::read(shown).context("the fleet's ready file")?)?;
        for row in shown["machines"].as_array_mut().into_iter().flatten() {
            let join = row["join"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
            let (group, stage) = GROUPS.get(join).context("a machine of no join string")?;
            row["resourceGroup"] = json!(group);
            row["tags"] = json!({ "stage": stage });
        }
        let link = self.site.sekisho(&["setup-link"])?;
        let ready = json!({
            "url": self.site.url, "ca": self.site.ca, "signInLink": link.trim(), "tenantId": self.site.tenant,
            "subscriptionId": self.site.subscription, "resourceGroup": GROUPS[0].0, "machines": [],
            "fleet": shown["machines"],
        });
        private(&self.ready)?.write_all(ready.to_string().as_bytes())?;
        Ok(())
    }
}

/// A file that only its owner can read: what is written holds secrets.
pub(crate) fn private(path: &Path) -> anyhow::Result<fs::File> {
    let file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    file.with_context(|| path.display().to_string())
}

/// The program of simulated machines.
pub(crate) fn program(programs: &Path, site: &Site, count: usize, joins: &Path, state: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL"])
        .arg(programs.join("sekisho-fleet"))
        .args(["--server", &site.url, "--count", &count.to_string()])
        .arg("--join-file")
        .arg(joins)
        .arg("--state")
        .arg(state)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// The line that the machines print once all are up.
pub(crate) fn line(lines: &mut impl BufRead, machines: &mut Child) -> anyhow::Result<String> {
    let mut line = String::new();
    lines.read_line(&mut line)?;
    if line.is_empty() {
        bail!("the machines did not come up ({})", machines.wait()?);
    }
    Ok(line)
}

/// Waits until the server shows what every machine told; how long the last list of them took.
pub(crate) fn settle(
    site: &mut Site,
    api: &Api,
    count: usize,
    patience: Duration,
) -> anyhow::Result<Duration> {
    let took = site.wait("every machine is shown", patience, |site| {
        let began = Instant::now();
        let rows = site.fleet(api)?;
        let whole = |r: &&Value| r["os"]["name"].is_string() && r["network"]["state"] == "applied";
        let there = rows.iter().filter(whole).count();
        if there == count {
            return Ok(began.elapsed());
        }
        Err(SiteError::Answer(format!("{there} of {count} are")))
    })?;
    Ok(took)
}

/// Makes a resource group, and a join string that lets machines into it.
pub(crate) fn join_string(api: &Api, group: &str, token: &Value) -> anyhow::Result<String> {
    api.put(&format!("{group}?api-version=2024-11-01"), &json!({"location": LOCATION}))?;
    let path = format!("{group}/providers/Sekisho.Fleet/enrolmentTokens/fleet?api-version=2026-11-01");
    let made = api.put(&path, &json!({"location": LOCATION, "properties": token}))?;
    Ok(made["properties"]["joinString"].as_str().context("the token has no join string")?.to_owned())
}

/// One join string for each group.
fn write_joins(site: &Site, path: &Path) -> anyhow::Result<()> {
    let api = site.api()?;
    let mut file = private(path)?;
    for (group, stage) in GROUPS {
        let id = format!("/subscriptions/{}/resourceGroups/{group}", site.subscription);
        let token = json!({"ttlSeconds": 3600, "maxUses": COUNT, "machineTags": {"stage": stage}});
        writeln!(file, "{}", join_string(&api, &id, &token)?)?;
    }
    Ok(())
}
