//! What browser and server say to each other about a desktop: binary WebSocket frames whose first byte says what the rest
//! is, 1 a JSON object or 2 a frame of the picture ([`tile`](crate::tile)), which only the server sends. What whoever looks at
//! any session is told (who else looks, what is said, why it ends) is no desktop's alone, and the server's business.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::key::Key;
use crate::{Input, Pointer, Size};

/// The subprotocol.
pub const PROTOCOL: &str = "sekisho.desktop.v1";
/// Largest frame of a client.
pub const MAX_FRAME: usize = 256 << 10;
const CONTROL: u8 = 1;

/// What a client says.
#[derive(Debug, PartialEq)]
pub enum FromClient {
    /// Something is done to the machine.
    Input(Input),
    /// Its window has another size.
    Size(Size),
    /// It has shown this frame.
    Acknowledged(u32),
    /// Something that a newer client knows.
    Unknown,
}

/// A frame is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the frame cannot be read")]
pub struct BadFrame;

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
enum Said {
    Ack {
        frame: u32,
    },
    Size {
        width: u32,
        height: u32,
    },
    Key {
        code: String,
        down: bool,
    },
    Text {
        text: String,
    },
    Pointer {
        x: u16,
        y: u16,
        buttons: u8,
    },
    Wheel {
        x: u16,
        y: u16,
        dx: f32,
        dy: f32,
    },
    Locks {
        caps: bool,
        num: bool,
        scroll: bool,
    },
    ReleaseAll,
    Clipboard {
        text: String,
    },
    CtrlAltDel,
    #[serde(other)]
    Other,
}

/// Reads a frame. A key that no keyboard of a PC has is [`FromClient::Unknown`].
///
/// # Errors
/// [`BadFrame`].
pub fn read(frame: &[u8]) -> Result<FromClient, BadFrame> {
    let Some((&CONTROL, rest)) = frame.split_first() else { return Err(BadFrame) };
    if frame.len() > MAX_FRAME {
        return Err(BadFrame);
    }
    let input = match serde_json::from_slice(rest).map_err(|_| BadFrame)? {
        Said::Ack { frame } => return Ok(FromClient::Acknowledged(frame)),
        Said::Size { width, height } => return Ok(FromClient::Size(Size::new(width, height))),
        Said::Other => return Ok(FromClient::Unknown),
        Said::Key { code, down } => match Key::of(&code) {
            Some(key) => Input::Key { key, down },
            None => return Ok(FromClient::Unknown),
        },
        Said::Text { text } => Input::Text(text),
        Said::Pointer { x, y, buttons } => Input::Pointer { x, y, buttons },
        Said::Wheel { x, y, dx, dy } => Input::Wheel { x, y, dx, dy },
        Said::Locks { caps, num, scroll } => Input::Locks { caps, num, scroll },
        Said::ReleaseAll => Input::ReleaseAll,
        Said::Clipboard { text } => Input::Clipboard(text),
        Said::CtrlAltDel => Input::CtrlAltDel,
    };
    Ok(FromClient::Input(input))
}

/// Anything that is not a picture.
pub fn control(told: &ToClient) -> Vec<u8> {
    let mut frame = vec![CONTROL];
    // Of these no value is impossible in JSON.
    frame.extend(serde_json::to_vec(told).unwrap_or_default());
    frame
}

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ToClient {
    /// It is there.
    Ready {
        /// The session.
        session_id: String,
        /// The account.
        account: String,
        /// The machine.
        machine: String,
        /// `rdp` or `vnc`.
        protocol: &'static str,
        /// `own`, `readOnly` or `interactive`.
        mode: Mode,
        /// Pixels in a row.
        width: u16,
        /// Rows.
        height: u16,
        /// Whether what the machine copies reaches the viewer.
        copy: bool,
        /// Whether the viewer may paste into the machine.
        paste: bool,
        /// `off`, `metadata` or `full`.
        recorded: &'static str,
        /// Until when it may last, RFC 3339.
        until: String,
        /// After how many seconds without input it ends; null: never.
        idle_seconds: Option<u64>,
        /// Whether the machine takes another size.
        resizes: bool,
    },
    /// The picture has another size; the next frame is whole.
    Size {
        /// Pixels in a row.
        width: u16,
        /// Rows.
        height: u16,
    },
    /// This was copied on the machine.
    Clipboard {
        /// The text.
        text: String,
    },
    /// The pointer looks otherwise.
    Pointer(Shape),
}

