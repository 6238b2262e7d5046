//! Tells approvers over a webhook what waits for them: a request for access, or more time for one.
//!
//! What was told is remembered once the other side has taken it, so that a message comes again after a crash rather than
//! never; `Sekisho-Notice` is the same then. The file that says where is read for each message: it may change at any time.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sekisho_arm::resource::{instant, shown};
use sekisho_arm::traits::write_document;
use sekisho_arm::{ArmError, Read as _, StoreError};
use sekisho_jit::provider::requests;
use sekisho_jit::request::{Deciding, Request};
use sekisho_store::News;
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::app::App;
use crate::outgoing::{self, OutgoingError};
use crate::signin::public_base;

/// The document kind of what was told, by the key of the notice.
const TOLD: &str = "jit-notice";
/// What could not be told is tried again after this pause.
const AGAIN: Duration = Duration::from_secs(15);
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
            Ok(()) => Duration::from_secs(3600),
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

async fn look(app: &App, path: &Path) -> Result<(), NoticeError> {
    let base = public_base(&app.config);
    let mut read = app.store.read().await?;
    let told: BTreeSet<String> = read.documents(TOLD).await?.into_iter().map(|d| d.key).collect();
    let mut waits = Vec::new();
    for request in requests::all_live(&mut read).await? {
        waits.extend(waiting(&request, &base)?);
    }
    drop(read);
    let keys: BTreeSet<String> = waits.iter().map(|w| w.key.clone()).collect();
    let over: Vec<String> = told.difference(&keys).cloned().collect();
    if !over.is_empty() {
        app.store
            .write::<_, ArmError, _>(move |tx| {
                Box::pin(async move {
                    for key in &over {
                        tx.remove_document(TOLD, key).await?;
                    }
                    Ok(())
                })
            })
            .await?;
    }
    let mut fresh = waits.into_iter().filter(|w| !told.contains(&w.key)).peekable();
    if fresh.peek().is_none() {
        return Ok(());
    }
    let webhook = Webhook::read(path)?;
    let mut failed = None;
    for Waiting { key, message } in fresh {
        // One that is not taken keeps none of the others.
        if let Err(error) = webhook.send(&key, &message).await {
            failed = Some(error);
            continue;
        }
        app.store
            .write::<_, ArmError, _>(move |tx| {
                Box::pin(async move {
                    let now = instant(tx.now());
                    Ok(write_document(tx, TOLD, &key, &now).await?)
                })
            })
            .await?;
    }
    failed.map_or(Ok(()), Err)
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
