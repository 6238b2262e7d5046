//! What every protocol that copies files has in common: whoever reads one stands between the client and the machine as a
//! [`Guard`], to which everything is fed that either says, and which says what of it goes on, what has to be asked before
//! it does, and what was done.
//!
//! A guard is pure: it neither waits nor knows who decides. What is fed to it may be cut anywhere. What is not of its
//! protocol ends the session, because what the guard reads otherwise than the machine does, nobody has seen.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client.
    Client,
    /// The machine.
    Machine,
}

impl Side {
    /// The other one.
    pub fn other(self) -> Side {
        match self {
            Side::Client => Side::Machine,
            Side::Machine => Side::Client,
        }
    }
}

/// What is done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Deed {
    /// It is written.
    Upload,
    /// It is read.
    Download,
    /// It is removed.
    Remove,
    /// A folder is made.
    Mkdir,
    /// A folder is removed.
    Rmdir,
    /// It gets another name.
    Rename,
    /// It gets one more name, or a link leads there.
    Link,
    /// Its mode, owner, times or size are set.
    Attributes,
}

/// Something that is to be done, or was done, with a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEvent {
    /// What.
    pub op: Deed,
    /// The file, as the client has named it.
    pub path: String,
    /// Its other name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// How much passed; of what is to be done, how much is going to, where that is said. Of attributes, the size that is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The SHA-256 of all these bytes, in hexadecimal digits, where they came in order from the file's first one on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Whether it was read or written in pieces, or on top of what was there, so that there is nothing to be hashed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pieces: bool,
    /// Why nothing, or not all, came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

impl FileEvent {
    pub(super) fn new(op: Deed, path: &[u8]) -> FileEvent {
        let path = String::from_utf8_lossy(path).into_owned();
        FileEvent { op, path, to: None, bytes: None, sha256: None, pieces: false, failed: None }
    }

    pub(super) fn failed(self, why: &str) -> FileEvent {
        FileEvent { failed: Some(why.to_owned()), ..self }
    }

    /// Whether something was done, be it not all.
    pub fn is_done(&self) -> bool {
        self.failed.is_none() || self.bytes.is_some_and(|bytes| bytes > 0)
    }
}

/// Whether something may be done: the largest file in bytes, if there is a limit, or why not.
pub type Verdict = Result<Option<u64>, String>;

/// What comes of what was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It goes on.
    Pass(Bytes),
    /// Whoever said it is answered.
    Answer(Bytes),
    /// It may be done or not, which is to be [decided](Guard::decide); until then nothing goes on that this side says.
    Ask(FileEvent),
    /// It is over.
    Ended(FileEvent),
    /// Nothing goes on that this side says until the other one has said something.
    Hold,
}

/// What was said is not of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotUnderstood(pub(super) &'static str);

/// Stands between a client and a machine that copy files.
pub trait Guard: Send {
    /// Takes what a side says.
    fn feed(&mut self, from: Side, data: &[u8]);

    /// What comes next of what was fed from a side; `None` when it has to say more.
    ///
    /// # Errors
    /// [`NotUnderstood`]; nothing more may pass.
    fn next(&mut self, from: Side) -> Result<Option<Step>, NotUnderstood>;

    /// Decides what was asked last.
    fn decide(&mut self, verdict: Verdict);

    /// What was not over when the session was.
    fn end(&mut self) -> Vec<FileEvent>;
}

/// Why something was not over when its session was.
pub(super) const SESSION_OVER: &str = "SessionOver";
/// Why less passed than there is.
pub(super) const TOO_LARGE: &str = "FileTooLarge";

/// Steps of one side that are not taken yet, and bytes that were not read.
#[derive(Default)]
pub(super) struct Lane {
    pub(super) bytes: BytesMut,
    pub(super) steps: VecDeque<Step>,
}

/// Both sides' lanes.
#[derive(Default)]
pub(super) struct Lanes([Lane; 2]);

