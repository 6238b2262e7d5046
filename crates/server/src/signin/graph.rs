//! The part of Microsoft Graph that `az role`, `az ad` and the portal speak: people, groups, service principals,
//! applications.
//!
//! Whoever holds any role may read the directory, as members of a tenant may in Entra ID. Changing it is access
//! administration: it needs `Microsoft.Authorization/principals/write` at the root, which Contributor's role leaves out
//! like every other `Microsoft.Authorization/*/write`, because who can reset a credential can become its owner.

mod credentials;
mod groups;
mod passes;
mod preview;
mod programs;
mod risky_users;
mod sessions;
mod table;
mod users;

use std::sync::{Arc, OnceLock};

use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::future::BoxFuture;
use http::{Method, Uri};
use sekisho_arm::engine::Answer;
use sekisho_arm::filter::{Filter, lookup};
use sekisho_arm::resource::typed;
use sekisho_arm::{ArmError, Outcome, PrincipalKind, Scope, Write};
use sekisho_rbac::{PrincipalId, Snapshot, guard};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::entry;
use crate::access::living_facts;
use crate::app::App;
use crate::arm::Undone;
use crate::authn::Caller;
use crate::desired::WhatIf;
use crate::http as web;
use crate::rights;
use risky_users::Said;
use table::{Task, WantedObjects, find};

pub(super) use table::operations;

/// The right to read the directory beyond what everybody with a role may.
pub(super) const READ: &str = "Microsoft.Authorization/principals/read";
/// The right to change it.
pub(super) const WRITE: &str = "Microsoft.Authorization/principals/write";
/// The right to remove from it.
pub(super) const DELETE: &str = "Microsoft.Authorization/principals/delete";

/// A body as what the request takes; clients that have nothing to say leave it out.
fn given<T: DeserializeOwned + Default>(body: &Value) -> Result<T, ArmError> {
    if body.is_null() { Ok(T::default()) } else { typed(body, "") }
}

/// Answers everything under `/v1.0`.
pub(super) async fn dispatch(State(app): State<Arc<App>>, caller: Caller, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let run = async {
        let bytes = web::read_body(body, 256 << 10).await?;
        let body = if bytes.is_empty() { Value::Null } else { web::parse_json(&bytes)? };
        let what_if = asks_what_if(&parts.uri);
        let graph = Graph { app: &app, caller: &caller, what_if, preview: OnceLock::new() };
        let answer = graph.answer(&parts.method, &parts.uri, body).await;
        match graph.preview.into_inner() {
            Some(preview) => {
                Ok(Answer::json(200, serde_json::to_value(preview).map_err(|_| ArmError::internal())?))
            }
            None => answer,
        }
    };
    match run.await {
        Ok(answer) => web::arm_answer(answer),
        Err(error) => web::arm_error(&error),
    }
}

/// Whether somebody may read the directory: people, and whoever holds any role.
pub(crate) fn may_read(app: &App, caller: &Caller) -> bool {
    let who = app.access.acting(caller);
    caller.kind == PrincipalKind::User || !app.access.snapshot().readable_scopes(&who).is_empty()
}

/// Whether somebody administers the directory.
pub(super) fn administers(app: &App, caller: &Caller) -> bool {
    app.access.snapshot().decide(&app.access.acting(caller), WRITE, &Scope::Tenant).is_allowed()
}

struct Graph<'a> {
    app: &'a Arc<App>,
    caller: &'a Caller,
    /// Writes are run, measured and undone.
    what_if: bool,
    /// What a write that was only measured would do: the answer, whatever the task makes of being undone.
    preview: OnceLock<WhatIf>,
}

