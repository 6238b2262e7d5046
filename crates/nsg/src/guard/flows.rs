//! The connections of an opening that the kernel knows: connection tracking's entries with its mark, over netlink
//! (`linux/netfilter/nfnetlink_conntrack.h`). The kernel chooses them by mark, so that others are not copied.
//!
//! Pure; what is read may be anything.

use super::Transport;
use super::wire::{Messages, put};
use crate::watch::attribute;

/// `NFNL_SUBSYS_CTNETLINK`.
const SUBSYSTEM: u16 = 1 << 8;
const IPCTNL_MSG_CT_NEW: u16 = SUBSYSTEM;
const IPCTNL_MSG_CT_GET: u16 = SUBSYSTEM | 1;

const CTA_TUPLE_ORIG: u16 = 1;
const CTA_MARK: u16 = 8;
const CTA_ID: u16 = 12;
const CTA_MARK_MASK: u16 = 21;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;

/// A connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Flow {
    /// The kernel's name for it, for as long as it lives.
    pub(super) id: u32,
    pub(super) mark: u32,
    pub(super) protocol: Transport,
    pub(super) port: u16,
}

/// Asks for the connections with a mark.
pub(super) fn ask(mark: u32) -> Messages {
    Messages::dump(IPCTNL_MSG_CT_GET, |b| {
        put(b, CTA_MARK, &mark.to_be_bytes());
        put(b, CTA_MARK_MASK, &u32::MAX.to_be_bytes());
    })
}

/// The connection in a message of a listing; `None` for what is none over TCP or UDP.
pub(super) fn flow(kind: u16, payload: &[u8]) -> Option<Flow> {
    if kind != IPCTNL_MSG_CT_NEW {
        return None;
    }
    let body = payload.get(4..)?;
    let number = |kind| Some(u32::from_be_bytes(attribute(body, kind)?.try_into().ok()?));
    let tuple = attribute(attribute(body, CTA_TUPLE_ORIG)?, CTA_TUPLE_PROTO)?;
    let protocol = match attribute(tuple, CTA_PROTO_NUM)? {
        [6] => Transport::Tcp,
        [17] => Transport::Udp,
        _ => return None,
    };
    let port = u16::from_be_bytes(attribute(tuple, CTA_PROTO_DST_PORT)?.try_into().ok()?);
    Some(Flow { id: number(CTA_ID)?, mark: number(CTA_MARK)?, protocol, port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::wire::nest;
    use proptest::prelude::*;

    fn message(flow: Flow) -> Vec<u8> {
        let mut body = vec![0; 4];
        nest(&mut body, CTA_TUPLE_ORIG, |b| {
            nest(b, CTA_TUPLE_PROTO, |b| {
                put(b, CTA_PROTO_NUM, &[if flow.protocol == Transport::Tcp { 6 } else { 17 }]);
                put(b, CTA_PROTO_DST_PORT, &flow.port.to_be_bytes());
            });
        });
        put(&mut body, CTA_MARK, &flow.mark.to_be_bytes());
        put(&mut body, CTA_ID, &flow.id.to_be_bytes());
        body
    }

    proptest! {
        #[test]
        fn a_connection_is_read_as_it_is_written_and_nothing_less_is_one(
            id: u32, mark: u32, port: u16, tcp: bool, cut in 0_usize..64,
        ) {
            let protocol = if tcp { Transport::Tcp } else { Transport::Udp };
            let expected = Flow { id, mark, protocol, port };
            let whole = message(expected);
            prop_assert_eq!(flow(IPCTNL_MSG_CT_NEW, &whole), Some(expected));
            prop_assert_eq!(flow(IPCTNL_MSG_CT_GET, &whole), None);
            let cut = cut.min(whole.len() - 1);
            prop_assert_eq!(flow(IPCTNL_MSG_CT_NEW, &whole[..cut]), None);
        }

        #[test]
        fn any_bytes_are_read_without_panic(data in prop::collection::vec(any::<u8>(), 0..200)) {
            flow(IPCTNL_MSG_CT_NEW, &data);
        }
    }
}
