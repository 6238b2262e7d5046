//! `roleEligibilityScheduleRequests` and `roleAssignmentScheduleRequests`: what is asked for, and what came of it. A
//! request is written once; sending the same again changes nothing.

use async_trait::async_trait;
use sekisho_arm::registry::{Action, ActionStyle, PutStyle, Storage, any_schema, properties_schema};
use sekisho_arm::resource::{instant, shown, typed};
use sekisho_arm::{ArmError, Call, Listing, Read, Resource, ResourceType, Scope, SignIn, TypeSpec, Write};
use sekisho_rbac::condition::Source;
use sekisho_rbac::pim::settings::Demands;
use sekisho_rbac::pim::{
    Approval, Brought, RequestProperties, RequestType, Schedule, Settings, Status, Window, admit,
};
use sekisho_rbac::{Attributes, PrincipalId, PrincipalType, RoleId, Snapshot, guard};
use serde_json::{Value, json};
use time::Duration;
use uuid::Uuid;

use super::schedules::{self, Made};
use super::words::Words;
use super::{Asker, Kind, approvals, note, policies, rights, spec};
use crate::access;
use crate::resources::authorization::{self, KnownPrincipal, LateUniverse};

/// How long a request to be eligible for longer waits for somebody who may assign the role.
const TO_EXTEND: Duration = Duration::days(30);

/// One of the two types.
pub(super) struct Requests {
    pub(super) kind: Kind,
    pub(super) universe: LateUniverse,
}

const CANCEL: Action = Action {
    verb: "cancel",
    style: ActionStyle::Sync,
    reads: false,
    title: "Takes a request back that nobody has decided on",
    takes: any_schema,
    answers: any_schema,
};

static ELIGIBILITY: TypeSpec = TypeSpec {
    actions: &[CANCEL],
    schema: properties_schema::<RequestProperties>,
    ..spec("roleEligibilityScheduleRequests", PutStyle::AlwaysCreated, Storage::Row)
};
static ASSIGNMENT: TypeSpec = TypeSpec {
    actions: &[CANCEL],
    schema: properties_schema::<RequestProperties>,
    ..spec("roleAssignmentScheduleRequests", PutStyle::AlwaysCreated, Storage::Row)
};

/// A request that is being carried out.
struct Work<'w> {
    kind: Kind,
    call: &'w Call,
    id: Scope,
    scope: Scope,
    role: RoleId,
    principal: PrincipalId,
    all: Snapshot,
    asker: Asker,
    asked: RequestProperties,
}

fn body_of(resource: &Resource) -> Result<RequestProperties, ArmError> {
    typed(&Value::Object(resource.properties()), "properties")
}

fn not_there(what: &str) -> ArmError {
    ArmError::new(
        404,
        "RoleAssignmentDoesNotExist",
        format!("There is no {what} that this request could mean."),
    )
}

#[async_trait]
impl ResourceType for Requests {
    fn spec(&self) -> &TypeSpec {
        match self.kind {
            Kind::Eligibility => &ELIGIBILITY,
            Kind::Assignment => &ASSIGNMENT,
        }
    }

    /// Whoever is eligible may take the role, and whoever has taken it may give it back.
    async fn is_open(
        &self,
        read: &mut dyn Read,
        call: &Call,
        id: &Scope,
        body: &Value,
    ) -> Result<bool, ArmError> {
        let properties: Result<RequestProperties, _> = typed(&body["properties"], "properties");
        let Ok(asked) = properties else { return Ok(false) };
        let person = authorization::asker(call);
        let own =
            asked.request_type.is_own() && Uuid::try_parse(&asked.principal_id).is_ok_and(|p| p == person.0);
        let Some(role) = RoleId::parse(&asked.role_definition_id).filter(|_| own) else { return Ok(false) };
        let scope = id.resource().map_or(Scope::Tenant, |r| r.base_scope().clone());
        let all = rights(read, &self.universe).await?;
        let asker = Asker::of(call, &all);
        match (self.kind, asked.request_type) {
            (Kind::Assignment, RequestType::SelfDeactivate) => {
                return Ok(schedules::activation(read, &asker, role, &scope, &asked).await?.is_some());
            }
            (Kind::Eligibility, RequestType::SelfRenew) => return had(read, person, role, &scope).await,
            (Kind::Eligibility, RequestType::SelfActivate | RequestType::SelfDeactivate) => return Ok(false),
            _ => {}
        }
        Ok(schedules::eligibility(read, &asker, role, &scope, &asked).await?.is_some())
    }

