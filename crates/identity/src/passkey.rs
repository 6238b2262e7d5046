//! Passkeys (WebAuthn), the first choice for every person: the one module that touches `webauthn-rs`.
//!
//! A ceremony has two halves. `start_…` returns options for the browser and a state for the server; `finish_…` takes
//! both answers. **The caller stores the state, and deletes it when reading it back**: the library itself accepts the
//! same answer against the same state twice (research 01 §G1). States expire after five minutes.
//!
//! Credentials are made discoverable, so that people sign in without typing a name, and user verification (a finger, a
//! PIN) is always required, so that a passkey counts as two factors. The user handle is the person's object id.
//! A signature counter that went backwards means that two copies of a key exist: the credential is suspended.
//!
//! The relying-party id is fixed when the product is installed: a passkey registered under one name cannot be used
//! under another. It cannot be an IP address, and the browser must trust the certificate.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;
use webauthn_rs::prelude::{
    AuthenticationResult, DiscoverableAuthentication, Passkey, PasskeyAuthentication, PasskeyRegistration,
    PublicKeyCredential, RegisterPublicKeyCredential, Url, Webauthn, WebauthnBuilder, WebauthnError,
};

use crate::Person;

/// How long a ceremony may take.
pub const CEREMONY: Duration = Duration::minutes(5);
/// Most passkeys of one person; the list travels in every options object.
pub const MAX_PER_PERSON: usize = 20;

/// Why a ceremony failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasskeyError {
    /// The configured name or origin cannot be used: an IP address, no HTTPS, or a name outside the origin.
    #[error("passkeys cannot work at this address: {0}")]
    Configuration(String),
    /// Took longer than [`CEREMONY`].
    #[error("the sign-in took too long; start again")]
    Expired,
    /// The answer is not the shape a browser sends.
    #[error("the browser's answer cannot be read")]
    Malformed,
    /// Another ceremony's answer, a wrong signature, a wrong origin, or no user verification.
    #[error("the passkey was not accepted")]
    Refused,
    /// The credential belongs to nobody here, or to somebody else.
    #[error("this passkey is not registered here")]
    Unknown,
    /// This authenticator is registered already.
    #[error("this device or key is registered already")]
    AlreadyRegistered,
    /// The person has [`MAX_PER_PERSON`] passkeys.
    #[error("a person has at most {MAX_PER_PERSON} passkeys; remove one first")]
    TooMany,
    /// The credential was suspended, now or before, because a copy of it seems to exist.
    #[error(
        "this passkey is suspended because a copy of it seems to exist; remove it and register a new one"
    )]
    Suspended,
}

impl From<WebauthnError> for PasskeyError {
    fn from(error: WebauthnError) -> Self {
        match error {
            WebauthnError::CredentialAlreadyExists | WebauthnError::CredentialExcludedFromRequest => {
                PasskeyError::AlreadyRegistered
            }
            WebauthnError::CredentialPossibleCompromise => PasskeyError::Suspended,
            WebauthnError::CredentialNotFound | WebauthnError::InvalidUserUniqueId => PasskeyError::Unknown,
            _ => PasskeyError::Refused,
        }
    }
}

/// A registered passkey, as stored under its [`StoredPasskey::id`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredPasskey {
    /// The credential id in unpadded base64url.
    pub id: String,
    /// Whose it is.
    pub person: Uuid,
    /// What the person calls it.
    pub label: String,
    key: Passkey,
    counter: u32,
    /// Whether the key may leave the device: synced by a password manager or platform.
    pub backup_eligible: bool,
    /// Whether it is in fact synced at the moment.
    pub backed_up: bool,
    /// When it was registered.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// When it was last used.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_used: Option<OffsetDateTime>,
    /// Set when a copy seems to exist; a suspended passkey signs nobody in.
    pub suspended: bool,
}

/// What an authentication is for. A proof given for one thing is not taken for another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Purpose {
    /// Signing in.
    SignIn,
    /// Confirming one operation of a person who is signed in; the text is a digest of method, path and body.
    StepUp {
        /// Digest of the exact operation.
        operation: String,
    },
}

/// How the browser should offer passkeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// In the autofill of the name field, while the page waits.
    Autofill,
    /// In a dialog, because the person pressed a button.
    Dialog,
}

/// The server's half of a registration. Store it; delete it when reading it back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Registration {
    person: Uuid,
    #[serde(with = "time::serde::rfc3339")]
    expires: OffsetDateTime,
    state: PasskeyRegistration,
}