/// What the pointer looks like, as the page reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "shape", rename_all = "camelCase")]
pub enum Shape {
    /// As the viewer's own.
    Default,
    /// Not at all.
    Hidden,
    /// Like this.
    Image {
        /// The point that points, from the left.
        x: u16,
        /// And from the top.
        y: u16,
        /// Pixels in a row.
        width: u16,
        /// Rows.
        height: u16,
        /// A PNG, in base64.
        data: String,
    },
}

impl From<&Pointer> for Shape {
    fn from(pointer: &Pointer) -> Shape {
        match pointer {
            Pointer::Default => Shape::Default,
            Pointer::Hidden => Shape::Hidden,
            Pointer::Image { x, y, width, height, png } => {
                Shape::Image { x: *x, y: *y, width: *width, height: *height, data: STANDARD.encode(png) }
            }
        }
    }
}

/// What a viewer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// It is theirs.
    Own,
    /// Look.
    ReadOnly,
    /// Look, type and point.
    Interactive,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(json: &str) -> Result<FromClient, BadFrame> {
        read(&[&[CONTROL], json.as_bytes()].concat())
    }

    #[test]
    fn what_a_client_says_is_read_or_refused() {
        let input = |json| match said(json) {
            Ok(FromClient::Input(input)) => input,
            other => panic!("{json}: {other:?}"),
        };
        assert_eq!(said(r#"{"kind":"ack","frame":7}"#), Ok(FromClient::Acknowledged(7)));
        assert_eq!(
            said(r#"{"kind":"size","width":1281,"height":90000}"#),
            Ok(FromClient::Size(Size { width: 1280, height: 8192 }))
        );
        let key = Key::of("IntlYen").unwrap();
        assert_eq!(input(r#"{"kind":"key","code":"IntlYen","down":true}"#), Input::Key { key, down: true });
        assert_eq!(input(r#"{"kind":"text","text":"漢字"}"#), Input::Text("漢字".into()));
        assert_eq!(
            input(r#"{"kind":"pointer","x":1,"y":2,"buttons":5}"#),
            Input::Pointer { x: 1, y: 2, buttons: 5 }
        );
        assert_eq!(
            input(r#"{"kind":"wheel","x":1,"y":2,"dx":0,"dy":-1.5}"#),
            Input::Wheel { x: 1, y: 2, dx: 0.0, dy: -1.5 }
        );
        assert_eq!(
            input(r#"{"kind":"locks","caps":true,"num":false,"scroll":false}"#),
            Input::Locks { caps: true, num: false, scroll: false }
        );
        assert_eq!(input(r#"{"kind":"releaseAll"}"#), Input::ReleaseAll);
        assert_eq!(input(r#"{"kind":"clipboard","text":"あ"}"#), Input::Clipboard("あ".into()));
        assert_eq!(input(r#"{"kind":"ctrlAltDel"}"#), Input::CtrlAltDel);
        assert_eq!(said(r#"{"kind":"dance"}"#), Ok(FromClient::Unknown));
        assert_eq!(said(r#"{"kind":"key","code":"LaunchMail2","down":true}"#), Ok(FromClient::Unknown));
        let long = [&b"\x01{\"kind\":\"dance\"}"[..], &vec![b' '; MAX_FRAME]].concat();
        for bad in [
            &b""[..],
            b"\x02x",
            b"\0x",
            b"\x01",
            b"\x01{",
            b"\x01{\"kind\":\"ack\",\"frame\":-1}",
            b"\x01{\"kind\":\"pointer\",\"x\":-1,\"y\":2,\"buttons\":0}",
            &long,
        ] {
            assert_eq!(read(bad), Err(BadFrame), "{:?}", &bad[..bad.len().min(60)]);
        }
    }

    #[test]
    fn control_frames_are_what_the_page_reads() {
        let told = |told| String::from_utf8(control(&told)).unwrap().split_off(1);
        assert_eq!(
            told(ToClient::Size { width: 1280, height: 800 }),
            r#"{"kind":"size","width":1280,"height":800}"#
        );
        assert_eq!(
            told(ToClient::Pointer((&Pointer::Hidden).into())),
            r#"{"kind":"pointer","shape":"hidden"}"#
        );
        let image = Pointer::Image { x: 1, y: 2, width: 3, height: 4, png: vec![0, 1, 2] };
        assert_eq!(
            told(ToClient::Pointer((&image).into())),
            r#"{"kind":"pointer","shape":"image","x":1,"y":2,"width":3,"height":4,"data":"AAEC"}"#
        );
    }

    proptest! {
        #[test]
        fn no_bytes_of_a_client_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes);
            let _ = read(&[&[CONTROL], &bytes[..]].concat());
        }
    }
}
