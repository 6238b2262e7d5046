//! OpenSSH, set up for the gate: a key, whom to believe, and which way to go.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use reqwest::Method;
use serde_json::{Value, json};

use super::api::Server;
use super::home::Home;
use super::sign_in;

const KEYS: &str = "/ssh/keys";
/// The files.
const KEY: &str = "key";
const CONFIG: &str = "ssh_config";
const KNOWN_HOSTS: &str = "known_hosts";
/// What machines' names end with at the gate.
const DOMAIN: &str = ".sekisho";
/// The gate's own name.
const GATE: &str = "gate.sekisho";

/// A session on a machine.
#[derive(clap::Args)]
pub(crate) struct Ssh {
    /// An option of ssh_config(5), such as -o ServerAliveInterval=15.
    #[arg(short = 'o', value_name = "OPTION")]
    options: Vec<String>,
    /// Leads a port of this computer to one on the machine's own loopback: [ADDRESS:]PORT:HOST:PORT.
    #[arg(short = 'L', value_name = "FORWARD")]
    forward: Vec<String>,
    /// Opens a terminal also for a command.
    #[arg(short = 't')]
    terminal: bool,
    /// Runs nothing; with -L.
    #[arg(short = 'N', conflicts_with = "command")]
    nothing: bool,
    /// The machine: [ACCOUNT@]MACHINE.
    machine: String,
    /// What to run there; a shell when nothing is given.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// Files to copy.
#[derive(clap::Args)]
pub(crate) struct Scp {
    /// Directories with what is in them.
    #[arg(short = 'r')]
    recursive: bool,
    /// Keeps times and modes.
    #[arg(short = 'p')]
    preserve: bool,
    /// What to copy, and at last where to: files here, or [ACCOUNT@]MACHINE:PATH.
    #[arg(required = true, num_args = 2..)]
    files: Vec<String>,
}

/// A port that leads to a machine's.
#[derive(clap::Args)]
pub(crate) struct Tunnel {
    /// The machine.
    machine: String,
    /// Its port.
    port: u16,
    /// Where to listen on this computer: [ADDRESS:]PORT. The machine's port on 127.0.0.1 when not given.
    #[arg(long)]
    listen: Option<String>,
}

/// `root@db` as the gate knows it.
fn at_gate(machine: &str) -> anyhow::Result<String> {
    let host = machine.rsplit_once('@').map_or(machine, |(_, host)| host);
    let is_name = host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    if host.is_empty() || !is_name || machine.starts_with('-') {
        bail!("'{machine}' is no machine: [ACCOUNT@]MACHINE is expected");
    }
    Ok(if host.ends_with(DOMAIN) { machine.to_owned() } else { format!("{machine}{DOMAIN}") })
}

/// A machine of which a port is meant.
fn port_of(machine: &str) -> anyhow::Result<String> {
    if machine.contains('@') {
        bail!("a tunnel leads to a port, not to an account: name the machine alone");
    }
    at_gate(machine)
}

/// A file of scp's: what stands before a colon that comes before any slash is a machine.
fn file_at_gate(file: &str) -> anyhow::Result<String> {
    match file.split_once(':') {
        Some((machine, path)) if !machine.contains('/') => Ok(format!("{}:{path}", at_gate(machine)?)),
        _ => Ok(file.to_owned()),
    }
}

impl Ssh {
    /// What `ssh` is started with.
    pub(super) fn arguments(&self) -> anyhow::Result<Vec<OsString>> {
        let mut all: Vec<OsString> = Vec::new();
        let mut valued = |name: &str, values: &[String]| {
            values.iter().for_each(|value| all.extend([name.into(), value.into()]));
        };
        valued("-o", &self.options);
        valued("-L", &self.forward);
        all.extend(self.terminal.then(|| "-t".into()));
        all.extend(self.nothing.then(|| "-N".into()));
        all.extend(["--".into(), at_gate(&self.machine)?.into()]);
        all.extend(self.command.iter().cloned());
        Ok(all)
    }
}

impl Scp {
    /// What `scp` is started with.
    pub(super) fn arguments(&self) -> anyhow::Result<Vec<OsString>> {
        let mut all: Vec<OsString> = Vec::new();
        all.extend(self.recursive.then(|| "-r".into()));
        all.extend(self.preserve.then(|| "-p".into()));
        all.push("--".into());
        for file in &self.files {
            all.push(file_at_gate(file)?.into());
        }
        Ok(all)
    }
}

impl Tunnel {
    /// What `ssh` is started with.
    pub(super) fn arguments(&self) -> anyhow::Result<Vec<OsString>> {
        let listen = self.listen.clone().unwrap_or_else(|| self.port.to_string());
        let listen = if listen.contains(':') { listen } else { format!("127.0.0.1:{listen}") };
        let forward = format!("{listen}:{}:{}", port_of(&self.machine)?, self.port);
        let all = ["-N", "-o", "ExitOnForwardFailure=yes", "-L", &forward, "--", GATE];
        Ok(all.map(OsString::from).into())
    }
}

/// A way to a port of a machine's, for one connection.
pub(super) struct Way {
    config: PathBuf,
    to: String,
}

impl Way {
    /// What `ssh` is started with, the connection being its input and output.
    pub(super) fn arguments(&self) -> [OsString; 6] {
        let [is, config, leads, to] =
            [OsString::from("-F"), self.config.clone().into(), "-W".into(), (&self.to).into()];
        [is, config, leads, to, "--".into(), GATE.into()]
    }
}

/// The way to a port of a machine's.
pub(super) async fn way(home: &Home, machine: &str, port: u16) -> anyhow::Result<Way> {
    let to = format!("{}:{port}", port_of(machine)?);
    set_up(home).await?;
    Ok(Way { config: home.path(CONFIG), to })
}

/// Has OpenSSH know the gate, and the gate this computer.
async fn set_up(home: &Home) -> anyhow::Result<()> {
    let (server, token) = sign_in::signed_in(home).await?;
    let told = known(home, &server, &token).await?;
    write_down(home, &told)
}

/// Becomes one of OpenSSH's programs.
pub(super) async fn become_client(home: &Home, program: &str, arguments: &[OsString]) -> anyhow::Result<()> {
    set_up(home).await?;
    let error = Command::new(program).arg("-F").arg(home.path(CONFIG)).args(arguments).exec();
    Err(error).with_context(|| format!("'{program}' of OpenSSH could not be started"))
}

/// Has the server know this computer's key, and returns what it says of its gate.
async fn known(home: &Home, server: &Server, token: &str) -> anyhow::Result<Value> {
    let own = public_key(home)?;
    let all = server.ask(Method::GET, KEYS, token, None).await?;
    match id_of(&all, &own) {
        Some(_) => Ok(all),
        None => server.ask(Method::POST, KEYS, token, Some(&json!({ "publicKey": own }))).await,
    }
}

/// The id of a key among those that the server knows.
fn id_of(all: &Value, own: &str) -> Option<String> {
    let same = |key: &&Value| key["publicKey"].as_str().is_some_and(|line| without_comment(line) == own);
    Some(all["value"].as_array()?.iter().find(same)?["id"].as_str()?.to_owned())
}

fn without_comment(line: &str) -> String {
    line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// The public half of this computer's key, which is made when there is none.
fn public_key(home: &Home) -> anyhow::Result<String> {
    let name = format!("{KEY}.pub");
    let _alone = home.lock()?;
    if home.read(&name)?.is_none() || home.read(KEY)?.is_none() {
        let path = home.path(KEY);
        // It would ask whether to write over what is left of a pair.
        [path.clone(), home.path(&name)].iter().for_each(|path| drop(std::fs::remove_file(path)));
        let mut make = Command::new("ssh-keygen");
        make.args(["-q", "-t", "ed25519", "-N", "", "-C", "sekisho", "-f"]).arg(&path).stdin(Stdio::null());
        let made = make.status().context("'ssh-keygen' of OpenSSH could not be started")?;
        if !made.success() {
            bail!("'ssh-keygen' made no key: {made}");
        }
    }
    Ok(without_comment(&home.read(&name)?.context("there is no key")?))
}

/// Writes what OpenSSH has to know.
fn write_down(home: &Home, told: &Value) -> anyhow::Result<()> {
    let text =
        |field: &str| told[field].as_str().with_context(|| format!("the server says nothing of {field}"));
    let file = |name: &str| quoted(&home.path(name));
    let own = format!(
        "Host *{DOMAIN}\n  IdentityFile {}\n  IdentitiesOnly yes\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile /dev/null\n  \
         StrictHostKeyChecking yes\nHost *{DOMAIN} !{GATE}\n  ProxyCommand ssh -F {} -W %h:%p {GATE}\n",
        file(KEY),
        file(KNOWN_HOSTS),
        word(&home.path(CONFIG))
    );
    home.write(KNOWN_HOSTS, &format!("{}\n", text("knownHosts")?))?;
    home.write(CONFIG, &(own + text("config")?))
}

/// A path as a word of a shell's, in a command in which `%` stands for other things. The command of ProxyJump, which OpenSSH
/// makes itself, has it as it is.
fn word(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('%', "%%").replace('\'', "'\\''"))
}

/// A path in a file of OpenSSH, in which `%` stands for other things.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('%', "%%"))
}

