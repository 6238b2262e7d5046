//! Where the root key is: a credential that systemd hands to the service, sealed with the machine's TPM where it has
//! one, or a file that only the server's user can read. While one root key takes the place of another there are two, and
//! what is sealed with either opens.

use std::path::Path;

use ring::rand::{SecureRandom as _, SystemRandom};
use sekisho_identity::ring::{Key, OpenError, RootKey};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::files::{self, Files};
use super::{KeyError, unopened};
use crate::config::Config;

/// The credential's name, `systemd.exec(5)`.
const CREDENTIAL: &str = "sekisho-root";
/// The one that is to follow.
const NEXT_CREDENTIAL: &str = "sekisho-root-next";
const FILE: &str = "root.key";
const NEXT_FILE: &str = "root.next.key";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    NextCredential,
    Credential,
    NextFile,
    File,
}

impl Origin {
    fn is_file(self) -> bool {
        matches!(self, Origin::File | Origin::NextFile)
    }
}

/// The root keys at hand.
pub(crate) struct Roots {
    files: Files,
    keys: Vec<RootKey>,
    /// Where each is from.
    origins: Vec<Origin>,
}

impl Roots {
    /// Reads all.
    ///
    /// # Errors
    /// [`KeyError::File`].
    pub(crate) fn read(config: &Config) -> Result<Roots, KeyError> {
        let files = Files::of(&config.data_dir);
        let credential = |name: &str| config.credentials_dir.as_ref().map(|dir| dir.join(name));
        let places = [
            (Origin::NextCredential, credential(NEXT_CREDENTIAL)),
            (Origin::Credential, credential(CREDENTIAL)),
            (Origin::NextFile, Some(files.path(NEXT_FILE))),
            (Origin::File, Some(files.path(FILE))),
        ];
        let mut roots = Roots { files, keys: Vec::new(), origins: Vec::new() };
        for (origin, path) in places {
            let Some(path) = path else { continue };
            let Some(bytes) = files::read(&path)? else { continue };
            roots.take(origin, &path, &bytes)?;
        }
        Ok(roots)
    }

    fn take(&mut self, origin: Origin, path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
        let key = <&[u8; 32]>::try_from(bytes).ok().and_then(RootKey::new);
        let key =
            key.ok_or_else(|| KeyError::File(path.to_owned(), "32 random bytes are expected".to_owned()))?;
        self.keys.push(key);
        self.origins.push(origin);
        Ok(())
    }

    fn make(&mut self, origin: Origin, name: &str) -> Result<(), KeyError> {
        let mut bytes = Zeroizing::new([0; 32]);
        SystemRandom::new()
            .fill(&mut *bytes)
            .map_err(|_| self.files.error(name, "the system gives no randomness"))?;
        self.files.write(name, &*bytes)?;
        self.take(origin, &self.files.path(name), &*bytes)
    }

    fn with(&self, wanted: Origin) -> Option<&RootKey> {
        self.keys.iter().zip(&self.origins).find(|(_, origin)| **origin == wanted).map(|(key, _)| key)
    }

    /// The one that seals an empty ring, made when there is none.
    ///
    /// # Errors
    /// [`KeyError::File`].
    pub(super) fn first(&mut self) -> Result<String, KeyError> {
        if self.keys.is_empty() {
            self.make(Origin::File, FILE)?;
        }
        let found = self.with(Origin::Credential).or_else(|| self.with(Origin::File)).or(self.keys.first());
        Ok(found.map(|key| key.id().to_owned()).unwrap_or_default())
    }

    /// The one of this id.
    ///
    /// # Errors
    /// [`KeyError::OtherRoot`].
    pub(crate) fn named(&self, id: &str) -> Result<&RootKey, KeyError> {
        self.keys.iter().find(|k| k.id() == id).ok_or_else(|| KeyError::OtherRoot(id.to_owned()))
    }

    /// Opens a key of the ring.
    ///
    /// # Errors
    /// [`KeyError::OtherRoot`], or that it was changed.
    pub(crate) fn open(&self, key: &Key) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        key.open(&self.keys).map_err(|error| match error {
            OpenError::OtherRoot(id) => KeyError::OtherRoot(id),
            error => unopened(key, error),
        })
    }

    /// The one that is to take the place of the one in use. A file is made; a credential is the operator's to make.
    ///
    /// # Errors
    /// [`KeyError::NoNextRoot`], [`KeyError::File`].
    pub(super) fn next(&mut self, in_use: &str) -> Result<String, KeyError> {
        let waiting = self.keys.iter().zip(&self.origins).find(|(key, origin)| {
            // A file beside a credential that is in use is what was there before it.
            key.id() != in_use && (**origin != Origin::File || !self.is_credential(in_use))
        });
        if let Some((key, _)) = waiting {
            return Ok(key.id().to_owned());
        }
        if self.is_credential(in_use) {
            return Err(KeyError::NoNextRoot);
        }
        self.make(Origin::NextFile, NEXT_FILE)?;
        Ok(self.with(Origin::NextFile).map(|key| key.id().to_owned()).unwrap_or_default())
    }

    fn is_credential(&self, id: &str) -> bool {
        let mut all = self.keys.iter().zip(&self.origins);
        all.any(|(key, origin)| key.id() == id && !origin.is_file())
    }

    /// Brings the files in line with what the whole ring is sealed with: the next one becomes the one in use, and a file
    /// that is in use no more goes.
    ///
    /// # Errors
    /// [`KeyError::File`].
    pub(super) fn settle(&self, in_use: &str) -> Result<(), KeyError> {
        let is = |origin| self.with(origin).is_some_and(|key| key.id() == in_use);
        if is(Origin::NextFile) {
            return self.files.rename(NEXT_FILE, FILE);
        }
        if self.is_credential(in_use) && self.with(Origin::File).is_some() {
            return self.files.remove(&[FILE]);
        }
        Ok(())
    }

    /// The directory of the files.
    pub(super) fn directory(&self) -> &Files {
        &self.files
    }

    /// For `sekisho keys list`.
    pub(super) fn shown(&self, in_use: &str) -> Vec<Value> {
        let all = self.keys.iter().zip(&self.origins).map(|(key, origin)| {
            let state = if key.id() == in_use { "active" } else { "pending" };
            let place = if origin.is_file() { "file" } else { "credential" };
            json!({"purpose": super::ROOT, "id": key.id(), "state": state, "place": place})
        });
        all.collect()
    }
}
