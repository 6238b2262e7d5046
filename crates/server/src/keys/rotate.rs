//! `sekisho keys`: where the keys are in their lives, and replacing them.

use std::sync::Arc;

use sekisho_arm::resource::instant;
use sekisho_arm::{ArmError, AuditEntry, Outcome, Read as _};
use sekisho_identity::ring::{Key, KeyRing, KeyState, Purpose};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{KeyError, ROOT, Roots, own, rows};
use crate::app::App;
use crate::signin;

/// How a key is replaced.
#[derive(Clone, Copy, Default)]
pub(crate) struct Rotation {
    /// Without a time in which it is only published.
    pub(crate) at_once: bool,
    /// What was made before is refused from now on.
    pub(crate) destroy_old: bool,
}

/// The entry about a key that root on the server replaced.
pub(super) fn rotated(what: &str) -> AuditEntry {
    signin::entry("keys/rotate/action", signin::local_root(), Outcome::Succeeded, what, "")
}

impl From<KeyError> for ArmError {
    fn from(error: KeyError) -> ArmError {
        match error {
            KeyError::NoNextRoot | KeyError::OtherRoot(_) => {
                let text = error.to_string();
                ArmError::new(409, "RootKeyMissing", format!("{text}."))
            }
            KeyError::Store(error) => error.into(),
            error => {
                tracing::error!(%error, "the keys cannot be used");
                ArmError::internal()
            }
        }
    }
}

/// Keys with where they are in their lives.
pub(crate) fn shown(ring: &KeyRing, now: OffsetDateTime) -> Vec<Value> {
    let one = |(key, state): (&Key, KeyState)| {
        json!({
            "purpose": key.purpose,
            "id": key.id,
            "algorithm": key.algorithm,
            "state": state,
            "createdAt": instant(key.created),
            "activeFrom": instant(key.active),
            "destroyedAt": key.destroyed.map(instant),
            "rootKey": key.root,
        })
    };
    ring.states(now).into_iter().map(one).collect()
}

/// The root keys and all others.
///
/// # Errors
/// Those of the database and of the files.
pub(crate) async fn list(app: &App) -> Result<Value, ArmError> {
    let mut read = app.store.read().await?;
    let (all, now) = (rows::all(&mut read).await?, read.now());
    let mut out = Roots::read(&app.config)?.shown(rows::root_of(&all).unwrap_or_default());
    for purpose in Purpose::ALL {
        let own = all.iter().filter(|key| key.purpose == purpose).cloned().collect();
        out.extend(shown(&KeyRing::new(own), now));
    }
    Ok(Value::Array(out))
}

/// Replaces a key, for whoever is root on the server.
///
/// # Errors
/// When there are no such keys, or they cannot be replaced; nothing is changed then.
pub(crate) async fn rotate(app: &Arc<App>, what: &str, asked: Rotation) -> Result<Value, ArmError> {
    if what == ROOT {
        root(app).await?;
        let mut read = app.store.read().await?;
        let all = rows::all(&mut read).await?;
        let in_use = rows::root_of(&all).unwrap_or_default();
        return Ok(Value::Array(Roots::read(&app.config)?.shown(in_use)));
    }
    let purpose: Purpose =
        what.parse().map_err(|e| ArmError::bad("InvalidPurpose", format!("'{what}': {e}.")))?;
    purpose.replaceable().map_err(|e| ArmError::new(409, "KeyNotReplaceable", format!("{e}.")))?;
    if purpose == Purpose::ServerTls {
        own::rotate(app, asked.destroy_old).await?;
        let mut read = app.store.read().await?;
        return Ok(Value::Array(shown(&rows::of(&mut read, purpose).await?, read.now())));
    }
    signin::signing::rotate(app, asked).await
}

/// Seals every key of the ring with another root key. Until the files are settled, both open what they sealed: whoever
/// stops the server in between finds the one that the database needs.
async fn root(app: &App) -> Result<(), KeyError> {
    let mut roots = Roots::read(&app.config)?;
    let all = rows::all(&mut app.store.read().await?).await?;
    let next = roots.next(rows::root_of(&all).unwrap_or_default())?;
    let id = next.clone();
    let roots = Arc::new(roots);
    let sealing = roots.clone();
    app.store
        .write::<_, KeyError, _>(move |tx| {
            Box::pin(async move {
                let next = sealing.named(&next)?;
                for key in rows::all(tx.as_read()).await?.into_iter().filter(Key::lives) {
                    let secret = sealing.open(&key)?;
                    let again = key.sealed_again(next, &secret);
                    rows::put(tx, &again.map_err(|e| KeyError::Make(key.purpose, e.to_string()))?).await?;
                }
                Ok(tx.audit(rotated(ROOT)).await.map(drop)?)
            })
        })
        .await?;
    roots.settle(&id)
}
