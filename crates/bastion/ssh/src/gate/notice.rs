//! What a client is told by us and not by its machine: text that does nothing to a terminal but stand there.

use std::fmt::Write as _;

/// Ends whatever control sequence a program has begun and not finished (ECMA-48, CAN), which would swallow what follows.
const CANCEL: char = '\x18';

/// A line of its own in a terminal, wherever its program has left the cursor.
pub(super) fn line(text: &str) -> Vec<u8> {
    format!("{CANCEL}\r\n[sekisho] {}\r\n", harmless(text)).into_bytes()
}

/// What `ssh` shows where it shows errors.
pub(super) fn error(text: &str) -> Vec<u8> {
    format!("sekisho: {}\r\n", harmless(text)).into_bytes()
}

/// Text on one line: its own lines are set apart by a space, and what moves, colours or turns anything around is seen as
/// what it is.
fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.trim().chars() {
        match c {
            '\n' | '\t' => out.push(' '),
            '\r' => {}
            c if c.is_control() || turns(c) => drop(write!(out, "{}", c.escape_unicode())),
            c => out.push(c),
        }
    }
    out
}

/// Whether a character turns the direction of writing around, or is a line's end that no terminal shows.
fn turns(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_says_is_one_line_that_does_nothing_to_a_terminal() {
        let said = String::from_utf8(line("関所\r\nrm\x1b]0;x\x07\u{9b}2J\u{202e}\u{7f}")).unwrap();
        assert_eq!(said, "\x18\r\n[sekisho] 関所 rm\\u{1b}]0;x\\u{7}\\u{9b}2J\\u{202e}\\u{7f}\r\n");
        assert_eq!(error("it is over"), b"sekisho: it is over\r\n");
    }
}
