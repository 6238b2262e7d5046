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
