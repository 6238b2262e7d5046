//! Keeps the lake in order, for as long as the server runs: events become segments, days that are over are compacted,
//! and what has been kept for long enough goes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sekisho_lake::{LakeError, Retention};
use time::OffsetDateTime;
use tokio::time::{MissedTickBehavior, interval};

use crate::app::App;

/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_secs(60);
/// Looks between two times of tidying up.
const TIDY: u64 = 60;

/// Keeps the lake in order.
pub(crate) async fn keep(app: Arc<App>) {
    match app.lake.check().await {
        Ok(problems) => {
            problems.iter().for_each(|problem| tracing::error!(%problem, "part of the events is lost"))
        }
        Err(error) => tracing::error!(%error, "the lake cannot be looked at"),
    }
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for look in 0_u64.. {
        looks.tick().await;
        let now = OffsetDateTime::now_utc();
        told("flushed", flush(&app, now).await);
        if look % TIDY == 0 {
            let retention = Retention { days: app.config.lake_retention_days, streams: BTreeMap::new() };
            told("compacted", app.lake.compact(now).await);
            told("dropped", app.lake.retain(now, &retention).await);
            told("swept", app.lake.sweep(now).await);
        }
    }
}

async fn flush(app: &App, now: OffsetDateTime) -> Result<u64, LakeError> {
    if app.lake.due(now).await? { app.lake.flush().await } else { Ok(0) }
}

/// Whatever fails is tried again, and nothing is lost by its failing.
fn told(what: &'static str, done: Result<u64, LakeError>) {
    match done {
        Ok(0) => {}
        Ok(count) => tracing::debug!(what, count, "the lake was kept in order"),
        Err(error) => tracing::error!(what, %error, "the lake could not be kept in order"),
    }
}
