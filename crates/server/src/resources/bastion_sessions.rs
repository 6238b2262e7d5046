//! `Sekisho.Bastion/sessions`: the sessions that are open on a machine, or on all machines in a scope.

use async_trait::async_trait;
use schemars::{JsonSchema, SchemaGenerator};
use sekisho_arm::registry::{PutStyle, Storage};
use sekisho_arm::resource::{instant, shown};
use sekisho_arm::traits::read_documents;
use sekisho_arm::{ArmError, Call, Read, ResourceType, Scope, ScopeKind, TypeSpec};
use sekisho_bastion::host::place;
use sekisho_bastion::session::{KIND, Session};
use serde::Serialize;
use serde_json::{Value, json};

use super::recordings::{NAMESPACE, within};

/// Sessions that are open.
pub(crate) struct Sessions;

static SPEC: TypeSpec = TypeSpec {
    namespace: NAMESPACE,
    path: "sessions",
    versions: &["2026-11-01", "2026-09-01"],
    scopes: &[ScopeKind::Subscription, ScopeKind::ResourceGroup, ScopeKind::Resource],
    storage: Storage::Computed,
    put: PutStyle::Refused,
    location: false,
    shows_etag: false,
    shows_state: false,
    actions: &[],
    schema: |g: &mut SchemaGenerator| g.subschema_for::<SessionShown>(),
};

/// A session that is open.
#[derive(Serialize, JsonSchema)]
struct SessionShown {
    /// Its id.
    id: String,
    /// The session's id.
    name: String,
    #[serde(rename = "type")]
    kind: String,
    properties: SessionProperties,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SessionProperties {
    /// The bastion host.
    host: String,
    /// What the host is called in addresses.
    place: String,
    /// The machine.
    machine: String,
    /// The account on it, of a session that logs in.
    account: Option<String>,
    /// `ssh`, `rdp`, `vnc` or `tcptunnel`.
    protocol: String,
    /// Whose it is.
    user_name: String,
    /// The client's address.
    address: String,
    /// When it began, RFC 3339.
    since: String,
    /// `off`, `metadata` or `full`.
    recorded: String,
    /// Whether it has a terminal, which can be looked at and joined.
    terminal: bool,
    /// Whether it shows a desktop, which can be looked at and joined.
    desktop: bool,
}

fn session_shown(s: &Session) -> Result<Value, ArmError> {
    let place = Scope::parse(&s.host).map(|host| place(&host).to_string()).unwrap_or_default();
    shown(&SessionShown {
        id: format!("{}/providers/{NAMESPACE}/sessions/{}", s.machine, s.id),
        name: s.id.to_string(),
        kind: format!("{NAMESPACE}/sessions"),
        properties: SessionProperties {
            host: s.host.clone(),
            place,
            machine: s.machine.clone(),
            account: s.account.clone(),
            protocol: s.protocol.clone(),
            user_name: s.caller.name.clone(),
            address: s.address.clone(),
            since: instant(s.since),
            recorded: s.recording.word().to_owned(),
            terminal: s.terminal,
            desktop: s.shows_desktop(),
        },
    })
}

#[async_trait]
impl ResourceType for Sessions {
    fn spec(&self) -> &TypeSpec {
        &SPEC
    }

    async fn computed(
        &self,
        db: &mut dyn Read,
        _: &Call,
        scope: &Scope,
        name: Option<&str>,
    ) -> Result<Value, ArmError> {
        let all: Vec<(String, Session)> = read_documents(db, KIND).await?;
        let own = all.into_iter().map(|(_, session)| session).filter(|s| within(&s.machine, scope));
        if let Some(name) = name {
            let found = own.into_iter().find(|s| s.id.to_string() == name);
            let missing = || ArmError::new(404, "ResourceNotFound", "There is no such session here.");
            return session_shown(&found.ok_or_else(missing)?);
        }
        let mut own: Vec<Session> = own.collect();
        own.sort_by_key(|s| std::cmp::Reverse(s.since));
        Ok(json!({ "value": own.iter().map(session_shown).collect::<Result<Vec<_>, _>>()? }))
    }
}
