//! What the agent may use of its machine: a control group (cgroup v2) that bounds memory, processor time and processes of
//! the agent and of what it starts. The service manager makes it; where none does, the agent makes its own if it can.
//! Which limits are in force is read back from the kernel, never assumed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sekisho_link::facts::Limits;

/// Memory in bytes: the kernel slows the agent down before it, and ends it beyond.
const MEMORY: u64 = 256 << 20;
/// Where slowing down begins.
const MEMORY_HIGH: u64 = 192 << 20;
/// Percent of one processor.
const CPU_PERCENT: u32 = 25;
/// Processes and threads.
const TASKS: u64 = 64;
/// The period of `cpu.max` in microseconds, the kernel's default.
const PERIOD: u32 = 100_000;
/// The group that the agent makes.
const OWN: &str = "sekisho-agent";

/// Puts this process into a group of its own, unless limits are in force already or systemd keeps the groups.
///
/// # Errors
/// In words for a person, when it cannot be done.
pub(crate) fn confine() -> Result<(), String> {
    let tree = Tree::of(Path::new("/proc"), std::process::id())?;
    if tree.limits().any() {
        return Ok(());
    }
    if Path::new("/run/systemd/system").exists() {
        return Err("it was not started by systemd, which keeps the control groups here".to_owned());
    }
    tree.make().map_err(|e| format!("a control group cannot be made below {}: {e}", tree.root.display()))
}

/// The limits in force for a process.
pub(crate) fn in_force(pid: u32) -> Limits {
    Tree::of(Path::new("/proc"), pid).map(|tree| tree.limits()).unwrap_or_default()
}

/// The control groups above a process.
struct Tree {
    /// Where cgroup v2 is mounted.
    root: PathBuf,
    /// The process's group.
    own: PathBuf,
}

impl Tree {
    fn of(proc: &Path, pid: u32) -> Result<Tree, String> {
        let read = |path: &Path| fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()));
        let mounts = read(&proc.join(pid.to_string()).join("mountinfo"))?;
        let groups = read(&proc.join(pid.to_string()).join("cgroup"))?;
        let root = mounted(&mounts).ok_or("this system has no cgroup v2")?;
        let own =
            groups.lines().find_map(|l| l.strip_prefix("0::/")).ok_or("this process is in no cgroup v2")?;
        Ok(Tree { own: root.join(own), root })
    }

    /// The narrowest of the limits of the group and those above it.
    fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        for group in self.own.ancestors().take_while(|g| g.starts_with(&self.root)) {
            let read = |name: &str| fs::read_to_string(group.join(name)).unwrap_or_default();
            narrow(&mut limits.memory_bytes, read("memory.max").trim().parse().ok());
            narrow(&mut limits.cpu_percent, cpu_percent(&read("cpu.max")));
            narrow(&mut limits.tasks, read("pids.max").trim().parse().ok());
        }
        limits
    }

    /// Makes a group below the root, where the kernel lets groups have limits beside processes, and enters it.
    fn make(&self) -> io::Result<()> {
        let all = fs::read_to_string(self.root.join("cgroup.controllers"))?;
        let missing: Vec<&str> = ["memory", "cpu", "pids"]
            .into_iter()
            .filter(|wanted| !all.split_whitespace().any(|c| c == *wanted))
            .collect();
        if !missing.is_empty() {
            return Err(io::Error::other(format!(
                "the kernel has no controller for {} there",
                missing.join(", ")
            )));
        }
        fs::write(self.root.join("cgroup.subtree_control"), "+memory +cpu +pids")?;
        let group = self.root.join(OWN);
        match fs::create_dir(&group) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let quota = PERIOD / 100 * CPU_PERCENT;
        fs::write(group.join("memory.high"), MEMORY_HIGH.to_string())?;
        fs::write(group.join("memory.max"), MEMORY.to_string())?;
        fs::write(group.join("cpu.max"), format!("{quota} {PERIOD}"))?;
        fs::write(group.join("pids.max"), TASKS.to_string())?;
        fs::write(group.join("cgroup.procs"), std::process::id().to_string())
    }
}

fn narrow<T: Ord + Copy>(known: &mut Option<T>, further: Option<T>) {
    *known = (*known).into_iter().chain(further).min();
}

/// Percent of one processor out of `cpu.max`: `max 100000` or `25000 100000`.
fn cpu_percent(text: &str) -> Option<u32> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok().filter(|p| *p > 0)?);
    u32::try_from(quota * 100 / period).ok()
}

/// Where `mountinfo` says that cgroup v2 is.
fn mounted(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        after.starts_with("cgroup2 ").then(|| before.split(' ').nth(4).map(PathBuf::from))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `/proc` and a cgroup file system as files, with a process 7.
    fn machine(group: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().unwrap();
        let (proc, root) = (dir.path().join("proc/7"), dir.path().join("cgroup"));
        fs::create_dir_all(&proc).unwrap();
        fs::create_dir_all(root.join(group)).unwrap();
        let mounts = format!(
            "21 1 0:5 / /proc rw - proc proc rw\n30 1 0:26 / {} rw,nosuid shared:9 - cgroup2 cgroup2 rw\n",
            root.display()
        );
        fs::write(proc.join("mountinfo"), mounts).unwrap();
        fs::write(proc.join("cgroup"), format!("4:memory:/old\n0::/{group}\n")).unwrap();
        for (name, text) in files {
            fs::write(root.join(name), text).unwrap();
        }
        let tree = Tree::of(&dir.path().join("proc"), 7).unwrap();
        (dir, tree)
    }

    #[test]
    fn the_narrowest_limit_on_the_way_up_is_the_one_in_force() {
        let (_dir, tree) = machine(
            "system.slice/sekisho-agent.service",
            &[
                ("system.slice/memory.max", "1048576\n"),
                ("system.slice/sekisho-agent.service/memory.max", "max\n"),
                ("system.slice/sekisho-agent.service/cpu.max", "25000 100000\n"),
                ("system.slice/cpu.max", "max 100000\n"),
                ("system.slice/sekisho-agent.service/pids.max", "64\n"),
                ("system.slice/pids.max", "500\n"),
            ],
        );
        let limits = Limits { memory_bytes: Some(1_048_576), cpu_percent: Some(25), tasks: Some(64) };
        assert_eq!(tree.limits(), limits);
    }

    #[test]
    fn a_group_of_its_own_has_the_limits_and_the_process_in_it() {
        let (dir, tree) = machine("", &[("cgroup.controllers", "cpuset cpu io memory pids\n")]);
        assert!(!tree.limits().any());
        tree.make().unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join("cgroup").join(OWN).join(name)).unwrap();
        assert_eq!(read("cgroup.procs"), std::process::id().to_string());
        let own = Tree { own: tree.root.join(OWN), root: tree.root };
        let limits =
            Limits { memory_bytes: Some(MEMORY), cpu_percent: Some(CPU_PERCENT), tasks: Some(TASKS) };
        assert_eq!(own.limits(), limits);
    }

    #[test]
    fn where_the_kernel_has_no_controllers_nothing_is_made_and_they_are_named() {
        let (dir, tree) = machine("", &[("cgroup.controllers", "cpu\n")]);
        assert!(tree.make().unwrap_err().to_string().contains("memory, pids"));
        assert!(!dir.path().join("cgroup").join(OWN).exists());
    }
}
