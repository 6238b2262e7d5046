//! How long a session may still last: until its time is over, and for as long as somebody types. Some time before, whoever
//! has it is warned.

use std::sync::Arc;
use std::time::Duration;

use sekisho_bastion::host::BastionHost;
use time::OffsetDateTime;
use tokio::time::{Instant, sleep_until};

use super::Allowed;
use super::live::Bytes;

/// How long before its end people are warned; half of a limit that is shorter than twice that.
const WARNING: Duration = Duration::from_secs(60);

/// The limits of a session.
pub(super) struct Limits {
    over: Instant,
    longest: Duration,
    idle: Option<Duration>,
    bytes: Arc<Bytes>,
}

/// Which limit ends a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// Nobody has typed for too long.
    Idle,
    /// It has lasted as long as it may.
    TimeOver,
}

/// An end that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Warning {
    pub(super) limit: Limit,
    /// How far away it is; at least one.
    pub(super) seconds: u64,
}

impl Limit {
    /// Why a session ended.
    pub(super) fn word(self) -> &'static str {
        match self {
            Limit::Idle => "Idle",
            Limit::TimeOver => "TimeOver",
        }
    }
}

impl Limits {
    /// Those of a session since it began.
    pub(super) fn new(
        since: Instant,
        longest: Duration,
        idle: Option<Duration>,
        bytes: Arc<Bytes>,
    ) -> Limits {
        Limits { over: since + longest, longest, idle, bytes }
    }

    /// Those of a login through a host.
    pub(super) fn of(since: Instant, (host, allowed): (&BastionHost, &Allowed), bytes: Arc<Bytes>) -> Limits {
        let longest = allowed.lasts(Duration::from_secs(u64::from(host.longest()) * 60));
        Limits::new(since, longest, host.idle(), bytes)
    }

    /// Until when it may last.
    pub(super) fn until(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc() + self.over.saturating_duration_since(Instant::now())
    }

    /// After how long without typing it ends.
    pub(super) fn idle(&self) -> Option<Duration> {
        self.idle
    }

    /// How long it may last.
    pub(super) fn longest(&self) -> Duration {
        self.longest
    }

    /// The limit that is reached first unless somebody types, when, and how long before people are warned.
    fn next(&self) -> (Limit, Instant, Duration) {
        let ahead = |limit: Duration| WARNING.min(limit / 2);
        match self.idle.map(|idle| (idle, self.bytes.typed_last() + idle)) {
            Some((idle, end)) if end < self.over => (Limit::Idle, end, ahead(idle)),
            _ => (Limit::TimeOver, self.over, ahead(self.longest)),
        }
    }

    /// Until a limit is reached.
    pub(super) async fn reached(&self) -> Limit {
        loop {
            let (limit, end, _) = self.next();
            if end <= Instant::now() {
                return limit;
            }
            sleep_until(end).await;
        }
    }

    /// Until there is an end to be warned of. `warned` is the one that was warned of last. Nothing is lost when this is
    /// dropped before it is ready.
    pub(super) async fn near(&self, warned: &mut Option<Instant>) -> Warning {
        let mut typed = self.bytes.typing();
        loop {
            typed.mark_unchanged();
            let (limit, end, ahead) = self.next();
            let (now, due) = (Instant::now(), end.checked_sub(ahead).unwrap_or(end));
            let is_told = *warned == Some(end);
            if due <= now && !is_told {
                *warned = Some(end);
                let left = end.saturating_duration_since(now);
                return Warning { limit, seconds: left.as_secs_f64().ceil().max(1.0) as u64 };
            }
            tokio::select! {
                () = sleep_until(due), if !is_told => {}
                // The sender is this object's own.
                _ = typed.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(n: u64) -> Duration {
        Duration::from_secs(n * 60)
    }

    fn limits(longest: Duration, idle: Option<Duration>) -> (Limits, Arc<Bytes>, Instant) {
        let bytes = Arc::new(Bytes::default());
        let now = Instant::now();
        (Limits::new(now, longest, idle, bytes.clone()), bytes, now)
    }

    fn warning(limit: Limit, seconds: u64) -> Warning {
        Warning { limit, seconds }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_type_is_warned_a_minute_before_the_end_and_whoever_types_then_stays() {
        let (limits, bytes, began) = limits(minutes(60), Some(minutes(10)));
        let mut warned = None;
        assert_eq!(limits.near(&mut warned).await, warning(Limit::Idle, 60));
        assert_eq!(began.elapsed(), minutes(9));
        bytes.typed();
        assert_eq!(limits.near(&mut warned).await, warning(Limit::Idle, 60));
        assert_eq!(began.elapsed(), minutes(18));
        // Each end is told once to everybody.
        tokio::select! {
            _ = limits.near(&mut warned) => panic!("it was told twice"),
            limit = limits.reached() => assert_eq!(limit, Limit::Idle),
        }
        assert_eq!(began.elapsed(), minutes(19));
        assert_eq!(limits.near(&mut None).await, warning(Limit::Idle, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_time_ends_also_a_session_in_which_somebody_types() {
        let (limits, bytes, began) = limits(minutes(10), Some(minutes(4)));
        let typing = async {
            loop {
                bytes.typed();
                tokio::time::sleep(minutes(1)).await;
            }
        };
        let work = async {
            assert_eq!(limits.near(&mut None).await, warning(Limit::TimeOver, 60));
            assert_eq!(began.elapsed(), minutes(9));
            limits.reached().await
        };
        tokio::select! {
            () = typing => {}
            limit = work => assert_eq!(limit, Limit::TimeOver),
        }
        assert_eq!(began.elapsed(), minutes(10));
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_short_limit_half_is_left_when_it_is_told() {
        let (limits, _, began) = limits(minutes(1), None);
        assert_eq!(limits.near(&mut None).await, warning(Limit::TimeOver, 30));
        assert_eq!(began.elapsed(), minutes(1) / 2);
    }
}
