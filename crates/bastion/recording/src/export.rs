//! What other programs read: asciicast v3 (source: asciinema's documentation of the format) and plain text.

use serde_json::json;

use crate::container::{Lane, Line, Shows};
use crate::verify::Recording;

/// A recording is one of a desktop, of which there is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is a recording of a desktop, which has no text: it is played in the portal")]
pub struct IsDesktop;

fn of_terminal(recording: &Recording) -> Result<(), IsDesktop> {
    (recording.header.shows == Shows::Terminal).then_some(()).ok_or(IsDesktop)
}

/// A recording as asciicast v3: times are seconds since the line before.
///
/// # Errors
/// [`IsDesktop`].
pub fn asciicast(recording: &Recording) -> Result<String, IsDesktop> {
    of_terminal(recording)?;
    let header = &recording.header;
    let head = json!({
        "version": 3,
        "term": { "cols": header.columns, "rows": header.rows, "type": "xterm-256color" },
        "title": format!("{}@{}", header.account, header.machine.rsplit('/').next().unwrap_or_default()),
    });
    let mut out = format!("{head}\n");
    let mut before = 0;
    for Line(at, lane, text) in &recording.lines {
        let code = match lane {
            // It is for whoever begins in the middle.
            Lane::Screen => continue,
            // There are none of a terminal.
            Lane::Pixels | Lane::Frame | Lane::Keyframe | Lane::Clipboard | Lane::Part => continue,
            Lane::Output => "o",
            Lane::Size => "r",
            // The format has marks for what a player points out.
            Lane::Command | Lane::File => "m",
            Lane::Exit => "x",
        };
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a day")]
        let since = (at.saturating_sub(before)) as f64 / 1000.0;
        before = *at;
        out.push_str(&format!("{}\n", json!([since, code, text])));
    }
    Ok(out)
}

/// What was written, without what only moves the cursor or colours. Lines that programs draw over are all there.
///
/// # Errors
/// [`IsDesktop`].
pub fn text(recording: &Recording) -> Result<String, IsDesktop> {
    of_terminal(recording)?;
    let output = recording.lines.iter().filter(|line| line.1 == Lane::Output).map(|line| line.2.as_str());
    Ok(plain(&output.collect::<String>()))
}

/// Text without control sequences (ECMA-48) and characters.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\x1b' => match rest.next() {
                Some('[') => while rest.next().is_some_and(|c| !('\x40'..='\x7e').contains(&c)) {},
                Some(']' | 'P' | '_' | '^' | 'X') => {
                    while let Some(c) = rest.next() {
                        if c == '\x07' || (c == '\x1b' && rest.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                Some('(' | ')' | '#' | '%') => drop(rest.next()),
                _ => {}
            },
            '\n' | '\t' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_output_is_what_a_person_reads() {
        let said = "\x1b]0;title\x07\x1b[31m関所\x1b[0m\r\n\x1b(Bok\x1b]8;;https://x\x1b\\link\x1b]8;;\x1b\\\x08!\x1b[";
        assert_eq!(plain(said), "関所\noklink!");
    }
}
