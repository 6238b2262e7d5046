//! A small installation of the product in a lab: one real server and machines with real agents.
//!
//! The server listens on `localhost` for people and, through a listener handed to it as systemd would, on the lab's
//! gateway for the machines; nothing of it touches the machine's own interfaces. Parts can be killed and started again,
//! which is what fault tests are about. Everything ends with the [`Site`].

use std::fs::File;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::{Api, Host, Lab, LabError};

/// Why a site could not be made or driven.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The lab under it.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// The operating system says no.
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
    /// A program failed.
    #[error("{0}: {1}")]
    Program(String, String),
    /// The server refused or answered nonsense.
    #[error("{0}")]
    Answer(String),
    /// A part ended that should live.
    #[error("{0} ended; its log is {1}")]
    Ended(String, PathBuf),
    /// Something did not become so in time.
    #[error("{what} within {seconds} s: {last}")]
    Late {
        /// What was waited for.
        what: String,
        /// For how long.
        seconds: u64,
        /// What it looked like at the end.
        last: String,
    },
}

fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> SiteError {
    let what = what.into();
    move |error| SiteError::Io(what, error)
}

/// The resource group everything is in.
pub const GROUP: &str = "demo";
/// The location everything is at.
pub const LOCATION: &str = "home";
/// How long a part may take to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// A machine of a site.
pub struct Machine {
    /// Its host in the lab.
    pub host: Host,
    /// The state directory of its agent.
    pub state: PathBuf,
    agent: Option<Child>,
    log: PathBuf,
}

impl Machine {
    /// The process id of its running agent.
    pub fn agent_pid(&self) -> Option<u32> {
        self.agent.as_ref().map(Child::id)
    }
}

/// A running installation.
pub struct Site {
    /// Where the server answers people.
    pub url: String,
    /// Its CA.
    pub ca: PathBuf,
    /// The tenant.
    pub tenant: String,
    /// The first subscription.
    pub subscription: String,
    /// The service principal that owns the subscription: application id and password.
    pub principal: (String, String),
    /// Its machines.
    pub machines: Vec<Machine>,
    programs: PathBuf,
    dir: PathBuf,
    port: u16,
    settings: Vec<(&'static str, String)>,
    listener: TcpListener,
    server: Option<Child>,
    lab: Lab,
}

impl Drop for Site {
    fn drop(&mut self) {
        for machine in &mut self.machines {
            end(machine.agent.take());
        }
        end(self.server.take());
    }
}

/// Asks a process to end and makes sure.
fn end(child: Option<Child>) {
    let Some(mut child) = child else { return };
    let _ = kill(pid(&child), Signal::SIGTERM);
    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX))
}

impl Site {
    /// Starts a server and signs in. `programs` is the directory of our two programs, `dir` an existing directory for
    /// everything that is kept, `port` the port on localhost and on the lab's gateway.
    ///
    /// # Errors
    /// [`SiteError`]; what was started has ended.
    pub fn start(prefix: &str, port: u16, programs: &Path, dir: &Path) -> Result<Site, SiteError> {
        Self::start_with(prefix, port, programs, dir, Vec::new())
    }

