//! `roleEligibilitySchedules` and `roleAssignmentSchedules`, which requests make, and their instances: what holds now.

use async_trait::async_trait;
use sekisho_arm::registry::{PutStyle, Storage, any_schema, properties_schema};
use sekisho_arm::resource::{instant, shown};
use sekisho_arm::{ArmError, Call, Listing, Read, Resource, ResourceType, Scope, TypeName, TypeSpec, Write};
use sekisho_rbac::pim::schedule::last_guid;
use sekisho_rbac::pim::{RequestProperties, Schedule, ScheduleProperties, Settings, Status, Window};
use sekisho_rbac::{PrincipalId, RoleId};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::words::Words;
use super::{Asker, Kind, policies, rights, spec};
use crate::access;
use crate::resources::authorization::{self, LateUniverse};
use crate::resources::{core, management};
use crate::routes::List;

/// The type's path.
pub(super) fn path(kind: Kind) -> &'static str {
    match kind {
        Kind::Eligibility => access::ELIGIBILITIES,
        Kind::Assignment => access::ASSIGNMENTS,
    }
}

/// The id of the schedule of a name, which is that of the request that made it.
pub(super) fn named(kind: Kind, scope: &Scope, name: Uuid) -> Result<Scope, ArmError> {
    scope
        .resource_in("Microsoft.Authorization", path(kind), &name.to_string())
        .map_err(|_| ArmError::internal())
}

/// A schedule's id.
pub(super) fn id(kind: Kind, schedule: &Schedule) -> Scope {
    named(kind, &schedule.scope, schedule.name).unwrap_or(Scope::Tenant)
}

/// A schedule that is to be made.
pub(super) struct Made<'m> {
    pub(super) kind: Kind,
    pub(super) scope: &'m Scope,
    pub(super) request: (&'m Scope, &'m RequestProperties),
    pub(super) window: Window,
    /// The eligibility that it stands on, beyond which it does not last.
    pub(super) linked: Option<&'m Schedule>,
    pub(super) sign_in: Option<Uuid>,
}