pub(crate) fn asks_what_if(uri: &Uri) -> bool {
    uri.query().unwrap_or_default().split('&').any(|pair| pair.eq_ignore_ascii_case("whatIf=true"))
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
        let Some((task, names)) = find(method, &words) else {
            let text = "This part of Microsoft Graph is not served.";
            return Err(ArmError::new(404, "Request_ResourceNotFound", text));
        };
        let place = |n: usize| names.get(n).copied().unwrap_or_default();
        let (id, second) = (place(0), place(1));
        match task {
            Task::Me => self.me().await,
            Task::Users => self.list(uri, self.users().await?),
            Task::AddUser => self.add_user(body).await,
            Task::User => self.one(self.users().await?, id),
            Task::ChangeUser => self.change_user(id, body).await,
            Task::RemoveUser => self.remove_user(id).await,
            Task::Invite => self.invite(id).await,
            Task::Passes => self.passes(id).await,
            Task::AddPass => self.add_pass(id, body).await,
            Task::RemovePass => self.remove_pass(id, second).await,
            Task::RevokeSessions => self.revoke_sessions(id).await,
            Task::Sessions => self.list(uri, self.live_sessions().await?),
            Task::EndSession => self.end_session(id).await,
            Task::RiskyUsers => self.list(uri, self.risky_users().await?),
            Task::DismissRisk => self.say_of_users(body, Said::Dismissed).await,
            Task::ConfirmCompromised => self.say_of_users(body, Said::Compromised).await,
            Task::Groups => self.list(uri, self.groups().await?),
            Task::AddGroup => self.add_group(body).await,
            Task::Group => self.one(self.groups().await?, id),
            Task::RemoveGroup => self.remove_group(id).await,
            Task::Members => self.members(id).await,
            Task::AddMember => self.add_member(id, body).await,
            Task::RemoveMember => self.remove_member(id, second).await,
            Task::CheckMemberGroups => self.check_members(id, body).await,
            Task::MemberGroups => self.member_groups(id).await,
            Task::ServicePrincipals => self.list(uri, self.service_principals().await?),
            Task::AddServicePrincipal => self.add_service_principal(body).await,
            Task::ServicePrincipal => self.one(self.service_principals().await?, id),
            Task::ChangeServicePrincipal => self.change_service_principal(id, body).await,
            Task::RemoveServicePrincipal => self.remove_service_principal(id).await,
            // A service principal has its application's secrets: there is one list of them.
            Task::AddPrincipalPassword => self.add_password(&self.application_of(id).await?, body).await,
            Task::RemovePrincipalPassword => {
                self.remove_password(&self.application_of(id).await?, body).await
            }
            Task::Applications => self.list(uri, self.applications().await?),
            Task::AddApplication => self.add_application(body).await,
            Task::Application => self.one(self.applications().await?, id),
            Task::ChangeApplication => self.change_application(id, body).await,
            Task::RemoveApplication => self.remove_application(id).await,
            Task::AddPassword => self.add_password(id, body).await,
            Task::RemovePassword => self.remove_password(id, body).await,
            Task::Federations => self.list(uri, self.federations(id).await?),
            Task::AddFederation => self.add_federation(id, body).await,
            Task::Federation => self.federation(id, second).await,
            Task::ChangeFederation => self.change_federation(id, second, body).await,
            Task::RemoveFederation => self.remove_federation(id, second).await,
            Task::ByIds => self.by_ids(body).await,
            Task::Object => {
                let found = self.everything().await?.into_iter().find(|o| o["id"] == *id);
                found.map(|o| Answer::json(200, o)).ok_or_else(|| not_found(id))
            }
        }
    }

    /// Refuses unless the caller has the right at the root; the refusal is audited.
    async fn require(&self, action: &str) -> Result<(), ArmError> {
        let who = PrincipalId(self.caller.principal);
        let decision =
            self.app.access.snapshot().decide(&self.app.access.acting(self.caller), action, &Scope::Tenant);
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
        let what_if = self.what_if.then(|| self.app.access.universe());
        let done = self
            .app
            .store
            .write::<T, Undone, _>(move |tx| {
                Box::pin(async move {
                    if let Some(universe) = what_if {
                        let before = preview::directory(tx.as_read(), universe.clone()).await?;
                        let had = rights::state(tx.as_read(), universe.clone()).await?;
                        work(tx).await?;
                        let after = preview::directory(tx.as_read(), universe.clone()).await?;
                        let rights = rights::between(had, rights::state(tx.as_read(), universe).await?);
                        let effect = preview::between(before, after);
                        return Err(Undone::Preview(WhatIf { rights, ..effect }));
                    }
                    let out = work(tx).await?;
                    tx.audit(record).await?;
                    Ok(out)
                })
            })
            .await;
        done.map_err(|undone| match undone {
            Undone::Error(error) => error,
            // The directory has no packets.
            Undone::Broken(_) => ArmError::internal(),
            Undone::Preview(mut effect) => {
                let (held, who) = (self.app.access.snapshot(), self.app.access.acting(self.caller));
                rights::show(&mut effect, |scope| held.decide(&who, rights::READ, scope).is_allowed());
                self.preview.get_or_init(|| effect);
                ArmError::internal()
            }
        })
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
        let asked: WantedObjects = given(&body)?;
        let (ids, types) = (asked.ids.unwrap_or_default(), asked.types.unwrap_or_default());
        let wanted = |o: &Value| {
            let id = o["id"].as_str();
            let id = id.is_some_and(|i| ids.iter().take(1000).any(|w| w.eq_ignore_ascii_case(i)));
            let kind = o["@odata.type"].as_str().and_then(|t| t.rsplit('.').next()).unwrap_or_default();
            id && (types.is_empty() || types.iter().any(|t| t.eq_ignore_ascii_case(kind)))
        };
        let value: Vec<Value> = self.everything().await?.into_iter().filter(wanted).collect();
        Ok(Answer::json(200, json!({ "value": value })))
    }
}
