//! Which rule decides some traffic, and which fields of every rule that was asked match: Azure's "NSG diagnostics". Unlike
//! [`evaluate`](crate::evaluate), which judges one packet, a question here may be about many: a prefix, a range of ports,
//! every protocol. It has an answer when one rule decides all of them; otherwise the answer names the first rule that
//! decides a part, because half a truth would be a wrong one.

use ipnet::IpNet;

use crate::diagram::{DENY, Family, Manager, NodeId, ORDERS, Product, product};
use crate::policy::{
    Addresses, Direction, NicPolicy, PORT_PROTOCOLS, PortRange, Ports, Protocol, Rule, RuleAction, Stage,
};

/// The traffic that a question is about: everything that is in all five.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// The protocols.
    pub protocol: Protocol,
    /// Where it comes from.
    pub source: Addresses,
    /// From which ports.
    pub source_ports: Ports,
    /// Where it goes.
    pub destination: Addresses,
    /// To which ports.
    pub destination_ports: Ports,
}

impl Traffic {
    /// A rule that matches it, and nothing else.
    fn as_rule(&self) -> Rule {
        Rule {
            name: String::new(),
            priority: 0,
            access: RuleAction::Allow,
            protocol: self.protocol,
            source: self.source.clone(),
            destination: self.destination.clone(),
            source_ports: self.source_ports.clone(),
            destination_ports: self.destination_ports.clone(),
        }
    }
}

/// How one rule stands to the traffic, field by field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matched<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// Whether the rule's protocols are all of the traffic's.
    pub protocol: bool,
    /// As of the protocol.
    pub source: bool,
    /// As of the protocol.
    pub source_port: bool,
    /// As of the protocol.
    pub destination: bool,
    /// As of the protocol.
    pub destination_port: bool,
}

/// What one group says.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked<'a> {
    /// The group, at its place.
    pub stage: &'a Stage,
    /// The rule that decides; `None` when none does ([`Stage::otherwise`]).
    pub decides: Option<&'a Rule>,
    /// Every rule that was asked, in order.
    pub rules: Vec<Matched<'a>>,
}

/// There is no one answer for all of the traffic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Divided {
    /// A rule decides a part of it only.
    #[error("the rule '{rule}' of {nsg} is about a part of this traffic; ask about less at a time")]
    ByRule {
        /// The rule's name.
        rule: String,
        /// The group's id.
        nsg: String,
    },
    /// What the rules deny of it is denied but for what goes to services of Azure's platform.
    #[error(
        "a part of this traffic goes to services of Azure's platform, which no rule is asked about, and the rest is \
         denied; ask about less at a time"
    )]
    ByPlatform,
}

/// What every group says of some traffic, in the order they are asked, up to the first that denies or always allows it;
/// nothing when no rule is asked, because all of it goes to services of Azure's platform.
///
/// # Errors
/// [`Divided`].
pub fn diagnose<'a>(
    policy: &'a NicPolicy,
    direction: Direction,
    traffic: &Traffic,
) -> Result<Vec<Asked<'a>>, Divided> {
    let mut out = Vec::new();
    let unasked = to_platform(policy, direction, traffic);
    if unasked == Share::All {
        return Ok(out);
    }
    for stage in policy.stages(direction) {
        let mut asked = Asked { stage, decides: None, rules: Vec::new() };
        for rule in &stage.rules {
            let fields = Fields::of(rule, traffic);
            asked.rules.push(fields.matched(rule));
            match fields.whole() {
                Share::All => {
                    asked.decides = Some(rule);
                    break;
                }
                Share::Some => {
                    return Err(Divided::ByRule { rule: rule.name.clone(), nsg: stage.nsg.clone() });
                }
                Share::None => {}
            }
        }
        let action = stage.action(asked.decides);
        if action == RuleAction::Deny && unasked == Share::Some {
            return Err(Divided::ByPlatform);
        }
        out.push(asked);
        if action != RuleAction::Allow {
            break;
        }
    }
    Ok(out)
}

/// How much of the traffic is in something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Share {
    None,
    Some,
    All,
}

