//! The part of a machine's desired state that is about its packet filter: per NIC and direction, the stages that all
//! must allow a new flow. Names are already resolved, so the agent needs nothing but this document.
//!
//! The types make the dangerous mistakes impossible to write: "any" is [`Addresses::Any`] and nothing else, an empty
//! list matches nothing, a port range is never backwards, an interface name holds no nftables syntax.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::existing::ExistingFlows;
use crate::guard::Guard;
use crate::platform::PlatformService;

/// The packet filter of one machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NsgPart {
    /// The machine's NICs. An interface that is not listed is not filtered.
    pub nics: Vec<NicPolicy>,
}

/// What one NIC lets in and out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NicPolicy {
    /// The NIC's hardware address, by which an agent can find it when its name has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
    /// The name of the interface on the machine.
    pub interface: InterfaceName,
    /// Rules of network managers, the subnet's NSG, the NIC's. Empty: inbound traffic is not filtered.
    pub inbound: Vec<Stage>,
    /// Rules of network managers, the NIC's NSG, the subnet's. Empty: outbound traffic is not filtered.
    pub outbound: Vec<Stage>,
    /// Ports that are closed to everybody but those for whom something is open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guarded: Vec<Guard>,
    /// What becomes of flows that exist when the rules change.
    #[serde(default, skip_serializing_if = "ExistingFlows::is_keep")]
    pub existing_flows: ExistingFlows,
    /// Services of Azure's platform that are reached whatever the rules say.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub platform: BTreeSet<PlatformService>,
    /// Whether the kernel tells of what it denies here ([`crate::flow`]).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub logged: bool,
}

impl NicPolicy {
    /// The stages of one direction, in the order they are asked.
    pub fn stages(&self, direction: Direction) -> &[Stage] {
        match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        }
    }
}

/// One NSG at one place, or the rules of network managers, which stand above all. The first rule that matches decides; a flow
/// that no rule matches is denied by an NSG, and goes on from the rules of network managers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    /// The id of the NSG or of the network manager.
    pub nsg: String,
    /// What the NSG is attached to.
    pub association: Association,
    /// Whether its denials are only counted: it lets everything through.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub audit: bool,
    /// The rules of this direction, defaults included, lowest priority number first.
    pub rules: Vec<Rule>,
}

impl Stage {
    /// What happens to a flow that no rule matches.
    pub fn otherwise(&self) -> RuleAction {
        match self.association {
            Association::Subnet(_) | Association::Nic(_) => RuleAction::Deny,
            Association::Manager(_) => RuleAction::Allow,
        }
    }

    /// What it does with a flow: what the rule that matches says, or what happens without one.
    pub fn action(&self, matched: Option<&Rule>) -> RuleAction {
        match matched.map_or(self.otherwise(), |rule| rule.access) {
            RuleAction::Deny if self.audit => RuleAction::Allow,
            action => action,
        }
    }
}

/// What an NSG is attached to, with that resource's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Association {
    /// A subnet.
    Subnet(String),
    /// A network interface.
    Nic(String),
    /// The network that the rules of network managers hold in.
    Manager(String),
}

impl Association {
    /// The id.
    pub fn id(&self) -> &str {
        let (Self::Subnet(id) | Self::Nic(id) | Self::Manager(id)) = self;
        id
    }
}

/// A rule whose names have become addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// The rule's name in its NSG.
    pub name: String,
    /// 100 to 4096 (1 to 4096 of a network manager), or 65000 and above for the defaults; lower is asked first.
    pub priority: u16,
    /// What happens to a flow that matches.
    pub access: RuleAction,
    /// The protocol that must match.
    pub protocol: Protocol,
    /// Source addresses that match.
    pub source: Addresses,
    /// Destination addresses that match.
    pub destination: Addresses,
    /// Source ports that match; see [`Ports`] for protocols without ports.
    pub source_ports: Ports,
    /// Destination ports that match; see [`Ports`] for protocols without ports.
    pub destination_ports: Ports,
}

