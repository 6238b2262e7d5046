//! Counting failed attempts where they come from and where they are aimed, and refusing more of them for a while.
//!
//! A counter is kept under a key of the server's. While another key takes its place, what was counted under either is
//! read, the worse counts, and it is kept under the one in use.

use sekisho_arm::traits::{read_document, write_document};
use sekisho_arm::{Read, StoreError, Write};
use sekisho_identity::secret::Digest;
use sekisho_identity::throttle::{Counter, Locked, Place, Spot};
use time::OffsetDateTime;

use super::kind;

/// Whether an attempt may be made now.
pub(crate) async fn check(
    read: &mut (dyn Read + '_),
    places: &[Spot],
    now: OffsetDateTime,
) -> Result<Result<(), Locked>, StoreError> {
    for spot in places {
        if let Err(locked) = counter(read, spot).await?.check(now) {
            return Ok(Err(locked));
        }
    }
    Ok(Ok(()))
}

/// Counts a failure. `wrong` is the digest of the password that was typed, if it was one.
pub(crate) async fn failed(
    tx: &mut (dyn Write + '_),
    places: &[Spot],
    wrong: Option<Digest>,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    count(tx, places, |counter, place| counter.fail(place, wrong, now)).await
}

/// Counts a success.
pub(crate) async fn succeeded(tx: &mut (dyn Write + '_), places: &[Spot]) -> Result<(), StoreError> {
    count(tx, places, Counter::succeed).await
}

async fn counter(read: &mut (dyn Read + '_), spot: &Spot) -> Result<Counter, StoreError> {
    let mut counter: Counter = read_document(read, kind::THROTTLE, &spot.key).await?.unwrap_or_default();
    for key in &spot.others {
        if let Some(other) = read_document(read, kind::THROTTLE, key).await? {
            counter = counter.worst(other);
        }
    }
    Ok(counter)
}

async fn count(
    tx: &mut (dyn Write + '_),
    places: &[Spot],
    tell: impl Fn(&mut Counter, Place) + Send,
) -> Result<(), StoreError> {
    for spot in places {
        let mut counter = counter(tx.as_read(), spot).await?;
        tell(&mut counter, spot.place);
        write_document(tx, kind::THROTTLE, &spot.key, &counter).await?;
        // It is counted under the one key from now on; another server may still count under the other one.
        for key in &spot.others {
            tx.remove_document(kind::THROTTLE, key).await?;
        }
    }
    Ok(())
}
