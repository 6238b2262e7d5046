//! The connections of an opening that the kernel knows: connection tracking's entries with its mark, over netlink
//! (`linux/netfilter/nfnetlink_conntrack.h`). The kernel chooses them by mark, so that others are not copied.
//!
//! Pure; what is read may be anything.

use super::Transport;
use crate::netlink::conntrack::{CT_GET, CT_NEW, CTA_ID, CTA_MARK, CTA_MARK_MASK, CTA_TUPLE_ORIG, tuple};
use crate::netlink::message::{NLM_F_DUMP, after_netfilter, attribute, message, netfilter, number, put};

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
pub(super) fn ask(mark: u32) -> Vec<u8> {
    message(CT_GET, NLM_F_DUMP, |b| {
        netfilter(b, 0, 0);
        put(b, CTA_MARK, &mark.to_be_bytes());
        put(b, CTA_MARK_MASK, &u32::MAX.to_be_bytes());
    })
}

/// The connection in a message of a listing; `None` for what is none over TCP or UDP.
pub(super) fn flow(kind: u16, payload: &[u8]) -> Option<Flow> {
    if kind != CT_NEW {
        return None;
    }
    let body = after_netfilter(payload);
    let number = |kind| number(body, kind).map(u32::from_be_bytes);
    let original = tuple(attribute(body, CTA_TUPLE_ORIG)?)?;
    let protocol = match original.protocol {
        6 => Transport::Tcp,
        17 => Transport::Udp,
        _ => return None,
    };
    Some(Flow { id: number(CTA_ID)?, mark: number(CTA_MARK)?, protocol, port: original.destination_port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::conntrack::tests::{tuples, write_tuple};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_connection_is_read_as_it_is_written_and_nothing_less_is_one(
            id: u32, mark: u32, original in tuples(false), cut in 0_usize..96,
        ) {
            let protocol = match original.protocol {
                6 => Some(Transport::Tcp),
                17 => Some(Transport::Udp),
                _ => None,
            };
            let expected = protocol.map(|protocol| Flow { id, mark, protocol, port: original.destination_port });
            let mut whole = vec![0; 4];
            write_tuple(&mut whole, CTA_TUPLE_ORIG, &original);
            put(&mut whole, CTA_MARK, &mark.to_be_bytes());
            put(&mut whole, CTA_ID, &id.to_be_bytes());
            prop_assert_eq!(flow(CT_NEW, &whole), expected);
            prop_assert_eq!(flow(CT_GET, &whole), None);
            let cut = cut.min(whole.len() - 1);
            prop_assert_eq!(flow(CT_NEW, &whole[..cut]), None);
        }

        #[test]
        fn any_bytes_are_read_without_panic(data in prop::collection::vec(any::<u8>(), 0..200)) {
            flow(CT_NEW, &data);
        }
    }
}
