//! Who owns a prefix: a locked file `/run/sekisho-lab/{prefix}` that holds the owner's process id.
//!
//! The lock tells whether the owner lives, because the kernel gives it up when the owner dies, however it dies; the
//! id is for people.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::LabError;

const DIRECTORY: &str = "/run/sekisho-lab";

/// A prefix that is ours until this is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    _lock: File,
}

impl Claim {
    pub(crate) fn take(prefix: &str) -> Result<Self, LabError> {
        std::fs::create_dir_all(DIRECTORY).map_err(LabError::io(DIRECTORY))?;
        let path = Path::new(DIRECTORY).join(prefix);
        let io = || LabError::io(path.display().to_string());
        loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(io())?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut pid = String::new();
                    let _ = file.read_to_string(&mut pid);
                    return Err(LabError::InUse { prefix: prefix.to_owned(), pid: pid.trim().to_owned() });
                }
                Err(TryLockError::Error(error)) => return Err(io()(error)),
            }
            // The former owner may have removed the file between our opening and locking it; then we hold a lock on
            // nothing, and somebody else may hold one on the new file.
            if !still_there(&file, &path) {
                continue;
            }
            file.set_len(0).map_err(io())?;
            writeln!(file, "{}", std::process::id()).map_err(io())?;
            return Ok(Self { path, _lock: file });
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // While the lock is held, so that it is our file that goes.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn still_there(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}
