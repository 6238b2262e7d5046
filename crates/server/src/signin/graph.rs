//! The part of Microsoft Graph that `az role`, `az ad` and the portal speak: people, groups, service principals,
//! applications.
//!
//! Whoever holds any role may read the directory, as members of a tenant may in Entra ID. Changing it is access
//! administration: it needs `Microsoft.Authorization/principals/write` at the root, which Contributor's role leaves out
//! like every other `Microsoft.Authorization/*/write`, because who can reset a credential can become its owner.

mod groups;
mod programs;
mod users;

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::response::Response;
use futures_util::future::BoxFuture;
use http::{Method, Uri};
use sekisho_arm::engine::Answer;
use sekisho_arm::filter::{Filter, lookup};
use sekisho_arm::{ArmError, Outcome, Scope, Write};
use sekisho_rbac::{PrincipalId, Snapshot, guard};
use serde_json::{Value, json};

use super::entry;
use crate::access::living_facts;
use crate::app::App;
use crate::authn::{self, Caller};
use crate::http::{self as web, Peer};

/// The right to read the directory beyond what everybody with a role may.
pub(super) const READ: &str = "Microsoft.Authorization/principals/read";
/// The right to change it.
pub(super) const WRITE: &str = "Microsoft.Authorization/principals/write";
/// The right to remove from it.
pub(super) const DELETE: &str = "Microsoft.Authorization/principals/delete";

/// Answers everything under `/v1.0`.
pub(super) async fn dispatch(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let caller = match authn::caller(&app, &parts.method, &parts.headers, peer).await {
        Ok(caller) => caller,
        Err(error) => return authn::challenge(&app, &parts.headers, &error),
    };
    let run = async {
        let bytes = web::read_body(body, 256 << 10).await?;
        let body = if bytes.is_empty() { Value::Null } else { web::parse_json(&bytes)? };
        Graph { app: &app, caller: &caller }.answer(&parts.method, &parts.uri, body).await
    };
    match run.await {
        Ok(answer) => web::arm_answer(answer),
        Err(error) => web::arm_error(&error),
    }
}

/// Whether somebody may read the directory: people in the portal, and whoever holds any role.
pub(crate) fn may_read(app: &App, caller: &Caller) -> bool {
    let who = [PrincipalId(caller.principal)];
    caller.session.is_some() || !app.access.snapshot().readable_scopes(&who).is_empty()
}

struct Graph<'a> {
    app: &'a Arc<App>,
    caller: &'a Caller,
}

fn not_found(id: &str) -> ArmError {
    let shown: String = id.chars().take(120).collect();
    ArmError::new(
        404,
        "Request_ResourceNotFound",
        format!(
            "Resource '{shown}' does not exist or one of its queried reference-property objects are not present."
        ),
    )
}

fn bad(message: impl Into<String>) -> ArmError {
    ArmError::bad("Request_BadRequest", message)
}

