//! The server's clock, as it was said on an authenticated connection. It goes on with the machine's [clock since
//! boot](crate::since_boot), so that a wall clock that is wrong, or is set right meanwhile, changes nothing.

use sekisho_jit::agent::SinceBoot;
use sekisho_link::facts::Clock;
use time::{Duration, OffsetDateTime};

use crate::since_boot::since_boot;

/// What time it is at the server.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ServerClock(Option<(SinceBoot, OffsetDateTime)>);

impl ServerClock {
    /// The server says what time it is, in milliseconds since 1970.
    pub(crate) fn heard(&mut self, now: Option<i64>) {
        let said =
            now.and_then(|ms| OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok());
        self.0 = since_boot().ok().zip(said);
    }

    /// The time at the server; the machine's own before the server has said it.
    pub(crate) fn now(&self) -> OffsetDateTime {
        let Some(((at, said), now)) = self.0.zip(since_boot().ok()) else { return OffsetDateTime::now_utc() };
        said + std::time::Duration::from_millis(now.saturating_sub(at))
    }

    /// The time at the server in milliseconds since 1970, once the server has said it.
    pub(crate) fn said(&self) -> Option<i64> {
        self.0?;
        i64::try_from(self.now().unix_timestamp_nanos() / 1_000_000).ok()
    }

    /// The machine's clock beside it.
    pub(crate) fn beside(&self) -> Option<Clock> {
        self.0.map(|_| Clock { ahead_seconds: rounded(OffsetDateTime::now_utc() - self.now()) })
    }
}

fn rounded(difference: Duration) -> i64 {
    (difference.whole_seconds() as f64 / 10.0).round() as i64 * 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_clock_is_told_in_tens_of_seconds_and_not_at_all_before_the_server_has_said_its_own() {
        let mut clock = ServerClock::default();
        assert_eq!(clock.beside(), None);
        let server =
            |ahead: i64| Some((OffsetDateTime::now_utc() - Duration::seconds(ahead)).unix_timestamp() * 1000);
        for (ahead, told) in [(0, 0), (86_400, 86_400), (-86_400, -86_400), (3, 0)] {
            clock.heard(server(ahead));
            assert_eq!(clock.beside(), Some(Clock { ahead_seconds: told }), "{ahead}");
            assert!(
                (OffsetDateTime::now_utc() - clock.now() - Duration::seconds(ahead)).abs()
                    < Duration::seconds(2)
            );
        }
    }
}