/// Takes this computer's key back.
pub(super) async fn take_back(home: &Home) -> anyhow::Result<()> {
    let Some(line) = home.read(&format!("{KEY}.pub"))? else { return Ok(()) };
    let (server, token) = sign_in::signed_in(home).await?;
    let all = server.ask(Method::GET, KEYS, &token, None).await?;
    if let Some(id) = id_of(&all, &without_comment(&line)) {
        server.ask(Method::DELETE, &format!("{KEYS}/{id}"), &token, None).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_named_as_the_gate_knows_them_and_nothing_becomes_an_option() {
        assert_eq!(at_gate("db").unwrap(), "db.sekisho");
        assert_eq!(at_gate("root@db.rg1.sekisho").unwrap(), "root@db.rg1.sekisho");
        assert_eq!(at_gate("a@b@db").unwrap(), "a@b@db.sekisho");
        for name in ["", "root@", "-oProxyCommand=x", "db;x", "db x", "d%b", "db\n"] {
            assert!(at_gate(name).is_err(), "{name:?}");
        }
        assert_eq!(file_at_gate("root@db:/etc/a:b").unwrap(), "root@db.sekisho:/etc/a:b");
        assert_eq!(file_at_gate("./a:b").unwrap(), "./a:b");
        assert!(file_at_gate("-oProxyCommand=x:y").is_err());
    }

    #[test]
    fn a_path_with_signs_of_openssh_stays_a_path() {
        assert_eq!(quoted(Path::new("/home/a b/%h")), "\"/home/a b/%%h\"");
        assert_eq!(word(Path::new("/home/a b/it's%h")), "'/home/a b/it'\\''s%%h'");
    }
}
