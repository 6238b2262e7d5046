//! Passwords by which the server logs in to desktops for people who may. One is sealed for the place where it is kept, is
//! opened for a login only, and is shown to nobody.

use std::sync::{Arc, OnceLock};

use sekisho_arm::{ArmError, Read, StoreError, Write};
use sekisho_bastion::desktop::{self, Beside as _, Credential, Domain, For};
use sekisho_identity::Secret;
use sekisho_identity::seal::SealingKeys;
use sekisho_link::Current;
use sekisho_store::Store;
use time::OffsetDateTime;

use crate::keys::{Keys, rows};

/// The longest password, in bytes.
const LONGEST: usize = 512;

/// The keys in use, once the server has them: the registry of types is made before.
#[derive(Clone, Default)]
pub struct LateKeys(Arc<OnceLock<Arc<Current<Keys>>>>);

impl LateKeys {
    /// They are there.
    pub(crate) fn set(&self, keys: Arc<Current<Keys>>) {
        // Set once, at the start.
        let _ = self.0.set(keys);
    }

    /// Those at this moment.
    ///
    /// # Errors
    /// 500 before the start.
    pub(crate) fn get(&self) -> Result<Arc<Keys>, ArmError> {
        self.0.get().map(|keys| keys.get()).ok_or_else(ArmError::internal)
    }
}

/// The place that a password is sealed for.
fn place(of: &For) -> String {
    format!("{} {}", Credential::KIND, of.key())
}

/// Whether a text can be a password.
pub(crate) fn is_password(typed: &Secret) -> bool {
    (1..=LONGEST).contains(&typed.expose().len()) && !typed.expose().contains('\0')
}

/// What is said of one that cannot.
pub(crate) fn no_password() -> ArmError {
    let text = format!("A password has 1 to {LONGEST} bytes, and no NUL.");
    ArmError::bad("InvalidParameter", text).target("password")
}

fn seal(of: &For, password: &Secret, keys: &SealingKeys) -> Result<String, ArmError> {
    keys.seal(&place(of), password.expose().as_bytes()).map_err(|_| ArmError::internal())
}

fn open(kept: &Credential, keys: &SealingKeys) -> Option<Secret> {
    let bytes = keys.open(&place(&kept.of), &kept.sealed).ok()?;
    std::str::from_utf8(&bytes).ok().map(Secret::new)
}

