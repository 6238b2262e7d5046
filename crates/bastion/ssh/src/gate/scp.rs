//! The protocol of `rcp`, which `scp -O` and old clients speak to an `scp -t` or `scp -f` on the machine (source: the `scp.c`
//! of OpenSSH, whose functions `source` and `sink` are its two sides; there is no other description). The source says lines and
//! contents, and waits after each for the sink's answer:
//!
//! | Source | Means | The sink answers |
//! |---|---|---|
//! | `T1700000000 0 1700000000 0` | times of what comes next | yes |
//! | `D0755 0 name` | into a folder | yes |
//! | `E` | out of it | yes |
//! | `C0644 5 name` | a file of 5 bytes | yes; then these bytes and a 0 byte, or a message, and once more |
//! | a byte 1 or 2, and a line | something went wrong; with 2, wholly | no |
//!
//! An answer is a 0 byte, or such a message. Whoever says something before they were answered, or answers what nobody
//! asked, is none of them: the two sides could then be made to read the same bytes as different things.

use bytes::{Bytes, BytesMut};

use super::guard::{
    Content, Deed, FileEvent, Guard, Lanes, NotUnderstood, SESSION_OVER, Side, Step, Verdict,
};

/// Longest line and message, in bytes: a name of Linux and what stands around it, several times.
const LINE: usize = 8 << 10;
/// Folders in each other.
const DEEP: usize = 1024;
/// The bytes that begin an answer or a message.
const YES: u8 = 0;
const WRONG: u8 = 1;
const FATAL: u8 = 2;

const EARLY: NotUnderstood =
    NotUnderstood("something came before what was said last was answered, which is not how scp works");
const NO_LINE: NotUnderstood = NotUnderstood("a line came that is none of scp's");

/// What waits for the sink's answer.
enum Said {
    /// Nothing yet: the sink begins.
    Nothing,
    /// Times, or that a folder is left.
    Plain,
    /// A folder by its name, and what is told of it: where it is only read, nothing.
    Folder(Bytes, Option<FileEvent>),
    File(FileEvent),
    /// All of a file, and whether the source is content with it.
    Whole(FileEvent, Content),
}

enum State {
    /// The source says a line.
    Line,
    /// The source waits until it is known whether what it said in a line may be.
    Asking(Said, Bytes),
    /// The source waits for the sink.
    Answer(Said),
    /// The source says so many more bytes of a file.
    Content(FileEvent, Content, u64),
    /// The source says whether that was all.
    Status(FileEvent, Content),
    /// Nothing more is to come.
    Over,
}

/// Reads one run of `scp`.
pub struct Scp {
    /// Whose files they are.
    source: Side,
    lanes: Lanes,
    state: State,
    folders: Vec<Bytes>,
}

impl Scp {
    /// One that has begun. `source` has the files.
    pub fn new(source: Side) -> Scp {
        Scp { source, lanes: Lanes::default(), state: State::Answer(Said::Nothing), folders: Vec::new() }
    }

    /// Where something of a name is, below where all goes.
    fn path(&self, name: &[u8]) -> Vec<u8> {
        let folders = self.folders.iter().map(Bytes::as_ref);
        folders.chain([name]).collect::<Vec<_>>().join(&b'/')
    }

    fn event(&self, op: Deed, name: &[u8]) -> FileEvent {
        FileEvent::new(op, &self.path(name))
    }

