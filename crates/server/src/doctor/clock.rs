//! The clock: whether something keeps it right, and whether it agrees with the database's.

use time::{Duration, OffsetDateTime};

use super::Finding;

const AREA: &str = "clock";
/// Codes of an authenticator are good for 30 seconds; half of that is what a clock may be wrong by.
const TOLERATED: Duration = Duration::seconds(15);

pub(super) fn look(database: Option<(OffsetDateTime, OffsetDateTime)>) -> Vec<Finding> {
    let apart = database.map(|(theirs, ours)| (theirs - ours).abs());
    vec![synchronised(kernel_says_synchronised()), agreed(apart)].into_iter().flatten().collect()
}

fn synchronised(known: Option<bool>) -> Option<Finding> {
    Some(match known? {
        true => Finding::fine(AREA, "the clock is kept right"),
        false => Finding::warning(
            AREA,
            "the kernel does not know of anything that keeps the clock right",
            "Install one: apt install systemd-timesyncd (or chrony)",
        ),
    })
}

fn agreed(apart: Option<Duration>) -> Option<Finding> {
    let apart = apart?;
    (apart > TOLERATED).then(|| {
        let seen = format!("this clock and the database's are {} s apart", apart.whole_seconds());
        Finding::bad(AREA, seen, "Set both by NTP: codes and certificates are judged by this clock")
    })
}

/// What `adjtimex(2)` says: the kernel is told by whoever sets the clock. `None` where it may not be asked.
#[expect(unsafe_code, reason = "there is no other way to ask")]
fn kernel_says_synchronised() -> Option<bool> {
    // SAFETY: `timex` is a plain C struct, for which all zeroes are valid; `modes` 0 asks and changes nothing.
    let (answer, status) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&mut timex), timex.status)
    };
    (answer >= 0).then_some(answer != libc::TIME_ERROR && status & libc::STA_UNSYNC == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_disagree_by_more_than_half_a_code_are_bad() {
        assert_eq!(agreed(Some(Duration::seconds(15))), None);
        assert!(agreed(Some(Duration::seconds(16))).unwrap().seen.contains("16 s apart"));
    }
}
