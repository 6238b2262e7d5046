//! `roleAssignmentApprovals`: what waits for a yes, and who has said what. An approval has one stage, on which whoever may
//! decide writes; the request is carried out in the transaction of the last yes that was needed.

use async_trait::async_trait;
use schemars::JsonSchema;
use sekisho_arm::registry::{PutStyle, Storage, any_schema, properties_schema};
use sekisho_arm::resource::{instant, shown, typed};
use sekisho_arm::{ArmError, Call, Read, Resource, ResourceType, Scope, TypeName, TypeSpec, Write};
use sekisho_rbac::pim::{Approval, RequestProperties, Status};
use sekisho_rbac::{PrincipalId, Snapshot, guard};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Asker, note, requests, rights, spec};
use crate::access;
use crate::resources::authorization::LateUniverse;

static APPROVAL: TypeSpec =
    TypeSpec { schema: any_schema, ..spec("roleAssignmentApprovals", PutStyle::Refused, Storage::Row) };
static STAGE: TypeSpec = TypeSpec {
    schema: properties_schema::<StageProperties>,
    ..spec(
        "roleAssignmentApprovals/stages",
        PutStyle::UpdateOnly,
        Storage::Embedded { property: "stages", keep_when_absent: true },
    )
};

/// What is kept of an approval beside its stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApprovalProperties {
    request_id: String,
    requestor_id: String,
    scope: String,
    approvers: Vec<PrincipalId>,
    needed: usize,
    justified: bool,
    #[serde(with = "time::serde::rfc3339")]
    expires: OffsetDateTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
enum ReviewResult {
    Approve,
    Deny,
    NotReviewed,
}

