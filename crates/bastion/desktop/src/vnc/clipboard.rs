//! The clipboard. What the RFC has is Latin-1; the extension has UTF-8, offered first and sent when it is asked for.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use crate::MAX_CLIPBOARD;

/// The pseudo-encoding of the extension.
pub(super) const EXTENDED: i32 = 0xc0a1_e5ce_u32 as i32;
/// The only format that is taken.
const TEXT: u32 = 1;
const CAPABILITIES: u32 = 1 << 24;
const REQUEST: u32 = 1 << 25;
const PEEK: u32 = 1 << 26;
const NOTIFY: u32 = 1 << 27;
const PROVIDE: u32 = 1 << 28;

/// What a machine says with the extension.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// That it knows it.
    Capabilities,
    /// It would like the text.
    Request,
    /// It would like to know whether there is text.
    Peek,
    /// It has text.
    Notify,
    /// The text.
    Provide(String),
    /// Something else, or nothing that can be used.
    Nothing,
}

/// Reads what is in an extended message.
pub(super) fn read(message: &[u8]) -> Said {
    let Some((flags, rest)) = message.split_first_chunk() else { return Said::Nothing };
    let flags = u32::from_be_bytes(*flags);
    let has_text = flags & TEXT != 0;
    if flags & CAPABILITIES != 0 {
        return Said::Capabilities;
    }
    match flags & (REQUEST | PEEK | NOTIFY | PROVIDE) {
        REQUEST if has_text => Said::Request,
        PEEK => Said::Peek,
        NOTIFY if has_text => Said::Notify,
        PROVIDE if has_text => unpacked(rest).map_or(Said::Nothing, Said::Provide),
        _ => Said::Nothing,
    }
}

/// The text is the first of the formats: its length, and itself with a zero.
fn unpacked(packed: &[u8]) -> Option<String> {
    let mut stream = ZlibDecoder::new(packed);
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let length = u32::from_be_bytes(length);
    // Each line may be a byte longer on the way.
    if length as usize > 2 * MAX_CLIPBOARD {
        return None;
    }
    let mut bytes = Vec::new();
    stream.take(length.into()).read_to_end(&mut bytes).ok()?;
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    let text = String::from_utf8(bytes).ok()?.replace("\r\n", "\n");
    (text.len() <= MAX_CLIPBOARD).then_some(text)
}

fn extended(flags: u32, rest: &[u8]) -> Vec<u8> {
    let length = 4 + rest.len() as i32;
    let mut say = vec![6, 0, 0, 0];
    say.extend((-length).to_be_bytes());
    say.extend(flags.to_be_bytes());
    say.extend(rest);
    say
}

/// That text is known here, and that none is to come without being asked for.
pub(super) fn capabilities() -> Vec<u8> {
    extended(CAPABILITIES | REQUEST | PEEK | NOTIFY | PROVIDE | TEXT, &[0; 4])
}

pub(super) fn request() -> Vec<u8> {
    extended(REQUEST | TEXT, &[])
}

pub(super) fn notify(has_text: bool) -> Vec<u8> {
    extended(NOTIFY | if has_text { TEXT } else { 0 }, &[])
}

pub(super) fn provide(text: &str) -> Vec<u8> {
    let text = text.replace("\r\n", "\n").replace('\n', "\r\n");
    let mut stream = ZlibEncoder::new(Vec::new(), Compression::fast());
    let mut packed = || {
        stream.write_all(&(text.len() as u32 + 1).to_be_bytes())?;
        stream.write_all(text.as_bytes())?;
        stream.write_all(&[0])
    };
    // A vector takes everything.
    let _ = packed();
    extended(PROVIDE | TEXT, &stream.finish().unwrap_or_default())
}

/// What the RFC has for it: without what is not Latin-1.
pub(super) fn latin(text: &str) -> Vec<u8> {
    let bytes: Vec<u8> =
        text.replace("\r\n", "\n").chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect();
    let mut say = vec![6, 0, 0, 0];
    say.extend((bytes.len() as u32).to_be_bytes());
    say.extend(bytes);
    say
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(message: &[u8]) -> &[u8] {
        let length = i32::from_be_bytes(message[4..8].try_into().unwrap());
        assert_eq!(length.unsigned_abs() as usize, message.len() - 8);
        assert!(length < 0);
        &message[8..]
    }

    #[test]
    fn text_goes_through_whole_whatever_its_letters_and_lines() {
        for text in ["", "a\nb\n", "クリップボード\n🗾\n"] {
            assert_eq!(read(rest(&provide(text))), Said::Provide(text.into()));
        }
        assert_eq!(read(rest(&provide("a\r\nb"))), Said::Provide("a\nb".into()));
        assert_eq!(read(rest(&request())), Said::Request);
        assert_eq!(read(rest(&notify(true))), Said::Notify);
        assert_eq!(read(rest(&notify(false))), Said::Nothing);
        assert_eq!(read(rest(&capabilities())), Said::Capabilities);
        assert_eq!(latin("aéあ"), [6, 0, 0, 0, 0, 0, 0, 3, b'a', 0xe9, b'?']);
    }

    #[test]
    fn text_that_is_too_long_or_swells_is_nothing() {
        assert_eq!(read(rest(&provide(&"a".repeat(MAX_CLIPBOARD + 1)))), Said::Nothing);
        assert_eq!(read(rest(&provide(&"a".repeat(64 << 20)))), Said::Nothing);
        assert_eq!(read(&[0x10, 0, 0, 1, 9, 9]), Said::Nothing);
        assert_eq!(read(&[]), Said::Nothing);
    }
}