/// The direction of a flow's first packet, seen from the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Direction {
    /// Towards the machine.
    Inbound,
    /// Away from the machine.
    Outbound,
}

impl Direction {
    /// Azure's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Inbound => "Inbound",
            Direction::Outbound => "Outbound",
        }
    }

    /// Reads the value in any case, as Azure does.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Inbound, Self::Outbound].into_iter().find(|d| d.as_str().eq_ignore_ascii_case(text))
    }
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Access {
    /// Go on to the next stage, or pass after the last.
    Allow,
    /// Drop.
    Deny,
}

impl Access {
    /// Azure's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Access::Allow => "Allow",
            Access::Deny => "Deny",
        }
    }

    /// Reads the value in any case, as Azure does.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Allow, Self::Deny].into_iter().find(|a| a.as_str().eq_ignore_ascii_case(text))
    }
}

/// What a rule of a stage does. A rule of an NSG is no [`RuleAction::AlwaysAllow`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SecurityConfigurationRuleAccess")]
pub enum RuleAction {
    /// Go on to the next stage, or pass after the last.
    Allow,
    /// Pass, whatever the stages that follow say.
    AlwaysAllow,
    /// Drop.
    Deny,
}

impl RuleAction {
    /// Azure's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "Allow",
            Self::AlwaysAllow => "AlwaysAllow",
            Self::Deny => "Deny",
        }
    }

    /// Reads the value in any case, as Azure does.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Allow, Self::AlwaysAllow, Self::Deny]
            .into_iter()
            .find(|a| a.as_str().eq_ignore_ascii_case(text))
    }

    /// Whether it lets through or not.
    pub fn access(self) -> Access {
        if self == Self::Deny { Access::Deny } else { Access::Allow }
    }
}

impl From<Access> for RuleAction {
    fn from(access: Access) -> Self {
        match access {
            Access::Allow => Self::Allow,
            Access::Deny => Self::Deny,
        }
    }
}

/// The six values of a rule's `protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Protocol {
    /// Every protocol, or every protocol with ports when the rule names ports.
    #[serde(rename = "*")]
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP and ICMPv6.
    Icmp,
    /// IPsec ESP.
    Esp,
    /// IPsec AH. In IPv6 AH is a header among others and Linux reports what follows it, so that there the rule
    /// matches only a packet whose AH header is the last.
    Ah,
}

impl Protocol {
    /// All values, in Azure's order.
    pub const ALL: [Protocol; 6] = [Self::Tcp, Self::Udp, Self::Icmp, Self::Esp, Self::Any, Self::Ah];

    /// Azure's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Any => "*",
            Protocol::Tcp => "Tcp",
            Protocol::Udp => "Udp",
            Protocol::Icmp => "Icmp",
            Protocol::Esp => "Esp",
            Protocol::Ah => "Ah",
        }
    }

    /// Reads the value in any case, as Azure does.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.as_str().eq_ignore_ascii_case(text))
    }

    /// The IP protocol numbers that match; `None` is all of them.
    pub fn numbers(self) -> Option<&'static [u8]> {
        match self {
            Protocol::Any => None,
            Protocol::Tcp => Some(&[6]),
            Protocol::Udp => Some(&[17]),
            Protocol::Icmp => Some(&[1, 58]),
            Protocol::Esp => Some(&[50]),
            Protocol::Ah => Some(&[51]),
        }
    }
}

/// The protocols that a rule for protocol `*` with ports matches: TCP, UDP and SCTP.
pub const PORT_PROTOCOLS: [u8; 3] = [6, 17, 132];

/// A set of addresses of both families.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Addresses {
    /// Every address of both families.
    Any,
    /// These, and when the list is empty none.
    Only(Vec<IpNet>),
}

impl Addresses {
    /// The set that holds no address.
    pub fn none() -> Self {
        Self::Only(Vec::new())
    }

