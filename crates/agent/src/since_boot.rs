//! The clock that grants end by: the kernel's since boot, which nobody can set, and on top of it the time for which the whole
//! machine stood still.
//!
//! A hypervisor that pauses a machine, or goes back to a snapshot of it, stops every clock of its kernel. The clock of its
//! board goes on. How far the two are apart is remembered for each boot; what the board gains since is time that passed without the
//! machine. That time only grows: a board's clock that is set back gives nothing more, and one that is set forward lets
//! grants end early.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use nix::time::{ClockId, clock_gettime};
use sekisho_jit::agent::SinceBoot;
use serde::{Deserialize, Serialize};

use crate::facts;
use crate::state::State;

/// The board's clock, in whole seconds since 1970: `Documentation/ABI/testing/sysfs-class-rtc`. Not every machine has one.
const BOARD: &str = "/sys/class/rtc/rtc0/since_epoch";
/// How far the clocks may be off for no reason, in milliseconds: the board shows whole seconds.
const DOUBT: i64 = 1_500;
/// The longest time in milliseconds that may pass between two readings that are compared.
const TOGETHER: u64 = 200;

static STANDING: Mutex<Option<Standing>> = Mutex::new(None);

/// What is remembered of the board's clock, on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Standing {
    /// The boot.
    boot: String,
    /// The board's clock less the kernel's since boot, in milliseconds, as if the machine had never stood still.
    apart: i64,
    /// For how long it stood still in this boot, in milliseconds.
    stood: u64,
}

impl Standing {
    fn new(boot: String, apart: i64) -> Standing {
        Standing { boot, apart, stood: 0 }
    }

    /// What is to be remembered when the clocks are so far apart now.
    fn seen(self, apart: i64) -> Standing {
        let gained = apart.saturating_sub(self.apart);
        let more = gained.saturating_sub_unsigned(self.stood);
        if more > DOUBT {
            return Standing { stood: u64::try_from(gained).unwrap_or(self.stood), ..self };
        }
        if more < -DOUBT {
            return Standing { apart: apart.saturating_sub_unsigned(self.stood), ..self };
        }
        self
    }
}

fn clock(which: ClockId) -> anyhow::Result<u64> {
    let time = clock_gettime(which).context("the kernel's clock")?;
    Ok(u64::try_from(Duration::from(time).as_millis()).unwrap_or(u64::MAX))
}

fn stood_still() -> u64 {
    STANDING.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0, |s| s.stood)
}

/// The time since boot, in milliseconds, with that for which the machine slept or, as far as was [looked](look), stood still.
pub(crate) fn since_boot() -> anyhow::Result<SinceBoot> {
    Ok(clock(ClockId::CLOCK_BOOTTIME)?.saturating_add(stood_still()))
}

/// For how much of the time since boot the kernel's timeouts did not go on, in milliseconds.
pub(crate) fn missed() -> anyhow::Result<u64> {
    Ok(since_boot()?.saturating_sub(clock(ClockId::CLOCK_MONOTONIC)?))
}

/// Looks whether the machine has stood still. What cannot be kept on disk holds until the agent ends.
pub(crate) fn look(state: &State) {
    if let Err(error) = try_look(state) {
        tracing::error!(
            error = format!("{error:#}"),
            "whether this machine stood still is not known after a restart"
        );
    }
}

fn try_look(state: &State) -> anyhow::Result<()> {
    let boot = facts::boot_id();
    let mut standing = STANDING.lock().unwrap_or_else(PoisonError::into_inner);
    if standing.is_none() {
        // What this boot knows already counts, whether or not the board can be read now.
        let kept = state.standing().inspect_err(|error| {
            tracing::error!(%error, "for how long this machine stood still before is not known any more");
        });
        *standing = kept.ok().flatten().filter(|kept| kept.boot == boot);
    }
    let Some(apart) = apart()? else { return Ok(()) };
    let known = standing.take();
    let seen = match known.clone() {
        Some(known) => known.seen(apart),
        None => Standing::new(boot, apart),
    };
    *standing = Some(seen.clone());
    if known.as_ref() == Some(&seen) {
        return Ok(());
    }
    let before = known.map_or(0, |known| known.stood);
    if seen.stood > before {
        tracing::warn!(
            milliseconds = seen.stood - before,
            "this machine stood still; what ends by time ends earlier by that"
        );
    }
    state.keep_standing(&seen).context("keeping it")
}

/// How far the board's clock is from the kernel's; nothing where there is none, or when they were not read together.
fn apart() -> anyhow::Result<Option<i64>> {
    let before = clock(ClockId::CLOCK_BOOTTIME)?;
    let Some(seconds) = std::fs::read_to_string(BOARD).ok().and_then(|text| text.trim().parse::<i64>().ok())
    else {
        return Ok(None);
    };
    let after = clock(ClockId::CLOCK_BOOTTIME)?;
    let together = after - before <= TOGETHER;
    Ok(together.then(|| seconds.saturating_mul(1000).saturating_sub_unsigned(after)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first() -> Standing {
        Standing::new("one".to_owned(), 1_000_000)
    }

    #[test]
    fn what_the_board_gains_is_time_in_which_the_machine_stood_still_and_a_second_is_in_doubt() {
        for (apart, stood) in [(1_000_000, 0), (1_001_000, 0), (999_000, 0), (1_030_000, 30_000)] {
            assert_eq!(first().seen(apart).stood, stood, "{apart}");
        }
        // Short ones add up.
        let twice = first().seen(1_001_400).seen(1_002_800);
        assert_eq!(twice.stood, 2_800);
        assert_eq!(twice.clone().seen(1_002_800), twice);
    }

    #[test]
    fn a_board_that_is_set_back_gives_nothing_and_what_it_gains_from_then_on_counts() {
        let slept = first().seen(1_030_000);
        let back = slept.seen(400_000);
        assert_eq!(back.stood, 30_000);
        assert_eq!(back.clone().seen(400_900), back);
        assert_eq!(back.seen(410_000).stood, 40_000);
    }
}
