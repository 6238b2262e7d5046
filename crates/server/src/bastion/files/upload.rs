//! Files to a machine, in pieces, so that a lost network costs no more than one. What has come is hashed as it comes; the
//! file has its name when all of it is there, and until then nobody sees half of it under that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query, State};
use axum::response::Response;
use futures_util::{Stream, StreamExt as _, stream};
use http::{HeaderMap, StatusCode, header};
use ring::digest::{Context, SHA256};
use schemars::JsonSchema;
use sekisho_arm::ArmError;
use sekisho_bastion_ssh::files::{FilePath, Files, Part};
use sekisho_link::join::Hex;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::timeout;
use uuid::Uuid;

use super::log::{Deed, Log};
use super::{Admitted, Failed, Place, Want, admitted, answered, asked, needed, path, small_enough};
use crate::app::App;
use crate::bastion::shown::Open;
use crate::http::{self as web, Peer};

/// The most that one request carries, in bytes.
const MOST: u64 = 8 << 20;
/// How long a client may say nothing in the middle of a piece.
const PATIENCE: Duration = Duration::from_secs(30);
/// Files that one session may have begun to send.
const MOST_UPLOADS: usize = 64;

/// What there is of a file.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stored {
    /// Bytes that the machine has.
    bytes: u64,
    /// The SHA-256 of the whole file, hexadecimal, once it is whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Piece {
    path: String,
    offset: u64,
    total: u64,
}

/// A file that is being sent.
struct Upload {
    part: Part,
    total: u64,
    bytes: u64,
    /// Over what the machine has.
    hash: Context,
    /// The hash of the whole, once the file has its name.
    sha256: Option<String>,
}

impl Upload {
    async fn begin(files: &Files, path: &FilePath, total: u64, log: &Log) -> Result<Upload, Failed> {
        log.intent(json!({"path": path.as_str(), "bytes": total})).await?;
        match files.begin(path, Uuid::new_v4()).await {
            Ok(part) => Ok(Upload { part, total, bytes: 0, hash: Context::new(&SHA256), sha256: None }),
            Err(error) => {
                let Failed(error) = error.into();
                log.failed(&error.code, json!({"path": path.as_str()})).await?;
                Err(error.into())
            }
        }
    }

    fn stored(&self) -> Stored {
        Stored { bytes: self.bytes, sha256: self.sha256.clone() }
    }

    async fn take(
        &mut self,
        files: &Files,
        content: impl Stream<Item = Result<Bytes, Failed>>,
    ) -> Result<(), Failed> {
        let Upload { part, bytes, hash, .. } = self;
        let from = *bytes;
        let kept = |piece: &[u8]| {
            hash.update(piece);
            *bytes += piece.len() as u64;
        };
        files.send(part, from, content, kept).await
    }

    async fn finish(&mut self, files: &Files, log: &Log) -> Result<(), Failed> {
        files.finish(&self.part, self.bytes).await?;
        let sha256 = Hex(self.hash.clone().finish().as_ref()).to_string();
        self.sha256 = Some(sha256.clone());
        let about = json!({"path": self.part.path.as_str(), "bytes": self.bytes, "sha256": sha256});
        Ok(log.done(about).await?)
    }

    async fn unfinished(&self, log: &Log, why: &str) -> Result<(), ArmError> {
        log.failed(why, json!({"path": self.part.path.as_str(), "bytes": self.bytes})).await
    }
}

type Slot = Arc<tokio::sync::Mutex<Option<Upload>>>;

/// What a session sends, by where it is to be.
#[derive(Default)]
pub(in crate::bastion) struct Uploads(Mutex<HashMap<FilePath, Slot>>);

impl Uploads {
    fn get(&self, path: &FilePath) -> Option<Slot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
    }

    /// The place of one that begins.
    fn enter(&self, path: &FilePath) -> Result<Slot, ArmError> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_UPLOADS && !all.contains_key(path) {
            let is_going_on = |slot: &mut Slot| match slot.try_lock() {
                Ok(upload) => upload.as_ref().is_some_and(|upload| upload.sha256.is_none()),
                Err(_) => true,
            };
            all.retain(|_, slot| is_going_on(slot));
        }
        if all.len() >= MOST_UPLOADS && !all.contains_key(path) {
            let text = "This session has begun to send too many files. Finish some of them first.";
            return Err(ArmError::new(429, "TooManyUploads", text));
        }
        Ok(all.entry(path.clone()).or_default().clone())
    }

    fn take(&self) -> Vec<Slot> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.drain().map(|(_, slot)| slot).collect()
    }
}

