//! The demo is the product, small: one server with its own CA, and three machines on one virtual network, each a
//! network namespace with a real agent, an HTTP and an SSH listener.
//!
//! A [`Site`] with listeners. Everything ends with this process, however it ends.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use sekisho_lab::site::GROUP;
use sekisho_lab::{Host, Site};
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::{PROGRAMS, build, debug_dir, setup};

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
    /// Uses the programs that are there.
    #[arg(long, hide = true)]
    pub(crate) no_build: bool,
    /// Seconds within which machines confirm a change of their rules.
    #[arg(long, default_value_t = 15)]
    pub(crate) confirm_seconds: u64,
}

/// The machines: name and last part of their addresses.
const MACHINES: [(&str, u8); 3] = [("web", 4), ("db", 5), ("jump", 6)];
/// The security group that every machine has.
const SECURITY_GROUP: &str = "demo-nsg";

/// Runs the demo until it is told to stop.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    setup::packages(setup::DEMO)?;
    sekisho_lab::requirements().map_err(anyhow::Error::msg)?;
    if !options.no_build {
        println!("Building ...");
        build(&PROGRAMS)?;
    }
    let (stop, stopped) = mpsc::channel();
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            // The receiver is gone when the demo has ended already.
            let _ = stop.send(());
        }
    });
    let demo = Demo::start(options)?;
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
    ready: Value,
    site: Site,
    /// The SSH servers.
    ssh: Vec<Child>,
    /// Removed with the demo, after everything else.
    dir: Dir,
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
        for child in &mut self.ssh {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Demo {
    fn start(options: &Options) -> anyhow::Result<Demo> {
        let port = options.port;
        let path = options
            .data_dir
            .clone()
            .unwrap_or_else(|| std::env::temp_dir().join(format!("sekisho-demo-{port}")));
        let mut dir = Dir { path, keep: options.data_dir.is_some() };
        if !dir.keep {
            // What a killed demo left.
            let _ = std::fs::remove_dir_all(&dir.path);
        }
        std::fs::create_dir_all(&dir.path)?;
        std::fs::set_permissions(&dir.path, std::fs::Permissions::from_mode(0o700))?;
        match Self::start_in(options, &dir.path) {
            Ok((site, ssh, ready)) => Ok(Demo { ready, site, ssh, dir }),
            Err(error) => {
                dir.keep = true;
                Err(error.context(format!("the logs are in {}", dir.path.display())))
            }
        }
    }

    fn start_in(options: &Options, dir: &Path) -> anyhow::Result<(Site, Vec<Child>, Value)> {
        let mut site = Site::start(&format!("skd{}", options.port), options.port, &debug_dir(), dir)?;
        let api = site.api()?;
        let rules = json!([
            rule("allow-http", 100, "80", "*", "Web pages, from everywhere"),
            rule("allow-ssh-from-jump", 110, "22", "10.77.0.6", "Administration, from the jump host only"),
        ]);
        site.make_network(&api, SECURITY_GROUP, rules)?;
        let confirm = options.confirm_seconds.to_string();
        site.join(&MACHINES, &["--reconnect-seconds", "3", "--confirm-seconds", &confirm])?;
        site.wait_for_facts(&api)?;
        site.attach(&api, SECURITY_GROUP)?;
        site.wait_for_rules(&api)?;
        let mut ssh = Vec::new();
        for machine in &site.machines {
            for port in [80, 5432] {
                for address in machine.host.addresses() {
                    serve_http(
                        machine.host.listen_tcp(SocketAddr::new(address.addr(), port))?,
                        machine.host.name(),
                    );
                }
            }
            ssh.push(serve_ssh(&site, &machine.host, dir)?);
            ssh.extend(serve_openssh(&site, &machine.host)?);
        }
        let link = site.sekisho(&["setup-link"])?;
        let machines: Vec<Value> = site
            .machines
            .iter()
            .map(|machine| {
                let name = machine.host.name();
                json!({
                    "name": name, "id": format!("{}/providers/Microsoft.Compute/virtualMachines/{name}", site.group()),
                    "nicId": site.network("networkInterfaces", &format!("{name}-eth0")),
                    "address": machine.host.addresses()[0].addr(), "netns": machine.host.namespace(),
                })
            })
            .collect();
        let ready = json!({
            "url": site.url, "ca": site.ca, "signInLink": link.trim(), "tenantId": site.tenant,
            "subscriptionId": site.subscription, "resourceGroup": GROUP,
            "servicePrincipal": {"appId": site.principal.0, "password": site.principal.1}, "machines": machines,
            "dataDir": dir, "pid": std::process::id(), "command": crate::debug_dir().join("sekisho"),
        });
        Ok((site, ssh, ready))
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
            url = self.site.url,
            link = text("signInLink"),
            ca = self.site.ca.display(),
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
            if let Err(error) = self.site.all_alive() {
                self.dir.keep = true;
                return Err(error.into());
            }
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

/// Starts an SSH server in a host.
fn serve_ssh(site: &Site, host: &Host, dir: &Path) -> anyhow::Result<Child> {
    let key = dir.join(format!("ssh-{}", host.name()));
    let made = Command::new("dropbearkey").args(["-t", "ed25519", "-f"]).arg(&key).output()?;
    if !made.status.success() {
        bail!("dropbearkey: {}", String::from_utf8_lossy(&made.stderr).trim());
    }
    host.command("dropbear")
        .args(["-F", "-E", "-s", "-p", &format!("{}:22", host.addresses()[0].addr()), "-P"])
        // dropbear removes its pid file when it ends, so the file must be its own.
        .arg(dir.join(format!("ssh-{}.pid", host.name())))
        .arg("-r")
        .arg(&key)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(site.log(&format!("ssh-{}", host.name()))?)
        .spawn()
        .context("starting dropbear")
}

/// Starts the machine's own SSH server, which no other machine reaches, for sessions through a bastion, where OpenSSH is
/// installed.
fn serve_openssh(site: &Site, host: &Host) -> anyhow::Result<Option<Child>> {
    let (sshd, Some(files)) = (Path::new("/usr/sbin/sshd"), host.own_files()) else { return Ok(None) };
    if !sshd.exists() {
        return Ok(None);
    }
    std::fs::write(files.join("etc/ssh/sshd_config.d/50-demo.conf"), "ListenAddress 127.0.0.1\n")?;
    host.command("/usr/sbin/sshd")
        .args(["-D", "-e"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(site.log(&format!("sshd-{}", host.name()))?)
        .spawn()
        .map(Some)
        .context("starting sshd")
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
