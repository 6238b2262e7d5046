//! What the kernel itself offers: watching, confining, grouping.

use std::fs::{self, DirBuilder};
use std::io;
use std::path::Path;

use nix::sys::fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use sekisho_link::facts::Capability;

use super::{full, none, partial, sys};

/// The first version of Landlock that also confines TCP (Linux 6.7).
const LANDLOCK_NETWORK: u32 = 4;

/// Deciding about executions needs the class that sees content, and a mark for such decisions. The mark is on a file
/// in memory that nobody else can reach, and goes with its descriptor.
pub(super) fn fanotify() -> Capability {
    let decide = || -> nix::Result<()> {
        let group = Fanotify::init(
            InitFlags::FAN_CLASS_CONTENT | InitFlags::FAN_CLOEXEC | InitFlags::FAN_NONBLOCK,
            EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC,
        )?;
        let file = memfd_create("sekisho-probe", MFdFlags::MFD_CLOEXEC)?;
        group.mark::<_, Path>(MarkFlags::FAN_MARK_ADD, MaskFlags::FAN_OPEN_EXEC_PERM, &file, None)
    };
    let notify = || {
        Fanotify::init(
            InitFlags::FAN_CLASS_NOTIF | InitFlags::FAN_CLOEXEC | InitFlags::FAN_NONBLOCK,
            EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC,
        )
    };
    match (decide(), notify()) {
        (Ok(()), _) => full("executions can be allowed or refused"),
        (Err(why), Ok(_)) => partial(format!("files can be watched but executions not refused: {why}")),
        (Err(_), Err(why)) => none(format!("fanotify_init: {why}")),
    }
}

/// A program is really loaded; for a say in decisions the hooks must be active, too.
pub(super) fn bpf() -> Capability {
    if let Err(error) = sys::bpf_load() {
        return none(format!("loading a program: {error}"));
    }
    let active = match fs::read_to_string("/sys/kernel/security/lsm") {
        Ok(list) if list.trim().split(',').any(|name| name == "bpf") => true,
        Ok(_) => false,
        Err(error) => return partial(format!("programs load; /sys/kernel/security/lsm: {error}")),
    };
    match (active, Path::new("/sys/kernel/btf/vmlinux").exists()) {
        (true, true) => full("programs load, the security hooks are active, the kernel's types are known"),
        (false, _) => partial("programs load, but bpf is not among the active security modules (lsm=)"),
        (true, false) => partial("programs load, but the kernel has no types (CONFIG_DEBUG_INFO_BTF)"),
    }
}

/// The version is what the kernel itself answers when it is asked for a ruleset.
pub(super) fn landlock() -> Capability {
    match sys::landlock_version() {
        Ok(version) if version >= LANDLOCK_NETWORK => full(format!("version {version}: files and TCP")),
        Ok(version) => partial(format!("version {version}: files only")),
        Err(error) => none(format!("landlock_create_ruleset: {error}")),
    }
}

/// A filter that allows everything is put on this thread, which ends with the trial.
pub(super) fn seccomp() -> Capability {
    match (sys::seccomp_allow_all(true), sys::seccomp_allow_all(false)) {
        (Ok(()), _) => full("filters load, and can ask another program for a decision"),
        (Err(why), Ok(())) => partial(format!("filters load but cannot ask another program: {why}")),
        (Err(_), Err(why)) => none(format!("loading a filter: {why}")),
    }
}

pub(super) fn cgroup() -> Capability {
    cgroup_at(Path::new("/sys/fs/cgroup"))
}

fn cgroup_at(root: &Path) -> Capability {
    match statfs(root) {
        Ok(found) if found.filesystem_type() == CGROUP2_SUPER_MAGIC => {}
        Ok(_) => return none(format!("{} is not the unified hierarchy (version 2)", root.display())),
        Err(why) => return none(format!("{}: {why}", root.display())),
    }
    match child(root) {
        Ok(()) => full("unified; a group was made and removed"),
        Err(error) => partial(format!("unified, but no group can be made: {error}")),
    }
}

/// Makes a directory and removes it.
fn child(parent: &Path) -> io::Result<()> {
    let path = parent.join(format!("sekisho-probe-{}", std::process::id()));
    DirBuilder::new().create(&path)?;
    fs::remove_dir(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_no_unified_hierarchy_is_none_and_stays_empty() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(cgroup_at(dir.path()).tier, "none");
        assert_eq!(cgroup_at(&dir.path().join("absent")).tier, "none");
        child(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_unified_hierarchy_has_no_group_more_after_the_trial() {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let unified = mounts.lines().map(|l| l.split(' ').collect::<Vec<_>>()).find(|f| f[2] == "cgroup2");
        let Some(root) = unified.map(|f| f[1].to_owned()) else {
            println!("the_unified_hierarchy_has_no_group_more: skipped: no cgroup2 is mounted");
            return;
        };
        assert_ne!(cgroup_at(Path::new(&root)).tier, "none");
        let left = fs::read_dir(&root).unwrap().filter(|e| {
            e.as_ref().unwrap().file_name().to_string_lossy()
                == format!("sekisho-probe-{}", std::process::id())
        });
        assert_eq!(left.count(), 0);
    }
}