impl Lanes {
    pub(super) fn of(&mut self, side: Side) -> &mut Lane {
        &mut self.0[side as usize]
    }
}

/// The content of a file as it passes.
pub(super) struct Content {
    bytes: u64,
    /// Where the next byte belongs, when all comes in order.
    next: u64,
    /// Of what passed, as long as it comes in order from the first byte on.
    hash: Option<Box<Context>>,
    /// Whether that is all that there is of the file.
    is_whole: bool,
    pub(super) failed: Option<String>,
}

impl Content {
    /// `is_whole`: nothing is in the file but what passes.
    pub(super) fn new(is_whole: bool) -> Content {
        Content { bytes: 0, next: 0, hash: Some(Box::new(Context::new(&SHA256))), is_whole, failed: None }
    }

    /// So much passed, at a place.
    pub(super) fn pass(&mut self, at: u64, data: &[u8]) {
        let length = data.len() as u64;
        match &mut self.hash {
            Some(hash) if at == self.next => hash.update(data),
            _ => self.hash = None,
        }
        self.bytes = self.bytes.saturating_add(length);
        self.next = at.saturating_add(length);
    }

    /// It is cut, or grows, to so many bytes. OpenSSH's scp writes on top of what is there, and cuts off what is left then.
    pub(super) fn cut(&mut self, to: u64) {
        self.is_whole = to == self.next;
        if !self.is_whole {
            self.hash = None;
        }
    }

    /// Where the next byte belongs, when all comes in order.
    pub(super) fn end(&self) -> u64 {
        self.next
    }

    /// What is to be told of it.
    pub(super) fn told(self, of: FileEvent) -> FileEvent {
        let hash = self.hash.filter(|_| self.is_whole).map(|hash| hash.finish());
        let pieces = hash.is_none() && self.bytes > 0;
        let sha256 = hash.map(|hash| hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect());
        FileEvent { bytes: Some(self.bytes), sha256, pieces, failed: self.failed.or(of.failed), ..of }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What came of everything that was said.
    #[derive(Debug, Default)]
    pub(crate) struct Said {
        pub(crate) asked: Vec<FileEvent>,
        pub(crate) ended: Vec<FileEvent>,
        pub(crate) error: Option<NotUnderstood>,
        pub(crate) held: bool,
        passed: [Vec<u8>; 2],
        answered: [Vec<u8>; 2],
    }

    impl Said {
        /// What went on of what a side said.
        pub(crate) fn of(&self, side: Side) -> &[u8] {
            &self.passed[side as usize]
        }

        /// What a side was answered by the gate.
        pub(crate) fn back(&self, side: Side) -> &[u8] {
            &self.answered[side as usize]
        }
    }

    /// Has both sides talk, each thing cut into pieces, until it is not understood any more.
    pub(crate) fn talk<'t>(
        guard: &mut dyn Guard,
        talked: impl IntoIterator<Item = (Side, &'t [u8])>,
        step: usize,
        decide: impl Fn(&FileEvent) -> Verdict,
    ) -> Said {
        let mut said = Said::default();
        for (from, bytes) in talked {
            for piece in bytes.chunks(step) {
                guard.feed(from, piece);
                loop {
                    match guard.next(from) {
                        Ok(Some(Step::Pass(bytes))) => said.passed[from as usize].extend(bytes),
                        Ok(Some(Step::Answer(bytes))) => said.answered[from as usize].extend(bytes),
                        Ok(Some(Step::Ask(event))) => {
                            let verdict = decide(&event);
                            said.asked.push(event);
                            guard.decide(verdict);
                        }
                        Ok(Some(Step::Ended(event))) => said.ended.push(event),
                        Ok(Some(Step::Hold)) => {
                            said.held = true;
                            break;
                        }
                        Ok(None) => break,
                        Err(error) => {
                            said.error = Some(error);
                            return said;
                        }
                    }
                }
            }
        }
        said
    }
}
