//! Which database the server uses, and what is done to it as a whole: bringing it up to date, and moving it.
//!
//! Whoever works on a data directory holds its lock, so that no two programs ever do.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sekisho_store::Versions;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::{ServerError, backup};

/// Held for as long as somebody works on a data directory.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the kernel gives the lock up when the file is closed")] File);

/// Takes a data directory for oneself, making it where there is none.
///
/// # Errors
/// [`ServerError::InUse`] when somebody has it.
pub fn take(data_dir: &Path) -> Result<Lock, ServerError> {
    // Nobody else has any business with the database.
    let made = DirBuilder::new().recursive(true).mode(0o700).create(data_dir);
    made.map_err(|e| ServerError::DataDir(data_dir.display().to_string(), e))?;
    let path = data_dir.join("lock");
    let failed = |e| ServerError::DataDir(path.display().to_string(), e);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(ServerError::InUse(data_dir.display().to_string())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// The URL of the database, with its password: never to be shown.
///
/// # Errors
/// When the password's file cannot be read.
pub fn url(config: &Config) -> Result<Zeroizing<String>, ServerError> {
    match &config.database {
        None => Ok(Zeroizing::new(format!("sqlite://{}", config.data_dir.join("sekisho.db").display()))),
        Some(url) => postgres(url, config.database_password_file.as_deref()),
    }
}

/// A PostgreSQL URL with the password of a file. Over a network its certificate is verified, unless the URL says
/// otherwise with `sslmode`.
///
/// # Errors
/// When the file cannot be read.
pub fn postgres(url: &str, password_file: Option<&Path>) -> Result<Zeroizing<String>, ServerError> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let mut out = Zeroizing::new(format!("{scheme}://{user}"));
    if let Some(file) = password_file {
        let read = std::fs::read_to_string(file);
        let password = Zeroizing::new(read.map_err(|e| ServerError::File(file.display().to_string(), e))?);
        let password = password.trim_end_matches(['\r', '\n']);
        out.push(':');
        out.push_str(&Zeroizing::new(utf8_percent_encode(password, NON_ALPHANUMERIC).to_string()));
    }
    if !user.is_empty() || password_file.is_some() {
        out.push('@');
    }
    out.push_str(host);
    out.push_str(path);
    let name = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map_or(host, |(name, _)| name);
    let here = matches!(name, "" | "localhost" | "127.0.0.1" | "[::1]") || name.starts_with("%2F");
    if !here && !path.contains("sslmode=") {
        out.push_str(if path.contains('?') { "&" } else { "?" });
        out.push_str("sslmode=verify-full");
    }
    Ok(out)
}

/// A database that was brought up to date.
#[derive(Debug)]
pub struct Upgrade {
    /// The schema's version before.
    pub from: i64,
    /// The schema's version now.
    pub to: i64,
    /// Where the installation as it was before is kept.
    pub backup: PathBuf,
}

/// How the schema of the database stands to this program's.
///
/// # Errors
/// When it cannot be opened or is newer than this program.
pub async fn versions(config: &Config) -> Result<Versions, ServerError> {
    Ok(sekisho_store::versions(&url(config)?).await?)
}

/// Brings an older database up to date after a backup of the whole installation; `None` when it is not older. The
/// caller holds the lock.
///
/// # Errors
/// When the backup cannot be written or a step fails; the database is as it was then.
pub async fn migrate(config: &Config) -> Result<Option<Upgrade>, ServerError> {
    let versions = versions(config).await?;
    if !versions.outdated() {
        return Ok(None);
    }
    let dir = config.data_dir.join("backups");
    std::fs::create_dir_all(&dir).map_err(|e| ServerError::File(dir.display().to_string(), e))?;
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let backup = dir.join(format!("before-schema-{}-{now}.skb", versions.known));
    backup::to_file(config, &backup).await?;
    sekisho_store::migrate(&url(config)?).await?;
    Ok(Some(Upgrade { from: versions.found, to: versions.known, backup }))
}

/// Copies the database of the configuration into an empty PostgreSQL; returns the number of rows. The caller holds the
/// lock, so nothing is written in between.
///
/// # Errors
/// Those of both databases; nothing is kept in the new one then.
pub async fn copy(config: &Config, to: &str, password_file: Option<&Path>) -> Result<u64, ServerError> {
    Ok(sekisho_store::copy(&url(config)?, &postgres(to, password_file)?).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_put_into_the_url_escaped_and_a_network_demands_a_verified_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        std::fs::write(&file, "p@ss/w:rd?\n").unwrap();
        let url = |given: &str| postgres(given, Some(&file)).unwrap().to_string();
        assert_eq!(
            url("postgres://u@db.example:5433/d"),
            "postgres://u:p%40ss%2Fw%3Ard%3F@db.example:5433/d?sslmode=verify-full"
        );
        assert_eq!(url("postgres://u@localhost/d"), "postgres://u:p%40ss%2Fw%3Ard%3F@localhost/d");
        let bare = |given: &str| postgres(given, None).unwrap().to_string();
        assert_eq!(bare("postgres://u@%2Fvar%2Frun/d"), "postgres://u@%2Fvar%2Frun/d");
        assert_eq!(bare("postgres://u@h/d?sslmode=require"), "postgres://u@h/d?sslmode=require");
        assert_eq!(bare("postgres://u@[::1]:5/d"), "postgres://u@[::1]:5/d");
        assert_eq!(bare("postgres://u@[fd00::1]/d"), "postgres://u@[fd00::1]/d?sslmode=verify-full");
    }

    #[test]
    fn a_data_directory_belongs_to_one() {
        let dir = tempfile::tempdir().unwrap();
        let held = take(dir.path()).unwrap();
        assert!(matches!(take(dir.path()), Err(ServerError::InUse(_))));
        drop(held);
        take(dir.path()).unwrap();
    }
}
