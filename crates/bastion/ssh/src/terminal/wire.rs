//! What browser and server say to each other about a terminal: binary WebSocket frames whose first byte says what the
//! rest is, 0 bytes of the terminal or 1 a JSON object.

use serde::{Deserialize, Serialize};

use super::Size;

/// The subprotocol.
pub const PROTOCOL: &str = "sekisho.terminal.v1";
/// Largest frame of a client.
pub const MAX_FRAME: usize = 256 << 10;
const BYTES: u8 = 0;
const CONTROL: u8 = 1;

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub enum FromClient<'f> {
    /// Something was typed or pasted.
    Input(&'f [u8]),
    /// Its window has another size.
    Size(Size),
    /// It has shown the output up to this number.
    Acknowledged(u64),
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
    Size {
        columns: u32,
        rows: u32,
    },
    #[serde(rename_all = "camelCase")]
    Ack {
        up_to: u64,
    },
    #[serde(other)]
    Other,
}

/// Reads a frame.
///
/// # Errors
/// [`BadFrame`].
pub fn read(frame: &[u8]) -> Result<FromClient<'_>, BadFrame> {
    match frame.split_first() {
        Some((&BYTES, rest)) if rest.len() <= MAX_FRAME => Ok(FromClient::Input(rest)),
        Some((&CONTROL, rest)) if rest.len() <= 4096 => match serde_json::from_slice(rest) {
            Ok(Said::Size { columns, rows }) => Ok(FromClient::Size(Size::new(columns, rows))),
            Ok(Said::Ack { up_to }) => Ok(FromClient::Acknowledged(up_to)),
            Ok(Said::Other) => Ok(FromClient::Unknown),
            Err(_) => Err(BadFrame),
        },
        _ => Err(BadFrame),
    }
}

/// Output from this number on.
pub fn output(from: u64, bytes: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(9 + bytes.len());
    frame.push(BYTES);
    frame.extend_from_slice(&from.to_be_bytes());
    frame.extend_from_slice(bytes);
    frame
}

/// Anything else.
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
        /// `own`, `readOnly` or `interactive`.
        mode: Mode,
        /// Whether what is on the screen may be copied.
        copy: bool,
        /// Whether something may be pasted.
        paste: bool,
        /// Whether files may be sent to the machine.
        upload: bool,
        /// Whether files may be taken from it.
        download: bool,
        /// The largest file, in bytes; null: any.
        max_file_bytes: Option<u64>,
        /// `off`, `metadata` or `full`.
        recorded: &'static str,
        /// Until when it may last, RFC 3339.
        until: String,
        /// After how many seconds without typing it ends; null: never.
        idle_seconds: Option<u64>,
        /// Output before this number was there before this connection, and what it asked of a terminal was answered.
        up_to: u64,
    },
    /// The server is there.
    Alive,
    /// Output before this number is lost; the screen is to be cleared.
    Gap {
        /// The number of the byte that comes next.
        from: u64,
    },
    /// The size of the terminal.
    Size {
        /// Columns.
        columns: u32,
        /// Rows.
        rows: u32,
    },
    /// Who else looks.
    Watchers {
        /// They.
        people: Vec<Watcher>,
    },
    /// Somebody says something.
    Message {
        /// Who.
        from: String,
        /// What.
        text: String,
    },
    /// It is about to end.
    Warning {
        /// `Idle` or `TimeOver`.
        reason: &'static str,
        /// In so many seconds.
        seconds: u64,
    },
    /// The program has ended.
    Exit {
        /// Its status.
        status: Option<u32>,
        /// The signal that ended it.
        signal: Option<String>,
    },
    /// The session has ended.
    Ended {
        /// Why, in one word.
        reason: String,
    },
}

/// Somebody who looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Watcher {
    /// Their name.
    pub name: String,
    /// What they may do.
    pub mode: Mode,
}

/// What a viewer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// It is theirs.
    Own,
    /// Look.
    ReadOnly,
    /// Look and type.
    Interactive,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_is_read_or_refused() {
        assert_eq!(read(b"\0ls\r"), Ok(FromClient::Input(b"ls\r")));
        assert_eq!(
            read(b"\x01{\"kind\":\"size\",\"columns\":90000,\"rows\":0}"),
            Ok(FromClient::Size(Size { columns: 1000, rows: 1 }))
        );
        assert_eq!(read(b"\x01{\"kind\":\"ack\",\"upTo\":7}"), Ok(FromClient::Acknowledged(7)));
        assert_eq!(read(b"\x01{\"kind\":\"dance\"}"), Ok(FromClient::Unknown));
        for bad in [&b""[..], b"\x02x", b"\x01", b"\x01{", b"\x01{\"kind\":\"ack\",\"upTo\":-1}"] {
            assert_eq!(read(bad), Err(BadFrame), "{bad:?}");
        }
    }

    #[test]
    fn control_frames_are_what_the_page_reads() {
        let told = ToClient::Exit { status: Some(3), signal: None };
        assert_eq!(control(&told), b"\x01{\"kind\":\"exit\",\"status\":3,\"signal\":null}");
        let told = ToClient::Watchers { people: vec![Watcher { name: "jun".into(), mode: Mode::ReadOnly }] };
        assert_eq!(
            control(&told)[1..],
            *br#"{"kind":"watchers","people":[{"name":"jun","mode":"readOnly"}]}"#
        );
        assert_eq!(output(258, b"x"), b"\0\0\0\0\0\0\0\x01\x02x");
    }
}
