//! What lets a client open one WebSocket: a secret that is good once and for a minute, given to somebody who has proved
//! who they are. Only its hash is kept, in this process, because the stream goes through this process, too.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use sekisho_arm::ArmError;
use sekisho_identity::Secret;
use uuid::Uuid;

/// How long a secret is good.
const GOOD: Duration = Duration::from_secs(60);
/// Secrets that wait to be used at once; more are refused.
const MOST: usize = 10_000;

struct Kept<T> {
    allowed: T,
    handle: Uuid,
    until: Instant,
}

/// The secrets that wait to be used, by their hashes, and what each of them allows.
pub(crate) struct Tokens<T>(Mutex<HashMap<[u8; 32], Kept<T>>>);

impl<T> Default for Tokens<T> {
    fn default() -> Tokens<T> {
        Tokens(Mutex::default())
    }
}

fn hash(secret: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
    out
}

impl<T> Tokens<T> {
    /// Makes a secret, and a handle by which it can be taken back.
    ///
    /// # Errors
    /// 429 when too many wait; 500 without randomness.
    pub(crate) fn give(&self, allowed: T) -> Result<(Secret, Uuid), ArmError> {
        let mut random = [0; 32];
        SystemRandom::new().fill(&mut random).map_err(|_| ArmError::internal())?;
        let secret = URL_SAFE_NO_PAD.encode(random);
        let (now, handle) = (Instant::now(), Uuid::new_v4());
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, k| k.until > now);
        if kept.len() >= MOST {
            let text = "Too many sessions are about to begin. Try again in a minute.";
            return Err(ArmError::new(429, "TooManyRequests", text));
        }
        kept.insert(hash(&secret), Kept { allowed, handle, until: now + GOOD });
        Ok((Secret::new(secret), handle))
    }

    /// Uses a secret up.
    pub(crate) fn take(&self, secret: &str) -> Option<T> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove(&hash(secret)).filter(|k| k.until > Instant::now()).map(|k| k.allowed)
    }

    /// Takes a secret back that was not used. Whether there was one.
    pub(crate) fn forget(&self, handle: Uuid) -> bool {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = kept.len();
        kept.retain(|_, k| k.handle != handle);
        kept.len() < before
    }
}
