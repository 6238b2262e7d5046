//! How many agents come in at a time. When thousands come back at once, after a restart of the server or of a switch,
//! they are let in at a pace that leaves room for people and for the agents that are there already.
//!
//! A handshake costs about half a millisecond of a processor, a hello a write. Handshakes are paced: each reserves the
//! next slot and waits for it; when that is too far away, the connection is closed before it costs anything, and the
//! agent tries again after a pause of its own. Hellos queue for a few places; when the queue is long, the agent is told
//! when to come back, each another moment.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

/// Handshakes of agents in a second for each processor: a third of what one can do.
const HANDSHAKES: u32 = 600;
/// Handshakes that need not wait for each other.
const BURST: u32 = 64;
/// The longest wait for a handshake. Agents give up after ten seconds.
const PATIENCE: Duration = Duration::from_secs(6);
/// Hellos that are answered at the same time.
const HELLOS: usize = 32;
/// Hellos that may wait for that.
const WAITING: usize = 2048;
/// How far apart those come back that found no place, in seconds.
const SPREAD: u32 = 15;

/// Lets agents in.
pub struct Admission {
    pace: Pace,
    hellos: Semaphore,
    waiting: Semaphore,
}

impl Default for Admission {
    fn default() -> Self {
        let processors =
            std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
        let interval = Duration::from_secs(1) / HANDSHAKES.saturating_mul(processors);
        Self {
            pace: Pace { interval, burst: interval * BURST, next: Mutex::new(Instant::now()) },
            hellos: Semaphore::new(HELLOS),
            waiting: Semaphore::new(WAITING),
        }
    }
}

impl Admission {
    /// Waits until a handshake may begin; false when that would take too long.
    pub(crate) async fn handshake(&self) -> bool {
        match self.pace.reserve(Instant::now()) {
            Some(slot) => {
                sleep_until(slot).await;
                true
            }
            None => false,
        }
    }

    /// Waits for a place to be answered in.
    ///
    /// # Errors
    /// In how many seconds to come back, when too many wait already.
    pub(super) async fn hello(&self) -> Result<SemaphorePermit<'_>, u32> {
        let later = || 1 + spread(SPREAD);
        let _waits = self.waiting.try_acquire().map_err(|_| later())?;
        self.hellos.acquire().await.map_err(|_| later())
    }
}

/// A random number of seconds up to this one, so that those who are sent away together do not come back together.
pub(super) fn spread(most: u32) -> u32 {
    let [a, b, c, d, ..] = uuid::Uuid::new_v4().into_bytes();
    u32::from_le_bytes([a, b, c, d]) % most.saturating_add(1)
}

/// Slots at equal distances, some of which may be used at once after a pause.
struct Pace {
    interval: Duration,
    burst: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    /// The next free slot; `None` when it is further away than anybody should wait.
    fn reserve(&self, now: Instant) -> Option<Instant> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = (*next).max(now.checked_sub(self.burst).unwrap_or(now));
        if slot > now + PATIENCE {
            return None;
        }
        *next = slot + self.interval;
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_at_once_the_rest_at_the_pace_and_what_would_wait_too_long_not_at_all() {
        let now = Instant::now() + Duration::from_secs(60);
        let interval = Duration::from_millis(100);
        let pace = Pace { interval, burst: interval * 5, next: Mutex::new(now - Duration::from_secs(30)) };
        let waits: Vec<Option<Duration>> =
            (0..100).map(|_| pace.reserve(now).map(|slot| slot.saturating_duration_since(now))).collect();
        assert!(waits[..6].iter().all(|w| *w == Some(Duration::ZERO)), "{waits:?}");
        assert_eq!(waits[6], Some(interval));
        assert_eq!(waits[65], Some(PATIENCE));
        assert!(waits[66..].iter().all(Option::is_none));
        // Who was refused took no slot: half a second later five more have a place.
        let later = now + interval * 5;
        assert_eq!((0..10).filter(|_| pace.reserve(later).is_some()).count(), 5);
    }

    #[tokio::test]
    async fn a_hello_that_finds_the_queue_full_is_told_to_come_back_and_takes_nobodys_place() {
        let admission =
            Admission { waiting: Semaphore::new(2), hellos: Semaphore::new(1), ..Admission::default() };
        let first = admission.hello().await.unwrap();
        let mut second = Box::pin(admission.hello());
        let mut third = Box::pin(admission.hello());
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(futures_util::poll!(&mut third).is_pending());
        let told = admission.hello().await.err().unwrap();
        assert!((1..=SPREAD + 1).contains(&told));
        drop(first);
        drop(second.await.unwrap());
        drop(third.await.unwrap());
    }
}
