//! What the groups share: installations of the product, fleets of simulated machines, and programs that answer in JSON.

use std::fs;
use std::io::{BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use sekisho_lab::{Api, Postgres, Site};
use serde_json::{Value, json};

use super::Bench;
use crate::fleet::{self, private};
use crate::free_port;

/// How long the server may take until it shows what all machines told.
const SETTLE: Duration = Duration::from_secs(300);

/// The two databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

impl Database {
    pub(crate) const ALL: [Database; 2] = [Database::Sqlite, Database::Postgres];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Database::Sqlite => "SQLite",
            Database::Postgres => "PostgreSQL",
        }
    }
}

/// A server, what it keeps, and a client of it.
pub(crate) struct Installation {
    pub(crate) site: Site,
    pub(crate) api: Api,
    pub(crate) dir: tempfile::TempDir,
    postgres: Option<Postgres>,
}

impl Installation {
    pub(crate) fn start(bench: &Bench, database: Database) -> anyhow::Result<Installation> {
        let dir = tempfile::tempdir()?;
        let postgres = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(Postgres::start()?),
        };
        let settings: Vec<(&'static str, String)> =
            postgres.iter().map(|p| ("SEKISHO_DATABASE", p.url())).collect();
        let port = free_port()?;
        let prefix = format!("skb{port}");
        let site = Site::start_with(&prefix, port, &bench.programs, dir.path(), settings)?;
        let api = site.api()?;
        Ok(Installation { site, api, dir, postgres })
    }

    /// The URL of its database.
    pub(crate) fn database(&self) -> String {
        let sqlite = || format!("sqlite://{}", self.dir.path().join("server/sekisho.db").display());
        self.postgres.as_ref().map_or_else(sqlite, Postgres::url)
    }

    /// One of its keys or certificates.
    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.dir.path().join("server/keys").join(name)
    }

    pub(crate) fn server_pid(&self) -> anyhow::Result<u32> {
        self.site.server_pid().context("the server does not run")
    }

    /// The server anew on what it kept, as after an upgrade.
    pub(crate) fn restart(&mut self) -> anyhow::Result<()> {
        self.site.kill_server();
        self.site.start_server()?;
        self.api = self.site.api()?;
        Ok(())
    }
}

/// A fleet of simulated machines, in resource groups `group-0`, `group-1`, ...
pub(crate) struct Fleet {
    child: Child,
    lines: BufReader<ChildStdout>,
    pub(crate) connected: Value,
}

impl Fleet {
    /// Joins (in the first run) and connects `count` machines, spread over groups of `together`, and waits until the
    /// server shows what all of them told.
    pub(crate) fn start(
        bench: &Bench,
        installation: &mut Installation,
        count: usize,
        together: usize,
    ) -> anyhow::Result<Fleet> {
        let (dir, site) = (installation.dir.path(), &mut installation.site);
        let joins = dir.join("joins");
        if !joins.exists() {
            write_joins(site, &installation.api, &joins, count.div_ceil(together), together)?;
        }
        let mut child = fleet::program(&bench.programs, site, count, &joins, &dir.join("machines"));
        let mut child = child.stderr(site.log("fleet")?).spawn().context("starting the machines")?;
        let lines = BufReader::new(child.stdout.take().context("the machines have no output")?);
        let mut fleet = Fleet { child, lines, connected: Value::Null };
        fleet.connected = fleet.line()?["connected"].clone();
        fleet::settle(site, &installation.api, count, SETTLE)?;
        Ok(fleet)
    }

    /// Has all machines connect again at the same time.
    pub(crate) fn reconnect(&mut self) -> anyhow::Result<Value> {
        crate::run(Command::new("kill").args(["-HUP", &self.child.id().to_string()]))?;
        Ok(self.line()?["reconnected"].clone())
    }

    fn line(&mut self) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&fleet::line(&mut self.lines, &mut self.child)?)?)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_joins(
    site: &Site,
    api: &Api,
    path: &std::path::Path,
    groups: usize,
    together: usize,
) -> anyhow::Result<()> {
    let mut file = private(path)?;
    for number in 0..groups {
        let token = json!({"ttlSeconds": 3600, "maxUses": together});
        writeln!(file, "{}", fleet::join_string(api, &group(site, number), &token)?)?;
    }
    Ok(())
}

/// The id of a fleet's resource group.
pub(crate) fn group(site: &Site, number: usize) -> String {
    format!("/subscriptions/{}/resourceGroups/group-{number}", site.subscription)
}

/// What a program prints, which is one JSON value.
pub(crate) fn json_of(command: &mut Command) -> anyhow::Result<Value> {
    json_with(command, "")
}

/// The same for a program that reads its standard input.
pub(crate) fn json_with(command: &mut Command, input: &str) -> anyhow::Result<Value> {
    let name = command.get_program().display().to_string();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context(name.clone())?;
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("{name} printed no JSON"))
}

/// A child that ends with its owner.
pub(crate) struct Ends(pub(crate) Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The size of a program in bytes.
pub(crate) fn size(path: &std::path::Path) -> anyhow::Result<f64> {
    Ok(fs::metadata(path).with_context(|| path.display().to_string())?.len() as f64)
}