    fn source_says(&mut self) -> Result<(), NotUnderstood> {
        match self.state {
            State::Asking(..) | State::Answer(_) => return Err(EARLY),
            State::Over => return Err(NO_LINE),
            State::Line | State::Content(..) | State::Status(..) => {}
        }
        let lane = self.lanes.of(self.source);
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::Line => match line(&mut lane.bytes)? {
                Some(line) => return self.line(line),
                None => State::Line,
            },
            State::Content(event, mut content, left) => {
                let most = usize::try_from(left).unwrap_or(usize::MAX).min(lane.bytes.len());
                let piece = lane.bytes.split_to(most).freeze();
                content.pass(content.end(), &piece);
                lane.steps.push_back(Step::Pass(piece.clone()));
                match left - piece.len() as u64 {
                    0 => State::Status(event, content),
                    left => State::Content(event, content, left),
                }
            }
            State::Status(event, mut content) => match answer(&mut lane.bytes) {
                Ok(Some(said)) => {
                    if said[0] != YES {
                        content.failed = Some("Failed".to_owned());
                    }
                    let is_fatal = said[0] == FATAL;
                    lane.steps.push_back(Step::Pass(said));
                    if is_fatal {
                        lane.steps.push_back(Step::Ended(content.told(event)));
                        State::Over
                    } else {
                        State::Answer(Said::Whole(event, content))
                    }
                }
                Ok(None) => State::Status(event, content),
                Err(error) => {
                    // It is still to be told of.
                    self.state = State::Status(event, content);
                    return Err(error);
                }
            },
            other => other,
        };
        Ok(())
    }

    fn line(&mut self, line: Bytes) -> Result<(), NotUnderstood> {
        let (kind, rest) = line.split_first().ok_or(NO_LINE)?;
        let rest = rest.strip_suffix(b"\n").ok_or(NO_LINE)?;
        let upload = self.source == Side::Client;
        let mut ask = None;
        self.state = match kind {
            b'T' => {
                times(rest).ok_or(NO_LINE)?;
                State::Answer(Said::Plain)
            }
            b'E' if rest.is_empty() && self.folders.pop().is_some() => State::Answer(Said::Plain),
            b'D' => {
                let (_, name) = entry(rest).ok_or(NO_LINE)?;
                if self.folders.len() >= DEEP {
                    return Err(NotUnderstood("too many folders are in each other"));
                }
                ask = upload.then(|| self.event(Deed::Mkdir, name));
                let said = Said::Folder(line.slice_ref(name), ask.clone());
                if upload { State::Asking(said, line.clone()) } else { State::Answer(said) }
            }
            b'C' => {
                let (size, name) = entry(rest).ok_or(NO_LINE)?;
                let op = if upload { Deed::Upload } else { Deed::Download };
                let event = FileEvent { bytes: Some(size), ..self.event(op, name) };
                ask = Some(event.clone());
                State::Asking(Said::File(event), line.clone())
            }
            &WRONG => State::Line,
            &FATAL => State::Over,
            _ => return Err(NO_LINE),
        };
        let step = ask.map_or(Step::Pass(line), Step::Ask);
        self.lanes.of(self.source).steps.push_back(step);
        Ok(())
    }

    fn sink_says(&mut self) -> Result<(), NotUnderstood> {
        let State::Answer(_) = self.state else { return Err(EARLY) };
        let lane = self.lanes.of(self.source.other());
        let Some(said) = answer(&mut lane.bytes)? else { return Ok(()) };
        let State::Answer(what) = std::mem::replace(&mut self.state, State::Over) else { return Err(EARLY) };
        let (is_yes, is_fatal) = (said[0] == YES, said[0] == FATAL);
        let mut ended = None;
        let next = match what {
            Said::Nothing if is_yes => State::Line,
            // It does not begin.
            Said::Nothing => State::Over,
            Said::Plain => State::Line,
            Said::Folder(name, event) => {
                if is_yes {
                    self.folders.push(name);
                }
                ended = event.map(|event| if is_yes { event } else { event.failed("Failed") });
                State::Line
            }
            Said::File(event) if is_yes => match event.bytes {
                Some(size @ 1..) => State::Content(event, Content::new(true), size),
                _ => State::Status(event, Content::new(true)),
            },
            Said::File(event) => {
                ended = Some(FileEvent { bytes: Some(0), ..event.failed("Failed") });
                State::Line
            }
            Said::Whole(event, mut content) => {
                if !is_yes {
                    content.failed.get_or_insert_with(|| "Failed".to_owned());
                }
                ended = Some(content.told(event));
                State::Line
            }
        };
        lane.steps.push_back(Step::Pass(said));
        lane.steps.extend(ended.map(Step::Ended));
        self.state = if is_fatal { State::Over } else { next };
        Ok(())
    }
}