    /// Whether the set holds the address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match self {
            Addresses::Any => true,
            Addresses::Only(nets) => nets.iter().any(|net| net.contains(&address)),
        }
    }
}

/// A set of ports.
///
/// What it means depends on the rule's protocol. For TCP and UDP it is a condition on the port. For `*` a condition
/// makes the rule match only protocols with ports ([`PORT_PROTOCOLS`]); Azure's text leaves this open, and the other
/// reading, `* :22 Allow` letting in every protocol, is the unsafe one. ICMP, ESP and AH have no ports, so for them
/// the condition is void. `0-65535` is the same as `*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ports {
    /// No condition.
    Any,
    /// These, and when the list is empty none.
    Only(Vec<PortRange>),
}

impl Ports {
    /// What some ranges come to.
    pub fn of(ranges: &[PortRange]) -> Ports {
        match PortRange::merge(ranges).as_slice() {
            [all] if all.first == 0 && all.last == u16::MAX => Ports::Any,
            merged => Ports::Only(merged.to_vec()),
        }
    }

    /// Whether the set holds the port.
    pub fn contains(&self, port: u16) -> bool {
        match self {
            Ports::Any => true,
            Ports::Only(ranges) => ranges.iter().any(|r| r.first <= port && port <= r.last),
        }
    }
}

/// An inclusive range of ports, written `22` or `80-90`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// The range from `first` to `last`; `None` when it is backwards.
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// Reads `22` or `80-90`; digits only, without sign or blank.
    pub fn parse(text: &str) -> Option<Self> {
        let port = |t: &str| t.bytes().all(|b| b.is_ascii_digit()).then(|| t.parse::<u16>().ok()).flatten();
        match text.split_once('-') {
            Some((first, last)) => Self::new(port(first)?, port(last)?),
            None => port(text).and_then(|p| Self::new(p, p)),
        }
    }

    /// The same, or `*` for all ports.
    pub fn parse_any(text: &str) -> Option<Self> {
        if text == "*" { Self::new(0, u16::MAX) } else { Self::parse(text) }
    }

    /// The first port.
    pub fn first(self) -> u16 {
        self.first
    }

    /// The last port, which belongs to the range.
    pub fn last(self) -> u16 {
        self.last
    }

    /// The same ports as ranges that are sorted, disjoint and not adjacent.
    pub fn merge(ranges: &[PortRange]) -> Vec<PortRange> {
        let mut sorted = ranges.to_vec();
        sorted.sort_unstable();
        let mut merged: Vec<PortRange> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match merged.last_mut() {
                Some(previous) if u32::from(range.first) <= u32::from(previous.last) + 1 => {
                    previous.last = previous.last.max(range.last);
                }
                _ => merged.push(range),
            }
        }
        merged
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// Why a text is not the value its type takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {what}")]
pub struct ValueError {
    text: String,
    what: &'static str,
}

impl TryFrom<String> for PortRange {
    type Error = ValueError;
    fn try_from(text: String) -> Result<Self, ValueError> {
        Self::parse(&text).ok_or(ValueError { text, what: "a port or port range" })
    }
}

impl From<PortRange> for String {
    fn from(range: PortRange) -> String {
        range.to_string()
    }
}

/// The name of a network interface: 1 to 15 of `A-Z a-z 0-9 _ . -`, and not `lo`.
///
/// Linux takes more characters than these. They are refused because the name goes into an nftables script, where a
/// quote ends the string and a trailing `*` matches every interface. `lo` is refused because filtering loopback
/// breaks a machine in ways that no NSG can mean.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InterfaceName(String);

