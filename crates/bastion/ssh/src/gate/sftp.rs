//! SFTP between a client and a machine (source: draft-ietf-secsh-filexfer-02, which is what OpenSSH speaks, and OpenSSH's
//! PROTOCOL for its extensions). Whole packets pass, one after the other, as in OpenSSH's own server: an opening, or a change,
//! goes on to the machine when it is known of, and reads and writes only for what was opened like that. So a client that
//! does not wait for answers, or guesses handles, gets at nothing that nobody was asked about.

use std::collections::{HashMap, VecDeque};

use bytes::{Buf as _, Bytes, BytesMut};

use super::guard::{
    Content, Deed, FileEvent, Guard, Lanes, NotUnderstood, SESSION_OVER, Side, Step, TOO_LARGE, Verdict,
};

/// Largest packet, in bytes: OpenSSH takes none that is larger.
const LARGEST: usize = 256 << 10;
/// Longest path, in bytes, as Linux has it.
const LONGEST: usize = 4096;
/// Longest handle, in bytes.
const HANDLE_BYTES: usize = 256;
/// Files and folders that may be open at once; OpenSSH's server opens as many as it may have descriptors.
const OPEN: usize = 1024;
/// Requests that may wait for their answers. Most clients ask for some dozens at once; some ask for all of a file.
const WAITING: usize = 1024;
/// The version that is read here.
const VERSION: u32 = 3;

/// Kinds of packets.
mod kind {
    pub(super) const INIT: u8 = 1;
    pub(super) const VERSION: u8 = 2;
    pub(super) const OPEN: u8 = 3;
    pub(super) const CLOSE: u8 = 4;
    pub(super) const READ: u8 = 5;
    pub(super) const WRITE: u8 = 6;
    pub(super) const LSTAT: u8 = 7;
    pub(super) const FSTAT: u8 = 8;
    pub(super) const SETSTAT: u8 = 9;
    pub(super) const FSETSTAT: u8 = 10;
    pub(super) const OPENDIR: u8 = 11;
    pub(super) const READDIR: u8 = 12;
    pub(super) const REMOVE: u8 = 13;
    pub(super) const MKDIR: u8 = 14;
    pub(super) const RMDIR: u8 = 15;
    pub(super) const REALPATH: u8 = 16;
    pub(super) const STAT: u8 = 17;
    pub(super) const RENAME: u8 = 18;
    pub(super) const READLINK: u8 = 19;
    pub(super) const SYMLINK: u8 = 20;
    pub(super) const STATUS: u8 = 101;
    pub(super) const HANDLE: u8 = 102;
    pub(super) const DATA: u8 = 103;
    pub(super) const NAME: u8 = 104;
    pub(super) const ATTRS: u8 = 105;
    pub(super) const EXTENDED: u8 = 200;
    pub(super) const EXTENDED_REPLY: u8 = 201;
}

/// What a file is opened for.
mod flag {
    pub(super) const READ: u32 = 1;
    pub(super) const WRITE: u32 = 2;
    pub(super) const APPEND: u32 = 4;
    pub(super) const CREATE: u32 = 8;
    pub(super) const TRUNCATE: u32 = 0x10;
    pub(super) const EXCLUSIVE: u32 = 0x20;
}

/// Among attributes: there is a size.
const HAS_SIZE: u32 = 1;

/// Statuses.
const OK: u32 = 0;
const END_OF_FILE: u32 = 1;
const PERMISSION_DENIED: u32 = 3;
const FAILURE: u32 = 4;
const UNSUPPORTED: u32 = 8;

/// A status as the log has it.
fn why(status: u32) -> &'static str {
    match status {
        2 => "FileNotFound",
        PERMISSION_DENIED => "FileAccessDenied",
        UNSUPPORTED => "NotSupported",
        _ => "Failed",
    }
}

/// Something that has a handle.
struct Opened {
    path: Vec<u8>,
    read: Option<Content>,
    written: Option<Content>,
    appends: bool,
    most: Option<u64>,
    /// Whether its end was asked for, after which its handle may be another file's.
    closing: bool,
}

impl Opened {
    /// What it will be when it is over.
    fn deeds(&self) -> Vec<FileEvent> {
        let deed = |is: bool, op| is.then(|| FileEvent::new(op, &self.path));
        let (up, down) = (self.written.is_some(), self.read.is_some());
        [deed(up, Deed::Upload), deed(down, Deed::Download)].into_iter().flatten().collect()
    }

    fn over(self, failed: Option<&str>) -> Vec<FileEvent> {
        let tell = |content: Option<Content>, op| {
            let told = content?.told(FileEvent::new(op, &self.path));
            Some(if let (None, Some(why)) = (&told.failed, failed) { told.failed(why) } else { told })
        };
        let (up, down) = (tell(self.written, Deed::Upload), tell(self.read, Deed::Download));
        [up, down].into_iter().flatten().collect()
    }
}

