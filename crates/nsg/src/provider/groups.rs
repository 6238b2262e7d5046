//! `networkSecurityGroups` with their rules, and `applicationSecurityGroups`.

use async_trait::async_trait;
use schemars::{JsonSchema, SchemaGenerator};
use sekisho_arm::registry::{Action, ActionStyle, PutStyle, any_schema, two_sided};
use sekisho_arm::resource::{add, object_entry, shown};
use sekisho_arm::{ArmError, Call, Read, Resource, ResourceType, Scope, Storage, TypeSpec, Write};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{JOIN_ASG_RULE, compiler, hits, invariants, lookup, spec, tags};
use crate::analyse::{Limits, RuleFinding, analyse_below};
use crate::diagram::Budget;
use crate::effective::Ref;
use crate::resources::{
    ApplicationSecurityGroup, NetworkSecurityGroup, NetworkSecurityGroupProperties, SecurityRule,
    default_rules, from_body, validate_name,
};

pub(super) struct SecurityGroups;

/// Views of a group that are analysed: whoever asks waits for all of them.
const VIEWS: usize = 4;
/// For one direction of one of them: about a second.
const BUDGET: Budget = Budget { edges: 300_000, work: 80_000_000 };

/// What a group's rules say about themselves.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RuleAnalysis")]
struct Analysis {
    /// By what the rules mean: tags and groups stand for other addresses in another network.
    views: Vec<RuleView>,
    /// Whether these are all.
    is_all: bool,
}

/// What they say where they mean the same.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RuleView {
    /// The interfaces where it is so; 0 when the group is attached nowhere, and the rules are looked at alone.
    interfaces: usize,
    /// Rules in the order they are asked; nothing when there are too many to say.
    inbound: Option<Vec<RuleFinding>>,
    /// As of the other direction.
    outbound: Option<Vec<RuleFinding>>,
}

static GROUP_SPEC: TypeSpec = TypeSpec {
    actions: &[
        Action {
            verb: "sekisho.analyse",
            style: ActionStyle::Sync,
            reads: true,
            title: "Says which rules never decide, lose packets to others, or contradict each other",
            takes: any_schema,
            answers: |g: &mut SchemaGenerator| g.subschema_for::<Analysis>(),
        },
        Action {
            verb: "sekisho.hits",
            style: ActionStyle::Sync,
            reads: true,
            title: "Says how often rules have matched, and what a group would have denied",
            takes: any_schema,
            answers: |g: &mut SchemaGenerator| g.subschema_for::<hits::Hits>(),
        },
    ],
    schema: two_sided::<NetworkSecurityGroup, ShownGroup>,
    ..spec("networkSecurityGroups", Storage::Row)
};

#[async_trait]
impl ResourceType for SecurityGroups {
    fn spec(&self) -> &TypeSpec {
        &GROUP_SPEC
    }

    async fn prepare(
        &self,
        _: &mut dyn Write,
        _: &Call,
        draft: &mut Resource,
        _: Option<&Resource>,
    ) -> Result<(), ArmError> {
        validate_name(draft.id.name())?;
        // What the answer shows of others is not this resource's to keep.
        for shown in ["defaultSecurityRules", "networkInterfaces", "subnets", "resourceGuid"] {
            draft.properties_mut().remove(shown);
        }
        draft.properties_mut().entry("securityRules").or_insert_with(|| json!([]));
        let typed: NetworkSecurityGroup = from_body(&Value::Object(draft.rest.clone()))?;
        typed.validate(draft.id.name())?;
        // A setting that is null is one that is not there.
        if typed.properties.flush_connection.is_none() {
            draft.properties_mut().remove("flushConnection");
        }
        match &typed.properties.sekisho {
            Some(sekisho) => drop(draft.properties_mut().insert("sekisho".into(), shown(sekisho)?)),
            None => drop(draft.properties_mut().remove("sekisho")),
        }
        Ok(())
    }

    fn links(&self, body: &Value) -> Vec<(Scope, &'static str)> {
        let rules = body["properties"]["securityRules"].as_array().into_iter().flatten();
        rules.flat_map(|rule| application_groups(&rule["properties"])).collect()
    }

    async fn act(
        &self,
        tx: &mut dyn Write,
        _: &Call,
        target: &Resource,
        verb: &str,
        _: Value,
    ) -> Result<Value, ArmError> {
        if verb == "sekisho.hits" {
            return shown(&hits::of(tx.as_read(), &target.id).await?);
        }
        let limits = Limits { budget: BUDGET, ..Limits::default() };
        let mut views = compiler::views(tx.as_read(), &target.id).await?;
        let shown_views = views.len() <= VIEWS;
        views.truncate(VIEWS);
        let views = views.into_iter().map(|view| RuleView {
            interfaces: view.interfaces,
            inbound: analyse_below(&view.above.0, &view.inbound.rules, &limits).ok(),
            outbound: analyse_below(&view.above.1, &view.outbound.rules, &limits).ok(),
        });
        shown(&Analysis { views: views.collect(), is_all: shown_views })
    }