impl InterfaceName {
    /// Checks a name.
    ///
    /// # Errors
    /// When the name does not follow the type's grammar.
    pub fn new(name: impl Into<String>) -> Result<Self, ValueError> {
        let name = name.into();
        let good = (1..=15).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
            && !matches!(name.as_str(), "lo" | "." | "..");
        if good { Ok(Self(name)) } else { Err(ValueError { text: name, what: "a usable interface name" }) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for InterfaceName {
    type Error = ValueError;
    fn try_from(name: String) -> Result<Self, ValueError> {
        Self::new(name)
    }
}

impl From<InterfaceName> for String {
    fn from(name: InterfaceName) -> String {
        name.0
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A 48-bit hardware address. Reads Azure's `00-0D-3A-1B-C7-21` and Linux' `00:0d:3a:1b:c7:21`, prints the latter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// Reads either spelling.
    ///
    /// # Errors
    /// When the text is not six pairs of hexadecimal digits, all joined by `-` or all by `:`.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let error = || ValueError { text: text.to_owned(), what: "a MAC address" };
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut bytes = [0; 6];
        let mut pairs = text.split(separator);
        for byte in &mut bytes {
            let pair = pairs.next().filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()));
            *byte = pair.and_then(|p| u8::from_str_radix(p, 16).ok()).ok_or_else(error)?;
        }
        if pairs.next().is_some() { Err(error()) } else { Ok(Self(bytes)) }
    }
}

impl MacAddress {
    /// As Azure's flow logs write it: `000D3AF87856`.
    pub fn compact(&self) -> String {
        self.0.iter().map(|b| format!("{b:02X}")).collect()
    }
}

impl TryFrom<String> for MacAddress {
    type Error = ValueError;
    fn try_from(text: String) -> Result<Self, ValueError> {
        Self::parse(&text)
    }
}

impl From<MacAddress> for String {
    fn from(mac: MacAddress) -> String {
        mac.to_string()
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_name_holds_no_nftables_syntax() {
        for bad in
            ["", "lo", "eth0\"", "eth*", "a b", "eth0\n", "a/b", "x;drop", "eth0\\", "abcdefghijklmnop", "é"]
        {
            assert!(InterfaceName::new(bad).is_err(), "{bad:?}");
            assert!(serde_json::from_value::<InterfaceName>(bad.into()).is_err(), "{bad:?}");
        }
        for good in ["eth0", "enp0s31f6", "bond0.100", "br-1a2b3c", "wg_home"] {
            assert!(InterfaceName::new(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn ports_are_digits_in_order() {
        for bad in ["", "-", "1-", "-1", "+80", " 80", "80-79", "65536", "1-2-3", "*", "http", "8O"] {
            assert_eq!(PortRange::parse(bad), None, "{bad:?}");
        }
        assert_eq!(PortRange::parse("0-65535"), PortRange::new(0, 65535));
        assert_eq!(PortRange::parse("22").map(|r| r.to_string()), Some("22".to_owned()));
    }

    #[test]
    fn merged_ports_are_disjoint() {
        let ranges: Vec<PortRange> =
            ["50-60", "1-10", "11", "55-70", "65535"].iter().filter_map(|t| PortRange::parse(t)).collect();
        let text: Vec<String> = PortRange::merge(&ranges).iter().map(ToString::to_string).collect();
        assert_eq!(text, ["1-11", "50-70", "65535"]);
    }

    #[test]
    fn any_and_nothing_are_written_differently() {
        let text = |a: &Addresses| serde_json::to_string(a).unwrap();
        assert_eq!(text(&Addresses::Any), r#""any""#);
        assert_eq!(text(&Addresses::none()), r#"{"only":[]}"#);
        assert!(serde_json::from_str::<Addresses>("null").is_err());
        assert!(serde_json::from_str::<Addresses>("{}").is_err());
    }

    #[test]
    fn mac_addresses_are_read_in_both_spellings() {
        let azure = MacAddress::parse("00-0D-3A-1B-C7-21").unwrap();
        assert_eq!(azure, MacAddress::parse("00:0d:3a:1b:c7:21").unwrap());
        for bad in ["", "00-0D-3A-1B-C7", "00-0D-3A-1B-C7-21-00", "000D3A1BC721", "0g:0d:3a:1b:c7:21"] {
            assert!(MacAddress::parse(bad).is_err(), "{bad}");
        }
    }
}
