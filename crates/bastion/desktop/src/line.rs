//! What is written to a machine. It waits in a short queue: a machine that takes nothing does not keep what it says from
//! being read, and not for long what is written from failing.

use std::io;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

/// Messages that wait.
const QUEUE: usize = 1024;

/// Where messages for the machine go.
#[derive(Debug, Clone)]
pub(crate) struct Line(mpsc::Sender<Vec<u8>>);

impl Line {
    pub(crate) fn new() -> (Line, mpsc::Receiver<Vec<u8>>) {
        let (line, queue) = mpsc::channel(QUEUE);
        (Line(line), queue)
    }

    /// Fails when the machine has not taken a great many messages.
    pub(crate) fn say(&self, message: Vec<u8>) -> io::Result<()> {
        if message.is_empty() {
            return Ok(());
        }
        self.0.try_send(message).map_err(|_| io::Error::from(io::ErrorKind::TimedOut))
    }
}

/// Writes what is in the queue until that fails.
pub(crate) async fn write<W>(mut to: W, mut queue: mpsc::Receiver<Vec<u8>>) -> io::Error
where
    W: AsyncWrite + Unpin,
{
    while let Some(message) = queue.recv().await {
        let written = async {
            to.write_all(&message).await?;
            to.flush().await
        };
        if let Err(error) = written.await {
            return error;
        }
    }
    // Whoever said something is gone, and so is whoever waits for this.
    std::future::pending().await
}
