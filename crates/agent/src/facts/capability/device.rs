//! What devices offer. A device's node may be there before its driver, and opening it would load the driver; so the
//! kernel's own list of drivers is read first.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::fcntl::OFlag;
use sekisho_link::facts::Capability;

use super::{full, none, partial, sys};

/// Device mapper's control device, if its driver is running.
pub(super) fn dm_crypt() -> Capability {
    let drivers = match fs::read_to_string("/proc/misc") {
        Ok(text) => text,
        Err(error) => return none(format!("/proc/misc: {error}")),
    };
    if !has_driver(&drivers, "device-mapper") {
        return match module("dm-crypt") {
            true => partial("the kernel has a module dm-crypt; device mapper is not loaded"),
            false => none("the kernel has no device mapper"),
        };
    }
    match open("/dev/mapper/control").and_then(|control| sys::dm_targets(&control)) {
        Ok(answer) => match targets(&answer).into_iter().find(|(name, _)| name == "crypt") {
            Some((_, [major, minor, patch])) => full(format!("target crypt {major}.{minor}.{patch}")),
            None if module("dm-crypt") => partial("the kernel has a module dm-crypt; it is not loaded"),
            None => none("device mapper has no target crypt"),
        },
        Err(error) => none(format!("/dev/mapper/control: {error}")),
    }
}

/// The TPM behind the kernel's resource manager, which may be open many times.
pub(super) fn tpm() -> Capability {
    match open("/dev/tpmrm0") {
        Ok(_) => full("/dev/tpmrm0 opens"),
        // The raw device belongs to one program at a time; opening it would take it from others.
        Err(_) if Path::new("/dev/tpm0").exists() => partial("/dev/tpm0 without the resource manager"),
        Err(error) => none(format!("/dev/tpmrm0: {error}")),
    }
}

fn open(path: &str) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)
}

/// `/proc/misc`: a number and a name a line.
fn has_driver(text: &str, name: &str) -> bool {
    text.lines().any(|line| line.split_whitespace().nth(1) == Some(name))
}

/// Whether the running kernel brings a module, by the list that `modprobe` uses.
fn module(name: &str) -> bool {
    let Ok(uname) = nix::sys::utsname::uname() else { return false };
    let list = Path::new("/lib/modules").join(uname.release()).join("modules.dep");
    fs::read_to_string(list).is_ok_and(|text| lists_module(&text, name))
}

fn lists_module(text: &str, name: &str) -> bool {
    text.lines()
        .filter_map(|line| line.split(':').next()?.rsplit('/').next())
        .any(|file| file.strip_prefix(name).is_some_and(|rest| rest == ".ko" || rest.starts_with(".ko.")))
}

/// `struct dm_target_versions` one after the other: where the next begins, three numbers, a name that ends in zero.
fn targets(answer: &[u8]) -> Vec<(String, [u32; 3])> {
    let mut out = Vec::new();
    let mut rest = answer;
    while let Some((head, tail)) = rest.split_at_checked(16) {
        let word =
            |at: usize| head.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes);
        let name = tail.split(|b| *b == 0).next().unwrap_or_default();
        if !name.is_empty() {
            out.push((String::from_utf8_lossy(name).into_owned(), [word(4), word(8), word(12)]));
        }
        // Zero ends the list; a step that does not get on would never end.
        let Ok(step @ 16..) = usize::try_from(word(0)) else { break };
        let Some(next) = rest.get(step..) else { break };
        rest = next;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(next: u32, version: [u32; 3], name: &str) -> Vec<u8> {
        let mut out: Vec<u8> =
            [next, version[0], version[1], version[2]].into_iter().flat_map(u32::to_ne_bytes).collect();
        out.extend(name.as_bytes());
        out.resize(32, 0);
        out
    }

    #[test]
    fn the_targets_of_device_mapper_are_read_to_the_last() {
        let mut answer = entry(32, [1, 27, 0], "crypt");
        answer.extend(entry(0, [1, 5, 0], "linear"));
        answer.extend([0; 64]);
        assert_eq!(targets(&answer), [("crypt".to_owned(), [1, 27, 0]), ("linear".to_owned(), [1, 5, 0])]);
    }

    proptest! {
        #[test]
        fn no_answer_of_a_device_makes_the_reader_panic_or_run_for_ever(answer: Vec<u8>) {
            prop_assert!(targets(&answer).len() <= answer.len());
        }
    }

    #[test]
    fn drivers_and_modules_are_known_by_their_whole_name() {
        assert!(has_driver(" 10 x\n236 device-mapper\n", "device-mapper"));
        assert!(!has_driver("236 device-mapper-x\n", "device-mapper"));
        let list = "kernel/drivers/md/dm-crypt.ko.xz: kernel/drivers/md/dm-mod.ko.xz\nkernel/a/b.ko:\n";
        assert!(lists_module(list, "dm-crypt") && lists_module(list, "b"));
        assert!(!lists_module(list, "dm-mod") && !lists_module(list, "dm-crypt.ko"));
    }
}
