//! Sessions over SSH through the gate, beside the same over an OpenSSH server that is jumped over (`ssh -J`), with one cipher and
//! one client. Both lead to a machine of the lab.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sekisho_lab::{Api, Host};
use serde_json::{Value, json};

use super::figure::{Figure, Target};
use super::process::{cpu, resident};
use super::tools::{Database, Ends, Installation};
use super::{Bench, Note as _, Results, Sizes};

const PEER: &str = "ssh -J";
const SSHD: &str = "/usr/sbin/sshd";
const CIPHER: &str = "aes256-gcm@openssh.com";
/// Where the peer's servers listen.
const PORT: u16 = 2222;
const GROUP: &str = "bench";
/// Virtual Machine Administrator Login.
const ADMIN_LOGIN: &str = "1c0163c0-47e6-4577-8991-ea5c82e286e4";
/// How long the machine's SSH server may take to trust the installation, and anything else.
const SOON: Duration = Duration::from_secs(60);
/// Ours and the peer in turn, so many times.
const TURNS: usize = 5;

const CONNECT: &str = "SSH: a command that does nothing, from start to end, p50";
const PLAIN: &str = "SSH: processor time of the server for a GiB";
const RECORDED: &str = "SSH: processor time of the server for a GiB, recorded";
const ADDED: &str = "SSH: a keystroke's echo, later than over the peer, p50";
const ADDED_MOST: &str = "SSH: a keystroke's echo, later than over the peer, p99";
const IDLE: &str = "SSH: memory of the server for an idle session";

pub(crate) fn figures(_: &Sizes) -> Vec<Figure> {
    vec![
        Figure::new(CONNECT, "ms", Target::NONE.within(0.6)).against(PEER),
        Figure::new(PLAIN, "s", Target::NONE.within(1.0)).against(PEER),
        Figure::new(RECORDED, "s", Target::NONE.within(1.6)).against(PEER),
        Figure::new(ADDED, "ms", Target::at_most(0.5)),
        Figure::new(ADDED_MOST, "ms", Target::at_most(3.0)),
        Figure::new(IDLE, "kB", Target::NONE),
    ]
}

/// How `ssh` is told where to go.
struct Way {
    /// Where it runs, if not here.
    from: Option<Host>,
    config: PathBuf,
    to: &'static str,
}

impl Way {
    fn ssh(&self, options: &[&str], command: &str) -> Command {
        let mut ssh = self.from.as_ref().map_or_else(|| Command::new("ssh"), |host| host.command("ssh"));
        ssh.arg("-F").arg(&self.config).args(options).args(["--", self.to, command]);
        ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        ssh
    }

    /// Runs a command to its end, whose output nobody wants.
    fn run(&self, command: &str) -> anyhow::Result<()> {
        let done = self.ssh(&[], command).stdin(Stdio::null()).stdout(Stdio::null()).output()?;
        ensure!(done.status.success(), "{}: {}", self.to, String::from_utf8_lossy(&done.stderr).trim());
        Ok(())
    }

    /// Starts a command that says that it is ready.
    fn start(&self, options: &[&str], command: &str) -> anyhow::Result<Started> {
        let mut child = self.ssh(options, command).stderr(Stdio::null()).spawn()?;
        let input = child.stdin.take().context("ssh has no input")?;
        let output = BufReader::new(child.stdout.take().context("ssh has no output")?);
        let mut started = Started { _child: Ends(child), input, output };
        let mut line = String::new();
        started.output.read_line(&mut line)?;
        ensure!(line.trim() == "ready", "{}: it does not begin", self.to);
        Ok(started)
    }
}

