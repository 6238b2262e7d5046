//! The channel: what is said to a machine's SFTP server, and what its answers mean.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use russh::{Channel, ChannelMsg};
use russh_sftp::client::RawSftpSession;
use russh_sftp::client::error::Error;
use russh_sftp::protocol::{FileAttributes, OpenFlags, Packet, StatusCode};
use tokio::time::timeout;

use super::{FilePath, FilesError, Kind, kind};
use crate::machine::Machine;

/// How long the machine may take to open the channel.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it may take to answer, in seconds: it may have to write much to a slow disk.
const ANSWER_SECONDS: u64 = 60;
/// Renames over what has the name (source: OpenSSH's PROTOCOL).
const REPLACE: &str = "posix-rename@openssh.com";
const FSYNC: &str = "fsync@openssh.com";
/// The longest that is repeated of what the machine says, in characters.
const LONGEST_WORDS: usize = 200;

/// An SFTP server of a machine.
pub(super) struct Sftp {
    raw: RawSftpSession,
    has_fsync: bool,
    is_broken: AtomicBool,
}

impl Sftp {
    pub(super) async fn open(machine: &Machine) -> Result<Sftp, FilesError> {
        let broken = |error: russh::Error| FilesError::Broken(error.to_string());
        let open = async {
            let mut channel = machine.channel().await.map_err(broken)?;
            channel.request_subsystem(true, "sftp").await.map_err(broken)?;
            until_started(&mut channel).await?;
            let raw = RawSftpSession::new(channel.into_stream());
            raw.set_timeout(ANSWER_SECONDS);
            let version = raw.init().await.map_err(|error| FilesError::Broken(error.to_string()))?;
            let has_fsync = version.extensions.contains_key(FSYNC);
            Ok(Sftp { raw, has_fsync, is_broken: AtomicBool::new(false) })
        };
        let slow = |_| FilesError::Broken("the machine is too slow".to_owned());
        timeout(PATIENCE, open).await.map_err(slow)?
    }