impl Guard for Scp {
    fn feed(&mut self, from: Side, data: &[u8]) {
        self.lanes.of(from).bytes.extend_from_slice(data);
    }

    fn next(&mut self, from: Side) -> Result<Option<Step>, NotUnderstood> {
        loop {
            let lane = self.lanes.of(from);
            if let Some(step) = lane.steps.pop_front() {
                return Ok(Some(step));
            }
            let left = lane.bytes.len();
            if left == 0 {
                return Ok(None);
            }
            if from == self.source { self.source_says() } else { self.sink_says() }?;
            let lane = self.lanes.of(from);
            if lane.steps.is_empty() && lane.bytes.len() == left {
                return Ok(None);
            }
        }
    }

    fn decide(&mut self, verdict: Verdict) {
        match std::mem::replace(&mut self.state, State::Line) {
            State::Asking(said, line) => {
                let steps = &mut self.lanes.of(self.source).steps;
                match verdict {
                    Ok(_) => {
                        steps.push_back(Step::Pass(line));
                        self.state = State::Answer(said);
                    }
                    Err(text) => {
                        // The machine's scp knows of a file that it would receive nothing; of one that it would send, that
                        // nobody wants it. The client's is told in the same way.
                        let text = text.replace(char::is_control, " ");
                        let message = Bytes::from(format!("\u{1}sekisho: {text}\n"));
                        if self.source == Side::Machine {
                            steps.push_back(Step::Pass(message.clone()));
                        }
                        steps.push_back(Step::Answer(message));
                    }
                }
            }
            other => self.state = other,
        }
    }

    fn end(&mut self) -> Vec<FileEvent> {
        let told = match std::mem::replace(&mut self.state, State::Over) {
            State::Answer(said) | State::Asking(said, _) => match said {
                Said::Folder(_, event) => event,
                Said::File(event) => Some(FileEvent { bytes: Some(0), ..event }),
                Said::Whole(event, content) => Some(content.told(event)),
                Said::Nothing | Said::Plain => None,
            },
            State::Content(event, content, _) | State::Status(event, content) => Some(content.told(event)),
            State::Line | State::Over => None,
        };
        told.into_iter().map(|event| event.failed(SESSION_OVER)).collect()
    }
}

/// Takes a line off a stream, with its end.
fn line(stream: &mut BytesMut) -> Result<Option<Bytes>, NotUnderstood> {
    match stream.iter().take(LINE).position(|byte| *byte == b'\n') {
        Some(end) => Ok(Some(stream.split_to(end + 1).freeze())),
        None if stream.len() >= LINE => Err(NotUnderstood("a line came that is too long for scp")),
        None => Ok(None),
    }
}

/// Takes an answer off a stream: a 0 byte, or a message.
fn answer(stream: &mut BytesMut) -> Result<Option<Bytes>, NotUnderstood> {
    match stream.first() {
        None => Ok(None),
        Some(&YES) => Ok(Some(stream.split_to(1).freeze())),
        Some(&(WRONG | FATAL)) => line(stream),
        Some(_) => Err(NotUnderstood(
            "an answer came that is none of scp's: does the account's shell print something when it starts?",
        )),
    }
}

fn number(text: &[u8]) -> Option<u64> {
    let is_plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| is_plain)?.parse().ok()
}

/// Of a file or folder: its size, and its name.
fn entry(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut parts = text.splitn(3, |byte| *byte == b' ');
    let (mode, size, name) = (parts.next()?, parts.next()?, parts.next()?);
    let is_mode = mode.len() == 4 && mode.iter().all(|digit| (b'0'..=b'7').contains(digit));
    let is_name = !name.is_empty() && !name.contains(&b'/') && !name.contains(&0);
    number(size).filter(|_| is_mode && is_name).map(|size| (size, name))
}

