//! A PostgreSQL server of a test's own: Debian's, on a temporary directory, reachable by a Unix socket only.

use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, User, geteuid};
use tempfile::TempDir;

use crate::LabError;

/// How long a server may take to answer; recovery after a crash is in it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server. Dropping it ends it and removes its files; it dies with the thread that started it, too.
#[derive(Debug)]
pub struct Postgres {
    dir: TempDir,
    programs: PathBuf,
    server: Child,
}

/// Where Debian keeps the newest server's programs, or why it cannot be used.
///
/// # Errors
/// What is missing, in words.
pub fn programs() -> Result<PathBuf, String> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        versions.map(|d| d.path().join("bin")).filter(|p| p.join("initdb").exists()).collect();
    found.sort();
    found.pop().ok_or_else(|| "PostgreSQL is not installed (Debian's package postgresql)".to_owned())
}

impl Postgres {
    /// Starts a server on an empty cluster.
    ///
    /// # Errors
    /// When it is not installed or does not come up.
    pub fn start() -> Result<Postgres, LabError> {
        let programs = programs().map_err(|e| LabError::io("PostgreSQL")(io::Error::other(e)))?;
        let dir = tempfile::Builder::new()
            .prefix("sekisho-pg-")
            .tempdir()
            .map_err(LabError::io("a directory for PostgreSQL"))?;
        // Its own user goes through the directory to the socket.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711))
            .map_err(LabError::io("a directory for PostgreSQL"))?;
        let template = template(&programs)?;
        run(Command::new("cp").arg("-a").arg(&template).arg(dir.path().join("data")))?;
        let server = spawn(&programs, dir.path())?;
        let mut started = Postgres { dir, programs, server };
        started.wait()?;
        Ok(started)
    }

    /// The URL of its database, for sqlx.
    pub fn url(&self) -> String {
        let user = account().map_or_else(|| "postgres".to_owned(), |a| a.name);
        let socket = self.dir.path().display().to_string().replace('/', "%2F");
        format!("postgres://{user}@{socket}/postgres")
    }

    /// Kills it as a power cut would, every process at once.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&mut self) -> Result<(), LabError> {
        let failed = LabError::io("killing PostgreSQL");
        // Each of its children leads a group of its own and notices within moments that it is gone.
        if let Ok(pid) = i32::try_from(self.server.id()) {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
        self.server.wait().map(|_| ()).map_err(failed)
    }

    /// Starts it again on what it kept.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> Result<(), LabError> {
        let began = Instant::now();
        loop {
            self.server = spawn(&self.programs, self.dir.path())?;
            match self.wait() {
                // A child of the killed server still holds its memory: whoever starts it again tries again, as systemd does.
                Err(LabError::Command { message, .. })
                    if message.contains("pre-existing shared memory block") && began.elapsed() < PATIENCE =>
                {
                    std::thread::sleep(Duration::from_millis(5));
                }
                ended => return ended,
            }
        }
    }

    fn wait(&mut self) -> Result<(), LabError> {
        let began = Instant::now();
        loop {
            let ready = Command::new(self.programs.join("pg_isready"))
                .args(["-q", "-h"])
                .arg(self.dir.path())
                .status()
                .map_err(LabError::io("pg_isready"))?;
            if ready.success() {
                return Ok(());
            }
            let ended = self.server.try_wait().map_err(LabError::io("PostgreSQL"))?;
            if ended.is_some() || began.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
                return Err(LabError::Command { command: "postgres".to_owned(), message: log });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // An immediate shutdown, so that it reaps its children itself.
        if let Ok(pid) = i32::try_from(self.server.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGQUIT);
        }
        let began = Instant::now();
        while self.server.try_wait().is_ok_and(|ended| ended.is_none()) && began.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.kill();
    }
}

/// The account that PostgreSQL runs as: it refuses root.
fn account() -> Option<User> {
    if !geteuid().is_root() {
        return User::from_uid(geteuid()).ok().flatten();
    }
    User::from_name("postgres").ok().flatten()
}

