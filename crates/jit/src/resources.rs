//! `Microsoft.Security/locations/jitNetworkAccessPolicies`, api-version 2020-01-01: policies and requests in Azure's JSON.
//!
//! Source: Azure/azure-rest-api-specs, `jitNetworkAccessPolicies.json`. What Azure has no word for is
//! `properties.sekisho` ([`crate::settings`]). Fields that nobody here knows survive, because the JSON is what is kept.

use std::fmt;

use schemars::JsonSchema;
use sekisho_arm::resource::{instant, typed};
use sekisho_arm::{ArmError, Scope, duration};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use crate::elevation::offer::{self, SudoOffer};
use crate::elevation::{CommandPath, Gives, Raised, Sudo, UnixName};
use crate::request::What;
use crate::settings::{Settings, SettingsProperties};
use crate::sources::Sources;
use crate::usage::Used;

/// The provider namespace.
pub const NAMESPACE: &str = "Microsoft.Security";
/// The type.
pub const TYPE: &str = "locations/jitNetworkAccessPolicies";
/// The api-versions.
pub const VERSIONS: &[&str] = &["2020-01-01"];

/// The shortest maximum that a policy may set.
pub const SHORTEST: Duration = Duration::minutes(5);
/// The longest.
pub const LONGEST: Duration = Duration::days(1);
/// Most machines of a policy.
pub const MAX_MACHINES: usize = 1000;
/// Most ports of a machine in a policy.
pub const MAX_PORTS: usize = 100;

/// What is guarded. `*` is TCP and UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub enum Protocol {
    /// TCP.
    #[serde(rename = "TCP")]
    Tcp,
    /// UDP.
    #[serde(rename = "UDP")]
    Udp,
    /// Both.
    #[serde(rename = "*")]
    Any,
}

impl TryFrom<String> for Protocol {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.to_ascii_uppercase().as_str() {
            "TCP" => Ok(Self::Tcp),
            "UDP" => Ok(Self::Udp),
            "*" => Ok(Self::Any),
            _ => Err("a protocol is TCP, UDP or *".to_owned()),
        }
    }
}

impl Protocol {
    /// Whether a packet could be of both.
    pub fn overlaps(self, other: Protocol) -> bool {
        self == other || self == Self::Any || other == Self::Any
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Any => "*",
        })
    }
}

/// `properties` of a policy.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitNetworkAccessPolicyProperties")]
pub struct PolicyProperties {
    /// The machines and their guarded ports.
    pub virtual_machines: Vec<PolicyMachine>,
    /// What was asked for, newest first; filled in by the server. What else a client sends here is kept as history, and
    /// opens nothing.
    #[serde(default)]
    #[schemars(with = "Vec<ShownRequest>")]
    pub requests: Vec<Value>,
    /// What Azure has no word for; shown as it was written, also when nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sekisho: Option<SettingsProperties>,
}

/// A machine in a policy.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitNetworkAccessPolicyVirtualMachine")]
pub struct PolicyMachine {
    /// The machine's id.
    pub id: String,
    /// Its public address, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_ip_address: Option<String>,
    /// Its guarded ports.
    pub ports: Vec<PolicyPort>,
}

/// A guarded port. Exactly one of the two forms of sources is there.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitNetworkAccessPortRule")]
pub struct PolicyPort {
    /// The port.
    pub number: u16,
    /// The protocol.
    pub protocol: Protocol,
    /// From where requests may ask: `*`, an address or a prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_source_address_prefix: Option<String>,
    /// The same as a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_source_address_prefixes: Option<Vec<String>>,
    /// The longest that a request may ask for: an ISO 8601 duration of 5 minutes to a day.
    pub max_request_access_duration: String,
}

/// Body of `initiate`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitNetworkAccessPolicyInitiateRequest")]
pub struct InitiateRequest {
    /// The machines and the ports to open.
    pub virtual_machines: Vec<InitiateMachine>,
    /// Why; for people.
    #[serde(default)]
    pub justification: Option<String>,
    /// What Azure has no word for.
    #[serde(default)]
    pub sekisho: InitiateExtras,
}

/// What a request may bring beyond Azure's fields.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "JitInitiateExtras")]
pub struct InitiateExtras {
    /// The ticket that it is about.
    pub ticket_number: Option<String>,
}

