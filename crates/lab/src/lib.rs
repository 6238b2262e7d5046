//! Test hosts as network namespaces: machines with their own addresses, firewall and host name, joined by a switch,
//! made in a tenth of a second and gone without a trace.
//!
//! A [`Lab`] is a switch; [`Lab::host`] plugs a [`Host`] into it. Programs run inside a host with [`Host::command`];
//! the test itself reaches in with [`Host::inside`], which runs a closure on a thread that has entered the namespace,
//! so that a socket opened there belongs to the host while the test holds it.
//!
//! A [`Site`] is the product itself in a lab: a server and machines with agents, for the demo and for tests. Its machines
//! have `/etc`, `/run` and `/home` of their own ([`Host::with_own_files`]), as agents write there.
//!
//! What this crate must never do: touch an interface, address, firewall rule or file of the machine it runs on, or leave
//! anything behind. Everything a lab makes lies in namespaces named `{prefix}-...`; dropping it removes them, and what
//! a killed owner left is removed by the next [`Lab::new`] of that prefix or by [`Lab::sweep`]. Labs of different
//! prefixes know nothing of each other.

mod api;
mod claim;
mod display;
mod host;
mod ip;
pub mod objects;
pub mod postgres;
pub mod site;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::process::Command;
use std::sync::Mutex;

use ipnet::IpNet;
use nix::sched::{CloneFlags, unshare};

pub use api::Api;
use claim::Claim;
pub use display::{Display, PASSWORD, Picture};
pub use host::{Host, ProbeError};
use ip::ip;
pub use postgres::Postgres;
pub use site::{Site, SiteError};

/// The interface that a host has beside `lo`.
pub const INTERFACE: &str = "eth0";
/// The longest prefix of a lab and the longest name of a host, in bytes.
pub const MAX_NAME: usize = 20;

/// Why a lab could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A prefix or host name is not 1 to [`MAX_NAME`] of `a-z 0-9`.
    #[error("'{0}' is not a lab or host name: 1 to {MAX_NAME} of a-z and 0-9")]
    Name(String),
    /// A lab of this prefix is in use by a living process.
    #[error("the lab '{prefix}' is in use by process {pid}")]
    InUse {
        /// The lab's prefix.
        prefix: String,
        /// The owner's process id, as it wrote it down.
        pid: String,
    },
    /// The lab has a host of that name.
    #[error("the lab has a host '{0}' already")]
    Duplicate(String),
    /// An address is not of the form `10.77.0.4/24`.
    #[error("'{0}' is not an address with a prefix length")]
    Address(String),
    /// A command failed.
    #[error("'{command}' failed: {message}")]
    Command {
        /// The command line.
        command: String,
        /// What it printed.
        message: String,
    },
    /// Something else failed.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        error: std::io::Error,
    },
}

impl LabError {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}

/// A switch and the hosts that are plugged into it. Dropping it ends every process in them and removes them.
#[derive(Debug)]
pub struct Lab {
    prefix: String,
    names: Mutex<BTreeSet<String>>,
    // Last, so that the claim is given up after `drop` has removed everything.
    _claim: Claim,
}

impl Lab {
    /// Makes an empty lab, after removing what a killed owner of the prefix left.
    ///
    /// # Errors
    /// [`LabError::InUse`] when another lab of the prefix lives, in this process or another.
    pub fn new(prefix: &str) -> Result<Self, LabError> {
        check_name(prefix)?;
        let claim = Claim::take(prefix)?;
        remove_namespaces(prefix)?;
        let lab = Self { prefix: prefix.to_owned(), names: Mutex::default(), _claim: claim };
        let switch = lab.namespace(SWITCH);
        ip(&["netns", "add", &switch])?;
        ip(&[
            "-n",
            &switch,
            "link",
            "add",
            "br0",
            "type",
            "bridge",
            "forward_delay",
            "0",
            "mcast_snooping",
            "0",
        ])?;
        ip(&["-n", &switch, "link", "set", "br0", "up"])?;
        Ok(lab)
    }

