//! The accounts of this machine: what is there, and those that the agent makes, locks and removes by the system's own
//! programs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sekisho_jit::elevation::plan::{Login, Observed, Seen};
use sekisho_jit::elevation::{Home, UnixName};
use time::{Date, Duration, OffsetDateTime};
use tokio::process::Command;

use super::LIMITS;
use crate::facts::program::{Limits, output};

/// How long a database of accounts that is elsewhere may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
const PASSWD: &str = "/etc/passwd";
const SHADOW: &str = "/etc/shadow";
const HOMES: &str = "/home";
/// The shell of an account that nobody logs in to: it is refused without asking anybody about passwords or days.
const NO_SHELL: &str = "/usr/sbin/nologin";
/// A day of shadow(5) that is over.
const OVER: &str = "1970-01-02";

/// The accounts of these names that there are, in whatever database.
pub(super) async fn observe(names: &BTreeSet<&UnixName>) -> anyhow::Result<Observed> {
    if names.is_empty() {
        return Ok(Observed::default());
    }
    let (passwd, shadow) = (read(PASSWD)?, read(SHADOW)?);
    let mut accounts = BTreeMap::new();
    for name in names {
        let own = line(&passwd, name).and_then(|fields| seen(&fields, line(&shadow, name).as_deref()));
        let found = match own {
            Some(own) => Some(own),
            None => elsewhere(name).await,
        };
        accounts.extend(found.map(|seen| ((*name).clone(), seen)));
    }
    Ok(Observed { accounts, ..Observed::default() })
}

/// Whatever people write into their comments, the others are read.
fn read(path: &'static str) -> anyhow::Result<String> {
    Ok(String::from_utf8_lossy(&fs::read(path).context(path)?).into_owned())
}

/// The number of an account.
pub(super) async fn uid(user: &UnixName) -> anyhow::Result<Option<u32>> {
    Ok(observe(&BTreeSet::from([user])).await?.accounts.get(user).map(|seen| seen.uid))
}

/// An account of another database than the machine's files.
async fn elsewhere(name: &UnixName) -> Option<Seen> {
    let mut getent = Command::new("getent");
    getent.args(["passwd", "--", name.as_str()]);
    // It fails when there is none. A database that does not answer must not keep others from ending.
    let said = output(getent, b"", Limits { time: PATIENCE, ..LIMITS }).await.ok()?;
    let text = String::from_utf8_lossy(&said);
    seen(&line(&text, name)?, None)
}

/// The fields of a name's line.
fn line<'t>(text: &'t str, name: &UnixName) -> Option<Vec<&'t str>> {
    let fields = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    fields.into_iter().find(|fields| fields.first() == Some(&name.as_str()))
}

fn seen(passwd: &[&str], shadow: Option<&[&str]>) -> Option<Seen> {
    let [_, _, uid, _, comment, _, shell] = passwd else { return None };
    let comment = comment.split(',').next().unwrap_or_default().to_owned();
    let login = match shadow {
        Some([_, password, _, _, _, _, _, expires, ..]) => {
            let (no_password, no_shell) = (password.starts_with('!'), *shell == NO_SHELL);
            match expires.parse() {
                Ok(1) if no_password && no_shell => Login::Locked,
                Ok(day) if !no_password && !no_shell => Login::Until(day),
                _ => Login::Otherwise,
            }
        }
        _ => Login::Otherwise,
    };
    Some(Seen { uid: uid.parse().ok()?, comment, login })
}

fn home(user: &UnixName) -> PathBuf {
    Path::new(HOMES).join(user.as_str())
}

fn shell() -> &'static str {
    ["/bin/bash"].into_iter().find(|shell| Path::new(shell).exists()).unwrap_or("/bin/sh")
}

/// A day as the programs read it.
fn written(day: i64) -> anyhow::Result<String> {
    let date: Date = OffsetDateTime::UNIX_EPOCH.date();
    let date = date.checked_add(Duration::days(day)).context("the account's last day cannot be written")?;
    Ok(format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day()))
}