/// A machine in a request.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitNetworkAccessPolicyInitiateVirtualMachine")]
pub struct InitiateMachine {
    /// The machine's id.
    pub id: String,
    /// The ports to open.
    #[serde(default)]
    pub ports: Vec<InitiatePort>,
    /// What Azure has no word for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sekisho: Option<InitiateElevations>,
}

/// What is asked for beside ports, for one's own account on the machine.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "JitInitiateElevations")]
pub struct InitiateElevations {
    /// Another account than one's own, for those who may log in as administrators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// To be others by `sudo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sudo: Option<InitiateSudo>,
    /// The account, which the machine does not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<InitiateTerm>,
    /// To log in with it through a bastion; also as `root`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<InitiateTerm>,
}

/// What is asked for of `sudo`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "JitInitiateSudo")]
pub struct InitiateSudo {
    /// As whom; as everybody that the policy names when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_as: Option<Vec<String>>,
    /// The absolute paths of the commands; all that the policy names when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commands: Option<Vec<String>>,
    /// When it ends, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time_utc: Option<String>,
    /// How long it lasts, ISO 8601, counted from when it begins; instead of an instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
}

/// For how long an account, or logins, are asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "JitInitiateTerm")]
pub struct InitiateTerm {
    /// When it ends, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time_utc: Option<String>,
    /// How long it lasts, ISO 8601, counted from when it begins; instead of an instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
}

impl InitiateSudo {
    /// What is asked for of what a policy offers.
    ///
    /// # Errors
    /// 400 when it cannot be read, or is more.
    pub fn of(&self, offer: &SudoOffer, at: &str) -> Result<Sudo, ArmError> {
        let run_as = match &self.run_as {
            None => offer.most.run_as.clone(),
            Some(all) => offer::list::<UnixName>(all, &format!("{at}.runAs"))?,
        };
        let commands = match &self.commands {
            None => offer.most.commands.clone(),
            Some(all) => Some(offer::list::<CommandPath>(all, &format!("{at}.commands"))?),
        };
        let asked = Sudo { run_as, commands };
        if asked.is_within(&offer.most) {
            return Ok(asked);
        }
        let text = "The policy lets nobody ask for that by sudo: it names other users, or other commands.";
        Err(ArmError::bad("JitSudoNotAllowed", text).target(at.to_owned()))
    }
}

/// A port in a request. Without a source it is the address that the request came from.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitNetworkAccessPolicyInitiatePort")]
pub struct InitiatePort {
    /// The port.
    pub number: u16,
    /// From where: any part of what the policy allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_source_address_prefix: Option<String>,
    /// The same as a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_source_address_prefixes: Option<Vec<String>>,
    /// When it closes, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time_utc: Option<String>,
    /// How long it is open, ISO 8601, counted from when it opens; instead of an instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
}

/// A request as it is shown.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitNetworkAccessRequest")]
pub struct ShownRequest {
    /// The machines and the ports.
    pub virtual_machines: Vec<ShownMachine>,
    /// When it was made.
    pub start_time_utc: String,
    /// Who made it.
    pub requestor: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub justification: Option<String>,
    /// What Azure has no word for.
    pub sekisho: ShownExtras,
}

/// A machine of a request as it is shown.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitNetworkAccessRequestVirtualMachine")]
pub struct ShownMachine {
    /// The machine's id.
    pub id: String,
    /// The ports.
    pub ports: Vec<ShownPort>,
    /// What Azure has no word for; absent when it is about ports alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sekisho: Option<ShownMachineExtras>,
}

/// What a request is about beside ports.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitRequestMachineExtras")]
pub struct ShownMachineExtras {
    /// What accounts of the machine are given.
    pub elevations: Vec<ShownElevation>,
}

