//! Keys by which SSH clients are known at the [gate](super::gate). A person says which one is theirs, as somebody who has
//! signed in, and for as long as that sign-in lasts, half a day at most, the key is them. It proves nothing that the sign-in
//! had not: policies look at that.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use sekisho_arm::resource::instant;
use sekisho_arm::traits::{read_document, read_documents, write_document};
use sekisho_arm::{ArmError, AuditEntry, CallerRef, Outcome, Phase, Read, StoreError};
use sekisho_bastion::host::LONGEST_MINUTES;
use sekisho_bastion_ssh::russh::keys::{HashAlg, PublicKey};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::caller;
use crate::app::App;
use crate::authn::{Caller, Standing};
use crate::http::{self as web, Peer};
use crate::routes::{Operation, Routes};
use crate::signin::kind;

const KEYS: &str = "/ssh/keys";
const KEY: &str = "/ssh/keys/{id}";
/// Most keys of one person at a time.
const MOST: usize = 20;
/// How long one is good at most.
const LASTS: Duration = Duration::minutes(LONGEST_MINUTES as i64);
/// Longest line taken, in bytes: RSA keys of 16384 bits have fewer.
const LONGEST: usize = 4096;
/// Fewest bits of an RSA key.
const RSA_BITS: u32 = 2048;

pub(super) fn routes() -> Routes {
    Routes::default()
        .on(
            Operation::post(KEYS, "Says that an SSH key is one's own for as long as one is signed in")
                .takes::<KeyRequest>()
                .answers::<KeyAnswer>(200),
            add,
        )
        .on(Operation::get(KEYS, "One's own SSH keys that are good now").answers::<KeyList>(200), list)
        .on(Operation::delete(KEY, "Takes a key of one's own back").ends(204).ends(404), remove)
}

/// A key that is somebody's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SshKey {
    id: Uuid,
    /// As OpenSSH writes it.
    line: String,
    pub(super) principal: Uuid,
    pub(super) standing: Standing,
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) until: OffsetDateTime,
}

/// A key that somebody says is theirs.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct KeyRequest {
    /// A line as in a `.pub` file of OpenSSH.
    public_key: String,
}

/// A key of somebody's.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShownKey {
    /// Its id.
    id: String,
    /// As OpenSSH writes it, without comment.
    public_key: String,
    /// As OpenSSH shows it.
    fingerprint: String,
    /// Since when.
    since: String,
    /// When it ends at the latest. It ends with the sign-in, too.
    until: String,
}

/// A key, and how to use it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyAnswer {
    /// The key.
    #[serde(flatten)]
    key: ShownKey,
    /// What a client has to know to use it.
    #[serde(flatten)]
    settings: Settings,
}

/// Keys of somebody's.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyList {
    /// All of them, the newest first.
    value: Vec<ShownKey>,
    /// What a client has to know to use one.
    #[serde(flatten)]
    settings: Settings,
}

/// What a client has to know.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SshSettings")]
pub(super) struct Settings {
    /// A line for OpenSSH's `known_hosts`: whom to believe which host is which.
    pub(super) known_hosts: String,
    /// Lines for OpenSSH's `config`.
    pub(super) config: String,
}

impl SshKey {
    fn shown(self) -> ShownKey {
        let fingerprint =
            PublicKey::from_openssh(&self.line).map(|key| fingerprint(&key)).unwrap_or_default();
        ShownKey {
            id: self.id.to_string(),
            public_key: self.line,
            fingerprint,
            since: instant(self.since),
            until: instant(self.until),
        }
    }
}

fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// Reads a line of a `.pub` file.
fn read_key(line: &str) -> Result<PublicKey, ArmError> {
    let refused = |text: &str| Err(ArmError::bad("InvalidParameter", text).target("publicKey"));
    if line.len() > LONGEST {
        return refused("'publicKey' is too long for a key.");
    }
    let Ok(mut key) = PublicKey::from_openssh(line.trim()) else {
        return refused(
            "'publicKey' is no public key of OpenSSH: a line such as 'ssh-ed25519 AAAA…' is expected.",
        );
    };
    if key.algorithm().is_dsa() {
        return refused("DSA keys can be forged. Make another one: ssh-keygen -t ed25519.");
    }
    if key.key_data().rsa().is_some_and(|rsa| rsa.key_size() < RSA_BITS) {
        return refused(
            "RSA keys of less than 2048 bits can be broken. Make another one: ssh-keygen -t ed25519.",
        );
    }
    key.set_comment("");
    Ok(key)
}

