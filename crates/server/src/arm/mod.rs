//! The ARM surface over HTTP: route, api-version, right, then the engine inside one transaction with its audit entry.
//!
//! Every path goes through [`dispatch`]; nothing else answers under `/subscriptions` and `/providers`. A caller who
//! may not even read a thing is told that it does not exist; one who may read it is told what right is missing.

mod explanation;
mod served;

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use http::{HeaderMap, Method, Response, StatusCode, Uri};
use sekisho_arm::engine::{self, Answer, Page, Preconditions};
use sekisho_arm::operation::{self, Status};
use sekisho_arm::registry::Storage;
use sekisho_arm::resource::shown;
use sekisho_arm::route::Route;
use sekisho_arm::{
    ApiVersion, ArmError, AuditEntry, Call, Outcome, Scope, ScopeKind, StoreError, TypeName, Write,
};
use sekisho_nsg::provider::{Judge, Refused, Violation};
use sekisho_rbac::{Attributes, Decision, PrincipalId};
use sekisho_store::News;
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::access::{self, Access};
use crate::app::App;
use crate::authn::Caller;
use crate::desired::WhatIf;
use crate::resources::locks::{Deed, Guard};
use crate::resources::{core, tag_names, tags};
use crate::{desired, http as web, rights};

pub use explanation::{Explanation, explain};
pub use served::operations;

use explanation::Activatable;

/// Largest request body, in bytes (ARM: 4 MiB).
pub const MAX_BODY_BYTES: usize = 4 << 20;
/// Largest body of the one thing that is larger than ARM allows: Azure's file of service tags, which has about 5 MB.
const MAX_TAG_SET_BYTES: usize = 16 << 20;
/// Most items of a page when the client does not say.
const PAGE: usize = 1000;

/// The largest body that a path takes, in bytes.
pub fn max_body(path: &str) -> usize {
    const TAG_SETS: &str = "/providers/sekisho.network/servicetagsets/";
    if path.to_ascii_lowercase().starts_with(TAG_SETS) { MAX_TAG_SET_BYTES } else { MAX_BODY_BYTES }
}

/// A request, taken apart.
pub struct Request {
    /// GET, PUT, ...
    pub method: Method,
    /// Path and query.
    pub uri: Uri,
    /// Headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// The end of a transaction that must not be kept.
pub enum Undone {
    /// It was refused.
    Error(ArmError),
    /// It was only to be measured.
    Preview(WhatIf),
    /// It would break invariants of the network.
    Broken(Vec<Violation>),
}

impl From<StoreError> for Undone {
    fn from(error: StoreError) -> Self {
        Undone::Error(error.into())
    }
}
impl From<Refused> for Undone {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Broken(violations) => Undone::Broken(violations),
            Refused::Error(error) => Undone::Error(error),
        }
    }
}
impl From<ArmError> for Undone {
    fn from(error: ArmError) -> Self {
        Undone::Error(error)
    }
}

/// Answers an ARM request.
pub async fn dispatch(
    app: &Arc<App>,
    caller: &Caller,
    correlation: &str,
    request: Request,
) -> Response<Body> {
    match answer(app, caller, correlation, request).await {
        Ok(answer) => web::arm_answer(answer),
        Err(error) => web::arm_error(&error),
    }
}

async fn answer(
    app: &Arc<App>,
    caller: &Caller,
    correlation: &str,
    request: Request,
) -> Result<Answer, ArmError> {
    let route = Route::parse(request.uri.path())?;
    let query = query_of(&request.uri);
    let version = match query.get("api-version") {
        None => return Err(ApiVersion::missing()),
        Some(text) => ApiVersion::parse(text).ok_or_else(|| ApiVersion::invalid(text, core::VERSIONS))?,
    };
    let call = Call {
        caller: caller.reference(),
        api_version: version,
        base_url: web::base_url(&request.headers, &app.config),
        query,
        correlation_id: correlation.to_owned(),
        sign_in: access::sign_in(caller),
        address: Some(caller.address),
        at: OffsetDateTime::now_utc(),
    };
    let asker = Asker { app, caller, call: &call, method: &request.method };
    match route {
        Route::Item(scope) => {
            if let Some(target) = tags::target(&scope) {
                return asker.tags(&target, &request).await;
            }
            if let Some(operation) = operation_of(&scope) {
                return asker.poll(operation, scope.type_name().path.ends_with("Results")).await;
            }
            asker.item(scope, &request).await
        }
        Route::Collection { scope, type_name } => asker.collection(scope, type_name, &request).await,
        Route::Provider { scope, namespace } => {
            asker.get_only()?;
            asker.seen(&scope).await?;
            answered(&core::provider(&app.registry, &namespace)?)
        }
        Route::Bare { scope, words } => asker.bare(&scope, &words).await,
    }
}

