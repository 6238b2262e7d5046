//! Where a person's sign-in is kept: a directory of their own, in which nobody else can read anything.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use anyhow::{Context as _, bail};

/// The directory.
pub(super) struct Home(PathBuf);

impl Home {
    /// The one of whoever runs this: `sekisho` in the directory of configurations (XDG Base Directory Specification).
    pub(super) fn of_person() -> anyhow::Result<Home> {
        let absolute =
            |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let base = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
        let dir =
            base.context("neither XDG_CONFIG_HOME nor HOME says where to keep anything")?.join("sekisho");
        // OpenSSH's files have no way to write it.
        if dir.to_str().is_none_or(|path| path.contains(['"', '\n'])) {
            bail!("OpenSSH cannot be told of a directory with such a name: {}", dir.display());
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .with_context(|| dir.display().to_string())?;
        Ok(Home(dir))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A file's text; `None` when there is none.
    pub(super) fn read(&self, name: &str) -> anyhow::Result<Option<String>> {
        match fs::read_to_string(self.path(name)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| self.path(name).display().to_string()),
        }
    }

    /// Writes a file, whole or not at all.
    pub(super) fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let (path, new) = (self.path(name), self.path(&format!("{name}.{}", std::process::id())));
        let write = || {
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)
        };
        write().with_context(|| path.display().to_string())
    }

    /// Waits until no other command of this person works with what is kept here.
    pub(super) fn lock(&self) -> anyhow::Result<File> {
        let path = self.path("lock");
        let locked = || {
            let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
            file.lock()?;
            Ok::<_, std::io::Error>(file)
        };
        locked().with_context(|| path.display().to_string())
    }

    /// Removes everything.
    pub(super) fn clear(&self) -> anyhow::Result<()> {
        fs::remove_dir_all(&self.0).with_context(|| self.0.display().to_string())
    }
}
