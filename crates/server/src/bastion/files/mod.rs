//! The files of the account of a session in a browser: what is in folders, and small changes; whole files go by [`upload`]
//! and [`download`], and [`log`] has it all in the activity log and in the session's recording.
//!
//! Only whose session it is gets at its files, for as long as the session lasts and as far as its bastion host, as it is kept
//! at that moment, allows it.

mod download;
pub(super) mod log;
mod upload;

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use sekisho_arm::ArmError;
use sekisho_arm::resource::instant;
use sekisho_bastion::host::BastionHost;
use sekisho_bastion_ssh::files::{self, FilePath, FilesError, Kind};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;

use super::sessions::own;
use super::shown::{Open, Screen};
use super::{caller, may};
use crate::app::App;
use crate::http::{self as web, OCTETS, Peer};
use crate::routes::{Operation, Routes, Text};

pub(super) use upload::{Uploads, end};

const FILES: &str = "/bastions/{host}/api/sessions/{session}/files";
const CONTENT: &str = "/bastions/{host}/api/sessions/{session}/content";

pub(super) fn routes() -> Routes {
    Routes::default()
        .on(
            Operation::get(FILES, "Lists a folder of the machine of a session of one's own")
                .query("path")
                .answers::<FolderAnswer>(200),
            list,
        )
        .on(
            Operation::post(
                FILES,
                "Makes a folder on the machine of a session, or renames or removes something",
            )
            .takes::<Change>()
            .ends(204),
            change,
        )
        .on(
            Operation::head(CONTENT, "Says how much there is of a file that is being sent")
                .query("path")
                .ends(200)
                .ends(404),
            upload::head,
        )
        .on(
            Operation::get(
                CONTENT,
                "Gives a file of the machine of a session, or what is behind a byte of it",
            )
            .query("path")
            .answers_as::<Text>(200, OCTETS)
            .answers_as::<Text>(206, OCTETS),
            download::get,
        )
        .on(
            Operation::put(CONTENT, "Sends a piece of a file, which has its name when it is whole")
                .query("path")
                .query("offset")
                .query("total")
                .takes_as::<Text>(OCTETS)
                .answers::<upload::Stored>(200),
            upload::put,
        )
}

/// Something in a folder.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EntryAnswer {
    /// Its name.
    name: String,
    /// `file`, `directory`, `link` or `other`.
    kind: &'static str,
    /// Its size, in bytes.
    bytes: u64,
    /// When it was changed, RFC 3339.
    modified: String,
    /// Who may do what, as `ls` writes it.
    mode: String,
}

/// A folder.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FolderAnswer {
    /// Where it really is.
    path: String,
    /// What is in it, 10,000 at most.
    entries: Vec<EntryAnswer>,
    /// Whether there is more in it.
    truncated: bool,
}

/// A small change.
#[derive(Deserialize, JsonSchema)]
#[serde(tag = "op", rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum Change {
    /// Makes a folder.
    Mkdir {
        /// Which.
        path: String,
    },
    /// Removes a file, a link or an empty folder.
    Remove {
        /// Which.
        path: String,
    },
    /// Gives something a name that nothing has.
    Rename {
        /// What.
        path: String,
        /// Its new path.
        to: String,
    },
}

#[derive(Deserialize)]
struct Place {
    path: Option<String>,
}

/// What somebody wants to do with files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    Look,
    Upload,
    Download,
}

/// A session whose files somebody may use as they want to, at this moment.
struct Admitted {
    open: Arc<Open>,
    /// The largest file, in bytes.
    most: Option<u64>,
}

async fn admitted(
    app: &Arc<App>,
    peer: Peer,
    headers: &HeaderMap,
    session: &str,
    want: Want,
) -> Result<Admitted, ArmError> {
    let caller = caller(app, headers, peer).await?;
    let open = own(app, &caller, session)?;
    if matches!(open.screen, Screen::Desktop(_)) {
        let text = "The session shows a desktop, beside which there are no files.";
        return Err(ArmError::new(409, "SessionHasNoFiles", text));
    }
    let host = may(app, &mut app.store.read().await?, &caller, &open.allowed).await?;
    allows(&host, want)?;
    Ok(Admitted { open, most: host.limits().maximum_file_bytes })
}

/// Whether a host lets files be used like that.
///
/// # Errors
/// 403 with the setting.
pub(super) fn allows(host: &BastionHost, want: Want) -> Result<(), ArmError> {
    let (code, text) = match (want, host.files()) {
        (_, (false, false)) => {
            ("FileCopyDisabled", "This bastion host does not copy files (enableFileCopy).")
        }
        (Want::Upload, (false, _)) => (
            "UploadDisabled",
            "This bastion host lets nothing be changed on machines (sekisho.disableUpload).",
        ),
        (Want::Download, (_, false)) => {
            ("DownloadDisabled", "This bastion host gives no files out (sekisho.disableDownload).")
        }
        _ => return Ok(()),
    };
    Err(ArmError::new(403, code, text))
}

/// Whether a file is no larger than the largest.
///
/// # Errors
/// 403 with both.
pub(super) fn small_enough(bytes: u64, most: Option<u64>) -> Result<(), ArmError> {
    match most {
        Some(most) if bytes > most => {
            let text =
                format!("The file has {bytes} bytes; this bastion host allows {most} (maximumFileBytes).");
            Err(ArmError::new(403, "FileTooLarge", text))
        }
        _ => Ok(()),
    }
}

/// Why something came to nothing.
struct Failed(ArmError);

