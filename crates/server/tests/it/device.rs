//! What people hold in their hands: passkeys and code generators.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};
use time::OffsetDateTime;
use webauthn_authenticator_rs::WebauthnAuthenticator as _;
use webauthn_authenticator_rs::softpasskey::SoftPasskey;
use webauthn_rs::prelude::Url;

/// A passkey in software, with the browser around it. Clones are the same passkey, with one counter.
#[derive(Clone)]
pub(crate) struct Passkey {
    soft: Arc<Mutex<SoftPasskey>>,
    origin: Url,
    id: Value,
    person: String,
}

impl Passkey {
    pub(crate) fn new(origin: &str) -> Passkey {
        Passkey {
            soft: Arc::new(Mutex::new(SoftPasskey::new(true))),
            origin: Url::parse(origin).unwrap(),
            id: Value::Null,
            person: String::new(),
        }
    }

    /// The server is at another address of the same name now.
    pub(crate) fn moved(&mut self, origin: &str) {
        self.origin = Url::parse(origin).unwrap();
    }

    /// Answers the options of a registration.
    pub(crate) fn create(&mut self, begun: &Value) -> Value {
        let options = json!({"publicKey": begun["publicKey"]});
        self.person = begun["publicKey"]["user"]["id"].as_str().unwrap().to_owned();
        let options = serde_json::from_value(options).unwrap();
        let made = self.soft.lock().unwrap().do_registration(self.origin.clone(), options).unwrap();
        let made = serde_json::to_value(made).unwrap();
        self.id = made["id"].clone();
        made
    }

    /// Answers the options of a sign-in. The software authenticator needs the credential named and leaves the user
    /// handle out; a browser does both itself.
    pub(crate) fn get(&mut self, begun: &Value) -> Value {
        let mut options = json!({"publicKey": begun["publicKey"]});
        options["publicKey"]["allowCredentials"] = json!([{"type": "public-key", "id": self.id}]);
        let options = serde_json::from_value(options).unwrap();
        let given = self.soft.lock().unwrap().do_authentication(self.origin.clone(), options).unwrap();
        let mut given = serde_json::to_value(given).unwrap();
        given["response"]["userHandle"] = json!(self.person);
        given
    }
}

/// An authenticator app (RFC 6238).
pub(crate) struct Codes {
    key: hmac::Key,
    last: u64,
}

impl Codes {
    /// From the base32 text that is shown for typing.
    pub(crate) fn new(base32: &str) -> Codes {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let (mut bytes, mut buffer, mut bits) = (Vec::new(), 0u32, 0);
        for letter in base32.bytes().filter(|b| *b != b'=') {
            let five = ALPHABET.iter().position(|a| *a == letter).unwrap();
            buffer = (buffer << 5) | u32::try_from(five).unwrap();
            bits += 5;
            if bits >= 8 {
                bits -= 8;
                bytes.push(((buffer >> bits) & 0xff) as u8);
            }
        }
        Codes { key: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes), last: 0 }
    }

    /// A code that was not used yet. The server takes the neighbouring steps too, so a second one need not be waited
    /// for; a third one must.
    pub(crate) fn fresh(&mut self) -> String {
        let now = u64::try_from(OffsetDateTime::now_utc().unix_timestamp()).unwrap() / 30;
        self.last = now.max(self.last + 1);
        assert!(self.last <= now + 1, "only two codes at once");
        self.at(self.last)
    }

    /// The code used last.
    pub(crate) fn stale(&self) -> String {
        self.at(self.last)
    }

    fn at(&self, step: u64) -> String {
        let tag = hmac::sign(&self.key, &step.to_be_bytes());
        let tag = tag.as_ref();
        let start = usize::from(tag[tag.len() - 1] & 15);
        let word = u32::from_be_bytes(tag[start..start + 4].try_into().unwrap()) & 0x7fff_ffff;
        format!("{:06}", word % 1_000_000)
    }
}

/// A sign-in answer that was made for another challenge.
pub(crate) fn garbled(mut credential: Value) -> Value {
    let signature = credential["response"]["signature"].as_str().unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    credential["response"]["signature"] = URL_SAFE_NO_PAD.encode(bytes).into();
    credential
}
