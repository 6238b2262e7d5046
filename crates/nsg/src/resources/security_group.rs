//! `Microsoft.Network/networkSecurityGroups` with Azure's six default rules, and
//! `Microsoft.Network/applicationSecurityGroups`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use sekisho_arm::ArmError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{SecurityRule, SecurityRulePropertiesFormat, refuse_duplicates};
use crate::existing::ExistingFlows;
use crate::platform::PlatformExceptions;
use crate::policy::{Access, Direction};

/// User rules in one NSG (Azure's limit).
pub const MAX_RULES: usize = 1000;

/// A network security group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkSecurityGroup {
    /// What the group says.
    pub properties: NetworkSecurityGroupProperties,
    /// Envelope fields (`location`, `tags`, ...), which the generic layer checks.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The properties of a network security group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkSecurityGroupProperties {
    /// The user's rules, which are also child resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_rules: Option<Vec<SecurityRule>>,
    /// Whether existing flows are judged again when the rules change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flush_connection: Option<bool>,
    /// What Azure has no word for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sekisho: Option<GroupSekisho>,
    /// Fields not named here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What a group says beyond Azure.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "SecurityGroupSekisho")]
pub struct GroupSekisho {
    /// `keep`, `reevaluate` (the same as `flushConnection`) or `drop`: what becomes of flows that exist when the rules
    /// change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub existing_flows: Option<String>,
    /// `enforce`, or `audit`: the group lets everything through, and what it would have denied is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Whether services of Azure's platform (name resolution, metadata, licences, the host) are reached whatever the rules
    /// say: `auto` (in Azure they are), `azure`, or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_exceptions: Option<String>,
    /// Fields not named here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl NetworkSecurityGroup {
    /// Whether what it would deny is only counted.
    ///
    /// # Errors
    /// For another word than the two.
    pub fn is_audit(&self) -> Result<bool, ArmError> {
        match self.properties.sekisho.as_ref().and_then(|s| s.mode.as_deref()) {
            None => Ok(false),
            Some(word) if word.eq_ignore_ascii_case("enforce") => Ok(false),
            Some(word) if word.eq_ignore_ascii_case("audit") => Ok(true),
            Some(word) => Err(ArmError::bad("InvalidMode", format!("'{word}' is not 'enforce' or 'audit'."))
                .target("properties.sekisho.mode")),
        }
    }

    /// What it says of the platform's services.
    ///
    /// # Errors
    /// For another word than the three.
    pub fn platform_exceptions(&self) -> Result<PlatformExceptions, ArmError> {
        let said = self.properties.sekisho.as_ref().and_then(|s| s.platform_exceptions.as_deref());
        said.map_or(Ok(PlatformExceptions::default()), |word| {
            PlatformExceptions::parse(word).ok_or_else(|| {
                ArmError::bad(
                    "InvalidPlatformExceptions",
                    format!("'{word}' is not 'auto', 'azure' or 'none'."),
                )
                .target("properties.sekisho.platformExceptions")
            })
        })
    }

    /// What becomes of existing flows.
    ///
    /// # Errors
    /// For another word than the three, and where both fields speak and contradict each other.
    pub fn existing_flows(&self) -> Result<ExistingFlows, ArmError> {
        let flushed = self.properties.flush_connection;
        let Some(word) = self.properties.sekisho.as_ref().and_then(|s| s.existing_flows.as_deref()) else {
            return Ok(if flushed == Some(true) { ExistingFlows::Reevaluate } else { ExistingFlows::Keep });
        };
        let refused = |text: String| {
            Err(ArmError::bad("InvalidExistingFlows", text).target("properties.sekisho.existingFlows"))
        };
        match (ExistingFlows::parse(word), flushed) {
            (None, _) => refused(format!("'{word}' is not 'keep', 'reevaluate' or 'drop'.")),
            (Some(ExistingFlows::Keep), Some(true)) => {
                refused("Existing flows cannot be kept with 'flushConnection'.".to_owned())
            }
            (Some(said), _) => Ok(said),
        }
    }