/// A query with names in lower case; the last of equal names wins.
fn query_of(uri: &Uri) -> HashMap<String, String> {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    uri.query()
        .unwrap_or_default()
        .split('&')
        .filter(|p| !p.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name).to_ascii_lowercase(), decode(value)))
        .collect()
}

/// The id in `.../locations/{l}/operations/{id}` and `.../operationResults/{id}`.
fn operation_of(scope: &Scope) -> Option<&str> {
    let id = scope.resource()?;
    let path = id.type_name().path.to_ascii_lowercase();
    matches!(path.as_str(), "locations/operations" | "locations/operationresults").then(|| id.name())
}

/// A caller with a request: knows how to ask for rights.
struct Asker<'a> {
    app: &'a Arc<App>,
    caller: &'a Caller,
    call: &'a Call,
    method: &'a Method,
}

impl Asker<'_> {
    fn get_only(&self) -> Result<(), ArmError> {
        if *self.method == Method::GET {
            Ok(())
        } else {
            Err(ArmError::method_not_allowed(self.method.as_str(), "this path"))
        }
    }

    fn deed(&self) -> Deed {
        if *self.method == Method::DELETE { Deed::Delete } else { Deed::Write }
    }

    fn decide(&self, action: &str, scope: &Scope, attributes: &Attributes) -> Decision {
        self.app.access.snapshot().decide_with(&self.acting(), action, scope, attributes)
    }

    fn acting(&self) -> sekisho_rbac::Asker {
        self.app.access.acting(self.caller)
    }

    /// The role that the caller could activate to be allowed something.
    fn activatable(&self, action: &str, scope: &Scope, attributes: &Attributes) -> Option<Activatable> {
        let eligible = self.app.access.eligible()?;
        let who =
            sekisho_rbac::Asker { principals: vec![PrincipalId(self.caller.principal)], ..self.acting() };
        let Decision::Allowed { assignment, at, role, .. } =
            eligible.decide_with(&who, action, scope, attributes)
        else {
            return None;
        };
        let role_name = eligible.role(role).map(|r| r.properties.role_name.clone()).unwrap_or_default();
        Some(Activatable {
            role_eligibility_schedule_id: assignment.to_string(),
            role_id: role.to_string(),
            role_name,
            scope: at.to_string(),
        })
    }

    /// Refuses unless the caller has the right; the refusal is audited. `read` is the right by which the caller may
    /// know that the thing exists.
    async fn require(
        &self,
        action: &str,
        read: &str,
        scope: &Scope,
        attributes: &Attributes,
    ) -> Result<Decision, ArmError> {
        let decision = self.decide(action, scope, attributes);
        if decision.is_allowed() {
            return Ok(decision);
        }
        // A subscription is listed to everyone with a right somewhere in it, so to them it is no secret either.
        let listed = matches!(scope, Scope::Subscription(_)) && self.seen(scope).await.is_ok();
        let activatable = match decision {
            Decision::Missing { .. } => self.activatable(action, scope, attributes),
            _ => None,
        };
        // Whoever is eligible for something here may know of the place.
        let known =
            listed || activatable.is_some() || self.decide(read, scope, &Attributes::none()).is_allowed();
        let mut error = match decision.clone().into_result(
            &self.caller.name,
            PrincipalId(self.caller.principal),
            action,
            scope,
        ) {
            Err(error) => error,
            Ok(()) => ArmError::internal(),
        };
        if let Some(role) = &activatable {
            error.message.push_str(&role.advice());
        }
        let mut decided = explain(&decision, action, scope);
        decided.activatable = activatable;
        let decided = shown(&decided)?;
        error.additional_info.push(("AuthorizationDecision".to_owned(), decided));
        let entry = self.entry(action, scope, Outcome::Denied, &error.code, None);
        self.app
            .store
            .write::<_, StoreError, _>(move |tx| Box::pin(async move { tx.audit(entry).await }))
            .await?;
        Err(if known { error } else { self.hidden(scope) })
    }

    /// What is said about a thing that the caller may not know of: the outermost part it cannot see is "not found".
    fn hidden(&self, scope: &Scope) -> ArmError {
        let snapshot = self.app.access.snapshot();
        let reach = snapshot.may_list(&self.acting(), core::GROUP_READ);
        if let Some(subscription) = scope.subscription_scope()
            && !reach.touches(&subscription)
        {
            return ArmError::not_found(&subscription);
        }
        match scope.group_scope() {
            Some(group) if !reach.touches(&group) => ArmError::not_found(&group),
            _ => ArmError::not_found(scope),
        }
    }

    /// Refuses a scope in and above which the caller has no right at all.
    async fn seen(&self, scope: &Scope) -> Result<(), ArmError> {
        let snapshot = self.app.access.snapshot();
        let any = snapshot.readable_scopes(&self.acting());
        let tree = snapshot.tree();
        let touched = any.iter().any(|s| tree.contains(s, scope) || tree.contains(scope, s));
        if *scope == Scope::Tenant || touched { Ok(()) } else { Err(self.hidden(scope)) }
    }

    fn entry(
        &self,
        action: &str,
        scope: &Scope,
        outcome: Outcome,
        detail: &str,
        grant: Option<&Decision>,
    ) -> AuditEntry {
        let authorization = grant.and_then(|d| match d {
            Decision::Allowed { assignment, at, role, .. } => {
                let snapshot = self.app.access.snapshot();
                let name = snapshot.role(*role).map(|r| r.properties.role_name.clone()).unwrap_or_default();
                Some(json!({"role": name, "roleAssignmentId": assignment, "roleAssignmentScope": at.to_string()}))
            }
            _ => None,
        });
        AuditEntry {
            operation: action.to_owned(),
            resource_id: scope.to_string(),
            caller: self.caller.reference(),
            outcome,
            detail: detail.to_owned(),
            correlation_id: self.call.correlation_id.clone(),
            authorization,
            http: Some(json!({"clientIpAddress": self.caller.address, "method": self.method.as_str()})),
            phase: None,
            properties: None,
        }
    }

    async fn item(&self, scope: Scope, request: &Request) -> Result<Answer, ArmError> {
        let app = self.app;
        let kind = app.registry.find(&scope.type_name(), &self.call.api_version)?.clone();
        let spec = kind.spec();
        self.call.api_version.check(spec.versions, &spec.name(), &app.config.location)?;
        let read = spec.action("read");
        if matches!(*self.method, Method::GET | Method::HEAD) {
            let open = is_common_knowledge(spec)
                || self.decide(&read, &scope, &Attributes::none()).is_allowed()
                || kind.is_own(&mut app.store.read().await?, self.call, &scope).await?;
            if !open {
                self.require(&read, &read, &scope, &Attributes::none()).await?;
            }
            let mut answer =
                engine::get(&app.registry, &mut app.store.read().await?, self.call, &scope).await?;
            if *self.method == Method::HEAD {
                answer = Answer::empty(204);
            }
            return Ok(answer);
        }
        let verb = match *self.method {
            Method::PUT | Method::PATCH => "write",
            Method::DELETE => "delete",
            _ => return Err(ArmError::method_not_allowed(self.method.as_str(), &spec.name().to_string())),
        };
        let refused = *self.method == Method::DELETE && !kind.is_removable();
        if spec.storage == Storage::Computed || refused {
            // There is no such right, so that asking for it would tell even an Owner to ask for more.
            return Err(ArmError::method_not_allowed(self.method.as_str(), &spec.name().to_string()));
        }
        let action = spec.action(verb);
        let body = match *self.method {
            Method::DELETE => Value::Null,
            Method::PUT if request.body.is_empty() && !kind.needs_body() => json!({}),
            _ => web::parse_json(&request.body)?,
        };
        let attributes = self.attributes(&scope, &body).await?;
        let at = match *self.method {
            Method::PUT => kind.judged_at(&mut app.store.read().await?, &scope, &body).await?,
            _ => scope.clone(),
        };
        let mut grant = self.decide(&action, &at, &attributes);
        let open = grant.is_allowed()
            || *self.method != Method::DELETE
                && kind.is_open(&mut app.store.read().await?, self.call, &scope, &body).await?;
        if !open {
            grant = self.require(&action, &read, &at, &attributes).await?;
        }
        self.require_links(kind.as_ref(), &action, &scope, &body).await?;
        let pre = Preconditions {
            if_match: web::header(&request.headers, "if-match"),
            if_none_match: web::header(&request.headers, "if-none-match"),
        };
        let method = self.method.clone();
        self.write(&scope, &action, self.deed(), &grant, move |registry, tx, call, scope| {
            Box::pin(async move {
                match method {
                    Method::PUT => engine::put(registry, tx, call, scope, body, &pre).await,
                    Method::PATCH => engine::patch(registry, tx, call, scope, body, &pre).await,
                    _ => engine::delete(registry, tx, call, scope, &pre).await,
                }
            })
        })
        .await
    }

    /// Refuses to attach the resource to something that the caller may not attach things to. What it is attached to
    /// already may stay.
    async fn require_links(
        &self,
        kind: &dyn sekisho_arm::ResourceType,
        action: &str,
        scope: &Scope,
        body: &Value,
    ) -> Result<(), ArmError> {
        let mut wanted = kind.links(body);
        wanted.extend(kind.links_within(scope, body));
        if wanted.is_empty() {
            return Ok(());
        }
        let mut read = self.app.store.read().await?;
        let kept = engine::load(&self.app.registry, &mut read, scope)
            .await?
            .map(|r| r.to_json())
            .unwrap_or_default();
        drop(read);
        let kept = kind.links(&kept);
        for (linked, needed) in wanted.iter().filter(|w| !kept.contains(w)) {
            if self.decide(needed, linked, &Attributes::none()).is_allowed() {
                continue;
            }
            let entry = self.entry(action, scope, Outcome::Denied, "LinkedAuthorizationFailed", None);
            self.app
                .store
                .write::<_, StoreError, _>(move |tx| Box::pin(async move { tx.audit(entry).await }))
                .await?;
            return Err(ArmError::new(
                403,
                "LinkedAuthorizationFailed",
                format!(
                    "The client '{}' with object id '{}' has permission to perform action '{action}' on scope '{scope}'; \
                     however, it does not have permission to perform action '{needed}' on the linked scope(s) '{linked}' \
                     or the linked scope(s) are invalid.",
                    self.caller.name, self.caller.principal
                ),
            ));
        }
        Ok(())
    }

    /// What conditions on role assignments look at.
    async fn attributes(&self, scope: &Scope, body: &Value) -> Result<Attributes, ArmError> {
        if !scope.type_name().is("Microsoft.Authorization/roleAssignments") {
            return Ok(Attributes::none());
        }
        let stored = self.app.store.read().await;
        let resource = match stored {
            Ok(mut read) => engine::load(&self.app.registry, &mut read, scope).await?,
            Err(error) => return Err(error.into()),
        };
        let stored = resource.map(|r| Value::Object(r.properties())).unwrap_or(Value::Null);
        Ok(crate::resources::authorization::attributes(&body["properties"], &stored))
    }

    /// Runs a write in one transaction with its audit entry, unless a lock forbids it; a failed one is audited too.
    /// With `?whatIf=true` it is run, measured and undone.
    async fn write<F>(
        &self,
        scope: &Scope,
        action: &str,
        deed: Deed,
        grant: &Decision,
        work: F,
    ) -> Result<Answer, ArmError>
    where
        F: for<'t> FnOnce(
                &'t sekisho_arm::Registry,
                &'t mut dyn Write,
                &'t Call,
                &'t Scope,
            ) -> futures_util::future::BoxFuture<'t, Result<Answer, ArmError>>
            + Send
            + 'static,
    {
        let app = self.app.clone();
        let what_if = self.call.is_tried();
        let (call, target) = (self.call.clone(), scope.clone());
        let success = self.entry(action, scope, Outcome::Succeeded, "", Some(grant));
        let result = self
            .app
            .store
            .write::<Answer, Undone, _>(move |tx| {
                Box::pin(async move {
                    let guard = Guard::enter(&app.registry, tx.as_read(), &target, deed).await?;
                    let judge = match deed {
                        Deed::Look => None,
                        _ => Judge::enter(tx.as_read(), &target).await?,
                    };
                    if what_if {
                        let preview = desired::preview(&app, tx, &call, &target, work).await?;
                        guard.leave(&app.registry, tx.as_read()).await?;
                        if let Some(judge) = judge {
                            judge.leave(tx.as_read()).await?;
                        }
                        return Err(Undone::Preview(preview));
                    }
                    let answer = work(&app.registry, tx, &call, &target).await?;
                    guard.leave(&app.registry, tx.as_read()).await?;
                    let change = match judge {
                        Some(judge) => judge.leave(tx.as_read()).await?,
                        None => None,
                    };
                    let properties = change.map(|c| shown(&c)).transpose()?;
                    let properties = properties.map(|c| json!({ "packetFilter": c }));
                    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
                    let detail = status.canonical_reason().unwrap_or_default().replace(' ', "");
                    tx.audit(AuditEntry { detail, properties, ..success }).await?;
                    Ok(answer)
                })
            })
            .await;
        match result {
            Ok(answer) => {
                if touches_rights(scope) {
                    self.app.access.refresh(&self.app.store).await?;
                }
                Ok(answer)
            }
            Err(Undone::Preview(mut effect)) => {
                // A group may be in force on machines that its owner may not know of: those are only counted.
                let all = effect.machines.len();
                effect.machines.retain(|m| {
                    let read = "Microsoft.Compute/virtualMachines/read";
                    let id = Scope::parse(&m.id);
                    id.is_ok_and(|id| self.decide(read, &id, &Attributes::none()).is_allowed())
                });
                effect.other_machines = all - effect.machines.len();
                rights::show(&mut effect, |scope| {
                    self.decide(rights::READ, scope, &Attributes::none()).is_allowed()
                });
                answered(&effect)
            }
            Err(undone) => {
                let error = match undone {
                    Undone::Broken(violations) => self.broken(violations)?,
                    Undone::Error(error) => error,
                    Undone::Preview(_) => ArmError::internal(),
                };
                if !what_if && error.status < 500 {
                    let failure = self.entry(action, scope, Outcome::Failed, &error.code, Some(grant));
                    self.app
                        .store
                        .write::<_, StoreError, _>(move |tx| Box::pin(async move { tx.audit(failure).await }))
                        .await?;
                }
                Err(error)
            }
        }
    }

    /// The refusal of a write that would break invariants. What it says of a machine is for those who may know of it.
    fn broken(&self, violations: Vec<Violation>) -> Result<ArmError, ArmError> {
        let sees = |id: &String| {
            let read = "Microsoft.Network/networkInterfaces/read";
            Scope::parse(id).is_ok_and(|id| self.decide(read, &id, &Attributes::none()).is_allowed())
        };
        let mut texts = Vec::new();
        let mut facts = Vec::new();
        for mut violation in violations {
            let hidden = !violation.interfaces.iter().all(sees);
            if hidden {
                violation.interfaces.clear();
                violation.counter_example = None;
            }
            let id = &violation.invariant;
            texts.push(match hidden {
                true => format!("The invariant {id} would not hold of a machine that you may not know of."),
                false => violation.to_string(),
            });
            facts.push(("InvariantViolation".to_owned(), shown(&violation)?));
        }
        let mut error = ArmError::new(409, "InvariantViolated", texts.join(" "));
        error.additional_info = facts;
        Ok(error)
    }

    async fn collection(
        &self,
        scope: Scope,
        type_name: TypeName,
        request: &Request,
    ) -> Result<Answer, ArmError> {
        match *self.method {
            Method::GET if self.app.registry.scope_action(&type_name).is_some_and(|a| a.action().reads) => {
                // The next pages of an action's answer are links, and clients follow links by GET.
                self.act(scope, type_name, request).await
            }
            Method::GET => self.list(scope, type_name).await,
            Method::POST => self.act(scope, type_name, request).await,
            _ => Err(ArmError::method_not_allowed(self.method.as_str(), &type_name.to_string())),
        }
    }

    /// The answer with the fields that `$select` names.
    fn select(&self, mut answer: Answer) -> Result<Answer, ArmError> {
        if let Some(select) = self.call.select()?
            && let Some(Value::Array(rows)) = answer.body.as_mut().and_then(|body| body.get_mut("value"))
        {
            rows.iter_mut().for_each(|row| *row = select.of(row));
        }
        Ok(answer)
    }

    async fn list(&self, scope: Scope, type_name: TypeName) -> Result<Answer, ArmError> {
        let app = self.app;
        let type_name = app.registry.listed(type_name);
        if scope == Scope::Tenant
            && let Some(all) = core::operations(&app.registry, &type_name)
        {
            return answered(&all);
        }
        let kind = app.registry.find(&type_name, &self.call.api_version)?.clone();
        let spec = kind.spec();
        self.call.api_version.check(spec.versions, &spec.name(), &app.config.location)?;
        let read = spec.action("read");
        if is_common_knowledge(spec) {
            let mut tx = app.store.read().await?;
            return Ok(Answer::json(200, kind.computed(&mut tx, self.call, &scope, None).await?));
        }
        let who = self.acting();
        let snapshot = app.access.snapshot();
        let own = kind.lists_own(self.call)?;
        let here = own || snapshot.decide(&who, &read, &scope).is_allowed();
        let reach = snapshot.may_list(&who, &read);
        // What is computed hangs under a name of its own in the scope that it is about, unless it is about a resource.
        let about = match (spec.storage, scope.resource()) {
            (Storage::Computed, Some(resource)) if !spec.scopes.contains(&ScopeKind::Resource) => {
                resource.base_scope()
            }
            _ => scope.located().unwrap_or(&scope),
        };
        // One thing is shown whole or not at all.
        if !here && (kind.is_singleton() || !reach.touches(about)) {
            // Recorded like any refusal, and answered as if nothing were there.
            self.require(&read, &read, &scope, &Attributes::none()).await?;
        }
        let mut tx = app.store.read().await?;
        if spec.storage == Storage::Computed {
            let mut body = kind.computed(&mut tx, self.call, &scope, None).await?;
            if !here {
                // Whoever may read some of it is shown that, as with lists of what is kept.
                let rows = body.get_mut("value").and_then(Value::as_array_mut);
                let id = |row: &Value| {
                    let id = row["resourceId"].as_str().or(row["id"].as_str());
                    Scope::parse(id.unwrap_or_default()).ok()
                };
                rows.ok_or_else(ArmError::internal)?
                    .retain(|row| id(row).is_some_and(|i| reach.contains(&i)));
            }
            if let Some(order) = self.call.order()? {
                if body.get("nextLink").is_some() {
                    let text = format!("The list of {} comes in an order of its own.", spec.name());
                    return Err(ArmError::bad("InvalidOrderByInQueryString", text).target("$orderby"));
                }
                if let Some(Value::Array(rows)) = body.get_mut("value") {
                    *rows = order.sort(std::mem::take(rows));
                }
            }
            let answer = Answer::json(200, body);
            return if kind.selects() { self.select(answer) } else { Ok(answer) };
        }
        let filter = self.call.filter()?;
        let top = core::top(self.call)?.map_or(PAGE, |n| n.min(PAGE));
        let after = self.call.query("$skiptoken").map(web::decode_token).transpose()?;
        let keep = |id: &Scope| {
            own || reach.contains(id)
                || (here && id.resource().is_some_and(|r| snapshot.tree().contains(r.base_scope(), &scope)))
        };
        let order = self.call.order()?;
        // What is sorted is read whole, and a page of it begins at a number.
        let page = if order.is_some() { (None, usize::MAX) } else { (after.clone(), top) };
        let Page { items, mut next } =
            engine::list(&app.registry, &mut tx, self.call, &scope, &spec.name(), page, &keep).await?;
        let mut value: Vec<Value> = items
            .into_iter()
            .map(|(_, body)| body)
            .filter(|body| filter.as_ref().is_none_or(|f| core::holds(f, body, &|_| None)))
            .collect();
        if let Some(order) = order {
            (value, next) = core::page_of(order.sort(value), after.as_deref(), top)?;
        }
        let mut body = json!({ "value": value });
        if let Some(next) = next {
            body["nextLink"] = web::next_link(self.call, scope_path(&scope, spec), &next).into();
        }
        Ok(Answer::json(200, body))
    }

    async fn act(&self, scope: Scope, type_name: TypeName, request: &Request) -> Result<Answer, ArmError> {
        let app = self.app;
        let body = if request.body.is_empty() { Value::Null } else { web::parse_json(&request.body)? };
        if let Some(action) = app.registry.scope_action(&type_name) {
            let name = action.right();
            if !action.action().reads {
                let grant = self.require(&name, core::GROUP_READ, &scope, &Attributes::none()).await?;
                let action = action.clone();
                return self
                    .write(&scope, &name, Deed::Write, &grant, move |_, tx, call, scope| {
                        Box::pin(
                            async move { Ok(Answer::json(200, action.change(tx, call, scope, body).await?)) },
                        )
                    })
                    .await;
            }
            if action.is_about(&self.call.caller, &body) {
                self.seen(&scope).await?;
            } else if !action.shows_part()
                || !app.access.snapshot().may_list(&self.acting(), &name).touches(&scope)
            {
                self.require(&name, core::GROUP_READ, &scope, &Attributes::none()).await?;
            }
            let mut read = app.store.read().await?;
            return Ok(Answer::json(200, action.act(&mut read, self.call, &scope, body).await?));
        }
        if let Some(namespace) = core::registers(&type_name) {
            self.seen(&scope).await?;
            return answered(&core::provider(&app.registry, namespace)?);
        }
        let verb = type_name.path.rsplit('/').next().unwrap_or_default().to_owned();
        let kind = app.registry.find(&scope.type_name(), &self.call.api_version)?.clone();
        let spec = kind.spec();
        self.call.api_version.check(spec.versions, &spec.name(), &app.config.location)?;
        let Some(known) = spec.actions.iter().find(|a| a.verb.eq_ignore_ascii_case(&verb)).copied() else {
            return Err(ArmError::method_not_allowed("POST", &type_name.to_string()));
        };
        let name = spec.action(&format!("{}/action", known.verb));
        let mut grant = self.decide(&name, &scope, &Attributes::none());
        let open = grant.is_allowed() || kind.is_own(&mut app.store.read().await?, self.call, &scope).await?;
        if !open {
            grant = self.require(&name, &spec.action("read"), &scope, &Attributes::none()).await?;
        }
        self.require_links(kind.as_ref(), &name, &scope, &body).await?;
        let deed = if known.reads { Deed::Look } else { Deed::Write };
        self.write(&scope, &name, deed, &grant, move |registry, tx, call, scope| {
            Box::pin(async move { engine::act(registry, tx, call, scope, known.verb, body).await })
        })
        .await
    }

    async fn tags(&self, target: &Scope, request: &Request) -> Result<Answer, ArmError> {
        self.call.api_version.check(
            core::VERSIONS,
            &TypeName::new("Microsoft.Resources", "tags"),
            "global",
        )?;
        let read = "Microsoft.Resources/tags/read";
        if *self.method == Method::GET {
            self.require(read, read, target, &Attributes::none()).await?;
            let mut tx = self.app.store.read().await?;
            return answered(&tags::get(&self.app.registry, &mut tx, target).await?);
        }
        let action = match *self.method {
            Method::PUT | Method::PATCH => "Microsoft.Resources/tags/write",
            Method::DELETE => "Microsoft.Resources/tags/delete",
            _ => return Err(ArmError::method_not_allowed(self.method.as_str(), "tags")),
        };
        let body = if *self.method == Method::DELETE { Value::Null } else { web::parse_json(&request.body)? };
        let grant = self.require(action, read, target, &Attributes::none()).await?;
        let method = self.method.clone();
        // Without its tags a thing is changed, not removed.
        self.write(target, action, Deed::Write, &grant, move |registry, tx, _, target| {
            Box::pin(async move { answered(&tags::change(registry, tx, target, &method, body).await?) })
        })
        .await
    }

    async fn tag_name(&self, scope: &Scope, word: tag_names::Word) -> Result<Answer, ArmError> {
        let Some(action) = word.right(self.method) else {
            return Err(ArmError::method_not_allowed(self.method.as_str(), "tagNames"));
        };
        let grant = self.require(action, tag_names::READ, scope, &Attributes::none()).await?;
        let method = self.method.clone();
        self.write(scope, action, Deed::Write, &grant, move |_, tx, _, scope| {
            Box::pin(async move { tag_names::change(tx, scope, &word, &method).await })
        })
        .await
    }

    /// An operation is readable by whoever started it or may read what it works on.
    async fn poll(&self, id: &str, result: bool) -> Result<Answer, ArmError> {
        self.get_only()?;
        let mut read = self.app.store.read().await?;
        let operation = operation::Operation::read(&mut read, id).await?;
        if operation.caller != self.caller.principal.to_string() {
            let type_name = operation.resource.type_name();
            let kind = self.app.registry.find(&type_name, &self.call.api_version)?;
            let action = kind.spec().action("read");
            self.require(&action, &action, &operation.resource, &Attributes::none()).await?;
        }
        let (poll, location) = operation.urls(&self.call.base_url, &self.call.api_version.to_string());
        if !result {
            let mut answer = answered(&operation.body(&poll))?;
            if operation.status == Status::InProgress {
                answer.headers.push(("retry-after", "1".to_owned()));
            }
            return Ok(answer);
        }
        Ok(match operation.status {
            Status::InProgress => {
                let mut answer = Answer::empty(202);
                answer.headers = vec![("location", location), ("retry-after", "1".to_owned())];
                answer
            }
            Status::Succeeded => {
                operation.result.map_or_else(|| Answer::empty(204), |r| Answer::json(200, r))
            }
            Status::Failed => {
                let (code, message) = operation.error.unwrap_or_default();
                return Err(ArmError::new(409, code, message));
            }
        })
    }

    async fn bare(&self, scope: &Scope, words: &[String]) -> Result<Answer, ArmError> {
        let app = self.app;
        if let (Scope::Subscription(_), Some(word)) = (scope, tag_names::Word::parse(words)) {
            return self.tag_name(scope, word).await;
        }
        let words: Vec<String> = words.iter().map(|w| w.to_ascii_lowercase()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match (scope, words.as_slice()) {
            (Scope::Subscription(_), ["operationresults", id]) => return self.poll(id, true).await,
            (Scope::ResourceGroup { .. }, ["moveresources" | "validatemoveresources"]) => {
                self.seen(scope).await?;
                return Err(ArmError::new(
                    409,
                    "MoveNotSupported",
                    "Resources cannot be moved to another resource group. Create them there, and delete them here.",
                ));
            }
            _ => {}
        }
        self.get_only()?;
        let who = self.acting();
        let snapshot = app.access.snapshot();
        let mut read = app.store.read().await?;
        let sees = |id: &Scope| {
            let any = snapshot.readable_scopes(&who);
            any.iter().any(|s| snapshot.tree().contains(s, id) || snapshot.tree().contains(id, s))
        };
        match (scope, words.as_slice()) {
            (Scope::Tenant, ["tenants"]) => answered(&core::tenants(app)),
            (Scope::Tenant, ["subscriptions"]) => {
                answered(&core::subscriptions(app, &mut read, &sees).await?)
            }
            (Scope::Tenant | Scope::Subscription(_), ["providers"]) => {
                self.seen(scope).await?;
                answered(&core::providers(&app.registry))
            }
            (Scope::Subscription(_), ["locations"]) => {
                self.seen(scope).await?;
                answered(&core::locations(app, &mut read, scope).await?)
            }
            (Scope::Subscription(_), ["tagnames"]) => {
                self.seen(scope).await?;
                let reads = |r: &sekisho_arm::Resource| {
                    let kind = app.registry.get(&r.type_name);
                    kind.is_some_and(|k| snapshot.decide(&who, &k.spec().action("read"), &r.id).is_allowed())
                };
                let known = snapshot.decide(&who, tag_names::READ, scope).is_allowed();
                answered(&tag_names::list(&mut read, scope, known, &reads).await?)
            }
            (Scope::Subscription(_) | Scope::ResourceGroup { .. }, ["resources"]) => {
                self.seen(scope).await?;
                let reads = |type_name: &TypeName, id: &Scope| {
                    let action = format!("{type_name}/read");
                    snapshot.decide(&who, &action, id).is_allowed()
                };
                self.select(Answer::json(
                    200,
                    core::resources(app, &mut read, self.call, scope, &reads).await?,
                ))
            }
            _ => {
                let text = format!("Nothing is served at '{}/{}'.", scope, words.join("/"));
                Err(ArmError::new(404, "NotFound", text))
            }
        }
    }
}

