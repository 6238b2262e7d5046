//! Logins through a bastion that must be asked for: what policies say of a machine, and who has asked.

use sekisho_arm::{Listing, Read, Scope, StoreError};
use serde_json::Value;

use super::{policy_type, requests};
use crate::request::{Grant, What};

/// Whether somebody may log in to a machine, as far as policies are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// Nothing must be asked for.
    Free,
    /// It was asked for, and is open.
    Open,
    /// It must be asked for, of this policy.
    Needed(Scope),
}

/// Whether somebody, by their object id, may log in to a machine now: as an account, or at all where it is not known as
/// whom. A policy that cannot be read is one that lets nobody in where it names the machine and speaks of logins.
///
/// # Errors
/// Those of the database.
pub async fn admission(
    read: &mut (dyn Read + '_),
    machine: &Scope,
    person: &str,
    account: Option<&str>,
) -> Result<Admission, StoreError> {
    let now = read.now();
    let mut needed = None;
    // It is asked for whatever somebody does in a session, and few policies speak of it.
    let speak_of_it = Listing::of(&Scope::Tenant, &policy_type()).mentioning(vec![r#""login""#.to_owned()]);
    for policy in read.list(&speak_of_it).await? {
        if !guards(&Value::Object(policy.properties()), machine) {
            continue;
        }
        let fits = |grant: &Grant| {
            let is_asked = matches!(&grant.what, What::Login(login)
                if account.is_none_or(|account| account == login.login.as_str()));
            is_asked
                && grant.state.is_open()
                && grant.end > now
                && grant.machine.eq_ignore_ascii_case(&machine.to_string())
        };
        let live = requests::live(read, &policy.id).await?;
        if live.iter().any(|request| request.requestor.id == person && request.grants.iter().any(fits)) {
            return Ok(Admission::Open);
        }
        needed.get_or_insert(policy.id);
    }
    Ok(needed.map_or(Admission::Free, Admission::Needed))
}

/// Whether `properties` speak of logins to a machine, as they are kept.
fn guards(properties: &Value, machine: &Scope) -> bool {
    let named =
        |vm: &Value| vm["id"].as_str().is_some_and(|id| id.eq_ignore_ascii_case(&machine.to_string()));
    !properties["sekisho"]["login"].is_null()
        && properties["virtualMachines"].as_array().is_none_or(|all| all.iter().any(named))
}