fn times(text: &[u8]) -> Option<()> {
    let mut numbers = text.split(|byte| *byte == b' ').map(number);
    for _ in 0..4 {
        numbers.next()??;
    }
    numbers.next().is_none().then_some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gate::guard::tests::{Said, talk};

    fn event(op: Deed, path: &str) -> FileEvent {
        FileEvent::new(op, path.as_bytes())
    }

    fn sha256(bytes: &[u8]) -> Option<String> {
        let mut content = Content::new(true);
        content.pass(0, bytes);
        content.told(event(Deed::Upload, "")).sha256
    }

    /// A folder with a file in it and one beside it, from a source to a sink.
    fn tree() -> Vec<(bool, Vec<u8>)> {
        let said = |is_source: bool, bytes: &[u8]| (is_source, bytes.to_vec());
        vec![
            said(false, b"\0"),
            said(true, b"T1700000000 0 1700000001 0\n"),
            said(false, b"\0"),
            said(true, b"D0755 0 deep er\n"),
            said(false, b"\0"),
            said(true, "C0644 10 関所\n".as_bytes()),
            said(false, b"\0"),
            said(true, b"0123456789\0"),
            said(false, b"\0"),
            said(true, b"E\n"),
            said(false, b"\0"),
            said(true, b"C0600 0 empty\n"),
            said(false, b"\0"),
            said(true, b"\0"),
            said(false, b"\0"),
            said(true, b"C0600 3 unwanted\n"),
            said(false, b"\x01scp: unwanted: Permission denied\n"),
            said(true, b"\x01scp: gone: No such file or directory\n"),
        ]
    }

    fn run(source: Side, tree: &[(bool, Vec<u8>)], step: usize) -> Said {
        let mut scp = Scp::new(source);
        let side = |is_source: bool| if is_source { source } else { source.other() };
        talk(&mut scp, tree.iter().map(|(s, bytes)| (side(*s), bytes.as_slice())), step, |_| Ok(None))
    }

    #[test]
    fn every_file_is_told_with_its_hash_whichever_way_and_however_the_stream_was_cut() {
        for (source, op) in [(Side::Client, Deed::Upload), (Side::Machine, Deed::Download)] {
            for step in [1, 2, 3, 7, 1000] {
                let said = run(source, &tree(), step);
                let file = |path: &str, content: &[u8]| FileEvent {
                    bytes: Some(content.len() as u64),
                    sha256: sha256(content),
                    ..event(op, path)
                };
                let mut wanted = vec![
                    event(Deed::Mkdir, "deep er"),
                    file("deep er/関所", b"0123456789"),
                    file("empty", b""),
                    FileEvent { bytes: Some(0), ..event(op, "unwanted").failed("Failed") },
                ];
                if op == Deed::Download {
                    wanted.remove(0);
                }
                assert_eq!(said.ended, wanted, "in pieces of {step}");
                for (is_source, bytes) in [(true, &said.of(source)), (false, &said.of(source.other()))] {
                    let all: Vec<u8> =
                        tree().into_iter().filter(|(s, _)| *s == is_source).flat_map(|(_, b)| b).collect();
                    assert_eq!(**bytes, all);
                }
            }
        }
    }

    #[test]
    fn a_file_that_may_not_go_is_refused_to_both_and_the_next_one_goes() {
        let no = |event: &FileEvent| if event.path == "big" { Err("too large".to_owned()) } else { Ok(None) };
        for source in [Side::Client, Side::Machine] {
            let mut scp = Scp::new(source);
            let sink = source.other();
            let talked: [(Side, &[u8]); 6] = [
                (sink, b"\0"),
                (source, b"C0644 9 big\n"),
                (source, b"C0644 1 small\n"),
                (sink, b"\0"),
                (source, b"x\0"),
                (sink, b"\0"),
            ];
            let said = talk(&mut scp, talked, 1000, no);
            assert_eq!(said.error, None);
            assert_eq!(said.ended.iter().map(|e| e.path.as_str()).collect::<Vec<_>>(), ["small"]);
            let refusal = b"\x01sekisho: too large\n";
            assert_eq!(said.back(source), refusal);
            let to_sink =
                [if source == Side::Machine { &refusal[..] } else { b"" }, b"C0644 1 small\nx\0"].concat();
            assert_eq!(said.of(source), to_sink);
        }
    }

    #[test]
    fn what_is_none_of_scps_ends_it_and_nothing_of_it_passes() {
        let (up, sink) = (Side::Client, Side::Machine);
        let hostile: [&[(Side, &[u8])]; 14] = [
            &[(sink, b"Welcome\n")],
            &[(up, b"C0644 1 x\n")],
            &[(sink, b"\0\0")],
            &[(sink, b"\0"), (up, b"C0644 1 x\nx\0")],
            &[(sink, b"\0"), (up, b"C0644 1 x\n"), (sink, b"\0"), (up, b"xC")],
            &[(sink, b"\0"), (up, b"C0644 1 a/b\n")],
            &[(sink, b"\0"), (up, b"C0644 -1 x\n")],
            &[(sink, b"\0"), (up, b"C0644 99999999999999999999 x\n")],
            &[(sink, b"\0"), (up, b"C64 1 x\n")],
            &[(sink, b"\0"), (up, b"C0644 1 \n")],
            &[(sink, b"\0"), (up, b"E\n")],
            &[(sink, b"\0"), (up, b"T1 0 2\n")],
            &[(sink, b"\0"), (up, b"#!/bin/sh\n")],
            &[(sink, b"\x01scp: no\n"), (up, b"C0644 1 x\n")],
        ];
        for talked in hostile {
            let said = talk(&mut Scp::new(up), talked.iter().copied(), 1000, |_| Ok(None));
            assert!(said.error.is_some(), "{talked:?} passes: {said:?}");
        }
        let mut scp = Scp::new(up);
        assert!(talk(&mut scp, [(sink, &b"\0"[..]), (up, &[b'T'; LINE])], 100, |_| Ok(None)).error.is_some());
    }

    #[test]
    fn a_file_that_the_session_ends_in_is_told_as_far_as_it_came() {
        let mut scp = Scp::new(Side::Machine);
        let talked: [(Side, &[u8]); 4] = [
            (Side::Client, b"\0"),
            (Side::Machine, b"C0644 9 x\n"),
            (Side::Client, b"\0"),
            (Side::Machine, b"1234"),
        ];
        assert!(talk(&mut scp, talked, 1000, |_| Ok(None)).ended.is_empty());
        let wanted = FileEvent { bytes: Some(4), sha256: sha256(b"1234"), ..event(Deed::Download, "x") };
        assert_eq!(scp.end(), [wanted.failed(SESSION_OVER)]);
    }

    proptest! {
        #[test]
        fn files_of_any_name_and_content_are_told_and_pass_unchanged(
            files in prop::collection::vec(("[^/\\n\0]{1,60}", prop::collection::vec(any::<u8>(), 0..200)), 0..6),
            step in 1usize..64,
        ) {
            let mut talked = vec![(false, b"\0".to_vec())];
            for (name, content) in &files {
                talked.push((true, format!("C0644 {} {name}\n", content.len()).into_bytes()));
                talked.push((false, b"\0".to_vec()));
                talked.push((true, [content.as_slice(), b"\0"].concat()));
                talked.push((false, b"\0".to_vec()));
            }
            let said = run(Side::Client, &talked, step);
            prop_assert_eq!(said.error, None);
            let told: Vec<_> = said.ended.iter().map(|e| (e.path.clone(), e.sha256.clone())).collect();
            let wanted: Vec<_> = files.iter().map(|(name, content)| (name.clone(), sha256(content))).collect();
            prop_assert_eq!(told, wanted);
        }
    }
}
