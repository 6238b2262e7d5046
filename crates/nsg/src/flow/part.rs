//! The part of a machine's desired state that says whose flows are logged.

use serde::{Deserialize, Serialize};

use crate::policy::{InterfaceName, MacAddress, NsgPart};
use crate::resources::flow_log::CONTINUE_SECONDS;

/// The part's name.
pub const PART: &str = "flowLog";

/// Whose flows are logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowPart {
    /// The interfaces; none when nothing is logged.
    pub nics: Vec<LoggedNic>,
    /// Seconds after which a flow that goes on is told of again.
    pub continue_seconds: u32,
}

impl Default for FlowPart {
    fn default() -> Self {
        Self { nics: Vec::new(), continue_seconds: CONTINUE_SECONDS }
    }
}

/// An interface whose flows are logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoggedNic {
    /// Its name on the machine.
    pub interface: InterfaceName,
    /// Its hardware address, by which it is found when its name has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
}

/// The policy in which the kernel tells of what it denies at these interfaces.
pub fn with_logs(mut part: NsgPart, flows: &FlowPart) -> NsgPart {
    for nic in &mut part.nics {
        let same = |l: &LoggedNic| l.interface == nic.interface || (l.mac.is_some() && l.mac == nic.mac);
        nic.logged = flows.nics.iter().any(same);
    }
    part
}
