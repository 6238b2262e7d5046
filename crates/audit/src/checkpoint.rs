//! Checkpoints (c2sp.org/tlog-checkpoint): what the log was at a size, as the text of a note.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Hash;
use crate::note::{self, NoteError, Signer, Verifier};

/// What the log was at a size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: the name of its key.
    pub origin: String,
    /// How many entries it had.
    pub size: u64,
    /// The root of their tree.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.0))
    }

    /// Signs it as the log.
    pub fn sign(&self, log: &Signer) -> String {
        log.sign(&self.text(), 0)
    }

    /// Signs it as the log while one key takes the place of another: with each.
    pub fn sign_together<'s>(&self, log: impl IntoIterator<Item = &'s Signer>) -> String {
        note::sign_together(&self.text(), log)
    }

    /// Reads a text. Lines after the third are allowed and mean nothing here.
    ///
    /// # Errors
    /// [`NoteError::Malformed`].
    pub fn parse(text: &str) -> Result<Checkpoint, NoteError> {
        let mut lines = text.strip_suffix('\n').ok_or(NoteError::Malformed)?.split('\n');
        let mut line = || lines.next().filter(|line| !line.is_empty()).ok_or(NoteError::Malformed);
        let (origin, size, root) = (line()?, line()?, line()?);
        let number = size.parse::<u64>().map_err(|_| NoteError::Malformed)?;
        let root = STANDARD.decode(root).map_err(|_| NoteError::Malformed)?;
        let root = <[u8; 32]>::try_from(root).map_err(|_| NoteError::Malformed)?;
        // "007" and "+7" are no sizes.
        if number.to_string() != size || lines.any(str::is_empty) {
            return Err(NoteError::Malformed);
        }
        Ok(Checkpoint { origin: origin.to_owned(), size: number, root: Hash(root) })
    }

    /// Reads a checkpoint that this log signed.
    ///
    /// # Errors
    /// [`NoteError`]; also when it says that it is of another log.
    pub fn open(note: &str, log: &Verifier) -> Result<Checkpoint, NoteError> {
        let (text, _) = log.open(note)?;
        let checkpoint = Checkpoint::parse(text)?;
        if checkpoint.origin == log.name() { Ok(checkpoint) } else { Err(NoteError::NotSigned) }
    }
}
