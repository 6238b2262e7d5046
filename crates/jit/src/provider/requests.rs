//! Where requests are kept: beside their policies, so that no write of a policy loses one. Those to which something can
//! still happen are apart from those that are over, which are many and are read only to be shown.

use std::collections::BTreeMap;

use sekisho_arm::traits::{read_document, write_document};
use sekisho_arm::{Document, Read, Scope, StoreError, Write};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::request::Request;
use crate::usage::{Told, Used};

/// The document kind of requests to which something can still happen.
pub const LIVE: &str = "jit-request";
/// The document kind of those that are over.
pub const PAST: &str = "jit-request-past";
/// The document kind of the last number that a grant was given.
const MARKS: &str = "jit-marks";

/// The document kind of what tells a grant by its number: machines know no other name.
const GRANT: &str = "jit-grant";
/// The document kind of what grants carried, by request and number.
pub const USAGE: &str = "jit-usage";

/// What a grant's number stands for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Numbered {
    /// The id of the machine, in lower case.
    pub machine: String,
    /// The id of the policy.
    pub policy: String,
    /// The request.
    pub request: Uuid,
}

/// Their keys begin with their policy's; `|` stands in no id.
fn key(policy: &str, id: &Uuid) -> String {
    format!("{}|{id}", policy.to_ascii_lowercase())
}

/// The lower-case id of the policy in a request's key.
pub fn policy_of(key: &str) -> &str {
    key.split_once('|').map_or(key, |(policy, _)| policy)
}

async fn of(read: &mut (dyn Read + '_), kind: &str, policy: &Scope) -> Result<Vec<Document>, StoreError> {
    let policy = policy.key();
    read.documents_between(kind, &format!("{policy}|"), &format!("{policy}|~")).await
}

/// Those that can be read. One that cannot opens nothing, and must not keep the others from ending.
fn readable(all: Vec<Document>) -> Vec<Request> {
    let read = |d: Document| match d.typed() {
        Ok(request) => Some(request),
        Err(error) => {
            tracing::error!(request = d.key, %error, "a request for access cannot be read; nothing of it opens");
            None
        }
    };
    all.into_iter().filter_map(read).collect()
}

/// Those to which something could still happen and that cannot be read, by policy and name.
pub(super) async fn unreadable(read: &mut (dyn Read + '_)) -> Result<Vec<String>, StoreError> {
    let all = read.documents(LIVE).await?;
    let cannot = |d: &Document| d.typed::<Request>().is_err();
    Ok(all.into_iter().filter(cannot).map(|d| d.key).collect())
}

/// The requests of a policy to which something can still happen, oldest first.
///
/// # Errors
/// Those of the database.
pub async fn live(read: &mut (dyn Read + '_), policy: &Scope) -> Result<Vec<Request>, StoreError> {
    Ok(readable(of(read, LIVE, policy).await?))
}

/// The requests of a policy that are over, oldest first.
///
/// # Errors
/// Those of the database.
pub async fn past(read: &mut (dyn Read + '_), policy: &Scope) -> Result<Vec<Request>, StoreError> {
    Ok(readable(of(read, PAST, policy).await?))
}

/// The live requests of all policies.
///
/// # Errors
/// Those of the database.
pub async fn all_live(read: &mut (dyn Read + '_)) -> Result<Vec<Request>, StoreError> {
    Ok(readable(read.documents(LIVE).await?))
}

/// Those of all policies that are over.
///
/// # Errors
/// Those of the database.
pub async fn all_past(read: &mut (dyn Read + '_)) -> Result<Vec<Request>, StoreError> {
    Ok(readable(read.documents(PAST).await?))
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
    read_document(read, LIVE, &key(&policy.key(), id)).await
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
    for grant in &request.grants {
        let number = grant.mark.to_string();
        if tx.document(GRANT, &number).await?.is_none() {
            let (machine, policy) = (grant.machine.to_ascii_lowercase(), request.policy.clone());
            write_document(tx, GRANT, &number, &Numbered { machine, policy, request: request.id }).await?;
        }
    }
    write_document(tx, LIVE, &key, request).await
}

/// What a grant's number stands for, when it is one of a machine.
///
/// # Errors
/// Those of the database.
pub async fn numbered(
    read: &mut (dyn Read + '_),
    machine: &Scope,
    mark: u32,
) -> Result<Option<Numbered>, StoreError> {
    let found: Option<Numbered> = read_document(read, GRANT, &mark.to_string()).await?;
    Ok(found.filter(|n| n.machine == machine.key()))
}

/// Keeps what a grant carried.
///
/// # Errors
/// Those of the database.
pub async fn keep_used(tx: &mut (dyn Write + '_), grant: &Numbered, told: Told) -> Result<(), StoreError> {
    let key = format!("{}|{}", key(&grant.policy, &grant.request), told.mark);
    let known: Option<Used> = read_document(tx.as_read(), USAGE, &key).await?;
    write_document(tx, USAGE, &key, &known.map_or(told.used, |known| known.with(told.used))).await
}

/// What the grants of a policy carried, by their numbers.
///
/// # Errors
/// Those of the database.
pub async fn used(read: &mut (dyn Read + '_), policy: &Scope) -> Result<BTreeMap<u32, Used>, StoreError> {
    let number = |d: Document| {
        let mark = d.key.rsplit_once('|')?.1.parse().ok()?;
        Some((mark, d.typed().ok()?))
    };
    Ok(of(read, USAGE, policy).await?.into_iter().filter_map(number).collect())
}

/// Forgets a request.
///
/// # Errors
/// Those of the database.
pub async fn forget(tx: &mut (dyn Write + '_), request: &Request) -> Result<(), StoreError> {
    let key = key(&request.policy, &request.id);
    tx.remove_document(LIVE, &key).await?;
    tx.remove_document(PAST, &key).await?;
    for grant in &request.grants {
        tx.remove_document(GRANT, &grant.mark.to_string()).await?;
        tx.remove_document(USAGE, &format!("{key}|{}", grant.mark)).await?;
    }
    Ok(())
}

/// Forgets everything that was asked for by a policy, also what cannot be read.
///
/// # Errors
/// Those of the database.
pub async fn forget_all(tx: &mut (dyn Write + '_), policy: &Scope) -> Result<(), StoreError> {
    for request in [live(tx.as_read(), policy).await?, past(tx.as_read(), policy).await?].concat() {
        forget(tx, &request).await?;
    }
    for kind in [LIVE, PAST, USAGE] {
        for kept in of(tx.as_read(), kind, policy).await? {
            tx.remove_document(kind, &kept.key).await?;
        }
    }
    Ok(())
}

/// A number for a grant that no other grant of the last four billion has.
///
/// # Errors
/// Those of the database.
pub async fn next_mark(tx: &mut (dyn Write + '_)) -> Result<u32, StoreError> {
    let last: u32 = read_document(tx.as_read(), MARKS, "last").await?.unwrap_or(0);
    let next = last.checked_add(1).unwrap_or(1);
    write_document(tx, MARKS, "last", &next).await?;
    Ok(next)
}