    pub(super) fn raw(&self) -> &RawSftpSession {
        &self.raw
    }

    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.load(Relaxed)
    }

    /// What an error means. After one that is no answer, nothing that comes later can be trusted to be one.
    pub(super) fn failed(&self, error: Error) -> FilesError {
        match error {
            Error::Status(status) => match status.status_code {
                StatusCode::NoSuchFile => FilesError::NotThere,
                StatusCode::PermissionDenied => FilesError::Denied,
                _ => FilesError::Refused(status.error_message.chars().take(LONGEST_WORDS).collect()),
            },
            other => {
                self.is_broken.store(true, Relaxed);
                FilesError::Broken(other.to_string().chars().take(LONGEST_WORDS).collect())
            }
        }
    }

    /// Where something really is that may be a link, or below one. It need not be there itself.
    pub(super) async fn real(&self, path: &str) -> Result<FilePath, FilesError> {
        let names = self.raw.realpath(path).await.map_err(|error| self.failed(error))?;
        let real = names.files.first().ok_or(FilesError::NotThere)?;
        Ok(FilePath::parse(&real.filename)?)
    }

    /// Where something really is, which is itself meant when it is a link.
    pub(super) async fn real_in_folder(&self, path: &FilePath) -> Result<FilePath, FilesError> {
        Ok(self.real(path.folder().as_str()).await?.join(path.name())?)
    }

    /// What is at a path, itself when it is a link, if anything is.
    pub(super) async fn at(&self, path: &FilePath) -> Result<Option<FileAttributes>, FilesError> {
        match self.raw.lstat(path.as_str()).await.map_err(|error| self.failed(error)) {
            Ok(answer) => Ok(Some(answer.attrs)),
            Err(FilesError::NotThere) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn kind(&self, path: &FilePath) -> Result<Option<Kind>, FilesError> {
        Ok(self.at(path).await?.as_ref().map(kind))
    }

    pub(super) async fn nothing_at(&self, path: &FilePath) -> Result<(), FilesError> {
        self.kind(path).await?.map_or(Ok(()), |_| Err(FilesError::Exists))
    }

    pub(super) async fn open_folder(self: &Arc<Sftp>, path: &FilePath) -> Result<Handle, FilesError> {
        let (sftp, path) = (self.clone(), path.clone());
        opened(async move {
            let handle = sftp.raw.opendir(path.as_str()).await.map_err(|error| sftp.failed(error))?;
            Ok(Handle { sftp, name: handle.handle })
        })
        .await
    }

    pub(super) async fn open_file(
        self: &Arc<Sftp>,
        path: &FilePath,
        flags: OpenFlags,
        attributes: FileAttributes,
    ) -> Result<Handle, FilesError> {
        let (sftp, path) = (self.clone(), path.clone());
        opened(async move {
            let handle = sftp.raw.open(path.as_str(), flags, attributes).await;
            let handle = handle.map_err(|error| sftp.failed(error))?;
            Ok(Handle { sftp, name: handle.handle })
        })
        .await
    }

    /// Has what is at one path take the place of what is at another, at one moment.
    pub(super) async fn replace(&self, path: &FilePath, over: &FilePath) -> Result<(), FilesError> {
        let mut names = Vec::new();
        for name in [path, over] {
            // A path has at most 4096 bytes.
            let length = u32::try_from(name.as_str().len()).unwrap_or(u32::MAX);
            names.extend_from_slice(&length.to_be_bytes());
            names.extend_from_slice(name.as_str().as_bytes());
        }
        match self.raw.extended(REPLACE, names).await.map_err(|error| self.failed(error))? {
            Packet::Status(status) if status.status_code == StatusCode::Ok => Ok(()),
            Packet::Status(status) => Err(self.failed(status.into())),
            _ => Err(self.failed(Error::UnexpectedPacket)),
        }
    }
}

async fn until_started(channel: &mut Channel<russh::client::Msg>) -> Result<(), FilesError> {
    loop {
        match channel.wait().await {
            Some(ChannelMsg::Success) => return Ok(()),
            Some(ChannelMsg::Failure) => return Err(FilesError::NoSftp),
            None | Some(ChannelMsg::Close | ChannelMsg::Eof) => {
                return Err(FilesError::Broken("the machine closed it".to_owned()));
            }
            Some(_) => {}
        }
    }
}

/// Opens something to its end, also when whoever asked has gone: what is open must be known, to be closed.
async fn opened(
    open: impl Future<Output = Result<Handle, FilesError>> + Send + 'static,
) -> Result<Handle, FilesError> {
    tokio::spawn(open).await.map_err(|error| FilesError::Broken(error.to_string()))?
}

/// Something that is open on the machine until this is dropped.
pub(super) struct Handle {
    sftp: Arc<Sftp>,
    name: String,
}

impl Handle {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn sftp(&self) -> &Sftp {
        &self.sftp
    }

    pub(super) async fn attributes(&self) -> Result<FileAttributes, FilesError> {
        let answer = self.sftp.raw.fstat(self.name()).await;
        answer.map(|answer| answer.attrs).map_err(|error| self.sftp.failed(error))
    }

    pub(super) async fn set_attributes(&self, attributes: FileAttributes) -> Result<(), FilesError> {
        let answer = self.sftp.raw.fsetstat(self.name(), attributes).await;
        answer.map(drop).map_err(|error| self.sftp.failed(error))
    }

    /// Has what was written on the machine's disk, where its server can do that.
    pub(super) async fn sync(&self) -> Result<(), FilesError> {
        if !self.sftp.has_fsync {
            return Ok(());
        }
        self.sftp.raw.fsync(self.name()).await.map(drop).map_err(|error| self.sftp.failed(error))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let (sftp, name) = (self.sftp.clone(), std::mem::take(&mut self.name));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { sftp.raw.close(name).await });
        }
    }
}
