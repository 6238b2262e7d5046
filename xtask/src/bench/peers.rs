//! Programs of others, unpacked into the cache: nothing of them is set up or started on this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::{run, setup};

/// A program of a Debian package, fetched when it is not there.
pub(crate) fn debian(package: &str, program: &str) -> anyhow::Result<PathBuf> {
    let dir = setup::cache().join("peers").join(package);
    let path = dir.join(program);
    if path.exists() {
        return Ok(path);
    }
    fs::create_dir_all(&dir)?;
    // Fetched as whoever we are: apt's own user may not write here.
    let fetch = || {
        let mut command = Command::new("apt-get");
        command.args(["-q", "-o", "APT::Sandbox::User=root", "download", package]).current_dir(&dir);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        run(&mut command)
    };
    if fetch().is_err() {
        run(Command::new("apt-get").args(["-q", "update"]).stdout(Stdio::null()))?;
        fetch()?;
    }
    let archive = fs::read_dir(&dir)?.filter_map(|e| e.ok().map(|e| e.path()));
    let archive = archive.into_iter().find(|p| p.extension().is_some_and(|e| e == "deb"));
    let archive = archive.with_context(|| format!("apt-get brought no {package}"))?;
    run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&dir))?;
    if !path.exists() {
        bail!("{package} has no {program}");
    }
    Ok(path)
}

/// A Python environment in the cache with what one of our requirements files names.
pub(crate) fn python(name: &str, requirements: &Path) -> anyhow::Result<PathBuf> {
    Ok(setup::python(name, &crate::root().join(requirements))?.join("python"))
}
