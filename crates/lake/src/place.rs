//! Where the segments' files are: a directory, or object storage named by a URL.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreScheme, RetryConfig};
use url::Url;
use uuid::Uuid;

use crate::LakeError;

/// How often a request is tried again, and for how long: whoever asked is still waiting, and what is written is kept by its
/// writer until it is.
const TRIES: usize = 3;
const TRIED: Duration = Duration::from_secs(20);

/// Where a lake is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A directory of this machine, or one that is shared by all servers on the same database.
    Directory(PathBuf),
    /// A bucket (`s3://bucket/path`) or a container (`az://container/path`).
    Bucket(Url),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Directory(path) => write!(f, "{}", path.display()),
            Place::Bucket(url) => write!(f, "{url}"),
        }
    }
}

impl Place {
    /// Reads an absolute path, or a URL of `file`, `s3` or `az`.
    ///
    /// # Errors
    /// [`LakeError::Place`] for anything else, also for a URL with a user or a password in it.
    pub fn parse(text: &str) -> Result<Place, LakeError> {
        // What stands there may be a secret: nothing of it is repeated.
        let refused = |why: &str| LakeError::Place("this".to_owned(), why.to_owned());
        match text.split_once("://") {
            Some(("file", path)) if path.starts_with('/') => Ok(Place::Directory(path.into())),
            None if text.starts_with('/') => Ok(Place::Directory(text.into())),
            Some(("s3" | "az", _)) => match Url::parse(text) {
                Ok(url) if url.username().is_empty() && url.password().is_none() && url.query().is_none() => {
                    Ok(Place::Bucket(url))
                }
                _ => Err(refused("s3://bucket/path is expected")),
            },
            _ => Err(refused("an absolute path, or a URL of file, s3 or az is expected")),
        }
    }

    /// Opens the part of it that belongs to one installation: installations that share a place do not see, and never
    /// sweep, each other's files. A directory is made where there is none, and only the user who runs the server can
    /// read it. `options` are those of object storage by their usual names, such as `aws_region` or
    /// `azure_storage_account_name`; without keys among them the identity of the machine is used.
    ///
    /// # Errors
    /// [`LakeError::Place`] when it cannot be made or opened, or an option has a name that nobody knows.
    pub fn open(
        &self,
        installation: Uuid,
        options: &BTreeMap<String, String>,
    ) -> Result<Arc<dyn ObjectStore>, LakeError> {
        let own = installation.to_string();
        match self {
            Place::Directory(path) => Place::Directory(path.join(own)).open_whole(options),
            Place::Bucket(_) => Ok(Arc::new(PrefixStore::new(self.open_whole(options)?, Path::from(own)))),
        }
    }

    /// Opens all of it, for what is no lake.
    ///
    /// # Errors
    /// As [`Place::open`].
    pub fn open_whole(&self, options: &BTreeMap<String, String>) -> Result<Arc<dyn ObjectStore>, LakeError> {
        let refused = |why: String| LakeError::Place(self.to_string(), why);
        match self {
            Place::Directory(path) => {
                let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
                made.map_err(|e| refused(e.to_string()))?;
                let local = LocalFileSystem::new_with_prefix(path).map_err(|e| refused(e.to_string()))?;
                // A segment is in the manifest only once it survives a power cut.
                Ok(Arc::new(local.with_fsync(true)))
            }
            Place::Bucket(url) => {
                // The client takes the process's provider; when there is one already, it is this one.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let retry =
                    RetryConfig { max_retries: TRIES, retry_timeout: TRIED, ..RetryConfig::default() };
                let (scheme, path) = ObjectStoreScheme::parse(url).map_err(|e| refused(e.to_string()))?;
                let path = Path::parse(path).map_err(|e| refused(e.to_string()))?;
                if scheme == ObjectStoreScheme::AmazonS3 {
                    let bucket = AmazonS3Builder::new().with_url(url.as_str()).with_retry(retry);
                    let bucket =
                        self.named(options)?.fold(bucket, |b, (name, value)| b.with_config(name, value));
                    let bucket = bucket.build().map_err(|e| refused(e.to_string()))?;
                    return Ok(Arc::new(PrefixStore::new(bucket, path)));
                }
                let container = MicrosoftAzureBuilder::new().with_url(url.as_str()).with_retry(retry);
                let container =
                    self.named(options)?.fold(container, |b, (name, value)| b.with_config(name, value));
                let container = container.build().map_err(|e| refused(e.to_string()))?;
                Ok(Arc::new(PrefixStore::new(container, path)))
            }
        }
    }

    /// The options by what they are. One that is misspelt is an error: without its key another identity would be used.
    fn named<'o, K: FromStr>(
        &self,
        options: &'o BTreeMap<String, String>,
    ) -> Result<impl Iterator<Item = (K, &'o str)>, LakeError> {
        let known = |(name, value): (&String, &'o String)| match name.to_ascii_lowercase().parse() {
            Ok(key) => Ok((key, value.as_str())),
            Err(_) => Err(LakeError::Place(self.to_string(), format!("it has no option '{name}'"))),
        };
        let all: Vec<(K, &str)> = options.iter().map(known).collect::<Result<_, _>>()?;
        Ok(all.into_iter())
    }
}
