//! Security groups as clients write them.

use std::collections::HashSet;

use sekisho_arm::Scope;
use sekisho_nsg::allowed::allowed;
use sekisho_nsg::diagram::{ALLOW, Budget, DENY, Manager, ORDERS};
use sekisho_nsg::evaluate::evaluate;
use sekisho_nsg::policy::{Direction, InterfaceName};
use sekisho_nsg::resolve::{AttachedNsg, Inputs, NicInput, resolve};
use sekisho_nsg::resources::{NetworkSecurityGroup, SecurityRule};

/// Enough for any group of a few rules, and little enough to try thousands a second.
const BUDGET: Budget = Budget { edges: 20_000, work: 1_000_000 };
const GROUP: &str = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/g/providers/Microsoft.Network/networkSecurityGroups/n";
const NIC: &str = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/g/providers/Microsoft.Network/networkInterfaces/n";

/// A group that is taken means the same in the spelling in which it is kept, can be made into what a machine enforces once
/// what it names is there, and a packet that its diagram says passes, or does not, is judged so rule by rule.
pub fn rules(data: &[u8]) {
    let Ok(group) = serde_json::from_slice::<NetworkSecurityGroup>(data) else { return };
    if let Err(error) = group.validate("n") {
        assert_eq!(error.status, 400, "{error}");
        return;
    }
    let rules = group.properties.security_rules.clone().unwrap_or_default();
    let mut inputs = Inputs::default();
    for rule in &rules {
        let spec = rule.validate().expect("it was taken");
        let mut kept: SecurityRule = rule.clone();
        kept.properties.canonicalize();
        assert_eq!(kept.validate().as_ref(), Ok(&spec));
        spec.tags().for_each(|(_, tag)| inputs.tags.insert(tag, Vec::new()));
        inputs.groups.extend(spec.groups().map(|group| (group.clone(), Vec::new())));
    }
    let scope = |id: &str| Scope::parse(id).expect("an id");
    inputs.nics.push(NicInput {
        id: scope(NIC),
        mac: None,
        interface: InterfaceName::new("eth0").expect("a name"),
        addresses: vec![
            "10.0.0.4/24".parse().expect("an address"),
            "fd00::4/64".parse().expect("an address"),
        ],
        network: Some(vec!["10.0.0.0/16".parse().expect("a network")]),
        nic_nsg: Some(AttachedNsg {
            id: scope(GROUP),
            rules,
            audit: group.is_audit().expect("it was taken"),
            existing_flows: group.existing_flows().expect("it was taken"),
            platform: group.platform_exceptions().expect("it was taken"),
        }),
        subnet_nsg: None,
        groups: HashSet::new(),
        in_azure: true,
        admin: None,
    });
    let part = resolve(&inputs).expect("what it names is there");
    let policy = part.nics.first().expect("one interface");
    for direction in [Direction::Inbound, Direction::Outbound] {
        let [order, ..] = ORDERS;
        let mut manager = Manager::new(order);
        let Ok(passes) = allowed(&mut manager, policy, direction, BUDGET) else { continue };
        for wanted in [ALLOW, DENY] {
            let Some(point) = manager.witness(passes, &|terminal| terminal == wanted) else { continue };
            let packet = point.packet();
            let verdict = evaluate(policy, direction, &packet);
            assert_eq!(verdict.allow, wanted == ALLOW, "{direction:?} {packet:?} {verdict:?}");
        }
    }
}
