//! The part of Microsoft Graph that `az role`, `az ad` and the portal speak: people, groups, service principals,
//! applications.
//!
//! Whoever holds any role may read the directory, as members of a tenant may in Entra ID. Changing it is access
//! administration: it needs `Microsoft.Authorization/principals/write` at the root, which Contributor's role leaves out
//! like every other `Microsoft.Authorization/*/write`, because who can reset a credential can become its owner.

use sekisho_arm::resource::instant;
use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::response::Response;
use futures_util::future::BoxFuture;
use http::{Method, Uri};
use sekisho_arm::engine::Answer;
use sekisho_arm::filter::{Filter, lookup};
use sekisho_arm::traits::{read_document, read_documents, write_document};
use sekisho_arm::{ArmError, Outcome, Read as _, Scope, Write};
use sekisho_identity::link::{Link, LinkKind};
use sekisho_identity::service_principal::{Application, SecretError, ServicePrincipal};
use sekisho_identity::{Person, oauth::timestamp};
use sekisho_rbac::{PrincipalId, Snapshot, guard};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::{entry, kind, people, public_base};
use crate::access::{GROUP, GroupRecord, living_facts};
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

    async fn me(&self) -> Result<Answer, ArmError> {
        let person = people::by_id(&mut self.app.store.read().await?, self.caller.principal).await?;
        let person =
            person.ok_or_else(|| bad("/me request is only valid with delegated authentication flow."))?;
        Ok(Answer::json(200, person.to_graph()))
    }

    async fn users(&self) -> Result<Vec<Value>, ArmError> {
        let mut read = self.app.store.read().await?;
        let everybody: Vec<(String, Person)> = read_documents(&mut read, kind::PERSON).await?;
        let passkeys: Vec<(String, sekisho_identity::passkey::StoredPasskey)> =
            read_documents(&mut read, kind::PASSKEY).await?;
        let mut out = Vec::with_capacity(everybody.len());
        for (key, person) in everybody {
            let mut shown = person.to_graph();
            let own: Vec<_> = passkeys.iter().filter(|(_, p)| p.person == person.id).collect();
            let mut credentials: Vec<&str> = Vec::new();
            if !own.is_empty() {
                credentials.push("passkey");
            }
            if read.document(kind::PASSWORD, &key).await?.is_some() {
                credentials.extend(["password", "totp"]);
            }
            if let Some(at) = own.iter().filter_map(|(_, p)| p.last_used).max() {
                shown["lastSignInDateTime"] = timestamp(at).into();
            }
            shown["credentials"] = credentials.into();
            out.push(shown);
        }
        out.sort_by_key(|p| p["userPrincipalName"].as_str().unwrap_or_default().to_owned());
        Ok(out)
    }

    async fn add_user(&self, body: Value) -> Result<Answer, ArmError> {
        let text = |field: &str| body[field].as_str().unwrap_or_default();
        let person = Person::new(text("userPrincipalName"), text("displayName"), OffsetDateTime::now_utc())
            .map_err(|e| bad(format!("{e}.")))?;
        let shown = person.to_graph();
        self.change(WRITE, move |tx| Box::pin(async move { people::add(tx, &person).await })).await?;
        Ok(Answer::json(201, shown))
    }

    async fn person(&self, id: &str) -> Result<Person, ArmError> {
        let mut read = self.app.store.read().await?;
        let found = match Uuid::try_parse(id) {
            Ok(id) => people::by_id(&mut read, id).await?,
            Err(_) => people::by_name(&mut read, id).await?,
        };
        found.ok_or_else(|| not_found(id))
    }

    async fn change_user(&self, id: &str, body: Value) -> Result<Answer, ArmError> {
        let mut person = self.person(id).await?;
        if let Some(name) = body["displayName"].as_str() {
            person.display_name = name.trim().to_owned();
            person.check().map_err(|e| bad(format!("{e}.")))?;
        }
        if let Some(enabled) = body["accountEnabled"].as_bool() {
            if !enabled && person.id == self.caller.principal {
                return Err(bad("You cannot disable yourself."));
            }
            person.enabled = enabled;
            // Everything that was issued before is refused from now on.
            person.generation += 1;
        }
        self.change_principals(WRITE, move |tx| {
            Box::pin(async move {
                if !person.enabled {
                    people::end_sessions(tx, person.id).await?;
                }
                Ok(people::keep(tx, &person).await?)
            })
        })
        .await?;
        Ok(Answer::empty(204))
    }

    async fn remove_user(&self, id: &str) -> Result<Answer, ArmError> {
        let person = self.person(id).await?;
        if person.id == self.caller.principal {
            return Err(bad("You cannot remove yourself."));
        }
        self.change_principals(DELETE, move |tx| {
            Box::pin(async move { Ok(people::remove(tx, &person).await?) })
        })
        .await?;
        Ok(Answer::empty(204))
    }

    async fn invite(&self, id: &str) -> Result<Answer, ArmError> {
        let person = self.person(id).await?;
        if !person.enabled {
            return Err(bad("This person is disabled."));
        }
        let base = public_base(&self.app.config);
        let out = self
            .change(WRITE, move |tx| {
                Box::pin(async move {
                    let has_any = !people::passkeys(tx.as_read(), person.id).await?.is_empty()
                        || tx.document(kind::PASSWORD, &person.id.to_string()).await?.is_some();
                    let what = if has_any { LinkKind::Recovery } else { LinkKind::Invite };
                    let (link, token) = Link::issue(what, Some(person.id), what.lifetime(), tx.now()).map_err(|_| ArmError::internal())?;
                    write_document(tx, kind::LINK, &link.token.key(), &link).await?;
                    let expires = instant(link.expires);
                    Ok(json!({"link": format!("{base}/setup#token={}", token.expose()), "expiresAt": expires}))
                })
            })
            .await?;
        Ok(Answer::json(200, out))
    }

    async fn group_records(&self) -> Result<Vec<GroupRecord>, ArmError> {
        let all = read_documents(&mut self.app.store.read().await?, GROUP).await?;
        Ok(all.into_iter().map(|(_, g)| g).collect())
    }

    async fn groups(&self) -> Result<Vec<Value>, ArmError> {
        Ok(self.group_records().await?.iter().map(group_json).collect())
    }

    async fn add_group(&self, body: Value) -> Result<Answer, ArmError> {
        let name = body["displayName"].as_str().unwrap_or_default().trim().to_owned();
        if name.is_empty() || name.chars().count() > 256 || name.chars().any(char::is_control) {
            return Err(bad("A group name has 1 to 256 characters.").target("displayName"));
        }
        let group = GroupRecord {
            id: Uuid::new_v4(),
            display_name: name,
            members: Vec::new(),
            created_at: timestamp(OffsetDateTime::now_utc()),
        };
        let shown = group_json(&group);
        self.change(WRITE, move |tx| {
            Box::pin(async move { Ok(write_document(tx, GROUP, &group.id.to_string(), &group).await?) })
        })
        .await?;
        Ok(Answer::json(201, shown))
    }

    async fn remove_group(&self, id: &str) -> Result<Answer, ArmError> {
        let key = id.to_ascii_lowercase();
        let known = self
            .change_principals(DELETE, move |tx| {
                Box::pin(async move { Ok(tx.remove_document(GROUP, &key).await?) })
            })
            .await?;
        if known { Ok(Answer::empty(204)) } else { Err(not_found(id)) }
    }

    async fn members(&self, id: &str) -> Result<Answer, ArmError> {
        let group =
            self.group_records().await?.into_iter().find(|g| g.id.to_string().eq_ignore_ascii_case(id));
        let members: Vec<String> =
            group.ok_or_else(|| not_found(id))?.members.iter().map(Uuid::to_string).collect();
        let value: Vec<Value> = self
            .everything()
            .await?
            .into_iter()
            .filter(|o| o["id"].as_str().is_some_and(|i| members.iter().any(|m| m == i)))
            .collect();
        Ok(Answer::json(200, json!({ "value": value })))
    }

    async fn regroup(
        &self,
        id: &str,
        edit: impl FnOnce(&mut GroupRecord) -> Result<(), ArmError> + Send + 'static,
    ) -> Result<Answer, ArmError> {
        let (key, shown) = (id.to_ascii_lowercase(), id.to_owned());
        self.change_principals(WRITE, move |tx| {
            Box::pin(async move {
                let mut group: GroupRecord =
                    read_document(tx.as_read(), GROUP, &key).await?.ok_or_else(|| not_found(&shown))?;
                edit(&mut group)?;
                Ok(write_document(tx, GROUP, &key, &group).await?)
            })
        })
        .await?;
        Ok(Answer::empty(204))
    }

    async fn add_member(&self, id: &str, body: Value) -> Result<Answer, ArmError> {
        let reference = body["@odata.id"].as_str().unwrap_or_default();
        let member = reference.rsplit('/').next().and_then(|m| Uuid::try_parse(m).ok());
        let member =
            member.ok_or_else(|| bad("'@odata.id' does not end with an object id.").target("@odata.id"))?;
        let exists = self.everything().await?.iter().any(|o| o["id"] == member.to_string().as_str());
        if !exists {
            return Err(not_found(&member.to_string()));
        }
        self.regroup(id, move |group| {
            if group.members.contains(&member) {
                return Err(bad("One or more added object references already exist for the following modified properties: 'members'."));
            }
            if group.id == member {
                return Err(bad("A group cannot be its own member."));
            }
            group.members.push(member);
            Ok(())
        })
        .await
    }

    async fn remove_member(&self, id: &str, member: &str) -> Result<Answer, ArmError> {
        let member = Uuid::try_parse(member).map_err(|_| not_found(member))?;
        self.regroup(id, move |group| {
            let before = group.members.len();
            group.members.retain(|m| *m != member);
            if group.members.len() == before { Err(not_found(&member.to_string())) } else { Ok(()) }
        })
        .await
    }

    async fn check_members(&self, id: &str, body: Value) -> Result<Answer, ArmError> {
        let who = Uuid::try_parse(id).map_err(|_| not_found(id))?;
        let groups = self.app.access.snapshot().groups_of(PrincipalId(who));
        let asked: Vec<&str> =
            body["groupIds"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let value: Vec<String> = groups
            .iter()
            .map(ToString::to_string)
            .filter(|g| asked.iter().any(|a| a.eq_ignore_ascii_case(g)))
            .collect();
        Ok(Answer::json(200, json!({ "value": value })))
    }

    async fn service_principals(&self) -> Result<Vec<Value>, ArmError> {
        let mut read = self.app.store.read().await?;
        let all: Vec<(String, ServicePrincipal)> = read_documents(&mut read, kind::SERVICE_PRINCIPAL).await?;
        let applications: Vec<(String, Application)> = read_documents(&mut read, kind::APPLICATION).await?;
        let shown = all.iter().map(|(_, principal)| {
            let mut shown = principal.to_graph(self.app.tenant);
            let own = applications.iter().find(|(_, a)| a.app_id == principal.app_id);
            if let Some((_, application)) = own {
                shown["passwordCredentials"] = application.to_graph()["passwordCredentials"].take();
            }
            shown
        });
        Ok(shown.collect())
    }

    async fn applications(&self) -> Result<Vec<Value>, ArmError> {
        let all: Vec<(String, Application)> =
            read_documents(&mut self.app.store.read().await?, kind::APPLICATION).await?;
        Ok(all.iter().map(|(_, a)| a.to_graph()).collect())
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

    async fn add_application(&self, body: Value) -> Result<Answer, ArmError> {
        let name = body["displayName"].as_str().unwrap_or_default().trim();
        if name.is_empty() {
            return Err(bad("Property displayName is required.").target("displayName"));
        }
        let application = Application::new(name, OffsetDateTime::now_utc());
        let shown = application.to_graph();
        self.change(WRITE, move |tx| {
            Box::pin(async move {
                Ok(write_document(tx, kind::APPLICATION, &application.id.to_string(), &application).await?)
            })
        })
        .await?;
        Ok(Answer::json(201, shown))
    }

    async fn add_service_principal(&self, body: Value) -> Result<Answer, ArmError> {
        let wanted = body["appId"].as_str().unwrap_or_default().to_owned();
        let made = self
            .change(WRITE, move |tx| {
                Box::pin(async move {
                    let all: Vec<(String, Application)> = read_documents(tx.as_read(), kind::APPLICATION).await?;
                    let application = all.into_iter().map(|(_, a)| a).find(|a| a.app_id.to_string().eq_ignore_ascii_case(&wanted));
                    let application = application.ok_or_else(|| not_found(&wanted))?;
                    let known: Vec<(String, ServicePrincipal)> = read_documents(tx.as_read(), kind::SERVICE_PRINCIPAL).await?;
                    if known.iter().any(|(_, p)| p.app_id == application.app_id) {
                        return Err(ArmError::new(409, "Request_MultipleObjectsWithSameKeyValue", "The service principal cannot be created because the service principal name is already in use."));
                    }
                    let principal = ServicePrincipal::of(&application, tx.now());
                    write_document(tx, kind::SERVICE_PRINCIPAL, &principal.id.to_string(), &principal).await?;
                    Ok(principal)
                })
            })
            .await?;
        Ok(Answer::json(201, made.to_graph(self.app.tenant)))
    }

    async fn change_service_principal(&self, id: &str, body: Value) -> Result<Answer, ArmError> {
        let (key, enabled) = (id.to_ascii_lowercase(), body["accountEnabled"].as_bool());
        self.change_principals(WRITE, move |tx| {
            Box::pin(async move {
                let found: Option<ServicePrincipal> =
                    read_document(tx.as_read(), kind::SERVICE_PRINCIPAL, &key).await?;
                let mut principal = found.ok_or_else(|| not_found(&key))?;
                if let Some(enabled) = enabled {
                    principal.enabled = enabled;
                    principal.generation += 1;
                }
                Ok(write_document(tx, kind::SERVICE_PRINCIPAL, &key, &principal).await?)
            })
        })
        .await?;
        Ok(Answer::empty(204))
    }

    async fn remove_service_principal(&self, id: &str) -> Result<Answer, ArmError> {
        let key = id.to_ascii_lowercase();
        let known = self
            .change_principals(DELETE, move |tx| {
                Box::pin(async move { Ok(tx.remove_document(kind::SERVICE_PRINCIPAL, &key).await?) })
            })
            .await?;
        if known { Ok(Answer::empty(204)) } else { Err(not_found(id)) }
    }

    async fn application(&self, id: &str) -> Result<Application, ArmError> {
        let wanted = id.strip_prefix("(appId=").map(|i| i.trim_matches(['\'', ')']));
        let all: Vec<(String, Application)> =
            read_documents(&mut self.app.store.read().await?, kind::APPLICATION).await?;
        let found = all.into_iter().map(|(_, a)| a).find(|a| match wanted {
            Some(app) => a.app_id.to_string().eq_ignore_ascii_case(app),
            None => a.id.to_string().eq_ignore_ascii_case(id),
        });
        found.ok_or_else(|| not_found(id))
    }

    /// The object id of a service principal's application.
    async fn application_of(&self, id: &str) -> Result<String, ArmError> {
        let found: Option<ServicePrincipal> = read_document(
            &mut self.app.store.read().await?,
            kind::SERVICE_PRINCIPAL,
            &id.to_ascii_lowercase(),
        )
        .await?;
        let principal = found.ok_or_else(|| not_found(id))?;
        let application = self.application(&format!("(appId={})", principal.app_id)).await?;
        Ok(application.id.to_string())
    }

    async fn change_application(&self, id: &str, body: Value) -> Result<Answer, ArmError> {
        let application = self.application(id).await?;
        let given = |field: &str| body[field].as_array().is_some_and(|a| !a.is_empty());
        if given("keyCredentials") {
            let text = "Certificates as credentials are not supported: use a secret.";
            return Err(bad(text).target("keyCredentials"));
        }
        if given("passwordCredentials") {
            return Err(bad("Secrets are made with addPassword.").target("passwordCredentials"));
        }
        let name = body["displayName"].as_str().map(str::to_owned);
        self.change(WRITE, move |tx| {
            Box::pin(async move {
                let key = application.id.to_string();
                let mut fresh: Application = read_document(tx.as_read(), kind::APPLICATION, &key)
                    .await?
                    .ok_or_else(|| not_found(&key))?;
                if let Some(name) = name {
                    fresh.rename(&name);
                }
                Ok(write_document(tx, kind::APPLICATION, &key, &fresh).await?)
            })
        })
        .await?;
        Ok(Answer::empty(204))
    }

    async fn remove_application(&self, id: &str) -> Result<Answer, ArmError> {
        let application = self.application(id).await?;
        self.change_principals(DELETE, move |tx| {
            Box::pin(async move {
                let all: Vec<(String, ServicePrincipal)> =
                    read_documents(tx.as_read(), kind::SERVICE_PRINCIPAL).await?;
                for (key, _) in all.iter().filter(|(_, p)| p.app_id == application.app_id) {
                    tx.remove_document(kind::SERVICE_PRINCIPAL, key).await?;
                }
                tx.remove_document(kind::APPLICATION, &application.id.to_string()).await?;
                Ok(())
            })
        })
        .await?;
        Ok(Answer::empty(204))
    }

    async fn add_password(&self, id: &str, body: Value) -> Result<Answer, ArmError> {
        let application = self.application(id).await?;
        let wanted = &body["passwordCredential"];
        let at = |field: &str| match wanted[field].as_str() {
            None => Ok(None),
            Some(text) => OffsetDateTime::parse(text, &Rfc3339)
                .map(Some)
                .map_err(|_| bad(format!("'{text}' is no instant.")).target(field)),
        };
        let (start, end) = (at("startDateTime")?, at("endDateTime")?);
        let name = wanted["displayName"].as_str().map(str::to_owned);
        let shown = self
            .change(WRITE, move |tx| {
                Box::pin(async move {
                    let key = application.id.to_string();
                    let mut fresh: Application = read_document(tx.as_read(), kind::APPLICATION, &key)
                        .await?
                        .ok_or_else(|| not_found(&key))?;
                    let made = fresh.add_password(name.as_deref(), start, end, tx.now());
                    let (credential, secret) = made.map_err(|e| match e {
                        SecretError::NoEntropy(_) => ArmError::internal(),
                        other => bad(format!("{other}.")),
                    })?;
                    write_document(tx, kind::APPLICATION, &key, &fresh).await?;
                    Ok(credential.to_graph(Some(&secret)))
                })
            })
            .await?;
        Ok(Answer::json(200, shown))
    }

    async fn remove_password(&self, id: &str, body: Value) -> Result<Answer, ArmError> {
        let application = self.application(id).await?;
        let key_id = body["keyId"].as_str().and_then(|k| Uuid::try_parse(k).ok());
        let key_id = key_id.ok_or_else(|| bad("'keyId' is missing.").target("keyId"))?;
        self.change(WRITE, move |tx| {
            Box::pin(async move {
                let key = application.id.to_string();
                let mut fresh: Application = read_document(tx.as_read(), kind::APPLICATION, &key)
                    .await?
                    .ok_or_else(|| not_found(&key))?;
                if !fresh.remove_password(key_id) {
                    return Err(bad("No password credential found with keyId."));
                }
                write_document(tx, kind::APPLICATION, &key, &fresh).await?;
                // Tokens that the removed secret obtained end with it.
                let all: Vec<(String, ServicePrincipal)> =
                    read_documents(tx.as_read(), kind::SERVICE_PRINCIPAL).await?;
                for (key, mut principal) in all.into_iter().filter(|(_, p)| p.app_id == fresh.app_id) {
                    principal.generation += 1;
                    write_document(tx, kind::SERVICE_PRINCIPAL, &key, &principal).await?;
                }
                Ok(())
            })
        })
        .await?;
        Ok(Answer::empty(204))
    }
}

fn group_json(group: &GroupRecord) -> Value {
    json!({
        "@odata.type": "#microsoft.graph.group", "id": group.id, "displayName": group.display_name,
        "securityEnabled": true, "mailEnabled": false, "mailNickname": group.display_name, "groupTypes": [],
        "createdDateTime": group.created_at,
    })
}
