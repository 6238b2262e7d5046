//! The names that the SSH server lets in: one for each ticket, in the file of its account, for as long as a login takes.
//!
//! A certificate is worth nothing without it. So whoever had the authority's key could still not log in to any machine
//! without a ticket, which the server's log tells of.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use sekisho_bastion::sshd::PRINCIPALS;
use sekisho_link::account::Account;

/// The names, by account.
#[derive(Clone, Default)]
pub(crate) struct Principals(Arc<Mutex<BTreeMap<Account, Vec<String>>>>);

/// A name that is let in until this is dropped.
pub(crate) struct Entry {
    all: Principals,
    account: Account,
    name: String,
}

impl Principals {
    /// Lets nobody in who was let in by an agent before this one.
    pub(crate) fn clear() {
        if let Err(error) = fs::remove_dir_all(PRINCIPALS)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::error!(%error, "names that were let in before could not be forgotten");
        }
    }

    /// Lets a name in.
    ///
    /// # Errors
    /// When the file cannot be written; nobody is let in then.
    pub(crate) fn admit(&self, account: &Account, name: String) -> io::Result<Entry> {
        self.change(account, |names| names.push(name.clone()))?;
        Ok(Entry { all: self.clone(), account: account.clone(), name })
    }

    fn change(&self, account: &Account, how: impl FnOnce(&mut Vec<String>)) -> io::Result<()> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let names = all.entry(account.clone()).or_default();
        how(names);
        let text: String = names.iter().map(|name| format!("{name}\n")).collect();
        if names.is_empty() {
            all.remove(account);
        }
        let (dir, path) = (Path::new(PRINCIPALS), Path::new(PRINCIPALS).join(account.as_str()));
        if text.is_empty() {
            return fs::remove_file(path);
        }
        // The SSH server reads it as the account, and only when nobody but root can write there.
        fs::create_dir_all(dir)?;
        for parent in dir.ancestors().take(2) {
            fs::set_permissions(parent, Permissions::from_mode(0o755))?;
        }
        let fresh = dir.join(format!(".{account}"));
        fs::write(&fresh, text)?;
        fs::set_permissions(&fresh, Permissions::from_mode(0o644))?;
        fs::rename(fresh, path)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let forgotten = self.all.change(&self.account, |names| names.retain(|n| *n != self.name));
        if let Err(error) = forgotten {
            tracing::error!(%error, account = %self.account, "a name could not be forgotten that was let in");
        }
    }
}
