//! Who could undo a policy, how they come, and what they can prove: what [`lockout`] is asked about.

use sekisho_arm::traits::{read_document, read_documents};
use sekisho_arm::{ArmError, PrincipalKind, Read, Scope};
use sekisho_identity::Person;
use sekisho_identity::conditional_access::lockout::{self, Administrator, Stopped};
use sekisho_identity::conditional_access::{ClientApp, Flow, RiskLevel, Signals, application};
use sekisho_identity::passkey::StoredPasskey;
use sekisho_identity::recovery::RecoveryCodes;
use sekisho_identity::session::Method;
use sekisho_rbac::{PrincipalId, Snapshot};
use serde_json::{Value, json};

use super::graph::WRITE;
use super::seen::{self, Record};
use super::{Rulebook, admit};
use crate::app::App;
use crate::signin::kind;

/// Everybody who may change policies, with how they last came.
async fn administrators(
    read: &mut (dyn Read + '_),
    rights: &Snapshot,
    book: &Rulebook,
) -> Result<Vec<Administrator>, ArmError> {
    let people: Vec<(String, Person)> = read_documents(read, kind::PERSON).await?;
    let passkeys: Vec<(String, StoredPasskey)> = read_documents(read, kind::PASSKEY).await?;
    let seen: Vec<(String, Record)> = read_documents(read, seen::KIND).await?;
    let mut all = Vec::new();
    for (key, person) in people.into_iter().filter(|(_, p)| p.enabled) {
        if !rights.decide(&[PrincipalId(person.id)], WRITE, &Scope::Tenant).is_allowed() {
            continue;
        }
        let mut methods = Vec::new();
        if passkeys.iter().any(|(_, p)| p.person == person.id && !p.suspended) {
            methods.push(Method::Passkey);
        }
        if read.document(kind::PASSWORD, &key).await?.is_some() {
            methods.push(Method::Password);
            if read.document(kind::TOTP, &key).await?.is_some() {
                methods.push(Method::Totp);
            }
            let codes: Option<RecoveryCodes> = read_document(read, kind::RECOVERY, &key).await?;
            if codes.is_some_and(|c| c.left() > 0) {
                methods.push(Method::RecoveryCode);
            }
        }
        let subject = admit::subject(PrincipalKind::User, person.id, rights, book);
        let last = seen.iter().map(|(_, r)| r).filter(|r| r.principal == person.id).max_by_key(|r| r.last);
        let signals = match last {
            Some(record) => Signals { subject, ..record.signals.clone() },
            // Nobody knows where they will come from: the portal, from this machine.
            None => Signals {
                subject,
                applications: vec![application::PORTAL, application::API],
                registers_security_info: false,
                context: None,
                client: ClientApp::Browser,
                platform: None,
                address: std::net::Ipv4Addr::LOCALHOST.into(),
                country: None,
                flow: Flow::Direct,
                sign_in_risk: RiskLevel::None,
                user_risk: RiskLevel::None,
            },
        };
        all.push(Administrator { name: person.user_principal_name, signals, methods });
    }
    Ok(all)
}

/// Everybody who is stopped, when nobody gets in.
async fn all_stopped(
    app: &App,
    read: &mut (dyn Read + '_),
    book: &Rulebook,
) -> Result<Option<Vec<Stopped>>, ArmError> {
    let all = administrators(read, &app.access.snapshot(), book).await?;
    let now = read.now();
    Ok(lockout::leaves_somebody(&book.policies, &book.locations, &book.strengths, &all, now).err())
}

/// Refuses a change by which nobody gets in any more who could change it back. Where nobody did before, as where only
/// programs administer, it is no worse than that.
///
/// # Errors
/// 409 `PolicyLocksEveryoneOut`, with what stops whom.
pub(super) async fn still_get_in(
    app: &App,
    read: &mut (dyn Read + '_),
    (before, book): (&Rulebook, &Rulebook),
) -> Result<(), ArmError> {
    let Some(stopped) = all_stopped(app, read, book).await? else { return Ok(()) };
    if all_stopped(app, read, before).await?.is_some() {
        return Ok(());
    }
    let told: Vec<Value> = stopped
        .iter()
        .map(|s| {
            let policies: Vec<&str> = s.by.iter().map(|id| book.name(*id)).collect();
            json!({
                "administrator": s.name, "policies": policies,
                "why": match (s.blocked, policies.is_empty()) {
                    (true, _) => "blocked",
                    (false, true) => "nothingToSignInWith",
                    (false, false) => "cannotProve",
                },
            })
        })
        .collect();
    let each: Vec<String> = stopped
        .iter()
        .map(|s| {
            let policies: Vec<&str> = s.by.iter().map(|id| book.name(*id)).collect();
            match (s.blocked, policies.is_empty()) {
                (true, _) => format!("{} would be blocked by {}", s.name, policies.join(", ")),
                (false, true) => format!("{} has nothing to sign in with", s.name),
                (false, false) => format!("{} cannot prove what {} asks for", s.name, policies.join(", ")),
            }
        })
        .collect();
    let text = format!(
        "This would lock every administrator out: {}. Exclude somebody, or have them register what is asked for first.",
        each.join("; ")
    );
    let mut error = ArmError::new(409, "PolicyLocksEveryoneOut", text);
    error.additional_info.push(("LockedOut".to_owned(), Value::Array(told)));
    Err(error)
}