/// `properties` of a stage.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ApprovalStageProperties")]
struct StageProperties {
    /// What is decided.
    review_result: ReviewResult,
    /// Why.
    #[serde(default)]
    justification: Option<String>,
    /// `InProgress` or `Completed`; filled in by the server.
    #[serde(default)]
    status: String,
    /// What each approver has said so far; filled in by the server.
    #[serde(default)]
    reviews: Vec<Review>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ApprovalReview")]
struct Review {
    principal_id: String,
    name: String,
    result: ReviewResult,
    #[serde(default)]
    justification: Option<String>,
    at: String,
}

fn id_of(scope: &Scope, name: Uuid) -> Result<Scope, ArmError> {
    scope
        .resource_in("Microsoft.Authorization", "roleAssignmentApprovals", &name.to_string())
        .map_err(|_| ArmError::internal())
}

fn body_of(resource: &Resource) -> Result<ApprovalProperties, ArmError> {
    typed(&Value::Object(resource.properties()), "properties")
}

/// Begins an approval.
pub(super) async fn begin(
    tx: &mut (dyn Write + '_),
    request_id: &Scope,
    request: &RequestProperties,
    approval: &Approval,
) -> Result<Scope, ArmError> {
    let now = tx.now();
    let scope = request_id.resource().map_or(Scope::Tenant, |r| r.base_scope().clone());
    let id = id_of(&scope, Uuid::new_v4())?;
    let kept = ApprovalProperties {
        request_id: request_id.to_string(),
        requestor_id: request.principal_id.clone(),
        scope: scope.to_string(),
        approvers: approval.approvers.clone(),
        needed: approval.needed,
        justified: approval.justified,
        expires: now + approval.within,
    };
    let stage = StageProperties {
        review_result: ReviewResult::NotReviewed,
        justification: None,
        status: "InProgress".to_owned(),
        reviews: Vec::new(),
    };
    let mut properties = shown(&kept)?;
    properties["stages"] =
        json!([{"name": Uuid::new_v4().to_string(), "etag": "", "properties": shown(&stage)?}]);
    tx.put(Resource {
        id: id.clone(),
        type_name: TypeName::new("Microsoft.Authorization", "roleAssignmentApprovals"),
        location: None,
        tags: None,
        etag: format!("W/\"{}\"", Uuid::new_v4()),
        sequence: 0,
        created_at: now,
        changed_at: now,
        rest: Map::from_iter([("properties".to_owned(), properties)]),
    })
    .await?;
    Ok(id)
}

/// Removes the approval that a request waits for.
pub(super) async fn close(tx: &mut (dyn Write + '_), request: &RequestProperties) -> Result<(), ArmError> {
    if let Some(id) = request.approval_id.as_deref().and_then(|id| Scope::parse(id).ok()) {
        tx.remove(&id).await?;
    }
    Ok(())
}

/// Whether somebody may decide: an approver, or where none is named whoever may assign roles there; never whoever asked.
fn decides(approval: &ApprovalProperties, all: &Snapshot, asker: &Asker) -> bool {
    if approval.requestor_id.eq_ignore_ascii_case(&asker.person.to_string()) {
        return false;
    }
    if !approval.approvers.is_empty() {
        return approval.approvers.iter().any(|a| asker.is(*a));
    }
    let Ok(scope) = Scope::parse(&approval.scope) else { return false };
    all.decide(&asker.acting, guard::ASSIGNMENT_WRITE, &scope).is_allowed()
}

/// Whether somebody may decide on a request.
pub(super) async fn may_decide(
    read: &mut (dyn Read + '_),
    all: &Snapshot,
    asker: &Asker,
    request: &RequestProperties,
) -> Result<bool, ArmError> {
    let Some(id) = request.approval_id.as_deref().and_then(|id| Scope::parse(id).ok()) else {
        return Ok(false);
    };
    match read.get(&id).await? {
        Some(kept) => Ok(decides(&body_of(&kept)?, all, asker)),
        None => Ok(false),
    }
}

/// The requests whose time to be decided on is over.
pub(super) fn is_over(approval: &Resource, now: OffsetDateTime) -> bool {
    body_of(approval).is_ok_and(|a| a.expires <= now)
}

/// The request that an approval is about.
pub(super) fn request_of(approval: &Resource) -> Option<Scope> {
    Scope::parse(&body_of(approval).ok()?.request_id).ok()
}

/// What waits.
pub(super) struct Approvals {
    pub(super) universe: LateUniverse,
}

#[async_trait]
impl ResourceType for Approvals {
    fn spec(&self) -> &TypeSpec {
        &APPROVAL
    }

    async fn is_own(&self, read: &mut dyn Read, call: &Call, id: &Scope) -> Result<bool, ArmError> {
        let Some(kept) = read.get(id).await? else { return Ok(false) };
        let approval = body_of(&kept)?;
        let all = rights(read, &self.universe).await?;
        Ok(decides(&approval, &all, &Asker::of(call, &all))
            || approval.requestor_id.eq_ignore_ascii_case(&call.caller.object_id))
    }

    /// It ends when it is decided on, or when its request is cancelled.
    fn is_removable(&self) -> bool {
        false
    }
}

/// Where approvers write.
pub(super) struct Stages {
    pub(super) universe: LateUniverse,
}

#[async_trait]
impl ResourceType for Stages {
    fn spec(&self) -> &TypeSpec {
        &STAGE
    }

    async fn is_own(&self, read: &mut dyn Read, call: &Call, id: &Scope) -> Result<bool, ArmError> {
        let Some(parent) = id.parent() else { return Ok(false) };
        Approvals { universe: self.universe.clone() }.is_own(read, call, &parent).await
    }

    async fn is_open(
        &self,
        read: &mut dyn Read,
        call: &Call,
        id: &Scope,
        _: &Value,
    ) -> Result<bool, ArmError> {
        let kept = match id.parent() {
            Some(parent) => read.get(&parent).await?,
            None => None,
        };
        let Some(kept) = kept else { return Ok(false) };
        let all = rights(read, &self.universe).await?;
        Ok(decides(&body_of(&kept)?, &all, &Asker::of(call, &all)))
    }

    /// It ends when it is decided on, or when its request is cancelled.
    fn is_removable(&self) -> bool {
        false
    }

    async fn prepare(
        &self,
        tx: &mut dyn Write,
        call: &Call,
        draft: &mut Resource,
        old: Option<&Resource>,
    ) -> Result<(), ArmError> {
        let old = old.ok_or_else(|| ArmError::not_found(&draft.id))?;
        let parent = draft.id.parent().ok_or_else(ArmError::internal)?;
        let kept = tx.get(&parent).await?.ok_or_else(|| ArmError::not_found(&parent))?;
        let approval = body_of(&kept)?;
        let all = rights(tx.as_read(), &self.universe).await?;
        let asker = Asker::of(call, &all);
        // Also whoever may write everything is not an approver, and nobody decides on what they asked for themselves.
        if !decides(&approval, &all, &asker) {
            let text = "Approvers decide on a request, and never whoever made it.";
            return Err(ArmError::new(403, "ApproverRequired", text));
        }
        let mut stage: StageProperties = typed(&Value::Object(draft.properties()), "properties")?;
        let before: StageProperties = typed(&Value::Object(old.properties()), "properties")?;
        if before.status != "InProgress" {
            return Err(ArmError::new(409, "ApprovalCompleted", "This has been decided on already."));
        }
        if approval.expires <= tx.now() {
            return Err(ArmError::new(
                409,
                "ApprovalTimedOut",
                "The time to decide on this request is over.",
            ));
        }
        if stage.review_result == ReviewResult::NotReviewed {
            let text = "The reviewResult is Approve or Deny.";
            return Err(ArmError::invalid_content(text).target("properties.reviewResult"));
        }
        let reason = stage.justification.as_deref().map(str::trim).unwrap_or_default();
        if (approval.justified && reason.is_empty()) || reason.chars().count() > 1000 {
            let text = "A justification of at most 1,000 characters is required.";
            return Err(ArmError::invalid_content(text).target("properties.justification"));
        }
        let review = Review {
            principal_id: asker.person.to_string(),
            name: call.caller.name.clone(),
            result: stage.review_result,
            justification: stage.justification.clone(),
            at: instant(tx.now()),
        };
        stage.reviews = before.reviews;
        stage.reviews.retain(|r| r.principal_id != review.principal_id);
        stage.reviews.push(review);
        let yes = stage.reviews.iter().filter(|r| r.result == ReviewResult::Approve).count();
        let denied = stage.review_result == ReviewResult::Deny;
        let done = denied || yes >= approval.needed;
        stage.status = if done { "Completed" } else { "InProgress" }.to_owned();
        draft.rest.insert("properties".into(), shown(&stage)?);
        let told = json!({"request": approval.request_id, "result": shown(&stage.review_result)?,
            "justification": stage.justification, "approvals": yes, "needed": approval.needed});
        let scope = Scope::parse(&approval.scope).unwrap_or(Scope::Tenant);
        note(tx, call, ("roleAssignmentApprovals/stages/write", &scope), told).await?;
        if done {
            self.decided(tx, call, &approval, denied).await?;
        }
        Ok(())
    }
}

impl Stages {
    async fn decided(
        &self,
        tx: &mut (dyn Write + '_),
        call: &Call,
        approval: &ApprovalProperties,
        denied: bool,
    ) -> Result<(), ArmError> {
        let id = Scope::parse(&approval.request_id).map_err(|_| ArmError::internal())?;
        let kept = tx.get(&id).await?.ok_or_else(|| ArmError::not_found(&id))?;
        let mut request: RequestProperties = typed(&Value::Object(kept.properties()), "properties")?;
        if request.status != Some(Status::PendingApproval) {
            return Err(ArmError::new(409, "ApprovalCompleted", "This has been decided on already."));
        }
        if denied {
            request.status = Some(Status::Denied);
        } else {
            let kind = requests::kind_of(&id);
            requests::provision(tx, kind, &self.universe, &kept, &mut request).await?;
            let operation = format!("{}/write", super::schedules::path(kind));
            let scope = access::scope_of(&kept);
            let told = json!({"request": approval.request_id, "principalId": request.principal_id,
                "roleDefinitionId": request.role_definition_id, "status": shown(&request.status)?});
            note(tx, call, (&operation, &scope), told).await?;
        }
        requests::keep(tx, &kept, &request).await
    }
}