    async fn removing(&self, tx: &mut dyn Write, _: &Call, old: &Resource) -> Result<(), ArmError> {
        let users = users(tx.as_read(), &old.id).await?;
        let all: Vec<String> = users.0.iter().chain(&users.1).map(ToString::to_string).collect();
        if all.is_empty() {
            return Ok(());
        }
        Err(ArmError::bad(
            "InUseNetworkSecurityGroupCannotBeDeleted",
            format!(
                "Network security group {} cannot be deleted because it is in use by the following resources: {}. In \
                 order to delete the Network security group, remove the association with the resource(s). To learn how \
                 to do this, see aka.ms/deletensg.",
                old.id,
                all.join(", ")
            ),
        ))
    }

    async fn present(&self, read: &mut dyn Read, _: &Call, resource: &Resource) -> Result<Value, ArmError> {
        let mut body = self.render(resource);
        let (nics, subnets) = users(read, &resource.id).await?;
        let defaults = defaults(&resource.id, &resource.etag);
        if let Value::Object(map) = &mut body {
            let properties = object_entry(map, "properties");
            properties.entry("flushConnection").or_insert_with(|| json!(false));
            let ids =
                |list: Vec<Scope>| -> Vec<Ref> { list.iter().map(|id| Ref { id: id.to_string() }).collect() };
            let around = GroupAround {
                default_security_rules: defaults,
                network_interfaces: ids(nics),
                subnets: ids(subnets),
            };
            add(properties, &around)?;
        }
        Ok(body)
    }
}

/// The application security groups that a rule's properties name.
fn application_groups(properties: &Value) -> Vec<(Scope, &'static str)> {
    let sides = ["sourceApplicationSecurityGroups", "destinationApplicationSecurityGroups"];
    sides.into_iter().flat_map(|field| lookup::links(properties, field, JOIN_ASG_RULE)).collect()
}

/// What an answer says about a group besides what its owner wrote.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct GroupAround {
    #[schemars(with = "Vec<SecurityRule>")]
    default_security_rules: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    network_interfaces: Vec<Ref>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subnets: Vec<Ref>,
}

/// A group as it is answered.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used; the parts are what the answer is made of")]
#[schemars(rename = "ShownSecurityGroup")]
struct ShownGroup {
    properties: ShownGroupProperties,
}

#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
#[schemars(rename = "ShownSecurityGroupProperties")]
struct ShownGroupProperties {
    #[serde(flatten)]
    written: NetworkSecurityGroupProperties,
    #[serde(flatten)]
    around: GroupAround,
}

fn defaults(group: &Scope, etag: &str) -> Vec<Value> {
    default_rules(&group.to_string())
        .iter()
        .map(|rule| {
            let mut shown = serde_json::to_value(rule).unwrap_or_default();
            shown["etag"] = etag.into();
            shown["type"] = "Microsoft.Network/networkSecurityGroups/defaultSecurityRules".into();
            shown["properties"]["provisioningState"] = "Succeeded".into();
            shown
        })
        .collect()
}

/// The NICs and subnets that a group is attached to.
async fn users(read: &mut dyn Read, group: &Scope) -> Result<(Vec<Scope>, Vec<Scope>), ArmError> {
    let nics = lookup::in_subscription(read, group, "networkInterfaces").await?;
    let nics =
        nics.into_iter().filter(|n| lookup::reference(n, "networkSecurityGroup").as_ref() == Some(group));
    let nics = nics.map(|n| n.id).collect();
    let mut subnets = Vec::new();
    for network in lookup::in_subscription(read, group, "virtualNetworks").await? {
        let Some(id) = network.id.resource() else { continue };
        for subnet in network.properties().get("subnets").and_then(Value::as_array).into_iter().flatten() {
            let attached = subnet["properties"]["networkSecurityGroup"]["id"]
                .as_str()
                .and_then(|i| Scope::parse(i).ok());
            if attached.as_ref() == Some(group)
                && let Ok(subnet) = id.child("subnets", subnet["name"].as_str().unwrap_or_default())
            {
                subnets.push(subnet.into());
            }
        }
    }
    Ok((nics, subnets))
}

pub(super) struct SecurityRules;

static RULE_SPEC: TypeSpec = TypeSpec {
    location: false,
    schema: |g: &mut SchemaGenerator| g.subschema_for::<SecurityRule>(),
    ..spec(
        "networkSecurityGroups/securityRules",
        Storage::Embedded { property: "securityRules", keep_when_absent: false },
    )
};

#[async_trait]
impl ResourceType for SecurityRules {
    fn spec(&self) -> &TypeSpec {
        &RULE_SPEC
    }

