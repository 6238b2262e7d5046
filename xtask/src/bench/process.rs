//! What a running process costs, as the kernel counts it (`proc(5)`).

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;

/// Clock ticks of a second, the same on every architecture of ours.
const TICKS: f64 = 100.0;

fn read(pid: u32, file: &str) -> anyhow::Result<String> {
    let path = PathBuf::from(format!("/proc/{pid}/{file}"));
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Resident memory in bytes.
pub(crate) fn resident(pid: u32) -> anyhow::Result<f64> {
    let status = read(pid, "status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse().context("VmRSS")?;
    Ok(kilobytes * 1024.0)
}

/// CPU seconds so far: its threads' to the nanosecond, and those of its children that have ended.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<f64> {
    let mut seconds = 0.0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may have ended since.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        let nanoseconds = text.split_whitespace().next().and_then(|n| n.parse::<f64>().ok());
        seconds += nanoseconds.context("schedstat")? / 1e9;
    }
    // The name may hold blanks and parentheses.
    let stat = read(pid, "stat")?;
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    // cutime and cstime, the 16th and the 17th field; what is left begins with the third.
    for field in [13, 14] {
        let ticks = fields.get(field).and_then(|f| f.parse::<f64>().ok()).context("stat")?;
        seconds += ticks / TICKS;
    }
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_costs_something() {
        let own = std::process::id();
        let before = cpu(own).unwrap();
        let began = std::time::Instant::now();
        while began.elapsed().as_millis() < 50 {
            std::hint::spin_loop();
        }
        assert!(cpu(own).unwrap() - before > 0.005);
        assert!(resident(own).unwrap() > 1e6);
    }
}
