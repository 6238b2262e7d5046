//! Tells approvers over a webhook what waits for them: a request for access, or more time for one.
//!
//! Of several servers on one database one claims a message and tells it. What was told is remembered once the other side has
//! taken it, so that a message comes again after a crash, when the claim is over, rather than never; `Sekisho-Notice` is the
//! same then. The file that says where is read for each message: it may change at any time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sekisho_arm::resource::{instant, shown};
use sekisho_arm::traits::write_document;
use sekisho_arm::{ArmError, Document, Read as _, StoreError};
use sekisho_jit::provider::requests;
use sekisho_jit::request::{Deciding, Request};
use sekisho_store::News;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::app::App;
use crate::outgoing::{self, OutgoingError};
use crate::signin::public_base;

/// The document kind of a [`State`], by the key of the notice.
const NOTICE: &str = "jit-notice";
/// What could not be told is tried again after this pause.
const AGAIN: Duration = Duration::from_secs(15);
/// How long a server may take to tell what it has claimed: several times what the other side may take for its answer.
const CLAIM: Duration = Duration::from_secs(30);
/// How often it is looked whether anything waits, if nothing is heard of it.
const IDLE: Duration = Duration::from_secs(3600);
/// Most characters of what somebody wrote that are told.
const LONGEST: usize = 300;

/// Why something was not told. The address is a secret and stands in none of them.
#[derive(Debug, thiserror::Error)]
enum NoticeError {
    #[error("{0}: {1}")]
    Read(PathBuf, std::io::Error),
    #[error("{0}: 'url' with an https address is expected, and at most 'secret' and 'ca_file' beside it")]
    Content(PathBuf),
    #[error(transparent)]
    Client(#[from] OutgoingError),
    #[error("the other side cannot be reached: {0}")]
    Send(reqwest::Error),
    #[error("the other side answered {0}")]
    Status(http::StatusCode),
    #[error(transparent)]
    Arm(#[from] ArmError),
}

impl From<StoreError> for NoticeError {
    fn from(error: StoreError) -> Self {
        NoticeError::Arm(error.into())
    }
}

/// Where messages go, as the file says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Webhook {
    url: String,
    secret: Option<String>,
    ca_file: Option<PathBuf>,
}

impl Webhook {
    fn read(path: &Path) -> Result<Webhook, NoticeError> {
        let text = std::fs::read_to_string(path).map_err(|e| NoticeError::Read(path.to_owned(), e))?;
        let webhook: Option<Webhook> = toml::from_str(&text).ok();
        webhook.filter(|w| w.url.starts_with("https://")).ok_or_else(|| NoticeError::Content(path.to_owned()))
    }

