//! The sockets that wait for somebody: those of TCP that listen, and those of UDP that are connected with nobody. The kernel
//! picks them; the tables of text under `/proc/net` take it through every place that a connection could have.

use super::sockets::{self, FAMILIES, LISTENING, Socket, UNCONNECTED};
use crate::netlink::NetlinkError;
use crate::netlink::socket;

/// All of this network namespace, each with its protocol (6 or 17).
///
/// # Errors
/// When the kernel cannot be asked, because its `inet_diag` is not there.
pub fn listening() -> Result<Vec<(u8, Socket)>, NetlinkError> {
    let mut socket = socket::Socket::of_sockets()?;
    let mut all = Vec::new();
    for (protocol, states) in [(6, LISTENING), (17, UNCONNECTED)] {
        for family in FAMILIES {
            socket.dump(&sockets::ask(family, protocol, states), |kind, payload| {
                all.extend(sockets::told(kind, payload).map(|socket| (protocol, socket)));
            })?;
        }
    }
    Ok(all)
}
