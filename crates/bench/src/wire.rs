//! A wire of their own between two machines of the lab, on which packets are put as a neighbour's card would put them: whole
//! frames, many for one call of the kernel. No switch is passed (the lab's is a bridge, whose own hooks cost as much as all
//! else) and no route is looked up for them, so that little of what a packet costs is its sending.

use std::io::IoSlice;
use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::{Context as _, ensure};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, MultiHeaders, SockFlag, SockType, bind, sendmmsg, socket,
};
use sekisho_lab::Host;

use crate::network::shell;

/// The card of either machine at its end of the wire.
pub(crate) const CARD: &str = "wire";
/// `ETH_P_IP`.
const IPV4: [u8; 2] = [8, 0];

/// One end of a wire.
pub(crate) struct Wire {
    socket: OwnedFd,
    /// What each frame begins with.
    header: Vec<u8>,
}

impl Wire {
    /// Lays the wire. This is the end of `sender`, whose frames `receiver` takes for its own.
    pub(crate) fn between(sender: &Host, receiver: &Host) -> anyhow::Result<Wire> {
        let peer = receiver.namespace();
        shell(
            sender,
            &format!("ip link add {CARD} type veth peer name {CARD} netns {peer}; ip link set {CARD} up"),
        )?;
        shell(receiver, &format!("ip link set {CARD} up"))?;
        let (from, to) = (sender.inside(card)??, receiver.inside(card)??);
        let socket = sender.inside(|| -> anyhow::Result<OwnedFd> {
            // Of no protocol, so that nothing that arrives is given to it.
            let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
            bind(socket.as_raw_fd(), &from)?;
            Ok(socket)
        })??;
        let of = |card: LinkAddr| card.addr().context("a card without an address");
        let header = [&of(to)?[..], &of(from)?[..], &IPV4].concat();
        Ok(Wire { socket, header })
    }

    /// The frame of an IPv4 packet.
    pub(crate) fn frame(&self, packet: &[u8]) -> Vec<u8> {
        [&self.header, packet].concat()
    }

    /// Frames that can be sent again and again, at most 1,024 (`UIO_MAXIOV`).
    pub(crate) fn send(&self, frames: &[Vec<u8>]) -> anyhow::Result<()> {
        let slices: Vec<[IoSlice<'_>; 1]> = frames.iter().map(|frame| [IoSlice::new(frame)]).collect();
        let mut headers = MultiHeaders::<()>::preallocate(frames.len(), None);
        let to = vec![None; frames.len()];
        let sent =
            sendmmsg(self.socket.as_raw_fd(), &mut headers, &slices, to, [], MsgFlags::empty())?.count();
        ensure!(sent == frames.len(), "{sent} of {} frames were sent", frames.len());
        Ok(())
    }
}

fn card() -> anyhow::Result<LinkAddr> {
    getifaddrs()?
        .filter(|each| each.interface_name == CARD)
        .find_map(|each| each.address.and_then(|address| address.as_link_addr().copied()))
        .with_context(|| format!("no {CARD}"))
}
