//! `Microsoft.Network/networkSecurityGroups/securityRules`: the wire struct, and [`RuleSpec`], the same rule parsed
//! into a type that cannot be wrong.

use std::ops::RangeInclusive;

use ipnet::IpNet;
use schemars::JsonSchema;
use sekisho_arm::{ArmError, Scope};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{SubResource, parse_prefix, validate_name};
use crate::policy::{Access, Direction, PortRange, Ports, Protocol};

/// Priorities that a user's rule can have; lower is asked first.
pub const PRIORITIES: RangeInclusive<i64> = 100..=4096;
/// The longest description, in characters.
pub const MAX_DESCRIPTION_CHARS: usize = 140;
/// Application security groups on one side of a rule. Azure's overview says one, its limits page 10, its API takes an
/// array; a body that Azure took must work here, so the largest holds.
pub const MAX_ASGS_PER_SIDE: usize = 10;
/// Prefixes on one side of a rule (Azure: 4,000 addresses and ranges per side of one NSG).
pub const MAX_PREFIXES: usize = 4000;

/// A security rule, alone or inside its NSG's body.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SecurityRule {
    /// The rule's name in its NSG.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The rule's id; made by the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What the rule says.
    pub properties: SecurityRulePropertiesFormat,
    /// Fields not named here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// `SecurityRulePropertiesFormat` of Azure's specification.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SecurityRulePropertiesFormat {
    /// Free text, at most [`MAX_DESCRIPTION_CHARS`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `Tcp`, `Udp`, `Icmp`, `Esp`, `Ah` or `*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// A port, a range `a-b` or `*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_port_range: Option<String>,
    /// Several ports and ranges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_port_ranges: Option<Vec<String>>,
    /// A port, a range `a-b` or `*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_port_range: Option<String>,
    /// Several ports and ranges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_port_ranges: Option<Vec<String>>,
    /// An address, a prefix, `*` or a tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_address_prefix: Option<String>,
    /// Several addresses and prefixes; no `*`, no tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_address_prefixes: Option<Vec<String>>,
    /// Groups whose members are the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_application_security_groups: Option<Vec<SubResource>>,
    /// An address, a prefix, `*` or a tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_address_prefix: Option<String>,
    /// Several addresses and prefixes; no `*`, no tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_address_prefixes: Option<Vec<String>>,
    /// Groups whose members are the destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_application_security_groups: Option<Vec<SubResource>>,
    /// `Allow` or `Deny`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<String>,
    /// 100 to 4096, unique among the NSG's rules of one direction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// `Inbound` or `Outbound`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// Fields not named here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A security rule in which every field has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSpec {
    /// The rule's name.
    pub name: String,
    /// Lower is asked first.
    pub priority: u16,
    /// The direction of the flow's first packet.
    pub direction: Direction,
    /// What the rule does.
    pub access: Access,
    /// The protocol.
    pub protocol: Protocol,
    /// Where the packet comes from.
    pub source: Side,
    /// Where the packet goes.
    pub destination: Side,
}

/// One side of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// The addresses.
    pub addresses: AddressSpec,
    /// The ports.
    pub ports: Ports,
}

/// The addresses of one side as the author named them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressSpec {
    /// `*`.
    Any,
    /// A service tag, in the author's spelling; tags compare without case.
    Tag(String),
    /// Addresses and prefixes; never empty.
    Prefixes(Vec<IpNet>),
    /// Ids of application security groups; never empty.
    Groups(Vec<Scope>),
}

impl SecurityRule {
    /// Checks a user's rule: its name and every field of its properties.
    ///
    /// # Errors
    /// The first thing Azure would refuse, as a 400 with `target`.
    pub fn validate(&self) -> Result<RuleSpec, ArmError> {
        let name = self.name.as_deref().unwrap_or_default();
        validate_name(name)?;
        let spec = self.properties.parse(name)?;
        if !PRIORITIES.contains(&i64::from(spec.priority)) {
            return Err(invalid_priority(i64::from(spec.priority)));
        }
        Ok(spec)
    }
}

