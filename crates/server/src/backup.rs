//! A backup of the whole installation in one file: its keys and its database, restored to either engine.
//!
//! The file is zstd over lines of JSON: a header, the key files, the rows of the database as they were at one moment,
//! and an end with a digest of all that came before. A file that was cut short, or changed, is found out before
//! anything of it is kept. It holds the root key, unless systemd keeps that, and with it all others: whoever can read it
//! *is* the installation.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{TryStreamExt as _, stream};
use ring::digest::{Context, SHA256};
use sekisho_arm::{AuditEntry, Outcome};
use sekisho_store::Record;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::ServerError;
use crate::config::Config;
use crate::{database, signin};

/// The version of the file's format.
const FORMAT: u32 = 1;
/// The longest line in bytes; the largest resource is far below.
const LONGEST: u64 = 64 << 20;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Sekisho { format: u32, version: String, created_at: i64 },
    Key { name: String, bytes: String },
    Row(Record),
    End { sha256: String },
}

/// What was written or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Key files.
    pub keys: u64,
    /// Rows of the database.
    pub rows: u64,
}

/// The entry by which a log that was put back goes on.
fn restored() -> AuditEntry {
    let mut entry = signin::entry("", signin::local_root(), Outcome::Succeeded, "OK", "");
    entry.operation = "Sekisho.Audit/logs/restore/action".to_owned();
    entry
}

/// Writes lines and the digest over them.
struct Writer<W: Write> {
    out: W,
    digest: Context,
}

impl<W: Write> Writer<W> {
    fn line(&mut self, line: &Line) -> io::Result<()> {
        let mut bytes = Zeroizing::new(serde_json::to_vec(line)?);
        bytes.push(b'\n');
        self.digest.update(&bytes);
        self.out.write_all(&bytes)
    }
}

/// Writes a backup. The server may be running.
///
/// # Errors
/// When the database or a key cannot be read, or `out` cannot be written.
pub async fn write(config: &Config, out: impl Write) -> Result<Summary, ServerError> {
    let out = zstd::Encoder::new(out, 0)?;
    let mut writer = Writer { out, digest: Context::new(&SHA256) };
    writer.line(&Line::Sekisho {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        created_at: OffsetDateTime::now_utc().unix_timestamp(),
    })?;
    let files = key_files(&config.data_dir)?;
    for (name, bytes) in &files {
        writer.line(&Line::Key { name: name.clone(), bytes: STANDARD.encode(&**bytes) })?;
    }
    let mut records = std::pin::pin!(sekisho_store::records(&database::url(config)?));
    let mut rows = 0;
    while let Some(record) = records.try_next().await? {
        writer.line(&Line::Row(record))?;
        rows += 1;
    }
    // With an older root key than that of the rows it would open nothing.
    if key_files(&config.data_dir)? != files {
        return Err(ServerError::Rotated);
    }
    let sha256 = hex(writer.digest.clone().finish().as_ref());
    writer.line(&Line::End { sha256 })?;
    writer.out.finish()?.flush()?;
    Ok(Summary { keys: files.len() as u64, rows })
}

/// Writes a backup into a file that only its owner can read; it appears there whole or not at all.
///
/// # Errors
/// As [`write()`]; also when the file is there already.
pub async fn to_file(config: &Config, path: &Path) -> Result<Summary, ServerError> {
    let failed = |e| ServerError::File(path.display().to_string(), e);
    if path.exists() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let fresh = PathBuf::from(format!("{}.part", path.display()));
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(failed)?;
    let written = write(config, &file).await;
    let summary = match written {
        Ok(summary) => summary,
        Err(error) => {
            let _ = fs::remove_file(&fresh);
            return Err(error);
        }
    };
    file.sync_all().and_then(|()| fs::rename(&fresh, path)).map_err(failed)?;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(failed)?;
    Ok(summary)
}

/// The key files by name; none where systemd has the root key and the server was never started.
fn key_files(data_dir: &Path) -> Result<BTreeMap<String, Zeroizing<Vec<u8>>>, ServerError> {
    let dir = data_dir.join("keys");
    let failed = |path: &Path, e| ServerError::File(path.display().to_string(), e);
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries.map_err(|e| failed(&dir, e))?,
    };
    let mut files = BTreeMap::new();
    for entry in entries {
        let entry = entry.map_err(|e| failed(&dir, e))?;
        let (path, name) = (entry.path(), entry.file_name());
        if let Some(name) = name.to_str().filter(|name| is_key_name(name) && path.is_file()) {
            let bytes = fs::read(&path).map_err(|e| failed(&path, e))?;
            files.insert(name.to_owned(), Zeroizing::new(bytes));
        }
    }
    Ok(files)
}

