//! The shell around [`sekisho_bastion::sshd`]: reads what is there, writes what is to be, has the SSH server check and
//! read it, and takes everything back when the server does not do what it should.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sekisho_bastion::part::SshPart;
use sekisho_bastion::sshd::{DIRECTORY, DROP_IN, Effective, Observed, Plan, plan, read_at_start};
use sekisho_link::facts;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::PATIENCE;
use crate::facts::program::{Limits, output};
use crate::state::State;

const SSHD: &str = "/usr/sbin/sshd";
const ETC: &str = "/etc/ssh";
const LIMITS: Limits = Limits { time: PATIENCE, bytes: 1 << 20 };
/// How long the server may take until it answers after it has read its configuration.
const RESTART: Duration = Duration::from_secs(10);
/// Most files of ours, and the largest.
const MOST: usize = 32;
const LARGEST: u64 = 256 << 10;
/// Most host keys told of.
const HOST_KEYS: usize = 8;

/// Most files of the server's that are looked at for a change.
const LOOKED_AT: usize = 256;
/// For so long, files that are as they were are taken for a server that is as it was. A configuration may include others.
const LASTS: Duration = Duration::from_secs(15 * 60);

/// Brings the server to trust whom it should, again and again.
pub(super) struct Keeper {
    state: State,
    last: Mutex<Option<Last>>,
}

/// How everything was when it was last looked at.
struct Last {
    at: Instant,
    part: Option<SshPart>,
    stamps: Vec<Stamp>,
    told: Option<facts::Ssh>,
}

/// What changes with a file: its name, its inode, its size, and when that changed, in seconds and nanoseconds.
type Stamp = (PathBuf, u64, u64, (i64, i64));

impl Keeper {
    pub(super) fn new(state: State) -> Keeper {
        Keeper { state, last: Mutex::new(None) }
    }

    /// Makes it so, and says how it is. `None`: there is no OpenSSH server.
    ///
    /// Asking the server what its configuration comes to costs more than all else that an agent does in a minute in which
    /// nothing happens. It is not asked while its files and what is wanted are as they were when all was well.
    pub(super) async fn converge(&self, part: Option<&SshPart>) -> Option<facts::Ssh> {
        let mut last = self.last.lock().await;
        let before = stamps().ok();
        if let Some(last) = &*last
            && last.at.elapsed() < LASTS
            && last.part.as_ref() == part
            && before.as_ref() == Some(&last.stamps)
        {
            return last.told.clone();
        }
        *last = None;
        let told = converge(part, &self.state).await;
        let is_well = told.as_ref().is_none_or(|ssh| ssh.problem.is_none());
        // Of what was changed while this looked at it, it is not known what it saw.
        if let Some(stamps) = before.filter(|before| is_well && stamps().is_ok_and(|now| now == *before)) {
            *last = Some(Last { at: Instant::now(), part: part.cloned(), stamps, told: told.clone() });
        }
        told
    }
}

