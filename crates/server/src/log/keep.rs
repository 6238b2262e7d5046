//! Keeps the log in order for as long as the server runs: signs it, ends what nobody has heard of for too long, and
//! forgets the content of entries whose time is up.

use std::sync::Arc;
use std::time::Duration;

use sekisho_arm::StoreError;
use sekisho_arm::traits::read_documents;
use sekisho_link::machine::{self, Machine, kind};
use sekisho_store::News;
use time::OffsetDateTime;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{Kept, kept};
use crate::app::App;

/// A checkpoint is signed when the log has grown by so many entries, or
const ENTRIES: u64 = 256;
/// has grown at all and this time has passed.
const LOOK: Duration = Duration::from_secs(60);
/// What was decided is given up when nobody has heard of its end for this long.
const TIMEOUT: time::Duration = time::Duration::hours(4);
/// Looks between two times of giving up, and of forgetting.
const SWEEP: u64 = 10;
const PRUNE: u64 = 24 * 60;

/// Keeps the log in order.
pub(crate) async fn keep(app: Arc<App>) {
    let mut feed = app.store.changes();
    let (mut signed, mut size) = check(&app).await.unwrap_or_else(|error| {
        tracing::error!(%error, "it cannot be seen whether the audit log is what was signed");
        (0, 0)
    });
    let mut looks = interval_at(Instant::now() + LOOK, LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut look = 0_u64;
    loop {
        let due = tokio::select! {
            news = feed.next() => match news {
                None => return,
                // More than was kept for this follower is more than enough to sign.
                Some(News::Missed) => {
                    size += ENTRIES;
                    false
                }
                Some(News::Changes(changes)) => {
                    let entries = changes.iter().filter(|c| c.kind == "audit");
                    size = entries.filter_map(|c| c.key.parse().ok()).fold(size, u64::max);
                    false
                }
            },
            _ = looks.tick() => true,
        };
        if size > signed && (due || size - signed >= ENTRIES) {
            match sign(&app).await {
                Ok(now) => (signed, size) = (now, now),
                Err(error) => tracing::error!(%error, "the audit log could not be signed"),
            }
        }
        if due {
            if look.is_multiple_of(SWEEP)
                && let Err(error) = give_up(&app).await
            {
                tracing::error!(%error, "what was decided long ago could not be given up");
            }
            if look.is_multiple_of(PRUNE)
                && let Err(error) = prune(&app).await
            {
                tracing::error!(%error, "old entries of the audit log could not be forgotten");
            }
            look += 1;
        }
    }
}

/// Looks whether the log is still what was signed; returns the size that was, and that it has. Whoever changes it while
/// no server runs is found out here, unless he has its key; then agents find him out.
async fn check(app: &App) -> Result<(u64, u64), StoreError> {
    let mut read = app.store.read().await?;
    let size = read.log_size().await?;
    let Some(kept) = kept(&mut read).await? else { return Ok((0, size)) };
    if let Err(why) = kept.still_holds(&mut read, &app.log.keys()).await? {
        tracing::error!(why, "the audit log is not what was signed; see 'sekisho audit verify'");
    }
    Ok((kept.size, size))
}

/// Signs all that there is and keeps that; returns how many entries it is of.
///
/// # Errors
/// Those of the database.
pub(crate) async fn sign(app: &App) -> Result<u64, StoreError> {
    let mut read = app.store.read().await?;
    let all = read.log_size().await?;
    let signed = app.log.checkpoint(&mut read, all).await?;
    drop(read);
    let size = signed.size;
    app.store
        .write::<_, StoreError, _>(move |tx| Box::pin(async move { Kept::keep(tx, signed).await }))
        .await?;
    Ok(size)
}

async fn give_up(app: &App) -> Result<(), StoreError> {
    let mut read = app.store.read().await?;
    let before = OffsetDateTime::now_utc() - TIMEOUT;
    let all = read_documents::<Machine>(&mut read, kind::MACHINE).await?;
    drop(read);
    for (key, _) in all.into_iter().filter(|(_, m)| m.pending.as_ref().is_some_and(|p| p.since < before)) {
        let Ok(id) = sekisho_arm::Scope::parse(&key) else { continue };
        app.store
            .write::<_, StoreError, _>(move |tx| {
                Box::pin(async move { machine::give_up(tx, &id, before).await })
            })
            .await?;
    }
    Ok(())
}

async fn prune(app: &App) -> Result<(), StoreError> {
    let Some(days) = app.config.audit_retention_days else { return Ok(()) };
    let before = OffsetDateTime::now_utc() - time::Duration::days(days.into());
    let count = app.store.log_prune(before).await?;
    if count > 0 {
        tracing::info!(count, "the content of old audit entries was forgotten; their hashes stay");
    }
    Ok(())
}