/// Names as the server gives them; a half-written `.new` file is none.
fn is_key_name(name: &str) -> bool {
    (1..64).contains(&name.len())
        && !name.starts_with('.')
        && !name.ends_with(".new")
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-'))
}

/// Reads lines and checks the digest over them.
struct Reader<R: BufRead> {
    input: R,
    digest: Context,
    ended: bool,
}

impl<R: BufRead> Reader<R> {
    /// The next line; `None` after an end that fits.
    fn next(&mut self) -> Result<Option<Line>, ServerError> {
        let broken = |why: &str| ServerError::Backup(why.to_owned());
        if self.ended {
            return Ok(None);
        }
        let mut bytes = Zeroizing::new(Vec::new());
        let read = (&mut self.input).take(LONGEST).read_until(b'\n', &mut bytes);
        read.map_err(|e| ServerError::Backup(format!("it cannot be read ({e})")))?;
        if bytes.last() != Some(&b'\n') {
            return Err(broken("it is cut short"));
        }
        let line = serde_json::from_slice(&bytes).map_err(|e| ServerError::Backup(format!("{e}")))?;
        if let Line::End { sha256 } = &line {
            if *sha256 != hex(self.digest.clone().finish().as_ref()) {
                return Err(broken("its content does not match its digest"));
            }
            self.ended = true;
            return match self.input.fill_buf() {
                Ok([]) => Ok(None),
                _ => Err(broken("something follows its end")),
            };
        }
        self.digest.update(&bytes);
        Ok(Some(line))
    }
}

/// Restores a backup into an installation that has neither keys nor rows. The caller holds the lock.
///
/// # Errors
/// When there is something already, or the backup is not whole; nothing is kept then.
pub async fn restore(config: &Config, input: impl Read) -> Result<Summary, ServerError> {
    let keys_dir = config.data_dir.join("keys");
    if keys_dir.exists() {
        return Err(ServerError::Backup(format!("{} is there already", keys_dir.display())));
    }
    let input = zstd::Decoder::new(input).map_err(|e| ServerError::Backup(e.to_string()))?;
    let mut reader = Reader { input: BufReader::new(input), digest: Context::new(&SHA256), ended: false };
    match reader.next()? {
        Some(Line::Sekisho { format: FORMAT, .. }) => {}
        Some(Line::Sekisho { format, version, .. }) => {
            return Err(ServerError::Backup(format!("format {format} of version {version} is not known")));
        }
        _ => return Err(ServerError::Backup("it is not a backup of Sekisho".to_owned())),
    }
    // The keys come first in the file; they are put in place last.
    let waiting = config.data_dir.join("keys.restoring");
    let _ = fs::remove_dir_all(&waiting);
    let restored = fill(config, &waiting, &mut reader).await;
    match restored {
        Ok(summary) => {
            fs::rename(&waiting, &keys_dir)
                .and_then(|()| File::open(&config.data_dir)?.sync_all())
                .map_err(|e| ServerError::File(keys_dir.display().to_string(), e))?;
            Ok(summary)
        }
        Err(error) => {
            let _ = fs::remove_dir_all(&waiting);
            Err(error)
        }
    }
}

async fn fill(
    config: &Config,
    waiting: &Path,
    reader: &mut Reader<impl BufRead>,
) -> Result<Summary, ServerError> {
    let failed = |e| ServerError::File(waiting.display().to_string(), e);
    fs::DirBuilder::new().mode(0o700).create(waiting).map_err(failed)?;
    let mut keys = 0;
    let mut first = None;
    while let Some(line) = reader.next()? {
        match line {
            Line::Key { name, bytes } => {
                keep_key(waiting, &name, &bytes)?;
                keys += 1;
            }
            other => {
                first = Some(other);
                break;
            }
        }
    }
    File::open(waiting).and_then(|dir| dir.sync_all()).map_err(failed)?;
    let records = stream::iter(std::iter::from_fn(|| {
        match first.take().map_or_else(|| reader.next(), |l| Ok(Some(l))) {
            Ok(Some(Line::Row(record))) => Some(Ok(record)),
            Ok(Some(_)) => Some(Err(ServerError::Backup("a line is out of place".to_owned()))),
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        }
    }));
    let rows = sekisho_store::load(&database::url(config)?, records, Some(restored())).await?;
    Ok(Summary { keys, rows })
}

fn keep_key(dir: &Path, name: &str, bytes: &str) -> Result<(), ServerError> {
    if !is_key_name(name) {
        return Err(ServerError::Backup(format!("'{}' is no name of a key", name.escape_debug())));
    }
    let bytes = STANDARD.decode(bytes).map(Zeroizing::new).map_err(|e| ServerError::Backup(e.to_string()))?;
    let path = dir.join(name);
    OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))
        .map_err(|e| ServerError::File(path.display().to_string(), e))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
