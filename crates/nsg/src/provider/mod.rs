//! The server side: the network types, the resources that machines' facts make, and the compiler of desired parts.
//!
//! Writes are checked here against what exists (tags, groups, subnets); [`Compiler`] reads everything back and makes
//! each machine's [`NsgPart`](crate::policy::NsgPart); [`Interfaces`] keeps one network interface resource for each
//! interface that an agent reports.

mod compiler;
mod flow_logs;
mod groups;
mod hits;
mod interfaces;
mod invariants;
mod judge;
mod lookup;
mod managers;
mod networks;
mod places;
mod simulate;
mod standing;
mod tag_lists;
mod tag_sets;
mod tags;
mod traffic;
mod watchers;

use sekisho_arm::registry::{Action, PutStyle, Registry, any_schema};
use sekisho_arm::{NETWORK_VERSIONS, ScopeKind, Storage, TypeName, TypeSpec};

pub use compiler::{Compiler, EffectKind, EffectRule, EffectStage, RuleEffect};
pub use flow_logs::{FlowCompiler, KeptFlowLog, flow_logs, guid, logged};
pub use interfaces::Interfaces;
pub use judge::{Judge, PolicyChange, Refused, TrafficChange, Violation};
pub use places::places;
pub use traffic::TrafficEffect;

/// Adds the types of this crate.
pub fn register(registry: &mut Registry) {
    registry
        .add(groups::SecurityGroups)
        .add(groups::SecurityRules)
        .add(groups::DefaultRules)
        .add(groups::ApplicationGroups)
        .add(networks::VirtualNetworks)
        .add(networks::Subnets)
        .add(networks::PublicAddresses)
        .add(interfaces::NetworkInterfaces)
        .add(tags::ServiceTags)
        .add(tag_sets::ServiceTagSets)
        .add(tag_lists::ServiceTagLists)
        .add(tag_lists::ServiceTagDetails)
        .add(invariants::Invariants);
    managers::register(registry);
    registry.add(watchers::NetworkWatchers).add(flow_logs::FlowLogs);
}

/// The actions by which network resources are attached to each other, as Azure calls them.
pub const LINK_ACTIONS: [&str; 4] = [JOIN_GROUP, JOIN_SUBNET, JOIN_ASG_NIC, JOIN_ASG_RULE];
const JOIN_GROUP: &str = "Microsoft.Network/networkSecurityGroups/join/action";
const JOIN_SUBNET: &str = "Microsoft.Network/virtualNetworks/subnets/join/action";
const JOIN_ASG_NIC: &str = "Microsoft.Network/applicationSecurityGroups/joinIpConfiguration/action";
const JOIN_ASG_RULE: &str = "Microsoft.Network/applicationSecurityGroups/joinNetworkSecurityRule/action";

const fn spec(path: &'static str, storage: Storage) -> TypeSpec {
    TypeSpec {
        namespace: "Microsoft.Network",
        path,
        versions: NETWORK_VERSIONS,
        scopes: &[ScopeKind::ResourceGroup],
        storage,
        put: PutStyle::Normal,
        location: true,
        shows_etag: true,
        shows_state: true,
        actions: NO_ACTIONS,
        schema: any_schema,
    }
}

const NO_ACTIONS: &[Action] = &[];

fn type_name(path: &str) -> TypeName {
    TypeName::new("Microsoft.Network", path)
}
