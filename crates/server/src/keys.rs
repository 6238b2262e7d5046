//! The installation's own keys, made at first start and kept in files that only the server's user can read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom as _, SystemRandom};
use sekisho_audit::note::Signer;
use sekisho_link::pki::{self, Authority, Identity};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;
use zeroize::Zeroizing;

/// The server's certificate is renewed when less than this remains of it.
const RENEW_BEFORE: Duration = Duration::days(30);
const LOG: &str = "log.key";
const TENANT: &str = "tenant";

/// All keys.
pub(crate) struct Keys {
    /// The authority.
    pub(crate) ca: Identity,
    /// The server's certificate.
    pub(crate) server: Identity,
    /// Signs desired documents; PKCS#8.
    pub(crate) command: Zeroizing<Vec<u8>>,
    /// Seals the keys that are kept in the database.
    pub(crate) sealing: Zeroizing<[u8; 32]>,
    /// Signs checkpoints of the log; PKCS#8.
    pub(crate) log: Zeroizing<Vec<u8>>,
    /// Keys the counters of failed sign-ins.
    pub(crate) throttle: Zeroizing<[u8; 32]>,
    /// The tenant.
    pub(crate) tenant: Uuid,
    /// The first subscription.
    pub(crate) subscription: Uuid,
}

/// Keys cannot be read or made.
#[derive(Debug, thiserror::Error)]
#[error("{0}: {1}")]
pub struct KeyError(PathBuf, String);

/// A directory of key files.
struct Files(PathBuf);

impl Files {
    fn error(&self, name: &str, why: impl std::fmt::Display) -> KeyError {
        KeyError(self.0.join(name), why.to_string())
    }

    fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, KeyError> {
        match fs::read(self.0.join(name)) {
            Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.error(name, error)),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), KeyError> {
        let (path, fresh) = (self.0.join(name), self.0.join(format!("{name}.new")));
        let written = (|| {
            let mut file =
                OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            File::open(&self.0)?.sync_all()
        })();
        written.map_err(|e| self.error(name, e))
    }

    /// Reads a file, or makes its content and keeps it.
    fn or_make(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<Vec<u8>, String>,
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        if let Some(bytes) = self.read(name)? {
            return Ok(bytes);
        }
        let bytes = Zeroizing::new(make().map_err(|e| self.error(name, e))?);
        self.write(name, &bytes)?;
        Ok(bytes)
    }

    fn text(&self, name: &str, bytes: &[u8]) -> Result<String, KeyError> {
        String::from_utf8(bytes.to_vec()).map_err(|e| self.error(name, e))
    }

    fn pair(&self, name: &str) -> Result<Option<Identity>, KeyError> {
        let (certificate, key) = (self.read(&format!("{name}.pem"))?, self.read(&format!("{name}.key"))?);
        let (Some(certificate), Some(key)) = (certificate, key) else { return Ok(None) };
        Ok(Some(Identity {
            certificate: self.text(name, &certificate)?,
            key: Zeroizing::new(self.text(name, &key)?),
        }))
    }

    fn keep_pair(&self, name: &str, identity: &Identity) -> Result<(), KeyError> {
        // The key first: a certificate without its key would look complete.
        self.write(&format!("{name}.key"), identity.key.as_bytes())?;
        self.write(&format!("{name}.pem"), identity.certificate.as_bytes())
    }
}

/// Reads all keys, making what is missing.
///
/// # Errors
/// [`KeyError`] naming the file.
pub(crate) fn load(data_dir: &Path, names: &[String], organization: &str) -> Result<Keys, KeyError> {
    let files = Files(data_dir.join("keys"));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&files.0).map_err(|e| files.error("", e))?;
    let now = OffsetDateTime::now_utc();
    let ca = match files.pair("ca")? {
        Some(ca) => ca,
        None => {
            let label = format!("{organization} Sekisho CA {}", &Uuid::new_v4().simple().to_string()[..8]);
            let ca = Authority::generate(&label, now).map_err(|e| files.error("ca.pem", e))?;
            files.keep_pair("ca", &ca)?;
            ca
        }
    };
    let authority = Authority::load(&ca).map_err(|e| files.error("ca.pem", e))?;
    let server = server(&files, &authority, names, now)?;
    let command =
        files.or_make("command.key", || sekisho_link::SigningKey::generate().map_err(|e| e.to_string()))?;
    let log = files.or_make(LOG, || Signer::generate().map_err(|e| e.to_string()))?;
    let random = || {
        let mut bytes = vec![0u8; 32];
        SystemRandom::new()
            .fill(&mut bytes)
            .map(|()| bytes)
            .map_err(|_| "the system gives no randomness".to_owned())
    };
    let bits = |name: &str| {
        let bytes = files.or_make(name, random)?;
        <[u8; 32]>::try_from(bytes.as_slice()).map(Zeroizing::new).map_err(|e| files.error(name, e))
    };
    let id = |name: &str| {
        let bytes = files.or_make(name, || Ok(Uuid::new_v4().to_string().into_bytes()))?;
        Uuid::try_parse(&files.text(name, &bytes)?).map_err(|e| files.error(name, e))
    };
    Ok(Keys {
        ca,
        server,
        command,
        log,
        sealing: bits("sealing.key")?,
        throttle: bits("throttle.key")?,
        tenant: id(TENANT)?,
        subscription: id("subscription")?,
    })
}

/// The server's own certificate; a new one when it is for other names or near its end.
fn server(
    files: &Files,
    authority: &Authority,
    names: &[String],
    now: OffsetDateTime,
) -> Result<Identity, KeyError> {
    let wanted = names.join("\n");
    let current = files.read("server.names")?.is_some_and(|n| *n == *wanted.as_bytes());
    let kept = files.pair("server")?.filter(|_| current);
    if let Some(kept) = kept
        && pki::not_after(&kept.certificate).is_ok_and(|end| end - now > RENEW_BEFORE)
    {
        return Ok(kept);
    }
    let server = authority.server(names, now).map_err(|e| files.error("server.pem", e))?;
    files.keep_pair("server", &server)?;
    files.write("server.names", wanted.as_bytes())?;
    Ok(server)
}

/// The server's own certificate as it is kept; `None` before the first start.
///
/// # Errors
/// [`KeyError`] naming the file.
pub(crate) fn kept_server(data_dir: &Path) -> Result<Option<Identity>, KeyError> {
    Files(data_dir.join("keys")).pair("server")
}

/// The tenant and the log's key as they are kept.
///
/// # Errors
/// [`KeyError`] naming the file, also when it is not there: before the first start.
pub(crate) fn kept_log(data_dir: &Path) -> Result<(Uuid, Zeroizing<Vec<u8>>), KeyError> {
    let files = Files(data_dir.join("keys"));
    let needed = |name: &str| files.read(name)?.ok_or_else(|| files.error(name, "it is not there"));
    let tenant = files.text(TENANT, &needed(TENANT)?)?;
    let tenant = Uuid::try_parse(&tenant).map_err(|e| files.error(TENANT, e))?;
    Ok((tenant, needed(LOG)?))
}

/// The server's own certificate as it is, or a new one in its place when it nears its end.
///
/// # Errors
/// [`KeyError`] naming the file.
pub(crate) fn current_server(
    data_dir: &Path,
    authority: &Authority,
    names: &[String],
) -> Result<Identity, KeyError> {
    server(&Files(data_dir.join("keys")), authority, names, OffsetDateTime::now_utc())
}