/// The server's half of an authentication. Store it; delete it when reading it back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Authentication {
    purpose: Purpose,
    /// Only this person may answer; anyone when signing in.
    person: Option<Uuid>,
    #[serde(with = "time::serde::rfc3339")]
    expires: OffsetDateTime,
    state: State,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum State {
    Discoverable(DiscoverableAuthentication),
    Known(PasskeyAuthentication),
}

/// A browser's answer to an authentication, read but not yet believed.
#[derive(Debug, Clone)]
pub struct Answer {
    response: PublicKeyCredential,
    /// The database key of the credential that it claims to come from.
    pub credential: String,
}

impl Answer {
    /// Reads the JSON of `PublicKeyCredential.toJSON()`.
    ///
    /// # Errors
    /// [`PasskeyError::Malformed`].
    pub fn read(response: Value) -> Result<Answer, PasskeyError> {
        let response: PublicKeyCredential =
            serde_json::from_value(response).map_err(|_| PasskeyError::Malformed)?;
        Ok(Answer { credential: key_of(response.get_credential_id()), response })
    }
}

/// The relying party.
#[derive(Debug, Clone)]
pub struct Passkeys {
    webauthn: Webauthn,
}

impl Passkeys {
    /// `rp_id` is a DNS name such as `sekisho.example` or `localhost`; `origin` what the browser's address bar shows,
    /// such as `https://sekisho.example:8443`; `name` what people see in the dialog.
    ///
    /// # Errors
    /// [`PasskeyError::Configuration`].
    pub fn new(rp_id: &str, origin: &str, name: &str) -> Result<Passkeys, PasskeyError> {
        let bad = |why: String| PasskeyError::Configuration(why);
        if rp_id.parse::<std::net::IpAddr>().is_ok() || rp_id.starts_with('[') {
            return Err(bad(format!("'{rp_id}' is an IP address; browsers ask for a DNS name")));
        }
        let url = Url::parse(origin).map_err(|e| bad(format!("'{origin}' is not an origin: {e}")))?;
        if url.scheme() != "https" && url.host_str() != Some("localhost") {
            return Err(bad(format!("'{origin}' is not HTTPS")));
        }
        let webauthn = WebauthnBuilder::new(rp_id, &url)
            .and_then(|b| b.rp_name(name).timeout(CEREMONY.unsigned_abs()).build())
            .map_err(|e| bad(e.to_string()))?;
        Ok(Passkeys { webauthn })
    }

    /// Begins to register a passkey: (options for `navigator.credentials.create`, state). The authenticators that hold
    /// one of the person's passkeys refuse to make another.
    ///
    /// # Errors
    /// [`PasskeyError::TooMany`], [`PasskeyError::Refused`].
    pub fn start_registration(
        &self,
        person: &Person,
        existing: &[StoredPasskey],
        now: OffsetDateTime,
    ) -> Result<(Value, Registration), PasskeyError> {
        if existing.len() >= MAX_PER_PERSON {
            return Err(PasskeyError::TooMany);
        }
        let exclude = existing.iter().map(|p| p.key.cred_id().clone()).collect();
        let (options, state) = self.webauthn.start_passkey_registration(
            person.id,
            &person.user_principal_name,
            &person.display_name,
            Some(exclude),
        )?;
        let mut options = serde_json::to_value(options).map_err(|_| PasskeyError::Refused)?;
        // The library asks for "discouraged". "preferred" makes the passkey discoverable wherever there is room for it
        // and still works on an old key without (research 01 §G1).
        options["publicKey"]["authenticatorSelection"]["residentKey"] = json!("preferred");
        Ok((options, Registration { person: person.id, expires: now + CEREMONY, state }))
    }

    /// Ends a registration. The caller refuses an id that is stored already, whosever it is.
    ///
    /// # Errors
    /// [`PasskeyError::Expired`], `Malformed`, `Refused`, `AlreadyRegistered`.
    pub fn finish_registration(
        &self,
        registration: &Registration,
        response: Value,
        label: &str,
        now: OffsetDateTime,
    ) -> Result<StoredPasskey, PasskeyError> {
        if now >= registration.expires {
            return Err(PasskeyError::Expired);
        }
        let response: RegisterPublicKeyCredential =
            serde_json::from_value(response).map_err(|_| PasskeyError::Malformed)?;
        let key = self.webauthn.finish_passkey_registration(&response, &registration.state)?;
        // The flags have no accessor before the first authentication.
        let inside = serde_json::to_value(&key).map_err(|_| PasskeyError::Refused)?;
        let flag = |name: &str| inside["cred"][name].as_bool().unwrap_or(false);
        let counter = inside["cred"]["counter"].as_u64().and_then(|c| u32::try_from(c).ok()).unwrap_or(0);
        let label: String = label.trim().chars().filter(|c| !c.is_control()).take(60).collect();
        Ok(StoredPasskey {
            id: key_of(key.cred_id()),
            person: registration.person,
            label: if label.is_empty() { "Passkey".to_owned() } else { label },
            backup_eligible: flag("backup_eligible"),
            backed_up: flag("backup_state"),
            counter,
            key,
            created: now,
            last_used: None,
            suspended: false,
        })
    }