impl SecurityRulePropertiesFormat {
    /// Spells `protocol`, `access` and `direction` as Azure does, whatever case they were sent in. Unknown values stay
    /// for [`Self::parse`] to refuse.
    pub fn canonicalize(&mut self) {
        let set = |slot: &mut Option<String>, value: Option<&'static str>| {
            if let Some(value) = value {
                *slot = Some(value.to_owned());
            }
        };
        let (protocol, access, direction) =
            (self.protocol.clone(), self.access.clone(), self.direction.clone());
        set(&mut self.protocol, protocol.and_then(|p| Protocol::parse(&p)).map(Protocol::as_str));
        set(&mut self.access, access.and_then(|a| Access::parse(&a)).map(Access::as_str));
        set(&mut self.direction, direction.and_then(|d| Direction::parse(&d)).map(Direction::as_str));
    }

    /// The service tags that it names, also when the rest of it cannot be read.
    pub fn named_tags(&self) -> impl Iterator<Item = &str> {
        let sides = [&self.source_address_prefix, &self.destination_address_prefix];
        let texts = sides.into_iter().filter_map(|side| side.as_deref());
        texts.filter(|text| is_tag_name(text) && parse_prefix(text).is_none())
    }

    /// The names of the application security groups that it names, in lower case, also when the rest of it cannot be read.
    pub fn named_groups(&self) -> impl Iterator<Item = String> {
        let sides = [&self.source_application_security_groups, &self.destination_application_security_groups];
        let ids = sides.into_iter().flatten().flatten().filter_map(|group| group.id.as_deref());
        ids.filter_map(|id| Some(id.rsplit('/').next()?.to_ascii_lowercase()))
    }

    /// Parses the rule. Default rules parse too: the range of user priorities is checked by
    /// [`SecurityRule::validate`] only.
    ///
    /// # Errors
    /// The first thing Azure would refuse, as a 400 with `target`.
    pub fn parse(&self, name: &str) -> Result<RuleSpec, ArmError> {
        if self.description.as_ref().is_some_and(|d| d.chars().count() > MAX_DESCRIPTION_CHARS) {
            return Err(ArmError::bad(
                "SecurityRuleInvalidDescription",
                format!(
                    "Security rule {name} has invalid Description. It can be up to {MAX_DESCRIPTION_CHARS} \
                     characters long."
                ),
            )
            .target("properties.description"));
        }
        let protocol = choice(name, "protocol", self.protocol.as_deref(), Protocol::parse)?;
        let access = choice(name, "access", self.access.as_deref(), Access::parse)?;
        let direction = choice(name, "direction", self.direction.as_deref(), Direction::parse)?;
        let priority = self.priority.ok_or_else(|| missing(name, "priority", "Priority"))?;
        let priority =
            u16::try_from(priority).ok().filter(|p| *p > 0).ok_or_else(|| invalid_priority(priority))?;
        let source = Side {
            addresses: addresses(
                name,
                "source",
                self.source_address_prefix.as_deref(),
                self.source_address_prefixes.as_deref(),
                self.source_application_security_groups.as_deref(),
            )?,
            ports: ports(
                name,
                "source",
                self.source_port_range.as_deref(),
                self.source_port_ranges.as_deref(),
            )?,
        };
        let destination = Side {
            addresses: addresses(
                name,
                "destination",
                self.destination_address_prefix.as_deref(),
                self.destination_address_prefixes.as_deref(),
                self.destination_application_security_groups.as_deref(),
            )?,
            ports: ports(
                name,
                "destination",
                self.destination_port_range.as_deref(),
                self.destination_port_ranges.as_deref(),
            )?,
        };
        Ok(RuleSpec { name: name.to_owned(), priority, direction, access, protocol, source, destination })
    }
}

impl RuleSpec {
    /// The service tags the rule names, with the field each is in, for the caller to look up.
    pub fn tags(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.sides().filter_map(|(field, side)| match &side.addresses {
            AddressSpec::Tag(tag) => Some((field, tag.as_str())),
            _ => None,
        })
    }