/// A session that goes on.
struct Started {
    _child: Ends,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Started {
    /// How long it takes until a byte that is typed is shown, in milliseconds.
    fn echo(&mut self) -> anyhow::Result<f64> {
        let (began, mut byte) = (Instant::now(), [0]);
        self.input.write_all(b"x")?;
        self.output.read_exact(&mut byte)?;
        Ok(began.elapsed().as_secs_f64() * 1e3)
    }
}

fn quantile(mut all: Vec<f64>, part: f64) -> f64 {
    all.sort_by(f64::total_cmp);
    let at = ((all.len() as f64 - 1.0) * part).round() as usize;
    all.get(at).copied().unwrap_or(f64::NAN)
}

/// An OpenSSH server that lets one key in, on a machine of the lab.
struct Sshd(Ends);

impl Sshd {
    fn start(host: &Host, dir: &Path, options: &[&str]) -> anyhow::Result<Sshd> {
        let log = fs::File::create(dir.join(format!("sshd-{}.log", host.name())))?;
        let mut command = host.command(SSHD);
        let child = command.args(["-D", "-e"]).args(options).stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Sshd(Ends(child.stderr(log).spawn().context(SSHD)?)))
    }

    /// One for the peer, on the machine's own address.
    fn for_peer(host: &Host, dir: &Path) -> anyhow::Result<Sshd> {
        let config = dir.join(format!("sshd-{}.conf", host.name()));
        let text = format!(
            "ListenAddress {}\nPort {PORT}\nHostKey {1}/host\nAuthorizedKeysFile {1}/key.pub\nStrictModes no\nUsePAM no\n\
             PermitRootLogin prohibit-password\nPasswordAuthentication no\nPidFile none\nCiphers {CIPHER}\n",
            address(host)?,
            dir.display()
        );
        fs::write(&config, text)?;
        let sshd = Sshd::start(host, dir, &["-f", &config.display().to_string()])?;
        let (at, began) = (std::net::SocketAddr::new(address(host)?, PORT), Instant::now());
        while host.connect_tcp(at, Duration::from_secs(1)).is_err() {
            ensure!(began.elapsed() < SOON, "the peer's server does not listen on {at}");
        }
        Ok(sshd)
    }