    /// Begins a sign-in of whoever it may be: (options for `navigator.credentials.get`, state).
    ///
    /// # Errors
    /// [`PasskeyError::Refused`].
    pub fn start_sign_in(
        &self,
        prompt: Prompt,
        now: OffsetDateTime,
    ) -> Result<(Value, Authentication), PasskeyError> {
        let (options, state) = self.webauthn.start_discoverable_authentication()?;
        let mut options = serde_json::to_value(options).map_err(|_| PasskeyError::Refused)?;
        if let (Prompt::Dialog, Some(fields)) = (prompt, options.as_object_mut()) {
            fields.remove("mediation");
        }
        let state = State::Discoverable(state);
        Ok((
            options,
            Authentication { purpose: Purpose::SignIn, person: None, expires: now + CEREMONY, state },
        ))
    }

    /// Begins a proof by one known person, with any of their passkeys: for confirming an operation, or for signing in
    /// by name with a key that is not discoverable.
    ///
    /// # Errors
    /// [`PasskeyError::Unknown`] when the person has no usable passkey.
    pub fn start_for(
        &self,
        person: Uuid,
        passkeys: &[StoredPasskey],
        purpose: Purpose,
        now: OffsetDateTime,
    ) -> Result<(Value, Authentication), PasskeyError> {
        let usable = passkeys.iter().filter(|p| p.person == person && !p.suspended);
        let keys: Vec<Passkey> = usable.map(|p| p.key.clone()).collect();
        if keys.is_empty() {
            return Err(PasskeyError::Unknown);
        }
        let (options, state) = self.webauthn.start_passkey_authentication(&keys)?;
        let options = serde_json::to_value(options).map_err(|_| PasskeyError::Refused)?;
        let state = State::Known(state);
        Ok((options, Authentication { purpose, person: Some(person), expires: now + CEREMONY, state }))
    }

    /// Ends an authentication. `stored` is the passkey found under [`Answer::credential`]; it is updated, also when the
    /// answer is refused because of a copy, and the caller stores it in either case. Its person is who proved
    /// themselves.
    ///
    /// # Errors
    /// [`PasskeyError::Expired`], `Refused` (also for another purpose than `purpose`), `Unknown`, `Suspended`.
    pub fn finish(
        &self,
        authentication: Authentication,
        answer: &Answer,
        purpose: &Purpose,
        stored: &mut StoredPasskey,
        now: OffsetDateTime,
    ) -> Result<(), PasskeyError> {
        if now >= authentication.expires {
            return Err(PasskeyError::Expired);
        }
        if authentication.purpose != *purpose {
            return Err(PasskeyError::Refused);
        }
        if authentication.person.is_some_and(|p| p != stored.person) || stored.id != answer.credential {
            return Err(PasskeyError::Unknown);
        }
        if stored.suspended {
            return Err(PasskeyError::Suspended);
        }
        let result = match authentication.state {
            State::Known(state) => self.webauthn.finish_passkey_authentication(&answer.response, &state),
            State::Discoverable(state) => {
                let (handle, _) = self.webauthn.identify_discoverable_authentication(&answer.response)?;
                if handle != stored.person {
                    return Err(PasskeyError::Unknown);
                }
                self.webauthn.finish_discoverable_authentication_v2(&answer.response, state, &stored.key)
            }
        };
        match result.map_err(PasskeyError::from).and_then(|r| stored.note(&r, now)) {
            Err(PasskeyError::Suspended) => {
                stored.suspended = true;
                Err(PasskeyError::Suspended)
            }
            other => other,
        }
    }
}

impl StoredPasskey {
    /// Keeps what the authenticator reported. The counter is compared once more with what is stored now, because the
    /// library compares with what was stored when the ceremony began.
    fn note(&mut self, result: &AuthenticationResult, now: OffsetDateTime) -> Result<(), PasskeyError> {
        if !result.user_verified() {
            return Err(PasskeyError::Refused);
        }
        let counts = result.counter() > 0 || self.counter > 0;
        if counts && result.counter() <= self.counter {
            return Err(PasskeyError::Suspended);
        }
        self.key.update_credential(result);
        self.counter = result.counter();
        self.backed_up = result.backup_state();
        self.backup_eligible |= result.backup_eligible();
        self.last_used = Some(now);
        Ok(())
    }
}

fn key_of(credential_id: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(credential_id)
}
