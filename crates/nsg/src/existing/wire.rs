//! Flows as messages of `ctnetlink` (`linux/netfilter/nfnetlink_conntrack.h`): listed, and marked.

use super::{CUT, CUT_MASK, Fate, Flow};
use crate::netlink::conntrack::{
    CT_DELETE, CT_GET, CT_NEW, CTA_MARK, CTA_MARK_MASK, CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_ZONE, tuple,
};
use crate::netlink::message::{
    NLM_F_ACK, NLM_F_DUMP, after_netfilter, attribute, message, nest, netfilter, number, put,
};

/// A flow, with what the kernel wants to hear to find it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) flow: Flow,
    family: u8,
    tuple: Vec<u8>,
    zone: Option<Vec<u8>>,
}

/// Asks for every flow.
pub(super) fn list() -> Vec<u8> {
    message(CT_GET, NLM_F_DUMP, |out| netfilter(out, 0, 0))
}

/// Does to a flow what is to be done; the kernel answers.
pub(super) fn change(of: &Listed, fate: Fate) -> Vec<u8> {
    let kind = if fate == Fate::Forget { CT_DELETE } else { CT_NEW };
    message(kind, NLM_F_ACK, |out| {
        netfilter(out, of.family, 0);
        nest(out, CTA_TUPLE_ORIG, |out| out.extend(&of.tuple));
        if let Some(zone) = &of.zone {
            put(out, CTA_ZONE, zone);
        }
        let mark = match fate {
            Fate::Cut => CUT,
            Fate::Restore => 0,
            Fate::Forget => return,
        };
        put(out, CTA_MARK, &mark.to_be_bytes());
        put(out, CTA_MARK_MASK, &CUT_MASK.to_be_bytes());
    })
}

/// A flow of a listing; `None` for what cannot be read.
pub(super) fn listed(payload: &[u8]) -> Option<Listed> {
    let body = after_netfilter(payload);
    Some(Listed {
        flow: flow_of(payload)?,
        family: *payload.first()?,
        tuple: attribute(body, CTA_TUPLE_ORIG)?.to_vec(),
        zone: attribute(body, CTA_ZONE).map(<[u8]>::to_vec),
    })
}

/// The flow that the payload of a `ctnetlink` message describes; `None` for what cannot be read.
pub fn flow_of(payload: &[u8]) -> Option<Flow> {
    let body = after_netfilter(payload);
    Some(Flow {
        original: tuple(attribute(body, CTA_TUPLE_ORIG)?)?,
        reply: tuple(attribute(body, CTA_TUPLE_REPLY)?)?,
        mark: number(body, CTA_MARK).map_or(0, u32::from_be_bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::conntrack::tests::{tuples, write_tuple};
    use proptest::prelude::*;

    fn written(flow: &Flow) -> Vec<u8> {
        message(CT_NEW, 0, |out| {
            netfilter(out, 2, 0);
            write_tuple(out, CTA_TUPLE_ORIG, &flow.original);
            write_tuple(out, CTA_TUPLE_REPLY, &flow.reply);
            put(out, CTA_MARK, &flow.mark.to_be_bytes());
        })
    }

    proptest! {
        #[test]
        fn a_flow_reads_back_as_it_was_written_and_is_marked_as_it_was_listed(
            (original, reply) in any::<bool>().prop_flat_map(|v6| (tuples(v6), tuples(v6))), mark in any::<u32>(),
        ) {
            let flow = Flow { original, reply, mark };
            let found = listed(&written(&flow)[16..]).unwrap();
            prop_assert_eq!(&found.flow, &flow);
            let asked = change(&found, Fate::Cut);
            let body = after_netfilter(&asked[16..]);
            prop_assert_eq!(attribute(body, CTA_TUPLE_ORIG), Some(found.tuple.as_slice()));
            prop_assert_eq!(number(body, CTA_MARK).map(u32::from_be_bytes), Some(CUT));
        }

        #[test]
        fn any_bytes_are_read_without_panic(data in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = listed(&data);
        }
    }
}