    /// The application security groups the rule names, for the caller to look up.
    pub fn groups(&self) -> impl Iterator<Item = &Scope> {
        self.sides().flat_map(|(_, side)| match &side.addresses {
            AddressSpec::Groups(groups) => groups.as_slice(),
            _ => &[],
        })
    }

    /// The error for a tag that the caller could not find.
    pub fn unknown_tag(&self, field: &str, tag: &str) -> ArmError {
        invalid_prefix(&self.name, tag).target(field)
    }

    fn sides(&self) -> impl Iterator<Item = (&'static str, &Side)> {
        [
            ("properties.sourceAddressPrefix", &self.source),
            ("properties.destinationAddressPrefix", &self.destination),
        ]
        .into_iter()
    }
}

/// Whether a text has the form of a service tag, such as `Storage` or `AzureCloud.westeurope`: a letter, then letters,
/// digits, `.`, `_` and `-`.
pub fn is_tag_name(text: &str) -> bool {
    text.len() <= super::MAX_NAME
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn choice<T>(
    rule: &str,
    field: &str,
    value: Option<&str>,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, ArmError> {
    let upper = capitalized(field);
    let value = value.filter(|v| !v.is_empty()).ok_or_else(|| missing(rule, field, &upper))?;
    parse(value).ok_or_else(|| {
        ArmError::bad(
            &format!("SecurityRuleInvalid{upper}"),
            format!("Security rule {rule} has invalid {upper}. Value provided: {value}."),
        )
        .target(format!("properties.{field}"))
    })
}

fn addresses(
    rule: &str,
    side: &str,
    single: Option<&str>,
    several: Option<&[String]>,
    groups: Option<&[SubResource]>,
) -> Result<AddressSpec, ArmError> {
    // Azure's own answers carry empty plurals beside the singular, and some clients send an empty singular back.
    let single = single.filter(|s| !s.is_empty());
    let several = several.filter(|s| !s.is_empty());
    let groups = groups.filter(|g| !g.is_empty());
    let (one, many) =
        (format!("properties.{side}AddressPrefix"), format!("properties.{side}AddressPrefixes"));
    let upper = capitalized(side);
    match (single, several, groups) {
        (None, None, None) => Err(missing(
            rule,
            &format!("{side}AddressPrefix"),
            &format!("{upper}AddressPrefixes, {upper}AddressPrefix, or {upper}ApplicationSecurityGroups"),
        )),
        (Some("*"), None, None) => Ok(AddressSpec::Any),
        (Some(text), None, None) => match parse_prefix(text) {
            Some(net) => Ok(AddressSpec::Prefixes(vec![net])),
            None if is_tag_name(text) => Ok(AddressSpec::Tag(text.to_owned())),
            None => Err(invalid_prefix(rule, text).target(one)),
        },
        (None, Some(texts), None) => {
            if texts.len() > MAX_PREFIXES {
                return Err(too_many(rule, &many, texts.len(), MAX_PREFIXES));
            }
            let parse = |(i, text): (usize, &String)| {
                parse_prefix(text).ok_or_else(|| {
                    if text == "*" || is_tag_name(text) {
                        ArmError::bad(
                            "SecurityRuleParameterContainsUnsupportedValue",
                            format!(
                                "Security rule parameter {upper}AddressPrefixes for rule with Id {rule} cannot \
                                 specify existing VIRTUALNETWORK, INTERNET, AZURELOADBALANCER, '*' or system tags. \
                                 Unsupported value used: {text}."
                            ),
                        )
                    } else {
                        invalid_prefix(rule, text)
                    }
                    .target(format!("{many}[{i}]"))
                })
            };
            Ok(AddressSpec::Prefixes(texts.iter().enumerate().map(parse).collect::<Result<_, _>>()?))
        }
        (None, None, Some(groups)) => {
            let field = format!("properties.{side}ApplicationSecurityGroups");
            if groups.len() > MAX_ASGS_PER_SIDE {
                return Err(too_many(rule, &field, groups.len(), MAX_ASGS_PER_SIDE));
            }
            let parse = |(i, group): (usize, &SubResource)| {
                group.scope("Microsoft.Network/applicationSecurityGroups", &format!("{field}[{i}]"))
            };
            Ok(AddressSpec::Groups(groups.iter().enumerate().map(parse).collect::<Result<_, _>>()?))
        }
        _ => Err(conflicting(rule, &one, &format!("{upper}AddressPrefix"))),
    }
}

fn ports(
    rule: &str,
    side: &str,
    single: Option<&str>,
    several: Option<&[String]>,
) -> Result<Ports, ArmError> {
    let single = single.filter(|s| !s.is_empty());
    let several = several.filter(|s| !s.is_empty());
    let upper = capitalized(side);
    let field = format!("properties.{side}PortRange");
    let texts: Vec<(String, &str)> = match (single, several) {
        (None, None) => {
            return Err(missing(
                rule,
                &format!("{side}PortRange"),
                &format!("{upper}PortRanges or {upper}PortRange"),
            ));
        }
        (Some(_), Some(_)) => return Err(conflicting(rule, &field, &format!("{upper}PortRange"))),
        (Some(text), None) => vec![(field, text)],
        (None, Some(texts)) => {
            texts.iter().enumerate().map(|(i, t)| (format!("{field}s[{i}]"), t.as_str())).collect()
        }
    };
    if texts.len() > MAX_PREFIXES {
        return Err(too_many(rule, &format!("properties.{side}PortRanges"), texts.len(), MAX_PREFIXES));
    }
    let mut ranges = Vec::with_capacity(texts.len());
    for (target, text) in texts {
        let range = PortRange::parse_any(text);
        ranges.push(range.ok_or_else(|| {
            ArmError::bad(
                "SecurityRuleInvalidPortRange",
                format!(
                    "Security rule has invalid Port range. Value provided: {text}. Value should be an integer OR \
                     integer range with '-' delimiter. Valid range 0-65535."
                ),
            )
            .target(target)
        })?);
    }
    // Azure shows `*` as `0-65535`, so the two must mean the same.
    Ok(Ports::of(&ranges))
}

fn capitalized(field: &str) -> String {
    let mut chars = field.chars();
    chars.next().map_or_else(String::new, |c| c.to_ascii_uppercase().to_string() + chars.as_str())
}

fn missing(rule: &str, field: &str, names: &str) -> ArmError {
    ArmError::bad(
        "SecurityRuleParametersMissing",
        format!(
            "Required security rule parameters are missing for security rule with Id: {rule}. Security rule must \
             specify {names}."
        ),
    )
    .target(format!("properties.{field}"))
}

fn conflicting(rule: &str, target: &str, what: &str) -> ArmError {
    ArmError::bad(
        "SecurityRuleParametersConflict",
        format!(
            "Security rule {rule} gives {what} in more than one form. Give either the single value, or the list, or \
             application security groups."
        ),
    )
    .target(target)
}

fn too_many(rule: &str, target: &str, count: usize, limit: usize) -> ArmError {
    ArmError::bad(
        "SecurityRuleParameterExceedsLimit",
        format!("Security rule {rule} has {count} values in {target}. The limit is {limit}."),
    )
    .target(target)
}

fn invalid_prefix(rule: &str, value: &str) -> ArmError {
    ArmError::bad(
        "SecurityRuleInvalidAddressPrefix",
        format!("Security rule {rule} has invalid Address prefix. Value provided: {value}"),
    )
}

fn invalid_priority(value: i64) -> ArmError {
    ArmError::bad(
        "SecurityRuleInvalidPriority",
        format!(
            "Security rule has invalid Priority. Value provided: {value}. Value should be between {} and {}.",
            PRIORITIES.start(),
            PRIORITIES.end()
        ),
    )
    .target("properties.priority")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ASG: &str = "/subscriptions/33333333-3333-3333-3333-333333333333/resourceGroups/rg/providers/Microsoft.Network/applicationSecurityGroups/web";

    /// A good rule, with some properties replaced; `null` removes one.
    fn rule(changes: Value) -> SecurityRule {
        let mut properties = json!({"protocol": "Tcp", "access": "Allow", "direction": "Inbound", "priority": 100,
            "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*",
            "destinationPortRange": "22"});
        for (key, value) in changes.as_object().unwrap() {
            properties[key] = value.clone();
        }
        serde_json::from_value(json!({"name": "ssh", "properties": properties})).unwrap()
    }

    fn refused(changes: Value) -> (String, String) {
        let error = rule(changes).validate().unwrap_err();
        assert_eq!(error.status, 400);
        (error.code, error.target.unwrap_or_default().replacen("properties.", "", 1))
    }

    fn pair(code: &str, target: &str) -> (String, String) {
        (code.to_owned(), target.to_owned())
    }

    #[test]
    fn a_rule_is_parsed_whatever_the_case_of_its_words() {
        let spec =
            rule(json!({"protocol": "tCP", "access": "DENY", "direction": "outbound"})).validate().unwrap();
        assert_eq!(
            (spec.protocol, spec.access, spec.direction),
            (Protocol::Tcp, Access::Deny, Direction::Outbound)
        );
        let mut shown =
            rule(json!({"protocol": "ICMP", "access": "allow", "direction": "INBOUND"})).properties;
        shown.canonicalize();
        assert_eq!(
            (shown.protocol.as_deref(), shown.access.as_deref(), shown.direction.as_deref()),
            (Some("Icmp"), Some("Allow"), Some("Inbound"))
        );
        for protocol in ["Tcp", "Udp", "Icmp", "Esp", "Ah", "*"] {
            assert!(rule(json!({"protocol": protocol})).validate().is_ok(), "{protocol}");
        }
    }

    #[test]
    fn each_form_survives_as_it_was_sent() {
        for properties in [
            json!({"sourceAddressPrefix": "10.0.0.0/8", "sourceAddressPrefixes": [], "x": {"y": null}}),
            json!({"sourceAddressPrefixes": ["10.0.0.0/8"], "destinationPortRanges": ["80"]}),
            json!({"sourceApplicationSecurityGroups": [{"id": ASG, "location": "home"}]}),
        ] {
            let body = json!({"name": "r", "etag": "W/1", "properties": properties});
            let parsed: SecurityRule = serde_json::from_value(body.clone()).unwrap();
            assert_eq!(serde_json::to_value(parsed).unwrap(), body);
        }
    }

    #[test]
    fn priorities_are_100_to_4096() {
        for good in [100, 4096] {
            assert!(rule(json!({"priority": good})).validate().is_ok());
        }
        for bad in [-1, 0, 99, 4097, 65000, 70000] {
            assert_eq!(refused(json!({"priority": bad})), pair("SecurityRuleInvalidPriority", "priority"));
        }
    }

    #[test]
    fn every_required_field_is_asked_for_by_name() {
        for field in [
            "protocol",
            "access",
            "direction",
            "priority",
            "sourceAddressPrefix",
            "sourcePortRange",
            "destinationAddressPrefix",
            "destinationPortRange",
        ] {
            assert_eq!(refused(json!({field: null})), pair("SecurityRuleParametersMissing", field));
        }
        for field in ["protocol", "sourceAddressPrefix", "destinationPortRange"] {
            assert_eq!(refused(json!({field: ""})), pair("SecurityRuleParametersMissing", field));
        }
        // An empty list is no value.
        assert_eq!(
            refused(json!({"sourceAddressPrefix": null, "sourceAddressPrefixes": []})),
            pair("SecurityRuleParametersMissing", "sourceAddressPrefix")
        );
    }

    #[test]
    fn wrong_words_ports_and_prefixes_are_refused_at_their_field() {
        assert_eq!(refused(json!({"protocol": "Gre"})), pair("SecurityRuleInvalidProtocol", "protocol"));
        assert_eq!(refused(json!({"access": "Drop"})), pair("SecurityRuleInvalidAccess", "access"));
        assert_eq!(refused(json!({"direction": "in"})), pair("SecurityRuleInvalidDirection", "direction"));
        for bad in ["80,443", "65536", "90-80", "-1", " 80", "http", "+1"] {
            assert_eq!(
                refused(json!({"destinationPortRange": bad})),
                pair("SecurityRuleInvalidPortRange", "destinationPortRange"),
                "{bad}"
            );
        }
        assert_eq!(
            refused(json!({"sourcePortRange": null, "sourcePortRanges": ["1", "x"]})),
            pair("SecurityRuleInvalidPortRange", "sourcePortRanges[1]")
        );
        for bad in [
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0",
            "fd00::1/64",
            "300.0.0.1",
            "10.0.0.0/8; drop",
            "1.2.3.4-1.2.3.9",
        ] {
            assert_eq!(
                refused(json!({"sourceAddressPrefix": bad})),
                pair("SecurityRuleInvalidAddressPrefix", "sourceAddressPrefix"),
                "{bad}"
            );
        }
        assert_eq!(
            refused(json!({"description": "x".repeat(141)})),
            pair("SecurityRuleInvalidDescription", "description")
        );
        assert!(rule(json!({"description": "é".repeat(140)})).validate().is_ok());
    }

    #[test]
    fn a_list_holds_prefixes_of_both_families_and_neither_tags_nor_a_star() {
        let list = |values: Value| json!({"sourceAddressPrefix": null, "sourceAddressPrefixes": values});
        let spec = rule(list(json!(["10.0.0.0/8", "fd00::/8", "1.2.3.4"]))).validate().unwrap();
        assert!(matches!(spec.source.addresses, AddressSpec::Prefixes(nets) if nets.len() == 3));
        for bad in ["Internet", "*"] {
            assert_eq!(
                refused(list(json!(["10.0.0.0/8", bad]))),
                pair("SecurityRuleParameterContainsUnsupportedValue", "sourceAddressPrefixes[1]")
            );
        }
        let tag = rule(json!({"sourceAddressPrefix": "Storage.WestEurope"})).validate().unwrap();
        assert_eq!(
            tag.tags().collect::<Vec<_>>(),
            [("properties.sourceAddressPrefix", "Storage.WestEurope")]
        );
    }

    #[test]
    fn one_side_is_given_in_one_form() {
        let conflict = |target| pair("SecurityRuleParametersConflict", target);
        assert_eq!(
            refused(json!({"sourceAddressPrefixes": ["10.0.0.0/8"]})),
            conflict("sourceAddressPrefix")
        );
        assert_eq!(refused(json!({"sourcePortRanges": ["80"]})), conflict("sourcePortRange"));
        assert_eq!(
            refused(json!({"destinationApplicationSecurityGroups": [{"id": ASG}]})),
            conflict("destinationAddressPrefix")
        );
        let groups = |n: usize| {
            json!({"destinationAddressPrefix": null,
                "destinationApplicationSecurityGroups": vec![json!({"id": ASG}); n]})
        };
        assert_eq!(rule(groups(10)).validate().unwrap().groups().count(), 10);
        assert_eq!(refused(groups(11)).0, "SecurityRuleParameterExceedsLimit");
        assert_eq!(
            refused(json!({"sourceAddressPrefix": null, "sourceApplicationSecurityGroups": [{"id": "web"}]}))
                .1,
            "sourceApplicationSecurityGroups[0].id"
        );
    }

    #[test]
    fn all_ports_written_out_are_a_star() {
        for all in [json!(["0-65535"]), json!(["*", "80"]), json!(["0-80", "81-65535"])] {
            let spec =
                rule(json!({"destinationPortRange": null, "destinationPortRanges": all})).validate().unwrap();
            assert_eq!(spec.destination.ports, Ports::Any);
        }
        assert_ne!(rule(json!({})).validate().unwrap().destination.ports, Ports::Any);
    }
}
