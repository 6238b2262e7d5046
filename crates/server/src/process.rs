//! What the kernel says of this process (`proc(5)`).

use std::fs;

/// Clock ticks in a second of `/proc`, which Linux has fixed for programs (`USER_HZ`).
const TICKS: f64 = 100.0;

/// The process at one moment. What cannot be read is 0.
#[derive(Debug, Default)]
pub(crate) struct Process {
    /// CPU time, user and system.
    pub(crate) cpu_seconds: f64,
    /// Resident memory, bytes.
    pub(crate) resident: i64,
    /// Start, Unix time.
    pub(crate) started: f64,
    /// Open descriptors.
    pub(crate) open_files: i64,
    /// Most descriptors.
    pub(crate) most_files: i64,
}

impl Process {
    /// Reads it.
    pub(crate) fn of_this_moment() -> Process {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let stat = read("/proc/self/stat");
        // The name, in parentheses, may hold anything.
        let fields: Vec<f64> = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_whitespace().map(|f| f.parse().unwrap_or_default()).collect())
            .unwrap_or_default();
        // Counted from the state, which is field 3 of proc_pid_stat(5).
        let field = |number: usize| fields.get(number - 3).copied().unwrap_or_default();
        let booted = read("/proc/stat")
            .lines()
            .find_map(|l| l.strip_prefix("btime ")?.trim().parse::<f64>().ok())
            .unwrap_or_default();
        let (status, limits) = (read("/proc/self/status"), read("/proc/self/limits"));
        let number = |text: &str, name: &str| -> i64 {
            let after = text.lines().find_map(|line| line.strip_prefix(name));
            after.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
        };
        Process {
            cpu_seconds: (field(14) + field(15)) / TICKS,
            resident: number(&status, "VmRSS:") * 1024,
            started: booted + field(22) / TICKS,
            open_files: fs::read_dir("/proc/self/fd").map_or(0, |dir| dir.count() as i64),
            most_files: number(&limits, "Max open files"),
        }
    }
}