/// Runs a program about an account. What it is about comes from no network but as a name.
async fn run(program: &str, arguments: &[&str], user: &UnixName) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command.args(arguments).args(["--", user.as_str()]).env("LC_ALL", "C");
    output(command, b"", LIMITS).await.with_context(|| program.to_owned())?;
    Ok(())
}

/// Makes an account with a home of its own, no password, and a comment that tells it from others.
pub(super) async fn make(user: &UnixName, tag: &str, day: i64) -> anyhow::Result<()> {
    let home = home(user);
    if fs::symlink_metadata(&home).is_ok() {
        bail!("'{}' is there already, and is not of an account that the agent made", home.display());
    }
    let (home, day) = (home.display().to_string(), written(day)?);
    let arguments = [
        "--create-home",
        "--home-dir",
        &home,
        "--shell",
        shell(),
        "--comment",
        tag,
        "--expiredate",
        &day,
        // Nobody's password: one that is locked would keep some SSH servers from taking keys.
        "--password",
        "*",
        "--user-group",
        "--no-log-init",
    ];
    run("/usr/sbin/useradd", &arguments, user).await
}

/// Lets nobody log in, whatever is asked: the password, the day, or the shell.
pub(super) async fn lock(user: &UnixName) -> anyhow::Result<()> {
    run("/usr/sbin/usermod", &["--lock", "--expiredate", OVER, "--shell", NO_SHELL], user).await
}

/// Lets people log in until a day.
pub(super) async fn unlock(user: &UnixName, day: i64) -> anyhow::Result<()> {
    let day = written(day)?;
    let shadow = read(SHADOW)?;
    let is_locked = line(&shadow, user).is_some_and(|f| f.get(1).is_some_and(|p| p.starts_with('!')));
    let mut arguments = vec!["--expiredate", &day, "--shell", shell()];
    arguments.extend(is_locked.then_some("--unlock"));
    run("/usr/sbin/usermod", &arguments, user).await
}

/// Removes an account, and its home or all access to it.
pub(super) async fn remove(user: &UnixName, what: Home, mark: u32) -> anyhow::Result<()> {
    let path = home(user);
    let done = match what {
        Home::Remove => fs::remove_dir_all(&path),
        Home::Keep => {
            let kept = Path::new(HOMES).join(format!("{user}.sekisho-{mark}"));
            fs::rename(&path, &kept).and_then(|()| for_root(&kept))
        }
    };
    match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| path.display().to_string());
        }
        _ => {}
    }
    for mail in ["/var/mail", "/var/spool/mail"] {
        // Where there is none, or it cannot be removed, whoever gets the name next finds it.
        let _ = fs::remove_file(Path::new(mail).join(user.as_str()));
    }
    run("/usr/sbin/userdel", &[], user).await
}

fn for_root(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o700))?;
    chown(path, Some(0), Some(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> UnixName {
        text.parse().unwrap()
    }

    #[test]
    fn an_account_is_locked_only_when_every_way_in_is() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nalice:x:1001:1001:tag,,,:/home/alice:/bin/bash\n\
                      alices:x:7:7::/:/bin/sh\ncarol:x:1002:1002:tag:/home/carol:/usr/sbin/nologin\n";
        let of = |user: &str, shadow: &str| {
            seen(&line(passwd, &name(user))?, line(shadow, &name(user)).as_deref())
        };
        let alice = of("alice", "alice:*:19000:0:99999:7::20800:\n").unwrap();
        assert_eq!(alice, Seen { uid: 1001, comment: "tag".to_owned(), login: Login::Until(20800) });
        let login = |shadow: &str| of("carol", shadow).unwrap().login;
        assert_eq!(login("carol:!*:19000:0:99999:7::1:\n"), Login::Locked);
        for half in ["carol:*:1:0:9:7::1:\n", "carol:!*:1:0:9:7:::\n", "carol:!*:1:0:9:7::20800:\n", ""] {
            assert_eq!(login(half), Login::Otherwise, "{half}");
        }
        assert!(of("alic", "").is_none() && of("bob", "").is_none());
        assert_eq!(written(20_784).unwrap(), "2026-11-27");
    }
}