impl From<ArmError> for Failed {
    fn from(error: ArmError) -> Failed {
        Failed(error)
    }
}

impl From<FilesError> for Failed {
    fn from(error: FilesError) -> Failed {
        let (status, code) = match &error {
            FilesError::NotThere => (404, "FileNotFound"),
            FilesError::Denied => (403, "FileAccessDenied"),
            FilesError::Exists => (409, "FileExists"),
            FilesError::NotAFile => (409, "NotAFile"),
            FilesError::Refused(_) => (409, "FileNotChanged"),
            FilesError::NoSftp => (409, "NoFileTransfer"),
            FilesError::Broken(_) => (502, "TargetNotReachable"),
            FilesError::Over => (410, "SessionOver"),
        };
        let mut text = error.to_string();
        if let Some(first) = text.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Failed(ArmError::new(status, code, format!("{text}.")))
    }
}

fn bad_path(name: &str, error: files::BadPath) -> ArmError {
    ArmError::bad("InvalidParameter", format!("'{name}': {error}.")).target(name)
}

fn path(name: &str, text: &str) -> Result<FilePath, ArmError> {
    FilePath::parse(text).map_err(|error| bad_path(name, error))
}

fn needed(place: Result<Query<Place>, QueryRejection>) -> Result<FilePath, ArmError> {
    path("path", &asked(place)?.path.unwrap_or_default())
}

/// What the query says.
fn asked<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, ArmError> {
    query.map(|Query(asked)| asked).map_err(|e| ArmError::bad("InvalidParameter", e.body_text()))
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Directory => "directory",
        Kind::Link => "link",
        Kind::Other => "other",
    }
}

fn time_of(seconds: u32) -> String {
    instant(OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds.into()))
}

fn answered(result: Result<Response, Failed>) -> Response {
    result.unwrap_or_else(|Failed(error)| web::arm_error(&error))
}

/// `GET …/files`.
async fn list(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path((_, session)): Path<(String, String)>,
    place: Result<Query<Place>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let listed = async {
        let Admitted { open, .. } = admitted(&app, peer, &headers, &session, Want::Look).await?;
        let folder = asked(place)?.path.map(|text| path("path", &text)).transpose()?;
        let folder = open.files()?.list(folder.as_ref()).await?;
        let entries = folder.entries.into_iter().map(|entry| EntryAnswer {
            kind: word(entry.kind),
            bytes: entry.bytes,
            modified: time_of(entry.modified),
            mode: entry.mode,
            name: entry.name,
        });
        let answer = FolderAnswer {
            path: folder.path.to_string(),
            entries: entries.collect(),
            truncated: folder.is_truncated,
        };
        Ok(web::json(StatusCode::OK, &answer))
    };
    answered(listed.await)
}

/// `POST …/files`.
async fn change(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path((_, session)): Path<(String, String)>,
    headers: HeaderMap,
    body: Result<Json<Change>, JsonRejection>,
) -> Response {
    let changed = async {
        let Admitted { open, .. } = admitted(&app, peer, &headers, &session, Want::Upload).await?;
        let Json(wanted) = body.map_err(|e| ArmError::bad("InvalidRequestContent", e.body_text()))?;
        let (deed, at, to) = match &wanted {
            Change::Mkdir { path: at } => (log::Deed::MakeFolder, path("path", at)?, None),
            Change::Remove { path: at } => (log::Deed::Remove, path("path", at)?, None),
            Change::Rename { path: at, to } => (log::Deed::Rename, path("path", at)?, Some(path("to", to)?)),
        };
        let log = log::Log::new(&app, &open, deed);
        let about = |at: &FilePath, to: Option<&FilePath>| json!({"path": at.as_str(), "to": to.map(FilePath::as_str)});
        log.intent(about(&at, to.as_ref())).await?;
        let files = open.files()?;
        let done = match &to {
            Some(to) => files.rename(&at, to).await.map(|(at, to)| about(&at, Some(&to))),
            None if deed == log::Deed::MakeFolder => files.make_folder(&at).await.map(|at| about(&at, None)),
            None => files.remove(&at).await.map(|at| about(&at, None)),
        };
        match done {
            Ok(done) => log.done(done).await?,
            Err(error) => {
                let Failed(error) = error.into();
                log.failed(&error.code, about(&at, to.as_ref())).await?;
                return Err(error.into());
            }
        }
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    answered(changed.await)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(limits: &serde_json::Value) -> BastionHost {
        serde_json::from_value(json!({"properties": {"enableFileCopy": true, "sekisho": limits}})).unwrap()
    }

    #[test]
    fn a_refusal_says_which_setting_it_comes_from() {
        let code = |host: &BastionHost, want| allows(host, want).unwrap_err().code;
        assert_eq!(code(&BastionHost::default(), Want::Look), "FileCopyDisabled");
        let out = host(&json!({"disableUpload": true}));
        assert_eq!(code(&out, Want::Upload), "UploadDisabled");
        assert!(allows(&out, Want::Download).is_ok() && allows(&out, Want::Look).is_ok());
        let into = host(&json!({"disableDownload": true}));
        assert_eq!(code(&into, Want::Download), "DownloadDisabled");
        assert!(allows(&into, Want::Upload).is_ok());
        assert!(small_enough(5, Some(5)).is_ok() && small_enough(u64::MAX, None).is_ok());
        assert_eq!(small_enough(6, Some(5)).unwrap_err().code, "FileTooLarge");
    }
}
