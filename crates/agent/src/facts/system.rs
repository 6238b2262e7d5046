//! The operating system, the kernel, the hardware, file systems, accounts and services.

use std::collections::HashMap;
use std::fs;

use nix::sys::statvfs::statvfs;
use sekisho_link::facts::{Cpu, Disk, Kernel, Memory, Mount, Os, Service, User};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::read;

/// Free space and memory are told in steps of this size, so that their jitter is not news.
const STEP: u64 = 64 << 20;

fn rounded(bytes: u64) -> u64 {
    bytes / STEP * STEP
}

/// The tag that the firmware of every machine in Azure has; `cloud-init` and `systemd` know it by that, too.
const AZURE_CHASSIS: &str = "7783-7084-3265-9085-8269-3286-77";

/// What the machine runs in, where its firmware says so.
pub(crate) fn platform() -> &'static str {
    let tag = std::fs::read_to_string("/sys/class/dmi/id/chassis_asset_tag").unwrap_or_default();
    if tag.trim() == AZURE_CHASSIS { "Azure" } else { "" }
}

/// The host name.
pub(crate) fn hostname() -> String {
    nix::unistd::gethostname().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The kernel's boot id.
pub(crate) fn boot_id() -> String {
    read("/proc/sys/kernel/random/boot_id").trim().to_owned()
}

pub(super) fn os() -> Os {
    let text = read("/etc/os-release");
    let fields = parse_os_release(if text.is_empty() { read("/usr/lib/os-release") } else { text }.as_str());
    let get = |key: &str| fields.get(key).cloned().unwrap_or_default();
    Os {
        id: get("ID"),
        name: get("NAME"),
        version_id: get("VERSION_ID"),
        version: get("VERSION"),
        pretty_name: get("PRETTY_NAME"),
    }
}

/// `os-release(5)`: shell-like assignments, values perhaps quoted.
fn parse_os_release(text: &str) -> HashMap<String, String> {
    text.lines()
        .filter(|l| !l.trim_start().starts_with('#'))
        .filter_map(|l| l.split_once('='))
        .map(|(k, v)| (k.trim().to_owned(), v.trim().trim_matches(['"', '\'']).to_owned()))
        .collect()
}

pub(super) fn kernel() -> Kernel {
    let Ok(uname) = nix::sys::utsname::uname() else { return Kernel::default() };
    let text = |s: &std::ffi::OsStr| s.to_string_lossy().into_owned();
    Kernel { release: text(uname.release()), version: text(uname.version()), arch: text(uname.machine()) }
}

pub(super) fn cpu() -> Cpu {
    let text = read("/proc/cpuinfo");
    let value = |key: &str| {
        text.lines()
            .find_map(|l| l.split_once(':').filter(|(k, _)| k.trim() == key))
            .map(|(_, v)| v.trim().to_owned())
    };
    let count = text.lines().filter(|l| l.starts_with("processor")).count();
    Cpu {
        model: value("model name").or_else(|| value("Model")).unwrap_or_default(),
        count: u32::try_from(count.max(1)).unwrap_or(u32::MAX),
    }
}

pub(super) fn memory() -> Memory {
    let text = read("/proc/meminfo");
    let bytes = |key: &str| meminfo(&text, key);
    Memory {
        total_bytes: bytes("MemTotal"),
        available_bytes: rounded(bytes("MemAvailable")),
        swap_total_bytes: bytes("SwapTotal"),
    }
}

/// A field of `/proc/meminfo` in bytes.
fn meminfo(text: &str, key: &str) -> u64 {
    text.lines()
        .find_map(|l| l.strip_prefix(key)?.strip_prefix(':'))
        .and_then(|v| v.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}

pub(super) fn booted_at() -> String {
    let seconds =
        read("/proc/stat").lines().find_map(|l| l.strip_prefix("btime ")?.trim().parse::<i64>().ok());
    let at = seconds.and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    at.and_then(|t| t.format(&Rfc3339).ok()).unwrap_or_default()
}

pub(super) fn disks() -> Vec<Disk> {
    let Ok(entries) = fs::read_dir("/sys/block") else { return Vec::new() };
    let mut out: Vec<Disk> = entries
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .filter(|n| !["loop", "ram", "zram"].iter().any(|p| n.starts_with(p)))
        .map(|name| {
            let field = |f: &str| read(&format!("/sys/block/{name}/{f}")).trim().to_owned();
            Disk {
                size_bytes: field("size").parse::<u64>().unwrap_or(0) * 512,
                model: field("device/model"),
                rotational: field("queue/rotational") == "1",
                read_only: field("ro") == "1",
                name,
            }
        })
        .collect();
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

/// File systems that hold data; what the kernel makes up is left out.
const DATA: &[&str] = &[
    "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "vfat", "exfat", "ntfs3", "nfs", "nfs4", "cifs",
    "overlay", "bcachefs",
];

pub(super) fn mounts() -> Vec<Mount> {
    let mut out: Vec<Mount> = parse_mounts(&read("/proc/self/mounts"));
    for mount in &mut out {
        if let Ok(stat) = statvfs(mount.target.as_str()) {
            let unit = stat.fragment_size();
            mount.size_bytes = stat.blocks() * unit;
            mount.available_bytes = rounded(stat.blocks_available() * unit);
        }
    }
    out
}

fn parse_mounts(text: &str) -> Vec<Mount> {
    let mut out: Vec<Mount> = text
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').map(unescape);
            let (source, target, fs_type, options) =
                (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            DATA.contains(&fs_type.as_str()).then_some(Mount {
                source,
                target,
                fs_type,
                options,
                ..Mount::default()
            })
        })
        .collect();
    out.sort_by(|a, b| a.target.cmp(&b.target));
    // A later mount hides an earlier one at the same place.
    out.dedup_by(|a, b| a.target == b.target);
    out
}

/// `fstab(5)` octal escapes: `\040` is a blank.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|d| u8::from_str_radix(d, 8).ok());
        match code {
            Some(byte) => {
                out.push(char::from(byte));
                rest = &rest[at + 4..];
            }
            None => {
                out.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    out + rest
}

pub(super) fn users() -> Vec<User> {
    parse_passwd(&read("/etc/passwd"))
}

fn parse_passwd(text: &str) -> Vec<User> {
    text.lines()
        .filter_map(|line| {
            let f: Vec<&str> = line.split(':').collect();
            let [name, _, uid, gid, _, home, shell] = f.as_slice() else { return None };
            Some(User {
                name: (*name).to_owned(),
                uid: uid.parse().ok()?,
                gid: gid.parse().ok()?,
                home: (*home).to_owned(),
                shell: (*shell).to_owned(),
            })
        })
        .collect()
}

/// Running services, by their control groups: systemd gives every one its own, and reading them needs no bus.
pub(super) fn services() -> Vec<Service> {
    let Ok(entries) = fs::read_dir("/sys/fs/cgroup/system.slice") else { return Vec::new() };
    let mut out: Vec<Service> = entries
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .filter(|n| n.ends_with(".service"))
        .filter(|n| read(&format!("/sys/fs/cgroup/system.slice/{n}/cgroup.events")).contains("populated 1"))
        .map(|name| Service { name, state: "running".to_owned() })
        .collect();
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_values_lose_their_quotes() {
        let f = parse_os_release("# c\nID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\nX='y'\n");
        assert_eq!(
            (f["ID"].as_str(), f["PRETTY_NAME"].as_str(), f["X"].as_str()),
            ("debian", "Debian GNU/Linux 12", "y")
        );
    }

    #[test]
    fn mounts_keep_blanks_in_names_and_leave_out_what_holds_no_data() {
        let text = "proc /proc proc rw 0 0\n/dev/sda1 / ext4 rw,relatime 0 0\n/dev/sdb1 /mnt/my\\040disk xfs ro 0 0\n";
        let m = parse_mounts(text);
        assert_eq!(m.iter().map(|m| m.target.as_str()).collect::<Vec<_>>(), ["/", "/mnt/my disk"]);
    }

    #[test]
    fn accounts_with_nonsense_are_left_out() {
        let u = parse_passwd("root:x:0:0:root:/root:/bin/bash\nbroken\nx:y:notanumber:0::/:/bin/sh\n");
        assert_eq!(u.len(), 1);
        assert_eq!(u[0].shell, "/bin/bash");
    }
}
