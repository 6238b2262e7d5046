//! What happens to files in an SFTP session, read from what passes (source: draft-ietf-secsh-filexfer-02, which is what
//! OpenSSH speaks, and OpenSSH's PROTOCOL for its extensions). Nothing is changed or held back by it, and no more is kept
//! than the beginning of one packet each way.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// Bytes that are kept of a packet: two paths of Linux and what stands around them.
const KEPT: usize = 10 << 10;
/// Requests and files that may be open at once. Who has more is not followed any more, and that is told.
const OPEN: usize = 10_000;

const OPEN_FILE: u8 = 3;
const CLOSE: u8 = 4;
const READ: u8 = 5;
const WRITE: u8 = 6;
const REMOVE: u8 = 13;
const MKDIR: u8 = 14;
const RMDIR: u8 = 15;
const RENAME: u8 = 18;
const SYMLINK: u8 = 20;
const EXTENDED: u8 = 200;
const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const DATA: u8 = 103;
/// `SSH_FXF_WRITE`.
const TO_WRITE: u32 = 2;

/// Something that happened to a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEvent {
    /// `upload`, `download`, `remove`, `mkdir`, `rmdir`, `rename`, `link`, or `unknown` when what passes is no SFTP.
    pub op: String,
    /// The file, as the client has named it.
    pub path: String,
    /// Its other name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// How much passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

impl FileEvent {
    fn new(op: &str, path: &[u8]) -> FileEvent {
        FileEvent { op: op.to_owned(), path: name(path), to: None, bytes: None }
    }
}

fn name(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

struct Opened {
    path: Vec<u8>,
    writes: bool,
    bytes: u64,
}

/// Follows one SFTP session.
#[derive(Default)]
pub(super) struct Follow {
    up: Packets,
    down: Packets,
    /// What is asked and not answered yet, by the numbers of the requests.
    opening: HashMap<u32, Opened>,
    reading: HashMap<u32, Vec<u8>>,
    changing: HashMap<u32, FileEvent>,
    opened: HashMap<Vec<u8>, Opened>,
    lost: bool,
}

impl Follow {
    /// Takes what a client sends.
    pub(super) fn sent(&mut self, data: &[u8]) -> Vec<FileEvent> {
        let packets = self.up.take(data);
        self.all(packets, Follow::request)
    }

    /// Takes what the machine sends.
    pub(super) fn answered(&mut self, data: &[u8]) -> Vec<FileEvent> {
        let packets = self.down.take(data);
        self.all(packets, Follow::answer)
    }

    /// The files that were still open at the end.
    pub(super) fn end(self) -> Vec<FileEvent> {
        let opened = self.opened.into_values();
        opened.filter_map(Opened::closed).collect()
    }

    fn all(
        &mut self,
        packets: Vec<Vec<u8>>,
        each: fn(&mut Follow, &mut Fields<'_>) -> Option<Option<FileEvent>>,
    ) -> Vec<FileEvent> {
        if self.lost {
            return Vec::new();
        }
        let mut events = Vec::new();
        for packet in packets {
            let open = self.opening.len() + self.reading.len() + self.changing.len() + self.opened.len();
            match each(self, &mut Fields(&packet)) {
                Some(event) if open <= OPEN => events.extend(event),
                _ => {
                    self.lost = true;
                    events.push(FileEvent::new("unknown", b""));
                    break;
                }
            }
        }
        events
    }

    /// `None`: that is no SFTP.
    fn request(&mut self, packet: &mut Fields<'_>) -> Option<Option<FileEvent>> {
        let kind = packet.byte()?;
        // The first packet has a version in the place of a number.
        let id = packet.number()?;
        let two = |packet: &mut Fields<'_>, op| {
            let mut event = FileEvent::new(op, packet.text()?);
            event.to = Some(name(packet.text()?));
            Some(event)
        };
        let change = match kind {
            OPEN_FILE => {
                let (path, flags) = (packet.text()?.to_vec(), packet.number()?);
                self.opening.insert(id, Opened { path, writes: flags & TO_WRITE != 0, bytes: 0 });
                return Some(None);
            }
            CLOSE => return Some(self.opened.remove(packet.text()?).and_then(Opened::closed)),
            READ => {
                self.reading.insert(id, packet.text()?.to_vec());
                return Some(None);
            }
            WRITE => {
                let handle = packet.text()?;
                packet.skip(8)?;
                let bytes = packet.number()?;
                if let Some(file) = self.opened.get_mut(handle) {
                    file.bytes += u64::from(bytes);
                }
                return Some(None);
            }
            REMOVE => FileEvent::new("remove", packet.text()?),
            MKDIR => FileEvent::new("mkdir", packet.text()?),
            RMDIR => FileEvent::new("rmdir", packet.text()?),
            RENAME => two(packet, "rename")?,
            SYMLINK => two(packet, "link")?,
            EXTENDED => match packet.text()? {
                b"posix-rename@openssh.com" => two(packet, "rename")?,
                b"hardlink@openssh.com" => two(packet, "link")?,
                _ => return Some(None),
            },
            _ => return Some(None),
        };
        self.changing.insert(id, change);
        Some(None)
    }

    fn answer(&mut self, packet: &mut Fields<'_>) -> Option<Option<FileEvent>> {
        let kind = packet.byte()?;
        let id = packet.number()?;
        match kind {
            HANDLE => {
                if let Some(file) = self.opening.remove(&id) {
                    self.opened.insert(packet.text()?.to_vec(), file);
                }
            }
            DATA => {
                let bytes = packet.number()?;
                let file = self.reading.remove(&id).and_then(|handle| self.opened.get_mut(&handle));
                if let Some(file) = file {
                    file.bytes += u64::from(bytes);
                }
            }
            STATUS => {
                self.opening.remove(&id);
                self.reading.remove(&id);
                let change = self.changing.remove(&id);
                return Some(change.filter(|_| packet.number() == Some(0)));
            }
            _ => {}
        }
        Some(None)
    }
}

impl Opened {
    fn closed(self) -> Option<FileEvent> {
        let op = if self.writes { "upload" } else { "download" };
        Some(FileEvent { bytes: Some(self.bytes), ..FileEvent::new(op, &self.path) })
    }
}

/// Finds packets in a stream: each is its length in four bytes, big endian, and so many bytes.
#[derive(Default)]
struct Packets {
    length: Vec<u8>,
    left: usize,
    packet: Vec<u8>,
}

impl Packets {
    /// The packets that end here, each as far as it is kept.
    fn take(&mut self, mut data: &[u8]) -> Vec<Vec<u8>> {
        let mut whole = Vec::new();
        while !data.is_empty() {
            if self.left == 0 {
                let (head, rest) = data.split_at(data.len().min(4 - self.length.len()));
                self.length.extend_from_slice(head);
                data = rest;
                let Ok(length) = <[u8; 4]>::try_from(self.length.as_slice()) else { break };
                self.length.clear();
                self.left = u32::from_be_bytes(length) as usize;
                if self.left == 0 {
                    whole.push(Vec::new());
                }
                continue;
            }
            let (part, rest) = data.split_at(data.len().min(self.left));
            let room = KEPT - self.packet.len();
            self.packet.extend_from_slice(&part[..part.len().min(room)]);
            (self.left, data) = (self.left - part.len(), rest);
            if self.left == 0 {
                whole.push(std::mem::take(&mut self.packet));
            }
        }
        whole
    }
}

/// The fields of a packet, one after the other.
struct Fields<'p>(&'p [u8]);

