//! The demo is the product, small: one server with its own CA, and three machines on one virtual network, each a
//! network namespace with a real agent, an HTTP and an SSH listener.
//!
//! The server listens on `localhost` for people and, through a listener handed to it, on the lab's gateway for the
//! machines; nothing of the lab touches the host's own interfaces. Everything ends with this process, however it ends.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use sekisho_lab::{Host, Lab};
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::api::Api;
use crate::{build, debug_dir, setup};

/// How the demo runs.
#[derive(clap::Args, Clone)]
pub(crate) struct Options {
    /// The port on localhost; a second demo beside the first needs another.
    #[arg(long, default_value_t = 8443)]
    pub(crate) port: u16,
    /// Where the demo keeps its data; a directory under /tmp, removed at the end, when not given.
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Writes one JSON object with everything a program needs to drive the demo, once all machines have converged.
    #[arg(long)]
    pub(crate) ready_file: Option<PathBuf>,
    /// Ends with status 0 once all machines have converged.
    #[arg(long)]
    pub(crate) exit_after_ready: bool,
    /// Seconds within which machines confirm a change of their rules.
    #[arg(long, default_value_t = 15)]
    pub(crate) confirm_seconds: u64,
}

/// The machines: name and last part of their addresses.
const MACHINES: [(&str, u8); 3] = [("web", 4), ("db", 5), ("jump", 6)];
/// The group everything is in.
const GROUP: &str = "demo";
/// The longest that starting may take.
const START: Duration = Duration::from_secs(60);

/// Runs the demo until it is told to stop.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    setup::packages(setup::DEMO)?;
    sekisho_lab::requirements().map_err(anyhow::Error::msg)?;
    println!("Building ...");
    build()?;
    let (stop, stopped) = mpsc::channel();
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            // The receiver is gone when the demo has ended already.
            let _ = stop.send(());
        }
    });
    let demo = Demo::start(options, &stopped)?;
    if let Some(path) = &options.ready_file {
        demo.write_ready(path)?;
    }
    demo.explain();
    if options.exit_after_ready {
        return Ok(());
    }
    demo.watch(&stopped)
}

/// A running demo. Dropping it ends everything.
pub(crate) struct Demo {
    url: String,
    ca: PathBuf,
    ready: Value,
    children: Vec<(String, Child)>,
    /// Removed with the demo, after the processes.
    dir: Dir,
    _lab: Lab,
}

/// The data directory, removed at the end unless the user chose it.
struct Dir {
    path: PathBuf,
    keep: bool,
}

