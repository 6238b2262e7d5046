//! The whole server over real TLS: each test starts its own, in a directory of its own, and talks to it as a browser,
//! `az` or an agent would.
//!
//! [`kit`] starts servers and speaks HTTP, [`seed`] fills them, [`device`] stands in for what people hold in their
//! hands, [`agent`] for a machine.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should panic")]

mod agent;
mod analysis;
mod arm;
mod asvs;
mod conditional_access;
mod coverage;
mod desktops;
mod device;
mod duplicates;
mod elsewhere;
mod events;
mod flow_logs;
mod flow_map;
mod flows;
mod generic;
mod hierarchy;
mod invariants;
mod jit;
mod jit_doubt;
mod jit_life;
mod jit_logins;
mod jit_notices;
mod jit_users;
mod keys;
mod kit;
mod link;
mod links;
mod locks;
mod log;
mod matrix;
mod network_managers;
mod oauth;
mod pim;
mod programs;
mod renewal;
mod revocation;
mod rotation;
mod secrets;
mod seed;
mod service_tags;
mod signin;
mod ssh_keys;
mod step_up;
mod storm;
mod tags;
mod watchers;
mod ways_back;
