//! Where a file is on a machine: an absolute path that says the same to everybody who reads it.

use std::fmt;

/// The longest path, in bytes (Linux's `PATH_MAX`).
const LONGEST: usize = 4096;
/// The longest name in it, in bytes (Linux's `NAME_MAX`).
pub(super) const LONGEST_NAME: usize = 255;

/// An absolute path without `.`, `..` and empty names. Anything else may be in a name: spaces, line breaks, any script.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FilePath(String);

/// It is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a path is absolute, has at most {LONGEST} bytes and {LONGEST_NAME} in a name, and has neither '.', '..' nor an \
     empty name in it"
)]
pub struct BadPath;

impl FilePath {
    /// Reads one.
    ///
    /// # Errors
    /// [`BadPath`].
    pub fn parse(text: &str) -> Result<FilePath, BadPath> {
        let rest = text.strip_prefix('/').filter(|_| text.len() <= LONGEST).ok_or(BadPath)?;
        let is_name = |name: &str| {
            !matches!(name, "" | "." | "..") && name.len() <= LONGEST_NAME && !name.contains('\0')
        };
        if rest.is_empty() || rest.split('/').all(is_name) {
            Ok(FilePath(text.to_owned()))
        } else {
            Err(BadPath)
        }
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last name; empty of the root.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The folder that it is in; the root is in itself.
    pub(super) fn folder(&self) -> FilePath {
        match self.0.rsplit_once('/') {
            Some((folder, _)) if !folder.is_empty() => FilePath(folder.to_owned()),
            _ => FilePath("/".to_owned()),
        }
    }

    /// Something in this folder.
    ///
    /// # Errors
    /// [`BadPath`].
    pub(super) fn join(&self, name: &str) -> Result<FilePath, BadPath> {
        FilePath::parse(&format!("{}/{name}", self.0.trim_end_matches('/')))
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_means_one_thing_or_is_none() {
        for good in ["/", "/a", "/home/関所/a b", "/a\nb", "/...", "/-rf"] {
            assert_eq!(FilePath::parse(good).unwrap().as_str(), good);
        }
        let long = format!("/{}", "a".repeat(LONGEST_NAME + 1));
        let deep = "/a".repeat(LONGEST / 2 + 1);
        for bad in ["", "a", "~", "/a/", "//", "/a//b", "/.", "/..", "/a/../b", "/a\0", &long, &deep] {
            assert_eq!(FilePath::parse(bad), Err(BadPath), "{bad:?}");
        }
    }

    #[test]
    fn a_path_is_in_its_folder() {
        let path = FilePath::parse("/home/alice").unwrap();
        assert_eq!((path.name(), path.folder().as_str()), ("alice", "/home"));
        assert_eq!(path.folder().join("bob").unwrap().as_str(), "/home/bob");
        assert_eq!(path.folder().folder().join("etc").unwrap().as_str(), "/etc");
        assert_eq!(path.join("../root"), Err(BadPath));
    }
}
