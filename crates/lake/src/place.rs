//! Where the segments' files are: a directory, or object storage named by a URL.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use uuid::Uuid;

use crate::LakeError;

/// Where a lake is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(into = "String")]
pub enum Place {
    /// A directory of this machine, or one that is shared by all servers on the same database.
    Directory(PathBuf),
}

impl From<Place> for String {
    fn from(place: Place) -> String {
        place.to_string()
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Directory(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Place {
    /// Reads an absolute path or a `file:///` URL.
    ///
    /// # Errors
    /// [`LakeError::Place`] for anything else.
    pub fn parse(text: &str) -> Result<Place, LakeError> {
        let refused = |why: &str| LakeError::Place(text.to_owned(), why.to_owned());
        match text.split_once("://") {
            Some(("file", path)) if path.starts_with('/') => Ok(Place::Directory(path.into())),
            None if text.starts_with('/') => Ok(Place::Directory(text.into())),
            Some(("s3" | "az", _)) => Err(refused("object storage is not built into this version")),
            _ => Err(refused("an absolute path or a file:/// URL is expected")),
        }
    }

    /// Opens the part of it that belongs to one installation, making the directory where there is none. Only the user
    /// who runs the server can read it. Installations that share a place do not see, and never sweep, each other's
    /// files.
    ///
    /// # Errors
    /// [`LakeError::Place`] when it cannot be made or opened.
    pub fn open(&self, installation: Uuid) -> Result<Arc<dyn ObjectStore>, LakeError> {
        let Place::Directory(path) = self;
        let path = path.join(installation.to_string());
        let refused = |why: String| LakeError::Place(self.to_string(), why);
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(|e| refused(e.to_string()))?;
        let local = LocalFileSystem::new_with_prefix(&path).map_err(|e| refused(e.to_string()))?;
        // A segment is in the manifest only once it survives a power cut.
        Ok(Arc::new(local.with_fsync(true)))
    }
}
