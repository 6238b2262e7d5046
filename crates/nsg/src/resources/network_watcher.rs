//! What is asked of a network watcher and what it answers, in Azure's JSON shape (source: the network specification,
//! api-version 2024-01-01). Beyond Azure, a question may be about ICMP, ESP and AH.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecurityRule;
use crate::effective::EffectiveRule;
use crate::policy::{Access, RuleAction};

/// `ipFlowVerify`: whether one packet passes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerificationIPFlowParameters {
    /// The machine.
    pub target_resource_id: String,
    /// `Inbound` or `Outbound`, seen from the machine.
    pub direction: String,
    /// `TCP` or `UDP`; also `ICMP`, `ESP`, `AH`, or a protocol number.
    pub protocol: String,
    /// The machine's port; needed for TCP and UDP.
    #[serde(default)]
    pub local_port: Option<String>,
    /// The other side's port; needed for TCP and UDP.
    #[serde(default)]
    pub remote_port: Option<String>,
    /// An address of the machine.
    #[serde(rename = "localIPAddress")]
    pub local_ip_address: String,
    /// The other side's address.
    #[serde(rename = "remoteIPAddress")]
    pub remote_ip_address: String,
    /// The interface; needed when the address does not tell which one.
    #[serde(default)]
    pub target_nic_resource_id: Option<String>,
}

/// The answer of `ipFlowVerify`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerificationIPFlowResult {
    /// Whether the packet passes.
    pub access: Access,
    /// `UserRule_{name}` or `DefaultRule_{name}`: the rule that decides; empty when the interface is not filtered.
    pub rule_name: String,
}

/// `nextHop`: where a packet goes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NextHopParameters {
    /// The machine.
    pub target_resource_id: String,
    /// An address of the machine.
    #[serde(rename = "sourceIPAddress")]
    pub source_ip_address: String,
    /// Where the packet goes.
    #[serde(rename = "destinationIPAddress")]
    pub destination_ip_address: String,
    /// The interface; needed when the address does not tell which one.
    #[serde(default)]
    pub target_nic_resource_id: Option<String>,
}

/// The answer of `nextHop`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NextHopResult {
    /// `VnetLocal`, `Internet`, `VirtualAppliance`, or `None` when there is no route.
    pub next_hop_type: &'static str,
    /// The gateway, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_hop_ip_address: Option<String>,
    /// `System Route`: the machine's own.
    pub route_table_id: &'static str,
}

/// `securityGroupView`: every rule of a machine.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroupViewParameters {
    /// The machine.
    pub target_resource_id: String,
}

/// The answer of `securityGroupView`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroupViewResult {
    /// The machine's interfaces.
    pub network_interfaces: Vec<SecurityGroupNetworkInterface>,
}

/// An interface with its rules.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroupNetworkInterface {
    /// Its id.
    pub id: String,
    /// Its rules, by where they are attached.
    pub security_rule_associations: SecurityRuleAssociations,
}

/// The rules of an interface, by where they are attached.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecurityRuleAssociations {
    /// Those of the group at the interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface_association: Option<RuleAssociation>,
    /// Those of the group at the subnet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_association: Option<RuleAssociation>,
    /// The rules that every group has.
    pub default_security_rules: Vec<SecurityRule>,
    /// All of them with what their names stand for.
    pub effective_security_rules: Vec<EffectiveRule>,
}

/// The user's rules of a group at its place.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleAssociation {
    /// The interface or the subnet.
    pub id: String,
    /// The rules.
    pub security_rules: Vec<SecurityRule>,
}

/// `networkConfigurationDiagnostic`: which rule decides some traffic, and why not another.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkConfigurationDiagnosticParameters {
    /// The machine, or one of its interfaces.
    pub target_resource_id: String,
    /// What is asked about, each on its own.
    pub profiles: Vec<NetworkConfigurationDiagnosticProfile>,
}

/// Some traffic.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkConfigurationDiagnosticProfile {
    /// `Inbound` or `Outbound`.
    pub direction: String,
    /// `TCP`, `UDP`, `ICMP`, `ESP`, `AH`, or `*`.
    pub protocol: String,
    /// An address, a prefix, or `*`.
    pub source: String,
    /// An address, a prefix, or `*`.
    pub destination: String,
    /// A port, a range, or `*`.
    pub destination_port: String,
}

/// The answer of `networkConfigurationDiagnostic`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkConfigurationDiagnosticResponse {
    /// For each profile.
    pub results: Vec<NetworkConfigurationDiagnosticResult>,
}

/// What holds for one profile.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkConfigurationDiagnosticResult {
    /// The profile.
    pub profile: NetworkConfigurationDiagnosticProfile,
    /// What the groups say.
    pub network_security_group_result: NetworkSecurityGroupResult,
}

/// What the groups say.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkSecurityGroupResult {
    /// Whether it passes.
    pub security_rule_access_result: Access,
    /// The groups that were asked, in order.
    pub evaluated_network_security_groups: Vec<EvaluatedNetworkSecurityGroup>,
}

/// What one group says.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EvaluatedNetworkSecurityGroup {
    /// The group.
    pub network_security_group_id: String,
    /// The subnet or interface that it is attached to.
    pub applied_to: String,
    /// The rule that decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched_rule: Option<MatchedRule>,
    /// Every rule that was asked.
    pub rules_evaluation_result: Vec<NetworkSecurityRulesEvaluationResult>,
}

/// The rule that decides.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MatchedRule {
    /// `UserRule_{name}` or `DefaultRule_{name}`.
    pub rule_name: String,
    /// What it does.
    pub action: RuleAction,
}

/// How a rule stands to the traffic.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "Azure's shape")]
pub struct NetworkSecurityRulesEvaluationResult {
    /// `UserRule_{name}` or `DefaultRule_{name}`.
    pub name: String,
    /// Whether its protocol matches all of the traffic.
    pub protocol_matched: bool,
    /// As of the protocol.
    pub source_matched: bool,
    /// As of the protocol.
    pub source_port_matched: bool,
    /// As of the protocol.
    pub destination_matched: bool,
    /// As of the protocol.
    pub destination_port_matched: bool,
}

/// `topology`: what is connected to what.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopologyParameters {
    /// The resource group.
    #[serde(default)]
    pub target_resource_group_name: Option<String>,
    /// The virtual network, instead.
    #[serde(default)]
    pub target_virtual_network: Option<super::SubResource>,
    /// The subnet, instead.
    #[serde(default)]
    pub target_subnet: Option<super::SubResource>,
}

/// The answer of `topology`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Topology {
    /// Of this answer.
    pub id: String,
    /// When it was made.
    pub created_date_time: String,
    /// When what it shows last changed.
    pub last_modified: String,
    /// What there is.
    pub resources: Vec<TopologyResource>,
}

/// Something that is connected.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopologyResource {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Where it is.
    pub location: String,
    /// What it is connected to.
    pub associations: Vec<TopologyAssociation>,
}

/// A connection.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopologyAssociation {
    /// The other's name.
    pub name: String,
    /// The other's id.
    pub resource_id: String,
    /// `Contains` for what is part of it, `Associated` for what is attached to it.
    pub association_type: &'static str,
}
