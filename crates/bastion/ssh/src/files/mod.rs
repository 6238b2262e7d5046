//! Files on a machine: SFTP (version 3; source: draft-ietf-secsh-filexfer-02, and OpenSSH's PROTOCOL for what it adds) on a
//! channel of its own beside a terminal's, for as long as the session lasts.
//!
//! The channel is opened when it is first needed, kept, and opened again when it broke. What the machine says is as hostile
//! as anything: its lists end, names that are none are left out, and only regular files are read, so that no device or
//! pipe goes on for ever. What is looked up is resolved first, so that whoever logs it logs where it was, not a link.

mod part;
mod path;
mod sftp;
mod source;

use std::sync::Arc;
use std::time::Duration;

use russh_sftp::client::error::Error;
use russh_sftp::protocol::{FileAttributes, FileType, StatusCode};
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;

pub use self::part::Part;
use self::path::LONGEST_NAME;
pub use self::path::{BadPath, FilePath};
use self::sftp::Sftp;
pub use self::source::Source;
use crate::machine::Machine;

/// The most entries of a folder that are told.
pub const MOST_ENTRIES: usize = 10_000;
/// How long leaving a machine may take. What it has not heard of by then ends with its connection.
const LEAVE: Duration = Duration::from_millis(500);

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilesError {
    /// It is not there.
    #[error("there is no such file")]
    NotThere,
    /// The machine does not let the account do it.
    #[error("the machine does not let this account do that")]
    Denied,
    /// There is something by this name.
    #[error("there is something by this name already")]
    Exists,
    /// It is a folder, a device, a pipe or the like.
    #[error("it is not a regular file")]
    NotAFile,
    /// The machine said no, in its own words.
    #[error("the machine refused: {0}")]
    Refused(String),
    /// Its SSH server has no SFTP.
    #[error("the machine's SSH server has no SFTP (Subsystem sftp)")]
    NoSftp,
    /// The channel broke. Another try opens another one.
    #[error("the channel to the machine broke: {0}")]
    Broken(String),
    /// The session is over.
    #[error("the session is over")]
    Over,
}

impl From<BadPath> for FilesError {
    fn from(error: BadPath) -> FilesError {
        FilesError::Refused(error.to_string())
    }
}

/// What something in a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Directory,
    /// A link, whatever to.
    Link,
    /// A device, a pipe or the like.
    Other,
}

/// Something in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name. What of it is not UTF-8 is replaced, and cannot be reached by it.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its size, in bytes.
    pub bytes: u64,
    /// When it was changed, in seconds since 1970.
    pub modified: u32,
    /// Who may do what, as `ls` writes it.
    pub mode: String,
}

/// A folder and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Where it really is.
    pub path: FilePath,
    /// What is in it, in the machine's order.
    pub entries: Vec<Entry>,
    /// Whether there is more, which is not told.
    pub is_truncated: bool,
}

/// The files of the account of a session.
pub struct Files {
    machine: Machine,
    sftp: Mutex<Option<Arc<Sftp>>>,
    over: watch::Sender<bool>,
}

impl Files {
    pub(crate) fn new(machine: Machine) -> Files {
        Files { machine, sftp: Mutex::new(None), over: watch::Sender::new(false) }
    }

    /// Until nothing is done here any more.
    pub async fn until_over(&self) {
        // The sender is this object's own.
        let _ = self.over.subscribe().wait_for(|over| *over).await;
    }

    /// Ends everything that is being done, at once.
    pub fn stop(&self) {
        self.over.send_replace(true);
    }

    /// Removes parts that nothing will come of any more. It is over from then on.
    pub async fn put_away(&self, parts: &[Part]) {
        self.stop();
        let put_away = async {
            if let Some(sftp) = self.sftp.lock().await.take() {
                for part in parts {
                    // What is left there does no harm.
                    let _ = part.remove(&sftp).await;
                }
            }
        };
        let _ = timeout(LEAVE, put_away).await;
    }

    /// Takes leave of the machine.
    pub async fn leave(&self) {
        self.stop();
        let _ = timeout(LEAVE, self.machine.leave()).await;
    }

    /// Has something done, until the session is over.
    async fn with<T, W>(&self, work: impl FnOnce(Arc<Sftp>) -> W) -> Result<T, FilesError>
    where
        W: Future<Output = Result<T, FilesError>>,
    {
        tokio::select! {
            biased;
            () = self.until_over() => Err(FilesError::Over),
            done = async { work(self.sftp().await?).await } => done,
        }
    }

