//! A server with thousands of simulated machines, for tests of what many machines show: the portal's list, above all.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use sekisho_lab::Site;
use sekisho_lab::site::LOCATION;
use serde_json::{Value, json};

use crate::{cargo, debug_dir, run};

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
    /// Starts everything and waits until the server shows all machines.
    pub(crate) fn start(port: u16) -> anyhow::Result<Fleet> {
        run(cargo().args(["build", "--quiet", "--locked", "-p", "sekisho-fleet"]))?;
        let dir = tempfile::tempdir()?;
        let site = Site::start(&format!("skf{port}"), port, &debug_dir(), dir.path())?;
        let join = dir.path().join("join");
        write_joins(&site, &join)?;
        let shown = dir.path().join("fleet.json");
        let mut machines = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(debug_dir().join("sekisho-fleet"))
            .args(["--server", &site.url, "--count", &COUNT.to_string()])
            .arg("--join-file")
            .arg(&join)
            .arg("--state")
            .arg(dir.path().join("machines"))
            .arg("--ready-file")
            .arg(&shown)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the machines")?;
        let output = machines.stdout.take();
        let mut fleet = Fleet { machines, ready: dir.path().join("ready.json"), site, _dir: dir };
        // One line once all are up, or the end of the program.
        let mut measured = String::new();
        output.map(BufReader::new).context("the machines have no output")?.read_line(&mut measured)?;
        if measured.is_empty() {
            bail!("the machines did not come up ({})", fleet.machines.wait()?);
        }
        print!("{measured}");
        fleet.settle()?;
        fleet.write_ready(&shown)?;
        Ok(fleet)
    }

    /// Waits until the server shows what every machine told.
    fn settle(&mut self) -> anyhow::Result<()> {
        let api = self.site.api()?;
        let rows = self.site.wait("every machine is shown", SETTLE, |site| {
            let began = Instant::now();
            let rows = site.fleet(&api)?;
            let whole = |r: &&Value| r["os"]["name"].is_string() && r["network"]["state"] == "applied";
            let there = rows.iter().filter(whole).count();
            if there == COUNT {
                return Ok(began.elapsed());
            }
            Err(sekisho_lab::site::SiteError::Answer(format!("{there} of {COUNT} are")))
        })?;
        println!("The list of {COUNT} machines took the API {} ms.", rows.as_millis());
        Ok(())
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

/// One join string for each group.
fn write_joins(site: &Site, path: &Path) -> anyhow::Result<()> {
    let api = site.api()?;
    let mut file = private(path)?;
    for (group, stage) in GROUPS {
        let id = format!("/subscriptions/{}/resourceGroups/{group}", site.subscription);
        api.put(&format!("{id}?api-version=2024-11-01"), &json!({"location": LOCATION}))?;
        let token = api.put(
            &format!("{id}/providers/Sekisho.Fleet/enrolmentTokens/fleet?api-version=2026-11-01"),
            &json!({"location": LOCATION, "properties": {
                "ttlSeconds": 3600, "maxUses": COUNT, "machineTags": {"stage": stage},
            }}),
        )?;
        let join = token["properties"]["joinString"].as_str().context("the token has no join string")?;
        writeln!(file, "{join}")?;
    }
    Ok(())
}