/// How much of the traffic goes to services of Azure's platform that are reached whatever the rules say.
fn to_platform(policy: &NicPolicy, direction: Direction, traffic: &Traffic) -> Share {
    if direction == Direction::Inbound || policy.platform.is_empty() {
        return Share::None;
    }
    let [order, ..] = ORDERS;
    let mut manager = Manager::new(order);
    let mut set = |products: Vec<(Family, Product)>| {
        products.iter().fold(NodeId::from(DENY), |all, (family, product)| {
            let one = manager.set(*family, product);
            manager.or(all, one)
        })
    };
    let alike = traffic.as_rule();
    let asked = set(Family::ALL.into_iter().filter_map(|f| Some((f, product(&alike, f)?))).collect());
    let platform = policy.platform.iter().flat_map(|service| service.products());
    let platform = set(platform.map(|p| (Family::V4, p)).collect());
    let nothing = NodeId::from(DENY);
    match (manager.and(asked, platform), manager.without(asked, platform)) {
        (some, _) if some == nothing => Share::None,
        (_, others) if others == nothing => Share::All,
        _ => Share::Some,
    }
}

struct Fields {
    protocol: Share,
    source: Share,
    source_port: Share,
    destination: Share,
    destination_port: Share,
}

impl Fields {
    fn of(rule: &Rule, traffic: &Traffic) -> Fields {
        let has_ports = !matches!(rule.protocol, Protocol::Icmp | Protocol::Esp | Protocol::Ah);
        let ports = |own: &Ports, asked: &Ports| if has_ports { ports(own, asked) } else { void(own) };
        Fields {
            protocol: protocols(rule, traffic.protocol),
            source: addresses(&rule.source, &traffic.source),
            source_port: ports(&rule.source_ports, &traffic.source_ports),
            destination: addresses(&rule.destination, &traffic.destination),
            destination_port: ports(&rule.destination_ports, &traffic.destination_ports),
        }
    }

    fn all(&self) -> [Share; 5] {
        [self.protocol, self.source, self.source_port, self.destination, self.destination_port]
    }

    fn whole(&self) -> Share {
        self.all().into_iter().min().unwrap_or(Share::All)
    }

    fn matched<'a>(&self, rule: &'a Rule) -> Matched<'a> {
        let [protocol, source, source_port, destination, destination_port] =
            self.all().map(|share| share == Share::All);
        Matched { rule, protocol, source, source_port, destination, destination_port }
    }
}

/// A condition on ports that the protocol does not have is void, unless it is that there is none.
fn void(own: &Ports) -> Share {
    if matches!(own, Ports::Only(ranges) if ranges.is_empty()) { Share::None } else { Share::All }
}

fn protocols(rule: &Rule, asked: Protocol) -> Share {
    let restricted = rule.source_ports != Ports::Any || rule.destination_ports != Ports::Any;
    let own: Option<&[u8]> = match rule.protocol {
        Protocol::Any if restricted => Some(&PORT_PROTOCOLS),
        other => other.numbers(),
    };
    match (own, asked.numbers()) {
        (None, _) => Share::All,
        (Some([]), _) => Share::None,
        (Some(_), None) => Share::Some,
        (Some(own), Some(asked)) => match asked.iter().filter(|n| own.contains(n)).count() {
            0 => Share::None,
            n if n == asked.len() => Share::All,
            _ => Share::Some,
        },
    }
}

fn ports(own: &Ports, asked: &Ports) -> Share {
    let whole: Vec<PortRange> = PortRange::new(0, u16::MAX).into_iter().collect();
    let ranges = |set: &Ports| match set {
        Ports::Any => whole.clone(),
        Ports::Only(ranges) => PortRange::merge(ranges),
    };
    let (own, asked): (Vec<PortRange>, Vec<PortRange>) = (ranges(own), ranges(asked));
    let inside = |a: &PortRange| own.iter().any(|o| o.first() <= a.first() && a.last() <= o.last());
    let touches = |a: &PortRange| own.iter().any(|o| o.first() <= a.last() && a.first() <= o.last());
    share(&asked, inside, touches)
}

fn addresses(own: &Addresses, asked: &Addresses) -> Share {
    let own = match own {
        Addresses::Any => return Share::All,
        Addresses::Only(nets) => IpNet::aggregate(nets),
    };
    let asked = match asked {
        Addresses::Any if own.is_empty() => return Share::None,
        Addresses::Any => all_addresses(),
        Addresses::Only(nets) => IpNet::aggregate(nets),
    };
    let inside = |a: &IpNet| own.iter().any(|o| o.contains(a));
    let touches = |a: &IpNet| own.iter().any(|o| o.contains(a) || a.contains(o));
    share(&asked, inside, touches)
}

fn all_addresses() -> Vec<IpNet> {
    ["0.0.0.0/0", "::/0"].iter().filter_map(|net| net.parse().ok()).collect()
}

fn share<T>(asked: &[T], inside: impl Fn(&T) -> bool, touches: impl Fn(&T) -> bool) -> Share {
    if asked.iter().all(inside) {
        return Share::All;
    }
    if asked.iter().any(touches) { Share::Some } else { Share::None }
}
