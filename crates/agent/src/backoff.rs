//! How long to wait before another attempt: decorrelated jitter, so that machines that lost the server together do not
//! come back together. Each pause lies between one second and three times the one before.

use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};

const LEAST: Duration = Duration::from_secs(1);

/// The pauses between attempts.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    pause: Duration,
    cap: Duration,
}

impl Backoff {
    /// Pauses of at most `cap`.
    pub fn new(cap: Duration) -> Backoff {
        Backoff { pause: LEAST, cap }
    }

    /// It worked for a while: the next pause is a short one.
    pub fn reset(&mut self) {
        self.pause = LEAST;
    }

    /// The next pause.
    pub fn next_pause(&mut self) -> Duration {
        let mut bytes = [0u8; 4];
        let filled = SystemRandom::new().fill(&mut bytes).is_ok();
        let share = if filled { f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX) } else { 1.0 };
        let high = (self.pause * 3).max(LEAST);
        self.pause = (LEAST + (high - LEAST).mul_f64(share)).min(self.cap);
        self.pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_differ_grow_and_stay_below_the_cap() {
        let cap = Duration::from_secs(300);
        let pauses = || {
            let mut backoff = Backoff::new(cap);
            (0..40).map(|_| backoff.next_pause()).collect::<Vec<_>>()
        };
        let (one, two) = (pauses(), pauses());
        assert_ne!(one, two);
        assert!(one.iter().all(|p| (LEAST..=cap).contains(p)), "{one:?}");
        assert!(one[0] <= LEAST * 3 && one.iter().any(|p| *p > LEAST * 20), "{one:?}");
        let mut short = Backoff::new(Duration::from_millis(100));
        assert_eq!(short.next_pause(), Duration::from_millis(100));
    }
}