    async fn is_own(&self, read: &mut dyn Read, call: &Call, id: &Scope) -> Result<bool, ArmError> {
        let Some(kept) = read.get(id).await? else { return Ok(false) };
        let request = body_of(&kept)?;
        let me = &call.caller.object_id;
        Ok(request.requestor_id.as_ref() == Some(me) || request.principal_id.eq_ignore_ascii_case(me))
    }

    fn lists_own(&self, call: &Call) -> Result<bool, ArmError> {
        let filter = call.filter()?;
        let own = ["asRequestor", "asTarget", "asApprover"];
        Ok(filter.is_some_and(|f| own.iter().any(|name| f.function(name).is_some())))
    }

    async fn prepare(
        &self,
        tx: &mut dyn Write,
        call: &Call,
        draft: &mut Resource,
        old: Option<&Resource>,
    ) -> Result<(), ArmError> {
        access::guid_name(draft)?;
        let mut asked = body_of(draft)?;
        if let Some(old) = old {
            let before = body_of(old)?;
            if !is_the_same(&asked, &before) {
                let text = "The role assignment request already exists. Give another one a name of its own.";
                return Err(ArmError::new(409, "RoleAssignmentRequestExists", text));
            }
            draft.rest = old.rest.clone();
            return Ok(());
        }
        // What only the server says.
        (asked.status, asked.approval_id, asked.sign_in_id) = (None, None, None);
        let role = RoleId::parse(&asked.role_definition_id).ok_or_else(|| {
            let text =
                format!("The role definition id '{}' does not end with a GUID.", asked.role_definition_id);
            ArmError::bad("InvalidRoleDefinitionId", text).target("properties.roleDefinitionId")
        })?;
        let principal = Uuid::try_parse(&asked.principal_id).map(PrincipalId).map_err(|_| {
            let text = format!("The principal id '{}' is not a GUID.", asked.principal_id);
            ArmError::bad("InvalidPrincipalId", text).target("properties.principalId")
        })?;
        let all = rights(tx.as_read(), &self.universe).await?;
        let scope = access::scope_of(draft);
        guard::check_role(&all, role, &scope, asked.condition.as_deref())?;
        let words = Words::read(tx.as_read()).await?;
        asked.principal_type = words.kind_of(&asked.principal_id).and_then(|k| match k {
            KnownPrincipal::User => Some(PrincipalType::User),
            KnownPrincipal::Group => Some(PrincipalType::Group),
            KnownPrincipal::ServicePrincipal => Some(PrincipalType::ServicePrincipal),
            KnownPrincipal::Unknown => None,
        });
        asked.principal_type = asked.principal_type.or(Some(PrincipalType::User));
        asked.role_definition_id = role.resource_id();
        asked.principal_id = principal.to_string();
        asked.scope = Some(scope.to_string());
        asked.requestor_id = Some(call.caller.object_id.clone());
        asked.created_on = Some(instant(tx.now()));
        asked.ticket_info.get_or_insert_default();
        let asker = Asker::of(call, &all);
        let mut work =
            Work { kind: self.kind, call, id: draft.id.clone(), scope, role, principal, all, asker, asked };
        work.run(tx).await?;
        draft.rest.insert("properties".into(), shown(&work.asked)?);
        Ok(())
    }

    /// A request is part of the record: one that waits is cancelled, and what it made is ended by another.
    fn is_removable(&self) -> bool {
        false
    }

    async fn collection(
        &self,
        read: &mut dyn Read,
        call: &Call,
        scope: &Scope,
    ) -> Result<Option<Vec<Resource>>, ArmError> {
        let filter = call.filter()?;
        let has = |name: &str| filter.as_ref().is_some_and(|f| f.function(name).is_some());
        let mut found = authorization::around(read, self.spec(), scope, filter.as_ref()).await?;
        let all = rights(read, &self.universe).await?;
        let asker = Asker::of(call, &all);
        let principal = |r: &Resource| body_of(r).ok().and_then(|b| Uuid::try_parse(&b.principal_id).ok());
        if has("asTarget") {
            found.retain(|r| principal(r).is_some_and(|p| asker.is(PrincipalId(p))));
        }
        if has("asRequestor") {
            let me = Some(call.caller.object_id.clone());
            found.retain(|r| body_of(r).is_ok_and(|b| b.requestor_id == me));
        }
        if has("asApprover") {
            let mut mine = Vec::new();
            for request in found {
                let body = body_of(&request)?;
                if body.status == Some(Status::PendingApproval)
                    && approvals::may_decide(read, &all, &asker, &body).await?
                {
                    mine.push(request);
                }
            }
            found = mine;
        }
        Ok(Some(found))
    }

