//! `Sekisho.Network/serviceTags`: tags that users define. A tag is known in its whole subscription. Which tags there are
//! beside: those with a meaning of their own, and those of Azure's list ([`super::tag_sets`]).

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use ipnet::IpNet;
use schemars::SchemaGenerator;
use sekisho_arm::{
    ArmError, Call, Listing, Read, Resource, ResourceType, Scope, Storage, TypeName, TypeSpec, Write,
};
use serde_json::Value;

use super::managers::{Governed, RULES};
use super::standing::Kept;
use super::{invariants, lookup, spec, standing, tag_sets, type_name as network_type};
use crate::resolve::Tags;
use crate::resources::{AdminRule, RESERVED_TAGS, ServiceTag, from_body};

pub(super) struct ServiceTags;

static SPEC: TypeSpec = TypeSpec {
    namespace: "Sekisho.Network",
    versions: &["2026-11-01"],
    schema: |g: &mut SchemaGenerator| g.subschema_for::<ServiceTag>(),
    ..spec("serviceTags", Storage::Row)
};

/// The type's name.
pub(super) fn type_name() -> TypeName {
    SPEC.name()
}

async fn defined(read: &mut dyn Read, scope: &Scope) -> Result<Vec<Resource>, ArmError> {
    let around = scope.subscription_scope().unwrap_or(Scope::Tenant);
    Ok(read.list(&Listing::of(&around, &type_name())).await?)
}

fn is_built_in(tag: &str) -> bool {
    RESERVED_TAGS.iter().any(|b| b.eq_ignore_ascii_case(tag))
}

/// Whether a tag means the same in every subscription: it needs no definition, or is of Azure's list.
pub(super) async fn is_common(read: &mut dyn Read, tag: &str) -> Result<bool, ArmError> {
    Ok(is_built_in(tag) || tag_sets::imported(read, tag).await?.is_some())
}

/// Whether a tag is known in the subscription of `scope`.
pub(super) async fn exists(read: &mut dyn Read, scope: &Scope, tag: &str) -> Result<bool, ArmError> {
    if is_common(read, tag).await? {
        return Ok(true);
    }
    Ok(defined(read, scope).await?.iter().any(|t| t.id.name().eq_ignore_ascii_case(tag)))
}

/// The tags of Azure's list that are among these names, once for any number of subscriptions.
pub(super) async fn imported(read: &mut dyn Read, names: &BTreeSet<String>) -> Result<Tags, ArmError> {
    let mut tags = Tags::default();
    for name in names.iter().filter(|name| !is_built_in(name)) {
        if let Some(tag) = tag_sets::imported(read, name).await? {
            tags.insert(name, tag.prefixes());
        }
    }
    Ok(tags)
}

/// Adds the tags of a subscription. One that was there before Azure's list had its name keeps its meaning.
pub(super) async fn add_defined(read: &mut dyn Read, scope: &Scope, tags: &mut Tags) -> Result<(), ArmError> {
    for (name, prefixes) in of(read, scope).await? {
        tags.insert(&name, prefixes);
    }
    Ok(())
}

/// The tags of a subscription, or of all, that may be read, with their prefixes.
pub(super) async fn readable(
    read: &mut dyn Read,
    scope: &Scope,
    may: &(dyn Fn(&Scope) -> bool + Sync),
) -> Result<Vec<(String, Vec<IpNet>)>, ArmError> {
    let all = defined(read, scope).await?;
    let readable = all.iter().filter(|tag| may(&tag.id));
    readable.map(|tag| Ok((tag.id.name().to_owned(), prefixes(tag)?))).collect()
}

/// The tags of a subscription with their prefixes.
pub(super) async fn of(read: &mut dyn Read, scope: &Scope) -> Result<Vec<(String, Vec<IpNet>)>, ArmError> {
    let all = defined(read, scope).await?;
    all.iter().map(|tag| Ok((tag.id.name().to_owned(), prefixes(tag)?))).collect()
}

/// Where a tag is named.
pub(super) struct Use {
    /// The rule or the invariant.
    pub(super) place: String,
    /// The group that the rule is in.
    pub(super) group: Option<Scope>,
    /// The tag, in lower case.
    pub(super) tag: String,
}