    async fn send(&self, key: &str, message: &Value) -> Result<(), NoticeError> {
        let body = message.to_string();
        let mut call = outgoing::client(self.ca_file.as_deref())?
            .post(&self.url)
            .header(http::header::CONTENT_TYPE, "application/json")
            .header("sekisho-notice", key);
        if let Some(secret) = &self.secret {
            call = call.header("sekisho-signature", signature(secret, OffsetDateTime::now_utc(), &body));
        }
        let answer = call.body(body).send().await.map_err(|e| NoticeError::Send(e.without_url()))?;
        if answer.status().is_success() { Ok(()) } else { Err(NoticeError::Status(answer.status())) }
    }
}

/// `t=` the seconds since 1970, `v1=` HMAC-SHA256 over them, a full stop and the body, in hexadecimal.
fn signature(secret: &str, at: OffsetDateTime, body: &str) -> String {
    let seconds = at.unix_timestamp();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let tag = ring::hmac::sign(&key, format!("{seconds}.{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={hex}")
}

/// What has become of a notice.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum State {
    /// A server is about to tell it; if it has not by then, any other does.
    ClaimedUntil(#[serde(with = "time::serde::rfc3339")] OffsetDateTime),
    /// The other side took it.
    Told(#[serde(with = "time::serde::rfc3339")] OffsetDateTime),
}

impl State {
    /// Before there were claims, what was kept was that it had been told.
    fn of(document: &Document) -> State {
        document.typed().unwrap_or(State::Told(document.changed_at))
    }
}

/// Something that waits for somebody to decide.
struct Waiting {
    /// The same for as long as it waits, and of nothing else.
    key: String,
    message: Value,
}

/// What somebody wrote, as a part of a line that a chat shows: nothing in it is a command to the chat.
fn quoted(text: &str) -> String {
    let plain = text.chars().map(|c| match c {
        '<' => '‹',
        '>' => '›',
        '&' => '＆',
        c if c.is_control() => ' ',
        c => c,
    });
    plain.take(LONGEST).collect()
}

fn waiting(request: &Request, base: &str) -> Result<Vec<Waiting>, ArmError> {
    let told = request.shown();
    let machines: BTreeSet<&str> =
        told.virtual_machines.iter().filter_map(|m| m.id.rsplit('/').next()).collect();
    let machines = machines.into_iter().collect::<Vec<_>>().join(", ");
    let address = format!("{base}/jit");
    let message = |kind: &str, who: &str, what: &str, why: Option<&str>, deciding: &Deciding| {
        let reason = why.map(|why| format!(" “{}”", quoted(why))).unwrap_or_default();
        let text = format!("{} asks for {what} to {}.{reason} {address}", quoted(who), quoted(&machines));
        Ok::<Value, ArmError>(json!({
            "type": kind, "text": text, "url": address, "requestId": told.sekisho.id, "policy": request.policy,
            "requestor": who, "justification": why, "virtualMachines": shown(&told.virtual_machines)?,
            "approvals": {"required": deciding.required, "group": deciding.group,
                "decideBeforeUtc": instant(deciding.before)},
        }))
    };
    let mut all = Vec::new();
    if let Some(deciding) = request.deciding.as_ref().filter(|_| request.is_pending()) {
        let (who, why) = (&request.requestor.name, request.justification.as_deref());
        let message = message("Sekisho.Jit.RequestWaits", who, "access", why, deciding)?;
        all.push(Waiting { key: request.id.to_string(), message });
    }
    if let Some(more) = &request.extension {
        let (who, why) = (&more.by.name, more.justification.as_deref());
        let message =
            message("Sekisho.Jit.ExtensionWaits", who, "more time with access", why, &more.deciding)?;
        all.push(Waiting { key: format!("{}|{}", request.id, more.end.unix_timestamp()), message });
    }
    Ok(all)
}

/// Tells of everything that waits, for as long as the server runs.
pub async fn keep(app: Arc<App>) {
    let Some(path) = app.config.webhook_file.clone() else { return };
    let mut feed = app.store.changes();
    loop {
        let pause = match look(&app, &path).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::warn!(%error, "approvers are not told by webhook what waits for them; it is tried again");
                AGAIN
            }
        };
        let until = tokio::time::Instant::now() + pause;
        loop {
            match tokio::time::timeout_at(until, feed.next()).await {
                Ok(None) => return,
                Ok(Some(News::Changes(all))) if all.iter().all(|c| c.kind != requests::LIVE) => {}
                Ok(Some(_)) | Err(_) => break,
            }
        }
    }
}

/// Tells what nobody has told. Returns when to look again: what another server has claimed may be left to this one.
async fn look(app: &App, path: &Path) -> Result<Duration, NoticeError> {
    let base = public_base(&app.config);
    let mut read = app.store.read().await?;
    let known = read.documents(NOTICE).await?;
    let known: BTreeMap<String, State> = known.into_iter().map(|d| (d.key.clone(), State::of(&d))).collect();
    let mut waits = Vec::new();
    for request in requests::all_live(&mut read).await? {
        waits.extend(waiting(&request, &base)?);
    }
    drop(read);
    let keys: BTreeSet<&String> = waits.iter().map(|w| &w.key).collect();
    let over: Vec<String> = known.keys().filter(|key| !keys.contains(key)).cloned().collect();
    if !over.is_empty() {
        app.store
            .write::<_, ArmError, _>(move |tx| {
                Box::pin(async move {
                    for key in &over {
                        tx.remove_document(NOTICE, key).await?;
                    }
                    Ok(())
                })
            })
            .await?;
    }
    let is_told = |w: &Waiting| matches!(known.get(&w.key), Some(State::Told(_)));
    let mut open = waits.into_iter().filter(|w| !is_told(w)).peekable();
    if open.peek().is_none() {
        return Ok(IDLE);
    }
    let webhook = Webhook::read(path)?;
    let (mut again, mut failed) = (IDLE, None);
    for Waiting { key, message } in open {
        if let Some(elsewhere) = claim(app, &key).await? {
            again = again.min(elsewhere);
            continue;
        }
        // One that is not taken keeps none of the others.
        match webhook.send(&key, &message).await {
            Ok(()) => note(app, key, Some(State::Told(OffsetDateTime::now_utc()))).await?,
            Err(error) => {
                failed = Some(error);
                note(app, key, None).await?;
            }
        }
    }
    failed.map_or(Ok(again), Err)
}

/// Claims a notice. Returns how long it is another server's, or told, if it cannot be had.
async fn claim(app: &App, key: &str) -> Result<Option<Duration>, ArmError> {
    let key = key.to_owned();
    app.store
        .write(move |tx| {
            Box::pin(async move {
                let now = tx.now();
                match tx.document(NOTICE, &key).await?.map(|d| State::of(&d)) {
                    Some(State::Told(_)) => Ok(Some(IDLE)),
                    Some(State::ClaimedUntil(until)) if until > now => {
                        // Whoever set its clock forward keeps nobody waiting longer.
                        Ok(Some((until - now).unsigned_abs().min(CLAIM)))
                    }
                    _ => {
                        write_document(tx, NOTICE, &key, &State::ClaimedUntil(now + CLAIM)).await?;
                        Ok(None)
                    }
                }
            })
        })
        .await
}

/// Notes what has become of a notice; nothing has of one that any server may tell.
async fn note(app: &App, key: String, state: Option<State>) -> Result<(), ArmError> {
    app.store
        .write(move |tx| {
            Box::pin(async move {
                if let Some(state) = state {
                    write_document(tx, NOTICE, &key, &state).await?;
                } else {
                    tx.remove_document(NOTICE, &key).await?;
                }
                Ok(())
            })
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_signed_as_openssl_would_and_what_somebody_wrote_commands_no_chat() {
        // printf '0.{}' | openssl dgst -sha256 -hmac key
        let expected = "t=0,v1=7314351dd949aa7ec06f50fc2c96e618291447672c9b7f10b49d1ce46dad00b3";
        assert_eq!(signature("key", OffsetDateTime::UNIX_EPOCH, "{}"), expected);
        assert_eq!(quoted("<!channel> a&b\nc"), "‹!channel› a＆b c");
        assert_eq!(quoted(&"x".repeat(1000)).len(), LONGEST);
    }
}