/// What the machine was asked and has not answered.
enum Waiting {
    /// To open something.
    Open(Opened),
    Read {
        handle: Bytes,
        at: u64,
        length: u32,
    },
    Write {
        handle: Bytes,
    },
    Close {
        handle: Bytes,
    },
    Change(FileEvent),
    /// Something of which nothing is told. Its answer must not be taken for another's.
    Other,
}

/// A request that nobody has decided about.
struct Asking {
    packet: Bytes,
    id: u32,
    waiting: Waiting,
    admitted: Vec<FileEvent>,
    /// What is to be asked next, the first of which was.
    left: VecDeque<FileEvent>,
}

/// What becomes of a request.
enum Judged {
    /// It goes on.
    Wait(Waiting),
    /// It may go on.
    Ask(Waiting, Vec<FileEvent>),
    /// It does not.
    Refuse(u32, &'static str),
}

/// Reads one SFTP session.
#[derive(Default)]
pub struct Sftp {
    lanes: Lanes,
    waiting: HashMap<u32, Waiting>,
    opened: HashMap<Bytes, Opened>,
    asking: Option<Asking>,
}

impl Guard for Sftp {
    fn feed(&mut self, from: Side, data: &[u8]) {
        self.lanes.of(from).bytes.extend_from_slice(data);
    }

    fn next(&mut self, from: Side) -> Result<Option<Step>, NotUnderstood> {
        loop {
            if let Some(step) = self.lanes.of(from).steps.pop_front() {
                return Ok(Some(step));
            }
            if from == Side::Client && self.asking.is_some() {
                return Ok(None);
            }
            if from == Side::Client && self.waiting.len() >= WAITING {
                return Ok(Some(Step::Hold));
            }
            let Some(packet) = packet(&mut self.lanes.of(from).bytes)? else { return Ok(None) };
            match from {
                Side::Client => self.request(packet)?,
                Side::Machine => self.answer(packet)?,
            }
        }
    }

    fn decide(&mut self, verdict: Verdict) {
        let Some(mut asking) = self.asking.take() else { return };
        let steps = &mut self.lanes.of(Side::Client).steps;
        match verdict {
            Err(text) => {
                let admitted = asking.admitted.into_iter();
                steps.extend(admitted.map(|event| Step::Ended(event.failed("Refused"))));
                steps.push_back(Step::Answer(status(asking.id, PERMISSION_DENIED, &text)));
            }
            Ok(most) => {
                asking.admitted.extend(asking.left.pop_front());
                if let Waiting::Open(opened) = &mut asking.waiting {
                    opened.most = most;
                }
                match (asking.left.front(), &asking.waiting) {
                    (Some(event), _) => {
                        steps.push_back(Step::Ask(event.clone()));
                        self.asking = Some(asking);
                    }
                    // How large it will be is then not to be known.
                    (None, Waiting::Open(Opened { appends: true, most: Some(_), .. })) => {
                        let admitted = asking.admitted.into_iter();
                        steps.extend(admitted.map(|event| Step::Ended(event.failed(TOO_LARGE))));
                        let text =
                            "nothing can be added to files where there is a largest (maximumFileBytes)";
                        steps.push_back(Step::Answer(status(asking.id, PERMISSION_DENIED, text)));
                    }
                    (None, _) => {
                        self.waiting.insert(asking.id, asking.waiting);
                        steps.push_back(Step::Pass(asking.packet));
                    }
                }
            }
        }
    }

    fn end(&mut self) -> Vec<FileEvent> {
        let mut events = Vec::new();
        if let Some(asking) = self.asking.take() {
            // The first of what is left may be known already.
            let asked = asking.admitted.into_iter().chain(asking.left.into_iter().next());
            events.extend(asked.map(|event| event.failed(SESSION_OVER)));
        }
        for waiting in std::mem::take(&mut self.waiting).into_values() {
            match waiting {
                Waiting::Open(opened) => events.extend(opened.over(Some(SESSION_OVER))),
                Waiting::Change(event) => events.push(event.failed(SESSION_OVER)),
                Waiting::Read { .. } | Waiting::Write { .. } | Waiting::Close { .. } | Waiting::Other => {}
            }
        }
        let opened = std::mem::take(&mut self.opened).into_values();
        events.extend(opened.flat_map(|opened| opened.over(Some(SESSION_OVER))));
        events
    }
}

impl Sftp {
    fn request(&mut self, packet: Bytes) -> Result<(), NotUnderstood> {
        let mut fields = Fields(&packet[4..]);
        let (kind, id) = fields.head()?;
        if kind == kind::INIT {
            // It has a version in the place of a number.
            self.lanes.of(Side::Client).steps.push_back(Step::Pass(packet));
            return Ok(());
        }
        if self.waiting.contains_key(&id) {
            return Err(NotUnderstood("an SFTP request has the number of one that waits for its answer"));
        }
        let judged = self.judge(kind, &mut fields)?;
        let steps = &mut self.lanes.of(Side::Client).steps;
        match judged {
            Judged::Refuse(code, text) => steps.push_back(Step::Answer(status(id, code, text))),
            Judged::Wait(waiting) => {
                self.waiting.insert(id, waiting);
                steps.push_back(Step::Pass(packet));
            }
            Judged::Ask(waiting, events) => {
                let left = VecDeque::from(events);
                steps.extend(left.front().cloned().map(Step::Ask));
                self.asking = Some(Asking { packet, id, waiting, admitted: Vec::new(), left });
            }
        }
        Ok(())
    }

