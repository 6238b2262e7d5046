//! What a machine without our agent fetches: the installer script, and the agent's packages that came with the server.
//!
//! Whoever pastes the install command has the key of this server's certificate in it, so the script is authentic; it
//! names the digests of the packages, so those are, too.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use axum::body::Body;
use axum::extract::{Path as Parameter, State};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{StatusCode, header};
use ring::digest::{SHA256, digest};
use sekisho_arm::ArmError;
use sekisho_link::join::Hex;

use crate::app::App;
use crate::http as web;

const SCRIPT: &str = include_str!("installer.sh");

/// The agent's packages in a directory.
pub struct Installer {
    dir: PathBuf,
    /// Digests by name, good while length and time of the file are the same.
    digests: Mutex<BTreeMap<String, (u64, SystemTime, String)>>,
}

/// A package of the agent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    /// Debian's name of the architecture.
    architecture: String,
    /// `deb` or `tar.gz`.
    form: &'static str,
    version: String,
    name: String,
}

impl Package {
    /// Reads a file's name: `sekisho-agent_0.1.0_amd64.deb` or `sekisho-agent_0.1.0_amd64.tar.gz`. Whatever has other
    /// characters than these is none, so that a name can stand in a script as it is.
    fn parse(name: &str) -> Option<Package> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '~' | '-' | '_');
        if !name.chars().all(plain) {
            return None;
        }
        let (stem, form) = ["deb", "tar.gz"]
            .into_iter()
            .find_map(|form| Some((name.strip_suffix(form)?.strip_suffix('.')?, form)))?;
        let (version, architecture) = stem.strip_prefix("sekisho-agent_")?.split_once('_')?;
        Some(Package {
            architecture: architecture.to_owned(),
            form,
            version: version.to_owned(),
            name: name.to_owned(),
        })
    }
}

impl Installer {
    /// Serves the packages of `dir`.
    pub(crate) fn new(dir: PathBuf) -> Installer {
        Installer { dir, digests: Mutex::default() }
    }

    /// The packages that are there, one for each architecture and form: this server's version, where it is there.
    fn packages(&self) -> Vec<Package> {
        let names = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let mut best: BTreeMap<(String, &str), Package> = BTreeMap::new();
        for package in names.filter_map(|entry| Package::parse(entry.file_name().to_str()?)) {
            let place = best.entry((package.architecture.clone(), package.form)).or_insert(package.clone());
            let own = |p: &Package| p.version == env!("CARGO_PKG_VERSION");
            if (own(&package), &package) > (own(place), place) {
                *place = package;
            }
        }
        best.into_values().collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The digest of a package, computed once for each file.
    fn digest(&self, name: &str) -> io::Result<String> {
        let path = self.path(name);
        let known = |m: &Metadata| Ok::<_, io::Error>((m.len(), m.modified()?));
        let (length, modified) = known(&std::fs::metadata(&path)?)?;
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((l, m, digest)) = digests.get(name)
            && (*l, *m) == (length, modified)
        {
            return Ok(digest.clone());
        }
        let digest = Hex(digest(&SHA256, &std::fs::read(&path)?).as_ref()).to_string();
        digests.insert(name.to_owned(), (length, modified, digest.clone()));
        Ok(digest)
    }

    /// The script. `address` is where machines reach the server, `key` the digest of the key it shows there.
    fn script(&self, address: &str, key: [u8; 32]) -> io::Result<String> {
        let mut arms = Vec::new();
        for package in self.packages() {
            let (sum, name) = (self.digest(&package.name)?, &package.name);
            arms.push(format!(
                "        {}.{}) file='{name}' sum='{sum}' ;;",
                package.architecture, package.form
            ));
        }
        let pin = format!("sha256//{}", STANDARD.encode(key));
        Ok(SCRIPT
            .replace("@PACKAGES@", &arms.join("\n"))
            .replace("@PIN@", &pin)
            .replace("@ADDRESS@", address))
    }
}

fn unreadable(dir: &Path, error: &io::Error) -> Response {
    tracing::error!(%error, directory = %dir.display(), "an agent's package cannot be read");
    web::arm_error(&ArmError::internal())
}

/// `GET /link/install`.
pub(crate) async fn install(State(app): State<Arc<App>>) -> Response {
    let owner = app.clone();
    let made = tokio::task::spawn_blocking(move || {
        owner.installer.script(&owner.config.join_address, owner.certificates.clients().pin())
    })
    .await;
    match made {
        Ok(Ok(script)) => {
            ([(header::CONTENT_TYPE, "text/x-shellscript; charset=utf-8")], script).into_response()
        }
        Ok(Err(error)) => unreadable(&app.installer.dir, &error),
        Err(_) => web::arm_error(&ArmError::internal()),
    }
}

/// `GET /link/agent/{file}`.
pub(crate) async fn agent(State(app): State<Arc<App>>, Parameter(file): Parameter<String>) -> Response {
    let missing = || web::arm_error(&ArmError::new(404, "NotFound", "There is no such package."));
    if Package::parse(&file).is_none() {
        return missing();
    }
    let opened = async {
        let file = tokio::fs::File::open(app.installer.path(&file)).await?;
        let length = file.metadata().await?.len();
        Ok::<_, io::Error>((file, length))
    };
    match opened.await {
        Ok((file, length)) => Response::builder()
            .status(StatusCode::OK)
            .header(header::CONTENT_TYPE, web::OCTETS)
            .header(header::CONTENT_LENGTH, length)
            .body(Body::from_stream(tokio_util::io::ReaderStream::with_capacity(file, 64 << 10)))
            .unwrap_or_default(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => missing(),
        Err(error) => unreadable(&app.installer.dir, &error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_can_stand_in_a_script_are_packages() {
        let package = Package::parse("sekisho-agent_0.1.0_amd64.deb").unwrap();
        assert_eq!((package.architecture.as_str(), package.form), ("amd64", "deb"));
        assert_eq!(Package::parse("sekisho-agent_0.1.0~1_arm64.tar.gz").unwrap().form, "tar.gz");
        for name in [
            "sekisho_0.1.0_amd64.deb",
            "sekisho-agent_0.1.0_amd64.rpm",
            "sekisho-agent_0.1.0_amd64'$(id)'.deb",
            "../sekisho-agent_0.1.0_amd64.deb",
            "sekisho-agent_0.1.0.deb",
        ] {
            assert_eq!(Package::parse(name), None, "{name}");
        }
    }
}
