//! The rows of the key ring in the database, and the ids of the installation, which are kept beside them.

use sekisho_arm::traits::{read_document, read_documents, write_document};
use sekisho_arm::{ArmError, Read, StoreError, Write};
use sekisho_identity::ring::{Key, KeyRing, Purpose};
use sekisho_identity::seal::SealingKeys;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The document kind of the rows, by id.
pub(crate) const KIND: &str = "keyring";
const INSTALLATION: &str = "installation";
const IDS: &str = "ids";

/// What an installation is called, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ids {
    pub(crate) tenant: Uuid,
    /// The first subscription.
    pub(crate) subscription: Uuid,
}

/// The ids; `None` before the first start.
///
/// # Errors
/// Those of the database.
pub(super) async fn ids(read: &mut (dyn Read + '_)) -> Result<Option<Ids>, StoreError> {
    read_document(read, INSTALLATION, IDS).await
}

/// Keeps the ids.
///
/// # Errors
/// Those of the database.
pub(super) async fn keep_ids(tx: &mut (dyn Write + '_), ids: &Ids) -> Result<(), StoreError> {
    write_document(tx, INSTALLATION, IDS, ids).await
}

/// All rows.
///
/// # Errors
/// Those of the database.
pub(super) async fn all(read: &mut (dyn Read + '_)) -> Result<Vec<Key>, StoreError> {
    let rows: Vec<(String, Key)> = read_documents(read, KIND).await?;
    // A row is bound to its id, wherever it was moved to.
    Ok(rows.into_iter().map(|(id, key)| Key { id, ..key }).collect())
}

/// The keys of one purpose.
///
/// # Errors
/// Those of the database.
pub(crate) async fn of(read: &mut (dyn Read + '_), purpose: Purpose) -> Result<KeyRing, StoreError> {
    let rows = all(read).await?;
    Ok(KeyRing::new(rows.into_iter().filter(|key| key.purpose == purpose).collect()))
}

/// Refuses to have something sealed with a key that is destroyed.
///
/// # Errors
/// Those of the database; 503 when the key that seals was destroyed a moment ago by another server, and this one has not
/// heard of that yet: what it would seal could never be opened.
pub(crate) async fn must_seal(read: &mut (dyn Read + '_), keys: &SealingKeys) -> Result<(), ArmError> {
    let ring = of(read, Purpose::Sealing).await?;
    if ring.living().any(|key| key.id == keys.id) {
        return Ok(());
    }
    let text = "The server's keys are being replaced. Try again in a moment.";
    Err(ArmError::new(503, "KeysReplaced", text))
}

/// Keeps a row.
///
/// # Errors
/// Those of the database.
pub(super) async fn put(tx: &mut (dyn Write + '_), key: &Key) -> Result<(), StoreError> {
    write_document(tx, KIND, &key.id, key).await
}

/// Keeps those rows of a ring that are not as they were.
///
/// # Errors
/// Those of the database.
pub(crate) async fn keep(
    tx: &mut (dyn Write + '_),
    before: &KeyRing,
    ring: &KeyRing,
) -> Result<(), StoreError> {
    for key in ring.rows().iter().filter(|key| !before.rows().contains(key)) {
        put(tx, key).await?;
    }
    Ok(())
}

/// The id of the root key that the ring is sealed with; empty while the ring is.
///
/// # Errors
/// Those of the database.
pub(crate) async fn root(read: &mut (dyn Read + '_)) -> Result<String, StoreError> {
    Ok(root_of(&all(read).await?).unwrap_or_default().to_owned())
}

/// The id of the root key that rows are sealed with; `None` when there are none.
pub(super) fn root_of(rows: &[Key]) -> Option<&str> {
    rows.iter().find(|key| key.lives()).map(|key| key.root.as_str())
}
