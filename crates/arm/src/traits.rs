//! What the protocol needs from the world: a database seen as resources and documents, and the audit log.
//!
//! `store` implements these over SQL. A [`Write`] is one transaction: everything done through it, the audit entries
//! included, becomes durable together or not at all.

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use time::OffsetDateTime;

use crate::{ArmError, Resource, Scope, TypeName};

/// The database could not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached; the request may be repeated.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// Its disk is full: what is there can be read, and nothing can be written until somebody makes room.
    #[error("the database's disk is full")]
    Full,
    /// It or its disk is read-only: nothing can be written until somebody changes that.
    #[error("the database is read-only")]
    ReadOnly,
    /// What was to be added is there already; nothing was changed.
    #[error("{0} is there already")]
    Exists(String),
    /// What it holds is not what this version wrote.
    #[error("the database holds something unreadable: {0}")]
    Corrupt(String),
}

impl From<StoreError> for ArmError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => {
                let mut e = ArmError::new(
                    503,
                    "ServerUnavailable",
                    "The server's database does not answer at the moment. Nothing was changed; try again.",
                );
                e.retry_after = Some(2);
                e
            }
            StoreError::Full => ArmError::new(
                507,
                "InsufficientStorage",
                "The disk of the server's database is full. Nothing was changed; make room on it and try again.",
            ),
            StoreError::ReadOnly => ArmError::new(
                503,
                "ReadOnlyStorage",
                "The server's database is read-only at the moment. Nothing was changed; make it writable and try again.",
            ),
            StoreError::Exists(_) | StoreError::Corrupt(_) => ArmError::internal(),
        }
    }
}

/// Which resources to list. Results come in the order of their lower-cased ids.
#[derive(Debug, Clone)]
pub struct Listing {
    /// Everything inside this scope.
    pub scope: Scope,
    /// Only this type.
    pub type_name: Option<TypeName>,
    /// Only ids whose lower-cased form sorts after this one.
    pub after: Option<String>,
    /// Only those whose content contains one of these words somewhere, whatever the case of ASCII letters is. It leaves
    /// out what cannot matter; what it leaves has to be looked at.
    pub mentions: Option<Vec<String>>,
    /// At most this many.
    pub limit: usize,
}

impl Listing {
    /// All resources of one type inside a scope.
    pub fn of(scope: &Scope, type_name: &TypeName) -> Self {
        Self { type_name: Some(type_name.clone()), ..Self::all(scope) }
    }

    /// All resources inside a scope.
    pub fn all(scope: &Scope) -> Self {
        Self { scope: scope.clone(), type_name: None, after: None, mentions: None, limit: usize::MAX }
    }

    /// Of these, those that mention one of these words.
    #[must_use]
    pub fn mentioning(self, words: Vec<String>) -> Self {
        Self { mentions: Some(words), ..self }
    }
}

/// A private record of a system, such as a session or a machine's facts: never routable, addressed by kind and key.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The key within its kind.
    pub key: String,
    /// The content, the text of a JSON value: most are read into a type of their own, and never as anything else.
    pub text: String,
    /// When it was last written.
    pub changed_at: OffsetDateTime,
}

impl Document {
    /// The content.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it is no JSON.
    pub fn body(&self) -> Result<Value, StoreError> {
        self.typed().map_err(|e| StoreError::Corrupt(format!("{}: {e}", self.key)))
    }

    /// The content as a typed value.
    ///
    /// # Errors
    /// When it does not fit the type.
    pub fn typed<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(&self.text)
    }
}

/// Something that happened to a machine at one moment. It is kept for days, not for ever, and never changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The lower-cased id of the machine.
    pub machine: String,
    /// The stream it belongs to, such as `server` or `flows`: one retention, one numbering.
    pub stream: String,
    /// One life of the stream on the machine; its numbers begin again in another one.
    pub epoch: String,
    /// Its number within stream and epoch, rising from 1.
    pub sequence: i64,
    /// When it happened, by the machine's clock. Milliseconds are kept.
    pub at: OffsetDateTime,
    /// What happened, such as `agent.started`.
    pub kind: String,
    /// The particulars, an object.
    pub data: Value,
}

/// Reading one consistent state of the database.
#[async_trait]
pub trait Read: Send {
    /// One resource.
    async fn get(&mut self, id: &Scope) -> Result<Option<Resource>, StoreError>;
    /// Many resources.
    async fn list(&mut self, listing: &Listing) -> Result<Vec<Resource>, StoreError>;
    /// One document.
    async fn document(&mut self, kind: &str, key: &str) -> Result<Option<Document>, StoreError>;
    /// All documents of a kind, ordered by key.
    async fn documents(&mut self, kind: &str) -> Result<Vec<Document>, StoreError>;
    /// The documents of a kind whose keys lie between two, which are included, ordered by key.
    async fn documents_between(
        &mut self,
        kind: &str,
        first: &str,
        last: &str,
    ) -> Result<Vec<Document>, StoreError>;
    /// The number of the last event that was appended to a machine's stream and epoch; 0 before the first. It stays
    /// when the event itself is long gone.
    async fn last_event(&mut self, machine: &str, stream: &str, epoch: &str) -> Result<i64, StoreError>;
    /// The instant all of this transaction happens at.
    fn now(&self) -> OffsetDateTime;
}

