//! Where requests are kept: beside their policies, so that no write of a policy loses one. Those to which something can
//! still happen are apart from those that are over, which are many and are read only to be shown.

use sekisho_arm::traits::{read_documents, read_documents_between, write_document};
use sekisho_arm::{Read, Scope, StoreError, Write};
use uuid::Uuid;

use crate::request::Request;

/// The document kind of requests to which something can still happen.
pub const LIVE: &str = "jit-request";
/// The document kind of those that are over.
pub const PAST: &str = "jit-request-past";
/// The document kind of the last number that a grant was given.
const MARKS: &str = "jit-marks";

/// Their keys begin with their policy's; `|` stands in no id.
fn key(policy: &str, id: &Uuid) -> String {
    format!("{}|{id}", policy.to_ascii_lowercase())
}

/// The lower-case id of the policy in a request's key.
pub fn policy_of(key: &str) -> &str {
    key.split_once('|').map_or(key, |(policy, _)| policy)
}

async fn of(read: &mut (dyn Read + '_), kind: &str, policy: &Scope) -> Result<Vec<Request>, StoreError> {
    let policy = policy.key();
    let (first, last) = (format!("{policy}|"), format!("{policy}|~"));
    let all = read_documents_between(read, kind, (&first, &last)).await?;
    Ok(all.into_iter().map(|(_, request)| request).collect())
}

/// The requests of a policy to which something can still happen, oldest first.
///
/// # Errors
/// Those of the database.
pub async fn live(read: &mut (dyn Read + '_), policy: &Scope) -> Result<Vec<Request>, StoreError> {
    of(read, LIVE, policy).await
}

/// The requests of a policy that are over, oldest first.
///
/// # Errors
/// Those of the database.
pub async fn past(read: &mut (dyn Read + '_), policy: &Scope) -> Result<Vec<Request>, StoreError> {
    of(read, PAST, policy).await
}

/// The live requests of all policies.
///
/// # Errors
/// Those of the database.
pub async fn all_live(read: &mut (dyn Read + '_)) -> Result<Vec<Request>, StoreError> {
    Ok(read_documents(read, LIVE).await?.into_iter().map(|(_, request)| request).collect())
}

/// Those of all policies that are over.
///
/// # Errors
/// Those of the database.
pub async fn all_past(read: &mut (dyn Read + '_)) -> Result<Vec<Request>, StoreError> {
    Ok(read_documents(read, PAST).await?.into_iter().map(|(_, request)| request).collect())
}

/// A live request of a policy.
///
/// # Errors
/// Those of the database.
pub async fn named(
    read: &mut (dyn Read + '_),
    policy: &Scope,
    id: &Uuid,
) -> Result<Option<Request>, StoreError> {
    sekisho_arm::traits::read_document(read, LIVE, &key(&policy.key(), id)).await
}

/// Keeps a request where it belongs now.
///
/// # Errors
/// Those of the database.
pub async fn keep(tx: &mut (dyn Write + '_), request: &Request) -> Result<(), StoreError> {
    let key = key(&request.policy, &request.id);
    if request.is_over() {
        tx.remove_document(LIVE, &key).await?;
        return write_document(tx, PAST, &key, request).await;
    }
    write_document(tx, LIVE, &key, request).await
}

/// Forgets a request.
///
/// # Errors
/// Those of the database.
pub async fn forget(tx: &mut (dyn Write + '_), request: &Request) -> Result<(), StoreError> {
    let key = key(&request.policy, &request.id);
    tx.remove_document(LIVE, &key).await?;
    tx.remove_document(PAST, &key).await?;
    Ok(())
}

/// A number for a grant that no other grant of the last four billion has.
///
/// # Errors
/// Those of the database.
pub async fn next_mark(tx: &mut (dyn Write + '_)) -> Result<u32, StoreError> {
    let last: u32 = sekisho_arm::traits::read_document(tx.as_read(), MARKS, "last").await?.unwrap_or(0);
    let next = last.checked_add(1).unwrap_or(1);
    write_document(tx, MARKS, "last", &next).await?;
    Ok(next)
}
