//! What the machine's rsync tells of each file. Its protocol changes with every version and is compressed, so that it is not
//! read here: the machine's own rsync is told to keep a log (rsync(1), `--log-file`) where its errors go, and its lines are
//! taken out of there again. Whoever can exchange the rsync of their account can have it tell anything.

use super::guard::{Deed, FileEvent};

/// Longest line that may be one of the log's, in bytes: a path of Linux of which each byte is written as `\#ooo`.
const LONGEST: usize = 24 << 10;
/// What stands before each line of a log: `2026/11/27 18:00:00 [4321] `, where `0` is any digit and the number is as long as
/// it is.
const STAMP: &[u8] = b"0000/00/00 00:00:00 [";

/// Reads the log of one run of rsync.
pub(super) struct Log {
    mark: String,
    line: Vec<u8>,
    /// Whether the line is longer than any of the log's, or of another's.
    passes: bool,
    has_said: bool,
}

impl Log {
    /// A log whose lines about files have a mark that nobody can guess.
    pub(super) fn new(mark: String) -> Log {
        Log { mark, line: Vec::new(), passes: false, has_said: false }
    }

    /// The options that have it kept.
    pub(super) fn options(&self) -> [String; 2] {
        let format = format!("--log-file-format={}:%o:%i:%l:%n", self.mark);
        ["--log-file=/dev/stderr".to_owned(), format]
    }

    /// Whether it was kept at all.
    pub(super) fn has_said(&self) -> bool {
        self.has_said
    }

    /// Takes what the machine wrote where errors go: what of it is not the log's, and what happened to files.
    pub(super) fn read(&mut self, data: &[u8]) -> (Vec<u8>, Vec<FileEvent>) {
        let (mut rest, mut events) = (Vec::new(), Vec::new());
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            let is_end = piece.ends_with(b"\n");
            if self.passes {
                rest.extend_from_slice(piece);
            } else {
                self.line.extend_from_slice(piece);
                let stamped = stamped(&self.line);
                if is_end && let Stamped::Yes(said) = stamped {
                    self.has_said = true;
                    events.extend(self.event(&self.line[said..]));
                    self.line.clear();
                } else if is_end || stamped == Stamped::No || self.line.len() > LONGEST {
                    rest.append(&mut self.line);
                    self.passes = true;
                }
            }
            if is_end {
                self.passes = false;
            }
        }
        (rest, events)
    }

    /// What was left of the last line.
    pub(super) fn end(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.line)
    }

    fn event(&self, line: &[u8]) -> Option<FileEvent> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_prefix(self.mark.as_bytes())?.strip_prefix(b":")?;
        let mut fields = line.splitn(4, |byte| *byte == b':');
        let (what, changes, size, name) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let size = std::str::from_utf8(size).ok()?.parse().ok();
        // Of `>f+++++++++`, the first says what was done and the second with what.
        let op = match (what, changes.first()?, changes.get(1)?) {
            (b"del.", ..) => Deed::Remove,
            (b"send", b'<', b'f') => Deed::Download,
            (b"recv", b'>', b'f') => Deed::Upload,
            (b"recv", b'c', b'd') => Deed::Mkdir,
            (b"recv", b'c' | b'h', _) => Deed::Link,
            (b"recv", b'.', _) => Deed::Attributes,
            _ => return None,
        };
        let has_size = matches!(op, Deed::Download | Deed::Upload);
        Some(FileEvent { bytes: size.filter(|_| has_size), ..FileEvent::new(op, &plain(name)) })
    }
}

/// A name as it is: what cannot be printed where rsync runs, it writes as `\#` and three octal digits, and of a backslash before
/// a `#` the same is made.
fn plain(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = name;
    while let [first, more @ ..] = rest {
        if let [b'\\', b'#', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] = rest {
            plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
            rest = after;
        } else {
            plain.push(*first);
            rest = more;
        }
    }
    plain
}

/// Whether a line is the log's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stamped {
    /// As far as it is there.
    Perhaps,
    No,
    /// It says something from there on.
    Yes(usize),
}

fn stamped(line: &[u8]) -> Stamped {
    let is =
        |(byte, wanted): (&u8, &u8)| if *wanted == b'0' { byte.is_ascii_digit() } else { byte == wanted };
    if !line.iter().zip(STAMP).all(is) {
        return Stamped::No;
    }
    let Some(rest) = line.get(STAMP.len()..) else { return Stamped::Perhaps };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match &rest[digits..] {
        [b']', b' ', ..] if digits > 0 => Stamped::Yes(STAMP.len() + digits + 2),
        [] | [b']'] => Stamped::Perhaps,
        _ => Stamped::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &[u8] = b"2026/11/27 17:56:39 [3997] receiving file list\n\
        2026/11/27 17:56:39 [3997] M:recv:>f+++++++++:2:a:b\\#012\\#351\\#226\\#242\\#134#9\n\
        warning: what the account's shell says\n\
        2026/11/27 17:56:39 [3997] M:recv:cd+++++++++:4096:d/\n\
        2026/11/27 17:56:39 [3997] M:del.:*deleting  :0:old\n\
        2026/11/27 17:56:39 [3997] M:recv:.f...p.....:7:mode\n\
        2026/11/27 17:56:39 [3997] N:recv:>f+++++++++:2:forged\n\
        2026/11/27 17:56:39 no\n\
        tail";

    #[test]
    fn the_log_is_taken_out_of_errors_wherever_they_are_cut_and_only_marked_lines_are_believed() {
        for step in [1, 2, 7, 50, SAID.len()] {
            let mut log = Log::new("M".to_owned());
            let (mut rest, mut events) = (Vec::new(), Vec::new());
            for piece in SAID.chunks(step) {
                let (more, told) = log.read(piece);
                rest.extend(more);
                events.extend(told);
            }
            rest.extend(log.end());
            assert_eq!(
                String::from_utf8(rest).unwrap(),
                "warning: what the account's shell says\n2026/11/27 17:56:39 no\ntail"
            );
            let told: Vec<_> = events.iter().map(|e| (e.op, e.path.as_str(), e.bytes)).collect();
            let wanted = [
                (Deed::Upload, "a:b\n関\\#9", Some(2)),
                (Deed::Mkdir, "d/", None),
                (Deed::Remove, "old", None),
                (Deed::Attributes, "mode", None),
            ];
            assert_eq!((told.as_slice(), log.has_said()), (&wanted[..], true));
        }
    }

    #[test]
    fn a_line_without_an_end_is_not_kept_for_ever() {
        let mut log = Log::new("M".to_owned());
        let (rest, _) = log.read(b"2026/11/27 17:56:39 [1] ");
        assert!(rest.is_empty());
        let (rest, _) = log.read(&[b'x'; LONGEST + 1]);
        assert!(rest.len() > LONGEST && log.line.is_empty());
        assert_eq!(log.read(b"more").0, b"more");
    }
}