    /// Checks every rule, that names are unique, and that no two rules of a direction share a priority.
    ///
    /// # Errors
    /// The first thing Azure would refuse; `target` begins with `properties.securityRules[i]`.
    pub fn validate(&self, name: &str) -> Result<(), ArmError> {
        self.existing_flows()?;
        self.is_audit()?;
        self.platform_exceptions()?;
        let rules = self.properties.security_rules.as_deref().unwrap_or_default();
        if rules.len() > MAX_RULES {
            return Err(ArmError::bad(
                "SecurityRulesPerNetworkSecurityGroupLimitReached",
                format!("Network security group {name} has {} rules. The limit is {MAX_RULES}.", rules.len()),
            )
            .target("properties.securityRules"));
        }
        refuse_duplicates(
            rules.iter().map(|r| r.name.as_deref().unwrap_or_default()),
            name,
            "properties.securityRules",
        )?;
        let mut taken: BTreeMap<(Direction, u16), String> = BTreeMap::new();
        for (i, rule) in rules.iter().enumerate() {
            let under = |e: ArmError| e.under(&format!("properties.securityRules[{i}]"));
            let spec = rule.validate().map_err(under)?;
            if let Some(other) = taken.insert((spec.direction, spec.priority), spec.name.clone()) {
                return Err(under(rule_conflict(&spec.name, &other)));
            }
        }
        Ok(())
    }
}

fn rule_conflict(rule: &str, other: &str) -> ArmError {
    ArmError::bad(
        "SecurityRuleConflict",
        format!(
            "Security rule {rule} conflicts with rule {other}. Rules cannot have the same Priority and Direction."
        ),
    )
    .target("properties.priority")
}

/// Azure's six default rules, for the answer's `defaultSecurityRules` and for evaluation. `nsg_id` gives them ids.
pub fn default_rules(nsg_id: &str) -> Vec<SecurityRule> {
    use Access::{Allow, Deny};
    use Direction::{Inbound, Outbound};
    [
        (
            "AllowVnetInBound",
            "Allow inbound traffic from all VMs in VNET",
            "VirtualNetwork",
            "VirtualNetwork",
            Allow,
            65000,
            Inbound,
        ),
        (
            "AllowAzureLoadBalancerInBound",
            "Allow inbound traffic from azure load balancer",
            "AzureLoadBalancer",
            "*",
            Allow,
            65001,
            Inbound,
        ),
        ("DenyAllInBound", "Deny all inbound traffic", "*", "*", Deny, 65500, Inbound),
        (
            "AllowVnetOutBound",
            "Allow outbound traffic from all VMs to all VMs in VNET",
            "VirtualNetwork",
            "VirtualNetwork",
            Allow,
            65000,
            Outbound,
        ),
        (
            "AllowInternetOutBound",
            "Allow outbound traffic from all VMs to Internet",
            "*",
            "Internet",
            Allow,
            65001,
            Outbound,
        ),
        ("DenyAllOutBound", "Deny all outbound traffic", "*", "*", Deny, 65500, Outbound),
    ]
    .into_iter()
    .map(|(name, description, source, destination, access, priority, direction)| SecurityRule {
        name: Some(name.to_owned()),
        id: Some(format!("{nsg_id}/defaultSecurityRules/{name}")),
        properties: SecurityRulePropertiesFormat {
            description: Some(description.to_owned()),
            protocol: Some("*".to_owned()),
            source_port_range: Some("*".to_owned()),
            destination_port_range: Some("*".to_owned()),
            source_address_prefix: Some(source.to_owned()),
            destination_address_prefix: Some(destination.to_owned()),
            access: Some(access.as_str().to_owned()),
            priority: Some(priority),
            direction: Some(direction.as_str().to_owned()),
            other: Map::from_iter([("provisioningState".to_owned(), json!("Succeeded"))]),
            ..SecurityRulePropertiesFormat::default()
        },
        other: Map::new(),
    })
    .collect()
}