impl Drop for Dir {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed now is removed by the next start.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        for (_, child) in &mut self.children {
            let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        for (_, child) in &mut self.children {
            while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Demo {
    fn start(options: &Options, stopped: &mpsc::Receiver<()>) -> anyhow::Result<Demo> {
        let port = options.port;
        let lab = Lab::new(&format!("skd{port}"))?;
        let path = options
            .data_dir
            .clone()
            .unwrap_or_else(|| std::env::temp_dir().join(format!("sekisho-demo-{port}")));
        let dir = Dir { path, keep: options.data_dir.is_some() };
        if !dir.keep {
            // What a killed demo left.
            let _ = std::fs::remove_dir_all(&dir.path);
        }
        std::fs::create_dir_all(&dir.path)?;
        std::fs::set_permissions(&dir.path, std::fs::Permissions::from_mode(0o700))?;
        let gateway = lab.host("gateway", "10.77.0.1/24 fd77::1/64")?;
        let link: SocketAddr = format!("10.77.0.1:{port}").parse()?;
        let listener = gateway.listen_tcp(link)?;
        let mut demo = Demo {
            url: format!("https://localhost:{port}"),
            ca: dir.path.join("server/keys/ca.pem"),
            ready: Value::Null,
            children: Vec::new(),
            dir,
            _lab: lab,
        };
        let server = demo.server(port, listener)?;
        demo.children.push(("server".to_owned(), server));
        let status = demo.wait(stopped, "the server", |d| d.admin(&["status"]))?;
        let principal = demo.admin(&["service-principal", "create", "--name", "demo"])?;
        let text = |v: &Value, field: &str| v[field].as_str().unwrap_or_default().to_owned();
        let (tenant, subscription) = (text(&status, "tenantId"), text(&status, "subscriptionId"));
        let (app, password) = (text(&principal, "appId"), text(&principal, "password"));
        let api = Api::sign_in(&demo.url, &demo.ca, &tenant, &app, &password)?;
        let group = format!("/subscriptions/{subscription}/resourceGroups/{GROUP}");
        let network = format!("{group}/providers/Microsoft.Network");
        let located = |properties: Value| json!({"location": "home", "properties": properties});
        api.put(
            &format!("{group}?api-version=2024-11-01"),
            &json!({"location": "home", "tags": {"purpose": "demo"}}),
        )?;
        api.put(
            &format!("{network}/virtualNetworks/demo-vnet?api-version=2024-05-01"),
            &located(json!({
                "addressSpace": {"addressPrefixes": ["10.77.0.0/16", "fd77::/48"]},
                "subnets": [{"name": "default", "properties": {"addressPrefixes": ["10.77.0.0/24", "fd77::/64"]}}],
            })),
        )?;
        api.put(
            &format!("{network}/networkSecurityGroups/demo-nsg?api-version=2024-05-01"),
            &located(json!({"securityRules": [
                rule("allow-http", 100, "80", "*", "Web pages, from everywhere"),
                rule("allow-ssh-from-jump", 110, "22", "10.77.0.6", "Administration, from the jump host only"),
            ]})),
        )?;
        let token =
            demo.command("sekisho", &["agent-token", "create", "--resource-group", GROUP, "--uses", "3"])?;
        let mut machines = Vec::new();
        for (name, last) in MACHINES {
            let host = demo._lab.host(name, &format!("10.77.0.{last}/24 fd77::{last}/64"))?;
            demo.machine(&host, options, token.trim())?;
            machines.push((name, format!("10.77.0.{last}"), host.namespace().to_owned()));
        }
        let fleet =
            format!("/subscriptions/{subscription}/providers/Sekisho.Fleet/machines?api-version=2026-11-01");
        demo.wait(stopped, "the machines' facts", |_| {
            let all = api.get(&fleet)?;
            let rows = all["value"].as_array().cloned().unwrap_or_default();
            let there = rows.iter().filter(|r| r["nics"].as_u64().unwrap_or(0) > 0).count();
            if there == MACHINES.len() {
                Ok(())
            } else {
                bail!("{there} of {} machines are there", MACHINES.len())
            }
        })?;
        for (name, _, _) in &machines {
            let path = format!("{network}/networkInterfaces/{name}-eth0?api-version=2024-05-01");
            let mut nic = api.get(&path)?;
            nic["properties"]["networkSecurityGroup"] =
                json!({"id": format!("{network}/networkSecurityGroups/demo-nsg")});
            api.put(&path, &nic)?;
        }
        demo.wait(stopped, "the machines' rules", |_| {
            let all = api.get(&fleet)?;
            let rows = all["value"].as_array().cloned().unwrap_or_default();
            let done = |r: &Value| {
                r["network"]["state"] == "applied" && !r["nsgs"].as_array().is_none_or(Vec::is_empty)
            };
            let there = rows.iter().filter(|r| done(r)).count();
            if there == MACHINES.len() {
                Ok(())
            } else {
                bail!("{there} of {} machines have converged", MACHINES.len())
            }
        })?;
        let link = demo.command("sekisho", &["setup-link"])?;
        let machines: Vec<Value> = machines
            .iter()
            .map(|(name, address, netns)| {
                json!({
                    "name": name, "id": format!("{group}/providers/Microsoft.Compute/virtualMachines/{name}"),
                    "nicId": format!("{network}/networkInterfaces/{name}-eth0"), "address": address, "netns": netns,
                })
            })
            .collect();
        demo.ready = json!({
            "url": demo.url, "ca": demo.ca, "signInLink": link.trim(), "tenantId": tenant, "subscriptionId": subscription,
            "resourceGroup": GROUP, "servicePrincipal": {"appId": app, "password": password}, "machines": machines,
            "dataDir": demo.dir.path, "pid": std::process::id(),
        });
        Ok(demo)
    }

    /// Starts the server. The lab's listener comes in as standard input and is handed on as systemd would.
    fn server(&self, port: u16, listener: TcpListener) -> anyhow::Result<Child> {
        let program = debug_dir().join("sekisho");
        let script = "exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" server";
        let log = self.log("server")?;
        Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "sh", "-c", script])
            .arg(program)
            .envs(self.environment(port))
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("starting the server")
    }