    /// The same with further settings of the server, as environment variables.
    ///
    /// # Errors
    /// As [`Site::start`].
    pub fn start_with(
        prefix: &str,
        port: u16,
        programs: &Path,
        dir: &Path,
        settings: Vec<(&'static str, String)>,
    ) -> Result<Site, SiteError> {
        let lab = Lab::new(prefix)?;
        let gateway = lab.host("gateway", "10.77.0.1/24 fd77::1/64")?;
        let listener =
            gateway.listen_tcp(SocketAddr::from(([10, 77, 0, 1], port))).map_err(io("the gateway"))?;
        let mut site = Site {
            url: format!("https://localhost:{port}"),
            ca: dir.join("server/keys/ca.pem"),
            tenant: String::new(),
            subscription: String::new(),
            principal: (String::new(), String::new()),
            machines: Vec::new(),
            programs: programs.to_owned(),
            dir: dir.to_owned(),
            port,
            settings,
            listener,
            server: None,
            lab,
        };
        site.start_server()?;
        let text = |v: &Value, field: &str| v[field].as_str().unwrap_or_default().to_owned();
        let status = site.admin(&["status"])?;
        (site.tenant, site.subscription) = (text(&status, "tenantId"), text(&status, "subscriptionId"));
        let principal = site.admin(&["service-principal", "create", "--name", "demo"])?;
        site.principal = (text(&principal, "appId"), text(&principal, "password"));
        Ok(site)
    }

    /// Starts the server again after [`Site::kill_server`], and waits until it answers.
    ///
    /// # Errors
    /// When it does not come up within 30 seconds.
    pub fn start_server(&mut self) -> Result<(), SiteError> {
        self.start_server_with(&[])
    }

    /// The same with further environment variables.
    ///
    /// # Errors
    /// When it does not come up within 30 seconds.
    pub fn start_server_with(&mut self, environment: &[(&str, &str)]) -> Result<(), SiteError> {
        let script = "exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" server";
        let listener = self.listener.try_clone().map_err(io("the gateway's listener"))?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "sh", "-c", script])
            .arg(self.programs.join("sekisho"))
            .envs(self.environment())
            .envs(environment.iter().copied())
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(Stdio::null())
            .stderr(self.log("server")?)
            .spawn()
            .map_err(io("the server"))?;
        self.server = Some(child);
        self.wait("the server answers", Duration::from_secs(30), |site| site.admin(&["status"]).map(drop))
    }

    /// Kills the server with SIGKILL.
    pub fn kill_server(&mut self) {
        if let Some(mut child) = self.server.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The process id of the running server.
    pub fn server_pid(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// The settings of the server, as environment variables.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![
            ("SEKISHO_DATA_DIR", self.dir.join("server").display().to_string()),
            ("SEKISHO_LISTEN", format!("127.0.0.1:{}", self.port)),
            ("SEKISHO_HOST", "localhost".to_owned()),
            ("SEKISHO_NAMES", "127.0.0.1".to_owned()),
            ("SEKISHO_JOIN_ADDRESS", format!("10.77.0.1:{}", self.port)),
            ("SEKISHO_ORGANIZATION", "Sekisho Demo".to_owned()),
            // Read when a provider is first asked; whoever stands up one for a test writes its authority there.
            ("SEKISHO_FEDERATION_CA_FILE", self.dir.join("federation.pem").display().to_string()),
        ];
        all.extend(self.settings.iter().cloned());
        all
    }

    /// A log file in the site's directory, appended to.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn log(&self, name: &str) -> Result<File, SiteError> {
        let path = self.dir.join(format!("{name}.log"));
        File::options().create(true).append(true).open(&path).map_err(io(path.display().to_string()))
    }

    /// Runs `sekisho` with arguments and returns what it printed.
    ///
    /// # Errors
    /// [`SiteError::Program`] with its own words.
    pub fn sekisho(&self, arguments: &[&str]) -> Result<String, SiteError> {
        let mut command = Command::new(self.programs.join("sekisho"));
        let output = command.args(arguments).envs(self.environment()).output().map_err(io("sekisho"))?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(SiteError::Program(arguments.join(" "), words));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The same for commands that print JSON.
    ///
    /// # Errors
    /// [`SiteError`].
    pub fn admin(&self, arguments: &[&str]) -> Result<Value, SiteError> {
        let text = self.sekisho(arguments)?;
        serde_json::from_str(&text).map_err(|e| SiteError::Program(arguments.join(" "), e.to_string()))
    }

    /// A client of the site's service principal.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn api(&self) -> Result<Api, SiteError> {
        Api::sign_in(&self.url, &self.ca, &self.tenant, &self.principal.0, &self.principal.1)
    }

    /// The id of the resource group.
    pub fn group(&self) -> String {
        format!("/subscriptions/{}/resourceGroups/{GROUP}", self.subscription)
    }

    /// The id of a network resource in the group.
    pub fn network(&self, kind: &str, name: &str) -> String {
        format!("{}/providers/Microsoft.Network/{kind}/{name}", self.group())
    }

    /// A host with files of its own: agents write below `/etc`.
    fn host(&self, name: &str, last: u8) -> Result<Host, SiteError> {
        let host = self.lab.host(name, &format!("10.77.0.{last}/24 fd77::{last}/64"))?;
        let dir = self.dir.join(format!("files-{name}"));
        std::fs::create_dir_all(&dir)
            .and_then(|()| host.with_own_files(&dir))
            .map_err(io("the machine's own files"))
    }

    /// Joins machines and starts their agents: (name, last part of the addresses).
    ///
    /// # Errors
    /// When one cannot join.
    pub fn join(&mut self, machines: &[(&str, u8)], arguments: &[&str]) -> Result<(), SiteError> {
        let uses = machines.len().to_string();
        let token = self.sekisho(&["agent-token", "create", "--resource-group", GROUP, "--uses", &uses])?;
        for (name, last) in machines {
            let host = self.host(name, *last)?;
            let state = self.dir.join(format!("agent-{name}"));
            self.run_join(&host, &state, &token)?;
            let log = self.dir.join(format!("agent-{name}.log"));
            self.machines.push(Machine { host, state, agent: None, log });
            self.start_agent(name, arguments, &[])?;
        }
        Ok(())
    }

    /// Has a machine join with a join string.
    fn run_join(&self, host: &Host, state: &Path, join_string: &str) -> Result<(), SiteError> {
        let mut join = host
            .command(&self.agent())
            .arg("--state-dir")
            .arg(state)
            .arg("join")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(io("sekisho-agent"))?;
        if let Some(mut input) = join.stdin.take() {
            input.write_all(join_string.trim().as_bytes()).map_err(io("sekisho-agent join"))?;
        }
        let output = join.wait_with_output().map_err(io("sekisho-agent join"))?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(SiteError::Program(format!("join {}", host.name()), words));
        }
        Ok(())
    }

    /// Has a machine that has joined join again.
    ///
    /// # Errors
    /// When it is refused, with the agent's words.
    pub fn join_again(&self, name: &str, join_string: &str) -> Result<(), SiteError> {
        let machine = self.machine(name)?;
        self.run_join(&machine.host, &machine.state, join_string)
    }

    /// Makes a machine out of a copy of another one's agent, state and all, and starts it: (name, last part of the
    /// addresses).
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn copy(&mut self, of: &str, (name, last): (&str, u8), arguments: &[&str]) -> Result<(), SiteError> {
        let from = self.machine(of)?.state.clone();
        let host = self.host(name, last)?;
        let state = self.dir.join(format!("agent-{name}"));
        let copied = Command::new("cp").arg("-a").arg(&from).arg(&state).status().map_err(io("cp"))?;
        if !copied.success() {
            return Err(SiteError::Program("cp -a".to_owned(), from.display().to_string()));
        }
        let log = self.dir.join(format!("agent-{name}.log"));
        self.machines.push(Machine { host, state, agent: None, log });
        self.start_agent(name, arguments, &[])
    }

    fn agent(&self) -> String {
        self.programs.join("sekisho-agent").display().to_string()
    }

    /// Starts a machine's agent (again), with further environment variables.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_agent(
        &mut self,
        name: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<(), SiteError> {
        let log = self.log(&format!("agent-{name}"))?;
        let program = self.agent();
        let machine = self.machine_mut(name)?;
        let child = machine
            .host
            .command(&program)
            .arg("--state-dir")
            .arg(&machine.state)
            .arg("run")
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(io("sekisho-agent"))?;
        machine.agent = Some(child);
        Ok(())
    }

    /// Kills a machine's agent with SIGKILL.
    ///
    /// # Errors
    /// When there is no such machine.
    pub fn kill_agent(&mut self, name: &str) -> Result<(), SiteError> {
        if let Some(mut child) = self.machine_mut(name)?.agent.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        Ok(())
    }

    /// Waits until a machine's agent has ended by itself, and says by which signal.
    ///
    /// # Errors
    /// When it lives longer than `limit`.
    pub fn agent_dies(&mut self, name: &str, limit: Duration) -> Result<Option<i32>, SiteError> {
        use std::os::unix::process::ExitStatusExt as _;
        let deadline = Instant::now() + limit;
        let machine = self.machine_mut(name)?;
        let Some(child) = machine.agent.as_mut() else { return Ok(None) };
        loop {
            if let Some(status) = child.try_wait().map_err(io("the agent"))? {
                machine.agent = None;
                return Ok(status.signal());
            }
            if Instant::now() > deadline {
                let what = format!("the agent of {name} ends");
                return Err(SiteError::Late { what, seconds: limit.as_secs(), last: "it lives".to_owned() });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A machine by name.
    ///
    /// # Errors
    /// When there is none.
    pub fn machine(&self, name: &str) -> Result<&Machine, SiteError> {
        self.machines
            .iter()
            .find(|m| m.host.name() == name)
            .ok_or_else(|| SiteError::Answer(format!("no machine {name}")))
    }

    fn machine_mut(&mut self, name: &str) -> Result<&mut Machine, SiteError> {
        let found = self.machines.iter_mut().find(|m| m.host.name() == name);
        found.ok_or_else(|| SiteError::Answer(format!("no machine {name}")))
    }

    /// Whether every part lives.
    ///
    /// # Errors
    /// [`SiteError::Ended`] naming the part that does not.
    pub fn all_alive(&mut self) -> Result<(), SiteError> {
        let dead =
            |child: &mut Option<Child>| child.as_mut().is_some_and(|c| !matches!(c.try_wait(), Ok(None)));
        if dead(&mut self.server) {
            return Err(SiteError::Ended("the server".to_owned(), self.dir.join("server.log")));
        }
        for machine in &mut self.machines {
            if dead(&mut machine.agent) {
                return Err(SiteError::Ended(
                    format!("the agent of {}", machine.host.name()),
                    machine.log.clone(),
                ));
            }
        }
        Ok(())
    }

    /// Waits until `check` succeeds.
    ///
    /// # Errors
    /// [`SiteError::Late`] with the last failure, or [`SiteError::Ended`].
    pub fn wait<T>(
        &mut self,
        what: &str,
        limit: Duration,
        check: impl Fn(&Site) -> Result<T, SiteError>,
    ) -> Result<T, SiteError> {
        let deadline = Instant::now() + limit;
        loop {
            let last = match check(self) {
                Ok(value) => return Ok(value),
                Err(error) => error.to_string(),
            };
            self.all_alive()?;
            if Instant::now() > deadline {
                return Err(SiteError::Late { what: what.to_owned(), seconds: limit.as_secs(), last });
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// The slim rows of all machines.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn fleet(&self, api: &Api) -> Result<Vec<Value>, SiteError> {
        let path = format!(
            "/subscriptions/{}/providers/Sekisho.Fleet/machines?api-version=2026-11-01",
            self.subscription
        );
        Ok(api.get(&path)?["value"].as_array().cloned().unwrap_or_default())
    }

    /// Waits until every machine has told its interfaces.
    ///
    /// # Errors
    /// As [`Site::wait`].
    pub fn wait_for_facts(&mut self, api: &Api) -> Result<(), SiteError> {
        let wanted = self.machines.len();
        self.wait("every machine tells its facts", Duration::from_secs(30), |site| {
            let there = site.fleet(api)?.iter().filter(|r| r["nics"].as_u64().unwrap_or(0) > 0).count();
            if there == wanted { Ok(()) } else { Err(SiteError::Answer(format!("{there} of {wanted} did"))) }
        })
    }

    /// Waits until every machine has the rules it should have.
    ///
    /// # Errors
    /// As [`Site::wait`].
    pub fn wait_for_rules(&mut self, api: &Api) -> Result<(), SiteError> {
        let wanted = self.machines.len();
        self.wait("every machine has its rules", Duration::from_secs(30), |site| {
            let rows = site.fleet(api)?;
            let attached = |r: &Value| r["nsgs"].as_array().is_some_and(|n| !n.is_empty());
            let there = rows.iter().filter(|r| attached(r) && r["network"]["state"] == "applied").count();
            if there == wanted { Ok(()) } else { Err(SiteError::Answer(format!("{there} of {wanted} have"))) }
        })
    }

    /// Makes the group, a virtual network over the lab's addresses and a security group with rules.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn make_network(&self, api: &Api, group: &str, rules: Value) -> Result<(), SiteError> {
        let located = |properties: Value| json!({"location": LOCATION, "properties": properties});
        api.put(
            &format!("{}?api-version=2024-11-01", self.group()),
            &json!({"location": LOCATION, "tags": {"purpose": "demo"}}),
        )?;
        api.put(
            &format!("{}?api-version=2024-05-01", self.network("virtualNetworks", "demo-vnet")),
            &located(json!({
                "addressSpace": {"addressPrefixes": ["10.77.0.0/16", "fd77::/48"]},
                "subnets": [{"name": "default", "properties": {"addressPrefixes": ["10.77.0.0/24", "fd77::/64"]}}],
            })),
        )?;
        let path = format!("{}?api-version=2024-05-01", self.network("networkSecurityGroups", group));
        api.put(&path, &located(json!({ "securityRules": rules })))?;
        Ok(())
    }

    /// Attaches a security group to the interface of every machine.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn attach(&self, api: &Api, group: &str) -> Result<(), SiteError> {
        for machine in &self.machines {
            let nic = format!("{}-eth0", machine.host.name());
            let path = format!("{}?api-version=2024-05-01", self.network("networkInterfaces", &nic));
            let mut body = api.get(&path)?;
            body["properties"]["networkSecurityGroup"] =
                json!({"id": self.network("networkSecurityGroups", group)});
            api.put(&path, &body)?;
        }
        Ok(())
    }
}
