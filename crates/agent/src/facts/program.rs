//! Asks another program for its output, which ends in time and in bytes whatever that program does.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::timeout;

/// Largest complaint read.
const MAX_COMPLAINT: usize = 64 << 10;

/// What a program may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// It is killed after this time.
    pub(crate) time: Duration,
    /// It is killed when it says more than this many bytes.
    pub(crate) bytes: usize,
}

/// A program gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    /// It is not there, or the operating system does not let it run.
    #[error("it cannot be run: {0}")]
    Io(#[from] io::Error),
    /// It did not end.
    #[error("it did not end within {} s", .0.as_secs())]
    Late(Duration),
    /// It did not stop talking.
    #[error("it said more than {0} bytes")]
    Much(usize),
    /// It says that it failed; the first line of its complaint.
    #[error("it failed: {0}")]
    Failed(String),
}

/// Runs a program with the given input and returns what it says on success.
///
/// # Errors
/// See [`ProgramError`]. The program is dead then, or will be as soon as the kernel lets it die.
pub(crate) async fn output(
    mut command: Command,
    input: &[u8],
    limits: Limits,
) -> Result<Vec<u8>, ProgramError> {
    command.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let exchange = async {
        let write = async {
            if let Some(mut pipe) = stdin {
                // A program that died early says why through its status.
                let _ = pipe.write_all(input).await;
            }
            Ok(())
        };
        let ((), said, complaint) =
            tokio::try_join!(write, bounded(stdout, limits.bytes), bounded(stderr, MAX_COMPLAINT))?;
        Ok::<_, ProgramError>((child.wait().await?, said, complaint))
    };
    let (status, said, complaint) =
        timeout(limits.time, exchange).await.map_err(|_| ProgramError::Late(limits.time))??;
    if status.success() {
        return Ok(said);
    }
    let first = String::from_utf8_lossy(&complaint).lines().next().unwrap_or_default().trim().to_owned();
    Err(ProgramError::Failed(if first.is_empty() { status.to_string() } else { first }))
}

async fn bounded(pipe: Option<impl AsyncRead + Unpin>, limit: usize) -> Result<Vec<u8>, ProgramError> {
    let mut out = Vec::new();
    if let Some(pipe) = pipe {
        let more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        pipe.take(more).read_to_end(&mut out).await?;
    }
    if out.len() > limit { Err(ProgramError::Much(limit)) } else { Ok(out) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    async fn within(script: &str, milliseconds: u64, bytes: usize) -> Result<Vec<u8>, ProgramError> {
        let limits = Limits { time: Duration::from_millis(milliseconds), bytes };
        output(shell(script), b"", limits).await
    }

    #[tokio::test]
    async fn a_program_is_heard_when_it_succeeds_and_blamed_with_its_own_words_when_not() {
        assert_eq!(within("echo yes", 10_000, 100).await.unwrap(), b"yes\n");
        let error =
            within("echo yes; echo broken >&2; echo more >&2; exit 3", 10_000, 100).await.unwrap_err();
        assert_eq!(error.to_string(), "it failed: broken");
        let error = within("exit 3", 10_000, 100).await.unwrap_err();
        assert!(error.to_string().contains("exit status: 3"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_hangs_or_never_stops_talking_is_ended() {
        assert!(matches!(within("exec sleep 1000", 50, 100).await, Err(ProgramError::Late(_))));
        assert!(matches!(within("exec yes", 60_000, 1000).await, Err(ProgramError::Much(1000))));
        // Its output is closed but it lives on.
        let script = "exec >&- 2>&-; exec sleep 1000";
        assert!(matches!(within(script, 50, 100).await, Err(ProgramError::Late(_))));
    }
}