    fn environment(&self, port: u16) -> Vec<(&'static str, String)> {
        vec![
            ("SEKISHO_DATA_DIR", self.dir.path.join("server").display().to_string()),
            ("SEKISHO_LISTEN", format!("127.0.0.1:{port}")),
            ("SEKISHO_HOST", "localhost".to_owned()),
            ("SEKISHO_NAMES", "127.0.0.1".to_owned()),
            ("SEKISHO_JOIN_ADDRESS", format!("10.77.0.1:{port}")),
            ("SEKISHO_ORGANIZATION", "Sekisho Demo".to_owned()),
        ]
    }

    fn log(&self, name: &str) -> anyhow::Result<std::fs::File> {
        std::fs::File::create(self.dir.path.join(format!("{name}.log"))).context("making a log file")
    }

    /// Runs one of our programs to its end and returns what it printed.
    fn command(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let output =
            Command::new(debug_dir().join(program)).args(arguments).envs(self.environment(1)).output()?;
        if !output.status.success() {
            bail!("{program} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    fn admin(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.command("sekisho", arguments)?)?)
    }

    /// Joins a machine and starts its agent and listeners.
    fn machine(&mut self, host: &Host, options: &Options, token: &str) -> anyhow::Result<()> {
        let agent = debug_dir().join("sekisho-agent");
        let agent = agent.to_str().context("the target directory is no text")?;
        let state = self.dir.path.join(format!("agent-{}", host.name()));
        let state = state.to_str().context("the data directory is no text")?.to_owned();
        let mut join = host
            .command(agent)
            .args(["--state-dir", &state, "join"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        join.stdin.take().context("join has no input")?.write_all(token.as_bytes())?;
        let output = join.wait_with_output()?;
        if !output.status.success() {
            bail!("{} did not join: {}", host.name(), String::from_utf8_lossy(&output.stderr).trim());
        }
        let log = self.log(&format!("agent-{}", host.name()))?;
        let running = host
            .command(agent)
            .args(["--state-dir", &state, "run", "--reconnect-seconds", "3"])
            .args(["--confirm-seconds", &options.confirm_seconds.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        self.children.push((format!("agent {}", host.name()), running));
        for port in [80, 5432] {
            let address = SocketAddr::new(host.addresses()[0].addr(), port);
            serve_http(host.listen_tcp(address)?, host.name());
        }
        let key = self.dir.path.join(format!("ssh-{}", host.name()));
        let made = Command::new("dropbearkey").args(["-t", "ed25519", "-f"]).arg(&key).output()?;
        if !made.status.success() {
            bail!("dropbearkey: {}", String::from_utf8_lossy(&made.stderr).trim());
        }
        let ssh = host
            .command("dropbear")
            .args(["-F", "-E", "-s", "-p", &format!("{}:22", host.addresses()[0].addr())])
            // dropbear removes its pid file when it ends, so the file must be its own.
            .arg("-P")
            .arg(self.dir.path.join(format!("ssh-{}.pid", host.name())))
            .arg("-r")
            .arg(&key)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(self.log(&format!("ssh-{}", host.name()))?)
            .spawn()?;
        self.children.push((format!("ssh {}", host.name()), ssh));
        Ok(())
    }

    /// Waits for something to become so.
    fn wait<T>(
        &mut self,
        stopped: &mpsc::Receiver<()>,
        what: &str,
        check: impl Fn(&Demo) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + START;
        loop {
            let error = match check(self) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            self.all_alive()?;
            if Instant::now() > deadline {
                return Err(error.context(format!(
                    "{what} did not come up; the logs are in {}",
                    self.keep_logs().display()
                )));
            }
            if stopped.recv_timeout(Duration::from_millis(100)).is_ok() {
                bail!("stopped");
            }
        }
    }

    /// After a failure the logs are what is wanted.
    fn keep_logs(&mut self) -> &Path {
        self.dir.keep = true;
        &self.dir.path
    }

    fn all_alive(&mut self) -> anyhow::Result<()> {
        for (name, child) in &mut self.children {
            if let Some(status) = child.try_wait()? {
                self.dir.keep = true;
                bail!("{name} ended ({status}); its log is in {}", self.dir.path.display());
            }
        }
        Ok(())
    }

    fn write_ready(&self, path: &Path) -> anyhow::Result<()> {
        // Beside the real name and renamed, so that whoever waits for it never reads a half.
        let fresh = path.with_extension("new");
        let mut file =
            std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(self.ready.to_string().as_bytes())?;
        std::fs::rename(&fresh, path).context("writing the ready file")
    }

    fn explain(&self) {
        let text = |field: &str| self.ready[field].as_str().unwrap_or_default().to_owned();
        let principal = &self.ready["servicePrincipal"];
        println!(
            "\nSekisho is at {url}\n\
             Sign in with this one-time link (registers your passkey):\n  {link}\n\n\
             Trust its CA first, or the browser refuses passkeys:\n  {ca}\n\
             (Chromium: certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n sekisho-demo -i {ca})\n\n\
             az, in another terminal:\n\
             \x20 export REQUESTS_CA_BUNDLE={ca} AZURE_CONFIG_DIR=/tmp/az-sekisho\n\
             \x20 az cloud register -n sekisho --endpoint-resource-manager {url}\n\
             \x20 az cloud set -n sekisho\n\
             \x20 az config set core.instance_discovery=false\n\
             \x20 az login --service-principal -u {app} -p {password} --tenant {tenant}\n\
             \x20 az network nsg rule create -g {group} --nsg-name demo-nsg -n deny-db --priority 200 \\\n\
             \x20    --access Deny --protocol Tcp --destination-port-ranges 5432\n\n\
             See the packet pass, and stop passing:\n\
             \x20 ip netns exec {web} curl -m 2 http://10.77.0.5:5432/\n\n\
             Ctrl-C ends everything.",
            url = self.url,
            link = text("signInLink"),
            ca = self.ca.display(),
            app = principal["appId"].as_str().unwrap_or_default(),
            password = principal["password"].as_str().unwrap_or_default(),
            tenant = text("tenantId"),
            group = GROUP,
            web = self.ready["machines"][0]["netns"].as_str().unwrap_or_default(),
        );
    }

    /// Waits until the demo is told to stop, or a part of it ends by itself.
    fn watch(mut self, stopped: &mpsc::Receiver<()>) -> anyhow::Result<()> {
        while stopped.recv_timeout(Duration::from_secs(1)) == Err(mpsc::RecvTimeoutError::Timeout) {
            self.all_alive()?;
        }
        println!("Stopping.");
        Ok(())
    }
}

fn rule(name: &str, priority: u16, port: &str, source: &str, description: &str) -> Value {
    json!({"name": name, "properties": {
        "priority": priority, "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "description": description,
        "sourceAddressPrefix": source, "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": port,
    }})
}

/// Answers every connection with the machine's name, for as long as the demo lives.
fn serve_http(listener: TcpListener, name: &str) {
    let body = format!("{name}\n");
    let answer =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || {
                // A client that goes away or says nothing is its own problem.
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(answer.as_bytes());
            });
        }
    });
}