/// What an account is given, as it is shown.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitRequestElevation")]
pub struct ShownElevation {
    /// `sudo`; `account`: the account itself; or `login`: to log in with it through a bastion.
    pub kind: &'static str,
    /// The account.
    pub user: UnixName,
    /// As whom commands may be run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_as: Option<Vec<UnixName>>,
    /// Which; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commands: Option<Vec<CommandPath>>,
    /// When it ends or ended; absent while nobody has decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time_utc: Option<String>,
    /// As of a port.
    pub status: &'static str,
    /// As of a port.
    pub status_reason: &'static str,
    /// How far it is, in our own words.
    pub state: crate::request::State,
    /// Why the machine does not give it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A port of a request as it is shown.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitNetworkAccessRequestPort")]
pub struct ShownPort {
    /// The port.
    pub number: u16,
    /// From where, when that is one prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_source_address_prefix: Option<String>,
    /// From where, when there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_source_address_prefixes: Option<Vec<String>>,
    /// When it closes or closed; absent while nobody has decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time_utc: Option<String>,
    /// `Initiated` while it is open, `Revoked` when it is not any more, `Pending` while somebody must decide.
    pub status: &'static str,
    /// `UserRequested`, `Expired` or `NewerRequestInitiated`.
    pub status_reason: &'static str,
    /// How far it is, in our own words.
    pub state: crate::request::State,
    /// What it carried so far, as its machine told; absent as long as nobody has used it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<ShownUsage>,
}

/// What an opened port carried.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitUsage")]
pub struct ShownUsage {
    /// When it was first used.
    pub first_used_utc: String,
    /// When it was last used.
    pub last_used_utc: String,
    /// Connections.
    pub connections: u64,
    /// Packets in both directions.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl From<&Used> for ShownUsage {
    fn from(used: &Used) -> Self {
        let at = |ms: i64| OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
        let text = |ms| instant(at(ms).unwrap_or(OffsetDateTime::UNIX_EPOCH));
        Self {
            first_used_utc: text(used.first),
            last_used_utc: text(used.last),
            connections: used.flows,
            packets: used.packets,
            bytes: used.bytes,
        }
    }
}

/// What is shown of a request beyond Azure's fields.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitRequestExtras")]
pub struct ShownExtras {
    /// What the actions on requests name it by.
    pub id: String,
    /// The object id of whoever asked.
    pub requestor_id: String,
    /// The ticket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket_number: Option<String>,
    /// How many must say yes; absent when nobody needs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approvals_required: Option<usize>,
    /// Until when somebody may decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decide_before_utc: Option<String>,
    /// What was decided so far.
    pub reviews: Vec<crate::request::Review>,
    /// More time that was asked for and waits for a yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension: Option<ShownExtension>,
    /// What happened to it, oldest first.
    pub history: Vec<crate::request::Moment>,
}

/// More time that waits for a yes, as it is shown.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitExtension")]
pub struct ShownExtension {
    /// Until when.
    pub end_time_utc: String,
    /// Who asked for it.
    pub requestor: String,
    /// Their object id.
    pub requestor_id: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub justification: Option<String>,
    /// The ticket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket_number: Option<String>,
    /// How many must say yes.
    pub approvals_required: usize,
    /// Until when somebody may decide.
    pub decide_before_utc: String,
    /// What was decided so far.
    pub reviews: Vec<crate::request::Review>,
}

/// A policy, read.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The machines.
    pub machines: Vec<Guarded>,
    /// What Azure has no word for.
    pub settings: Settings,
}

/// A machine of a policy, read.
#[derive(Debug, Clone)]
pub struct Guarded {
    /// The machine.
    pub id: Scope,
    /// Its guarded ports, each once; none where the policy is about users alone.
    pub ports: Vec<PortRule>,
}

/// A guarded port, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRule {
    /// The port.
    pub number: u16,
    /// The protocol.
    pub protocol: Protocol,
    /// From where requests may ask.
    pub allowed: Sources,
    /// The longest that one may ask for.
    pub longest: Duration,
}

