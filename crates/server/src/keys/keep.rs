//! Every server of a database uses what its key ring says at the moment: as soon as the ring changes, when the instant of
//! a key comes, and now and then in any case. What is due is done by whichever server comes first: keys that sign tokens
//! are replaced with age, what is sealed is sealed again with the key in use, and keys that are over are destroyed.

use std::sync::Arc;
use std::time::Duration;

use sekisho_arm::{Read as _, StoreError};
use sekisho_identity::ring::{KeyRing, Purpose};
use sekisho_store::News;
use time::OffsetDateTime;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::files::{self, Files};
use super::rotate::{Rotation, change};
use super::{Opened, Roots, itself, open, ring_of, rows, successions};
use crate::ServerError;
use crate::app::App;
use crate::bastion::credentials;
use crate::signin::authenticators;

/// How often it is looked whether something is due.
const EVERY: Duration = Duration::from_secs(600);
/// How soon it is tried again to use what the ring says.
const AGAIN: Duration = Duration::from_secs(5);

/// Uses what the ring says from now on.
///
/// # Errors
/// Those of the database and of keys that do not open, and then what was in use stays; or that the server's certificate
/// stays as it was.
pub(crate) async fn refresh(app: &App) -> Result<(), ServerError> {
    // Whoever comes second reads what the first one has seen, or more.
    let _one = app.refreshing.lock().await;
    let (rows, successions, now) = {
        let mut read = app.store.read().await?;
        (rows::all(&mut read).await?, successions::all(&mut read).await?, read.now())
    };
    let Opened { keys, tokens, log } =
        open(&Roots::read(&app.config)?, &rows, successions, (app.tenant, now))?;
    app.identity.trust(tokens).map_err(|e| ServerError::Key(e.to_string()))?;
    Files::of(&app.config.data_dir).keep(files::AUTHORITY, &keys.authorities.bundle())?;
    app.certificates.trust(&keys.authorities).map_err(|e| ServerError::Key(e.to_string()))?;
    app.log.sign_with(log);
    app.keys.put(keys);
    // Agents are told of keys that were replaced.
    app.agents.wake_all();
    Ok(app.certificates.renew(app).await?)
}

/// How long until the next key comes into use; for ever when none waits.
async fn until_next(app: &App) -> Duration {
    let look = async {
        let mut read = app.store.read().await?;
        let (rows, now) = (rows::all(&mut read).await?, read.now());
        let next = Purpose::ALL.into_iter().filter_map(|purpose| ring_of(&rows, purpose).next(now)).min();
        Ok::<_, StoreError>(next.map(|at| at - now))
    };
    match look.await {
        Ok(next) => next.map_or(Duration::MAX, |left| left.try_into().unwrap_or_default()),
        Err(error) => {
            tracing::error!(%error, "it cannot be seen when the next key comes into use");
            AGAIN
        }
    }
}

/// Keeps the keys in use as the ring says, for as long as the server runs.
pub(crate) async fn follow(app: Arc<App>) {
    let mut feed = app.store.changes();
    // At once: what came to be over while no server ran is over at the start.
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next = far();
    loop {
        let (changed, due) = tokio::select! {
            news = feed.next() => match news {
                Some(News::Changes(changes)) => (changes.iter().any(|c| c.kind == rows::KIND), false),
                Some(News::Missed) => (true, false),
                None => return,
            },
            () = sleep_until(next) => (true, true),
            _ = ticks.tick() => (false, true),
        };
        let mut failed = false;
        if changed && let Err(error) = refresh(&app).await {
            tracing::error!(%error, "the keys in use stay as they are");
            failed = true;
        }
        if due && let Err(error) = maintain(&app).await {
            tracing::error!(%error, "the key ring is not in order");
        }
        if changed || due {
            let until = if failed { AGAIN } else { until_next(&app).await };
            next = Instant::now().checked_add(until).unwrap_or_else(far);
        }
    }
}

/// An instant beyond the next tick, at which it is looked again.
fn far() -> Instant {
    Instant::now() + 2 * EVERY
}

/// Does what is due; most often there is nothing.
async fn maintain(app: &Arc<App>) -> Result<(), ServerError> {
    let (rows, now) = {
        let mut read = app.store.read().await?;
        (rows::all(&mut read).await?, read.now())
    };
    let keys = app.keys.get();
    let bare = !authenticators::are_current(&app.store, &keys.sealing).await?
        || !credentials::are_current(&app.store, &keys.sealing).await?;
    for purpose in Purpose::ALL.into_iter().filter(|purpose| *purpose != Purpose::ServerTls) {
        let wanted: fn(&KeyRing, OffsetDateTime) -> bool = match purpose {
            Purpose::TokenSigning => KeyRing::due,
            _ => |_, _| false,
        };
        let mut ring = ring_of(&rows, purpose);
        if wanted(&ring, now) || ring.prune(now) || (purpose == Purpose::Sealing && bare) {
            change(app, purpose, Rotation::default(), itself(), wanted).await?;
        }
    }
    Ok(())
}