    async fn prepare(
        &self,
        tx: &mut dyn Write,
        _: &Call,
        draft: &mut Resource,
        _: Option<&Resource>,
    ) -> Result<(), ArmError> {
        let mut body = draft.rest.clone();
        body.insert("name".into(), draft.id.name().into());
        let mut rule: SecurityRule = from_body(&Value::Object(body))?;
        let parsed = rule.validate()?;
        for (field, tag) in parsed.tags() {
            if !tags::exists(tx.as_read(), &draft.id, tag).await? {
                return Err(parsed.unknown_tag(field, tag));
            }
        }
        for group in parsed.groups() {
            if tx.get(group).await?.is_none() {
                return Err(lookup::invalid_reference(group, &draft.id, "properties"));
            }
        }
        rule.properties.canonicalize();
        let spelled = serde_json::to_value(&rule.properties).map_err(|_| ArmError::internal())?;
        if let Value::Object(spelled) = spelled {
            let properties = draft.properties_mut();
            for field in ["protocol", "access", "direction"] {
                if let Some(value) = spelled.get(field) {
                    properties.insert(field.to_owned(), value.clone());
                }
            }
        }
        Ok(())
    }

    fn links(&self, body: &Value) -> Vec<(Scope, &'static str)> {
        application_groups(&body["properties"])
    }

    async fn present(&self, _: &mut dyn Read, _: &Call, resource: &Resource) -> Result<Value, ArmError> {
        let mut body = self.render(resource);
        if let Value::Object(map) = &mut body {
            let properties = object_entry(map, "properties");
            // Clients iterate over the plural forms whichever form was sent.
            for list in [
                "sourcePortRanges",
                "destinationPortRanges",
                "sourceAddressPrefixes",
                "destinationAddressPrefixes",
            ] {
                properties.entry(list).or_insert_with(|| json!([]));
            }
        }
        Ok(body)
    }
}

/// `defaultSecurityRules`: read-only children.
pub(super) struct DefaultRules;

static DEFAULT_SPEC: TypeSpec = TypeSpec {
    location: false,
    put: PutStyle::Refused,
    schema: |g: &mut SchemaGenerator| g.subschema_for::<SecurityRule>(),
    ..spec("networkSecurityGroups/defaultSecurityRules", Storage::Computed)
};

#[async_trait]
impl ResourceType for DefaultRules {
    fn spec(&self) -> &TypeSpec {
        &DEFAULT_SPEC
    }

    async fn computed(
        &self,
        read: &mut dyn Read,
        _: &Call,
        scope: &Scope,
        name: Option<&str>,
    ) -> Result<Value, ArmError> {
        let group = read.get(scope).await?.ok_or_else(|| ArmError::not_found(scope))?;
        let all = defaults(&group.id, &group.etag);
        let Some(name) = name else { return Ok(json!({ "value": all })) };
        let found =
            all.into_iter().find(|r| r["name"].as_str().is_some_and(|n| n.eq_ignore_ascii_case(name)));
        found.ok_or_else(|| ArmError::new(404, "NotFound", format!("Resource {name} not found.")))
    }
}

pub(super) struct ApplicationGroups;

static ASG_SPEC: TypeSpec = TypeSpec {
    schema: |g: &mut SchemaGenerator| g.subschema_for::<ApplicationSecurityGroup>(),
    ..spec("applicationSecurityGroups", Storage::Row)
};

#[async_trait]
impl ResourceType for ApplicationGroups {
    fn spec(&self) -> &TypeSpec {
        &ASG_SPEC
    }

    async fn prepare(
        &self,
        _: &mut dyn Write,
        _: &Call,
        draft: &mut Resource,
        _: Option<&Resource>,
    ) -> Result<(), ArmError> {
        validate_name(draft.id.name())?;
        draft.rest.entry("properties").or_insert_with(|| Value::Object(Map::new()));
        draft.properties_mut().remove("resourceGuid");
        from_body::<ApplicationSecurityGroup>(&Value::Object(draft.rest.clone())).map(|_| ())
    }

    async fn removing(&self, tx: &mut dyn Write, _: &Call, old: &Resource) -> Result<(), ArmError> {
        let mut users = Vec::new();
        for nic in lookup::in_subscription(tx.as_read(), &old.id, "networkInterfaces").await? {
            if lookup::groups_of(&lookup::nic(&nic)?).contains(&old.id) {
                users.push(nic.id.to_string());
            }
        }
        for group in lookup::in_subscription(tx.as_read(), &old.id, "networkSecurityGroups").await? {
            for rule in lookup::rules(&group)? {
                if rule.validate().is_ok_and(|r| r.groups().any(|g| *g == old.id)) {
                    users.push(format!("{}/securityRules/{}", group.id, rule.name.unwrap_or_default()));
                }
            }
        }
        let naming =
            invariants::naming(tx.as_read(), &old.id, |kept| kept.spec.groups().any(|g| *g == old.id));
        users.extend(naming.await?.iter().map(ToString::to_string));
        if users.is_empty() {
            return Ok(());
        }
        Err(ArmError::bad(
            "InUseApplicationSecurityGroupCannotBeDeleted",
            format!(
                "Application security group {} cannot be deleted because it is in use by {}.",
                old.id,
                users.join(", ")
            ),
        ))
    }
}