fn answered<T: Serialize>(body: &T) -> Result<Answer, ArmError> {
    Ok(Answer::json(200, shown(body)?))
}

fn scope_path(scope: &Scope, spec: &sekisho_arm::TypeSpec) -> String {
    let last = spec.path.rsplit('/').next().unwrap_or_default();
    match scope {
        Scope::Tenant => format!("/providers/{}/{last}", spec.namespace),
        Scope::Subscription(_) if spec.path == "resourceGroups" => format!("{scope}/resourceGroups"),
        Scope::Resource(_) if spec.path.contains('/') => format!("{scope}/{last}"),
        _ => format!("{scope}/providers/{}/{last}", spec.namespace),
    }
}

/// Facts about the product itself, at the root: open to everyone who is signed in, as in Azure.
fn is_common_knowledge(spec: &sekisho_arm::TypeSpec) -> bool {
    let of_no_other = !spec.path.contains('/');
    spec.storage == Storage::Computed && spec.scopes == [sekisho_arm::ScopeKind::Tenant] && of_no_other
}

fn touches_rights(scope: &Scope) -> bool {
    // Removing a group removes the role assignments inside it.
    let kind = scope.type_name().key();
    crate::access::ROLE_TYPES.contains(&kind.as_str())
        || matches!(scope, Scope::ManagementGroup(_) | Scope::ResourceGroup { .. } | Scope::Resource(_))
}

/// Follows the feed so that a change made by any path reaches the snapshot.
pub async fn follow(app: Arc<App>) {
    let mut feed = app.store.changes();
    loop {
        let concerns = match feed.next().await {
            Some(News::Changes(changes)) => changes.iter().any(Access::concerns),
            Some(News::Missed) => true,
            None => return,
        };
        if concerns && let Err(error) = app.access.refresh(&app.store).await {
            tracing::error!(%error, "rights could not be compiled anew; the old ones stay in force");
        }
    }
}
