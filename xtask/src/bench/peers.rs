//! Programs of others, unpacked into the cache: nothing of them is set up or started on this machine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::bail;

use crate::setup;

/// A program of a Debian package, fetched when it is not there.
pub(crate) fn debian(package: &str, program: &str) -> anyhow::Result<PathBuf> {
    Ok(unpacked(package, &[(package, program)])?.join(program))
}

/// A directory with the files of Debian packages, each named with one of its files; fetched when they are not there.
pub(crate) fn unpacked(name: &str, packages: &[(&str, &str)]) -> anyhow::Result<PathBuf> {
    let dir = setup::cache().join("peers").join(name);
    fs::create_dir_all(&dir)?;
    for (package, file) in packages {
        if !dir.join(file).exists() {
            setup::unpack(package, &dir)?;
        }
        if !dir.join(file).exists() {
            bail!("{package} has no {file}");
        }
    }
    Ok(dir)
}

/// A Python environment in the cache with what one of our requirements files names.
pub(crate) fn python(name: &str, requirements: &Path) -> anyhow::Result<PathBuf> {
    Ok(setup::python(name, &crate::root().join(requirements))?.join("python"))
}