    /// The lab's prefix.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Plugs a host in. `addresses` are none or more addresses of both families with their prefix lengths, separated
    /// by blanks, such as `10.77.0.4/24 fd77::4/64`.
    ///
    /// # Errors
    /// [`LabError`]; a half-made host is removed with the lab.
    pub fn host(&self, name: &str, addresses: &str) -> Result<Host, LabError> {
        check_name(name)?;
        let addresses: Vec<IpNet> = addresses
            .split_whitespace()
            .map(|a| a.parse().map_err(|_| LabError::Address(a.to_owned())))
            .collect::<Result<_, _>>()?;
        let port = {
            let mut names = self.names.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if name == SWITCH || !names.insert(name.to_owned()) {
                return Err(LabError::Duplicate(name.to_owned()));
            }
            format!("port{}", names.len())
        };
        let (switch, host) = (self.namespace(SWITCH), self.namespace(name));
        ip(&["netns", "add", &host])?;
        ip(&["-n", &host, "link", "set", "lo", "up"])?;
        // Both ends are made inside namespaces: the machine's own never sees them.
        ip(&[
            "-n", &switch, "link", "add", &port, "type", "veth", "peer", "name", INTERFACE, "netns", &host,
        ])?;
        ip(&["-n", &switch, "link", "set", &port, "master", "br0", "up"])?;
        let host = Host::new(name, &host, addresses.clone());
        // Duplicate address detection would keep the link-local address unusable for a second.
        host.inside(|| std::fs::write(format!("/proc/sys/net/ipv6/conf/{INTERFACE}/accept_dad"), "0"))
            .and_then(|done| done)
            .map_err(LabError::io("switching off duplicate address detection"))?;
        for address in &addresses {
            let text = address.to_string();
            let mut arguments = vec!["-n", host.namespace(), "address", "add", &text, "dev", INTERFACE];
            if address.addr().is_ipv6() {
                arguments.push("nodad");
            }
            ip(&arguments)?;
        }
        ip(&["-n", host.namespace(), "link", "set", INTERFACE, "up"])?;
        Ok(host)
    }

    /// Removes what a killed owner of the prefix left behind, and returns how many namespaces that were.
    ///
    /// # Errors
    /// [`LabError::InUse`] when the owner lives.
    pub fn sweep(prefix: &str) -> Result<usize, LabError> {
        check_name(prefix)?;
        let _claim = Claim::take(prefix)?;
        remove_namespaces(prefix)
    }

    fn namespace(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Nobody is left to tell; what could not be removed now is removed by the next sweep.
        let _ = remove_namespaces(&self.prefix);
    }
}

/// The name of the namespace that holds the bridge.
const SWITCH: &str = "switch";

/// Says what is missing on this machine for a lab: root, the programs, or the kernel's permission. Tests that need a
/// lab call this first and say that they were skipped.
///
/// # Errors
/// One sentence for people.
pub fn requirements() -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("not root".to_owned());
    }
    for (program, argument) in
        [("ip", "-V"), ("nft", "--version"), ("setpriv", "--version"), ("unshare", "--version")]
    {
        if !Command::new(program).arg(argument).output().is_ok_and(|o| o.status.success()) {
            return Err(format!("the program {program} is not installed"));
        }
    }
    // Really try: containers are often root without the right to make namespaces or without nftables.
    std::thread::scope(|scope| {
        let probe = || {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|e| format!("cannot make network namespaces: {e}"))?;
            let output = Command::new("nft").args(["add", "table", "inet", "probe"]).output();
            match output {
                Ok(output) if output.status.success() => Ok(()),
                Ok(output) => {
                    Err(format!("nft does not work: {}", String::from_utf8_lossy(&output.stderr).trim()))
                }
                Err(error) => Err(format!("nft does not work: {error}")),
            }
        };
        scope.spawn(probe).join().unwrap_or_else(|_| Err("the probe failed".to_owned()))
    })
}

/// Only these characters, so that `{prefix}-` names the namespaces of one lab and no other.
fn check_name(name: &str) -> Result<(), LabError> {
    let good = (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if good { Ok(()) } else { Err(LabError::Name(name.to_owned())) }
}

fn remove_namespaces(prefix: &str) -> Result<usize, LabError> {
    let names = ip::namespaces().map_err(LabError::io("listing network namespaces"))?;
    let ours: Vec<&String> =
        names.iter().filter(|n| n.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('-'))).collect();
    let mut failed = None;
    for name in &ours {
        let removed = ip::remove(name).map_err(LabError::io(format!("removing the namespace {name}")));
        failed = removed.err().or(failed);
    }
    failed.map_or(Ok(ours.len()), Err)
}

/// Whether an address of a host is of the other's family.
pub(crate) fn same_family(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4()
}
