//! What a machine may send in channels. IronRDP puts the parts of a message together whatever its length.

use ironrdp_pdu::mcs::decode_send_data_indication;
use ironrdp_pdu::rdp::vc::{ChannelControlFlags, ChannelPduHeader};

use crate::MAX_CLIPBOARD;

/// Largest message that is put together, in bytes: the longest text in UTF-16 with the ends of its lines.
const LARGEST: u32 = 4 * MAX_CLIPBOARD as u32;
/// Of dynamic channels only that for sizes is taken, which says next to nothing.
const MOST_DYNAMIC: usize = 4 << 20;

/// What becomes of a message of the machine.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// It is taken in.
    Taken,
    /// It is left out.
    Dropped,
    /// It is left out, and with it the clipboard's text of which it is the end.
    DroppedText,
    /// It is too much.
    TooMuch,
}

/// Watches over the channels.
#[derive(Debug)]
pub(super) struct Bounds {
    clipboard: Option<u16>,
    dynamic: Option<u16>,
    dynamic_bytes: usize,
}

impl Bounds {
    pub(super) fn new(clipboard: Option<u16>, dynamic: Option<u16>) -> Bounds {
        Bounds { clipboard, dynamic, dynamic_bytes: 0 }
    }

    /// Judges a message that is not a picture.
    pub(super) fn judge(&mut self, frame: &[u8]) -> Judged {
        let Ok(message) = decode_send_data_indication(frame) else { return Judged::Taken };
        let channel = Some(message.channel_id);
        if channel != self.clipboard && channel != self.dynamic {
            return Judged::Taken;
        }
        if channel == self.dynamic {
            self.dynamic_bytes += frame.len();
            if self.dynamic_bytes > MOST_DYNAMIC {
                return Judged::TooMuch;
            }
        }
        let Ok(header) = ironrdp_core::decode::<ChannelPduHeader>(message.user_data) else {
            return Judged::Taken;
        };
        match header.length {
            0..=LARGEST => Judged::Taken,
            _ if channel == self.dynamic => Judged::TooMuch,
            _ if header.flags.contains(ChannelControlFlags::FLAG_LAST) => Judged::DroppedText,
            _ => Judged::Dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use ironrdp_pdu::mcs::SendDataIndication;
    use ironrdp_pdu::x224::X224;

    use super::*;

    const CLIPBOARD: u16 = 1004;
    const DYNAMIC: u16 = 1005;

    fn part(channel_id: u16, length: u32, flags: ChannelControlFlags, bytes: usize) -> Vec<u8> {
        let mut said = ironrdp_core::encode_vec(&ChannelPduHeader { length, flags }).unwrap();
        said.extend(vec![0; bytes]);
        let said = SendDataIndication { initiator_id: 1002, channel_id, user_data: Cow::Owned(said) };
        ironrdp_core::encode_vec(&X224(said)).unwrap()
    }

    #[test]
    fn a_text_that_is_too_long_is_left_out_to_its_end_and_nothing_else() {
        let mut bounds = Bounds::new(Some(CLIPBOARD), Some(DYNAMIC));
        let (first, last) = (ChannelControlFlags::FLAG_FIRST, ChannelControlFlags::FLAG_LAST);
        let mut judge = |length, flags| bounds.judge(&part(CLIPBOARD, length, flags, 100));
        assert_eq!(judge(LARGEST + 1, first), Judged::Dropped);
        assert_eq!(judge(LARGEST + 1, ChannelControlFlags::empty()), Judged::Dropped);
        assert_eq!(judge(LARGEST + 1, last), Judged::DroppedText);
        assert_eq!(judge(LARGEST, first | last), Judged::Taken);
        let of_nobody = part(1007, u32::MAX, first, 100);
        assert_eq!(bounds.judge(&of_nobody), Judged::Taken, "a channel that nobody listens to");
    }

    #[test]
    fn dynamic_channels_say_next_to_nothing_or_end_it() {
        let mut bounds = Bounds::new(Some(CLIPBOARD), Some(DYNAMIC));
        let whole = ChannelControlFlags::FLAG_FIRST | ChannelControlFlags::FLAG_LAST;
        assert_eq!(bounds.judge(&part(DYNAMIC, u32::MAX, whole, 100)), Judged::TooMuch);
        let said = part(DYNAMIC, 1600, whole, 1600);
        let taken = (0..10_000).take_while(|_| bounds.judge(&said) == Judged::Taken).count();
        assert!(taken * said.len() <= MOST_DYNAMIC && taken > 1000, "{taken}");
    }

    #[test]
    fn no_bytes_do_harm() {
        let mut bounds = Bounds::new(Some(CLIPBOARD), Some(DYNAMIC));
        let whole = part(CLIPBOARD, 5, ChannelControlFlags::FLAG_LAST, 5);
        for end in 0..whole.len() {
            bounds.judge(&whole[..end]);
        }
    }
}
