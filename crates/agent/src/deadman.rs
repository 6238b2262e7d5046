//! The dead man's switch: a process of its own that puts the old rules back unless it is released in time.
//!
//! It is armed before a change and reads the state to restore from the journal, so that it needs nothing from the
//! agent any more: the agent may hang, be killed or be cut off. It restores at once when its standard input closes
//! (the agent died) and at the deadline when nothing comes. It holds a lock for as long as it lives; a restarted agent
//! waits for that lock before it touches the rules.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::fcntl::{Flock, FlockArg};
use sekisho_nsg::agent::restore;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::state::State;

/// How long the switch may take to say that it is armed.
const ARM: Duration = Duration::from_secs(10);
const ARMED: &str = "armed";
const RELEASE: &str = "release";
const RELEASED: &str = "released";

fn lock(state: &State, how: FlockArg) -> anyhow::Result<Option<Flock<File>>> {
    let path = state.dir().join("deadman.lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| path.display().to_string())?;
    match Flock::lock(file, how) {
        Ok(held) => Ok(Some(held)),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(errno).context("locking the dead man's switch"),
    }
}

/// Waits until no switch of an earlier run is alive.
pub(crate) async fn wait_for_earlier(state: &State) -> anyhow::Result<()> {
    let state = state.clone();
    tokio::task::spawn_blocking(move || lock(&state, FlockArg::LockExclusive).map(drop)).await?
}

/// The process: waits for its release, else restores what the journal says.
pub(crate) async fn main(state: &State, seconds: u64) -> anyhow::Result<()> {
    let Some(_held) = lock(state, FlockArg::LockExclusiveNonblock)? else { bail!("another switch is armed") };
    let mut out = tokio::io::stdout();
    out.write_all(format!("{ARMED}\n").as_bytes()).await?;
    out.flush().await?;
    let mut line = String::new();
    let mut input = BufReader::new(tokio::io::stdin());
    let read = tokio::time::timeout(Duration::from_secs(seconds), input.read_line(&mut line)).await;
    if matches!(read, Ok(Ok(_))) && line.trim() == RELEASE {
        out.write_all(format!("{RELEASED}\n").as_bytes()).await?;
        out.flush().await?;
        return Ok(());
    }
    // Without a journal the change was never begun, and there is nothing to take back.
    let Some(journal) = state.journal()? else { return Ok(()) };
    restore(&journal.saved).await.context("restoring the rules from before the change")?;
    Ok(())
}

/// An armed switch, as the agent holds it.
pub(crate) struct Deadman {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Deadman {
    /// Starts the switch and waits until it says that it is armed.
    pub(crate) async fn arm(state: &State, seconds: u64) -> anyhow::Result<Deadman> {
        // Not the path it was started from: an upgrade may have put another program there.
        let mut command = std::process::Command::new("/proc/self/exe");
        command.arg("--state-dir").arg(state.dir()).arg("deadman").arg("--seconds").arg(seconds.to_string());
        // A process group of its own: what ends the agent's group must not end the switch.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = Command::from(command).spawn().context("starting the dead man's switch")?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("the dead man's switch has no pipes");
        };
        let mut deadman = Deadman { child, input, output: BufReader::new(output) };
        match tokio::time::timeout(ARM, deadman.line()).await {
            Ok(Ok(line)) if line == ARMED => Ok(deadman),
            _ => bail!("the dead man's switch did not arm"),
        }
    }

    /// Tells the switch that the change stays. `false` when it was too late: it has restored or is restoring.
    pub(crate) async fn release(mut self) -> anyhow::Result<bool> {
        let told = self.input.write_all(format!("{RELEASE}\n").as_bytes()).await.is_ok()
            && self.input.flush().await.is_ok();
        let released = told && self.line().await.is_ok_and(|l| l == RELEASED);
        drop(self.input);
        self.child.wait().await.context("waiting for the dead man's switch")?;
        Ok(released)
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line).await? == 0 {
            bail!("the dead man's switch is gone");
        }
        Ok(line.trim().to_owned())
    }
}
