//! Programs of others, unpacked into the cache: nothing of them is set up or started on this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::{run, setup};

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
            unpack(package, &dir)?;
        }
        if !dir.join(file).exists() {
            bail!("{package} has no {file}");
        }
    }
    Ok(dir)
}

fn unpack(package: &str, dir: &Path) -> anyhow::Result<()> {
    // Fetched as whoever we are: apt's own user may not write here.
    let fetch = || {
        let mut command = Command::new("apt-get");
        command.args(["-q", "-o", "APT::Sandbox::User=root", "download", package]).current_dir(dir);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        run(&mut command)
    };
    if fetch().is_err() {
        run(Command::new("apt-get").args(["-q", "update"]).stdout(Stdio::null()))?;
        fetch()?;
    }
    let begins = format!("{package}_");
    let archive = fs::read_dir(dir)?.filter_map(|e| e.ok()).find(|e| {
        let name = e.file_name();
        name.to_str().is_some_and(|name| name.starts_with(&begins) && name.ends_with(".deb"))
    });
    let archive = archive.with_context(|| format!("apt-get brought no {package}"))?.path();
    run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(dir))
}

/// A Python environment in the cache with what one of our requirements files names.
pub(crate) fn python(name: &str, requirements: &Path) -> anyhow::Result<PathBuf> {
    Ok(setup::python(name, &crate::root().join(requirements))?.join("python"))
}
