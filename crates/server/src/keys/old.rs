//! What versions before the key ring kept: a file for each key, and in the database a ring of the keys that sign tokens,
//! sealed with one of the files. It is taken over at the first start, and the files go once that is committed: whoever
//! stops the server in between finds both, and they are compared before anything goes.

use std::collections::BTreeMap;

use sekisho_arm::Read;
use sekisho_arm::traits::read_document;
use sekisho_identity::ring::Purpose;
use sekisho_identity::seal::open_old;
use sekisho_link::pki::Identity;
use serde::Deserialize;
use time::OffsetDateTime;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::KeyError;
use super::files::{AUTHORITY, Files, SERVER};

/// The document kind of the rings.
pub(super) const KIND: &str = "keyRing";
/// The one ring that there was.
pub(super) const TOKENS: &str = "token-signing";
/// The files of keys that have no certificate.
const BARE: [(Purpose, &str); 4] = [
    (Purpose::CommandSigning, "command.key"),
    (Purpose::LogSigning, "log.key"),
    (Purpose::Sealing, "sealing.key"),
    (Purpose::Throttle, "throttle.key"),
];
const AUTHORITY_KEY: &str = "ca.key";
const SERVER_KEY: &str = "server.key";
const SERVER_NAMES: &str = "server.names";
const TENANT: &str = "tenant";
const SUBSCRIPTION: &str = "subscription";

/// The file that a key was in.
pub(super) fn file_of(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::AgentCa => AUTHORITY_KEY,
        Purpose::ServerTls => SERVER_KEY,
        other => BARE.iter().find(|(purpose, _)| *purpose == other).map_or("", |(_, name)| name),
    }
}

/// The files.
pub(super) struct Old {
    pub(super) authority: Option<Identity>,
    pub(super) server: Option<Identity>,
    pub(super) bare: BTreeMap<Purpose, Zeroizing<Vec<u8>>>,
    pub(super) tenant: Option<Uuid>,
    pub(super) subscription: Option<Uuid>,
}

impl Old {
    /// Reads all that are there.
    ///
    /// # Errors
    /// [`KeyError::File`].
    pub(super) fn read(files: &Files) -> Result<Old, KeyError> {
        let id = |name: &str| {
            let text = files.text(name)?;
            text.map(|text| Uuid::try_parse(&text).map_err(|e| files.error(name, e))).transpose()
        };
        let pair = |certificate: &str, key: &str| -> Result<Option<Identity>, KeyError> {
            let Some(key) = files.text(key)? else { return Ok(None) };
            let certificate =
                files.text(certificate)?.ok_or_else(|| files.error(certificate, "it is not there"))?;
            Ok(Some(Identity { certificate: certificate.to_string(), key }))
        };
        let mut bare = BTreeMap::new();
        for (purpose, name) in BARE {
            bare.extend(files.read(name)?.map(|bytes| (purpose, bytes)));
        }
        Ok(Old {
            authority: pair(AUTHORITY, AUTHORITY_KEY)?,
            server: pair(SERVER, SERVER_KEY)?,
            bare,
            tenant: id(TENANT)?,
            subscription: id(SUBSCRIPTION)?,
        })
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.authority.is_none() && self.bare.is_empty()
    }
}

/// Removes the files; all they held is in the ring.
///
/// # Errors
/// [`KeyError::File`].
pub(super) fn forget(files: &Files) -> Result<(), KeyError> {
    let bare = BARE.map(|(_, name)| name);
    let others = [AUTHORITY_KEY, SERVER_KEY, SERVER_NAMES, TENANT, SUBSCRIPTION];
    let there: Vec<&str> = bare.into_iter().chain(others).filter(|name| files.path(name).exists()).collect();
    if there.is_empty() { Ok(()) } else { files.remove(&there) }
}

#[derive(Deserialize)]
struct Ring {
    keys: Vec<Sealed>,
}

#[derive(Deserialize)]
struct Sealed {
    id: String,
    #[serde(with = "time::serde::rfc3339")]
    active: OffsetDateTime,
    sealed: String,
}

/// A key that signs tokens, as it was kept.
pub(super) struct TokenKey {
    pub(super) active: OffsetDateTime,
    pub(super) secret: Zeroizing<Vec<u8>>,
}

/// The keys that sign tokens; `None` when there is no old ring.
///
/// # Errors
/// Those of the database, and [`KeyError::OldRing`] when `sealing` is not the key that they were sealed with.
pub(super) async fn token_keys(
    read: &mut (dyn Read + '_),
    sealing: Option<&[u8]>,
) -> Result<Option<Vec<TokenKey>>, KeyError> {
    let Some(ring): Option<Ring> = read_document(read, KIND, TOKENS).await? else { return Ok(None) };
    let key: &[u8; 32] = sealing.and_then(|bytes| bytes.try_into().ok()).ok_or(KeyError::OldRing)?;
    let opened = ring.keys.into_iter().map(|Sealed { id, active, sealed }| {
        let secret = open_old(key, &format!("{TOKENS}/{id}"), &sealed).map_err(|_| KeyError::OldRing)?;
        Ok(TokenKey { active, secret })
    });
    opened.collect::<Result<Vec<_>, KeyError>>().map(Some)
}