/// The password that is kept for something, and the domain of its account.
///
/// # Errors
/// Those of the database, and when it does not open.
pub(super) async fn of(
    read: &mut (dyn Read + '_),
    of: &For,
    keys: &SealingKeys,
) -> Result<Option<(Secret, Option<Domain>)>, ArmError> {
    let Some(kept) = desktop::credential(read, of).await? else { return Ok(None) };
    // One that was moved to another place in the database is not for this one, either.
    match open(&Credential { of: of.clone(), ..kept.clone() }, keys) {
        Some(password) => Ok(Some((password, kept.domain))),
        None => {
            tracing::error!(
                key = of.key(),
                "a password that is kept cannot be opened; it has to be given anew"
            );
            Err(ArmError::internal())
        }
    }
}

/// Keeps a password.
///
/// # Errors
/// Those of the database, and of a key that is destroyed.
pub(crate) async fn keep(
    tx: &mut (dyn Write + '_),
    (of, domain): (For, Option<Domain>),
    password: &Secret,
    keys: &SealingKeys,
    (by, at): (&str, OffsetDateTime),
) -> Result<Credential, ArmError> {
    rows::must_seal(tx.as_read(), keys).await?;
    let sealed = seal(&of, password, keys)?;
    let kept = Credential { of, domain, sealed, changed: at, by: by.to_owned() };
    desktop::keep(tx, &kept).await?;
    Ok(kept)
}

/// Whether all are sealed with the key that seals at this moment.
///
/// # Errors
/// Those of the database.
pub(crate) async fn are_current(store: &Store, keys: &SealingKeys) -> Result<bool, StoreError> {
    let all: Vec<Credential> = desktop::all(&mut store.read().await?).await?;
    Ok(all.iter().all(|kept| keys.is_current(&place(&kept.of), &kept.sealed)))
}

/// Seals again what is not sealed with the key that seals at this moment.
///
/// # Errors
/// Those of the database. One that does not open stays as it is and is told in the server's log: it is of no use to
/// anybody, and must not keep a key from being replaced.
pub(crate) async fn seal_again(tx: &mut (dyn Write + '_), keys: &SealingKeys) -> Result<(), StoreError> {
    for kept in desktop::all::<Credential>(tx.as_read()).await? {
        if keys.is_current(&place(&kept.of), &kept.sealed) {
            continue;
        }
        match open(&kept, keys).and_then(|password| seal(&kept.of, &password, keys).ok()) {
            Some(sealed) => desktop::keep(tx, &Credential { sealed, ..kept }).await?,
            None => tracing::error!(key = kept.key(), "a password that is kept cannot be sealed again"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sekisho_arm::traits::write_document;
    use sekisho_bastion::desktop::Protocol;
    use sekisho_identity::seal::SealingKey;

    use super::*;

    fn keys(active: u8, others: &[u8]) -> SealingKeys {
        let key = |byte: &u8| SealingKey::new(&[*byte; 32]).unwrap();
        SealingKeys { id: active.to_string(), active: key(&active), others: others.iter().map(key).collect() }
    }

    fn of_account(account: &str) -> For {
        let machine = "/subscriptions/s/vm".to_owned();
        For { machine, protocol: Protocol::Rdp, account: Some(account.parse().unwrap()) }
    }

    async fn put(store: &Store, kept: Credential) {
        store
            .write::<_, StoreError, _>(move |tx| Box::pin(async move { desktop::keep(tx, &kept).await }))
            .await
            .unwrap();
    }

    async fn opened(store: &Store, of: &For, keys: &SealingKeys) -> Result<Option<String>, ArmError> {
        let found = super::of(&mut store.read().await.unwrap(), of, keys).await?;
        Ok(found.map(|(password, _)| password.expose().to_owned()))
    }

    #[tokio::test]
    async fn a_password_opens_where_it_is_kept_and_nowhere_else_and_outlives_the_key_that_sealed_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite://{}/db", dir.path().display())).await.unwrap();
        let (jun, rin, first) = (of_account("jun"), of_account("rin"), keys(1, &[]));
        let sealed = seal(&jun, &Secret::new("関所 1"), &first).unwrap();
        let at = OffsetDateTime::UNIX_EPOCH;
        let kept = Credential { of: jun.clone(), domain: None, sealed, changed: at, by: "kai".to_owned() };
        put(&store, kept.clone()).await;
        assert_eq!(opened(&store, &jun, &first).await.unwrap().as_deref(), Some("関所 1"));
        assert_eq!(opened(&store, &rin, &first).await.unwrap(), None);
        // Whoever can write to the database cannot have it used for another account, whatever it says of itself.
        let moved = (rin.key(), kept.clone());
        store
            .write::<_, StoreError, _>(move |tx| {
                Box::pin(async move { write_document(tx, Credential::KIND, &moved.0, &moved.1).await })
            })
            .await
            .unwrap();
        assert_eq!(opened(&store, &rin, &first).await.unwrap_err().status, 500);
        put(&store, Credential { of: rin.clone(), ..kept }).await;
        assert_eq!(opened(&store, &rin, &first).await.unwrap_err().status, 500);

        let next = keys(2, &[1]);
        assert!(!are_current(&store, &next).await.unwrap());
        store
            .write::<_, StoreError, _>(move |tx| {
                Box::pin(async move { seal_again(tx, &keys(2, &[1])).await })
            })
            .await
            .unwrap();
        assert_eq!(opened(&store, &jun, &keys(2, &[])).await.unwrap().as_deref(), Some("関所 1"));
        assert!(opened(&store, &jun, &first).await.is_err());
        for bad in ["", "a\0b", "x".repeat(LONGEST + 1).as_str()] {
            assert!(!is_password(&Secret::new(bad)));
        }
    }
}
