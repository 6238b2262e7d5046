//! What was seen of requests: for every day and session one record of each kind of request, with how many there were.
//! A draft of a policy is tried on them, and the proof that nobody is locked out asks them how administrators come.
//!
//! Records are summed up in memory and kept every half minute: what a crash loses is half a minute of counts, and no
//! decision stands on them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use sekisho_arm::traits::{read_document, write_document};
use sekisho_arm::{PrincipalKind, Read as _, StoreError};
use sekisho_identity::conditional_access::{Signals, Subject};
use sekisho_identity::session::Proof;
use serde::{Deserialize, Serialize};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use crate::app::App;
use crate::authn::Caller;

/// The document kind.
pub(super) const KIND: &str = "seenRequest";
/// How often records are kept.
const EVERY: Duration = Duration::from_secs(30);
/// For how long: a draft can be tried on so many days.
pub(super) const DAYS: i64 = 30;
/// Most records that wait in memory; beyond, requests are not noted.
const MOST: usize = 50_000;

/// Requests of one kind, of one day and one session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    /// Who asked.
    pub(super) principal: Uuid,
    /// Person or program.
    pub(super) kind: PrincipalKind,
    /// The name people know them by.
    pub(super) name: String,
    /// What was known. Groups and roles are left out: they are asked for when the record is read.
    pub(super) signals: Signals,
    /// What was proved.
    pub(super) proofs: Vec<Proof>,
    /// The first of them.
    #[serde(with = "time::serde::rfc3339")]
    pub(super) first: OffsetDateTime,
    /// The last of them.
    #[serde(with = "time::serde::rfc3339")]
    pub(super) last: OffsetDateTime,
    /// How many.
    pub(super) requests: u64,
}

/// What makes requests one kind.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Kind {
    day: Date,
    /// The session, or what a client was let in with.
    origin: Option<Uuid>,
    /// Proving something anew makes another kind.
    proved: Option<OffsetDateTime>,
    signals: Signals,
}

impl Kind {
    /// The key of its record.
    fn key(&self, principal: Uuid) -> Option<String> {
        let proved = self.proved.map(OffsetDateTime::unix_timestamp_nanos);
        let bytes = serde_json::to_vec(&(self.origin, proved.map(|n| n.to_string()), &self.signals)).ok()?;
        let mark = Uuid::from_slice(&digest(&SHA256, &bytes).as_ref()[..16]).ok()?;
        Some(format!("{}/{principal}/{mark}", self.day))
    }
}

/// What waits to be kept.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<HashMap<Kind, Record>>);

impl Seen {
    /// Notes a request.
    pub(super) fn note(&self, caller: &Caller, mut signals: Signals, now: OffsetDateTime) {
        if let Subject::Person { groups, possible_groups, roles, .. } = &mut signals.subject {
            groups.clear();
            possible_groups.clear();
            roles.clear();
        }
        let session = caller.session.as_ref().map(|s| s.id);
        let kind = Kind {
            day: now.date(),
            origin: session.or_else(|| caller.grant.as_ref().map(|g| g.id)),
            proved: caller.proofs.iter().map(|p| p.at).max(),
            signals,
        };
        let mut waiting = self.lock();
        if let Some(record) = waiting.get_mut(&kind) {
            record.requests += 1;
            record.last = record.last.max(now);
        } else if waiting.len() < MOST {
            let record = Record {
                principal: caller.principal,
                kind: caller.kind,
                name: caller.name.clone(),
                signals: kind.signals.clone(),
                proofs: caller.proofs.clone(),
                first: now,
                last: now,
                requests: 1,
            };
            waiting.insert(kind, record);
        }
    }

    fn take(&self) -> HashMap<Kind, Record> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Kind, Record>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Keeps what waits.
///
/// # Errors
/// Those of the database; then it is lost.
pub(crate) async fn flush(app: &App) -> Result<(), StoreError> {
    let waiting = app.seen.take();
    if waiting.is_empty() {
        return Ok(());
    }
    app.store
        .write::<_, StoreError, _>(move |tx| {
            Box::pin(async move {
                for (kind, mut record) in waiting {
                    let Some(key) = kind.key(record.principal) else { continue };
                    // An unreadable one is of another version.
                    let kept: Option<Record> =
                        read_document(tx.as_read(), KIND, &key).await.unwrap_or_default();
                    if let Some(kept) = kept {
                        record.first = record.first.min(kept.first);
                        record.last = record.last.max(kept.last);
                        record.requests += kept.requests;
                    }
                    write_document(tx, KIND, &key, &record).await?;
                }
                Ok(())
            })
        })
        .await
}

async fn forget(app: &App) -> Result<(), StoreError> {
    let oldest = (OffsetDateTime::now_utc() - time::Duration::days(DAYS)).date().to_string();
    let old = app.store.read().await?.documents_between(KIND, "", &oldest).await?;
    if old.is_empty() {
        return Ok(());
    }
    app.store
        .write::<_, StoreError, _>(move |tx| {
            Box::pin(async move {
                for document in old {
                    tx.remove_document(KIND, &document.key).await?;
                }
                Ok(())
            })
        })
        .await
}

/// Keeps records for as long as the server runs, and forgets old ones.
pub(crate) async fn keep(app: Arc<App>) {
    let mut rounds = tokio::time::interval(EVERY);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut day = None;
    loop {
        rounds.tick().await;
        let today = OffsetDateTime::now_utc().date();
        let run = async {
            flush(&app).await?;
            if day != Some(today) {
                forget(&app).await?;
            }
            Ok::<_, StoreError>(())
        };
        match run.await {
            Ok(()) => day = Some(today),
            Err(error) => tracing::error!(%error, "what was seen of requests could not be kept"),
        }
    }
}
