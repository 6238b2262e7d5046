//! Whether a password is among those that were breached, by a list that the operator supplies: SHA-1 in hexadecimal, one on
//! a line, in order, with anything behind a colon, as *Have I Been Pwned* gives it out. The list may be far larger than
//! memory: it is searched where it lies, and nothing of a password leaves the server.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use sekisho_identity::Secret;

/// Hexadecimal digits of SHA-1.
const DIGITS: usize = 40;
/// Longest line, its end included.
const LINE: u64 = 128;

/// The list cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "the list of breached passwords {0} cannot be used: {1}. Set 'breached_passwords_file' to a list of SHA-1 in order, or \
     leave it empty"
)]
pub struct BreachedError(PathBuf, String);

/// The list, if there is one.
pub(crate) struct Breached(Option<PathBuf>);

impl Breached {
    /// Makes sure that the list can be read and is one.
    ///
    /// # Errors
    /// [`BreachedError`].
    pub(crate) fn open(path: Option<&Path>) -> Result<Breached, BreachedError> {
        let Some(path) = path else { return Ok(Breached(None)) };
        let failed = |why: String| BreachedError(path.to_owned(), why);
        let first = File::open(path).and_then(|file| line_from(&mut BufReader::new(file), 0));
        match first.map_err(|e| failed(e.to_string()))? {
            Some((hash, _)) if is_hash(&hash) => Ok(Breached(Some(path.to_owned()))),
            _ => Err(failed("its first line does not begin with a SHA-1 in hexadecimal".to_owned())),
        }
    }

    /// Whether a password is in the list. Blocks for some reads of the disk.
    ///
    /// # Errors
    /// [`BreachedError`] when the list cannot be read any more: nobody knows then.
    pub(crate) fn contains(&self, password: &Secret) -> Result<bool, BreachedError> {
        let Some(path) = &self.0 else { return Ok(false) };
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, password.expose().as_bytes());
        let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        File::open(path)
            .and_then(|file| search(file, &hash))
            .map_err(|e| BreachedError(path.clone(), e.to_string()))
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The beginning of the first line that begins at or after a position, and where the next one does.
fn line_from(file: &mut BufReader<File>, at: u64) -> io::Result<Option<(String, u64)>> {
    let mut start = at;
    if at > 0 {
        // The line that the byte before belongs to is skipped.
        file.seek(SeekFrom::Start(at - 1))?;
        start = at - 1 + skip(file)?;
    } else {
        file.seek(SeekFrom::Start(0))?;
    }
    let mut line = Vec::new();
    let length = io::Read::take(&mut *file, LINE).read_until(b'\n', &mut line)?;
    if length == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') && length as u64 == LINE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"));
    }
    let text = String::from_utf8_lossy(&line[..line.len().min(DIGITS)]).trim().to_ascii_uppercase();
    Ok(Some((text, start + length as u64)))
}

fn skip(file: &mut BufReader<File>) -> io::Result<u64> {
    let mut rest = Vec::new();
    let length = io::Read::take(file, LINE).read_until(b'\n', &mut rest)?;
    match rest.last() {
        Some(b'\n') | None => Ok(length as u64),
        Some(_) if (length as u64) < LINE => Ok(length as u64),
        Some(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long")),
    }
}

/// Halves the file until what is left is smaller than a line.
fn search(file: File, hash: &str) -> io::Result<bool> {
    let (mut low, mut high) = (0, file.metadata()?.len());
    let mut file = BufReader::with_capacity(512, file);
    while low < high {
        let middle = low + (high - low) / 2;
        match line_from(&mut file, middle)? {
            Some((found, _)) if found == hash => return Ok(true),
            Some((found, next)) if found.as_str() < hash => low = next,
            _ => high = middle,
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_password_of_the_list_is_found_wherever_it_stands_and_no_other_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        let hashed = |text: &str| {
            let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
            hash.as_ref().iter().map(|b| format!("{b:02X}")).collect::<String>()
        };
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let lists = (prop::collection::btree_set("[a-z]{1,6}", 1..40), any::<bool>(), any::<bool>());
        runner
            .run(&lists, |(words, counted, crlf)| {
                let mut lines: Vec<String> = words.iter().map(|w| hashed(w)).collect();
                lines.sort();
                let end = if crlf { "\r\n" } else { "\n" };
                let count = if counted { ":17" } else { "" };
                let text: String = lines.iter().map(|l| format!("{l}{count}{end}")).collect();
                std::fs::write(&path, text).unwrap();
                let list = Breached::open(Some(&path)).unwrap();
                for word in &words {
                    prop_assert!(list.contains(&Secret::new(word.as_str())).unwrap(), "{word}");
                    let other = format!("{word}!");
                    prop_assert!(!list.contains(&Secret::new(other.as_str())).unwrap(), "{other}");
                }
                Ok(())
            })
            .unwrap();
        std::fs::write(&path, "password\n").unwrap();
        assert!(Breached::open(Some(&path)).is_err(), "no list of hashes");
        assert!(!Breached::open(None).unwrap().contains(&Secret::new("password")).unwrap());
    }

    #[test]
    fn a_list_that_is_gone_lets_no_password_pass() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        std::fs::write(&path, format!("{}\n", "0".repeat(DIGITS))).unwrap();
        let list = Breached::open(Some(&path)).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(list.contains(&Secret::new("correct horse battery staple")).is_err());
    }
}
