//! Conditional access in force: the compiled policies, replaced whenever one of them changes, and asked by every request.
//!
//! [`records`] is what is kept, [`admit`] what every request passes, [`graph`] how people change it, [`seen`] what was
//! seen of requests, for trying a draft on the past. A write is answered only after what it changed is in force here;
//! other servers hear of it in their feed.

mod administrators;
mod admit;
mod change;
mod defaults;
pub(crate) mod emergency;
mod graph;
mod places;
mod records;
mod seen;
mod try_out;

use std::collections::HashSet;
use std::sync::{Arc, RwLock};

use sekisho_arm::traits::read_documents;
use sekisho_arm::{Read, StoreError};
use sekisho_identity::conditional_access::{Evaluation, Locations, Policy, Signals, Strengths, evaluate};
use sekisho_identity::session::Proof;
use sekisho_store::{News, Store};
use time::OffsetDateTime;
use tokio::sync::watch;
use uuid::Uuid;

use crate::app::App;
use records::{LocationRecord, PolicyRecord, StrengthRecord};

pub(crate) use admit::{Ask, Judged, Missing, admit, may_read, still_admitted, unmet};
pub(crate) use defaults::first_policies;
pub(crate) use graph::{rights, routes};
pub(crate) use records::kind;
pub(crate) use seen::{Seen, flush as keep_now, keep};

/// Everything that decisions stand on.
#[derive(Debug, Default)]
pub(crate) struct Rulebook {
    pub(crate) policies: Vec<Policy>,
    pub(crate) locations: Locations,
    pub(crate) strengths: Strengths,
    pub(crate) emergency: HashSet<Uuid>,
    records: Vec<PolicyRecord>,
    /// When a change undoes itself: then it must be compiled anew.
    until: Option<OffsetDateTime>,
}

impl Rulebook {
    /// Reads and compiles everything.
    ///
    /// # Errors
    /// Those of the database; also when something that is kept is not understood, because leaving it out would let in
    /// whom it keeps out.
    pub(crate) async fn read(read: &mut (dyn Read + '_)) -> Result<Rulebook, StoreError> {
        let corrupt = |what: &str, id: &str, why: String| {
            StoreError::Corrupt(format!("the {what} {id} is not understood: {why}"))
        };
        let records: Vec<(String, PolicyRecord)> = read_documents(read, kind::POLICY).await?;
        let locations: Vec<(String, LocationRecord)> = read_documents(read, kind::LOCATION).await?;
        let custom: Vec<(String, StrengthRecord)> = read_documents(read, kind::STRENGTH).await?;
        let emergency = read.documents(kind::EMERGENCY).await?;
        let mut strengths = Strengths::default();
        for (key, record) in &custom {
            let id = Uuid::try_parse(key).map_err(|e| corrupt("strength", key, e.to_string()))?;
            strengths.add(id, record.compile().map_err(|why| corrupt("strength", key, why))?);
        }
        let mut compiled = Vec::new();
        for (key, record) in &locations {
            let id = Uuid::try_parse(key).map_err(|e| corrupt("location", key, e.to_string()))?;
            compiled.push((id, record.compile().map_err(|why| corrupt("location", key, why))?));
        }
        let mut book = Rulebook {
            locations: Locations::new(compiled),
            strengths,
            emergency: emergency.iter().filter_map(|d| Uuid::try_parse(&d.key).ok()).collect(),
            records: records.into_iter().map(|(_, record)| record).collect(),
            ..Rulebook::default()
        };
        book.compile(read.now()).map_err(|(id, why)| corrupt("policy", &id.to_string(), why))?;
        Ok(book)
    }

    /// Compiles what holds at `now`.
    fn compile(&mut self, now: OffsetDateTime) -> Result<(), (Uuid, String)> {
        self.policies = Vec::with_capacity(self.records.len());
        for record in &self.records {
            if let Some(body) = record.in_force(now) {
                let policy = Policy::compile(record.id, body).map_err(|e| (record.id, e.to_string()))?;
                self.policies.push(policy);
            }
        }
        self.policies.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        let waiting = self.records.iter().filter_map(|r| r.pending.as_ref()).map(|p| p.by);
        self.until = waiting.filter(|by| *by > now).min();
        Ok(())
    }

    pub(crate) fn evaluate(&self, signals: &Signals, proofs: &[Proof], now: OffsetDateTime) -> Evaluation {
        evaluate(&self.policies, &self.locations, &self.strengths, signals, proofs, now)
    }

    /// What people call a policy.
    pub(crate) fn name(&self, id: Uuid) -> &str {
        self.policies.iter().find(|p| p.id == id).map_or("", |p| p.name.as_str())
    }
}

/// The rulebook in force.
pub(crate) struct ConditionalAccess {
    current: RwLock<Arc<Rulebook>>,
    /// Whoever began to read later replaces later.
    reading: tokio::sync::Mutex<()>,
    /// Tells live streams to ask again.
    replaced: watch::Sender<()>,
}

impl ConditionalAccess {
    /// Reads the first one.
    ///
    /// # Errors
    /// As [`Rulebook::read`].
    pub(crate) async fn load(store: &Store) -> Result<ConditionalAccess, StoreError> {
        let first = Rulebook::read(&mut store.read().await?).await?;
        Ok(Self {
            current: RwLock::new(Arc::new(first)),
            reading: tokio::sync::Mutex::default(),
            replaced: watch::Sender::new(()),
        })
    }

    /// The rulebook in force at `now`.
    pub(crate) fn rulebook(&self, now: OffsetDateTime) -> Arc<Rulebook> {
        let current = self.current.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        if current.until.is_none_or(|until| now < until) {
            return current;
        }
        let mut next = Rulebook {
            policies: Vec::new(),
            locations: current.locations.clone(),
            strengths: current.strengths.clone(),
            emergency: current.emergency.clone(),
            records: current.records.clone(),
            until: None,
        };
        match next.compile(now) {
            Ok(()) => self.replace(next),
            Err((id, why)) => {
                tracing::error!(%id, why, "a policy could not go back to what it was");
                current
            }
        }
    }

    /// Reads it anew.
    ///
    /// # Errors
    /// As [`Rulebook::read`]; the old one stays in force.
    pub(crate) async fn refresh(&self, store: &Store) -> Result<(), StoreError> {
        let _turn = self.reading.lock().await;
        self.replace(Rulebook::read(&mut store.read().await?).await?);
        Ok(())
    }

    /// Is told whenever the rulebook was replaced.
    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.replaced.subscribe()
    }

    fn replace(&self, next: Rulebook) -> Arc<Rulebook> {
        let next = Arc::new(next);
        *self.current.write().unwrap_or_else(std::sync::PoisonError::into_inner) = next.clone();
        self.replaced.send_replace(());
        next
    }
}

/// Follows the feed so that a change made by another server is in force here.
pub(crate) async fn follow(app: Arc<App>) {
    let mut feed = app.store.changes();
    loop {
        let concerns = match feed.next().await {
            Some(News::Changes(changes)) => changes.iter().any(|c| kind::ALL.contains(&c.kind.as_str())),
            Some(News::Missed) => true,
            None => return,
        };
        if concerns && let Err(error) = app.conditional_access.refresh(&app.store).await {
            tracing::error!(%error, "policies could not be read anew; the old ones stay in force");
        }
    }
}
