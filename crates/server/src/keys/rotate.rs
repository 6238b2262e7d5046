//! `sekisho keys`: where the keys are in their lives, and replacing them.

use std::sync::Arc;

use sekisho_arm::resource::instant;
use sekisho_arm::traits::read_documents;
use sekisho_arm::{ArmError, AuditEntry, CallerRef, Outcome, Read, StoreError};
use sekisho_identity::ring::{Key, KeyRing, KeyState, Purpose};
use sekisho_link::machine::{Machine, Presence, kind};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::make::{self, Maker};
use super::{KeyError, ROOT, Roots, keep, own, rows, sealed, sealing, successions};
use crate::app::App;
use crate::bastion::credentials;
use crate::log::Kept;
use crate::signin;
use crate::signin::authenticators;

/// How a key is replaced.
#[derive(Clone, Copy, Default)]
pub(crate) struct Rotation {
    /// Without a time in which it is only published.
    pub(crate) at_once: bool,
    /// What was made before is refused from now on.
    pub(crate) destroy_old: bool,
    /// Also when that cuts machines off.
    pub(crate) cut_off: bool,
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
            KeyError::TooMany(_) => ArmError::new(409, "TooManyKeys", format!("{error}.")),
            KeyError::Store(error) => error.into(),
            error => {
                tracing::error!(%error, "the keys cannot be used");
                ArmError::internal()
            }
        }
    }
}

/// Keys with where they are in their lives.
fn shown(ring: &KeyRing, now: OffsetDateTime) -> Vec<Value> {
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
/// When there are no such keys, or machines would be cut off and that was not asked for; nothing is changed then.
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
    if asked.destroy_old && !asked.cut_off {
        let left = left_behind(&mut app.store.read().await?, purpose).await?;
        if left > 0 {
            let text = format!(
                "{left} machines may know no other key for '{purpose}' than the old one and would have to join again, or \
                 be told of the new one by somebody who has the old one. Replace it without destroying the old one, or \
                 say that they are to be cut off."
            );
            return Err(ArmError::new(409, "MachinesCutOff", text));
        }
    }
    match purpose {
        Purpose::ServerTls => own::rotate(app, asked.destroy_old).await?,
        _ => change(app, purpose, asked, signin::local_root(), |_, _| true).await?,
    }
    keep::refresh(app).await.map_err(|error| {
        tracing::error!(%error, "the new key is not in use yet");
        ArmError::internal()
    })?;
    let mut read = app.store.read().await?;
    Ok(Value::Array(shown(&rows::of(&mut read, purpose).await?, read.now())))
}

/// How many machines may know no other key than the old one once it is destroyed. Every certificate of an agent is signed
/// by an authority; of the other keys those machines learn at once that are connected.
async fn left_behind(read: &mut (dyn Read + '_), purpose: Purpose) -> Result<usize, StoreError> {
    if !purpose.is_pinned() {
        return Ok(0);
    }
    let now = read.now();
    let machines: Vec<(String, Machine)> = read_documents(read, kind::MACHINE).await?;
    let left = |m: &Machine| purpose == Purpose::AgentCa || m.presence(now) != Presence::Online;
    Ok(machines.iter().filter(|(_, machine)| left(machine)).count())
}

/// Brings the ring of a purpose in order, and adds a key when that is wanted.
///
/// # Errors
/// [`KeyError`]; nothing is changed then.
pub(super) async fn change(
    app: &Arc<App>,
    purpose: Purpose,
    asked: Rotation,
    who: CallerRef,
    wanted: fn(&KeyRing, OffsetDateTime) -> bool,
) -> Result<(), KeyError> {
    let roots = Roots::read(&app.config)?;
    let (tenant, organization) = (app.tenant, app.config.organization.clone());
    app.store
        .write::<_, KeyError, _>(move |tx| {
            Box::pin(async move {
                let now = tx.now();
                let before = rows::of(tx.as_read(), purpose).await?;
                let mut ring = before.clone();
                if wanted(&ring, now) {
                    if ring.is_full() && !asked.destroy_old {
                        return Err(KeyError::TooMany(purpose));
                    }
                    let root = rows::root(tx.as_read()).await?;
                    let living = ring.living().map(|key| Ok((key.clone(), roots.open(key)?)));
                    let living = living.collect::<Result<Vec<_>, KeyError>>()?;
                    let active = if asked.at_once { now } else { now + purpose.pending() };
                    let maker = Maker { organization: &organization, tenant, now };
                    let made = maker.next(purpose, &living, active)?;
                    let (newest, secret) = living.last().ok_or(KeyError::Missing(purpose))?;
                    successions::keep(tx, (purpose, tenant), (secret, &made.secret), active).await?;
                    if purpose == Purpose::LogSigning {
                        // So that the new key knows what the old one has signed, whatever becomes of that.
                        Kept::sign_along(tx, &make::log_signer(tenant, &made.secret)?).await?;
                    }
                    let fresh = sealed(roots.named(&root)?, made.label, &made.secret, now)?;
                    let told = json!({
                        "purpose": purpose, "keyId": fresh.id, "follows": newest.id, "publicKey": fresh.public,
                        "activeFrom": instant(fresh.active), "oldDestroyed": asked.destroy_old,
                    });
                    let entry = signin::entry("keys/rotate/action", who, Outcome::Succeeded, purpose.word(), "");
                    tx.audit(AuditEntry { properties: Some(told), ..entry }).await?;
                    ring.add(fresh, now);
                }
                if purpose == Purpose::Sealing {
                    let keys = sealing(&roots, &ring, now)?;
                    authenticators::seal_again(tx, &keys).await?;
                    credentials::seal_again(tx, &keys).await?;
                }
                if asked.destroy_old {
                    ring.destroy_old(now);
                }
                ring.prune(now);
                Ok(rows::keep(tx, &before, &ring).await?)
            })
        })
        .await
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
