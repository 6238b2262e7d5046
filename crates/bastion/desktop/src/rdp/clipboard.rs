//! The clipboard: text and nothing else, sent when it is asked for ([MS-RDPECLIP]).

use std::sync::{Arc, Mutex, PoisonError};

use ironrdp_cliprdr::backend::CliprdrBackend;
use ironrdp_cliprdr::pdu::{
    ClipboardFormat, ClipboardFormatId, ClipboardGeneralCapabilityFlags, FileContentsRequest,
    FileContentsResponse, FormatDataRequest, FormatDataResponse, LockDataId,
};
use ironrdp_core::impl_as_any;

use crate::MAX_CLIPBOARD;

/// What the machine wants of the clipboard.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// To know what there is.
    Offer,
    /// It has text.
    HasText,
    /// The text.
    Text(String),
    /// To have the text, or something that is not text.
    Wants {
        /// Text.
        text: bool,
    },
}

/// Where the channel leaves what it hears, for the session to act upon.
#[derive(Debug, Clone)]
pub(super) struct Clipboard(Arc<Mutex<Vec<Said>>>);

impl Clipboard {
    pub(super) fn new() -> Clipboard {
        Clipboard(Arc::default())
    }

    pub(super) fn backend(&self) -> Box<dyn CliprdrBackend> {
        Box::new(Backend(self.clone()))
    }

    /// What has been heard since.
    pub(super) fn heard(&self) -> Vec<Said> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn hear(&self, said: Said) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(said);
    }
}

/// The text of a clipboard in UTF-16.
fn text(bytes: &[u8]) -> Option<String> {
    let units = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let text: String = char::decode_utf16(units.take_while(|unit| *unit != 0))
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    let text = text.replace("\r\n", "\n");
    (text.len() <= MAX_CLIPBOARD).then_some(text)
}

/// A text with the ends of lines that Windows has.
pub(super) fn windows_lines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\n', "\r\n")
}

#[derive(Debug)]
struct Backend(Clipboard);

impl_as_any!(Backend);

impl CliprdrBackend for Backend {
    fn temporary_directory(&self) -> &str {
        ""
    }

    fn client_capabilities(&self) -> ClipboardGeneralCapabilityFlags {
        ClipboardGeneralCapabilityFlags::empty()
    }

    fn on_ready(&mut self) {}

    fn on_request_format_list(&mut self) {
        self.0.hear(Said::Offer);
    }

    fn on_process_negotiated_capabilities(&mut self, _: ClipboardGeneralCapabilityFlags) {}

    fn on_remote_copy(&mut self, formats: &[ClipboardFormat]) {
        if formats.iter().any(|format| format.id() == ClipboardFormatId::CF_UNICODETEXT) {
            self.0.hear(Said::HasText);
        }
    }

    fn on_format_data_request(&mut self, request: FormatDataRequest) {
        self.0.hear(Said::Wants { text: request.format == ClipboardFormatId::CF_UNICODETEXT });
    }

    fn on_format_data_response(&mut self, response: FormatDataResponse<'_>) {
        // Only text is asked for.
        if !response.is_error()
            && let Some(text) = text(response.data())
        {
            self.0.hear(Said::Text(text));
        }
    }

    fn on_file_contents_request(&mut self, _: FileContentsRequest) {}

    fn on_file_contents_response(&mut self, _: FileContentsResponse<'_>) {}

    fn on_lock(&mut self, _: LockDataId) {}

    fn on_unlock(&mut self, _: LockDataId) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_windows_is_text_whatever_its_letters_and_lines() {
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        assert_eq!(text(&utf16("漢字\r\n🗾\0rest")), Some("漢字\n🗾".into()));
        assert_eq!(text(&[0x00, 0xd8, 0x61, 0]), Some("\u{fffd}a".into()));
        assert_eq!(text(&utf16(&"a".repeat(MAX_CLIPBOARD + 1))), None);
        assert_eq!(windows_lines("a\r\nb\n"), "a\r\nb\r\n");
    }
}