/// Everywhere that names a tag of Azure's list: what a subscription has a tag of its own for is none.
pub(super) async fn uses(read: &mut dyn Read) -> Result<Vec<Use>, ArmError> {
    let mut own: HashMap<Option<Scope>, BTreeSet<String>> = HashMap::new();
    for tag in defined(read, &Scope::Tenant).await? {
        own.entry(tag.id.subscription_scope()).or_default().insert(tag.id.name().to_ascii_lowercase());
    }
    let is_azures = |at: &Scope, tag: &str| {
        !is_built_in(tag) && !own.get(&at.subscription_scope()).is_some_and(|own| own.contains(tag))
    };
    let mut uses = Vec::new();
    for group in read.list(&Listing::of(&Scope::Tenant, &network_type("networkSecurityGroups"))).await? {
        for rule in lookup::rules(&group)? {
            for tag in rule.properties.named_tags().map(str::to_ascii_lowercase) {
                if is_azures(&group.id, &tag) {
                    let place =
                        format!("{}/securityRules/{}", group.id, rule.name.as_deref().unwrap_or_default());
                    uses.push(Use { place, group: Some(group.id.clone()), tag });
                }
            }
        }
    }
    for kept in standing::invariants_of(read, &Scope::Tenant).await? {
        for (_, tag) in kept.spec.tags() {
            let tag = tag.to_ascii_lowercase();
            if is_azures(&kept.id, &tag) {
                uses.push(Use { place: kept.id.to_string(), group: None, tag });
            }
        }
    }
    for rule in read.list(&Listing::of(&Scope::Tenant, &network_type(RULES))).await? {
        let typed: AdminRule = from_body(&Value::Object(rule.rest.clone()))?;
        uses.extend(
            typed.named_tags().map(str::to_ascii_lowercase).filter(|tag| !is_built_in(tag)).map(|tag| Use {
                place: rule.id.to_string(),
                group: None,
                tag,
            }),
        );
    }
    for tag in Governed::load(read).await?.named_tags().into_iter().filter(|tag| !is_built_in(tag)) {
        uses.push(Use { place: "a security admin rule that is in force".to_owned(), group: None, tag });
    }
    Ok(uses)
}

fn prefixes(tag: &Resource) -> Result<Vec<IpNet>, ArmError> {
    from_body::<ServiceTag>(&Value::Object(tag.rest.clone()))?.validate(tag.id.name())
}

#[async_trait]
impl ResourceType for ServiceTags {
    fn spec(&self) -> &TypeSpec {
        &SPEC
    }

    async fn prepare(
        &self,
        tx: &mut dyn Write,
        _: &Call,
        draft: &mut Resource,
        old: Option<&Resource>,
    ) -> Result<(), ArmError> {
        prefixes(draft)?;
        draft.properties_mut().entry("addressPrefixes").or_insert_with(|| Value::Array(Vec::new()));
        let twin = defined(tx.as_read(), &draft.id).await?;
        let twin =
            twin.iter().find(|t| t.id.name().eq_ignore_ascii_case(draft.id.name()) && t.id != draft.id);
        if old.is_none() && tag_sets::imported(tx.as_read(), draft.id.name()).await?.is_some() {
            return Err(ArmError::new(
                409,
                "ServiceTagExists",
                format!("The service tag {} is one of Azure's list.", draft.id.name()),
            ));
        }
        match twin {
            None => Ok(()),
            Some(twin) => Err(ArmError::new(
                409,
                "ServiceTagExists",
                format!("The service tag {} is defined already, by {}.", draft.id.name(), twin.id),
            )),
        }
    }

    async fn removing(&self, tx: &mut dyn Write, _: &Call, old: &Resource) -> Result<(), ArmError> {
        for group in lookup::in_subscription(tx.as_read(), &old.id, "networkSecurityGroups").await? {
            for rule in lookup::rules(&group)? {
                let names = rule
                    .validate()
                    .is_ok_and(|r| r.tags().any(|(_, t)| t.eq_ignore_ascii_case(old.id.name())));
                if names {
                    return Err(ArmError::bad(
                        "InUseServiceTagCannotBeDeleted",
                        format!(
                            "Service tag {} cannot be deleted because the rule {} of {} names it.",
                            old.id.name(),
                            rule.name.unwrap_or_default(),
                            group.id
                        ),
                    ));
                }
            }
        }
        let speaks = |kept: &Kept| kept.spec.tags().any(|(_, t)| t.eq_ignore_ascii_case(old.id.name()));
        let naming = invariants::naming(tx.as_read(), &old.id, speaks).await?;
        match naming.first() {
            None => Ok(()),
            Some(invariant) => Err(ArmError::bad(
                "InUseServiceTagCannotBeDeleted",
                format!(
                    "Service tag {} cannot be deleted because the invariant {invariant} names it.",
                    old.id.name()
                ),
            )),
        }
    }
}