    /// What it has cost so far, when nobody is there any more.
    fn cost(&self) -> anyhow::Result<f64> {
        let (pid, began) = (self.0.0.id(), Instant::now());
        loop {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
            if children.trim().is_empty() {
                return cpu(pid);
            }
            ensure!(began.elapsed() < SOON, "the peer's server does not end its sessions");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn address(host: &Host) -> anyhow::Result<std::net::IpAddr> {
    let v4 = host.addresses().iter().map(|net| net.addr()).find(std::net::IpAddr::is_ipv4);
    v4.context("the machine has no address")
}

fn new_key(path: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("ssh-keygen");
    crate::run(command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path))
}

/// Lets the program that measures log in to a machine.
fn give(api: &Api, machine: &str) -> anyhow::Result<()> {
    let claims = api.token().split('.').nth(1).context("no token")?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    let role = format!("/providers/Microsoft.Authorization/roleDefinitions/{ADMIN_LOGIN}");
    let path = format!(
        "{machine}/providers/Microsoft.Authorization/roleAssignments/{ADMIN_LOGIN}?api-version=2022-04-01"
    );
    let properties =
        json!({"roleDefinitionId": role, "principalId": claims["oid"], "principalType": "ServicePrincipal"});
    api.put(&path, &json!({ "properties": properties }))?;
    Ok(())
}

/// The way through the gate, as the server tells of it.
fn ours(api: &Api, dir: &Path) -> anyhow::Result<Way> {
    let line = fs::read_to_string(dir.join("key.pub"))?;
    let told = api.post("/ssh/keys", &json!({ "publicKey": line }))?;
    let text =
        |field: &str| told[field].as_str().with_context(|| format!("the server says nothing of {field}"));
    let (config, known) = (dir.join("gate.conf"), dir.join("known_hosts"));
    fs::write(&known, text("knownHosts")?)?;
    let jump = format!("ProxyCommand ssh -F {} -W %h:%p gate.sekisho", config.display());
    let hosts = text("config")?.replace("ProxyJump gate.sekisho", &jump);
    let trust = format!("UserKnownHostsFile {}\nStrictHostKeyChecking yes\n", known.display());
    fs::write(&config, format!("{trust}{}{hosts}", common(dir)))?;
    Ok(Way { from: None, config, to: "root@web.sekisho" })
}

/// The way over another machine, from where that is near, as the gate is to who measures.
fn peers(jump: &Host, there: &Host, dir: &Path) -> anyhow::Result<Way> {
    let config = dir.join("jump.conf");
    let text = format!(
        "UserKnownHostsFile /dev/null\nStrictHostKeyChecking no\nPort {PORT}\n{}Host jump\n  HostName {}\n\
         Host there\n  HostName {}\n  ProxyCommand ssh -F {} -W %h:%p root@jump\n",
        common(dir),
        address(jump)?,
        address(there)?,
        config.display()
    );
    fs::write(&config, text)?;
    Ok(Way { from: Some(jump.clone()), config, to: "root@there" })
}

fn common(dir: &Path) -> String {
    format!(
        "GlobalKnownHostsFile /dev/null\nBatchMode yes\nIdentityFile {}\nIdentitiesOnly yes\nCiphers {CIPHER}\n\
         ConnectTimeout 20\nLogLevel ERROR\n",
        dir.join("key").display()
    )
}

/// Both ways, and what stands at them.
struct World {
    installation: Installation,
    /// The machine's id.
    machine: String,
    /// Through the gate, and over the peer.
    ways: [Way; 2],
    jump: Sshd,
    _servers: [Sshd; 2],
    _dir: tempfile::TempDir,
}

impl World {
    fn new(bench: &Bench) -> anyhow::Result<World> {
        if !Path::new(SSHD).exists() {
            bail!("there is no OpenSSH server (openssh-server)");
        }
        let mut installation = Installation::start(bench, Database::Sqlite)?;
        let site = &mut installation.site;
        site.make_network(&installation.api, GROUP, json!([]))?;
        site.join(&[("web", 4), ("jump", 5)], &[])?;
        site.wait_for_facts(&installation.api)?;
        let (site, api) = (&installation.site, &installation.api);
        let (web, jump) = (&site.machine("web")?.host, &site.machine("jump")?.host);
        let dir = tempfile::tempdir()?;
        for name in ["key", "host"] {
            new_key(&dir.path().join(name))?;
        }
        let files = web.own_files().context("the machine has no files of its own")?;
        let own = format!("ListenAddress 127.0.0.1\nCiphers {CIPHER}\n");
        fs::write(files.join("etc/ssh/sshd_config.d/50-bench.conf"), own)?;
        let servers = [Sshd::start(web, dir.path(), &[])?, Sshd::for_peer(web, dir.path())?];
        let jump_server = Sshd::for_peer(jump, dir.path())?;
        let machine = format!("{}/providers/Microsoft.Compute/virtualMachines/web", site.group());
        give(api, &machine)?;
        let ways = [ours(api, dir.path())?, peers(jump, web, dir.path())?];
        let world = World { machine, ways, jump: jump_server, _servers: servers, _dir: dir, installation };
        world.set(false)?;
        let began = Instant::now();
        for way in &world.ways {
            // Until the machine's SSH server trusts the installation.
            while let Err(why) = way.run("true") {
                ensure!(began.elapsed() < SOON, "{why}");
            }
        }
        Ok(world)
    }

    /// Has the gate record, or not.
    fn set(&self, recording: bool) -> anyhow::Result<()> {
        let path =
            format!("{}?api-version=2024-05-01", self.installation.site.network("bastionHosts", "gate"));
        let properties = json!({"enableTunneling": true, "enableSessionRecording": recording});
        let body = json!({"location": "home", "sku": {"name": "Premium"}, "properties": properties});
        self.installation.api.put(&path, &body)?;
        Ok(())
    }

    /// How long a command that does nothing takes on each way, in milliseconds, p50.
    fn connects(&self, times: usize) -> anyhow::Result<[f64; 2]> {
        let mut took = [Vec::new(), Vec::new()];
        for _ in 0..times {
            for (way, took) in self.ways.iter().zip(&mut took) {
                let began = Instant::now();
                way.run("true")?;
                took.push(began.elapsed().as_secs_f64() * 1e3);
            }
        }
        Ok(took.map(|all| quantile(all, 0.5)))
    }

    /// What an idle session takes of the server's memory, in kilobytes.
    fn idle(&self, sessions: usize) -> anyhow::Result<f64> {
        let server = self.installation.server_pid()?;
        let before = resident(server)?;
        let open = (0..sessions).map(|_| self.ways[0].start(&[], "echo ready; exec sleep 1000"));
        let _open = open.collect::<anyhow::Result<Vec<Started>>>()?;
        Ok((resident(server)? - before) / 1e3 / sessions as f64)
    }

    /// Processor time of the gate, and of the server that is jumped over, for a GiB of text, in seconds.
    fn cost(&self, mebibytes: usize) -> anyhow::Result<[f64; 2]> {
        let server = self.installation.server_pid()?;
        let command = format!("yes \"$(seq 1 2000)\" | head -c {}", mebibytes << 20);
        let so_far = |way: usize| if way == 0 { cpu(server) } else { self.jump.cost() };
        let mut cost = [0.0; 2];
        for (n, (way, cost)) in self.ways.iter().zip(&mut cost).enumerate() {
            let before = so_far(n)?;
            way.run(&command)?;
            *cost = (so_far(n)? - before) * 1024.0 / mebibytes as f64;
        }
        Ok(cost)
    }

    /// How many sessions on the machine were recorded.
    fn recorded(&self) -> anyhow::Result<usize> {
        let path = format!("{}/providers/Sekisho.Bastion/recordings?api-version=2026-11-01", self.machine);
        Ok(self.installation.api.get(&path)?["value"].as_array().map_or(0, Vec::len))
    }

    /// How long it takes on each way until what is typed is shown, in milliseconds.
    fn echoes(&self, keys: usize) -> anyhow::Result<[Vec<f64>; 2]> {
        let start = |way: &Way| way.start(&["-tt"], "stty raw -echo -onlcr; echo ready; exec cat");
        let mut open = self.ways.iter().map(start).collect::<anyhow::Result<Vec<Started>>>()?;
        let mut echoes = [Vec::new(), Vec::new()];
        for _ in 0..TURNS {
            for (session, echoes) in open.iter_mut().zip(&mut echoes) {
                for _ in 0..keys {
                    echoes.push(session.echo()?);
                }
            }
        }
        Ok(echoes)
    }
}

pub(crate) fn measure(bench: &Bench, results: &mut Results) -> anyhow::Result<()> {
    let world = World::new(bench)?;
    let [connects, mebibytes, keys, idle] = bench.sizes.ssh;
    let [own, peer] = world.connects(connects)?;
    results.note(CONNECT, own, Some(peer));
    results.note(IDLE, world.idle(idle)?, None);
    let [own, peer] = world.cost(mebibytes)?;
    results.note(PLAIN, own, Some(peer));
    world.set(true)?;
    let [own, peer] = world.cost(mebibytes)?;
    let recorded = world.recorded()?;
    ensure!(recorded == 1, "{recorded} sessions were recorded");
    results.note(RECORDED, own, Some(peer));
    world.set(false)?;
    let echoes = world.echoes(keys)?;
    let [own, peer] = echoes.each_ref().map(|all| [0.5, 0.99].map(|part| quantile(all.clone(), part)));
    eprintln!("echoes, p50 and p99 in ms: {own:?} and {peer:?}");
    results.note(ADDED, own[0] - peer[0], None);
    results.note(ADDED_MOST, own[1] - peer[1], None);
    Ok(())
}
