//! What every ceremony needs: its state kept between two requests and gone with the one that reads it, cookies, and
//! errors in words for people.

use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use sekisho_arm::traits::{read_document, write_document};
use sekisho_arm::{ArmError, StoreError, Write};
use sekisho_identity::Secret;
use sekisho_identity::passkey::PasskeyError;
use sekisho_identity::throttle::{KnownDevice, Locked};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::kind;
use crate::app::App;
use crate::authn::COOKIE;
use crate::http as web;

/// The cookie that says in which browser somebody has signed in before.
pub(super) const DEVICE_COOKIE: &str = "__Host-sekisho-device";

pub(super) fn passkey_error(error: PasskeyError) -> ArmError {
    let code = match error {
        PasskeyError::Configuration(_) => "PasskeysNotAvailable",
        PasskeyError::Expired => "CeremonyExpired",
        PasskeyError::AlreadyRegistered => "PasskeyAlreadyRegistered",
        PasskeyError::TooMany => "TooManyPasskeys",
        PasskeyError::Suspended => "PasskeySuspended",
        PasskeyError::Malformed | PasskeyError::Refused | PasskeyError::Unknown => "InvalidCredentials",
    };
    let status = if matches!(code, "InvalidCredentials" | "PasskeySuspended") { 401 } else { 400 };
    ArmError::new(status, code, sentence(&error.to_string()))
}

/// What is said to whoever must wait.
pub(super) fn too_many(locked: Locked, now: OffsetDateTime) -> ArmError {
    let mut error = ArmError::new(429, "TooManyAttempts", sentence(&locked.to_string()));
    error.retry_after = Some(locked.seconds(now));
    error
}

pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

/// Keeps a ceremony and returns its id.
pub(super) async fn keep<T: Serialize + Send + Sync + 'static>(
    app: &App,
    value: T,
) -> Result<String, ArmError> {
    let id = Uuid::new_v4().to_string();
    let key = id.clone();
    app.store
        .write::<_, StoreError, _>(move |tx| {
            Box::pin(async move { write_document(tx, kind::CEREMONY, &key, &value).await })
        })
        .await?;
    Ok(id)
}

/// Takes a ceremony: it is gone with the transaction that reads it.
pub(super) async fn take<T: DeserializeOwned>(tx: &mut (dyn Write + '_), id: &str) -> Result<T, ArmError> {
    let expired = || ArmError::bad("CeremonyExpired", "This sign-in was used or took too long. Start again.");
    let found: Option<T> = read_document(tx.as_read(), kind::CEREMONY, id).await.map_err(|_| expired())?;
    tx.remove_document(kind::CEREMONY, id).await?;
    found.ok_or_else(expired)
}

/// A ceremony that a browser goes on with.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PasskeyCeremony {
    /// Names it in the request that ends it.
    pub(super) ceremony: String,
    /// WebAuthn's options for the browser.
    #[schemars(with = "serde_json::Map<String, Value>")]
    pub(super) public_key: Value,
}

/// The end of a ceremony: with a passkey's answer or with a code.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "CeremonyEnd")]
pub(super) struct Finish {
    pub(super) ceremony: String,
    #[serde(default)]
    pub(super) credential: Value,
    #[serde(default)]
    pub(super) code: String,
}

/// What a browser is, for the label of a passkey.
pub(super) fn device_label(headers: &HeaderMap) -> String {
    let agent = web::header(headers, "user-agent").unwrap_or_default();
    let system =
        ["Windows", "Mac OS", "Android", "iPhone", "iPad", "Linux"].iter().find(|s| agent.contains(**s));
    system.map_or_else(|| "Passkey".to_owned(), |s| format!("Passkey ({s})"))
}

/// An answer that sets the cookies of a new session.
pub(super) fn signed_in<T: Serialize>(
    status: StatusCode,
    body: &T,
    token: &Secret,
    device: Option<&Secret>,
) -> Response {
    let mut response = web::json(status, body);
    let mut set = |cookie: String| {
        if let Ok(value) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    };
    set(format!("{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Strict", token.expose()));
    if let Some(device) = device {
        let age = KnownDevice::LIFETIME.whole_seconds();
        set(format!(
            "{DEVICE_COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={age}",
            device.expose()
        ));
    }
    response
}