impl Policy {
    /// Reads the `properties` of a policy.
    ///
    /// # Errors
    /// 400 with the path of what is wrong.
    pub fn parse(properties: &Value) -> Result<Policy, ArmError> {
        let given: PolicyProperties = typed(properties, "properties")?;
        let settings = Settings::parse(&given.sekisho.unwrap_or_default())?;
        let least =
            usize::from(settings.sudo.is_none() && settings.account.is_none() && settings.login.is_none());
        if given.virtual_machines.len() > MAX_MACHINES {
            return Err(invalid("properties.virtualMachines", format!("at most {MAX_MACHINES} machines")));
        }
        let mut machines: Vec<Guarded> = Vec::new();
        for (index, machine) in given.virtual_machines.iter().enumerate() {
            let at = format!("properties.virtualMachines[{index}]");
            let id = machine_id(&machine.id, &at)?;
            if machines.iter().any(|m| m.id == id) {
                return Err(invalid(&format!("{at}.id"), "each machine is named once"));
            }
            if !(least..=MAX_PORTS).contains(&machine.ports.len()) {
                let why = format!("{least} to {MAX_PORTS} ports are guarded");
                return Err(invalid(&format!("{at}.ports"), why));
            }
            let mut ports: Vec<PortRule> = Vec::new();
            for (index, port) in machine.ports.iter().enumerate() {
                let rule = port.parse(&format!("{at}.ports[{index}]"))?;
                if ports.iter().any(|p| p.number == rule.number && p.protocol.overlaps(rule.protocol)) {
                    let at = format!("{at}.ports[{index}].number");
                    return Err(invalid(&at, "each port is guarded once"));
                }
                ports.push(rule);
            }
            machines.push(Guarded { id, ports });
        }
        Ok(Policy { machines, settings })
    }

    /// Whether it lets anybody become more than they are on a machine.
    pub fn raises(&self) -> bool {
        self.settings.sudo.is_some() || self.settings.account.is_some()
    }

    /// The longest that something may be there which somebody has on a machine; `None` when the policy does not let
    /// anybody ask for it.
    pub fn longest(&self, machine: &Scope, what: &What) -> Option<Duration> {
        match what {
            What::Port(port) => {
                let allows =
                    |r: &&PortRule| r.protocol == port.protocol && port.sources.is_within(&r.allowed);
                self.rules(machine, port.number).find(allows).map(|rule| rule.longest)
            }
            What::Raised(_) | What::Login(_) if !self.machines.iter().any(|m| m.id == *machine) => None,
            What::Raised(Raised { gives: Gives::Account, .. }) => {
                self.settings.account.as_ref().map(|offer| offer.longest)
            }
            What::Raised(Raised { gives: Gives::Sudo(sudo), .. }) => {
                let offer = self.settings.sudo.as_ref().filter(|offer| sudo.is_within(&offer.most));
                offer.map(|offer| offer.longest)
            }
            What::Login(_) => self.settings.login.as_ref().map(|offer| offer.longest),
        }
    }

    /// The rule about a port of a machine that a request asks for by its number. TCP before UDP, as people mean it.
    pub fn rules<'p>(&'p self, machine: &Scope, number: u16) -> impl Iterator<Item = &'p PortRule> {
        let ports = self.machines.iter().find(|m| m.id == *machine).map(|m| m.ports.as_slice());
        ports.unwrap_or_default().iter().filter(move |p| p.number == number)
    }
}

impl PolicyPort {
    fn parse(&self, at: &str) -> Result<PortRule, ArmError> {
        let allowed = sources(
            self.allowed_source_address_prefix.as_deref(),
            self.allowed_source_address_prefixes.as_deref(),
            at,
        )?;
        let Some(allowed) = allowed else {
            let why = "one of allowedSourceAddressPrefix and allowedSourceAddressPrefixes is required";
            return Err(invalid(at, why));
        };
        let longest = duration::parse(&self.max_request_access_duration)
            .filter(|d| (SHORTEST..=LONGEST).contains(d))
            .ok_or_else(|| {
                invalid(
                    &format!("{at}.maxRequestAccessDuration"),
                    "the maximum is an ISO 8601 duration of PT5M to P1D",
                )
            })?;
        Ok(PortRule { number: self.number, protocol: self.protocol, allowed, longest })
    }
}

/// The sources of a port in one of the two forms; `None` when there is neither.
///
/// # Errors
/// 400 when both are there, or one cannot be read.
pub fn sources(one: Option<&str>, several: Option<&[String]>, at: &str) -> Result<Option<Sources>, ArmError> {
    let (read, field) = match (one, several) {
        (Some(_), Some(_)) => {
            let why = "allowedSourceAddressPrefix and allowedSourceAddressPrefixes exclude each other";
            return Err(invalid(at, why));
        }
        (None, None) => return Ok(None),
        (Some(one), None) => (Sources::parse([one]), "allowedSourceAddressPrefix"),
        (None, Some(all)) => (Sources::parse(all.iter().map(String::as_str)), "allowedSourceAddressPrefixes"),
    };
    read.map(Some).map_err(|e| invalid(&format!("{at}.{field}"), e))
}

