//! Netlink messages as bytes: those that are sent, built; those that come, walked. Pure; what comes may be anything.

const NLM_F_REQUEST: u16 = 0x1;
pub(crate) const NLM_F_ACK: u16 = 0x4;
pub(crate) const NLM_F_DUMP: u16 = 0x300;
/// The value of an attribute is attributes.
const NLA_F_NESTED: u16 = 0x8000;

/// `NLMSG_ERROR` and `NLMSG_DONE`.
pub(crate) const ERROR: u16 = 2;
pub(crate) const DONE: u16 = 3;
/// Message types below are netlink's own.
const OWN: u16 = 16;

/// One message: header, then what `body` appends.
pub(crate) fn message(kind: u16, flags: u16, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    append(&mut out, kind, flags, 0, body);
    out
}

/// The same behind others, with a number.
pub(crate) fn append(
    out: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    sequence: u32,
    body: impl FnOnce(&mut Vec<u8>),
) {
    let from = out.len();
    out.extend([0; 4]);
    out.extend(kind.to_ne_bytes());
    out.extend((flags | NLM_F_REQUEST).to_ne_bytes());
    out.extend(sequence.to_ne_bytes());
    out.extend([0; 4]);
    body(out);
    let length = u32::try_from(out.len() - from).unwrap_or(u32::MAX);
    out[from..from + 4].copy_from_slice(&length.to_ne_bytes());
}

/// `nfgenmsg`: family, version, resource.
pub(crate) fn netfilter(out: &mut Vec<u8>, family: u8, resource: u16) {
    out.extend([family, 0]);
    out.extend(resource.to_be_bytes());
}

/// An attribute.
pub(crate) fn put(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    nest_as(out, kind, |b| b.extend(value));
}

/// An attribute whose value is attributes.
pub(crate) fn nest(out: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    nest_as(out, kind | NLA_F_NESTED, body);
}

fn nest_as(out: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let from = out.len();
    out.extend([0; 2]);
    out.extend(kind.to_ne_bytes());
    body(out);
    let length = u16::try_from(out.len() - from).unwrap_or(u16::MAX);
    out[from..from + 2].copy_from_slice(&length.to_ne_bytes());
    out.resize(out.len().next_multiple_of(4), 0);
}

/// Type, payload and rest of a netlink message (`nlmsghdr`: length, type, flags, sequence, port).
pub(crate) fn next_message(data: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(data.get(..4)?.try_into().ok()?) as usize;
    let kind = u16::from_ne_bytes(data.get(4..6)?.try_into().ok()?);
    let payload = data.get(16..length)?;
    Some((kind, payload, data.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// The value of the first attribute of a type (`nlattr`: length, type).
pub(crate) fn attribute(mut data: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(data.get(..2)?.try_into().ok()?));
        // The two highest bits are flags.
        let kind = u16::from_ne_bytes(data.get(2..4)?.try_into().ok()?) & 0x3fff;
        let value = data.get(4..length)?;
        if kind == wanted {
            return Some(value);
        }
        data = data.get(length.next_multiple_of(4)..)?;
    }
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
pub(crate) fn answers<'a>(mut datagram: &'a [u8], mut each: impl FnMut(u16, &'a [u8])) -> Answer {
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
pub(crate) fn after_netfilter(payload: &[u8]) -> &[u8] {
    payload.get(4..).unwrap_or_default()
}

/// A number of an attribute, as netfilter writes them: the most significant byte first.
pub(crate) fn number<const N: usize>(attributes: &[u8], kind: u16) -> Option<[u8; N]> {
    attribute(attributes, kind)?.get(..N)?.try_into().ok()
}