/// One transaction.
#[async_trait]
pub trait Write: Read {
    /// Keeps a resource, giving it a new etag and sequence; returns it as kept.
    async fn put(&mut self, resource: Resource) -> Result<Resource, StoreError>;
    /// Removes a resource and everything inside it; returns the ids removed, innermost first.
    async fn remove(&mut self, id: &Scope) -> Result<Vec<Scope>, StoreError>;
    /// Keeps a document.
    async fn put_document(&mut self, kind: &str, key: &str, body: Value) -> Result<(), StoreError>;
    /// Removes a document; true when it was there.
    async fn remove_document(&mut self, kind: &str, key: &str) -> Result<bool, StoreError>;
    /// Appends events, of any machines and streams. Within each stream and epoch their numbers rise and begin above
    /// [`Read::last_event`]: anything else is [`StoreError::Exists`], so that nothing is ever kept twice. The feed
    /// tells one change of kind `event` for each machine.
    async fn append_events(&mut self, events: Vec<Event>) -> Result<(), StoreError>;
    /// Adds an entry to the audit log; returns it as it is kept there.
    async fn audit(&mut self, entry: AuditEntry) -> Result<Logged, StoreError>;
    /// The same transaction, seen as a reader.
    fn as_read(&mut self) -> &mut dyn Read;
}

/// What happened, in the words of the activity log. Secrets have no place in any field.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// The RBAC action, such as `Microsoft.Network/networkSecurityGroups/write`.
    pub operation: String,
    /// What it was done to.
    pub resource_id: String,
    /// Who did it.
    pub caller: CallerRef,
    /// `Succeeded`, `Failed` or `Denied`.
    pub outcome: Outcome,
    /// The HTTP status or error code the caller saw.
    pub detail: String,
    /// One id for everything one request caused.
    pub correlation_id: String,
    /// The grant that allowed it: assignment id and role name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Value>,
    /// Method and client address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<Value>,
    /// Absent when the entry says all there is to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The particulars, an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<Value>,
}

/// The two halves of an act whose effect is outside of the database. They have one correlation id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// It was decided, in the transaction of the entry.
    Intent,
    /// It has ended, or nobody has heard of its end for too long.
    Result,
}

/// An entry as it is kept in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Its number.
    pub sequence: i64,
    /// Its exact bytes.
    pub leaf: String,
}

/// How an audited act ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
pub enum Outcome {
    /// Done.
    Succeeded,
    /// Tried and not done.
    Failed,
    /// Refused by a rule about who may.
    Denied,
}

/// Who an act is attributed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallerRef {
    /// The object id of the principal.
    pub object_id: String,
    /// What it is.
    pub kind: PrincipalKind,
    /// The name people know it by.
    pub name: String,
}

/// The kinds of principals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, serde::Deserialize)]
pub enum PrincipalKind {
    /// A person.
    User,
    /// A program with its own credential.
    ServicePrincipal,
    /// A machine's agent.
    Agent,
    /// The server itself.
    System,
    /// Nobody that could be told.
    Anonymous,
}

/// Reads a document as a typed value.
///
/// # Errors
/// [`StoreError::Corrupt`] when the content does not fit the type.
pub async fn read_document<T: DeserializeOwned>(
    read: &mut (dyn Read + '_),
    kind: &str,
    key: &str,
) -> Result<Option<T>, StoreError> {
    read.document(kind, key).await?.map(|d| decode(kind, &d)).transpose()
}

/// Reads all documents of a kind as typed values with their keys.
///
/// # Errors
/// [`StoreError::Corrupt`] when a content does not fit the type.
pub async fn read_documents<T: DeserializeOwned>(
    read: &mut (dyn Read + '_),
    kind: &str,
) -> Result<Vec<(String, T)>, StoreError> {
    let all = read.documents(kind).await?;
    all.into_iter().map(|d| decode(kind, &d).map(|v| (d.key, v))).collect()
}

/// Reads the documents of a kind whose keys lie between two, which are included, as typed values with their keys.
///
/// # Errors
/// [`StoreError::Corrupt`] when a content does not fit the type.
pub async fn read_documents_between<T: DeserializeOwned>(
    read: &mut (dyn Read + '_),
    kind: &str,
    (first, last): (&str, &str),
) -> Result<Vec<(String, T)>, StoreError> {
    let all = read.documents_between(kind, first, last).await?;
    all.into_iter().map(|d| decode(kind, &d).map(|v| (d.key, v))).collect()
}

/// Keeps a typed value as a document.
///
/// # Errors
/// [`StoreError`] of the database, or when the value has no JSON form.
pub async fn write_document<T: Serialize + Sync>(
    write: &mut (dyn Write + '_),
    kind: &str,
    key: &str,
    value: &T,
) -> Result<(), StoreError> {
    let body = serde_json::to_value(value).map_err(|e| StoreError::Corrupt(format!("{kind}/{key}: {e}")))?;
    write.put_document(kind, key, body).await
}

fn decode<T: DeserializeOwned>(kind: &str, document: &Document) -> Result<T, StoreError> {
    let corrupt = |e| StoreError::Corrupt(format!("{kind}/{}: {e}", document.key));
    document.typed().map_err(corrupt)
}