/// An application security group: a name that NICs join and rules speak of. It has no settings of its own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ApplicationSecurityGroup {
    /// Nothing that a user sets.
    pub properties: ApplicationSecurityGroupProperties,
    /// Envelope fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The properties of an application security group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ApplicationSecurityGroupProperties {
    /// Fields not named here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, priority: usize, direction: &str) -> SecurityRule {
        serde_json::from_value(json!({"name": name, "properties": {"protocol": "*", "access": "Deny",
            "direction": direction, "priority": priority, "sourceAddressPrefix": "*", "sourcePortRange": "*",
            "destinationAddressPrefix": "*", "destinationPortRange": "*"}}))
        .unwrap()
    }

    fn group(rules: Vec<SecurityRule>) -> NetworkSecurityGroup {
        let properties = NetworkSecurityGroupProperties { security_rules: Some(rules), ..Default::default() };
        NetworkSecurityGroup { properties, ..Default::default() }
    }

    #[test]
    fn a_priority_is_taken_once_in_each_direction() {
        group(vec![rule("a", 100, "Inbound"), rule("b", 100, "Outbound")]).validate("n").unwrap();
        let error =
            group(vec![rule("a", 100, "Inbound"), rule("b", 100, "inbound")]).validate("n").unwrap_err();
        assert_eq!(error.code, "SecurityRuleConflict");
        assert_eq!(
            error.message,
            "Security rule b conflicts with rule a. Rules cannot have the same Priority and Direction."
        );
        assert_eq!(error.target.as_deref(), Some("properties.securityRules[1].properties.priority"));
        group(vec![rule("a", 100, "Inbound"), rule("b", 100, "Outbound")]).validate("n").unwrap();
    }

    #[test]
    fn a_group_has_at_most_1000_rules_of_different_names() {
        let many = |n: usize| (0..n).map(|i| rule(&format!("r{i}"), 100 + i, "Inbound")).collect::<Vec<_>>();
        group(many(1000)).validate("n").unwrap();
        assert_eq!(
            group(many(1001)).validate("n").unwrap_err().target.as_deref(),
            Some("properties.securityRules")
        );
        let twins = group(vec![rule("a", 100, "Inbound"), rule("A", 101, "Inbound")]);
        assert_eq!(twins.validate("n").unwrap_err().code, "DuplicateResourceName");
        group(Vec::new()).validate("n").unwrap();
        NetworkSecurityGroup::default().validate("n").unwrap();
    }

    #[test]
    fn the_default_rules_are_exactly_those_of_azures_example() {
        let path = "/subscriptions/subid/resourceGroups/rg1/providers/Microsoft.Network/networkSecurityGroups/testnsg";
        let shown = serde_json::to_value(default_rules(path)).unwrap();
        let rule = |name: &str,
                    description: &str,
                    from: &str,
                    to: &str,
                    access: &str,
                    priority: u32,
                    direction: &str| {
            json!({"name": name, "id": format!("{path}/defaultSecurityRules/{name}"), "properties": {
                "provisioningState": "Succeeded", "description": description, "protocol": "*",
                "sourcePortRange": "*", "destinationPortRange": "*", "sourceAddressPrefix": from,
                "destinationAddressPrefix": to, "access": access, "priority": priority, "direction": direction}})
        };
        let vnet = "VirtualNetwork";
        assert_eq!(
            shown,
            json!([
                rule(
                    "AllowVnetInBound",
                    "Allow inbound traffic from all VMs in VNET",
                    vnet,
                    vnet,
                    "Allow",
                    65000,
                    "Inbound"
                ),
                rule(
                    "AllowAzureLoadBalancerInBound",
                    "Allow inbound traffic from azure load balancer",
                    "AzureLoadBalancer",
                    "*",
                    "Allow",
                    65001,
                    "Inbound"
                ),
                rule("DenyAllInBound", "Deny all inbound traffic", "*", "*", "Deny", 65500, "Inbound"),
                rule(
                    "AllowVnetOutBound",
                    "Allow outbound traffic from all VMs to all VMs in VNET",
                    vnet,
                    vnet,
                    "Allow",
                    65000,
                    "Outbound"
                ),
                rule(
                    "AllowInternetOutBound",
                    "Allow outbound traffic from all VMs to Internet",
                    "*",
                    "Internet",
                    "Allow",
                    65001,
                    "Outbound"
                ),
                rule("DenyAllOutBound", "Deny all outbound traffic", "*", "*", "Deny", 65500, "Outbound"),
            ])
        );
    }
}
