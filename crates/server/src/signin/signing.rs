//! The keys that sign tokens: of the key ring in the database, so that all servers on it have the same, and replaced by
//! command or with age.

use std::sync::Arc;
use std::time::Duration;

use sekisho_arm::{ArmError, CallerRef, Outcome, Read as _, StoreError};
use sekisho_identity::ring::{Key, KeyRing, PENDING, Purpose, RootKey};
use sekisho_identity::token::SigningKey;
use sekisho_store::{News, Store};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::directory::local_root;
use super::entry;
use crate::ServerError;
use crate::app::App;
use crate::config::Config;
use crate::keys::rotate::{Rotation, shown};
use crate::keys::{self, KeyError, Roots, rows};

const PURPOSE: Purpose = Purpose::TokenSigning;
/// How often it is looked whether a key is due.
const EVERY: Duration = Duration::from_secs(600);

fn make(root: &RootKey, active: OffsetDateTime, now: OffsetDateTime) -> Result<Key, KeyError> {
    let key = SigningKey::generate(active).map_err(|e| KeyError::Make(PURPOSE, e.to_string()))?;
    let (label, secret) = keys::token_label(&key)?;
    keys::sealed(root, label, &secret, now)
}

fn open(roots: &Roots, ring: &KeyRing) -> Result<Vec<SigningKey>, KeyError> {
    let keys = ring
        .living()
        .map(|key| serde_json::from_slice(&roots.open(key)?).map_err(|_| KeyError::Unusable(PURPOSE)));
    keys.collect()
}

/// The keys, and the first one when there is none.
///
/// # Errors
/// Those of the database, or when the keys were sealed with another root key.
pub(crate) async fn load(store: &Store, config: &Config) -> Result<Vec<SigningKey>, ServerError> {
    let roots = Arc::new(Roots::read(config)?);
    let mut kept = rows::of(&mut store.read().await?, PURPOSE).await?;
    if kept.living().next().is_none() {
        let sealing = roots.clone();
        kept = store
            .write::<_, KeyError, _>(move |tx| {
                Box::pin(async move {
                    let now = tx.now();
                    let before = rows::of(tx.as_read(), PURPOSE).await?;
                    let mut kept = before.clone();
                    // Another server may have been faster.
                    if kept.living().next().is_none() {
                        let root = rows::root(tx.as_read()).await?;
                        kept.add(make(sealing.named(&root)?, now, now)?, now);
                        rows::keep(tx, &before, &kept).await?;
                    }
                    Ok(kept)
                })
            })
            .await?;
    }
    Ok(open(&roots, &kept)?)
}

/// Puts the keys of the database in place.
async fn reload(app: &App) -> Result<(), ServerError> {
    let kept = rows::of(&mut app.store.read().await?, PURPOSE).await?;
    let keys = open(&Roots::read(&app.config)?, &kept)?;
    app.identity.trust(keys).map_err(|e| ServerError::Key(e.to_string()))
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
) -> Result<Value, KeyError> {
    let roots = Roots::read(&app.config)?;
    app.store
        .write::<_, KeyError, _>(move |tx| {
            Box::pin(async move {
                let now = tx.now();
                let before = rows::of(tx.as_read(), PURPOSE).await?;
                let mut kept = before.clone();
                kept.prune(now);
                if wanted(&kept, now) {
                    let active = if asked.at_once { now } else { now + PENDING };
                    let root = rows::root(tx.as_read()).await?;
                    kept.add(make(roots.named(&root)?, active, now)?, now);
                    if asked.destroy_old {
                        kept.destroy_old(now);
                    }
                    let detail = PURPOSE.word();
                    tx.audit(entry("keys/rotate/action", who, Outcome::Succeeded, detail, "")).await?;
                }
                rows::keep(tx, &before, &kept).await?;
                Ok(Value::Array(shown(&kept, now)))
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
                Some(News::Changes(changes)) => changes.iter().any(|c| c.kind == rows::KIND),
                Some(News::Missed) => true,
                None => return,
            },
            _ = ticks.tick() => {
                let due = needs_change(&app).await;
                if due && let Err(error) = change(&app, Rotation::default(), keys::itself(), KeyRing::due).await {
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
        let (mut kept, now) = (rows::of(&mut read, PURPOSE).await?, read.now());
        Ok::<_, StoreError>(kept.due(now) || kept.prune(now))
    };
    look.await.unwrap_or_default()
}
