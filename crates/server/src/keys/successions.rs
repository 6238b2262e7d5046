//! How machines learn of keys that were replaced: each step is signed by the key before, public, and kept for ever
//! (`sekisho_audit::succession`).

use sekisho_arm::traits::{read_document, write_document};
use sekisho_arm::{Read, StoreError, Write};
use sekisho_audit::Succession;
use sekisho_identity::ring::Purpose;
use sekisho_link::message::Successions;
use serde::Serialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{KeyError, make};

/// The document kind: the steps of a purpose, in their order, by its word.
const KIND: &str = "succession";

async fn of<K: DeserializeOwned>(
    read: &mut (dyn Read + '_),
    purpose: Purpose,
) -> Result<Vec<Succession<K>>, StoreError> {
    Ok(read_document(read, KIND, purpose.word()).await?.unwrap_or_default())
}

/// All that there are.
///
/// # Errors
/// Those of the database.
pub(super) async fn all(read: &mut (dyn Read + '_)) -> Result<Successions, StoreError> {
    let command = of(read, Purpose::CommandSigning).await?;
    Ok(Successions { command, log: of(read, Purpose::LogSigning).await? })
}

/// Keeps that a key takes the place of another, where machines know the key; these are the secrets of both.
///
/// # Errors
/// Those of the database, and [`KeyError::Unusable`].
pub(super) async fn keep(
    tx: &mut (dyn Write + '_),
    (purpose, tenant): (Purpose, Uuid),
    (old, new): (&[u8], &[u8]),
    active: OffsetDateTime,
) -> Result<(), KeyError> {
    let at = active.unix_timestamp();
    match purpose {
        Purpose::CommandSigning => {
            let step = make::command(old)?.succeed(make::command(new)?.public(), at);
            add(tx, purpose, step).await
        }
        Purpose::LogSigning => {
            let (old, new) = (make::log_signer(tenant, old)?, make::log_signer(tenant, new)?);
            let step = Succession::new(old.verifier(), new.verifier(), at, |text| old.line(text, 0));
            add(tx, purpose, step).await
        }
        _ => Ok(()),
    }
}

async fn add<K: Serialize + DeserializeOwned + Send + Sync>(
    tx: &mut (dyn Write + '_),
    purpose: Purpose,
    step: Succession<K>,
) -> Result<(), KeyError> {
    let mut all: Vec<Succession<K>> = of(tx.as_read(), purpose).await?;
    all.push(step);
    Ok(write_document(tx, KIND, purpose.word(), &all).await?)
}