/// Ends what a session does with files.
pub(in crate::bastion) async fn end(app: &Arc<App>, open: &Arc<Open>) {
    let Ok(files) = open.files() else { return };
    files.stop();
    let mut unfinished = Vec::new();
    for slot in open.uploads.take() {
        unfinished.extend(slot.lock().await.take().filter(|upload| upload.sha256.is_none()));
    }
    let parts: Vec<Part> = unfinished.iter().map(|upload| upload.part.clone()).collect();
    files.put_away(&parts).await;
    let log = Log::new(app, open, Deed::Upload);
    for upload in unfinished {
        if let Err(error) = upload.unfinished(&log, "SessionOver").await {
            tracing::error!(%error, session = %open.id, "an upload's end could not be kept");
        }
    }
}

/// `HEAD …/content`.
pub(super) async fn head(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path((_, session)): Path<(String, String)>,
    place: Result<Query<Place>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let found = async {
        let Admitted { open, .. } = admitted(&app, peer, &headers, &session, Want::Upload).await?;
        let none = || ArmError::new(404, "FileNotFound", "No such file is being sent.");
        let slot = open.uploads.get(&needed(place)?).ok_or_else(none)?;
        let bytes = slot.lock().await.as_ref().map(|upload| upload.bytes).ok_or_else(none)?;
        let answer = Response::builder().status(StatusCode::OK).header(header::CONTENT_LENGTH, bytes);
        Ok(answer.body(Body::empty()).map_err(|_| ArmError::internal())?)
    };
    answered(found.await)
}

/// `PUT …/content`.
pub(super) async fn put(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path((_, session)): Path<(String, String)>,
    piece: Result<Query<Piece>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let sent = async {
        let Admitted { open, most } = admitted(&app, peer, &headers, &session, Want::Upload).await?;
        let Piece { path: text, offset, total } = asked(piece)?;
        let to = path("path", &text)?;
        small_enough(total, most)?;
        let left = total.checked_sub(offset).ok_or_else(|| {
            ArmError::bad("InvalidParameter", "'offset' is behind 'total'.").target("offset")
        })?;
        let files = open.files()?;
        let slot = if offset == 0 { open.uploads.enter(&to)? } else { known(open.uploads.get(&to))? };
        let (mut slot, log) = (slot.lock().await, Log::new(&app, &open, Deed::Upload));
        if offset == 0 {
            if let Some(before) = slot.take().filter(|upload| upload.sha256.is_none()) {
                before.unfinished(&log, "BegunAnew").await?;
                // What is left there does no harm.
                let _ = files.give_up(&before.part).await;
            }
            *slot = Some(Upload::begin(files, &to, total, &log).await?);
        }
        let upload = known(slot.as_mut().filter(|upload| upload.total == total))?;
        if upload.bytes != offset {
            let text = format!("The machine has {} bytes of it; go on from there.", upload.bytes);
            return Err(ArmError::new(409, "UploadElsewhere", text).target("offset").into());
        }
        // Whoever has not heard that it is whole asks again.
        if upload.sha256.is_none() {
            upload.take(files, content(body, left.min(MOST))).await?;
            if upload.bytes == total {
                upload.finish(files, &log).await?;
            }
        }
        Ok(web::json(StatusCode::OK, &upload.stored()))
    };
    answered(sent.await)
}

fn known<T>(upload: Option<T>) -> Result<T, ArmError> {
    let unknown = || ArmError::new(409, "UploadUnknown", "No such file is being sent. Begin anew.");
    upload.ok_or_else(unknown)
}

/// What a client sends, of which nothing may be missing and nothing too much.
fn content(body: Body, most: u64) -> impl Stream<Item = Result<Bytes, Failed>> {
    let broken = |code, text| Err(Failed(ArmError::bad(code, text)));
    stream::try_unfold((body.into_data_stream(), most), move |(mut body, left)| async move {
        match timeout(PATIENCE, body.next()).await {
            Ok(None) => Ok(None),
            Ok(Some(Ok(bytes))) => match left.checked_sub(bytes.len() as u64) {
                Some(left) => Ok(Some((bytes, (body, left)))),
                None => {
                    let text = "A piece has at most 8 MiB, and ends where the file does.";
                    Err(Failed(ArmError::new(413, "RequestContentTooLarge", text)))
                }
            },
            Ok(Some(Err(_))) => broken("InvalidRequestContent", "The request content broke off."),
            Err(_) => broken("RequestTimeout", "The request content did not arrive in time."),
        }
    })
}
