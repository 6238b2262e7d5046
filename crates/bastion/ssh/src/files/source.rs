//! A file of a machine that is read.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use russh_sftp::protocol::{FileAttributes, OpenFlags};

use super::sftp::{Handle, Sftp};
use super::{FilePath, Files, FilesError, Kind, kind};

/// Bytes that are asked for at once; every server gives as many (source: the draft, section 3).
const PIECE: u32 = 32 << 10;
/// Pieces that are on their way at once: with a megabyte, a line's delay costs little.
const AT_ONCE: usize = 32;

/// A file that is open, as it was when it was opened.
pub struct Source {
    handle: Arc<Handle>,
    /// Where it really is.
    pub path: FilePath,
    /// Its size, in bytes.
    pub bytes: u64,
    /// When it was changed, in seconds since 1970.
    pub modified: u32,
}

impl Files {
    /// Opens a regular file.
    ///
    /// # Errors
    /// [`FilesError`].
    pub async fn open(&self, path: &FilePath) -> Result<Source, FilesError> {
        self.with(async |sftp: Arc<Sftp>| {
            let path = sftp.real(path.as_str()).await?;
            // Opening a pipe would wait for somebody who writes into it.
            if sftp.kind(&path).await?.ok_or(FilesError::NotThere)? != Kind::File {
                return Err(FilesError::NotAFile);
            }
            let handle = sftp.open_file(&path, OpenFlags::READ, FileAttributes::empty()).await?;
            let attributes = handle.attributes().await?;
            if kind(&attributes) != Kind::File {
                return Err(FilesError::NotAFile);
            }
            let (bytes, modified) = (attributes.len(), attributes.mtime.unwrap_or_default());
            Ok(Source { handle: Arc::new(handle), path, bytes, modified })
        })
        .await
    }
}

impl Source {
    /// Its bytes from one on, up to the size that it had. An error ends it: when the file has become shorter, it is one.
    pub fn read(&self, from: u64) -> impl Stream<Item = Result<Bytes, FilesError>> + Send + use<> {
        let (handle, end) = (self.handle.clone(), self.bytes);
        let pieces = (from..end).step_by(PIECE as usize);
        stream::iter(pieces).map(move |at| piece(handle.clone(), at, end)).buffered(AT_ONCE)
    }
}

/// What is from a byte on, until the piece or the file is over.
async fn piece(handle: Arc<Handle>, at: u64, end: u64) -> Result<Bytes, FilesError> {
    let length = (end - at).min(u64::from(PIECE));
    let mut out = Vec::new();
    while (out.len() as u64) < length {
        let from = at + out.len() as u64;
        // At most a piece.
        let wanted = u32::try_from(length - out.len() as u64).unwrap_or(PIECE);
        let answer = handle.sftp().raw().read(handle.name(), from, wanted).await;
        let data = answer.map_err(|error| handle.sftp().failed(error))?.data;
        if data.is_empty() || data.len() > wanted as usize {
            return Err(FilesError::Refused("the file has changed".to_owned()));
        }
        out.extend(data);
    }
    Ok(out.into())
}