    async fn present(
        &self,
        read: &mut dyn Read,
        call: &Call,
        resource: &Resource,
    ) -> Result<Value, ArmError> {
        let shown = self.present_all(read, call, std::slice::from_ref(resource)).await?;
        shown.into_iter().next().ok_or_else(ArmError::internal)
    }

    async fn present_all(
        &self,
        read: &mut dyn Read,
        _: &Call,
        resources: &[Resource],
    ) -> Result<Vec<Value>, ArmError> {
        let rendered = resources.iter().map(|r| {
            let mut body = self.render(r);
            let [schedule, instance] = match self.kind {
                Kind::Eligibility => {
                    ["targetRoleEligibilityScheduleId", "targetRoleEligibilityScheduleInstanceId"]
                }
                Kind::Assignment => {
                    ["targetRoleAssignmentScheduleId", "targetRoleAssignmentScheduleInstanceId"]
                }
            };
            let properties = &mut body["properties"];
            let made = properties[schedule].as_str().and_then(|id| Scope::parse(id).ok());
            properties[instance] = made.and_then(|id| schedules::instance_of(self.kind, &id)).into();
            body
        });
        schedules::expanded(read, &self.universe, rendered.collect()).await
    }

    async fn act(
        &self,
        tx: &mut dyn Write,
        call: &Call,
        target: &Resource,
        _: &str,
        _: Value,
    ) -> Result<Value, ArmError> {
        let mut request = body_of(target)?;
        match request.status {
            Some(Status::PendingApproval) => {}
            // What it made has its name; what the request says of its targets is the client's.
            Some(Status::ScheduleCreated) => {
                let id = schedules::named(self.kind, &access::scope_of(target), access::guid_name(target)?)?;
                schedules::end(tx, &id).await?;
            }
            _ => {
                let text = "This request has been decided on and cannot be taken back any more.";
                return Err(ArmError::bad("RoleAssignmentRequestCannotBeCancelled", text));
            }
        }
        request.status = Some(Status::Canceled);
        approvals::close(tx, &request).await?;
        keep(tx, target, &request).await?;
        note(tx, call, (&format!("{}/cancel/action", self.spec().path), &target.id), json!({})).await?;
        Ok(json!({}))
    }
}

/// The id of the request that made a schedule: it has the same name.
pub(super) fn named(kind: Kind, scope: &Scope, name: Uuid) -> Result<Scope, ArmError> {
    let spec = match kind {
        Kind::Eligibility => &ELIGIBILITY,
        Kind::Assignment => &ASSIGNMENT,
    };
    scope.resource_in(spec.namespace, spec.path, &name.to_string()).map_err(|_| ArmError::internal())
}

/// Which of the two a request is of.
pub(super) fn kind_of(id: &Scope) -> Kind {
    if id.type_name().is("Microsoft.Authorization/roleEligibilityScheduleRequests") {
        Kind::Eligibility
    } else {
        Kind::Assignment
    }
}

/// How far a request has come.
pub(super) fn status(resource: &Resource) -> Option<Status> {
    body_of(resource).ok()?.status
}

/// Whether a client sends the same request again.
fn is_the_same(new: &RequestProperties, old: &RequestProperties) -> bool {
    new.request_type == old.request_type
        && RoleId::parse(&new.role_definition_id) == RoleId::parse(&old.role_definition_id)
        && new.principal_id.eq_ignore_ascii_case(&old.principal_id)
        && new.justification == old.justification
        && new.schedule_info == old.schedule_info
}

