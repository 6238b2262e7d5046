//! Making the first things: the set-up link, and service principals from the command line.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sekisho_arm::resource::instant;
use sekisho_arm::traits::write_document;
use sekisho_arm::{ArmError, CallerRef, Outcome, PrincipalKind, Scope};
use sekisho_identity::key_credential::KeyCredential;
use sekisho_identity::link::{Link, LinkKind};
use sekisho_identity::service_principal::{Application, ServicePrincipal};
use sekisho_rbac::{RoleId, builtin};
use serde_json::{Value, json};
use uuid::Uuid;

use super::notices::{self, What};
use super::{entry, kind, people, public_base};
use crate::app::App;
use crate::resources::authorization::assignment;

/// The caller that acts by the administration socket: whoever is root on the server.
pub(crate) fn local_root() -> CallerRef {
    CallerRef {
        object_id: Uuid::nil().to_string(),
        kind: PrincipalKind::System,
        name: "root on the server".to_owned(),
    }
}

/// Makes a one-time link that lets somebody enrol as Owner of everything.
///
/// # Errors
/// Those of the database.
pub async fn setup_link(app: &Arc<App>) -> Result<String, ArmError> {
    let base = public_base(&app.config);
    app.store
        .write::<_, ArmError, _>(move |tx| {
            Box::pin(async move {
                let (link, token) = Link::issue(LinkKind::Setup, None, LinkKind::Setup.lifetime(), tx.now())
                    .map_err(|_| ArmError::internal())?;
                write_document(tx, kind::LINK, &link.token.key(), &link).await?;
                tx.audit(entry("people/setupLink/action", local_root(), Outcome::Succeeded, "Created", ""))
                    .await?;
                Ok(format!("{base}/setup#token={}", token.expose()))
            })
        })
        .await
}

/// Makes a one-time link with which somebody who can sign in with nothing registers anew, and tells all administrators.
///
/// # Errors
/// 404 when there is no such person; 409 when they are disabled; those of the database.
pub(crate) async fn recovery_link(app: &Arc<App>, name: &str) -> Result<Value, ArmError> {
    let (base, name) = (public_base(&app.config), name.to_owned());
    app.store
        .write::<_, ArmError, _>(move |tx| {
            Box::pin(async move {
                let person = people::by_name(tx.as_read(), &name).await?.ok_or_else(|| {
                    ArmError::new(404, "PersonNotFound", format!("There is no person '{name}'."))
                })?;
                if !person.enabled {
                    let text = format!("'{name}' is disabled; an administrator must enable them first.");
                    return Err(ArmError::new(409, "PersonDisabled", text));
                }
                let life = LinkKind::Recovery.lifetime();
                let (link, token) = Link::issue(LinkKind::Recovery, Some(person.id), life, tx.now())
                    .map_err(|_| ArmError::internal())?;
                write_document(tx, kind::LINK, &link.token.key(), &link).await?;
                let root = local_root();
                notices::tell(tx, What::RecoveryLink, &person, &root.name).await?;
                let name = &person.user_principal_name;
                tx.audit(entry("people/recover/action", root, Outcome::Succeeded, name, "")).await?;
                let address = format!("{base}/setup#token={}", token.expose());
                Ok(json!({"link": address, "expiresAt": instant(link.expires)}))
            })
        })
        .await
}

/// Whether nobody exists yet.
pub(crate) async fn is_first_run(app: &App) -> Result<bool, ArmError> {
    Ok(!people::anybody(&mut app.store.read().await?).await?)
}

/// Makes an application and its service principal with a secret, or with a certificate where one is given, and makes it
/// Owner of the first subscription.
///
/// # Errors
/// Those of the database.
pub async fn create_service_principal(
    app: &Arc<App>,
    display_name: String,
    role: Option<&str>,
    scope: Option<&str>,
    certificate: Option<String>,
) -> Result<Value, ArmError> {
    let role = match role {
        None => builtin::OWNER,
        Some(name) => built_in(name)?,
    };
    let scope = match scope {
        None => Scope::Subscription(app.subscription.to_string()),
        Some(text) => Scope::parse(text).map_err(|e| ArmError::bad("InvalidScope", format!("{e}.")))?,
    };
    let made = app
        .store
        .write::<_, ArmError, _>(move |tx| {
            Box::pin(async move {
                let now = tx.now();
                if scope != Scope::Tenant && tx.get(&scope).await?.is_none() {
                    return Err(ArmError::new(404, "ScopeNotFound", format!("There is no '{scope}'.")));
                }
                let mut application = Application::new(&display_name, now);
                let credential = match certificate {
                    Some(pem) => {
                        let key = KeyCredential::read(
                            &STANDARD.encode(pem),
                            Some("command line"),
                            (None, None),
                            now,
                        );
                        let key = key.map_err(|e| ArmError::bad("InvalidCertificate", format!("{e}.")))?;
                        let shown = json!({ "thumbprint": key.thumbprint() });
                        application.replace_keys(vec![key]).map_err(|_| ArmError::internal())?;
                        shown
                    }
                    None => {
                        let made = application.add_password(Some("command line"), None, None, now);
                        json!({ "password": made.map_err(|_| ArmError::internal())?.1.expose() })
                    }
                };
                let principal = ServicePrincipal::of(&application, now);
                write_document(tx, kind::APPLICATION, &application.id.to_string(), &application).await?;
                write_document(tx, kind::SERVICE_PRINCIPAL, &principal.id.to_string(), &principal).await?;
                tx.put(assignment(role, &scope, principal.id, "ServicePrincipal", now)?).await?;
                tx.audit(entry("servicePrincipals/write", local_root(), Outcome::Succeeded, "Created", ""))
                    .await?;
                let mut out = json!({"appId": application.app_id, "objectId": principal.id});
                for (name, value) in credential.as_object().into_iter().flatten() {
                    out[name] = value.clone();
                }
                Ok(out)
            })
        })
        .await?;
    app.access.refresh(&app.store).await?;
    let mut out = made;
    out["tenant"] = app.tenant.to_string().into();
    out["subscription"] = app.subscription.to_string().into();
    Ok(out)
}

/// The built-in role of a name.
fn built_in(name: &str) -> Result<RoleId, ArmError> {
    let found = builtin::roles().iter().find(|r| r.properties.role_name.eq_ignore_ascii_case(name));
    found.map(|role| role.name).ok_or_else(|| {
        ArmError::bad("InvalidRole", format!("'{name}' is no built-in role, such as Owner or Reader."))
    })
}
