//! Which records are asked for.

use std::net::IpAddr;

use super::record::{Record, State};
use crate::policy::Access;

/// What must hold of a record; what is absent holds of all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// It has this address at either end.
    pub address: Option<IpAddr>,
    /// It goes to this port.
    pub port: Option<u16>,
    /// A rule of this name decided, in capitals or not.
    pub rule: Option<String>,
    /// The process has this name.
    pub process: Option<String>,
    /// It was allowed, or denied.
    pub access: Option<Access>,
}

impl Filter {
    /// Whether it holds.
    pub fn holds(&self, record: &Record) -> bool {
        let flow = &record.flow;
        self.address.is_none_or(|at| flow.source == at || flow.destination == at)
            && self.port.is_none_or(|port| flow.destination_port == port)
            && self.access.is_none_or(|access| decision(flow.state) == access)
            && self.rule.as_ref().is_none_or(|name| {
                record.rule.as_ref().is_some_and(|rule| rule.name.eq_ignore_ascii_case(name))
            })
            && self
                .process
                .as_ref()
                .is_none_or(|name| record.process.as_ref().is_some_and(|process| process.name == *name))
    }
}

/// What was decided of a flow in a state.
pub fn decision(state: State) -> Access {
    if state == State::Denied { Access::Deny } else { Access::Allow }
}
