//! Object storage of a test's own, on loopback: Azurite, Microsoft's emulator of Azure's, and `s3s-fs`, an S3 server on a
//! directory. Both know one key and refuse what is not signed with it. Where a program is not there, a test says so and is
//! skipped: `cargo xtask test` installs them and names them by [`Kind::variable`].

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use tempfile::TempDir;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::LabError;

/// How long one may take to come up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Azurite's account and key are the same everywhere; Microsoft documents them.
const ACCOUNT: &str = "devstoreaccount1";
const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const ACCESS_KEY: &str = "AKIASEKISHOLAB";
const SECRET_KEY: &str = "a-secret-that-only-this-test-knows";

/// Whose protocol is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Azure's blobs.
    Azure,
    /// S3.
    S3,
}

impl Kind {
    /// The variable that names the program.
    pub fn variable(self) -> &'static str {
        match self {
            Kind::Azure => "SEKISHO_AZURITE",
            Kind::S3 => "SEKISHO_S3S",
        }
    }

    /// The program where the variable names none, and where it comes from.
    fn program(self) -> (&'static str, &'static str) {
        match self {
            Kind::Azure => ("azurite-blob", "npm's package azurite"),
            Kind::S3 => ("s3s-fs", "the crate s3s-fs with its feature binary"),
        }
    }
}

/// A running server. Dropping it ends it and removes what it kept.
#[derive(Debug)]
pub struct Objects {
    kind: Kind,
    port: u16,
    process: Child,
    dir: TempDir,
}

impl Objects {
    /// Starts a server that keeps nothing yet.
    ///
    /// # Errors
    /// [`LabError`] when it is not installed, or does not come up.
    pub fn start(kind: Kind) -> Result<Objects, LabError> {
        let dir = TempDir::new().map_err(LabError::io("a directory for objects"))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr());
        let port = listener.map_err(LabError::io("a port for objects"))?.port();
        let process = spawn(kind, port, &dir)?;
        let mut started = Objects { kind, port, process, dir };
        started.wait()?;
        Ok(started)
    }

    /// Kills it; what it keeps stays.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn stop(&mut self) -> Result<(), LabError> {
        let _ = self.process.kill();
        self.process.wait().map(|_| ()).map_err(LabError::io("the end of the object storage"))
    }

    /// Starts it again, at the same address, on what it kept.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> Result<(), LabError> {
        self.process = spawn(self.kind, self.port, &self.dir)?;
        self.wait()
    }

    /// The options with which a client reaches it, by the names that the lake and storage accounts have for them.
    pub fn options(&self) -> BTreeMap<String, String> {
        let endpoint = format!("http://{}", self.address());
        let options = match self.kind {
            Kind::Azure => [
                ("azure_storage_account_name", ACCOUNT.to_owned()),
                ("azure_storage_account_key", ACCOUNT_KEY.to_owned()),
                ("azure_storage_endpoint", format!("{endpoint}/{ACCOUNT}")),
                ("azure_allow_http", "true".to_owned()),
            ]
            .to_vec(),
            Kind::S3 => [
                ("aws_access_key_id", ACCESS_KEY.to_owned()),
                ("aws_secret_access_key", SECRET_KEY.to_owned()),
                ("aws_region", "eu-west-1".to_owned()),
                ("aws_endpoint", endpoint),
                ("aws_allow_http", "true".to_owned()),
            ]
            .to_vec(),
        };
        options.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// What nobody but its clients may learn.
    pub fn secret(&self) -> &'static str {
        match self.kind {
            Kind::Azure => ACCOUNT_KEY,
            Kind::S3 => SECRET_KEY,
        }
    }

    /// Makes a container, or bucket.
    ///
    /// # Errors
    /// When it is refused.
    pub fn make(&self, container: &str) -> Result<(), LabError> {
        match self.kind {
            Kind::Azure => self.put_container(container),
            Kind::S3 => std::fs::create_dir(self.dir.path().join(container)).map_err(LabError::io(container)),
        }
    }

    /// Asks as learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key says.
    fn put_container(&self, container: &str) -> Result<(), LabError> {
        let failed = || LabError::io(format!("the container {container}"));
        let refused = |why: String| failed()(io::Error::other(why));
        let form = format_description!(
            "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
        );
        let date = OffsetDateTime::now_utc().format(form).map_err(|e| refused(e.to_string()))?;
        let text = format!(
            "PUT{}x-ms-date:{date}\nx-ms-version:2021-08-06\n/{ACCOUNT}/{ACCOUNT}/{container}\nrestype:container",
            "\n".repeat(12)
        );
        let key = STANDARD.decode(ACCOUNT_KEY).map_err(|e| refused(e.to_string()))?;
        let signature =
            STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), text.as_bytes()));
        let mut stream = TcpStream::connect(self.address()).map_err(failed())?;
        write!(
            stream,
            "PUT /{ACCOUNT}/{container}?restype=container HTTP/1.1\r\nhost: {}\r\nx-ms-date: {date}\r\n\
             x-ms-version: 2021-08-06\r\nauthorization: SharedKey {ACCOUNT}:{signature}\r\ncontent-length: 0\r\n\
             connection: close\r\n\r\n",
            self.address()
        )
        .map_err(failed())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(failed())?;
        if answer.starts_with("HTTP/1.1 201") { Ok(()) } else { Err(refused(answer)) }
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    fn wait(&mut self) -> Result<(), LabError> {
        let began = Instant::now();
        while TcpStream::connect(self.address()).is_err() {
            let ended = self.process.try_wait().map_err(LabError::io("the object storage"))?;
            if ended.is_some() || began.elapsed() > PATIENCE {
                return Err(LabError::io("the object storage")(io::ErrorKind::NotConnected.into()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

fn spawn(kind: Kind, port: u16, dir: &TempDir) -> Result<Child, LabError> {
    let (program, package) = kind.program();
    let mut command =
        Command::new(std::env::var_os(kind.variable()).unwrap_or_else(|| program.to_owned().into()));
    let port = port.to_string();
    match kind {
        Kind::Azure => command
            .args(["--silent", "--disableTelemetry", "--skipApiVersionCheck", "--blobHost", "127.0.0.1"])
            .args(["--blobPort", &port, "--location"]),
        Kind::S3 => command.args(["--host", "127.0.0.1", "--port", &port]).args([
            "--access-key",
            ACCESS_KEY,
            "--secret-key",
            SECRET_KEY,
        ]),
    };
    command.arg(dir.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map_err(LabError::io(format!("{program} ({package})")))
}
