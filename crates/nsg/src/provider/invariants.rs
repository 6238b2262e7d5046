//! `Sekisho.Network/invariants`: kept at a subscription or a resource group, about the machines inside of it. Whether a
//! write breaks one is for [`super::judge`]; here is what stands broken.

use async_trait::async_trait;
use schemars::{JsonSchema, SchemaGenerator};
use sekisho_arm::registry::{Action, ActionStyle, any_schema};
use sekisho_arm::resource::shown;
use sekisho_arm::{
    ArmError, Call, Read, Resource, ResourceType, Scope, ScopeKind, Storage, TypeName, TypeSpec, Write,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::judge::{Violation, violation};
use super::standing::{Kept, Standing};
use super::{JOIN_ASG_RULE, lookup, spec, tags};
use crate::resources::Invariant;

pub(super) struct Invariants;

static SPEC: TypeSpec = TypeSpec {
    namespace: "Sekisho.Network",
    versions: &["2026-11-01"],
    scopes: &[ScopeKind::Subscription, ScopeKind::ResourceGroup],
    location: false,
    actions: &[Action {
        verb: "check",
        style: ActionStyle::Sync,
        reads: true,
        title: "Says whether an invariant holds now, and what breaks it",
        takes: any_schema,
        answers: |g: &mut SchemaGenerator| g.subschema_for::<Checked>(),
    }],
    schema: |g: &mut SchemaGenerator| g.subschema_for::<Invariant>(),
    ..spec("invariants", Storage::Row)
};

/// The type's name.
pub(super) fn type_name() -> TypeName {
    SPEC.name()
}

/// Whether an invariant holds.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "InvariantCheck")]
struct Checked {
    state: State,
    /// The interfaces that it is about.
    interfaces: usize,
    /// Those of which it is not known what they enforce, because their groups cannot be read.
    unknown_interfaces: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    violation: Option<Violation>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "InvariantState")]
enum State {
    Holds,
    Broken,
    /// The rules are too many to say, a tag is gone, or groups cannot be read.
    Unknown,
}

#[async_trait]
impl ResourceType for Invariants {
    fn spec(&self) -> &TypeSpec {
        &SPEC
    }

    async fn prepare(
        &self,
        tx: &mut dyn Write,
        _: &Call,
        draft: &mut Resource,
        _: Option<&Resource>,
    ) -> Result<(), ArmError> {
        let kept = Kept::of(draft)?;
        for (field, tag) in kept.spec.tags() {
            if !tags::exists(tx.as_read(), &draft.id, tag).await? {
                let text =
                    format!("The invariant {} names the unknown service tag '{tag}'.", draft.id.name());
                return Err(ArmError::bad("UnknownServiceTag", text).target(field));
            }
        }
        for group in kept.spec.groups() {
            if tx.get(group).await?.is_none() {
                return Err(lookup::invalid_reference(group, &draft.id, "properties"));
            }
        }
        let enforcement = serde_json::to_value(kept.enforcement).map_err(|_| ArmError::internal())?;
        let properties = draft.properties_mut();
        properties.insert("enforcement".into(), enforcement);
        properties.insert("must".into(), json!(kept.spec.must.as_str()));
        properties.insert("protocol".into(), json!(kept.spec.protocol.as_str()));
        Ok(())
    }

    fn links(&self, body: &Value) -> Vec<(Scope, &'static str)> {
        let sides = ["sourceApplicationSecurityGroups", "destinationApplicationSecurityGroups"];
        sides.into_iter().flat_map(|f| lookup::links(&body["properties"], f, JOIN_ASG_RULE)).collect()
    }

    async fn act(
        &self,
        tx: &mut dyn Write,
        _: &Call,
        target: &Resource,
        _: &str,
        _: Value,
    ) -> Result<Value, ArmError> {
        let around = target.id.subscription_scope().ok_or_else(ArmError::internal)?;
        let standing = Standing::of(tx.as_read(), &around, vec![Kept::of(target)?], None).await?;
        shown(&standing.invariants.first().map(|kept| check(kept, &standing)))
    }
}

fn check(kept: &Kept, standing: &Standing) -> Checked {
    let (interfaces, unknown_interfaces) = standing.concerned(kept);
    let statements = standing.statements(kept);
    let violation = statements.as_ref().and_then(|all| violation(kept, standing, &[], all));
    let state = match &violation {
        Some(violation) if violation.counter_example.is_some() => State::Broken,
        None if statements.is_some() && unknown_interfaces == 0 => State::Holds,
        _ => State::Unknown,
    };
    Checked { state, interfaces, unknown_interfaces, violation }
}

/// The invariants of a subscription that speak of something, for whoever wants to remove it.
pub(super) async fn naming(
    read: &mut dyn Read,
    around: &Scope,
    speaks: impl Fn(&Kept) -> bool,
) -> Result<Vec<Scope>, ArmError> {
    let around = around.subscription_scope().unwrap_or(Scope::Tenant);
    let all = super::standing::invariants_of(read, &around).await?;
    Ok(all.into_iter().filter(|kept| speaks(kept)).map(|kept| kept.id).collect())
}