impl<'p> Fields<'p> {
    fn take(&mut self, bytes: usize) -> Option<&'p [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.take(bytes).map(drop)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn number(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    fn text(&mut self) -> Option<&'p [u8]> {
        let length = self.number()? as usize;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(kind: u8, fields: &[&[u8]]) -> Vec<u8> {
        let body = [&[kind][..], &fields.concat()].concat();
        [&(body.len() as u32).to_be_bytes()[..], &body].concat()
    }

    fn text(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
    }

    fn number(of: u32) -> Vec<u8> {
        of.to_be_bytes().to_vec()
    }

    fn event(op: &str, path: &str, to: Option<&str>, bytes: Option<u64>) -> FileEvent {
        FileEvent { op: op.to_owned(), path: path.to_owned(), to: to.map(str::to_owned), bytes }
    }

    /// A session: who sends what.
    fn session() -> Vec<(bool, Vec<u8>)> {
        let written = vec![7; 40_000];
        let one = number(1);
        vec![
            (true, packet(1, &[&number(3)])),
            (false, packet(2, &[&number(3)])),
            (true, packet(OPEN_FILE, &[&one, &text("関所.txt".as_bytes()), &number(0x1a), &number(0)])),
            (false, packet(HANDLE, &[&one, &text(b"h1")])),
            (true, packet(WRITE, &[&number(2), &text(b"h1"), &[0; 8], &text(&written)])),
            (false, packet(STATUS, &[&number(2), &number(0)])),
            (true, packet(OPEN_FILE, &[&number(3), &text(b"/etc/passwd"), &number(1), &number(0)])),
            (false, packet(HANDLE, &[&number(3), &text(b"h2")])),
            (true, packet(READ, &[&number(4), &text(b"h2"), &[0; 8], &number(32768)])),
            (false, packet(DATA, &[&number(4), &text(&[1; 1234])])),
            (true, packet(CLOSE, &[&number(5), &text(b"h1")])),
            (true, packet(REMOVE, &[&number(6), &text(b"gone")])),
            (false, packet(STATUS, &[&number(6), &number(0)])),
            (true, packet(REMOVE, &[&number(7), &text(b"kept")])),
            (false, packet(STATUS, &[&number(7), &number(3)])),
            (
                true,
                packet(EXTENDED, &[&number(8), &text(b"posix-rename@openssh.com"), &text(b"a"), &text(b"b")]),
            ),
            (false, packet(STATUS, &[&number(8), &number(0)])),
        ]
    }

    fn told(step: usize) -> Vec<FileEvent> {
        let mut follow = Follow::default();
        let mut events = Vec::new();
        for (is_sent, bytes) in session() {
            for part in bytes.chunks(step) {
                events.extend(if is_sent { follow.sent(part) } else { follow.answered(part) });
            }
        }
        events.extend(follow.end());
        events
    }

    #[test]
    fn what_happened_to_files_is_told_however_the_stream_was_cut() {
        let all = told(usize::MAX >> 1);
        let wanted = [
            event("upload", "関所.txt", None, Some(40_000)),
            event("remove", "gone", None, None),
            event("rename", "a", Some("b"), None),
            event("download", "/etc/passwd", None, Some(1234)),
        ];
        assert_eq!(all, wanted);
        for step in [1, 2, 3, 7, 100, 4096] {
            assert_eq!(told(step), wanted, "in pieces of {step}");
        }
    }

    #[test]
    fn what_is_no_sftp_is_told_once_and_costs_no_memory() {
        let mut follow = Follow::default();
        assert_eq!(follow.sent(b"\0\0\0\x02\x03\0"), [event("unknown", "", None, None)]);
        assert!(follow.sent(&[b'x'; 100_000]).is_empty());
        assert!(follow.up.packet.len() <= KEPT);
    }
}