/// The id of a machine.
///
/// # Errors
/// 400 when it is none.
pub fn machine_id(text: &str, at: &str) -> Result<Scope, ArmError> {
    let id = Scope::parse(text).ok().filter(|id| id.type_name() == sekisho_link::machine::vm_type());
    id.ok_or_else(|| invalid(&format!("{at}.id"), "it is not the id of a virtual machine"))
}

/// 400 about a field.
pub(crate) fn invalid(target: &str, why: impl fmt::Display) -> ArmError {
    ArmError::invalid_content(format!("The request content is not valid: {why}.")).target(target.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const VM: &str = "/subscriptions/33333333-3333-3333-3333-333333333333/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/vm1";

    fn port(changes: Value) -> Value {
        let mut port = json!({"number": 22, "protocol": "*", "allowedSourceAddressPrefix": "*",
            "maxRequestAccessDuration": "PT3H"});
        for (key, value) in changes.as_object().unwrap() {
            port[key] = value.clone();
        }
        port
    }

    fn policy(ports: Value) -> Result<Policy, ArmError> {
        Policy::parse(&json!({"virtualMachines": [{"id": VM, "ports": ports}]}))
    }

    #[test]
    fn a_policy_holds_to_azures_limits_and_a_refusal_names_the_field() {
        let read =
            policy(json!([port(json!({})), port(json!({"number": 3389, "protocol": "Tcp"}))])).unwrap();
        assert_eq!(read.machines[0].ports[0].longest, Duration::hours(3));
        assert_eq!(read.machines[0].ports[1].protocol, Protocol::Tcp);
        let several = json!({"allowedSourceAddressPrefix": null, "allowedSourceAddressPrefixes": ["10.0.0.0/8", "::1"]});
        policy(json!([port(several)])).unwrap();
        for number in [0, 65535] {
            policy(json!([port(json!({ "number": number }))])).unwrap();
        }
        for longest in ["PT5M", "P1D", "PT24H"] {
            policy(json!([port(json!({ "maxRequestAccessDuration": longest }))])).unwrap();
        }
        for (wrong, field) in [
            (json!({"number": 65536}), "number"),
            (json!({"number": -1}), "number"),
            (json!({"protocol": "ICMP"}), "protocol"),
            (json!({"allowedSourceAddressPrefix": null}), "ports[0]"),
            (json!({"allowedSourceAddressPrefixes": ["10.0.0.1"]}), "ports[0]"),
            (json!({"allowedSourceAddressPrefix": "Internet"}), "allowedSourceAddressPrefix"),
            (json!({"maxRequestAccessDuration": "PT4M59S"}), "maxRequestAccessDuration"),
            (json!({"maxRequestAccessDuration": "P1DT1S"}), "maxRequestAccessDuration"),
            (json!({"maxRequestAccessDuration": "3h"}), "maxRequestAccessDuration"),
        ] {
            let refused = policy(json!([port(wrong.clone())])).unwrap_err();
            let target = refused.target.clone().unwrap_or_default();
            assert!(refused.status == 400 && target.ends_with(field), "{wrong}: {target}");
        }
        let twice = [port(json!({})), port(json!({"protocol": "UDP"}))];
        assert!(policy(json!(twice)).is_err(), "a port that is guarded twice has two answers");
        policy(json!([port(json!({"protocol": "TCP"})), port(json!({"protocol": "UDP"}))])).unwrap();
        assert!(policy(json!([])).is_err());
        let machine = |id: &str| json!({"virtualMachines": [{"id": id, "ports": [port(json!({}))]}]});
        for id in ["vm1", "", "/subscriptions/x", &VM.replace("virtualMachines", "disks")] {
            assert!(Policy::parse(&machine(id)).is_err(), "{id}");
        }
        let both = json!({"virtualMachines": [{"id": VM, "ports": [port(json!({}))]},
            {"id": VM.to_uppercase(), "ports": [port(json!({}))]}]});
        assert!(Policy::parse(&both).is_err());
    }
}