    async fn sftp(&self) -> Result<Arc<Sftp>, FilesError> {
        let mut kept = self.sftp.lock().await;
        if let Some(sftp) = kept.as_ref().filter(|sftp| !sftp.is_broken()) {
            return Ok(sftp.clone());
        }
        let sftp = Arc::new(Sftp::open(&self.machine).await?);
        *kept = Some(sftp.clone());
        Ok(sftp)
    }

    /// What is in a folder; without one, in the account's home.
    ///
    /// # Errors
    /// [`FilesError`].
    pub async fn list(&self, folder: Option<&FilePath>) -> Result<Folder, FilesError> {
        self.with(async |sftp: Arc<Sftp>| {
            let path = sftp.real(folder.map_or(".", FilePath::as_str)).await?;
            let handle = sftp.open_folder(&path).await?;
            let mut entries = Vec::new();
            // A machine that tells of nothing again and again is not listened to for ever.
            for _ in 0..MOST_ENTRIES {
                let names = match sftp.raw().readdir(handle.name()).await {
                    Ok(names) => names.files,
                    Err(Error::Status(status)) if status.status_code == StatusCode::Eof => {
                        return Ok(Folder { path, entries, is_truncated: false });
                    }
                    Err(error) => return Err(sftp.failed(error)),
                };
                for file in names.into_iter().filter(|file| is_name(&file.filename)) {
                    if entries.len() == MOST_ENTRIES {
                        return Ok(Folder { path, entries, is_truncated: true });
                    }
                    entries.push(entry(file.filename, &file.attrs));
                }
            }
            Ok(Folder { path, entries, is_truncated: true })
        })
        .await
    }

    /// Makes a folder. Returns where it really is.
    ///
    /// # Errors
    /// [`FilesError`].
    pub async fn make_folder(&self, path: &FilePath) -> Result<FilePath, FilesError> {
        self.with(async |sftp: Arc<Sftp>| {
            let path = sftp.real_in_folder(path).await?;
            sftp.nothing_at(&path).await?;
            let made = sftp.raw().mkdir(path.as_str(), FileAttributes::empty()).await;
            made.map_err(|error| sftp.failed(error))?;
            Ok(path)
        })
        .await
    }

    /// Gives something another name, which nothing has. Returns where it was and is.
    ///
    /// # Errors
    /// [`FilesError`].
    pub async fn rename(&self, path: &FilePath, to: &FilePath) -> Result<(FilePath, FilePath), FilesError> {
        self.with(async |sftp: Arc<Sftp>| {
            let (path, to) = (sftp.real_in_folder(path).await?, sftp.real_in_folder(to).await?);
            // OpenSSH replaces nothing either; it only does not say why.
            sftp.nothing_at(&to).await?;
            let renamed = sftp.raw().rename(path.as_str(), to.as_str()).await;
            renamed.map_err(|error| sftp.failed(error))?;
            Ok((path, to))
        })
        .await
    }

    /// Removes a file, a link or an empty folder. Returns where it was.
    ///
    /// # Errors
    /// [`FilesError`].
    pub async fn remove(&self, path: &FilePath) -> Result<FilePath, FilesError> {
        self.with(async |sftp: Arc<Sftp>| {
            let path = sftp.real_in_folder(path).await?;
            let removed = match sftp.kind(&path).await?.ok_or(FilesError::NotThere)? {
                Kind::Directory => sftp.raw().rmdir(path.as_str()).await,
                _ => sftp.raw().remove(path.as_str()).await,
            };
            removed.map_err(|error| sftp.failed(error))?;
            Ok(path)
        })
        .await
    }
}

/// Whether a machine's name of something is one, whatever it was before it became UTF-8, which may be three times as long.
fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.len() <= 3 * LONGEST_NAME && !name.contains(['/', '\0'])
}

fn kind(attributes: &FileAttributes) -> Kind {
    match attributes.file_type() {
        FileType::File => Kind::File,
        FileType::Dir => Kind::Directory,
        FileType::Symlink => Kind::Link,
        FileType::Other => Kind::Other,
    }
}

fn entry(name: String, attributes: &FileAttributes) -> Entry {
    Entry {
        name,
        kind: kind(attributes),
        bytes: attributes.len(),
        modified: attributes.mtime.unwrap_or_default(),
        mode: attributes.permissions().to_string(),
    }
}
