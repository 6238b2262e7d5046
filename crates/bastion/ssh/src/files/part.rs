//! A file that is being sent to a machine: under a name of its own beside the one that it will have, so that half a file is
//! never seen under that.

use std::fmt::Display;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use russh_sftp::protocol::{FileAttributes, OpenFlags};

use super::sftp::{Handle, Sftp};
use super::{FilePath, Files, FilesError, Kind, kind};

/// Bytes that are sent at once; every server takes as many (source: the draft, section 3).
const PIECE: usize = 32 << 10;
/// Pieces that are on their way at once.
const AT_ONCE: usize = 32;
/// The bits of a mode that a file takes over from the one that it replaces: not that it runs as its owner.
const MODE: u32 = 0o777;

/// A file that is being sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where it will be.
    pub path: FilePath,
    at: FilePath,
}

impl Part {
    pub(super) async fn remove(&self, sftp: &Sftp) -> Result<(), FilesError> {
        sftp.raw().remove(self.at.as_str()).await.map(drop).map_err(|error| sftp.failed(error))
    }
}

impl Files {
    /// Begins to send a file. `id` is one that nobody can have made a file of before.
    ///
    /// # Errors
    /// [`FilesError`].
    pub async fn begin(&self, path: &FilePath, id: impl Display) -> Result<Part, FilesError> {
        self.with(async |sftp: Arc<Sftp>| {
            let path = sftp.real(path.as_str()).await?;
            let replaced = sftp.at(&path).await?;
            if replaced.as_ref().is_some_and(|there| kind(there) != Kind::File) {
                return Err(FilesError::NotAFile);
            }
            let at = path.folder().join(&format!(".{id}.sekisho-part"))?;
            let mode = replaced.as_ref().and_then(|there| there.permissions).map(|mode| mode & MODE);
            let permissions = FileAttributes { permissions: mode, ..FileAttributes::empty() };
            let flags = OpenFlags::CREATE | OpenFlags::EXCLUDE | OpenFlags::WRITE;
            let handle = sftp.open_file(&at, flags, permissions.clone()).await?;
            if let Some(FileAttributes { uid, gid, .. }) = replaced {
                // Only root can give a file away; the file of anybody else becomes theirs, as with `mv`.
                let owner = FileAttributes { uid, gid, ..FileAttributes::empty() };
                match handle.set_attributes(owner).await {
                    Ok(()) | Err(FilesError::Denied | FilesError::Refused(_)) => {}
                    Err(error) => return Err(error),
                }
                // What the machine's umask took away.
                handle.set_attributes(permissions).await?;
            }
            Ok(Part { path, at })
        })
        .await
    }

    /// Sends what comes, from a byte on. `kept` is told of each piece once the machine has it, in their order.
    ///
    /// # Errors
    /// [`FilesError`], and what comes in place of bytes.
    pub async fn send<E: From<FilesError>>(
        &self,
        part: &Part,
        at: u64,
        content: impl Stream<Item = Result<Bytes, E>>,
        mut kept: impl FnMut(&[u8]),
    ) -> Result<(), E> {
        let sent = self.with(async |sftp: Arc<Sftp>| {
            let handle = sftp.open_file(&part.at, OpenFlags::WRITE, FileAttributes::empty()).await?;
            let handle = &handle;
            let mut at = at;
            let pieces = content.flat_map(|bytes| stream::iter(split(bytes)));
            let writes = pieces.map(|bytes| {
                let from = at;
                at += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
                async move {
                    let Ok(bytes) = bytes else { return Ok(bytes) };
                    let written = handle.sftp().raw().write(handle.name(), from, bytes.to_vec()).await;
                    written.map(|_| Ok(bytes)).map_err(|error| handle.sftp().failed(error))
                }
            });
            let mut writes = std::pin::pin!(writes.buffered(AT_ONCE));
            while let Some(written) = writes.next().await {
                match written? {
                    Ok(bytes) => kept(&bytes),
                    Err(error) => return Ok(Err(error)),
                }
            }
            Ok(Ok(()))
        });
        sent.await?
    }

    /// Gives a file its name, when it has as many bytes as it must.
    ///
    /// # Errors
    /// [`FilesError`].
    pub async fn finish(&self, part: &Part, bytes: u64) -> Result<(), FilesError> {
        self.with(async |sftp: Arc<Sftp>| {
            let handle: Handle = sftp.open_file(&part.at, OpenFlags::WRITE, FileAttributes::empty()).await?;
            handle.sync().await?;
            if handle.attributes().await?.size != Some(bytes) {
                return Err(FilesError::Refused("somebody else has changed the file".to_owned()));
            }
            sftp.replace(&part.at, &part.path).await
        })
        .await
    }

    /// Gives up a file.
    ///
    /// # Errors
    /// [`FilesError`].
    pub async fn give_up(&self, part: &Part) -> Result<(), FilesError> {
        self.with(async |sftp: Arc<Sftp>| part.remove(&sftp).await).await
    }
}

/// The same in pieces that every server takes.
fn split<E>(bytes: Result<Bytes, E>) -> Vec<Result<Bytes, E>> {
    match bytes {
        Ok(mut bytes) => {
            let mut out = Vec::with_capacity(bytes.len().div_ceil(PIECE));
            while !bytes.is_empty() {
                out.push(Ok(bytes.split_to(bytes.len().min(PIECE))));
            }
            out
        }
        Err(error) => vec![Err(error)],
    }
}
