//! An installation as an operator has it, on SQLite or on the PostgreSQL of this run, whose server can be started under
//! conditions, killed, and asked through its own command line and API.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use sekisho_lab::postgres::{self, Postgres};
use sekisho_lab::{Api, SiteError};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::programs;

/// The longest a start may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Installation {
    pub(crate) dir: TempDir,
    pub(crate) postgres: Option<Postgres>,
    pub(crate) port: u16,
    /// Where the data directory is seen from here.
    data: PathBuf,
    wrapper: Vec<String>,
    environment: Vec<(&'static str, String)>,
    server: Option<Child>,
}

impl Installation {
    pub(crate) fn new() -> Installation {
        Installation::on(postgres::of_this_run().unwrap())
    }

    pub(crate) fn on(postgres: Option<Postgres>) -> Installation {
        let dir = TempDir::new().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let data = dir.path().join("data");
        Installation { dir, postgres, port, data, wrapper: Vec::new(), environment: Vec::new(), server: None }
    }

    /// Programs that the server is started through, such as `unshare`.
    pub(crate) fn through(mut self, wrapper: &[&str]) -> Installation {
        self.wrapper = wrapper.iter().map(|w| (*w).to_owned()).collect();
        self
    }

    pub(crate) fn with(mut self, variable: &'static str, value: String) -> Installation {
        self.environment.push((variable, value));
        self
    }

    /// Sees the data directory where it is, after a server with mounts of its own.
    pub(crate) fn back(&mut self) {
        self.data = self.own_data();
    }

    /// The data directory as the server sees it.
    pub(crate) fn own_data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The data directory as the test sees it, which differs when the server has mounts of its own.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    fn settings(&self, data: &Path) -> Vec<(&'static str, String)> {
        let mut all = vec![
            ("SEKISHO_DATA_DIR", data.display().to_string()),
            ("SEKISHO_LISTEN", format!("127.0.0.1:{}", self.port)),
        ];
        if let Some(postgres) = &self.postgres {
            all.push(("SEKISHO_DATABASE", postgres.url()));
        }
        all
    }

    /// Runs `sekisho` with arguments.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(programs().join("sekisho"));
        command.args(arguments).envs(self.settings(&self.data));
        command.envs(self.environment.iter().map(|(k, v)| (*k, v)));
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// Runs `sekisho`, which must succeed; what it printed.
    pub(crate) fn sekisho(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "sekisho {arguments:?}: {words}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("server.log")
    }

    /// Starts the server without waiting for it.
    pub(crate) fn launch(&mut self) {
        let mut line = self.wrapper.clone();
        line.push(programs().join("sekisho").display().to_string());
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .args(line)
            .arg("server")
            .envs(self.settings(&self.own_data()))
            .envs(self.environment.iter().map(|(k, v)| (*k, v)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        if !self.wrapper.is_empty() {
            // The server may have mounts that only it sees.
            self.data = PathBuf::from(format!("/proc/{}/root{}", child.id(), self.own_data().display()));
        }
        self.server = Some(child);
    }

    /// Starts the server and waits until it answers.
    pub(crate) fn start(&mut self) {
        self.launch();
        let began = Instant::now();
        while !self.run(&["status"]).status.success() {
            let ended = self.server.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && began.elapsed() < PATIENCE, "no server: {}", self.words());
        }
    }

    /// Waits until a server that cannot go on has ended; its last words.
    pub(crate) fn ends(&mut self) -> String {
        let status = self.server.take().unwrap().wait().unwrap();
        assert!(!status.success());
        self.words()
    }

    /// What the server has logged.
    pub(crate) fn words(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.server.as_ref().unwrap().id()
    }

    /// Asks the server to look at its certificate again, as `systemctl reload` does.
    pub(crate) fn reload(&self) {
        let told = Command::new("kill").args(["-HUP", &self.pid().to_string()]).status();
        assert!(told.unwrap().success());
    }

    /// Ends the server with SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    /// A signed-in owner.
    pub(crate) fn owner(&self) -> Owner {
        let text = |v: &Value, field: &str| v[field].as_str().unwrap().to_owned();
        let json = |arguments: &[&str]| serde_json::from_str::<Value>(&self.sekisho(arguments)).unwrap();
        let made = json(&["service-principal", "create", "--name", "owner"]);
        let status = json(&["status"]);
        let mut owner = Owner {
            url: format!("https://localhost:{}", self.port),
            ca: self.data.join("keys/ca.pem"),
            tenant: text(&status, "tenantId"),
            app: text(&made, "appId"),
            password: text(&made, "password"),
            group: format!("/subscriptions/{}/resourceGroups/rg", text(&status, "subscriptionId")),
            api: None,
        };
        owner.sign_in().unwrap();
        owner.put("", "2024-11-01", &json!({"location": "home"})).unwrap();
        owner
    }

    /// Every row of the database, read beside the server or without it.
    pub(crate) fn rows(&self) -> Vec<Value> {
        let sqlite = || format!("sqlite://{}", self.data.join("sekisho.db").display());
        let url = self.postgres.as_ref().map_or_else(sqlite, Postgres::url);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let all: Vec<_> = sekisho_store::records(&url).try_collect().await.unwrap();
            all.iter().map(|r| serde_json::to_value(r).unwrap()).collect()
        })
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A client with all rights in the group `rg`.
#[derive(Clone)]
pub(crate) struct Owner {
    url: String,
    ca: PathBuf,
    tenant: String,
    app: String,
    pub(crate) password: String,
    pub(crate) group: String,
    api: Option<Api>,
}

impl Owner {
    pub(crate) fn sign_in(&mut self) -> Result<(), SiteError> {
        self.api = Some(Api::sign_in(&self.url, &self.ca, &self.tenant, &self.app, &self.password)?);
        Ok(())
    }

    /// The access token in use.
    pub(crate) fn token(&self) -> String {
        self.api.as_ref().unwrap().token().to_owned()
    }

    fn path(&self, rest: &str, version: &str) -> String {
        format!("{}{rest}?api-version={version}", self.group)
    }

    pub(crate) fn put(&self, rest: &str, version: &str, body: &Value) -> Result<Value, SiteError> {
        self.api.as_ref().unwrap().put(&self.path(rest, version), body)
    }

    /// Makes or changes the application security group of a name.
    pub(crate) fn write(&self, name: &str) -> Result<Value, SiteError> {
        self.put(&asg(name), "2024-05-01", &json!({"location": "home", "tags": {"name": name}}))
    }

    pub(crate) fn read(&self, name: &str) -> Result<Value, SiteError> {
        self.api.as_ref().unwrap().get(&self.path(&asg(name), "2024-05-01"))
    }
}

fn asg(name: &str) -> String {
    format!("/providers/Microsoft.Network/applicationSecurityGroups/{name}")
}
