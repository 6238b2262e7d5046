//! Authenticator apps as they are kept: the secret that a person shares with the app is sealed for that person.

use sekisho_arm::traits::{read_document, read_documents, write_document};
use sekisho_arm::{ArmError, Read, StoreError, Write};
use sekisho_identity::seal::SealingKeys;
use sekisho_identity::totp::{Authenticator, SealedAuthenticator};
use sekisho_store::Store;
use uuid::Uuid;

use super::kind;
use crate::keys::rows;

/// A person's authenticator, if there is one.
///
/// # Errors
/// Those of the database, and when it does not open.
pub(super) async fn of(
    read: &mut (dyn Read + '_),
    person: Uuid,
    keys: &SealingKeys,
) -> Result<Option<Authenticator>, ArmError> {
    let kept: Option<SealedAuthenticator> = read_document(read, kind::TOTP, &person.to_string()).await?;
    kept.map(|kept| open(kept, person, keys)).transpose()
}

/// Keeps a person's authenticator.
///
/// # Errors
/// Those of the database, and of a key that is destroyed.
pub(super) async fn keep(
    tx: &mut (dyn Write + '_),
    person: Uuid,
    authenticator: &Authenticator,
    keys: &SealingKeys,
) -> Result<(), ArmError> {
    rows::must_seal(tx.as_read(), keys).await?;
    let sealed = seal(authenticator, person, keys)?;
    Ok(write_document(tx, kind::TOTP, &person.to_string(), &sealed).await?)
}

/// Opens one that is sealed for a person.
///
/// # Errors
/// When it does not open: somebody changed the database, or the key is gone.
pub(super) fn open(
    sealed: SealedAuthenticator,
    person: Uuid,
    keys: &SealingKeys,
) -> Result<Authenticator, ArmError> {
    sealed.open(person, keys).map_err(|error| {
        tracing::error!(%person, %error, "an authenticator cannot be used; the person needs another one");
        ArmError::internal()
    })
}

/// Seals one for a person.
///
/// # Errors
/// When the system gives no randomness.
pub(super) fn seal(
    authenticator: &Authenticator,
    person: Uuid,
    keys: &SealingKeys,
) -> Result<SealedAuthenticator, ArmError> {
    authenticator.seal(person, keys).map_err(|_| ArmError::internal())
}

async fn all(read: &mut (dyn Read + '_)) -> Result<Vec<(Uuid, SealedAuthenticator)>, StoreError> {
    let all = read_documents(read, kind::TOTP).await?;
    Ok(all.into_iter().filter_map(|(id, kept)| Some((id.parse().ok()?, kept))).collect())
}

/// Whether all are sealed with the key that seals at this moment.
///
/// # Errors
/// Those of the database.
pub(crate) async fn are_current(store: &Store, keys: &SealingKeys) -> Result<bool, StoreError> {
    let all = all(&mut store.read().await?).await?;
    Ok(all.iter().all(|(person, kept)| kept.is_current(*person, keys)))
}

/// Seals again what is not sealed with the key that seals at this moment, or was never sealed.
///
/// # Errors
/// Those of the database. One that does not open stays as it is and is told in the server's log: it is of no use to
/// anybody, and must not keep a key from being replaced.
pub(crate) async fn seal_again(tx: &mut (dyn Write + '_), keys: &SealingKeys) -> Result<(), StoreError> {
    for (person, kept) in all(tx.as_read()).await? {
        if kept.is_current(person, keys) {
            continue;
        }
        match kept.open(person, keys).ok().and_then(|opened| opened.seal(person, keys).ok()) {
            Some(sealed) => write_document(tx, kind::TOTP, &person.to_string(), &sealed).await?,
            None => tracing::error!(%person, "an authenticator cannot be sealed again"),
        }
    }
    Ok(())
}