    fn judge(&mut self, kind: u8, fields: &mut Fields<'_>) -> Result<Judged, NotUnderstood> {
        const NO_HANDLE: Judged = Judged::Refuse(FAILURE, "there is no such handle");
        const TOO_LONG: Judged = Judged::Refuse(FAILURE, "the path is too long");
        const TOO_MANY: Judged = Judged::Refuse(FAILURE, "too many files are open at once");
        const NOT_HERE: Judged = Judged::Refuse(UNSUPPORTED, "this is not done through the gate");
        let one = |op, fields: &mut Fields<'_>| {
            let path = fields.text()?;
            if path.len() > LONGEST {
                return Ok(TOO_LONG);
            }
            let event = FileEvent::new(op, path);
            Ok(Judged::Ask(Waiting::Change(event.clone()), vec![event]))
        };
        let two = |op, fields: &mut Fields<'_>| {
            let (path, to) = (fields.text()?, fields.text()?);
            if path.len() > LONGEST || to.len() > LONGEST {
                return Ok(TOO_LONG);
            }
            let to = Some(String::from_utf8_lossy(to).into_owned());
            let event = FileEvent { to, ..FileEvent::new(op, path) };
            Ok(Judged::Ask(Waiting::Change(event.clone()), vec![event]))
        };
        let attributes = |path: &[u8], fields: &mut Fields<'_>| {
            if path.len() > LONGEST {
                return Ok(TOO_LONG);
            }
            let event = FileEvent { bytes: fields.size()?, ..FileEvent::new(Deed::Attributes, path) };
            Ok(Judged::Ask(Waiting::Change(event.clone()), vec![event]))
        };
        match kind {
            kind::OPEN | kind::OPENDIR if self.opened.len() >= OPEN => Ok(TOO_MANY),
            kind::OPEN => {
                let (path, flags) = (fields.text()?, fields.number()?);
                if path.len() > LONGEST {
                    return Ok(TOO_LONG);
                }
                let has = |wanted: u32| flags & wanted != 0;
                // OpenSSH opens for reading what is opened for nothing.
                let reads = has(flag::READ) || !has(flag::WRITE);
                let writes = flags & !flag::READ != 0;
                let is_new = has(flag::TRUNCATE) || (has(flag::CREATE) && has(flag::EXCLUSIVE));
                let opened = Opened {
                    path: path.to_vec(),
                    read: reads.then(|| Content::new(true)),
                    written: writes.then(|| Content::new(is_new && !has(flag::APPEND))),
                    appends: has(flag::APPEND),
                    most: None,
                    closing: false,
                };
                let deeds = opened.deeds();
                Ok(Judged::Ask(Waiting::Open(opened), deeds))
            }
            kind::OPENDIR => {
                let path = fields.text()?;
                if path.len() > LONGEST {
                    return Ok(TOO_LONG);
                }
                let opened = Opened {
                    path: path.to_vec(),
                    read: None,
                    written: None,
                    appends: false,
                    most: None,
                    closing: false,
                };
                Ok(Judged::Wait(Waiting::Open(opened)))
            }
            kind::CLOSE => match self.handle(fields)? {
                Some((handle, opened)) => {
                    opened.closing = true;
                    Ok(Judged::Wait(Waiting::Close { handle }))
                }
                None => Ok(NO_HANDLE),
            },
            kind::READ => match self.handle(fields)? {
                Some((handle, Opened { read: Some(_), .. })) => {
                    let (at, length) = (fields.long()?, fields.number()?);
                    Ok(Judged::Wait(Waiting::Read { handle, at, length }))
                }
                _ => Ok(NO_HANDLE),
            },
            kind::WRITE => match self.handle(fields)? {
                Some((handle, Opened { written: Some(written), most, appends, .. })) => {
                    let (at, data) = (fields.long()?, fields.text()?);
                    if most.is_some_and(|most| at.saturating_add(data.len() as u64) > most) {
                        written.failed = Some(TOO_LARGE.to_owned());
                        let text =
                            "the file would be larger than this bastion host allows (maximumFileBytes)";
                        return Ok(Judged::Refuse(FAILURE, text));
                    }
                    written.pass(if *appends { written.end() } else { at }, data);
                    Ok(Judged::Wait(Waiting::Write { handle }))
                }
                _ => Ok(NO_HANDLE),
            },
            kind::FSETSTAT => match self.handle(fields)? {
                Some((_, Opened { written: Some(written), most, .. })) => {
                    if let Some(size) = fields.size()? {
                        if most.is_some_and(|most| size > most) {
                            return Ok(Judged::Refuse(
                                FAILURE,
                                "this bastion host allows no such size (maximumFileBytes)",
                            ));
                        }
                        written.cut(size);
                    }
                    Ok(Judged::Wait(Waiting::Other))
                }
                Some((_, opened)) => attributes(&opened.path, fields),
                None => Ok(NO_HANDLE),
            },
            kind::SETSTAT => {
                let path = fields.text()?;
                attributes(path, fields)
            }
            kind::REMOVE => one(Deed::Remove, fields),
            kind::MKDIR => one(Deed::Mkdir, fields),
            kind::RMDIR => one(Deed::Rmdir, fields),
            kind::RENAME => two(Deed::Rename, fields),
            kind::SYMLINK => two(Deed::Link, fields),
            kind::LSTAT | kind::FSTAT | kind::READDIR | kind::REALPATH | kind::STAT | kind::READLINK => {
                Ok(Judged::Wait(Waiting::Other))
            }
            kind::EXTENDED => match fields.text()? {
                b"posix-rename@openssh.com" => two(Deed::Rename, fields),
                b"hardlink@openssh.com" => two(Deed::Link, fields),
                b"lsetstat@openssh.com" => {
                    let path = fields.text()?;
                    attributes(path, fields)
                }
                b"statvfs@openssh.com"
                | b"fstatvfs@openssh.com"
                | b"fsync@openssh.com"
                | b"limits@openssh.com"
                | b"expand-path@openssh.com"
                | b"home-directory"
                | b"users-groups-by-id@openssh.com" => Ok(Judged::Wait(Waiting::Other)),
                // What others do is not known.
                _ => Ok(NOT_HERE),
            },
            _ => Ok(NOT_HERE),
        }
    }

    /// The handle of a request, and what it is of.
    fn handle(&mut self, fields: &mut Fields<'_>) -> Result<Option<(Bytes, &mut Opened)>, NotUnderstood> {
        let handle = fields.text()?;
        let Some((handle, _)) = self.opened.get_key_value(handle) else { return Ok(None) };
        let handle = handle.clone();
        Ok(self.opened.get_mut(&handle).filter(|opened| !opened.closing).map(|opened| (handle, opened)))
    }

    fn answer(&mut self, packet: Bytes) -> Result<(), NotUnderstood> {
        let mut fields = Fields(&packet[4..]);
        let (kind, id) = fields.head()?;
        let mut steps = Vec::new();
        let mut instead = None;
        match kind {
            kind::VERSION if id != VERSION => {
                return Err(NotUnderstood("the machine's SFTP is of another version than 3"));
            }
            kind::VERSION => {}
            kind::NAME | kind::ATTRS | kind::EXTENDED_REPLY => match self.waiting.get(&id) {
                Some(Waiting::Other) => drop(self.waiting.remove(&id)),
                _ => return Err(NotUnderstood("the machine gave an SFTP answer that nobody asked for")),
            },
            kind::HANDLE => {
                let handle = fields.text()?;
                if handle.len() > HANDLE_BYTES || self.opened.contains_key(handle) {
                    return Err(NotUnderstood("the machine gave an SFTP handle that is none"));
                }
                // What is not understood is still to be told of.
                match self.waiting.remove(&id) {
                    Some(Waiting::Open(opened)) => {
                        self.opened.insert(Bytes::copy_from_slice(handle), opened);
                    }
                    other => {
                        self.waiting.extend(other.map(|other| (id, other)));
                        return Err(NotUnderstood("the machine gave an SFTP handle that nobody asked for"));
                    }
                }
            }
            kind::DATA => {
                let Some(Waiting::Read { handle, at, length }) = self.waiting.get(&id) else {
                    return Err(NotUnderstood("the machine gave data that nobody asked for"));
                };
                let (handle, at, length) = (handle.clone(), *at, *length);
                self.waiting.remove(&id);
                let data = fields.text()?;
                if data.len() > length as usize {
                    return Err(NotUnderstood("the machine gave more data than it was asked for"));
                }
                let Some(Opened { read: Some(read), most, .. }) = self.opened.get_mut(&handle) else {
                    return Err(NotUnderstood("the machine gave data of a file that is closed"));
                };
                if most.is_some_and(|most| at.saturating_add(data.len() as u64) > most) {
                    read.failed = Some(TOO_LARGE.to_owned());
                    let text = "the file is larger than this bastion host allows (maximumFileBytes)";
                    instead = Some(status(id, FAILURE, text));
                } else {
                    read.pass(at, data);
                }
            }
            kind::STATUS => {
                let code = fields.number()?;
                if !self.waiting.contains_key(&id) {
                    return Err(NotUnderstood("the machine gave an SFTP status that nobody asked for"));
                }
                steps = self.ended(id, code);
            }
            _ => return Err(NotUnderstood("the machine gave an answer that is none of SFTP's")),
        }
        let lane = &mut self.lanes.of(Side::Machine).steps;
        lane.extend(steps);
        lane.push_back(Step::Pass(instead.unwrap_or(packet)));
        Ok(())
    }

    /// What is over by a status.
    fn ended(&mut self, id: u32, code: u32) -> Vec<Step> {
        let failed = (code != OK).then(|| why(code));
        let content = |opened: Option<&mut Content>| {
            if let (Some(content), Some(why)) = (opened, failed) {
                content.failed.get_or_insert_with(|| why.to_owned());
            }
        };
        let events = match self.waiting.remove(&id) {
            None | Some(Waiting::Other) => Vec::new(),
            Some(Waiting::Open(opened)) => opened.over(Some(failed.unwrap_or("Failed"))),
            Some(Waiting::Change(event)) => vec![match failed {
                Some(why) => event.failed(why),
                None => event,
            }],
            Some(Waiting::Read { handle, .. }) => {
                if code != END_OF_FILE {
                    content(self.opened.get_mut(&handle).and_then(|opened| opened.read.as_mut()));
                }
                Vec::new()
            }
            Some(Waiting::Write { handle }) => {
                content(self.opened.get_mut(&handle).and_then(|opened| opened.written.as_mut()));
                Vec::new()
            }
            Some(Waiting::Close { handle }) => {
                self.opened.remove(&handle).map(|opened| opened.over(failed)).unwrap_or_default()
            }
        };
        events.into_iter().map(Step::Ended).collect()
    }
}