/// Keeps how far a request has come.
pub(super) async fn keep(
    tx: &mut (dyn Write + '_),
    kept: &Resource,
    request: &RequestProperties,
) -> Result<(), ArmError> {
    let mut changed = kept.clone();
    changed.rest.insert("properties".into(), shown(request)?);
    tx.put(changed).await?;
    Ok(())
}

impl Work<'_> {
    async fn run(&mut self, tx: &mut (dyn Write + '_)) -> Result<(), ArmError> {
        let own = self.asked.request_type.is_own();
        let longer = matches!(self.asked.request_type, RequestType::SelfExtend | RequestType::SelfRenew);
        if own && (self.principal != self.asker.person || (self.kind == Kind::Eligibility && !longer)) {
            let text = "Requests that begin with Self are for oneself: they activate a role and give it back, or ask to \
                        be eligible for longer.";
            return Err(ArmError::bad("InvalidRoleAssignmentRequest", text).target("properties.requestType"));
        }
        match self.asked.request_type {
            RequestType::SelfExtend | RequestType::SelfRenew if self.kind == Kind::Eligibility => {
                self.ask_for_longer(tx).await
            }
            RequestType::AdminAssign => self.assign(tx).await,
            RequestType::AdminRenew if self.target(tx).await?.is_none() => self.assign(tx).await,
            RequestType::AdminUpdate | RequestType::AdminExtend | RequestType::AdminRenew => {
                self.update(tx).await
            }
            RequestType::AdminRemove => self.remove(tx).await,
            RequestType::SelfActivate | RequestType::SelfExtend | RequestType::SelfRenew => {
                self.activate(tx).await
            }
            RequestType::SelfDeactivate => self.deactivate(tx).await,
        }
    }

    /// Whoever may not assign the role here may not make anybody eligible for it either.
    fn may(&self, action: &str) -> Result<(), ArmError> {
        let kind = self.asked.principal_type.unwrap_or_default().as_str();
        let about = self.principal.to_string();
        let of = |source| Attributes::none().of_assignment(source, Some(self.role), Some(&about), Some(kind));
        let attributes = match action {
            guard::ASSIGNMENT_DELETE => of(Source::Resource),
            _ => of(Source::Request),
        };
        let decision = self.all.decide_with(&self.asker.acting, action, &self.scope, &attributes);
        let client = &self.call.caller.name;
        decision.into_result(client, self.asker.person, action, &self.scope).map_err(|e| {
            let text = format!("{} Requests about roles need the right to assign them too.", e.message);
            ArmError::new(403, "LinkedAuthorizationFailed", text)
        })
    }

    fn window(&self, now: time::OffsetDateTime) -> Result<Window, ArmError> {
        let info = self.asked.schedule_info.clone().unwrap_or_default();
        Ok(Window::of(&info, now)?)
    }

    async fn settings(&self, tx: &mut (dyn Write + '_)) -> Result<Settings, ArmError> {
        policies::settings(tx.as_read(), self.role, &self.scope).await
    }

    fn admit(&self, window: Window, demands: &Demands, now: time::OffsetDateTime) -> Result<(), ArmError> {
        // What is only tried is proved when it is sent.
        let tried = self.call.query("whatif").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let proved = SignIn { multi_factor: Some(now), phishing_resistant: Some(now), ids: Vec::new() };
        let sign_in = if tried { &proved } else { &self.call.sign_in };
        Ok(admit(&Brought { request: &self.asked, window, sign_in }, demands, now)?)
    }

    /// The schedule that a request is about: named by it, or the one of this principal with this role here.
    async fn target(&self, tx: &mut (dyn Write + '_)) -> Result<Option<Schedule>, ArmError> {
        let named = match self.kind {
            Kind::Eligibility => self.asked.target_role_eligibility_schedule_id.as_deref(),
            Kind::Assignment => self.asked.target_role_assignment_schedule_id.as_deref(),
        };
        let named = named.and_then(sekisho_rbac::pim::schedule::last_guid);
        let all = access::schedules(tx.as_read(), schedules::path(self.kind)).await?;
        Ok(all.into_iter().find(|s| {
            let same =
                s.principal == self.principal && s.role == self.role && s.scope.key() == self.scope.key();
            // What somebody activated is ended by its name only: it may be one of several.
            let activated = s.sign_in.is_some() || s.linked.is_some();
            same && named.map_or(!activated, |n| n == s.name)
        }))
    }

    async fn assign(&mut self, tx: &mut (dyn Write + '_)) -> Result<(), ArmError> {
        self.may(guard::ASSIGNMENT_WRITE)?;
        let window = self.window(tx.now())?;
        let settings = self.settings(tx).await?;
        let demands = match self.kind {
            Kind::Eligibility => &settings.eligibility,
            Kind::Assignment => &settings.assignment,
        };
        self.admit(window, demands, tx.now())?;
        if self.target(tx).await?.is_some() {
            return Err(ArmError::new(409, "RoleAssignmentExists", "The role assignment already exists."));
        }
        self.make(tx, window, None, None).await
    }

    /// Makes the schedule that was asked for, and says so in the request.
    async fn make(
        &mut self,
        tx: &mut (dyn Write + '_),
        window: Window,
        linked: Option<&Schedule>,
        sign_in: Option<Uuid>,
    ) -> Result<(), ArmError> {
        let made = Made {
            kind: self.kind,
            scope: &self.scope,
            request: (&self.id, &self.asked),
            window,
            linked,
            sign_in,
        };
        let id = schedules::make(tx, &made).await?;
        let begun = window.holds(tx.now());
        self.asked.status = Some(if begun { Status::Provisioned } else { Status::ScheduleCreated });
        self.targets(&id);
        let operation = format!("{}/write", schedules::path(self.kind));
        note(tx, self.call, (&operation, &self.scope), told(&self.asked, window)?).await
    }

    fn targets(&mut self, id: &Scope) {
        match self.kind {
            Kind::Eligibility => self.asked.target_role_eligibility_schedule_id = Some(id.to_string()),
            Kind::Assignment => self.asked.target_role_assignment_schedule_id = Some(id.to_string()),
        }
    }

    async fn update(&mut self, tx: &mut (dyn Write + '_)) -> Result<(), ArmError> {
        self.may(guard::ASSIGNMENT_WRITE)?;
        let target = self.target(tx).await?.ok_or_else(|| not_there("schedule"))?;
        let window = self.window(tx.now())?;
        let settings = self.settings(tx).await?;
        let demands = match self.kind {
            Kind::Eligibility => &settings.eligibility,
            Kind::Assignment => &settings.assignment,
        };
        self.admit(window, demands, tx.now())?;
        schedules::end(tx, &schedules::id(self.kind, &target)).await?;
        self.end_activations(tx, &target).await?;
        self.make(tx, window, None, None).await
    }

    /// Ends what was activated by an eligibility: it stands on it.
    async fn end_activations(&self, tx: &mut (dyn Write + '_), of: &Schedule) -> Result<(), ArmError> {
        if self.kind == Kind::Assignment {
            return Ok(());
        }
        for activation in access::schedules(tx.as_read(), access::ASSIGNMENTS).await? {
            if activation.linked == Some(of.name) {
                schedules::end(tx, &schedules::id(Kind::Assignment, &activation)).await?;
            }
        }
        Ok(())
    }

    async fn remove(&mut self, tx: &mut (dyn Write + '_)) -> Result<(), ArmError> {
        self.may(guard::ASSIGNMENT_DELETE)?;
        let target = self.target(tx).await?.ok_or_else(|| not_there("schedule"))?;
        self.ended(tx, &target).await?;
        self.end_activations(tx, &target).await
    }

    async fn ended(&mut self, tx: &mut (dyn Write + '_), target: &Schedule) -> Result<(), ArmError> {
        let id = schedules::id(self.kind, target);
        schedules::end(tx, &id).await?;
        self.asked.status = Some(Status::Revoked);
        self.targets(&id);
        let operation = format!("{}/delete", schedules::path(self.kind));
        note(tx, self.call, (&operation, &self.scope), told(&self.asked, target.window)?).await
    }

    async fn activate(&mut self, tx: &mut (dyn Write + '_)) -> Result<(), ArmError> {
        let eligibility =
            schedules::eligibility(tx.as_read(), &self.asker, self.role, &self.scope, &self.asked)
                .await?
                .ok_or_else(|| not_there("eligibility"))?;
        let settings = self.settings(tx).await?;
        let mut window = self.window(tx.now())?;
        if self.asked.schedule_info.is_none() {
            window.until = Some(window.from + settings.activation.longest);
        }
        self.admit(window, &settings.activation, tx.now())?;
        let earlier =
            schedules::activation(tx.as_read(), &self.asker, self.role, &self.scope, &self.asked).await?;
        let earlier = earlier.filter(|a| {
            a.scope.key() == self.scope.key() && a.sign_in.is_none_or(|s| self.call.sign_in.ids.contains(&s))
        });
        match (self.asked.request_type, &earlier) {
            (RequestType::SelfExtend, None) => return Err(not_there("activation")),
            (RequestType::SelfExtend, Some(_)) | (_, None) => {}
            (_, Some(_)) => {
                let text = "The role is active already. To hold it longer, ask with SelfExtend.";
                return Err(ArmError::new(409, "RoleAssignmentExists", text));
            }
        }
        let used = schedules::id(Kind::Eligibility, &eligibility).to_string();
        self.asked.linked_role_eligibility_schedule_id.get_or_insert(used);
        if settings.bound {
            let sign_in = self.call.sign_in.ids.first().copied().ok_or_else(|| {
                let text = "A role is activated by a person who has signed in, not by a program.";
                ArmError::bad("InvalidRoleAssignmentRequest", text)
            })?;
            self.asked.sign_in_id = Some(sign_in);
        }
        if let Some(approval) = &settings.approval {
            self.asked.status = Some(Status::PendingApproval);
            let id = approvals::begin(tx, &self.id, &self.asked, approval).await?;
            self.asked.approval_id = Some(id.to_string());
            let operation = "roleAssignmentApprovals/write";
            return note(tx, self.call, (operation, &self.scope), told(&self.asked, window)?).await;
        }
        if let Some(earlier) = earlier {
            schedules::end(tx, &schedules::id(Kind::Assignment, &earlier)).await?;
        }
        let sign_in = self.asked.sign_in_id;
        self.make(tx, window, Some(&eligibility), sign_in).await
    }

    /// To be eligible for longer, or again, is for whoever may assign the role to say: never for policies alone, so that
    /// what was to end does not go on by itself.
    async fn ask_for_longer(&mut self, tx: &mut (dyn Write + '_)) -> Result<(), ArmError> {
        let target = self.target(tx).await?;
        match (self.asked.request_type, target) {
            (RequestType::SelfRenew, Some(_)) => {
                let text = "The eligibility has not ended. To have it for longer, ask with SelfExtend.";
                return Err(ArmError::new(409, "RoleAssignmentExists", text));
            }
            (RequestType::SelfRenew, None)
                if !had(tx.as_read(), self.principal, self.role, &self.scope).await? =>
            {
                return Err(not_there("eligibility"));
            }
            (RequestType::SelfExtend, None) => return Err(not_there("eligibility")),
            (_, target) => {
                let id = target.map(|t| schedules::id(self.kind, &t).to_string());
                self.asked.target_role_eligibility_schedule_id = id;
            }
        }
        let (window, settings) = (self.window(tx.now())?, self.settings(tx).await?);
        self.admit(window, &settings.eligibility, tx.now())?;
        if self.asked.justification.as_deref().is_none_or(|j| j.trim().is_empty()) {
            let text = "Whoever decides on this needs a justification.";
            return Err(ArmError::bad("RoleAssignmentRequestPolicyValidationFailed", text)
                .target("properties.justification"));
        }
        let approval = Approval { approvers: Vec::new(), needed: 1, justified: false, within: TO_EXTEND };
        self.asked.status = Some(Status::PendingApproval);
        let id = approvals::begin(tx, &self.id, &self.asked, &approval).await?;
        self.asked.approval_id = Some(id.to_string());
        let operation = "roleAssignmentApprovals/write";
        note(tx, self.call, (operation, &self.scope), told(&self.asked, window)?).await
    }

    async fn deactivate(&mut self, tx: &mut (dyn Write + '_)) -> Result<(), ArmError> {
        let found =
            schedules::activation(tx.as_read(), &self.asker, self.role, &self.scope, &self.asked).await?;
        let active = found.ok_or_else(|| not_there("activation"))?;
        self.ended(tx, &active).await
    }
}

/// Whether somebody was made eligible for a role at a scope before.
async fn had(
    read: &mut (dyn Read + '_),
    who: PrincipalId,
    role: RoleId,
    scope: &Scope,
) -> Result<bool, ArmError> {
    let earlier = read.list(&Listing::of(scope, &ELIGIBILITY.name())).await?;
    Ok(earlier.iter().filter(|kept| access::scope_of(kept).key() == scope.key()).any(|kept| {
        body_of(kept).is_ok_and(|request| {
            request.principal_id.eq_ignore_ascii_case(&who.to_string())
                && RoleId::parse(&request.role_definition_id) == Some(role)
                && matches!(
                    request.status,
                    Some(Status::Provisioned | Status::ScheduleCreated | Status::Revoked)
                )
        })
    }))
}

/// What the log keeps of a request.
pub(super) fn told(asked: &RequestProperties, window: Window) -> Result<Value, ArmError> {
    Ok(json!({
        "requestType": shown(&asked.request_type)?,
        "roleDefinitionId": asked.role_definition_id,
        "principalId": asked.principal_id,
        "justification": asked.justification,
        "ticketInfo": shown(&asked.ticket_info)?,
        "startDateTime": instant(window.from),
        "endDateTime": window.until.map(instant),
    }))
}

/// Does what an approved request asked for. Its time begins now if it would have begun already.
pub(super) async fn provision(
    tx: &mut (dyn Write + '_),
    kind: Kind,
    universe: &LateUniverse,
    kept: &Resource,
    request: &mut RequestProperties,
) -> Result<(), ArmError> {
    let (scope, now) = (access::scope_of(kept), tx.now());
    let role = RoleId::parse(&request.role_definition_id).ok_or_else(ArmError::internal)?;
    let principal = Uuid::try_parse(&request.principal_id).map_err(|_| ArmError::internal())?;
    let all = rights(tx.as_read(), universe).await?;
    let person = PrincipalId(principal);
    let names = std::iter::once(person).chain(all.groups_of(person)).collect();
    let acting = sekisho_rbac::Asker { principals: vec![person], ..Default::default() };
    let requester = Asker { person, acting, names };
    if kind == Kind::Eligibility {
        return prolong(tx, kept, request).await;
    }
    let info = request.schedule_info.clone().unwrap_or_default();
    let settings = policies::settings(tx.as_read(), role, &scope).await?;
    let eligibility = schedules::eligibility(tx.as_read(), &requester, role, &scope, request).await?;
    let window = Window::of(&info, now)
        .ok()
        .map(|w| Window { until: w.until.or(Some(w.from + settings.activation.longest)), ..w });
    let (Some(eligibility), Some(window)) = (eligibility, window) else {
        request.status = Some(Status::Failed);
        return Ok(());
    };
    let earlier = schedules::activation(tx.as_read(), &requester, role, &scope, request).await?;
    if let Some(earlier) = earlier.filter(|a| a.scope.key() == scope.key() && a.sign_in == request.sign_in_id)
    {
        schedules::end(tx, &schedules::id(Kind::Assignment, &earlier)).await?;
    }
    let made = Made {
        kind: Kind::Assignment,
        scope: &scope,
        request: (&kept.id, request),
        window,
        linked: Some(&eligibility),
        sign_in: request.sign_in_id,
    };
    let id = schedules::make(tx, &made).await?;
    let begun = window.holds(now);
    request.status = Some(if begun { Status::Provisioned } else { Status::ScheduleCreated });
    request.target_role_assignment_schedule_id = Some(id.to_string());
    Ok(())
}

/// Makes the eligibility that was asked for, in place of the one that it prolongs. What was activated by that one ends
/// with it.
async fn prolong(
    tx: &mut (dyn Write + '_),
    kept: &Resource,
    request: &mut RequestProperties,
) -> Result<(), ArmError> {
    let (scope, now) = (access::scope_of(kept), tx.now());
    let info = request.schedule_info.clone().unwrap_or_default();
    let Ok(window) = Window::of(&info, now) else {
        request.status = Some(Status::Failed);
        return Ok(());
    };
    let before = request.target_role_eligibility_schedule_id.as_deref().and_then(|id| Scope::parse(id).ok());
    if let Some(before) = before {
        for activation in access::schedules(tx.as_read(), access::ASSIGNMENTS).await? {
            if activation.linked.is_some_and(|of| before.name().eq_ignore_ascii_case(&of.to_string())) {
                schedules::end(tx, &schedules::id(Kind::Assignment, &activation)).await?;
            }
        }
        schedules::end(tx, &before).await?;
    }
    let made = Made {
        kind: Kind::Eligibility,
        scope: &scope,
        request: (&kept.id, request),
        window,
        linked: None,
        sign_in: None,
    };
    let id = schedules::make(tx, &made).await?;
    let begun = window.holds(now);
    request.status = Some(if begun { Status::Provisioned } else { Status::ScheduleCreated });
    request.target_role_eligibility_schedule_id = Some(id.to_string());
    Ok(())
}
