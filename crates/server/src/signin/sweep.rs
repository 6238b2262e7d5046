//! Removing what has ended by itself: codes that nobody took, assertions that are over, grants that
//! nobody used.

use std::sync::Arc;
use std::time::Duration;

use sekisho_arm::traits::{read_document, read_documents};
use sekisho_arm::{Read, StoreError};
use sekisho_identity::Person;
use sekisho_identity::grant::Grant;
use sekisho_identity::oauth::authorize::AuthorizationCode;
use sekisho_identity::oauth::device::DeviceCode;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::oauth::Used;
use super::{kind, sign_ins};
use crate::app::App;

/// How often it is looked for.
const EVERY: Duration = Duration::from_secs(600);

/// Removes it for as long as the server runs.
pub(crate) async fn keep(app: Arc<App>) {
    let mut ticks = interval_at(Instant::now() + EVERY, EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = sweep(&app).await {
            tracing::warn!(%error, "what has ended stays until the next round");
        }
    }
}

async fn sweep(app: &App) -> Result<(), StoreError> {
    let ended = ended(&mut app.store.read().await?).await?;
    if ended.is_empty() {
        return Ok(());
    }
    app.store
        .write::<_, StoreError, _>(move |tx| {
            Box::pin(async move {
                for (kind, key) in ended {
                    tx.remove_document(kind, &key).await?;
                }
                Ok(())
            })
        })
        .await
}

/// What has ended for good: nothing of it comes back, so it may be removed later than it was looked at.
async fn ended(read: &mut (dyn Read + '_)) -> Result<Vec<(&'static str, String)>, StoreError> {
    let now = read.now();
    let mut out = Vec::new();
    let codes: Vec<(String, AuthorizationCode)> = read_documents(read, kind::AUTHORIZATION_CODE).await?;
    let codes = codes.into_iter().filter(|(_, c)| c.stale(now));
    out.extend(codes.map(|(key, _)| (kind::AUTHORIZATION_CODE, key)));
    let codes: Vec<(String, DeviceCode)> = read_documents(read, kind::DEVICE_CODE).await?;
    let codes = codes.into_iter().filter(|(_, c)| c.stale(now));
    out.extend(codes.map(|(key, _)| (kind::DEVICE_CODE, key)));
    let used: Vec<(String, Used)> = read_documents(read, kind::ASSERTION).await?;
    let used = used.into_iter().filter(|(_, u)| u.until <= now);
    out.extend(used.map(|(key, _)| (kind::ASSERTION, key)));
    out.extend(sign_ins::old(read).await?.into_iter().map(|key| (kind::SIGN_IN, key)));
    let grants: Vec<(String, Grant)> = read_documents(read, kind::GRANT).await?;
    for (key, grant) in grants {
        let person: Option<Person> = read_document(read, kind::PERSON, &grant.person.to_string()).await?;
        let lives = person.is_some_and(|p| p.generation == grant.generation) && grant.alive(now).is_ok();
        if !lives {
            out.push((kind::GRANT, key));
        }
    }
    Ok(out)
}
