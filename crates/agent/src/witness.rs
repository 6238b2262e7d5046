//! An agent as a witness of the log: what it has seen, and the key by which it says so. Keeping both is the program's.

use anyhow::Context as _;
use sekisho_audit::note::{Signer, Use, Verifier};
use sekisho_audit::succession::{Succession, walk};
use sekisho_audit::witness::{Advance, Memory, WitnessError};
use sekisho_link::message::ToServer;
use sekisho_link::witnesses::key_name;

/// A witness. It has no `Debug`: it holds a private key.
pub struct Witness {
    signer: Signer,
    memory: Option<Memory>,
}

impl Witness {
    /// The agent with this id; `key` is its own, PKCS#8, and `memory` what it has seen of which log.
    ///
    /// # Errors
    /// When the key cannot be read.
    pub fn new(agent: &str, key: &[u8], memory: Option<Memory>) -> anyhow::Result<Witness> {
        let signer =
            Signer::new(&key_name(agent), Use::Cosignature, key).context("this machine's witness key")?;
        Ok(Witness { signer, memory })
    }

    /// What it has seen; nothing when it does not know the log's key.
    pub fn memory(&self) -> Option<&Memory> {
        self.memory.as_ref()
    }

    /// The server says what the log's key is; only a witness that knows none believes it. True when it did.
    pub fn told(&mut self, key: Verifier) -> bool {
        let news = self.memory.is_none() && key.signs() == Use::Note;
        if news {
            self.memory = Some(Memory::of(key));
        }
        news
    }

    /// Where the log's key has gone since, as far as it is proved; what is to be remembered then. `None` when it knows the
    /// newest one.
    pub fn succeeded(&self, all: &[Succession<Verifier>]) -> Option<Memory> {
        let memory = self.memory.as_ref()?;
        let key = walk(&memory.key, all).pop().filter(|key| *key != memory.key)?;
        Some(Memory { key, ..memory.clone() })
    }

    /// Knows the log by the key of this memory from now on.
    pub fn succeed(&mut self, memory: Memory) {
        self.memory = Some(memory);
    }

    /// What is to be remembered instead of what is, when the log has only grown.
    ///
    /// # Errors
    /// [`WitnessError`]; also when the log's key is not known.
    pub fn consider(&self, offered: &Advance) -> Result<Memory, WitnessError> {
        let memory = self.memory.as_ref().ok_or(sekisho_audit::note::NoteError::Key)?;
        memory.advance(offered)
    }

    /// Remembers it and says so to the server; nothing when it is no news. `at` is the time in seconds since 1970.
    pub fn follow(&mut self, next: Memory, at: u64) -> Option<ToServer> {
        let news = self.memory.as_ref() != Some(&next);
        let said = next.text().filter(|_| news).map(|text| ToServer::Witnessed {
            key: self.signer.verifier(),
            size: next.size,
            line: self.signer.line(&text, at),
        });
        self.memory = Some(next);
        said
    }
}