/// A command of PostgreSQL's, as its user.
fn command(program: &Path) -> Result<Command, LabError> {
    if !geteuid().is_root() {
        return Ok(Command::new(program));
    }
    let account =
        account().ok_or_else(|| LabError::io("the user postgres")(io::ErrorKind::NotFound.into()))?;
    let mut command = Command::new("setpriv");
    command
        .args([format!("--reuid={}", account.uid), format!("--regid={}", account.gid)])
        .args(["--clear-groups", "--pdeathsig=KILL", "--"])
        .arg(program);
    Ok(command)
}

fn spawn(programs: &Path, dir: &Path) -> Result<Child, LabError> {
    use std::os::unix::process::CommandExt as _;
    // A new file, since what is left of an earlier server still writes into the old one for a moment.
    let path = dir.join("log");
    let _ = std::fs::remove_file(&path);
    let log = std::fs::File::create(path).map_err(LabError::io("the log of PostgreSQL"))?;
    let data = dir.join("data");
    // What an earlier server of this directory left behind.
    let _ = std::fs::remove_file(data.join("postmaster.pid"));
    if let (Some(account), true) = (account(), geteuid().is_root()) {
        chown(dir, Some(account.uid.as_raw()), Some(account.gid.as_raw()))
            .map_err(LabError::io("the directory of PostgreSQL"))?;
    }
    command(&programs.join("postgres"))?
        .arg("-D")
        .arg(&data)
        .args(["-c", "listen_addresses=", "-c"])
        .arg(format!("unix_socket_directories={}", dir.display()))
        // A small one: many tests have one each.
        .args(["-c", "shared_buffers=16MB", "-c", "max_connections=100", "-c", "autovacuum=off"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0)
        .spawn()
        .map_err(LabError::io("starting PostgreSQL"))
}

fn run(command: &mut Command) -> Result<(), LabError> {
    let output = command.output().map_err(LabError::io(format!("{command:?}")))?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(LabError::Command { command: format!("{command:?}"), message })
}

/// An empty cluster, made once per machine and version and copied from then on.
fn template(programs: &Path) -> Result<PathBuf, LabError> {
    let version = programs.parent().and_then(Path::file_name).unwrap_or_default();
    let base = std::env::temp_dir().join(format!("sekisho-pg-template-{}", geteuid()));
    let failed = || LabError::io("the template of PostgreSQL");
    std::fs::create_dir_all(&base).map_err(failed())?;
    std::fs::set_permissions(&base, std::fs::Permissions::from_mode(0o711)).map_err(failed())?;
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&base).map_err(failed())?);
    if owner != geteuid().as_raw() {
        return Err(failed()(io::Error::other(format!("{} belongs to somebody else", base.display()))));
    }
    let lock = std::fs::File::create(base.join("lock")).map_err(failed())?;
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, e)| failed()(e.into()))?;
    let done = base.join(version);
    if done.exists() {
        return Ok(done);
    }
    let fresh = base.join("fresh");
    let _ = std::fs::remove_dir_all(&fresh);
    std::fs::create_dir(&fresh).map_err(failed())?;
    if let (Some(account), true) = (account(), geteuid().is_root()) {
        chown(&fresh, Some(account.uid.as_raw()), Some(account.gid.as_raw())).map_err(failed())?;
    }
    run(command(&programs.join("initdb"))?
        .args(["--auth=trust", "--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C.UTF-8", "-D"])
        .arg(&fresh))?;
    std::fs::rename(&fresh, &done).map_err(failed())?;
    Ok(done)
}

/// The database that this run of the tests is for: PostgreSQL where `SEKISHO_TEST_DATABASE` says `postgres`, otherwise
/// none, which means SQLite.
///
/// # Errors
/// When PostgreSQL is asked for and does not start.
pub fn of_this_run() -> Result<Option<Postgres>, LabError> {
    match std::env::var("SEKISHO_TEST_DATABASE").as_deref() {
        Ok("postgres") => Postgres::start().map(Some),
        _ => Ok(None),
    }
}
