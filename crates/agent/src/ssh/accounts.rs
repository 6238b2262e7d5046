//! The accounts of this machine, as whatever database it has tells of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use sekisho_bastion::privileged::{Known, SUDOERS_D, is_privileged};
use sekisho_jit::elevation::sudoers;
use sekisho_link::account::Account;
use sekisho_link::ticket::Login;
use tokio::process::Command;

use super::PATIENCE;
use crate::facts::program::{Limits, output};

const LIMITS: Limits = Limits { time: PATIENCE, bytes: 64 << 10 };
const SUDOERS: &str = "/etc/sudoers";

/// Whether somebody may log in as they want. An account that can do everything on the machine is for administrators.
///
/// # Errors
/// Why not.
pub(crate) async fn permit(login: &Login) -> anyhow::Result<()> {
    let Some(known) = find(&login.account).await? else {
        bail!("the machine has no account '{}'", login.account);
    };
    if !login.administrator && is_privileged(&known, &sudoers()?) {
        bail!(
            "'{}' can do everything on the machine: it is for those who may log in as administrators",
            known.name
        );
    }
    Ok(())
}

/// Asks whatever databases the machine has.
async fn find(account: &Account) -> anyhow::Result<Option<Known>> {
    let mut getent = Command::new("getent");
    getent.args(["passwd", "--", account.as_str()]);
    // It fails when there is none.
    let Ok(said) = output(getent, b"", LIMITS).await else { return Ok(None) };
    let said = String::from_utf8(said).context("the account's entry is no text")?;
    let fields: Vec<&str> = said.lines().next().unwrap_or_default().split(':').collect();
    let [name, _, uid, ..] = fields.as_slice() else { return Ok(None) };
    if *name != account.as_str() {
        return Ok(None);
    }
    let uid = uid.parse().context("the account has no number")?;
    let mut id = Command::new("id");
    id.args(["-Gn", "--", account.as_str()]);
    let groups = output(id, b"", LIMITS).await.context("the account's groups")?;
    let groups =
        String::from_utf8_lossy(&groups).split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>();
    Ok(Some(Known { name: account.to_string(), uid, groups }))
}

/// The files that say who may use `sudo`, but for those that give it for a time to whoever the account is. One that is
/// there and cannot be read is an error: in doubt an account is not given away.
fn sudoers() -> anyhow::Result<Vec<String>> {
    let mut out = Vec::new();
    let mut read = |path: &Path| -> anyhow::Result<()> {
        let bytes = fs::read(path).with_context(|| path.display().to_string())?;
        out.push(String::from_utf8_lossy(&bytes).into_owned());
        Ok(())
    };
    if Path::new(SUDOERS).exists() {
        read(Path::new(SUDOERS))?;
    }
    if Path::new(SUDOERS_D).exists() {
        for entry in fs::read_dir(SUDOERS_D).context(SUDOERS_D)? {
            let entry = entry.context(SUDOERS_D)?;
            let (path, name) = (entry.path(), entry.file_name());
            if path.is_file() && name.to_str().and_then(sudoers::mark).is_none() {
                read(&path)?;
            }
        }
    }
    Ok(out)
}
