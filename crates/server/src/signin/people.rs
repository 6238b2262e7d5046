//! Reading and keeping people and what they prove themselves with.

use std::net::IpAddr;

use sekisho_arm::traits::{read_document, read_documents, write_document};
use sekisho_arm::{ArmError, Read, StoreError, Write};
use sekisho_identity::conditional_access::RiskLevel;
use sekisho_identity::grant::Grant;
use sekisho_identity::passkey::StoredPasskey;
use sekisho_identity::session::{Method, Session};
use sekisho_identity::throttle::KnownDevice;
use sekisho_identity::{Person, Secret};
use uuid::Uuid;

use super::kind;

/// A person by sign-in name.
pub(crate) async fn by_name(read: &mut (dyn Read + '_), name: &str) -> Result<Option<Person>, StoreError> {
    let id: Option<Uuid> = read_document(read, kind::PERSON_NAME, &Person::name_key(name)).await?;
    match id {
        Some(id) => read_document(read, kind::PERSON, &id.to_string()).await,
        None => Ok(None),
    }
}

/// A person by object id.
pub(crate) async fn by_id(read: &mut (dyn Read + '_), id: Uuid) -> Result<Option<Person>, StoreError> {
    read_document(read, kind::PERSON, &id.to_string()).await
}

/// Keeps a new person; their name must be free.
pub(super) async fn add(tx: &mut (dyn Write + '_), person: &Person) -> Result<(), ArmError> {
    if by_name(tx.as_read(), &person.user_principal_name).await?.is_some() {
        let text = "Another object with the same value for property userPrincipalName already exists.";
        return Err(ArmError::bad("Request_BadRequest", text).target("userPrincipalName"));
    }
    let key = Person::name_key(&person.user_principal_name);
    write_document(tx, kind::PERSON_NAME, &key, &person.id).await?;
    Ok(write_document(tx, kind::PERSON, &person.id.to_string(), person).await?)
}

/// Keeps a person as changed.
pub(crate) async fn keep(tx: &mut (dyn Write + '_), person: &Person) -> Result<(), StoreError> {
    write_document(tx, kind::PERSON, &person.id.to_string(), person).await
}

/// A person's passkeys.
pub(super) async fn passkeys(
    read: &mut (dyn Read + '_),
    person: Uuid,
) -> Result<Vec<StoredPasskey>, StoreError> {
    let all: Vec<(String, StoredPasskey)> = read_documents(read, kind::PASSKEY).await?;
    Ok(all.into_iter().map(|(_, p)| p).filter(|p| p.person == person).collect())
}

/// Whether somebody has anything to sign in with.
pub(super) async fn can_sign_in(read: &mut (dyn Read + '_), person: &Person) -> Result<bool, StoreError> {
    let password = read.document(kind::PASSWORD, &person.id.to_string()).await?.is_some();
    Ok(password || !passkeys(read, person.id).await?.is_empty())
}

/// A person's live sessions.
pub(super) async fn sessions(
    read: &mut (dyn Read + '_),
    person: &Person,
) -> Result<Vec<Session>, StoreError> {
    let now = read.now();
    let all: Vec<(String, Session)> = read_documents(read, kind::SESSION).await?;
    let own =
        |s: &Session| s.person == person.id && s.generation == person.generation && s.alive(now).is_ok();
    Ok(all.into_iter().map(|(_, s)| s).filter(own).collect())
}

/// A person's live grants.
pub(super) async fn grants(read: &mut (dyn Read + '_), person: &Person) -> Result<Vec<Grant>, StoreError> {
    let now = read.now();
    let all: Vec<(String, Grant)> = read_documents(read, kind::GRANT).await?;
    let own = |g: &Grant| g.person == person.id && g.generation == person.generation && g.alive(now).is_ok();
    Ok(all.into_iter().map(|(_, g)| g).filter(own).collect())
}

/// Begins a session in a browser that is then known: the session, its token, and the browser's own cookie.
pub(super) async fn begin_session(
    tx: &mut (dyn Write + '_),
    person: &Person,
    methods: &[Method],
    address: IpAddr,
    (user_agent, risk): (&str, RiskLevel),
) -> Result<(Session, Secret, Secret), ArmError> {
    let now = tx.now();
    let (mut session, token) =
        Session::new(person, methods, address, user_agent, now).map_err(|_| ArmError::internal())?;
    session.risk = risk;
    write_document(tx, kind::SESSION, &session.key(), &session).await?;
    let (device, cookie) = KnownDevice::issue(person.id, now).map_err(|_| ArmError::internal())?;
    write_document(tx, kind::DEVICE, &device.key(), &device).await?;
    Ok((session, token, cookie))
}

/// Ends a person's sessions and grants, also those that a new generation ended already.
pub(super) async fn end_sessions(tx: &mut (dyn Write + '_), person: Uuid) -> Result<(), StoreError> {
    let all: Vec<(String, Session)> = read_documents(tx.as_read(), kind::SESSION).await?;
    for (key, _) in all.iter().filter(|(_, s)| s.person == person) {
        tx.remove_document(kind::SESSION, key).await?;
    }
    end_grants(tx, |g| g.person == person).await
}

/// Ends grants.
pub(super) async fn end_grants(
    tx: &mut (dyn Write + '_),
    which: impl Fn(&Grant) -> bool + Send,
) -> Result<(), StoreError> {
    let all: Vec<(String, Grant)> = read_documents(tx.as_read(), kind::GRANT).await?;
    for (key, _) in all.iter().filter(|(_, g)| which(g)) {
        tx.remove_document(kind::GRANT, key).await?;
    }
    Ok(())
}

/// Whether anybody exists yet.
pub(super) async fn anybody(read: &mut (dyn Read + '_)) -> Result<bool, StoreError> {
    Ok(!read.documents(kind::PERSON).await?.is_empty())
}

/// Removes a person with everything they have.
pub(super) async fn remove(tx: &mut (dyn Write + '_), person: &Person) -> Result<(), StoreError> {
    for passkey in passkeys(tx.as_read(), person.id).await? {
        tx.remove_document(kind::PASSKEY, &passkey.id).await?;
    }
    end_sessions(tx, person.id).await?;
    let own =
        [kind::PASSWORD, kind::TOTP, kind::RECOVERY, kind::ACCESS_PASS, kind::SIGN_IN_HISTORY, kind::PERSON];
    for what in own {
        tx.remove_document(what, &person.id.to_string()).await?;
    }
    tx.remove_document(kind::PERSON_NAME, &Person::name_key(&person.user_principal_name)).await?;
    Ok(())
}
