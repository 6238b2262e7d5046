//! The directory of key files: the root key, unless systemd keeps it, and what is public.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::KeyError;

/// The authority's certificate.
pub(super) const AUTHORITY: &str = "ca.pem";
/// The server's own certificate.
pub(super) const SERVER: &str = "server.pem";

/// The directory.
#[derive(Clone)]
pub(super) struct Files(PathBuf);

impl Files {
    /// Those of a data directory.
    pub(super) fn of(data_dir: &Path) -> Files {
        Files(data_dir.join("keys"))
    }

    /// Makes the directory, which nobody else can read.
    ///
    /// # Errors
    /// [`KeyError::File`].
    pub(super) fn make(&self) -> Result<(), KeyError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0);
        made.map_err(|e| self.error("", e))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn error(&self, name: &str, why: impl std::fmt::Display) -> KeyError {
        KeyError::File(self.path(name), why.to_string())
    }

    /// A file's content; `None` when it is not there.
    ///
    /// # Errors
    /// [`KeyError::File`].
    pub(super) fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, KeyError> {
        read(&self.path(name))
    }

    /// A file's content as text.
    ///
    /// # Errors
    /// [`KeyError::File`].
    pub(super) fn text(&self, name: &str) -> Result<Option<Zeroizing<String>>, KeyError> {
        let Some(bytes) = self.read(name)? else { return Ok(None) };
        let text = std::str::from_utf8(&bytes).map_err(|e| self.error(name, e))?;
        Ok(Some(Zeroizing::new(text.to_owned())))
    }

    /// Writes a file, which appears whole or not at all.
    ///
    /// # Errors
    /// [`KeyError::File`].
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), KeyError> {
        let (path, fresh) = (self.path(name), self.path(&format!("{name}.new")));
        let written = (|| {
            let mut file =
                OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            self.sync()
        })();
        written.map_err(|e| self.error(name, e))
    }

    /// Writes a file whose content may be there already.
    ///
    /// # Errors
    /// [`KeyError::File`].
    pub(super) fn keep(&self, name: &str, text: &str) -> Result<(), KeyError> {
        match self.read(name)? {
            Some(kept) if *kept == text.as_bytes() => Ok(()),
            _ => self.write(name, text.as_bytes()),
        }
    }

    /// Puts one file in the place of another.
    ///
    /// # Errors
    /// [`KeyError::File`].
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), KeyError> {
        let moved = fs::rename(self.path(from), self.path(to)).and_then(|()| self.sync());
        moved.map_err(|e| self.error(from, e))
    }

    /// Removes files, if they are there.
    ///
    /// # Errors
    /// [`KeyError::File`].
    pub(super) fn remove(&self, names: &[&str]) -> Result<(), KeyError> {
        for name in names {
            match fs::remove_file(self.path(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(self.error(name, error)),
                _ => {}
            }
        }
        self.sync().map_err(|e| self.error("", e))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

/// A file's content; `None` when it is not there.
///
/// # Errors
/// [`KeyError::File`].
pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, KeyError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(KeyError::File(path.to_owned(), error.to_string())),
    }
}