/// Makes it.
pub(super) async fn make(tx: &mut (dyn Write + '_), made: &Made<'_>) -> Result<Scope, ArmError> {
    let (request_id, request) = made.request;
    let now = tx.now();
    let last = made.linked.and_then(|l| l.window.until);
    let until = match (made.window.until, last) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    let by = |kind| (made.kind == kind).then(|| request_id.to_string());
    let kind = made.linked.map_or("Assigned", |_| "Activated").to_owned();
    let properties = ScheduleProperties {
        scope: made.scope.to_string(),
        role_definition_id: request.role_definition_id.clone(),
        principal_id: request.principal_id.clone(),
        principal_type: request.principal_type.unwrap_or_default(),
        status: Status::Provisioned,
        start_date_time: made.window.from,
        end_date_time: until,
        member_type: "Direct".to_owned(),
        created_on: instant(now),
        updated_on: instant(now),
        // What one is eligible for under a condition is not had without it.
        condition: request.condition.clone().or_else(|| made.linked.and_then(|l| l.condition.clone())),
        condition_version: request.condition_version.clone(),
        role_eligibility_schedule_request_id: by(Kind::Eligibility),
        role_assignment_schedule_request_id: by(Kind::Assignment),
        linked_role_eligibility_schedule_id: made.linked.map(|l| id(Kind::Eligibility, l).to_string()),
        assignment_type: (made.kind == Kind::Assignment).then_some(kind),
        sign_in_id: made.sign_in,
    };
    // It is found by the name of what made it.
    let name = Uuid::try_parse(request_id.name()).map_err(|_| ArmError::internal())?;
    let id = named(made.kind, made.scope, name)?;
    tx.put(Resource {
        id: id.clone(),
        type_name: TypeName::new("Microsoft.Authorization", path(made.kind)),
        location: None,
        tags: None,
        etag: format!("W/\"{}\"", Uuid::new_v4()),
        sequence: 0,
        created_at: now,
        changed_at: now,
        rest: Map::from_iter([("properties".to_owned(), shown(&properties)?)]),
    })
    .await?;
    Ok(id)
}

/// Ends one.
pub(super) async fn end(tx: &mut (dyn Write + '_), id: &Scope) -> Result<(), ArmError> {
    tx.remove(id).await?;
    Ok(())
}

/// The eligibility of whoever asks for a role at a scope: there or above it, their own or a group's, and the one that
/// the request names if it names one.
pub(super) async fn eligibility(
    read: &mut (dyn Read + '_),
    asker: &Asker,
    role: RoleId,
    scope: &Scope,
    asked: &RequestProperties,
) -> Result<Option<Schedule>, ArmError> {
    let wanted = asked.linked_role_eligibility_schedule_id.as_deref().map(last_guid);
    let (tree, now) = (management::tree(read).await?, read.now());
    let all = access::schedules(read, access::ELIGIBILITIES).await?;
    let mut fitting: Vec<Schedule> = all
        .into_iter()
        .filter(|s| s.role == role && asker.is(s.principal) && s.window.holds(now))
        .filter(|s| tree.contains(&s.scope, scope))
        .filter(|s| wanted.is_none_or(|w| w == Some(s.name)))
        .collect();
    // The one that lasts longest.
    fitting.sort_by_key(|s| (s.window.until.is_some(), s.window.until));
    Ok(match fitting.first() {
        Some(forever) if forever.window.until.is_none() => Some(forever.clone()),
        _ => fitting.pop(),
    })
}

/// The activation of whoever asks, of a role at a scope or above it; the one that the request names if it names one.
pub(super) async fn activation(
    read: &mut (dyn Read + '_),
    asker: &Asker,
    role: RoleId,
    scope: &Scope,
    asked: &RequestProperties,
) -> Result<Option<Schedule>, ArmError> {
    let wanted = asked.target_role_assignment_schedule_id.as_deref().map(last_guid);
    let all = access::schedules(read, access::ASSIGNMENTS).await?;
    let mine = |s: &Schedule| s.role == role && s.principal == asker.person && s.linked.is_some();
    let mut found: Vec<Schedule> = all
        .into_iter()
        .filter(|s| mine(s) && s.scope.key() == scope.key())
        .filter(|s| wanted.is_none_or(|w| w == Some(s.name)))
        .collect();
    // The one of this sign-in before those of others.
    found.sort_by_key(|s| !s.sign_in.is_some_and(|id| asker.acting.principals.contains(&PrincipalId(id))));
    Ok(found.into_iter().next())
}

/// Adds what people call things to rows.
pub(super) async fn expanded(
    read: &mut dyn Read,
    universe: &LateUniverse,
    mut rows: Vec<Value>,
) -> Result<Vec<Value>, ArmError> {
    if rows.is_empty() {
        return Ok(rows);
    }
    let words = Words::read(read).await?;
    let all = rights(read, universe).await?;
    for row in &mut rows {
        words.expand(read, &all, &mut row["properties"]).await?;
    }
    Ok(rows)
}

/// Whether a list is asked for that is the caller's own.
fn is_own(call: &Call) -> Result<bool, ArmError> {
    Ok(call.filter()?.is_some_and(|f| f.function("asTarget").is_some()))
}

/// The schedules around a scope that a filter asks for.
async fn wanted(
    read: &mut dyn Read,
    universe: &LateUniverse,
    call: &Call,
    spec: &TypeSpec,
    scope: &Scope,
) -> Result<Vec<Resource>, ArmError> {
    let filter = call.filter()?;
    let mut found = authorization::around(read, spec, scope, filter.as_ref()).await?;
    let of = async |read: &mut dyn Read, who: PrincipalId| -> Result<Vec<PrincipalId>, ArmError> {
        let groups = rights(read, universe).await?.groups_of(who);
        Ok(std::iter::once(who).chain(groups).collect())
    };
    let mut theirs = None;
    if is_own(call)? {
        theirs = Some(of(read, authorization::asker(call)).await?);
    }
    if let Some(who) = filter.as_ref().and_then(|f| f.function("assignedTo")).and_then(|a| a.first()) {
        let who = Uuid::try_parse(who).map_err(|_| {
            ArmError::bad("InvalidFilterInQueryString", "assignedTo() takes an object id.").target("$filter")
        })?;
        let names = of(read, PrincipalId(who)).await?;
        theirs = Some(match theirs {
            Some(mine) => mine.into_iter().filter(|p| names.contains(p)).collect(),
            None => names,
        });
    }
    if let Some(theirs) = theirs {
        let principal = |r: &Resource| access::schedule_of(r).map(|s| s.principal);
        let plain = |r: &Resource| access::assignment_of(r).ok().map(|a| a.principal);
        found.retain(|r| principal(r).or_else(|| plain(r)).is_some_and(|p| theirs.contains(&p)));
    }
    Ok(found)
}

/// One of the two types of schedules.
pub(super) struct Schedules {
    pub(super) kind: Kind,
    pub(super) universe: LateUniverse,
}

static ELIGIBILITY: TypeSpec = TypeSpec {
    schema: properties_schema::<ScheduleProperties>,
    ..spec("roleEligibilitySchedules", PutStyle::Refused, Storage::Row)
};
static ASSIGNMENT: TypeSpec = TypeSpec {
    schema: properties_schema::<ScheduleProperties>,
    ..spec("roleAssignmentSchedules", PutStyle::Refused, Storage::Row)
};

#[async_trait]
impl ResourceType for Schedules {
    fn spec(&self) -> &TypeSpec {
        match self.kind {
            Kind::Eligibility => &ELIGIBILITY,
            Kind::Assignment => &ASSIGNMENT,
        }
    }

    fn lists_own(&self, call: &Call) -> Result<bool, ArmError> {
        is_own(call)
    }

    /// A schedule ends by a request.
    fn is_removable(&self) -> bool {
        false
    }

    async fn collection(
        &self,
        read: &mut dyn Read,
        call: &Call,
        scope: &Scope,
    ) -> Result<Option<Vec<Resource>>, ArmError> {
        Ok(Some(wanted(read, &self.universe, call, self.spec(), scope).await?))
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
        expanded(read, &self.universe, resources.iter().map(|r| self.render(r)).collect()).await
    }
}

/// What holds now, of one of the two types; for assignments also those that are no schedules.
pub(super) struct Instances {
    pub(super) kind: Kind,
    pub(super) universe: LateUniverse,
}

static ELIGIBILITY_NOW: TypeSpec = TypeSpec {
    schema: any_schema,
    ..spec("roleEligibilityScheduleInstances", PutStyle::Refused, Storage::Computed)
};
static ASSIGNMENT_NOW: TypeSpec = TypeSpec {
    schema: any_schema,
    ..spec("roleAssignmentScheduleInstances", PutStyle::Refused, Storage::Computed)
};

/// The id of a schedule's instance: it has the same name.
pub(super) fn instance_of(kind: Kind, schedule: &Scope) -> Option<String> {
    let spec = match kind {
        Kind::Eligibility => &ELIGIBILITY_NOW,
        Kind::Assignment => &ASSIGNMENT_NOW,
    };
    let schedule = schedule.resource()?;
    let id = schedule.base_scope().resource_in(spec.namespace, spec.path, schedule.name());
    id.ok().map(|id| id.to_string())
}

/// What the portal needs to ask for an activation.
fn activation_needs(settings: &Settings) -> Value {
    let demands = &settings.activation;
    json!({
        "maximumDuration": sekisho_arm::duration::write(demands.longest),
        "multiFactor": demands.multi_factor,
        "phishingResistant": demands.phishing_resistant,
        "justification": demands.justification,
        "ticketing": demands.ticket,
        "approval": settings.approval.is_some(),
        "boundToSignIn": settings.bound,
    })
}

impl Instances {
    fn now(&self, resource: &Resource) -> Result<Value, ArmError> {
        let mut properties = Value::Object(resource.properties());
        let of = match self.kind {
            Kind::Eligibility => "roleEligibilityScheduleId",
            Kind::Assignment => "roleAssignmentScheduleId",
        };
        properties[of] = resource.id.to_string().into();
        let linked =
            properties["linkedRoleEligibilityScheduleId"].as_str().and_then(|id| Scope::parse(id).ok());
        if let Some(instance) = linked.and_then(|id| instance_of(Kind::Eligibility, &id)) {
            properties["linkedRoleEligibilityScheduleInstanceId"] = instance.into();
        }
        self.row(&access::scope_of(resource), resource.id.name(), properties)
    }

    /// A role assignment for ever, as an instance.
    fn standing(&self, resource: &Resource) -> Result<Value, ArmError> {
        let kept = resource.properties();
        let field = |name: &str| kept.get(name).cloned().unwrap_or_default();
        let properties = json!({
            "scope": access::scope_of(resource).to_string(),
            "roleDefinitionId": field("roleDefinitionId"),
            "principalId": field("principalId"),
            "principalType": field("principalType"),
            "status": "Provisioned",
            "assignmentType": "Assigned",
            "memberType": "Direct",
            "originRoleAssignmentId": resource.id.to_string(),
            "startDateTime": field("createdOn"),
            "endDateTime": null,
            "createdOn": field("createdOn"),
            "condition": field("condition"),
            "conditionVersion": field("conditionVersion"),
        });
        self.row(&access::scope_of(resource), resource.id.name(), properties)
    }

    fn row(&self, scope: &Scope, name: &str, properties: Value) -> Result<Value, ArmError> {
        let kind = self.spec().name();
        let id = scope
            .resource_in("Microsoft.Authorization", &kind.path, name)
            .map_err(|_| ArmError::internal())?;
        Ok(json!({"id": id.to_string(), "name": name, "type": kind.to_string(), "properties": properties}))
    }
}

#[async_trait]
impl ResourceType for Instances {
    fn spec(&self) -> &TypeSpec {
        match self.kind {
            Kind::Eligibility => &ELIGIBILITY_NOW,
            Kind::Assignment => &ASSIGNMENT_NOW,
        }
    }

    fn lists_own(&self, call: &Call) -> Result<bool, ArmError> {
        is_own(call)
    }

    async fn computed(
        &self,
        read: &mut dyn Read,
        call: &Call,
        scope: &Scope,
        name: Option<&str>,
    ) -> Result<Value, ArmError> {
        if *scope != Scope::Tenant && read.get(scope).await?.is_none() {
            return Err(ArmError::not_found(scope));
        }
        let now = read.now();
        let schedules = match self.kind {
            Kind::Eligibility => &ELIGIBILITY,
            Kind::Assignment => &ASSIGNMENT,
        };
        let found = wanted(read, &self.universe, call, schedules, scope).await?;
        let live = |r: &&Resource| access::schedule_of(r).is_some_and(|s| s.window.holds(now));
        let mut rows: Vec<Value> =
            found.iter().filter(live).map(|r| self.now(r)).collect::<Result<_, _>>()?;
        match self.kind {
            Kind::Assignment => {
                let spec = authorization::assignments();
                for standing in wanted(read, &self.universe, call, spec, scope).await? {
                    rows.push(self.standing(&standing)?);
                }
            }
            Kind::Eligibility => {
                let said = policies::Said::read(read).await?;
                for row in &mut rows {
                    let properties = &mut row["properties"];
                    let at = properties["scope"].as_str().and_then(|s| Scope::parse(s).ok());
                    let role = properties["roleDefinitionId"].as_str().and_then(RoleId::parse);
                    if let (Some(at), Some(role)) = (at, role) {
                        properties["activation"] = activation_needs(&said.settings(role, &at)?);
                    }
                }
            }
        }
        let filter = call.filter()?;
        rows.retain(|row| filter.as_ref().is_none_or(|f| core::holds(f, row, &|_| None)));
        let rows = expanded(read, &self.universe, rows).await?;
        match name {
            None => shown(&List::of(rows)),
            Some(name) => {
                let here = rows
                    .into_iter()
                    .find(|r| r["name"].as_str().is_some_and(|n| n.eq_ignore_ascii_case(name)));
                here.ok_or_else(|| ArmError::not_found(scope))
            }
        }
    }
}

/// All schedules of a type, as they are kept.
pub(super) async fn kept(read: &mut (dyn Read + '_), kind: Kind) -> Result<Vec<Resource>, ArmError> {
    let name = TypeName::new("Microsoft.Authorization", path(kind));
    Ok(read.list(&Listing::of(&Scope::Tenant, &name)).await?)
}
