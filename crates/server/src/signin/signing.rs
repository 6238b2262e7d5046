//! The keys that sign tokens: kept in the database, sealed, so that all servers on it have the same, and replaced by
//! command or with age.

use std::sync::Arc;
use std::time::Duration;

use sekisho_arm::resource::instant;
use sekisho_arm::traits::{read_document, write_document};
use sekisho_arm::{ArmError, CallerRef, Outcome, PrincipalKind, Read, StoreError};
use sekisho_identity::ring::{KeyRing, PENDING, SealedKey};
use sekisho_identity::seal::SealingKey;
use sekisho_identity::token::SigningKey;
use sekisho_store::{News, Store};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::directory::local_root;
use super::{entry, kind};
use crate::ServerError;
use crate::app::App;

/// What the ring is for.
pub(crate) const PURPOSE: &str = "token-signing";
/// How often it is looked whether a key is due.
const EVERY: Duration = Duration::from_secs(600);

/// How a key is replaced.
#[derive(Clone, Copy, Default)]
pub(crate) struct Rotation {
    /// Without a time in which it is only published.
    pub(crate) at_once: bool,
    /// What was signed before is refused from now on.
    pub(crate) destroy_old: bool,
}

fn place(id: &str) -> String {
    format!("{PURPOSE}/{id}")
}

fn make(sealing: &SealingKey, active: OffsetDateTime) -> Result<SealedKey, StoreError> {
    let failed = |what: &str| StoreError::Unavailable(format!("a signing key could not be made: {what}"));
    let key = SigningKey::generate(active).map_err(|e| failed(&e.to_string()))?;
    let bytes = Zeroizing::new(serde_json::to_vec(&key).map_err(|e| failed(&e.to_string()))?);
    let sealed = sealing.seal(&place(key.kid()), &bytes).map_err(|e| failed(&e.to_string()))?;
    Ok(SealedKey { id: key.kid().to_owned(), active, sealed })
}

fn open(sealing: &SealingKey, ring: &KeyRing) -> Result<Vec<SigningKey>, ServerError> {
    let keys = ring.keys().iter().map(|key| {
        let bytes = sealing.open(&place(&key.id), &key.sealed).map_err(|_| {
            ServerError::Key(
                "the database's signing keys were sealed by another installation: copy keys/sealing.key from the data \
                 directory of the server that made them"
                    .to_owned(),
            )
        })?;
        serde_json::from_slice(&bytes).map_err(|e| ServerError::Key(e.to_string()))
    });
    keys.collect()
}

async fn ring(read: &mut (dyn Read + '_)) -> Result<KeyRing, StoreError> {
    Ok(read_document(read, kind::KEY_RING, PURPOSE).await?.unwrap_or_default())
}

/// The keys, and the first one when there is none.
///
/// # Errors
/// Those of the database, or when the keys were sealed with another key.
pub(crate) async fn load(store: &Store, sealing: &SealingKey) -> Result<Vec<SigningKey>, ServerError> {
    let mut kept = ring(&mut store.read().await?).await?;
    if kept.keys().is_empty() {
        let first = make(sealing, OffsetDateTime::now_utc())?;
        kept = store
            .write::<_, StoreError, _>(move |tx| {
                Box::pin(async move {
                    let mut kept = ring(tx.as_read()).await?;
                    // Another server may have been faster.
                    if kept.keys().is_empty() {
                        kept.add(first);
                        write_document(tx, kind::KEY_RING, PURPOSE, &kept).await?;
                    }
                    Ok(kept)
                })
            })
            .await?;
    }
    open(sealing, &kept)
}

/// Puts the keys of the database in place.
async fn reload(app: &App) -> Result<(), ServerError> {
    let kept = ring(&mut app.store.read().await?).await?;
    let keys = open(&app.identity.sealing, &kept)?;
    app.identity.trust(keys).map_err(|e| ServerError::Key(e.to_string()))
}

/// Where the keys are in their lives.
///
/// # Errors
/// Those of the database.
pub(crate) async fn states(app: &App) -> Result<Value, ArmError> {
    let mut read = app.store.read().await?;
    Ok(shown(&ring(&mut read).await?, read.now()))
}

fn shown(ring: &KeyRing, now: OffsetDateTime) -> Value {
    let keys = ring.states(now).into_iter().map(|(key, state)| {
        json!({"purpose": PURPOSE, "id": key.id, "state": state, "activeFrom": instant(key.active)})
    });
    Value::Array(keys.collect())
}

/// Replaces the key, for whoever is root on the server.
///
/// # Errors
/// Those of the database.
pub(crate) async fn rotate(app: &Arc<App>, asked: Rotation) -> Result<Value, ArmError> {
    let out = change(app, asked, local_root(), |_, _| true).await?;
    reload(app).await.map_err(|error| {
        tracing::error!(%error, "the new signing key is not in use");
        ArmError::internal()
    })?;
    Ok(out)
}

async fn change(
    app: &Arc<App>,
    asked: Rotation,
    who: CallerRef,
    wanted: fn(&KeyRing, OffsetDateTime) -> bool,
) -> Result<Value, StoreError> {
    let owner = app.clone();
    app.store
        .write::<_, StoreError, _>(move |tx| {
            Box::pin(async move {
                let now = tx.now();
                let mut kept = ring(tx.as_read()).await?;
                let pruned = kept.prune(now);
                let rotates = wanted(&kept, now);
                if rotates {
                    let active = if asked.at_once { now } else { now + PENDING };
                    kept.add(make(&owner.identity.sealing, active)?);
                    if asked.destroy_old {
                        kept.destroy_old();
                    }
                    tx.audit(entry("keys/rotate/action", who, Outcome::Succeeded, PURPOSE, "")).await?;
                }
                if rotates || pruned {
                    write_document(tx, kind::KEY_RING, PURPOSE, &kept).await?;
                }
                Ok(shown(&kept, now))
            })
        })
        .await
}

/// Follows the feed, so that every server has the keys of the database, and replaces the key when it is due.
pub(crate) async fn follow(app: Arc<App>) {
    let mut feed = app.store.changes();
    let mut ticks = interval_at(Instant::now() + EVERY, EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let changed = tokio::select! {
            news = feed.next() => match news {
                Some(News::Changes(changes)) => changes.iter().any(|c| c.kind == kind::KEY_RING),
                Some(News::Missed) => true,
                None => return,
            },
            _ = ticks.tick() => {
                let itself = CallerRef {
                    object_id: Uuid::nil().to_string(),
                    kind: PrincipalKind::System,
                    name: "the server itself".to_owned(),
                };
                let due = needs_change(&app).await;
                if due && let Err(error) = change(&app, Rotation::default(), itself, KeyRing::due).await {
                    tracing::error!(%error, "the signing key could not be replaced");
                }
                false
            }
        };
        if changed && let Err(error) = reload(&app).await {
            tracing::error!(%error, "the signing keys stay as they are");
        }
    }
}

/// Whether a key is due, or one has retired: most often there is nothing to write.
async fn needs_change(app: &App) -> bool {
    let look = async {
        let mut read = app.store.read().await?;
        let (mut kept, now) = (ring(&mut read).await?, read.now());
        Ok::<_, StoreError>(kept.due(now) || kept.prune(now))
    };
    look.await.unwrap_or_default()
}