/// Of the server's program and of everything that its configuration usually is.
fn stamps() -> io::Result<Vec<Stamp>> {
    let mut found = vec![PathBuf::from(SSHD), PathBuf::from(ETC)];
    let own = Path::new(ETC).join(DIRECTORY);
    for directory in [PathBuf::from(ETC), Path::new(ETC).join("sshd_config.d"), own] {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries {
            found.push(entry?.path());
            if found.len() > LOOKED_AT {
                return Err(io::Error::other("there are too many files to know of a change"));
            }
        }
    }
    found.sort();
    let stamp = |path: PathBuf| match fs::metadata(&path) {
        Ok(meta) => Ok((path, meta.ino(), meta.len(), (meta.ctime(), meta.ctime_nsec()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((path, 0, 0, (0, 0))),
        Err(error) => Err(error),
    };
    found.into_iter().map(stamp).collect()
}

async fn converge(part: Option<&SshPart>, state: &State) -> Option<facts::Ssh> {
    if !Path::new(SSHD).exists() {
        return None;
    }
    let effective = match effective().await {
        Ok(effective) => effective,
        Err(error) => return Some(facts::Ssh { problem: Some(short(&error)), ..facts::Ssh::default() }),
    };
    let mut told =
        facts::Ssh { port: effective.port, host_keys: host_keys(&effective), ..facts::Ssh::default() };
    match make_so(part, effective, state).await {
        Ok(trusts) => told.trusts = trusts,
        Err(error) => told.problem = Some(short(&error)),
    }
    Some(told)
}

fn short(error: &anyhow::Error) -> String {
    format!("{error:#}").chars().take(300).collect()
}

async fn make_so(part: Option<&SshPart>, effective: Effective, state: &State) -> anyhow::Result<bool> {
    let confirmed = state.sshd_read().unwrap_or_else(|error| {
        tracing::warn!(%error, "what the SSH server has read is not known; it is told to read it again");
        BTreeMap::new()
    });
    let observed = Observed { files: files().context(ETC)?, effective, confirmed };
    let todo = plan(part, &observed)?;
    if todo.is_nothing() {
        return Ok(part.is_some() && observed.effective.is_ours());
    }
    tracing::info!(reload = todo.reload, "the SSH server's trust in the bastion is brought up to date");
    apply(&todo, &observed, part.is_some(), state).await?;
    Ok(part.is_some())
}

/// What the server's configuration comes to.
async fn effective() -> anyhow::Result<Effective> {
    let mut sshd = Command::new(SSHD);
    sshd.arg("-T");
    let said =
        output(sshd, b"", LIMITS).await.context("the SSH server's configuration cannot be read (sshd -T)")?;
    Ok(Effective::parse(&String::from_utf8_lossy(&said)))
}

fn host_keys(effective: &Effective) -> Vec<String> {
    let public = effective.host_keys.iter().filter_map(|path| fs::read_to_string(format!("{path}.pub")).ok());
    // The comment tells of who made it.
    let bare = public.filter_map(|line| {
        let mut words = line.split_whitespace();
        Some(format!("{} {}", words.next()?, words.next()?))
    });
    bare.take(HOST_KEYS).collect()
}

/// Our files that are there.
fn files() -> io::Result<BTreeMap<String, String>> {
    let mut out = BTreeMap::new();
    let mut read = |name: String| -> io::Result<()> {
        let path = Path::new(ETC).join(&name);
        match fs::metadata(&path) {
            // What is larger than anything of ours differs from it in any case.
            Ok(meta) if meta.len() > LARGEST => drop(out.insert(name, String::new())),
            Ok(_) => drop(out.insert(name, String::from_utf8_lossy(&fs::read(&path)?).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(())
    };
    read(DROP_IN.to_owned())?;
    match fs::read_dir(Path::new(ETC).join(DIRECTORY)) {
        Ok(entries) => {
            for entry in entries.take(MOST) {
                if let Ok(name) = entry?.file_name().into_string() {
                    read(format!("{DIRECTORY}/{name}"))?;
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(out)
}

/// Writes a file whole or not at all.
fn write(name: &str, text: &str) -> anyhow::Result<()> {
    let path = PathBuf::from(ETC).join(name);
    let dir = path.parent().unwrap_or(Path::new(ETC));
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    fs::set_permissions(dir, Permissions::from_mode(0o755)).with_context(|| dir.display().to_string())?;
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    // Not a name that the server's configuration includes.
    let fresh = dir.join(format!(".{file}.new"));
    let written = fs::write(&fresh, text)
        .and_then(|()| fs::set_permissions(&fresh, Permissions::from_mode(0o644)))
        .and_then(|()| fs::File::open(&fresh)?.sync_all())
        .and_then(|()| fs::rename(&fresh, &path));
    written.with_context(|| path.display().to_string())
}

fn remove(name: &str) -> anyhow::Result<()> {
    let path = PathBuf::from(ETC).join(name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}

/// Does what is planned. Whatever goes wrong after the included file was changed, that is as the server last read it.
async fn apply(todo: &Plan, observed: &Observed, trusts: bool, state: &State) -> anyhow::Result<()> {
    for (name, text) in &todo.write {
        write(name, text)?;
    }
    if let Some(wanted) = &todo.drop_in {
        set(wanted.as_deref())?;
    }
    if todo.reload {
        let done = async {
            check(trusts).await?;
            reload(&observed.effective).await
        };
        if let Err(error) = done.await {
            set(observed.confirmed.get(DROP_IN).map(String::as_str)).context("taking the change back")?;
            if let Err(again) = reload(&observed.effective).await {
                tracing::error!(error = format!("{again:#}"), "the SSH server does not answer");
            }
            return Err(error);
        }
    }
    for name in &todo.remove {
        remove(name)?;
    }
    if todo.reload {
        state.keep_sshd_read(&read_at_start(&files().context(ETC)?))?;
    }
    Ok(())
}

fn set(drop_in: Option<&str>) -> anyhow::Result<()> {
    match drop_in {
        Some(text) => write(DROP_IN, text),
        None => remove(DROP_IN),
    }
}

/// Has the server look at its configuration before it is asked to live with it.
async fn check(trusts: bool) -> anyhow::Result<()> {
    let mut sshd = Command::new(SSHD);
    sshd.arg("-t");
    output(sshd, b"", LIMITS).await.context("the SSH server refuses its configuration (sshd -t)")?;
    if effective().await?.is_ours() != trusts {
        bail!(
            "the SSH server does not read {ETC}/{DROP_IN}: its configuration has no Include of that directory, or not at its beginning"
        );
    }
    Ok(())
}

/// Has the server read its configuration, if one runs, and waits until it answers. One that runs not, or for each
/// connection, reads it when it starts.
async fn reload(effective: &Effective) -> anyhow::Result<()> {
    let Some(pid) = effective.pid_file.as_ref().and_then(|path| running(path)) else { return Ok(()) };
    kill(pid, Signal::SIGHUP).context("the SSH server cannot be told to read its configuration")?;
    let began = Instant::now();
    while !answers(effective.port).await {
        if began.elapsed() > RESTART {
            bail!("the SSH server does not answer any more after it has read its configuration");
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// The server's process, if it is one.
fn running(pid_file: &str) -> Option<Pid> {
    let pid: i32 = fs::read_to_string(pid_file).ok()?.trim().parse().ok()?;
    let exe = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    exe.file_name().is_some_and(|name| name.to_string_lossy().starts_with("sshd")).then(|| Pid::from_raw(pid))
}

/// Whether an SSH server says who it is.
async fn answers(port: u16) -> bool {
    let greeting = async {
        let mut stream = match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(stream) => stream,
            Err(_) => TcpStream::connect(("::1", port)).await?,
        };
        let mut start = [0; 4];
        stream.read_exact(&mut start).await?;
        io::Result::Ok(start == *b"SSH-")
    };
    matches!(timeout(Duration::from_secs(2), greeting).await, Ok(Ok(true)))
}