impl Graph<'_> {
    async fn answer(&self, method: &Method, uri: &Uri, body: Value) -> Result<Answer, ArmError> {
        let path: Vec<String> = uri
            .path()
            .split('/')
            .filter(|s| !s.is_empty())
            .skip(1)
            .map(|s| percent_encoding::percent_decode_str(s).decode_utf8_lossy().into_owned())
            .collect();
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        if !may_read(self.app, self.caller) {
            let text = "Insufficient privileges to complete the operation.";
            return Err(ArmError::new(403, "Authorization_RequestDenied", text));
        }
        match (method, words.as_slice()) {
            (&Method::GET, ["me"]) => self.me().await,
            (&Method::GET, ["users"]) => self.list(uri, self.users().await?),
            (&Method::POST, ["users"]) => self.add_user(body).await,
            (&Method::GET, ["users", id]) => self.one(self.users().await?, id),
            (&Method::PATCH, ["users", id]) => self.change_user(id, body).await,
            (&Method::DELETE, ["users", id]) => self.remove_user(id).await,
            (&Method::POST, ["users", id, "sekisho.invite"]) => self.invite(id).await,
            (&Method::GET, ["groups"]) => self.list(uri, self.groups().await?),
            (&Method::POST, ["groups"]) => self.add_group(body).await,
            (&Method::GET, ["groups", id]) => self.one(self.groups().await?, id),
            (&Method::DELETE, ["groups", id]) => self.remove_group(id).await,
            (&Method::GET, ["groups", id, "members"]) => self.members(id).await,
            (&Method::POST, ["groups", id, "members", "$ref"]) => self.add_member(id, body).await,
            (&Method::DELETE, ["groups", id, "members", member, "$ref"]) => {
                self.remove_member(id, member).await
            }
            (
                &Method::POST,
                ["groups" | "users" | "directoryObjects" | "servicePrincipals", id, "checkMemberGroups"],
            ) => self.check_members(id, body).await,
            (&Method::GET, ["servicePrincipals"]) => self.list(uri, self.service_principals().await?),
            (&Method::POST, ["servicePrincipals"]) => self.add_service_principal(body).await,
            (&Method::GET, ["servicePrincipals", id]) => self.one(self.service_principals().await?, id),
            (&Method::PATCH, ["servicePrincipals", id]) => self.change_service_principal(id, body).await,
            (&Method::DELETE, ["servicePrincipals", id]) => self.remove_service_principal(id).await,
            // A service principal has its application's secrets: there is one list of them.
            (&Method::POST, ["servicePrincipals", id, "addPassword"]) => {
                self.add_password(&self.application_of(id).await?, body).await
            }
            (&Method::POST, ["servicePrincipals", id, "removePassword"]) => {
                self.remove_password(&self.application_of(id).await?, body).await
            }
            (&Method::GET, ["applications"]) => self.list(uri, self.applications().await?),
            (&Method::POST, ["applications"]) => self.add_application(body).await,
            (&Method::GET, ["applications", id]) => self.one(self.applications().await?, id),
            (&Method::PATCH, ["applications", id]) => self.change_application(id, body).await,
            (&Method::DELETE, ["applications", id]) => self.remove_application(id).await,
            (&Method::POST, ["applications", id, "addPassword"]) => self.add_password(id, body).await,
            (&Method::POST, ["applications", id, "removePassword"]) => self.remove_password(id, body).await,
            (&Method::POST, ["directoryObjects", "getByIds"]) => self.by_ids(body).await,
            (&Method::GET, ["directoryObjects", id]) => {
                let found = self.everything().await?.into_iter().find(|o| o["id"] == *id);
                found.map(|o| Answer::json(200, o)).ok_or_else(|| not_found(id))
            }
            _ => Err(ArmError::new(
                404,
                "Request_ResourceNotFound",
                "This part of Microsoft Graph is not served.",
            )),
        }
    }

    /// Refuses unless the caller has the right at the root; the refusal is audited.
    async fn require(&self, action: &str) -> Result<(), ArmError> {
        let who = PrincipalId(self.caller.principal);
        let decision = self.app.access.snapshot().decide(&[who], action, &Scope::Tenant);
        let Err(error) = decision.into_result(&self.caller.name, who, action, &Scope::Tenant) else {
            return Ok(());
        };
        let record = self.record(action, Outcome::Denied, "AuthorizationFailed");
        self.app
            .store
            .write::<_, sekisho_arm::StoreError, _>(move |tx| Box::pin(async move { tx.audit(record).await }))
            .await?;
        Err(ArmError::new(403, "Authorization_RequestDenied", error.message))
    }

    fn record(&self, action: &str, outcome: Outcome, detail: &str) -> sekisho_arm::AuditEntry {
        let mut entry = entry("", self.caller.reference(), outcome, detail, &self.caller.address.to_string());
        entry.operation = action.to_owned();
        entry
    }

    /// A change with its right and its audit entry.
    async fn change<T, F>(&self, action: &'static str, work: F) -> Result<T, ArmError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut dyn Write) -> BoxFuture<'t, Result<T, ArmError>> + Send + 'static,
    {
        self.require(action).await?;
        let record = self.record(action, Outcome::Succeeded, "OK");
        self.app
            .store
            .write::<T, ArmError, _>(move |tx| {
                Box::pin(async move {
                    let out = work(tx).await?;
                    tx.audit(record).await?;
                    Ok(out)
                })
            })
            .await
    }

    /// A change of who exists, may sign in or belongs to a group. It is refused when it would take the last Owner of
    /// everything away, and in force when it is answered.
    async fn change_principals<T, F>(&self, action: &'static str, work: F) -> Result<T, ArmError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut dyn Write) -> BoxFuture<'t, Result<T, ArmError>> + Send + 'static,
    {
        let universe = self.app.access.universe();
        let out = self
            .change(action, move |tx| {
                Box::pin(async move {
                    let before = Snapshot::compile(living_facts(tx.as_read(), universe.clone()).await?);
                    let out = work(tx).await?;
                    let after = Snapshot::compile(living_facts(tx.as_read(), universe).await?);
                    guard::keeps_an_owner(&before, &after)?;
                    Ok(out)
                })
            })
            .await?;
        self.app.access.refresh(&self.app.store).await?;
        Ok(out)
    }

    fn list(&self, uri: &Uri, items: Vec<Value>) -> Result<Answer, ArmError> {
        let query = uri.query().unwrap_or_default();
        let decode = |t: &str| {
            percent_encoding::percent_decode_str(&t.replace('+', " ")).decode_utf8_lossy().into_owned()
        };
        let filter = query
            .split('&')
            .filter_map(|p| p.split_once('='))
            .find(|(n, _)| decode(n).eq_ignore_ascii_case("$filter"));
        let filter = filter
            .map(|(_, v)| decode(v))
            .filter(|f| !f.trim().is_empty())
            .map(|f| Filter::parse(&f))
            .transpose()?;
        let value: Vec<Value> = items
            .into_iter()
            .filter(|i| filter.as_ref().is_none_or(|f| f.matches(&|path| lookup(i, path))))
            .collect();
        Ok(Answer::json(200, json!({ "value": value })))
    }

    fn one(&self, items: Vec<Value>, id: &str) -> Result<Answer, ArmError> {
        let by_app = id
            .strip_prefix("appId=")
            .or_else(|| id.strip_prefix("(appId="))
            .map(|i| i.trim_matches(['\'', ')', '(']));
        let found = items.into_iter().find(|i| {
            let is =
                |field: &str, text: &str| i[field].as_str().is_some_and(|v| v.eq_ignore_ascii_case(text));
            match by_app {
                Some(app) => is("appId", app),
                None => is("id", id) || is("userPrincipalName", id),
            }
        });
        found.map(|i| Answer::json(200, i)).ok_or_else(|| not_found(id))
    }

    async fn everything(&self) -> Result<Vec<Value>, ArmError> {
        let mut out = self.users().await?;
        out.extend(self.groups().await?);
        out.extend(self.service_principals().await?);
        Ok(out)
    }

    async fn by_ids(&self, body: Value) -> Result<Answer, ArmError> {
        let ids: Vec<&str> =
            body["ids"].as_array().into_iter().flatten().filter_map(Value::as_str).take(1000).collect();
        let types: Vec<&str> =
            body["types"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let wanted = |o: &Value| {
            let id = o["id"].as_str().is_some_and(|i| ids.iter().any(|w| w.eq_ignore_ascii_case(i)));
            let kind = o["@odata.type"].as_str().and_then(|t| t.rsplit('.').next()).unwrap_or_default();
            id && (types.is_empty() || types.iter().any(|t| t.eq_ignore_ascii_case(kind)))
        };
        let value: Vec<Value> = self.everything().await?.into_iter().filter(wanted).collect();
        Ok(Answer::json(200, json!({ "value": value })))
    }
}
