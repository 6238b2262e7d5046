//! The disks: what is free, and for how long at the present rate.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::sys::statvfs::statvfs;
use sekisho_lake::Place;
use sekisho_store::Standing;

use super::Finding;
use crate::config::Config;

const AREA: &str = "disk";
/// Less than this is free: nothing can be kept for long.
const LEAST: u64 = 1 << 30;

/// How full a file system is.
#[derive(Debug, Clone, Copy)]
struct Filled {
    free: u64,
    total: u64,
    free_files: u64,
    files: u64,
}

pub(super) fn look(config: &Config, standing: Option<&Standing>) -> Vec<Finding> {
    let lake = match &config.lake {
        Place::Directory(lake) if lake.exists() => Some(lake.as_path()),
        _ => None,
    };
    let device = |path: &Path| std::fs::metadata(path).ok().map(|m| m.dev());
    let apart = lake.filter(|lake| device(lake) != device(&config.data_dir));
    let mut all: Vec<Finding> = [Some(config.data_dir.as_path()), apart]
        .into_iter()
        .flatten()
        .filter(|path| path.exists())
        .map(|path| filled(path).map_or_else(|e| unseen(path, e), |filled| judged(path, filled)))
        .collect();
    if let (Some(standing), Some(Ok(lake))) = (standing, lake.map(filled)) {
        all.extend(outlook(standing, config.lake_retention_days, lake.free));
    }
    all
}

fn unseen(path: &Path, error: nix::Error) -> Finding {
    let seen = format!("{} cannot be looked at: {error}", path.display());
    Finding::bad(AREA, seen, "Run this as root or as the server's user")
}

fn filled(path: &Path) -> nix::Result<Filled> {
    let stat = statvfs(path)?;
    let unit = stat.fragment_size();
    Ok(Filled {
        free: stat.blocks_available() * unit,
        total: stat.blocks() * unit,
        free_files: stat.files_available(),
        files: stat.files(),
    })
}

fn judged(path: &Path, filled: Filled) -> Finding {
    let Filled { free, total, free_files, files } = filled;
    let seen = format!("{}: {} of {} GiB free", path.display(), free >> 30, total >> 30);
    let remedy = "Make room: the server refuses writes when the disk is full";
    if files > 0 && free_files < files / 50 {
        return Finding::bad(AREA, format!("{seen}, but only {free_files} more files"), remedy);
    }
    match (free < LEAST, free < total / 10) {
        (true, _) => Finding::bad(AREA, seen, remedy),
        (false, true) => Finding::warning(AREA, seen, remedy),
        (false, false) => Finding::fine(AREA, seen),
    }
}

/// Whether events fit at the rate so far, until as many come as go.
fn outlook(standing: &Standing, retention_days: u32, free: u64) -> Option<Finding> {
    let days = standing.segment_days.filter(|days| *days > 0)?;
    let daily = u64::try_from(standing.segment_bytes).ok()? / u64::try_from(days).ok()?;
    let missing = u64::from(retention_days).saturating_sub(u64::try_from(days).ok()?) * daily;
    let full = free.checked_div(daily).unwrap_or(u64::MAX);
    Some(if missing > free {
        let seen = format!("events take {} MiB a day: the disk is full in {full} days", daily >> 20);
        Finding::warning(AREA, seen, "Make room, or keep events for fewer days ('lake_retention_days')")
    } else {
        Finding::fine(
            AREA,
            format!("events take {} MiB a day and fit for {retention_days} days", daily >> 20),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    const GIB: u64 = 1 << 30;

    #[test]
    fn a_disk_is_judged_by_what_is_free_of_bytes_and_of_files() {
        let state = |free, free_files| {
            let filled = Filled { free, total: 100 * GIB, free_files, files: 1000 };
            judged(Path::new("/x"), filled).state
        };
        assert_eq!(state(50 * GIB, 900), State::Fine);
        assert_eq!(state(9 * GIB, 900), State::Warning);
        assert_eq!(state(GIB - 1, 900), State::Bad);
        assert_eq!(state(50 * GIB, 10), State::Bad);
    }

    #[test]
    fn events_that_will_not_fit_until_the_first_ones_go_are_a_warning_with_the_day() {
        let mut standing = Standing {
            documents: 0,
            changes: 0,
            audit: 0,
            bytes: 0,
            waiting: 0,
            segments: 10,
            segment_bytes: 10 * GIB as i64,
            segment_days: Some(10),
        };
        assert_eq!(outlook(&standing, 90, 80 * GIB).unwrap().state, State::Fine);
        let warned = outlook(&standing, 90, 79 * GIB).unwrap();
        assert_eq!((warned.state, warned.seen.contains("79 days")), (State::Warning, true));
        standing.segment_days = None;
        assert_eq!(outlook(&standing, 90, 0), None);
    }
}
