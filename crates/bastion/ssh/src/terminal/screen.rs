//! What is on a terminal's screen, and its output as text.

use super::Size;

/// A screen.
pub(super) struct Screen {
    terminal: Option<avt::Terminal>,
    /// The beginning of a character whose end has not come yet.
    rest: Vec<u8>,
}

fn cells(size: Size) -> (usize, usize) {
    (size.columns as usize, size.rows as usize)
}

impl Screen {
    pub(super) fn new(size: Size) -> Screen {
        let (columns, rows) = cells(size);
        Screen { terminal: avt::Terminal::new(columns, rows).ok(), rest: Vec::new() }
    }

    pub(super) fn resize(&mut self, size: Size) {
        let (columns, rows) = cells(size);
        if let Some(terminal) = &mut self.terminal {
            terminal.resize(columns, rows);
        }
    }

    /// Takes output, and says it as text: characters whole, however they were cut, and what is none as U+FFFD.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.rest);
        all.extend_from_slice(bytes);
        let mut text = String::with_capacity(all.len());
        let mut left = all.as_slice();
        while !left.is_empty() {
            match std::str::from_utf8(left) {
                Ok(good) => {
                    text.push_str(good);
                    break;
                }
                Err(error) => {
                    let (good, bad) = left.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(good));
                    match error.error_len() {
                        Some(length) => {
                            text.push(char::REPLACEMENT_CHARACTER);
                            left = &bad[length..];
                        }
                        None => {
                            self.rest = bad.to_vec();
                            break;
                        }
                    }
                }
            }
        }
        if let Some(terminal) = &mut self.terminal {
            terminal.feed([text.as_str()]);
        }
        text
    }

    /// Takes output of a program without a terminal, which leaves carriage returns to those who show it.
    pub(super) fn feed_lines(&mut self, bytes: &[u8]) -> String {
        let mut lines = Vec::with_capacity(bytes.len());
        for byte in bytes {
            if *byte == b'\n' {
                lines.push(b'\r');
            }
            lines.push(*byte);
        }
        self.feed(&lines)
    }

    /// Text that makes an empty screen of the same size into this one.
    pub(super) fn dump(&self) -> String {
        self.terminal.as_ref().map(avt::Terminal::dump).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_the_same_however_it_was_cut_and_restores_the_screen() {
        let size = Size::new(40, 5);
        let text = "関所 \x1b[31mred\x1b[0m\r\n$ \u{1f600}é".as_bytes();
        let mut whole = Screen::new(size);
        let said = whole.feed(text);
        assert_eq!(said.as_bytes(), text);
        for step in 1..text.len() {
            let mut cut = Screen::new(size);
            let parts: String = text.chunks(step).map(|part| cut.feed(part)).collect();
            assert_eq!(parts, said);
            assert_eq!(cut.dump(), whole.dump());
        }
        let mut restored = Screen::new(size);
        restored.feed(whole.dump().as_bytes());
        assert_eq!(restored.dump(), whole.dump());
        assert_eq!(Screen::new(size).feed(b"a\xff\xfeb"), "a\u{fffd}\u{fffd}b");
    }
}
