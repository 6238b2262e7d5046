//! Counting failed attempts where they come from and where they are aimed, and refusing more of them for a while.

use sekisho_arm::traits::{read_document, write_document};
use sekisho_arm::{Read, StoreError, Write};
use sekisho_identity::secret::Digest;
use sekisho_identity::throttle::{Counter, Locked, Place};
use time::OffsetDateTime;

use super::kind;

/// Whether an attempt may be made now.
pub(crate) async fn check(
    read: &mut (dyn Read + '_),
    places: &[(Place, String)],
    now: OffsetDateTime,
) -> Result<Result<(), Locked>, StoreError> {
    for (_, key) in places {
        let counter: Counter = read_document(read, kind::THROTTLE, key).await?.unwrap_or_default();
        if let Err(locked) = counter.check(now) {
            return Ok(Err(locked));
        }
    }
    Ok(Ok(()))
}

/// Counts a failure. `wrong` is the digest of the password that was typed, if it was one.
pub(crate) async fn failed(
    tx: &mut (dyn Write + '_),
    places: &[(Place, String)],
    wrong: Option<Digest>,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    count(tx, places, |counter, place| counter.fail(place, wrong, now)).await
}

/// Counts a success.
pub(crate) async fn succeeded(
    tx: &mut (dyn Write + '_),
    places: &[(Place, String)],
) -> Result<(), StoreError> {
    count(tx, places, Counter::succeed).await
}

async fn count(
    tx: &mut (dyn Write + '_),
    places: &[(Place, String)],
    tell: impl Fn(&mut Counter, Place) + Send,
) -> Result<(), StoreError> {
    for (place, key) in places {
        let mut counter: Counter =
            read_document(tx.as_read(), kind::THROTTLE, key).await?.unwrap_or_default();
        tell(&mut counter, *place);
        write_document(tx, kind::THROTTLE, key, &counter).await?;
    }
    Ok(())
}