/// A status as the gate says it itself.
fn status(id: u32, code: u32, text: &str) -> Bytes {
    let text = format!("sekisho: {text}");
    let field = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    let body =
        [&[kind::STATUS][..], &id.to_be_bytes(), &code.to_be_bytes(), &field(text.as_bytes()), &field(b"en")];
    field(&body.concat()).into()
}

/// Takes a packet off a stream, with its length in four bytes, big endian, before it.
fn packet(stream: &mut BytesMut) -> Result<Option<Bytes>, NotUnderstood> {
    let Some(length) = stream.get(..4) else { return Ok(None) };
    let length = (&mut &*length).get_u32() as usize;
    if length > LARGEST {
        return Err(NotUnderstood("an SFTP packet is larger than 256 KiB"));
    }
    if stream.len() < 4 + length {
        return Ok(None);
    }
    Ok(Some(stream.split_to(4 + length).freeze()))
}

/// The fields of a packet, one after the other.
struct Fields<'p>(&'p [u8]);

impl<'p> Fields<'p> {
    fn take(&mut self, bytes: usize) -> Result<&'p [u8], NotUnderstood> {
        let cut = self.0.split_at_checked(bytes);
        let (taken, rest) = cut.ok_or(NotUnderstood("an SFTP packet ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// The kind of the packet and the number of the request.
    fn head(&mut self) -> Result<(u8, u32), NotUnderstood> {
        Ok((self.take(1)?.get_u8(), self.number()?))
    }

    fn number(&mut self) -> Result<u32, NotUnderstood> {
        Ok(self.take(4)?.get_u32())
    }

    fn long(&mut self) -> Result<u64, NotUnderstood> {
        Ok(self.take(8)?.get_u64())
    }

    fn text(&mut self) -> Result<&'p [u8], NotUnderstood> {
        let length = self.number()? as usize;
        self.take(length)
    }

    /// The size among attributes, which comes first.
    fn size(&mut self) -> Result<Option<u64>, NotUnderstood> {
        if self.number()? & HAS_SIZE == 0 { Ok(None) } else { self.long().map(Some) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::guard::tests::{Said, talk};

    const UP: Side = Side::Client;
    const DOWN: Side = Side::Machine;

    fn packet(kind: u8, fields: &[&[u8]]) -> Vec<u8> {
        let body = [&[kind][..], &fields.concat()].concat();
        [&(body.len() as u32).to_be_bytes()[..], &body].concat()
    }

    fn text(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
    }

    fn number(of: u32) -> [u8; 4] {
        of.to_be_bytes()
    }

    fn open(id: u32, path: &str, flags: u32) -> (Side, Vec<u8>) {
        (UP, packet(kind::OPEN, &[&number(id), &text(path.as_bytes()), &number(flags), &number(0)]))
    }

    fn handle(id: u32, handle: &[u8]) -> (Side, Vec<u8>) {
        (DOWN, packet(kind::HANDLE, &[&number(id), &text(handle)]))
    }

    fn close(id: u32, handle: &[u8]) -> (Side, Vec<u8>) {
        (UP, packet(kind::CLOSE, &[&number(id), &text(handle)]))
    }

    fn write(id: u32, handle: &[u8], at: u64, data: &[u8]) -> (Side, Vec<u8>) {
        (UP, packet(kind::WRITE, &[&number(id), &text(handle), &at.to_be_bytes(), &text(data)]))
    }

    fn read(id: u32, handle: &[u8], at: u64, length: u32) -> (Side, Vec<u8>) {
        (UP, packet(kind::READ, &[&number(id), &text(handle), &at.to_be_bytes(), &number(length)]))
    }

    fn data(id: u32, data: &[u8]) -> (Side, Vec<u8>) {
        (DOWN, packet(kind::DATA, &[&number(id), &text(data)]))
    }

    fn says(id: u32, code: u32) -> (Side, Vec<u8>) {
        (DOWN, packet(kind::STATUS, &[&number(id), &number(code), &text(b""), &text(b"")]))
    }

    fn ask(kind: u8, id: u32, fields: &[&[u8]]) -> (Side, Vec<u8>) {
        (UP, packet(kind, &[&[&number(id)[..]], fields].concat()))
    }

    const PUT: u32 = flag::WRITE | flag::CREATE | flag::TRUNCATE;

    fn event(op: Deed, path: &str) -> FileEvent {
        FileEvent::new(op, path.as_bytes())
    }

    fn whole(op: Deed, path: &str, content: &[u8]) -> FileEvent {
        let mut passed = Content::new(true);
        passed.pass(0, content);
        passed.told(event(op, path))
    }

    fn pieces(op: Deed, path: &str, bytes: u64) -> FileEvent {
        FileEvent { bytes: Some(bytes), pieces: true, ..event(op, path) }
    }

    fn run(sftp: &mut Sftp, talked: &[(Side, Vec<u8>)], step: usize) -> Said {
        talk(sftp, talked.iter().map(|(side, bytes)| (*side, bytes.as_slice())), step, |_| Ok(None))
    }

    fn session() -> Vec<(Side, Vec<u8>)> {
        let (one, two) = ([7; 40_000], [8; 100]);
        vec![
            (UP, packet(kind::INIT, &[&number(3)])),
            (DOWN, packet(kind::VERSION, &[&number(3), &text(b"limits@openssh.com"), &text(b"1")])),
            open(1, "関所.txt", PUT),
            handle(1, b"h1"),
            write(2, b"h1", 0, &one),
            write(3, b"h1", 40_000, &two),
            says(2, OK),
            says(3, OK),
            ask(kind::FSETSTAT, 9, &[&text(b"h1"), &number(4), &number(0o644)]),
            says(9, OK),
            open(4, "/etc/passwd", flag::READ),
            handle(4, b"h2"),
            read(5, b"h2", 0, 1000),
            read(6, b"h2", 1000, 1000),
            data(5, &[1; 1000]),
            data(6, &[1; 234]),
            close(7, b"h1"),
            says(7, OK),
            ask(kind::REMOVE, 8, &[&text(b"gone")]),
            says(8, OK),
            ask(kind::REMOVE, 9, &[&text(b"kept")]),
            says(9, PERMISSION_DENIED),
            ask(kind::EXTENDED, 10, &[&text(b"posix-rename@openssh.com"), &text(b"a"), &text(b"b")]),
            says(10, OK),
            ask(kind::OPENDIR, 11, &[&text(b"/srv")]),
            handle(11, b"h3"),
            close(12, b"h3"),
            says(12, OK),
        ]
    }

    #[test]
    fn what_happens_to_files_is_asked_before_and_told_after_however_the_stream_was_cut() {
        let content = [&[7; 40_000][..], &[8; 100]].concat();
        for step in [usize::MAX, 4096, 100, 7, 3, 2, 1] {
            let mut sftp = Sftp::default();
            let said = run(&mut sftp, &session(), step);
            assert_eq!(said.error, None);
            let asked: Vec<_> = said.asked.iter().map(|e| (e.op, e.path.as_str())).collect();
            assert_eq!(
                asked,
                [
                    (Deed::Upload, "関所.txt"),
                    (Deed::Download, "/etc/passwd"),
                    (Deed::Remove, "gone"),
                    (Deed::Remove, "kept"),
                    (Deed::Rename, "a"),
                ]
            );
            let rename = FileEvent { to: Some("b".to_owned()), ..event(Deed::Rename, "a") };
            assert_eq!(
                said.ended,
                [
                    whole(Deed::Upload, "関所.txt", &content),
                    event(Deed::Remove, "gone"),
                    event(Deed::Remove, "kept").failed("FileAccessDenied"),
                    rename,
                ],
                "in pieces of {step}"
            );
            let open = whole(Deed::Download, "/etc/passwd", &[1; 1234]).failed(SESSION_OVER);
            assert_eq!(sftp.end(), [open]);
            for side in [UP, DOWN] {
                let all: Vec<u8> =
                    session().into_iter().filter(|(s, _)| *s == side).flat_map(|(_, b)| b).collect();
                assert_eq!(said.of(side), all);
            }
        }
    }

    #[test]
    fn what_is_read_or_written_in_pieces_or_on_top_of_something_has_no_hash() {
        let told = |flags, talked: &[(Side, Vec<u8>)]| {
            let (begin, end) = ([open(1, "x", flags), handle(1, b"h")], [close(9, b"h"), says(9, OK)]);
            run(&mut Sftp::default(), &[&begin, talked, &end].concat(), 1 << 20).ended
        };
        let behind = [write(2, b"h", 5, b"67890"), says(2, OK), write(3, b"h", 0, b"12345"), says(3, OK)];
        assert_eq!(told(PUT, &behind), [pieces(Deed::Upload, "x", 10)]);
        let plain = [write(2, b"h", 0, b"12345"), says(2, OK)];
        assert_eq!(told(flag::WRITE, &plain), [pieces(Deed::Upload, "x", 5)]);
        assert_eq!(told(PUT | flag::APPEND, &plain), [pieces(Deed::Upload, "x", 5)]);
        let new = flag::WRITE | flag::CREATE | flag::EXCLUSIVE;
        assert_eq!(told(new, &plain), [whole(Deed::Upload, "x", b"12345")]);
        // As OpenSSH's scp does it.
        let mut cut = plain.to_vec();
        cut.push(ask(kind::FSETSTAT, 4, &[&text(b"h"), &number(HAS_SIZE), &5u64.to_be_bytes()]));
        assert_eq!(told(flag::WRITE | flag::CREATE, &cut), [whole(Deed::Upload, "x", b"12345")]);
        let mut cut = plain.to_vec();
        cut.push(ask(kind::FSETSTAT, 4, &[&text(b"h"), &number(HAS_SIZE), &3u64.to_be_bytes()]));
        assert_eq!(told(PUT, &cut), [pieces(Deed::Upload, "x", 5)]);
        let jump = [read(2, b"h", 4, 2), data(2, b"56")];
        assert_eq!(told(flag::READ, &jump), [pieces(Deed::Download, "x", 2)]);
        // Both, where both may be.
        let both = [read(2, b"h", 0, 2), data(2, b"56"), write(3, b"h", 0, b"7"), says(3, FAILURE)];
        let failed = pieces(Deed::Upload, "x", 1).failed("Failed");
        assert_eq!(told(flag::READ | flag::WRITE, &both), [failed, whole(Deed::Download, "x", b"56")]);
    }

    #[test]
    fn whoever_guesses_a_handle_or_uses_one_that_is_closed_gets_nothing() {
        let code =
            |said: &Said| said.back(UP).get(9..13).map(|code| u32::from_be_bytes(code.try_into().unwrap()));
        // Before anything has been opened, and after its end was asked for.
        let said = run(&mut Sftp::default(), &[read(1, b"\0\0\0\0", 0, 10)], 1000);
        assert_eq!((code(&said), said.of(UP)), (Some(FAILURE), &b""[..]));
        let talked = [open(1, "x", PUT), handle(1, b"h"), close(2, b"h"), write(3, b"h", 0, b"late")];
        let said = run(&mut Sftp::default(), &talked, 1000);
        assert_eq!(code(&said), Some(FAILURE));
        // What was opened for reading is not written.
        let talked = [open(1, "x", flag::READ), handle(1, b"h"), write(3, b"h", 0, b"x")];
        assert_eq!(code(&run(&mut Sftp::default(), &talked, 1000)), Some(FAILURE));
        // Opening for nothing is opening for reading; creating without writing is a change.
        let asked = |flags| run(&mut Sftp::default(), &[open(1, "x", flags)], 1000).asked;
        assert_eq!(asked(0), [event(Deed::Download, "x")]);
        assert_eq!(asked(flag::CREATE), [event(Deed::Upload, "x"), event(Deed::Download, "x")]);
        // What nobody knows here does not pass.
        let copy =
            ask(kind::EXTENDED, 1, &[&text(b"copy-data"), &text(b"h"), &[0; 16], &text(b"i"), &[0; 8]]);
        assert_eq!(code(&run(&mut Sftp::default(), &[copy], 1000)), Some(UNSUPPORTED));
        assert_eq!(code(&run(&mut Sftp::default(), &[ask(99, 1, &[])], 1000)), Some(UNSUPPORTED));
    }

    #[test]
    fn what_may_not_be_is_answered_by_the_gate_and_the_machine_hears_nothing() {
        let mut sftp = Sftp::default();
        let talked =
            [open(1, "x", flag::READ | flag::WRITE), ask(kind::MKDIR, 2, &[&text(b"d"), &number(0)])];
        let talked: Vec<_> = talked.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        let no = |event: &FileEvent| match event.op {
            Deed::Download => Err("no".to_owned()),
            _ => Ok(None),
        };
        let said = talk(&mut sftp, talked, 1000, no);
        assert_eq!(said.back(UP), status(1, PERMISSION_DENIED, "no"));
        assert_eq!(said.ended, [FileEvent { bytes: None, ..event(Deed::Upload, "x").failed("Refused") }]);
        assert_eq!(said.of(UP), packet(kind::MKDIR, &[&number(2), &text(b"d"), &number(0)]));
    }

    #[test]
    fn no_file_becomes_larger_than_it_may_nor_is_more_given_of_one() {
        let limited = |talked: &[(Side, Vec<u8>)]| {
            let talked = talked.iter().map(|(side, bytes)| (*side, bytes.as_slice()));
            talk(&mut Sftp::default(), talked, 1000, |_| Ok(Some(10)))
        };
        let said = limited(&[
            open(1, "x", PUT),
            handle(1, b"h"),
            write(2, b"h", 0, b"0123456789"),
            says(2, OK),
            write(3, b"h", u64::MAX, b"1"),
            write(4, b"h", 10, b"1"),
            close(5, b"h"),
            says(5, OK),
        ]);
        assert_eq!(said.ended, [whole(Deed::Upload, "x", b"0123456789").failed(TOO_LARGE)]);
        let said = limited(&[
            open(1, "x", flag::READ),
            handle(1, b"h"),
            read(2, b"h", 0, 100),
            read(3, b"h", 6, 100),
            data(2, b"012345"),
            data(3, b"6789X"),
        ]);
        assert!(!said.of(DOWN).windows(5).any(|piece| piece == b"6789X"), "more is given");
        let said = limited(&[open(1, "x", PUT | flag::APPEND)]);
        assert_eq!((said.of(UP), said.ended[0].failed.as_deref()), (&b""[..], Some(TOO_LARGE)));
    }

    #[test]
    fn what_is_no_sftp_ends_it() {
        let none = |talked: &[(Side, Vec<u8>)]| run(&mut Sftp::default(), talked, 1000).error.is_some();
        assert!(none(&[(UP, b"\0\0\0\x02\x03\0".to_vec())]));
        assert!(none(&[(UP, b"GET / HTTP/1.1\r\n".to_vec())]));
        assert!(none(&[(DOWN, b"Welcome to this machine".to_vec())]));
        assert!(none(&[(DOWN, packet(kind::VERSION, &[&number(6)]))]));
        assert!(none(&[data(1, b"unasked")]));
        assert!(none(&[handle(1, b"unasked")]));
        assert!(none(&[open(1, "a", PUT), open(1, "b", PUT)]));
        // The status of what is only looked at must not be taken for that of what is removed.
        let look = ask(kind::STAT, 1, &[&text(b"nowhere")]);
        assert!(none(&[look, ask(kind::REMOVE, 1, &[&text(b"file")])]));
        assert!(none(&[says(1, OK)]));
        let twice = [open(1, "a", PUT), open(2, "b", PUT), handle(1, b"h"), handle(2, b"h")];
        assert!(none(&twice));
        let more = [open(1, "a", flag::READ), handle(1, b"h"), read(2, b"h", 0, 1), data(2, b"12")];
        assert!(none(&more));
    }

    #[test]
    fn a_client_that_waits_for_nothing_waits_here_and_goes_on() {
        let mut sftp = Sftp::default();
        let mut asked = vec![open(0, "x", flag::READ), handle(0, b"h")];
        asked.extend((1..=2000).map(|id| read(id, b"h", 0, 1)));
        let said = run(&mut sftp, &asked, 1 << 20);
        assert!(said.held && said.error.is_none());
        let waits = sftp.waiting.len();
        assert_eq!(waits, WAITING);
        run(&mut sftp, &[data(1, b"x")], 1000);
        assert!(matches!(sftp.next(UP), Ok(Some(Step::Pass(_)))));
        assert_eq!(sftp.next(UP), Ok(Some(Step::Hold)));
        // And no more than so many files are open.
        let mut sftp = Sftp::default();
        let files = (0..2000).flat_map(|id| [open(id, "x", flag::READ), handle(id, &number(id))]);
        let files: Vec<_> = files.take(2 * OPEN).collect();
        assert_eq!(run(&mut sftp, &files, 1000).error, None);
        assert!(!run(&mut sftp, &[open(5000, "x", flag::READ)], 1000).back(UP).is_empty());
    }
}
