//! Our files below `/etc/sudoers.d`: none comes to stand there that `sudo` does not read, and understand, and none stays that
//! keeps it from reading the others.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sekisho_bastion::privileged::SUDOERS_D;
use sekisho_jit::elevation::sudoers;
use tokio::process::Command;

use super::LIMITS;
use crate::facts::program::output;

const VISUDO: &str = "/usr/sbin/visudo";
/// How they may be read.
const MODE: u32 = 0o440;
/// What is larger than anything of ours.
const LARGEST: u64 = 64 << 10;

fn path(mark: u32) -> PathBuf {
    Path::new(SUDOERS_D).join(sudoers::name(mark))
}

/// Our files that are there, by grant. One that others may write counts as another text.
pub(super) fn files() -> anyhow::Result<BTreeMap<u32, String>> {
    let entries = match fs::read_dir(SUDOERS_D) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries.context(SUDOERS_D)?,
    };
    let mut out = BTreeMap::new();
    for entry in entries {
        let entry = entry.context(SUDOERS_D)?;
        let Some(mark) = entry.file_name().to_str().and_then(sudoers::mark) else { continue };
        let meta = fs::symlink_metadata(entry.path()).context(SUDOERS_D)?;
        let ours = meta.is_file() && meta.uid() == 0 && meta.permissions().mode() & 0o7777 == MODE;
        let text = if ours && meta.len() <= LARGEST {
            fs::read(entry.path()).context(SUDOERS_D)?
        } else {
            Vec::new()
        };
        out.insert(mark, String::from_utf8_lossy(&text).into_owned());
    }
    Ok(out)
}

/// Removes a grant's file.
pub(super) fn remove(mark: u32) -> anyhow::Result<()> {
    match fs::remove_file(path(mark)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).context(SUDOERS_D),
        _ => sync(),
    }
}

fn sync() -> anyhow::Result<()> {
    fs::File::open(SUDOERS_D).and_then(|dir| dir.sync_all()).context(SUDOERS_D)
}

/// Writes a grant's file: beside its place first, where `sudo` reads no name with a dot. When `sudo` does not read all of
/// its files afterwards, this one among them, it is gone again.
pub(super) async fn write(mark: u32, text: &str) -> anyhow::Result<()> {
    if !Path::new(VISUDO).exists() {
        bail!("there is no sudo on the machine");
    }
    let (to, fresh) = (path(mark), Path::new(SUDOERS_D).join(format!(".{}.new", sudoers::name(mark))));
    let put = || {
        let _ = fs::remove_file(&fresh);
        let mut file = OpenOptions::new().create_new(true).write(true).mode(MODE).open(&fresh)?;
        file.set_permissions(fs::Permissions::from_mode(MODE))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    put().context(SUDOERS_D)?;
    let checked = async {
        check(&["-c", "-f", &fresh.display().to_string()])
            .await
            .context("sudo does not understand the rule")?;
        fs::rename(&fresh, &to).context(SUDOERS_D)?;
        sync()?;
        let said = check(&["-c"]).await.context("sudo does not read its rules any more")?;
        let is_read = said.lines().any(|line| line.starts_with(&format!("{}: parsed OK", to.display())));
        anyhow::ensure!(is_read, "sudo does not read {SUDOERS_D}: its configuration does not include it");
        Ok(())
    };
    let done = checked.await;
    if done.is_err() {
        let _ = fs::remove_file(&fresh);
        remove(mark).context("taking the rule back")?;
    }
    done
}

async fn check(arguments: &[&str]) -> anyhow::Result<String> {
    let mut visudo = Command::new(VISUDO);
    visudo.args(arguments).env("LC_ALL", "C");
    Ok(String::from_utf8_lossy(&output(visudo, b"", LIMITS).await?).into_owned())
}