/// Whose a key is.
pub(super) async fn of(read: &mut (dyn Read + '_), fingerprint: &str) -> Result<Option<SshKey>, StoreError> {
    let now = read.now();
    let kept: Option<SshKey> = read_document(read, kind::SSH_KEY, fingerprint).await?;
    Ok(kept.filter(|key| key.until > now))
}

/// The keys whose time is over.
pub(crate) async fn ended(read: &mut (dyn Read + '_)) -> Result<Vec<String>, StoreError> {
    let now = read.now();
    let all: Vec<(String, SshKey)> = read_documents(read, kind::SSH_KEY).await?;
    Ok(all.into_iter().filter(|(_, key)| key.until <= now).map(|(key, _)| key).collect())
}

async fn own(read: &mut (dyn Read + '_), principal: Uuid) -> Result<Vec<(String, SshKey)>, StoreError> {
    let now = read.now();
    let all: Vec<(String, SshKey)> = read_documents(read, kind::SSH_KEY).await?;
    let mut own: Vec<_> =
        all.into_iter().filter(|(_, k)| k.principal == principal && k.until > now).collect();
    own.sort_by_key(|(_, key)| std::cmp::Reverse(key.since));
    Ok(own)
}

fn entry(operation: &str, caller: CallerRef, fingerprint: &str) -> AuditEntry {
    AuditEntry {
        operation: operation.to_owned(),
        resource_id: KEYS.to_owned(),
        caller,
        outcome: Outcome::Succeeded,
        detail: fingerprint.to_owned(),
        correlation_id: Uuid::new_v4().to_string(),
        authorization: None,
        http: None,
        phase: Some(Phase::Result),
        properties: None,
    }
}

/// `POST /ssh/keys`.
async fn add(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Result<Json<KeyRequest>, JsonRejection>,
) -> Response {
    let added = async {
        let caller = caller(&app, &headers, peer).await?;
        let Json(wanted) = body.map_err(|e| ArmError::bad("InvalidRequestContent", e.body_text()))?;
        let key = read_key(&wanted.public_key)?;
        let kept = keep(&app, &caller, &key).await?;
        let settings = super::gate::settings(&app, &headers);
        Ok(web::json(StatusCode::OK, &KeyAnswer { key: kept.shown(), settings }))
    };
    added.await.unwrap_or_else(|error: ArmError| web::arm_error(&error))
}

async fn keep(app: &App, caller: &Caller, key: &PublicKey) -> Result<SshKey, ArmError> {
    let (fingerprint, principal) = (fingerprint(key), caller.principal);
    let line = key.to_openssh().map_err(|_| ArmError::internal())?;
    let ((standing, latest), reference) = (caller.standing(), caller.reference());
    let written = app.store.write::<_, ArmError, _>(move |tx| {
        Box::pin(async move {
            let now = tx.now();
            let until = latest.map_or(now + LASTS, |latest| latest.min(now + LASTS));
            let before = of(tx.as_read(), &fingerprint).await?;
            if before.as_ref().is_some_and(|before| before.principal != principal) {
                let text = "Somebody else has said that this key is theirs. Make one of your own.";
                return Err(ArmError::new(409, "SshKeyInUse", text));
            }
            if before.is_none() && own(tx.as_read(), principal).await?.len() >= MOST {
                let text = format!("You have {MOST} keys. Take one back first.");
                return Err(ArmError::new(429, "TooManyKeys", text));
            }
            let id = before.map_or_else(Uuid::new_v4, |before| before.id);
            let kept = SshKey { id, line, principal, standing, since: now, until };
            write_document(tx, kind::SSH_KEY, &fingerprint, &kept).await?;
            tx.audit(entry("Sekisho.Bastion/sshKeys/write", reference, &fingerprint)).await?;
            Ok(kept)
        })
    });
    written.await
}

/// `GET /ssh/keys`.
async fn list(State(app): State<Arc<App>>, Extension(peer): Extension<Peer>, headers: HeaderMap) -> Response {
    let listed = async {
        let caller = caller(&app, &headers, peer).await?;
        let own = own(&mut app.store.read().await?, caller.principal).await?;
        let value = own.into_iter().map(|(_, key)| key.shown()).collect();
        Ok(web::json(StatusCode::OK, &KeyList { value, settings: super::gate::settings(&app, &headers) }))
    };
    listed.await.unwrap_or_else(|error: ArmError| web::arm_error(&error))
}

/// `DELETE /ssh/keys/{id}`.
async fn remove(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let removed = async {
        let caller = caller(&app, &headers, peer).await?;
        let (principal, reference) = (caller.principal, caller.reference());
        let written = app.store.write::<_, ArmError, _>(move |tx| {
            Box::pin(async move {
                let all = own(tx.as_read(), principal).await?;
                let found = all.into_iter().find(|(_, key)| key.id.to_string() == id);
                let Some((fingerprint, _)) = found else {
                    return Err(ArmError::new(404, "ResourceNotFound", "You have no such key."));
                };
                tx.remove_document(kind::SSH_KEY, &fingerprint).await?;
                tx.audit(entry("Sekisho.Bastion/sshKeys/delete", reference, &fingerprint)).await?;
                Ok(())
            })
        });
        written.await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    removed.await.unwrap_or_else(|error: ArmError| web::arm_error(&error))
}
