//! `Microsoft.Insights/eventtypes/management/values`: the audit log in the shape of Azure's activity log.

use async_trait::async_trait;
use schemars::SchemaGenerator;
use sekisho_arm::filter::Comparison;
use sekisho_arm::registry::{PutStyle, Storage};
use sekisho_arm::resource::shown;
use sekisho_arm::{ArmError, Call, Read, ResourceType, Scope, ScopeKind, TypeSpec};
use sekisho_audit::activity::{ActivityEvent, Named, event};
use sekisho_store::Store;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::http as web;
use crate::routes::List;

const VERSIONS: &[&str] = &["2015-04-01", "2014-04-01"];
/// Events of one answer.
const PAGE: usize = 200;

/// The events.
pub struct Events {
    /// Where they are kept.
    pub store: Store,
}

static SPEC: TypeSpec = TypeSpec {
    namespace: "Microsoft.Insights",
    path: "eventtypes/values",
    versions: VERSIONS,
    scopes: &[ScopeKind::Subscription, ScopeKind::Tenant],
    storage: Storage::Computed,
    put: PutStyle::Refused,
    location: false,
    shows_etag: false,
    shows_state: false,
    actions: &[],
    schema: |g: &mut SchemaGenerator| g.subschema_for::<ActivityEvent>(),
};

/// Azure's clients leave the zone out; then it is UTC.
pub(super) fn instant(text: &str) -> Result<OffsetDateTime, ArmError> {
    let zoneless =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second][optional [.[subsecond]]]");
    OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| PrimitiveDateTime::parse(text, zoneless).map(PrimitiveDateTime::assume_utc))
        .map_err(|_| {
            ArmError::bad("InvalidFilterInQueryString", format!("'{text}' is not an instant."))
                .target("$filter")
        })
}

#[async_trait]
impl ResourceType for Events {
    fn spec(&self) -> &TypeSpec {
        &SPEC
    }

    fn selects(&self) -> bool {
        true
    }

    async fn computed(
        &self,
        _: &mut dyn Read,
        call: &Call,
        scope: &Scope,
        name: Option<&str>,
    ) -> Result<Value, ArmError> {
        // Events are found by filters and have no address of their own.
        if let Some(name) = name {
            return Err(unknown("event", name));
        }
        // The collection hangs under `eventtypes/management`; what counts is the scope outside of it.
        let scope = scope.resource().map_or_else(|| scope.clone(), |r| r.base_scope().clone());
        let filter = call.filter()?;
        let bound = |op| filter.as_ref().and_then(|f| f.bound("eventTimestamp", op)).map(instant).transpose();
        let (from, to) = (bound(Comparison::Ge)?, bound(Comparison::Le)?);
        let wanted = |path: &str| filter.as_ref().and_then(|f| f.required(path));
        let top = call.query("$top").and_then(|t| t.parse::<usize>().ok()).unwrap_or(PAGE).clamp(1, PAGE);
        let mut at = match call.query("$skiptoken") {
            Some(token) => web::decode_token(token)?.parse().unwrap_or(0),
            None => i64::MAX,
        };
        let mut value = Vec::new();
        loop {
            let page = self.store.audit_page(at, 500).await?;
            let Some(last) = page.last().map(|r| r.leaf.sequence) else { break };
            for recorded in page {
                let (leaf, entry) = (&recorded.leaf, &recorded.leaf.entry);
                if from.is_some_and(|f| leaf.at < f) {
                    return answered(&value, None);
                }
                if to.is_some_and(|t| leaf.at > t) {
                    continue;
                }
                let id = Scope::parse(&entry.resource_id).ok();
                // What happened outside every subscription (sign-ins, root assignments) is shown in each of them to
                // whoever may read the log there.
                let inside = id.as_ref().is_none_or(|id| id.subscription().is_none() || scope.contains(id));
                let provider = entry.operation.split('/').next().unwrap_or_default();
                let matches = wanted("resourceGroupName").is_none_or(|g| {
                    id.as_ref().and_then(Scope::resource_group).is_some_and(|n| n.eq_ignore_ascii_case(g))
                }) && wanted("resourceProvider")
                    .is_none_or(|p| provider.eq_ignore_ascii_case(p))
                    && wanted("resourceUri").or(wanted("resourceId")).is_none_or(|u| {
                        let inner = Scope::parse(u).ok();
                        entry.resource_id.eq_ignore_ascii_case(u)
                            || inner.zip(id.as_ref()).is_some_and(|(outer, id)| outer.contains(id))
                    })
                    && wanted("correlationId").is_none_or(|c| entry.correlation_id.eq_ignore_ascii_case(c))
                    && wanted("caller").is_none_or(|c| {
                        entry.caller.name.eq_ignore_ascii_case(c)
                            || entry.caller.object_id.eq_ignore_ascii_case(c)
                    });
                if !inside || !matches {
                    continue;
                }
                if value.len() == top {
                    let next = (leaf.sequence).to_string();
                    let path = format!(
                        "{}/providers/Microsoft.Insights/eventtypes/management/values",
                        scope.to_string().trim_end_matches('/')
                    );
                    return answered(&value, Some(web::next_link(call, path, &next)));
                }
                value.push(event(leaf, &recorded.hash));
            }
            at = last - 1;
            if at < 1 {
                break;
            }
        }
        answered(&value, None)
    }
}

fn unknown(what: &str, name: &str) -> ArmError {
    ArmError::new(404, "ResourceNotFound", format!("The {what} '{name}' was not found."))
}

fn answered(value: &[ActivityEvent], next: Option<String>) -> Result<Value, ArmError> {
    let mut out = json!({ "value": shown(&value)? });
    if let Some(next) = next {
        out["nextLink"] = next.into();
    }
    Ok(out)
}

/// `GET /providers/Microsoft.Insights/eventcategories`.
pub struct Categories;

static CATEGORY_SPEC: TypeSpec = TypeSpec {
    namespace: "Microsoft.Insights",
    path: "eventcategories",
    versions: VERSIONS,
    scopes: &[ScopeKind::Tenant],
    storage: Storage::Computed,
    put: PutStyle::Refused,
    location: false,
    shows_etag: false,
    shows_state: false,
    actions: &[],
    schema: |g: &mut SchemaGenerator| g.subschema_for::<Named>(),
};

#[async_trait]
impl ResourceType for Categories {
    fn spec(&self) -> &TypeSpec {
        &CATEGORY_SPEC
    }

    async fn computed(
        &self,
        _: &mut dyn Read,
        _: &Call,
        _: &Scope,
        name: Option<&str>,
    ) -> Result<Value, ArmError> {
        const ALL: [&str; 2] = ["Administrative", "Security"];
        match name {
            None => shown(&List::of(ALL.map(Named::new).into())),
            Some(name) => match ALL.into_iter().find(|c| c.eq_ignore_ascii_case(name)) {
                Some(category) => shown(&Named::new(category)),
                None => Err(unknown("event category", name)),
            },
        }
    }
}
