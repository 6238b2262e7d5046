//! Netlink messages as bytes: those that are sent, built; those that come, walked. Pure; what comes may be anything.

use crate::watch::{attribute, next_message};

pub(super) const NLM_F_REQUEST: u16 = 0x1;
pub(super) const NLM_F_ACK: u16 = 0x4;
pub(super) const NLM_F_DUMP: u16 = 0x300;

/// `NLMSG_ERROR` and `NLMSG_DONE`.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// Message types below are netlink's own.
const OWN: u16 = 16;

/// One message: header, then what `body` appends.
pub(super) fn message(kind: u16, flags: u16, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.extend(kind.to_ne_bytes());
    out.extend((flags | NLM_F_REQUEST).to_ne_bytes());
    out.extend([0; 8]);
    body(&mut out);
    let length = u32::try_from(out.len()).unwrap_or(u32::MAX);
    out[..4].copy_from_slice(&length.to_ne_bytes());
    out
}

/// `nfgenmsg`: family, version, resource.
pub(super) fn netfilter(out: &mut Vec<u8>, family: u8, resource: u16) {
    out.extend([family, 0]);
    out.extend(resource.to_be_bytes());
}

/// An attribute.
pub(super) fn put(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend(u16::try_from(4 + value.len()).unwrap_or(u16::MAX).to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// What a datagram of answers says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// More follows.
    More,
    /// That was all.
    Done,
    /// The kernel refuses, with this `errno`; 0 is that it has done what was asked.
    Error(i32),
}

/// Gives each message of a datagram, by type and payload, to `each`.
pub(super) fn answers<'a>(mut datagram: &'a [u8], mut each: impl FnMut(u16, &'a [u8])) -> Answer {
    while let Some((kind, payload, rest)) = next_message(datagram) {
        datagram = rest;
        match kind {
            DONE => return Answer::Done,
            ERROR => {
                let code = payload.get(..4).and_then(|b| b.try_into().ok()).map_or(-1, i32::from_ne_bytes);
                return Answer::Error(code.saturating_neg());
            }
            kind if kind < OWN => {}
            kind => each(kind, payload),
        }
    }
    Answer::More
}

/// The attributes that follow `nfgenmsg`.
pub(super) fn after_netfilter(payload: &[u8]) -> &[u8] {
    payload.get(4..).unwrap_or_default()
}

/// A number of an attribute, as netfilter writes them: the most significant byte first.
pub(super) fn number<const N: usize>(attributes: &[u8], kind: u16) -> Option<[u8; N]> {
    attribute(attributes, kind)?.get(..N)?.try_into().ok()
}
